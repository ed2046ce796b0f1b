"""Products with an adapter against peft's own forward and its gradients."""

from __future__ import annotations

import peft
import pytest
import torch

from conftest import build_model
from promptpredict.adapters import Tuning
from promptpredict.lm import CausalLM
from promptpredict.lowrank import use_lean
from promptpredict.trainee import Trainee, lora_config

TUNING = Tuning(rank=4, alpha=12)


def adapted(tokenizers, kind, dtype, *, lean):
    """A tiny model with an adapter that is not 0, as peft multiplies with it or in one node."""
    model = build_model(kind).to(dtype)
    lm = CausalLM(model, tokenizers["chatml"], name=kind)
    found = peft.get_peft_model(model, lora_config(lm, TUNING))
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in found.parameters():
            if parameter.requires_grad:
                parameter.normal_(std=0.2)
        for name, parameter in found.named_parameters():
            if name.endswith("bias"):  # 0 in a model that was not trained
                parameter.normal_()
    if lean:
        use_lean(found)
    return found


def learned(model):
    """The last states of two texts, and the gradients of a loss of them."""
    ids = torch.arange(40).reshape(2, 20) + 5
    states = model.get_base_model().get_decoder()(input_ids=ids, use_cache=False).last_hidden_state
    generator = torch.Generator().manual_seed(2)
    (states.float() * torch.randn(states.shape, generator=generator)).sum().backward()
    return states.detach(), [each.grad for each in model.parameters() if each.requires_grad]


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gemma2"])  # qwen2: with biases
def test_states_and_gradients_are_those_of_peft(tokenizers, kind):
    expected, slow = learned(adapted(tokenizers, kind, torch.float32, lean=False))
    found, own = learned(adapted(tokenizers, kind, torch.float32, lean=True))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert len(own) == len(slow) > 20
    for one, other in zip(own, slow, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5 * float(other.abs().max()))


def test_in_bfloat16_gradients_are_as_near_to_float32_as_those_of_peft(tokenizers):
    _, exact = learned(adapted(tokenizers, "llama", torch.float32, lean=False))
    _, slow = learned(adapted(tokenizers, "llama", torch.bfloat16, lean=False))
    _, own = learned(adapted(tokenizers, "llama", torch.bfloat16, lean=True))
    assert {each.dtype for each in own} == {torch.float32}
    error = sum(float((one - two).square().sum()) for one, two in zip(own, exact, strict=True))
    theirs = sum(float((one - two).square().sum()) for one, two in zip(slow, exact, strict=True))
    assert error < 1.5 * theirs


def test_what_a_product_gives_may_be_changed_in_place(tokenizers):
    """As by models that clamp queries, keys and values."""
    found = []
    for lean in (False, True):
        model = adapted(tokenizers, "llama", torch.float32, lean=lean)
        wide = model.config.hidden_size
        states = torch.linspace(-3, 3, 3 * wide).reshape(1, 3, wide)
        layer = model.get_base_model().model.layers[0].self_attn.q_proj
        layer(states).clamp_(-0.5, 0.5).sum().backward()
        found.append([layer.lora_A["default"].weight.grad, layer.lora_B["default"].weight.grad])
    torch.testing.assert_close(found[0], found[1])


def test_an_adapter_in_training_multiplies_lean(tokenizers, tmp_path):
    lm = CausalLM(build_model(), tokenizers["chatml"], name="tiny")
    trainee = Trainee(lm, TUNING, seed=0, checkpoint=tmp_path / "c.pt", key="k")
    states = (
        trainee.adapted.get_base_model()
        .model.layers[0]
        .mlp.up_proj(torch.ones(1, 3, lm.model.config.hidden_size))
    )
    assert type(states.grad_fn).__name__ == "_ProductBackward"
