"""Sentence encoders: texts to unit vectors, and how many texts are longer than the window.

Knows sentence-transformers' interface; knows nothing of records, labels or tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from promptpredict.models import DEFAULT_ENCODER, find


class SentenceEncoder(Protocol):
    """Anything that turns texts into vectors: an ``encode`` as sentence-transformers has it."""

    def encode(self, sentences: list[str], **kwargs: Any) -> Any:
        """Return an array (n, d)."""


class Embedder:
    """Turns texts into unit vectors, remembering those that it has seen.

    ``encoder`` is a short name, a folder, a hub id or an object with ``encode``; it is loaded
    when it is first needed. ``truncated`` counts the distinct texts that are longer than the
    encoder's window, and so were cut by it.
    """

    def __init__(self, encoder: str | SentenceEncoder = DEFAULT_ENCODER) -> None:
        self.name = encoder if isinstance(encoder, str) else type(encoder).__name__
        self._encoder: Any = encoder
        self._seen: dict[str, npt.NDArray[np.float32]] = {}
        self.truncated = 0

    def __call__(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return the unit vectors (n, d) of texts."""
        new = [text for text in dict.fromkeys(texts) if text not in self._seen]
        if new:
            encoder = self._loaded()
            vectors = encoder.encode(new, normalize_embeddings=True, show_progress_bar=False)
            self._seen.update(zip(new, np.asarray(vectors, dtype=np.float32), strict=True))
            self.truncated += _over_window(encoder, new)
        return np.stack([self._seen[text] for text in texts])

    def __sklearn_clone__(self) -> Embedder:
        """Return itself: a clone of an estimator shares the loaded weights."""
        return self

    def _loaded(self) -> Any:
        if isinstance(self._encoder, str):
            from promptpredict.loading import load_sentence_encoder

            self._encoder = load_sentence_encoder(find(self._encoder, "sentence encoder"))
        return self._encoder


def _over_window(encoder: Any, texts: list[str]) -> int:
    """Count the texts that the encoder cuts: MiniLM reads 256 tokens and says nothing."""
    window, tokenizer = getattr(encoder, "max_seq_length", None), getattr(encoder, "tokenizer", None)
    if not window or tokenizer is None:
        return 0
    encoded = tokenizer(texts, truncation=False, verbose=False)["input_ids"]
    return sum(len(ids) > window for ids in encoded)
