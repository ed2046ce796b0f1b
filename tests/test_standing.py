"""Where a number stands: marks against counting, and what has no place."""

from __future__ import annotations

import pickle
from datetime import date

import numpy as np
import pytest

from promptpredict.records import Record
from promptpredict.standing import learned

WORDS = {
    -10: "in the lowest 10 %",
    -25: "in the lowest quarter",
    -40: "below the middle",
    40: "above the middle",
    25: "in the top quarter",
    10: "in the top 10 %",
}


def records(cells, column="spent"):
    return [Record(row, str(row), {column: cell}) for row, cell in enumerate(cells, 1)]


def slow_words(number, numbers):
    """Return the place of a number by counting all others anew for each share."""
    share = 100 / len(numbers)
    if sum(each == number for each in numbers) * share >= 10:
        return ""
    for most in (10, 25, 40):
        if sum(each <= number for each in numbers) * share <= most:
            return WORDS[-most]
        if sum(each >= number for each in numbers) * share <= most:
            return WORDS[most]
    return "about the middle"


@pytest.mark.parametrize("count", [20, 21, 37, 100, 523])
@pytest.mark.parametrize("kind", ["apart", "counts", "zeros", "negative"])
def test_places_are_those_that_counting_finds(count, kind):
    rng = np.random.default_rng(count)
    numbers = {
        "apart": rng.normal(size=count),
        "counts": np.append(np.arange(20), rng.poisson(12, count - 20)),
        "zeros": np.where(rng.random(count) < 0.3, 0, rng.gamma(2, 300, count).round(2)),
        "negative": -rng.gamma(2, 300, count).round(2),
    }[kind].tolist()
    if len({*numbers}) < 20:
        numbers[:20] = [number / 7 for number in range(20)]
    found = learned(records([*numbers, None, None]))
    new = [min(numbers) - 1, max(numbers) + 1, *(np.array(numbers[:50]) + 0.005).tolist()]
    for number in [*numbers, *new]:
        words = slow_words(number, numbers)
        assert found.behind("spent", number) == (f" ({words})" if words else "")


def test_every_place_occurs():
    found = learned(records(range(100)))
    assert [found.behind("spent", number) for number in (9, 10, 24, 25, 39, 40, 59, 60, 74, 75, 89, 90)] == [
        f" ({words})"
        for words in (
            *("in the lowest 10 %", "in the lowest quarter", "in the lowest quarter"),
            *("below the middle", "below the middle", "about the middle", "about the middle"),
            *("above the middle", "above the middle", "in the top quarter", "in the top quarter"),
            "in the top 10 %",
        )
    ]  # fmt: skip


@pytest.mark.parametrize(
    "cells",
    [
        [*range(19), 18],  # 19 different numbers
        [5] * 40,
        list(range(19)),  # 19 records
        [True, False] * 20,
        [f"B{number}" for number in range(40)],
        [*range(20), *(f"B{number}" for number in range(20))],  # most are no numbers
        [date(2024, 1, 1 + day) for day in range(28)],
        [None] * 40,
    ],
)
def test_such_columns_have_no_places(cells):
    found = learned(records(cells))
    assert (found.records, found.columns) == (len(cells), {})
    assert {found.behind("spent", cell) for cell in cells} == {""}


def test_twenty_numbers_are_enough_and_words_among_them_do_no_harm():
    found = learned(records([*range(20), *["unknown"] * 19]))
    assert found.behind("spent", 19) == " (in the top 10 %)"
    for cell in ("unknown", "19", True, None, date(2024, 1, 1)):
        assert found.behind("spent", cell) == ""
    assert found.behind("another", 19) == ""


def test_missing_values_are_left_out():
    with_gaps = learned(records([*range(30), *[None] * 50, float("nan")]))
    assert with_gaps.columns == learned(records(range(30))).columns


def test_columns_apart_are_not_learned():
    two = [Record(row, str(row), {"id": row, "spent": row}) for row in range(30)]
    assert list(learned(two, {"id", None}).columns) == ["spent"]


def test_labels_and_the_order_of_records_change_nothing():
    plain = records(range(40))
    labelled = [Record(each.row, each.id, each.values, label="1") for each in reversed(plain)]
    assert learned(plain) == learned(labelled)
    assert repr(learned(plain)) == repr(learned(labelled))
    assert pickle.loads(pickle.dumps(learned(plain))) == learned(plain)


def test_few_numbers_of_customers_are_kept():
    numbers = [0] * 300 + list(range(1, 601))
    marks = learned(records(numbers)).columns["spent"]
    assert (len(marks.low), len(marks.high), marks.tied) == (3, 3, (0,))
