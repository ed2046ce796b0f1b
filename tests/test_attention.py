"""Attention to a prefix apart and merged, against plain attention over all keys at once."""

from __future__ import annotations

import pytest
import torch

from conftest import build_model
from promptpredict import attention
from promptpredict.lm import CausalLM

ROWS, WIDTH, PREFIX, SIZE = 3, 5, 7, 16


class Layer:
    layer_idx = 1
    is_causal = True


def states(heads, length, seed, rows=ROWS):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, heads, length, SIZE, generator=generator)


def mask():
    """Rows of different trees: each sees itself and some of what stands before it."""
    seen = torch.rand(ROWS, 1, WIDTH, WIDTH, generator=torch.Generator().manual_seed(5)) < 0.6
    seen = (seen & torch.ones(WIDTH, WIDTH, dtype=torch.bool).tril()) | torch.eye(WIDTH).bool()
    return torch.zeros(seen.shape).masked_fill(~seen, torch.finfo(torch.float32).min)


@pytest.mark.parametrize("kv", [1, 2, 4], ids=["one key head", "two", "as many"])
@pytest.mark.parametrize("scale", [0.25, 3.0])
def test_it_equals_attention_over_prefix_and_row_at_once(kv, scale):
    heads = 4
    query = states(heads, WIDTH, 0)
    key, value = states(kv, WIDTH, 1), states(kv, WIDTH, 2)
    other = states(kv, PREFIX, 3, rows=1), states(kv, PREFIX, 4, rows=1)
    with attention.behind([(other[1], other[0]), other]):  # the layer is the second
        found, weights = attention._attend(Layer, query, key, value, mask(), scaling=scale)
    whole = [
        torch.cat([before.expand(ROWS, -1, -1, -1), own], dim=2).repeat_interleave(heads // kv, 1)
        for before, own in zip(other, (key, value), strict=True)
    ]
    seen = torch.cat([torch.zeros(ROWS, 1, WIDTH, PREFIX), mask()], dim=3)
    scores = query @ whole[0].transpose(2, 3) * scale + seen
    expected = torch.softmax(scores, dim=3) @ whole[1]
    assert weights is None
    assert found.shape == (ROWS, WIDTH, heads, SIZE)
    torch.testing.assert_close(found, expected.transpose(1, 2), atol=1e-5, rtol=1e-5)


def test_a_prefix_ends_with_its_block():
    with attention.behind([(torch.zeros(1), torch.zeros(1))]):
        assert attention._prefix.get() is not None
    assert attention._prefix.get() is None


@pytest.mark.parametrize(
    ("kind", "changes", "merges"),
    [
        ("llama", {}, True),
        ("qwen3", {}, True),
        ("phi", {}, True),
        ("mistral", {"sliding_window": 24}, False),
        ("mistral", {"sliding_window": None}, True),
        ("gemma2", {"sliding_window": 24}, False),
        ("gemma3", {"sliding_window": 24}, False),
    ],
)
def test_windows_and_soft_caps_keep_the_way_of_the_cache(tokenizers, kind, changes, merges):
    lm = CausalLM(build_model(kind, **changes), tokenizers["chatml"], name=kind)
    assert lm._merges == merges
    assert (lm.model.config._attn_implementation == attention.NAME) == merges


def test_another_attention_than_that_of_torch_is_left_alone(tokenizers):
    model = build_model()
    model.set_attn_implementation("eager")
    lm = CausalLM(model, tokenizers["chatml"], name="eager")
    assert not lm._merges
    assert lm.model.config._attn_implementation == "eager"


def test_loading_a_model_twice_is_no_fault(tokenizers):
    model = build_model()
    for _ in range(2):
        assert CausalLM(model, tokenizers["chatml"], name="twice")._merges
