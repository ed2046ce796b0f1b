"""How good amounts and their intervals are: one number a metric, of the rows and of resamples of them.

Knows numbers; knows nothing of approaches or budgets. Ranks are those of a resample itself, rows that
are drawn twice standing side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from promptpredict.amounts import COVERAGE, Floats
from promptpredict.approach import Probabilities
from promptpredict.cases import Key, Outcome
from promptpredict.figures import row_of
from promptpredict.records import Record, groups_of
from promptpredict.resampling import draws_of, interval, parts_of
from promptpredict.results import Row, Value

_TAILS = ((1, (1 - COVERAGE) / 2), (2, (1 + COVERAGE) / 2))  # column of an end, and its level


def evaluate_amounts(
    y: npt.ArrayLike, predicted: npt.ArrayLike, *, folds: Sequence[int] | None = None
) -> dict[str, float]:
    """Return each metric of predictions (n, 3), expectation and interval, for amounts ``y`` (n,).

    spearman; gini (normalised: what the order of the predictions gathers of the amounts, over what
    their own order gathers); mae and rmse of the expectation, pinball (the mean over both ends of the
    interval) and width, in the unit of the amounts; coverage, the share of rows that lie inside, ends
    included. spearman and gini are 0, as by chance, of one number for everybody, and NaN where the
    amounts are one number; with ``folds`` (n,) rows are ranked among those of their own fold, and the
    mean over the folds is weighted by rows.
    """
    truth, said = np.asarray(y, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    found = _weighted(truth, said, np.ones((1, len(truth))), parts_of(folds, len(truth)))
    return {name: float(values[0]) for name, values in found.items()}


def resample_amounts(
    y: npt.ArrayLike,
    predicted: npt.ArrayLike,
    *,
    n: int = 1000,
    seed: int = 0,
    groups: Sequence[str] | None = None,
    folds: Sequence[int] | None = None,
) -> dict[str, Floats]:
    """Return the values (n,) of each metric on ``n`` resamples of the rows, or of whole ``groups``.

    The same seed and rows give the same resamples, so that differences are paired.
    """
    truth, said = np.asarray(y, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    own = np.arange(len(truth)) if groups is None else np.unique(groups, return_inverse=True)[1]
    parts = parts_of(folds, len(truth))
    chunks = [_weighted(truth, said, counts, parts) for counts in draws_of(own, n, seed)]
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}


@dataclass(frozen=True)
class AmountFigures:
    """Makes figures of outcomes; ``y`` (n,) are the amounts of ``records``."""

    records: Sequence[Record]
    y: Floats

    def row(
        self,
        key: Key,
        outcomes: Sequence[Outcome],
        *,
        units: float,
        **names: str,
    ) -> tuple[Row, Probabilities]:
        """Return the row of an approach, and Spearman on resamples of its test rows."""
        tested = [row for outcome in outcomes for row in outcome.draw.test]
        predicted = np.concatenate([outcome.probabilities for outcome in outcomes])
        sizes = [len(outcome.draw.test) for outcome in outcomes]
        folds = np.repeat(np.arange(len(outcomes)), sizes).tolist()
        values = evaluate_amounts(self.y[tested], predicted, folds=folds)
        groups = groups_of([self.records[row] for row in tested])
        drawn = resample_amounts(self.y[tested], predicted, groups=groups, folds=folds)
        metrics = {name: Value.of(value, *interval(drawn[name])) for name, value in values.items()}
        return row_of(key, outcomes, metrics, **names), drawn["spearman"]

    def units(self, outcomes: Sequence[Outcome]) -> float:
        """Return how many independent units the test rows are: rows, or groups of them."""
        rows = [row for outcome in outcomes for row in outcome.draw.test]
        groups = groups_of([self.records[row] for row in rows])
        return len(rows if groups is None else set(groups))

    def predictions(self, key: Key, outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
        """Return a line for each test row."""
        approach, budget, seed = key
        return [
            {
                **{"approach": approach, "budget": budget, "seed": seed},
                **{"fold": outcome.draw.fold, "row": self.records[row].row},
                **{"id": self.records[row].id, "amount": float(self.y[row])},
                **dict(zip(("prediction", "lower", "upper"), each.tolist(), strict=True)),
            }
            for outcome in outcomes
            for row, each in zip(outcome.draw.test, outcome.probabilities, strict=True)
        ]


def _weighted(
    y: Floats, said: Floats, counts: Floats, parts: Sequence[npt.NDArray[np.intp]]
) -> dict[str, Floats]:
    """Return each metric (b,) of the rows taken ``counts`` (b, n) times each."""
    rows = counts.sum(axis=1)
    error = said[:, 0] - y
    inside = (said[:, 1] <= y) & (y <= said[:, 2])
    ends = [
        np.where(y >= said[:, at], level, level - 1) * (y - said[:, at]) for at, level in _TAILS
    ]
    ranked = [_ranked(y[part], said[part, 0], counts[:, part]) for part in parts]
    shares = np.stack([counts[:, part].sum(axis=1) for part in parts]) / rows
    spearman, gini = (np.sum(shares * np.stack(each), axis=0) for each in zip(*ranked, strict=True))
    return {
        "spearman": spearman,
        "gini": gini,
        "mae": counts @ np.abs(error) / rows,
        "rmse": np.sqrt(counts @ error**2 / rows),
        "pinball": counts @ np.mean(ends, axis=0) / rows,
        "coverage": counts @ inside / rows,
        "width": counts @ (said[:, 2] - said[:, 1]) / rows,
    }


def _ranked(y: Floats, said: Floats, counts: Floats) -> tuple[Floats, Floats]:
    """Return Spearman and the normalised Gini (b,) of what was said (n,) for amounts ``y`` (n,)."""
    own, theirs = _ranks(said, counts), _ranks(y, counts)  # (b, n)
    total = counts.sum(axis=1)

    def covariance(one: Floats, other: Floats) -> Floats:
        means = [(counts * each).sum(axis=1) / total for each in (one, other)]
        found: Floats = (counts * one * other).sum(axis=1) / total - means[0] * means[1]
        return found

    amounts = np.broadcast_to(y, counts.shape)
    spread = np.sqrt(covariance(own, own) * covariance(theirs, theirs))
    gathered = covariance(amounts, theirs)
    # Ranks are halves of whole numbers: below this there is nothing but rounding.
    ranks, varies = spread > 1e-9, covariance(theirs, theirs) > 1e-9
    gathers = gathered > 1e-12 * max(float(np.abs(y).max()), 1e-300)
    # Who says the same of everybody ranks nobody, as by chance.
    chance = [np.where(known, 0.0, np.nan) for known in (varies, gathers)]
    return (
        np.divide(covariance(own, theirs), spread, out=chance[0], where=ranks),
        np.divide(covariance(amounts, own), gathered, out=chance[1], where=gathers & ranks),
    )


def _ranks(values: Floats, counts: Floats) -> Floats:
    """Return the mean rank (b, n) of each value (n,) among rows taken ``counts`` (b, n) times."""
    _, group = np.unique(values, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    sizes = np.add.reduceat(counts[:, order], starts, axis=1)  # (b, g)
    middle: Floats = sizes.cumsum(axis=1) - (sizes - 1) / 2
    return middle[:, group]
