"""The stack: what several approaches say of a customer, joined into one probability.

Knows probabilities (n, k) of approaches; knows nothing of prompts, models or columns. It learns
from what each approach said of rows that it had not seen, or the one that fits its own rows best
would be trusted most.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin

from promptpredict.approach import Approach, Probabilities, Prompted
from promptpredict.heads import Head, fit_head, spread
from promptpredict.records import Record, groups_of

Floats = npt.NDArray[np.float64]
LEAST = 1e-6  # a probability whose logarithm is still taken
FREE = 1e3  # a variance that holds nothing back
SEARCH = 512  # rows from which on the regularisation is chosen: with 64 and 256 it was chosen worse


class Corrected(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A logistic regression that adds to what is said already.

    The first k columns of its features (n, k + d) are log-probabilities of the k classes, with
    weight 1; what the others say for each class is added, and their weights are drawn to 0 by a
    normal prior (variance ``C``). Fitted with few rows it says what was said.
    """

    def __init__(self, C: float = 0.03) -> None:
        """Keep the parameter."""
        self.C = C

    def fit(self, X: Floats, y: npt.NDArray[np.intp]) -> Corrected:
        """Fit on features (n, k + d) and class numbers (n,), each of 0 to k - 1 among them."""
        from scipy.optimize import minimize

        self.classes_ = np.unique(y)
        said, others = self._parts(X)
        hit = np.eye(len(self.classes_))[y]  # (n, k)
        shape = (others.shape[1], hit.shape[1])
        penalty = np.full((shape[0], 1), self.C)
        penalty[-1] = FREE  # of the level, as of any intercept

        def loss(flat: Floats) -> tuple[float, Floats]:
            weights = flat.reshape(shape)
            logs = log_softmax(said + others @ weights, axis=1)
            slopes = others.T @ (np.exp(logs) - hit) + weights / penalty
            return float((weights**2 / penalty).sum() / 2 - logs[hit > 0].sum()), slopes.ravel()

        fit = minimize(loss, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B")
        self.weights_ = fit.x.reshape(shape)
        return self

    def predict_proba(self, X: Floats) -> Probabilities:
        """Return the probability of each class, (n, k)."""
        said, others = self._parts(X)
        return np.asarray(softmax(said + others @ self.weights_, axis=1))

    def predict(self, X: Floats) -> npt.NDArray[np.intp]:
        """Return the most probable class of each row, (n,)."""
        return np.asarray(self.classes_[self.predict_proba(X).argmax(axis=1)])

    def _parts(self, X: Floats) -> tuple[Floats, Floats]:
        classes = len(self.classes_)
        return X[:, :classes], np.hstack([X[:, classes:], np.ones((len(X), 1))])


class Stacker:
    """The mean of approaches' log-probabilities, and what labelled rows have against it.

    With few rows it stays near the mean; with more it learns whom to trust. Where fewer than two
    classes are left to learn from, it is the mean.
    """

    def fit(
        self,
        said: Sequence[Probabilities],
        y: npt.NDArray[np.intp],
        seed: int,
        groups: Sequence[str] | None = None,
    ) -> Stacker:
        """Fit on the probabilities (n, k) that each approach gave rows it had not seen.

        ``y`` (n,) are class numbers, ``groups`` (n,) those of the rows. Rows that an
        approach could not be held out of are left out.
        """
        rows = np.isfinite(np.concatenate(said, axis=1)).all(axis=1)
        self.held_out_ = np.full(said[0].shape, np.nan)
        self.classes_ = np.unique(y[rows])  # a class without a row is never predicted
        self.head_: Head | None = None
        if len(self.classes_) < 2:
            return self  # nothing to learn from
        strengths = (0.003, 0.03, 0.3, 3.0) if rows.sum() >= SEARCH else (0.03,)
        self.head_ = fit_head(
            _features([each[np.ix_(rows, self.classes_)] for each in said]),
            np.searchsorted(self.classes_, y[rows]),
            groups=None
            if groups is None
            else [groups[row] for row in np.flatnonzero(rows).tolist()],
            candidates=[Corrected(strength) for strength in strengths],
            default=Corrected(),
            classes=len(self.classes_),
            seed=seed,
        )
        self.held_out_[rows] = spread(self.head_.held_out, self.classes_, said[0].shape[1])
        return self

    def predict_proba(self, said: Sequence[Probabilities]) -> Probabilities:
        """Return probabilities (n, k) from those of each approach."""
        classes = said[0].shape[1]
        if self.head_ is None:
            return np.asarray(softmax(_features(said)[:, :classes], axis=1))
        features = _features([each[:, self.classes_] for each in said])
        return spread(self.head_.predict_proba(features), self.classes_, classes)


class StackClassifier(Approach):
    """Several approaches, and a stacker that joins them.

    ``members`` are approaches that are not fitted yet; their own ``prompt`` is what they read.
    """

    def __init__(
        self, prompt: Prompted = None, *, members: Sequence[Approach] = (), random_state: int = 0
    ) -> None:
        """Keep the parameters."""
        self.prompt = prompt
        self.members = members
        self.random_state = random_state

    def _fit(self, records: list[Record]) -> None:
        from sklearn.base import clone

        if not self.members:
            raise ValueError("a stack needs members")
        y = self.classes_[self.targets(records)]  # as given: text would sort 10 before 2
        self.members_ = [clone(member) for member in self.members]
        said = [member.cross_fit(records, y) for member in self.members_]
        self.stacker_ = Stacker().fit(
            said, self.targets(records), self.random_state, groups_of(records)
        )

    def _held_out(self, records: list[Record]) -> Probabilities:
        return self.stacker_.held_out_

    def predict_proba(self, X: Any) -> Probabilities:
        """Return the probability of each class, (n, k)."""
        records = self.records(X)
        return self.stacker_.predict_proba([each.predict_proba(records) for each in self.members_])


def _features(said: Sequence[Probabilities]) -> Floats:
    """Return the mean log-probabilities twice, and each approach's departure from them: (n, ...).

    First what is said, with a weight of 1; then what may be added to it, more or less of the same too.
    """
    logs = np.log(np.clip(np.stack(said), LEAST, 1.0))  # (approaches, n, k)
    logs -= logs.mean(axis=2, keepdims=True)
    mean = logs.mean(axis=0)
    return np.hstack([mean, mean, *(logs - mean)])
