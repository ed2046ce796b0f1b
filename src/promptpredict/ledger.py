"""The ledger: a durable record of what a language model said of prompts, in one SQLite file.

Knows keys, arrays and SQLite; knows nothing of prompts or models. A key is a digest of both, so
the file holds no customer's text. What is put stays, however the run ends. Runs that hold a ledger
are numbered, so that one that was interrupted can tell what it wrote from what was there before.
What no run has asked for in 60 days goes, or the file of a nightly run would grow for ever.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from socket import gethostname
from typing import Any

import numpy as np
import numpy.typing as npt

from promptpredict.errors import DataError

_SCHEMA = """
create table if not exists scores (
    key blob primary key, logprobs blob not null, hidden blob not null, mass real,
    truncated integer not null, fault text, alone real not null, shared real not null,
    rate real not null, run integer not null default 0, used integer not null default 0
) without rowid;
create table if not exists runs (
    number integer primary key, identity text not null, finished integer not null default 0,
    watched text, bins text
);
create table if not exists holder (place integer primary key, name text not null)
"""
# Of a file that is older than the column: what it holds was asked for today, as far as is known.
_NEWER = "alter table scores add column {} integer not null default {}"
_COLUMNS = "key, logprobs, hidden, mass, truncated, fault, alone, shared, rate, run, used"
_KEPT, _MARKED = 60, 7  # days that an entry is kept without use, and until its use is written anew
# Part of every key. To be raised whenever the same model says something else of the same prompt, by
# other tokens, masks or context, or where an entry holds something else; 2: the mean of the states.
_FORMAT = 2
_AT_ONCE = 500  # keys in one question to SQLite, which takes 999 values at least
Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one prompt: ``logprobs`` (k,), ``hidden`` (2d,), label mass, fault if any.

    ``alone`` and ``shared`` are its tokens by itself and as part of a customer's questions;
    ``rate`` the seconds a token when it was read; ``run`` the number of the run that put it, and
    ``used`` the day on which it was last put or marked.
    """

    logprobs: Array
    hidden: Array
    mass: float
    truncated: bool
    fault: str | None
    alone: float
    shared: float
    rate: float
    run: int = 0
    used: int = 0


def key_of(*parts: object) -> bytes:
    """Return a key of 32 bytes: a thousand prompts with 16 shots each would take megabytes."""
    return hashlib.sha256(repr((_FORMAT, *parts)).encode("utf-8", "surrogatepass")).digest()


