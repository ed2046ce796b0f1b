"""Classifiers on features: which of a few candidates, and what each row is given without itself.

Knows arrays and classes; knows nothing of where the features come from. Candidates differ in
their regularisation; they are compared by cross-validation inside the rows that are given, and
only where these suffice for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

MIN_ROWS = 64  # below, cross-validation of the regularisation costs more than it finds
MIN_PER_CLASS = 5
FOLDS = 5
SOME_THOUSAND = 2000  # from here on deeper trees may pay for their time
MANY_ROWS = 5000  # from here on threads are worth their waiting for one another
Floats = npt.NDArray[np.floating[Any]]
Folds = list[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]


@dataclass(frozen=True, slots=True)
class Head:
    """A fitted classifier, and the probabilities (n, k) of its own rows by fits without them.

    ``held_out`` is NaN where a class has a single row.
    """

    model: Any
    held_out: npt.NDArray[np.float64]

    def predict_proba(self, features: Any) -> npt.NDArray[np.float64]:
        """Return the probability of each class (n, k): 0 for a class that its rows did not have."""
        return spread(self.model.predict_proba(features), self.model.classes_, self.classes)

    @property
    def classes(self) -> int:
        """Return how many classes there are."""
        return int(self.held_out.shape[1])


def fit_head(
    features: Any,
    y: npt.NDArray[np.intp],
    *,
    groups: Sequence[str] | None = None,
    candidates: Sequence[Any],
    default: Any,
    classes: int,
    seed: int,
) -> Head:
    """Fit classifiers of scikit-learn on features (n, d) and class numbers ``y`` (n,).

    Rows of one of ``groups`` (n,) stand on one side of every fold. The one of ``candidates`` with
    the least cross-validated log loss is taken, or ``default`` with fewer than 64 rows or than 5
    of a class. What cross-validation gave the rows is kept.
    """
    from sklearn.base import clone
    from sklearn.metrics import log_loss
    from threadpoolctl import threadpool_limits

    least = np.unique(y, return_counts=True)[1].min()
    search = len(y) >= MIN_ROWS and least >= MIN_PER_CLASS
    # So few numbers gain nothing from the threads of BLAS (.07 s with two, .06 s with one, for 256
    # x 577), and on busy cores they wait for one another: 2.5 s were seen instead of .15 s.
    folds = stratified(y, seed, groups)
    search = search and folds is not None
    with threadpool_limits(1 if len(y) < MANY_ROWS else None):
        tried = [
            (each, cross_fitted(each, features, y, folds, classes=classes))
            for each in (candidates if search else [default])
        ]
        best, held_out = tried[0]
        if search:
            present = np.unique(y)
            losses = [log_loss(y, held[:, present], labels=present) for _, held in tried]
            best, held_out = tried[int(np.argmin(losses))]
        return Head(clone(best).fit(features, y), held_out)


def cross_fitted(
    model: Any, features: Any, y: npt.NDArray[np.intp], folds: Folds | None, *, classes: int
) -> npt.NDArray[np.float64]:
    """Return the probabilities (n, classes) of rows by fits that have not seen them.

    NaN where there are no folds. A fold whose other rows have
    more of a class than all rows have gives it too much, just where it has fewer itself: pooled
    over folds, a good ranking of 16 rows looks like chance (embedding, telecom_nps_verbatims: .63
    held out, .81 on test rows). So each fold is moved to the shares of all rows.
    """
    from sklearn.model_selection import cross_val_predict

    if folds is None:
        return np.full((len(y), classes), np.nan)
    found = cross_val_predict(model, features, y, cv=folds, method="predict_proba")
    said = spread(found, np.unique(y), classes)
    for others, held in folds:
        said[held] = moved(said[held], shares(y[others], classes), shares(y, classes))
    return said


def shares(y: npt.NDArray[np.intp], classes: int) -> npt.NDArray[np.float64]:
    """Return the share (classes,) of each class number among ``y``."""
    return np.bincount(y, minlength=classes) / len(y)


def moved(
    probabilities: npt.NDArray[np.float64],
    before: npt.NDArray[np.float64],
    after: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Move probabilities (n, k), learned where classes have the shares ``before``, to ``after``."""
    weights = np.divide(after, before, out=np.zeros_like(before), where=before > 0)
    weighted = probabilities * weights
    result: npt.NDArray[np.float64] = weighted / weighted.sum(axis=1, keepdims=True)
    return result


