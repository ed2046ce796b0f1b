"""The stack: near the mean of what approaches say where rows are few, then it learns whom to trust."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from sklearn.metrics import log_loss, roc_auc_score
from threadpoolctl import threadpool_limits

from promptpredict.approach import Approach
from promptpredict.baselines import PriorClassifier
from promptpredict.prompt import PromptFile
from promptpredict.stacking import Corrected, StackClassifier, Stacker

PROMPT = """\
---
task: binary
target: outcome
labels: {stays: [glad], leaves: [angry]}
positive: leaves
---
{% block system %}You judge.{% endblock %}
{% block customer %}{% for field in customer.fields %}{{ field.value }} {% endfor %}{% endblock %}
{% block question %}And now?{% endblock %}
"""


@pytest.fixture(autouse=True)
def _one_thread():
    with threadpool_limits(1):
        yield


def softmax(logits):
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def logit(probabilities):
    return np.log(probabilities[:, 1] / probabilities[:, 0])


def opinions(n, *noises, classes=2, seed=0):
    """Class numbers of n rows, and what an approach of each noise says of them."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n)
    right = 2.0 * np.eye(classes)[y]
    return y, [softmax(right + rng.normal(0, noise, (n, classes))) for noise in noises]


# -- the regression behind it ----------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 3])
def test_it_is_the_regression_that_it_says(classes):
    """Against scipy on the penalised loss written out row by row."""
    rng = np.random.default_rng(classes)
    y = np.arange(40) % classes
    said, others = rng.normal(size=(40, classes)), rng.normal(size=(40, 3))
    model = Corrected(0.1).fit(np.hstack([said, others]), y)
    found = model.predict_proba(np.hstack([said, others]))

    def loss(flat):
        weights, level = flat[: 3 * classes].reshape(3, classes), flat[3 * classes :]
        total = 0.5 * (weights**2).sum() / 0.1 + 0.5 * (level**2).sum() / 1e3
        for row, label in enumerate(y):
            total -= np.log(softmax((said[row] + others[row] @ weights + level)[None])[0, label])
        return total

    slow = minimize(loss, np.zeros(4 * classes), method="BFGS", tol=1e-9)
    assert loss(model.weights_.ravel()) == pytest.approx(slow.fun, abs=1e-5)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert (model.predict(np.hstack([said, others])) == found.argmax(axis=1)).all()


def test_without_room_it_says_what_was_said_but_for_the_level():
    rng = np.random.default_rng(0)
    said, y = np.log(rng.dirichlet([1, 1], 200)), rng.integers(0, 2, 200)
    found = Corrected(1e-9).fit(np.hstack([said, rng.normal(size=(200, 4))]), y)
    moved = logit(found.predict_proba(np.hstack([said, rng.normal(size=(200, 4))]))) - logit(
        np.exp(said)
    )
    np.testing.assert_allclose(moved, moved[0], atol=1e-4)


def test_a_class_that_no_row_has_left_is_never_foretold():
    y, said = opinions(60, 1.0, 1.0, classes=3)
    said[0][y == 1] = np.nan  # all of them were its shots
    stacker = Stacker().fit(said, y, 0)
    found = stacker.predict_proba([np.nan_to_num(each, nan=1 / 3) for each in said])
    assert (found[:, 1] == 0).all()
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert np.isnan(stacker.held_out_[y == 1]).all()


# -- the stacker ---------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_with_few_rows_it_stays_near_the_mean_of_the_logits(seed):
    """Though one is twice as noisy as the other, and on many rows it would be trusted less."""
    _, asked = opinions(800, 1.0, 2.0, seed=100)
    mean = (logit(asked[0]) + logit(asked[1])) / 2
    few, many = (
        logit(Stacker().fit(said, y, 0).predict_proba(asked))
        for y, said in (opinions(rows, 1.0, 2.0, seed=seed) for rows in (16, 1000))
    )
    assert np.corrcoef(few, mean)[0, 1] > 0.98
    assert np.corrcoef(many, mean)[0, 1] < 0.95
    assert np.corrcoef(many, logit(asked[0]))[0, 1] > 0.95


