"""The numbers behind the report's pictures: means over the seeds, and curves of predictions.

Knows rows and predictions; knows nothing of drawing. Curves are means over the seeds: of the curves
of each seed's folds for ranking, of all seeds' predictions together for reliability.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from promptpredict.plans import CHOICES, CHOSEN_WITH, CHOSEN_WITHOUT, STACK, ZERO_SHOT
from promptpredict.resampling import BINS, bins_of
from promptpredict.results import Row, base_of

if TYPE_CHECKING:
    from pandas import DataFrame

Floats = npt.NDArray[np.float64]

SIDES = (CHOSEN_WITH, CHOSEN_WITHOUT, STACK)  # what a comparison is about
_GRID = 201
_NAMED = re.compile(r"\b(\d[\d,]*)(?: to \d[\d,]*)? labels?\b")
_Z = 1.96  # of a 95 % interval


@dataclass(frozen=True, slots=True)
class Point:
    """A metric of one approach at one budget: the means over the seeds of value and interval."""

    budget: int
    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Ranking:
    """How well one approach ranks, the mean over the seeds, and the share of positives."""

    misses: Floats  # (g,) share of the negatives taken, ascending
    found: Floats  # (g,) share of the positives found by then
    recall: Floats  # (g,) share of the positives found, ascending
    precision: Floats  # (g,) share of positives among those taken until then
    share: Floats  # (g,) share of all customers taken, ascending
    lift: Floats  # (g,) how many times as many positives are among them as by chance
    base: float


@dataclass(frozen=True, slots=True)
class Reliability:
    """Mean probability and share of positives of bins of equal mass, (b,) each, with 95 % bars."""

    predicted: Floats
    observed: Floats
    low: Floats
    high: Floats


def series(rows: Iterable[Row], metric: str) -> dict[str, list[Point]]:
    """Return the points of each approach that has the metric, budgets ascending."""
    groups: dict[str, dict[int, list[Row]]] = {}
    for row in rows:
        groups.setdefault(row.approach, {}).setdefault(row.budget, []).append(row)
    found = {
        approach: [
            point
            for budget in sorted(budgets)
            if (point := point_of(budgets[budget], metric)) is not None
        ]
        for approach, budgets in groups.items()
    }
    return {approach: points for approach, points in found.items() if points}


def point_of(rows: Sequence[Row], metric: str) -> Point | None:
    """Return the mean of a metric over the rows of one budget; None where no row has it."""
    values = [row.metrics[metric] for row in rows if metric in row.metrics]
    centre = _mean(value.value for value in values)
    if centre is None:
        return None
    low, high = _mean(value.low for value in values), _mean(value.high for value in values)
    return Point(rows[0].budget, centre, low, high)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return mean(known) if known else None


def at(points: Sequence[Point], budget: int) -> Point | None:
    """Return the point of a budget; that of no label where an approach needs none (zero-shot)."""
    exact = [point for point in points if point.budget == budget]
    return exact[0] if exact else points[0] if needs_no_label(points) else None


def needs_no_label(points: Sequence[Point]) -> bool:
    """Say whether an approach stands at budget 0 alone: it is the same whatever is labelled."""
    return [point.budget for point in points] == [0]


def spoken_budget(rows: Sequence[Row], verdict: str) -> int | None:
    """Return the budget that detailed pictures show; None without rows.

    The first that the verdict names in "N labels" or "N to M labels", if approaches of both sides
    (or any, where nothing was chosen) have it; else the largest one at which most of the main
    approaches stand.
    """
    stands = Counter(
        budget
        for budget, approach in {(row.budget, row.approach) for row in rows}
        if base_of(approach) in SIDES
    ) or Counter({row.budget: 1 for row in rows})
    most = max(stands.values(), default=0)
    common = [budget for budget, count in stands.items() if count == most]
    named = [int(n.replace(",", "")) for n in _NAMED.findall(verdict)]
    return next((n for n in named if n in common), max(common, default=None))


def main_approaches(quality: Mapping[str, Sequence[Point]], budget: int | None) -> list[str]:
    """Return the approaches to draw strongly: choices, stack, zero-shot, the best two others.

    ``quality`` holds the points of a metric where more is better.
    """
    first = first_of(quality)
    others: list[tuple[float, str]] = []
    for name, points in quality.items():
        point = None if budget is None else at(points, budget)
        if point is not None and name not in first and base_of(name) not in CHOICES:
            others.append((-point.value, name))
    return [*first, *(name for _, name in sorted(others)[:2])]


def first_of(approaches: Iterable[str]) -> list[str]:
    """Return the choices, stack and zero-shot of each model among the approaches."""
    known = list(approaches)
    return [name for first in (*SIDES, ZERO_SHOT) for name in known if base_of(name) == first]


def rankings(
    predictions: DataFrame, approach: str, budget: int, positive: str
) -> tuple[Ranking, Reliability] | None:
    """Return the curves of one approach at one budget; None where it has no such predictions.

    ``predictions`` is the table of predictions.parquet. Rows of a fold are ranked among themselves,
    as for the figures. None too where the test rows are of one kind only.
    """
    probability = f"p_{positive}"
    if probability not in predictions.columns:
        return None
    wanted = (predictions["approach"] == approach) & (predictions["budget"] == budget)
    rows = predictions[wanted & predictions[probability].notna()]
    seeds = []
    for _, drawn in rows.groupby("seed", sort=True):
        hits = np.asarray(drawn["label"].astype(str) == positive, dtype=np.bool_)
        if 0 < hits.sum() < len(hits):
            folds = np.asarray(drawn["fold"] if "fold" in drawn else np.zeros(len(hits)))
            seeds.append((hits, np.asarray(drawn[probability], dtype=np.float64), folds))
    if not seeds:
        return None
    each = [_of_seed(*one) for one in seeds]
    curves: dict[str, Floats] = {
        name: np.mean([getattr(one, name) for one in each], axis=0) for name in _CURVES
    }
    ranking = Ranking(**curves, base=mean(one.base for one in each))
    hits, scores, _ = (np.concatenate(parts) for parts in zip(*seeds, strict=True))
    return ranking, _reliability(hits, scores, len(seeds))


_CURVES = ("misses", "found", "recall", "precision", "share", "lift")


def _of_seed(hits: npt.NDArray[np.bool_], scores: Floats, folds: npt.NDArray[Any]) -> Ranking:
    """Return the curves of one seed, the means over its folds.

    Weighed so that the area below and the lift are those of the figures: each fold by its pairs of a
    positive and a negative, or by its positives.
    """
    parts = [np.flatnonzero(folds == fold) for fold in np.unique(folds)]
    parts = [part for part in parts if 0 < hits[part].sum() < len(part)]
    each = [_ranking(hits[part], scores[part]) for part in parts]
    found = np.array([hits[part].sum() for part in parts], dtype=np.float64)
    pairs = found * np.array([(~hits[part]).sum() for part in parts])

    def over(weights: Floats, name: str) -> Floats:
        return np.average([getattr(one, name) for one in each], axis=0, weights=weights)

    weights = {"misses": pairs, "found": pairs}
    curves = {name: over(weights.get(name, found), name) for name in _CURVES}
    return Ranking(**curves, base=float(hits.mean()))


def _ranking(hits: npt.NDArray[np.bool_], scores: Floats) -> Ranking:
    """Return the curves of rows that are ranked together; equal scores are taken in random order, on average."""
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.diff(scores[order], append=np.inf))
    found = np.concatenate([[0.0], hits[order].cumsum()[last]])
    taken = np.concatenate([[0.0], last + 1.0])
    misses = taken - found
    grid = np.linspace(0, 1, _GRID)
    some = grid[1:]  # precision and lift of nobody are undefined
    # Where misses are taken without a hit, a recall is reached by the first row that reaches it.
    reached, first = np.unique(found, return_index=True)
    cost = np.interp(some * found[-1], reached, misses[first])
    return Ranking(
        misses=grid,
        found=np.interp(grid, misses / misses[-1], found / found[-1]),
        recall=some,
        precision=some * found[-1] / (some * found[-1] + cost),
        share=some,
        lift=np.interp(some, taken / taken[-1], found / found[-1]) / some,
        base=float(hits.mean()),
    )


def _reliability(hits: npt.NDArray[np.bool_], scores: Floats, seeds: int) -> Reliability:
    """Return the bins of all seeds; their bars count a test row once, not once a seed."""
    bins = bins_of(scores)
    counts = np.bincount(bins, minlength=BINS)
    full = counts > 0
    rows = counts[full] / seeds
    predicted = np.bincount(bins, weights=scores, minlength=BINS)[full] / counts[full]
    observed = np.bincount(bins, weights=hits, minlength=BINS)[full] / counts[full]
    # Wilson's interval keeps inside 0 and 1, however few rows a bin has.
    centre = (observed + _Z**2 / (2 * rows)) / (1 + _Z**2 / rows)
    half = _Z * np.sqrt(observed * (1 - observed) / rows + (_Z / (2 * rows)) ** 2)
    half /= 1 + _Z**2 / rows
    return Reliability(predicted, observed, centre - half, centre + half)
