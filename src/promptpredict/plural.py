"""Counts in words: ``1 row``, ``2,000 rows``. Knows regular English nouns and nothing else."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """Return a number and its noun, which is in the singular."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
