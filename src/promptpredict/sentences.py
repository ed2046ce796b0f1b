"""Sentences of what customers wrote, in any script: where each begins and ends.

Knows texts alone. A sentence ends at a full stop, a question or an exclamation mark with a space
behind it, at its kin in other scripts, and at the end of a line, <br> as well. Customers begin
sentences with small letters, so a small letter says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

Span = tuple[int, int]  # from, up to

_END = re.compile(
    r"""
    (?<![.!?…]) [.!?…]++ ["'”’»)\]]* [\u2600-\u27BF\uFE0F\U0001F300-\U0001FAFF]* (?= \s ) (?: \s* <[bB][rR]\s*/?> )*
    | [。！？｡।॥؟۔။។።]+ ["'”’»」』）)\]]*
    | [\r\n]+
    | (?: <[bB][rR]\s*/?> \s* )+
    """,
    re.VERBOSE,
)
# A dot behind these ends no sentence, nor one between a number and a small letter: "3. of May". The
# t of "didn't." is no initial.
_SHORT = re.compile(
    r"(?: (?<!['’])\b(?: [a-z] | e\.g | i\.e | mr | mrs | ms | dr | prof | st | vs | approx | ca | inc | ltd ) )\.$",
    re.IGNORECASE | re.VERBOSE,
)
_COUNTED = re.compile(r"(?<!\S)\d+\.$")
_LISTED = re.compile(r"\s*\d+\.")  # "1. Late. 2. Open.": a number alone is no sentence
_NUMBER = re.compile(r"\b(?:no|nr)\.$", re.IGNORECASE)  # of something, if digits follow
_LETTER = re.compile(r"\S")
_LONG = 24  # letters that a short form or a number has at most


def sentences(text: str, most: int | None = None) -> list[Span]:
    """Return the sentences of a text as spans, without the spaces around them.

    Of more than ``most`` neighbours are joined, as evenly as they can be.
    """
    spans: list[Span] = []
    start = 0
    for end in [*(match.end() for match in _END.finditer(text)), len(text)]:
        if _goes_on(text, start, end):
            continue
        piece = text[start:end]
        if piece.strip():
            first = start + len(piece) - len(piece.lstrip())
            spans.append((first, start + len(piece.rstrip())))
        start = end
    if most is None or len(spans) <= most:
        return spans
    cuts = [round(at * len(spans) / most) for at in range(most + 1)]
    return [(spans[one][0], spans[other - 1][1]) for one, other in pairwise(cuts)]


def _goes_on(text: str, start: int, end: int) -> bool:
    """Whether a dot at the end of a piece of a text belongs to a short form or a number."""
    following = _LETTER.search(text, end) if text[end - 1 : end] == "." else None
    if following is None:
        return False
    near = max(start, end - _LONG)  # or a text of short forms would take time by its length squared
    return bool(
        _SHORT.search(text, near, end)
        or _LISTED.fullmatch(text, start, end)
        or (following[0].islower() and _COUNTED.search(text, near, end))
        or (following[0].isdigit() and _NUMBER.search(text, near, end))
    )


def without(text: str, spans: Sequence[Span]) -> str:
    """Return a text without some of its spans, and without the spaces that stood between."""
    kept, start = [], 0
    for first, end in sorted(spans):
        kept.append(text[start:first])
        start = end
    kept.append(text[start:])
    if not spans:
        return text
    # What stood before a gap keeps its line; of two spaces around it one is left.
    found = kept[0]
    for piece in kept[1:]:
        found = found.rstrip() + _between(found, piece) + piece.lstrip()
    return found.strip()


def _between(before: str, behind: str) -> str:
    """Return what stands in place of a gap: a line's end, a space, or nothing where none stood."""
    around = before[len(before.rstrip()) :] + behind[: len(behind) - len(behind.lstrip())]
    if not before.strip() or not behind.strip():
        return ""
    return "\n" if "\n" in around else " " if around else ""
