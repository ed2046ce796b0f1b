"""Times: numbers and dates in any one way of writing them, and none that is guessed."""

from __future__ import annotations

from datetime import date, datetime

import numpy as np
import pandas as pd
import pytest

from promptpredict.errors import DataError
from promptpredict.times import read_times


def read(*cells):
    return read_times(cells, range(1, len(cells) + 1))


@pytest.mark.parametrize(
    "cells",
    [
        ("2024-01-31", "2024-02-01", "2024-12-01"),
        ("2024-01-31T23:00Z", "2024-02-01 00:30:00+01:00", "2024-02-01"),  # no zone: UTC
        ("31/01/2024", "01/02/2024", "01/12/2024"),
        ("01/31/2024", "02/01/2024", "12/01/2024"),
        ("31.1.2024 23:00", "1.2.2024 01:00", "1.2.2024 02:00"),
        ("2024/01/31", "2024/02/01", "2024/12/01"),
        ("2024/01/05", "2024/02/01", "2024/12/01"),
        ("31 Jan 2024", "1 Feb 2024", "1 Dec 2024"),
        (date(2024, 1, 31), datetime(2024, 2, 1, 1), pd.Timestamp("2024-12-01")),
        ("9.5", "10", "10.5"),
        (9, 10.5, np.int64(11)),
        ("20240131", "20240201", "20241201"),
        ("1999", "2000", "2024"),
        (1700000000000000001, 1700000000000000002, 1700000000000000003),
    ],
)
def test_times_are_in_their_order(cells):
    first, second, third = read(*cells)
    assert first < second < third


def test_the_day_that_can_be_no_month_decides_for_the_whole_column():
    assert read("01/02/2024", "25/02/2024")[0] == np.datetime64("2024-02-01")
    assert read("01/02/2024", "02/25/2024")[0] == np.datetime64("2024-01-02")


def test_equal_times_are_equal_however_they_are_written():
    one, other = read("2024-03-01T10:00Z", "2024-03-01 12:00+02:00")
    assert one == other


UNREAD = (
    "does not read as a date, or not as the others do; possible: numbers, or dates as 2024-12-31"
)


@pytest.mark.parametrize(
    ("cells", "text"),
    [
        (("2024-01-01", " "), "row 2 has no time; possible: a column without gaps"),
        (("2024-01-01", float("nan")), "row 2 has no time; possible: a column without gaps"),
        (("2024-01-01", "2024-02-31"), f"row 2: the time '2024-02-31' {UNREAD}"),
        (("soon", "2024-01-01", "2024-01-02"), f"row 1: the time 'soon' {UNREAD}"),
        (("may", "june"), f"row 1: the time 'may' {UNREAD}"),
        (("01.02.24", "25.02.24"), f"row 1: the time '01.02.24' {UNREAD}"),
        (("25/02/2024", "02/25/2024"), f"row 2: the time '02/25/2024' {UNREAD}"),
        ((True, False), f"row 1: the time 'True' {UNREAD}"),
        (
            ("2023", "2024", "n/k"),
            "row 3: the time 'n/k' does not read as a number, as most others are; possible: "
            "numbers, or dates as 2024-12-31",
        ),
        (
            ("1", "infinity", "2"),
            "row 2: the time 'infinity' does not read as a number, as most others are; possible: "
            "numbers, or dates as 2024-12-31",
        ),
        (
            ("05/05/2024", "01/02/2024", "03/02/2024"),
            "row 2: the time '01/02/2024' may have the day first or the month; possible: dates as "
            "2024-12-31",
        ),
    ],
)
def test_what_does_not_read_or_reads_in_two_ways_is_a_fault(cells, text):
    with pytest.raises(DataError) as error:
        read(*cells)
    assert str(error.value) == text
