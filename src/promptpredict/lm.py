"""A causal language model that scores label words: one forward pass per prompt, nothing generated.

Knows token ids, weights and logits; knows nothing of tables, prompt files or calibration. A
prefix that a block's prompts share is read once; the prompts' own tokens go through in batches;
only positions that predict a label token go through the output matrix, there with a whole row
in float32, because label mass needs the log-sum-exp over the vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from promptpredict.architectures import check_layers, check_sharing
from promptpredict.attention import use_merged, why_copied
from promptpredict.batching import Fitted, batches
from promptpredict.drafts import Draft, ReadRows, read_rows
from promptpredict.encoding import Encoder
from promptpredict.errors import ModelError
from promptpredict.gated import work_in_place
from promptpredict.hardware import batch_tokens as tokens_of_a_batch
from promptpredict.hardware import out_of_memory, pass_tokens
from promptpredict.outputs import Outputs
from promptpredict.passes import BLOCK_ROWS, Branches, Bundle, Passes, positions_of
from promptpredict.prefix import (
    Prefix,
    attention_masks,
    mean_states,
    padded,
    read_links,
    read_prefix,
    runs,
    seen,
    sent,
    sliding_window,
)
from promptpredict.rendered import Prompt
from promptpredict.scores import Journal, Labels, Scores, each_labels
from promptpredict.sharing import Beginning
from promptpredict.trees import TokenTree

_TRIAL = Prompt("", (), "A customer", "")
_PIECE = 1_024  # tokens of a prefix that a CPU reads at a time, the others by blocks of products
_NO_ROOM = "there is not enough memory to read its prompt"


class CausalLM:
    """A causal language model of transformers, with its tokenizer.

    ``batch_tokens`` bounds rows x longest of a batch (default: what the device has room for, at
    most 2,048 on a CPU and 32,768 on a GPU). ``share_prefix=False`` reads every prompt whole.
    ``copied`` says why a shared prefix is copied to each row of a batch; None where it is not.
    Raises ModelError for an architecture whose logits cannot be reproduced from its last hidden
    state, or whose attention is not causal attention over keys and values.
    """

    journals = True

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
        self.batch_tokens = batch_tokens or tokens_of_a_batch(model)
        config = model.config.get_text_config()
        self.context = positions_of(lambda name: getattr(config, name, None))
        self._window = sliding_window(config)
        self._prefix = Prefix.empty()
        self.outputs = Outputs(self.model)
        self.passes = Passes(
            self.encoder,
            context=self.context,
            vocabulary=self.outputs.vocabulary,
            batch_tokens=self.batch_tokens,
            pass_tokens=pass_tokens(self.device),
            share=share_prefix,
        )
        check_layers(config, name)
        work_in_place(self.model)
        trial = self.encoder.ids(_TRIAL)[-16:]
        self.outputs.check(trial, name)
        self.copied = why_copied(self.model) or self._try_merging(trial)
        if self.copied:
            check_sharing(self.model, self._forward, trial, name)

    @property
    def copied(self) -> str | None:
        """Why a shared prefix is copied to each row of a batch; None where it is not."""
        return self._copied

    @copied.setter
    def copied(self, why: str | None) -> None:
        """Copy it from now on, or no longer: only in place may a pass have several prefixes."""
        self._copied = why
        self.passes.beside = 0 if why else self._window

    def __sklearn_clone__(self) -> CausalLM:
        """Return itself: a clone of an estimator shares the weights."""
        return self

    def score(
        self,
        prompts: Sequence[Prompt],
        labels: Labels | Sequence[Labels],
        *,
        progress: Callable[[int], object] | None = None,
        journal: Journal | None = None,
    ) -> Scores:
        """Return the label log-probabilities of every prompt, in the order given.

        ``labels`` are the same for all, or one for each prompt. Prompts share batches only within
        a block of 1,024 of them; what those of one customer begin with is read once.
        ``progress`` is called with the number of prompts done since its last call. A batch that
        ``journal`` holds is not read: which prompts share a batch depends on ``prompts`` alone.
        """
        if not prompts:
            count = len(labels.words) if isinstance(labels, Labels) else 0
            return Draft(0, count, 2 * self.outputs.width, {}).scores(0)
        every = each_labels(labels, len(prompts))
        parts = []
        for start in range(0, len(prompts), BLOCK_ROWS):
            block = slice(start, start + BLOCK_ROWS)
            said = progress or (lambda _: None)
            parts.append(self._score_block(prompts[block], every[block], said, journal, start))
        return Scores.joined(parts)

    def count(self, prompts: Sequence[Prompt], labels: Labels | Sequence[Labels]) -> int:
        """Return how many tokens ``score`` would read; a prompt that has a fault has none."""
        return self.passes.count(prompts, labels, self._prefix.beginning)

    def fault(self, prompt: Prompt, labels: Labels) -> str | None:
        """Return why a prompt is too long to be read; None where it may be read."""
        return self.passes.fault(prompt, labels)

    def _try_merging(self, trial: Sequence[int]) -> str | None:
        """Attend to prefixes in place from now on; return why not, where scores would be others."""
        plain = self.model.config._attn_implementation
        use_merged(self.model)
        self.copied = None
        try:
            check_sharing(self.model, self._forward, trial, self.name)
        except ModelError as error:
            self.model.set_attn_implementation(plain)
            return str(error).removeprefix(f"{self.name}: ")
        return None

    # -- one block -------------------------------------------------------------------------

    def _score_block(
        self,
        prompts: Sequence[Prompt],
        labels: Sequence[Labels],
        progress: Callable[[int], object],
        journal: Journal | None,
        start: int,
    ) -> Scores:
        fitted, faults = self.passes.fit(prompts, labels)
        shape = (len(prompts), len(labels[0].words), 2 * self.outputs.width)
        draft = Draft(*shape, faults, journal, start)
        for index, item in fitted.items():
            draft.truncated[index] = item.truncated
        progress(len(faults))
        keys = {row: list(labels[row].words) for row in fitted}
        tokens = 0
        for bundle in self.passes.bundles(fitted):
            tokens += self._score_bundle(bundle, fitted, keys, draft, progress)
        return draft.scores(tokens)

    @torch.inference_mode()
    def _score_bundle(
        self,
        bundle: Bundle,
        fitted: Mapping[int, Fitted],
        keys: Mapping[int, list[str]],
        draft: Draft,
        progress: Callable[[int], object],
    ) -> int:
        """Score the rows of a bundle into ``draft``; return the tokens read."""
        todo = [batch for batch in self._batches(bundle.trees) if not draft.holds(_rows(batch))]
        left = [branches for batch in todo for branches in batch]
        tokens = bundle.tokens(self._prefix.beginning, left) if todo else 0
        progress(len(_rows(bundle.trees)) - len(_rows(left)))
        waiting: list[ReadRows] = []  # of the batch before: a GPU works on the next one meanwhile
        kept: dict[Beginning, Prefix] | None = None
        while todo:
            batch = todo.pop(0)
            try:
                kept = self._prefixes(bundle) if kept is None else kept
                prefixes = [
                    kept.get(each.prefix) or self._shared_prefix(each.prefix) for each in batch
                ]
                found = self.read(batch, prefixes, fitted, keys)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                draft.take(waiting)
                waiting, prefixes = [], []
                if kept is None:  # what a bundle keeps takes memory, too: its prefixes one by one
                    kept = {}
                    todo.insert(0, batch)
                    continue
                kept = {}
                self.batch_tokens = max(self.batch_tokens // 2, 1)  # of the groups to come
                todo[:0] = self.passes.halved(batch, fitted)
                if len(_rows(batch)) == 1:
                    draft.faults |= dict.fromkeys(batch[0].nodes, _NO_ROOM)
                    progress(1)
                continue
            # What a CPU has read is there, and kept at once.
            ready, waiting = (found, []) if self.device.type == "cpu" else (waiting, found)
            draft.take(ready)
            for branches in batch:
                draft.note(branches, len(branches.prefix), fitted)
            progress(len(_rows(batch)))
        draft.take(waiting)
        return tokens

    def _batches(self, trees: Sequence[Branches]) -> list[list[Branches]]:
        """Return trees in batches, those behind one prefix next to one another in each."""
        sizes = [len(branches.tree) for branches in trees]
        found = batches(sizes, self.batch_tokens, self.passes.pass_tokens)
        return [[trees[at] for at in sorted(batch)] for batch in found]

    def read(
        self,
        batch: Sequence[Branches],
        prefixes: Sequence[Prefix],
        fitted: Mapping[int, Fitted],
        keys: Mapping[int, list[str]],
    ) -> list[ReadRows]:
        """Read a batch, and the logits of its label words; nothing leaves the device yet.

        Each tree stands behind one of ``prefixes``, those behind the same one next to one another.
        """
        states = self._forward([branches.tree for branches in batch], prefixes)  # (b, s, d)
        width = states.shape[1]
        places: dict[int, list[int]] = {}  # row → its nodes in the flattened batch
        paths = []
        for at, branches in enumerate(batch):
            for row, nodes in branches.nodes.items():
                places[row] = [at * width + node for node in nodes]
                paths.append((at, branches.tree.path(nodes[0]), fitted[row].encoded.start))
        pooled = mean_states(states, paths, prefixes)  # (r, d)
        return read_rows(self.outputs, states.flatten(0, 1), places, pooled, fitted, keys)

    def _shared_prefix(self, beginning: Beginning) -> Prefix:
        """Return the keys and values of a prefix; the last one is kept, and extended."""
        prefix = self._prefix.upto(beginning.common(self._prefix.beginning))
        for step in beginning.steps[len(prefix.beginning.steps) :]:
            # How a step is read depends on nothing behind it: another prefix may go on from it.
            copied = bool(self.copied) or self._hides(step)
            piece = _PIECE if not copied and self.device.type == "cpu" else None
            more = beginning.upto(step)
            prefix = read_prefix(self.model, more, known=prefix, piece=piece, copied=copied)
        self._prefix = prefix
        return prefix

    def _prefixes(self, bundle: Bundle) -> dict[Beginning, Prefix]:
        """Read the prefixes of a bundle, those that go on from others in as few passes as may be."""
        found = {bundle.base: self._shared_prefix(bundle.base)}
        for sizes, links in bundle.levels():
            for batch in batches(sizes, self.batch_tokens, self.passes.pass_tokens):
                own, above = zip(*(links[at] for at in sorted(batch)), strict=True)
                read = read_links(self.model, own, [found[each] for each in above], self.context)
                found |= zip(own, read, strict=True)
        return found

    def _hides(self, depth: int) -> bool:
        """Whether a token sees less than all before it: masks say that, attention in place cannot."""
        return self._window is not None and depth >= self._window

    def _forward(self, trees: Sequence[TokenTree], prefixes: Sequence[Prefix]) -> torch.Tensor:
        """Return the hidden states (b, s, d) of the nodes of every tree, padded at the right.

        A node stands at the position that it has in its own sequence and sees the prefix, its
        ancestors and itself, so one pass scores every sequence of a tree exactly. Trees have
        ``prefixes`` of their own only where these are attended to in place.
        """
        depths = [tree.depths for tree in trees]
        ids, positions = padded([tree.tokens for tree in trees], prefixes, self.context, depths)
        given = {
            "input_ids": sent(ids, self.device),
            "position_ids": sent(positions, self.device),
        }
        decoder, prefix = self.model.get_decoder(), prefixes[0]
        deepest = max(map(max, depths))
        if prefix.ids and not self.copied and not self._hides(len(prefix.ids) + deepest):
            mask = attention_masks(self.model, trees, positions, 0)
            with seen(prefixes):
                output = decoder(**given, attention_mask=mask, use_cache=False)
        else:
            assert len(runs(prefixes)) == 1, "a cache has one prefix"
            mask = attention_masks(self.model, trees, positions, len(prefix.ids))
            output = decoder(
                **given,
                attention_mask=mask,
                past_key_values=prefix.cache(),
                use_cache=bool(prefix.ids),
            )
        states: torch.Tensor = output.last_hidden_state
        return states


def _rows(batch: Sequence[Branches]) -> list[int]:
    return [row for branches in batch for row in branches.nodes]
