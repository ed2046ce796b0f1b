"""Predictions out: CSV, JSON lines or Parquet, whole or not at all.

Knows rows of named values and files; knows nothing of models, prompts or calibration.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from glob import escape
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal

from promptpredict.errors import DataError, nearest
from promptpredict.places import local

Line = Mapping[str, Any]
Kind = Literal["text", "number", "count", "truth"]
_GROUP_ROWS = 1 << 16  # of Parquet: groups of a thousand rows are slow to read and larger
ENDINGS = (".csv", ".csv.gz", ".jsonl", ".parquet")


def check_output(out: str) -> None:
    """Raise DataError where predictions cannot be written to ``out``; ``-`` is stdout."""
    if out == "-":
        return
    check_place(out)
    if not Path(out).name.endswith(ENDINGS):
        raise DataError(
            f"{out}: its ending says no format{nearest(Path(out).suffix, ENDINGS)}; "
            f"possible: {', '.join(ENDINGS)}, or - for stdout"
        )
    check_place(str(rejects_of(out)))


def check_place(file: str) -> None:
    """Raise DataError where no file can be written under a name."""
    path = Path(file)
    with writable(file):  # a name that no file can have
        if path.is_dir():
            raise DataError(f"{file} is a folder; give the file to write")
        draft = _draft_of(path)
        draft.exists()
    # where a link leads to, for that is what is replaced
    folder = draft.parent if path.is_symlink() else path.parent
    if not folder.is_dir():
        raise DataError(f"{file} cannot be written: there is no folder {folder}")
    if not os.access(folder, os.W_OK):
        raise DataError(f"{file} cannot be written: the folder {folder} is read-only")
    # The file is replaced, not opened, so its own permissions would not keep it.
    if path.exists() and not os.access(path, os.W_OK):
        raise DataError(f"{file} cannot be written: it is read-only")


def check_folder(folder: Path) -> None:
    """Raise DataError where a folder is not there and cannot be made, or cannot be written to."""
    with writable(str(folder)):  # a name that no folder can have
        if folder.exists() and not folder.is_dir():
            raise DataError(f"{folder} is a file; --out wants a folder")
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    if not there.is_dir():
        raise DataError(f"{folder} cannot be made: {there} is a file")
    if not os.access(there, os.W_OK):
        raise DataError(f"{folder} cannot be written: the folder {there} is read-only")


def make_folder(folder: Path) -> None:
    """Make a folder, or raise DataError; it may be there."""
    with writable(str(folder)):
        folder.mkdir(parents=True, exist_ok=True)


def rejects_of(out: str) -> Path:
    """Return the file for the rejected rows of an output."""
    return Path(f"{out}.rejects.jsonl")


def prompts_of(out: str) -> Path:
    """Return the file for the prompts of an output, where they are kept."""
    return Path(f"{out}.prompts.jsonl")


def ledger_of(out: str) -> Path:
    """Return the file of an output's ledger, which is that of what a link leads to."""
    path = Path(out)
    return Path(f"{path.resolve() if path.is_symlink() else path}.ledger")


def own_files(out: str, *, prompts: bool) -> dict[str, Path]:
    """Return the files that a run writes, by what they are; ``prompts`` where these are kept."""
    if out == "-":
        return {}
    ledger = ledger_of(out)
    return {
        "--out": Path(out),
        "the rejects of --out": rejects_of(out),
        "the ledger of --out": ledger,
        "the lock of --out": Path(f"{ledger}.lock"),
        **({"the prompts of --out": prompts_of(out)} if prompts else {}),
    }


def check_apart(written: Mapping[str, Path], read: Mapping[str, str | Path | None]) -> None:
    """Raise DataError where a file to write is one that is read, or would stand among the parts of one."""
    for option, output in written.items():
        for what, name in read.items():
            if name is not None and _lies_in(output, local(name)):
                raise DataError(
                    f"{option} would lie in the folder of {what}, {name}, as a part of it; "
                    "give another folder to write to"
                )
            if name is not None and _is_of(output, local(name)):
                raise DataError(
                    f"{option} would overwrite {what}, {name}; give another file to write"
                )


def _is_of(output: Path, read: Path) -> bool:
    """Whether a file to write is one that is read, or one that a link in such a folder leads to."""
    if not output.exists():
        return False
    parts = read.rglob("*") if os.path.isdir(read) else [read]
    return any(each.exists() and each.samefile(output) for each in parts)


def _lies_in(file: Path, folder: Path) -> bool:
    # os: a name that no folder can have is none, and is said where it is read
    return os.path.isdir(folder) and file.resolve().is_relative_to(folder.resolve())


def clear_drafts(out: str) -> None:
    """Remove what a killed run left of an output and its rejects."""
    for path in (Path(out).resolve(), rejects_of(out).resolve(), prompts_of(out).resolve()):
        for draft in path.parent.glob(f".{escape(path.name)}.*.tmp"):
            # not those of y.csv.gz, which begin as those of y.csv do: another run may be writing them
            if draft.name[len(path.name) + 2 : -len(".tmp")].isdecimal():
                draft.unlink(missing_ok=True)


