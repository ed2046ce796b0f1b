"""How good probabilities are: one number a metric, and its bootstrap interval.

Knows label keys and probabilities (n, k) in label order; knows nothing of approaches, budgets or
splits. ``evaluate`` asks scikit-learn; ``resample`` does the same for a thousand resamples at
once (resampling.py), a thousand times faster, and a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from promptpredict.calibration import Floats, columns_of
from promptpredict.errors import DataError
from promptpredict.resampling import (
    SHARES,
    Case,
    bins_of,
    interval,
    intervals,
    normal_interval,
    resampled,
)

__all__ = (
    "best_threshold",
    "bootstrap",
    "ece",
    "evaluate",
    "interval",
    "intervals",
    "normal_interval",
    "resample",
)


def evaluate(
    y: Sequence[str],
    probabilities: npt.ArrayLike,
    *,
    labels: Sequence[str],
    positive: str | None,
    threshold: float = 0.5,
    value_saved: float | None = None,
    offer_cost: float | None = None,
) -> dict[str, float]:
    """Return each metric of ``probabilities`` (n, k), columns as ``labels``, for label keys ``y``.

    Two labels and ``positive``: roc_auc, pr_auc (average precision), brier, log_loss, ece,
    accuracy and f1 of the positive label, predicted from ``threshold`` on; and, with the 5, 10
    and 20 % of the rows that are most probably positive:

    - precision_5, …: the share of positives among them; lift_5, …: the same over the base rate;
    - value_5, …: what they bring per 1,000 customers, (hits * ``value_saved`` - offered *
      ``offer_cost``) * 1000 / n, where both are given; value_best: the most that any share
      brings, none included. It is picked on these very rows, so it is optimistic.

    The top 5 % are .05 * n rows, a fraction of a row included; rows that tie at the end share
    what is left (the mean over every order of them), so that one probability for everybody has a
    lift of 1. Lift is NaN without a positive.

    Else roc_auc (each label in ``y`` against the rest, their mean), brier (summed over the
    labels, 0 to 2), log_loss, ece of the most probable label, accuracy, and f1 (mean over the
    labels that occur or are predicted). roc_auc and pr_auc are NaN where ``y`` holds one label
    only.
    """
    from sklearn import metrics

    case = _case(y, probabilities, labels, positive, threshold, value_saved, offer_cost)
    # log_loss takes the columns for the SORTED labels, whatever order `labels` has; as column
    # numbers they are sorted.
    columns = list(range(len(labels)))
    ranked = [
        (case.truth == column, case.probabilities[:, column])
        for column in case.ranked
        if 0 < np.count_nonzero(case.truth == column) < len(case.truth)
    ]
    values = {"roc_auc": _mean([metrics.roc_auc_score(*pair) for pair in ranked])}
    if case.binary:
        values["pr_auc"] = _mean([metrics.average_precision_score(*pair) for pair in ranked])
    values |= {
        "brier": metrics.brier_score_loss(case.truth, case.probabilities, labels=columns),
        "log_loss": metrics.log_loss(case.truth, case.probabilities, labels=columns),
        "ece": ece(case.confidence, case.confirmed),
        "accuracy": metrics.accuracy_score(case.truth, case.predicted),
        "f1": metrics.f1_score(
            case.truth,
            case.predicted,
            labels=case.ranked if case.binary else None,
            average="macro",
            zero_division=0,
        ),
    }
    if case.binary:
        values |= _top(case)
    return {name: float(value) for name, value in values.items()}


def bootstrap(
    y: Sequence[str],
    probabilities: npt.ArrayLike,
    *,
    labels: Sequence[str],
    positive: str | None,
    threshold: float = 0.5,
    value_saved: float | None = None,
    offer_cost: float | None = None,
    n: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, tuple[float, float]]:
    """Return the interval (low, high) of each metric, from ``n`` resamples of the rows."""
    given: dict[str, Any] = {"labels": labels, "positive": positive, "threshold": threshold}
    given |= {"value_saved": value_saved, "offer_cost": offer_cost}
    drawn = resample(y, probabilities, n=n, seed=seed, **given)
    return intervals(evaluate(y, probabilities, **given), drawn, level=level)


def resample(
    y: Sequence[str],
    probabilities: npt.ArrayLike,
    *,
    labels: Sequence[str],
    positive: str | None,
    threshold: float = 0.5,
    value_saved: float | None = None,
    offer_cost: float | None = None,
    n: int = 1000,
    seed: int = 0,
    only: Collection[str] = (),
    groups: Sequence[str] | None = None,
) -> dict[str, Floats]:
    """Return the values (n,) of each metric on ``n`` resamples of the rows, with replacement.

    With ``groups`` (n,) whole groups are drawn, as many as there are: rows of one household say
    less than as many households. The same seed and rows give the same resamples, so that the
    difference of two approaches on the same rows is paired: subtract their values, then take the
    ``normal_interval``. NaN where a resample holds one label only. ece keeps the bins of the whole sample. With
    ``only``, the metrics named there and no others.
    """
    case = _case(y, probabilities, labels, positive, threshold, value_saved, offer_cost)
    if groups is not None:
        case = replace(case, groups=np.unique(list(groups), return_inverse=True)[1])
    return resampled(case, n=n, seed=seed, only=only)


def best_threshold(
    y: Sequence[str],
    probabilities: npt.ArrayLike,
    *,
    labels: Sequence[str],
    positive: str | None,
) -> float:
    """Return the threshold at which the positive label has the highest F1 on these rows.

    It lies midway between two neighbouring probabilities, the lowest of which has 0 below it;
    the highest of several that are as good. 0.5 where there is nothing to choose from: more than
    two labels, rows of one label only, or one probability for everybody. Meant for probabilities
    of training rows that their model has not seen.
    """
    case = _case(y, probabilities, labels, positive, 0.5, None, None)
    if not case.binary or len(set(case.truth.tolist())) < 2:
        return 0.5
    hit, score = case.truth == case.ranked[0], case.probabilities[:, case.ranked[0]]
    levels, seen, found = _gains(hit, score)
    if len(levels) == 1:
        return 0.5
    best = int(np.argmax(2 * found / (seen + hit.sum())))
    low, high = float(np.append(levels, 0.0)[best + 1]), float(levels[best])
    middle = (low + high) / 2
    return middle if middle > low else high  # where no number lies between the two


def ece(confidence: Floats, confirmed: npt.NDArray[np.bool_]) -> float:
    """Return the expected calibration error over 10 bins of equal mass.

    The mean over the rows of |mean confidence - share confirmed| of a row's bin. Equal
    confidences share a bin, so that one probability for everybody is judged by its level alone.
    """
    gaps = np.bincount(bins_of(confidence), weights=confidence - confirmed)
    return float(np.abs(gaps).sum() / len(confidence))


def _top(case: Case) -> dict[str, float]:
    """Return lift, precision and value of the top shares."""
    rows, rate = len(case.truth), case.confirmed.mean()
    _, seen, found = _gains(case.confirmed, case.confidence)
    # Between two levels hits rise in a straight line: ties are shared.
    offered = {share: rows * share / 100 for share in SHARES}
    hits = {share: float(np.interp(top, [0, *seen], [0, *found])) for share, top in offered.items()}
    precision = {share: hits[share] / offered[share] for share in SHARES}
    nan = float("nan")
    values = {f"lift_{share}": precision[share] / rate if rate else nan for share in SHARES}
    values |= {f"precision_{share}": precision[share] for share in SHARES}
    if case.money is None:
        return values
    saved, cost = case.money
    captured = {f"value_{share}": hits[share] * saved - offered[share] * cost for share in SHARES}
    captured["value_best"] = max(0.0, float((found * saved - seen * cost).max()))
    return values | {name: gain * 1000 / rows for name, gain in captured.items()}


def _gains(hit: npt.NDArray[np.bool_], score: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the distinct scores, falling, and the rows and hits that are at least as high."""
    levels, group = np.unique(-score, return_inverse=True)
    return -levels, np.bincount(group).cumsum(), np.bincount(group, weights=hit).cumsum()


