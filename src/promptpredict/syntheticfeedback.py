"""Feedback of synthetic customers: sentences about topics, of a mood.

Knows sentences (data/synthetic.yaml) and how people are careless; knows nothing of tables or prompts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Random = np.random.Generator


@dataclass(frozen=True)
class Manner:
    """How a table's customers write: shares of those who write nothing, of typing errors, of carelessness."""

    silent: float
    slips: float
    lower: float
    longest: int  # sentences
    clear: float  # how much mood decides what is said

    @classmethod
    def draw(cls, rng: Random) -> Manner:
        """Draw one."""
        return cls(
            silent=float(rng.choice([0.0, 0.0, 0.05, 0.3])),
            slips=float(rng.choice([0.0, 0.0, 0.02, 0.06])),
            lower=float(rng.choice([0.0, 0.2, 1.0])),
            longest=int(rng.integers(1, 9)),
            clear=float(rng.uniform(1.0, 4.0)),
        )


def feedback(
    rng: Random, words: Mapping[str, Any], topics: Sequence[str], moods: Floats, themes: Floats
) -> list[str | None]:
    """Return what customers write (n), or None, by their ``moods`` (n,): high is bad.

    Where ``themes`` (n,) is above 0 the first topic is spoken of, else others are.
    """
    manner = Manner.draw(rng)
    return [
        _text(rng, words, topics, float(mood), theme > 0, manner)
        for mood, theme in zip(moods, themes, strict=True)
    ]


def _text(
    rng: Random,
    words: Mapping[str, Any],
    topics: Sequence[str],
    mood: float,
    theme: bool,  # noqa: FBT001
    manner: Manner,
) -> str | None:
    if rng.random() < manner.silent:
        return None
    rest = topics[1:] or topics
    count = int(rng.integers(1, manner.longest + 1))
    spoken = [rest[at] for at in rng.integers(0, len(rest), count)]
    if theme:
        spoken[int(rng.integers(count))] = topics[0]
    said = []
    if rng.random() < 0.25:
        said.append(_one(rng, words["openings"][_tone(rng, mood, manner)]))
    for topic in spoken:
        sentence = _one(rng, words["topics"][topic][_tone(rng, mood, manner)])
        sentence = _one(rng, words["strengths"]) + sentence
        said.append(sentence[0].upper() + sentence[1:] + _one(rng, (".", ".", ".", "!", "...", "")))
    if rng.random() < 0.2:
        said.append(_one(rng, words["closings"][_tone(rng, mood, manner)]))
    text = " ".join(said)
    text = text.lower() if rng.random() < manner.lower else text
    return _slipped(rng, text, manner.slips)


def _tone(rng: Random, mood: float, manner: Manner) -> str:
    """Return of what kind the next sentence is."""
    if rng.random() < 0.15:
        return "plain"
    return "bad" if rng.random() < 1 / (1 + np.exp(-manner.clear * mood)) else "good"


def _slipped(rng: Random, text: str, share: float) -> str:
    """Return a text of which some letters are left out, doubled or swapped with the next."""
    if not share:
        return text
    signs = list(text)
    for at in np.flatnonzero(rng.random(len(signs)) < share):
        if not signs[at].isalpha():
            continue
        how = rng.integers(3)
        if how == 0:
            signs[at] = ""
        elif how == 1:
            signs[at] *= 2
        elif at + 1 < len(signs):
            signs[at], signs[at + 1] = signs[at + 1], signs[at]
    return "".join(signs)


def _one(rng: Random, of: Sequence[str]) -> str:
    return of[int(rng.integers(len(of)))]
