"""What goes through a language model of a block of prompts: fitted, behind prefixes, as trees.

Knows tokenizers and token ids; knows nothing of weights, and does not import torch, so that what a
run would read can be told before a model is loaded. Prompts share tokens only within their block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, TypeVar

from promptpredict.batching import Fitted, fit
from promptpredict.encoding import Encoded, Encoder
from promptpredict.errors import ModelError, PromptPredictError
from promptpredict.rendered import Prompt
from promptpredict.scores import Labels, each_labels
from promptpredict.sharing import NOTHING, Beginning, Shared, prefix_groups
from promptpredict.trees import TokenTree, clusters

BLOCK_ROWS = 1024
_T = TypeVar("_T")
_TOGETHER = 8_192  # tokens of prefixes that are kept at once: 4 GB of a model of 7B, 1 GB of most
_BESIDE = 512  # tokens of a chat template and a label word, amply


def positions_of(get: Callable[[str], Any]) -> int:
    """Return how many positions a model reads, by the values of its config; no limit where unknown.

    Rotary frequencies of the kind longrope are others as soon as a pass is longer than in training:
    a prompt's score would depend on what is read with it. There that length is the limit.
    """
    positions = int(get("max_position_embeddings") or 1 << 20)
    rope = get("rope_parameters") or get("rope_scaling") or {}
    by_kind = [each for each in rope.values() if isinstance(each, dict)]  # of layers
    for each in [rope, *by_kind]:
        if (each.get("rope_type") or each.get("type")) in ("longrope", "su"):  # as Phi-3 called it
            name = "original_max_position_embeddings"
            positions = min(positions, int(get(name) or each.get(name) or positions))
    return positions


@dataclass(frozen=True)
class Branches:
    """A tree behind a prefix, and for each row of the block that it holds the nodes whose logits are read."""

    prefix: Beginning
    tree: TokenTree
    nodes: Mapping[int, Sequence[int]]


@dataclass(frozen=True)
class Group:
    """Rows of a block behind one prefix, as trees."""

    prefix: Beginning
    rows: Sequence[int]
    trees: Sequence[Branches]

    @property
    def own(self) -> int:
        """How many tokens are read behind the prefix."""
        return sum(len(branches.tree) for branches in self.trees)

    @cached_property
    def deepest(self) -> int:
        """How many positions the longest tree has behind the prefix."""
        return 1 + max(max(branches.tree.depths) for branches in self.trees)


@dataclass(frozen=True)
class Bundle:
    """Groups that go through a model together: what their prefixes have in common is read once.

    What each has beyond is read side by side with that of the others, and so are their trees: a
    pass takes its time whether it reads a few tokens or many.
    """

    groups: Sequence[Group]

    @cached_property
    def base(self) -> Beginning:
        """What all prefixes begin with; of one group its whole prefix."""
        found = self.groups[0].prefix
        for group in self.groups[1:]:
            found = found.upto(found.common(group.prefix))
        return found

    @property
    def trees(self) -> list[Branches]:
        """The trees of all groups."""
        return [branches for group in self.groups for branches in group.trees]

    def links(self) -> list[tuple[Beginning, Beginning]]:
        """Return what is read behind the base, each step once: how far it goes, and what it goes on from."""
        base = self.base
        found: dict[Beginning, Beginning] = {}
        for group in self.groups:
            above = base
            for step in group.prefix.steps[len(base.steps) :]:
                link = group.prefix.upto(step)
                found[link] = above
                above = link
        return list(found.items())

    def levels(self) -> list[tuple[list[int], list[tuple[Beginning, Beginning]]]]:
        """Return links by their number of steps, each with its own tokens: these can be read at once."""
        found: dict[int, list[tuple[Beginning, Beginning]]] = {}
        for link in self.links():
            found.setdefault(len(link[0].steps), []).append(link)
        return [
            ([len(link) - len(above) for link, above in found[steps]], found[steps])
            for steps in sorted(found)
        ]

    def tokens(self, kept: Beginning, trees: Sequence[Branches] | None = None) -> int:
        """Return how many tokens are read in all, where the prefix ``kept`` is there already.

        Of the ``trees`` all are read if none are given.
        """
        base = self.base
        linked = sum(len(link) - len(above) for link, above in self.links())
        own = sum(len(each.tree) for each in (self.trees if trees is None else trees))
        return len(base) - base.common(kept) + linked + own


class Passes:
    """How prompts go through a model that reads ``context`` tokens and knows ``vocabulary`` of them.

    A tree has at most ``batch_tokens`` tokens, and a pass takes as long as ``pass_tokens`` of them by
    itself; ``share=False`` reads every prompt whole. Prefixes may stand side by side in a pass
    within ``beside`` positions (None: any; 0: a pass has one prefix).
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        context: int,
        vocabulary: int,
        batch_tokens: int,
        pass_tokens: int,
        share: bool,
    ) -> None:
        """Keep what is given."""
        self.encoder, self.context, self.vocabulary = encoder, context, vocabulary
        self.batch_tokens, self.pass_tokens, self.share = batch_tokens, pass_tokens, share
        self.beside: int | None = None

    def fit(
        self, prompts: Sequence[Prompt], labels: Sequence[Labels]
    ) -> tuple[dict[int, Fitted], dict[int, str]]:
        """Return the prompts of a block, encoded so that they fit, and why others do not."""
        fitted: dict[int, Fitted] = {}
        faults: dict[int, str] = {}
        for index, (prompt, asked) in enumerate(zip(prompts, labels, strict=True)):
            try:
                fitted[index] = fit(prompt, partial(self._encode, labels=asked), self.context)
            except PromptPredictError as error:
                faults[index] = str(error)
        return fitted, faults

    def groups(self, fitted: Mapping[int, Fitted]) -> Iterator[Group]:
        """Yield the rows that are read behind one prefix, as trees."""
        rows = list(fitted)
        sequences = [fitted[row].encoded.ids for row in rows]
        every = [Shared((), list(range(len(rows))))] if rows else []
        room = self.batch_tokens, self.pass_tokens
        for shared in prefix_groups(sequences, *room) if self.share else every:
            chosen = [rows[member] for member in shared.members]
            ids = fitted[chosen[0]].encoded.ids[: max(shared.steps, default=0)]
            prefix = Beginning(ids, shared.steps)
            yield Group(prefix, chosen, self.trees(chosen, prefix, fitted))

    def bundles(self, fitted: Mapping[int, Fitted]) -> Iterator[Bundle]:
        """Yield the groups of a block, those together whose prefixes are short and not empty.

        All prefixes of a bundle, and those that they go on from, are kept at once, so they have a
        limited number of tokens. The longest of them with the longest of the trees stays within what
        a model reads, and sees in place: a tree is padded to the longest of its batch.
        """
        most = self.context if self.beside is None else min(self.context, self.beside)
        room = min(2 * self.batch_tokens, _TOGETHER)
        some: list[Group] = []
        kept: set[Beginning] = set()
        for group in self.groups(fitted):
            kept |= (own := {group.prefix.upto(step) for step in group.prefix.steps})
            ends = [(len(each.prefix), each.deepest) for each in (*some, group)]
            front, behind = map(max, zip(*ends, strict=True))
            whole = all(length for length, _ in ends) and front + behind <= most
            if some and not (whole and sum(map(len, kept)) <= room):
                yield Bundle(some)
                some, kept = [], own
            some.append(group)
        if some:
            yield Bundle(some)

    def trees(
        self, rows: Sequence[int], prefix: Beginning, fitted: Mapping[int, Fitted]
    ) -> list[Branches]:
        """Return rows as trees of what stands behind the ``prefix`` that they share."""
        suffixes = [fitted[row].encoded.ids[len(prefix) :] for row in rows]
        apart = [[at] for at in range(len(rows))]
        found = []
        for members in clusters(suffixes, self.batch_tokens) if self.share else apart:
            tree = TokenTree()
            nodes = {
                rows[at]: tree.place(suffixes[at], fitted[rows[at]].encoded.words.tree())
                for at in members
            }
            found.append(Branches(prefix, tree, nodes))
        return found

    def halved(
        self, batch: Sequence[Branches], fitted: Mapping[int, Fitted]
    ) -> list[list[Branches]]:
        """Return a batch in two parts, a single tree in two trees; nothing of a single prompt."""
        if len(batch) > 1:
            return _halves(batch)
        rows = list(batch[0].nodes)
        parts = _halves(rows) if len(rows) > 1 else []
        return [self.trees(part, batch[0].prefix, fitted) for part in parts]

    def count(
        self,
        prompts: Sequence[Prompt],
        labels: Labels | Sequence[Labels],
        kept: Beginning = NOTHING,
    ) -> int:
        """Return how many tokens are read; a prompt that has a fault has none, ``kept`` is there."""
        tokens, every = 0, each_labels(labels, len(prompts))
        for start in range(0, len(prompts), BLOCK_ROWS):
            block = slice(start, start + BLOCK_ROWS)
            fitted, _ = self.fit(prompts[block], every[block])
            for bundle in self.bundles(fitted):
                tokens += bundle.tokens(kept)
                kept = bundle.base
        return tokens

    def fault(self, prompt: Prompt, labels: Labels) -> str | None:
        """Return why a prompt is too long to be read; None where it may be read.

        Quick for prompts that are short without the shots that they can lose, as nearly all are.
        """
        kept = [text for turn in prompt.shots[prompt.n_shots :] for text in (turn.user, turn.reply)]
        texts = (prompt.system, *kept, prompt.user, prompt.answer)
        # A tokenizer makes at most one token of a byte, but for a few signs that it spells out.
        if sum(len(text.encode()) for text in texts) + _BESIDE <= self.context:
            return None
        _, faults = self.fit([prompt], [labels])
        return faults.get(0)

    def _encode(self, prompt: Prompt, labels: Labels) -> Encoded:
        """Encode a prompt; ModelError for a token that the weights do not have."""
        encoded = self.encoder.encode(prompt, labels.words, labels.join)
        # Some vocabularies are longer than their model's matrix, and some matrices padded.
        most = max(*encoded.ids, *(max(entry.ids) for entry in encoded.words.entries))
        if most >= self.vocabulary:
            raise ModelError(
                f"{self.encoder.name}: its tokenizer writes token {most:,}, and its weights have "
                f"{self.vocabulary:,} tokens; they do not belong together"
            )
        return encoded


def _halves(items: Sequence[_T]) -> list[list[_T]]:
    middle = (len(items) + 1) // 2
    return [list(items[:middle]), list(items[middle:])]
