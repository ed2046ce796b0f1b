"""A calibration that was found on labelled rows, moved to a known base rate.

Knows calibrations and rates; knows nothing of where either comes from. Slopes stay; so does, of two
labels, the order of the rows.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from promptpredict.calibration import Calibration, Floats
from promptpredict.rates import Rate, shares_of

_SMALLEST = 1e-300  # of a probability


def calibrated(own: Calibration, logprobs: npt.ArrayLike) -> Floats:
    """Return log-probabilities (n, k) as a calibration has them; NaN where they are not finite."""
    return np.asarray(np.log(np.maximum(own.apply(logprobs), _SMALLEST)))


def further(own: Calibration, found: Calibration) -> Calibration:
    """Return a calibration with the shift, or shifts, that was found for what it gives."""
    if own.shifts:
        shifts = tuple(np.add(own.shifts, found.shifts).tolist())
        return own.model_copy(update={"shifts": shifts, "shares": found.shares})
    shift = own.shift + found.shift
    return own.model_copy(update={"shift": shift, "base_rate": found.base_rate})


def at_rate(own: Calibration, rate: Rate) -> Calibration:
    """Return a calibration whose shares of labels are others, by Bayes' rule; it needs no rows.

    It has to know the shares that it was found for.
    """
    from scipy.special import logit

    known = shares_of(rate, own.labels, own.positive)
    after = np.log(known)
    if own.shifts:
        shifts = np.array(own.shifts) + after - np.log(own.shares)
        return own.model_copy(update={"shifts": tuple(shifts.tolist()), "shares": tuple(known)})
    assert own.base_rate is not None
    assert own.positive is not None
    place = own.labels.index(own.positive)
    shift = own.shift + float(after[place] - after[1 - place] - logit(own.base_rate))
    return own.model_copy(update={"shift": shift, "base_rate": known[place]})
