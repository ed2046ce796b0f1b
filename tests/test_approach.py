"""What every approach gives in cross_fit: probabilities of rows by fits that have not seen them."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from fakes import FakeEncoder, FakeLM
from promptpredict import calibration
from promptpredict.baselines import (
    EmbeddingClassifier,
    FusionClassifier,
    PriorClassifier,
    StructuredClassifier,
    TextClassifier,
)
from promptpredict.cascade import CascadeClassifier
from promptpredict.errors import DataError
from promptpredict.estimators import ProbeClassifier, PromptClassifier
from promptpredict.heads import stratified
from promptpredict.panels import PanelClassifier
from promptpredict.prompt import PromptFile
from promptpredict.stacking import StackClassifier

# the labels stand in the file in another order than the sorted one
PROMPT = """\
---
task: binary
target: outcome
labels: {stays: [glad], leaves: [angry]}
positive: leaves
text: [feedback]
panel:
  mood: {question: "Is the mood bad?", words: [furious, calm]}
---
{% block system %}You judge.{% endblock %}
{% block customer %}{{ customer.orders }} {{ customer.feedback }}{% endblock %}
{% block question %}And now?{% endblock %}
"""
THREE = PROMPT.replace("task: binary", "task: multiclass").replace(
    "leaves: [angry]}\npositive: leaves", "leaves: [angry], waits: [unsure]}"
)


@pytest.fixture(autouse=True)
def _one_thread():
    with threadpool_limits(1):
        yield


class SharedLM(FakeLM):
    """One for all clones, so that everything that was asked can be looked at."""

    def __sklearn_clone__(self):
        return self


def approaches(text=PROMPT, lm=None):
    prompt = PromptFile.from_text(text, name="p.jinja")
    lm = lm or SharedLM()
    encoder = FakeEncoder()
    found = {
        "prior": PriorClassifier(prompt),
        "zero-shot": PromptClassifier(prompt, model=lm),
        "few-shot": PromptClassifier(prompt, model=lm, shots=6),
        "few-shot-random": PromptClassifier(prompt, model=lm, shots=6, select="random"),
        "few-shot-nearest": PromptClassifier(
            prompt, model=lm, shots=6, select="nearest", encoder=encoder
        ),
        "probe": ProbeClassifier(prompt, model=lm),
        "probe-shots": ProbeClassifier(prompt, model=lm, shots=4),
        "panel": PanelClassifier(prompt, model=lm),
        "embedding": EmbeddingClassifier(prompt, encoder=encoder),
        "fusion": FusionClassifier(prompt, encoder=encoder),
        "structured": StructuredClassifier(prompt),
        "structured-trees": StructuredClassifier(prompt, kind="trees"),
        "text": TextClassifier(prompt),
    }
    members = [found["zero-shot"], found["embedding"]]
    cascade = CascadeClassifier(prompt, cheap=found["text"], expensive=found["probe"])
    return found | {"stack": StackClassifier(prompt, members=members), "cascade": cascade}


NAMES = list(approaches())
HEADS = ["probe", "panel", "embedding", "fusion", "structured", "structured-trees", "text"]
WORDS = {
    "leaves": ("angry furious", 1),
    "stays": ("glad calm", 5),
    "waits": ("unsure", 9),
}


def customers(n, classes=("leaves", "stays"), *, clear=0.9, seed=0):
    """Customers whose words and orders tell their outcome most of the time."""
    rng = np.random.default_rng(seed)
    y = np.resize(classes, n)
    said = np.where(rng.random(n) < clear, y, rng.choice(classes, n))
    frame = pd.DataFrame(
        {
            "orders": [WORDS[each][1] + row % 2 for row, each in enumerate(said)],
            "feedback": [f"{WORDS[each][0]} marker{row}" for row, each in enumerate(said)],
        }
    )
    return frame, y


def markers(text):
    return {int(found) for found in re.findall(r"marker(\d+)", text)}


def told(found):
    """Return which rows have probabilities; the others are NaN throughout."""
    known = np.isfinite(found)
    assert (known.all(axis=1) == known.any(axis=1)).all()
    np.testing.assert_allclose(found[known.all(axis=1)].sum(axis=1), 1)
    return known.all(axis=1)


# -- of all approaches ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_columns_are_those_of_the_classes_and_rows_those_of_x(name):
    X, y = customers(40)
    approach = approaches()[name]
    found = approach.cross_fit(X, y)
    assert approach.classes_.tolist() == ["leaves", "stays"]
    assert (found.shape, found.dtype) == ((40, 2), np.float64)
    known = told(found)
    assert known.sum() >= 34
    if name != "prior":
        assert roc_auc_score(y[known] == "leaves", found[known, 0]) > 0.75


@pytest.mark.parametrize("name", [name for name in NAMES if name != "prior"])
def test_three_classes_have_three_columns_in_their_order(name):
    X, y = customers(60, ("stays", "waits", "leaves"))
    approach = approaches(THREE)[name]
    found = approach.cross_fit(X, y)
    assert approach.classes_.tolist() == ["leaves", "stays", "waits"]
    assert found.shape == (60, 3)
    known = told(found)
    right = approach.classes_[found[known].argmax(axis=1)] == y[known]
    assert right.mean() > 0.75


@pytest.mark.parametrize("name", NAMES)
def test_it_is_fitted_afterwards_as_by_fit(name):
    X, y = customers(40)
    approach = approaches()[name]
    approach.cross_fit(X, y)
    fitted = clone(approach).fit(X, y)
    np.testing.assert_array_equal(approach.predict_proba(X), fitted.predict_proba(X))


@pytest.mark.parametrize("name", NAMES)
def test_it_gives_the_same_again(name):
    X, y = customers(40)
    np.testing.assert_array_equal(
        approaches()[name].cross_fit(X, y), approaches()[name].cross_fit(X, y)
    )


@pytest.mark.parametrize("name", ["zero-shot", *HEADS])
def test_the_labels_of_a_fold_change_nothing_of_what_its_rows_are_given(name):
    """Neighbours of one fold exchange their labels, which leaves all folds and their fits alike."""
    X, y = customers(40, clear=0.8)
    first, second = next(
        (row, row + 1)
        for _, held in stratified((y == "stays").astype(int), 0)
        for row in held
        if row + 1 in held and y[row] != y[row + 1]
    )
    other = y.copy()
    other[[first, second]] = y[[second, first]]
    before, after = (approaches()[name].cross_fit(X, each) for each in (y, other))
    np.testing.assert_allclose(before[[first, second]], after[[first, second]], atol=1e-9)
    rest = np.delete(np.arange(40), [first, second])
    assert np.abs(before[rest] - after[rest]).max() > 1e-4  # who learned from them says so


@pytest.mark.parametrize("name", [*HEADS, "stack"])
@pytest.mark.parametrize("n", [40, 90], ids=["default", "chosen by cross-validation"])
def test_labels_that_are_coins_are_learned_by_heart_and_not_known_of_other_rows(name, n):
    held_out, own = [], []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        words = [f"{'angry furious' if row % 2 else 'glad calm'} word{row}" for row in range(n)]
        X = pd.DataFrame({"orders": rng.permutation(n), "feedback": words})
        y = rng.permutation(np.resize(["leaves", "stays"], n))
        approach = approaches()[name]
        held_out.append(roc_auc_score(y == "leaves", approach.cross_fit(X, y)[:, 0]))
        own.append(roc_auc_score(y == "leaves", approach.predict_proba(X)[:, 0]))
    assert np.mean(held_out) < 0.56
    assert np.mean(own) > np.mean(held_out) + 0.04


@pytest.mark.parametrize("name", ["zero-shot", "stack", *HEADS])
def test_where_a_class_has_a_single_row_no_row_can_be_held_out(name):
    X, y = customers(12)
    y = np.array(["leaves", *["stays"] * 11])
    approach = approaches()[name]
    assert not told(approach.cross_fit(X, y)).any()
    assert np.isfinite(approach.predict_proba(X)).all()


@pytest.mark.parametrize("form", ["dicts", "array"])
def test_x_may_have_any_form(form):
    X, y = customers(40)
    text = PROMPT.replace("feedback", "x1").replace("orders", "x0")
    frame = X.set_axis(["x0", "x1"], axis=1)
    given = {"dicts": frame.to_dict("records"), "array": frame.to_numpy(dtype=object)}[form]
    for name in ("few-shot", "embedding"):
        expected = approaches(text)[name].cross_fit(frame, y)
        np.testing.assert_array_equal(approaches(text)[name].cross_fit(given, y), expected)


def test_labels_are_needed():
    X, _ = customers(8)
    for approach in (approaches()["zero-shot"], approaches()["embedding"]):
        with pytest.raises(ValueError, match=r"requires y to be passed, but the target y is None$"):
            approach.cross_fit(X, None)


@pytest.mark.parametrize("gap", [None, float("nan"), pd.NA])
@pytest.mark.parametrize("name", ["few-shot", "embedding"])
def test_a_label_that_is_missing_is_a_fault(name, gap):
    X, y = customers(8)
    y = y.astype(object)
    y[[2, 5]] = gap
    with pytest.raises(DataError) as caught:
        approaches()[name].fit(X, y)
    assert str(caught.value) == (
        "y has no value in 2 of 8 rows, the first is row 3; possible: the rows that have one"
    )


def test_without_labels_a_table_without_rows_says_its_columns():
    """As README does it."""
    X, _ = customers(4)
    approach = approaches()["zero-shot"].fit(X[:0])
    assert np.isfinite(approach.predict_proba(X)).all()


def test_a_prompt_file_of_amounts_is_for_regressors():
    X, y = customers(8)
    front = "task: regression\ntarget: spend\nbins: {words: [low, high], edges: [0, 1, 2]}"
    blocks = PROMPT.split("---")[2]
    file = PromptFile.from_text(f"---\n{front}\n---\n{blocks}", name="p.jinja")
    for given in ((X, y), (X,)):
        with pytest.raises(DataError) as caught:
            PromptClassifier(file, model=FakeLM()).fit(*given)
        assert str(caught.value) == (
            "p.jinja has task: regression, and a class needs task: binary or multiclass; possible: "
            "the regressor of the same approach"
        )


@pytest.mark.parametrize("name", NAMES)
def test_a_table_without_rows_is_a_fault(name):
    X, y = customers(24)
    approach = approaches()[name].fit(X, y)
    with pytest.raises(DataError, match=r"^X has no rows$"):
        approach.predict_proba(X[:0])


# -- of each -------------------------------------------------------------------------------------


def test_zero_shot_reads_every_row_once_and_is_calibrated_by_the_other_folds():
    X, y = customers(40, clear=0.7)
    lm = SharedLM()
    approach = approaches(lm=lm)["zero-shot"].set_params(calibration_rows=24)
    found = approach.cross_fit(X, y)
    assert len(set(lm.asked)) == 40  # the rows that were not calibrated on, too
    assert told(found).all()
    odds = np.array([[text.count("glad"), text.count("angry")] for text in X["feedback"]], float)
    expected = np.full((40, 2), np.nan)
    targets = (y == "stays").astype(int)
    for others, held in stratified(targets, 0):
        fitted = calibration.fit_platt(
            odds[others], y[others], labels=["stays", "leaves"], positive="leaves"
        )
        expected[held] = fitted.apply(odds[held])[:, ::-1]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("given", ["none", "base_rate"])
def test_a_calibration_that_sees_no_label_needs_no_folds(given):
    X, y = customers(240)
    approach = approaches()["zero-shot"].set_params(calibration=given, base_rate=0.2)
    np.testing.assert_array_equal(approach.cross_fit(X, y), approach.predict_proba(X))


FEW = {
    "few shots": (40, 6, "balanced", 34),
    "random shots": (40, 6, "random", 34),
    "as many shots as others": (40, 20, "balanced", 20),
    "more shots than others": (40, 21, "balanced", 40),
    "more random shots than others": (40, 30, "random", 40),
    "all are shots": (12, 12, "balanced", 12),
    "more shots than rows": (12, 50, "balanced", 12),
    "all are random shots": (12, 12, "random", 12),
    "nearest": (40, 6, "nearest", 40),
    "all are nearest": (12, 12, "nearest", 12),
}


@pytest.mark.parametrize(("n", "shots", "select", "known"), FEW.values(), ids=FEW)
def test_no_row_is_behind_a_shot_of_itself(n, shots, select, known):
    """A shot has NaN where most rows are none; else it is left out of the shots, and read."""
    X, y = customers(n)
    lm = SharedLM()
    approach = approaches(lm=lm)["few-shot-nearest"].set_params(shots=shots, select=select)
    found = approach.cross_fit(X, y)
    for prompt in lm.asked:
        [row] = markers(prompt.user)
        shown = [markers(turn.user) for turn in prompt.shots]
        assert {row} not in shown
        assert len(shown) > 0
    assert told(found).sum() == known
    read = {row for prompt in lm.asked for row in markers(prompt.user)}
    assert sorted(read) == np.flatnonzero(told(found)).tolist()
    if known < n:
        ids = {row for turn in lm.asked[0].shots for row in markers(turn.user)}
        assert {*range(n)} - read == ids


def test_rows_that_are_left_out_of_the_shots_together_are_behind_the_same_ones():
    """In five folds, or each would cost the reading of shots of its own; each label is shown."""
    X, y = customers(12)
    lm = SharedLM()
    approaches(lm=lm)["few-shot"].set_params(shots=12).cross_fit(X, y)
    assert len(lm.asked) == 12
    folds = {}
    for prompt in lm.asked:
        folds.setdefault(prompt.shots, set()).update(markers(prompt.user))
        assert {turn.reply for turn in prompt.shots} == {"glad", "angry"}
    assert len(folds) == 5
    for shots, rows in folds.items():
        shown = {row for turn in shots for row in markers(turn.user)}
        assert shown == {*range(12)} - rows


def test_rows_beyond_the_calibration_rows_are_not_read_behind_shots():
    X, y = customers(60)
    lm = SharedLM()
    approach = approaches(lm=lm)["few-shot"].set_params(calibration_rows=20)
    known = told(approach.cross_fit(X, y))
    assert known.sum() == 20
    read = {row for prompt in lm.asked for row in markers(prompt.user)}
    assert read == set(np.flatnonzero(known))
    assert len(set(lm.asked)) == 20


class Copier(FakeLM):
    """Repeats the reply of the shot that is the customer itself; of others it knows nothing."""

    def _logprobs(self, prompt, labels):
        replies = [turn.reply for turn in prompt.shots if turn.user == prompt.user]
        return [-1.0 if words[0] in replies else -3.0 for words in labels.words.values()]


@pytest.mark.parametrize("shots", [4, 30, 40])
@pytest.mark.parametrize("select", ["balanced", "random", "nearest"])
def test_a_language_model_that_copies_has_nothing_to_copy(shots, select):
    X, y = customers(40, clear=0.5)
    approach = approaches(lm=Copier())["few-shot-nearest"]
    approach.set_params(shots=shots, select=select, calibration="none")
    found = approach.cross_fit(X, y)
    assert (found[told(found)] == 0.5).all()


def test_a_probe_with_shots_knows_every_row_but_its_shots():
    X, y = customers(40)
    lm = SharedLM()
    approach = approaches(lm=lm)["probe-shots"]
    found = approach.cross_fit(X, y)
    shots = {row for turn in lm.asked[0].shots for row in markers(turn.user)}
    assert np.flatnonzero(~told(found)).tolist() == sorted(shots)
    others = [row for row in range(40) if row not in shots]
    # half of the rows leave, with the shots or without them
    np.testing.assert_allclose(found[others], approach.head_.held_out)
    assert len(lm.asked) == 36


def test_a_stack_lacks_the_rows_that_one_of_its_members_lacks():
    X, y = customers(40)
    few = approaches()["few-shot"]
    expected = told(few.cross_fit(X, y))
    stack = StackClassifier(few.prompt, members=[few, approaches()["embedding"]])
    np.testing.assert_array_equal(told(stack.cross_fit(X, y)), expected)
