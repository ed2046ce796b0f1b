"""Approaches to an amount as scikit-learn regressors: what each reads, finds and refuses."""

from __future__ import annotations

import pickle
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from scipy.stats import spearmanr
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.utils.estimator_checks import parametrize_with_checks
from threadpoolctl import threadpool_limits

from fakes import FakeLM
from promptpredict import (
    EmbeddingRegressor,
    FusionRegressor,
    MedianRegressor,
    ProbeRegressor,
    PromptRegressor,
    StructuredRegressor,
    TextRegressor,
)
from promptpredict.amounts import Scale, from_bins
from promptpredict.errors import DataError
from promptpredict.prompt import PromptFile
from promptpredict.promptregressors import bin_values
from promptpredict.scores import Labels
from test_baselines import QuietEncoder

WORDS = ["low", "medium", "high"]


@pytest.fixture(autouse=True)
def _one_thread():
    """On a busy machine the threads of a tiny fit wait for one another."""
    with threadpool_limits(1):
        yield


class QuietLM(FakeLM):
    """Remembers nothing, so that it can be pickled."""

    def score(self, prompts, labels, *, progress=None):
        found = super().score(prompts, labels, progress=progress)
        self.asked = []
        return found


def prompt_file(bins="words: [low, medium, high]", customer="", text="[said]"):
    customer = customer or (
        "{% for field in customer.fields %}{{ field.value }} {% endfor %}{{ customer.said }}"
    )
    return PromptFile.from_text(
        f"---\ntask: regression\ntarget: spend\nbins: {{{bins}}}\nid: id\ntext: {text}\n---\n"
        "{% block system %}You judge.{% endblock %}"
        "{% block customer %}" + customer + "{% endblock %}"
        "{% block question %}How much?{% endblock %}",
        name="p.jinja",
    )


def customers(n=60, *, seed=0, zeros=0.0):
    """Customers whose orders tell half of what they spend, and what they said the other half."""
    rng = np.random.default_rng(seed)
    orders, level = rng.integers(0, 20, size=n), rng.integers(0, 3, size=n)
    spend = 10 * orders + 60 * level + 5 * rng.normal(size=n) + 20
    spend[rng.random(n) < zeros] = 0
    frame = pd.DataFrame(
        {
            "id": [f"c{row}" for row in range(n)],
            "orders": orders,
            "said": [f"{WORDS[each]} {WORDS[each]} spender" for each in level],
        }
    )
    return frame, np.maximum(spend, 0).round(2)


def regressors(prompt, model=None):
    lm = model or QuietLM()
    return {
        "median": MedianRegressor(prompt),
        "structured": StructuredRegressor(prompt),
        "structured-trees": StructuredRegressor(prompt, kind="trees"),
        "text": TextRegressor(prompt),
        "embedding": EmbeddingRegressor(prompt, encoder=QuietEncoder()),
        "fusion": FusionRegressor(prompt, encoder=QuietEncoder()),
        "prompt": PromptRegressor(prompt, model=lm),
        "shots": PromptRegressor(prompt, model=lm, shots=3),
        "probe": ProbeRegressor(prompt, model=lm),
    }


NAMES = list(regressors(None))
SLOW_OR_LM = ("structured-trees", "prompt", "shots", "probe")  # trees differ in their head alone


@parametrize_with_checks(
    [each for name, each in regressors(None).items() if name not in SLOW_OR_LM],
    expected_failed_checks=lambda each: (
        {"check_regressor_data_not_an_array": "a text names its columns: x0 or 0"}
        if isinstance(each, TextRegressor)
        else {}
    ),
)
def test_scikit_learn_takes_it(estimator, check):
    check(estimator)


@pytest.mark.parametrize("name", NAMES)
def test_it_finds_what_it_reads(name):
    X, y = customers()
    tested, truth = customers(200, seed=1)
    found = regressors(prompt_file())[name].fit(X, y).predict_interval(tested)
    assert found.shape == (200, 3)
    assert (found[:, 1] <= found[:, 2]).all()
    inside = np.mean((found[:, 1] <= truth) & (truth <= found[:, 2]))
    assert 0.7 < inside < 0.96
    if name != "median":
        assert spearmanr(found[:, 0], truth).statistic > (0.5 if name != "fusion" else 0.6)


