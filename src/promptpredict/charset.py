"""Which encoding a text is in: given, marked, or found from its bytes.

Knows bytes; knows nothing of files, cells or delimiters. What cannot be told is a DataError.
"""

from __future__ import annotations

import codecs
import re

from promptpredict.errors import DataError, nearest

_MARKS = (  # the mark of UTF-32 begins with that of UTF-16
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_PAST_ASCII = re.compile(rb"[\x80-\xff]+")
_FEW = 8  # bytes past ASCII that say nothing yet


def known_encoding(encoding: str) -> str:
    """Return an encoding that was given; DataError where Python knows none of that name."""
    try:
        "".encode(encoding)
    except LookupError:
        possible = ("utf-8", "utf-16", "cp1252", "latin-1")
        raise DataError(
            f"'{encoding}' is no encoding{nearest(encoding, possible)}; "
            f"possible: {', '.join(possible)} and whatever else Python knows"
        ) from None
    return encoding


def encoding_of(head: bytes, name: str) -> str:
    """Return the encoding of a text that begins with ``head``; ``name`` is the file to blame.

    A mark says it; else it is UTF-8 where most lines are, or cp1252 where bytes past ASCII stand
    apart, as accents do. Whole words of them are another script, which has many encodings: a wrong
    one would put signs without sense into every prompt. Raises DataError.
    """
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # its last character may be cut
    except UnicodeDecodeError:
        # Chance makes no valid UTF-8: where half of the lines are, the others are damaged.
        lines = [line for line in head.split(b"\n") if not line.isascii()]
        valid = sum(line == line.decode("utf-8", "ignore").encode() for line in lines)
        if 2 * valid >= len(lines):
            return "utf-8"
        if not _western(head):
            raise DataError(
                f"{name} is text in neither utf-8 nor cp1252; give its encoding: "
                "gb18030, big5, shift_jis, euc-kr, cp1251 or another"
            ) from None
        return "cp1252"
    return "utf-8"


def _western(head: bytes) -> bool:
    """Whether most bytes past ASCII stand apart; too few say nothing."""
    runs = [len(run) for run in _PAST_ASCII.findall(head)]
    return sum(runs) < _FEW or 2 * sum(run for run in runs if run > 1) <= sum(runs)
