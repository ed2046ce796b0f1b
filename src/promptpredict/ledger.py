"""The ledger: a durable record of what a language model said of prompts, in one SQLite file.

Knows keys, arrays and SQLite; knows nothing of prompts or models. A key is a digest of both, so
the file holds no customer's text. What is put stays, however the run ends.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from promptpredict.errors import DataError

_SCHEMA = """
create table if not exists scores (
    key blob primary key, logprobs blob not null, hidden blob not null, mass real,
    truncated integer not null, fault text, alone real not null, shared real not null,
    rate real not null
) without rowid
"""
_AT_ONCE = 500  # keys in one question to SQLite, which takes 999 at least
Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one prompt: ``logprobs`` (k,), ``hidden`` (2d,), label mass, fault if any.

    ``alone`` and ``shared`` are its tokens by itself and as part of a customer's questions;
    ``rate`` the seconds a token when it was read.
    """

    logprobs: Array
    hidden: Array
    mass: float
    truncated: bool
    fault: str | None
    alone: float
    shared: float
    rate: float


class Ledger:
    """Entries by key, in a file or, without a path, in memory.

    Raises DataError for a file that is no ledger, or that cannot be read or written.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        """Open a ledger, or begin one."""
        self.path = path
        try:
            self._file = sqlite3.connect(str(path or ":memory:"), isolation_level=None)
            self._file.execute("pragma journal_mode = wal")
            self._file.execute("pragma synchronous = normal")
            self._file.execute(_SCHEMA)
        except sqlite3.Error as error:
            raise self._fault("opened", error) from None

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Entry]:
        """Return the entries of those keys that are known."""
        found = {}
        try:
            for start in range(0, len(keys), _AT_ONCE):
                some = keys[start : start + _AT_ONCE]
                marks = ",".join("?" * len(some))
                for row in self._file.execute(f"select * from scores where key in ({marks})", some):
                    found[row[0]] = _entry(*row[1:])
        except sqlite3.Error as error:
            raise self._fault("read", error) from None
        return found

    def put(self, entries: Iterable[tuple[bytes, Entry]]) -> None:
        """Keep entries, all of them or none."""
        try:
            with self._file:
                self._file.execute("begin immediate")
                self._file.executemany(
                    "insert or replace into scores values (?,?,?,?,?,?,?,?,?)", _rows(entries)
                )
        except sqlite3.Error as error:
            raise self._fault("written", error) from None

    def spent(self) -> tuple[int, float, float]:
        """Return the prompts that were read, their own tokens, and the seconds that these took.

        What prompts begin with in common, such as shots, is read once for many, and not among them.
        """
        try:
            found = self._file.execute(
                "select count(*), total(shared), total(shared * rate) from scores"
            ).fetchone()
        except sqlite3.Error as error:
            raise self._fault("read", error) from None
        return int(found[0]), float(found[1]), float(found[2])

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _fault(self, what: str, error: sqlite3.Error) -> DataError:
        return DataError(
            f"{self.path}: the ledger cannot be {what} ({error}); possible: another folder, or "
            "without this file, which holds only what can be computed again"
        )


def _entry(
    logprobs: bytes,
    hidden: bytes,
    mass: float | None,
    truncated: int,
    fault: str | None,
    *read: float,
) -> Entry:
    return Entry(
        np.frombuffer(logprobs, np.float32),
        np.frombuffer(hidden, np.float32),
        np.nan if mass is None else mass,
        bool(truncated),
        fault,
        *read,
    )


def _rows(entries: Iterable[tuple[bytes, Entry]]) -> Iterator[tuple[object, ...]]:
    for key, entry in entries:
        yield (
            key,
            entry.logprobs.astype(np.float32).tobytes(),
            entry.hidden.astype(np.float32).tobytes(),
            None if np.isnan(entry.mass) else float(entry.mass),
            int(entry.truncated),
            entry.fault,
            float(entry.alone),
            float(entry.shared),
            float(entry.rate),
        )
