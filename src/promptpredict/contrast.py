"""The smallest change of some fields that brings a record under a threshold.

Knows records and any approach that is fitted; knows nothing of tables, files or what a change costs.
Changes are made to values that other customers have. That a model's probability falls with a change
does not say that the customer would stay.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import islice

import numpy as np
from pydantic import BaseModel
from scipy.special import expit, logit

from promptpredict.errors import DataError, PromptPredictError, UnscoredError, nearest
from promptpredict.explain import FittedApproach, log_odds
from promptpredict.parts import order_of, ordered_of, shown, suits
from promptpredict.passes import BLOCK_ROWS
from promptpredict.prompt import PromptFile
from promptpredict.records import Record
from promptpredict.values import Value

# Of one field: the most frequent words, or the deciles of numbers and dates, and of those that differ.
MOST_VALUES = 11
KEPT = 8  # sets of changes that are changed further, those with the lowest log-odds
_TOGETHER = 32  # records whose changes are tried in one go


class Change(BaseModel, frozen=True):
    """A field that is changed, and from what to what, as the prompt shows it."""

    column: str
    name: str
    before: str
    after: str


class Contrast(BaseModel, frozen=True):
    """What brings a record's probability of a label under a threshold.

    Without ``reached`` nothing does that was tried: the changes are those that come nearest. No changes
    where it is under it as it is, or where none lowers it.
    """

    row: int
    id: str
    label: str
    before: float
    after: float
    changes: tuple[Change, ...]
    reached: bool


@dataclass(frozen=True)
class Choices:
    """What a field may be changed to: values that occur, and how far apart they are.

    Two words are 1 apart, two numbers or dates as far as the share of records between them.
    """

    values: tuple[Value, ...]
    ordered: tuple[float | str, ...] = ()  # all that occur, of numbers and dates

    @classmethod
    def of(cls, values: Sequence[Value]) -> Choices:
        """Return the choices among what occurs in a column."""
        known = [value for value in values if value is not None]
        ordered = ordered_of(known)
        if not ordered:
            return cls(tuple(value for value, _ in Counter(known).most_common(MOST_VALUES)))
        # Most customers may share one number, which all deciles are then.
        chosen = {*_deciles(ordered), *_deciles(list(dict.fromkeys(ordered)))}
        return cls(tuple(sorted(chosen, key=order_of)), tuple(map(order_of, ordered)))

    def apart(self, one: Value, other: Value) -> float:
        """Return how far two values are apart, 0 to 1."""
        if one == other:
            return 0.0
        if not self._is_one_of(one) or not self._is_one_of(other):
            return 1.0
        first, second = (bisect_left(self.ordered, order_of(each)) for each in (one, other))
        return abs(first - second) / len(self.ordered)

    def _is_one_of(self, value: Value) -> bool:
        """Whether a value has a place among the numbers, or the dates."""
        if not self.ordered:
            return False
        kinds = (int, float) if isinstance(self.ordered[0], float) else (date,)
        return isinstance(value, kinds)


def _deciles(ordered: Sequence[Value]) -> list[Value]:
    places = np.linspace(0, len(ordered) - 1, min(len(ordered), MOST_VALUES)).round().astype(int)
    return [ordered[at] for at in places.tolist()]


def choices_of(
    prompt_file: PromptFile, records: Sequence[Record], columns: Sequence[str]
) -> dict[str, Choices]:
    """Return what each of the columns may be changed to, by what occurs in records.

    A value that the file's format does not suit is no choice. Raises DataError for a column that is no
    field of the prompt, or that holds one value alone.
    """
    shown = [column for column in records[0].values if prompt_file.shows(column)]
    fields = [column for column in shown if column not in prompt_file.front.text]
    found = {}
    for column in columns:
        if column not in fields:
            raise DataError(
                f"'{column}' is no field that {prompt_file.name} shows{nearest(column, fields)}; "
                f"possible: {', '.join(fields)}"
            )
        values = [record.values.get(column) for record in records]
        possible = [value for value in values if suits(prompt_file, column, value)]
        found[column] = Choices.of(possible)
        if len(found[column].values) < 2:
            raise DataError(f"'{column}' has one value in all records: there is nothing to change")
    return found


@dataclass
class _Search:
    """A record, its log-odds as they are, and the sets of changes that are worth changing further."""

    record: Record
    odds: float
    kept: list[tuple[float, dict[str, Value]]]
    done: bool
    seen: set[frozenset[tuple[str, Value]]] = field(default_factory=set)


def contrast(
    approach: FittedApproach,
    records: Sequence[Record],
    choices: Mapping[str, Choices],
    *,
    below: float,
    label: str,
    progress: Callable[[int], object] = lambda _: None,
) -> tuple[list[Contrast], dict[int, str]]:
    """Return for each record the smallest change that brings its probability of ``label`` below.

    First every single change is tried, then changes to those that came nearest, a field more each
    time: of one field the smallest is found, of more a small one. Fewer fields are smaller; of as many,
    those whose values are less apart; of such the one with the lowest probability. Records that cannot
    be scored, as they are or changed, are left out: row → reason.
    """
    line = float(logit(below))
    found: list[Contrast] = []
    faults: dict[int, str] = {}
    for start in range(0, len(records), _TOGETHER):
        some = records[start : start + _TOGETHER]
        found += _searched(approach, some, choices, line, label, faults)
        progress(len(some))
    return found, faults


def _searched(
    approach: FittedApproach,
    records: Sequence[Record],
    choices: Mapping[str, Choices],
    line: float,
    label: str,
    faults: dict[int, str],
) -> list[Contrast]:
    """Return the contrasts of some records; ``line`` is the threshold's log-odds."""
    begun: list[tuple[Record, list[dict[str, Value]]]] = [(record, [{}]) for record in records]
    searches = [
        _Search(record, odds, [(odds, {})], done=odds < line)
        for record, [odds] in _scored(approach, begun, label, faults)
    ]
    file = approach.prompt_file_
    for _ in choices:
        open_ = {search.record.row: search for search in searches if not search.done}
        tried = [(each.record, list(_further(each, choices, file))) for each in open_.values()]
        changes = {record.row: own for record, own in tried}
        for record, odds in _scored(approach, tried, label, faults):
            pairs = list(zip(odds, changes[record.row], strict=True))
            _take(open_[record.row], pairs, choices, line)
    kept = [search for search in searches if search.record.row not in faults]
    return [_contrast(file, search, label, line) for search in kept]


