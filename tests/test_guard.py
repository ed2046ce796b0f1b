"""How far a text moves a score: against the same customers without it, one by one."""

from __future__ import annotations

import numpy as np
import pytest

from fakes import FakeLM
from promptpredict.guard import log_odds, text_moves
from promptpredict.prompt import PromptFile
from promptpredict.records import Record
from promptpredict.scoring import score_records
from promptpredict.shots import Shots

TEXT = """---
task: multiclass
target: mood
labels: {bad: [angry], fine: [fine], good: [happy]}
id: id
text: [first, last]
---
{% block system %}You judge.{% endblock %}
{% block customer %}Plan: {{ customer.plan }}
{{ customer.first }}
{{ customer.last }}{% endblock %}
{% block question %}How?{% endblock %}
{% block answer %}It is{% endblock %}
"""
FILE = PromptFile.from_text(TEXT)


def record(row, first, last, plan="basic", label=None):
    return Record(row, f"c{row}", {"plan": plan, "first": first, "last": last}, label)


def test_log_odds_are_those_of_a_label_against_all_others():
    chances = np.array([[0.1, 0.2, 0.3], [0.5, 0.5, 1e-9]])
    expected = [[p / (chances[at].sum() - p) for p in chances[at]] for at in range(2)]
    np.testing.assert_allclose(log_odds(np.log(chances)), np.log(expected), atol=1e-12)
    np.testing.assert_allclose(log_odds(np.log(chances) - 50), np.log(expected), atol=1e-12)


def test_of_two_labels_they_are_one_figure_and_its_negative():
    odds = log_odds(np.array([[-3.0, -5.0]]))
    np.testing.assert_allclose(odds, [[2, -2]])


def test_the_text_is_all_that_is_left_out():
    lm = FakeLM()
    records = [
        record(1, "angry angry", "so", "happy"),
        record(2, "", "nothing"),
        record(3, None, None),
    ]
    clean = score_records(lm, FILE, records)
    moved = text_moves(lm, FILE, records, clean.logprobs)
    bare = [record(one.row, None, None, one.values["plan"]) for one in records]
    without = log_odds(score_records(FakeLM(), FILE, bare).logprobs)
    np.testing.assert_allclose(moved, np.abs(log_odds(clean.logprobs) - without).max(axis=1))
    assert moved[0] > 1
    assert moved[1:].tolist() == [0, 0]
    assert lm.asked[3].user == "Plan: happy\nnot recorded\nnot recorded\nHow?"


def test_the_shots_stay_those_of_the_text():
    pool = [
        record(1, "slow", "", label="bad"),
        record(2, "quick", "", label="good"),
        record(3, "so so", "", label="fine"),
    ]

    def embed(texts):
        return np.array([["slow" in text, "quick" in text, 0.1] for text in texts], float)

    shots = Shots(FILE, pool, 1, "nearest", 0, embed)
    lm = FakeLM()
    asked = [record(4, "quick quick", "happy"), record(5, "slow", "angry")]
    clean = score_records(lm, FILE, asked, shots)
    moved = text_moves(lm, FILE, asked, clean.logprobs, shots)
    shown = [[turn.user for turn in prompt.shots] for prompt in lm.asked]
    assert shown[:2] == shown[2:]
    assert len(set(map(tuple, shown))) == 2
    # a nat for a word: (6 happy, 5, 5) against all alike
    odds = -5 - np.logaddexp(-6, -6) - np.log(1 / 2)
    np.testing.assert_allclose(moved, [odds, odds], rtol=1e-5)


def test_a_row_without_a_score_has_no_figure():
    lm = FakeLM()
    asked = [record(1, "[unscorable]", "happy"), record(2, "fine", "", "[unscorable]")]
    asked.append(record(3, "fine", ""))
    clean = score_records(lm, FILE, asked)
    moved = text_moves(lm, FILE, asked, clean.logprobs)
    assert np.isnan(moved).tolist() == [True, True, False]


@pytest.mark.parametrize("count", [0, 3])
def test_other_prompt_files_are_averaged_with_and_without(count):
    others = [FILE] * count
    asked = [record(1, "angry", "angry")]
    lm = FakeLM()
    clean = score_records(lm, FILE, asked, others=others)
    found = text_moves(lm, FILE, asked, clean.logprobs, others=others)
    alone = score_records(lm, FILE, asked)
    np.testing.assert_allclose(found, text_moves(lm, FILE, asked, alone.logprobs))
    assert asked[0].values["first"] == "angry"  # the record itself keeps its text
