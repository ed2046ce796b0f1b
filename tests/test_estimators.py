"""The approaches as scikit-learn classifiers: its contract, its label types, its tools."""

from __future__ import annotations

import pickle
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.utils.estimator_checks import parametrize_with_checks
from threadpoolctl import threadpool_limits

from fakes import FakeEncoder, FakeLM
from promptpredict import heads
from promptpredict.baselines import (
    EmbeddingClassifier,
    FusionClassifier,
    PriorClassifier,
    StructuredClassifier,
    TextClassifier,
)
from promptpredict.cascade import CascadeClassifier
from promptpredict.encoders import Embedder
from promptpredict.errors import DataError
from promptpredict.estimators import ProbeClassifier, PromptClassifier
from promptpredict.memo import Memo
from promptpredict.models import Source
from promptpredict.panels import PanelClassifier
from promptpredict.prompt import PromptFile
from promptpredict.records import Record
from promptpredict.stacking import StackClassifier

# the labels stand in the file in another order than the sorted one
PROMPT = """\
---
task: binary
target: outcome
labels: {stays: [glad], leaves: [angry]}
positive: leaves
id: id
text: [feedback]
panel:
  mood: {question: "Is the mood bad?", answer: It is, words: [angry, glad]}
---
{% block system %}You judge.{% endblock %}
{% block customer %}
{% for field in customer.fields %}
{{ field.name }}: {{ field.value }}
{% endfor %}
Feedback: {{ customer.feedback }}
{% endblock %}
{% block question %}And now?{% endblock %}
{% block answer %}It feels{% endblock %}
"""
NUMBERED = PROMPT.replace("stays: [glad], leaves: [angry]", "1: [angry], 0: [glad]").replace(
    "positive: leaves", "positive: 1"
)


@pytest.fixture(autouse=True)
def _one_thread():
    """On a busy machine the threads of a tiny fit wait for one another, far longer than it takes."""
    with threadpool_limits(1):
        yield


class QuietLM(FakeLM):
    """Remembers nothing, as a language model: scikit-learn compares parameters before and after."""

    def score(self, prompts, labels, *, progress=None):
        scores = super().score(prompts, labels, progress=progress)
        self.asked = []
        return scores

    def __repr__(self):
        return "QuietLM()"  # without its address, or a test has another name in every run


class QuietEncoder(FakeEncoder):
    """Remembers nothing."""

    def encode(self, sentences, **given):
        vectors = super().encode(sentences, **given)
        self.asked = []
        return vectors

    def __repr__(self):
        return "QuietEncoder()"


class SharedLM(FakeLM):
    """One for all clones, so that everything that was asked can be looked at."""

    def __sklearn_clone__(self):
        return self


def prompt_file(text=PROMPT):
    return PromptFile.from_text(text, name="p.jinja")


def approaches(prompt):
    return {
        "prompt": PromptClassifier(prompt, model=QuietLM()),
        "few-shot": PromptClassifier(prompt, model=QuietLM(), shots=4),
        "probe": ProbeClassifier(prompt, model=QuietLM()),
        "probe with shots": ProbeClassifier(prompt, model=QuietLM(), shots=4),
        "panel": PanelClassifier(prompt, model=QuietLM()),
        "embedding": EmbeddingClassifier(prompt, encoder=QuietEncoder()),
        "text": TextClassifier(prompt),
        "structured": StructuredClassifier(prompt),
        "fusion": FusionClassifier(prompt, encoder=QuietEncoder()),
        "stack": StackClassifier(
            prompt, members=[PromptClassifier(prompt, model=QuietLM()), TextClassifier(prompt)]
        ),
        "cascade": CascadeClassifier(
            prompt, cheap=TextClassifier(prompt), expensive=ProbeClassifier(prompt, model=QuietLM())
        ),
        "prior": PriorClassifier(prompt),
    }


NAMES = list(approaches(None))
BLIND = ("prior", "structured")  # they read no feedback, which tells the outcome


def customers(n=40, *, seed=0):
    """Customers whose feedback tells their outcome most of the time, and their outcomes."""
    rng = np.random.default_rng(seed)
    leaves = rng.random(n) < 0.4
    clear = rng.random(n) < 0.95
    words = np.where(leaves == clear, "angry angry", "glad glad")
    frame = pd.DataFrame(
        {
            "id": [f"c{row}" for row in range(n)],
            "orders": rng.integers(1, 5, n),
            "feedback": [f"{word} as marker{row}" for row, word in enumerate(words)],
        }
    )
    return frame, np.where(leaves, "leaves", "stays")


