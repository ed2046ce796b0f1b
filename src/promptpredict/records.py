"""Tables in blocks of rows, and the records in them.

Knows which column is id, target and text; knows nothing of prompts or models. The target and the
ignored columns are removed here, at the door, so that nothing behind it can show them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from promptpredict.csvrows import RawRow
from promptpredict.errors import DataError, nearest_column
from promptpredict.frames import table_of
from promptpredict.histories import History, folded
from promptpredict.redaction import Private
from promptpredict.tables import Table, check_columns, open_table, table_name
from promptpredict.values import Value, spelling, typed, written

OPEN = Private()  # nothing is kept out


@dataclass(frozen=True, slots=True)
class Record:
    """One customer.

    ``row`` counts data rows from 1. ``values`` holds every column in table order but the target
    and the ignored ones; a missing value is None. ``label`` is the target as ``spelling`` writes
    it, None where it is unknown; it is never among ``values``. Records of one ``group`` stand on
    one side of every fold. ``whole`` is the record of which this one is a changed copy: shots are
    chosen for that.
    """

    row: int
    id: str
    values: Mapping[str, Value]
    label: str | None = None
    group: str | None = None
    whole: Record | None = None


def groups_of(records: Sequence[Record]) -> list[str] | None:
    """Return the group of each record (n,), its own where it has none; None where none has one."""
    if not any(record.group for record in records):
        return None
    return [record.group or f"\0{record.row}" for record in records]


@dataclass(frozen=True, slots=True)
class Roles:
    """Which column is what, as a prompt file says it."""

    id: str | None = None
    target: str | None = None
    text: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()

    @property
    def hidden(self) -> set[str]:
        """The columns that never reach a prompt."""
        return {*self.ignore, *([self.target] if self.target else [])}


@dataclass(frozen=True, slots=True)
class Reject:
    """A data row that gives no record, and why; ``id`` is empty where it could not be read."""

    row: int
    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Block:
    """A fixed stretch of data rows: from ``index * block_rows + 1``, rejected rows included.

    ``kept`` stands beside ``records``: for each, the columns of ``keep`` as they were written, None
    where a cell that has a type is missing.
    """

    index: int
    records: list[Record]
    rejects: list[Reject]
    kept: list[dict[str, str | None]]


@dataclass(frozen=True, slots=True)
class Labelled:
    """A labelled table: records with a label, those whose target is blank, and the rejects."""

    records: list[Record]
    unlabelled: list[Record]
    rejects: list[Reject]


@dataclass(frozen=True)
class Reading:
    """How a table is read: delimiter and encoding, None where they are to be found out.

    ``private`` says how personal data is kept out; ``events`` add columns.
    """

    delimiter: str | None = None
    encoding: str | None = None
    private: Private = OPEN
    events: History | None = None

    def notes(self) -> list[str]:
        """Return what is to be known of the tables that were read to their end, once."""
        return self.events.notes() if self.events else []


PLAIN = Reading()


def read_header(path: str | Path, reading: Reading = PLAIN) -> list[str]:
    """Return the columns of a table, which has been found to have rows as well.

    Those that events add are among them.
    """
    with closing(_opened(path, reading)) as table:
        return table.columns


def _opened(path: str | Path, reading: Reading) -> Table:
    table = open_table(path, delimiter=reading.delimiter, encoding=reading.encoding)
    if reading.events is None:
        return table
    try:
        return reading.events.joined(table)
    except DataError:
        table.close()
        raise


def check_hidden(name: str, columns: Sequence[str], roles: Roles) -> None:
    """Raise DataError if a column to hide stands in a table under another spelling, beside it or not.

    It would be shown: ``target: is_churn`` does not hide the column ``Is Churn``.
    """
    shown = {folded(column): column for column in columns if column not in roles.hidden}
    for column in sorted(roles.hidden):
        other = shown.get(folded(column))
        if other and folded(other):
            if column in columns:
                raise DataError(
                    f"{name} has '{other}' beside '{column}', which must not be shown; possible: "
                    f"another name, or ignore: ['{other}'] as well"
                )
            raise DataError(
                f"{name} has no column '{column}', which must not be shown, but has '{other}'; "
                "name it as the table does"
            )


def read_blocks(
    path: str | Path,
    roles: Roles,
    reading: Reading = PLAIN,
    *,
    block_rows: int = 1024,
    limit: int | None = None,
    keep: Sequence[str] = (),
    labelled: bool = False,
) -> Iterator[Block]:
    """Read a table in blocks that are the same for every file format.

    The header is checked at once, the rows are read as the blocks are asked for. ``limit`` counts
    data rows. Personal data is not kept out of the columns of ``keep``. Raises DataError if a
    column of id, text or keep is missing, or with ``labelled`` that of the target.
    """
    table = _opened(path, reading)
    try:
        typing = _Typing(table.name, table.columns, roles, reading.private)
        asked = (roles.id, *roles.text, roles.target if labelled else None, *keep)
        typing.require([column for column in asked if column is not None])
    except DataError:
        table.close()
        raise
    return _blocks(table, typing, block_rows, limit, keep)


def read_records(path: str | Path, roles: Roles, reading: Reading = PLAIN) -> Labelled:
    """Read all of a labelled table.

    Raises DataError if the target's column is missing or blank throughout.
    """
    found = Labelled([], [], [])
    for block in read_blocks(path, roles, reading, labelled=True):
        for record in block.records:
            (found.unlabelled if record.label is None else found.records).append(record)
        found.rejects.extend(block.rejects)
    if not found.records:
        rows = len(found.unlabelled) + len(found.rejects)
        raise DataError(
            f"{table_name(path)}: none of {rows} rows has a value in column '{roles.target}'"
        )
    return found


def records_from_frame(X: Any, roles: Roles, *, y: Any = None) -> list[Record]:
    """Return the records of a pandas DataFrame, a numpy array, a list of dicts or of Records.

    An array's columns are ``x0``, ``x1``, …. Labels come from ``y``, else from the target's
    column where there is one. A frame without the id's column has its row numbers as ids. Raises
    DataError for the first row that gives no record.
    """
    records = _records_of(X, roles)
    if y is None:
        return records
    try:
        labels = [_label(value) for value in y]
    except DataError as error:
        raise DataError(f"y holds {error}") from None
    if len(labels) != len(records):
        raise DataError(f"X has {len(records)} rows and y has {len(labels)} values")
    return [replace(record, label=label) for record, label in zip(records, labels, strict=True)]


def _records_of(X: Any, roles: Roles) -> list[Record]:
    if isinstance(X, list) and X and all(isinstance(row, Record) for row in X):
        return X
    columns, rows = table_of(X)
    check_columns("X", columns)
    typing = _Typing("X", columns, replace(roles, id=roles.id if roles.id in columns else None))
    typing.require(roles.text)
    records = []
    for number, cells in enumerate(rows, 1):
        try:
            records.append(typing.record(number, cells))
        except DataError as error:
            raise DataError(f"X, row {number}: {error}") from None
    return records


# ----------------------------------------------------------------------------- cells to records


class _Typing:
    """How the cells of one table become values, id and label."""

    def __init__(
        self, name: str, columns: Sequence[str], roles: Roles, private: Private = OPEN
    ) -> None:
        self.name = name
        self.private = private
        self.columns = columns
        self.roles = roles
        check_hidden(name, columns, roles)
        self.shown = [
            (at, column, self._reader(column))
            for at, column in enumerate(columns)
            if column not in roles.hidden
        ]

    def _reader(self, column: str) -> Callable[[Any], Value]:
        if column == self.roles.id:
            return written
        return _text if column in self.roles.text else typed

    def require(self, columns: Sequence[str]) -> None:
        for column in columns:
            if column not in self.columns:
                raise DataError(
                    f"{self.name} has no column '{column}'{nearest_column(column, self.columns)}"
                )

    def id(self, number: int, cells: Sequence[Any]) -> str:
        """Return the id as written, the row number where there is no such column, else ''."""
        if self.roles.id is None:
            return str(number)
        try:
            return self.private.id(written(cells[self.columns.index(self.roles.id)]) or "")
        except DataError:
            return ""

    def record(self, number: int, cells: Sequence[Any]) -> Record:
        values: dict[str, Value] = {}
        column, label, target = "", None, self.roles.target
        try:
            for at, column, read in self.shown:
                values[column] = self._seen(column, read(cells[at]))
            if target in self.columns:
                column = str(target)
                label = _label(cells[self.columns.index(column)])
        except DataError as error:
            raise DataError(f"column '{column}' holds {error}") from None
        id = self.id(number, cells)
        if not id:
            raise DataError("the id is missing")
        return Record(number, id, values, label)

    def _seen(self, column: str, value: Value) -> Value:
        if column == self.roles.id and self.private.salt is not None:
            return self.private.id(str(value or ""))  # a prompt may show it
        return self.private.text(value)  # type: ignore[no-any-return]


def _blocks(
    table: Table, typing: _Typing, block_rows: int, limit: int | None, keep: Sequence[str]
) -> Iterator[Block]:
    kept_at = [(column, table.columns.index(column)) for column in keep]
    with closing(table):
        most = None if limit is None else min(limit, sys.maxsize)  # islice takes no more
        rows = enumerate(islice(table.rows, most), 1)
        index = 0
        while batch := list(islice(rows, block_rows)):
            block = Block(index, [], [], [])
            for number, row in batch:
                found = _found(typing, number, row)
                if isinstance(found, Reject):
                    block.rejects.append(found)
                else:
                    block.records.append(found)
                    block.kept.append({column: _raw(row.cells[at]) for column, at in kept_at})
            yield block
            index += 1


def _found(typing: _Typing, number: int, row: RawRow) -> Record | Reject:
    if row.fault:  # its cells are not to be trusted, the id's neither
        id = "" if typing.roles.id else str(number)
        id = typing.id(number, row.cells) if row.whole else id
        return Reject(number, id, typing.private.text(row.place + row.fault))
    try:
        return typing.record(number, row.cells)
    except DataError as error:
        reason = typing.private.text(f"{row.place}{error}")
        return Reject(number, typing.id(number, row.cells), reason)


def _text(value: Any) -> str | None:
    text = written(value)
    return None if text is None else text.strip()


def _label(value: Any) -> str | None:
    if written(value) is None:
        return None
    # spelling compares text as written; other types first become what CSV would hold
    return spelling(value if isinstance(value, str) else typed(value))


def _raw(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    try:
        return written(value)
    except DataError:  # nested, in a column that is ignored
        return json.dumps(value, ensure_ascii=False, default=str)
