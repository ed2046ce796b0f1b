"""Gated layers in place, against the same layers as transformers has them."""

from __future__ import annotations

import copy

import pytest
import torch

from conftest import build_model
from promptpredict.gated import work_in_place


def states(rows=5):
    return torch.randn(2, rows, 32, generator=torch.Generator().manual_seed(3))


def pair(kind="llama", dtype=torch.float32, **changes):
    """A model as it came, and the same that works in place."""
    model = build_model(kind, **changes).to(dtype)
    lean = copy.deepcopy(model)
    work_in_place(lean)
    return model.model.layers[1].mlp, lean.model.layers[1].mlp


@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3", "mistral", "granite"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_result_is_the_same_to_the_last_bit(kind, dtype):
    plain, lean = pair(kind, dtype)
    given = states().to(dtype)
    with torch.inference_mode():
        expected, found = plain(given), lean(given)
    assert torch.equal(found, expected)
    assert torch.equal(given, states().to(dtype)), "what it was given is not touched"
    assert lean.forward.func.__name__ == "_gated"


def test_two_tensors_of_the_widest_states_are_not_made(monkeypatch):
    plain, lean = pair()
    silu = torch.nn.functional.silu
    places = []

    def watched(given, *, inplace=False):
        found = silu(given, inplace=inplace)
        places.append(found.data_ptr() == given.data_ptr())
        return found

    monkeypatch.setattr(torch.nn.functional, "silu", watched)
    with torch.inference_mode():
        plain(states()), lean(states())
    assert places == [False, True]


@pytest.mark.parametrize("kind", ["gemma2", "gemma3", "phi"])
def test_layers_that_do_something_else_stay(kind):
    model = build_model(kind)
    before = [module.forward for module in model.modules()]
    work_in_place(model)
    assert [module.forward for module in model.modules()] == before


def test_a_layer_with_the_names_and_another_order_stays():
    model = build_model()

    class Other(type(model.model.layers[0].mlp)):
        def forward(self, given):
            return self.down_proj(self.act_fn(self.up_proj(given)) * self.gate_proj(given))

    for layer in model.model.layers:
        layer.mlp.__class__ = Other
    expected = model.model.layers[0].mlp(states())
    work_in_place(model)
    assert "forward" not in vars(model.model.layers[0].mlp)
    torch.testing.assert_close(model.model.layers[0].mlp(states()), expected)


def test_gradients_are_as_before():
    plain, lean = pair()
    for layer in (plain, lean):
        layer(states()).square().sum().backward()
    assert torch.equal(lean.gate_proj.weight.grad, plain.gate_proj.weight.grad)