@pytest.mark.parametrize("name", NAMES)
def test_held_out_rows_are_rows_not_seen(name):
    X, y = customers(40)
    plain = regressors(prompt_file())[name]
    held_out = clone(plain).cross_fit(X, y)
    assert held_out.shape == (40, 3)
    known = np.isfinite(held_out[:, 0])
    assert known.sum() == (37 if name == "shots" else 40)
    # What a row says of itself cannot move what is said of it without it.
    other = y.copy()
    other[5] = y.max() * 1.01
    if name in ("structured", "text") and known[5]:
        moved = clone(plain).cross_fit(X, other)
        assert abs(moved[5, 0] - held_out[5, 0]) < abs(
            clone(plain).fit(X, other).predict(X)[5] - clone(plain).fit(X, y).predict(X)[5]
        )


@pytest.mark.parametrize("name", NAMES)
def test_it_is_the_same_again_and_pickled(name):
    X, y = customers(40)
    fitted = regressors(prompt_file())[name].fit(X, y)
    again = clone(fitted).fit(X, y)
    assert np.array_equal(fitted.predict_interval(X), again.predict_interval(X))
    thawed = pickle.loads(pickle.dumps(fitted))
    assert np.array_equal(fitted.predict_interval(X), thawed.predict_interval(X))
    assert np.array_equal(fitted.predict(X), fitted.predict_interval(X)[:, 0])


@pytest.mark.parametrize("name", [name for name in NAMES if name != "median"])
def test_many_zeros_are_predicted(name):
    X, y = customers(80, zeros=0.4)
    found = regressors(prompt_file())[name].fit(X, y).predict_interval(X)
    assert (found[:, 0] >= 0).all()
    assert found[:, 0].mean() == pytest.approx(y.mean(), rel=0.2)
    assert np.mean(found[:, 1] == 0) > 0.5  # with four zeros of ten, the lower end is one


# -- what the language model says ------------------------------------------------------------


def test_amounts_are_a_line_through_the_mean_over_the_bins():
    X, y = customers(30)
    model = FakeLM()
    fitted = PromptRegressor(prompt_file(), model=model).fit(X, y)
    file = fitted.prompt_file_
    edges = file.front.bins.edges
    scores = model.score(
        [file.render(each) for each in fitted.records(X)], Labels(file.words, None)
    )
    scale = Scale.of(y, low=0.0)
    values = [scale.fitted(y[[file.label_of(each) == word for each in y]]).mean() for word in WORDS]
    levels = softmax(scores.logprobs.astype(float), axis=1) @ np.array(values)
    assert bin_values(edges, y) == pytest.approx(values)
    standard = ((levels - levels.mean()) / levels.std())[:, None]
    line = Ridge(alpha=1.0, positive=True).fit(standard, scale.fitted(y))
    slow = [scale.amounts(each + fitted.head_.errors).mean() for each in line.predict(standard)]
    assert fitted.predict(X) == pytest.approx(slow)
    assert spearmanr(fitted.predict(X), levels).statistic == pytest.approx(1)


def test_a_line_never_falls():
    X, y = customers(40)
    fitted = PromptRegressor(prompt_file(), model=FakeLM()).fit(X, y.max() - y)
    levels = fitted.levels(fitted._scores(fitted.records(X)).logprobs)[:, 0]
    found = fitted.predict(X)[np.argsort(levels)]
    assert (np.diff(found) >= -1e-9).all()


def test_without_labels_amounts_come_from_the_bins():
    X, _ = customers(5)
    bins = "words: [low, medium, high], edges: [0, 50, 100, 400]"
    model = FakeLM()
    fitted = PromptRegressor(prompt_file(bins), model=model).fit(X)
    scores = model.score(
        [fitted.prompt_file_.render(each) for each in fitted.records(X)],
        Labels(fitted.prompt_file_.words, None),
    )
    said = softmax(scores.logprobs.astype(float), axis=1)
    assert fitted.predict_interval(X) == pytest.approx(from_bins(said, [0, 50, 100, 400]))


