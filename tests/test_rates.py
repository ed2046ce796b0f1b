"""Base rates: as they are written on the command line, and whether they fit the labels."""

from __future__ import annotations

import pytest

from promptpredict.errors import DataError
from promptpredict.rates import checked_rate, read_rate, said_rate, shares_of

LABELS = ["b", "c", "a"]
RATE = {"a": 0.2, "b": 0.7, "c": 0.1}


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("0.12", 0.12),
        (" .5", 0.5),
        ("a=0.5,b=0.3,c=0.2", {"a": 0.5, "b": 0.3, "c": 0.2}),
        (" a = 0.5 , b c =0.3,x=y=0.2", {"a": 0.5, "b c": 0.3, "x=y": 0.2}),
    ],
)
def test_a_rate_is_a_number_or_shares_by_label(text, rate):
    assert read_rate(text) == rate


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("x", "'x' is not a valid float."),
        ("12", "12 does not lie between 0 and 1"),
        ("nan", "nan does not lie between 0 and 1"),
        ("a=0.5,b", "'b' is no label with its share; possible: a=0.5,b=0.5"),
        ("=0.5,b=.5", "'=0.5' is no label with its share; possible: a=0.5,b=0.5"),
        ("a=0.5,b=half", "'b=half' is not a valid float."),
        ("a=0.5,b=0", "0 does not lie between 0 and 1"),
        ("a=0.5,a=0.5", "the label 'a' stands twice"),
    ],
)
def test_a_slip_is_one_line(text, fault):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        read_rate(text)
    assert str(error.value) == fault


def test_shares_stand_in_the_order_of_the_labels_under_their_keys():
    found = checked_rate({True: 0.5, "2.0": 0.3, "c": 0.2}, ["c", "2", "1"], what="base_rate")
    assert found == {"c": 0.2, "2": 0.3, "1": 0.5}
    assert list(found) == ["c", "2", "1"]
    assert checked_rate(0.1, ["1", "0"], what="base_rate") == 0.1


@pytest.mark.parametrize(
    ("rate", "labels", "fault"),
    [
        (0.1, LABELS, "R is one number, and p has 3 labels; possible: a share for each of b, c, a"),
        (
            {"a": 0.5, "b": 0.5}, ["a", "b"],
            "R is a share for each label, and p has two labels; possible: one number, the share of "
            "the positive one",
        ),
        ({"a": 0.5, "b": 0.5}, LABELS, "R has no share for 'c'; possible: a share for each of b, c, a"),
        (RATE | {"d": 0.1}, LABELS, "R names 'd', which is no label; possible: b, c, a"),
        (
            {"lost": 0.5, "kept": 0.3, "wonn": 0.2}, ["lost", "kept", "won"],
            "R names 'wonn' (nearest: 'won'), which is no label; possible: lost, kept, won",
        ),
        (RATE | {"c": 0.2}, LABELS, "R sums to 1.1; the shares of all labels sum to 1"),
        (RATE | {"c": 0.099}, LABELS, "R sums to 0.999; the shares of all labels sum to 1"),
        (RATE | {"c": 0.0}, LABELS, "R of 'c' must lie between 0 and 1, got 0"),
        (RATE | {"c": float("nan")}, LABELS, "R of 'c' must lie between 0 and 1, got nan"),
        (
            {"1": 0.5, "1.0": 0.2, "2": 0.3}, ["1", "2", "3"],
            "R names '1' and '1.0', which are spellings of one label",
        ),
    ],
)  # fmt: skip
def test_a_rate_that_does_not_fit_the_labels_is_one_line(rate, labels, fault):
    with pytest.raises(DataError) as error:
        checked_rate(rate, labels, what="R", there="p has")
    assert str(error.value) == fault


def test_a_third_each_is_close_enough():
    checked_rate(dict.fromkeys(LABELS, 1 / 3), LABELS, what="R")
    checked_rate(dict.fromkeys(LABELS, 0.3333333), LABELS, what="R")


def test_shares_and_words_of_a_rate():
    assert shares_of(RATE, LABELS, None) == [0.7, 0.1, 0.2]
    assert shares_of(0.1, ["0", "1"], "1") == [0.9, 0.1]
    assert (said_rate(0.125), said_rate(RATE)) == ("0.125", "a 0.2, b 0.7, c 0.1")
