"""Table files as rows: formats by name, encodings, and the place of a row in its file.

Knows files and cells; knows nothing of roles, types or records. A row that cannot be read comes
out as a row with a fault, so that none is lost in silence; a file that is no table is a DataError.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

from promptpredict import parquetrows
from promptpredict.charset import encoding_of, known_encoding
from promptpredict.csvrows import RawRow, check_delimiter, find_delimiter, read_rows
from promptpredict.errors import DataError, nearest
from promptpredict.places import Part, is_folder, known, opened, parts_of

FORMATS = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".jsonl", ".jsonl.gz", ".parquet")

_SAMPLE = 1 << 23  # bytes from which the encoding is found
_COUNTED = 10_000  # rows from which it is told how many lines the others take
_NOT_TEXT = {
    b"PAR1": "a Parquet file",
    b"\x1f\x8b": "gzip data",
    b"PK\x03\x04": "a zip or Excel file",
    b"\xd0\xcf\x11\xe0": "an Excel file",
    b"\x89PNG": "a PNG image",
    b"%PDF": "a PDF",
    b"<": "HTML or XML",
}
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Table:
    """An open table: its name in messages, its columns, and its rows, which can be read once."""

    name: str
    columns: list[str]
    rows: Iterator[RawRow]
    close: Callable[[], None]


def open_table(
    path: str | Path, *, delimiter: str | None = None, encoding: str | None = None
) -> Table:
    """Open the table at a path; ``-`` is CSV on standard input.

    Delimiter and encoding are found where they are not given. Raises DataError for a file that
    is missing, empty, without rows, or not what its name says.
    """
    if str(path) == "-":
        return _text(table_name(path), io.BytesIO(_stdin()), ".csv", delimiter, encoding)
    name = str(path)
    with ExitStack() as stack:
        with _readable(name):
            ending = _ending(name)
            if ending == parquetrows.ENDING:
                columns, rows = parquetrows.columns_and_rows(name, _parts(name))
                return _table(name, columns, rows, rows.close)
            stream = stack.enter_context(opened(name, packed=ending.endswith(".gz")))
        table = _text(name, stream, ending.removesuffix(".gz"), delimiter, encoding)
        stack.pop_all()  # the table closes it from here on
        return table


def table_name(path: str | Path) -> str:
    """Return a table's name as messages show it."""
    return "standard input" if str(path) == "-" else str(path)


def check_columns(name: str, columns: Sequence[str]) -> None:
    """Raise DataError unless there are columns and each has a name of its own."""
    if not columns:
        raise DataError(f"{name} has no columns")
    seen: set[str] = set()
    for position, column in enumerate(columns, 1):
        if not column:
            raise DataError(f"{name}: column {position} of {len(columns)} has no name")
        if column in seen:
            raise DataError(f"{name} has more than one column '{column}'")
        seen.add(column)


@cache
def _stdin() -> bytes:
    # Kept, because header and rows are read one after the other; in memory, because customers
    # that came through a pipe have no business on the disk.
    return sys.stdin.buffer.read()


@contextmanager
def _readable(name: str) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, zlib.error, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{name} cannot be read: {reason}") from None


