"""Prompts of encoder-decoder models as token ids: the encoder reads all but the answer.

Knows tokenizers; knows nothing of weights, and does not import torch. The decoder begins with its own
start token and the answer, and the label words continue it there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from promptpredict.encoding import Encoded, Encoder
from promptpredict.rendered import Prompt
from promptpredict.words import Ids, Word, find_words

CONTEXT = 512  # tokens of a prompt, where neither tokenizer nor model says more
_NO_LIMIT = 1_000_000  # what tokenizers have that know none


@dataclass(frozen=True, slots=True)
class TwoSided(Encoded):
    """A prompt for the encoder (``ids``), and what the decoder has read before the label words."""

    decoder: Ids = ()


class TwoSidedEncoder(Encoder):
    """Encodes prompts for the tokenizer of an encoder-decoder model whose decoder begins with ``start``."""

    def __init__(self, tokenizer: Any, *, name: str, start: int) -> None:
        """Find out what stands behind a text, and what ends an answer."""
        super().__init__(tokenizer, name=name)
        self.start = start
        bare = tokenizer("a", add_special_tokens=False).input_ids
        whole = list(tokenizer("a").input_ids)
        at = next(at for at in range(len(whole)) if whole[at : at + len(bare)] == bare)
        self._before, self._behind = tuple(whole[:at]), tuple(whole[at + len(bare) :])
        end = tokenizer.eos_token_id
        self._end: Ids = () if end is None else (int(end),)

    def encode(
        self, prompt: Prompt, words: Mapping[str, Sequence[str]], join: str | None = None
    ) -> TwoSided:
        """Encode a prompt for the encoder, and find the ids of ``words`` behind the answer.

        Raises PromptError where two words cannot be told apart, ModelError where the tokenizer
        cannot write a word.
        """
        answer = self._escape(prompt.answer.rstrip())
        found = find_words(
            lambda text: self._span(answer + text, first=True),
            [Word(label, word) for label, group in words.items() for word in group],
            answer=prompt.answer,
            join=join,
            terminator=self._end,
            name=self.name,
        )
        own = self._span(answer, first=True)
        ids, start = self._read(prompt)
        return TwoSided(ids, found, start, (self.start, *own[: len(own) - found.cut]))

    def ids(self, prompt: Prompt) -> list[int]:
        """Return the token ids that the encoder reads."""
        return list(self._read(prompt)[0]) if hasattr(self, "start") else super().ids(prompt)

    def text(self, prompt: Prompt) -> str:
        """Return what the encoder reads, and on a line of its own what the decoder begins with."""
        read, begun = (
            self.tokenizer.decode(ids, skip_special_tokens=False)
            for ids in (self.ids(prompt), self.begun(prompt))
        )
        return f"{read}\n{begun}"

    def begun(self, prompt: Prompt) -> list[int]:
        """Return what the decoder has read before the label words: its start and the answer."""
        return [self.start, *self._span(self._escape(prompt.answer.rstrip()), first=True)]

    def _read(self, prompt: Prompt) -> tuple[Ids, int]:
        """Return the ids for the encoder, and where the customer's turn begins among them."""
        ids, tail, first, start = self._assemble(replace(prompt, answer=""))
        front = () if self.layout.kind == "plain" else self._before
        whole = (*front, *ids, *self._span(tail.rstrip(), first=first), *self._behind)
        return whole, min(start + len(front), len(whole) - 1)


def is_two_sided(folder: Path | None) -> bool:
    """Whether a model's folder holds an encoder-decoder model; a broken one is told when it is loaded."""
    config = folder / "config.json" if folder else None
    if config is None or not config.is_file():
        return False
    try:
        found = json.loads(config.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return isinstance(found, dict) and bool(found.get("is_encoder_decoder"))


def decoder_start(config: Mapping[str, Any]) -> int:
    """Return the token that a decoder begins with, by the model's config."""
    start = config.get("decoder_start_token_id")
    return int(config.get("pad_token_id") or 0) if start is None else int(start)


def context_of(tokenizer: Any, config: Mapping[str, Any]) -> int:
    """Return how many tokens an encoder reads: what its positions allow, else as it was trained."""
    if positions := config.get("max_position_embeddings"):
        return int(positions)
    longest = int(getattr(tokenizer, "model_max_length", 0) or 0)
    return longest if 0 < longest < _NO_LIMIT else int(config.get("n_positions") or CONTEXT)
