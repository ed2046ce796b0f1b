"""The panel: side questions read in one go, turned one way round, joined by weights one can read."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from fakes import FakeLM
from promptpredict.errors import DataError, PromptError
from promptpredict.memo import Memo
from promptpredict.panels import PanelClassifier
from promptpredict.prompt import PromptFile
from promptpredict.records import Record
from promptpredict.scores import Labels, each_labels
from promptpredict.scoring import score_panel, score_records

# the positive label stands last in the file, and first among the sorted classes
PROMPT = """\
---
task: binary
target: outcome
labels: {stays: [glad, content], leaves: [angry]}
positive: leaves
id: id
text: [feedback]
panel:
  price: {question: "Is the price mentioned?", answer: It is, words: [dear, cheap]}
  delay: {question: "Was it late?", words: [late, early]}
---
{% block system %}You judge.{% endblock %}
{% block customer %}Orders: {{ 12 / customer.orders }}
{{ customer.feedback }}{% endblock %}
{% block question %}And now?{% endblock %}
{% block answer %}It feels{% endblock %}
"""
THREE = PROMPT.replace("task: binary", "task: multiclass").replace(
    "leaves: [angry]}\npositive: leaves", "leaves: [angry], waits: [unsure]}"
)


@pytest.fixture(autouse=True)
def _one_thread():
    with threadpool_limits(1):
        yield


class Recorder(FakeLM):
    """Keeps what it was asked: prompts and labels of each call."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __sklearn_clone__(self):
        return self

    def score(self, prompts, labels, *, progress=None):
        self.calls.append((list(prompts), each_labels(labels, len(prompts))))
        return super().score(prompts, labels, progress=progress)


class Forgetful(FakeLM):
    """Keeps no prompt, so that it can be pickled."""

    def score(self, prompts, labels, *, progress=None):
        scores = super().score(prompts, labels, progress=progress)
        self.asked = []
        return scores


def prompt_file(text=PROMPT):
    return PromptFile.from_text(text, name="p.jinja")


def record(row, feedback, orders=1):
    return Record(row, f"c{row}", {"id": f"c{row}", "feedback": feedback, "orders": orders})


def customers(n, seed=0):
    """Customers who leave where it was late and dear; the other words tell nothing."""
    rng = np.random.default_rng(seed)
    late, dear, angry = rng.random((3, n)) < 0.5
    words = [
        " ".join([("early", "late")[a], ("cheap", "dear")[b], ("glad", "angry")[c]])
        for a, b, c in zip(late * 1, dear * 1, angry * 1, strict=True)
    ]
    leaves = late * 2.0 + dear * 1.0 + rng.normal(0, 0.4, n) > 1.5
    frame = pd.DataFrame({"id": [f"c{row}" for row in range(n)], "orders": 1, "feedback": words})
    return frame, np.where(leaves, "leaves", "stays")


# -- what is read --------------------------------------------------------------------------------


def test_all_questions_of_all_customers_are_one_call_and_a_customers_stand_side_by_side():
    lm = Recorder()
    score_panel(lm, prompt_file(), [record(1, "late"), record(2, "dear")])
    [(prompts, labels)] = lm.calls
    assert [(prompt.system, prompt.user, prompt.answer) for prompt in prompts] == [
        ("You judge.", f"Orders: 12\n{feedback}\n{question}", answer)
        for feedback in ("late", "dear")
        for question, answer in (
            ("And now?", "It feels"),
            ("Is the price mentioned?", "It is"),
            ("Was it late?", ""),
        )
    ]
    own = Labels({"leaves": ["angry"], "stays": ["glad", "content"]})
    asides = [
        Labels({"for": [for_], "against": [against]})
        for for_, against in (("dear", "cheap"), ("late", "early"))
    ]
    assert labels == [own, *asides] * 2
    # as zero-shot asks it, in the file's order, so that both are one pass
    assert [list(each.words) for each in labels[:1]] == [["stays", "leaves"]]


def test_log_odds_are_those_of_the_positive_label_and_of_the_word_for():
    records = [
        record(1, "angry angry dear late late late"),
        record(2, "glad content cheap"),
        record(3, "so"),
    ]
    odds, faults = score_panel(FakeLM(), prompt_file(), records)
    # a question's own words count as well: "Was it late?"
    np.testing.assert_array_equal(odds, [[2, 1, 4], [-2, -1, 1], [0, 0, 1]])
    assert odds.dtype == np.float64
    assert faults == {}