def test_with_many_rows_it_learns_whom_to_trust():
    y, said = opinions(1500, 1.0, 6.0)
    truth, asked = opinions(1500, 1.0, 6.0, seed=1)
    found = Stacker().fit(said, y, 0).predict_proba(asked)
    mean = softmax((np.log(asked[0]) + np.log(asked[1])) / 2)
    assert np.corrcoef(logit(found), logit(asked[0]))[0, 1] > 0.95
    assert roc_auc_score(truth, found[:, 1]) > roc_auc_score(truth, mean[:, 1]) + 0.1
    assert log_loss(truth, found) < log_loss(truth, asked[0])  # which is not calibrated


def test_which_of_the_approaches_comes_first_does_not_matter():
    y, said = opinions(200, 1.0, 4.0)
    forth = Stacker().fit(said, y, 0).predict_proba(said)
    back = Stacker().fit(said[::-1], y, 0).predict_proba(said[::-1])
    np.testing.assert_allclose(forth, back, atol=1e-4)


@pytest.mark.parametrize(("n", "short"), [(24, 0.2), (300, 0.03)])
def test_more_classes_than_two_are_joined(n, short):
    y, said = opinions(n, 1.0, 6.0, classes=3)
    truth, asked = opinions(600, 1.0, 6.0, classes=3, seed=1)
    stacker = Stacker().fit(said, y, 0)
    found = stacker.predict_proba(asked)
    assert found.shape == (600, 3)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert stacker.held_out_.shape == (n, 3)
    right, best, worst = ((each.argmax(axis=1) == truth).mean() for each in (found, *asked))
    assert right > best - short > worst


def test_rows_that_an_approach_could_not_be_held_out_of_are_left_out():
    y, said = opinions(60, 1.0, 2.0)
    lacking = said[0].copy()
    lacking[[3, 8]] = np.nan
    rest = np.delete(np.arange(60), [3, 8])
    stacker = Stacker().fit([lacking, said[1]], y, 0)
    expected = Stacker().fit([each[rest] for each in said], y[rest], 0)
    np.testing.assert_array_equal(stacker.predict_proba(said), expected.predict_proba(said))
    assert np.isnan(stacker.held_out_[[3, 8]]).all()
    np.testing.assert_array_equal(stacker.held_out_[rest], expected.head_.held_out)


def test_an_approach_that_is_quite_sure_gives_finite_numbers():
    y, said = opinions(40, 1.0, 1.0)
    said[0] = np.eye(2)[y]  # 0 and 1: logits of minus and plus infinity
    found = Stacker().fit(said, y, 0).predict_proba([1 - said[0], said[1]])
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_held_out_probabilities_come_from_fits_without_the_row():
    """The labels are noise: who has seen them ranks them better than chance, who has not does not."""
    rng = np.random.default_rng(0)
    y = rng.permutation(np.repeat([0, 1], 60))
    said = [softmax(rng.normal(0, 3, (120, 2))) for _ in range(40)]
    stacker = Stacker().fit(said, y, 0)
    assert roc_auc_score(y, stacker.predict_proba(said)[:, 1]) > 0.65
    assert roc_auc_score(y, stacker.held_out_[:, 1]) < 0.58


# -- the approach --------------------------------------------------------------------------------


class Heart(Approach):
    """Knows the rows it was fitted on by heart, and nothing of any other; held out, it knows none."""

    def __init__(self, prompt=None):
        self.prompt = prompt

    def _fit(self, records):
        known = zip(records, self.targets(records), strict=True)
        self.known_ = {record.values["row"]: target for record, target in known}

    def _held_out(self, records):
        return np.full((len(records), len(self.classes_)), 1 / len(self.classes_))

    def predict_proba(self, X):
        found = np.full((len(X), 2), 0.5)
        for at, record in enumerate(self.records(X)):
            target = self.known_.get(record.values["row"])
            if target is not None:
                found[at] = 0.01 + 0.98 * np.eye(2)[target]
        return found


