"""Counts in bins, and the index of how far they moved, against the definition written out."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from promptpredict.watching import MIN_ROWS, counted, drift


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


def test_a_value_that_was_not_there_before_counts():
    then, now = Counter({0: 300}), Counter({0: 150, 5: 150})
    assert drift(then, now) == pytest.approx(0)  # one group: nothing below it to tell apart
    assert drift(Counter({0: 150, 5: 150}), Counter({5: 300})) > 1


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
