"""Packed weights give what plain ones do, and are left plain where a machine cannot pack them."""

from __future__ import annotations

import pytest
import torch

from conftest import build_model
from promptpredict import packed
from promptpredict.lm import CausalLM
from promptpredict.packed import PackedLinear, pack_weights
from promptpredict.rendered import Prompt
from promptpredict.scores import Labels

LABELS = Labels({"1": ["angry"], "0": ["happy"]})
PROMPTS = [
    Prompt("Judge.", (), f"Feedback: {'late ' * words}", "The customer feels", 0)
    for words in range(1, 20)
]

pytestmark = pytest.mark.skipif(not packed._packs(), reason="oneDNN is not part of this torch")


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(7, 48), (3, 5, 48)])
def test_a_packed_layer_does_what_the_plain_one_does(shape, bias):
    torch.manual_seed(0)
    linear = torch.nn.Linear(48, 32, bias=bias, dtype=torch.bfloat16)
    states = torch.randn(shape).bfloat16()
    with torch.inference_mode():
        found, expected = PackedLinear(linear, 64)(states), linear(states)
    assert (found.dtype, found.shape) == (torch.bfloat16, expected.shape)
    torch.testing.assert_close(found, expected, atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gemma2", "phi"])
def test_scores_stay_what_they_were(tokenizers, kind):
    torch.set_num_threads(1)
    lm = CausalLM(build_model(kind).to(torch.bfloat16), tokenizers["chatml"], name="tiny")
    before = lm.score(PROMPTS, LABELS)
    assert pack_weights(lm.model, lm.batch_tokens)
    kinds = {type(module) for module in lm.model.get_decoder().modules()}
    assert PackedLinear in kinds
    assert torch.nn.Linear not in kinds
    after = lm.score(PROMPTS, LABELS)
    assert after.faults == {}
    torch.testing.assert_close(
        torch.from_numpy(after.logprobs), torch.from_numpy(before.logprobs), atol=0.1, rtol=0
    )


def test_packing_leaves_the_random_numbers_of_others_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    packed._packs()
    assert torch.equal(torch.rand(3), expected)


def test_a_packed_model_can_be_wrapped_again(tokenizers):
    lm = CausalLM(build_model().to(torch.bfloat16), tokenizers["chatml"], name="tiny")
    pack_weights(lm.model, lm.batch_tokens)
    again = CausalLM(lm.model, tokenizers["chatml"], name="again", share_prefix=False)
    assert again.score(PROMPTS, LABELS).faults == {}


def test_the_plain_weights_are_gone(tokenizers):
    """Or a model would take its memory twice."""
    model = build_model().to(torch.bfloat16)
    count = sum(each.numel() for each in model.get_decoder().layers.parameters())
    pack_weights(model, 64)
    left = sum(each.numel() for each in model.get_decoder().layers.parameters())
    assert left < count / 10  # norms


@pytest.mark.parametrize("why", ["float32", "no oneDNN"])
def test_where_it_cannot_be_the_weights_stay_plain(monkeypatch, why):
    model = build_model()
    if why == "no oneDNN":
        model = model.to(torch.bfloat16)
        monkeypatch.setattr(packed, "_OPS", None)
    assert not pack_weights(model, 64)
    assert not any(isinstance(module, PackedLinear) for module in model.modules())
