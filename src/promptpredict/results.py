"""What a comparison found: rows, differences, one sentence; as JSON, Parquet and a table.

Knows the form of results.json; knows nothing of how the figures came about.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from promptpredict.errors import DataError


class Value(BaseModel):
    """A metric, and the ends of its 95 % bootstrap interval over the test rows where it has one."""

    model_config = ConfigDict(extra="forbid")
    value: float | None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, *numbers: float) -> Value:
        """Make a value of numbers; one that is NaN is None, as JSON has no NaN."""
        return cls(**dict(zip(("value", "low", "high"), (None if math.isnan(n) else n for n in numbers), strict=False)))


class Row(BaseModel):
    """What one approach did with one label budget and one seed."""

    model_config = ConfigDict(extra="forbid")
    table: str
    prompt: str
    model: str
    approach: str
    budget: int
    seed: int
    n_test: int
    metrics: dict[str, Value]


class Difference(BaseModel):
    """An approach against another at one budget, paired on the same test rows, over the seeds."""

    model_config = ConfigDict(extra="forbid")
    approach: str
    against: str
    budget: int
    metric: str
    value: float
    low: float
    high: float
    verdict: str


class Results(BaseModel):
    """The whole of results.json."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)
    schema_: Literal[1] = Field(default=1, alias="schema")
    rows: list[Row]
    differences: list[Difference]
    verdict: str

    @classmethod
    def of(cls, rows: Sequence[Row], differences: Sequence[Difference]) -> Results:
        """Put rows and differences together with their verdict."""
        return cls(rows=list(rows), differences=list(differences), verdict=_verdict(rows, differences))

    @classmethod
    def load(cls, path: str | Path) -> Results:
        """Read a results.json."""
        return cls.model_validate_json(Path(path).read_bytes())


def judge(
    approach: str, against: str, budget: int, metric: str, value: float, low: float, high: float
) -> Difference:
    """Put a paired difference in one word, from its interval alone.

    ``better``: above 0; ``worse``: below 0; ``no worse``: above -.02; else ``undecided``.
    """
    verdict = "better" if low > 0 else "worse" if high < 0 else "no worse" if low > -0.02 else "undecided"
    return Difference(
        approach=approach, against=against, budget=budget, metric=metric, value=value, low=low, high=high, verdict=verdict
    )


def write_results(folder: Path, results: Results, predictions: Sequence[dict[str, Any]]) -> None:
    """Write results.json and predictions.parquet into a folder, each whole or not at all."""
    import pandas as pd

    try:
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f".results.{os.getpid()}.tmp"
        draft.write_text(results.model_dump_json(indent=1, by_alias=True) + "\n", encoding="utf-8")
        draft.replace(folder / "results.json")
        pd.DataFrame(list(predictions)).to_parquet(draft, index=False)
        draft.replace(folder / "predictions.parquet")
    except OSError as error:
        raise DataError(f"{folder}: the results cannot be written ({error.strerror})") from None


def summarise(rows: Iterable[Row]) -> list[tuple[str, int, int, dict[str, tuple[float, float] | None]]]:
    """Return approach, budget, seeds and each metric's mean and standard deviation over the seeds."""
    groups: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.approach, row.budget), []).append(row)
    return [
        (approach, budget, len(group), {name: _spread([row.metrics[name].value for row in group]) for name in group[0].metrics})
        for (approach, budget), group in sorted(groups.items(), key=lambda item: (item[0][1], item[0][0]))
    ]


def _spread(values: Sequence[float | None]) -> tuple[float, float] | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    mean = sum(known) / len(known)
    return mean, math.sqrt(sum((value - mean) ** 2 for value in known) / max(1, len(known) - 1))


def _verdict(rows: Sequence[Row], differences: Sequence[Difference]) -> str:
    """Say at each budget which approach has the highest ROC AUC, and whether it beats the embedding."""
    parts = []
    for budget in sorted({row.budget for row in rows}):
        means = {
            approach: metrics["roc_auc"][0]
            for approach, at, _, metrics in summarise(rows)
            if at == budget and metrics["roc_auc"] is not None
        }
        if not means:
            continue
        best = max(means, key=lambda approach: means[approach])
        against = next((each for each in differences if (each.approach, each.budget) == (best, budget)), None)
        compared = (
            f", {against.value:+.3f} over {against.against} (95 % {against.low:+.3f} to {against.high:+.3f}: {against.verdict})"
            if against
            else ""
        )
        labels = "no label" if budget == 0 else f"{budget:,} labels"
        parts.append(f"with {labels} {best} is highest (ROC AUC {means[best]:.3f}{compared})")
    return "; ".join(parts) + "." if parts else "Nothing was compared."
