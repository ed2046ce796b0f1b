"""Figures of amounts against scipy and scikit-learn, and on resamples against a slow loop."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import mean_absolute_error, mean_pinball_loss, root_mean_squared_error

from promptpredict.amountfigures import evaluate_amounts, resample_amounts


def said(rows=80, seed=0, *, ties=False):
    rng = np.random.default_rng(seed)
    y = np.exp(rng.normal(size=rows))
    expected = y * np.exp(rng.normal(size=rows))
    if ties:
        y, expected = np.round(y), np.round(expected)
    low = expected * rng.uniform(0.3, 1.0, size=rows)
    return y, np.stack([expected, low, expected * 2], axis=1)


def gini(y, scores):
    """Return the area between the gathered amounts and the diagonal, ties in their mean order."""
    ranks = np.array([(np.sum(scores < each) + np.sum(scores <= each) + 1) / 2 for each in scores])
    return float(np.mean(y * ranks) - y.mean() * ranks.mean())


def slow(y, predicted):
    expected, low, high = predicted.T
    ends = [mean_pinball_loss(y, end, alpha=a) for end, a in ((low, 0.1), (high, 0.9))]
    return {
        "spearman": spearmanr(y, expected).statistic,
        "gini": gini(y, expected) / gini(y, y),
        "mae": mean_absolute_error(y, expected),
        "rmse": root_mean_squared_error(y, expected),
        "pinball": np.mean(ends),
        "coverage": np.mean((low <= y) & (y <= high)),
        "width": np.mean(high - low),
    }


@pytest.mark.parametrize("ties", [False, True])
def test_each_metric_is_the_one_of_its_name(ties):
    y, predicted = said(ties=ties)
    assert evaluate_amounts(y, predicted) == pytest.approx(slow(y, predicted))


@pytest.mark.parametrize("groups", [None, 7])
def test_resamples_are_those_rows(groups):
    y, predicted = said(40, ties=True)
    own = None if groups is None else [str(row % groups) for row in range(40)]
    found = resample_amounts(y, predicted, n=20, seed=3, groups=own)
    units = np.arange(40) if own is None else np.array([int(each) for each in own])
    rng = np.random.default_rng(3)
    drawn = rng.integers(units.max() + 1, size=(20, units.max() + 1))
    for at, chosen in enumerate(drawn):
        rows = np.concatenate([np.flatnonzero(units == unit) for unit in chosen])
        for name, value in slow(y[rows], predicted[rows]).items():
            assert found[name][at] == pytest.approx(value), name


def test_rows_are_ranked_among_their_fold():
    y, predicted = said(60)
    predicted[:20] += 1000  # another level, the same order
    folds = [0] * 20 + [1] * 40
    found = evaluate_amounts(y, predicted, folds=folds)
    parts = [slow(y[:20], predicted[:20]), slow(y[20:], predicted[20:])]
    for name in ("spearman", "gini"):
        assert found[name] == pytest.approx(parts[0][name] / 3 + parts[1][name] * 2 / 3)
    assert found["mae"] == pytest.approx(slow(y, predicted)["mae"])


def test_one_number_for_everybody_ranks_nobody():
    y, predicted = said(30)
    predicted[:, 0] = 2.0
    found = evaluate_amounts(y, predicted)
    assert (found["spearman"], found["gini"]) == (0.0, 0.0)  # as a ROC AUC of .5
    assert np.isfinite(found["mae"])
    drawn = resample_amounts(y, predicted, n=5)
    assert (drawn["spearman"] == 0).all()
    assert (drawn["gini"] == 0).all()
    same = evaluate_amounts(np.full(30, 7.0), predicted)
    assert np.isnan([same["spearman"], same["gini"]]).all()
    perfect = np.stack([y, y, y], axis=1)
    best = evaluate_amounts(y, perfect)
    assert (best["spearman"], best["gini"], best["coverage"]) == pytest.approx((1, 1, 1))
