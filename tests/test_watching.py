"""Counts in bins, and the index of how far they moved, against the definition written out."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from promptpredict.watching import MIN_ROWS, _ends, counted, drift


def scores(count, shift=0.0, seed=0):
    odds = np.random.default_rng(seed).normal(shift, 1, count)
    return np.stack([odds, np.zeros(count)], axis=1).astype(np.float32)


def test_a_bin_is_a_tenth_of_the_log_odds_of_the_positive_label():
    rows = np.array([[-1.0, -1.25], [-1.0, -0.95], [-1.0, -1.0]], np.float32)
    assert counted(rows, 0) == Counter({2: 1, -1: 1, 0: 1})
    assert counted(rows[:1], 1) == Counter({-3: 1})


def test_rows_without_a_score_fall_into_no_bin():
    rows = np.array([[np.nan, np.nan], [-np.inf, -1], [0.0, 0.0]], np.float32)
    assert counted(rows, 0) == Counter({0: 1})


def test_extreme_odds_fall_into_the_last_bins():
    rows = np.array([[0.0, -900.0], [-900.0, 0.0]], np.float32)
    assert counted(rows, 0) == Counter({500: 1, -500: 1})


def test_three_labels_are_counted_by_the_most_probable():
    rows = np.array([[-1.0, -2.0, -3.0], [-3.0, -2.0, -1.0], [-5.0, -2.0, -1.0]], np.float32)
    assert counted(rows, None) == Counter({0: 1, 2: 2})


def by_definition(then, now):
    edges = np.quantile(then, np.arange(0.1, 1, 0.1))
    shares = [
        np.bincount(np.searchsorted(edges, each), minlength=10) / len(each) for each in (then, now)
    ]
    return ((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum()


@pytest.mark.parametrize("shift", [0.0, 0.3, 1.0])
def test_the_index_is_that_of_the_definition(shift):
    then, now = scores(50_000), scores(40_000, shift, seed=1)
    found = drift(counted(then, 0), counted(now, 0))
    assert found == pytest.approx(by_definition(then[:, 0], now[:, 0]), rel=0.05, abs=1e-3)


def test_the_same_scores_have_not_moved():
    rows = counted(scores(1000), 0)
    assert drift(rows, rows) == pytest.approx(0)


@pytest.mark.parametrize(
    ("then", "now"),
    [
        ({0: 300}, {0: 150, 5: 150}),
        ({0: 300}, {-2: 300}),
        ({0: 300}, {2: 300}),
        ({0: 150, 5: 150}, {5: 300}),
        ({0: 50, 1: 2, 30: 950}, {0: 950, 1: 2, 30: 50}),
        ({0: 950, 30: 50}, {0: 50, 30: 950}),
        ({-9: 5, 0: 900, 9: 5, 10: 5}, {-9: 400, 0: 100, 9: 5, 10: 5}),
        ({-9: 5, 0: 900, 9: 5, 10: 5}, {-9: 5, 0: 100, 9: 400, 10: 5}),
    ],
)
def test_one_value_that_many_have_hides_no_movement(then, now):
    assert drift(then, then) == pytest.approx(0)
    assert drift(then, now) > 0.25
    assert drift(now, then) > 0.25


def test_a_value_that_many_have_may_move_by_a_bin():
    for to in (-1, 1):
        assert drift({0: 300}, {to: 300}) == pytest.approx(0)
        assert drift({-20: 100, 0: 300, 20: 100}, {-20: 100, to: 300, 20: 100}) == pytest.approx(0)


def test_labels_are_no_order():
    """Three labels, of which each night another is frequent: by the definition, label for label."""
    then, now = {0: 50, 1: 900, 2: 50}, {0: 900, 1: 50, 2: 50}
    p, q = (np.array([found[0], found[1], found[2]]) + 0.5 for found in (then, now))
    p, q = p / p.sum(), q / q.sum()
    assert drift(then, now, labels=True) == pytest.approx(((q - p) * np.log(q / p)).sum())
    assert drift(then, {0: 50, 1: 900, 3: 50}, labels=True) > 0.1
    assert drift(then, then, labels=True) == 0


@pytest.mark.parametrize("count", [200, 1000, 50_000])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6])
def test_groups_are_about_a_tenth(count, share):
    """A share of the rows has one score; the others' groups are neither tiny nor few."""
    rows = scores(count)
    rows[: int(share * count)] = [0.71, 0]
    counts = counted(rows, 0)
    ends = [-math.inf, *_ends(counts), math.inf]
    sizes = [
        sum(n for each, n in counts.items() if low < each <= high) / count
        for low, high in pairwise(ends)
    ]
    assert len(sizes) >= (9 if not share else 4)
    assert max(sizes) <= max(share + 0.15, 0.2)
    assert sum(size < 0.04 for size in sizes) <= (2 if share else 0)


@pytest.mark.parametrize(("then", "now"), [(MIN_ROWS - 1, 900), (900, MIN_ROWS - 1), (0, 900)])
def test_few_rows_tell_nothing(then, now):
    assert drift(counted(scores(then), 0), counted(scores(now), 0)) is None
    assert drift(counted(scores(MIN_ROWS), 0), counted(scores(MIN_ROWS), 0)) is not None


def test_chance_alone_stays_under_the_usual_bound():
    found = [
        drift(
            counted(scores(MIN_ROWS, seed=seed), 0), counted(scores(MIN_ROWS, seed=seed + 500), 0)
        )
        for seed in range(200)
    ]
    assert np.mean(np.array(found) > 0.25) < 0.01
