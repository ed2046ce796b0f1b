"""What a run of `score` did: counts for the summary line and for callers.

Knows counts and words; knows nothing of tables or models.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from promptpredict.records import Reject

NAMED_SHOTS = 16  # shots whose ids the summary names


@dataclass
class Summary:
    """What a run did, for its last line on stderr and for callers.

    ``rows`` is the sum of ``by_method`` and ``rejected``; ``shots`` are the ids of the shots
    shown; ``cut`` counts the texts that were longer than the sentence encoder's window; ``masses``
    counts label masses, each to three digits; ``known`` counts the prompts that the ledger knew.
    """

    rows: int = 0
    by_method: dict[str, int] = field(default_factory=dict)
    rejected: int = 0
    first_reject: Reject | None = None
    rejects: Path | None = None
    shots: list[str] = field(default_factory=list)
    truncated: int = 0
    cut: int = 0
    masses: Counter[float] = field(default_factory=Counter)
    known: int = 0
    calibration: str = "not calibrated"

    def line(self) -> str:
        """Return the summary line."""
        methods = "".join(f", {count:,} by {name}" for name, count in self.by_method.items())
        parts = [f"{self.rows:,} rows{methods}, {self.rejected:,} rejected"]
        if self.first_reject:
            where = f"{self.rejects}; " if self.rejects else ""
            first = f"row {self.first_reject.row}: {self.first_reject.reason}"
            parts[0] += f" ({where}the first is {first})"
        if self.shots:
            more = len(self.shots) - NAMED_SHOTS
            named = ", ".join(self.shots[:NAMED_SHOTS])
            parts.append(f"shots: {named}{f' and {more:,} more' if more > 0 else ''}")
        if self.truncated:
            parts.append(f"{self.truncated:,} prompts lost shots or feedback to fit")
        if self.cut:
            parts.append(f"{self.cut:,} texts were cut by the sentence encoder")
        if self.known:
            parts.append(f"{self.known:,} prompts were in the ledger")
        if self.masses:
            parts.append(f"median label mass {self.median_mass():.3g}")
        parts.append(self.calibration)
        return "; ".join(parts)

    def median_mass(self) -> float:
        """Return the median label mass, to three digits; NaN where no row has one."""
        left = self.masses.total() // 2
        for mass in sorted(self.masses):
            left -= self.masses[mass]
            if left < 0:
                return mass
        return float("nan")