def test_the_order_of_labels_in_the_file_does_not_matter():
    swapped = PROMPT.replace(
        "stays: [glad, content], leaves: [angry]", "leaves: [angry], stays: [glad, content]"
    )
    records = [record(1, "angry dear"), record(2, "glad content")]
    for text in (PROMPT, swapped):
        odds, _ = score_panel(FakeLM(), prompt_file(text), records)
        assert odds[:, 0].tolist() == [1, -2]


@pytest.mark.parametrize(
    "labels",
    [
        "stays: [glad, content], leaves: [angry]",
        "leaves: [angry], stays: [glad, content]",
    ],
    ids=["positive last", "positive first"],
)
def test_its_own_question_is_the_prompt_that_zero_shot_has_read(labels):
    """With the labels in another order it would be another prompt: read, and paid for, twice."""
    file = prompt_file(PROMPT.replace("stays: [glad, content], leaves: [angry]", labels))
    records = [record(1, "late"), record(2, "dear"), record(3, "angry")]
    lm = Recorder()
    memo = Memo(lm)

    def ask():
        score_records(memo, file, records)
        score_panel(memo, file, records)

    assert memo.collect(ask) == 3 * (1 + 2)
    score_records(memo, file, records)
    assert memo.passes == 3
    score_panel(memo, file, records)
    assert (memo.passes, memo.count, len(lm.asked)) == (9, 9, 9)
    asked = [prompt.user.splitlines()[-1] for prompts, _ in lm.calls for prompt in prompts]
    assert asked.count("And now?") == 3


def test_with_more_labels_than_two_the_own_question_is_none_of_them():
    lm = Recorder()
    odds, _ = score_panel(lm, prompt_file(THREE), [record(1, "late dear angry")])
    assert odds.tolist() == [[1, 2]]
    [(prompts, _)] = lm.calls
    assert [prompt.user.splitlines()[-1] for prompt in prompts] == [
        "Is the price mentioned?",
        "Was it late?",
    ]


def test_the_joiner_of_the_file_holds_for_every_question():
    lm = Recorder()
    file = prompt_file(PROMPT.replace("id: id", "id: id\njoin: ''"))
    score_panel(lm, file, [record(1, "late")])
    assert [labels.join for labels in lm.calls[0][1]] == ["", "", ""]


def test_a_row_that_cannot_be_read_has_its_reason_and_the_others_their_places():
    records = [
        record(1, "late", orders=0),
        record(2, "dear"),
        record(3, "[unscorable]"),
        record(4, "cheap"),
    ]
    odds, faults = score_panel(FakeLM(), prompt_file(), records)
    assert faults == {0: "p.jinja, line 13, row 1: division by zero", 2: "it cannot be scored"}
    assert np.isnan(odds[[0, 2]]).all()
    assert odds[[1, 3], 1].tolist() == [1, -1]


def test_a_language_model_answers_each_question_as_if_it_were_asked_alone(tiny_lm):
    file = prompt_file()
    records = [record(1, "late again and dear"), record(2, "so glad")]
    odds, _ = score_panel(tiny_lm, file, records)
    for row, each in enumerate(records):
        own = tiny_lm.score([file.render(each)], Labels(file.words)).logprobs[0]
        asides = [
            tiny_lm.score([file.render_panel(each, name)], Labels({"f": [for_], "a": [against]}))
            for name, (for_, against) in (
                ("price", ("dear", "cheap")),
                ("delay", ("late", "early")),
            )
        ]
        expected = [own[1] - own[0], *(float(-np.diff(s.logprobs[0])[0]) for s in asides)]
        np.testing.assert_allclose(odds[row], expected, atol=1e-4)


# -- the approach --------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [40, 120])
def test_the_weights_of_the_questions_can_be_read(n):
    X, y = customers(n)
    panel = PanelClassifier(prompt_file(), model=Recorder()).fit(X, y)
    assert panel.questions_ == ["its own question", "price", "delay"]
    assert panel.classes_.tolist() == ["leaves", "stays"]
    own, price, delay = -panel.head_.model.coef_[0]  # towards "leaves", the first class
    assert delay > price > abs(own)


