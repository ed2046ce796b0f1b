"""A logistic regression that begins with what is believed before the first label.

Knows arrays and classes; knows nothing of language models. The belief is data: made-up rows that
weigh as much as a few labelled ones (a data augmentation prior: Bedrick, Christensen and Johnson
1996). Four labelled customers can contradict the zero-shot answer by chance; a thousand outvote it.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression

WEIGHT = 2.0  # labelled rows that a belief counts as, all its rows together
Floats = npt.NDArray[np.floating[Any]]


class InformedLogistic(LogisticRegression):  # type: ignore[misc]
    """Logistic regression with a believed row (k, d) for each of k classes.

    Together they weigh two labelled rows, each in the share that its class has among the labels,
    so that they say which way a feature points and nothing of how frequent a class is.
    """

    def __init__(self, C: float = 1.0, *, believed: Floats, max_iter: int = 2000) -> None:
        """Keep the parameters."""
        super().__init__(C=C, max_iter=max_iter)
        self.believed = believed

    def fit(self, X: Any, y: npt.NDArray[np.intp]) -> Self:
        """Fit on features (n, d) and class numbers (n,); a class without a label has no row."""
        counts = np.bincount(y, minlength=len(self.believed))
        known = np.flatnonzero(counts)
        super().fit(
            np.vstack([X, self.believed[known]]),
            np.concatenate([y, known]),
            sample_weight=np.concatenate([np.ones(len(y)), WEIGHT * counts[known] / len(y)]),
        )
        return self


def informed(strengths: tuple[float, ...], believed: Floats) -> list[Any]:
    """Return logistic regressions with these inverse regularisations C and one belief."""
    return [InformedLogistic(C=strength, believed=believed) for strength in strengths]
