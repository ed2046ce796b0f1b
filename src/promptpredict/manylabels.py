"""Calibration of three labels or more: a slope and a shift for each, or shifts to known shares.

Knows label log-probabilities (n, k), label keys and shares; knows nothing of prompts or models. Two
labels are one number, their log-odds, which `calibration` calibrates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from promptpredict.calibration import (
    MIN_ROWS,
    Calibration,
    Floats,
    check_labelled,
    columns_of,
    fit_base_rate,
    fit_platt,
    label_table,
)
from promptpredict.errors import DataError
from promptpredict.heads import stratified
from promptpredict.levelling import log_sum, solved
from promptpredict.rates import Rate, checked_rate, said_rate

SLOPES_APART = 0.25  # deviation of the prior of log slopes around the one of all labels
SHIFTS_APART = 1.0  # nats: half-width of the prior of shifts, whose ends are heavy


def fit_labels(
    logprobs: npt.ArrayLike,
    y: Sequence[str],
    *,
    labels: Sequence[str],
    positive: str | None,
    level: Mapping[str, float] | None = None,
) -> Calibration:
    """Calibrate on labelled rows: by ``fit_platt`` for two labels, by ``fit_vector`` for more.

    ``level`` are the shares of all labelled rows, where these are some that were not drawn at
    random.
    """
    if len(labels) == 2 and positive is not None:
        rate = None if level is None else level[positive]
        return fit_platt(logprobs, y, labels=labels, positive=positive, base_rate=rate)
    return fit_vector(logprobs, y, labels=labels, level=level)


def cross_calibrated(
    logprobs: npt.ArrayLike,
    y: Sequence[str],
    *,
    labels: Sequence[str],
    positive: str | None,
    level: Mapping[str, float] | None = None,
    groups: Sequence[str] | None = None,
) -> Floats:
    """Return probabilities (n, k) of labelled rows, each calibrated by ``fit_labels`` on other rows.

    Rows of one of ``groups`` (n,) stand on one side. NaN where the rows cannot be parted so.
    """
    table = label_table(logprobs, labels)
    found = np.full(table.shape, np.nan)
    columns = columns_of(y, labels)
    folds = stratified(columns, 0, groups) if len(np.unique(columns)) > 1 else None
    for others, held in folds or ():
        truth = [y[row] for row in others]
        given: dict[str, Any] = {"labels": labels, "positive": positive, "level": level}
        found[held] = fit_labels(table[others], truth, **given).apply(table[held])
    return found


def fit_rate(
    logprobs: npt.ArrayLike, rate: Rate, *, labels: Sequence[str], positive: str | None
) -> Calibration:
    """Calibrate to a known base rate: one share of the positive label, or one of every label."""
    if not isinstance(rate, Mapping) and len(labels) == 2 and positive is not None:
        return fit_base_rate(logprobs, rate, labels=labels, positive=positive)
    known = known_rows(logprobs, labels)
    return fit_shares(lambda: iter([known]), rate, labels=labels)


def fit_temperature(
    logprobs: npt.ArrayLike, y: Sequence[str], *, labels: Sequence[str], positive: str | None = None
) -> Calibration:
    """Fit the one slope (1 / temperature) under which labelled rows are most probable.

    Log slope has a standard normal prior, so that rows that are all right give a finite slope.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    scores, truth = _labelled(logprobs, y, labels)
    gaps = scores - scores[np.arange(len(truth)), truth, None]

    def loss(log_slope: float) -> float:
        return float(np.sum(logsumexp(np.exp(log_slope) * gaps, axis=1)) + log_slope**2 / 2)

    fit = minimize_scalar(loss, bounds=(-20, 20), method="bounded", options={"xatol": 1e-9})
    return Calibration(
        method="temperature",
        labels=tuple(labels),
        positive=positive,
        slope=float(np.exp(fit.x)),
        rows=len(truth),
    )


def fit_vector(
    logprobs: npt.ArrayLike,
    y: Sequence[str],
    *,
    labels: Sequence[str],
    level: Mapping[str, float] | None = None,
) -> Calibration:
    """Fit a slope and a shift for each label's log-probability to labelled rows (vector scaling).

    The log-probabilities are normalised over the labels first. A few labels give what one
    temperature does, with moderate shifts: the targets are Platt's, each label against the
    rest; the slope that labels share has the prior of ``fit_temperature``, and their own stay near
    it; the prior of shifts is Cauchy's, which draws small ones to nothing and leaves it to the
    labels where a language model is many nats off. Slopes are positive. ``level`` moves the shifts
    from the shares that were fitted to those of all labelled rows, for rows that were not drawn at
    random (balanced, say).
    """
    from scipy.optimize import minimize
    from scipy.special import log_softmax

    scores, truth = _labelled(logprobs, y, labels)
    normal, k = log_softmax(scores, axis=1), len(labels)
    targets = _targets(truth, k)
    start = np.zeros(1 + 2 * k)
    start[0] = np.log(fit_temperature(logprobs, y, labels=labels).slope)
    # The bounds are far outside what the priors allow; they keep a line search from exp(1000).
    bounds = [(-20, 20)] * (1 + k) + [(None, None)] * k
    given = {"args": (normal, targets), "jac": True, "bounds": bounds}
    fit = minimize(_vector_loss, start, method="L-BFGS-B", tol=1e-12, **given)
    slopes, shifts = np.exp(fit.x[0] + fit.x[1 : 1 + k]), fit.x[1 + k :]
    if level is not None:
        _check_level(truth, level, labels)
        # The means that were fitted: Platt's targets and the prior keep few rows nearer to even.
        fitted = slopes * normal + shifts
        means = log_sum((fitted - log_sum(fitted)).T)[:, 0] - np.log(len(fitted))
        shifts = shifts + np.log([level[label] for label in labels]) - means
    return Calibration(
        method="vector",
        labels=tuple(labels),
        positive=None,
        slopes=tuple(slopes.tolist()),
        shifts=tuple((shifts - shifts.mean()).tolist()),
        shares=() if level is None else tuple(level[label] for label in labels),
        rows=len(truth),
    )