def markers(text):
    """Return the rows whose feedback a text shows."""
    return {int(word.removeprefix("marker")) for word in text.split() if word.startswith("marker")}


def softmax(logprobs):
    weights = np.exp(logprobs - logprobs.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


# No check is expected to fail.
@parametrize_with_checks(
    [
        PromptClassifier(model=QuietLM()),
        ProbeClassifier(model=QuietLM()),
        EmbeddingClassifier(encoder=QuietEncoder()),
        StackClassifier(members=[PromptClassifier(model=QuietLM()), PriorClassifier()]),
        CascadeClassifier(cheap=PriorClassifier(), expensive=PromptClassifier(model=QuietLM())),
        PriorClassifier(),
    ]
)
def test_contract_of_scikit_learn(estimator, check, monkeypatch):
    monkeypatch.setattr(heads, "MIN_ROWS", 10**9)  # by the defaults alone, or it takes a minute
    check(estimator)


# -- classes and columns -----------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_classes_are_sorted_and_so_are_the_columns(name):
    """log_loss takes columns for sorted labels: in the file's order a right answer costs 1.7."""
    X, y = customers(80)
    estimator = approaches(prompt_file())[name].fit(X, y)
    assert estimator.classes_.tolist() == ["leaves", "stays"]
    found = estimator.predict_proba(X)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found.sum(axis=1), 1)
    if name == "prior":
        shares = Counter(y.tolist())
        assert found[3].tolist() == [shares["leaves"] / 80, shares["stays"] / 80]
    elif name not in BLIND:
        assert roc_auc_score(y == "leaves", found[:, 0]) > 0.7
        assert log_loss(y, found) < 0.6
    assert estimator.predict(X).tolist() == estimator.classes_[found.argmax(axis=1)].tolist()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "values",
    [
        np.array([0, 1]),
        np.array([0, 1], dtype=np.int8),
        np.array([0.0, 1.0]),
        np.array([False, True]),
        np.array(["0", "1"]),
        np.array(["False", "True"], dtype=object),
    ],
    ids=["int", "int8", "float", "bool", "str", "object"],
)
@pytest.mark.parametrize("prompt", [None, NUMBERED], ids=["no prompt file", "prompt file"])
def test_labels_come_back_in_the_type_of_y(name, values, prompt):
    if name == "panel" and not prompt:
        pytest.skip("without a prompt file there are no side questions")
    X, outcomes = customers()
    y = values[(outcomes == "leaves").astype(int)]
    estimator = approaches(prompt and prompt_file(prompt))[name].fit(X, y)
    predicted = estimator.predict(X)
    assert estimator.classes_.dtype == predicted.dtype == y.dtype
    assert estimator.classes_.tolist() == values.tolist()
    assert type(predicted[0]) is type(y[0])
    if prompt and name not in BLIND:
        assert roc_auc_score(y == values[1], estimator.predict_proba(X)[:, 1]) > 0.7


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", ["array", "dicts", "records"])
def test_every_form_of_x_gives_the_same_probabilities(name, form):
    X, y = customers()
    frame = pd.DataFrame({"x0": X["orders"].astype(float), "x1": X["feedback"]})
    frame.loc[3, "x0"] = np.nan  # and so its column has no integers for pandas
    array = frame.to_numpy(dtype=object)
    dicts = [{"x0": None if row == 3 else int(x0), "x1": x1} for row, (x0, x1) in enumerate(array)]
    forms = {
        "array": array,
        "dicts": dicts,
        "records": [Record(row, str(row), values) for row, values in enumerate(dicts, 1)],
    }
    text = PROMPT.replace("id: id\n", "").replace("feedback", "x1")
    expected = approaches(prompt_file(text))[name].fit(frame, y).predict_proba(frame)
    estimator = approaches(prompt_file(text))[name].fit(forms[form], y)
    np.testing.assert_array_equal(estimator.predict_proba(forms[form]), expected)


