"""The faults a user can mend, each shown as one line.

* PromptPredictError
  + PromptError   a prompt file: its front matter, its blocks, its columns
  + DataError     a table: its columns, its rows, its labels
    - UnscoredError  records that a language model cannot score
  + ModelError    a language model or sentence encoder: missing, unfit, too small

Every text says what was found, where, and what is possible. Our own mistakes are ordinary
Python exceptions and show a traceback. This module knows nothing of the command line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches

_LISTED = 12  # columns of a table that are named


class PromptPredictError(ValueError):
    """A fault in the user's prompt file, data or model choice."""


class PromptError(PromptPredictError):
    """A prompt file that cannot be used as it stands."""


class DataError(PromptPredictError):
    """A table, or a row of it, that cannot be used as it stands."""


class ModelError(PromptPredictError):
    """A language model or sentence encoder that cannot serve."""


def nearest(name: str, possible: Iterable[str]) -> str:
    """Return ``" (nearest: 'x')"`` for a likely misspelling, else the empty string."""
    names = list(possible)
    folded = {candidate.casefold(): candidate for candidate in reversed(names)}
    match = get_close_matches(name.casefold(), folded, n=1, cutoff=0.6)
    return f" (nearest: '{folded[match[0]]}')" if match else ""


def nearest_column(name: str, columns: Sequence[str]) -> str:
    """Return the column of a table that ``nearest`` finds, else the first ones of those there are."""
    more = f" and {len(columns) - _LISTED:,} more" if len(columns) > _LISTED else ""
    return nearest(name, columns) or f"; it has {', '.join(columns[:_LISTED])}{more}"


class UnscoredError(DataError):
    """Records that a language model cannot score: ``faults`` by their rows in the table."""

    def __init__(self, faults: Mapping[int, str]) -> None:
        """Say the first of them."""
        row, reason = min(faults.items())
        super().__init__(f"row {row} could not be scored: {reason}")
        self.faults = dict(faults)
