"""Spaces between words, in scripts that have them and in those that have none.

Knows characters; knows nothing of prompts, labels or tokens.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import islice

# CJK, kana, Hangul and Thai, with their punctuation and full-width forms
_UNSPACED = (
    "\u0e00-\u0e7f\u1100-\u11ff\u2e80-\u2fdf\u3000-\u318f\u31a0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff00-\uffef\U0001aff0-\U0001b16f\U00020000-\U000323af"
)
_IS_UNSPACED = re.compile(f"[{_UNSPACED}]")
WORD = re.compile(f"[{_UNSPACED}]|[^\\s{_UNSPACED}]+")


def without_first(text: str, count: int) -> tuple[str, int]:
    """Return a text without its first words, and how many of ``count`` it did not have."""
    kept = next(islice(WORD.finditer(text), count, None), None)
    return (text[kept.start() :], 0) if kept else ("", count - len(WORD.findall(text)))


def plain(text: str, most: int | None = None) -> str:
    """Return a text in one line, cut to ``most`` letters, without what a terminal would obey."""
    text = " ".join(printable(text).split())
    return text if most is None or len(text) <= most else f"{text[: most - 1].rstrip()}…"


def printable(text: str) -> str:
    """Return a text of lines without what a terminal would obey: what customers write is no order."""
    return "".join(
        letter if letter.isprintable() or letter == "\n" else " " if letter.isspace() else ""
        for letter in text
    )


def joiner(answer: str, word: str, join: str | None) -> str:
    """Return what stands between an answer and a word: one space, or nothing."""
    if join is not None:
        return join
    answer = answer.rstrip()
    if not answer or _opens(answer):
        return ""
    between = _IS_UNSPACED.match(answer[-1]) and _IS_UNSPACED.match(word)
    return "" if between else " "


def _opens(answer: str) -> bool:
    """Whether a text ends in an opening quote, an opening bracket or a currency sign."""
    last, before = answer[-1], answer[-2:-1]
    if last == '"':
        return answer.count('"') % 2 == 1
    if last in "'`":  # else an apostrophe, or it closes
        return not before or before.isspace() or unicodedata.category(before) in ("Ps", "Pi")
    return unicodedata.category(last) in ("Ps", "Pi", "Sc")
