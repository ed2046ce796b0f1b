"""The structured columns of records as numbers, for classifiers that read no text.

Knows the values of records; knows nothing of labels or classifiers. Cells are typed one by one, so
a column may hold numbers, dates and words at once: each kind is encoded apart, and is missing
where another stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from promptpredict.prompt import PromptFile
from promptpredict.records import Record
from promptpredict.values import Value, spelling

Floats = npt.NDArray[np.float64]
MOST_CATEGORIES = 40  # skrub's own border between words that are categories and words that are text
LEAST_ROWS = 2  # a category of fewer rows is "rare", as is one that no row had
FEW_NUMBERS = 10  # whole numbers with so few values may be codes: they are categories as well
ROWS_PER_CODE = 20
ROWS_PER_COMPONENT = 20
COMPONENTS = 30
_HUGE = 1e100  # beyond, squares overflow


def shown_columns(prompt_file: PromptFile, columns: Iterable[str]) -> list[str]:
    """Return which columns of a record a prompt shows, in table order, without id and text."""
    texts = prompt_file.front.text
    return [column for column in columns if column not in texts and prompt_file.shows(column)]


def shown_texts(prompt_file: PromptFile) -> list[str]:
    """Return which text columns a prompt shows, in the order in which the file declares them."""
    return [column for column in prompt_file.front.text if column in prompt_file.needed]


class ColumnEncoder:
    """Encodes columns of records: fitted on some rows, it reads any others.

    Numbers and the parts of dates are squashed by robust scales, so that heavy tails have no
    leverage, and have unit variance; missing ones are the median, with a column that says so.
    Words are categories, of which "missing" is one; of more than 40, the letters are read as well.
    What a fit has never seen is rare or missing, never an error.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        """Take the columns to encode; others are never looked at."""
        self.columns = tuple(columns)

    def fit(self, records: Sequence[Record]) -> Self:
        """Take kinds, scales and categories from the values of records, never from labels."""
        self._kinds = {column: _kinds(_values(records, column)) for column in self.columns}
        self._parts = self._fitted(records)
        found = self._encoded(records)
        self._varying = found.std(axis=0) > 1e-9
        return self

    def transform(self, records: Sequence[Record]) -> Floats:
        """Return the features (n, d); d is 1, all zeros, where no column varied in the fit."""
        found = self._encoded(records)[:, self._varying]
        return found if found.shape[1] else np.zeros((len(records), 1))

    def _fitted(self, records: Sequence[Record]) -> list[Callable[[Sequence[Record]], Floats]]:
        """Return functions from records to features (n, ...), one of each kind of column."""
        parts: list[Callable[[Sequence[Record]], Floats]] = []
        numbers, dates = self._of_kind(float), self._of_kind(date)
        if numbers or dates:
            parts.append(_Numbers(numbers, dates).fit(records))
        codes = {column for column in numbers if _is_code(_values(records, column))}
        spelled = [
            _Spelled(column, self._kinds[column], codes=column in codes) for column in self.columns
        ]
        words = [each for each in spelled if each.has_categories]
        if words:
            parts.append(_Categories(words).fit(records))
        for each in words:
            if len({*each(records)}) > MOST_CATEGORIES:
                parts.append(_Letters(each).fit(records))
        return parts

    def _of_kind(self, kind: type) -> list[str]:
        return [column for column in self.columns if kind in self._kinds[column]]

    def _encoded(self, records: Sequence[Record]) -> Floats:
        found = [part(records) for part in self._parts]
        return np.hstack([np.zeros((len(records), 0)), *found])


# ----------------------------------------------------------------------------- kinds of values


def _values(records: Sequence[Record], column: str) -> list[Value]:
    return [record.values.get(column) for record in records]


def _kind(value: Value) -> type:
    if isinstance(value, int | float):  # a bool is an int
        return float
    return date if isinstance(value, date) else str


def _kinds(values: Iterable[Value]) -> set[type]:
    """Return the kinds that a column holds: words alone where these are most of it.

    Among codes such as B12 and C3, a 7 is a code as well; "3 or more" among numbers is a word.
    """
    kinds = [_kind(value) for value in values if value is not None]
    return {str} if 2 * kinds.count(str) > len(kinds) else {*kinds}


def _is_code(values: Sequence[Value]) -> bool:
    """Whether numbers may be codes: few whole ones, with rows enough to tell each."""
    numbers = [float(value) for value in values if isinstance(value, int | float)]
    found = {*numbers}
    whole = all(number.is_integer() for number in found)
    return whole and 2 < len(found) <= FEW_NUMBERS and len(numbers) >= ROWS_PER_CODE * len(found)


