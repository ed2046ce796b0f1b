"""Every metric of a thousand resamples at once, and the interval around it.

Knows labels as column numbers, probabilities (n, k) and how often each row is taken, counts
(b, n); knows nothing of label keys or where the rows come from. Tests hold every metric against
scikit-learn's, or against a slow loop where it has none.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from promptpredict.calibration import Floats
from promptpredict.perlabel import Tally, label_figures, mean_defined, names_of, ratio

BINS = 10  # of equal mass, for the expected calibration error
SHARES = (5, 10, 20)  # per cent of the rows that may be offered something
ON_LOG_ODDS = ("roc_auc", "pr_auc")  # whose interval is found on log-odds
_Parts = Sequence[tuple[Floats, Floats]]  # hits and misses (b, g) of what is ranked together
_CELLS = 2_000_000  # resamples x rows at once: 16 MB an array, however long the table


@dataclass(frozen=True, slots=True)
class Case:
    """What the metrics need of one set of rows; labels are column numbers."""

    truth: npt.NDArray[np.intp]  # (n,)
    predicted: npt.NDArray[np.intp]  # (n,)
    probabilities: Floats  # (n, k)
    ranked: list[int]  # the labels that are ranked against the rest: the positive one, or all
    confidence: Floats  # (n,) the probability that calibration is judged by
    confirmed: npt.NDArray[np.bool_]  # (n,) whether what it is the probability of came true
    money: tuple[float, float] | None = None  # saved by a hit, paid for an offer
    groups: npt.NDArray[np.intp] | None = None  # (n,) numbers from 0: what is drawn as a whole
    folds: npt.NDArray[np.intp] | None = None  # (n,) rows of one are ranked among themselves
    names: Sequence[str] = ()  # the label keys, where each label has figures of its own

    @property
    def binary(self) -> bool:
        """Whether there is one positive label."""
        return len(self.ranked) == 1


def measured(case: Case) -> dict[str, float]:
    """Return each metric of the rows as they are."""
    found = _weighted(case, np.ones((1, len(case.truth))), ())
    return {name: float(values[0]) for name, values in found.items()}


def resampled(case: Case, *, n: int, seed: int, only: Collection[str] = ()) -> dict[str, Floats]:
    """Return the values (n,) of each metric, or of those named, on ``n`` resamples of the rows.

    Rows of one group come and go together: they say less than as many rows of their own.
    """
    groups = np.arange(len(case.truth)) if case.groups is None else case.groups
    chunks = [_weighted(case, counts, only) for counts in draws_of(groups, n, seed)]
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}


def interval(values: npt.ArrayLike, *, level: float = 0.95) -> tuple[float, float]:
    """Return the percentiles (low, high) that hold ``level`` of the values that are not NaN."""
    drawn = _known(values)
    if not len(drawn):
        return float("nan"), float("nan")
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def intervals(
    metrics: Mapping[str, float],
    drawn: Mapping[str, npt.ArrayLike],
    *,
    units: float = np.inf,
    own: Mapping[str, float] | None = None,
) -> dict[str, tuple[float, float]]:
    """Return the 95 % interval (low, high) of each metric from its value and its resamples.

    ``own`` names the ROC AUCs of single labels, and has the units of each.

    ROC AUC and PR AUC: the value ± the quantile of Student's t times the resamples' deviation, on
    log-odds (``units``: as in ``t_interval``). Their percentiles cover a ROC AUC of .9 in 92 % of
    samples only where a tenth of 400 rows is positive, as they lean to 1
    (benchmarks/intervals.py). ECE: the same on its own scale, from 0 up; resamples of well
    calibrated rows are mostly less so, and its percentiles can all lie above the value. The others:
    percentiles.
    """
    single = own or {}

    def of(name: str, value: float) -> tuple[float, float]:
        if name in ON_LOG_ODDS or name in single:
            behind = single.get(name, units)
            return log_odds_interval(value, drawn[name], units=behind)
        if name == "ece" and len(known := _known(drawn[name])):
            low, high = t_interval(value, float(known.std()), units=units)
            return max(low, 0.0), min(high, 1.0)
        return interval(drawn[name])

    return {name: of(name, value) for name, value in metrics.items()}


def t_interval(
    value: float, deviation: float, *, units: float = np.inf, level: float = 0.95
) -> tuple[float, float]:
    """Return ``value`` ± the quantile of Student's t times the ``deviation`` of its resamples.

    ``units`` are the independent ones of ``units_of``: the t has one degree of freedom less.
    Resamples of 2 positives among 100 rows hardly differ: by the normal quantile noise is better or
    worse in 28 % of samples, by t in fewer than 1. Those of one unit say nothing. Meant for paired
    differences, which have no end to lean to. With 40 positives their percentiles cover too little
    (benchmarks/intervals.py), and with a thousand resamples say little of the far ends that Holm's
    levels ask for.
    """
    from scipy.special import ndtri, stdtrit

    if units <= 1:
        return -np.inf, np.inf
    share = (1 + level) / 2
    quantile = float(ndtri(share) if np.isinf(units) else stdtrit(units - 1, share))
    return value - quantile * deviation, value + quantile * deviation


def units_of(truth: Sequence[Any], groups: Sequence[Any] | None = None) -> float:
    """Return how many independent units stand behind a ROC AUC of rows (n,), as ``t_interval`` counts.

    The rows, or groups of rows, of the label that has the fewest. With more than two labels it is
    the mean over them, and one of them with few rows says little of it: Satterthwaite's degrees of
    freedom, as if each label's own varied as much, and one more.
    """
    own = range(len(truth)) if groups is None else groups
    found: dict[Any, set[Any]] = {}
    for label, unit in zip(truth, own, strict=True):
        found.setdefault(label, set()).add(unit)
    counts = [len(units) for units in found.values()]
    if len(counts) <= 2:
        return min(counts, default=0)
    return 1 + len(counts) ** 2 / sum(1 / max(count - 1, 0.5) for count in counts)


def log_odds_interval(
    value: float, values: npt.ArrayLike, *, units: float = np.inf
) -> tuple[float, float]:
    """Return the 95 % t interval (low, high) around ``value``, in (0, 1), found on log-odds.

    A resample that ranks without a fault has no log-odds: it is taken to be half as far from 1 as
    the nearest that has some. Without a fault in any there is no interval: both ends are NaN.
    """
    from scipy.special import expit, logit

    drawn = _known(values)
    if not len(drawn) or np.isnan(value):
        return float("nan"), float("nan")
    inside = drawn[(drawn > 0) & (drawn < 1)]
    if not len(inside) or not 0 < value < 1:
        return float("nan"), float("nan")
    edge = min(inside.min(), 1 - inside.max()) / 2
    clipped = np.clip(drawn, edge, 1 - edge)
    ends = t_interval(float(logit(value)), float(logit(clipped).std()), units=units)
    low, high = expit(ends)
    return float(low), float(high)


def bins_of(confidence: Floats) -> npt.NDArray[np.intp]:
    """Return which of 10 bins of equal mass each row (n,) is in; equal confidences share one."""
    edges = np.quantile(confidence, np.arange(1, BINS) / BINS)
    return np.searchsorted(edges, confidence)


def draws_of(groups: npt.NDArray[np.intp], n: int, seed: int) -> Iterator[Floats]:
    """Yield how often each row is drawn (chunk, rows), ``n`` resamples of ``groups`` (rows,)."""
    rng = np.random.default_rng(seed)
    size, units = max(1, _CELLS // len(groups)), int(groups.max()) + 1
    for start in range(0, n, size):
        chunk = min(size, n - start)
        drawn = rng.integers(units, size=(chunk, units)) + units * np.arange(chunk)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=chunk * units)
        yield counts.reshape(chunk, units)[:, groups].astype(np.float64)


def _weighted(case: Case, counts: Floats, only: Collection[str]) -> dict[str, Floats]:
    """Return each metric (b,) of the rows taken ``counts`` (b, n) times each."""
    parts = parts_of(case.folds, len(case.truth))
    groups = [
        [
            _grouped(counts[:, at], case.truth[at] == column, case.probabilities[at, column])
            for at in parts
        ]
        for column in case.ranked
    ]
    rows = counts.sum(axis=1)  # (b,): as many as there are, where no groups are drawn
    aucs = cache(lambda: [_within(_roc_auc, each) for each in groups])
    tallies = cache(
        lambda: [Tally.of(case.truth, case.predicted, counts, column) for column in case.ranked]
    )
    makers: dict[str, Callable[[], Floats]] = {
        "roc_auc": lambda: mean_defined(aucs()),
        "brier": lambda: _brier(case, counts),
        "log_loss": lambda: _log_loss(case, counts),
        "ece": lambda: _ece(case, counts),
        "accuracy": lambda: counts @ (case.truth == case.predicted) / rows,
        "f1": lambda: np.nan_to_num(mean_defined([each.f1 for each in tallies()])),
    }
    if case.binary:
        makers["pr_auc"] = lambda: _within(_pr_auc, groups[0])
    values = {name: make() for name, make in makers.items() if not only or name in only}
    if case.names and (not only or names_of(case.names) & set(only)):
        each_label = label_figures(tallies(), aucs(), case.names)
        values |= {name: each for name, each in each_label.items() if not only or name in only}
    if case.binary and (not only or set(only) - makers.keys()):
        top = _top(groups[0], rows, case.money)
        values |= {name: each for name, each in top.items() if not only or name in only}
    return values


def parts_of(folds: npt.ArrayLike | None, rows: int) -> list[npt.NDArray[np.intp]]:
    """Return the rows that are ranked among themselves: those of each fold (n,), or all.

    Models of different folds have different levels, and a fold with more positives was left fewer
    to learn from: ranked across folds, what was fitted looks worse than it is.
    """
    if folds is None:
        return [np.arange(rows)]
    return [np.flatnonzero(np.equal(folds, fold)) for fold in np.unique(folds)]


def _within(measure: Callable[[Floats, Floats], tuple[Floats, Floats]], parts: _Parts) -> Floats:
    """Return a share (b,) that ``measure`` gives as its two halves, summed over the parts."""
    above, below = zip(*(measure(*part) for part in parts), strict=True)
    return ratio(np.sum(above, axis=0), np.sum(below, axis=0))


def _top(parts: _Parts, rows: Floats, money: tuple[float, float] | None) -> dict[str, Floats]:
    """Return each metric (b,) of the top shares of each part; ``rows`` (b,) are those of all."""
    offered = {share: rows * share / 100 for share in SHARES}
    found = {share: np.sum([_found(*part, share) for part in parts], axis=0) for share in SHARES}
    precision = {share: found[share] / offered[share] for share in SHARES}
    rate = np.sum([hits.sum(axis=1) for hits, _ in parts], axis=0) / rows
    values = {f"lift_{share}": ratio(precision[share], rate) for share in SHARES}
    values |= {f"precision_{share}": precision[share] for share in SHARES}
    if money is None:
        return values
    saved, cost = money
    captured = {f"value_{share}": found[share] * saved - offered[share] * cost for share in SHARES}
    captured["value_best"] = np.sum([_most(*part, saved, cost) for part in parts], axis=0)
    return values | {name: gain * 1000 / rows for name, gain in captured.items()}


def _most(hits: Floats, misses: Floats, saved: float, cost: float) -> Floats:
    """Return the most (b,) that any number of offers brings; none bring 0."""
    seen = (hits + misses)[:, ::-1].cumsum(axis=1)
    gained: Floats = hits[:, ::-1].cumsum(axis=1) * saved - seen * cost
    most: Floats = np.maximum(gained.max(axis=1), 0)
    return most


def _found(hits: Floats, misses: Floats, share: int) -> Floats:
    """Return the hits (b,) in the top ``share`` per cent; a tie at its end is cut in proportion."""
    size = (hits + misses)[:, ::-1]
    offered = size.sum(axis=1) * share / 100
    taken = np.clip(offered[:, None] - (size.cumsum(axis=1) - size), 0, size)
    found: Floats = (taken * hits[:, ::-1] / np.maximum(size, 1)).sum(axis=1)
    return found


def _grouped(counts: Floats, hit: npt.NDArray[np.bool_], score: Floats) -> tuple[Floats, Floats]:
    """Return hits and misses (b, g) of each distinct score, ascending: ties stand together."""
    order = np.argsort(score)
    starts = np.flatnonzero(np.diff(score[order], prepend=-np.inf))
    taken = counts[:, order]
    hits = np.add.reduceat(taken * hit[order], starts, axis=1)
    return hits, np.add.reduceat(taken, starts, axis=1) - hits


def _roc_auc(hits: Floats, misses: Floats) -> tuple[Floats, Floats]:
    """Return how many (hit, miss) pairs are in the right order, ties for half, and all pairs."""
    below = misses.cumsum(axis=1) - misses
    pairs = hits.sum(axis=1) * misses.sum(axis=1)
    return (hits * (below + misses / 2)).sum(axis=1), pairs


def _pr_auc(hits: Floats, misses: Floats) -> tuple[Floats, Floats]:
    """Return the precision from each hit's score up, summed, and the hits: average precision."""
    falling = hits[:, ::-1]
    found = falling.cumsum(axis=1)
    seen = (hits + misses)[:, ::-1].cumsum(axis=1)
    precision = found / np.maximum(seen, 1)
    # Without a miss it would be 1 whatever the scores: left out, as with roc_auc.
    ranked = misses.sum(axis=1) > 0
    return ranked * (precision * falling).sum(axis=1), ranked * hits.sum(axis=1)


def _brier(case: Case, counts: Floats) -> Floats:
    k = case.probabilities.shape[1]
    squares = ((case.probabilities - np.eye(k)[case.truth]) ** 2).sum(axis=1)
    brier: Floats = counts @ squares / counts.sum(axis=1) / (2 if k == 2 else 1)
    return brier


def _log_loss(case: Case, counts: Floats) -> Floats:
    own = case.probabilities[np.arange(len(case.truth)), case.truth]
    least = np.finfo(np.float64).eps  # scikit-learn's clipping
    loss: Floats = counts @ -np.log(np.clip(own, least, 1 - least)) / counts.sum(axis=1)
    return loss


def _ece(case: Case, counts: Floats) -> Floats:
    """Return the calibration error (b,), with the bins of the whole sample."""
    inside = np.eye(BINS)[bins_of(case.confidence)]  # (n, BINS)
    gaps = counts @ (inside * (case.confidence - case.confirmed)[:, None])  # (b, BINS)
    error: Floats = np.abs(gaps).sum(axis=1) / counts.sum(axis=1)
    return error


def _known(values: npt.ArrayLike) -> Floats:
    drawn = np.asarray(values, dtype=np.float64)
    return drawn[~np.isnan(drawn)]