@pytest.mark.parametrize(
    ("X", "y", "kind", "text"),
    [
        (
            pd.DataFrame({"id": [1, 2], "feedback": ["a", "b"]}),
            None,
            ValueError,
            "{name} requires y to be passed, but the target y is None",
        ),
        (
            pd.DataFrame({"id": [1, 2], "feedback": ["a", "b"]}),
            ["stays", "stays"],
            ValueError,
            "y holds one class, 'stays'; {name} needs two or more",
        ),
        (
            pd.DataFrame({"id": [1, 2], "feedback": ["a", "b"]}),
            ["stays", "leave"],
            DataError,
            "column 'outcome' holds 'leave' (nearest: 'leaves'); the labels of p.jinja are "
            "'stays', 'leaves'",
        ),
        (
            pd.DataFrame({"id": [1, 2, 3], "feedback": ["a", "b", "c"]}),
            ["stays", "leaves"],
            DataError,
            "X has 3 rows and y has 2 values",
        ),
        (
            pd.DataFrame({"id": [1, 2], "feedbck": ["a", "b"]}),
            ["stays", "leaves"],
            DataError,
            "X has no column 'feedback' (nearest: 'feedbck')",
        ),
    ],
    ids=["no y", "one class", "unknown label", "other length", "no text column"],
)
def test_faults_say_what_was_found(X, y, kind, text):
    """Of every approach that has to have labels."""
    for estimator in (
        ProbeClassifier(prompt_file(), model=QuietLM()),
        EmbeddingClassifier(prompt_file(), encoder=QuietEncoder()),
        PanelClassifier(prompt_file(), model=QuietLM()),
        TextClassifier(prompt_file()),
        StructuredClassifier(prompt_file()),
        StackClassifier(prompt_file(), members=[PriorClassifier(prompt_file())]),
        CascadeClassifier(prompt_file(), encoder=QuietEncoder(), model=QuietLM()),
        PriorClassifier(prompt_file()),
    ):
        with pytest.raises(kind) as error:
            estimator.fit(X, y)
        assert str(error.value) == text.format(name=type(estimator).__name__)


@pytest.mark.parametrize("name", NAMES)
def test_before_a_fit_there_are_no_predictions(name):
    X, _ = customers(4)
    for method in ("predict", "predict_proba"):
        with pytest.raises(NotFittedError):
            getattr(approaches(prompt_file())[name], method)(X)


# -- without a prompt file ---------------------------------------------------------------------


def test_without_a_prompt_file_every_column_is_shown_and_the_classes_are_the_words():
    X = pd.DataFrame({"orders": [1, 2], "feedback": ["fine", None]})
    lm = SharedLM()
    PromptClassifier(model=lm, calibration="none").fit(X, ["good", "bad"]).predict(X)
    assert [(prompt.system, prompt.user, prompt.answer) for prompt in lm.asked] == [
        (
            "You assign records to classes.",
            "orders: 1\nfeedback: fine\nWhich class is it: bad, good?",
            "The class is",
        ),
        (
            "You assign records to classes.",
            "orders: 2\nfeedback: not recorded\nWhich class is it: bad, good?",
            "The class is",
        ),
    ]


@pytest.mark.parametrize(
    "label", ["yes: no", "#1", 'a "b"', "it's", "null-ish", "{{ x }}", "naïve", "满意", "😀", "~"]
)
def test_any_text_can_be_a_class_without_a_prompt_file(label):
    X, _ = customers(8)
    y = np.array([label, "other"] * 4)
    estimator = PromptClassifier(model=QuietLM()).fit(X, y)
    assert estimator.classes_.tolist() == sorted([label, "other"])
    assert estimator.prompt_file_.words == {each: [each] for each in sorted([label, "other"])}
    assert estimator.predict_proba(X).shape == (8, 2)


# -- zero-shot and calibration -----------------------------------------------------------------


def test_fitted_without_y_it_is_zero_shot():
    X, _ = customers(6)
    lm = SharedLM()
    estimator = PromptClassifier(prompt_file(), model=lm).fit(X)
    assert lm.asked == []  # nothing is to be learned, so nothing is read
    assert estimator.classes_.tolist() == ["leaves", "stays"]
    assert estimator.calibration_.method == "none"
    counts = [[text.count("angry"), text.count("glad")] for text in X["feedback"]]
    np.testing.assert_allclose(estimator.predict_proba(X), softmax(np.array(counts, float)))
    assert estimator.predict(X).dtype.kind == "U"


