"""The approaches to an amount that need no language model: columns, words, embeddings, the median.

Knows scikit-learn's contract; knows nothing of language models, splits or metrics. Each is its
classifier's twin: the same features, and a regressor in place of the classifier.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from promptpredict.amount import AmountApproach
from promptpredict.amounts import COVERAGE, Floats, fit_amounts
from promptpredict.approach import Prompted
from promptpredict.baselines import encoder_of, texts_of, unit_scale, unusable
from promptpredict.binning import targets_of
from promptpredict.encoders import Embedder, SentenceEncoder
from promptpredict.errors import DataError
from promptpredict.heads import SOME_THOUSAND, logistic
from promptpredict.records import Record, groups_of
from promptpredict.terms import Words


class MedianRegressor(AmountApproach):
    """The median of the training amounts for everybody, and the interval of their own quantiles."""

    def __init__(self, prompt: Prompted = None) -> None:
        """Keep the parameter."""
        self.prompt = prompt

    def _fit(self, records: list[Record]) -> None:
        y, tail = targets_of(records), (1 - COVERAGE) / 2
        self.same_ = np.quantile(y, [0.5, tail, 1 - tail], method="weibull")

    def _held_out(self, records: list[Record]) -> Floats:
        return np.tile(self.same_, (len(records), 1))

    def predict_interval(self, X: Any) -> Floats:
        """Return the same median and interval (n, 3) in every row."""
        rows = len(self.records(X))
        return np.tile(self.same_, (rows, 1))


class StructuredRegressor(AmountApproach):
    """The structured columns that a prompt shows, encoded, and a regressor that reads no text.

    ``kind`` is ``"linear"``, a ridge regression, or ``"trees"``, boosted trees. Raises DataError
    where a prompt shows no such column.
    """

    def __init__(
        self,
        prompt: Prompted = None,
        *,
        kind: Literal["linear", "trees"] = "linear",
        random_state: int = 0,
    ) -> None:
        """Keep the parameters."""
        self.prompt = prompt
        self.kind = kind
        self.random_state = random_state

    def _fit(self, records: list[Record]) -> None:
        if self.kind not in ("linear", "trees"):
            raise ValueError(f"kind is 'linear' or 'trees', not {self.kind!r}")
        self.encoder_ = encoder_of(self.prompt_file_, records)
        strengths = (1.0, 3.0, 10.0, 30.0, 100.0)
        linear = self.kind == "linear"
        seed = self.random_state
        candidates = ridges(strengths) if linear else _trees(len(records), seed)
        self.head_ = fit_amounts(
            self._features(records),
            targets_of(records),
            candidates=candidates,
            default=ridges((10.0,))[0] if linear else candidates[0],
            zeros=logistic((0.1,))[0] if linear else _zero_trees(seed),
            groups=groups_of(records),
            seed=seed,
        )

    def _features(self, records: Sequence[Record]) -> Any:
        return self.encoder_.transform(records)


class TextRegressor(AmountApproach):
    """TF-IDF of the words and pairs of words that customers wrote, and ridge regression.

    Raises DataError where a prompt file shows no text column.
    """

    def __init__(self, prompt: Prompted = None, *, random_state: int = 0) -> None:
        """Keep the parameters."""
        self.prompt = prompt
        self.random_state = random_state

    def _fit(self, records: list[Record]) -> None:
        fault = unusable("text", self.prompt_file_, list(records[0].values))
        if fault and self.prompt is not None:
            raise DataError(fault)
        self.words_ = Words().fit(texts_of(self.prompt_file_, records))
        self.head_ = fit_amounts(
            self._features(records),
            targets_of(records),
            candidates=ridges((0.3, 1.0, 3.0, 10.0)),
            default=ridges((1.0,))[0],
            zeros=logistic((3.0,))[0],
            groups=groups_of(records),
            seed=self.random_state,
        )

    def _features(self, records: Sequence[Record]) -> Any:
        return self.words_(texts_of(self.prompt_file_, records))


class EmbeddingRegressor(AmountApproach):
    """Sentence embedding of the rendered customer, and ridge regression."""

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

    def _fit(self, records: list[Record]) -> None:
        self.embedder_ = Embedder.of(self.encoder)
        self.head_ = fit_amounts(
            self._features(records),
            targets_of(records),
            candidates=ridges((0.03, 0.1, 0.3, 1.0, 3.0)),
            default=ridges((1.0,))[0],
            zeros=logistic((1.0,))[0],
            groups=groups_of(records),
            seed=self.random_state,
        )

    def _features(self, records: Sequence[Record]) -> Floats:
        texts = [self.prompt_file_.render_customer(record) for record in records]
        return self.embedder_(texts).astype(np.float64)


class FusionRegressor(AmountApproach):
    """Sentence embedding of what customers wrote, next to the encoded columns: one ridge regression.

    Each of the two has a total variance of 1. Without a text column the rendered customer is embedded.
    Raises DataError where a prompt shows no structured column.
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

    def _fit(self, records: list[Record]) -> None:
        self.encoder_ = encoder_of(self.prompt_file_, records)
        self.embedder_ = Embedder.of(self.encoder)
        self.scales_ = tuple(unit_scale(block) for block in self._blocks(records))
        self.head_ = fit_amounts(
            self._features(records),
            targets_of(records),
            candidates=ridges((0.03, 0.1, 0.3, 1.0, 3.0)),
            default=ridges((0.3,))[0],
            zeros=logistic((10.0,))[0],
            groups=groups_of(records),
            seed=self.random_state,
        )

    def _blocks(self, records: Sequence[Record]) -> tuple[Floats, Floats]:
        texts = texts_of(self.prompt_file_, records)
        return self.encoder_.transform(records), self.embedder_(texts).astype(np.float64)

    def _features(self, records: Sequence[Record]) -> Floats:
        blocks = zip(self._blocks(records), self.scales_, strict=True)
        return np.hstack([block * scale for block, scale in blocks])


def ridges(strengths: Sequence[float]) -> list[Any]:
    """Return ridge regressions with these penalties, on features of which no column is constant."""
    from sklearn.linear_model import Ridge

    return [Ridge(alpha=strength) for strength in strengths]


def _trees(rows: int, seed: int) -> list[Any]:
    """Return boosted trees for so many rows, the default first; small and slow, as few rows need."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    sizes = [(2, 100, 2), (3, 200, 5), (4, 300, 10)]  # depth, rounds, rows in a leaf
    if rows >= SOME_THOUSAND:
        sizes.append((6, 300, 20))
    return [
        HistGradientBoostingRegressor(
            max_depth=depth,
            max_iter=rounds,
            min_samples_leaf=leaf,
            learning_rate=0.07,
            l2_regularization=1.0,
            max_features=0.5,
            early_stopping=False,
            random_state=seed,
        )
        for depth, rounds, leaf in sizes
    ]


def _zero_trees(seed: int) -> Any:
    from promptpredict.heads import trees

    return trees(0, seed)[0]