def known_rows(logprobs: npt.ArrayLike, labels: Sequence[str]) -> Floats:
    """Return the log-probabilities (m, k), normalised, of the rows that were scored."""
    from scipy.special import log_softmax

    table = label_table(logprobs, labels)
    return np.asarray(log_softmax(table[np.isfinite(table).all(axis=1)], axis=1))


def fit_shares(
    parts: Callable[[], Iterator[Floats]], rate: Rate, *, labels: Sequence[str]
) -> Calibration:
    """Find the shift of each label at which its mean probability over the rows is its share.

    ``parts`` yields normalised log-probabilities (m, k), finite, anew each time: millions of rows
    need not be in memory. The shifts are the only ones, but for one number added to all, which
    changes nothing. Raises DataError for fewer than MIN_ROWS rows, as ``fit_base_rate`` does, and
    for shares that do not fit the labels.
    """
    from scipy.special import log_softmax

    shares = checked_rate(rate, labels, what="base_rate")
    assert isinstance(shares, dict)
    wanted = log_softmax(np.log([shares[label] for label in labels]))
    rows = sum(len(part) for part in parts())
    if rows < MIN_ROWS:
        raise DataError(
            f"found {rows} scored rows, but shifts to the base rate {said_rate(shares)} need at "
            f"least {MIN_ROWS}; possible: the calibration of a larger run"
        )
    shifts = solved(parts, wanted, rows)
    return Calibration(
        method="base_rate",
        labels=tuple(labels),
        positive=None,
        shifts=tuple((shifts - shifts.mean()).tolist()),
        shares=tuple(shares[label] for label in labels),
        rows=rows,
    )


# -- labelled rows -----------------------------------------------------------------------------


def _labelled(
    logprobs: npt.ArrayLike, y: Sequence[str], labels: Sequence[str]
) -> tuple[Floats, npt.NDArray[np.intp]]:
    """Return log-probabilities (n, k) and the column (n,) of the label, of rows that were scored."""
    scores = label_table(logprobs, labels)
    scored = np.isfinite(scores).all(axis=1)
    check_labelled(scores[scored])
    return scores[scored], columns_of(y, labels)[scored]


def _targets(truth: npt.NDArray[np.intp], k: int) -> Floats:
    """Return targets (n, k): as if one more row of each label were, and it a miss."""
    counts = np.bincount(truth, minlength=k)[truth]  # (n,)
    targets = np.repeat((1 / (counts + 2) / (k - 1))[:, None], k, axis=1)
    targets[np.arange(len(truth)), truth] = (counts + 1) / (counts + 2)
    return targets


def _vector_loss(parameters: Floats, normal: Floats, targets: Floats) -> tuple[float, Floats]:
    """Return minus the log posterior and its gradient.

    The parameters (1 + 2k,) are the common log slope, each label's own on top, and the shifts.
    """
    k = normal.shape[1]
    common, own, shifts = parameters[0], parameters[1 : 1 + k], parameters[1 + k :]
    scaled = np.exp(common + own) * normal  # (n, k)
    scores = scaled + shifts
    whole = log_sum(scores)
    residual = np.exp(scores - whole) - targets  # (n, k)
    by_slope, by_shift = (residual * scaled).sum(axis=0), residual.sum(axis=0)
    far = (shifts / SHIFTS_APART) ** 2
    value = whole.sum() - (targets * scores).sum()
    value += common**2 / 2 + (own**2).sum() / 2 / SLOPES_APART**2 + np.log1p(far).sum()
    gradient = [
        [by_slope.sum() + common],
        by_slope + own / SLOPES_APART**2,
        by_shift + 2 * shifts / SHIFTS_APART**2 / (1 + far),
    ]
    return float(value), np.concatenate(gradient)


def _check_level(
    truth: npt.NDArray[np.intp], level: Mapping[str, float], labels: Sequence[str]
) -> None:
    """Raise DataError for a label without a row, here or among all labelled rows."""
    counts = np.bincount(truth, minlength=len(labels))
    for label, count in zip(labels, counts, strict=True):
        if not count or not level[label]:
            raise DataError(f"no labelled row has the label '{label}'; its level is unknown")
