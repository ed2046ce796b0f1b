"""Logistic regression on features of a language model or a sentence encoder.

Knows arrays and classes; knows nothing of where the features come from. Regularisation is chosen
by cross-validation inside the rows that are given, and only where they suffice for it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

MIN_ROWS = 64  # below, cross-validation of the regularisation costs more than it finds
MIN_PER_CLASS = 5
Floats = npt.NDArray[np.floating[Any]]


def fit_head(
    features: Floats,
    y: npt.NDArray[Any],
    *,
    strengths: tuple[float, ...],
    default: float,
    seed: int,
) -> Any:
    """Fit a logistic regression of ``y`` (n,) on ``features`` (n, d).

    The inverse regularisation C is the one of ``strengths`` with the least cross-validated log
    loss, or ``default`` with fewer than 64 rows or than 5 of a class.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedKFold
    from threadpoolctl import threadpool_limits

    model = LogisticRegression(C=default, max_iter=2000)
    least = np.unique(y, return_counts=True)[1].min()
    search = len(y) >= MIN_ROWS and least >= MIN_PER_CLASS
    if search:
        folds = StratifiedKFold(5, shuffle=True, random_state=seed)
        model = GridSearchCV(model, {"C": list(strengths)}, scoring="neg_log_loss", cv=folds)
    # So few numbers gain nothing from the threads of BLAS (.07 s with two, .06 s with one, for 256
    # x 577), and on busy cores they wait for one another: 2.5 s were seen instead of .15 s.
    with threadpool_limits(1, user_api="blas"):
        model.fit(features, y)
    return model.best_estimator_ if search else model


def spread(head: Any, features: Floats, classes: int) -> npt.NDArray[np.float64]:
    """Return the head's probabilities (n, classes): 0 for a class that its rows did not have."""
    probabilities = np.zeros((len(features), classes))
    probabilities[:, head.classes_] = head.predict_proba(features)
    return probabilities


class ProbeFeatures:
    """Hidden states, standardised, beside the label log-probabilities.

    The log-probabilities are scaled by √d, so that they weigh as much as the whole state: with few
    labels the zero-shot answer leads, with many the state corrects it.
    """

    def fit(self, hidden: Floats, logprobs: Floats) -> ProbeFeatures:
        """Take means and scales from hidden states (n, d) and label log-probabilities (n, k)."""
        odds = _odds(logprobs)
        self._hidden = hidden.mean(0), hidden.std(0) + 1e-6
        self._odds = odds.mean(0), (odds.std(0) + 1e-6) / np.sqrt(hidden.shape[1])
        return self

    def transform(self, hidden: Floats, logprobs: Floats) -> Floats:
        """Return the features (n, d + k), or (n, d + 1) for two labels."""
        odds = (_odds(logprobs) - self._odds[0]) / self._odds[1]
        return np.hstack([(hidden - self._hidden[0]) / self._hidden[1], odds]).astype(np.float64)


def _odds(logprobs: Floats) -> Floats:
    """Return one log-odds (n, 1) for two labels, centred log-probabilities (n, k) for more."""
    if logprobs.shape[1] == 2:
        return logprobs[:, :1] - logprobs[:, 1:]
    centred: Floats = logprobs - logprobs.mean(1, keepdims=True)
    return centred
