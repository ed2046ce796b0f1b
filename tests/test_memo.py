"""A language model that remembers: only new prompts are read, and what they cost is kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.base import clone

from fakes import FakeLM
from promptpredict.estimators import PromptClassifier
from promptpredict.ledger import Ledger
from promptpredict.lm import CausalLM
from promptpredict.memo import Memo
from promptpredict.rendered import Prompt, Turn
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


# -- collecting ----------------------------------------------------------------------------------


class CountingLM(FakeLM):
    """Counts the words of a prompt as its tokens; behind others of its customer it takes one.

    ``calls`` are the users' turns of each call.
    """

    def __init__(self):
        super().__init__()
        self.calls = []

    def score(self, prompts, labels, *, progress=None):
        self.calls.append([prompt.user for prompt in prompts])
        scores = super().score(prompts, labels, progress=progress)
        read = [(len(prompt.user.split()), 1) for prompt in prompts]
        return replace(scores, read=np.array(read, np.float32))

    def count(self, prompts, labels):
        return sum(len(prompt.user.split()) for prompt in prompts)


def test_collecting_reads_nothing_and_counts_distinct_prompts():
    memo = Memo(CountingLM())
    memo.score(prompts("known one"), LABELS)
    found = memo.collect(lambda: memo.score(prompts("a b", "known one", "c", "a b"), LABELS))
    assert found == 3
    assert memo.lm.asked == prompts("known one")
    assert (memo.passes, memo.tokens_read, memo.tokens, memo.count) == (1, 2, 2, 1)
    assert memo.new() == [(prompt, LABELS) for prompt in prompts("a b", "c")]
    assert memo.count_new() == 3
    assert not memo.collecting


def test_what_was_collected_is_read_once_and_nothing_is_read_afterwards():
    memo = Memo(CountingLM())
    asked = prompts("b", "a", "b", "[unscorable]")
    memo.collect(lambda: memo.score(asked, LABELS))
    counted = []
    assert memo.read_collected(counted.append)  # one has a fault
    assert sorted(memo.lm.asked, key=lambda prompt: prompt.user) == prompts(
        "[unscorable]", "a", "b"
    )
    assert (sum(counted), memo.passes, memo.count_new(), memo.new()) == (3, 3, 0, [])
    found = memo.score(asked, LABELS)
    equal(found, FakeLM().score(asked, LABELS))
    assert (found.tokens, len(memo.lm.calls)) == (0, 1)
    assert not memo.read_collected()
    assert len(memo.lm.calls) == 1


def test_numbers_while_collecting_suit_any_number_of_labels():
    labels = Labels({f"l{n}": [f"w{n}"] for n in range(40)})
    memo, found = Memo(FakeLM()), []
    memo.collect(lambda: found.append(memo.score(prompts("a", "b"), labels)))
    assert found[0].logprobs.shape == (2, 40)


def test_numbers_while_collecting_let_any_fit_go_through():
    memo = Memo(FakeLM())
    seen = []

    def ask():
        seen.append(memo.collecting)
        seen.append(memo.score(prompts("a", "b", "a"), LABELS))

    memo.collect(ask)
    collecting, scores = seen
    assert collecting
    assert (scores.logprobs.shape, scores.hidden.shape[0], scores.tokens) == ((3, 2), 3, 0)
    assert np.isfinite(scores.logprobs).all()
    assert scores.logprobs.dtype == scores.hidden.dtype == np.float32
    assert scores.logprobs[0].tolist() == scores.logprobs[2].tolist()
    assert scores.logprobs[0].tolist() != scores.logprobs[1].tolist()
    equal(memo.score(prompts("a"), LABELS), FakeLM().score(prompts("a"), LABELS))


def test_a_fault_that_is_known_is_a_fault_while_collecting_too():
    """What a fit would do with the row is then done already, and the same prompts are collected."""
    memo = Memo(FakeLM())
    memo.score(prompts("[unscorable]", "fine"), LABELS)
    found = []
    memo.collect(lambda: found.append(memo.score(prompts("fine", "[unscorable]", "new"), LABELS)))
    assert found[0].faults == {1: "it cannot be scored"}


class Short(FakeLM):
    """Knows what it cannot read before it reads it."""

    def fault(self, prompt, labels):
        return "it is too long" if "[unscorable]" in prompt.user else None


def test_what_cannot_be_read_is_a_fault_while_collecting_and_no_prompt_that_was_asked_for():
    memo, found = Memo(Short()), []
    memo.collect(lambda: found.append(memo.score(prompts("fine", "[unscorable]"), LABELS)))
    assert found[0].faults == {1: "it is too long"}
    memo.collect(lambda: memo.score(prompts("fine", "new"), LABELS))
    assert not memo.read_collected()
    assert (memo.count, memo.passes) == (2, 2)
    assert [prompt.user for prompt in memo.lm.asked] == [p.user for p in prompts("fine", "new")]


def test_an_error_while_collecting_ends_the_collecting():
    memo = Memo(FakeLM())
    with pytest.raises(ZeroDivisionError):
        memo.collect(lambda: 1 / 0)
    assert not memo.collecting
    equal(memo.score(prompts("a"), LABELS), FakeLM().score(prompts("a"), LABELS))


def test_a_second_collection_takes_the_place_of_the_first():
    memo = Memo(CountingLM())
    memo.collect(lambda: memo.score(prompts("a"), LABELS))
    memo.collect(lambda: memo.score(prompts("b"), LABELS))
    memo.read_collected()
    assert memo.lm.calls == [["b"]]
    assert memo.count == 1


def test_a_language_model_that_cannot_count_says_so():
    memo = Memo(FakeLM())
    memo.collect(lambda: memo.score(prompts("a"), LABELS))
    with pytest.raises(TypeError, match=r"^fake does not count tokens$"):
        memo.count_new()


def test_of_runs_planned_one_after_the_other_the_first_reads_what_both_need():
    memo = Memo(CountingLM())
    memo.collect(lambda: memo.score(prompts("a b", "c"), LABELS))
    assert [memo.count_new(), memo.count_new()] == [3, 3]
    memo.collect(lambda: memo.score(prompts("c", "d e f"), LABELS))
    assert memo.count_new() == 3
    memo.read_collected()
    assert memo.count_new() == 0


def test_what_will_be_read_is_counted_as_it_is_read(tiny_lm):
    fresh = CausalLM(tiny_lm.model, tiny_lm.encoder.tokenizer, name="tiny")
    memo = Memo(fresh)
    users = [f"Feedback: {'never again ' * (row % 4)}{row}\nHow?" for row in range(12)]
    memo.score(prompts("Feedback: so"), LABELS)
    memo.collect(lambda: memo.score(prompts(*users, *users[:4]), LABELS))
    expected, before = memo.count_new(), memo.tokens_read
    memo.read_collected()
    assert memo.tokens_read - before == expected > 12


# -- the order of reading ------------------------------------------------------------------------


def test_prompts_are_read_in_an_order_that_shares_most(monkeypatch):
    """Those of one customer stand side by side, behind the same shots; chunks cut where they may."""
    monkeypatch.setattr("promptpredict.memo._CHUNK", 4)
    shown = (Turn("He is glad\nMood?", "It feels happy"),)
    asked = [
        Prompt("You judge.", shots, f"{customer}\n{question}", "It is")
        for question in ("Mood?", "Price?")
        for shots in (shown, ())
        for customer in ("b", "a")
    ]
    memo = Memo(CountingLM())
    equal(memo.score(asked, LABELS), FakeLM().score(asked, LABELS))
    once = ["a\nMood?", "a\nPrice?", "b\nMood?", "b\nPrice?"]
    assert memo.lm.calls == [once, once]
    assert [len(prompt.shots) for prompt in memo.lm.asked] in ([0] * 4 + [1] * 4, [1] * 4 + [0] * 4)


def test_questions_with_as_many_labels_are_read_in_one_call_whatever_their_words():
    three = Labels({"1": ["a"], "2": ["b"], "3": ["c"]})
    other = Labels({"for": ["dear"], "against": ["cheap"]})
    memo = Memo(CountingLM())

    def ask():
        memo.score(prompts("z three"), three)
        memo.score(prompts("a mood", "a price", "b mood", "b price"), [LABELS, other] * 2)

    memo.collect(ask)
    memo.read_collected()
    assert memo.lm.calls == [["a mood", "a price", "b mood", "b price"], ["z three"]]
    found = memo.score(prompts("b price", "a mood"), [other, LABELS])
    equal(found, FakeLM().score(prompts("b price", "a mood"), [other, LABELS]))
    assert memo.score(prompts("z three"), three).logprobs.shape == (1, 3)


# -- what it costs -------------------------------------------------------------------------------


def test_a_prompt_costs_its_tokens_alone_and_its_part_where_questions_share_a_customer(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("promptpredict.memo.time", clock)

    class Slow(CountingLM):
        def score(self, prompts, labels, *, progress=None):
            scores = super().score(prompts, labels, progress=progress)
            clock.now += 0.5 * scores.tokens
            return scores

    memo = Memo(Slow())
    memo.score(prompts("one two three", "four"), LABELS)
    assert (memo.tokens, memo.cost, memo.waited, memo.tokens_read) == (4, 2.0, 2.0, 4)
    memo.score(prompts("one two three"), LABELS)
    assert (memo.tokens, memo.cost, memo.waited, memo.tokens_read) == (7, 3.5, 2.0, 4)
    found = memo.score(
        prompts("one two three", "four"), [LABELS, LABELS]
    )  # one token each, together
    assert (memo.tokens, memo.cost, memo.waited, memo.tokens_read) == (9, 4.5, 2.0, 4)
    np.testing.assert_array_equal(found.read, [[3, 1], [1, 1]])


def test_where_a_language_model_does_not_say_what_it_read_all_prompts_cost_the_same(memo):
    found = memo.score(prompts("one two three", "four"), LABELS)
    np.testing.assert_array_equal(found.read, [[2, 2], [2, 2]])
    assert memo.tokens == 4


# -- the ledger ----------------------------------------------------------------------------------


def test_two_runs_on_one_ledger_read_nothing_twice(tmp_path):
    path = tmp_path / "l"
    asked = prompts("angry [long]", "angry", "happy happy")
    first = Memo(CountingLM(), ledger=Ledger(path))
    expected = first.score(asked, LABELS)
    again = Memo(CountingLM(), ledger=Ledger(path))
    assert again.collect(lambda: again.score(asked, LABELS)) == 3
    assert (again.new(), again.count_new()) == ([], 0)
    assert not again.read_collected()
    found = again.score(asked[::-1], LABELS)
    equal(again.score(asked, LABELS), expected)
    assert found.logprobs[::-1].tobytes() == expected.logprobs.tobytes()
    assert (again.lm.calls, again.passes, again.waited, found.tokens) == ([], 0, 0, 0)
    assert again.cost == pytest.approx(2 * first.cost)
    assert again.tokens == 2 * first.tokens
    again.score(prompts("new", "happy happy"), LABELS)
    assert again.lm.calls == [["new"]]


def test_what_could_not_be_scored_is_asked_again_by_a_later_run(tmp_path):
    """There may be memory for it then."""
    asked = prompts("[unscorable]", "fine")
    for expected in (asked, asked[:1]):
        memo = Memo(FakeLM(), ledger=Ledger(tmp_path / "l"))
        for _ in range(2):
            assert memo.score(asked, LABELS).faults == {0: "it cannot be scored"}
        assert memo.lm.asked == expected


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [("weights a", "weights a", True), ("weights a", "weights b", False), ("", "fake", True)],
)
def test_a_model_is_told_from_any_other_by_its_identity(tmp_path, one, other, shared):
    path = tmp_path / "l"
    Memo(FakeLM(), identity=one, ledger=Ledger(path)).score(prompts("a"), LABELS)
    memo = Memo(FakeLM(), identity=other, ledger=Ledger(path))
    memo.score(prompts("a"), LABELS)
    assert memo.lm.asked == ([] if shared else prompts("a"))


def test_what_was_read_before_an_interruption_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("promptpredict.memo._CHUNK", 2)

    class Breaks(CountingLM):
        def score(self, prompts, labels, *, progress=None):
            if len(self.calls) == 2:
                raise KeyboardInterrupt
            return super().score(prompts, labels, progress=progress)

    asked = prompts(*"abcdefg")
    with pytest.raises(KeyboardInterrupt):
        Memo(Breaks(), ledger=Ledger(tmp_path / "l")).score(asked, LABELS)
    memo = Memo(CountingLM(), ledger=Ledger(tmp_path / "l"))
    memo.score(asked, LABELS)
    assert memo.lm.calls == [["e", "f"], ["g"]]


def test_the_ledger_holds_no_word_of_a_customer(tmp_path):
    memo = Memo(FakeLM(), ledger=Ledger(tmp_path / "l"))
    memo.score(prompts("my-secret-word"), LABELS)
    for file in tmp_path.iterdir():
        assert b"secret" not in file.read_bytes()
