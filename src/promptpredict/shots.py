"""Which labelled records a prompt shows as shots.

Knows records, labels and distances; knows nothing of tokens or models. Shots come from labelled
records alone, and a customer is never shown its own label: neither by id nor by content.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from promptpredict.errors import DataError
from promptpredict.prompt import PromptFile
from promptpredict.records import Record

Select = Literal["balanced", "random", "nearest"]
SELECTS: tuple[Select, ...] = ("balanced", "random", "nearest")
Embed = Callable[[list[str]], Any]  # texts → array (n, d) of unit vectors


@dataclass
class Shots:
    """Chooses ``count`` shots for a record out of a pool of labelled records.

    ``balanced`` draws as many of each label as it can, ``random`` draws at random; both show
    every record the same shots in the same order, so that prompts share a long prefix.
    ``nearest`` takes the records whose customer text is nearest by ``embed``, the nearest last;
    it breaks ties by the order of the pool. ``used`` are the ids of all shots shown so far, in
    order of their first use.
    """

    prompt_file: PromptFile
    pool: Sequence[Record]
    count: int
    select: Select = "balanced"
    seed: int = 0
    embed: Embed | None = None
    used: dict[str, None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Draw the order of the pool; raises DataError where the pool is too small."""
        keys = {self.prompt_file.label_of(record.label) for record in self.pool}
        if self.count > len(self.pool):
            raise DataError(f"{self.count} shots are asked for, and there are {len(self.pool)} labelled records")
        if self.count and self.select == "balanced" and len(keys) < len(self.prompt_file.words):
            lacking = [key for key in self.prompt_file.words if key not in keys]
            raise DataError(f"no labelled record has the label '{lacking[0]}', and balanced shots need one of each")
        if self.select == "nearest" and self.embed is None:
            raise TypeError("nearest shots need an embed function")
        self._order = self._drawn()
        self._vectors = self.embed(self._texts(self.pool)) if self.embed and self.select == "nearest" else None

    def choose(self, records: Sequence[Record]) -> list[tuple[Record, ...]]:
        """Return the shots of each record, in the order in which a prompt shows them."""
        if not self.count:
            return [()] * len(records)
        ranked = self._nearest(records) if self._vectors is not None else [self._order] * len(records)
        chosen = [self._without(record, order) for record, order in zip(records, ranked, strict=True)]
        for shots in chosen:
            self.used.update(dict.fromkeys(shot.id for shot in shots))
        return chosen

    def others(self) -> list[Record]:
        """Return the records of the pool that are not among the shots shown to everybody."""
        return [self.pool[index] for index in sorted(self._order[self.count :])]

    def _without(self, record: Record, order: Sequence[int]) -> tuple[Record, ...]:
        """Take the first shots of an order that are not the customer itself."""
        others = (self.pool[index] for index in order if not self._same(record, self.pool[index]))
        shots = [shot for shot, _ in zip(others, range(self.count), strict=False)]
        return tuple(reversed(shots)) if self.select == "nearest" else tuple(shots)

    def _same(self, record: Record, shot: Record) -> bool:
        by_id = self.prompt_file.front.id is not None and record.id == shot.id
        return by_id or self._content(record) == self._content(shot)

    def _content(self, record: Record) -> Hashable:
        return tuple(item for item in record.values.items() if item[0] != self.prompt_file.front.id)

    def _drawn(self) -> list[int]:
        order = list(range(len(self.pool)))
        random.Random(self.seed).shuffle(order)
        if self.select != "balanced":
            return order
        groups: dict[str, list[int]] = {}
        for index in order:
            groups.setdefault(self.prompt_file.label_of(self.pool[index].label), []).append(index)
        # Round robin over the labels; a second shuffle keeps the last shot from being always of
        # the same label (a small model repeats the last one).
        turns = [group[turn] for turn in range(len(order)) for group in groups.values() if turn < len(group)]
        head, tail = turns[: self.count], turns[self.count :]
        random.Random(self.seed + 1).shuffle(head)
        return head + tail

    def _nearest(self, records: Sequence[Record]) -> list[list[int]]:
        assert self.embed is not None
        near = self.embed(self._texts(records)) @ self._vectors.T  # (n, pool) cosines
        return [list((-row).argsort(kind="stable")) for row in near]

    def _texts(self, records: Sequence[Record]) -> list[str]:
        return [self.prompt_file.render_customer(record) for record in records]
