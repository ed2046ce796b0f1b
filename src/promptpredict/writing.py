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
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from promptpredict.errors import DataError, nearest

Line = Mapping[str, Any]
ENDINGS = (".csv", ".csv.gz", ".jsonl", ".parquet")


def check_output(out: str) -> None:
    """Raise DataError where an output cannot be written, before anything is scored."""
    if out == "-":
        return
    path = Path(out)
    if not path.name.endswith(ENDINGS):
        raise DataError(f"{out}: its ending says no format{nearest(path.suffix, ENDINGS)}; possible: {', '.join(ENDINGS)}, or - for stdout")
    if path.is_dir():
        raise DataError(f"{out} is a folder; give the file to write")
    if not path.parent.is_dir():
        raise DataError(f"{out} cannot be written: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise DataError(f"{out} cannot be written: the folder {path.parent} is read-only")


class Writer:
    """Writes rows to a file that appears when the last one is written; ``-`` is stdout.

    Used as a context manager: on an error the output stays as it was before.
    """

    def __init__(self, out: str, columns: Sequence[str]) -> None:
        self.out, self.columns = out, list(columns)
        self._draft = None if out == "-" else Path(out).with_name(f".{Path(out).name}.{os.getpid()}.tmp")
        self._stack = ExitStack()

    def __enter__(self) -> Writer:
        """Open the draft."""
        if self.out.endswith(".parquet"):
            self._parquet: Any = None
        else:
            self._text = self._open()
            self._csv = None if self.out.endswith(".jsonl") else csv.writer(self._text, lineterminator="\n")
            if self._csv:
                self._csv.writerow(self.columns)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Put the draft in its place, or remove it after an error."""
        try:
            if kind is None and self.out.endswith(".parquet") and self._parquet is None:
                self._write_parquet([])
            self._stack.close()
            if self._draft and kind is None:
                self._draft.replace(self.out)
        except OSError as fault:
            raise DataError(f"{self.out} cannot be written ({fault.strerror})") from None
        finally:
            if self._draft:
                self._draft.unlink(missing_ok=True)

    def write(self, lines: Sequence[Line]) -> None:
        """Write rows; each has a value for every column."""
        try:
            if self.out.endswith(".parquet"):
                self._write_parquet(lines)
            elif self._csv:
                self._csv.writerows([_cell(line[column]) for column in self.columns] for line in lines)
            else:
                for line in lines:
                    self._text.write(json.dumps({c: line[c] for c in self.columns}, ensure_ascii=False) + "\n")
        except OSError as fault:
            raise DataError(f"{self.out} cannot be written ({fault.strerror})") from None

    def _open(self) -> IO[str]:
        if self._draft is None:
            return sys.stdout
        raw: Any = self._stack.enter_context(self._draft.open("wb"))
        if self.out.endswith(".gz"):
            # no time stamp, so that the same rows are the same bytes
            raw = self._stack.enter_context(gzip.GzipFile("", "wb", fileobj=raw, mtime=0))
        return self._stack.enter_context(io.TextIOWrapper(raw, encoding="utf-8", newline=""))

    def _write_parquet(self, lines: Sequence[Line]) -> None:
        import pyarrow
        import pyarrow.parquet

        # Types by name, not by value: the first rows may all lack a label mass.
        schema = pyarrow.schema([(column, _TYPES.get(column, _kind(column))) for column in self.columns])
        if self._parquet is None:
            self._parquet = self._stack.enter_context(pyarrow.parquet.ParquetWriter(self._draft, schema))
        self._parquet.write_table(pyarrow.Table.from_pylist([dict(line) for line in lines], schema=schema))


def write_rejects(out: str, rejects: Sequence[Line]) -> Path | None:
    """Write the rejected rows beside an output, one JSON object a line; without any, remove the file.

    Returns the file, None where there is none. For stdout the rejects go to stderr.
    """
    text = "".join(json.dumps(dict(reject), ensure_ascii=False) + "\n" for reject in rejects)
    if out == "-":
        sys.stderr.write(text)
        return None
    path = Path(f"{out}.rejects.jsonl")
    if not text:
        path.unlink(missing_ok=True)  # an earlier run's rejects are not this one's
        return None
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
    return path


_TYPES = {"row": "int64", "label_mass": "float64", "truncated": "bool"}


def _kind(column: str) -> str:
    return "float64" if column.startswith("p_") else "string"


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.9g}"  # float32 survives; no ties are made
    return value
