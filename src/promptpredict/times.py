"""Cells of a column as times that can be compared, whatever way the column writes them.

Knows cells and row numbers; knows nothing of splits or records. A date is never guessed: a column
in which day and month cannot be told apart is a fault.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from promptpredict.errors import DataError
from promptpredict.values import written


def cell_texts(cells: Sequence[Any], numbers: Sequence[int], what: str) -> list[str]:
    """Return cells as they are written; DataError with the row of the first without a value."""
    texts = []
    for number, cell in zip(numbers, cells, strict=True):
        text = written(cell)
        if text is None:
            raise DataError(f"row {number} has no {what}; possible: a column without gaps")
        texts.append(text.strip())
    return texts


def read_times(cells: Sequence[Any], numbers: Sequence[int]) -> npt.NDArray[Any]:
    """Return times (n,) that can be compared: numbers as they are, dates in UTC.

    Dates are of ISO 8601, or all written in the one way that suits all. Raises DataError with the
    row that has none, that does not read, or that reads in two ways.
    """
    import pandas as pd

    texts = cell_texts(cells, numbers, "time")
    count = pd.to_numeric(pd.Series(texts), errors="coerce").replace([np.inf, -np.inf], np.nan)
    if count.notna().mean() > 0.5:  # also years and 20240301: in the same order as the dates
        _check_read(count.isna().to_numpy(), texts, numbers, "a number, as most others are")
        return count.to_numpy()
    ways = [_dates(texts, form) for form in ("ISO8601", *_formats(texts))]
    read = [way for way in ways if not np.isnat(way).any()]
    if not read:
        nearest = min(ways, key=lambda way: int(np.isnat(way).sum()))
        _check_read(np.isnat(nearest), texts, numbers, "a date, or not as the others do")
    if read[0] is ways[0]:
        return read[0]  # ISO 8601 is never in doubt
    if len(differs := np.flatnonzero(read[0] != read[-1])):
        row = differs[0]
        raise DataError(
            f"row {numbers[row]}: the time '{texts[row]}' may have the day first or the month; "
            "possible: dates as 2024-12-31"
        )
    return read[0]


def _formats(texts: Sequence[str]) -> list[str]:
    """Return how the first date may be meant, with the month first and with the day first."""
    from pandas.tseries.api import guess_datetime_format

    guess: Callable[..., str | None] = guess_datetime_format
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it had to go against dayfirst
        for text in texts:
            ways = [guess(text, dayfirst=first) for first in (False, True)]
            if forms := [way for way in ways if way]:
                return list(dict.fromkeys(forms))
    return []


def _dates(texts: Sequence[str], form: str) -> npt.NDArray[Any]:
    import pandas as pd

    found = pd.to_datetime(pd.Series(texts), format=form, errors="coerce", utc=True)
    return found.dt.tz_localize(None).to_numpy()


def _check_read(
    failed: npt.NDArray[np.bool_], texts: Sequence[str], numbers: Sequence[int], what: str
) -> None:
    if failed.any():
        row = int(failed.argmax())
        raise DataError(
            f"row {numbers[row]}: the time '{texts[row]}' does not read as {what}; "
            "possible: numbers, or dates as 2024-12-31"
        )
