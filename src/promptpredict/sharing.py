"""Which prompts share a prefix that is read once and kept, and which merely stand in one tree.

Knows token ids and their number; knows nothing of prompts or models, and does not import torch. A
kept prefix costs its tokens once, behind a shorter one that it begins with only the rest of them;
what only a tree shares costs them once a tree, and a tree has room for so many tokens. So shots that
a hundred customers see are worth a prefix of their own, and a customer's text in front of ten
questions is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise

from promptpredict.words import Ids, begin_alike

_STEP = 32  # tokens: a deeper beginning that is longer by less is not worth asking about
_LEVELS = 64  # of beginnings within beginnings


@dataclass(frozen=True)
class Beginning:
    """Ids that sequences begin with, read in ``steps``: up to each of these depths behind the last.

    The last step is their number. What is read in the same steps is the same to the last digit.
    """

    ids: Ids = ()
    steps: tuple[int, ...] = ()

    def __len__(self) -> int:
        """Return how many ids there are."""
        return len(self.ids)

    def upto(self, depth: int) -> Beginning:
        """Return what they begin with themselves, up to one of the steps."""
        return Beginning(self.ids[:depth], tuple(step for step in self.steps if step <= depth))

    def common(self, kept: Beginning) -> int:
        """Return how many of the ids are there already where ``kept`` was read."""
        alike, depth = begin_alike(self.ids, kept.ids), 0
        for own, other in zip(self.steps, kept.steps, strict=False):
            if own != other or own > alike:
                break
            depth = own
        return depth


NOTHING = Beginning()


@dataclass(frozen=True)
class Shared:
    """Sequences by their places, and the depths in which what they begin with is read."""

    steps: tuple[int, ...]
    members: list[int]


@dataclass(eq=False)
class _Node:
    """Places ``first`` to ``end`` of sequences in lexical order, which share ``depth`` first ids."""

    first: int
    end: int
    depth: int
    children: list[_Node] = field(default_factory=list)


@dataclass(frozen=True)
class _Plan:
    """What is read below a node: its tokens, prefixes kept for some places, and the other places.

    A prefix is given by the steps in which it is read, behind what is kept above the node.
    """

    tokens: int
    groups: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]
    left: tuple[int, ...]


def prefix_groups(sequences: Sequence[Ids], room: int, spare: int) -> list[Shared]:
    """Return sequences in groups, by what they begin with; of two that begin alike the shorter first.

    The groups are those for which the fewest tokens are read, where a tree of sequences has
    ``room`` for so many and a pass takes as long as ``spare`` of them by itself. Every sequence
    keeps at least one id of its own, because the last one predicts the label words.
    """
    order = sorted(range(len(sequences)), key=lambda index: (sequences[index], index))
    ordered = [sequences[index] for index in order]
    if len(ordered) < 2:
        return [Shared((), order)] if ordered else []
    alike = [
        min(begin_alike(one, other), len(one) - 1, len(other) - 1)
        for one, other in pairwise(ordered)
    ]
    root = _node(alike, 0, len(ordered), _LEVELS)
    plan = _Planner([len(ids) for ids in ordered], room, spare).below(root, root.depth)
    above = (root.depth,) if root.depth else ()
    groups = [((), plan.left), *plan.groups] if plan.left else [*plan.groups]
    return [Shared((*above, *steps), sorted(order[at] for at in own)) for steps, own in groups]


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

    def __init__(self, lengths: Sequence[int], room: int, spare: int) -> None:
        self.lengths, self.room, self.spare = lengths, room, spare
        self.below = lru_cache(maxsize=None)(self._below)

    def _below(self, node: _Node, kept: int) -> _Plan:
        """Plan what stands below a node, where ``kept`` first ids are a prefix already."""
        taken = {at for child in node.children for at in range(child.first, child.end)}
        left = [at for at in range(node.first, node.end) if at not in taken]
        tokens = sum(self.lengths[at] - node.depth for at in left)
        groups: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
        for child in node.children:
            within = self.below(child, kept)
            apart = self.below(child, child.depth)
            cost = within.tokens + self._repeated(child, within.left, node.depth, kept)
            # A pass for the prefix, and one for the sequences that nothing else is read with; that other
            # prefixes may share them (``passes.Bundle``) is not reckoned with (benchmarks/LOG.md).
            passes = 1 + bool(apart.left)
            behind = child.depth - kept + passes * self.spare + apart.tokens
            if behind < cost:
                tokens += behind
                groups += [((child.depth,), apart.left)] if apart.left else []
                groups += [((child.depth, *steps), places) for steps, places in apart.groups]
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
