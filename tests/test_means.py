"""Means and their intervals: against scipy, and against values that are counted once a unit."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from promptpredict.means import Mean, mean_of

VALUES = np.random.default_rng(0).normal(0.3, 1.0, size=41)


def test_without_units_it_is_the_interval_of_students_t():
    found = mean_of(VALUES)
    low, high = stats.ttest_1samp(VALUES, 0.0).confidence_interval(0.95)
    assert (found.mean, found.low, found.high) == pytest.approx((VALUES.mean(), low, high))


@pytest.mark.parametrize("times", [1, 2, 7])
def test_a_value_that_stands_several_times_for_one_unit_says_no_more(times):
    units = np.repeat(np.arange(len(VALUES)), times)
    found = mean_of(np.repeat(VALUES, times), units=units.tolist())
    once = mean_of(VALUES)
    assert (found.mean, found.low, found.high) == pytest.approx((once.mean, once.low, once.high))


def test_units_of_unlike_sizes_have_the_sandwich_error_of_a_slow_loop():
    units = [f"u{n * n % 13}" for n in range(len(VALUES))]
    mean, total = VALUES.mean(), 0.0
    for unit in set(units):
        own = [value - mean for value, of in zip(VALUES, units, strict=True) if of == unit]
        total += sum(one * other for one in own for other in own)
    count = len(set(units))
    error = np.sqrt(count / (count - 1) * total) / len(VALUES)
    found = mean_of(VALUES, units=units)
    assert found.high - found.mean == pytest.approx(stats.t.ppf(0.975, count - 1) * error)
    assert found.mean - found.low == pytest.approx(found.high - found.mean)


def test_an_interval_holds_the_mean_in_about_95_of_100_draws():
    """Customers with one to four rows that are all but the same."""
    drawn = np.random.default_rng(1)
    held = naive = 0
    for _ in range(400):
        sizes = drawn.integers(1, 5, size=30)
        units = np.repeat(np.arange(30), sizes)
        values = drawn.normal(size=30)[units] + drawn.normal(0, 0.2, size=len(units))
        found, other = mean_of(values, units=units.tolist()), mean_of(values)
        held += found.low < 0 < found.high
        naive += other.low < 0 < other.high
    assert 0.91 < held / 400 < 0.98
    assert naive / 400 < 0.85


def test_one_value_or_one_unit_has_no_interval():
    assert mean_of([0.5]) == Mean(mean=0.5)
    assert mean_of([0.25, 0.75], units=["a", "a"]) == Mean(mean=0.5)


def test_an_interval_ends_at_the_least_that_there_can_be():
    found = mean_of([0.1, 0.2, 3.0], least=0.0)
    assert found.low == 0.0 < found.mean < found.high
