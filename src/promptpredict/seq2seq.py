"""An encoder-decoder language model (T5 and its kin): prompts in the encoder, label words in the decoder.

Knows weights and token ids; knows nothing of tables, prompt files or calibration. Blocks, batches,
journals and halving are those of a causal model; a prompt is read once, and its decoder as often
as its label words have different beginnings. Nothing is shared between prompts: an encoder looks both ways.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch

from promptpredict.batching import Fitted
from promptpredict.drafts import ReadRows, read_rows
from promptpredict.errors import ModelError
from promptpredict.hardware import batch_tokens as tokens_of_a_batch
from promptpredict.hardware import pass_tokens
from promptpredict.lm import CausalLM
from promptpredict.outputs import Outputs
from promptpredict.passes import Branches, Passes
from promptpredict.prefix import Prefix, sent
from promptpredict.twosided import TwoSided, TwoSidedEncoder, context_of, decoder_start
from promptpredict.words import Ids, WordTree


class Seq2SeqLM(CausalLM):
    """An encoder-decoder model of transformers, with its tokenizer; scores as CausalLM does.

    The hidden state is the decoder's at the answer position, beside the mean of the encoder's over
    the customer's turn. Raises ModelError for an architecture whose logits are not understood.
    """

    def __init__(
        self, model: Any, tokenizer: Any, *, name: str, batch_tokens: int | None = None
    ) -> None:
        """Check that the model's logits are understood."""
        self.name = name
        self.model = model.eval()
        config = model.config.to_dict()
        self._start = decoder_start(config)
        self.encoder = TwoSidedEncoder(tokenizer, name=name, start=self._start)
        self.device = model.device
        self.batch_tokens = batch_tokens or tokens_of_a_batch(model)
        self.context = context_of(tokenizer, config)
        self._window = None
        self._prefix = Prefix.empty()
        self.outputs = Outputs(model)
        self.passes = Passes(
            self.encoder,
            context=self.context,
            vocabulary=self.outputs.vocabulary,
            batch_tokens=self.batch_tokens,
            pass_tokens=pass_tokens(self.device),
            share=False,
        )
        self.copied = None
        self._check()

    @torch.inference_mode()
    def _check(self) -> None:
        """Compare logits found from the states with the model's own."""
        ids = torch.tensor([[self._start] * 4], device=self.device)
        states, own = self._decode(self._encode([(1, 2, 3)])[0], torch.ones_like(ids[:, :3]), ids)
        wanted = list(range(min(64, own.shape[-1])))
        logits, total = self.outputs.logits(states, wanted)
        expected = torch.log_softmax(own.float(), dim=-1)[..., wanted]
        rounding = 1e-3 if self.model.dtype == torch.float32 else 4e-2
        if not torch.allclose(
            logits - total[..., None], expected, atol=rounding * max(1.0, float(own.abs().max()))
        ):
            raise ModelError(
                f"{self.name}: the architecture {type(self.model).__name__} changes its logits "
                "in a way that is not known here"
            )

    def read(
        self,
        batch: Sequence[Branches],
        prefixes: Sequence[Prefix],
        fitted: Mapping[int, Fitted],
        keys: Mapping[int, list[str]],
    ) -> list[ReadRows]:
        """Read a batch: the encoder once a prompt, the decoder once a beginning of label words."""
        rows = [row for branches in batch for row in branches.nodes]
        encoded = {row: cast("TwoSided", fitted[row].encoded) for row in rows}
        read, mask = self._encode([encoded[row].ids for row in rows])  # (b, s, d), (b, s)
        owners: list[int] = []  # of each sequence of the decoder: its row in the batch
        sequences: list[Ids] = []
        places: dict[int, list[tuple[int, int]]] = {}  # row → sequence and position of its nodes
        for at, row in enumerate(rows):
            found = _paths(encoded[row].words.tree())
            begun, first = encoded[row].decoder, len(sequences)
            sequences += [begun + path for path, _ in found]
            owners += [at] * len(found)
            where = {
                node: (first + number, len(begun) - 1 + depth)
                for number, (_, nodes) in enumerate(found)
                for depth, node in enumerate(nodes)
            }
            places[row] = [where[node] for node in sorted(where)]  # -1, the answer, first
        of = sent(np.array(owners), self.device)
        states, _ = self._decode(read[of], mask[of], self._padded(sequences)[0])  # (r, t, d)
        width = states.shape[1]
        flat = {row: [each * width + place for each, place in own] for row, own in places.items()}
        turns = [slice(encoded[row].start, len(encoded[row].ids)) for row in rows]
        pooled = [read[at, turn].float().mean(0) for at, turn in enumerate(turns)]
        return read_rows(
            self.outputs, states.flatten(0, 1), flat, torch.stack(pooled), fitted, keys
        )

    def _encode(self, every: Sequence[Ids]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the encoder's states (b, s, d) of sequences, and what of them is no padding (b, s)."""
        ids, mask = self._padded(every)
        output = self.model.get_encoder()(input_ids=ids, attention_mask=mask)
        return output.last_hidden_state, mask

    def _decode(
        self, read: torch.Tensor, mask: torch.Tensor, ids: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the states (r, t, d) that go into the output matrix, and the model's own logits.

        Padding stands on the right, where a causal decoder does not look. An architecture may scale
        its states before the matrix: they are taken where they enter it.
        """
        from transformers.modeling_outputs import BaseModelOutput

        taken: list[torch.Tensor] = []
        matrix = self.model.get_output_embeddings()
        hook = matrix.register_forward_pre_hook(lambda _, given: taken.append(given[0]))
        try:
            output = self.model(
                encoder_outputs=BaseModelOutput(last_hidden_state=read),
                attention_mask=mask,
                decoder_input_ids=ids,
                use_cache=False,
            )
        finally:
            hook.remove()
        return taken[0], output.logits

    def _padded(self, every: Sequence[Ids]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return sequences as ids (b, s), padded at the right, and a mask (b, s) of what is theirs."""
        width = max(map(len, every))
        ids, mask = (torch.zeros(len(every), width, dtype=torch.long) for _ in range(2))
        for row, each in enumerate(every):
            ids[row, : len(each)] = torch.tensor(each)
            mask[row, : len(each)] = 1
        return sent(ids, self.device), sent(mask, self.device)


def _paths(tree: WordTree) -> list[tuple[Ids, list[int]]]:
    """Return the paths of a tree from the answer to each leaf: their tokens, and their nodes, -1 first."""
    inner = {*tree.parents}
    leaves = [node for node in range(len(tree.tokens)) if node not in inner] or [-1]
    found = []
    for leaf in leaves:
        nodes = [leaf]
        while nodes[0] != -1:
            nodes.insert(0, tree.parents[nodes[0]])
        found.append((tuple(tree.tokens[node] for node in nodes[1:]), nodes))
    return found
