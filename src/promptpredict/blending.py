"""What is made of several outcomes of one draw: the stack, and the choices that its own rows make.

Knows outcomes, one for each fold; knows nothing of estimators, prompts or test labels. A choice is
made in each fold by its own rows: those of another fold may be among its test rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from promptpredict.calibration import Floats, columns_of
from promptpredict.cases import Outcome
from promptpredict.choices import choose
from promptpredict.plans import CHOICES, CHOSEN_WITH, CHOSEN_WITHOUT, STACKED, WITH_LM
from promptpredict.stacking import Stacker

Folds = Sequence[Outcome]
Choose = Callable[[Mapping[str, Floats], Sequence[Any], Sequence[str]], str]
Join = Callable[..., tuple[Floats, Floats]]


def join_classes(
    held_out: Sequence[Floats],
    tested: Sequence[Floats],
    y: Sequence[str],
    labels: Sequence[str],
    groups: Sequence[str] | None,
    seed: int,
) -> tuple[Floats, Floats]:
    """Return the stack's probabilities of test rows (m, k), and of its own rows without them (n, k)."""
    stacker = Stacker().fit(list(held_out), columns_of(y, labels), seed, groups)
    return stacker.predict_proba(list(tested)), stacker.held_out_


def stacked(
    said: Mapping[str, Folds],
    y: Sequence[Any],
    labels: Sequence[str],
    groups: Sequence[str] | None = None,
    *,
    join: Join = join_classes,
) -> list[Outcome] | None:
    """Return the stack of the approaches it takes; None where fewer than two of them ran.

    ``y`` are the labels of all records, ``groups`` their groups.
    """
    members = {name: said[name] for name in STACKED if name in said}
    if len(members) < 2:
        return None
    folds = zip(*members.values(), strict=True)
    return [
        _stacked(dict(zip(members, fold, strict=True)), y, labels, groups, join) for fold in folds
    ]


def _stacked(
    members: Mapping[str, Outcome],
    y: Sequence[Any],
    labels: Sequence[str],
    groups: Sequence[str] | None,
    join: Join,
) -> Outcome:
    draw = next(iter(members.values())).draw
    start = time.perf_counter()
    truth = [y[row] for row in draw.rows]
    own = None if groups is None else [groups[row] for row in draw.rows]
    held_out = [each.held_out for each in members.values()]
    tested = [each.probabilities for each in members.values()]
    probabilities, unseen = join(held_out, tested, truth, labels, own, draw.seed)
    seconds = time.perf_counter() - start
    # Zero-shot and probe read the same prompts, so one reading serves both.
    by_lm = [each.seconds for name, each in members.items() if name in WITH_LM]
    seconds += max(by_lm, default=0.0)
    seconds += sum(each.seconds for name, each in members.items() if name not in WITH_LM)
    tokens = max(each.tokens for each in members.values())
    return Outcome(draw, probabilities, unseen, unseen, seconds, tokens)


def choices(
    said: Mapping[str, Folds], y: Sequence[Any], labels: Sequence[str], *, choose: Choose = choose
) -> dict[str, list[Outcome]]:
    """Return the choices between approaches; none where one side has no approach."""
    found = {}
    for name, among in CHOICES.items():
        side = {each: said[each] for each in among if each in said}
        if side:
            found[name] = [
                replace(each, chosen=best) for best, each in best_of(side, y, labels, choose=choose)
            ]
    both = {CHOSEN_WITH, CHOSEN_WITHOUT} <= found.keys()
    return found if both else {}


def best_of(
    said: Mapping[str, Folds], y: Sequence[Any], labels: Sequence[str], *, choose: Choose = choose
) -> list[tuple[str, Outcome]]:
    """Return for each fold what gave its draw's own rows the best probabilities, unseen, by name."""
    found = []
    for fold in zip(*said.values(), strict=True):
        outcomes = dict(zip(said, fold, strict=True))
        judged = {name: each.judged for name, each in outcomes.items()}
        best = choose(judged, [y[row] for row in fold[0].draw.rows], labels)
        found.append((best, outcomes[best]))
    return found