@pytest.mark.parametrize("form", ["frame", "records"])
def test_fitted_without_y_it_does_not_learn_from_labels_in_x(form):
    """A table that holds its target still is fitted without labels: zero-shot is zero-shot."""
    X, y = customers()
    labelled = X.assign(outcome=y)
    if form == "records":
        rows = X.to_dict("records")
        labelled = [
            Record(n, row["id"], row, label)
            for n, (row, label) in enumerate(zip(rows, y, strict=True), 1)
        ]
    estimator = PromptClassifier(prompt_file(), model=QuietLM()).fit(labelled)
    assert estimator.calibration_.method == "none"
    expected = PromptClassifier(prompt_file(), model=QuietLM()).fit(X).predict_proba(X)
    np.testing.assert_array_equal(estimator.predict_proba(labelled), expected)


def test_none_only_normalises():
    X, y = customers()
    estimator = PromptClassifier(prompt_file(), model=QuietLM(), calibration="none").fit(X, y)
    zero_shot = PromptClassifier(prompt_file(), model=QuietLM()).fit(X)
    np.testing.assert_array_equal(estimator.predict_proba(X), zero_shot.predict_proba(X))


def test_platt_learns_from_labels_what_the_words_are_worth():
    X, y = customers(200)
    y = np.where(y == "leaves", "stays", "leaves")  # so that the words mean nothing good
    raw = PromptClassifier(prompt_file(), model=QuietLM(), calibration="none").fit(X, y)
    platt = PromptClassifier(prompt_file(), model=QuietLM()).fit(X, y)
    assert (platt.calibration_.method, platt.calibration_.rows) == ("platt", 200)
    assert log_loss(y, platt.predict_proba(X)) < log_loss(y, raw.predict_proba(X)) - 0.3


def test_platt_sees_no_shot():
    X, y = customers()
    lm = SharedLM()
    estimator = PromptClassifier(prompt_file(), model=lm, shots=6).fit(X, y)
    assert estimator.calibration_.rows == 34
    shown = {row for turn in lm.asked[0].shots for row in markers(turn.user)}
    asked = [row for prompt in lm.asked for row in markers(prompt.user)]
    assert sorted([*asked, *shown]) == list(range(40))


def test_platt_takes_calibration_rows_at_most_and_no_more_is_read():
    X, y = customers(60)
    lm = SharedLM()
    estimator = PromptClassifier(prompt_file(), model=lm, calibration_rows=20).fit(X, y)
    assert (estimator.calibration_.method, estimator.calibration_.rows) == ("platt", 20)
    assert len(lm.asked) == 20


@pytest.mark.parametrize("shots", [0, 4])
def test_platt_takes_rows_of_every_label_from_a_table_sorted_by_its_outcome(shots):
    """The first rows would all be of one label, and from those nothing can be learned."""
    X, y = customers(120)
    order = np.argsort(y == "stays", kind="stable")
    estimator = PromptClassifier(prompt_file(), model=QuietLM(), shots=shots, calibration_rows=30)
    estimator.fit(X.iloc[order], y[order])
    assert (estimator.calibration_.method, estimator.calibration_.rows) == ("platt", 30)


def test_where_no_row_of_a_label_is_left_platt_is_none():
    X, y = customers(8)
    y = np.array(["leaves", *["stays"] * 7])
    estimator = PromptClassifier(prompt_file(), model=QuietLM(), shots=2).fit(X, y)
    assert estimator.calibration_.method == "none"
    assert np.isfinite(estimator.predict_proba(X)).all()


@pytest.mark.parametrize(
    ("front", "given", "rate"),
    [("", 0.1, 0.1), ("base_rate: 0.3\n", None, 0.3), ("base_rate: 0.3\n", 0.1, 0.1)],
    ids=["parameter", "prompt file", "the parameter before the prompt file"],
)
def test_the_base_rate_is_hit_without_labels(front, given, rate):
    X, _ = customers(250)
    file = prompt_file(PROMPT.replace("id: id\n", f"id: id\n{front}"))
    estimator = PromptClassifier(
        file, model=QuietLM(), calibration="base_rate", base_rate=given
    ).fit(X)
    assert estimator.predict_proba(X)[:, 0].mean() == pytest.approx(rate, abs=1e-9)
    assert estimator.calibration_.rows == 250


def test_without_a_prompt_file_the_base_rate_is_that_of_the_last_class():
    """As in scikit-learn, where the second of two classes is the positive one."""
    X, y = customers(250)
    hit = (y == "leaves").astype(int)
    given = {"model": QuietLM(), "calibration": "base_rate", "base_rate": 0.1}
    found = PromptClassifier(**given).fit(X, hit).predict_proba(X)
    assert found[:, 1].mean() == pytest.approx(0.1, abs=1e-9)


