"""From hidden states to log-probabilities: the output matrix, in float32, where a label is predicted.

Knows an architecture's output matrix and what it does to logits behind it; knows nothing of
prompts, prefixes or batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from promptpredict.errors import ModelError
from promptpredict.words import WordTree

_CHUNK = 4_096  # rows of the matrix that go through at once: of 576 numbers, what a cache holds
_STATES = 2_048  # states whose logits over a chunk are there at once: 32 MB
_KEPT = 256 << 20  # bytes of a matrix in float32 that is kept so: half of what a pass takes for it


class Outputs:
    """The output matrix of a causal language model of transformers."""

    def __init__(self, model: Any) -> None:
        """Take the matrix and the settings that bear on logits."""
        self.model = model
        self.matrix = model.get_output_embeddings()
        self._config = model.config.get_text_config()
        weight = self.matrix.weight.detach()
        small = weight.device.type == "cpu" and 4 * weight.numel() <= _KEPT
        self._weight = weight.float() if small else weight

    @property
    def width(self) -> int:
        """Return how many numbers a hidden state has."""
        return int(self.matrix.weight.shape[1])

    @property
    def vocabulary(self) -> int:
        """Return how many tokens have a row in the matrix."""
        return len(self.matrix.weight)

    def logprobs(self, hidden: torch.Tensor, wanted: Sequence[int]) -> torch.Tensor:
        """Return log P(token | state) (p, wanted) in float32 of some tokens, from states (p, d)."""
        parts = [self.logits(some, wanted) for some in torch.split(hidden, _STATES)]
        return torch.cat([logits - total[:, None] for logits, total in parts])

    def logits(
        self, hidden: torch.Tensor, wanted: Sequence[int]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the logits of some tokens and the log-sum-exp over the vocabulary, in float32.

        In bfloat16 a logit of 20 is known to 1/16: different customers would tie. The matrix goes
        through in chunks, so that no second copy of a large one is made. ``wanted`` is ascending.
        """
        states = hidden.float()
        bias = getattr(self.matrix, "bias", None)
        totals, kept = [], []
        for start in range(0, self.vocabulary, _CHUNK):
            rows = slice(start, start + _CHUNK)
            part = None if bias is None else bias[rows].float()
            logits = self._finished(
                torch.nn.functional.linear(states, self._weight[rows].float(), part)
            )
            totals.append(torch.logsumexp(logits, dim=-1))
            within = [token - start for token in wanted if start <= token < start + _CHUNK]
            kept.append(logits[..., within])
        return torch.cat(kept, dim=-1), torch.logsumexp(torch.stack(totals, dim=-1), dim=-1)

    def every(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return the logits (p, vocabulary) of all tokens from states (p, d), in float32."""
        bias = getattr(self.matrix, "bias", None)
        part = None if bias is None else bias.float()
        return self._finished(
            torch.nn.functional.linear(hidden.float(), self._weight.float(), part)
        )

    @torch.inference_mode()
    def check(self, ids: Sequence[int], name: str) -> None:
        """Compare logits found from a hidden state with the model's own.

        Raises ModelError where the architecture does to them what is not known here.
        """
        given = torch.tensor([list(ids)], device=self.model.device)
        own = self.model(input_ids=given, use_cache=False).logits[:, -1].float()  # (1, vocabulary)
        kind, decoder = type(self.model).__name__, self.model.get_decoder()
        if decoder is self.matrix:  # as transformers finds it by its name in ModernBertDecoder
            raise ModelError(
                f"{name}: the architecture {kind} gives its output matrix as its decoder, and no "
                "hidden states; possible: models whose decoder gives them"
            )
        decoded = decoder(input_ids=given, use_cache=False)
        wanted = list(range(min(64, own.shape[-1])))
        logits, total = self.logits(decoded.last_hidden_state[:, -1:], wanted)
        found = (logits - total[..., None])[0, 0]
        expected = torch.log_softmax(own[0], dim=-1)[wanted]
        # The model's own logits are rounded to its dtype: 8 bits in bfloat16.
        rounding = 1e-3 if self.model.dtype == torch.float32 else 4e-2
        if not torch.allclose(found, expected, atol=rounding * max(1.0, float(own.abs().max()))):
            raise ModelError(
                f"{name}: the architecture {kind} changes its logits in a way that is not known here"
            )

    def _finished(self, logits: torch.Tensor) -> torch.Tensor:
        """Apply what an architecture does to its logits behind the output matrix."""
        if scale := getattr(self._config, "logit_scale", None):  # Cohere
            logits = logits * scale
        if scaling := getattr(self._config, "logits_scaling", None):  # Granite
            logits = logits / scaling
        if cap := getattr(self._config, "final_logit_softcapping", None):  # Gemma
            logits = torch.tanh(logits / cap) * cap
        return logits


def entry_logprobs(logprobs: torch.Tensor, wanted: Sequence[int], tree: WordTree) -> torch.Tensor:
    """Return log P(entry | prompt) (m, entries) from log P of ``wanted`` tokens (m, 1 + nodes, w)."""
    columns = {token: column for column, token in enumerate(wanted)}
    paths = [
        [logprobs[:, node + 1, columns[token]] for node, token in steps] for steps in tree.steps
    ]
    return torch.stack([torch.stack(path).sum(dim=0) for path in paths], dim=1)


def by_label(entries: torch.Tensor, columns: Sequence[int], labels: int) -> torch.Tensor:
    """Join the entries (b, entries) of each label by log-sum-exp: (b, labels).

    ``columns`` says which label each entry belongs to.
    """
    joined = [
        torch.logsumexp(entries[:, [at for at, of in enumerate(columns) if of == label]], dim=1)
        for label in range(labels)
    ]
    return torch.stack(joined, dim=1)
