"""Parquet as rows: one file, or a folder of files that are the parts of one table, as Spark writes it.

Knows Parquet files, their columns and cells; knows nothing of roles, types or records. Parts are read
in the order of their names. A column that a part lacks, or has more, is a DataError before any row is
read: rows are never filled up or cut.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any
from urllib.parse import unquote

from promptpredict.csvrows import RawRow
from promptpredict.errors import DataError
from promptpredict.places import Part

ENDING = ".parquet"

_PANDAS_INDEX = re.compile(r"__index_level_\d+__")
_BLANK = "__HIVE_DEFAULT_PARTITION__"  # what Spark and pyarrow name the folder of a missing value


def columns_and_rows(
    name: str, parts: Sequence[Part]
) -> tuple[list[str], Generator[RawRow, None, None]]:
    """Return the columns and the rows of the table ``name``, of one part or several.

    Folders in a part's path that are named ``column=value`` are columns as well, of text, and go
    before one of that name in the file, as with Spark. Raises
    DataError for what is no Parquet file, and where parts have other columns.
    """
    first, *others = parts
    columns = _columns(name, first)
    for part in others:
        _check_same(name, first.name, columns, part.name, _columns(name, part))
    return columns, _rows(name, parts, columns)


def count_rows(name: str, parts: Sequence[Part]) -> int:
    """Return how many rows the parts of a table have."""
    found = 0
    for part in parts:
        with closing(_opened(name, part)) as file:
            found += file.metadata.num_rows
    return found


def _opened(name: str, part: Part) -> Any:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return parquet.ParquetFile(part.path, filesystem=part.system)
    except pa.ArrowException as error:
        raise DataError(f"{_place(name, part)} is not a Parquet file: {error}") from None
    except OSError as error:
        raise _unreadable(name, part, error) from None


def _unreadable(name: str, part: Part, error: Exception) -> DataError:
    said = getattr(error, "strerror", None) or " ".join(str(error).split())
    return DataError(f"{_place(name, part)} cannot be read: {said}")


def _place(name: str, part: Part) -> str:
    return f"{name.rstrip('/')}/{part.name}" if part.name else name


def _columns(name: str, part: Part) -> list[str]:
    with closing(_opened(name, part)) as file:
        found = _own(file)
    return [*found, *(key for key in _of_path(part) if key not in found)]


def _own(file: Any) -> list[str]:
    # pandas writes the index of a filtered table as a column of this name; it is no data.
    return [column for column in file.schema_arrow.names if not _PANDAS_INDEX.fullmatch(column)]


def _of_path(part: Part) -> dict[str, str | None]:
    """Return the values that stand in a part's path, as in ``country=DE/part-0.parquet``."""
    pairs = [folder.split("=", 1) for folder in part.name.split("/")[:-1] if "=" in folder]
    return {unquote(key): None if value == _BLANK else unquote(value) for key, value in pairs}


def _check_same(
    name: str, first: str, columns: Sequence[str], part: str, found: Sequence[str]
) -> None:
    if lacking := [column for column in columns if column not in found]:
        said = f"{part} has no column '{lacking[0]}', which {first} has"
    elif more := [column for column in found if column not in columns]:
        said = f"{part} has a column '{more[0]}', which {first} has not"
    elif twice := [column for column in found if found.count(column) > 1]:
        said = f"{part} has more than one column '{twice[0]}'"
    else:
        return
    raise DataError(f"the files of {name} are no parts of one table: {said}")


def _rows(
    name: str, parts: Sequence[Part], columns: Sequence[str]
) -> Generator[RawRow, None, None]:
    import pyarrow as pa

    for part in parts:
        try:
            if part.has_changed():
                raise DataError(
                    f"{_place(name, part)} has changed since the table was opened; possible: once more"
                )
            with closing(_opened(name, part)) as file:
                yield from _of_file(file, part, columns)
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(name, part, error) from None


def _of_file(file: Any, part: Part, columns: Sequence[str]) -> Iterator[RawRow]:
    path = _of_path(part)
    place = f"{part.name}: " if part.name else ""
    asked = [column for column in columns if column not in path]
    for batch in file.iter_batches(batch_size=1024, columns=asked):
        faults: dict[int, str] = {}
        cells = [
            [path[column]] * batch.num_rows
            if column in path
            else _cells(column, batch.column(column), faults)
            for column in columns
        ]
        for at, row in enumerate(zip(*cells, strict=True)):
            yield RawRow(place, row, faults.get(at, ""), whole=at in faults)


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
