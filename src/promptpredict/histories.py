"""Histories: a second table of orders or events, summed up as columns of each customer.

Knows tables, keys and times; knows nothing of prompts. Only events before a customer's cut-off are
looked at, so that nothing that came later can be known. Events wait in a temporary database on the
disk: memory does not grow with them.
"""

from __future__ import annotations

import re
import sqlite3
import unicodedata
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from itertools import pairwise
from typing import Any

from promptpredict.csvrows import RawRow
from promptpredict.errors import DataError, nearest_column
from promptpredict.tables import Table, open_table, table_name
from promptpredict.values import show, typed, written

RECENT = 90  # days of the columns of recent events and of their trend
SHOWN = 3  # events in events_last
LOOKED_AT = 100  # customers of whom one at least must have an event, or the keys are others
_DAY = 86_400.0
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}.*")


@dataclass(frozen=True, kw_only=True)
class EventOptions:
    """Where events are: a table, the columns of key, time and amount, and the cut-off.

    ``as_of`` is a date, a time, or the column of the customers' table that holds each one's own.
    Without ``time`` it is the only column of dates in the first row. ``hidden`` columns, those that
    the prompt file keeps from the model, are not shown of an event either.
    """

    table: str
    as_of: str
    key: str
    time: str | None = None
    amount: str | None = None
    hidden: tuple[str, ...] = ()


