"""What a comparison found: rows, differences, one sentence; as JSON and Parquet.

Knows the form of results.json; knows nothing of how the figures came about.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from promptpredict.errors import DataError

MARGIN = 0.02  # how much ROC AUC an approach may lose and still be called no worse


class Value(BaseModel):
    """A metric, and the ends of its 95 % bootstrap interval over the test rows where it has one."""

    model_config = ConfigDict(extra="forbid")
    value: float | None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, *numbers: float) -> Value:
        """Make a value of numbers; one that is NaN is None, as JSON has no NaN."""
        known = [None if math.isnan(number) else number for number in numbers]
        return cls(**dict(zip(("value", "low", "high"), known, strict=False)))


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
    verdict: Literal["better", "worse", "no worse", "undecided"]

    def describe(self) -> str:
        """Return the difference in words: ``+0.080 (95 % +0.030 to +0.120): better``."""
        return f"{self.value:+.3f} (95 % {self.low:+.3f} to {self.high:+.3f}): {self.verdict}"


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
        verdict = _verdict(rows, differences)
        return cls(rows=list(rows), differences=list(differences), verdict=verdict)

    @classmethod
    def load(cls, path: str | Path) -> Results:
        """Read a results.json."""
        return cls.model_validate_json(Path(path).read_bytes())


def judge(
    approach: str, against: str, budget: int, metric: str, value: float, low: float, high: float
) -> Difference:
    """Put a paired difference in one word, from its interval alone.

    ``better``: above 0; ``worse``: below 0; ``no worse``: above -0.02; else ``undecided``.
    """
    verdict: Literal["better", "worse", "no worse", "undecided"] = "undecided"
    if low > 0:
        verdict = "better"
    elif high < 0:
        verdict = "worse"
    elif low > -MARGIN:
        verdict = "no worse"
    return Difference(
        approach=approach,
        against=against,
        budget=budget,
        metric=metric,
        value=value,
        low=low,
        high=high,
        verdict=verdict,
    )


def write_results(folder: Path, results: Results, predictions: Sequence[dict[str, Any]]) -> None:
    """Write results.json and predictions.parquet into a folder, each whole or not at all."""
    import pandas as pd

    draft = folder / f".results.{os.getpid()}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        draft.write_text(results.model_dump_json(indent=1, by_alias=True) + "\n", encoding="utf-8")
        draft.replace(folder / "results.json")
        pd.DataFrame(list(predictions)).to_parquet(draft, index=False)
        draft.replace(folder / "predictions.parquet")
    except OSError as error:
        raise DataError(f"{folder}: the results cannot be written ({error.strerror})") from None
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and standard deviation of a metric over the seeds (0 for one seed)."""

    mean: float
    sd: float


@dataclass(frozen=True, slots=True)
class Group:
    """The rows of one approach at one budget; a metric that no seed has is None."""

    approach: str
    budget: int
    seeds: int
    metrics: Mapping[str, Spread | None]


def summarise(rows: Iterable[Row]) -> list[Group]:
    """Return each approach at each budget, summarised over the seeds, in order of budgets."""
    groups: dict[tuple[int, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.budget, row.approach), []).append(row)
    return [
        Group(
            approach,
            budget,
            len(group),
            {
                name: _spread([row.metrics[name].value for row in group])
                for name in group[0].metrics
            },
        )
        for (budget, approach), group in sorted(groups.items())
    ]


def _spread(values: Sequence[float | None]) -> Spread | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    return Spread(mean(known), stdev(known) if len(known) > 1 else 0.0)


def _verdict(rows: Sequence[Row], differences: Sequence[Difference]) -> str:
    """Say at each budget which approach has the highest ROC AUC, and how it compares."""
    best: dict[int, tuple[float, str]] = {}
    for group in summarise(rows):
        if auc := group.metrics["roc_auc"]:
            found = (auc.mean, group.approach)
            best[group.budget] = max(best.get(group.budget, found), found)
    parts = []
    for budget, (auc_mean, approach) in best.items():
        compared = [
            f", {each.describe()}, against {each.against}"
            for each in differences
            if (each.approach, each.budget) == (approach, budget)
        ]
        labels = "no label" if budget == 0 else f"{budget:,} label{'s' if budget > 1 else ''}"
        parts.append(
            f"with {labels} {approach} is highest (ROC AUC {auc_mean:.3f}{''.join(compared)})"
        )
    sentence = "; ".join(parts) or "nothing was compared"
    return f"{sentence[0].upper()}{sentence[1:]}."
