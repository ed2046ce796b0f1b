"""What the explanations of many records come to: how much each column matters, and whether reasons hold.

Knows explanations; knows nothing of approaches or tables.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel

from promptpredict.explain import Explanation
from promptpredict.means import Mean, mean_of


class Importance(BaseModel, frozen=True):
    """How much a column matters: ``moves`` is the mean of its absolute effects on the log-odds.

    ``adds`` is the mean of the effects with their signs; both are over the ``n`` records that have a
    value there. None where records were explained by several labels: what adds to one takes from others.
    A text counts as a whole.
    """

    column: str
    name: str
    n: int
    moves: Mean
    adds: Mean | None


class Faithfulness(BaseModel, frozen=True):
    """Whether the reasons are the reasons: what taking out three of them moves, over ``n`` records.

    ``top`` is how far the log-odds move without the three strongest, ``random`` without three drawn at
    random; ``more`` is the mean of the difference, paired, and ``ahead`` the share of records where
    the strongest move more.
    """

    n: int
    top: float
    random: float
    more: Mean
    ahead: float


def importances(explanations: Sequence[Explanation]) -> list[Importance]:
    """Return how much each column matters, the most first."""
    effects: dict[tuple[str, str], list[float]] = {}
    one_label = len({explanation.label for explanation in explanations}) == 1
    for explanation in explanations:
        whole = {each.part.column for each in explanation.reasons if each.part.kind == "text"}
        for reason in explanation.reasons:
            part = reason.part
            if part.kind != "sentence" or part.column not in whole:
                effects.setdefault((part.column, part.name), []).append(reason.effect)
    found = [
        Importance(
            column=column,
            name=name,
            n=len(own),
            moves=mean_of(np.abs(own), least=0.0),
            adds=mean_of(own) if one_label else None,
        )
        for (column, name), own in effects.items()
    ]
    return sorted(found, key=lambda each: -each.moves.mean)


def faithfulness(explanations: Sequence[Explanation]) -> Faithfulness | None:
    """Return whether the strongest reasons move more than any; None where no record has more than three."""
    pairs = [
        (each.top, each.random)
        for each in explanations
        if each.top is not None and each.random is not None
    ]
    if not pairs:
        return None
    top, random = np.array(pairs).T
    return Faithfulness(
        n=len(pairs),
        top=float(top.mean()),
        random=float(random.mean()),
        more=mean_of(top - random),
        ahead=float((top > random).mean()),
    )