def test_a_bin_without_an_amount_has_its_middle():
    y = np.array([1.0, 2.0, 3.0, 90.0])
    scale = Scale.of(y, low=0.0)
    expected = [
        np.mean(scale.fitted(y[:3])),
        scale.fitted(np.array([50.0]))[0],
        scale.fitted(np.array([90.0]))[0],
    ]
    assert bin_values([0, 10, 90, 100], y) == pytest.approx(expected)


def test_amounts_below_edges_that_begin_at_0_are_fitted_as_they_are():
    """A refund in a table of skewed amounts: its logarithm would be none."""
    y = np.array([-50.0, 2, 3, 5, 8, 900, 1500])
    values = bin_values([0, 10, 100, 1000], y)
    scale = Scale.of(y, low=-np.inf)
    assert values[0] == pytest.approx(scale.fitted(y[:5]).mean())
    assert np.isfinite(values).all()
    X, spend = customers(40)
    given = prompt_file(bins="words: [low, medium, high], edges: [0, 50, 100, 400]")
    fitted = PromptRegressor(given, model=FakeLM()).fit(X, np.where(spend > 150, -spend, spend))
    assert np.isfinite(fitted.predict_interval(X)).all()


def test_shots_are_balanced_over_the_bins_that_hold_amounts():
    X, _ = customers(20)
    y = np.array([1.0] * 10 + [2.0] * 10)  # tied: a bin between them has none
    model = FakeLM()
    fitted = PromptRegressor(prompt_file(), model=model, shots=4).fit(X, y)
    fitted.predict(X[:1])
    assert sorted(Counter(turn.reply for turn in model.asked[-1].shots).values()) == [2, 2]


def test_without_labels_a_table_without_rows_says_its_columns():
    X, _ = customers(20)
    given = prompt_file(bins="words: [low, medium, high], edges: [0, 50, 100, 400]")
    fitted = PromptRegressor(given, model=FakeLM()).fit(X[:0])
    assert np.isfinite(fitted.predict(X)).all()


def test_shots_show_the_bins_of_the_training_amounts():
    X, y = customers(20)
    model = FakeLM()
    fitted = PromptRegressor(prompt_file(), model=model, shots=3).fit(X, y)
    fitted.predict(X[:1])
    replies = [turn.reply for turn in model.asked[-1].shots]
    assert sorted(replies) == sorted(WORDS)
    for shot, reply in zip(fitted.shots_.shown(), replies, strict=True):
        assert fitted.prompt_file_.label_of(shot.label) == reply


# -- faults ----------------------------------------------------------------------------------


def fault(estimator, X, y=None):
    with pytest.raises(DataError) as caught:
        estimator.fit(X, y)
    return str(caught.value)


def test_faults_are_told():
    X, y = customers(20)
    assert fault(PromptRegressor(prompt_file(), model=FakeLM()), X) == (
        "p.jinja gives no 'bins.edges', and there are no labelled records to cut bins from; "
        "possible: edges in the prompt file, or labelled records"
    )
    assert fault(ProbeRegressor(prompt_file(), model=FakeLM(), shots=3), X[:4], y[:4]) == (
        "3 shots leave 1 row for the probe to be fitted on; possible: fewer shots, or more rows"
    )
    assert fault(StructuredRegressor(prompt_file(customer="{{ customer.said }}")), X, y) == (
        "p.jinja shows no column besides its id and its text; possible: customer.fields in a "
        "block, or {{ customer.COLUMN }}"
    )
    assert fault(MedianRegressor("churn-shop"), X, y) == (
        "churn-shop.jinja has task: binary, and an amount needs task: regression; possible: the "
        "classifier of the same approach"
    )
    assert fault(MedianRegressor(prompt_file()), X, ["much"] * 20) == (
        "row 1 of y holds 'much', which is not a number"
    )
    with pytest.raises(ValueError, match="kind is 'linear' or 'trees', not 'forest'"):
        StructuredRegressor(prompt_file(), kind="forest").fit(X, y)
    with pytest.raises(ValueError, match="calibration must be line, none, got 'platt'"):
        PromptRegressor(prompt_file(), model=FakeLM(), calibration="platt").fit(X, y)
