"""The tables of a report as plain cells: figures, differences, meanings, settings.

Knows results and how numbers are written; knows nothing of HTML.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from promptpredict.curves import Point, point_of
from promptpredict.glossary import meanings
from promptpredict.perlabel import BALANCED, is_of_label
from promptpredict.results import Crossover, Difference, Row
from promptpredict.results import signed as plain

# metric: (head, form, whether more is better; None where neither is)
FIGURES: dict[str, tuple[str, str, bool | None]] = {
    "roc_auc": ("ROC AUC", ".3f", True),
    "pr_auc": ("PR AUC", ".3f", True),
    "brier": ("Brier", ".3f", False),
    "log_loss": ("log loss", ".3f", False),
    "ece": ("ECE", ".3f", False),
    "accuracy": ("accuracy", ".3f", True),
    "balanced_accuracy": ("balanced accuracy", ".3f", True),
    "f1": ("F1", ".3f", True),
    "spearman": ("Spearman", ".3f", True),
    "gini": ("Gini", ".3f", True),
    "mae": ("MAE", ",.4g", False),
    "rmse": ("RMSE", ",.4g", False),
    "pinball": ("pinball loss", ",.4g", False),
    "coverage": ("coverage of 80 %", ".3f", None),
    "width": ("width of 80 %", ",.4g", False),
    "threshold": ("threshold", ".2f", None),
    "lift_5": ("lift at 5 %", ".2f", True),
    "lift_10": ("lift at 10 %", ".2f", True),
    "lift_20": ("lift at 20 %", ".2f", True),
    "precision_5": ("precision at 5 %", ".2f", True),
    "precision_10": ("precision at 10 %", ".2f", True),
    "precision_20": ("precision at 20 %", ".2f", True),
    "value_5": ("value at 5 %", ",.0f", True),
    "value_10": ("value at 10 %", ",.0f", True),
    "value_20": ("value at 20 %", ",.0f", True),
    "value_best": ("value at best", ",.0f", True),
    "seconds_per_1000": ("seconds per 1,000", ",.3g", None),
    "tokens_per_1000": ("tokens per 1,000", ",.0f", None),
}
QUALITY = (
    *("roc_auc", "pr_auc", "brier", "log_loss", "ece", "accuracy", BALANCED, "f1"),
    *("spearman", "gini", "mae", "rmse", "pinball", "coverage", "width"),
)


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in a cell, what stands small below it, and what kind of news it is."""

    text: str
    under: str = ""
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """Some rows of a table under a name of their own, which may be empty."""

    name: str
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True, slots=True)
class Table:
    """A caption, the heads of the columns, and rows in parts; no part where there is nothing."""

    caption: str
    head: Sequence[str]
    parts: Sequence[Section]
    words: int = 1  # how many columns, from the first, hold words and not numbers
    wraps: bool = False


def figure_tables(rows: Sequence[Row]) -> dict[int, list[Table]]:
    """Return two tables of each budget, of quality and of decisions and cost.

    They hold means over the seeds, with intervals below them. The best approach by each metric is
    marked; metrics that no row has are left out, and so is a table of none.
    """
    groups: dict[int, dict[str, list[Row]]] = {}
    for row in rows:
        groups.setdefault(row.budget, {}).setdefault(row.approach, []).append(row)
    have = {
        name
        for row in rows
        for name, value in row.metrics.items()
        if value.value is not None and not is_of_label(name, row.metrics)
    }
    metrics = [name for name in FIGURES if name in have]
    seeds = len({row.seed for row in rows})
    mean = "mean over the seeds" if seeds > 1 else "one seed"
    kinds = {
        f"Quality: {mean}, below it the 95 % interval, the best in bold": [
            name for name in metrics if name in QUALITY
        ],
        f"Decisions and cost: {mean}": [name for name in metrics if name not in QUALITY],
    }
    return {
        budget: [
            _figure_table(caption, groups[budget], names)
            for caption, names in kinds.items()
            if names
        ]
        for budget in sorted(groups)
    }


def _figure_table(
    caption: str, groups: Mapping[str, Sequence[Row]], metrics: Sequence[str]
) -> Table:
    points = {
        approach: {name: point_of(group, name) for name in metrics}
        for approach, group in groups.items()
    }
    best = {name: _best(name, [own[name] for own in points.values()]) for name in metrics}
    lines = [
        [
            Cell(approach, _chosen(groups[approach])),
            *(_figure(name, own[name], best[name]) for name in metrics),
        ]
        for approach, own in points.items()
    ]
    return Table(
        caption, ["approach", *(FIGURES[name][0] for name in metrics)], [Section("", lines)]
    )


def labels_of(budget: int) -> str:
    """Return a budget in words: ``no labels``, ``1 label``, ``1,000 labels``."""
    return "no labels" if budget == 0 else f"{budget:,} label" + ("s" if budget > 1 else "")


def _best(name: str, points: Sequence[Point | None]) -> float | None:
    more = FIGURES[name][2]
    known = [point.value for point in points if point is not None]
    if more is None or len(known) < 2:
        return None
    return max(known) if more else min(known)


