"""Token sequences as a tree: what several of them begin with stands in it once.

Knows token ids; knows nothing of prompts, tokenizers or models, and does not import torch. Several
questions about one customer become one row for the model: the customer's text, and the questions
branching off it, none of which sees another.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from promptpredict.words import Ids, WordTree, begin_alike


class TokenTree:
    """Sequences behind one prefix.

    Node i is the token ``tokens[i]`` below node ``parents[i]`` (-1: the prefix) at depth
    ``depths[i]`` (from 0); a node stands behind its parent, so a row is fed in this order.
    """

    def __init__(self) -> None:
        """Begin without a node."""
        self.tokens: list[int] = []
        self.parents: list[int] = []
        self.depths: list[int] = []
        self._nodes: dict[tuple[int, int], int] = {}  # (parent, token) → node

    @classmethod
    def chain(cls, ids: Ids) -> TokenTree:
        """Return a tree of one sequence."""
        tree = cls()
        tree.place(ids, WordTree.build([]))
        return tree

    def __len__(self) -> int:
        """Return how many tokens have to be read."""
        return len(self.tokens)

    def place(self, ids: Ids, words: WordTree) -> list[int]:
        """Add a sequence and the words behind it.

        Returns the nodes to read logits from: that of the last id, then those of ``words.tokens``.
        """
        answer = -1
        for token in ids:
            answer = self._child(answer, token)
        found = [answer]
        for token, parent in zip(words.tokens, words.parents, strict=True):
            found.append(self._child(found[parent + 1], token))
        return found

    def path(self, node: int) -> list[int]:
        """Return a node's ancestors from the first on, and itself."""
        found = []
        while node >= 0:
            found.append(node)
            node = self.parents[node]
        return found[::-1]

    def visible(self) -> npt.NDArray[np.bool_]:
        """Return what each node sees (t, t): its ancestors and itself."""
        if self.is_chain:
            return np.tri(len(self), dtype=bool)
        seen = np.eye(len(self), dtype=bool)
        for node, parent in enumerate(self.parents):
            if parent >= 0:
                seen[node] |= seen[parent]
        return seen

    @property
    def is_chain(self) -> bool:
        """Whether nothing branches: one plain sequence."""
        return self.parents == list(range(-1, len(self) - 1))

    def _child(self, parent: int, token: int) -> int:
        node = self._nodes.setdefault((parent, token), len(self.tokens))
        if node == len(self.tokens):
            self.tokens.append(token)
            self.parents.append(parent)
            self.depths.append(self.depths[parent] + 1 if parent >= 0 else 0)
        return node


def clusters(sequences: Sequence[Ids], most: int) -> list[list[int]]:
    """Group the indices of sequences that share at least half of their tokens.

    A group has at most ``most`` tokens, what is shared counted once, or one sequence. Neighbours
    in lexical order share the most, so those are compared.
    """
    order = sorted(range(len(sequences)), key=lambda index: (sequences[index], index))
    groups: list[list[int]] = []
    size = 0
    for at, index in enumerate(order):
        ids = sequences[index]
        alike = begin_alike(sequences[order[at - 1]], ids) if at else 0
        if groups and alike * 2 >= len(ids) and size + len(ids) - alike <= most:
            groups[-1].append(index)
            size += len(ids) - alike
        else:
            groups.append([index])
            size = len(ids)
    return groups
