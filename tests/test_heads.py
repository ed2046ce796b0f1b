"""Heads: regularisation chosen where rows suffice, and the features of the probe."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from threadpoolctl import threadpool_limits

from promptpredict.heads import ProbeFeatures, fit_head, spread

STRENGTHS = (1e-3, 1e-1, 10.0)


@pytest.fixture(autouse=True)
def _one_thread():
    """On a busy machine the threads of a tiny fit wait for one another, far longer than it takes."""
    with threadpool_limits(1):
        yield


def noisy(n, rare=None, seed=0):
    """Features (n, 4) of which one tells a little, and classes; ``rare`` rows are of class 1."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, 4))
    y = (features[:, 0] + 3 * rng.normal(size=n) > 0).astype(int)
    if rare is not None:
        y = (np.arange(n) < rare).astype(int)
    return features, y


def head_of(features, y, *, default=0.5, seed=0):
    return fit_head(features, y, strengths=STRENGTHS, default=default, seed=seed)


@pytest.mark.parametrize(
    ("n", "rare", "chosen"),
    [(63, None, False), (64, None, True), (64, 4, False), (64, 5, True)],
    ids=["too few rows", "enough rows", "too few of a class", "enough of each class"],
)
def test_regularisation_is_chosen_only_where_the_rows_suffice(n, rare, chosen):
    head = head_of(*noisy(n, rare))
    assert (head.C in STRENGTHS) == chosen
    assert (head.C == 0.5) == (not chosen)


def test_the_chosen_strength_has_the_least_cross_validated_log_loss():
    features, y = noisy(120, seed=3)  # where accuracy would choose another
    folds = StratifiedKFold(5, shuffle=True, random_state=7)
    losses = {
        strength: -cross_val_score(
            LogisticRegression(C=strength, max_iter=2000),
            features,
            y,
            scoring="neg_log_loss",
            cv=folds,
        ).mean()
        for strength in STRENGTHS
    }
    head = head_of(features, y, seed=7)
    best = min(losses, key=losses.get)
    assert head.C == best < max(STRENGTHS)  # so weak a signal wants to be held back
    # fitted on all rows, not on those of a fold
    whole = LogisticRegression(C=head.C, max_iter=2000).fit(features, y)
    np.testing.assert_allclose(head.coef_, whole.coef_)


def test_the_seed_alone_decides_the_folds():
    features, y = noisy(70, seed=1)

    def chosen():
        # strengths so near one another that the folds decide between them
        given = {"strengths": (0.02, 0.05, 0.1, 0.2), "default": 0.5}
        return [fit_head(features, y, seed=seed, **given).C for seed in range(8)]

    first = chosen()
    assert len(set(first)) > 1
    assert chosen() == first


def test_a_class_that_the_rows_lack_has_probability_zero():
    features, y = noisy(40)
    head = head_of(features, y * 2)  # classes 0 and 2 of three
    found = spread(head, features, 3)
    np.testing.assert_array_equal(found[:, 1], np.zeros(40))
    np.testing.assert_array_equal(found[:, [0, 2]], head.predict_proba(features))


def test_states_are_standardised_by_the_rows_of_the_fit():
    rng = np.random.default_rng(0)
    hidden = rng.normal(50, 9, (200, 6)).astype(np.float32)
    logprobs = rng.normal(-4, 2, (200, 2)).astype(np.float32)
    features = ProbeFeatures().fit(hidden, logprobs)
    found = features.transform(hidden, logprobs)
    np.testing.assert_allclose(found[:, :6].mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(found[:, :6].std(0), 1, rtol=1e-4)
    # a row alone reads as it does among the others: nothing is taken from the rows to predict
    np.testing.assert_array_equal(features.transform(hidden[5:6], logprobs[5:6]), found[5:6])
    assert found.dtype == np.float64


@pytest.mark.parametrize("width", [4, 576])
def test_the_log_odds_weigh_as_much_as_the_whole_state(width):
    rng = np.random.default_rng(0)
    hidden, logprobs = rng.normal(size=(300, width)), rng.normal(size=(300, 2))
    found = ProbeFeatures().fit(hidden, logprobs).transform(hidden, logprobs)
    assert found.shape == (300, width + 1)
    state, odds = found[:, :-1], found[:, -1:]
    assert (odds**2).sum() == pytest.approx((state**2).sum(), rel=1e-3)
    # more of the first label is a greater feature, whatever the fit made of it
    assert np.corrcoef(odds[:, 0], logprobs[:, 0] - logprobs[:, 1])[0, 1] == pytest.approx(1)


@pytest.mark.parametrize("labels", [2, 3])
def test_what_all_labels_share_changes_no_feature(labels):
    """How readily the model says any label word tells of the prompt, not of the customer."""
    rng = np.random.default_rng(0)
    hidden, logprobs = rng.normal(size=(50, 4)), rng.normal(size=(50, labels))
    features = ProbeFeatures().fit(hidden, logprobs)
    shifted = logprobs + rng.normal(size=(50, 1))
    expected = features.transform(hidden, logprobs)
    assert expected.shape == (50, 5 if labels == 2 else 4 + labels)
    np.testing.assert_allclose(features.transform(hidden, shifted), expected, atol=1e-9)


def test_a_state_that_never_varies_is_no_division_by_zero():
    hidden, logprobs = np.ones((10, 3), np.float32), np.full((10, 2), -1.0, np.float32)
    with np.errstate(all="raise"):
        found = ProbeFeatures().fit(hidden, logprobs).transform(hidden, logprobs)
    np.testing.assert_array_equal(found, np.zeros((10, 4)))
