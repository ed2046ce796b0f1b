"""Where bins lie: quantiles that rise, with zero apart, whatever the amounts."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from promptpredict.binning import amount_of, amounts_of, binned, quantile_edges
from promptpredict.errors import DataError
from promptpredict.prompt import PromptFile
from test_prompt import REGRESSION

NO_EDGES = REGRESSION.replace(", edges: [0, 10, 1e3, 2500.5]", "")


def test_edges_are_quantiles_in_three_digits():
    y = np.arange(1, 1001) * 12.3456
    assert quantile_edges(y, 4) == [12.3, 3100.0, 6180.0, 9260.0, 12400.0]


@pytest.mark.parametrize(("level", "spread", "count"), [(1234, 4, 3), (5003, 3, 2), (1e6, 0.5, 5)])
def test_as_many_lie_in_each_where_amounts_hardly_differ(level, spread, count):
    y = np.random.default_rng(0).normal(level, spread, 2000)
    edges = quantile_edges(y, count)
    shares = np.histogram(y, edges)[0] / len(y)
    np.testing.assert_allclose(shares, 1 / count, atol=0.05)
    assert edges == [float(f"{edge:.9g}") for edge in edges]


def test_zero_is_a_bin_of_its_own_where_it_is_many():
    y = np.array([0.0] * 30 + list(range(10, 80)))
    edges = quantile_edges(y, 3)
    assert edges == [0.0, 5.0, 44.5, 79.0]
    assert quantile_edges(np.array([0.0] + [5.0, 6.0, 7.0] * 10), 3)[0] == 0.0


def test_no_edge_is_a_zero_below_zero():
    assert [str(edge) for edge in quantile_edges([-0.0, 1.0, 4.0], 2)] == ["0.0", "1.0", "4.0"]


@given(
    st.lists(st.floats(-1e9, 1e9, allow_nan=False), min_size=2, max_size=40),
    st.integers(2, 7),
)
@example([0.0, 5e-324], 2)  # the least number above zero
def test_edges_rise_and_hold_every_amount(values, count):
    y = np.array(values)
    if len(np.unique(y)) < 2:
        return
    edges = quantile_edges(y, count)
    assert len(edges) == count + 1
    assert all(low < high for low, high in pairwise(edges))
    assert edges[0] <= y.min()
    assert edges[-1] >= y.max()


@pytest.mark.parametrize(("y", "found"), [([3.0, 3.0], "only 3"), ([], "none")])
def test_amounts_that_do_not_differ(y, found):
    with pytest.raises(DataError) as caught:
        quantile_edges(y, 3)
    assert str(caught.value) == f"bins need amounts that differ, found {found}"


def test_an_amount_that_is_no_number():
    assert amounts_of(["1", 2.5, "3e2"]).tolist() == [1, 2.5, 300]
    for value in ("much", None, "nan", np.inf):
        with pytest.raises(DataError) as caught:
            amounts_of([1, value])
        assert str(caught.value) == f"row 2 of y holds '{value}', which is not a number"


def test_a_file_keeps_its_own_edges():
    own, none = PromptFile.from_text(REGRESSION), PromptFile.from_text(NO_EDGES)
    y = np.arange(100.0)
    assert binned(own, y) is own
    found = binned(none, y)
    assert found.front.bins.edges == quantile_edges(y, 3)
    assert none.front.bins.edges is None
    assert found.fingerprint != none.fingerprint


@pytest.mark.parametrize(("text", "expected"), [("12.5", 12.5), ("-1e30", -1e30), (" 7 ", 7.0)])
def test_an_amount_is_read(text, expected):
    assert amount_of(text) == expected


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("1_000", "'1_000', which is not a number"),
        ("$3", "'$3', which is not a number"),
        ("nan", "'nan', which is not a number"),
        ("-inf", "'-inf', which is not a number"),
        ("1e31", "'1e31'; amounts lie between -1e+30 and 1e+30"),
    ],
)
def test_a_text_that_is_no_amount_is_told(text, fault):
    with pytest.raises(DataError) as caught:
        amount_of(text)
    assert str(caught.value) == fault
