"""What a language model is given of one record: a prompt, its shots, the bins of a regression.

Knows texts; knows nothing of templates, tables or tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from promptpredict.records import Record


@dataclass(frozen=True, slots=True)
class Turn:
    """A shot as it is shown; ``reply`` is answer, joiner and the label's first word."""

    user: str
    reply: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model is given: ``user`` is customer and question, ``answer`` is to be continued.

    ``n_shots`` and ``n_words`` (of feedback) are what it can lose where it is too long.
    """

    system: str
    shots: tuple[Turn, ...]
    user: str
    answer: str
    n_shots: int = 0
    n_words: int = 0
    shorter: Callable[[int, int], Prompt] | None = field(default=None, compare=False, repr=False)

    def shrink(self, shots: int, words: int) -> Prompt:
        """Return it without its first ``shots`` shots and its first ``words`` words of feedback."""
        return self if self.shorter is None else self.shorter(shots, words)


@dataclass(frozen=True, slots=True)
class Bin:
    """One of the ordered answers of a regression, for targets from ``low`` up to ``high``."""

    word: str
    low: float
    high: float
    formatted: str


@dataclass(frozen=True, slots=True, eq=False)
class Same:
    """A record as a key: itself, whatever its content."""

    record: Record

    def __hash__(self) -> int:
        """Return where it is."""
        return id(self.record)

    def __eq__(self, other: object) -> bool:
        """Whether it is the same object."""
        return isinstance(other, Same) and other.record is self.record
