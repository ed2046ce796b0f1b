"""Attention to a shared prefix that is never copied: each row's own tokens apart, the two merged.

Knows tensors and transformers' attention interface; knows nothing of prompts or batches.

                  the prefix, once          own tokens, row by row
                  k k k k k k k k           k k k
    row 1    q    x x x x x x x x      q    x
             q    x x x x x x x x      q    x x
             q    x x x x x x x x      q    x x x
                                            k k k
    row 2    q    x x x x x x x x      q    x
             q    x x x x x x x x      q    x x
             q    x x x x x x x x      q    x . x      a branch does not see another

    far: all queries of the batch as       near: a mask for trees,
    one long sequence, without a mask      plain causal attention for chains

    what a query sees = share * far + (1 - share) * near,  share = sigmoid(log sum far - log sum near)

The log sums are those of the softmax on either side (as in Hydragen, 2402.05099), so that the
result is that of one softmax over both. Where rows stand behind several prefixes, each prefix is far
to its own rows, one after another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

Layers = Sequence[tuple[torch.Tensor, torch.Tensor]]
Stack = Sequence[tuple[int, Layers]]  # rows of a batch, and what all of these stand behind
Seen = tuple[
    torch.Tensor, torch.Tensor
]  # what queries see (b, heads, s, d), log sums (b, heads, s)
NAME = "promptpredict"
_BLOCK = 1 << 21  # scores that are there at once: 4 MB of bfloat16, what caches hold
_LONG = 128  # tokens of a prefix from which blocks of products are faster than the kernel
_SHORT = 256  # tokens of a row up to which products are faster than the kernel
_FIRST = 16  # keys among which one is looked for whose share tells the sum
_LEAST = 1e-30  # of such a share; bfloat16 ends at 1e-38
_on_cpu = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_on_cuda = torch.ops.aten._scaled_dot_product_flash_attention
_prefix: ContextVar[Stack | None] = ContextVar("prefix", default=None)


def why_copied(model: Any) -> str | None:
    """Return why a model's layers need a prefix copied to each row; None where they do not."""
    config = model.config.get_text_config()
    kind, half = model.device.type, model.dtype in (torch.bfloat16, torch.float16)
    if getattr(config, "attn_logit_softcapping", None):
        return "it caps its attention scores"
    if config._attn_implementation not in ("sdpa", NAME):
        return f"its attention is '{config._attn_implementation}', not 'sdpa'"
    if kind != "cpu" and not (kind == "cuda" and half):
        return f"there is no kernel for it in {str(model.dtype).removeprefix('torch.')} on {kind}"
    return None


def use_merged(model: Any) -> None:
    """Let a model's layers attend to the prefix that ``behind`` gives; without one as before."""
    AttentionInterface.register(NAME, _attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.set_attn_implementation(NAME)


@contextmanager
def behind(stack: Stack) -> Iterator[None]:
    """Put keys and values (1, kv heads, p, d) of every layer in front of rows, of all in turn."""
    token = _prefix.set(stack)
    try:
        yield
    finally:
        _prefix.reset(token)


def _attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **given: Any,
) -> tuple[torch.Tensor, None]:
    """Return what queries (b, heads, s, d) see of the prefix and of their own row: (b, s, heads, d).

    ``key`` and ``value`` (b, kv heads, s, d) are those of the row. ``attention_mask`` (b, 1, s, s)
    is None where each token sees those before it in its row.
    """
    stack = _prefix.get()
    if stack is None:
        found: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **given
        )
        return found
    scale = query.shape[3] ** -0.5 if scaling is None else scaling
    parts = torch.split(query, [rows for rows, _ in stack])
    every = []
    for part, (_, layers) in zip(parts, stack, strict=True):
        keys, values = layers[module.layer_idx]
        every.append(_far(part, keys, values, scale))
    far, far_sum = every[0]
    if len(every) > 1:
        far, far_sum = (torch.cat(each) for each in zip(*every, strict=True))
    near, near_sum = _near(query, key, value, attention_mask, scale)
    share = torch.sigmoid(far_sum - near_sum)[..., None]  # of the prefix, (b, heads, s, 1), float32
    merged = near.float() + share * (far.float() - near.float())
    return merged.to(query.dtype).transpose(1, 2).contiguous(), None