def _case(
    y: Sequence[str],
    probabilities: npt.ArrayLike,
    labels: Sequence[str],
    positive: str | None,
    threshold: float,
    value_saved: float | None,
    offer_cost: float | None,
) -> Case:
    table = np.asarray(probabilities, dtype=np.float64)
    if table.shape != (len(y), len(labels)):
        raise ValueError(
            f"probabilities of shape {table.shape} for {len(y)} rows and {len(labels)} labels"
        )
    if (value_saved is None) != (offer_cost is None):
        raise ValueError("value_saved and offer_cost are given together or not at all")
    missing = int(np.isnan(table).any(axis=1).sum())
    if missing:
        raise DataError(
            f"{missing} of {len(y)} rows have no probability; metrics need one for every row"
        )
    truth = columns_of(y, labels)
    if len(labels) == 2 and positive is not None:
        column = list(labels).index(positive)
        score = table[:, column]
        predicted = np.where(score >= threshold, column, 1 - column)
        money = None if value_saved is None or offer_cost is None else (value_saved, offer_cost)
        return Case(truth, predicted, table, [column], score, truth == column, money)
    predicted = table.argmax(axis=1)
    every = list(range(len(labels)))
    return Case(truth, predicted, table, every, table.max(axis=1), truth == predicted)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")
