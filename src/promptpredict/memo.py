"""A language model that remembers: each prompt is read once, whoever asks.

Knows prompts and scores; knows nothing of approaches. It lives as long as a run, in memory.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from promptpredict.prompt import Prompt
from promptpredict.scores import Labels, LanguageModel, Scores


class Memo:
    """Wraps a language model; ``score`` asks it only for prompts that are new.

    ``cost`` are the seconds that all prompts asked for would have taken, remembered ones too:
    what an approach costs by itself. ``waited`` are the seconds really spent.
    """

    def __init__(self, lm: LanguageModel) -> None:
        """Wrap a language model; nothing is known yet."""
        self.lm = lm
        self.name = lm.name
        self.cost = 0.0
        self.waited = 0.0
        # digest of prompt and labels → the scores it is in, its row there, its share of seconds
        self._known: dict[bytes, tuple[Scores, int, float]] = {}

    def __sklearn_clone__(self) -> Memo:
        """Return itself: a grid of parameters shares what is known."""
        return self

    def score(
        self,
        prompts: Sequence[Prompt],
        labels: Labels,
        *,
        progress: Callable[[int], object] | None = None,
    ) -> Scores:
        """Return the scores of prompts in order, reading those that are new.

        ``tokens`` counts what was read for this call.
        """
        if not prompts:
            return self.lm.score([], labels, progress=progress)
        keys = [_digest(prompt, labels) for prompt in prompts]
        new = {
            key: prompt for key, prompt in zip(keys, prompts, strict=True) if key not in self._known
        }
        if progress:
            progress(len(prompts) - len(new))
        tokens = self._read(new, labels, progress) if new else 0
        found = [self._known[key] for key in keys]
        self.cost += sum(spent for _, _, spent in found)

        def stacked(name: str) -> Any:
            return np.stack([getattr(scores, name)[row] for scores, row, _ in found])

        return Scores(
            logprobs=stacked("logprobs"),
            mass=stacked("mass"),
            hidden=stacked("hidden"),
            truncated=stacked("truncated"),
            faults={
                index: scores.faults[row]
                for index, (scores, row, _) in enumerate(found)
                if row in scores.faults
            },
            tokens=tokens,
        )

    def _read(
        self,
        new: dict[bytes, Prompt],
        labels: Labels,
        progress: Callable[[int], object] | None,
    ) -> int:
        """Score prompts and remember them; return the tokens read."""
        start = time.perf_counter()
        scores = self.lm.score(list(new.values()), labels, progress=progress)
        spent = time.perf_counter() - start
        self.waited += spent
        for row, key in enumerate(new):
            self._known[key] = (scores, row, spent / len(new))
        return scores.tokens


def _digest(prompt: Prompt, labels: Labels) -> bytes:
    """Return a key of 32 bytes: a thousand prompts with 16 shots each would take megabytes."""
    return hashlib.sha256(repr((prompt, labels)).encode("utf-8", "surrogatepass")).digest()
