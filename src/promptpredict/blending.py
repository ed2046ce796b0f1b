"""What is made of several outcomes of one draw: the stack, and the choices that its own rows make.

Knows outcomes; knows nothing of estimators, prompts or test labels.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from promptpredict.cases import Draw, Outcome
from promptpredict.choices import choose, class_numbers
from promptpredict.plans import CHOICES, STACKED, WITH_LM
from promptpredict.stacking import Stacker


def stacked(
    draw: Draw, said: Mapping[str, Outcome], y: Sequence[str], labels: Sequence[str]
) -> Outcome | None:
    """Return the stack of the approaches it takes; None where fewer than two of them ran.

    ``y`` are the labels of the draw's rows.
    """
    members = {name: said[name] for name in STACKED if name in said}
    if len(members) < 2:
        return None
    start = time.perf_counter()
    held_out = [each.held_out for each in members.values()]
    stacker = Stacker().fit(held_out, class_numbers(y, labels), draw.seed)
    probabilities = stacker.predict_proba([each.probabilities for each in members.values()])
    seconds = time.perf_counter() - start
    # Zero-shot and probe read the same prompts, so one reading serves both.
    by_lm = [each.seconds for name, each in members.items() if name in WITH_LM]
    seconds += max(by_lm, default=0.0)
    seconds += sum(each.seconds for name, each in members.items() if name not in WITH_LM)
    tokens = max(each.tokens for each in members.values())
    return Outcome(draw, probabilities, stacker.held_out_, seconds, tokens)


def choices(
    said: Mapping[str, Outcome], y: Sequence[str], labels: Sequence[str]
) -> dict[str, Outcome]:
    """Return the choices between approaches; none where one side has no approach."""
    found = {}
    for name, among in CHOICES.items():
        sides = {each: said[each] for each in among if each in said}
        if sides:
            best = best_of(sides, y, labels)
            found[name] = replace(said[best], chosen=best)
    both = {"chosen-with-lm", "chosen-without-lm"} <= found.keys()
    return found if both else {}


def best_of(said: Mapping[str, Outcome], y: Sequence[str], labels: Sequence[str]) -> str:
    """Return which outcome gave the draw's own rows the best probabilities, unseen."""
    return choose({name: each.held_out for name, each in said.items()}, y, labels)
