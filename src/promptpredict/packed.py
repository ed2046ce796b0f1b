"""Weights in the order in which a CPU's products in bfloat16 read them: put so once, not each time.

Knows torch modules and oneDNN; knows nothing of attention or prompts. The products are the same. The
weights cannot be trained or saved any more, so only a model that is loaded to score is packed.
"""

from __future__ import annotations

from typing import Any

import torch

_OPS = torch.ops.mkldnn  # what torch's own compiler makes of a linear layer


class PackedLinear(torch.nn.Module):
    """A linear layer whose weights (n, d) are packed for products of about ``rows`` states."""

    def __init__(self, linear: torch.nn.Linear, rows: int) -> None:
        """Pack the weights of a layer."""
        super().__init__()
        self.bias = linear.bias
        packed = _OPS._reorder_linear_weight(linear.weight.detach(), rows)
        self.register_buffer("weight", packed, persistent=False)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Return (..., n) of states (..., d)."""
        found: torch.Tensor = _OPS._linear_pointwise(states, self.weight, self.bias, "none", [], "")
        return found


@torch.inference_mode()
def pack_weights(model: Any, rows: int) -> bool:
    """Pack the linear layers of a decoder one by one; return whether that is possible here.

    It is for bfloat16 on a CPU, where the packed layers give what the plain ones do.
    """
    if model.device.type != "cpu" or model.dtype != torch.bfloat16 or not _packs():
        return False
    for module in list(model.get_decoder().modules()):
        for name, child in module.named_children():
            if type(child) is torch.nn.Linear:
                setattr(module, name, PackedLinear(child, rows))
    return True


def _packs() -> bool:
    """Whether this torch has the operations, and they do what they should."""
    with torch.random.fork_rng(devices=[]):  # a new layer draws its weights
        linear = torch.nn.Linear(64, 32, dtype=torch.bfloat16)
    states = torch.linspace(-1, 1, 5 * 64).view(5, 64).bfloat16()
    try:
        return torch.allclose(PackedLinear(linear, 5)(states), linear(states), atol=1e-2)
    except (AttributeError, RuntimeError):
        return False
