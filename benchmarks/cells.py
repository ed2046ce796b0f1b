"""Figures and differences as the cells of a table in Markdown.

Knows how a figure is written; knows nothing of which approach or table of customers it is of.
"""

from __future__ import annotations

from collections.abc import Sequence

from promptpredict.reporttables import draws_ahead
from promptpredict.results import Difference, Row, Spread


def signed_word(each: Difference, rows: Sequence[Row]) -> str:
    """Return a difference as its value and its word."""
    return f"{signed(each.value)} {each.verdict}{hangs(each, rows)}"


def signed(value: float) -> str:
    """Return a difference with its sign, always one."""
    return f"{'−' if round(value, 3) < 0 else '+'}{short(abs(value))}"


def hangs(each: Difference, rows: Sequence[Row]) -> str:
    """Say in how many draws an approach is ahead, where a better or worse one is not in all."""
    ahead, of = draws_ahead(each, rows)
    whole = {"better": of, "worse": 0}.get(each.verdict, ahead)
    return "" if ahead == whole else f" (ahead in {ahead} of {of} draws)"


def spread(value: Spread | None, seeds: int) -> str:
    """Return mean and standard deviation over the seeds; of one seed its value."""
    if value is None:
        return ""
    return f"{short(value.mean)} ±{short(value.sd)}" if seeds > 1 else short(value.mean)


def short(value: float) -> str:
    """Return a figure with three digits and no zero in front: ``.912``."""
    return f"{value:.3f}".removeprefix("0")


def table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
