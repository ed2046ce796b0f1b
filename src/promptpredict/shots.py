"""Which labelled records a prompt shows as shots.

Knows records, labels and distances; knows nothing of tokens or models. Shots come from labelled
records alone, and a customer is never shown its own label: neither by id, nor by content, nor that
of another of its group.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from promptpredict.errors import DataError, PromptPredictError, nearest
from promptpredict.prompt import PromptFile
from promptpredict.records import Record
from promptpredict.sameness import marks

Select = Literal["balanced", "random", "nearest"]
SELECTS: tuple[Select, ...] = get_args(Select)
Embed = Callable[[list[str]], Any]  # texts → array (n, d) of unit vectors


@dataclass
class Shots:
    """Chooses ``count`` shots for a record out of a pool of labelled records.

    ``balanced`` draws as many of each label as it can, ``random`` draws at random; both show
    every record the same shots in the same order, so that prompts share a long prefix.
    ``nearest`` takes the records whose customer text is nearest by ``embed``, the nearest last;
    it breaks ties by the order of the pool. With ``seed=None`` the first of the pool are taken
    instead of drawn ones, for a pool that is in random order already. In place of a shot that is
    the customer itself stands another. ``used`` are the ids of all shots shown so far, in order
    of their first use.

    ``nth`` counts from 0 the sets that the same pool gives (``shotsets``): as many of each label
    as the first has, and no record again before what there is of its label suffices for no
    further set; then it is drawn anew. Of nearest shots the second set are those that come behind
    the nearest; where the pool suffices for no further set, the nearest are shown in turned order,
    and in drawn orders from then on.
    """

    prompt_file: PromptFile
    pool: Sequence[Record]
    count: int
    select: Select = "balanced"
    seed: int | None = 0
    embed: Embed | None = None
    nth: int = 0
    used: dict[str, None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Draw the order of the pool; raises DataError where it cannot give such shots."""
        if self.select not in SELECTS:
            close = nearest(self.select, SELECTS)
            raise DataError(
                f"shots are chosen by '{self.select}'{close}; possible: {', '.join(SELECTS)}"
            )
        self.pool = [record for record in self.pool if record.label is not None]
        self._keys = [self.prompt_file.label_of(record.label) for record in self.pool]
        self._check()
        self._order = self._drawn()
        self._same: dict[Hashable, set[int]] = {}
        for index, record in enumerate(self.pool):
            for mark in marks(self.prompt_file, record):
                self._same.setdefault(mark, set()).add(index)
        self._vectors = self.embed(self._texts()) if self.embed and self._by_record else None

    def choose(self, records: Sequence[Record]) -> list[tuple[Record, ...]]:
        """Return the shots of each record, in the order in which a prompt shows them.

        A changed copy of a record has that record's own.
        """
        if not self.count or not records:
            return [()] * len(records)
        records = [record.whole or record for record in records]
        own = [self._own(record) for record in records]
        places = self._nearest(records, own) if self._by_record else map(self._replaced, own)
        chosen = [tuple(self.pool[index] for index in indices) for indices in places]
        for shots in chosen:
            self.used.update(dict.fromkeys(shot.id for shot in shots))
        return chosen

    def others(self) -> list[Record]:
        """Return the records of the pool that are not among the shots shown to everybody.

        Nearest shots are chosen without the record itself, so all of the pool are others.
        """
        if self._by_record:
            return list(self.pool)
        return [self.pool[index] for index in sorted(self._order[self.count :])]

    @property
    def sets(self) -> list[Shots]:
        """The sets of shots that a record is scored behind: this one alone."""
        return [self]

    def shown(self) -> list[Record]:
        """Return the shots that everybody is shown, in order; none where they are nearest."""
        return [] if self._by_record else [self.pool[index] for index in self._order[: self.count]]

    @property
    def _by_record(self) -> bool:
        return self.select == "nearest"

    def _check(self) -> None:
        bins = self.prompt_file.front.bins is not None  # one may lie between amounts that are tied
        lacking = [key for key in self.prompt_file.words if key not in self._keys and not bins]
        if self.count > len(self.pool):
            raise DataError(
                f"{self.count} shots are asked for, and there are {len(self.pool)} labelled records"
            )
        if self.count and self.select == "balanced" and lacking:
            raise DataError(
                f"no labelled record has the label '{lacking[0]}', and balanced shots need "
                "every label; possible: random or nearest shots"
            )
        if self._by_record and self.embed is None:
            raise TypeError("nearest shots need an embed function")

    def _drawn(self) -> list[int]:
        order = list(range(len(self.pool)))
        if self.seed is not None:
            random.Random(self.seed).shuffle(order)
        if self.select != "balanced":
            head = self._dealt(order, self.count)
            return head + _without(order, head)
        groups: dict[str, list[int]] = {}
        for index in order:
            groups.setdefault(self._keys[index], []).append(index)
        turns = [
            group[turn]
            for turn in range(len(order))
            for group in groups.values()
            if turn < len(group)
        ]
        head = turns[: self.count]
        if self.nth:
            counts = {key: len(set(head).intersection(group)) for key, group in groups.items()}
            head = [at for key, group in groups.items() for at in self._dealt(group, counts[key])]
        tail = _without(turns, head)
        # A second shuffle keeps the last shot from being always of the same label: a small model
        # repeats the last one.
        random.Random((self.seed or 0) + 1 + self.nth).shuffle(head)
        return head + tail

    def _dealt(self, group: Sequence[int], count: int) -> list[int]:
        """Return this set's share of a group: so many places, dealt to one set after another.

        Where it suffices for no further set it is shuffled and dealt anew.
        """
        again, at = divmod(self.nth, max(len(group) // max(count, 1), 1))
        group = list(group)
        if again:
            random.Random(f"{self.seed or 0} {again}").shuffle(group)
        return group[at * count :][:count]

    # -- never the customer itself ---------------------------------------------------------

    def _own(self, record: Record) -> set[int]:
        """Return the places in the pool at which the customer itself stands, or one of its group."""
        return set().union(*(self._same.get(mark, ()) for mark in marks(self.prompt_file, record)))

    def _replaced(self, own: Collection[int]) -> list[int]:
        """Return the shots for everybody, with others in place of the customer itself."""
        shown = self._order[: self.count]
        if own:
            spare = [index for index in self._order[self.count :] if index not in own]
            shown = [self._replacement(at, spare) if at in own else at for at in shown]
        return [index for index in shown if index >= 0]

    def _replacement(self, index: int, spare: list[int]) -> int:
        """Take another record out of ``spare``, of the same label where it can; -1 without one."""
        alike = [other for other in spare if self._keys[other] == self._keys[index]]
        found = ((alike if self.select == "balanced" else []) or spare or [-1])[0]
        if found in spare:
            spare.remove(found)
        return found

    def _nearest(
        self, records: Sequence[Record], own: Sequence[Collection[int]]
    ) -> list[list[int]]:
        assert self.embed is not None
        found = []
        for vector, never in zip(self.embed(self._asked(records)), own, strict=True):
            # Record by record, so that its shots do not depend on who stands beside it; rounded,
            # because equal texts have cosines that differ in their last bit.
            near = (self._vectors @ vector).round(6)  # (pool,)
            order = [int(index) for index in (-near).argsort(kind="stable") if index not in never]
            found.append(self._band(order))
        return found

    def _band(self, order: Sequence[int]) -> list[int]:
        """Return this set's places out of those of the pool, the nearest first."""
        again, at = divmod(self.nth, max(len(order) // self.count, 1))
        band = list(order[at * self.count :][: self.count])
        if again > 1:
            random.Random((self.seed or 0) + again).shuffle(band)
        return band if again else band[::-1]

    def _texts(self) -> list[str]:
        try:
            return [self.prompt_file.render_customer(record) for record in self.pool]
        except PromptPredictError as error:
            raise DataError(f"a labelled record cannot be shown as a shot: {error}") from None

    def _asked(self, records: Sequence[Record]) -> list[str]:
        """Render the customers; one that cannot be rendered has its reason said with its prompt."""
        texts = []
        for record in records:
            try:
                texts.append(self.prompt_file.render_customer(record))
            except PromptPredictError:
                texts.append("")
        return texts


def _without(places: Sequence[int], taken: Sequence[int]) -> list[int]:
    out = set(taken)
    return [at for at in places if at not in out]