def test_a_base_rate_that_nobody_gave_is_a_fault():
    X, y = customers()
    with pytest.raises(DataError) as error:
        PromptClassifier(prompt_file(), model=QuietLM(), calibration="base_rate").fit(X, y)
    assert str(error.value) == (
        "calibration='base_rate' needs a base_rate, here or in the prompt file"
    )


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"calibration": "plat"}, "'plat'"),
        ({"shots": -1}, "-1"),
        ({"select": "neares", "shots": 2}, "'neares'"),
    ],
    ids=["calibration", "shots", "select"],
)
def test_a_parameter_that_means_nothing_is_refused(given, named):
    """A slip must not be taken for another setting in silence."""
    X, y = customers(8)
    with pytest.raises(ValueError, match=named):
        PromptClassifier(prompt_file(), model=QuietLM(), **given).fit(X, y)


def test_more_labels_than_two_are_calibrated_by_a_slope_and_a_shift_each():
    text = PROMPT.replace("task: binary", "task: multiclass").replace("positive: leaves\n", "")
    file = prompt_file(text.replace("leaves: [angry]", "leaves: [angry], waits: [so]"))
    X, y = customers()
    y[:3] = "waits"
    estimator = PromptClassifier(file, model=QuietLM()).fit(X, y)
    assert estimator.classes_.tolist() == ["leaves", "stays", "waits"]
    found = estimator.calibration_
    assert (found.method, found.labels) == ("vector", ("stays", "leaves", "waits"))
    counts = [[text.count(word) for word in ("glad", "angry", "so")] for text in X["feedback"]]
    scores = np.array(found.slopes) * np.log(softmax(np.array(counts, float)))
    expected = softmax(scores + np.array(found.shifts))
    np.testing.assert_allclose(estimator.predict_proba(X), expected[:, [1, 0, 2]], rtol=1e-6)
    held_out = estimator.cross_fit(X, y)
    np.testing.assert_allclose(held_out.sum(axis=1), 1)


def test_known_shares_of_three_labels_are_met():
    text = PROMPT.replace("task: binary", "task: multiclass").replace("positive: leaves\n", "")
    file = prompt_file(text.replace("leaves: [angry]", "leaves: [angry], waits: [so]"))
    X, _ = customers(250)
    rate = {"leaves": 0.2, "waits": 0.1, "stays": 0.7}
    given = {"model": QuietLM(), "calibration": "base_rate"}
    estimator = PromptClassifier(file, base_rate=rate, **given).fit(X)
    assert estimator.classes_.tolist() == ["leaves", "stays", "waits"]
    np.testing.assert_allclose(estimator.predict_proba(X).mean(axis=0), [0.2, 0.7, 0.1])
    with pytest.raises(DataError) as error:
        PromptClassifier(file, base_rate=0.2, **given).fit(X)
    assert str(error.value) == (
        "base_rate is one number, and there are 3 labels; possible: a share for each of "
        "stays, leaves, waits"
    )


def test_labels_that_y_lacks_take_no_probability():
    """The file knows three labels, the training rows two: the two share everything."""
    text = PROMPT.replace("task: binary", "task: multiclass").replace("positive: leaves\n", "")
    file = prompt_file(text.replace("leaves: [angry]", "leaves: [angry], waits: [as]"))
    X, y = customers()
    for estimator in approaches(file).values():
        if getattr(estimator, "shots", 0):  # balanced shots need every label
            continue
        found = estimator.fit(X, y).predict_proba(X)
        assert found.shape == (40, 2)
        np.testing.assert_allclose(found.sum(axis=1), 1)


# -- shots -------------------------------------------------------------------------------------


@pytest.mark.parametrize("select", ["balanced", "random", "nearest"])
@pytest.mark.parametrize("kind", [PromptClassifier, ProbeClassifier])
def test_shots_come_from_training_rows_alone_and_are_never_the_row_itself(kind, select):
    X, y = customers()
    train, test = np.arange(30), np.arange(30, 40)
    lm = SharedLM()
    estimator = kind(prompt_file(), model=lm, shots=5, select=select, encoder=QuietEncoder())
    estimator.fit(X.iloc[train], y[train])
    estimator.predict_proba(X)  # of the training rows too, which are in the pool
    assert {row for prompt in lm.asked for row in markers(prompt.user)} == {*train, *test}
    for prompt in lm.asked:
        shown = [row for turn in prompt.shots for row in markers(turn.user)]
        assert len(set(shown)) == 5
        assert set(shown) <= {*train} - markers(prompt.user)


