"""What a run of `score` did: counts for the summary line and for callers.

Knows counts and words; knows nothing of tables or models.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from promptpredict.plural import counted
from promptpredict.records import Reject

NAMED_SHOTS = 16  # shots whose ids the summary names


@dataclass
class Summary:
    """What a run did, for its last line on stderr and for callers.

    ``rows`` is the sum of ``by_method`` and ``rejected``; ``repeated`` counts the ids that stand in
    several rows; ``shots`` are the ids of the shots shown; ``cut`` counts the texts that were longer
    than the sentence encoder's window; ``masses`` counts label masses, each to three digits, ``low``
    those under --flag-mass; ``spreads`` likewise how far ``sets`` of shots lie apart, and
    ``unsteady`` counts the rows whose prediction changes from set to set; ``moved`` counts the rows
    that --guard flagged; ``known`` counts the prompts that the ledger knew; ``drift`` is the
    population stability index of the scores against the run before, None where there is none;
    ``incomparable`` says that every run before had another prompt, other shots or another model;
    ``seconds`` went into scoring and writing.
    """

    rows: int = 0
    by_method: dict[str, int] = field(default_factory=dict)
    rejected: int = 0
    first_reject: Reject | None = None
    rejects: Path | None = None
    repeated: int = 0
    first_repeated: str = ""
    shots: list[str] = field(default_factory=list)
    truncated: int = 0
    cut: int = 0
    masses: Counter[float] = field(default_factory=Counter)
    low: int = 0
    sets: int = 1
    spreads: Counter[float] = field(default_factory=Counter)
    unsteady: int = 0
    moved: int = 0
    known: int = 0
    drift: float | None = None
    incomparable: bool = False
    seconds: float = 0.0
    calibration: str = "not calibrated"

    def line(self) -> str:
        """Return the summary line."""
        methods = "".join(f", {count:,} by {name}" for name, count in self.by_method.items())
        parts = [f"{counted(self.rows, 'row')}{methods}, {self.rejected:,} rejected"]
        if self.first_reject:
            where = f"{self.rejects}; " if self.rejects else ""
            first = f"row {self.first_reject.row}: {self.first_reject.reason}"
            parts[0] += f" ({where}the first is {first})"
        if self.repeated:
            ids = "id stands" if self.repeated == 1 else "ids stand"
            parts.append(
                f"{self.repeated:,} {ids} in several rows (the first is {self.first_repeated})"
            )
        if self.shots:
            more = len(self.shots) - NAMED_SHOTS
            named = ", ".join(self.shots[:NAMED_SHOTS])
            parts.append(f"shots: {named}{f' and {more:,} more' if more > 0 else ''}")
        if self.truncated:
            parts.append(f"{counted(self.truncated, 'prompt')} lost shots or feedback to fit")
        if self.cut:
            parts.append(f"{counted(self.cut, 'text')} cut by the sentence encoder")
        if self.known:
            parts.append(f"{counted(self.known, 'prompt')} in the ledger")
        if self.masses:
            low = f", low in {counted(self.low, 'row')} (flagged)" if self.low else ""
            parts.append(f"median label mass {self.median_mass():.3g}{low}")
        return "; ".join([*parts, *self._watched(), self.calibration])

    def _watched(self) -> Iterator[str]:
        """Yield what is to be known of how far the scores can be trusted."""
        if self.spreads:
            yield (
                f"median spread {_median(self.spreads):.3g} over {self.sets} sets of shots, and "
                f"the prediction changes from set to set in {counted(self.unsteady, 'row')}"
            )
        if self.moved:
            yield f"the text alone decides {counted(self.moved, 'row')} (flagged)"
        if self.drift is not None:
            yield f"drift {self.drift:.3f} against the run before"
        if self.incomparable:
            yield "drift is not measured, as the run before had another prompt, shots or model"

    def median_mass(self) -> float:
        """Return the median label mass, to three digits; NaN where no row has one."""
        return _median(self.masses)

    def fields(self) -> dict[str, Any]:
        """Return the counts as values for JSON."""
        return {
            "rows": self.rows,
            "by_method": self.by_method,
            "rejected": self.rejected,
            "rejects": str(self.rejects) if self.rejects else None,
            "repeated_ids": self.repeated,
            "shots": self.shots,
            "truncated": self.truncated,
            "cut": self.cut,
            "known": self.known,
            "median_label_mass": self.median_mass() if self.masses else None,
            "low_mass": self.low,
            "shot_sets": self.sets,
            "median_spread": _median(self.spreads) if self.spreads else None,
            "changes_from_set_to_set": self.unsteady,
            "moved_by_text": self.moved,
            "drift": self.drift,
            "calibration": self.calibration,
            "seconds": round(self.seconds, 3),
            "rows_a_second": round(self.rows / self.seconds, 3) if self.seconds else None,
        }


def _median(counts: Counter[float]) -> float:
    """Return the median of values by their counts; NaN without any."""
    total, seen = counts.total(), 0
    middle: list[float] = []
    for value in sorted(counts):
        places = [place for place in ((total - 1) // 2, total // 2) if place < seen + counts[value]]
        middle += [value] * (len(places) - len(middle))
        seen += counts[value]
    return sum(middle) / 2 if middle else float("nan")
