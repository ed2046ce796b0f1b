"""Amounts from features: scales, errors, intervals and zeros, against slow references."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge

from promptpredict.amounts import (
    COVERAGE,
    MANY_ZEROS,
    Scale,
    fit_amounts,
    from_bins,
    many_zeros,
    spread_out,
)

RIDGE = Ridge(alpha=1.0)
ZEROS = LogisticRegression()


def fit(features, y, **changes):
    given = {"candidates": [RIDGE], "default": RIDGE, "zeros": ZEROS}
    return fit_amounts(features, y, **given | changes)


def customers(rows, *, seed=0, skewed=True, zeros=0.0):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(rows, 3))
    y = features @ [1.0, -0.5, 0.0] + rng.normal(size=rows)
    y = np.exp(y + 4) if skewed else y
    y[rng.random(rows) < zeros * 2 / (1 + np.exp(-3 * features[:, 2]))] = 0.0
    return features, y


def test_a_skewed_amount_is_fitted_as_its_logarithm_and_comes_back():
    _, y = customers(200)
    scale = Scale.of(y, low=0.0)
    z = scale.fitted(y)
    assert scale.logged
    assert (z.mean(), z.std()) == pytest.approx((0, 1))
    assert scale.amounts(z) == pytest.approx(y)
    assert scale.amounts(np.array([-1e3, 1e9])).tolist()[0] == 0.0
    assert np.isfinite(scale.amounts(np.array([1e9]))).all()


def test_an_amount_that_is_even_or_below_zero_is_fitted_as_it_is():
    _, y = customers(200, skewed=False)
    assert not Scale.of(y, low=-np.inf).logged
    _, skewed = customers(200)
    assert not Scale.of(skewed - 1, low=-np.inf).logged
    assert Scale.of(np.full(5, 3.0), low=0.0).sd == 1.0


@pytest.mark.parametrize("rows", [12, 40, 200])
@pytest.mark.parametrize("zeros", [0.0, 0.3])
def test_eighty_of_a_hundred_new_amounts_lie_in_their_interval(rows, zeros):
    inside = []
    for seed in range(30):
        features, y = customers(rows + 400, seed=seed, zeros=zeros)
        head = fit(features[:rows], y[:rows])
        found = head.predict(features[rows:])
        assert (found[:, 1] <= found[:, 2]).all()
        inside.append(np.mean((found[:, 1] <= y[rows:]) & (y[rows:] <= found[:, 2])))
    low = 0.74
    # Zeros are a lump: an interval that ends there holds more than it was asked to.
    assert low < np.mean(inside) < (0.87 if zeros == 0 else 0.93)


def test_what_a_row_may_be_is_its_fitted_value_and_every_error():
    scale = Scale(logged=True, mean=2.0, sd=0.5, low=0.0)
    errors = np.array([-1.0, -0.2, 0.1, 0.4, 1.5, 2.0, -0.3, 0.0, 0.7])
    z, positive = np.array([0.3, -1.0]), np.array([0.6, 1.0])
    found = spread_out(z, positive, errors, scale)
    for row in range(2):
        fitted = z[row] + errors
        amounts = lambda each: np.expm1(each * 0.5 + 2.0).clip(0)  # noqa: E731
        assert found[row, 0] == pytest.approx(positive[row] * amounts(fitted).mean())
        for column, level in ((1, 0.1), (2, 0.9)):
            inside = (level - (1 - positive[row])) / positive[row]
            place = np.quantile(fitted, inside, method="weibull") if inside > 0 else -np.inf
            slow = amounts(place)
            assert found[row, column] == pytest.approx(slow)


def test_rows_are_told_apart_in_pieces_as_at_once(monkeypatch):
    features, y = customers(60)
    head = fit(features, y)
    whole = head.predict(features)
    monkeypatch.setattr("promptpredict.amounts._CELLS", 100)
    assert np.array_equal(head.predict(features), whole)


def test_own_rows_are_held_out():
    features, y = customers(20, skewed=False)
    head = fit(features, y)
    slow = []
    for row in range(20):
        others = np.delete(np.arange(20), row)
        scale = Scale.of(y, low=-np.inf)
        model = Ridge(alpha=1.0).fit(features[others], scale.fitted(y[others]))
        slow.append(model.predict(features[[row]])[0])
    apart = np.sort(scale.fitted(y) - np.array(slow))
    assert head.errors == pytest.approx(apart * 19 / 20)  # around a fit that has seen the row
    assert head.held_out[:, 0] == pytest.approx(
        [float(np.mean(scale.amounts(each + apart))) for each in slow]
    )


@pytest.mark.slow
def test_an_interval_around_a_mean_holds_what_it_says():
    """Of 16 rows the mean and their errors: .81 of other rows lie inside, where .84 would untold."""
    rng = np.random.default_rng(0)
    inside, untold = [], []
    for _ in range(300):
        y, new = rng.standard_normal(16), rng.standard_normal(200)
        head = fit(np.zeros((16, 1)), y, default=Ridge(), candidates=[])
        _, low, high = head.predict(np.zeros((1, 1)))[0]
        inside.append(np.mean((new >= low) & (new <= high)))
        far = spread_out(
            head.model.predict(np.zeros((1, 1))), np.ones(1), head.errors * 16 / 15, head.scale
        )[0]
        untold.append(np.mean((new >= far[1]) & (new <= far[2])))
    assert 0.79 < np.mean(inside) < 0.83 < np.mean(untold)


def test_the_candidate_with_the_least_error_on_rows_not_seen_is_taken():
    features, y = customers(80)
    wild, tame = LinearRegression(), Ridge(alpha=1e6)
    assert fit(features, y, candidates=[tame, wild]).model.__class__ is LinearRegression
    few = fit(features, y, candidates=[tame, wild], default=tame, least=81)
    assert few.model.get_params()["alpha"] == 1e6


def test_groups_are_held_out_whole():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(12), 5)
    features = np.eye(12)[groups]  # which tells the group, and nothing of others
    y = rng.normal(size=12)[groups] + 10
    with_groups = fit(features, y, groups=[str(each) for each in groups])
    alone = fit(features, y)
    assert np.abs(alone.errors).mean() < 0.6 < np.abs(with_groups.errors).mean()


def test_many_zeros_are_a_part_of_their_own():
    features, y = customers(400, zeros=0.3)
    assert many_zeros(y)
    head = fit(features, y)
    told = head.positive.predict_proba(features)[:, 1]
    assert np.corrcoef(told, features[:, 2])[0, 1] < -0.8  # what the zeros were drawn by
    found = head.predict(features)
    assert found[:, 0].mean() == pytest.approx(y.mean(), rel=0.15)
    certain = found[told < 0.1]
    assert not len(certain) or (certain[:, 2] == 0).all()


def test_zeros_are_held_out_with_their_group():
    """Features that tell the group: whether it has zeros, and what the others of it are."""
    rng = np.random.default_rng(0)
    of = np.repeat(np.arange(40), 5)
    features = np.eye(40)[of]
    amounts = np.exp(2 * rng.normal(size=40))[of]
    groups = [f"g{each}" for each in of]
    given = {"zeros": LogisticRegression(C=1e3), "default": Ridge(1e-3), "candidates": []}

    y = np.where(rng.random(40)[of] < 0.5, 0.0, amounts)
    assert isinstance(fit(features, y, least=999, **given).positive, LogisticRegression)
    head = fit(features, y, groups=groups, least=999, **given)
    assert head.positive == pytest.approx(np.mean(y > 0))

    y = np.where(np.arange(200) % 5 == 0, 0.0, amounts)  # one of each group
    alone, together = (
        np.log(fit(features, y, groups=each, least=999, **given).held_out[y == 0, 0])
        for each in (None, groups)
    )
    told = np.log(amounts[y == 0])
    assert np.corrcoef(alone, told)[0, 1] > 0.9
    assert np.corrcoef(together, told)[0, 1] < 0.1


def test_zeros_that_nothing_tells_have_their_share():
    rng = np.random.default_rng(3)
    features = rng.normal(size=(100, 2))
    y = np.where(rng.random(100) < 0.5, 0.0, np.exp(features[:, 0]))
    head = fit(features, y, zeros=LogisticRegression(C=1e6))
    assert head.positive == pytest.approx(np.mean(y > 0))


@pytest.mark.parametrize(
    ("y", "found"),
    [([0, 1, 2, 3], True), ([1, 2], False), ([-1, 0], False), ([0] + [1] * 10, False)],
)
def test_when_zeros_are_many(y, found):
    assert many_zeros(np.array(y, dtype=float)) is found
    assert MANY_ZEROS == 0.1


def test_too_few_rows_to_hold_any_out():
    head = fit(np.array([[1.0], [2.0], [4.0]]), [10.0, 20.0, 30.0])
    assert np.isnan(head.held_out).all()
    found = head.predict(np.array([[2.0]]))
    assert 0 <= found[0, 1] < found[0, 0] < found[0, 2]


def test_amounts_of_bins_are_those_of_many_draws():
    probabilities, edges = np.array([[0.2, 0.5, 0.3], [1.0, 0.0, 0.0]]), [0.0, 10.0, 30.0, 100.0]
    rng = np.random.default_rng(0)
    found = from_bins(probabilities, edges)
    for row in range(2):
        bins = rng.choice(3, size=200_000, p=probabilities[row])
        drawn = rng.uniform(np.array(edges)[bins], np.array(edges)[bins + 1])
        tail = (1 - COVERAGE) / 2
        slow = [drawn.mean(), *np.quantile(drawn, [tail, 1 - tail])]
        assert found[row] == pytest.approx(slow, rel=0.02)
