"""How good probabilities are: one number a metric, and its bootstrap interval.

Knows label keys and probabilities (n, k) in label order; knows nothing of approaches, budgets or
splits. ``evaluate`` asks scikit-learn; ``resample`` does the same for a thousand resamples at
once, a thousand times faster, and a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from promptpredict.calibration import Floats, columns_of
from promptpredict.errors import DataError

BINS = 10  # of equal mass, for the expected calibration error
_CELLS = 2_000_000  # resamples x rows at once: 16 MB an array, however long the table


def evaluate(
    y: Sequence[str],
    probabilities: npt.ArrayLike,
    *,
    labels: Sequence[str],
    positive: str | None,
    threshold: float = 0.5,
) -> dict[str, float]:
    """Return each metric of ``probabilities`` (n, k), columns as ``labels``, for label keys ``y``.

    Two labels and ``positive``: roc_auc, pr_auc (average precision), brier, log_loss, ece,
    accuracy and f1 of the positive label, predicted from ``threshold`` on. Else roc_auc (each
    label in ``y`` against the rest, their mean), brier (summed over the labels, 0 to 2),
    log_loss, ece of the most probable label, accuracy, and f1 (mean over the labels that occur or
    are predicted). roc_auc and pr_auc are NaN where ``y`` holds one label only.
    """
    from sklearn import metrics

    case = _case(y, probabilities, labels, positive, threshold)
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
    return {name: float(value) for name, value in values.items()}


def bootstrap(
    y: Sequence[str],
    probabilities: npt.ArrayLike,
    *,
    labels: Sequence[str],
    positive: str | None,
    threshold: float = 0.5,
    n: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, tuple[float, float]]:
    """Return the percentile interval (low, high) of each metric over ``n`` resamples of the rows."""
    values = resample(
        y, probabilities, labels=labels, positive=positive, threshold=threshold, n=n, seed=seed
    )
    return {name: interval(drawn, level=level) for name, drawn in values.items()}


def resample(
    y: Sequence[str],
    probabilities: npt.ArrayLike,
    *,
    labels: Sequence[str],
    positive: str | None,
    threshold: float = 0.5,
    n: int = 1000,
    seed: int = 0,
) -> dict[str, Floats]:
    """Return the values (n,) of each metric on ``n`` resamples of the rows, with replacement.

    The same seed and number of rows give the same resamples, so that the difference of two
    approaches on the same rows is paired: subtract their values, then take the ``interval``.
    NaN where a resample holds one label only. ece keeps the bins of the whole sample.
    """
    case = _case(y, probabilities, labels, positive, threshold)
    chunks = [_weighted(case, counts) for counts in _resamples(len(case.truth), n, seed)]
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}


def interval(values: npt.ArrayLike, *, level: float = 0.95) -> tuple[float, float]:
    """Return the percentiles (low, high) that hold ``level`` of the values that are not NaN."""
    drawn = np.asarray(values, dtype=np.float64)
    drawn = drawn[~np.isnan(drawn)]
    if not len(drawn):
        return float("nan"), float("nan")
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def ece(confidence: Floats, confirmed: npt.NDArray[np.bool_]) -> float:
    """Return the expected calibration error over 10 bins of equal mass.

    The mean over the rows of |mean confidence - share confirmed| of a row's bin. Equal
    confidences share a bin, so that one probability for everybody is judged by its level alone.
    """
    gaps = np.bincount(_bins(confidence), weights=confidence - confirmed)
    return float(np.abs(gaps).sum() / len(confidence))


@dataclass(frozen=True, slots=True)
class _Case:
    """What the metrics need of one set of rows; labels are column numbers."""

    truth: npt.NDArray[np.intp]  # (n,)
    predicted: npt.NDArray[np.intp]  # (n,)
    probabilities: Floats  # (n, k)
    ranked: list[int]  # the labels that are ranked against the rest: the positive one, or all
    confidence: Floats  # (n,) the probability that calibration is judged by
    confirmed: npt.NDArray[np.bool_]  # (n,) whether what it is the probability of came true

    @property
    def binary(self) -> bool:
        return len(self.ranked) == 1


def _case(
    y: Sequence[str],
    probabilities: npt.ArrayLike,
    labels: Sequence[str],
    positive: str | None,
    threshold: float,
) -> _Case:
    table = np.asarray(probabilities, dtype=np.float64)
    if table.shape != (len(y), len(labels)):
        raise ValueError(
            f"probabilities of shape {table.shape} for {len(y)} rows and {len(labels)} labels"
        )
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
        return _Case(truth, predicted, table, [column], score, truth == column)
    predicted = table.argmax(axis=1)
    every = list(range(len(labels)))
    return _Case(truth, predicted, table, every, table.max(axis=1), truth == predicted)


def _resamples(rows: int, n: int, seed: int) -> Iterator[Floats]:
    """Yield how often each row is drawn (chunk, rows), ``n`` resamples in all."""
    rng = np.random.default_rng(seed)
    size = max(1, _CELLS // rows)
    for start in range(0, n, size):
        chunk = min(size, n - start)
        drawn = rng.integers(rows, size=(chunk, rows)) + rows * np.arange(chunk)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=chunk * rows)
        yield counts.reshape(chunk, rows).astype(np.float64)


def _weighted(case: _Case, counts: Floats) -> dict[str, Floats]:
    """Return each metric (b,) of the rows taken ``counts`` (b, n) times each."""
    rows, k = case.probabilities.shape
    own = case.probabilities[np.arange(rows), case.truth]
    squares = ((case.probabilities - np.eye(k)[case.truth]) ** 2).sum(axis=1)
    least = np.finfo(np.float64).eps  # scikit-learn's clipping
    groups = [
        _grouped(counts, case.truth == column, case.probabilities[:, column])
        for column in case.ranked
    ]
    bins = np.eye(BINS)[_bins(case.confidence)]  # (n, BINS)
    gaps = counts @ (bins * (case.confidence - case.confirmed)[:, None])  # (b, BINS)
    f1 = _mean_defined([_f1(case, counts, column) for column in case.ranked])
    values = {"roc_auc": _mean_defined([_roc_auc(*group) for group in groups])}
    if case.binary:
        values["pr_auc"] = _pr_auc(*groups[0])
    values |= {
        "brier": counts @ squares / rows / (2 if k == 2 else 1),
        "log_loss": counts @ -np.log(np.clip(own, least, 1 - least)) / rows,
        "ece": np.abs(gaps).sum(axis=1) / rows,
        "accuracy": counts @ (case.truth == case.predicted) / rows,
        "f1": np.nan_to_num(f1),
    }
    return values


def _grouped(counts: Floats, hit: npt.NDArray[np.bool_], score: Floats) -> tuple[Floats, Floats]:
    """Return hits and misses (b, g) of each distinct score, ascending: ties stand together."""
    order = np.argsort(score)
    starts = np.flatnonzero(np.diff(score[order], prepend=-np.inf))
    taken = counts[:, order]
    hits = np.add.reduceat(taken * hit[order], starts, axis=1)
    return hits, np.add.reduceat(taken, starts, axis=1) - hits


def _roc_auc(hits: Floats, misses: Floats) -> Floats:
    """Return the share of (hit, miss) pairs in the right order, ties for half; NaN without pairs."""
    below = misses.cumsum(axis=1) - misses
    pairs = hits.sum(axis=1) * misses.sum(axis=1)
    return _ratio((hits * (below + misses / 2)).sum(axis=1), pairs)


def _pr_auc(hits: Floats, misses: Floats) -> Floats:
    """Return average precision: the mean over the hits of the precision from their score up."""
    falling = hits[:, ::-1]
    found = falling.cumsum(axis=1)
    seen = (hits + misses)[:, ::-1].cumsum(axis=1)
    precision = found / np.maximum(seen, 1)
    # Without a miss it would be 1 whatever the scores: NaN, as with roc_auc.
    total = np.where(misses.sum(axis=1) > 0, hits.sum(axis=1), 0)
    return _ratio((precision * falling).sum(axis=1), total)


def _f1(case: _Case, counts: Floats, column: int) -> Floats:
    """Return F1 (b,) of one label; NaN where it neither occurs nor is predicted."""
    true, predicted = case.truth == column, case.predicted == column
    return _ratio(2 * (counts @ (true & predicted)), counts @ true + counts @ predicted)


def _bins(confidence: Floats) -> npt.NDArray[np.intp]:
    edges = np.quantile(confidence, np.arange(1, BINS) / BINS)
    return np.searchsorted(edges, confidence)


def _ratio(above: Floats, below: Floats) -> Floats:
    ratio = np.full(above.shape, np.nan)
    np.divide(above, below, out=ratio, where=below > 0)
    return ratio


def _mean_defined(values: Sequence[Floats]) -> Floats:
    """Return the mean (b,) over the values that are not NaN; NaN where all are."""
    stacked = np.stack(values)
    return _ratio(np.nansum(stacked, axis=0), (~np.isnan(stacked)).sum(axis=0))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")
