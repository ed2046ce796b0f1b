"""The approaches that need no language model: sentence embeddings, and the base rate.

Knows scikit-learn's contract; knows nothing of language models, splits or metrics.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from promptpredict.approach import Approach, Probabilities, Prompted
from promptpredict.encoders import Embedder, SentenceEncoder
from promptpredict.heads import fit_head, spread
from promptpredict.records import Record


class EmbeddingClassifier(Approach):
    """Sentence embedding of the rendered customer, and logistic regression.

    ``encoder`` is a short name, a folder, a hub id, or any object with ``encode``. After a
    fit or a prediction, ``embedder_.truncated`` counts the texts that the encoder cut.
    """

    def __init__(
        self,
        prompt: Prompted = None,
        *,
        encoder: str | SentenceEncoder | Embedder = "minilm",
        random_state: int = 0,
    ) -> None:
        """Keep the parameters."""
        self.prompt = prompt
        self.encoder = encoder
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> EmbeddingClassifier:
        """Fit the logistic regression on the embeddings of the rows."""
        records = self.begin(X, y)
        self.embedder_ = Embedder.of(self.encoder)
        self.head_ = fit_head(
            self._vectors(records),
            self.targets(records),
            strengths=(0.1, 1.0, 10.0, 100.0, 1000.0),
            default=1.0,
            seed=self.random_state,
        )
        return self

    def predict_proba(self, X: Any) -> Probabilities:
        """Return the probability of each class, (n, k)."""
        vectors = self._vectors(self.records(X))
        return spread(self.head_, vectors, len(self.classes_))

    def _vectors(self, records: Sequence[Record]) -> npt.NDArray[np.float64]:
        texts = [self.prompt_file_.render_customer(record) for record in records]
        return self.embedder_(texts).astype(np.float64)


class PriorClassifier(Approach):
    """The share of each class in the training rows, for everybody."""

    def __init__(self, prompt: Prompted = None) -> None:
        """Keep the parameter."""
        self.prompt = prompt

    def fit(self, X: Any, y: Any) -> PriorClassifier:
        """Count the classes."""
        targets = self.targets(self.begin(X, y))
        self.shares_ = np.bincount(targets, minlength=len(self.classes_)) / len(targets)
        return self

    def predict_proba(self, X: Any) -> Probabilities:
        """Return the same probabilities (n, k) in every row."""
        rows = len(self.records(X))
        return np.tile(self.shares_, (rows, 1))