def test_a_shot_is_shown_with_its_own_label():
    X, y = customers()
    lm = SharedLM()
    PromptClassifier(prompt_file(), model=lm, shots=8).fit(X, y)
    for turn in lm.asked[0].shots:
        (row,) = markers(turn.user)
        assert turn.reply == f"It feels {'angry' if y[row] == 'leaves' else 'glad'}"


def test_a_probe_is_fitted_on_the_rows_that_are_no_shots():
    X, y = customers()
    lm = SharedLM()
    ProbeClassifier(prompt_file(), model=lm, shots=4).fit(X, y)
    assert len(lm.asked) == 36
    assert {len(prompt.shots) for prompt in lm.asked} == {4}
    ProbeClassifier(prompt_file(), model=(without := SharedLM())).fit(X, y)
    assert len(without.asked) == 40


def test_more_shots_than_rows_are_all_rows():
    X, y = customers(6)
    y[:2] = "leaves", "stays"
    estimator = PromptClassifier(prompt_file(), model=QuietLM(), shots=50).fit(X, y)
    assert estimator.shots_.count == 6
    assert estimator.calibration_.method == "none"


def test_without_a_random_state_the_first_rows_are_taken():
    """A table in random order is drawn already: a longer one then only adds rows."""
    X, y = customers(40)
    y[:4] = "leaves", "stays", "stays", "leaves"
    for rows in (20, 40):
        lm = SharedLM()
        estimator = PromptClassifier(
            prompt_file(), model=lm, shots=4, calibration_rows=8, random_state=None
        )
        estimator.fit(X[:rows], y[:rows])
        assert {row for turn in lm.asked[0].shots for row in markers(turn.user)} == {0, 1, 2, 3}
        assert [row for prompt in lm.asked for row in markers(prompt.user)] == [*range(4, 12)]


def test_random_state_decides_the_shots():
    X, y = customers()

    def shown(seed):
        estimator = PromptClassifier(
            prompt_file(), model=QuietLM(), shots=4, random_state=seed, calibration="none"
        ).fit(X, y)
        estimator.predict_proba(X[:1])
        return list(estimator.shots_.used)

    assert shown(1) == shown(1)
    assert shown(1) != shown(2)


# -- rows that cannot be scored ----------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["prompt", "few-shot", "probe", "probe with shots", "panel", "stack"]
)
def test_the_first_row_that_cannot_be_scored_is_named(name):
    X, y = customers()
    estimator = approaches(prompt_file())[name].fit(X, y)
    X.loc[[7, 9], "feedback"] = "[unscorable] thing"
    with pytest.raises(DataError) as error:
        estimator.predict_proba(X)
    assert str(error.value) == "row 8 could not be scored: it cannot be scored"


@pytest.mark.parametrize("name", ["prompt", "probe", "panel", "stack"])
def test_a_training_row_that_cannot_be_scored_is_named(name):
    X, y = customers()
    X.loc[7, "feedback"] = "[unscorable]"
    with pytest.raises(DataError) as error:
        approaches(prompt_file())[name].fit(X, y)
    assert str(error.value) == "row 8 could not be scored: it cannot be scored"


@pytest.mark.parametrize("name", ["prompt", "probe", "panel", "embedding"])
def test_a_row_that_cannot_be_rendered_is_named(name):
    text = PROMPT.replace("Feedback:", "{{ 1 / customer.orders }} Feedback:")
    X, y = customers()
    estimator = approaches(prompt_file(text))[name].fit(X, y)
    X.loc[4, "orders"] = 0
    with pytest.raises(DataError) as error:
        estimator.predict_proba(X)
    fault = "p.jinja, line 16, row 5: division by zero"
    expected = fault if name == "embedding" else f"row 5 could not be scored: {fault}"
    assert str(error.value) == expected