def _ending(name: str) -> str:
    path = Path(name)
    if is_folder(name):
        return parquetrows.ENDING
    if not (known(name) or path.exists()):
        beside = [file.name for file in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError(f"there is no file {name}{nearest(path.name, beside)}")
    for ending in FORMATS:
        if path.name.lower().endswith(ending):
            return ending
    raise DataError(f"{name} is not named as a table; possible: {', '.join(FORMATS)}")


def _parts(name: str) -> list[Part]:
    """Return the parts of a Parquet table; all files of a folder are: whatever lies there is its rows."""
    parts = parts_of(name)
    files = [part.name or name for part in parts]
    other = [file for file in files if not file.lower().endswith(parquetrows.ENDING)]
    if len(other) == len(files):
        raise DataError(
            f"{name} is a folder without {parquetrows.ENDING} files; a table is one file: "
            f"{', '.join(FORMATS)}, or a folder of {parquetrows.ENDING} files"
        )
    if other:
        raise DataError(
            f"{name} is a folder of {parquetrows.ENDING} files that holds {other[0]} as well; "
            "possible: only files that are parts of the table"
        )
    return parts


def _table(
    name: str, columns: list[str], rows: Iterator[RawRow], close: Callable[[], None]
) -> Table:
    check_columns(name, columns)
    first = next(rows, None)
    if first is None:
        raise DataError(f"{name} has a header and no rows")
    return Table(name, columns, chain([first], rows), close)


# --------------------------------------------------------------------------------------- text


def _text(
    name: str, stream: BinaryIO, kind: str, delimiter: str | None, encoding: str | None
) -> Table:
    with _readable(name):
        head = stream.read(_SAMPLE)
        stream.seek(0)
    for mark, what in _NOT_TEXT.items():
        if head.startswith(mark):
            raise DataError(f"{name} holds {what}, not {kind[1:]} text")
    if kind == ".jsonl" and head.lstrip().startswith(b"["):
        raise DataError(f"{name} holds a JSON array; JSON lines hold one object a line")
    encoding = known_encoding(encoding) if encoding else encoding_of(head, name)
    text = io.TextIOWrapper(stream, encoding, "surrogateescape", newline="")
    lines = _lines(name, text)
    if kind == ".jsonl":
        columns, rows = _jsonl(name, lines)
    else:
        if delimiter is None:
            sample = head.decode(encoding, "ignore").removeprefix("\ufeff")
            delimiter = "\t" if kind == ".tsv" else find_delimiter(sample)
        columns, rows = _csv(name, lines, check_delimiter(delimiter))
    if odd := _CONTROL.search("".join(columns)):
        raise DataError(
            f"{name} is no table in {encoding}: its header holds {odd[0]!r}; "
            "if it is text in another encoding, give that"
        )
    return _table(name, columns, _fit(columns, rows, encoding), text.close)


def _lines(name: str, text: Iterable[str]) -> Iterator[str]:
    with _readable(name):
        for number, line in enumerate(text):
            yield line if number else line.removeprefix("\ufeff")


def _fit(columns: Sequence[str], rows: Iterator[RawRow], encoding: str) -> Iterator[RawRow]:
    for row in rows:
        yield row if row.fault else row._replace(fault=_unfit(columns, row.cells, encoding))


def _unfit(columns: Sequence[str], cells: Sequence[object], encoding: str) -> str:
    if len(cells) != len(columns):
        return f"the header has {len(columns)} cells, this row {len(cells)}"
    for column, cell in zip(columns, cells, strict=True):
        if isinstance(cell, list | dict):  # as it is written, where it is kept
            cell = json.dumps(cell, ensure_ascii=False)
        if isinstance(cell, str):
            if "\0" in cell:
                return f"column '{column}' holds a NUL byte"
            # Bytes that could not be decoded stand here as surrogates, which nothing can encode.
            if not cell.isascii() and cell != cell.encode("utf-8", "ignore").decode():
                return f"column '{column}' is not valid {encoding}"
    return ""


def _csv(name: str, lines: Iterator[str], delimiter: str) -> tuple[list[str], Iterator[RawRow]]:
    rows = read_rows(lines, delimiter)
    header = next(rows, None)
    if header is None:
        raise DataError(f"{name} is empty")
    if header.fault:
        raise DataError(f"{name}, {header.place}{header.fault}")
    columns = [str(column).strip() for column in header.cells]
    if columns[0].startswith("{"):
        raise DataError(f"{name} holds JSON, not CSV; name it .jsonl")
    return columns, rows


def _jsonl(name: str, lines: Iterator[str]) -> tuple[list[str], Iterator[RawRow]]:
    objects = (
        (f"line {number}: ", *_object(line)) for number, line in enumerate(lines, 1) if line.strip()
    )
    begun = []
    for place, found, fault in islice(objects, 100):
        begun.append((place, found, fault))
        if not fault:
            break
    if not begun:
        raise DataError(f"{name} is empty")
    place, found, fault = begun[0]
    if begun[-1][2]:
        raise DataError(f"{name} is not JSON lines, one object a line; {place}{fault}")
    columns = begun[-1][1]
    return list(columns), (
        RawRow(place, [found.get(column) for column in columns], fault or new_key(found, columns))
        for place, found, fault in chain(begun, objects)
    )


def _object(line: str) -> tuple[Mapping[str, Any], str]:
    try:
        found = json.loads(line.rstrip(), object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        return {}, f"not JSON ({error.msg} at character {error.colno})"
    except RecursionError:
        return {}, "not usable JSON (nested too deeply)"
    except ValueError as error:
        return {}, f"not usable JSON ({error})"
    return (found, "") if isinstance(found, dict) else ({}, "not a JSON object")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key comes twice")
    return found


def new_key(found: Mapping[str, Any], columns: Mapping[str, object]) -> str:
    """Return the fault of an object with a key that is not among the columns, else the empty string."""
    for key in found:
        if key not in columns:
            shown = key.encode(errors="backslashreplace").decode()  # it may hold surrogates
            return f"the key '{shown}' is not in the first object{nearest(key, columns)}"
    return ""


def stamp(path: str | Path) -> str:
    """Return what tells a table from its later versions: size and time; of stdin or parts, a digest."""
    if str(path) == "-":
        return hashlib.sha256(_stdin()).hexdigest()
    if is_folder(path):
        with _readable(str(path)):
            found = [(part.name, part.size, part.changed) for part in parts_of(path)]
        return hashlib.sha256(repr(found).encode()).hexdigest()
    size, changed = known(path) or (0, 0)
    return f"{size} {changed}"


def count_rows(
    path: str | Path,
    limit: int | None = None,
    *,
    delimiter: str | None = None,
    encoding: str | None = None,
) -> int:
    """Return how many data rows a table has, at most ``limit``; of a long one about how many.

    Of a text file 10,000 rows are counted and the rest is told from its lines, of which a row takes
    as many as those do. Raises DataError as ``open_table`` does.
    """
    most = sys.maxsize if limit is None else limit
    if str(path) != "-":
        with _readable(str(path)):
            if _ending(str(path)) == parquetrows.ENDING:
                return min(parquetrows.count_rows(str(path), _parts(str(path))), most)
    with closing(open_table(path, delimiter=delimiter, encoding=encoding)) as table:
        first = [_breaks(row) for row in islice(table.rows, min(_COUNTED, most))]
    if len(first) < _COUNTED:
        return len(first)
    lines = _count_lines(path)
    if not str(path).lower().removesuffix(".gz").endswith(".jsonl"):  # there each row is a line
        lines = round((lines - 1) * len(first) / (len(first) + sum(first)))  # without the header
    return min(max(lines, len(first)), most)


def _breaks(row: RawRow) -> int:
    return sum(cell.count("\n") for cell in row.cells if isinstance(cell, str))


def _count_lines(path: str | Path) -> int:
    if str(path) == "-":
        return _stdin().count(b"\n")
    with _readable(str(path)), opened(path, packed=str(path).lower().endswith(".gz")) as stream:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: stream.read(1 << 20), b""))
