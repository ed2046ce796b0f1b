"""Labelled tables: the records whose label a prompt file knows and whose prompt can be rendered.

Knows records and prompt files; imports no torch and knows nothing of what the records are for.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from promptpredict.errors import DataError, PromptError, PromptPredictError
from promptpredict.histories import EventOptions, History
from promptpredict.prompt import PromptFile
from promptpredict.records import (
    PLAIN,
    Reading,
    Record,
    Reject,
    Roles,
    read_blocks,
    read_header,
    read_records,
)
from promptpredict.redaction import Private, private
from promptpredict.tables import count_rows, stamp, table_name


@dataclass(frozen=True, kw_only=True)
class ReadingOptions:
    """How the tables of a command are read; None: detected.

    ``redact`` replaces personal data in their texts, ``salt_file`` holds the salt of their ids.
    ``events`` is a second table that is summed up for each customer, from before ``as_of``.
    """

    delimiter: str | None = None
    encoding: str | None = None
    redact: bool = False
    salt_file: str | None = None
    events: str | None = None
    events_key: str | None = None
    events_time: str | None = None
    events_amount: str | None = None
    as_of: str | None = None

    @property
    def reading(self) -> Reading:
        """All of it, as readers take it."""
        return Reading(self.delimiter, self.encoding, self.private, self.history)

    def count(self, table: str, limit: int | None = None) -> int:
        """Return about how many rows a table has, at most ``limit``: see ``tables.count_rows``."""
        return count_rows(table, limit, delimiter=self.delimiter, encoding=self.encoding)

    @cached_property
    def history(self) -> History | None:
        """What is known of the customers' events. Raises DataError where that cannot be found out."""
        others = ("events_key", "events_time", "events_amount", "as_of")
        if self.events is None:
            if given := next((name for name in others if getattr(self, name) is not None), None):
                raise DataError(f"--{given.replace('_', '-')} needs --events")
            return None
        if self.as_of is None:
            raise DataError(
                "--events needs --as-of, a date or a column of the customers that holds it"
            )
        fronts = [PromptFile.load(prompt).front for prompt in self.prompt_names]
        key = self.events_key or fronts[0].id
        if key is None:
            raise DataError(f"{self.prompt_names[0]} names no id; possible: --events-key COLUMN")
        return History(
            EventOptions(
                table=self.events,
                as_of=self.as_of,
                key=key,
                time=self.events_time,
                amount=self.events_amount,
                hidden=tuple(
                    column for front in fronts for column in (front.target, *front.ignore)
                ),
            ),
            shown=self.private.text,
        )

    @property
    def told(self) -> tuple[object, ...]:
        """What says which events are known; nothing without any."""
        if self.events is None:
            return ()
        asked = (self.events_key, self.events_time, self.events_amount, self.as_of)
        return (self.events, stamp(self.events), *asked)

    @property
    def prompt_names(self) -> Sequence[str]:
        """The prompt files, of which the first says how tables are read."""
        return [vars(self)["prompt"]]

    @cached_property
    def private(self) -> Private:
        """How personal data is kept out. Raises DataError where that cannot be done."""
        return private(redact=self.redact, salt_file=self.salt_file)

    @property
    def notes(self) -> list[str]:
        """What is to be known of how tables are read."""
        redact = self.private.redact
        return [redact.note] if redact and redact.note else []


def read_labelled(
    table: str, prompt_file: PromptFile, reading: Reading = PLAIN
) -> tuple[list[Record], list[str]]:
    """Return the usable records of a labelled table, and a line on what was left out, if anything.

    Raises PromptPredictError for a missing column, and for a label that the prompt file does not
    know.
    """
    prompt_file.check_columns(read_header(table, reading), table_name(table), labelled=True)
    found = read_records(table, prompt_file.roles, reading)
    try:
        if prompt_file.front.bins:
            prompt_file = _binned(prompt_file, found.records, table)
        for record in found.records:
            label_of(prompt_file, record, table)
    except DataError as error:  # it shows a cell
        raise DataError(reading.private.text(str(error))) from None
    usable: list[Record] = []
    rejects = list(found.rejects)
    _take(prompt_file, found.records, usable, rejects)
    left_out = _left_out(table_name(table), len(found.unlabelled), rejects)
    return usable, [*reading.notes(), *left_out]


def _binned(prompt_file: PromptFile, records: Sequence[Record], table: str) -> PromptFile:
    """Return a prompt file of a regression with edges, so that its records can be shown.

    Raises DataError for an amount that is no number.
    """
    from promptpredict.binning import binned, targets_of

    for record in records:
        amount_in(prompt_file, record, table)
    try:
        return binned(prompt_file, targets_of(records))
    except DataError as error:
        raise DataError(
            f"{table_name(table)}, column '{prompt_file.front.target}': {error}"
        ) from None


