"""Personal data out of text: found, and replaced by placeholders that tell one from another.

Knows texts and placeholders; knows nothing of tables or prompts. A placeholder is the kind and a
digest: the same person has the same one in every row, every run and on every machine, so that a
prompt that did not change is known again. With a salt nobody else can find out whose it is.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from promptpredict.errors import DataError
from promptpredict.recognisers import Recogniser, Span, named_entities, recognisers

KINDS = ("email", "iban", "card", "id", "phone", "address", "name")
_SUREST = ("email", "iban", "card", "id", "phone", "digits", "address", "name")  # at the front
NO_MODEL = (
    "--redact finds names by patterns alone, as no named-entity model of spaCy is installed: a name "
    "without a cue in front of it stays"
)
_DIGITS = 6  # of a placeholder, in hexadecimal
_SALT = 16  # bytes at least
_AT = re.compile(r"\s*[(\[{]\s*(?:at|a)\s*[)\]}]\s*|\s+at\s+")
_DOT = re.compile(r"\s*[(\[{]\s*dot\s*[)\]}]\s*|\s+dot\s+")


class Redactor:
    """Replaces personal data in texts, and writes ids salted.

    ``salt`` makes placeholders those of this salt alone; ``note`` is what a user should know. Raises
    DataError where presidio is not installed.
    """

    def __init__(self, salt: bytes = b"") -> None:
        """Find out what is installed."""
        self._salt = salt
        by_pattern, models = recognisers(), list(named_entities())
        self.note = "" if models else NO_MODEL
        self._by: Sequence[Recogniser] = [*by_pattern, *models]
        self._once = lru_cache(maxsize=65_536)(self._redacted)

    def __call__(self, text: str) -> str:
        """Return a text with placeholders in place of what is personal."""
        # Most cells of a table are one of a few words: they are looked at once.
        return self._once(text) if len(text) < 64 else self._redacted(text)

    def find(self, text: str) -> list[Span]:
        """Return where personal data stands in a text, in order, none over another."""
        folded, starts, ends = _folded(text)
        spans = sorted(
            Span(starts[span.start], ends[span.end - 1], span.kind)
            for find in self._by
            for span in find(folded)
            if span.start < span.end
        )
        found: list[Span] = []
        for span in spans:
            if found and span.start < found[-1].end:
                found[-1] = _joined(found[-1], span)
            else:
                found.append(span)
        return [span._replace(kind="id") if span.kind == "digits" else span for span in found]

    def _redacted(self, text: str) -> str:
        parts, at = [], 0
        for start, end, kind in self.find(text):
            parts += [text[at:start], self._placeholder(kind, text[start:end])]
            at = end
        return "".join([*parts, text[at:]])

    def _placeholder(self, kind: str, text: str) -> str:
        plain = _folded(text)[0].casefold()
        if kind == "phone":  # +44 20 7946 0018 and 020 7946 0018 are one
            plain = "".join(filter(str.isdigit, plain))[-9:]
        elif kind == "email":  # ann (at) example dot com and ann@example.com are one
            plain = _DOT.sub(".", plain if "@" in plain else _AT.sub("@", plain, count=1))
            plain = "".join(plain.split())
        else:
            plain = "".join(filter(str.isalnum, plain))
        return f"[{kind} {_digest(self._salt, f'{kind} {plain}')[:_DIGITS]}]"


@dataclass(frozen=True)
class Private:
    """How personal data is kept out of records: ``redact`` their texts, salt their ids."""

    redact: Redactor | None = None
    salt: bytes | None = None

    def text(self, value: Any) -> Any:
        """Return a value; where it is text, what may be shown of it."""
        return self.redact(value) if self.redact and isinstance(value, str) else value

    def id(self, id: str) -> str:
        """Return an id as it may be written."""
        return id if self.salt is None or not id else salted(id, self.salt)


def private(*, redact: bool, salt_file: str | None) -> Private:
    """Return what ``--redact`` and ``--salt-file`` ask for; raises DataError where it cannot be done."""
    salt = None if salt_file is None else read_salt(salt_file)
    return Private(Redactor(salt or b"") if redact else None, salt)


def read_salt(path: str) -> bytes:
    """Return the salt of a file, 16 bytes or more.

    Raises DataError for a file that cannot be read or holds less.
    """
    try:
        salt = Path(path).read_bytes().strip()
    except OSError as error:
        raise DataError(f"--salt-file {path} cannot be read ({error.strerror})") from None
    if len(salt) < _SALT:
        raise DataError(
            f"--salt-file {path} holds {len(salt)} bytes; {_SALT} or more are needed, such as "
            "python -c 'import secrets; print(secrets.token_hex(32))' writes them"
        )
    return salt


def salted(id: str, salt: bytes) -> str:
    """Return an id as 32 hexadecimal digits, by which only those who have the salt know it again."""
    return _digest(salt, id)[:32]


def _digest(salt: bytes, text: str) -> str:
    return hmac.new(salt, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def _joined(one: Span, other: Span) -> Span:
    """Return what two overlapping spans cover; its kind is that of the longer, or of the surer."""
    sizes = [(span.end - span.start, -_SUREST.index(span.kind)) for span in (one, other)]
    kind = one.kind if sizes[0] >= sizes[1] else other.kind
    return Span(one.start, max(one.end, other.end), kind)


def _folded(text: str) -> tuple[str, Sequence[int], Sequence[int]]:
    """Return a text in plain characters, and where each of them starts and ends in the text itself.

    Characters of no width, letters of other widths, and accents that are characters of their own
    hide an address from a pattern and not from a reader.
    """
    if text.isascii():
        return text, range(len(text)), range(1, len(text) + 1)
    folded: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    kinds = [unicodedata.category(character) for character in text]
    # A letter and the marks upon it are folded together: apart they are no letter with an accent.
    begun = [place for place, kind in enumerate(kinds) if kind != "Cf" and kind[0] != "M"]
    for start, end in pairwise([0, *(place for place in begun if place), len(text)]):
        seen = "".join(text[place] for place in range(start, end) if kinds[place] != "Cf")
        plain = unicodedata.normalize("NFKC", seen)
        folded.append(plain)
        starts += [start] * len(plain)
        ends += [end] * len(plain)
    return "".join(folded), starts, ends
