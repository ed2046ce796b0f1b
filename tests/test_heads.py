"""Heads: a candidate chosen where rows suffice, rows held out, and the features of the probe."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_score
from threadpoolctl import threadpool_limits

from promptpredict.heads import (
    ProbeFeatures,
    blocks,
    cross_fitted,
    fit_head,
    logistic,
    moved,
    shares,
    stratified,
    trees,
)

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


def head_of(features, y, *, strengths=STRENGTHS, classes=2, seed=0):
    return fit_head(
        features,
        y,
        candidates=logistic(strengths),
        default=logistic((0.5,))[0],
        classes=classes,
        seed=seed,
    )


@pytest.mark.parametrize(
    ("n", "rare", "chosen"),
    [(63, None, False), (64, None, True), (64, 4, False), (64, 5, True)],
    ids=["too few rows", "enough rows", "too few of a class", "enough of each class"],
)
def test_a_candidate_is_chosen_only_where_the_rows_suffice(n, rare, chosen):
    model = head_of(*noisy(n, rare)).model
    assert (model.C in STRENGTHS) == chosen
    assert (model.C == 0.5) == (not chosen)


def test_the_chosen_candidate_has_the_least_cross_validated_log_loss():
    features, y = noisy(120, seed=3)  # where accuracy would choose another
    folds = StratifiedKFold(5, shuffle=True, random_state=7)
    losses = {
        each.C: -cross_val_score(each, features, y, scoring="neg_log_loss", cv=folds).mean()
        for each in logistic(STRENGTHS)
    }
    head = head_of(features, y, seed=7)
    best = min(losses, key=losses.get)
    assert head.model.C == best < max(STRENGTHS)  # so weak a signal wants to be held back
    # fitted on all rows, not on those of a fold
    whole = LogisticRegression(C=best, max_iter=2000).fit(features, y)
    np.testing.assert_allclose(head.predict_proba(features), whole.predict_proba(features))


def test_the_seed_alone_decides_the_folds():
    features, y = noisy(70, seed=1)

    def chosen():
        # strengths so near one another that the folds decide between them
        strengths = (0.02, 0.05, 0.1, 0.2)
        return [head_of(features, y, strengths=strengths, seed=seed).model.C for seed in range(8)]

    first = chosen()
    assert len(set(first)) > 1
    assert chosen() == first


@pytest.mark.parametrize("n", [40, 120], ids=["by the default", "by the chosen"])
def test_each_row_is_held_out_of_the_fit_that_predicts_it(n):
    features, y = noisy(n, seed=3)
    head = head_of(features, y, seed=7)
    expected = np.zeros((n, 2))
    for train, test in StratifiedKFold(5, shuffle=True, random_state=7).split(features, y):
        fitted = clone(head.model).fit(features[train], y[train])
        # from the share of the fold's own training rows to that of all rows
        odds = fitted.predict_proba(features[test])
        odds = odds[:, 1] / odds[:, 0]
        for rows, power in ((y[train], -1), (y, 1)):
            odds *= (rows.mean() / (1 - rows.mean())) ** power
        expected[test] = np.column_stack([1 / (1 + odds), odds / (1 + odds)])
    np.testing.assert_allclose(head.held_out, expected)


def test_what_knows_nothing_but_the_shares_is_held_out_with_one_probability():
    """Else a fold that has fewer of a class would be given more of it, and rank below chance."""
    features, y = np.zeros((9, 1)), np.arange(9) % 2
    head = head_of(features, y)
    np.testing.assert_allclose(head.held_out[:, 1], 4 / 9, atol=1e-3)


def test_probabilities_move_with_the_shares():
    given = np.array([[0.5, 0.5, 0.0], [0.2, 0.6, 0.2]])
    before, after = np.array([0, 0, 1, 2]), np.array([0, 1, 1, 2])
    np.testing.assert_allclose(
        moved(given, shares(before, 3), shares(after, 3)),
        [[0.2, 0.8, 0], [0.1 / 1.5, 1.2 / 1.5, 0.2 / 1.5]],
    )
    np.testing.assert_allclose(moved(given, shares(before, 3), shares(before, 3)), given)


def test_what_is_held_out_knows_nothing_of_its_own_label():
    """Noise by which every row can be told from the others: learned by heart, and worthless."""
    rng = np.random.default_rng(0)
    features, y = rng.normal(size=(50, 200)), np.arange(50) % 2
    head = head_of(features, y)
    assert roc_auc_score(y, head.predict_proba(features)[:, 1]) == 1
    assert 0.25 < roc_auc_score(y, head.held_out[:, 1]) < 0.75


def test_a_class_of_a_single_row_leaves_nothing_held_out():
    features, y = noisy(20, rare=1)
    head = head_of(features, y)
    assert np.isnan(head.held_out).all()
    assert head.held_out.shape == (20, 2)
    assert head.predict_proba(features).shape == (20, 2)
    assert stratified(y, 0) is None


@pytest.mark.parametrize(("rare", "folds"), [(2, 2), (4, 4), (9, 5)])
def test_every_fold_has_a_row_of_every_class(rare, folds):
    y = noisy(30, rare)[1]
    splits = stratified(y, 0)
    assert len(splits) == folds
    assert all(len(np.unique(y[test])) == 2 for _, test in splits)


@pytest.mark.parametrize("size", [2, 5])
def test_rows_of_one_group_stand_on_one_side_of_every_fold(size):
    features, y = noisy(60)
    groups = [f"g{row // size}" for row in range(60)]
    folds = stratified(y, 0, groups)
    assert sorted(row for _, held in folds for row in held) == list(range(60))
    for others, held in folds:
        assert not {groups[row] for row in others} & {groups[row] for row in held}
    # by hand: what is held out of each fold comes from a fit on the others
    model = logistic((0.5,))[0]
    found = cross_fitted(model, features, y, folds, classes=2)
    for others, held in folds:
        alone = model.fit(features[others], y[others]).predict_proba(features[held])
        before, after = shares(y[others], 2), shares(y, 2)
        np.testing.assert_allclose(found[held], moved(alone, before, after))


def test_groups_that_leave_a_class_on_one_side_leave_nothing_held_out():
    features, y = noisy(30, rare=6)
    groups = ["rare" if each else f"g{row}" for row, each in enumerate(y)]
    assert stratified(y, 0, groups) is None
    assert stratified(y, 0, ["all"] * 30) is None
    head = fit_head(
        features, y, groups=groups, candidates=logistic((1.0,)), default=logistic((0.5,))[0],
        classes=2, seed=0,
    )  # fmt: skip
    assert np.isnan(head.held_out).all()


def test_a_class_that_the_rows_lack_has_probability_zero():
    features, y = noisy(40)
    head = head_of(features, y * 2, classes=3)  # classes 0 and 2 of three
    for found in (head.predict_proba(features), head.held_out):
        np.testing.assert_array_equal(found[:, 1], np.zeros(40))
        np.testing.assert_allclose(found.sum(axis=1), 1)
    np.testing.assert_array_equal(
        head.predict_proba(features)[:, [0, 2]], head.model.predict_proba(features)
    )


# -- candidates --------------------------------------------------------------------------------


def test_a_weight_makes_the_second_block_cheaper_to_use():
    """Twice as wide a feature needs half the coefficient: a quarter of the penalty."""
    rng = np.random.default_rng(0)
    one = rng.normal(size=(80, 1))
    features, y = np.hstack([one, one]), (one[:, 0] + rng.normal(size=80) > 0).astype(int)
    fitted = blocks(width=1, weight=2.0, strength=0.1).fit(features, y)
    first, second = fitted[-1].coef_[0]
    assert second == pytest.approx(2 * first, rel=1e-3)
    by_hand = LogisticRegression(C=0.1).fit(features * [1, 2], y)
    np.testing.assert_allclose(fitted.predict_proba(features), by_hand.predict_proba(features * [1, 2]))  # fmt: skip


@pytest.mark.parametrize("rows", [16, 64])
def test_trees_find_something_in_few_rows(rows):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(rows + 500, 6))
    y = (features[:, 0] + 0.3 * rng.normal(size=rows + 500) > 0).astype(int)
    fitted = trees(rows, 0)[0].fit(features[:rows], y[:rows])
    found = fitted.predict_proba(features[rows:])[:, 1]
    assert roc_auc_score(y[rows:], found) > 0.75


def test_trees_grow_deeper_with_the_rows():
    assert [each.max_depth for each in trees(1999, 0)] == [2, 2, 2, 3]
    assert [each.max_depth for each in trees(2000, 0)] == [2, 5, 2, 3]
    assert {each.random_state for each in trees(16, 7)} == {7}
    features, y = noisy(30)
    folds = stratified(y, 0)
    found = cross_fitted(trees(30, 0)[0], features, y, folds, classes=2)
    np.testing.assert_array_equal(
        cross_fitted(trees(30, 0)[0], features, y, folds, classes=2), found
    )


# -- the features of the probe -----------------------------------------------------------------


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
