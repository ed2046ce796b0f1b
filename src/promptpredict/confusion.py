"""The tables of a task with several labels: what was taken for what, and each label's own figures.

Knows results and predictions; knows nothing of HTML. A row of the table of predictions is predicted
to have its most probable label, as in the figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from promptpredict.curves import first_of, point_of
from promptpredict.perlabel import OF_LABEL
from promptpredict.plans import CHOSEN_WITH, CHOSEN_WITHOUT, ZERO_SHOT
from promptpredict.reporttables import FIGURES, Cell, Section, Table, figure_cell, labels_of
from promptpredict.results import Row, base_of

if TYPE_CHECKING:
    from pandas import DataFrame

_SHOWN = (CHOSEN_WITH, CHOSEN_WITHOUT, ZERO_SHOT)
_HEADS = {"precision": "precision", "recall": "recall"} | {
    figure: FIGURES[figure][0] for figure in ("roc_auc", "f1")
}
Counts = npt.NDArray[np.float64]


def labels_in(predictions: DataFrame) -> list[str]:
    """Return the label keys of a table of predictions, in the prompt file's order."""
    columns = [str(column) for column in predictions.columns]
    return [column.removeprefix("p_") for column in columns if column.startswith("p_")]


def confused(predictions: DataFrame, approach: str, budget: int) -> Counts:
    """Return how many rows of each label (k,) were predicted to have each (k,), means over seeds."""
    labels = labels_in(predictions)
    wanted = (predictions["approach"] == approach) & (predictions["budget"] == budget)
    rows = predictions[wanted]
    said = rows[[f"p_{label}" for label in labels]].to_numpy(np.float64).argmax(axis=1)
    places = {label: place for place, label in enumerate(labels)}
    truth = np.array([places[str(label)] for label in rows["label"]], dtype=np.intp)
    counts = np.zeros((len(labels), len(labels)))
    np.add.at(counts, (truth, said), 1)
    return counts / max(1, rows["seed"].nunique())


def confusion_table(rows: Sequence[Row], predictions: DataFrame) -> Table:
    """Return the confusion of the choices and of zero-shot; of no part where there is none."""
    labels = labels_in(predictions)
    parts = [
        Section(
            f"{approach}, {labels_of(budget)}",
            _confusion_rows(labels, confused(predictions, approach, budget)),
        )
        for approach, budget in _shown(rows)
    ]
    means = " (means over the seeds)" if len({row.seed for row in rows}) > 1 else ""
    caption = (
        f"What was taken for what: rows of each label by the label predicted{means}, and their "
        "share of the label; rightly predicted in bold"
    )
    return Table(caption, ["label", *(f"as {label}" for label in labels), "rows"], parts)


def label_table(rows: Sequence[Row], predictions: DataFrame) -> Table:
    """Return each label's figures by the same approaches, with intervals."""
    parts = []
    for approach, budget in _shown(rows):
        own = [row for row in rows if row.approach == approach and row.budget == budget]
        lines = [
            [
                Cell(label),
                *(figure_cell(name, point_of(own, f"{name}_{label}")) for name in OF_LABEL),
            ]
            for label in labels_in(predictions)
        ]
        parts.append(Section(f"{approach}, {labels_of(budget)}", lines))
    caption = "Each label against the rest, below each figure its 95 % interval"
    return Table(caption, ["label", *(_HEADS[name] for name in OF_LABEL)], parts)


def _confusion_rows(labels: Sequence[str], counts: Counts) -> list[list[Cell]]:
    lines = []
    for place, label in enumerate(labels):
        total = counts[place].sum()
        cells = [
            Cell(
                _count(count),
                f"{count / total:.0%}".replace("%", " %") if total else "",
                "best" if other == place else "",
            )
            for other, count in enumerate(counts[place])
        ]
        lines.append([Cell(label), *cells, Cell(_count(total))])
    return lines


def _count(count: float) -> str:
    """Return a count with its commas; a mean over seeds that is none with a decimal."""
    return f"{count:,.0f}" if abs(count - round(count)) < 1e-9 else f"{count:,.1f}"


def _shown(rows: Sequence[Row]) -> list[tuple[str, int]]:
    """Return approaches and their largest budget; zero-shot without a label besides."""
    budgets: dict[str, set[int]] = {}
    for row in rows:
        budgets.setdefault(row.approach, set()).add(row.budget)
    found: list[tuple[str, int]] = []
    for approach in first_of(budgets):
        if base_of(approach) in _SHOWN:
            found.append((approach, max(budgets[approach])))
            if 0 in budgets[approach] and max(budgets[approach]):
                found.append((approach, 0))
    return found