def _far(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scale: float) -> Seen:
    """Return what queries (b, heads, s, d) see of a prefix (1, kv heads, p, d), all of it."""
    rows, heads, width, size = query.shape
    kv = keys.shape[1]
    # One sequence a key head: the query heads that share it stand behind one another, so that
    # neither they nor the rows need a copy of the prefix.
    flat = query.view(rows, kv, heads // kv, width, size).permute(1, 2, 0, 3, 4)
    flat = flat.reshape(1, kv, -1, size)
    on_cpu = query.device.type == "cpu"
    if on_cpu and query.dtype == torch.bfloat16 and keys.shape[2] >= _LONG:
        seen, sums = _in_blocks(flat, keys, values, scale)
    else:
        seen, sums = _kernel(flat, keys, values, scale=scale)
    shape = (kv, heads // kv, rows, width)
    seen = seen.view(*shape, size).permute(2, 0, 1, 3, 4).reshape(rows, heads, width, size)
    return seen, sums.view(shape).permute(2, 0, 1, 3).reshape(rows, heads, width)


def _near(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scale: float,
) -> Seen:
    """Return what queries (b, heads, s, d) see of their own row (b, kv heads, s, d)."""
    width, on_cpu = query.shape[2], query.device.type == "cpu"
    if on_cpu and query.dtype == torch.bfloat16 and width <= _SHORT:
        if mask is None:
            hidden = torch.finfo(query.dtype).min
            mask = torch.full((width, width), hidden, dtype=query.dtype).triu_(1)
        return _masked(query, key, value, mask, scale)
    if mask is None:
        return _kernel(query, key, value, is_causal=True, scale=scale)
    if on_cpu:
        return _kernel(query, key, value, attn_mask=mask, scale=scale)
    return _masked(query, key, value, mask, scale)


def _kernel(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, **given: Any) -> Seen:
    """Return what the flash kernel of the device does; a key head serves several query heads."""
    flash = _on_cpu if query.device.type == "cpu" else _on_cuda
    seen, sums, *_ = flash(query, key, value, **given)
    return seen, sums


def _in_blocks(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scale: float) -> Seen:
    """Return what ``_far`` does, by matrix products of so many queries that the scores stay cached.

    The CPU's flash kernel takes its bfloat16 products from a BLAS that is slow at them on some
    processors (benchmarks/LOG.md). Scores are rounded to bfloat16 here, as in eager attention.
    """
    query = query * scale
    seen = torch.empty_like(query)
    sums = torch.empty(query.shape[:3], dtype=torch.float32)
    step = max(_BLOCK // keys.shape[2], 1)
    for head in range(query.shape[1]):
        key, value = keys[0, head].T, values[0, head]
        for start in range(0, query.shape[2], step):
            rows = slice(start, start + step)
            scores = query[0, head, rows] @ key  # (m, p)
            first = scores[:, :_FIRST].float()
            shares = torch.softmax(scores, dim=-1, out=scores)
            torch.mm(shares, value, out=seen[0, head, rows])
            # A score less the log of its share is the log sum, whichever key it is.
            share, at = shares[:, :_FIRST].float().max(dim=-1, keepdim=True)
            sums[0, head, rows] = (first.gather(1, at) - share.log())[:, 0]
            if share.min() < _LEAST:
                scores = query[0, head, rows] @ key
                sums[0, head, rows] = torch.logsumexp(scores.float(), dim=-1)
    return seen, sums


def _masked(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor, scale: float
) -> Seen:
    """Return what ``_near`` does behind a mask (b, 1, s, s) or (s, s), by matrix products.

    CUDA's flash kernel takes no mask; the CPU's is slow in bfloat16, as said above.
    """
    rows, heads, width, size = query.shape
    kv = key.shape[1]
    grouped = (query * scale).reshape(rows, kv, -1, size)  # (b, kv heads, heads / kv heads * s, d)
    scores = (grouped @ key.mT).view(rows, heads, width, width).add_(mask)
    shares = torch.softmax(scores, dim=-1)
    # Here, too, a score less the log of its share is the log sum: that of the token itself.
    share = shares.diagonal(dim1=-2, dim2=-1).float()
    sums = scores.diagonal(dim1=-2, dim2=-1).float() - share.log()
    if share.is_cuda or share.min() < _LEAST:  # a GPU is not waited for
        sums = torch.logsumexp(scores.float(), dim=-1)
    return (shares.view(rows, kv, -1, width) @ value).view(query.shape), sums