# -- scikit-learn's tools ----------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_clone_has_the_same_parameters_and_has_learned_nothing(name):
    X, y = customers()
    estimator = approaches(prompt_file())[name].fit(X, y)
    copy = clone(estimator)
    assert copy.get_params().keys() == estimator.get_params().keys()
    assert copy.prompt is estimator.prompt  # loaded once, however many folds there are
    assert not [attribute for attribute in vars(copy) if attribute.endswith("_")]
    changed = clone(estimator).set_params(prompt=None)
    assert changed.prompt is None
    np.testing.assert_array_equal(
        copy.fit(X, y).predict_proba(X), estimator.predict_proba(X)
    )  # fmt: skip


def test_a_clone_shares_a_model_that_remembers():
    memo, embedder = Memo(FakeLM()), Embedder(FakeEncoder())
    copy = clone(PromptClassifier(prompt_file(), model=memo, encoder=embedder))
    assert copy.model is memo
    assert copy.encoder is embedder


@pytest.mark.parametrize("name", NAMES)
def test_a_fit_leaves_the_parameters_as_they_were(name):
    X, y = customers()
    estimator = approaches(prompt_file())[name]
    before = estimator.get_params()
    estimator.fit(X, y)
    after = estimator.get_params()
    assert all(after[key] is value for key, value in before.items())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("source", ["text", "none", "file", "child"])
def test_a_pickled_approach_predicts_the_same(name, source, tmp_path):
    """joblib carries approaches to other processes, and people keep what was fitted."""
    if name == "panel" and source == "none":
        pytest.skip("without a prompt file there are no side questions")
    (tmp_path / "p.jinja").write_text(PROMPT, encoding="utf-8")
    child = '{% extends "p.jinja" %}{% block question %}So?{% endblock %}'
    (tmp_path / "child.jinja").write_text(child, encoding="utf-8")
    prompt = {
        "text": prompt_file(),
        "none": None,
        "file": tmp_path / "p.jinja",
        "child": PromptFile.load(tmp_path / "child.jinja"),
    }[source]
    X, y = customers()
    estimator = approaches(prompt)[name].fit(X, y)
    again = pickle.loads(pickle.dumps(estimator))
    np.testing.assert_array_equal(again.predict_proba(X), estimator.predict_proba(X))
    assert again.prompt_file_.fingerprint == estimator.prompt_file_.fingerprint


def test_a_grid_search_over_shots_works():
    X, y = customers(60)
    memo = Memo(FakeLM())
    search = GridSearchCV(
        PromptClassifier(prompt_file(), model=memo),
        {"shots": [0, 2, 4]},
        scoring="neg_log_loss",
        cv=3,
        error_score="raise",
    ).fit(X, y)
    assert search.best_params_["shots"] in (0, 2, 4)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_estimator_.classes_.tolist() == ["leaves", "stays"]
    # nothing that a fold tests is shown to it
    assert len(set(memo.lm.asked)) == len(memo.lm.asked)


@pytest.mark.parametrize("name", NAMES)
def test_cross_validated_predictions_are_those_of_each_fold(name):
    X, y = customers(60)
    predicted = cross_val_predict(approaches(prompt_file())[name], X, y, cv=3)
    assert set(predicted) <= {"leaves", "stays"}
    # asked for probabilities, scikit-learn numbers the classes before it fits
    hit = (y == "leaves").astype(int)
    estimator = approaches(prompt_file(NUMBERED))[name]
    found = cross_val_predict(estimator, X, hit, cv=3, method="predict_proba")
    assert found.shape == (60, 2)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    if name not in BLIND:
        assert roc_auc_score(hit, found[:, 1]) > 0.7


