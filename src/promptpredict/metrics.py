"""How good probabilities are: one number a metric, of the rows and of resamples of them.

Knows label keys and probabilities (n, k) in label order; knows nothing of approaches or budgets.
How a metric is taken of a thousand resamples at once, `resampling` knows.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from promptpredict.calibration import Floats, columns_of
from promptpredict.errors import DataError
from promptpredict.resampling import Case, measured, resampled


def evaluate(
    y: Sequence[str],
    probabilities: npt.ArrayLike,
    *,
    labels: Sequence[str],
    positive: str | None,
    threshold: float | Floats = 0.5,
    value_saved: float | None = None,
    offer_cost: float | None = None,
    folds: Sequence[int] | None = None,
) -> dict[str, float]:
    """Return each metric of ``probabilities`` (n, k), columns as ``labels``, for label keys ``y``.

    Two labels and ``positive``: roc_auc, pr_auc (average precision), brier, log_loss,
    ece (over 10 bins of equal mass; equal confidences share one), accuracy and f1 of the positive
    label, predicted from ``threshold`` (one, or one a row) on; and, with the 5, 10
    and 20 % of the rows that are most probably positive:

    - precision_5, …: the share of positives among them; lift_5, …: the same over the base rate;
    - value_5, …: what they bring per 1,000 customers, (hits * ``value_saved`` - offered *
      ``offer_cost``) * 1000 / n, where both are given; value_best: the most that any share
      brings, none included. It is picked on these very rows, so it is optimistic.

    The top 5 % are .05 * n rows, a fraction of a row included; rows that tie at the end share
    what is left (the mean over every order of them), so that one probability for everybody has a
    lift of 1. Lift is NaN without a positive.

    Else roc_auc (each label in ``y`` against the rest, their mean), brier (summed over the
    labels, 0 to 2), log_loss, ece of the most probable label, accuracy, balanced_accuracy (mean
    recall of the labels in ``y``), and f1 (mean over the labels that occur or are predicted); and of
    each label roc_auc_<label> against the rest, precision_<label>, recall_<label> and f1_<label>,
    predicted where it is the most probable: NaN where it never is, or never occurs. roc_auc and
    pr_auc are NaN where ``y`` holds one label only. With ``folds`` (n,) rows are ranked among those
    of their own fold, whose probabilities come from another model: pairs are counted, and tops
    taken, in each.
    """
    case = _case(y, probabilities, labels, positive, threshold, value_saved, offer_cost)
    return measured(replace(case, folds=_numbers(folds)))


def resample(
    y: Sequence[str],
    probabilities: npt.ArrayLike,
    *,
    labels: Sequence[str],
    positive: str | None,
    threshold: float | Floats = 0.5,
    value_saved: float | None = None,
    offer_cost: float | None = None,
    n: int = 1000,
    seed: int = 0,
    only: Collection[str] = (),
    groups: Sequence[str] | None = None,
    folds: Sequence[int] | None = None,
) -> dict[str, Floats]:
    """Return the values (n,) of each metric on ``n`` resamples of the rows, with replacement.

    With ``groups`` (n,) whole groups are drawn, as many as there are: rows of one household say
    less than as many households. The same seed and rows give the same resamples, so that the
    difference of two approaches on the same rows is paired: subtract their values, then take the
    ``t_interval``. NaN where a resample holds one label only. ece keeps the bins of the
    whole sample. With ``only``, the metrics named there and no others.
    """
    case = _case(y, probabilities, labels, positive, threshold, value_saved, offer_cost)
    case = replace(case, groups=_numbers(groups), folds=_numbers(folds))
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


def _gains(hit: npt.NDArray[np.bool_], score: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the distinct scores, falling, and the rows and hits that are at least as high."""
    levels, group = np.unique(-score, return_inverse=True)
    return -levels, np.bincount(group).cumsum(), np.bincount(group, weights=hit).cumsum()


def _numbers(values: Sequence[Any] | None) -> npt.NDArray[np.intp] | None:
    """Return groups or folds (n,) as numbers from 0."""
    return None if values is None else np.unique(list(values), return_inverse=True)[1]


def _case(
    y: Sequence[str],
    probabilities: npt.ArrayLike,
    labels: Sequence[str],
    positive: str | None,
    threshold: float | Floats,
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
    highest = table.max(axis=1)
    return Case(truth, predicted, table, every, highest, truth == predicted, names=tuple(labels))
