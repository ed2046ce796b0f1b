"""One cell: typing, spelling, showing."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from promptpredict.errors import DataError
from promptpredict.values import parse, show, spelling, typed, written

NOON = datetime(2024, 1, 31, 12, 5)


def same(found, expected):
    return found == expected and type(found) is type(expected)


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("12", 12),
        (" 12 ", 12),
        ("-3", -3),
        ("0", 0),
        ("12.0", 12),
        ("29.850", 29.85),
        ("1e-05", 1e-05),
        ("2.5E+20", 2.5e20),
        ("True", True),
        ("FALSE", False),
        ("2024-01-31", date(2024, 1, 31)),
        ("2024-01-31 00:00:00", date(2024, 1, 31)),
        ("2024-01-31T12:05", NOON),
        ("2024-01-31 12:05:00Z", NOON.replace(tzinfo=UTC)),
        ("two  words ", "two  words"),
    ],
)
def test_a_cell_is_typed_by_how_it_is_written(cell, value):
    assert same(parse(cell), value)


@pytest.mark.parametrize(
    "cell",
    [
        *("007", "+1", "1,5", ".5", "12E3", "1e+999", "1_000", "1٣"),
        *("1234567890123456789", "2024-02-31", "31.01.2024", "2024-01-31 25:00", "none", "yes"),
    ],
)
def test_what_may_be_a_code_stays_text(cell):
    assert same(parse(cell), cell)


@pytest.mark.parametrize("cell", ["", " ", "\u00a0", "nan", "NaT", "<NA>", "None", "NULL", "#N/A"])
def test_missing_spellings_are_missing_in_every_reading(cell):
    assert [parse(cell), typed(cell), written(cell)] == [None, None, None]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (float("nan"), None),
        (float("-inf"), None),
        (pd.NA, None),
        (pd.NaT, None),
        (np.datetime64("NaT", "ns"), None),
        (Decimal("NaN"), None),
        (12.0, 12),
        (123456.0, 123456),
        (1e300, 1e300),
        (10**18, "1000000000000000000"),
        (Decimal("12.50"), 12.5),
        (Decimal("Infinity"), None),
        (Decimal("123456789012345678"), 123456789012345678),
        (Decimal("1234567890123456789"), "1234567890123456789"),
        (1234567890123456.0, 1234567890123456),
        (float(2**53), float(2**53)),
        (np.float32(29.85), 29.85),
        (np.float16(0.1), 0.1),
        (np.int8(7), 7),
        (np.True_, True),
        (np.str_("7"), 7),
        (np.datetime64("2024-01-31T12:05", "ns"), NOON),
        (np.datetime64("2024-01-31", "D"), date(2024, 1, 31)),
        (np.timedelta64(90, "s"), "0:01:30"),
        (timedelta(seconds=90), "0:01:30"),
        (pd.Timestamp("2024-01-31 12:05"), NOON),
        (pd.Timestamp("2024-01-31"), date(2024, 1, 31)),
        (date(2024, 1, 31), date(2024, 1, 31)),
        (b"2024-01-31", date(2024, 1, 31)),
        ("29.850", 29.85),
    ],
)
def test_a_typed_value_becomes_what_its_text_would_have_become(value, expected):
    assert same(typed(value), expected)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([1], "a nested value (list)"),
        ({"a": 1}, "a nested value (dict)"),
        (np.array([1, 2]), "a nested value (ndarray)"),
        (b"\xff\xfe", "bytes that are not utf-8 text"),
    ],
)
@pytest.mark.parametrize("read", [typed, written])
def test_what_is_not_one_value_is_an_error(read, value, text):
    with pytest.raises(DataError) as error:
        read(value)
    assert str(error.value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("007", "007"),
        (" a ", " a "),
        (7, "7"),
        (7.0, "7"),
        (Decimal("1234567890123456789"), "1234567890123456789"),
        (Decimal("1234567890123456790"), "1234567890123456790"),
        (Decimal("7.00"), "7"),
        (Decimal("12.10"), "12.10"),
        (Decimal("12345678901234567.89"), "12345678901234567.89"),
        (Decimal("1E-7"), "0.0000001"),
        (Decimal("NaN"), None),
        (1234567890123456.0, "1234567890123456"),
        (np.float32(0.1), "0.1"),
        (datetime(2024, 1, 31, 12, 5, 9), "2024-01-31 12:05:09"),
        (b"007", "007"),
        (np.nan, None),
    ],
)
def test_ids_and_text_stay_as_written(value, text):
    assert written(value) == text


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("1", [1, 1.0, "1", " 1 ", "1.00", True, "true", "TRUE", np.int64(1), np.True_]),
        ("0", [0, 0.0, -0.0, "0", False, "False", np.float32(0)]),
        ("-2", [-2, "-2.0"]),
        ("1.5", [1.5, "1.5", np.float64(1.5)]),
        ("007", ["007"]),
        ("007.0", ["007.0"]),
        ("0.5", [0.5, "0.5", "0.50", " 0.500 "]),
        ("-2.25", [-2.25, "-2.250"]),
        ("1.0.50", ["1.0.50"]),
        ("00.50", ["00.50"]),
        ("Yes", ["Yes", " Yes"]),
        ("yes", ["yes"]),
    ],
)
def test_labels_have_one_spelling(key, values):
    assert {spelling(value) for value in values} == {key}


@pytest.mark.parametrize(
    ("value", "how", "text"),
    [
        (0.1 + 0.2, {}, "0.3"),
        (12, {"unit": "USD"}, "12 USD"),
        (1234.5, {"format": ",.2f", "unit": "USD"}, "1,234.50 USD"),
        (True, {}, "True"),
        (date(2024, 1, 31), {}, "2024-01-31"),
        (datetime(2024, 1, 31, 12, 5, 9), {}, "2024-01-31 12:05"),
        (NOON, {"format": "%d.%m.%Y"}, "31.01.2024"),
    ],
)
def test_a_value_is_shown(value, how, text):
    assert show(value, **how) == text


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        (
            "many",
            ".2f",
            "the format '.2f' does not suit the value 'many' "
            "(Unknown format code 'f' for object of type 'str')",
        ),
        (
            date(2024, 1, 31),
            ".2f",
            "the format '.2f' does not suit the value '2024-01-31' "
            "(a date needs '%', such as '%d %B %Y')",
        ),
    ],
)
def test_a_format_that_does_not_suit_the_value_is_an_error(value, form, text):
    with pytest.raises(DataError) as error:
        show(value, format=form)
    assert str(error.value) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1234.5, "", "1,230"),
        (1234.5, "USD", "1,230 USD"),
        (-1234.5, "EUR", "-1,230 EUR"),
        (999.6, "", "1,000"),
        (29.85, "%", "29.9 %"),
        (12.04, "", "12"),
        (12.0, "", "12"),
        (0.0123456, "", "0.0123"),
        (-0.0, "", "0"),
        (0.00001234, "", "1.23e-05"),
        (123456789.5, "", "123,000,000"),
        (2.54321e20, "", "2.54e+20"),
        (1169, "DM", "1,170 DM"),
        (24, "months", "24 months"),
        (1200, "USD", "1,200 USD"),
        # without a unit they may be years, codes or counts
        (1984, "", "1984"),
        (94105, "", "94105"),
        (True, "USD", "True USD"),
        ("1234.5", "USD", "1234.5 USD"),
        (date(2024, 1, 31), "", "2024-01-31"),
    ],
)
def test_rounded_numbers_have_three_digits(value, unit, text):
    assert show(value, unit=unit, rounded=True) == text


@pytest.mark.parametrize(("value", "format"), [(0.1234, ".1%"), (1234.5, ".2f"), (1169, "05d")])
def test_a_format_goes_before_rounding(value, format):
    assert show(value, format=format, rounded=True) == show(value, format=format)
