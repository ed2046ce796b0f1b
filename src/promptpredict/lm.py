"""A causal language model that scores label words: one forward pass per prompt, nothing generated.

Knows token ids, weights and logits; knows nothing of tables, prompt files or calibration. The
prefix that a block's prompts share is read once; the prompts' own tokens go through in batches;
only positions that predict a label token go through the output matrix, there with a whole row
in float32, because label mass needs the log-sum-exp over the vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from promptpredict.batching import Fitted, batches, common_prefix, fit
from promptpredict.encoding import Encoder
from promptpredict.errors import ModelError, PromptPredictError
from promptpredict.prefix import Prefix, attention_masks, read_prefix
from promptpredict.prompt import Prompt
from promptpredict.words import WordIds, WordTree

BLOCK_ROWS = 1024
_VOCABULARY_CHUNK = 16_384
Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Labels:
    """What prompts are scored on: the words of each label, and the joiner where one is given."""

    words: Mapping[str, Sequence[str]]
    join: str | None = None


@dataclass(frozen=True, slots=True)
class Scores:
    """What a language model says of n prompts and k labels; rows in the order of the prompts.

    ``logprobs`` (n, k) are log P(label words | prompt), not normalised over the labels; ``mass``
    (n,) is their sum as probabilities; ``hidden`` (n, d) is the hidden state at the answer
    position; ``truncated`` (n,) whether a prompt lost shots or feedback to fit. A prompt that
    could not be scored has NaN in its row and its reason in ``faults``.
    """

    logprobs: Array
    mass: Array
    hidden: Array
    truncated: npt.NDArray[np.bool_]
    faults: dict[int, str]
    tokens: int


class LanguageModel(Protocol):
    """Anything that scores label words."""

    name: str

    def score(
        self, prompts: Sequence[Prompt], labels: Labels, *, progress: Callable[[int], object] | None = None
    ) -> Scores:
        """Return the label log-probabilities of every prompt."""


class CausalLM:
    """A causal language model of transformers, with its tokenizer.

    ``batch_tokens`` bounds rows x longest of a batch (default: 2,048 on a CPU, 32,768 on a GPU).
    ``share_prefix=False`` reads every prompt whole. Raises ModelError for an architecture whose
    logits cannot be reproduced from its last hidden state, or whose attention is not causal
    attention over keys and values.
    """

    def __init__(
        self, model: Any, tokenizer: Any, *, name: str, batch_tokens: int | None = None, share_prefix: bool = True
    ) -> None:
        self.name = name
        self.model = model.eval()
        self.encoder = Encoder(tokenizer, name=name)
        self.device = model.device
        self.batch_tokens = batch_tokens or (2_048 if self.device.type == "cpu" else 32_768)
        self.share_prefix = share_prefix
        config = model.config.get_text_config()
        self.context = int(getattr(config, "max_position_embeddings", 0) or 1 << 20)
        self._prefix = Prefix.empty()
        _check_attention(config, name)
        self._check_logits()

    def __sklearn_clone__(self) -> CausalLM:
        """Return itself: a clone of an estimator shares the weights."""
        return self

    def score(
        self, prompts: Sequence[Prompt], labels: Labels, *, progress: Callable[[int], object] | None = None
    ) -> Scores:
        """Return the label log-probabilities of every prompt, in the order given.

        Prompts share batches only within a block of 1,024 of them. ``progress`` is called with
        the number of prompts done since its last call.
        """
        parts = [
            self._score_block(prompts[start : start + BLOCK_ROWS], labels, progress or (lambda _: None), start)
            for start in range(0, len(prompts), BLOCK_ROWS)
        ]
        return _joined(parts) if parts else _Draft(0, len(labels.words), self._width).scores({}, 0)

    # -- one block -------------------------------------------------------------------------

    def _score_block(
        self, prompts: Sequence[Prompt], labels: Labels, progress: Callable[[int], object], start: int
    ) -> Scores:
        fitted, faults = self._fit(prompts, labels)
        draft = _Draft(len(prompts), len(labels.words), self._width)
        for index, item in fitted.items():
            draft.truncated[index] = item.truncated
        progress(len(faults))
        tokens = 0
        # Words may have other ids in another context; prompts of one tree go together.
        for words in dict.fromkeys(item.encoded.words for item in fitted.values()):
            rows = [index for index, item in fitted.items() if item.encoded.words == words]
            sequences = [fitted[index].encoded.ids for index in rows]
            tokens += self._score_sequences(sequences, words, list(labels.words), rows, draft, progress)
        for index in fitted:
            if not np.isfinite(draft.logprobs[index]).all():
                faults[index] = "the language model gave logits that are not finite"
        return draft.scores({start + index: fault for index, fault in faults.items()}, tokens)

    def _fit(self, prompts: Sequence[Prompt], labels: Labels) -> tuple[dict[int, Fitted], dict[int, str]]:
        fitted: dict[int, Fitted] = {}
        faults: dict[int, str] = {}
        for index, prompt in enumerate(prompts):
            try:
                limit = self.context - 16  # room for the words' own tokens
                fitted[index] = fit(prompt, lambda each: self.encoder.encode(each, labels.words, labels.join), limit)
            except PromptPredictError as error:
                faults[index] = str(error)
        return fitted, faults

    @torch.inference_mode()
    def _score_sequences(
        self,
        sequences: Sequence[tuple[int, ...]],
        words: WordIds,
        labels: list[str],
        rows: Sequence[int],
        draft: _Draft,
        progress: Callable[[int], object],
    ) -> int:
        """Score sequences that share their words' ids into ``draft``; return the tokens read."""
        shared = common_prefix(sequences) if self.share_prefix else 0
        prefix, read = self._shared_prefix(sequences[0][:shared])
        tree = words.tree()
        columns = [labels.index(entry.label) for entry in words.entries]
        suffixes = [list(ids[shared:]) for ids in sequences]
        lengths = [len(suffix) + len(tree.tokens) for suffix in suffixes]
        for batch in batches(lengths, self.batch_tokens):
            hidden = self._forward([suffixes[index] for index in batch], tree, prefix)  # (b, 1 + nodes, d)
            entries = self._entry_logprobs(hidden, tree)  # (b, entries)
            at = [rows[index] for index in batch]
            draft.hidden[at] = hidden[:, 0].float().cpu().numpy()
            draft.logprobs[at] = _by_label(entries, columns, len(labels)).cpu().numpy()
            draft.mass[at] = torch.logsumexp(entries, dim=1).exp().cpu().numpy()
            progress(len(batch))
        return read + sum(lengths)

    def _shared_prefix(self, ids: tuple[int, ...]) -> tuple[Prefix, int]:
        """Return the keys and values of a prefix, and how many tokens had to be read for it."""
        if self._prefix.ids == ids:
            return self._prefix, 0
        self._prefix = read_prefix(self.model, ids)
        return self._prefix, len(ids)

    def _forward(self, suffixes: Sequence[list[int]], tree: WordTree, prefix: Prefix) -> torch.Tensor:
        """Return the hidden states (b, 1 + nodes, d) at the answer position and at the tree's nodes.

        A row is suffix | nodes | padding. A node stands at position answer + depth and sees the
        prompt, its ancestors and itself, so one pass scores labels of several tokens exactly.
        """
        width = max(map(len, suffixes)) + len(tree.tokens)
        ids = torch.zeros(len(suffixes), width, dtype=torch.long)  # (b, s)
        positions = torch.arange(width).repeat(len(suffixes), 1) + len(prefix.ids)  # (b, s)
        answers = torch.tensor([len(suffix) - 1 for suffix in suffixes])  # (b,)
        for row, suffix in enumerate(suffixes):
            end = len(suffix)
            ids[row, : end + len(tree.tokens)] = torch.tensor([*suffix, *tree.tokens])
            positions[row, end : end + len(tree.tokens)] = torch.tensor(tree.depths) + len(prefix.ids) + end - 1
        masks = attention_masks(self.model, answers, tree, positions, len(prefix.ids))
        output = self._decoder(
            input_ids=ids.to(self.device),
            attention_mask=masks,
            position_ids=positions.to(self.device),
            past_key_values=prefix.cache(),
            use_cache=bool(prefix.ids),
        )
        wanted = answers[:, None] + torch.arange(1 + len(tree.tokens))  # (b, 1 + nodes)
        states: torch.Tensor = output.last_hidden_state  # (b, s, d)
        return states[torch.arange(len(suffixes))[:, None], wanted]

    def _entry_logprobs(self, hidden: torch.Tensor, tree: WordTree) -> torch.Tensor:
        """Return log P(entry | prompt) (b, entries) in float32 from states (b, 1 + nodes, d)."""
        wanted = sorted({token for steps in tree.steps for _, token in steps})
        logits, total = self._logits(hidden, wanted)  # (b, 1 + nodes, wanted), (b, 1 + nodes)
        logprobs = logits - total[..., None]
        return torch.stack(
            [sum(logprobs[:, node + 1, wanted.index(token)] for node, token in steps) for steps in tree.steps],
            dim=1,
        )

    def _logits(self, hidden: torch.Tensor, wanted: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the logits of some tokens and the log-sum-exp over the vocabulary, in float32.

        In bfloat16 a logit of 20 is known to 1/16: different customers would tie. The matrix goes
        through in chunks, so that no second copy of it stays in memory.
        """
        head = self.model.get_output_embeddings()
        states = hidden.float()
        totals, kept = [], []
        for start in range(0, head.weight.shape[0], _VOCABULARY_CHUNK):
            weight = head.weight[start : start + _VOCABULARY_CHUNK].float()
            bias = None if getattr(head, "bias", None) is None else head.bias[start : start + _VOCABULARY_CHUNK].float()
            logits = self._finish(torch.nn.functional.linear(states, weight, bias))
            totals.append(torch.logsumexp(logits, dim=-1))
            kept.append(logits[..., [token - start for token in wanted if start <= token < start + len(weight)]])
        return torch.cat(kept, dim=-1), torch.logsumexp(torch.stack(totals, dim=-1), dim=-1)

    def _finish(self, logits: torch.Tensor) -> torch.Tensor:
        """Apply what an architecture does to its logits behind the output matrix."""
        config = self.model.config.get_text_config()
        if scale := getattr(config, "logit_scale", None):  # Cohere
            logits = logits * scale
        if scaling := getattr(config, "logits_scaling", None):  # Granite
            logits = logits / scaling
        if cap := getattr(config, "final_logit_softcapping", None):  # Gemma
            logits = torch.tanh(logits / cap) * cap
        return logits

    # -- loading ---------------------------------------------------------------------------

    @property
    def _decoder(self) -> Any:
        return self.model.get_decoder()

    @property
    def _width(self) -> int:
        return int(self.model.get_output_embeddings().weight.shape[1])

    @torch.inference_mode()
    def _check_logits(self) -> None:
        """Compare logits found from the hidden state with the model's own, on a few tokens."""
        ids = torch.tensor([self.encoder.ids(Prompt("", (), "A customer", ""))[-16:]], device=self.device)
        own = self.model(input_ids=ids, use_cache=False).logits[:, -1].float()  # (1, vocabulary)
        hidden = self._decoder(input_ids=ids, use_cache=False).last_hidden_state[:, -1:]
        wanted = list(range(min(64, own.shape[-1])))
        logits, total = self._logits(hidden, wanted)
        found = (logits - total[..., None])[0, 0]
        expected = torch.log_softmax(own[0], dim=-1)[wanted]
        # The model's own logits are rounded to its dtype: 8 bits in bfloat16.
        allowed = (1e-3 if self.model.dtype == torch.float32 else 4e-2) * max(1.0, float(own.abs().max()))
        if not torch.allclose(found, expected, atol=allowed):
            raise ModelError(
                f"{self.name}: the architecture {type(self.model).__name__} changes its logits in a way that is not known here"
            )


class _Draft:
    """Arrays of a block's scores, filled batch by batch."""

    def __init__(self, rows: int, labels: int, width: int) -> None:
        self.logprobs = np.full((rows, labels), np.nan, dtype=np.float32)
        self.mass = np.full(rows, np.nan, dtype=np.float32)
        self.hidden = np.full((rows, width), np.nan, dtype=np.float32)
        self.truncated = np.zeros(rows, dtype=bool)

    def scores(self, faults: dict[int, str], tokens: int) -> Scores:
        return Scores(self.logprobs, self.mass, self.hidden, self.truncated, faults, tokens)


def _by_label(entries: torch.Tensor, columns: Sequence[int], labels: int) -> torch.Tensor:
    """Join the entries (b, entries) of each label by log-sum-exp: (b, labels)."""
    return torch.stack(
        [
            torch.logsumexp(entries[:, [at for at, column in enumerate(columns) if column == label]], dim=1)
            for label in range(labels)
        ],
        dim=1,
    )


def _joined(parts: Sequence[Scores]) -> Scores:
    return Scores(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ("logprobs", "mass", "hidden", "truncated")),
        faults={index: fault for part in parts for index, fault in part.faults.items()},
        tokens=sum(part.tokens for part in parts),
    )


def _check_attention(config: Any, name: str) -> None:
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    other = kinds - {"full_attention", "sliding_attention"}
    if other:
        raise ModelError(
            f"{name}: its layers are of the kind {', '.join(sorted(other))}; "
            "possible: models whose layers are all full or sliding attention"
        )
