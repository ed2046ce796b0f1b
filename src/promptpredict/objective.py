"""What is learned: label words exactly as they are scored, with gradients.

Knows a causal language model's passes and torch's gradients; knows nothing of records, adapters or
optimisers. What the prompts of a batch begin with is read once, with gradients, and its keys and
values go to every row; scoring attends to them in place, by kernels that have no gradients.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from promptpredict.batching import Fitted, batches
from promptpredict.lm import CausalLM
from promptpredict.prefix import read_prefix

_NARROW = 512  # keys up to which products are faster than the kernel with gradients, in bfloat16


def with_gradients(lm: CausalLM) -> None:
    """Let a language model read so that gradients flow: a shared prefix is copied to each row."""
    lm.copied = "it is trained"


def label_logprobs(
    lm: CausalLM, fitted: Mapping[int, Fitted], labels: Sequence[str]
) -> Iterator[tuple[list[int], torch.Tensor]]:
    """Yield rows of ``fitted`` and their label log-probabilities (m, k), a batch at a time.

    ``lm`` is one that reads ``with_gradients``. Each batch has a graph of its own, so that its
    gradients can be found, and its memory is free, before the next one is read.
    """
    keys = {row: list(labels) for row in fitted}
    for group in lm.passes.groups(fitted):
        sizes = [len(branches.tree) for branches in group.trees]
        for batch in batches(sizes, lm.batch_tokens, lm.passes.pass_tokens):
            keys_seen = len(group.prefix) + max(sizes[at] for at in batch)
            with _by_products(lm.model, keys_seen):
                prefixes = [read_prefix(lm.model, group.prefix)] * len(batch)
                parts = lm.read([group.trees[at] for at in batch], prefixes, fitted, keys)
            rows = [row for part in parts for row in part.rows]
            yield rows, torch.cat([part.logprobs for part in parts])


@contextmanager
def _by_products(model: Any, width: int) -> Iterator[None]:
    """Let attention to so many keys be products in bfloat16 on a CPU, where its kernel is slow."""
    if model.device.type != "cpu" or model.dtype != torch.bfloat16 or width > _NARROW:
        yield
        return
    # The switch is that of every device: without it torch makes float32 of the states first.
    switch = torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp
    allowed = torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed()  # type: ignore[no-untyped-call]
    switch(enabled=True)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        switch(enabled=allowed)


def losses_of(
    logprobs: torch.Tensor, columns: Sequence[int], weights: npt.NDArray[np.float64]
) -> torch.Tensor:
    """Return the cross-entropy (m,) of the label log-probabilities (m, k) of each row.

    They are renormalised over the labels, as the probabilities that are given are. ``columns`` (m,)
    are the rows' labels, ``weights`` (k,) what a row of each counts.
    """
    truth = torch.tensor(columns, device=logprobs.device)
    weight = torch.tensor(weights, dtype=logprobs.dtype, device=logprobs.device)
    return torch.nn.functional.cross_entropy(logprobs, truth, weight=weight, reduction="none")


def levelled(
    logprobs: npt.ArrayLike, columns: npt.NDArray[np.intp], weights: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return what to add to label log-probabilities (n, k) so that their cross-entropy is the least: (k,).

    The other parameters are those of ``losses_of``; of a label without a row there would be no least.
    """
    from scipy.optimize import minimize
    from scipy.special import log_softmax

    given, rows = np.asarray(logprobs, dtype=np.float64), np.arange(len(columns))
    counts = weights[columns]  # (n,)

    def loss(shift: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        found = log_softmax(given + shift, axis=1)
        more = np.exp(found)
        more[rows, columns] -= 1
        return -float(counts @ found[rows, columns]), counts @ more

    return np.asarray(minimize(loss, np.zeros(given.shape[1]), jac=True).x)