class History:
    """The events of a table, ready to be summed up for customers.

    ``columns`` are those that each customer gets. Raises DataError for a column that is not there
    or cannot be found out.
    """

    def __init__(
        self, options: EventOptions, *, shown: Callable[[str], str] = lambda text: text
    ) -> None:
        """Look at the table's columns; its rows are read by ``load``, or when they are needed.

        ``shown`` is what an error may show of a cell.
        """
        self.name = table_name(options.table)
        self._may_show = shown
        # SQLite's own temporary database: on the disk as soon as it is large, and gone with us.
        self._events = sqlite3.connect("", check_same_thread=False)
        weakref.finalize(self, self._events.close)
        self._events.execute("PRAGMA journal_mode = OFF")
        self._events.execute("PRAGMA synchronous = OFF")
        self._events.execute("CREATE TABLE events (key TEXT, at REAL, amount REAL, shown TEXT)")
        self._aware: bool | None = None
        self._loaded = False
        self.options = _found_out(options)
        self.as_of = _moment(options.as_of) if _DATE.fullmatch(options.as_of) else None
        if self.as_of is not None:
            self._same_zone(self.as_of, "--as-of")
        self._notes: list[str] = []

    @property
    def columns(self) -> list[str]:
        """The columns that a customer gets, in order."""
        money = ["events_amount_total", "events_amount_mean"] if self.options.amount else []
        return [
            *("events_count", "events_first_days", "events_recency_days", "events_mean_gap_days"),
            *("events_longest_gap_days", f"events_last_{RECENT}_days", "events_trend"),
            *money,
            "events_last",
        ]

    def joined(self, table: Table) -> Table:
        """Return a table of customers with these columns behind its own.

        Raises DataError where it lacks the key or the column of cut-offs, or has one of these columns.
        """
        for column in self.columns:
            if column in table.columns:
                raise DataError(
                    f"{table.name} has a column '{column}', which --events adds; possible: another name"
                )
        at = {self.options.key: "key"} | ({} if self.as_of else {self.options.as_of: "cut-off"})
        for column, what in at.items():
            if column not in table.columns:
                close = nearest_column(column, table.columns)
                also = "" if what == "key" else " (and it is no date)"
                raise DataError(
                    f"{table.name} has no column '{column}' for the {what} of its events{also}{close}"
                )
        return replace(table, columns=[*table.columns, *self.columns], rows=self._rows(table))

    def _rows(self, table: Table) -> Iterator[RawRow]:
        key_at = table.columns.index(self.options.key)
        own = 0 if self.as_of else table.columns.index(self.options.as_of)
        self.load()  # here: what is wrong with an event is not a fault of the customer's row
        seen, strange = 0, True  # strange: as long as nobody has an event
        for row in table.rows:
            if row.fault:
                yield row
                continue
            try:
                cut_off = self.as_of or self._cut_off(row.cells[own])
                key = (written(row.cells[key_at]) or "").strip()
            except DataError as error:
                yield row._replace(fault=str(error), whole=True)
                continue
            found = self.summary(key, cut_off)
            seen, strange = seen + 1, strange and not found["events_count"]
            if strange and seen == LOOKED_AT:
                raise DataError(self._strangers(f"none of the first {seen} customers", table.name))
            yield row._replace(cells=[*row.cells, *found.values()])
        if strange and seen:  # few may be new, all of them: that is no fault
            self._notes.append(self._strangers("no customer", table.name))

    def _cut_off(self, cell: object) -> datetime:
        column = self.options.as_of
        try:
            moment = _moment(cell)
        except DataError as error:
            raise DataError(f"column '{column}' holds {error}") from None
        self._same_zone(moment, f"column '{column}'")
        return moment

    def _strangers(self, who: str, table: str) -> str:
        return (
            f"{who} of {table} has an event in {self.name} before its cut-off, by "
            f"the column '{self.options.key}' of both; possible: another --events-key, "
            "or a later --as-of"
        )

    def notes(self) -> list[str]:
        """Return what is to be known of the tables that were read to their end, once."""
        notes, self._notes = self._notes, []
        return notes

    def summary(self, key: str, cut_off: datetime) -> dict[str, Any]:
        """Return the columns of a customer from the events before its cut-off."""
        self.load()
        end = cut_off.timestamp() if cut_off.tzinfo else cut_off.replace(tzinfo=UTC).timestamp()
        with self._put_aside():
            rows = self._events.execute(
                "SELECT at, amount, shown FROM events WHERE key = ? AND key <> '' AND at < ? ORDER BY at, rowid",
                (key, end),
            ).fetchall()
        times = [at for at, _, _ in rows]
        ago = [(end - at) / _DAY for at in times]
        gaps = [(later - sooner) / _DAY for sooner, later in pairwise(times)]
        recent, before = sum(each <= RECENT for each in ago), sum(RECENT < each <= 2 * RECENT for each in ago)  # fmt: skip
        amounts = [amount for _, amount, _ in rows if amount is not None]
        found: dict[str, Any] = {
            "events_count": len(rows),
            "events_first_days": int(ago[0]) if ago else None,
            "events_recency_days": int(ago[-1]) if ago else None,
            "events_mean_gap_days": round(sum(gaps) / len(gaps), 1) if gaps else None,
            "events_longest_gap_days": round(max(gaps), 1) if gaps else None,
            f"events_last_{RECENT}_days": recent,
            "events_trend": recent - before,
        }
        if self.options.amount:
            found["events_amount_total"] = round(sum(amounts), 2) if amounts else None
            found["events_amount_mean"] = round(sum(amounts) / len(amounts), 2) if amounts else None
        last = [shown for _, _, shown in rows[-SHOWN:]][::-1]
        return found | {"events_last": "; ".join(last) if last else None}

    # -- the table of events -------------------------------------------------------------------

    def load(self) -> None:
        """Read the events, once. Raises DataError for the first whose time or amount is none."""
        if self._loaded:
            return
        self._loaded = True
        with self._put_aside():
            with closing(open_table(self.options.table)) as table:
                self._insert(self.options, table)
            self._events.execute("CREATE INDEX of ON events (key, at)")

    @contextmanager
    def _put_aside(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise DataError(
                f"the events of {self.name} cannot be put aside on the disk ({error}); "
                "possible: another folder in TMPDIR"
            ) from None

    def _insert(self, options: EventOptions, table: Table) -> None:
        at = {column: place for place, column in enumerate(table.columns)}
        time_at = at[str(options.time)]
        # The outcome may stand beside an event, under any spelling: it is kept from a prompt here, too.
        apart = {folded(column) for column in (options.key, str(options.time), *options.hidden)}
        others = [(column, place) for column, place in at.items() if folded(column) not in apart]

        def lines() -> Iterator[tuple[str, float, float | None, str]]:
            for number, row in enumerate(table.rows, 1):
                where = f"{table.name}, row {number}: "
                if row.fault:
                    raise DataError(f"{where}{row.place}{self._may_show(row.fault)}")
                amount = None if options.amount is None else row.cells[at[options.amount]]
                column = options.time
                try:
                    moment = _moment(row.cells[time_at])
                    column = options.amount
                    paid = _amount(amount)
                except DataError as error:
                    found = self._may_show(str(error))
                    raise DataError(f"{where}column '{column}' holds {found}") from None
                self._same_zone(moment, f"{where}column '{options.time}'")
                yield (
                    (written(row.cells[at[options.key]]) or "").strip(),
                    (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp(),
                    paid,
                    _shown(moment, [(column, row.cells[place]) for column, place in others]),
                )

        self._events.executemany("INSERT INTO events VALUES (?, ?, ?, ?)", lines())

    def _same_zone(self, moment: datetime, where: str) -> None:
        """Raise DataError where some times have a zone and others have none: they cannot be compared."""
        aware = moment.tzinfo is not None
        if self._aware is None:
            self._aware = aware
        if self._aware != aware:
            has, others = ("a", "none") if aware else ("no", "one")
            raise DataError(f"{where} has {has} time zone, and other times have {others}")


def _found_out(options: EventOptions) -> EventOptions:
    """Check the columns; find out that of times from the first row, where it is not given."""
    with closing(open_table(options.table)) as table:
        for column in (options.key, options.time, options.amount):
            if column is not None and column not in table.columns:
                raise DataError(
                    f"{table.name} has no column '{column}'{nearest_column(column, table.columns)}"
                )
        if options.amount in options.hidden:
            raise DataError(
                f"the column '{options.amount}' of {table.name} is kept from the model by the prompt "
                "file, and cannot be the amount of events"
            )
        if options.time is not None:
            return options
        first = zip(table.columns, next(table.rows).cells, strict=False)
        dates = [column for column, cell in first if isinstance(typed(cell), date)]
    dates = [column for column in dates if column != options.key]
    if len(dates) == 1:
        return replace(options, time=dates[0])
    found = f"{len(dates)} columns hold dates: {', '.join(dates)}" if dates else "no column holds dates"  # fmt: skip
    raise DataError(f"{table.name}: {found}; possible: --events-time COLUMN")


def _moment(cell: object) -> datetime:
    """Return a date or time; DataError for anything else. A date is its midnight."""
    value = typed(cell)
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime.combine(value, time())
    raise DataError("no value" if value is None else f"'{value}', which is no date or time")


def _amount(cell: object) -> float | None:
    value = typed(cell)
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise DataError(f"'{value}', which is not a number")


def _shown(moment: datetime, cells: Sequence[tuple[str, object]]) -> str:
    """Return an event as a prompt shows it: ``2024-02-11 (kind refund, amount 12.5)``.

    Without dates that are later than itself: a parcel's return was not known when it was sent.
    """
    known = [(column, typed(cell)) for column, cell in cells]
    others = ", ".join(
        f"{column} {show(value)}"
        for column, value in known
        if value is not None and not _later(value, moment)
    )
    return f"{moment.date()} ({others})" if others else f"{moment.date()}"


def _later(value: object, moment: datetime) -> bool:
    return (
        isinstance(value, date)
        and (value.date() if isinstance(value, datetime) else value) > moment.date()
    )


def folded(column: str) -> str:
    """Return a column's name without case and signs: ``is_churn`` and ``Is Churn`` are one.

    So are those that Unicode writes in two ways: an umlaut as one character or two, wide letters.
    """
    plain = unicodedata.normalize("NFKC", column).casefold()
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", plain)))
