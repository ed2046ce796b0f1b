"""One cell: how it is typed, compared as a label, and shown in a prompt.

Knows nothing of tables, prompt files or models. Typing goes cell by cell, never by column, so
that a value reads the same whatever stands in the rows around it or in which chunk it arrives,
and the same from every file format.
"""

from __future__ import annotations

import math
import re
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from promptpredict.errors import DataError

Value = str | int | float | bool | date | datetime | None

# Spellings that pandas, R, SQL and spreadsheets leave behind for "nothing here".
# Compared as written: "none" in lower case is a category ("other debtors: none"), "None" is Python's.
_MISSING = {"", "nan", "NaN", "NAN", "None", "NaT", "<NA>", "null", "NULL", "NA", "N/A", "n/a", "#N/A", "inf", "-inf"}  # fmt: skip
_TRUE = {"True", "true", "TRUE"}
_FALSE = {"False", "false", "FALSE"}
# '007' and '+1' are codes, not numbers, and so is what is too long for 64 bits
_INT = re.compile(r"-?(0|[1-9]\d{0,17})", re.ASCII)
_LONG = 10**18
_EXACT = 2**53  # a float below it has all digits of its whole number
_FLOAT = re.compile(r"-?(0|[1-9]\d*)(\.\d+|(\.\d+)?[eE][+-]\d\d\d?)", re.ASCII)
_ZEROS = re.compile(r"(-?(?:0|[1-9]\d*)\.\d*[1-9])0+", re.ASCII)
_WHOLE = re.compile(r"(-?(0|[1-9]\d*))\.0+", re.ASCII)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?")


def parse(cell: str) -> Value:
    """Type the text of one cell: bool, int, float, date, datetime, str, None where missing."""
    text = cell.strip()
    if text in _MISSING:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text) and math.isfinite(float(text)):
        return _number(float(text))
    if _DATE.fullmatch(text):
        return _date(text)
    return text


def typed(value: Any) -> Value:
    """Type a value from JSON, Parquet, pandas or numpy; its text as ``parse`` does.

    Raises DataError for a nested value.
    """
    value = _plain(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return parse(value)
    if isinstance(value, datetime):
        # pandas.NaT is a datetime that differs from itself
        return None if value != value else _moment(value)
    if isinstance(value, date):
        return value
    if isinstance(value, int):
        return value if abs(value) < _LONG else str(value)
    if isinstance(value, Decimal):
        return _decimal(value)
    if isinstance(value, float):
        return _number(value)
    text = str(value)
    return None if text in _MISSING else text


def written(value: Any) -> str | None:
    """Return a cell as it is written, ``'007'`` as ``'007'``, or None where it is missing.

    Raises DataError for a nested value.
    """
    value = _plain(value)
    if isinstance(value, Decimal) and value.is_finite() and value != value.to_integral_value():
        return f"{value:f}"  # all of its digits, which a float may not have
    if not isinstance(value, str):
        value = typed(value)
    return None if value is None or str(value).strip() in _MISSING else str(value)


def spelling(value: Any) -> str:
    """Return the one spelling under which label values are compared.

    ``1``, ``1.0``, ``"1"``, ``True`` and ``"true"`` are spellings of one value (``"1"``), so are
    ``0.5`` and ``"0.50"``; every other text is compared as written, without surrounding space.
    """
    text = str(value).strip()
    if text in _TRUE:
        return "1"
    if text in _FALSE:
        return "0"
    if whole := _WHOLE.fullmatch(text):
        return str(int(whole[1]))
    if number := _ZEROS.fullmatch(text):
        return number[1]
    return text


def show(value: Value, *, format: str = "", unit: str = "", rounded: bool = False) -> str:
    """Return a value, which is not missing, as a prompt shows it.

    ``rounded`` is for numbers that have no ``format``: three significant digits, thousands apart.
    A whole number without a unit stays: it may be a year or a code. Raises DataError if
    ``format`` (Python's format language) does not suit the value.
    """
    if format:
        text = _formatted(value, format)
    elif rounded and (isinstance(value, float) or (unit and type(value) is int)):
        text = _rounded(value)
    elif isinstance(value, float):
        text = f"{value:.15g}"
    elif isinstance(value, datetime):
        text = value.isoformat(sep=" ", timespec="minutes")
    else:
        text = str(value)
    return f"{text} {unit}" if unit else text


def _rounded(value: float) -> str:
    short = float(f"{value:.3g}") + 0.0  # which has no sign where it is 0
    return f"{short:,.0f}" if 1000 <= abs(short) < 1e15 else f"{short:.15g}"


def _formatted(value: Value, format: str) -> str:
    try:
        # a date takes any format for text to print: '.2f' would come out as '.2f'
        if isinstance(value, date) and "%" not in format:
            raise ValueError("a date needs '%', such as '%d %B %Y'")
        return value.__format__(format)
    except (ValueError, TypeError) as error:
        raise DataError(
            f"the format '{format}' does not suit the value '{value}' ({error})"
        ) from None


def _plain(value: Any) -> Any:
    """Take a value out of numpy's types; bytes, as old Parquet files hold them, are text."""
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    if getattr(value, "ndim", 0) or isinstance(value, list | tuple | dict | set):
        raise DataError(f"a nested value ({type(value).__name__})")
    if kind == "f":
        return float(str(value))  # 29.85 as float32 must not become 29.850000381
    if kind in ("M", "m"):
        return value.astype(f"{kind}8[us]").item()  # of nanoseconds item() makes an int
    if kind:
        value = value.item()
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise DataError("bytes that are not utf-8 text") from None
    return value


def _number(value: float) -> int | float | None:
    """An int written 12.0 is an int; a number that is none is missing."""
    if not math.isfinite(value):
        return None
    return int(value) if value.is_integer() and abs(value) < _EXACT else value


def _decimal(value: Decimal) -> Value:
    """A whole one has all of its digits: databases keep ids in decimals."""
    if not value.is_finite():
        return None
    if value != value.to_integral_value():
        return float(value)
    whole = int(value)
    return whole if abs(whole) < _LONG else str(whole)


def _date(text: str) -> Value:
    try:
        return _moment(datetime.fromisoformat(text))
    except ValueError:  # 2024-02-31: not a date, so it stays what was written
        return text


def _moment(value: datetime) -> date | datetime:
    midnight = (value.hour, value.minute, value.second, value.microsecond) == (0, 0, 0, 0)
    if midnight and value.tzinfo is None:
        return value.date()
    return datetime.combine(value.date(), value.timetz())  # a pandas.Timestamp becomes plain