class Ledger:
    """Entries by key, in a file or, without a path, in memory.

    ``run`` is the number of the run at hand, 0 where none has begun. Raises DataError for a file
    that is no ledger, or that cannot be read or written.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        """Open a ledger, or begin one."""
        self.path, self.run = path, 0
        self._lock: Any = None
        with self._to_be("opened"):
            self._file = sqlite3.connect(str(path or ":memory:"), isolation_level=None)
            self._file.execute("pragma journal_mode = wal")
            self._file.execute("pragma synchronous = normal")
            self._file.executescript(_SCHEMA)
            names = [row[1] for row in self._file.execute("pragma table_info(scores)")]
            for name, value in (("run", 0), ("used", _today())):
                if name not in names:
                    self._file.execute(_NEWER.format(name, value))

    @classmethod
    def held(cls, path: Path, *, restart: bool = False) -> Ledger:
        """Open a ledger that no other process may hold until it is closed, or this one ends.

        ``restart`` begins it anew. Raises DataError, with who holds it, where one does.
        """
        from filelock import FileLock, Timeout

        lock = FileLock(f"{path}.lock")
        try:
            lock.acquire(timeout=0)
            for end in ("", "-wal", "-shm") if restart else ():
                Path(f"{path}{end}").unlink(missing_ok=True)
            ledger = cls(path)
            ledger._hold()
        except Timeout:
            raise DataError(
                f"{path} is held by {cls._holder(path)}; possible: wait for it, or another --out"
            ) from None
        except OSError as error:
            lock.release()
            raise DataError(f"{error.filename} cannot be written ({error.strerror})") from None
        except DataError:
            lock.release()
            raise
        ledger._lock = lock
        return ledger

    def _hold(self) -> None:
        """Write down who holds the ledger from now on: at once, as a model may take long to load."""
        now = datetime.now().astimezone().isoformat(" ", "seconds")
        name = f"process {os.getpid()} on {gethostname()}, since {now}"
        with self._to_be("written"):
            self._file.execute("insert or replace into holder values (1, ?)", (name,))

    @classmethod
    def _holder(cls, path: Path) -> str:
        try:
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as file:
                found = file.execute("select name from holder").fetchone()
        except sqlite3.Error:
            found = None
        return found[0] if found else "another run, which has just begun"

    def begin(self, identity: str) -> bool:
        """Begin a run, or go on with the last one if it is the same and was not finished.

        Returns whether it goes on. ``identity`` says what is run: the same for a run that ends with
        the same output.
        """
        with self._to_be("written"):
            last = self._file.execute(
                "select number, identity, finished from runs order by number desc limit 1"
            ).fetchone()
            goes_on = bool(last) and last[1] == identity and not last[2]
            self.run = last[0] + (not goes_on) if last else 1
            self._file.execute(
                "insert or replace into runs (number, identity) values (?, ?)", (self.run, identity)
            )
        return goes_on

    def finish(self, watched: str = "", bins: Mapping[int, int] | None = None) -> None:
        """Note that the run at hand is finished, and how many rows fell into which bin.

        ``watched`` says what bins can be compared with: those of the same question to the same model.
        Entries that no run has put or marked in 60 days go.
        """
        counts = json.dumps(sorted((bins or {}).items()))
        with self._to_be("written"):
            self._file.execute(
                "update runs set finished = 1, watched = ?, bins = ? where number = ?",
                (watched, counts, self.run),
            )
            self._file.execute("delete from scores where used < ?", (_today() - _KEPT,))

    def last_bins(self, watched: str) -> dict[int, int] | None:
        """Return the bins of the last finished run that can be compared; {} where none was finished.

        None where all that were finished are others. The run at hand, done once more, is compared
        with what it was compared with the first time.
        """
        with self._to_be("read"):
            found = self._file.execute(
                "select watched = ?, bins from runs where finished and identity is not "
                "(select identity from runs where number = ?) order by 1 desc, number desc limit 1",
                (watched, self.run),
            ).fetchone()
        if found is None:
            return {}
        return dict(json.loads(found[1])) if found[0] else None

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Entry]:
        """Return the entries of those keys that are known; what cannot be read is not."""
        found = {}
        with self._to_be("read"):
            for start in range(0, len(keys), _AT_ONCE):
                some = keys[start : start + _AT_ONCE]
                asked = f"select {_COLUMNS} from scores where key in ({_blanks(some)})"
                for key, *row in self._file.execute(asked, some):
                    with suppress(TypeError, ValueError):
                        found[key] = _entry(*row)
        return found

    def mark(self, entries: Mapping[bytes, Entry]) -> None:
        """Note that entries are in use; of those that were so within a week, nothing is written."""
        keys = [key for key, entry in entries.items() if entry.used < _today() - _MARKED]
        with self._to_be("written"):
            for start in range(0, len(keys), _AT_ONCE):
                some = keys[start : start + _AT_ONCE]
                of = f"update scores set used = ? where key in ({_blanks(some)})"
                self._file.execute(of, (_today(), *some))

    def put(self, entries: Iterable[tuple[bytes, Entry]]) -> None:
        """Keep entries, all of them or none."""
        with self._to_be("written"), self._file:
            self._file.execute("begin immediate")
            self._file.executemany(
                f"insert or replace into scores ({_COLUMNS}) values (?,?,?,?,?,?,?,?,?,?,?)",
                _rows(entries, self.run),
            )

    def spent(self) -> tuple[int, float, float]:
        """Return the prompts that were read, their own tokens, and the seconds that these took.

        What prompts begin with in common, such as shots, is read once for many, and not among them.
        """
        with self._to_be("read"):
            found = self._file.execute(
                "select count(*), total(shared), total(shared * rate) from scores"
            ).fetchone()
        return int(found[0]), float(found[1]), float(found[2])

    def close(self) -> None:
        """Close the file, and let others hold it."""
        self._file.close()
        if self._lock:
            self._lock.release()

    @contextmanager
    def _to_be(self, done: str) -> Iterator[None]:
        """Turn SQLite's errors into a DataError that names the file, and what could not be done."""
        try:
            yield
        except sqlite3.Error as error:
            raise DataError(
                f"{self.path}: the ledger cannot be {done} ({error}); possible: another folder, or "
                "without this file, which holds only what can be computed again"
            ) from None


def _today() -> int:
    return date.today().toordinal()


def _blanks(keys: Sequence[bytes]) -> str:
    return ",".join("?" * len(keys))


def _entry(
    logprobs: bytes,
    hidden: bytes,
    mass: float | None,
    truncated: int,
    fault: str | None,
    *read: Any,
) -> Entry:
    return Entry(
        np.frombuffer(logprobs, np.float32),
        np.frombuffer(hidden, np.float32),
        np.nan if mass is None else mass,
        bool(truncated),
        fault,
        *read,
    )


def _rows(entries: Iterable[tuple[bytes, Entry]], run: int) -> Iterator[tuple[object, ...]]:
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
            run,
            _today(),
        )