def _number(value: Value) -> float:
    return float(value) if isinstance(value, int | float) else np.nan


def _moment(value: Value) -> datetime | None:
    """Return a date as the wall clock where it was written had it."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=None)
    return datetime(value.year, value.month, value.day) if isinstance(value, date) else None


class _Spelled:
    """A column as words: all that it holds, or its words alone where numbers stand apart."""

    def __init__(self, column: str, kinds: set[type], *, codes: bool) -> None:
        self.column = column
        self.has_categories = codes or str in kinds
        self._words_alone = not codes and len(kinds) > 1

    def __call__(self, records: Sequence[Record]) -> list[str]:
        return list(map(self._spelled, _values(records, self.column)))

    def _spelled(self, value: Value) -> str:
        apart = self._words_alone and not isinstance(value, str)
        return "" if value is None or apart else spelling(value)


# ----------------------------------------------------------------------------- their encodings


class _Numbers:
    """Numbers and dates: squashed, of unit variance, the median where missing, and a sign of it."""

    def __init__(self, numbers: Sequence[str], dates: Sequence[str]) -> None:
        from skrub import DatetimeEncoder, SquashingScaler

        self._numbers = numbers
        self._dates = {column: DatetimeEncoder(add_weekday=True) for column in dates}
        self._scaler = SquashingScaler()

    def fit(self, records: Sequence[Record]) -> Self:
        for column, encoder in self._dates.items():
            encoder.fit(_moments(records, column))
        raw = self._raw(records)
        squashed = self._scaler.fit_transform(raw)
        # once for all parts of a date, and for columns that are always missing together
        missing, first = np.unique(np.isnan(raw), axis=1, return_index=True)
        self._missing = first[missing.any(axis=0)]
        filled = np.nan_to_num(squashed)
        spread = filled.std(axis=0)
        self._scale = np.where(spread > 1e-9, spread, 1.0)
        self._mean = filled.mean(axis=0)
        return self

    def __call__(self, records: Sequence[Record]) -> Floats:
        raw = self._raw(records)
        filled: Floats = np.nan_to_num(self._scaler.transform(raw))  # the median is 0
        signs = np.isnan(raw[:, self._missing])
        return np.hstack([(filled - self._mean) / self._scale, signs])

    def _raw(self, records: Sequence[Record]) -> Floats:
        numbers = [list(map(_number, _values(records, column))) for column in self._numbers]
        parts = [
            encoder.transform(_moments(records, column)).to_numpy(float)
            for column, encoder in self._dates.items()
        ]
        table = np.array(numbers, float).reshape(-1, len(records)).T  # (n, numbers)
        raw: Floats = np.clip(np.hstack([table, *parts]), -_HUGE, _HUGE)
        return raw


def _moments(records: Sequence[Record], column: str) -> Any:
    import pandas

    moments = list(map(_moment, _values(records, column)))
    return pandas.Series(moments, name=column, dtype="datetime64[us]")


class _Categories:
    """One column of 0 and 1 for each frequent category, one for all rare and unknown ones."""

    def __init__(self, columns: Sequence[_Spelled]) -> None:
        from sklearn.preprocessing import OneHotEncoder

        self._columns = columns
        self._encoder = OneHotEncoder(
            handle_unknown="infrequent_if_exist",
            min_frequency=LEAST_ROWS,
            max_categories=MOST_CATEGORIES,
            sparse_output=False,
        )

    def fit(self, records: Sequence[Record]) -> Self:
        self._encoder.fit(self._table(records))
        return self

    def __call__(self, records: Sequence[Record]) -> Floats:
        found: Floats = self._encoder.transform(self._table(records))
        return found

    def _table(self, records: Sequence[Record]) -> npt.NDArray[np.object_]:
        columns = [column(records) for column in self._columns]
        return np.array(columns, dtype=object).T  # (n, columns)


class _Letters:
    """What words that are too many to be categories have in common, as a few components.

    All of them together weigh as much as one number.
    """

    def __init__(self, column: _Spelled) -> None:
        self._column = column

    def fit(self, records: Sequence[Record]) -> Self:
        from skrub import StringEncoder

        # with 64 rows, 30 components of surnames would be 30 columns of noise
        components = min(COMPONENTS, max(2, len(records) // ROWS_PER_COMPONENT))
        self._encoder = StringEncoder(n_components=components, random_state=0)
        self._encoder.fit(self._series(records))
        return self

    def __call__(self, records: Sequence[Record]) -> Floats:
        return np.asarray(self._encoder.transform(self._series(records)).to_numpy(float))

    def _series(self, records: Sequence[Record]) -> Any:
        import pandas

        return pandas.Series(self._column(records), name=self._column.column, dtype="str")
