"""Token lists in batches: what an over-long prompt loses, what is shared, what goes together."""

from __future__ import annotations

import random

import pytest

from promptpredict.batching import Fitted, batches, fit
from promptpredict.encoding import Encoded
from promptpredict.errors import DataError
from promptpredict.prompt import PromptFile
from promptpredict.records import Record
from promptpredict.rendered import Prompt
from promptpredict.words import Entry, WordIds

WORDS = WordIds((Entry("1", " yes", (7,)), Entry("0", " no", (8,))), 0)  # no position of its own
SHOT, BARE = 10, 20  # tokens of a shot, and of what is never dropped


def made(shots, words):
    """A prompt of 20 tokens, 10 for each shot and 1 for each word of feedback."""

    def prompt(shots_left, words_left):
        return Prompt(
            "",
            (),
            f"{shots_left} {words_left}",
            "",
            shots_left,
            words_left,
            lambda dropped, fewer: prompt(shots_left - dropped, words_left - fewer),
        )

    return prompt(shots, words)


def encode(prompt):
    shots, words = map(int, prompt.user.split())
    return Encoded(tuple(range(BARE + SHOT * shots + words)), WORDS)


@pytest.mark.parametrize("limit", [20, 21, 29, 30, 32, 33, 34, 43, 50, 53, 60, 73, 79])
@pytest.mark.parametrize("shots", [0, 1, 4])
@pytest.mark.parametrize("words", [0, 1, 13])
def test_as_little_as_can_be_is_dropped_and_shots_first(shots, words, limit):
    ways = [(dropped, 0) for dropped in range(shots + 1)]
    ways += [(shots, fewer) for fewer in range(words + 1)]
    lengths = [BARE + SHOT * (shots - dropped) + words - fewer for dropped, fewer in ways]
    first = next(at for at, length in enumerate(lengths) if length <= limit)
    found = fit(made(shots, words), encode, limit)
    ids = tuple(range(lengths[first]))
    assert found == Fitted(Encoded(ids, WORDS), *ways[first])
    assert found.truncated == (ways[first] != (0, 0))


def test_the_longest_word_has_to_fit_as_well():
    """All but its last token are read behind the prompt."""
    long = WordIds((Entry("1", " yes", (7,)), Entry("0", " not at all", (1, 2, 3))), 0)

    def with_long_word(prompt):
        return Encoded(encode(prompt).ids, long)

    assert fit(made(0, 5), with_long_word, 27).words_dropped == 0
    assert fit(made(0, 5), with_long_word, 26).words_dropped == 1


def test_a_prompt_that_does_not_fit_even_bare():
    with pytest.raises(DataError) as error:
        fit(made(200, 5), encode, BARE - 1)
    assert str(error.value) == (
        "its prompt has 2,025 tokens, and 20 without shots and feedback; the model reads 19"
    )


def test_a_prompt_that_cannot_lose_anything():
    with pytest.raises(DataError) as error:
        fit(Prompt("", (), "1 0", ""), encode, 29)
    assert str(error.value) == (
        "its prompt has 30 tokens, and 30 without shots and feedback; the model reads 29"
    )


FILE = """---
task: binary
target: left
labels: {1: [yes], 0: [no]}
positive: 1
text: [older, newer]
---
{% block system %}Judge.{% endblock %}
{% block customer %}Plan: {{ customer.plan }}. {{ customer.older }} | {{ customer.newer }}{% endblock %}
{% block question %}Will the customer leave?{% endblock %}
"""


