"""Attention to a shared prefix that is never copied: each row's own tokens apart, the two merged.

Knows tensors and transformers' attention interface; knows nothing of prompts or batches. A batch's
queries go through the prefix as one long sequence, without a mask; what they see of their own row
goes apart; the two are weighed by the log of their softmax sums (as in Hydragen, 2402.05099).
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
NAME = "promptpredict"
_flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_prefix: ContextVar[Layers | None] = ContextVar("prefix", default=None)


def can_merge(model: Any) -> bool:
    """Whether a model's attention is what is merged here: plain, full, on a CPU."""
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ())
    windowed = getattr(config, "sliding_window", None) and not kinds
    capped = getattr(config, "attn_logit_softcapping", None)
    plain = kinds <= {"full_attention"} and not windowed and not capped
    return bool(
        model.device.type == "cpu" and config._attn_implementation in ("sdpa", NAME) and plain
    )


def use_merged(model: Any) -> None:
    """Let a model's layers attend to the prefix that ``behind`` gives; without one as before."""
    AttentionInterface.register(NAME, _attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.set_attn_implementation(NAME)


@contextmanager
def behind(layers: Layers) -> Iterator[None]:
    """Put keys and values (1, heads, p, d) of every layer in front of all rows."""
    token = _prefix.set(layers)
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
    layers = _prefix.get()
    if layers is None:
        found: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **given
        )
        return found
    before, values = layers[module.layer_idx]
    rows, heads, width, size = query.shape
    kv = before.shape[1]
    # One sequence a key head: the query heads that share it stand behind one another, so that
    # neither they nor the rows need a copy of the prefix.
    flat = query.view(rows, kv, heads // kv, width, size).permute(1, 2, 0, 3, 4)
    flat = flat.reshape(1, kv, -1, size)
    far, far_sum = _flash(flat, before, values, scale=scaling)
    shape = (kv, heads // kv, rows, width)
    far = far.view(*shape, size).permute(2, 0, 1, 3, 4).reshape(rows, heads, width, size)
    far_sum = far_sum.view(shape).permute(2, 0, 1, 3).reshape(rows, heads, width)
    own = [each.repeat_interleave(heads // kv, dim=1) for each in (key, value)]
    plain = attention_mask is None
    near, near_sum = _flash(query, *own, is_causal=plain, attn_mask=attention_mask, scale=scaling)
    share = torch.sigmoid(far_sum - near_sum)[..., None]  # of the prefix, (b, heads, s, 1), float32
    merged = near.float() + share * (far.float() - near.float())
    return merged.to(query.dtype).transpose(1, 2).contiguous(), None
