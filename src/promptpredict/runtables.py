"""The tables of a report about a run itself: label mass, attacks, what was cut, which shots were shown.

Knows results and how numbers are written; knows nothing of HTML.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from promptpredict.reporttables import Cell, Part, Table, signed
from promptpredict.results import Attacked, Shown

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
    return Table(caption, ("approach", *_QUANTILES), [Part("", rows)] if rows else [])


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
            [Part("", [line(one) for one in lines])],
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
    return Table(caption, ("approach", "cut"), [Part("", rows)] if rows else [])


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
    return Table(caption, head, [Part("", rows)] if rows else [], words=4, wraps=True)
