"""A causal language model that scores label words: one forward pass per prompt, nothing generated.

Knows token ids, weights and logits; knows nothing of tables, prompt files or calibration. The
prefix that a block's prompts share is read once; the prompts' own tokens go through in batches;
only positions that predict a label token go through the output matrix, there with a whole row
in float32, because label mass needs the log-sum-exp over the vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from promptpredict.architectures import check_layers, check_sharing
from promptpredict.attention import behind, can_merge, use_merged
from promptpredict.batching import Fitted, batches, fit
from promptpredict.encoding import Encoded, Encoder
from promptpredict.errors import ModelError, PromptPredictError
from promptpredict.gated import work_in_place
from promptpredict.outputs import Outputs, by_label, entry_logprobs
from promptpredict.prefix import Prefix, attention_masks, mean_state, read_prefix
from promptpredict.rendered import Prompt
from promptpredict.scores import Labels, Scores, each_labels
from promptpredict.sharing import prefix_groups
from promptpredict.trees import TokenTree, clusters
from promptpredict.words import WordIds

BLOCK_ROWS = 1024
_BESIDE = 512  # tokens of a chat template and a label word, amply
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
        check_layers(config, name)
        self._merges = can_merge(self.model)
        if self._merges:
            use_merged(self.model)
        work_in_place(self.model)
        trial = self.encoder.ids(_TRIAL)[-16:]
        self._outputs.check(trial, name)
        check_sharing(self.model, self._forward, trial, name)

    def __sklearn_clone__(self) -> CausalLM:
        """Return itself: a clone of an estimator shares the weights."""
        return self

    def score(
        self,
        prompts: Sequence[Prompt],
        labels: Labels | Sequence[Labels],
        *,
        progress: Callable[[int], object] | None = None,
    ) -> Scores:
        """Return the label log-probabilities of every prompt, in the order given.

        ``labels`` are the same for all, or one for each prompt. Prompts share batches only within
        a block of 1,024 of them; what those of one customer begin with is read once.
        ``progress`` is called with the number of prompts done since its last call.
        """
        if not prompts:
            count = len(labels.words) if isinstance(labels, Labels) else 0
            return _Draft(0, count, 2 * self._outputs.width).scores({}, 0)
        every = each_labels(labels, len(prompts))
        parts = []
        for start in range(0, len(prompts), BLOCK_ROWS):
            block = slice(start, start + BLOCK_ROWS)
            said = progress or (lambda _: None)
            parts.append(self._score_block(prompts[block], every[block], said, start))
        return _joined(parts)

    def count(self, prompts: Sequence[Prompt], labels: Labels | Sequence[Labels]) -> int:
        """Return how many tokens ``score`` would read; a prompt that has a fault has none."""
        tokens, prefix = 0, self._prefix.ids
        every = each_labels(labels, len(prompts))
        for start in range(0, len(prompts), BLOCK_ROWS):
            block = slice(start, start + BLOCK_ROWS)
            fitted, _ = self._fit(prompts[block], every[block])
            for rows, shared in self._groups(fitted):
                trees = self._trees(rows, shared, fitted)
                ids = fitted[rows[0]].encoded.ids[:shared]
                tokens += len(ids) * (ids != prefix) + sum(len(tree) for tree, _ in trees)
                prefix = ids
        return tokens

    def fault(self, prompt: Prompt, labels: Labels) -> str | None:
        """Return why a prompt is too long to be read; None where it may be read.

        Quick for prompts that are short without the shots that they can lose, as nearly all are.
        """
        kept = [text for turn in prompt.shots[prompt.n_shots :] for text in (turn.user, turn.reply)]
        texts = (prompt.system, *kept, prompt.user, prompt.answer)
        # A tokenizer makes at most one token of a byte, but for a few signs that it spells out.
        if sum(len(text.encode()) for text in texts) + _BESIDE <= self.context:
            return None
        _, faults = self._fit([prompt], [labels])
        return faults.get(0)

    # -- one block -------------------------------------------------------------------------

    def _score_block(
        self,
        prompts: Sequence[Prompt],
        labels: Sequence[Labels],
        progress: Callable[[int], object],
        start: int,
    ) -> Scores:
        fitted, faults = self._fit(prompts, labels)
        draft = _Draft(len(prompts), len(labels[0].words), 2 * self._outputs.width)
        for index, item in fitted.items():
            draft.truncated[index] = item.truncated
        progress(len(faults))
        keys = {row: list(labels[row].words) for row in fitted}
        tokens = 0
        for rows, shared in self._groups(fitted):
            tokens += self._score_group(rows, shared, fitted, keys, draft, progress)
        for index in fitted:
            if not np.isfinite(draft.logprobs[index]).all():
                faults[index] = "the language model gave logits that are not finite"
        return draft.scores({start + index: fault for index, fault in faults.items()}, tokens)

    def _fit(
        self, prompts: Sequence[Prompt], labels: Sequence[Labels]
    ) -> tuple[dict[int, Fitted], dict[int, str]]:
        fitted: dict[int, Fitted] = {}
        faults: dict[int, str] = {}
        for index, (prompt, asked) in enumerate(zip(prompts, labels, strict=True)):
            try:
                fitted[index] = fit(prompt, partial(self._encode, labels=asked), self.context)
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

    def _groups(self, fitted: Mapping[int, Fitted]) -> Iterator[tuple[list[int], int]]:
        """Yield the rows that go through the model together, and how many first ids they share."""
        rows = list(fitted)
        if not self.share_prefix:
            yield rows, 0
            return
        sequences = [fitted[row].encoded.ids for row in rows]
        for shared, members in prefix_groups(sequences, self.batch_tokens):
            yield [rows[member] for member in members], shared

    def _trees(
        self, rows: Sequence[int], shared: int, fitted: Mapping[int, Fitted]
    ) -> list[tuple[TokenTree, dict[int, list[int]]]]:
        """Return the trees of the rows of a group, and for each of its rows the nodes to read."""
        suffixes = [fitted[row].encoded.ids[shared:] for row in rows]
        apart = [[at] for at in range(len(rows))]
        together = clusters(suffixes, self.batch_tokens) if self.share_prefix else apart
        found = []
        for members in together:
            tree = TokenTree()
            places = {
                rows[at]: tree.place(suffixes[at], fitted[rows[at]].encoded.words.tree())
                for at in members
            }
            found.append((tree, places))
        return found

    @torch.inference_mode()
    def _score_group(
        self,
        rows: Sequence[int],
        shared: int,
        fitted: Mapping[int, Fitted],
        keys: Mapping[int, list[str]],
        draft: _Draft,
        progress: Callable[[int], object],
    ) -> int:
        """Score the rows of a group into ``draft``; return the tokens read."""
        prefix, read = self._shared_prefix(fitted[rows[0]].encoded.ids[:shared])
        trees = self._trees(rows, shared, fitted)
        for batch in batches([len(tree) for tree, _ in trees], self.batch_tokens):
            states = self._forward([trees[index][0] for index in batch], prefix)  # (b, s, d)
            nodes: dict[int, tuple[int, list[int]]] = {}  # row → its tree's place, its nodes
            for at, index in enumerate(batch):
                tree, places = trees[index]
                for row, found in places.items():
                    nodes[row] = at, found
                    path = tree.path(found[0])
                    pooled = mean_state(states[at], path, prefix, fitted[row].encoded.start)
                    draft.hidden[row, self._outputs.width :] = pooled.cpu().numpy()
                    alone = len(fitted[row].encoded.ids) - shared + len(found) - 1
                    draft.read[row] = alone, len(tree) / len(places)
            self._read(states, nodes, fitted, keys, draft)
            progress(len(nodes))
        return read + sum(len(tree) for tree, _ in trees)

    def _read(
        self,
        states: torch.Tensor,
        nodes: Mapping[int, tuple[int, list[int]]],
        fitted: Mapping[int, Fitted],
        keys: Mapping[int, list[str]],
        draft: _Draft,
    ) -> None:
        """Read the logits of a batch's states (b, s, d) into ``draft``.

        ``nodes`` say for each row where it stands in the batch, and its nodes there.
        """
        width = states.shape[1]
        places = {row: [at * width + node for node in own] for row, (at, own) in nodes.items()}
        # Side questions have words of their own, and many of the places in common: the output
        # matrix is gone through once for all of them.
        distinct = sorted({place for own in places.values() for place in own})
        index = {place: at for at, place in enumerate(distinct)}
        groups: dict[WordIds, list[int]] = {}
        for row in nodes:
            groups.setdefault(fitted[row].encoded.words, []).append(row)
        wanted = sorted({t for words in groups for path in words.tree().steps for _, t in path})
        hidden = states.flatten(0, 1)[distinct]  # (p, d)
        logprobs = self._outputs.logprobs(hidden, wanted)  # (p, wanted)
        for words, rows in groups.items():
            at = torch.tensor([[index[place] for place in places[row]] for row in rows])
            entries = entry_logprobs(logprobs[at], wanted, words.tree())  # (m, entries)
            labels = keys[rows[0]]
            columns = [labels.index(entry.label) for entry in words.entries]
            answers = hidden[at[:, 0]].float().cpu().numpy()
            draft.hidden[rows, : self._outputs.width] = answers
            draft.logprobs[rows] = by_label(entries, columns, len(labels)).cpu().numpy()
            draft.mass[rows] = torch.logsumexp(entries, dim=1).exp().cpu().numpy()

    def _shared_prefix(self, ids: tuple[int, ...]) -> tuple[Prefix, int]:
        """Return the keys and values of a prefix, and how many tokens had to be read for it."""
        if self._prefix.ids == ids:
            return self._prefix, 0
        self._prefix = read_prefix(self.model, ids)
        return self._prefix, len(ids)

    def _forward(self, trees: Sequence[TokenTree], prefix: Prefix) -> torch.Tensor:
        """Return the hidden states (b, s, d) of the nodes of every tree, padded at the right.

        A node stands at the position that it has in its own sequence and sees the prefix, its
        ancestors and itself, so one pass scores every sequence of a tree exactly.
        """
        width = max(map(len, trees))
        ids = torch.zeros(len(trees), width, dtype=torch.long)  # (b, s)
        # Padding goes on counting: positions that begin anew are taken for a second sequence in
        # the row, and cost a mask where none is needed.
        deepest = max(max(tree.depths) for tree in trees)
        positions = torch.arange(width).clamp(max=deepest).repeat(len(trees), 1)  # (b, s)
        for row, tree in enumerate(trees):
            ids[row, : len(tree)] = torch.tensor(tree.tokens)
            positions[row, : len(tree)] = torch.tensor(tree.depths)
        positions += len(prefix.ids)
        given = {"input_ids": ids.to(self.device), "position_ids": positions.to(self.device)}
        decoder = self.model.get_decoder()
        if prefix.ids and self._merges:
            mask = attention_masks(self.model, trees, positions, 0)
            with behind(prefix.layers):
                output = decoder(**given, attention_mask=mask, use_cache=False)
        else:
            mask = attention_masks(self.model, trees, positions, len(prefix.ids))
            output = decoder(
                **given,
                attention_mask=mask,
                past_key_values=prefix.cache(),
                use_cache=bool(prefix.ids),
            )
        states: torch.Tensor = output.last_hidden_state
        return states


class _Draft:
    """Arrays of a block's scores, filled batch by batch."""

    def __init__(self, rows: int, labels: int, width: int) -> None:
        self.logprobs = np.full((rows, labels), np.nan, dtype=np.float32)
        self.mass = np.full(rows, np.nan, dtype=np.float32)
        self.hidden = np.full((rows, width), np.nan, dtype=np.float32)
        self.truncated = np.zeros(rows, dtype=bool)
        self.read = np.zeros((rows, 2), dtype=np.float32)

    def scores(self, faults: dict[int, str], tokens: int) -> Scores:
        return Scores(
            self.logprobs, self.mass, self.hidden, self.truncated, faults, tokens, self.read
        )


def _joined(parts: Sequence[Scores]) -> Scores:
    return Scores(
        logprobs=np.concatenate([part.logprobs for part in parts]),
        mass=np.concatenate([part.mass for part in parts]),
        hidden=np.concatenate([part.hidden for part in parts]),
        truncated=np.concatenate([part.truncated for part in parts]),
        faults={index: fault for part in parts for index, fault in part.faults.items()},
        tokens=sum(part.tokens for part in parts),
        read=np.concatenate([part.read for part in parts if part.read is not None]),
    )
