"""Products of a layer with an adapter while it is trained: one node of the graph for each.

Knows torch and peft's layers; knows nothing of prompts, losses or optimisers. peft makes five more
tensors as wide as the layer for a product, and in float32; here what is of low rank is added in
place, in the dtype of the model. The adapter's own weights stay float32.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

Gradients = tuple[torch.Tensor | None, None, None, torch.Tensor, torch.Tensor]


def use_lean(adapted: Any) -> None:
    """Let the layers of a peft model multiply with their adapters in one node of the graph.

    The adapter is the only one, and has no dropout.
    """
    from peft.tuners.lora import Linear

    for module in adapted.modules():
        if isinstance(module, Linear):
            module.forward = partial(_multiply, module)


def _multiply(module: Any, states: torch.Tensor) -> torch.Tensor:
    """Return what a layer makes of states (..., d), with its adapter: (..., wide)."""
    base, [name] = module.base_layer, module.active_adapters
    down = module.lora_A[name].weight * module.scaling[name]  # (rank, d)
    up = module.lora_B[name].weight  # (wide, rank)
    kind = states.dtype
    found: torch.Tensor = _Product.apply(states, base.weight, base.bias, down.to(kind), up.to(kind))  # type: ignore[no-untyped-call]
    return found


class _Product(torch.autograd.Function):
    """``x W' + b + (x A') B'`` of states x; there are gradients of x, A and B, W and b stay as they are."""

    @staticmethod
    def forward(
        ctx: Any,
        states: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        down: torch.Tensor,
        up: torch.Tensor,
    ) -> torch.Tensor:
        flat = states.flatten(0, -2)  # (n, d)
        low = flat @ down.T  # (n, rank)
        found = torch.nn.functional.linear(
            states, weight, bias
        )  # no view: some models clamp it in place
        found.view(-1, len(up)).addmm_(low, up.T)
        ctx.save_for_backward(flat, weight, down, up, low)
        return found

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Gradients:
        flat, weight, down, up, low = ctx.saved_tensors
        wide = gradients[0].flatten(0, -2)  # (n, wide)
        own = wide @ up  # (n, rank)
        of_states = None
        if ctx.needs_input_grad[0]:  # the first layer's states are nobody's
            of_states = (
                (wide @ weight).addmm_(own, down).view(*gradients[0].shape[:-1], down.shape[1])
            )
        return of_states, None, None, own.T @ flat, wide.T @ low
