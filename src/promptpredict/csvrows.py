"""CSV text as rows: the delimiter, the lines of a row, and what is wrong with it.

Knows quotes and delimiters; knows nothing of files, columns or types. A row that breaks the rules
of quoting comes out with its fault, and reading goes on behind it.
"""

from __future__ import annotations

import csv
import io
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from promptpredict.errors import DataError

_LARGEST_CELL = 1 << 20  # characters; Python's own limit of 131,072 is a long chat
# Characters in which a quote has to close. Were it the same bound, reading would go on inside a cell
# that is too large, and its lines would be taken for customers.
_OPEN = 1 << 24
_MOSTLY = 0.9  # share of lines that are rows: one may be short, or begin a text of two lines
_MANY = 20  # lines that do not have the shape of rows by accident, however few columns there are
_SAMPLE = 1 << 16  # characters in which the delimiter is found
_NEVER_CLOSED = "a quote is opened and never closed"


class RawRow(NamedTuple):
    """The cells of one row as they stand in a file, or the fault for which there are none.

    ``place`` is ``"line 7: "``, or empty where the file has no lines. ``whole`` says that the cells
    are as they should be and the fault is another.
    """

    place: str
    cells: Sequence[object]
    fault: str = ""
    whole: bool = False


def find_delimiter(text: str) -> str:
    """Return the one of ``, ; tab |`` that best splits header and rows into as many cells."""
    sample = io.StringIO(text[:_SAMPLE], newline="")
    found = {}
    for delimiter in ",;\t|":
        sample.seek(0)
        widths = [len(cells) for cells in islice(csv.reader(sample, delimiter=delimiter), 50)]
        widths = [width for width in widths if width]
        if len(text) > _SAMPLE and len(widths) > 1:
            widths.pop()  # may be cut
        if widths and widths[0] > 1:
            found[delimiter] = (widths.count(widths[0]) / len(widths), widths[0])
    return max(found, key=lambda delimiter: found[delimiter], default=",")


def check_delimiter(delimiter: str) -> str:
    r"""Return a delimiter that was given, ``\t`` in letters as a tab; DataError if it is none."""
    delimiter = "\t" if delimiter == r"\t" else delimiter  # as a shell hands it over
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise DataError(f"the delimiter must be one character and no quote, got '{delimiter}'")
    return delimiter


def read_rows(lines: Iterator[str], delimiter: str) -> Iterator[RawRow]:
    """Yield each row that is not blank, the header first. Lines keep their ends."""
    waiting: deque[str] = deque()  # lines to be read again
    taken: list[str] = []  # lines of the row at hand
    line, width = 1, 0

    def feed() -> Iterator[str]:
        while text := waiting.popleft() if waiting else next(lines, ""):
            taken.append(text)
            yield text

    csv.field_size_limit(max(csv.field_size_limit(), _OPEN))
    reader = csv.reader(feed(), delimiter=delimiter, strict=True)
    while True:
        cells: list[str] = []
        fault = ""
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            fault = _fault(error)
            if _are_rows(taken[1:], delimiter, width):
                waiting.extendleft(reversed(taken[1:]))
                del taken[1:]
                fault = _NEVER_CLOSED
            reader = csv.reader(feed(), delimiter=delimiter, strict=True)
        if sum(map(len, taken)) > _LARGEST_CELL and max(map(len, cells), default=0) > _LARGEST_CELL:
            cells, fault = [], f"a cell has more than {_LARGEST_CELL:,} characters"
        last = line + len(taken) - 1
        # A line without anything is no row; of one column, a row with an empty cell is `""`.
        if fault or len(cells) > 1 or "".join(taken).strip():
            width = width or len(cells)
            place = f"lines {line} to {last}: " if fault and last > line else f"line {line}: "
            yield RawRow(place, cells, fault)
        line = last + 1
        taken.clear()


def _fault(error: csv.Error) -> str:
    text = str(error)
    if "unexpected end" in text or "field limit" in text:
        return _NEVER_CLOSED
    return "text follows a closing quote"


def _are_rows(lines: Sequence[str], delimiter: str, width: int) -> bool:
    """Say whether lines that an open quote swallowed are rows of their own, but for a few.

    With few columns, a line of feedback that happens to hold a comma would pass for a customer:
    there a few lines are rejected together.
    """
    # The last of them may open a quote of its own, and is then the beginning of the next row.
    lines = [
        line
        for line in lines[: -1 if len(lines) > 1 and lines[-1].count('"') % 2 else None]
        if line.strip()
    ]
    try:
        widths = [len(next(csv.reader([line], delimiter=delimiter))) for line in lines]
    except csv.Error:
        return False
    right = widths.count(width)
    enough = right >= (1 if width >= 4 else _MANY)
    return enough and width > 1 and right >= _MOSTLY * len(lines)
