"""The classifiers that read an embedding beside encoded columns: a line, trees, a neural network.

Knows features whose first columns are one block and whose others are another; knows nothing of
where they come from. What a head reduces or weighs, it takes from the rows of its fit alone.
"""

from __future__ import annotations

import warnings
from typing import Any, Literal, Self, get_args

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from promptpredict.heads import blocks, trees

Floats = npt.NDArray[np.float64]
FusionHead = Literal["linear", "trees", "mlp"]
COMPONENTS = 16  # of an embedding, for trees: among all 384 they find less, in four times as long
NEURONS = 16
MOST_STEPS = 30  # with 60 or 200 a network of few rows is no better, and takes longer
SIZE = 5.0  # of what goes into a network, or its weights would have to grow against their penalty


def check_head(head: str) -> None:
    """Raise ValueError for a head that there is not."""
    if head not in get_args(FusionHead):
        raise ValueError(f"head is 'linear', 'trees' or 'mlp', not {head!r}")


def fusion_heads(head: FusionHead, *, width: int, rows: int, seed: int) -> tuple[Any, list[Any]]:
    """Return the classifier for few rows, and the candidates where rows suffice to choose.

    Their features (n, width + d) are columns, then an embedding; either has a total variance of 1.
    """
    if head == "trees":
        default, *candidates = [_on_components(tree, width) for tree in trees(rows, seed)]
        return default, candidates
    if head == "mlp":
        return network(width=width, weight=2.0, penalty=10.0, seed=seed), [
            network(width=width, weight=weight, penalty=penalty, seed=seed)
            for weight in (1.0, 3.0)
            for penalty in (10.0, 30.0)
        ]
    return blocks(width=width, weight=1.0, strength=10.0), [
        blocks(width=width, weight=weight, strength=strength)
        for weight in (0.5, 1.0, 2.0)
        for strength in (1.0, 10.0, 100.0)
    ]


class Reduced(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """The first ``width`` columns as they are, the others by their first principal components."""

    def __init__(self, width: int, components: int = COMPONENTS) -> None:
        """Keep the parameters."""
        self.width = width
        self.components = components

    def fit(self, X: Floats, y: Any = None) -> Self:
        """Find the components of features (n, width + d), as many as n rows can have at most."""
        from sklearn.decomposition import PCA

        others = X[:, self.width :]
        most = max(1, min(self.components, len(others) - 1, others.shape[1]))
        with np.errstate(invalid="ignore"):  # of texts that are all the same, 0 is shared out
            self.components_ = PCA(most, random_state=0).fit(others)
        return self

    def transform(self, X: Floats) -> Floats:
        """Return the features (n, width + components)."""
        return np.hstack([X[:, : self.width], self.components_.transform(X[:, self.width :])])


def network(*, width: int, weight: float, penalty: float, seed: int) -> Any:
    """Return a small neural network that weighs the columns from ``width`` on by ``weight``.

    It has one hidden layer and is fitted whole, by L-BFGS: rows are few, so there are no batches
    that a learning rate would have to suit, and none is held back to stop early.
    """
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    return make_pipeline(
        FunctionTransformer(_sized, kw_args={"width": width, "weight": weight}),
        Network((NEURONS,), solver="lbfgs", alpha=penalty, max_iter=MOST_STEPS, random_state=seed),
    )


class Network(MLPClassifier):  # type: ignore[misc]
    """A neural network whose steps are counted out: to stop there is no fault to be warned of."""

    def fit(self, X: Floats, y: npt.NDArray[Any]) -> Self:
        """Fit on features (n, d) and classes (n,)."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            super().fit(X, y)
        return self


def _sized(features: Floats, *, width: int, weight: float) -> Floats:
    return np.hstack([features[:, :width], features[:, width:] * weight]) * SIZE


def _on_components(tree: Any, width: int) -> Any:
    from sklearn.pipeline import make_pipeline

    return make_pipeline(Reduced(width), tree)
