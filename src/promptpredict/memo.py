"""A language model that remembers: each prompt is read once, whoever asks.

Knows prompts and scores; knows nothing of approaches. It lives as long as a run, in memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from promptpredict.lm import LanguageModel, Labels, Scores
from promptpredict.prompt import Prompt


class Memo:
    """Wraps a language model; ``score`` asks it only for prompts that are new.

    ``cost`` are the seconds that all prompts asked for would have taken, remembered ones too:
    what an approach costs by itself. ``waited`` are the seconds really spent.
    """

    def __init__(self, lm: LanguageModel) -> None:
        self.lm = lm
        self.name = lm.name
        self.cost = 0.0
        self.waited = 0.0
        self._known: dict[Any, tuple[Scores, int, float]] = {}

    def __sklearn_clone__(self) -> Memo:
        """Return itself: a clone of an estimator shares what is known."""
        return self

    def score(
        self, prompts: Sequence[Prompt], labels: Labels, *, progress: Callable[[int], object] | None = None
    ) -> Scores:
        """Return the scores of prompts in order, reading those that are new."""
        words = repr(labels)
        keys = [(prompt, words) for prompt in prompts]
        new = list(dict.fromkeys(key for key in keys if key not in self._known))
        start = time.perf_counter()
        if new or not keys:
            scores = self.lm.score([prompt for prompt, _ in new], labels, progress=progress)
            if not keys:
                return scores
            spent = time.perf_counter() - start
            self.waited += spent
            self._known |= {key: (scores, index, spent / len(new)) for index, key in enumerate(new)}
        found = [self._known[key] for key in keys]
        self.cost += sum(spent for _, _, spent in found)

        def stacked(name: str) -> Any:
            return np.stack([getattr(scores, name)[index] for scores, index, _ in found])

        return Scores(
            *map(stacked, ("logprobs", "mass", "hidden", "truncated")),
            faults={at: scores.faults[index] for at, (scores, index, _) in enumerate(found) if index in scores.faults},
            tokens=0,
        )