class Column(Approach):
    """Says what a column holds: the log-odds of the first class."""

    def __init__(self, prompt=None, column="odds"):
        self.prompt = prompt
        self.column = column

    def _fit(self, records):
        self.fitted_ = len(records)

    def _held_out(self, records):
        return self.predict_proba(records)

    def predict_proba(self, X):
        odds = np.array([float(record.values[self.column]) for record in self.records(X)])
        return softmax(np.stack([odds, -odds], axis=1) / 2)


def customers(n, seed=0):
    rng = np.random.default_rng(seed)
    leaves = rng.random(n) < 0.5
    odds = np.where(leaves, 1.5, -1.5) + rng.normal(0, 1.5, n)
    frame = pd.DataFrame({"row": np.arange(n) + 10_000 * seed, "odds": odds})
    return frame, np.where(leaves, "leaves", "stays")


def prompt_file():
    return PromptFile.from_text(PROMPT, name="p.jinja")


def test_an_approach_that_knows_its_own_rows_by_heart_is_not_trusted_for_it():
    X, y = customers(300)
    asked, truth = customers(300, seed=1)
    members = [Heart(prompt_file()), Column(prompt_file())]
    stack = StackClassifier(prompt_file(), members=members).fit(X, y)
    assert stack.classes_.tolist() == ["leaves", "stays"]
    alone = Column(prompt_file()).fit(X, y).predict_proba(asked)[:, 0]
    found = stack.predict_proba(asked)[:, 0]
    weights = stack.stacker_.head_.model.weights_  # of the mean, both departures and the level
    heart, column = (weights[at, 0] - weights[at, 1] for at in (2, 4))
    assert heart < column
    np.testing.assert_array_equal(np.argsort(found), np.argsort(alone))
    assert log_loss(truth == "leaves", found) < log_loss(truth == "leaves", alone) + 0.02


def test_the_members_given_are_left_as_they_are_and_read_their_own_prompt():
    X, y = customers(40)
    own = PromptFile.from_text(PROMPT.replace("You judge", "You weigh"), name="own.jinja")
    members = [Column(own), Heart(prompt_file())]
    stack = StackClassifier(prompt_file(), members=members).fit(X, y)
    assert not hasattr(members[0], "fitted_")
    assert [member.prompt_file_.name for member in stack.members_] == ["own.jinja", "p.jinja"]
    assert stack.members_[0].fitted_ == 40  # a member that answers has seen all rows


def test_cross_fit_gives_what_the_stacker_gave_rows_it_had_not_seen():
    X, y = customers(200)
    rng = np.random.default_rng(3)
    noise = [f"noise{number}" for number in range(30)]
    X[noise] = rng.normal(0, 2, (200, 30))
    y = rng.permutation(np.repeat(["leaves", "stays"], 100))
    members = [Column(prompt_file(), column) for column in ["odds", *noise]]
    stack = StackClassifier(prompt_file(), members=members)
    found = stack.cross_fit(X, y)
    np.testing.assert_array_equal(found, stack.stacker_.head_.held_out)
    assert roc_auc_score(y == "leaves", found[:, 0]) < 0.58


def test_a_stack_of_nothing_is_our_own_mistake():
    X, y = customers(10)
    with pytest.raises(ValueError, match=r"^a stack needs members$"):
        StackClassifier(prompt_file()).fit(X, y)


def test_members_have_the_columns_of_the_stack():
    """As text 10 sorts before 2."""
    X, y = pd.DataFrame({"plan": list("abcde")}), np.array([2, 2, 2, 2, 10])
    alone = PriorClassifier().fit(X, y)
    stack = StackClassifier(members=[PriorClassifier(), PriorClassifier()]).fit(X, y)
    assert stack.classes_.tolist() == alone.classes_.tolist() == [2, 10]
    np.testing.assert_allclose(stack.predict_proba(X), alone.predict_proba(X), atol=1e-4)
    assert stack.predict(X).tolist() == [2] * 5
