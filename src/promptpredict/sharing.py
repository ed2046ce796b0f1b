"""Which prompts share a prefix that is read once and kept, and which merely stand in one tree.

Knows token ids and their number; knows nothing of prompts or models, and does not import torch. A
kept prefix costs its tokens once; what only a tree shares costs them once a tree, and a tree has
room for so many tokens. So shots that a hundred customers see are worth a prefix of their own, and
a customer's text in front of ten questions is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise

from promptpredict.words import Ids, begin_alike

_STEP = 32  # tokens: a deeper beginning that is longer by less is not worth asking about
_LEVELS = 64  # of beginnings within beginnings


@dataclass(eq=False)
class _Node:
    """Places ``first`` to ``end`` of sequences in lexical order, which share ``depth`` first ids."""

    first: int
    end: int
    depth: int
    children: list[_Node] = field(default_factory=list)


@dataclass(frozen=True)
class _Plan:
    """What is read below a node: its tokens, prefixes kept for some places, and the other places."""

    tokens: int
    groups: tuple[tuple[int, tuple[int, ...]], ...]
    left: tuple[int, ...]


def prefix_groups(sequences: Sequence[Ids], room: int) -> list[tuple[int, list[int]]]:
    """Return groups of sequences: how many first ids each keeps, and the indices in it.

    The groups are those for which the fewest tokens are read, where a tree of sequences has
    ``room`` for so many. Every sequence keeps at least one id of its own, because the last one
    predicts the label words.
    """
    order = sorted(range(len(sequences)), key=lambda index: (sequences[index], index))
    ordered = [sequences[index] for index in order]
    if len(ordered) < 2:
        return [(0, order)] if ordered else []
    alike = [
        min(begin_alike(one, other), len(one) - 1, len(other) - 1)
        for one, other in pairwise(ordered)
    ]
    root = _node(alike, 0, len(ordered), _LEVELS)
    plan = _Planner([len(ids) for ids in ordered], room).below(root, root.depth)
    groups = [(root.depth, plan.left), *plan.groups] if plan.left else [*plan.groups]
    return [(depth, sorted(order[at] for at in places)) for depth, places in groups]


def _node(alike: Sequence[int], first: int, end: int, levels: int) -> _Node:
    """Return the node of a stretch, with those in it that share much more."""
    node = _Node(first, end, min(alike[first : end - 1]))
    start = first
    for at in range(first, end) if levels else ():
        if at == end - 1 or alike[at] < node.depth + _STEP:
            if at > start:
                node.children.append(_node(alike, start, at + 1, levels - 1))
            start = at + 1
    return node


class _Planner:
    """Finds for each node, by what is kept above it, what costs the fewest tokens."""

    def __init__(self, lengths: Sequence[int], room: int) -> None:
        self.lengths, self.room = lengths, room
        self.below = lru_cache(maxsize=None)(self._below)

    def _below(self, node: _Node, kept: int) -> _Plan:
        """Plan what stands below a node, where ``kept`` first ids are a prefix already."""
        taken = {at for child in node.children for at in range(child.first, child.end)}
        left = [at for at in range(node.first, node.end) if at not in taken]
        tokens = sum(self.lengths[at] - node.depth for at in left)
        groups: list[tuple[int, tuple[int, ...]]] = []
        for child in node.children:
            within = self.below(child, kept)
            apart = self.below(child, child.depth)
            cost = within.tokens + self._repeated(child, within.left, node.depth, kept)
            if child.depth + apart.tokens < cost:
                tokens += child.depth + apart.tokens
                groups += [*apart.groups, *([(child.depth, apart.left)] if apart.left else [])]
            else:
                tokens += cost
                groups += within.groups
                left += within.left
        return _Plan(tokens, tuple(groups), tuple(left))

    def _repeated(self, child: _Node, left: Sequence[int], above: int, kept: int) -> int:
        """Return the tokens between two nodes, once for each tree that the places left fill.

        A sequence that shares less than half of its tokens has a tree of its own (``clusters``).
        """
        shared = child.depth - kept
        own = [self.lengths[at] - child.depth for at in left]
        together = [length for length in own if length <= shared]
        trees = min(len(together), -(-sum(together) // max(self.room - shared, 1)))
        return (child.depth - above) * (trees + len(own) - len(together))
