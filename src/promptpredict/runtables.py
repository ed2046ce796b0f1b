"""The tables of a report about a run itself: label mass, attacks, what was cut, shots, cost of a cascade.

Knows results and how numbers are written; knows nothing of HTML.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from promptpredict.curves import Point, point_of
from promptpredict.reporttables import FIGURES, Cell, Section, Table, figure_cell, labels_of, signed
from promptpredict.results import Attacked, Share, Shown

_PRICED = ("roc_auc", "log_loss", "tokens_per_1000", "seconds_per_1000")
_QUANTILES = ("least", "5 %", "25 %", "median", "75 %", "95 %", "most")


def mass_table(mass: Mapping[str, Sequence[float]]) -> Table:
    """Return the quantiles of the label mass of each approach that has it."""
    rows = [
        [Cell(approach), *(Cell(f"{value:.{2 if value >= 0.1 else 4}f}") for value in quantiles)]
        for approach, quantiles in mass.items()
    ]
    caption = (
        "Label mass: how much of its probability the model gives to the label words, in the draw "
        "where that is least. A low one by itself is no fault: a good question may have many answers"
    )
    return Table(caption, ("approach", *_QUANTILES), [Section("", rows)] if rows else [])


def attack_tables(attacks: Mapping[str, Sequence[Attacked]]) -> list[Table]:
    """Return how far hostile texts move each language model."""
    head = ("in the customer's text", "kind", "customers", "median", "most", "turned")

    def line(one: Attacked) -> list[Cell]:
        moved = ["–" if value is None else signed(value) for value in (one.median, one.most)]
        turned = "–" if one.turned is None else f"{100 * one.turned:.0f} %"
        texts = [one.attack, one.kind, f"{one.customers:,}", *moved, turned]
        return [Cell(text) for text in texts]

    return [
        Table(
            f"{model}: how far the log-odds move to the label that an attack aims at, the least "
            "likely one, and for how many customers it becomes the most likely. Of their own text, "
            "left out, without the sign: what --guard compares with its bound",
            head,
            [Section("", [line(one) for one in lines])],
            words=2,
        )
        for model, lines in attacks.items()
    ]


def truncation_table(truncated: Mapping[str, int]) -> Table:
    """Return how many prompts or texts of each approach were cut."""
    rows = [[Cell(approach), Cell(f"{count:,}")] for approach, count in truncated.items()]
    caption = (
        "Truncation: prompts or texts that were too long and lost shots or words, in the draw "
        "where they are most"
    )
    return Table(caption, ("approach", "cut"), [Section("", rows)] if rows else [])


def shots_table(shown: Sequence[Shown]) -> Table:
    """Return which rows of the table were shown with which labels."""
    rows = [
        [
            Cell(one.approach),
            Cell(f"{one.budget:,}"),
            Cell(str(one.seed)),
            Cell(", ".join(f"row {row} → {label}" for row, label in one.shots)),
        ]
        for one in shown
    ]
    caption = f"The shots of {len(rows)} draws, in the order shown"
    head = ("approach", "labels", "seed", "shots")
    return Table(caption, head, [Section("", rows)] if rows else [], words=4, wraps=True)


def share_table(shares: Sequence[Share]) -> Table:
    """Return what a cascade is worth, and costs, at each share of customers that it asks for."""
    groups: dict[tuple[int, str, float], list[Share]] = {}
    for one in shares:
        groups.setdefault((one.budget, one.approach, one.share), []).append(one)
    parts: dict[tuple[int, str], list[list[Cell]]] = {}
    for (budget, approach, share), rows in groups.items():
        asked = sum(one.asked for one in rows) / len(rows)
        cells = [figure_cell(name, point_of(rows, name)) for name in _PRICED]
        line = [
            Cell(f"{100 * share:.0f} %"),
            Cell(f"{100 * asked:.0f} %"),
            _gain(point_of(rows, "gain")),
            *cells,
        ]
        parts.setdefault((budget, approach), []).append(line)
    caption = (
        "A cascade that asks the language model for a share of the customers: what it is worth and "
        "what it costs. A share is one of customers like the labelled ones, asked are test rows; gain "
        "is ROC AUC above that of asking nobody, on the same test rows"
    )
    head = ("share", "asked", "gain", *(FIGURES[name][0] for name in _PRICED))
    named = {approach for _, approach in parts}
    of = {name: f"{name}, " if len(named) > 1 else "" for name in named}
    return Table(
        caption,
        head,
        [
            Section(f"{of[name]}with {labels_of(budget)}", rows)
            for (budget, name), rows in parts.items()
        ],
    )


def _gain(point: Point | None) -> Cell:
    if point is None:
        return Cell("–")
    under = ""
    if point.low is not None and point.high is not None:
        under = f"{signed(point.low)} to {signed(point.high)}"
    return Cell(signed(point.value), under)
