"""Shifts of several labels at which their mean probabilities are known shares.

Knows normalised log-probabilities (m, k), part by part, and shares (k,); knows nothing of label keys.
The shifts are those of a convex problem: there is one solution, but for a number added to all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from promptpredict.errors import DataError

Floats = npt.NDArray[np.float64]
_CLOSE, _NEAR = 1e-10, 1e-2  # of log shares: at the end, and while log-probabilities are flattened
_STEPS = 1000
_WIDE = 16.0  # nats between a row's log-probabilities, under which Newton's steps lead home


def solved(parts: Callable[[], Iterator[Floats]], wanted: Floats, rows: int) -> Floats:
    """Return shifts (k,) at which the log of the mean probabilities is ``wanted`` (k,).

    Where log-probabilities lie far apart the mean is a staircase of the shifts: then flattened ones
    are solved first, each time for half as flat.
    """
    far = max(float((part.max(axis=1) - part.min(axis=1)).max()) for part in parts() if len(part))
    flat = 2.0 ** max(0, np.ceil(np.log2(max(far, 1.0) / _WIDE)))
    shifts = np.zeros(len(wanted))
    while flat > 1:
        flattened = partial(_flattened, parts, flat)
        shifts = flat * _met(flattened, wanted, rows, shifts / flat, _NEAR)
        flat /= 2
    return _met(parts, wanted, rows, shifts, _CLOSE)


def _flattened(parts: Callable[[], Iterator[Floats]], flat: float) -> Iterator[Floats]:
    return (part / flat for part in parts())


def _met(
    parts: Callable[[], Iterator[Floats]], wanted: Floats, rows: int, shifts: Floats, close: float
) -> Floats:
    """Return what ``solved`` does, from shifts that are near.

    Newton's step on the logarithms, where it comes nearer; else each label is moved by what it
    lacks, a step of Sinkhorn's, which never leads away but is slow where labels hang together.
    """
    means, slopes = _means(parts, shifts, rows)
    for _ in range(_STEPS):
        lacking = wanted - means
        worst = np.abs(lacking).max()
        if worst < close:
            return shifts
        newton = np.linalg.lstsq(slopes, lacking, rcond=1e-12)[0]
        for step in (newton, newton / 4, lacking):
            tried = shifts + step
            means, slopes = _means(parts, tried, rows)
            if np.abs(wanted - means).max() < worst:
                break
        shifts = tried - tried.max()
    raise DataError(
        f"no shifts to the base rate were found in {_STEPS} steps; possible: calibration on labels"
    )


def _means(
    parts: Callable[[], Iterator[Floats]], shifts: Floats, rows: int
) -> tuple[Floats, Floats]:
    """Return the log of each label's mean probability (k,), and its slope by each shift (k, k)."""
    sums: list[Floats] = []
    products = np.zeros((len(shifts), len(shifts)))
    for part in parts():
        scores = part + shifts
        scores -= log_sum(scores)
        sums.append(log_sum(scores.T)[:, 0])
        probabilities = np.exp(scores)
        products += probabilities.T @ probabilities
    means = log_sum(np.array(sums).T)[:, 0] - np.log(rows)
    # Divided by the mean in log space, or a label of e-400 would be divided by nothing.
    with np.errstate(divide="ignore"):
        shared = np.exp(np.log(products / rows) - means[:, None])
    return means, np.eye(len(shifts)) - shared


def log_sum(scores: Any) -> Floats:
    """Return the log of summed exponentials along the last axis, which stays as one column."""
    from scipy.special import logsumexp

    found: Floats = logsumexp(scores, axis=-1, keepdims=True)
    return found