def _figure(name: str, point: Point | None, best: float | None) -> Cell:
    if point is None:
        return Cell("–")
    under = ""
    if point.low is not None and point.high is not None:
        dash = "–" if point.low >= 0 else " to "
        under = f"{_written(name, point.low)}{dash}{_written(name, point.high)}"
    return Cell(_written(name, point.value), under, "best" if point.value == best else "")


def figure_cell(name: str, point: Point | None) -> Cell:
    """Return a share as a figure with its interval below, written as ``name`` or with 3 digits."""
    return _figure(name if name in FIGURES else "accuracy", point, None)


def _written(name: str, value: float) -> str:
    text = f"{value:{FIGURES[name][1]}}"
    nothing = not any(digit in text for digit in "123456789")
    return (text.removeprefix("-") if nothing else text).replace("-", "−")


def _chosen(rows: Sequence[Row]) -> str:
    """Return what the seeds chose, the most frequent first: ``probe × 2, few-shot``."""
    counts = Counter(name for row in rows if row.chosen for name in row.members)
    return ", ".join(
        f"{name} × {count}" if count > 1 else name for name, count in counts.most_common()
    )


def difference_table(caption: str, differences: Sequence[Difference], rows: Sequence[Row]) -> Table:
    """Return differences by budget: what against what, by how much, and the verdict's word.

    Intervals are about test rows; in how many draws of the labels an approach was ahead tells
    how much hangs on the draw.
    """
    groups: dict[int, list[Sequence[Cell]]] = {}
    for one in sorted(differences, key=lambda one: one.budget):
        verdict = one.verdict if one.verdict in ("better", "worse") else ""
        groups.setdefault(one.budget, []).append(
            [
                Cell(one.approach, f"against {one.against}"),
                Cell(one.verdict, kind=verdict),
                Cell(signed(one.value), named(one.metric)),
                Cell("{} of {}".format(*draws_ahead(one, rows))),
                Cell(f"{signed(one.low)} to {signed(one.high)}"),
                Cell(f"{signed(one.holm_low)} to {signed(one.holm_high)}"),
                Cell("< 0.001" if one.p < 0.001 else f"{one.p:.3f}"),
            ]
        )
    head = (
        "approach", "verdict", "difference", "ahead in draws", "95 % interval",
        "corrected interval", "p",
    )  # fmt: skip
    parts = [Section(f"With {labels_of(budget)}", lines) for budget, lines in groups.items()]
    return Table(caption, head, parts, words=2)


def draws_ahead(one: Difference, rows: Sequence[Row]) -> tuple[int, int]:
    """Return in how many draws of the labels an approach is ahead, and of how many."""
    known = {
        (row.approach, row.seed): row.metrics[one.metric].value
        for row in rows
        if row.budget == one.budget and one.metric in row.metrics
    }
    pairs = [
        (value, known.get((one.against, seed)))
        for (name, seed), value in known.items()
        if name == one.approach
    ]
    gaps = [own - other for own, other in pairs if own is not None and other is not None]
    return sum(gap > 0 for gap in gaps), len(gaps)


def crossover_table(caption: str, crossovers: Sequence[Crossover]) -> Table:
    """Return from how many labels on each approach, a row, is as good as each other, a column."""
    head = list(dict.fromkeys(one.against for one in crossovers))
    found = {(one.approach, one.against): one.budget for one in crossovers}

    def cell(approach: str, against: str) -> Cell:
        if (approach, against) not in found:
            return Cell("")
        budget = found[approach, against]
        return Cell("not shown") if budget is None else Cell(f"{budget:,}", kind="best")

    rows = [
        [Cell(approach), *(cell(approach, against) for against in head)]
        for approach in dict.fromkeys(one.approach for one in crossovers)
    ]
    return Table(caption, ["as good as", *head], [Section("", rows)] if rows else [])


def signed(value: float) -> str:
    """Return a difference with its sign, a true minus: ``+0.120``, ``−0.041``."""
    return plain(value).replace("-", "−")


def named(metric: str) -> str:
    """Return a metric's name in words."""
    return FIGURES[metric][0] if metric in FIGURES else metric.replace("_", " ")


def meanings_table(
    approaches: Iterable[str], *, several: bool = False, amounts: bool = False
) -> Table:
    """Return what each approach of a report is, and each figure; ``several`` labels have more."""
    found = meanings(approaches, several=several, amounts=amounts)
    rows = [[Cell(name), Cell(text)] for name, text in found.items()]
    caption = "Approaches and figures, each in a sentence"
    return Table(caption, ("name", "is"), [Section("", rows)], words=2, wraps=True)


def pairs_table(caption: str, pairs: Mapping[str, Any]) -> Table:
    """Return names and values; lists become words, counts get their commas."""
    rows = [[Cell(name.replace("_", " ")), Cell(_said(value))] for name, value in pairs.items()]
    return Table(
        caption, ("name", "value"), [Section("", rows)] if rows else [], words=2, wraps=True
    )


def _said(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_said, value)) or "–"
    if isinstance(value, dict):
        apart = "; " if any(isinstance(one, list | tuple) for one in value.values()) else ", "
        return apart.join(f"{name}: {_said(one)}" for name, one in value.items()) or "–"
    return str(value) or "–"
