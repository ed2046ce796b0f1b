"""Token trees: shared beginnings once, and who sees whom."""

from __future__ import annotations

import numpy as np
import pytest

from promptpredict.trees import TokenTree, clusters
from promptpredict.words import WordTree

NO_WORDS = WordTree.build([(1,), (2,)])


def sequence(tree, node):
    """Return the tokens from the prefix down to a node."""
    found = []
    while node >= 0:
        found.append(tree.tokens[node])
        node = tree.parents[node]
    return tuple(found[::-1])


def test_what_sequences_begin_with_stands_once():
    tree = TokenTree()
    one = tree.place((5, 6, 7), NO_WORDS)
    other = tree.place((5, 6, 8, 9), NO_WORDS)
    assert tree.tokens == [5, 6, 7, 8, 9]
    assert tree.depths == [0, 1, 2, 2, 3]
    assert [sequence(tree, node) for node in (*one, *other)] == [(5, 6, 7), (5, 6, 8, 9)]


def test_the_words_branch_off_the_last_id():
    words = WordTree.build([(1, 2, 3), (1, 4, 5), (6, 7), (8,)])
    tree = TokenTree()
    nodes = tree.place((5, 5), words)
    assert [sequence(tree, node) for node in nodes] == [
        (5, 5),
        *[(5, 5, *ids) for ids in [(1,), (1, 2), (1, 4), (6,)]],
    ]


def test_a_sequence_that_goes_on_like_a_word_shares_its_token():
    tree = TokenTree()
    tree.place((5,), WordTree.build([(1, 2), (3,)]))
    tree.place((5, 1, 4), NO_WORDS)
    assert tree.tokens == [5, 1, 4]


def test_a_node_sees_its_ancestors_and_itself():
    tree = TokenTree()
    tree.place((5, 6), WordTree.build([(1, 2), (3, 4)]))
    tree.place((5, 7), NO_WORDS)
    seen = tree.visible()
    for node in range(len(tree)):
        beginning = sequence(tree, node)
        expected = [
            beginning[: len(sequence(tree, n))] == sequence(tree, n) for n in range(len(tree))
        ]
        assert seen[node].tolist() == expected


def test_a_plain_sequence_is_a_chain():
    tree = TokenTree()
    tree.place((5, 6, 7), NO_WORDS)
    assert tree.is_chain
    np.testing.assert_array_equal(tree.visible(), np.tri(3, dtype=bool))
    tree.place((5, 8), NO_WORDS)
    assert not tree.is_chain


@pytest.mark.parametrize(
    ("most", "expected"),
    [(100, [[2, 0], [1], [3]]), (5, [[2, 0], [1], [3]]), (4, [[2], [0], [1], [3]])],
)
def test_sequences_that_share_half_of_their_tokens_stand_together(most, expected):
    sequences = [(1, 2, 9), (1, 7, 7, 7), (1, 2, 3, 4), (8,)]
    assert clusters(sequences, most) == expected


def test_equal_sequences_take_no_room():
    assert clusters([(1, 2, 3)] * 4, 3) == [[0, 1, 2, 3]]
