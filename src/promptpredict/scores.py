"""What a language model is asked and what it answers: label words in, log-probabilities out.

Knows the shapes; knows nothing of tokens or weights and does not import torch, so that anything
with ``score`` can stand in for a language model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from promptpredict.rendered import Prompt

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Labels:
    """What prompts are scored on: the words of each label, and the joiner where one is given."""

    words: Mapping[str, Sequence[str]]
    join: str | None = None

    def __post_init__(self) -> None:
        """Refuse a text where a list of words is meant: its letters would be scored."""
        for label, words in self.words.items():
            if isinstance(words, str):
                raise TypeError(f"the words of '{label}' are the text '{words}', not a list")


@dataclass(frozen=True, slots=True)
class Scores:
    """What a language model says of n prompts and k labels; rows in the order of the prompts.

    ``logprobs`` (n, k) are log P(label words | prompt), not normalised over the labels; ``mass``
    (n,) is their sum as probabilities; ``hidden`` (n, 2d) is the last layer's state at the answer
    position, and beside it the mean of its states over the customer's turn, up to there;
    ``truncated`` (n,) whether a prompt lost shots or feedback to fit. A prompt that
    could not be scored has NaN in its row and its reason in ``faults``. ``tokens`` were read in
    all; ``read`` (n, 2) are the tokens that a prompt takes by itself behind what all share, and
    its part of those read together with others about the same customer. ``by_set`` (n, sets, k)
    are the log-probabilities behind each of several sets of shots, of which ``logprobs`` are the mean.
    """

    logprobs: Array
    mass: Array
    hidden: Array
    truncated: npt.NDArray[np.bool_]
    faults: dict[int, str]
    tokens: int
    read: Array | None = None
    by_set: Array | None = None

    @classmethod
    def joined(cls, parts: Sequence[Scores]) -> Scores:
        """Return the scores of consecutive blocks as one; faults count from the first one's start."""
        return cls(
            logprobs=np.concatenate([part.logprobs for part in parts]),
            mass=np.concatenate([part.mass for part in parts]),
            hidden=np.concatenate([part.hidden for part in parts]),
            truncated=np.concatenate([part.truncated for part in parts]),
            faults={index: fault for part in parts for index, fault in part.faults.items()},
            tokens=sum(part.tokens for part in parts),
            read=np.concatenate([part.read for part in parts if part.read is not None]),
        )


class Journal(Protocol):
    """What is kept of prompts while others are still read; rows are indices among those asked for."""

    def holds(self, rows: Sequence[int]) -> bool:
        """Whether all of these rows were kept before, and need not be read."""

    def keep(self, rows: Sequence[int], scores: Scores) -> None:
        """Keep the scores of rows, in the order of ``rows``."""


class LanguageModel(Protocol):
    """Anything that scores label words.

    One that has ``journals = True`` takes a ``journal`` as well, and gives it each batch as it is
    read; what the journal held stays NaN in the scores.
    """

    name: str

    def score(
        self,
        prompts: Sequence[Prompt],
        labels: Labels | Sequence[Labels],
        *,
        progress: Callable[[int], object] | None = None,
    ) -> Scores:
        """Return the label log-probabilities of every prompt.

        ``labels`` are the same for all, or one for each prompt, as many labels in each: side
        questions about one customer, that stand behind one another, are then read in one go.
        """


def each_labels(labels: Labels | Sequence[Labels], prompts: int) -> list[Labels]:
    """Return the labels of each prompt; ValueError where they do not fit."""
    every = [labels] * prompts if isinstance(labels, Labels) else list(labels)
    if len(every) != prompts or len({len(each.words) for each in every}) > 1:
        raise ValueError(
            f"labels for {len(every)} of {prompts} prompts, or not as many for each of them"
        )
    return every
