"""A language model that remembers: only new prompts are read, and what they cost is kept."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone

from fakes import FakeLM
from promptpredict.estimators import PromptClassifier
from promptpredict.memo import Memo
from promptpredict.prompt import Prompt, Turn
from promptpredict.scores import Labels

LABELS = Labels({"1": ["angry"], "0": ["happy"]})


def prompts(*users):
    return [Prompt("You judge.", (), user, "It feels") for user in users]


class Clock:
    """A clock that stands still until it is moved."""

    now = 0.0

    def perf_counter(self):
        return self.now


class SlowLM(FakeLM):
    """Takes three seconds a prompt."""

    def __init__(self, clock):
        super().__init__()
        self.clock = clock

    def score(self, prompts, labels, *, progress=None):
        self.clock.now += 3 * len(prompts)
        return super().score(prompts, labels, progress=progress)


@pytest.fixture
def memo(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("promptpredict.memo.time", clock)
    return Memo(SlowLM(clock))


def equal(found, expected):
    np.testing.assert_array_equal(found.logprobs, expected.logprobs)
    np.testing.assert_array_equal(found.mass, expected.mass)
    np.testing.assert_array_equal(found.hidden, expected.hidden)
    np.testing.assert_array_equal(found.truncated, expected.truncated)
    assert found.faults == expected.faults


def test_scores_are_those_of_the_language_model_in_the_order_asked(memo):
    memo.score(prompts("happy", "angry [long]"), LABELS)
    asked = prompts("so", "angry [long]", "[unscorable]", "happy", "so")
    equal(memo.score(asked, LABELS), FakeLM().score(asked, LABELS))


def test_the_language_model_is_asked_only_for_new_prompts(memo):
    memo.score(prompts("a", "b", "a"), LABELS)
    memo.score(prompts("b", "c", "a"), LABELS)
    memo.score(prompts("c"), LABELS)
    assert memo.lm.asked == prompts("a", "b", "c")


@pytest.mark.parametrize(
    ("prompt", "labels"),
    [
        (Prompt("You judge.", (), "so", "It is"), LABELS),
        (Prompt("You judge!", (), "so", "It feels"), LABELS),
        (Prompt("You judge.", (Turn("so", "It feels happy"),), "so", "It feels"), LABELS),
        (Prompt("You judge.", (), "so", "It feels"), Labels({"1": ["mad"], "0": ["happy"]})),
        (Prompt("You judge.", (), "so", "It feels"), Labels({"0": ["happy"], "1": ["angry"]})),
        (Prompt("You judge.", (), "so", "It feels"), Labels(LABELS.words, join="")),
    ],
    ids=["answer", "system", "shots", "words", "order of labels", "joiner"],
)
def test_whatever_the_model_reads_makes_a_prompt_new(memo, prompt, labels):
    memo.score(prompts("so"), LABELS)
    equal(memo.score([prompt], labels), FakeLM().score([prompt], labels))
    assert len(memo.lm.asked) == 2


def test_remembered_prompts_cost_what_they_took_and_make_nobody_wait(memo):
    memo.score(prompts("a", "b", "a"), LABELS)
    assert (memo.cost, memo.waited) == (9, 6)
    memo.score(prompts("b", "c"), LABELS)
    assert (memo.cost, memo.waited) == (15, 9)
    memo.score([], LABELS)
    assert (memo.cost, memo.waited) == (15, 9)


def test_a_fault_is_remembered_with_its_reason(memo):
    memo.score(prompts("fine", "[unscorable]"), LABELS)
    again = memo.score(prompts("[unscorable]", "fine", "[unscorable]"), LABELS)
    assert again.faults == {0: "it cannot be scored", 2: "it cannot be scored"}
    assert np.isnan(again.logprobs[[0, 2]]).all()
    assert np.isfinite(again.logprobs[1]).all()
    assert len(memo.lm.asked) == 2


def test_tokens_are_those_read_for_this_call(memo):
    assert memo.score(prompts("one two three", "four"), LABELS).tokens == 4
    assert memo.score(prompts("five six", "four"), LABELS).tokens == 2
    assert memo.score(prompts("four"), LABELS).tokens == 0


def test_progress_counts_every_prompt_once_remembered_or_not(memo):
    memo.score(prompts("a"), LABELS)
    counted = []
    memo.score(prompts("a", "b", "b", "c"), LABELS, progress=counted.append)
    assert sum(counted) == 4


def test_no_prompt_has_scores_of_the_right_shape(memo):
    found = memo.score([], LABELS)
    assert (found.logprobs.shape, found.hidden.shape, found.faults) == ((0, 2), (0, 16), {})


def test_an_error_of_the_language_model_leaves_nothing_half_known(memo, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(memo.lm, "score", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            memo.score(prompts("a"), LABELS)
    equal(memo.score(prompts("a"), LABELS), FakeLM().score(prompts("a"), LABELS))


def test_a_clone_of_an_estimator_shares_what_is_known(memo):
    assert clone(PromptClassifier(model=memo)).model is memo
    assert memo.name == "fake"