def read_words(prompt):
    """Encode each word as a token."""
    turns = [text for turn in prompt.shots for text in (turn.user, turn.reply)]
    text = " ".join([prompt.system, *turns, prompt.user, prompt.answer])
    return Encoded(tuple(text.split()), WORDS)


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (39, "Judge. Plan: a. o1 o2 o3 | n1 n2 Will the customer leave? yes Plan: b. o1 o2 o3 | n1 n2 Will the customer leave? no Plan: c. o1 o2 o3 | n1 n2 Will the customer leave?"),
        (38, "Judge. Plan: b. o1 o2 o3 | n1 n2 Will the customer leave? no Plan: c. o1 o2 o3 | n1 n2 Will the customer leave?"),
        (25, "Judge. Plan: c. o1 o2 o3 | n1 n2 Will the customer leave?"),
        (12, "Judge. Plan: c. o2 o3 | n1 n2 Will the customer leave?"),
        (10, "Judge. Plan: c. | n1 n2 Will the customer leave?"),
        (9, "Judge. Plan: c. | n2 Will the customer leave?"),
        (8, "Judge. Plan: c. | Will the customer leave?"),
    ],
)  # fmt: skip
def test_question_and_fields_stay_where_shots_and_feedback_go(limit, expected):
    """The first shot goes first; ``older`` is declared before ``newer``, so it is the oldest."""

    def record(row, plan, label=None):
        return Record(row, "", {"plan": plan, "older": "o1 o2 o3", "newer": "n1 n2"}, label)

    shots = [record(1, "a", "1"), record(2, "b", "0")]
    prompt = PromptFile.from_text(FILE).render(record(3, "c"), shots)
    assert fit(prompt, read_words, limit).encoded.ids == tuple(expected.split())


# -- batches -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lengths", "budget", "spare", "expected"),
    [
        ([], 10, 9, []),
        ([3, 5, 4], 15, 9, [[1, 2, 0]]),
        ([3, 5, 4], 10, 9, [[1, 2], [0]]),
        ([3, 5, 4], 9, 9, [[1], [2, 0]]),
        ([2, 2, 2], 4, 9, [[0, 1], [2]]),  # equal lengths stay in the order of the rows
        ([1, 100, 1], 10, 9, [[1], [0, 2]]),  # one alone above the budget
        ([100, 100], 10, 9, [[0], [1]]),
        ([3, 1, 1], 1, 9, [[0], [1], [2]]),
        (
            [9, 5, 5],
            30,
            8,
            [[0, 1, 2]],
        ),  # two passes would read 8 tokens fewer, no more than one costs
        ([9, 5, 5], 30, 7, [[0], [1, 2]]),
        ([9, 8, 3, 3, 1], 99, 4, [[0, 1], [2, 3, 4]]),  # 18 less by the best cut, 4 by the next
        ([9, 8, 3, 3, 1], 99, 1, [[0, 1], [2, 3], [4]]),
        ([9, 5, 5], 20, 7, [[0, 1], [2]]),  # no more than what fits is weighed
    ],
)
def test_batches_are_longest_first_within_the_budget_and_without_much_padding(
    lengths, budget, spare, expected
):
    assert batches(lengths, budget, spare) == expected


@pytest.mark.parametrize("seed", range(20))
def test_every_row_is_in_one_batch_and_a_batch_ends_only_where_that_saves_enough(seed):
    rng = random.Random(seed)
    lengths = [rng.randint(1, 40) for _ in range(rng.randint(1, 60))]
    budget, spare = rng.randint(1, 200), rng.choice([0, 20, 10_000])
    groups = batches(lengths, budget, spare)
    order = [index for group in groups for index in group]
    assert sorted(order) == list(range(len(lengths)))
    ordered = sorted(lengths, reverse=True)
    assert [lengths[index] for index in order] == ordered
    start = 0
    for group in groups:
        most = max(1, budget // ordered[start])
        whole = ordered[start : start + most]  # all that would fit
        read = [at * whole[0] + (len(whole) - at) * whole[at] for at in range(1, len(whole))]
        padded = len(whole) * whole[0]
        if len(group) == len(whole):
            assert all(padded - each <= spare for each in read)
        else:
            assert padded - read[len(group) - 1] > spare
            assert read[len(group) - 1] == min(read)
        start += len(group)
