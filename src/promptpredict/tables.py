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

from promptpredict.charset import encoding_of, known_encoding
from promptpredict.csvrows import RawRow, check_delimiter, find_delimiter, read_rows
from promptpredict.errors import DataError, nearest
from promptpredict.places import is_url, known, opened

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
_PANDAS_INDEX = re.compile(r"__index_level_\d+__")


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
            if ending == ".parquet":
                return _parquet(name)
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
    if not is_url(name) and path.is_dir():
        raise DataError(f"{path} is a folder; a table is one file: {', '.join(FORMATS)}")
    if not (known(name) or path.exists()):
        beside = [file.name for file in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError(f"there is no file {name}{nearest(path.name, beside)}")
    for ending in FORMATS:
        if path.name.lower().endswith(ending):
            return ending
    raise DataError(f"{name} is not named as a table; possible: {', '.join(FORMATS)}")


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


# ------------------------------------------------------------------------------------ Parquet


def _parquet(name: str) -> Table:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(opened(name) if is_url(name) else name)
    except pa.ArrowException as error:
        raise DataError(f"{name} is not a Parquet file: {error}") from None
    # pandas writes the index of a filtered table as a column of this name; it is no data.
    columns = [column for column in file.schema_arrow.names if not _PANDAS_INDEX.fullmatch(column)]
    return _table(name, columns, _parquet_rows(name, file, columns), file.close)


def _parquet_rows(name: str, file: Any, columns: Sequence[str]) -> Iterator[RawRow]:
    import pyarrow as pa

    try:
        for batch in file.iter_batches(batch_size=1024, columns=columns):
            faults: dict[int, str] = {}
            cells = [_cells(column, batch.column(column), faults) for column in columns]
            for at, row in enumerate(zip(*cells, strict=True)):
                yield RawRow("", row, faults.get(at, ""), whole=at in faults)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{name} cannot be read: {' '.join(str(error).split())}") from None


def _cells(column: str, found: Any, faults: dict[int, str]) -> Iterable[Any]:
    """Return Python values of an Arrow array, float32 as numpy's: its own would grow digits.

    A cell that Python cannot hold is None, and its row is put among ``faults``.
    """
    import pyarrow as pa

    if pa.types.is_dictionary(found.type):
        found = found.dictionary_decode()
    kind = found.type
    if pa.types.is_float32(kind) or pa.types.is_float16(kind):
        return found.to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        # Python has no nanoseconds, and pyarrow would import pandas for them
        found = found.cast(pa.timestamp("us", kind.tz), safe=False)
    try:
        return found.to_pylist()  # type: ignore[no-any-return]
    except (OverflowError, ValueError):  # a year past 9999, bytes that are no text
        return _one_by_one(column, found, faults)


def _one_by_one(column: str, found: Any, faults: dict[int, str]) -> list[Any]:
    import pyarrow as pa

    cells: list[Any] = []
    for at, cell in enumerate(found):
        try:
            cells.append(cell.as_py())
        except pa.ArrowException:  # some are ValueErrors: the file's fault, not the cell's
            raise
        except (OverflowError, ValueError) as error:
            cells.append(None)
            faults.setdefault(at, f"column '{column}' cannot be read ({error})")
    return cells


def stamp(path: str | Path) -> str:
    """Return what tells a table from its later versions: size and time; of stdin, a digest."""
    if str(path) == "-":
        return hashlib.sha256(_stdin()).hexdigest()
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
    if str(path).lower().endswith(".parquet"):
        from pyarrow import parquet

        return min(int(parquet.ParquetFile(opened(path)).metadata.num_rows), most)
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
