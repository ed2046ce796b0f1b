"""Episodes: labelled records of one table in one conversation, each judged after those before it.

Knows prompts, their token ids and where a label word stands in them; knows nothing of weights and
does not import torch. An episode reads as a few-shot prompt does: the record in place i has the i
records before it as shots, so one sequence teaches from no shot to as many as fit into it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from promptpredict.encoding import Encoder
from promptpredict.errors import DataError, ModelError
from promptpredict.prompt import PromptFile
from promptpredict.records import Record
from promptpredict.synthetic import synthetic_table
from promptpredict.words import Ids

_ROWS = 96  # records of a synthetic table that episodes draw from


@dataclass(frozen=True, slots=True)
class Decision:
    """Where a label is said: behind ``position`` ids come those of its word, ``word``.

    ``first`` are the first ids of every label's word, in label order, and ``column`` is the label.
    """

    position: int
    word: Ids
    first: Ids
    column: int


@dataclass(frozen=True, slots=True)
class Episode:
    """A conversation as token ids, and a decision for each of its records."""

    ids: Ids
    decisions: tuple[Decision, ...]


@dataclass(frozen=True)
class EpisodeTable:
    """A labelled table that episodes are drawn from."""

    prompt_file: PromptFile
    records: Sequence[Record]


class Episodes:
    """An endless list of episodes: each a function of ``seed`` and its place.

    They are of ``tables`` by the share ``own``, of synthetic tables otherwise, and have at most
    ``width`` tokens. In half of them each label is as frequent as any other, in the others as in the
    table. From the place ``held_from`` on they are of a fifth of each table's records, which stands in
    none before.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        width: int,
        seed: int,
        tables: Sequence[EpisodeTable] = (),
        own: float = 0.5,
        held_from: int | None = None,
    ) -> None:
        """Part the records of each table."""
        self.encoder, self.width, self.seed = encoder, width, seed
        self.own, self._held_from = own if tables else 0.0, held_from
        parts = [_parted(table, seed) for table in tables]
        self.tables, self._held = [part[0] for part in parts], [part[1] for part in parts]

    def __getitem__(self, place: int) -> Episode:
        """Return the episode of a place. Raises DataError where no record of its table fits."""
        rng = np.random.default_rng([self.seed, place, 1])
        if rng.random() < self.own:
            is_held = self._held_from is not None and place >= self._held_from
            tables = self._held if is_held else self.tables
            table = tables[int(rng.integers(len(tables)))]
        else:
            made = synthetic_table([self.seed, place], _ROWS)
            table = EpisodeTable(made.prompt_file, made.records)
        order = rng.permutation(len(table.records)).tolist()
        if rng.random() < 0.5:
            # Those that are dealt may be few, and all too long; the others follow.
            dealt = _dealt(rng, order, [table.records[at].label for at in order])
            try:
                return self._of(table, dealt)
            except DataError:
                pass
        return self._of(table, order)

    def _of(self, table: EpisodeTable, rows: Sequence[int]) -> Episode:
        records = [table.records[at] for at in rows]
        return episode(self.encoder, table.prompt_file, records, width=self.width)


def _parted(table: EpisodeTable, seed: int) -> tuple[EpisodeTable, EpisodeTable]:
    """Return a table without a fifth of its records, and these."""
    count = len(table.records)
    order = np.random.default_rng([seed, count]).permutation(count).tolist()
    held = set(order[: max(count // 5, 1)])
    return (
        replace(table, records=[each for at, each in enumerate(table.records) if at not in held]),
        replace(table, records=[each for at, each in enumerate(table.records) if at in held]),
    )


def episode(
    encoder: Encoder, prompt_file: PromptFile, records: Sequence[Record], *, width: int
) -> Episode:
    """Return the episode of records in their order, as many as fit into ``width`` tokens.

    Before the first that fits, those are passed over that do not. Raises DataError where none fits,
    ModelError for a layout that writes a conversation otherwise once it goes on.
    """
    ids: Ids = ()
    decisions: list[Decision] = []
    words, join = prompt_file.words, prompt_file.front.join
    shown: list[Record] = []
    for record in records:
        prompt = prompt_file.render(record, shown)
        encoded = encoder.encode(prompt, words, join)
        declared: dict[str, Ids] = {}
        for entry in encoded.words.entries:  # the declared words stand before their variants
            declared.setdefault(entry.label, entry.ids)
        label = prompt_file.label_of(record.label)
        if encoded.ids[: len(ids)] != ids:
            raise ModelError(
                f"{encoder.name}: a conversation is laid out otherwise once it goes on, so that "
                "records behind one another cannot be learned from in one sequence; possible: "
                "another model, or a prompt file without 'layout: one'"
            )
        if len(encoded.ids) + len(declared[label]) > width:
            if shown:
                break
            continue
        shown.append(record)
        ids = (*encoded.ids, *declared[label])
        first = tuple(declared[key][0] for key in words)
        decisions.append(
            Decision(len(encoded.ids), declared[label], first, list(words).index(label))
        )
    if not decisions:
        raise DataError(
            f"{prompt_file.name}: the prompt of every row is longer than {width:,} tokens; possible: "
            "longer episodes, by --width"
        )
    return Episode(ids, tuple(decisions))


def _dealt(
    rng: np.random.Generator, rows: Sequence[int], labels: Sequence[str | None]
) -> list[int]:
    """Return rows in their order, but so that each has any label with the same chance.

    Not a label in turn after another: the next one could be told from those before it. Ends where a
    label has no row left.
    """
    by_label: dict[str | None, list[int]] = {}
    for row, label in zip(rows, labels, strict=True):
        by_label.setdefault(label, []).append(row)
    groups = [group[::-1] for _, group in sorted(by_label.items(), key=lambda each: str(each[0]))]
    found: list[int] = []
    while all(groups):
        found.append(groups[int(rng.integers(len(groups)))].pop())
    return found