def read_unlabelled(
    table: str, prompt_file: PromptFile, reading: Reading = PLAIN
) -> tuple[list[Record], list[str]]:
    """Return the usable records of a table whose labels are not looked at, as ``read_labelled`` does.

    Raises DataError where there is none.
    """
    prompt_file.check_columns(read_header(table, reading), table_name(table))
    usable: list[Record] = []
    rejects: list[Reject] = []
    for block in read_blocks(table, prompt_file.roles, reading):
        rejects += block.rejects
        _take(prompt_file, block.records, usable, rejects)
    if not usable:
        why = f" ({_first(rejects)})" if rejects else ""
        raise DataError(f"{table_name(table)} has no usable row{why}")
    return usable, [*reading.notes(), *_left_out(table_name(table), 0, rejects)]


def column_cells(
    table: str, column: str, records: Sequence[Record], reading: Reading, roles: Roles
) -> list[str]:
    """Return the cells of a column, as they are written, of some records of a table.

    ``roles`` are those that the records were read with, so that no row is a reject here alone.
    """
    cells: dict[int, str] = {}
    for block in read_blocks(table, roles, reading, keep=[column]):
        rows = (record.row for record in block.records)
        cells |= {row: kept[column] or "" for row, kept in zip(rows, block.kept, strict=True)}
    return [cells[record.row] for record in records]


def drawn(
    records: Sequence[Record], most: int, *, seed: int | None, keys: Sequence[str] = ()
) -> list[Record]:
    """Return at most so many records, drawn at random and in their order.

    Not the first ones, as a table may be sorted by its outcome, unless ``seed`` is None. With the
    label ``keys`` (n,) of the records, one of each label at least, where there are no more labels
    than records.
    """
    if len(records) <= most or seed is None:
        return list(records[:most])
    rng = random.Random(seed)
    chosen = rng.sample(range(len(records)), most)
    counts = Counter(keys[index] for index in chosen) if keys else Counter[str]()
    for rare in sorted(set(keys).difference(counts)):
        frequent, count = counts.most_common(1)[0]
        if count == 1:
            break
        at = next(at for at in reversed(range(most)) if keys[chosen[at]] == frequent)
        chosen[at] = rng.choice([index for index, key in enumerate(keys) if key == rare])
        counts += Counter({rare: 1, frequent: -1})
    return [records[index] for index in sorted(chosen)]


def label_of(prompt_file: PromptFile, record: Record, table: str) -> str:
    """Return the label key of a labelled record; the DataError names table and row."""
    try:
        return prompt_file.label_of(record.label)
    except DataError as error:
        raise DataError(f"{table_name(table)}, row {record.row}: {error}") from None


def amount_in(prompt_file: PromptFile, record: Record, table: str) -> float:
    """Return the amount of a labelled record; the DataError names table and row."""
    from promptpredict.binning import amount_of

    try:
        return amount_of(str(record.label))
    except DataError as error:
        where = f"{table_name(table)}, row {record.row}: column '{prompt_file.front.target}'"
        raise DataError(f"{where} holds {error}") from None


def label_shares(prompt_file: PromptFile, records: Sequence[Record]) -> dict[str, float] | None:
    """Return the share of each label among records that have one; None without any."""
    y = [prompt_file.label_of(record.label) for record in records if record.label is not None]
    return {key: y.count(key) / len(y) for key in prompt_file.words} if y else None


def check_task(prompt_file: PromptFile, command: str) -> None:
    """Raise PromptError for a task that a command cannot do."""
    if prompt_file.front.task == "regression":
        raise PromptError(
            f"{prompt_file.name} has task: regression, which {command} cannot do; "
            "possible: binary, multiclass"
        )


def _take(
    prompt_file: PromptFile,
    records: Sequence[Record],
    usable: list[Record],
    rejects: list[Reject],
) -> None:
    """Part records that can be rendered from those that cannot.

    One shot that cannot be rendered would take every customer's prompt with it.
    """
    for record in records:
        try:
            prompt_file.render(record)
            usable.append(record)
        except PromptPredictError as error:
            rejects.append(Reject(record.row, record.id, str(error)))


def _left_out(table: str, unlabelled: int, rejects: Sequence[Reject]) -> list[str]:
    parts = [f"{unlabelled:,} without a label"] if unlabelled else []
    if rejects:
        parts.append(f"{len(rejects):,} unusable ({_first(rejects)})")
    return [f"{table}: rows left out: {', '.join(parts)}"] if parts else []


def _first(rejects: Sequence[Reject]) -> str:
    first = min(rejects, key=lambda reject: reject.row)
    return f"the first is row {first.row}: {first.reason}"