def test_weights_are_those_of_log_odds_of_unit_variance():
    """A question whose log-odds vary ten times as much has the same say."""

    class Loud(FakeLM):
        def score(self, prompts, labels, *, progress=None):
            scores = super().score(prompts, labels, progress=progress)
            scores.logprobs[2::3] *= 10
            return scores

    X, y = customers(60)
    plain, loud = (PanelClassifier(prompt_file(), model=lm()).fit(X, y) for lm in (FakeLM, Loud))
    np.testing.assert_allclose(loud.head_.model.coef_, plain.head_.model.coef_, atol=1e-4)
    np.testing.assert_allclose(loud.predict_proba(X), plain.predict_proba(X), atol=1e-4)


def test_its_own_question_weighs_as_much_as_all_the_others():
    """So that four labels that contradict it by chance are not followed by eight side questions."""
    X, y = customers(80)
    panel = PanelClassifier(prompt_file(), model=FakeLM()).fit(X, y)
    odds = panel._scaled(panel._odds(panel.records(X)))
    np.testing.assert_allclose(odds.std(axis=0), [np.sqrt(2), 1, 1], rtol=1e-4)


def test_what_it_learns_holds_for_other_customers_who_are_scaled_as_those_of_the_fit():
    X, y = customers(80)
    asked, truth = customers(60, seed=1)
    panel = PanelClassifier(prompt_file(), model=FakeLM()).fit(X, y)
    found = panel.predict_proba(asked)
    assert roc_auc_score(truth == "leaves", found[:, 0]) > 0.9
    alone = [panel.predict_proba(asked[row : row + 1])[0] for row in range(5)]
    np.testing.assert_allclose(found[:5], alone)


def test_a_fit_and_a_prediction_are_one_call_each():
    lm = Recorder()
    X, y = customers(30)
    PanelClassifier(prompt_file(), model=lm).fit(X, y).predict_proba(X[:4])
    assert [len(prompts) for prompts, _ in lm.calls] == [90, 12]


def test_more_labels_than_two_are_predicted_from_the_side_questions():
    X, _ = customers(90)
    late, dear = X["feedback"].str.contains("late"), X["feedback"].str.contains("dear")
    y = np.select([late & dear, late], ["leaves", "waits"], "stays")
    panel = PanelClassifier(prompt_file(THREE), model=FakeLM()).fit(X, y)
    assert panel.questions_ == ["price", "delay"]
    assert panel.head_.model.coef_.shape == (3, 2)
    np.testing.assert_allclose(panel.predict_proba(X).sum(axis=1), 1)
    assert (panel.predict(X) == y).mean() > 0.95


def test_held_out_probabilities_are_of_every_row():
    X, y = customers(70)
    panel = PanelClassifier(prompt_file(), model=FakeLM())
    found = panel.cross_fit(X, y)
    np.testing.assert_array_equal(found, panel.head_.held_out)
    assert roc_auc_score(y == "leaves", found[:, 0]) > 0.9


def test_a_clone_and_a_pickle_predict_the_same():
    X, y = customers(30)
    panel = PanelClassifier(prompt_file(), model=Forgetful()).fit(X, y)
    expected = panel.predict_proba(X)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(panel)).predict_proba(X), expected)
    np.testing.assert_array_equal(clone(panel).fit(X, y).predict_proba(X), expected)


def test_a_file_without_a_panel_is_refused_before_a_model_is_loaded(monkeypatch):
    monkeypatch.setattr("promptpredict.reading._load", lambda name: 1 / 0)
    text = PROMPT[: PROMPT.index("panel:")] + PROMPT[PROMPT.index("---\n{%") :]
    X, y = customers(8)
    with pytest.raises(PromptError) as error:
        PanelClassifier(prompt_file(text)).fit(X, y)
    assert str(error.value) == "p.jinja has no panel; possible: side questions under 'panel'"


def test_where_no_row_can_be_rendered_each_has_its_reason():
    records = [record(1, "late", orders=0), record(2, "dear", orders=0)]
    odds, faults = score_panel(FakeLM(), prompt_file(), records)
    assert (odds.shape, np.isnan(odds).all()) == ((2, 3), True)
    assert [fault.partition(": ")[2] for fault in faults.values()] == ["division by zero"] * 2


def test_the_first_row_that_cannot_be_scored_is_named():
    X, y = customers(20)
    panel = PanelClassifier(prompt_file(), model=FakeLM()).fit(X, y)
    X.loc[[6, 9], "feedback"] = "[unscorable]"
    for call in (lambda: panel.predict_proba(X), lambda: panel.fit(X, y)):
        with pytest.raises(DataError) as error:
            call()
        assert str(error.value) == "row 7 could not be scored: it cannot be scored"
