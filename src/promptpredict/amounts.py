"""Amounts from features: what is expected of a row, and between what it lies, with many zeros or none.

Knows arrays; knows nothing of where the features come from. A skewed amount is fitted as log(1 + y).
What a row may be is its fitted value and the errors of rows that a fit has not seen (their
own distribution, as in conformal prediction); many zeros are a part of their own (a hurdle model).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from promptpredict.heads import stratified

COVERAGE = 0.8  # of the interval: its ends are the quantiles .1 and .9
MANY_ZEROS = 0.1  # share of zeros from which they are a part of their own
MIN_FOLDED = 4  # rows from which fits are tried on rows that they have not seen
SKEWED = 1.0  # skewness from which an amount is fitted as its logarithm
_FOLDS = 5
_FEW = 32  # rows up to which each is held out by itself: a fit on four fifths of them errs more
_ATOMS = 200  # errors that are kept, quantiles of them where there are more
_CELLS = 4_000_000  # rows x errors at once: 32 MB
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scale:
    """How amounts are fitted: as they are or as log(1 + y), with mean 0 and deviation 1.

    ``low`` is the least amount there can be: 0 where no training row is below it.
    """

    logged: bool
    mean: float
    sd: float
    low: float

    @classmethod
    def of(cls, y: Floats, *, low: float) -> Scale:
        """Return the scale of the amounts ``y`` (n,), none of them below ``low``."""
        spread = float(y.std())
        skew = float(np.mean((y - y.mean()) ** 3)) / spread**3 if spread > 0 else 0.0
        logged = low == 0 and skew > SKEWED
        z = np.log1p(y) if logged else y
        return cls(logged, float(z.mean()), float(z.std()) or 1.0, low)

    def fitted(self, y: Floats) -> Floats:
        """Return amounts as they are fitted."""
        return ((np.log1p(y) if self.logged else y) - self.mean) / self.sd

    def amounts(self, z: Floats) -> Floats:
        """Return the amounts of fitted values."""
        y = z * self.sd + self.mean
        return np.maximum(np.expm1(np.minimum(y, 700.0)) if self.logged else y, self.low)


@dataclass(frozen=True)
class AmountHead:
    """A fitted amount: its regressor, the errors (m,) on rows not seen, and what tells zeros.

    ``held_out`` (n, 3) is what ``predict`` gives, for its own rows by fits without them; NaN where
    there were too few. ``positive`` is a classifier, or a share, or 1 where zeros are nothing special.
    """

    model: Any
    scale: Scale
    errors: Floats
    positive: Any
    held_out: Floats

    def predict(self, features: Any) -> Floats:
        """Return what is expected of each row, and the ends of its 80 % interval: (n, 3)."""
        z = np.asarray(self.model.predict(features), dtype=np.float64)
        return spread_out(z, _positive(self.positive, features), self.errors, self.scale)


def fit_amounts(
    features: Any,
    y: npt.ArrayLike,
    *,
    candidates: Sequence[Any],
    default: Any,
    zeros: Any,
    groups: Sequence[str] | None = None,
    seed: int = 0,
    least: int = 64,
) -> AmountHead:
    """Fit regressors of scikit-learn on features (n, d) and amounts ``y`` (n,).

    The one of ``candidates`` with the least cross-validated squared error (on the fitted scale) is
    taken, or ``default`` with fewer than ``least`` rows. ``zeros`` is a classifier for whether an
    amount is above zero, fitted where a tenth or more are zero. Rows of one of ``groups`` stand on one
    side of every fold.
    """
    from sklearn.base import clone

    y = np.asarray(y, dtype=np.float64)
    above = y > 0
    hurdle = many_zeros(y) and min(int(above.sum()), int((~above).sum())) >= 2
    part = np.flatnonzero(above) if hurdle else np.arange(len(y))
    scale = Scale.of(y[part], low=0.0 if y.min() >= 0 else -np.inf)
    z = scale.fitted(y[part])
    own = features[part]
    groups_of_part = None if groups is None else [groups[row] for row in part.tolist()]
    folds = _folds(len(part), groups_of_part, seed)
    among = candidates if folds and len(y) >= least else [default]
    tried = [(each, _unseen(each, own, z, folds)) for each in among]
    best, seen = min(tried, key=lambda each: _loss(each[1], z))
    model = clone(best).fit(own, z)
    # Too few rows to hold any out: what rows are apart from their mean is all that is known.
    apart = z - seen if folds else z - z.mean()
    errors = _thinned(apart * (_seen_share(folds) if folds else 1.0))
    held_out = np.full((len(y), 3), np.nan)
    positive, unseen = 1.0, np.ones(len(y))
    if hurdle:
        positive, unseen = _fit_positive(zeros, features, above, groups, seed)
    if folds:
        whole = np.full(len(y), np.nan)
        whole[part] = seen
        if hurdle:
            # Of zeros no fit of the positive ones has seen the row, but of its group one may.
            whole[~above] = model.predict(features[~above])
            for others, rows in _zeros_apart(folds, part, groups):
                whole[rows] = clone(best).fit(own[others], z[others]).predict(features[rows])
        held_out = spread_out(whole, unseen, _thinned(apart), scale)
    return AmountHead(model, scale, errors, positive, held_out)


def many_zeros(y: Floats) -> bool:
    """Whether zeros are a part of their own among amounts (n,), none of which is below zero."""
    return bool(len(y)) and float(y.min()) == 0 and float(np.mean(y == 0)) >= MANY_ZEROS


def spread_out(z: Floats, positive: Floats, errors: Floats, scale: Scale) -> Floats:
    """Return expectation, lower and upper end (n, 3) of fitted values (n,) and the errors (m,) around them.

    ``positive`` (n,) is the probability that an amount is above zero. The ends are quantiles of
    m errors among m + 1, so that a new row's lies between them as often as is said.
    """
    found = np.empty((len(z), 3))
    tail = (1 - COVERAGE) / 2
    size = max(1, _CELLS // max(len(errors), 1))
    for start in range(0, len(z), size):
        rows = slice(start, start + size)
        each = np.sort(z[rows, None] + errors, axis=1)  # (rows, m)
        share = positive[rows]
        found[rows, 0] = share * scale.amounts(each).mean(axis=1)
        for column, level in ((1, tail), (2, 1 - tail)):
            # The zeros are the lowest part of what a row may be.
            inside = np.clip((level - (1 - share)) / np.maximum(share, 1e-12), 0, 1)
            # Between two errors on their own scale: of amounts the middle of a wide gap is too far out.
            end = scale.amounts(_at(each, inside))
            found[rows, column] = np.where(level > 1 - share, end, 0.0)
    return found


def from_bins(probabilities: Floats, edges: Sequence[float]) -> Floats:
    """Return expectation, lower and upper end (n, 3) of probabilities (n, k) of bins between ``edges``.

    Inside a bin every amount is as likely as any other.
    """
    marks = np.asarray(edges, dtype=np.float64)
    tail = (1 - COVERAGE) / 2
    found = np.empty((len(probabilities), 3))
    found[:, 0] = probabilities @ ((marks[:-1] + marks[1:]) / 2)
    below = np.hstack([np.zeros((len(probabilities), 1)), probabilities.cumsum(axis=1)])
    for column, level in ((1, tail), (2, 1 - tail)):
        found[:, column] = [np.interp(level, own, marks) for own in below]
    return found


def _at(ascending: Floats, share: Floats) -> Floats:
    """Return the quantile ``share`` (n,) of each row of values (n, m) among m + 1 places."""
    count = ascending.shape[1]
    place = np.clip(share * (count + 1) - 1, 0, count - 1)
    low = np.floor(place).astype(np.intp)
    high = np.minimum(low + 1, count - 1)
    rows = np.arange(len(ascending))
    part = place - low
    mixed: Floats = ascending[rows, low] * (1 - part) + ascending[rows, high] * part
    return mixed


def _unseen(model: Any, features: Any, z: Floats, folds: Any) -> Floats:
    """Return fitted values (n,) by fits that have not seen the row; the mean without folds."""
    from sklearn.model_selection import cross_val_predict

    if not folds:
        return np.full(len(z), z.mean())
    return np.asarray(cross_val_predict(model, features, z, cv=folds), dtype=np.float64)


def _loss(seen: Floats, z: Floats) -> float:
    return float(np.mean((seen - z) ** 2))


def _folds(rows: int, groups: Sequence[str] | None, seed: int) -> Any:
    """Return 5 folds, or one a row where there are few, the rows of a group on one side.

    None where there are too few rows.
    """
    from sklearn.model_selection import GroupKFold, KFold

    units = rows if groups is None else len(set(groups))
    most = units if rows <= _FEW else min(_FOLDS, units)
    if rows < MIN_FOLDED or most < 2:
        return None
    if groups is None:
        return list(KFold(most, shuffle=True, random_state=seed).split(np.zeros(rows)))
    return list(GroupKFold(most).split(np.zeros(rows), groups=groups))


def _zeros_apart(
    folds: Any, part: npt.NDArray[np.intp], groups: Sequence[str] | None
) -> Iterator[tuple[npt.NDArray[np.intp], list[int]]]:
    """Yield of each fold of the rows ``part`` those to fit on, and the other rows of the groups held out."""
    if groups is None:
        return
    zeros = np.setdiff1d(np.arange(len(groups)), part).tolist()
    for others, held in folds:
        theirs = {groups[row] for row in part[held].tolist()}
        if rows := [row for row in zeros if groups[row] in theirs]:
            yield others, rows


def _seen_share(folds: Any) -> float:
    """Return by how much errors of rows not seen are too far from a fit that has seen them.

    A row y is y - m from the mean m of r others, and (y - m) r / (r + 1) from the mean of all r + 1. An
    interval around a fit to all rows of errors from fits to r is so much too wide: with 16 rows, 80 %
    would hold 84 (Barber et al. 2021, Predictive inference with the jackknife+, who take the fits to r).
    """
    rows = len(folds[0][0])
    return rows / (rows + 1)


def _fit_positive(
    zeros: Any,
    features: Any,
    above: npt.NDArray[np.bool_],
    groups: Sequence[str] | None,
    seed: int,
) -> tuple[Any, Floats]:
    """Return a classifier for amounts above zero, and its probabilities (n,) for rows not seen.

    The share of such amounts in its place, where rows cannot be held out.
    """
    from sklearn.base import clone
    from sklearn.model_selection import cross_val_predict

    share = float(above.mean())
    same = np.full(len(above), share)
    folds = stratified(above.astype(np.intp), seed, groups)
    if folds is None:
        return share, same
    unseen = cross_val_predict(zeros, features, above, cv=folds, method="predict_proba")[:, 1]
    # One that tells rows that it has not seen no better than their share does is not used.
    if _deviance(unseen, above) >= _deviance(same, above):
        return share, same
    return clone(zeros).fit(features, above), np.asarray(unseen, dtype=np.float64)


def _deviance(share: Floats, above: npt.NDArray[np.bool_]) -> float:
    own = np.clip(np.where(above, share, 1 - share), 1e-9, 1)
    return float(-np.log(own).mean())


def _positive(positive: Any, features: Any) -> Floats:
    if isinstance(positive, float):
        return np.full(features.shape[0], positive)
    return np.asarray(positive.predict_proba(features)[:, 1], dtype=np.float64)


def _thinned(errors: Floats) -> Floats:
    if len(errors) <= _ATOMS:
        return np.sort(errors)
    return np.asarray(np.quantile(errors, (np.arange(_ATOMS) + 0.5) / _ATOMS))
