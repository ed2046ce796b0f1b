"""The prior of the probe and the panel: what zero-shot says counts as two labelled rows."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from promptpredict.heads import ProbeFeatures
from promptpredict.priors import WEIGHT, InformedLogistic, informed


def rows(n, classes=2, seed=0, width=3):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    return rng.normal(size=(n, width)) + y[:, None] * 0.5, y


@pytest.mark.parametrize("classes", [2, 3])
def test_it_is_a_logistic_regression_with_weighted_rows_besides(classes):
    features, y = rows(31, classes)
    believed = np.eye(classes, 3) * 2 - 1
    found = InformedLogistic(C=0.3, believed=believed).fit(features, y)
    by_hand = LogisticRegression(C=0.3, max_iter=2000).fit(
        np.vstack([features, believed]),
        [*y, *range(classes)],
        sample_weight=[1.0] * 31 + [WEIGHT * np.mean(y == each) for each in range(classes)],
    )
    np.testing.assert_allclose(found.coef_, by_hand.coef_)
    np.testing.assert_allclose(found.intercept_, by_hand.intercept_)


def test_a_class_without_a_label_has_no_row():
    features, y = rows(20)
    found = InformedLogistic(believed=np.ones((3, 3))).fit(features, y * 2)
    assert found.classes_.tolist() == [0, 2]
    assert found.predict_proba(features).shape == (20, 2)


def test_few_labels_do_not_turn_a_belief_round_and_many_do():
    """The first column points the other way in what the labels say."""
    believed = np.array([[-1.0, 0, 0], [1.0, 0, 0]])
    rng = np.random.default_rng(0)
    for count, turned in ((2, False), (400, True)):
        y = np.tile([0, 1], count // 2)
        features = rng.normal(scale=0.1, size=(count, 3))
        features[:, 0] -= np.where(y == 1, 0.5, -0.5)
        plain = LogisticRegression().fit(features, y)
        found = informed((1.0,), believed)[0].fit(features, y)
        assert plain.coef_[0, 0] < 0
        assert (found.coef_[0, 0] < 0) == turned


def test_with_many_rows_a_belief_changes_next_to_nothing():
    features, y = rows(4000)
    plain = LogisticRegression(C=0.01).fit(features, y)
    found = InformedLogistic(C=0.01, believed=np.array([[5.0, 0, 0], [-5.0, 0, 0]])).fit(
        features, y
    )
    np.testing.assert_allclose(found.coef_, plain.coef_, atol=0.01)


def test_a_clone_has_the_same_belief():
    believed = np.eye(2)
    copy = clone(InformedLogistic(C=0.3, believed=believed))
    assert (copy.C, copy.max_iter) == (0.3, 2000)
    np.testing.assert_array_equal(copy.believed, believed)


@pytest.mark.parametrize("labels", [2, 3, 4])
def test_the_believed_row_of_a_class_is_that_of_a_customer_whose_answer_is_its_label(labels):
    """One standard deviation up in the log-odds of its own label, the mean state beside it."""
    rng = np.random.default_rng(0)
    hidden, logprobs = rng.normal(3, 2, (200, 8)), rng.normal(size=(200, labels))
    features = ProbeFeatures().fit(hidden, logprobs)
    order = list(range(labels))[::-1]  # classes are sorted otherwise than labels stand in the file
    believed = features.believed(order)
    assert believed.shape == (labels, features.transform(hidden, logprobs).shape[1])
    np.testing.assert_array_equal(believed[:, :8], 0)
    for row, label in zip(believed, order, strict=True):
        sure = np.zeros((1, labels))
        sure[0, label] = 50.0
        towards = features.transform(hidden.mean(0)[None], sure)[0, 8:]
        if labels == 2:
            assert np.sign(towards[0]) == np.sign(row[8])
            assert abs(row[8]) == pytest.approx(np.sqrt(8))
        else:
            assert np.corrcoef(towards, row[8:])[0, 1] > 0.99
            assert row[8 + label] == pytest.approx(np.sqrt(8))
            assert row[8:].sum() == pytest.approx(0)
    np.testing.assert_array_equal(features.believed(order[:2]), believed[:2])
