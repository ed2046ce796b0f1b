"""A causal language model that scores label words: one forward pass per prompt, nothing generated.

Knows token ids, weights and logits; knows nothing of tables, prompt files or calibration. The
prefix that a block's prompts share is read once; the prompts' own tokens go through in batches;
only positions that predict a label token go through the output matrix, there with a whole row
in float32, because label mass needs the log-sum-exp over the vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from promptpredict.batching import Fitted, batches, fit, share
from promptpredict.encoding import Encoded, Encoder
from promptpredict.errors import ModelError, PromptPredictError
from promptpredict.outputs import Outputs, by_label
from promptpredict.prefix import Prefix, attention_masks, read_prefix
from promptpredict.prompt import Prompt
from promptpredict.scores import Labels, Scores
from promptpredict.words import WordIds, WordTree

BLOCK_ROWS = 1024
_TRIAL = Prompt("", (), "A customer", "")


class CausalLM:
    """A causal language model of transformers, with its tokenizer.

    ``batch_tokens`` bounds rows x longest of a batch (default: 2,048 on a CPU, 32,768 on a GPU).
    ``share_prefix=False`` reads every prompt whole. Raises ModelError for an architecture whose
    logits cannot be reproduced from its last hidden state, or whose attention is not causal
    attention over keys and values.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        name: str,
        batch_tokens: int | None = None,
        share_prefix: bool = True,
    ) -> None:
        """Check that the model's logits and attention are understood."""
        self.name = name
        self.model = model.eval()
        self.encoder = Encoder(tokenizer, name=name)
        self.device = model.device
        self.batch_tokens = batch_tokens or (2_048 if self.device.type == "cpu" else 32_768)
        self.share_prefix = share_prefix
        config = model.config.get_text_config()
        self.context = int(getattr(config, "max_position_embeddings", 0) or 1 << 20)
        self._prefix = Prefix.empty()
        self._outputs = Outputs(self.model)
        _check_attention(config, name)
        self._outputs.check(self.encoder.ids(_TRIAL)[-16:], name)

    def __sklearn_clone__(self) -> CausalLM:
        """Return itself: a clone of an estimator shares the weights."""
        return self

    def score(
        self,
        prompts: Sequence[Prompt],
        labels: Labels,
        *,
        progress: Callable[[int], object] | None = None,
    ) -> Scores:
        """Return the label log-probabilities of every prompt, in the order given.

        Prompts share batches only within a block of 1,024 of them. ``progress`` is called with
        the number of prompts done since its last call.
        """
        parts = [
            self._score_block(
                prompts[start : start + BLOCK_ROWS], labels, progress or (lambda _: None), start
            )
            for start in range(0, len(prompts), BLOCK_ROWS)
        ]
        return (
            _joined(parts)
            if parts
            else _Draft(0, len(labels.words), self._outputs.width).scores({}, 0)
        )

    # -- one block -------------------------------------------------------------------------

    def _score_block(
        self,
        prompts: Sequence[Prompt],
        labels: Labels,
        progress: Callable[[int], object],
        start: int,
    ) -> Scores:
        fitted, faults = self._fit(prompts, labels)
        draft = _Draft(len(prompts), len(labels.words), self._outputs.width)
        for index, item in fitted.items():
            draft.truncated[index] = item.truncated
        progress(len(faults))
        tokens = 0
        for group in self._groups(fitted):
            tokens += self._score_group(group, fitted, list(labels.words), draft, progress)
        for index in fitted:
            if not np.isfinite(draft.logprobs[index]).all():
                faults[index] = "the language model gave logits that are not finite"
        return draft.scores({start + index: fault for index, fault in faults.items()}, tokens)

    def _fit(
        self, prompts: Sequence[Prompt], labels: Labels
    ) -> tuple[dict[int, Fitted], dict[int, str]]:
        fitted: dict[int, Fitted] = {}
        faults: dict[int, str] = {}
        for index, prompt in enumerate(prompts):
            try:
                fitted[index] = fit(prompt, lambda each: self._encode(each, labels), self.context)
            except PromptPredictError as error:
                faults[index] = str(error)
        return fitted, faults

    def _encode(self, prompt: Prompt, labels: Labels) -> Encoded:
        """Encode a prompt; ModelError for a token that the weights do not have."""
        encoded = self.encoder.encode(prompt, labels.words, labels.join)
        # Some vocabularies are longer than their model's matrix, and some matrices padded.
        most = max(*encoded.ids, *(max(entry.ids) for entry in encoded.words.entries))
        if most >= self._outputs.vocabulary:
            raise ModelError(
                f"{self.name}: its tokenizer writes token {most:,}, and its weights have "
                f"{self._outputs.vocabulary:,} tokens; they do not belong together"
            )
        return encoded

    def _groups(self, fitted: Mapping[int, Fitted]) -> Iterator[_Group]:
        """Yield the rows of a block in the groups that go through the model together."""
        # Words may have other ids in another context.
        for words in dict.fromkeys(item.encoded.words for item in fitted.values()):
            rows = [row for row, item in fitted.items() if item.encoded.words == words]
            while rows:
                every = (0, range(len(rows)))
                sequences = [fitted[row].encoded.ids for row in rows]
                shared, members = share(sequences) if self.share_prefix else every
                taken = [rows[member] for member in members]
                yield _Group(taken, words, shared)
                rows = sorted(set(rows).difference(taken))

    @torch.inference_mode()
    def _score_group(
        self,
        group: _Group,
        fitted: Mapping[int, Fitted],
        labels: list[str],
        draft: _Draft,
        progress: Callable[[int], object],
    ) -> int:
        """Score the rows of a group into ``draft``; return the tokens read."""
        sequences = [fitted[row].encoded.ids for row in group.rows]
        prefix, read = self._shared_prefix(sequences[0][: group.shared])
        tree = group.words.tree()
        columns = [labels.index(entry.label) for entry in group.words.entries]
        suffixes = [ids[group.shared :] for ids in sequences]
        lengths = [len(suffix) + len(tree.tokens) for suffix in suffixes]
        for batch in batches(lengths, self.batch_tokens):
            # hidden (b, 1 + nodes, d), entries (b, entries)
            hidden = self._forward([suffixes[index] for index in batch], tree, prefix)
            entries = self._outputs.entry_logprobs(hidden, tree)
            at = [group.rows[index] for index in batch]
            draft.hidden[at] = hidden[:, 0].float().cpu().numpy()
            draft.logprobs[at] = by_label(entries, columns, len(labels)).cpu().numpy()
            draft.mass[at] = torch.logsumexp(entries, dim=1).exp().cpu().numpy()
            progress(len(batch))
        return read + sum(lengths)

    def _shared_prefix(self, ids: tuple[int, ...]) -> tuple[Prefix, int]:
        """Return the keys and values of a prefix, and how many tokens had to be read for it."""
        if self._prefix.ids == ids:
            return self._prefix, 0
        self._prefix = read_prefix(self.model, ids)
        return self._prefix, len(ids)

    def _forward(
        self, suffixes: Sequence[tuple[int, ...]], tree: WordTree, prefix: Prefix
    ) -> torch.Tensor:
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
            positions[row, end : end + len(tree.tokens)] = (
                torch.tensor(tree.depths) + len(prefix.ids) + end - 1
            )
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

    # -- the model -------------------------------------------------------------------------

    @property
    def _decoder(self) -> Any:
        return self.model.get_decoder()


@dataclass(frozen=True, slots=True)
class _Group:
    """Rows of a block with the same word ids, and how many first ids their prompts share."""

    rows: list[int]
    words: WordIds
    shared: int


class _Draft:
    """Arrays of a block's scores, filled batch by batch."""

    def __init__(self, rows: int, labels: int, width: int) -> None:
        self.logprobs = np.full((rows, labels), np.nan, dtype=np.float32)
        self.mass = np.full(rows, np.nan, dtype=np.float32)
        self.hidden = np.full((rows, width), np.nan, dtype=np.float32)
        self.truncated = np.zeros(rows, dtype=bool)

    def scores(self, faults: dict[int, str], tokens: int) -> Scores:
        return Scores(self.logprobs, self.mass, self.hidden, self.truncated, faults, tokens)


def _joined(parts: Sequence[Scores]) -> Scores:
    return Scores(
        logprobs=np.concatenate([part.logprobs for part in parts]),
        mass=np.concatenate([part.mass for part in parts]),
        hidden=np.concatenate([part.hidden for part in parts]),
        truncated=np.concatenate([part.truncated for part in parts]),
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