def test_a_fold_is_shown_no_row_that_it_tests():
    X, y = customers(45)
    lm = SharedLM()
    folds = [(np.r_[0:30], np.r_[30:45]), (np.r_[15:45], np.r_[0:15]), (np.r_[0:15, 30:45], np.r_[15:30])]  # fmt: skip
    estimator = PromptClassifier(prompt_file(), model=lm, shots=4, calibration="none")
    cross_val_predict(estimator, X, y, cv=folds)
    assert len(lm.asked) == 45  # nothing is read to fit, without calibration
    for prompt in lm.asked:
        (tested,) = markers(prompt.user)
        shown = {row for turn in prompt.shots for row in markers(turn.user)}
        assert shown.isdisjoint(range(tested // 15 * 15, tested // 15 * 15 + 15))


# -- what each approach is ---------------------------------------------------------------------


def test_the_embedding_reads_the_customer_alone_and_counts_what_is_cut():
    encoder = FakeEncoder()
    X, y = customers(8)
    X.loc[0, "feedback"] = "one two three four five six seven eight"
    embedder = Embedder(encoder)
    estimator = EmbeddingClassifier(prompt_file(), encoder=embedder).fit(X, y)
    assert encoder.asked[1] == f"orders: {X['orders'][1]}\nFeedback: {X['feedback'][1]}"
    assert estimator.embedder_.truncated == 1
    estimator.predict_proba(X)
    assert len(encoder.asked) == 8


def test_the_probe_learns_what_the_words_do_not_say():
    """The outcome depends on a word that is no label word: only the hidden state tells it."""
    X, _ = customers(120)
    X["feedback"] = [f"{'kind' if row % 3 else 'red'} thing {row}" for row in range(120)]
    y = np.where(np.arange(120) % 3, "stays", "leaves")
    probe = ProbeClassifier(prompt_file(), model=QuietLM()).fit(X[:90], y[:90])
    words = PromptClassifier(prompt_file(), model=QuietLM()).fit(X[:90], y[:90])
    hit = y[90:] == "leaves"
    assert roc_auc_score(hit, probe.predict_proba(X[90:])[:, 0]) > 0.95
    assert roc_auc_score(hit, words.predict_proba(X[90:])[:, 0]) == 0.5


@pytest.mark.parametrize(("name", "looked_up"), [("auto", "the choice"), ("tiny", "found tiny")])
def test_a_model_by_its_name_is_loaded_at_the_fit(monkeypatch, name, looked_up):
    loaded = []

    def load(source):
        loaded.append(source.name)
        return QuietLM()

    choice = Source("the choice", None)
    monkeypatch.setattr("promptpredict.models.choose", lambda: (choice, "a reason"))
    monkeypatch.setattr("promptpredict.models.find", lambda name: Source(f"found {name}", None))
    monkeypatch.setattr("promptpredict.loading.load_language_model", load)
    X, y = customers(8)
    estimator = PromptClassifier(prompt_file(), model=name)
    assert loaded == []
    estimator.fit(X, y).predict(X)
    assert loaded == [looked_up]
    assert estimator.model == name


def test_two_spellings_of_one_label_are_refused():
    """They would be two classes of one column, and its probability would count twice."""
    file = prompt_file(PROMPT.replace("leaves: [angry]", "1: [angry]").replace("stays:", "0:").replace("positive: leaves", "positive: 1"))  # fmt: skip
    X, y = customers(8)
    y = np.array(["1", "1.0", "0", "0", "1", "1.0", "0", "0"])
    with pytest.raises(ValueError, match=r"spellings of one label.*'0', '1', '1\.0'"):
        PriorClassifier(file).fit(X, y)


def test_the_base_rate_is_that_of_all_rows_as_with_every_approach():
    X, _ = customers(8)
    two = np.array(["leaves", "leaves", *["stays"] * 6])
    held_out = PriorClassifier(prompt_file()).cross_fit(X, two)
    assert np.array_equal(held_out, [[0.25, 0.75]] * 8)


@pytest.mark.parametrize("kind", ["few-shot", "probe with shots"])
def test_balanced_shots_do_not_move_the_level(kind):
    """Four shots of 4 and 12 rows leave 2 and 10, a sixth in place of a quarter."""
    X, _ = customers(16)
    X["feedback"] = [f"it came, marker{row}" for row in range(16)]  # which tells nothing
    y = np.array(["leaves", "stays", "stays", "stays"] * 4)
    approach = approaches(prompt_file())[kind]
    held_out = approach.cross_fit(X, y)
    said = approach.predict_proba(X)
    leaves = list(approach.classes_).index("leaves")
    assert said[:, leaves].mean() == pytest.approx(0.25, abs=0.01)
    others = np.isfinite(held_out[:, leaves])
    assert others.sum() == 12
    assert held_out[others, leaves].mean() == pytest.approx(0.25, abs=0.02)


def test_shots_that_leave_no_row_of_a_label_to_a_probe_are_a_fault():
    X, y = customers(8)
    y = np.array(["leaves", *["stays"] * 7])
    with pytest.raises(DataError) as error:
        ProbeClassifier(prompt_file(), model=QuietLM(), shots=2).fit(X, y)
    assert str(error.value) == (
        "2 shots leave no row of the label 'leaves' for the probe to be fitted on; "
        "possible: fewer shots, or more rows"
    )
