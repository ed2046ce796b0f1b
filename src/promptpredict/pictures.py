"""Which pictures a report has, what each is called and what it says in words.

Knows results and what can be drawn of them; knows nothing of pages. A picture that the results
cannot fill is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from promptpredict import plots
from promptpredict.curves import (
    Point,
    Ranking,
    Reliability,
    at,
    first_of,
    main_approaches,
    needs_no_label,
    point_of,
    rankings,
    series,
    spoken_budget,
)
from promptpredict.resampling import SHARES
from promptpredict.results import LEADING, Results, Row, leading
from promptpredict.theme import add_legend, drawing, place_of, png, side_by_side, svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

METRICS = {
    "roc_auc": "ROC AUC",
    "pr_auc": "PR AUC",
    "brier": "Brier score",
    "spearman": "Spearman",
    "gini": "Gini",
    "mae": "mean absolute error",
}
_LOWER = ", lower is better"
TEXT = {
    "structured": "structured columns only",
    "text": "text only",
    "fusion": "both",
}
NAMES = (
    *(f"learning-{metric.replace('_', '-')}" for metric in METRICS),
    *("roc", "precision-recall", "reliability", "lift", "cost", "text-adds"),
)  # of all pictures that there may be
Series = Mapping[str, Sequence[Point]]


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture: for a page (a wide one, and where it differs one for phones) and as PNG."""

    name: str
    title: str
    wide: str
    narrow: str | None
    png: bytes


@dataclass(frozen=True, slots=True)
class Gallery:
    """All pictures of a report by name, and what their legends and captions say."""

    pictures: Mapping[str, Picture]
    budget: int | None  # at which single budgets are shown
    strong: Sequence[str]
    legend: Mapping[str, bool]  # approaches of the learning curves; whether drawn strongly
    detailed: Mapping[str, int]  # approaches of the ranking curves, and the budget of each
    priced: Sequence[str]  # approaches of the picture of cost


def gallery(results: Results, predictions: DataFrame, positive: str | None) -> Gallery:
    """Draw what the results and predictions of a run allow; ``positive`` is None if multi-class."""
    quality = series(results.rows, leading(results.rows))
    budget = spoken_budget(results.rows, results.verdict)
    strong = main_approaches(quality, budget)
    drawn: list[Picture] = []
    curves: dict[str, tuple[Ranking, Reliability]] = {}
    detailed: dict[str, int] = {}
    with drawing(), side_by_side(quality):
        drawn += _learning(results.rows, strong)
        if positive is not None and budget is not None:
            detailed = _detailed(quality, strong, budget)
            for name, own in detailed.items():
                found = rankings(predictions, name, own, positive)
                if found is not None:
                    curves[name] = found
            detailed = {name: detailed[name] for name in curves}
            drawn += _ranking(curves, results.rows, detailed)
        places = {} if budget is None else _places(results.rows, quality, budget)
        metric = leading(results.rows)
        drawn += [*_cost(places, budget or 0, metric), *_text(quality, metric)]
    legend = {name: name in strong for name in sorted(quality, key=place_of)}
    pictures = {picture.name: picture for picture in drawn}
    return Gallery(pictures, budget, strong, legend, detailed, list(places))


def in_words(title: str, curves: Series, names: Iterable[str]) -> str:
    """Say what lines show: ``ROC AUC by labels. probe: 0.910 at 4, 0.930 at 16.``."""
    lines = [
        f"{name}: "
        + (
            f"{curves[name][0].value:.3f} without labels"
            if needs_no_label(curves[name])
            else ", ".join(f"{point.value:.3f} at {point.budget:,}" for point in curves[name])
        )
        + "."
        for name in names
        if name in curves
    ]
    return " ".join([f"{title} by labels.", *lines])


def _picture(
    name: str,
    title: str,
    described: str,
    draw: Callable[[], Figure],
    legend: Mapping[str, bool],
    narrow: Callable[[], Figure] | None = None,
) -> Picture:
    figure = draw()
    wide = svg(figure, name, described)
    small = svg(narrow(), f"{name}-narrow", described) if narrow else None
    if legend:
        add_legend(figure, dict(legend))
    return Picture(name, title, wide, small, png(figure, title))


def _learning(rows: Sequence[Row], strong: Sequence[str]) -> list[Picture]:
    made = []
    for metric in METRICS:
        note = _LOWER if metric in ("brier", "mae") else ""
        curves = series(rows, metric)
        if not curves:
            continue
        name, label = METRICS[metric], METRICS[metric] + note
        wide = metric in LEADING

        def small(curves: Series = curves, label: str = label) -> Figure:
            return plots.learning(curves, strong, label)

        def large(curves: Series = curves, label: str = label) -> Figure:
            return plots.learning(curves, strong, label, size=plots.WIDE)

        made.append(
            _picture(
                f"learning-{metric.replace('_', '-')}",
                f"{name} by label budget",
                in_words(label, curves, strong),
                large if wide else small,
                {approach: approach in strong for approach in sorted(curves, key=place_of)},
                small if wide else None,
            )
        )
    return made


