"""The token ids of label words, found in the context that they continue.

Knows an ``encode`` function and nothing else of a tokenizer; does not import torch. A label is
scored through its entries: its declared words and their surface variants. The entries of one
prompt are kept prefix-free, so that their probabilities add up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from promptpredict.errors import ModelError, PromptError
from promptpredict.spacing import joiner

Ids = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Word:
    """A declared word of a label."""

    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One way to write a label: its text with the joining space, and its ids in context."""

    label: str
    text: str
    ids: Ids


@dataclass(frozen=True, slots=True)
class WordIds:
    """The entries of all labels, and how many ids to cut off the context's end before them.

    ``cut`` is 0 unless a word merges with the end of its context; then the boundary is moved back
    to the last token that all of them share.
    """

    entries: tuple[Entry, ...]
    cut: int

    def tree(self) -> WordTree:
        """Return the tree in which entries that begin alike share their tokens."""
        return WordTree.build([entry.ids for entry in self.entries])


@dataclass(frozen=True, slots=True)
class WordTree:
    """The tokens that must be read to score every entry, each once.

    Node i is input token ``tokens[i]`` below node ``parents[i]`` (-1: the answer position). Entry e
    has probability Π P(token | node) over its ``steps[e]``, pairs (node, token), where node -1 is
    the answer position. Entries of one token need no node.
    """

    tokens: Ids
    parents: Ids
    steps: tuple[tuple[tuple[int, int], ...], ...]

    @classmethod
    def build(cls, entries: Sequence[Ids]) -> WordTree:
        """Build the tree of the entries' proper prefixes."""
        nodes: dict[Ids, int] = {(): -1}
        for ids in entries:
            for end in range(1, len(ids)):
                nodes.setdefault(ids[:end], len(nodes) - 1)
        inner = [prefix for prefix in nodes if prefix]
        return cls(
            tokens=tuple(prefix[-1] for prefix in inner),
            parents=tuple(nodes[prefix[:-1]] for prefix in inner),
            steps=tuple(
                tuple((nodes[ids[:at]], ids[at]) for at in range(len(ids))) for ids in entries
            ),
        )


def find_words(
    encode: Callable[[str], Sequence[int]],
    words: Sequence[Word],
    *,
    answer: str,
    join: str | None,
    terminator: Ids,
    name: str,
) -> WordIds:
    """Find the ids of words and of their surface variants behind a context.

    ``encode(text)`` gives the ids of the context's last span with ``text`` put behind it. Where
    one declared word begins another in tokens, every entry ends with ``terminator``.
    Raises PromptError for two words of one spelling, ModelError where no terminator is known.
    """
    context = tuple(encode(""))
    declared = [(word, joiner(answer, word.text, join) + word.text) for word in words]
    full = [tuple(encode(text)) for _, text in declared]
    # "assistant\n" + "yes" may merge across the joint: step back to what all words share.
    start = min(begin_alike(context, ids) for ids in full)
    entries: list[Entry] = []
    for (word, text), ids in zip(declared, full, strict=True):
        _add_declared(entries, Entry(word.label, text, ids[start:]), name)
    clash = _first_clash(entry.ids for entry in entries)
    if clash and not terminator:
        raise ModelError(
            f"{name}: one label word begins another, and no end-of-turn token is known to end them"
        )
    ending = terminator if clash else ()
    kept = [Entry(entry.label, entry.text, entry.ids + ending) for entry in entries]
    variants = []
    for word, text in declared:
        for variant in _variants(word.text, text):
            ids = tuple(encode(variant))
            if ids[:start] == context[:start] and len(ids) > start:
                variants.append(Entry(word.label, variant, ids[start:] + ending))
    for entry in variants:
        # A spelling that could be meant for two labels counts for neither, in any order of them.
        rivals = [other for other in variants if other.label != entry.label]
        if not any(_begins(entry.ids, other.ids) for other in [*kept, *rivals]):
            kept.append(entry)
    return WordIds(tuple(kept), len(context) - start)


def _add_declared(entries: list[Entry], entry: Entry, name: str) -> None:
    if not entry.ids:
        raise ModelError(
            f"{name}: the label word '{entry.text.strip()}' has no tokens of its own behind the answer"
        )
    for other in entries:
        if other.ids == entry.ids:
            raise PromptError(
                f"the label words '{other.text.strip()}' and '{entry.text.strip()}' are the same tokens"
            )
    entries.append(entry)


def _variants(word: str, declared: str) -> list[str]:
    """Return the other spellings of a word: with and without the space, lower and capitalised."""
    cases = dict.fromkeys((word, word.lower(), word[:1].upper() + word[1:]))
    return [space + case for space in ("", " ") for case in cases if space + case != declared]


def begin_alike(one: Ids, other: Ids) -> int:
    """Return how many first ids two sequences have in common."""
    pairs = zip(one, other, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def _begins(one: Ids, other: Ids) -> bool:
    """Whether one of the two begins the other (or is the same)."""
    return begin_alike(one, other) == min(len(one), len(other))


def _first_clash(entries: Iterable[Ids]) -> bool:
    # Sorted, a prefix stands directly before one of the sequences that it begins.
    ordered = sorted(entries)
    return any(_begins(one, other) for one, other in pairwise(ordered))
