"""Sentence encoders: texts to unit vectors, and how many texts are longer than the window.

Knows sentence-transformers' interface; knows nothing of records, labels or tables.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from promptpredict.models import DEFAULT_ENCODER, find
from promptpredict.pooling import POOLINGS, Pooling


class SentenceEncoder(Protocol):
    """Anything that turns texts into vectors: an ``encode`` as sentence-transformers has it."""

    def encode(self, sentences: list[str], **kwargs: Any) -> Any:
        """Return an array (n, d)."""


class Embedder:
    """Turns texts into unit vectors, remembering those that it has seen.

    ``encoder`` is a short name, a folder, a hub id or an object with ``encode``; it is loaded
    when it is first needed. ``truncated`` counts the distinct texts that are longer than the
    encoder's window, and so were cut by it. ``device`` is where a name is loaded to, ``pooling``
    how one vector is made of a text's tokens: auto (as the encoder says itself, else by mean),
    mean or cls. ``cost`` are the seconds that all texts asked for would have taken, remembered
    ones too; ``waited`` are the seconds really spent.
    """

    def __init__(
        self,
        encoder: str | SentenceEncoder = DEFAULT_ENCODER,
        *,
        device: str = "auto",
        pooling: Pooling = "auto",
    ) -> None:
        """Take an encoder; nothing is loaded yet. Raises ValueError for a pooling it cannot have."""
        if pooling not in POOLINGS:
            raise ValueError(f"pooling is 'auto', 'mean' or 'cls', not {pooling!r}")
        if pooling != "auto" and not isinstance(encoder, str):
            raise ValueError(
                f"pooling is of encoders that are loaded by name; {type(encoder).__name__} pools "
                "by itself, and 'auto' leaves it to it"
            )
        self.device = device
        self.pooling = pooling
        self.name = encoder if isinstance(encoder, str) else type(encoder).__name__
        self.truncated = 0
        self.cost = 0.0
        self.waited = 0.0
        self._given: Any = encoder
        self._encoder: Any = encoder
        self._seen: dict[str, tuple[npt.NDArray[np.float32], float]] = {}

    @classmethod
    def of(cls, encoder: str | SentenceEncoder | Embedder, pooling: Pooling = "auto") -> Embedder:
        """Return an embedder as it is, or the one of an encoder.

        Raises ValueError where an embedder pools otherwise already.
        """
        if not isinstance(encoder, Embedder):
            return cls(encoder, pooling=pooling)
        if pooling not in ("auto", encoder.pooling):
            raise ValueError(f"the embedder pools by {encoder.pooling!r}, not by {pooling!r}")
        return encoder

    def __call__(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return the unit vectors (n, d) of one text or more."""
        new = [text for text in dict.fromkeys(texts) if text not in self._seen]
        if new:
            self._read(new)
        found = [self._seen[text] for text in texts]
        self.cost += sum(spent for _, spent in found)
        return np.stack([vector for vector, _ in found])

    @property
    def window(self) -> int | None:
        """Return how many tokens the encoder reads of a text; None where it does not say."""
        window = getattr(self._loaded(), "max_seq_length", None)
        return int(window) if window and np.isfinite(window) else None

    def describe(self) -> str:
        """Return one line on the texts that were cut; the empty string where none was."""
        if not self.truncated:
            return ""
        return (
            f"{self.truncated:,} of {len(self._seen):,} texts are longer than the {self.window} "
            f"tokens that the sentence encoder {self.name} reads, and were cut by it"
        )

    def __getstate__(self) -> dict[str, Any]:
        """Leave customers' texts, and weights that a name stands for, out of a pickle."""
        return self.__dict__ | {"_seen": {}, "_encoder": self._given}

    def __sklearn_clone__(self) -> Embedder:
        """Return itself: a grid of parameters shares the loaded weights."""
        return self

    def _read(self, texts: list[str]) -> None:
        encoder = self._loaded()
        start = time.perf_counter()
        vectors = np.asarray(encoder.encode(texts, show_progress_bar=False), dtype=np.float32)
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)  # (n, d)
        spent = time.perf_counter() - start
        self.waited += spent
        for text, vector in zip(texts, vectors, strict=True):
            self._seen[text] = (vector, spent / len(texts))
        self.truncated += _over_window(encoder, self.window, texts)

    def _loaded(self) -> Any:
        if isinstance(self._encoder, str):
            self._encoder = _load(self._encoder, self.device, self.pooling)
        return self._encoder


@lru_cache(maxsize=1)
def _load(name: str, device: str, pooling: Pooling) -> Any:
    """Load an encoder by its name, once for all folds of a cross-validation."""
    from promptpredict.loading import load_sentence_encoder

    source = find(name, "sentence encoder")
    return load_sentence_encoder(source, device=device, pooling=pooling)


def _over_window(encoder: Any, window: int | None, texts: list[str]) -> int:
    """Count the texts that the encoder cuts: MiniLM reads 256 tokens and says nothing."""
    tokenizer = getattr(encoder, "tokenizer", None)
    if window is None or not callable(tokenizer):
        return 0
    encoded = tokenizer(texts, truncation=False, verbose=False)["input_ids"]
    return sum(len(ids) > window for ids in encoded)