def _detailed(quality: Series, strong: Sequence[str], budget: int) -> dict[str, int]:
    """Return the approaches whose curves are shown, and the budget of each: own or none."""
    wanted = first_of(quality)
    if len(wanted) < 2:
        wanted = list(strong)
    points = {name: at(quality[name], budget) for name in wanted}
    return {name: point.budget for name, point in points.items() if point is not None}


def _ranking(
    curves: Mapping[str, tuple[Ranking, Reliability]],
    rows: Sequence[Row],
    budgets: Mapping[str, int],
) -> list[Picture]:
    if not curves:
        return []
    ranks = {name: ranking for name, (ranking, _) in curves.items()}
    bins = {name: reliable for name, (_, reliable) in curves.items()}
    marks = {name: _lifts(rows, name, budgets[name]) for name in curves}
    found = {
        "roc": ("ROC curve", _roc_said(ranks), lambda: plots.roc(ranks)),
        "precision-recall": (
            "Precision and recall",
            _precision_said(ranks),
            lambda: plots.precision_recall(ranks),
        ),
        "reliability": ("Reliability", _bins_said(bins), lambda: plots.reliability(bins)),
        "lift": ("Lift at capacity", _lift_said(marks), lambda: plots.lift(ranks, marks)),
    }
    legend = dict.fromkeys(curves, True)
    return [
        _picture(name, title, said, draw, legend) for name, (title, said, draw) in found.items()
    ]


def _roc_said(curves: Mapping[str, Ranking]) -> str:
    said = ", ".join(
        f"{name} {one.found[one.misses.searchsorted(0.1)]:.0%}" for name, one in curves.items()
    )
    return f"ROC curve. Share of positives found with a tenth of the negatives: {said}."


def _precision_said(curves: Mapping[str, Ranking]) -> str:
    said = ", ".join(
        f"{name} {one.precision[one.recall.searchsorted(0.5)]:.0%}" for name, one in curves.items()
    )
    return f"Precision and recall. Precision where half of the positives are found: {said}."


def _bins_said(curves: Mapping[str, Reliability]) -> str:
    said = ", ".join(
        f"{name} says {one.predicted.min():.2f} to {one.predicted.max():.2f}, "
        f"{one.observed[0]:.2f} to {one.observed[-1]:.2f} came true"
        for name, one in curves.items()
    )
    return f"Reliability. From the lowest to the highest bin: {said}."


def _lift_said(marks: Mapping[str, Mapping[int, Point]]) -> str:
    said = [
        f" {name} "
        + ", ".join(f"{point.value:.1f} at {percent} %" for percent, point in own.items())
        + "."
        for name, own in marks.items()
        if own
    ]
    return "Lift by the share of customers contacted." + "".join(said)


def _lifts(rows: Sequence[Row], approach: str, budget: int) -> dict[int, Point]:
    own = [row for row in rows if row.approach == approach and row.budget == budget]
    points = {percent: point_of(own, f"lift_{percent}") for percent in SHARES}
    return {percent: point for percent, point in points.items() if point is not None}


def _places(rows: Sequence[Row], quality: Series, budget: int) -> dict[str, tuple[float, float]]:
    """Return seconds per 1,000 customers and ROC AUC of each approach that has both."""
    seconds = series(rows, "seconds_per_1000")
    places = {}
    for name in sorted(quality, key=place_of):  # names of the first find room first
        good = at(quality[name], budget)
        slow = at(seconds[name], budget) if name in seconds else None
        if name != "prior" and good is not None and slow is not None and slow.value > 0:
            places[name] = (slow.value, good.value)
    return places


def _cost(places: Mapping[str, tuple[float, float]], budget: int, metric: str) -> list[Picture]:
    if len(places) < 2:
        return []
    listed = "; ".join(f"{name} {s:,.3g} s, {value:.3f}" for name, (s, value) in places.items())
    name = LEADING[metric]
    return [
        _picture(
            "cost",
            f"Cost against quality at {budget:,} labels",
            f"Seconds per 1,000 customers and {name} at {budget:,} labels: {listed}.",
            lambda: plots.cost(places, name),
            dict.fromkeys(places, True),
            lambda: plots.cost(places, name, size=plots.SMALL),
        )
    ]


def _text(quality: Series, metric: str) -> list[Picture]:
    curves = {name: quality[name] for name in TEXT if name in quality}
    if len(curves) < 2:
        return []
    spoken = {f"{TEXT[name]} ({name})": points for name, points in curves.items()}
    return [
        _picture(
            "text-adds",
            "What text adds",
            in_words(LEADING[metric], spoken, spoken),
            lambda: plots.text_adds(curves, LEADING[metric]),
            dict.fromkeys(curves, True),
        )
    ]
