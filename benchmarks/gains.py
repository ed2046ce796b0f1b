"""How far adapters of a language model are ahead of it, table by table and on average.

Knows label probabilities of test rows; knows nothing of models, prompts or where rows come from.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from promptpredict.metrics import evaluate, resample
from promptpredict.resampling import log_odds_interval, units_of
from promptpredict.results import signed
from promptpredict.verdict import Gap, perfect, word

BASE = "base"
Floats = npt.NDArray[np.float64]
Key = tuple[str, int, str]  # table, number of shots, way


@dataclass(frozen=True)
class Figure:
    """ROC AUC of a table, a number of shots and a way, and on resamples of the test rows (n,)."""

    value: float
    sd: float
    drawn: Floats
    units: float
    truncated: float  # prompts that were cut
    draws: int

    @property
    def ends(self) -> tuple[float, float]:
        """The 95 % interval over test rows; NaN where every resample ranks without a fault."""
        return log_odds_interval(self.value, self.drawn, units=self.units)

    def describe(self) -> str:
        """Return it in words."""
        low, high = self.ends
        sd = f" ±{self.sd:.3f}" if self.draws > 1 else ""
        return f"{self.value:.3f}{sd} ({low:.3f} to {high:.3f})"


def figure_of(
    truth: Sequence[str],
    said: Sequence[tuple[Floats, int]],
    *,
    labels: Sequence[str],
    positive: str | None,
    seed: int,
) -> Figure:
    """Return the mean over draws of what is said of test rows: probabilities (n, k), prompts cut.

    ``seed`` is that of the resamples: the same for all ways of a table, another for each table, whose
    rows have nothing to do with one another.
    """
    given: dict[str, Any] = {"labels": labels, "positive": positive}
    found = [evaluate(truth, shares, **given)["roc_auc"] for shares, _ in said]
    drawn = [
        resample(truth, shares, seed=seed, only=("roc_auc",), **given)["roc_auc"]
        for shares, _ in said
    ]
    return Figure(
        value=float(np.mean(found)),
        sd=float(np.std(found, ddof=1)) if len(found) > 1 else 0.0,
        drawn=np.mean(drawn, axis=0),
        units=units_of(truth),
        truncated=float(np.mean([cut for _, cut in said])),
        draws=len(said),
    )


def gap_of(way: str, pairs: Sequence[tuple[Figure, Figure]]) -> Gap:
    """Return by how much a way is ahead of base, the mean over tables; a pair for each."""
    differences = [ours.drawn - theirs.drawn for ours, theirs in pairs]
    return Gap(
        approach=way,
        against=BASE,
        metric="roc_auc",
        value=float(np.mean([ours.value - theirs.value for ours, theirs in pairs])),
        resampled=np.mean(differences, axis=0),
        units=min(ours.units for ours, _ in pairs),  # of the table with the fewest, to be careful
        perfect=max(sum(perfect([each.drawn]) for each in pair) for pair in pairs),
    )


def told(gap: Gap) -> str:
    """Return a difference in words."""
    low, high = gap.ends(0.95)
    return f"{signed(gap.value)} (95 % {signed(low)} to {signed(high)}): {word(low, high)}"


def summed(
    figures: Mapping[Key, Figure], tables: Sequence[str], counts: Sequence[int], ways: Sequence[str]
) -> dict[str, Any]:
    """Return all figures and differences, and print the means over tables."""
    differences: list[dict[str, Any]] = []
    means: list[dict[str, Any]] = []
    for count in counts:
        for way in ways:
            pairs = {
                table: (figures[table, count, way], figures[table, count, BASE]) for table in tables
            }
            names: dict[str, Any] = {"shots": count, "way": way}
            value = float(np.mean([own.value for own, _ in pairs.values()]))
            mean, said = names | {"value": _number(value), "tables": len(tables)}, f"{value:.3f}"
            if way != BASE:
                whole = gap_of(way, list(pairs.values()))
                gaps = {table: gap_of(way, [pair]) for table, pair in pairs.items()}
                differences += [
                    {"table": table, **names, **_difference(gap)} for table, gap in gaps.items()
                ]
                mean |= _mean_difference(whole, gaps)
                said += f"; {told(whole)}; {_spread(gaps)}"
            print(f"mean of {len(tables)} tables, {count} shots, {way}: {said}", flush=True)
            means.append(mean)
    rows = [
        {"table": table, "shots": count, "way": way, **_row(figure)}
        for (table, count, way), figure in figures.items()
    ]
    return {"rows": rows, "differences": differences, "means": means}


def _mean_difference(whole: Gap, gaps: Mapping[str, Gap]) -> dict[str, Any]:
    """Return the mean difference over tables, and how it is spread over them."""
    words, worst = _words(gaps), _worst(gaps)
    mean = _difference(whole)
    mean["difference"] = mean.pop("value")
    spread = {"better": words["better"], "worse": words["worse"]}
    return mean | spread | {"worst": {"table": worst, "value": _number(gaps[worst].value)}}


def _spread(gaps: Mapping[str, Gap]) -> str:
    """Say how a mean difference is spread over tables."""
    words, worst = _words(gaps), _worst(gaps)
    return (
        f"better on {words['better']}, worse on {words['worse']}; the worst is {worst}, "
        f"{signed(gaps[worst].value)}"
    )


def _words(gaps: Mapping[str, Gap]) -> Counter[str]:
    return Counter(word(*gap.ends(0.95)) for gap in gaps.values())


def _worst(gaps: Mapping[str, Gap]) -> str:
    return min(gaps, key=lambda table: gaps[table].value)


def _row(figure: Figure) -> dict[str, float | None]:
    low, high = figure.ends
    names = {"value": figure.value, "sd": figure.sd, "low": low, "high": high}
    found = {name: _number(value) for name, value in names.items()}
    return found | {"truncated": round(figure.truncated, 1)}


def _difference(gap: Gap) -> dict[str, Any]:
    low, high = gap.ends(0.95)
    ends = {"value": _number(gap.value), "low": _number(low), "high": _number(high)}
    return {"against": BASE, **ends, "verdict": word(low, high)}


def _number(value: float) -> float | None:
    """Return a figure as JSON has it, which knows no NaN."""
    return None if math.isnan(value) else round(value, 4)
