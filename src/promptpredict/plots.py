"""Draws: learning curves, ranking, reliability, cost against quality, what text adds.

Knows matplotlib, points and curves; knows nothing of files, pages or captions. Each function
returns a figure without a legend, to be drawn inside ``theme.drawing``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from promptpredict.curves import SIDES, Floats, Point, Ranking, Reliability, needs_no_label
from promptpredict.plans import PRIOR, ZERO_SHOT
from promptpredict.results import base_of
from promptpredict.theme import COLOURS, line, style_of

SMALL = (5.4, 3.9)  # inches of 72 SVG units: 389 wide, so that 11 units stay legible on a phone
WIDE = (11.2, 4.7)
_MUTED = COLOURS["muted"][0]
_MARGIN = 0.02
BANDED = (*SIDES, ZERO_SHOT)  # more bands would hide one another; a table has all intervals
_LIFT_FROM = 0.02  # the best 2 %: of fewer customers, lift is mostly luck
_LIFT_TO = 0.5

Curves = Mapping[str, Sequence[Point]]


def learning(
    curves: Curves, strong: Sequence[str], title: str, *, size: tuple[float, float] = SMALL
) -> Figure:
    """Draw a metric by label budget; the BANDED with their intervals, in wide ones strong ones named.

    Budgets stand at equal steps. An approach that needs no label is a level line.
    """
    budgets = sorted({point.budget for points in curves.values() for point in points})
    steps = {budget: step for step, budget in enumerate(budgets)}
    figure, axes = _figure(size, title)
    ends: dict[str, tuple[float, float]] = {}
    for name in sorted(curves, key=lambda name: (name in strong, name)):
        points, bold = curves[name], name in strong
        xs = [steps[point.budget] for point in points]
        ys = [point.value for point in points]
        if needs_no_label(points):
            line(axes.plot, name, strong=bold, xs=[0, len(budgets) - 1], ys=ys * 2).set_markevery(
                [0]
            )
            ends[name] = (len(budgets) - 1, ys[0])
        else:
            line(axes.plot, name, strong=bold, xs=xs, ys=ys)
            ends[name] = (xs[-1], ys[-1])
        if base_of(name) in BANDED:
            _band(axes, xs, points, style_of(name).hex)
    axes.set_xticks(range(len(budgets)), [f"{budget:,}" for budget in budgets])
    axes.set_xlabel("labels (steps not to scale)")
    _hold(axes, [point for name in curves if name != PRIOR for point in curves[name]])
    if size[0] > SMALL[0]:
        _name_ends(figure, axes, {name: ends[name] for name in strong if name in ends} or ends)
    return figure


def roc(curves: Mapping[str, Ranking]) -> Figure:
    """Draw the share of positives found against the share of negatives taken for them."""
    figure, axes = _figure(SMALL, "Share of positives found")
    axes.plot([0, 1], [0, 1], color=_MUTED, linewidth=0.9, dashes=(1, 3))
    for name, curve in reversed(list(curves.items())):
        _curve(axes, name, curve.misses, curve.found)
    return _unit(figure, axes, "share of negatives taken with them")


def precision_recall(curves: Mapping[str, Ranking]) -> Figure:
    """Draw precision against recall; the dotted line is the share of positives among all."""
    figure, axes = _figure(SMALL, "Precision: positives among those taken")
    for base in {curve.base for curve in curves.values()}:
        axes.axhline(base, color=_MUTED, linewidth=0.9, dashes=(1, 3))
    for name, curve in reversed(list(curves.items())):
        _curve(axes, name, curve.recall, curve.precision)
    return _unit(figure, axes, "recall: share of all positives found")


def reliability(curves: Mapping[str, Reliability]) -> Figure:
    """Draw what came true against what was said, in bins of equal mass with 95 % bars."""
    figure, axes = _figure(SMALL, "Share that came true")
    axes.plot([0, 1], [0, 1], color=_MUTED, linewidth=0.9, dashes=(1, 3))
    for name, curve in reversed(list(curves.items())):
        line(axes.plot, name, strong=True, xs=curve.predicted, ys=curve.observed).set_linewidth(1.4)
        colour = style_of(name).hex
        axes.vlines(curve.predicted, curve.low, curve.high, color=colour, alpha=0.35, linewidth=1.2)
    # Where outcomes are rare all points stand in one corner: show that corner.
    top = max(max(curve.predicted.max(), curve.high.max()) for curve in curves.values())
    return _unit(figure, axes, "probability given", top=min(1.0, float(top)))


def lift(curves: Mapping[str, Ranking], marks: Mapping[str, Mapping[int, Point]]) -> Figure:
    """Draw lift by the share of customers that can be contacted.

    ``marks`` holds, for each approach, the measured lift and its interval at some percentages.
    """
    figure, axes = _figure(SMALL, "Lift: times as many positives as by chance")
    axes.axhline(1, color=_MUTED, linewidth=0.9, dashes=(1, 3))
    shifts = np.linspace(-0.35, 0.35, max(len(curves), 2)) / 100  # bars stand side by side
    for shift, (name, curve) in zip(shifts, reversed(list(curves.items())), strict=False):
        shown = (curve.share >= _LIFT_FROM) & (curve.share <= _LIFT_TO)
        _curve(axes, name, curve.share[shown], curve.lift[shown])
        for percent, point in marks.get(name, {}).items():
            if point.low is not None and point.high is not None:
                x = percent / 100 + shift
                axes.vlines(x, point.low, point.high, color=style_of(name).hex, linewidth=1.6)
    axes.set_xlim(0, _LIFT_TO)
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}".replace("%", " %"))
    axes.set_xlabel("share of customers contacted, best first")
    return figure


def cost(
    places: Mapping[str, tuple[float, float]], title: str, *, size: tuple[float, float] = WIDE
) -> Figure:
    """Draw quality against seconds per 1,000 customers (> 0); the line joins what nothing beats."""
    figure, axes = _figure(size, title)
    axes.set_xscale("log")
    best: list[tuple[float, float]] = []
    for seconds, value in sorted(places.values(), key=lambda place: (place[0], -place[1])):
        if not best or value > best[-1][1]:
            best.append((seconds, value))
    beyond = [(seconds, before) for (seconds, _), (_, before) in zip(best[1:], best, strict=False)]
    corners = sorted([*best, *beyond])
    axes.plot(*zip(*corners, strict=True), color=_MUTED, linewidth=0.8, alpha=0.7, zorder=1)
    for name, (seconds, value) in places.items():
        line(axes.plot, name, strong=True, xs=[seconds], ys=[value])
    axes.xaxis.set_major_formatter(lambda seconds, _: f"{seconds:,g}")
    axes.xaxis.set_minor_formatter(lambda *_: "")
    axes.set_xlabel("seconds per 1,000 customers (logarithmic)")
    axes.margins(x=0.1, y=0.12)
    _name_places(figure, axes, places, corners)
    return figure


def text_adds(curves: Curves, title: str) -> Figure:
    """Draw approaches side by side at each budget, as marks with intervals."""
    budgets = sorted({point.budget for points in curves.values() for point in points})
    figure, axes = _figure(SMALL, title)
    shifts = np.linspace(-0.2, 0.2, max(len(curves), 2))
    for shift, (name, points) in zip(shifts, curves.items(), strict=False):
        xs = [budgets.index(point.budget) + shift for point in points]
        ys = [point.value for point in points]
        line(axes.plot, name, strong=True, xs=xs, ys=ys).set_linestyle("none")
        for x, point in zip(xs, points, strict=True):
            if point.low is not None and point.high is not None:
                axes.vlines(x, point.low, point.high, color=style_of(name).hex, linewidth=1.6)
    axes.set_xticks(range(len(budgets)), [f"{budget:,}" for budget in budgets])
    axes.set_xlim(-0.5, len(budgets) - 0.5)
    axes.set_xlabel("labels (steps not to scale)")
    return figure


# -- the parts ---------------------------------------------------------------------------------


def _figure(size: tuple[float, float], title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=size, layout="constrained", dpi=72)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    # Above the axis, not along it: read without turning the head, and no width lost on a phone.
    axes.set_title(title, loc="left", fontsize=11, color=_MUTED, pad=8)
    axes.locator_params(axis="y", nbins=6)
    return figure, axes


def _curve(axes: Axes, name: str, xs: Floats, ys: Floats) -> None:
    line(axes.plot, name, strong=True, xs=xs, ys=ys).set_markevery((0.06, 0.22))


def _unit(figure: Figure, axes: Axes, label: str, top: float = 1.0) -> Figure:
    room = _MARGIN * top
    axes.set_xlim(-room, top + room)
    axes.set_ylim(-room, top + room)
    axes.set_xlabel(label)
    return figure


def _band(axes: Axes, xs: Sequence[int], points: Sequence[Point], colour: str) -> None:
    """Draw the intervals of an approach: a band, or a bar where it has one budget."""
    known = [
        (x, point.low, point.high)
        for x, point in zip(xs, points, strict=True)
        if point.low is not None and point.high is not None
    ]
    if len(known) > 1:
        across, lows, highs = zip(*known, strict=True)
        axes.fill_between(across, lows, highs, color=colour, alpha=0.12, linewidth=0)
    for x, low, high in known if len(known) == 1 else []:
        axes.vlines(x, low, high, color=colour, linewidth=1.6)


def _hold(axes: Axes, points: Sequence[Point]) -> None:
    """Set the height by what the pictured approaches reach, the prior left aside."""
    ends = [point.value for point in points]
    if ends:
        room = max(0.06 * (max(ends) - min(ends)), 0.01)
        axes.set_ylim(min(ends) - 2 * room, max(ends) + 2 * room)


def _name_ends(figure: Figure, axes: Axes, ends: Mapping[str, tuple[float, float]]) -> None:
    """Write names right of the axes at the height of their lines, moved apart where they meet."""
    from sklearn.isotonic import isotonic_regression

    figure.draw_without_rendering()
    low, high = axes.get_ylim()
    gap = (high - low) * 17 / axes.get_window_extent().height  # a line of text of 11 units
    inside = [name for name in ends if low <= ends[name][1] <= high]  # the prior is mostly below
    names = sorted(inside, key=lambda name: ends[name][1])
    if not names:
        return
    steps = gap * np.arange(len(names))
    # The nearest heights that ascend by a gap at least: isotonic regression, less the steps.
    heights = isotonic_regression([ends[name][1] for name in names] - steps) + steps
    heights -= max(0.0, heights[-1] - high)
    edge = axes.get_xlim()[1]
    for name, height in zip(names, heights, strict=True):
        x, y = ends[name]
        axes.annotate(
            name,
            (1.03, height),
            xycoords=("axes fraction", "data"),
            va="center",
            color=style_of(name).hex,
            annotation_clip=False,
        )
        reach = edge + (edge - axes.get_xlim()[0]) * 0.025
        lead: dict[str, Any] = {"color": _MUTED, "linewidth": 0.6, "alpha": 0.6}
        axes.plot([x, edge, reach], [y, y, height], clip_on=False, **lead)
    axes.set_xlim(right=edge)
    axes.set_ylim(low, high)


_NEAR = 9
_AROUND = (  # where a name may stand from its mark, the best place first
    (9, 0, "left", "center"),
    (-9, 0, "right", "center"),
    (0, 8, "center", "bottom"),
    (0, -8, "center", "top"),
    (7, 7, "left", "bottom"),
    (7, -7, "left", "top"),
    (-7, 7, "right", "bottom"),
    (-7, -7, "right", "top"),
    (10, -20, "left", "top"),
    (-10, -20, "right", "top"),
    (10, 20, "left", "bottom"),
    (-10, 20, "right", "bottom"),
    (0, -36, "center", "top"),
    (0, 30, "center", "bottom"),
)


def _name_places(
    figure: Figure,
    axes: Axes,
    places: Mapping[str, tuple[float, float]],
    corners: Sequence[tuple[float, float]],
) -> None:
    """Write each name beside its mark where no mark, name or line is; else leave it out."""
    figure.draw_without_rendering()
    frame = axes.get_window_extent()
    marks = [axes.transData.transform(place) for place in places.values()]
    taken = [Bbox.from_bounds(x - 5, y - 5, 10, 10) for x, y in marks]
    bends = [axes.transData.transform(corner) for corner in corners]
    taken += [Bbox([start, end]).padded(1) for start, end in pairwise(bends)]
    lead = {"arrowstyle": "-", "linewidth": 0.6, "color": _MUTED, "shrinkA": 1, "shrinkB": 5}
    for name, place in places.items():
        label = axes.annotate(
            name, place, xytext=(0, 0), textcoords="offset points", fontsize=10.5, arrowprops=lead
        )
        label.set_color(style_of(name).hex)
        label.set_in_layout(False)
        if (box := _free(label, taken, frame)) is None:
            label.remove()
            continue
        far = max(map(abs, label.get_position())) > _NEAR
        taken.append(label.get_window_extent() if far else box)
        if label.arrow_patch is not None:  # a name next to its mark needs no line to it
            label.arrow_patch.set_visible(far)


def _free(label: Annotation, taken: Sequence[Bbox], frame: Bbox) -> Bbox | None:
    """Move a label to the first place around its mark that is free, and return its box."""
    for x, y, across, along in _AROUND:
        label.set_position((x, y))
        label.set_horizontalalignment(across)  # type: ignore[arg-type]
        label.set_verticalalignment(along)  # type: ignore[arg-type]
        label.get_window_extent()  # moves it; this extent holds the line to the mark, too
        box = Text.get_window_extent(label)
        inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0
        if inside and box.y1 <= frame.y1 and not any(box.overlaps(other) for other in taken):
            return box
    return None