class Writer:
    """Writes rows to a file that appears when the last one is written; ``-`` is stdout.

    ``columns`` are in order, each with the kind of its values; None stands for no value. Used as
    a context manager: on an error the output stays as it was before.
    """

    def __init__(self, out: str, columns: Mapping[str, Kind]) -> None:
        """Open nothing yet."""
        self.out, self.columns = out, columns
        self._draft = None if out == "-" else _draft_of(Path(out))
        self._stack = ExitStack()

    def __enter__(self) -> Writer:
        """Open the draft."""
        with writable(self.out):
            if self.out.endswith(".parquet"):
                self._file: Any = _Parquet(self._draft, self.columns)
            else:
                form = _JsonLines if self.out.endswith(".jsonl") else _Csv
                self._file = form(self._text(), self.columns)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Put the draft in its place, or remove it after an error."""
        try:
            self.finish()
            with writable(self.out):
                if self._draft and kind is None:
                    self._draft.replace(Path(self.out).resolve())
        finally:
            if self._draft:
                self._draft.unlink(missing_ok=True)

    def finish(self) -> None:
        """Write what waits: a disk that is full is known before the output takes its place."""
        file, self._file = self._file, None
        with writable(self.out):
            if file:
                file.close()
            self._stack.close()

    def write(self, lines: Iterable[Line]) -> None:
        """Write rows; each has a value for every column."""
        with writable(self.out):
            self._file.write(lines)

    def _text(self) -> IO[str]:
        if self._draft is None:
            return sys.stdout
        raw: Any = self._stack.enter_context(self._draft.open("wb"))
        if self.out.endswith(".gz"):
            # no time stamp and no name, so that the same rows are the same bytes
            raw = self._stack.enter_context(gzip.GzipFile("", "wb", fileobj=raw, mtime=0))
        return self._stack.enter_context(io.TextIOWrapper(raw, encoding="utf-8", newline=""))


class _Lines:
    """Takes rows that end in both kinds of line break, and ends them in one.

    csv quotes those breaks in a cell that its own line ends hold: a cell with a lone carriage
    return would else be read as two rows.
    """

    def __init__(self, text: IO[str]) -> None:
        self.text = text

    def write(self, row: str) -> None:
        self.text.write(row.removesuffix("\r\n") + "\n")


class _Csv:
    """Numbers with all their digits: fewer would tie customers whom the scores tell apart."""

    def __init__(self, text: IO[str], columns: Mapping[str, Kind]) -> None:
        self.text, self.columns = text, columns
        self._writer = csv.writer(_Lines(text), lineterminator="\r\n")
        self._writer.writerow(columns)

    def write(self, lines: Iterable[Line]) -> None:
        self._writer.writerows([line[column] for column in self.columns] for line in lines)

    def close(self) -> None:
        self.text.flush()


class _JsonLines:
    def __init__(self, text: IO[str], columns: Mapping[str, Kind]) -> None:
        self.text, self.columns = text, columns

    def write(self, lines: Iterable[Line]) -> None:
        for line in lines:
            self.text.write(_json({column: line[column] for column in self.columns}))

    def close(self) -> None:
        self.text.flush()


class _Parquet:
    def __init__(self, draft: Path | None, columns: Mapping[str, Kind]) -> None:
        import pyarrow
        import pyarrow.parquet

        kinds = {"text": "string", "number": "float64", "count": "int64", "truth": "bool"}
        # Types by kind, not by value: the first rows may all lack a label mass.
        self.schema = pyarrow.schema([(column, kinds[kind]) for column, kind in columns.items()])
        self._writer = pyarrow.parquet.ParquetWriter(draft, self.schema)
        self._waiting: list[Any] = []  # tables that are to be one row group

    def write(self, lines: Iterable[Line]) -> None:
        import pyarrow

        rows = [dict(line) for line in lines]
        self._waiting.append(pyarrow.Table.from_pylist(rows, schema=self.schema))
        if sum(map(len, self._waiting)) >= _GROUP_ROWS:
            self._flush()

    def _flush(self) -> None:
        import pyarrow

        if self._waiting:
            self._writer.write_table(pyarrow.concat_tables(self._waiting))
        self._waiting = []

    def close(self) -> None:
        self._flush()
        self._writer.close()


def write_rejects(out: str, rejects: Iterable[Line]) -> Path | None:
    """Write the rejected rows beside an output, one JSON object a line.

    Returns the file. Without rejects an earlier run's file is removed and None returned; for
    stdout the rejects go to stderr.
    """
    lines = map(_json, rejects)
    if out == "-":
        sys.stderr.writelines(lines)
        return None
    path = rejects_of(out)
    with writable(str(path)):
        first = next(lines, None)
        if first is None:
            path.unlink(missing_ok=True)
            return None
        with whole(path) as draft, draft.open("w", encoding="utf-8", newline="") as file:
            file.writelines(chain([first], lines))
    return path


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Give a draft to write to; it takes the place of the file, or of what a link leads to, or goes."""
    draft = _draft_of(path)
    try:
        yield draft
        draft.replace(path.resolve())
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def _draft_of(path: Path) -> Path:
    """Return a name beside the file that a link leads to, so that it can take its place."""
    path = path.resolve()
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


@contextmanager
def writable(file: str) -> Iterator[None]:
    """Turn what keeps a file from being written into a DataError that names it."""
    try:
        yield
    except BrokenPipeError:  # the reader of stdout has enough, which is no fault
        raise
    except OSError as error:
        name = "stdout" if file == "-" else file
        # pyarrow puts a paragraph in place of the system's few words
        reason = os.strerror(error.errno) if error.errno else error
        raise DataError(f"{name} cannot be written ({reason})") from None


def _json(line: Line) -> str:
    return json.dumps(line, ensure_ascii=False) + "\n"