def _changed(record: Record, changes: Mapping[str, Value]) -> Record:
    return replace(record, values={**record.values, **changes})


def _can_show(prompt_file: PromptFile, record: Record, changes: Mapping[str, Value]) -> bool:
    """Whether the prompt of a changed record can be written: what others have may not suit its text."""
    try:
        prompt_file.render(_changed(record, changes))
    except PromptPredictError:
        return False
    return True


def _further(
    search: _Search, choices: Mapping[str, Choices], prompt_file: PromptFile
) -> Iterator[dict[str, Value]]:
    """Yield the kept sets of changes with one field more that the prompt can show, each set once."""
    for _, changes in search.kept:
        for column, possible in choices.items():
            for value in possible.values if column not in changes else ():
                more = changes | {column: value}
                key = frozenset(more.items())
                if value != search.record.values.get(column) and key not in search.seen:
                    search.seen.add(key)
                    if _can_show(prompt_file, search.record, more):
                        yield more


def _take(
    search: _Search,
    tried: list[tuple[float, dict[str, Value]]],
    choices: Mapping[str, Choices],
    line: float,
) -> None:
    """Keep the smallest change that suffices, else those that come nearest."""
    if not tried:
        return
    under = [each for each in tried if each[0] < line]
    if under:
        search.done = True
        values = search.record.values

        def size(each: tuple[float, dict[str, Value]]) -> tuple[float, float]:
            apart = sum(choices[c].apart(values.get(c), value) for c, value in each[1].items())
            return apart, each[0]

        search.kept = [min(under, key=size)]
        return
    # What was nearest with fewer changes stays: more of them may lead away.
    every = sorted([*search.kept, *tried], key=lambda each: (each[0], len(each[1])))
    search.kept = every[:KEPT]


def _contrast(prompt_file: PromptFile, search: _Search, label: str, line: float) -> Contrast:
    odds, changes = search.kept[0]
    return Contrast(
        row=search.record.row,
        id=search.record.id,
        label=label,
        before=float(expit(search.odds)),
        after=float(expit(odds)),
        changes=tuple(
            _change(prompt_file, column, search.record.values.get(column), value)
            for column, value in changes.items()
        ),
        reached=odds < line,
    )


def _change(prompt_file: PromptFile, column: str, before: Value, after: Value) -> Change:
    texts = [
        prompt_file.front.missing if value is None else shown(prompt_file, column, value)
        for value in (before, after)
    ]
    name = prompt_file.look(column).name or column
    return Change(column=column, name=name, before=texts[0], after=texts[1])


def _scored(
    approach: FittedApproach,
    asked: Sequence[tuple[Record, Sequence[Mapping[str, Value]]]],
    label: str,
    faults: dict[int, str],
) -> list[tuple[Record, list[float]]]:
    """Return records with their log-odds of a label under each of their changes.

    A record that cannot be scored under one of them goes to ``faults``.
    """
    column = approach.keys_.index(label)
    left = [each for each in asked if each[0].row not in faults]
    changed = [_changed(record, changes) for record, own in left for changes in own]
    found: list[float] = []
    try:
        for start in range(0, len(changed), BLOCK_ROWS):
            said = approach.predict_proba(changed[start : start + BLOCK_ROWS])
            found += log_odds(said)[:, column].tolist()
    except UnscoredError as error:
        faults |= error.faults
        return _scored(approach, left, label, faults)
    odds = iter(found)
    return [(record, list(islice(odds, len(own)))) for record, own in left]