def stratified(
    y: npt.NDArray[np.intp], seed: int, groups: Sequence[str] | None = None
) -> Folds | None:
    """Return at most 5 stratified folds: the rows to fit on, and the rows held out, of each.

    Rows of one of ``groups`` (n,) stand on one side of every fold. None where a class has a single
    row, or none outside of a fold.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    counts = np.unique(y, return_counts=True)[1]
    most = min(FOLDS, int(counts.min()), len(y if groups is None else set(groups)))
    if most < 2:
        return None
    kind = StratifiedKFold if groups is None else StratifiedGroupKFold
    folds = list(kind(most, shuffle=True, random_state=seed).split(y, y, groups))
    whole = all(len(np.unique(y[others])) == len(counts) and len(held) for others, held in folds)
    return folds if whole else None


def logistic(strengths: Sequence[float]) -> list[Any]:
    """Return logistic regressions with these inverse regularisations C."""
    from sklearn.linear_model import LogisticRegression

    return [LogisticRegression(C=strength, max_iter=2000) for strength in strengths]


def blocks(*, width: int, weight: float, strength: float) -> Any:
    """Return a logistic regression that weighs the columns from ``width`` on by ``weight``."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    given = {"width": width, "weight": weight}
    return make_pipeline(FunctionTransformer(_weighed, kw_args=given), *logistic((strength,)))


def _weighed(features: Floats, *, width: int, weight: float) -> Floats:
    return np.hstack([features[:, :width], features[:, width:] * weight])


def trees(rows: int, seed: int) -> list[Any]:
    """Return boosted trees for so many rows, the default first, for where there are few.

    Scikit-learn's own defaults find nothing in 16 rows (a leaf needs 20) and too much in 256: 31
    leaves a tree, and no penalty. These are shallow and slow, and look at a quarter of the columns.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    sizes = [(2, 100, 2), (2, 60, 2), (2, 200, 5), (3, 200, 5)]  # depth, rounds, rows in a leaf
    if rows >= SOME_THOUSAND:
        sizes[1] = (5, 300, 20)
    return [
        HistGradientBoostingClassifier(
            max_depth=depth,
            max_iter=rounds,
            min_samples_leaf=leaf,
            learning_rate=0.05,
            l2_regularization=5.0,
            max_features=0.25,
            early_stopping=False,  # it would take a tenth of the rows away
            random_state=seed,
        )
        for depth, rounds, leaf in sizes
    ]


def spread(probabilities: Any, places: npt.ArrayLike, classes: int) -> npt.NDArray[np.float64]:
    """Put columns of probabilities (n, k) at their places among more classes; 0 elsewhere."""
    found = np.zeros((len(probabilities), classes))
    found[:, np.asarray(places, dtype=np.intp)] = probabilities
    return found


class ProbeFeatures:
    """Hidden states, standardised, beside the label log-probabilities.

    The log-probabilities are scaled by √d, so that they weigh as much as the whole state: with few
    labels the zero-shot answer leads, with many the state corrects it.
    """

    def fit(self, hidden: Floats, logprobs: Floats) -> ProbeFeatures:
        """Take means and scales from hidden states (n, d) and label log-probabilities (n, k)."""
        odds = _answer(logprobs)
        self._hidden = hidden.mean(0), hidden.std(0) + 1e-6
        self._odds = odds.mean(0), (odds.std(0) + 1e-6) / np.sqrt(hidden.shape[1])
        return self

    def transform(self, hidden: Floats, logprobs: Floats) -> Floats:
        """Return the features (n, d + k), or (n, d + 1) for two labels."""
        odds = (_answer(logprobs) - self._odds[0]) / self._odds[1]
        return np.hstack([(hidden - self._hidden[0]) / self._hidden[1], odds]).astype(np.float64)

    def believed(self, places: Sequence[int]) -> Floats:
        """Return what the zero-shot answer looks like for each class, as features.

        One standard deviation towards the class in the log-odds, and a mean state. ``places`` are
        those of the classes among the labels, of which there may be more.
        """
        width, labels = len(self._hidden[0]), max(2, len(self._odds[0]))
        towards = (labels * np.eye(labels) - 1) / (labels - 1)  # (k, k)
        odds = towards[list(places), : 1 if labels == 2 else labels] * np.sqrt(width)
        return np.hstack([np.zeros((len(places), width)), odds])


def _answer(logprobs: Floats) -> Floats:
    """Return the zero-shot answer: log-odds (n, 1) of two labels, centred log-probabilities (n, k) of more."""
    if logprobs.shape[1] == 2:
        return logprobs[:, :1] - logprobs[:, 1:]
    centred: Floats = logprobs - logprobs.mean(1, keepdims=True)
    return centred
