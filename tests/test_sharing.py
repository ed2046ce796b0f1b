"""Prefixes of their own: kept where many sequences share much, left to trees where few do."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from promptpredict.sharing import Beginning, Shared, prefix_groups
from promptpredict.trees import TokenTree, clusters
from promptpredict.words import WordTree

SYSTEM = tuple(range(2000, 2060))
SPARE = 32  # tokens that a pass costs
NO_WORDS = WordTree.build([(1,), (2,)])


def text(seed, length):
    return tuple(random.Random(seed).choices(range(1000), k=length))


def shot_prompts(shots, customers, *, length=600, seed=0):
    """Return the prompts of customers who are shown the same shots."""
    shown = text(f"shots {seed}", length)
    return [SYSTEM + shown + text(f"{seed} {n}", 40) for n in range(customers)][: shots or None]


def questions(customers, count=8):
    """Return the prompts of questions about customers, customer by customer."""
    return [
        SYSTEM + text(f"customer {n}", 90) + text(f"question {q}", 20)
        for n in range(customers)
        for q in range(count)
    ]


def read(sequences, groups, room):
    """Return the tokens that are read: each prefix once, each tree of what stands behind it."""
    tokens, kept = 0, Beginning()
    for group in groups:
        depth = max(group.steps, default=0)
        beginning = Beginning(sequences[group.members[0]][:depth], group.steps)
        tokens += depth - beginning.common(kept)
        kept = beginning
        rest = [sequences[index][depth:] for index in group.members]
        for cluster in clusters(rest, room):
            tree = TokenTree()
            for index in cluster:
                tree.place(rest[index], NO_WORDS)
            tokens += len(tree)
    return tokens


def found(sequences, room=1000):
    return [
        (max(group.steps, default=0), len(group.members))
        for group in prefix_groups(sequences, room, SPARE)
    ]


def test_shots_that_many_customers_see_are_kept_apart_from_other_shots():
    sequences = shot_prompts(None, 50, seed=1) + shot_prompts(None, 40, seed=2) + questions(5)
    assert sorted(found(sequences)) == [(60, 40), (660, 40), (660, 50)]


def test_shots_that_two_customers_see_stay_in_a_tree():
    sequences = shot_prompts(None, 2, seed=1) + questions(20)
    assert found(sequences) == [(60, 162)]


def test_the_text_of_a_customer_is_no_prefix_of_its_own():
    assert found(questions(30)) == [(60, 240)]


@pytest.mark.parametrize(("room", "customers"), [(32_768, 40), (2_048, 4)])
def test_long_texts_behind_shots_are_read_behind_a_prefix_each(room, customers):
    """They share less than half of their tokens, so no tree takes two of them."""
    sequences = [
        SYSTEM + text(stem, 300) + text(f"{stem} {n}", 400)
        for stem in range(5)
        for n in range(customers)
    ]
    assert sorted(found(sequences, room)) == [(360, customers)] * 5


def test_a_tree_that_has_no_room_makes_a_prefix_worth_while():
    sequences = shot_prompts(None, 3, seed=1) + shot_prompts(None, 3, seed=2)
    assert found(sequences, room=2000) == [(60, 6)]
    assert sorted(found(sequences, room=650)) == [(660, 3), (660, 3)]


@pytest.mark.parametrize(
    ("sequences", "expected"),
    [
        ([], []),
        ([(1, 2, 3)], [Shared((), [0])]),
        ([(1, 2, 3), (1, 2, 3)], [Shared((2,), [0, 1])]),  # the last id of each is its own
        ([(1, 2), (3, 4)], [Shared((), [0, 1])]),
        ([(1,), (1,), (1,)], [Shared((), [0, 1, 2])]),
        # A whole prompt that begins the others keeps its last id for itself.
        ([(5,), (5, 6, 7), (5, 6, 8)], [Shared((), [0, 1, 2])]),
    ],
)
def test_short_sequences(sequences, expected):
    assert prefix_groups(sequences, 100, SPARE) == expected


@pytest.mark.parametrize("seed", range(40))
def test_every_sequence_is_in_one_group_shares_its_prefix_and_keeps_an_id(seed):
    rng = random.Random(seed)
    stems = [SYSTEM[: rng.randint(0, 60)] + text(n, rng.randint(0, 300)) for n in range(4)]
    sequences = [
        rng.choice(stems) + text(rng.random(), rng.randint(1, 60))
        for _ in range(rng.randint(1, 60))
    ]
    groups = prefix_groups(sequences, rng.choice([50, 400, 5000]), rng.choice([0, SPARE, 1000]))
    places = sorted(index for group in groups for index in group.members)
    assert places == list(range(len(sequences)))
    for group in groups:
        assert list(group.steps) == sorted(set(group.steps) - {0})
        depth = max(group.steps, default=0)
        assert len({sequences[index][:depth] for index in group.members}) == 1
        assert all(len(sequences[index]) > depth for index in group.members)


@pytest.mark.parametrize("seed", range(40))
def test_about_as_few_tokens_are_read_as_by_the_better_of_the_two_simple_ways(seed):
    """One prefix for all, or one for each stem: what it finds is never much dearer than either."""
    rng = random.Random(seed)
    room = rng.choice([700, 2000])
    stems = [SYSTEM + text(n, rng.randint(100, 600)) for n in range(rng.randint(1, 6))]
    sequences, of = [], []
    for stem, ids in enumerate(stems):
        for _ in range(rng.randint(2, 40)):
            sequences.append(ids + text(rng.random(), rng.randint(10, 60)))
            of.append(stem)
    whole = [Shared((len(SYSTEM),), list(range(len(sequences))))]
    each = [
        Shared((len(ids),), [at for at, own in enumerate(of) if own == stem])
        for stem, ids in enumerate(stems)
    ]
    best = min(read(sequences, ways, room) for ways in (whole, each))
    assert read(sequences, prefix_groups(sequences, room, 0), room) <= 1.05 * best


# -- prefixes behind prefixes ------------------------------------------------------------------


def without_each(parts, *, behind=60, seed=0):
    """Return a text of so many parts of 20 ids, and the text without each of them."""
    each = [text(f"{seed} part {at}", 20) for at in range(parts)]
    end = text(f"{seed} end", behind)
    kept = [each, *([*each[:at], *each[at + 1 :]] for at in range(parts))]
    return [SYSTEM + sum(some, ()) + end for some in kept]


def test_what_stands_before_the_part_that_is_out_is_read_step_by_step():
    sequences = without_each(12)
    groups = prefix_groups(sequences, 2000, SPARE)
    deepest = max(groups, key=lambda group: len(group.steps))
    assert len(deepest.steps) > 2
    assert deepest.steps[0] == len(SYSTEM)
    apart = sum(len(ids) - len(SYSTEM) for ids in sequences) + len(SYSTEM)
    tree = TokenTree()
    for ids in sequences:
        tree.place(ids, NO_WORDS)
    assert len(tree) <= read(sequences, groups, 2000) <= 1.1 * len(tree) < 0.75 * apart


def test_no_step_is_read_twice():
    sequences = without_each(12) + without_each(9, seed=1)
    steps, tokens, kept = {}, 0, Beginning()
    for group in prefix_groups(sequences, 2000, SPARE):
        ids = sequences[group.members[0]]
        for before, step in pairwise((0, *group.steps)):
            steps[ids[:step]] = step - before
        beginning = Beginning(ids[: group.steps[-1]], group.steps)
        tokens += len(beginning) - beginning.common(kept)
        kept = beginning
    assert tokens == sum(steps.values())


@pytest.mark.parametrize(
    ("kept", "expected"),
    [
        (Beginning(), 0),
        (Beginning((1, 2, 3, 4), (2, 4)), 4),
        (Beginning((1, 2, 3, 4, 5), (2, 4, 5)), 4),
        (Beginning((1, 2), (2,)), 2),
        (Beginning((1, 2, 3, 9), (2, 4)), 2),  # other ids in the second step
        (Beginning((1, 2, 3, 4), (4,)), 0),  # read in one go: other digits in bfloat16
        (Beginning((1, 2, 3, 4), (3, 4)), 0),
        (Beginning((9, 2, 3, 4), (2, 4)), 0),
    ],
)
def test_whole_steps_that_were_read_are_there(kept, expected):
    wanted = Beginning((1, 2, 3, 4), (2, 4))
    assert wanted.common(kept) == expected
    assert wanted.upto(expected) == Beginning(wanted.ids[:expected], wanted.steps[: expected // 2])
