"""The approaches that need no language model: columns, words, sentence embeddings, the base rate.

Knows scikit-learn's contract; knows nothing of language models, splits or metrics.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from promptpredict.approach import Approach, Probabilities, Prompted
from promptpredict.columns import ColumnEncoder, shown_columns, shown_texts
from promptpredict.encoders import Embedder, SentenceEncoder
from promptpredict.errors import DataError
from promptpredict.fusing import FusionHead, check_head, fusion_heads
from promptpredict.heads import fit_head, logistic, shares, trees
from promptpredict.pooling import Pooling
from promptpredict.prompt import PromptFile
from promptpredict.records import Record, groups_of
from promptpredict.terms import Words

Floats = npt.NDArray[np.float64]


def unusable(approach: str, prompt_file: PromptFile, columns: Sequence[str]) -> str | None:
    """Return why an approach cannot be run on records of these columns; None where it can."""
    texts = bool(shown_texts(prompt_file))
    structured = bool(shown_columns(prompt_file, columns))
    if approach == "text" and not texts:
        return (
            f"{prompt_file.name} has no text column that a block shows; possible: text: [COLUMN] "
            "in its front matter, and {{ customer.COLUMN }} in a block"
        )
    if approach.startswith(("structured", "fusion")) and not structured:
        return (
            f"{prompt_file.name} shows no column besides its id and its text; possible: "
            "customer.fields in a block, or {{ customer.COLUMN }}"
        )
    return None


class StructuredClassifier(Approach):
    """The structured columns that a prompt shows, encoded, and a classifier that reads no text.

    ``kind`` is ``"linear"``, a logistic regression, or ``"trees"``, boosted trees that are small
    and slow enough for few rows. Raises DataError where a prompt shows no such column.
    """

    reads = ("field",)

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
        seed = self.random_state
        linear = self.kind == "linear"
        default, *candidates = (
            logistic((0.1, 0.03, 0.1, 0.3, 1.0, 10.0)) if linear else trees(len(records), seed)
        )
        # The encoder has read all training rows, so cross-validation inside them sees the scales
        # and the categories of a fold that it tests. None of these knows a label, and encoding
        # each fold by itself would encode the rows 5 times for each candidate.
        self.head_ = fit_head(
            self.encoder_.transform(records),
            self.targets(records),
            groups=groups_of(records),
            candidates=candidates,
            default=default,
            classes=len(self.classes_),
            seed=seed,
        )

    def predict_proba(self, X: Any) -> Probabilities:
        """Return the probability of each class, (n, k)."""
        records = self.records(X)
        return self.head_.predict_proba(self.encoder_.transform(records))


class TextClassifier(Approach):
    """TF-IDF of the words and pairs of words that customers wrote, and logistic regression.

    Reads the text columns that a prompt shows. Raises DataError where there is none; without a
    prompt file it reads the customer as a language model would.
    """

    reads = ("text",)

    def __init__(self, prompt: Prompted = None, *, random_state: int = 0) -> None:
        """Keep the parameters."""
        self.prompt = prompt
        self.random_state = random_state

    def _fit(self, records: list[Record]) -> None:
        fault = unusable("text", self.prompt_file_, list(records[0].values))
        if fault and self.prompt is not None:
            raise DataError(fault)
        texts = texts_of(self.prompt_file_, records)
        self.words_ = Words().fit(texts)
        self.head_ = fit_head(
            self.words_(texts),
            self.targets(records),
            groups=groups_of(records),
            candidates=logistic((0.3, 3.0, 30.0, 300.0)),
            default=logistic((3.0,))[0],
            classes=len(self.classes_),
            seed=self.random_state,
        )

    def predict_proba(self, X: Any) -> Probabilities:
        """Return the probability of each class, (n, k)."""
        records = self.records(X)
        texts = texts_of(self.prompt_file_, records)
        return self.head_.predict_proba(self.words_(texts))


class EmbeddingClassifier(Approach):
    """Sentence embedding of the rendered customer, and logistic regression.

    ``encoder`` is a short name, a folder (a plain one of BERT will do), a hub id, or any object
    with ``encode``; ``pooling`` says how one vector is made of a text's tokens: auto (as the
    encoder says itself, else by mean), mean or cls. After a fit or a prediction,
    ``embedder_.truncated`` counts the texts that the encoder cut.
    """

    def __init__(
        self,
        prompt: Prompted = None,
        *,
        encoder: str | SentenceEncoder | Embedder = "minilm",
        pooling: Pooling = "auto",
        random_state: int = 0,
    ) -> None:
        """Keep the parameters."""
        self.prompt = prompt
        self.encoder = encoder
        self.pooling = pooling
        self.random_state = random_state

    def _fit(self, records: list[Record]) -> None:
        self.embedder_ = Embedder.of(self.encoder, self.pooling)
        self.head_ = fit_head(
            self._vectors(records),
            self.targets(records),
            groups=groups_of(records),
            candidates=logistic((0.1, 1.0, 10.0, 100.0, 1000.0)),
            default=logistic((1.0,))[0],
            classes=len(self.classes_),
            seed=self.random_state,
        )

    def predict_proba(self, X: Any) -> Probabilities:
        """Return the probability of each class, (n, k)."""
        records = self.records(X)
        return self.head_.predict_proba(self._vectors(records))

    def _vectors(self, records: Sequence[Record]) -> npt.NDArray[np.float64]:
        texts = [self.prompt_file_.render_customer(record) for record in records]
        return self.embedder_(texts).astype(np.float64)


class FusionClassifier(Approach):
    """Sentence embedding of what customers wrote, next to the encoded columns: one classifier.

    ``head`` is ``"linear"``, a logistic regression, ``"trees"``, boosted trees, or ``"mlp"``, a
    small neural network. Each of the two blocks has a total variance of 1, or the one with more
    or wider columns would drown the other; how much the embedding weighs beside the columns is
    chosen with the regularisation (of trees, which weigh nothing, their size is chosen). Without
    a text column the rendered customer is embedded. ``encoder`` and ``pooling`` are those of
    EmbeddingClassifier. Raises DataError where a prompt shows no structured column.
    """

    def __init__(
        self,
        prompt: Prompted = None,
        *,
        head: FusionHead = "linear",
        encoder: str | SentenceEncoder | Embedder = "minilm",
        pooling: Pooling = "auto",
        random_state: int = 0,
    ) -> None:
        """Keep the parameters."""
        self.prompt = prompt
        self.head = head
        self.encoder = encoder
        self.pooling = pooling
        self.random_state = random_state

    def _fit(self, records: list[Record]) -> None:
        check_head(self.head)
        self.encoder_ = encoder_of(self.prompt_file_, records)
        self.embedder_ = Embedder.of(self.encoder, self.pooling)
        columns, vectors = self._blocks(records)
        self.scales_ = unit_scale(columns), unit_scale(vectors)
        default, candidates = fusion_heads(
            self.head, width=columns.shape[1], rows=len(records), seed=self.random_state
        )
        self.head_ = fit_head(
            self._features(columns, vectors),
            self.targets(records),
            groups=groups_of(records),
            candidates=candidates,
            default=default,
            classes=len(self.classes_),
            seed=self.random_state,
        )

    def predict_proba(self, X: Any) -> Probabilities:
        """Return the probability of each class, (n, k)."""
        records = self.records(X)
        return self.head_.predict_proba(self._features(*self._blocks(records)))

    def _blocks(self, records: Sequence[Record]) -> tuple[Floats, Floats]:
        texts = texts_of(self.prompt_file_, records)
        return self.encoder_.transform(records), self.embedder_(texts).astype(np.float64)

    def _features(self, columns: Floats, vectors: Floats) -> Floats:
        return np.hstack([columns * self.scales_[0], vectors * self.scales_[1]])


class PriorClassifier(Approach):
    """The share of each class in the training rows, for everybody."""

    def __init__(self, prompt: Prompted = None) -> None:
        """Keep the parameter."""
        self.prompt = prompt

    def _fit(self, records: list[Record]) -> None:
        self.shares_ = shares(self.targets(records), len(self.classes_))

    def _held_out(self, records: list[Record]) -> Probabilities:
        # As with every approach, whose folds are moved to the shares of all rows.
        return np.tile(self.shares_, (len(records), 1))

    def predict_proba(self, X: Any) -> Probabilities:
        """Return the same probabilities (n, k) in every row."""
        rows = len(self.records(X))
        return np.tile(self.shares_, (rows, 1))


def encoder_of(prompt_file: PromptFile, records: Sequence[Record]) -> ColumnEncoder:
    """Return the encoder of the columns that a prompt shows; DataError where there is none."""
    columns = list(records[0].values)
    if fault := unusable("structured", prompt_file, columns):
        raise DataError(fault)
    return ColumnEncoder(shown_columns(prompt_file, columns)).fit(records)


def texts_of(prompt_file: PromptFile, records: Sequence[Record]) -> list[str]:
    """Return what each customer wrote; the rendered customer where a prompt shows no text."""
    columns = shown_texts(prompt_file)
    if not columns:
        return [prompt_file.render_customer(record) for record in records]
    rows = [[record.values.get(column) for column in columns] for record in records]
    return ["\n".join("" if text is None else str(text) for text in row) for row in rows]


def unit_scale(block: Floats) -> float:
    """Return the factor that gives a block (n, d) a total variance of 1."""
    total = float(block.var(axis=0).sum())
    return 1 / np.sqrt(total) if total > 1e-12 else 1.0
