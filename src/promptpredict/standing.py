"""Where a number stands among customers: marks of columns, learned from records, and words.

Knows the values of records; knows nothing of labels, prompt files or how a number is written.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from promptpredict.records import Record

LEAST_RECORDS = 20  # of which places are learned: of fewer, a tenth is one customer
LEAST_VALUES = 20  # different numbers of a column; counts and codes have fewer, and say enough
MOST_TIED = 10  # per cent of a column's numbers: what so many have, or more, has no place
SHARES = (10, 25, 40)  # per cent
LOW = ("in the lowest 10 %", "in the lowest quarter", "below the middle")
HIGH = ("in the top 10 %", "in the top quarter", "above the middle")
MIDDLE = "about the middle"


@dataclass(frozen=True, slots=True)
class Marks:
    """What tells the place of a number in a column.

    A number below ``low[i]`` is one that at most ``SHARES[i]`` per cent of the records reach or
    stay below; above ``high[i]`` at most as many reach it. ``tied`` are those of too many records.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    tied: tuple[float, ...]

    def words(self, number: float) -> str:
        """Return the place of a number in words; empty for one that many records share."""
        if number in self.tied:
            return ""
        for low, high, lowest, top in zip(self.low, self.high, LOW, HIGH, strict=True):
            if number < low:
                return lowest
            if number > high:
                return top
        return MIDDLE


@dataclass(frozen=True, slots=True)
class Standing:
    """The marks of columns, by name; ``records`` is how many they were learned from."""

    records: int
    columns: Mapping[str, Marks]

    def behind(self, column: str, value: Any) -> str:
        """Return what stands behind a value: a space and its place in brackets, or nothing."""
        marks = self.columns.get(column)
        words = marks.words(value) if marks and _is_number(value) else ""
        return f" ({words})" if words else ""


def learned(records: Sequence[Record], apart: Collection[str | None] = ()) -> Standing:
    """Return the marks of the columns of records, but those ``apart``; labels are not looked at.

    A column has marks where most of what is not missing are numbers, and 20 of them differ. There
    are none of fewer than 20 records.
    """
    columns: dict[str, Marks] = {}
    if len(records) >= LEAST_RECORDS:
        for column in sorted(
            {name for record in records for name in record.values}.difference(apart)
        ):
            cells = [record.values.get(column) for record in records]
            known = [cell for cell in cells if cell is not None]
            numbers = sorted(cell for cell in known if _is_number(cell))
            if len({*numbers}) >= LEAST_VALUES and 2 * len(numbers) > len(known):
                columns[column] = _marks(numbers)
    return Standing(len(records), columns)


def _marks(numbers: Sequence[float]) -> Marks:
    """Return the marks of numbers (n,), ascending."""
    count = len(numbers)
    at = [count * share // 100 for share in SHARES]  # so many may stand below, or above
    tied = [
        number for number, times in Counter(numbers).items() if 100 * times >= MOST_TIED * count
    ]
    return Marks(
        tuple(numbers[place] for place in at),
        tuple(numbers[count - 1 - place] for place in at),
        tuple(tied),
    )


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
