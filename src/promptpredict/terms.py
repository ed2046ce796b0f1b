"""What customers wrote as TF-IDF features: its words and pairs of words.

Knows texts; knows nothing of records, labels or classifiers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from promptpredict.spacing import WORD

SOME_ROWS = 256  # from here on a word of one customer is left out: it tells of nobody else


class Words:
    """TF-IDF of words and pairs of them; nothing but a 0 where the texts had none."""

    def fit(self, texts: Sequence[str]) -> Words:
        """Take the words of texts, never their labels."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        self._vectorizer: Any = TfidfVectorizer(
            ngram_range=(1, 2),
            sublinear_tf=True,
            min_df=1 if len(texts) < SOME_ROWS else 2,
            tokenizer=_tokens,
            token_pattern=None,
        )
        try:
            self._vectorizer.fit(texts)
        except ValueError:  # no word at all, or none that two customers wrote
            self._vectorizer = None
        return self

    def __call__(self, texts: Sequence[str]) -> Any:
        """Return the features (n, d), sparse where there are words."""
        return self._vectorizer.transform(texts) if self._vectorizer else np.zeros((len(texts), 1))


def _tokens(text: str) -> list[str]:
    """Return words without punctuation; of scripts that put no spaces, each character."""
    return [token for word in WORD.findall(text) for token in _LETTERS.findall(word)]


_LETTERS = re.compile(r"\w+")
