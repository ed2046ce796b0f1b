"""Records to scores: row i is record i, whatever could not be rendered or scored."""

from __future__ import annotations

import numpy as np
import pytest

from fakes import FakeLM
from promptpredict.prompt import PromptFile
from promptpredict.records import Record
from promptpredict.scoring import score_records
from promptpredict.shots import Shots

PROMPT = """\
---
task: binary
target: churn
labels: {1: [angry, mad], 0: [happy]}
positive: 1
id: id
text: [feedback]
---
{% block system %}You judge.{% endblock %}
{% block customer %}Orders: {{ 12 / customer.orders }}
Feedback: {{ customer.feedback }}{% endblock %}
{% block question %}How does it feel?{% endblock %}
{% block answer %}It feels{% endblock %}
"""


@pytest.fixture(scope="module")
def prompt_file():
    return PromptFile.from_text(PROMPT, name="p.jinja")


def record(row, feedback, *, orders=1, label=None):
    values = {"id": f"c{row}", "orders": orders, "feedback": feedback}
    return Record(row, f"c{row}", values, label)


def unrenderable(row):
    return record(row, "happy", orders=0)  # 12 / 0


REASON = "p.jinja, line 10, row {row}: division by zero"


def test_row_i_of_the_scores_is_record_i(prompt_file):
    records = [record(1, "angry mad"), record(2, "happy [long]"), record(3, "so")]
    found = score_records(FakeLM(), prompt_file, records)
    np.testing.assert_array_equal(found.logprobs, [[-4, -6], [-6, -5], [-6, -6]])
    np.testing.assert_allclose(found.mass, np.exp(found.logprobs).sum(1))
    assert found.truncated.tolist() == [False, True, False]
    assert (found.hidden.shape, found.faults) == ((3, 16), {})


def test_the_model_is_asked_what_the_prompt_file_renders(prompt_file):
    lm = FakeLM()
    records = [record(1, "late"), record(2, "good")]
    found = score_records(lm, prompt_file, records)
    assert lm.asked == [prompt_file.render(each) for each in records]
    assert found.tokens == sum(len(prompt.user.split()) for prompt in lm.asked)


OTHER = PROMPT.replace("labels: {1: [angry, mad], 0: [happy]}", "labels: {0: [glad], 1: [late]}").replace(
    "How does it feel?", "And?"
)  # fmt: skip


def test_several_prompt_files_are_averaged_in_log_space_label_by_label(prompt_file):
    """The other file has the labels in another order, and words of its own."""
    other, lm, counted = PromptFile.from_text(OTHER, name="other.jinja"), FakeLM(), []
    records = [
        record(1, "angry late"),
        unrenderable(2),
        record(3, "happy [long]"),
        record(4, "glad"),
    ]
    found = score_records(lm, prompt_file, records, others=[other], progress=counted.append)
    alone = [score_records(FakeLM(), file, records) for file in (prompt_file, other)]
    np.testing.assert_allclose(found.logprobs, (alone[0].logprobs + alone[1].logprobs[:, ::-1]) / 2)
    np.testing.assert_allclose(found.mass, (alone[0].mass + alone[1].mass) / 2)
    assert found.truncated.tolist() == [False, False, True, False]
    assert found.faults == {1: REASON.format(row=2)}
    assert found.tokens == alone[0].tokens + alone[1].tokens
    assert sum(counted) == 4
    # a customer's prompts stand side by side
    assert [prompt.user.splitlines()[-1] for prompt in lm.asked] == [
        "How does it feel?",
        "And?",
    ] * 3


def test_a_record_that_one_of_several_prompts_cannot_score_is_a_fault(prompt_file):
    other = PromptFile.from_text(OTHER.replace("And?", "[unscorable] And?"), name="other.jinja")
    found = score_records(FakeLM(), prompt_file, [record(1, "late")], others=[other])
    assert found.faults == {0: "it cannot be scored"}
    assert np.isnan(found.logprobs).all()
    assert score_records(FakeLM(), prompt_file, [], others=[other]).logprobs.shape == (0, 2)


def test_the_joiner_of_the_prompt_file_reaches_the_model():
    given = {}

    class Spy(FakeLM):
        def score(self, prompts, labels, *, progress=None):
            given["labels"] = labels
            return super().score(prompts, labels, progress=progress)

    joined = PromptFile.from_text(PROMPT.replace("id: id", "id: id\njoin: ''"))
    score_records(Spy(), joined, [record(1, "late")])
    assert given["labels"].join == ""
    assert given["labels"].words == {"1": ["angry", "mad"], "0": ["happy"]}


def test_a_record_that_cannot_be_scored_keeps_its_place(prompt_file):
    records = [
        unrenderable(7), record(8, "angry"), record(9, "[unscorable]"), unrenderable(10),
        record(11, "happy [long]"),
    ]  # fmt: skip
    lm = FakeLM()
    found = score_records(lm, prompt_file, records)
    assert found.faults == {
        0: REASON.format(row=7),
        2: "it cannot be scored",
        3: REASON.format(row=10),
    }
    np.testing.assert_array_equal(found.logprobs[[1, 4]], [[-5, -6], [-6, -5]])
    for values in (found.logprobs, found.hidden[[0, 3]], found.mass):
        assert np.isnan(values[[0]]).all()
    assert np.isnan(found.logprobs[[0, 2, 3]]).all()
    assert found.truncated.tolist() == [False, False, False, False, True]
    assert len(lm.asked) == 3


def test_where_nothing_can_be_rendered_everything_has_its_reason(prompt_file):
    found = score_records(FakeLM(), prompt_file, [unrenderable(1), unrenderable(2)])
    assert found.faults == {0: REASON.format(row=1), 1: REASON.format(row=2)}
    assert np.isnan(found.logprobs).all()
    assert (found.logprobs.shape, found.hidden.shape) == ((2, 2), (2, 16))


def test_no_record_has_scores_of_the_right_shape(prompt_file):
    found = score_records(FakeLM(), prompt_file, [])
    assert (found.logprobs.shape, found.mass.shape, found.hidden.shape) == ((0, 2), (0,), (0, 16))
    assert (found.faults, found.tokens) == ({}, 0)


def test_progress_counts_every_record_once(prompt_file):
    records = [unrenderable(1), record(2, "angry"), record(3, "[unscorable]")]
    counted = []
    score_records(FakeLM(), prompt_file, records, progress=counted.append)
    assert sum(counted) == 3


def test_each_record_is_shown_its_own_shots(prompt_file):
    pool = [record(n, f"text {n}", label=str(n % 2)) for n in range(4)]
    shots = Shots(prompt_file, pool, 2)
    lm = FakeLM()
    asked = [record(100, "late"), pool[0]]  # the second may be one of the shots itself
    score_records(lm, prompt_file, asked, shots)
    expected = Shots(prompt_file, pool, 2).choose(asked)
    assert lm.asked == [
        prompt_file.render(one, shown) for one, shown in zip(asked, expected, strict=True)
    ]
    assert [len(prompt.shots) for prompt in lm.asked] == [2, 2]


def test_a_shot_that_cannot_be_rendered_is_the_reason_of_the_rows_that_show_it(prompt_file):
    """The reason names the shot's row: the customer itself is fine."""
    pool = [record(1, "good", label="0"), record(2, "bad", orders=0, label="1")]
    shots = Shots(prompt_file, pool, 2)
    found = score_records(FakeLM(), prompt_file, [record(9, "late")], shots)
    assert found.faults == {0: REASON.format(row=2)}
