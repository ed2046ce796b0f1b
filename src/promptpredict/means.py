"""A mean and the interval around it, of values of which some may hang together.

Knows numbers and which of them are of one unit; knows nothing of what they measure.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

LEVEL = 0.95


class Mean(BaseModel, frozen=True):
    """A mean, with its 95 % interval by Student's t; no interval of one unit."""

    mean: float
    low: float | None = None
    high: float | None = None


def mean_of(
    values: npt.ArrayLike, *, units: Sequence[Hashable] | None = None, least: float = -np.inf
) -> Mean:
    """Return the mean of values (n,), with an interval that ends at the ``least`` that there can be.

    ``units`` (n,) name what each value is of, such as a customer who has several rows: values of one
    unit say less than as many of their own. The standard error is the cluster-robust one of a mean,
    with one degree of freedom less than there are units (Cameron and Miller, "A Practitioner's Guide
    to Cluster-Robust Inference", 2015); without ``units`` it is the usual one.
    """
    found = np.asarray(values, dtype=np.float64)
    mean, n = float(found.mean()), len(found)
    places: dict[Hashable, int] = {}
    own = range(n) if units is None else units
    at = [places.setdefault(unit, len(places)) for unit in own]
    sums = np.bincount(at, weights=found - mean)  # (units,)
    if len(sums) < 2:
        return Mean(mean=mean)
    from scipy.stats import t

    error = np.sqrt(np.square(sums).sum() * len(sums) / (len(sums) - 1)) / n
    half = float(t.ppf((1 + LEVEL) / 2, len(sums) - 1) * error)
    return Mean(mean=mean, low=max(mean - half, least), high=mean + half)
