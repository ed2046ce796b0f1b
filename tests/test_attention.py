"""Attention to a prefix apart and merged, against plain attention over all keys at once."""

from __future__ import annotations

import pytest
import torch

from conftest import build_model
from promptpredict import attention
from promptpredict.lm import CausalLM
from promptpredict.rendered import Prompt, Turn
from promptpredict.scores import Labels

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


def test_without_a_mask_each_token_sees_those_before_it():
    query, key, value = (states(4, WIDTH, seed) for seed in range(3))
    other = [(states(4, PREFIX, 3, rows=1), states(4, PREFIX, 4, rows=1))] * 2
    causal = torch.full((WIDTH, WIDTH), torch.finfo(torch.float32).min).triu(1)
    with attention.behind(other):
        found, _ = attention._attend(Layer, query, key, value, None, scaling=0.5)
        expected, _ = attention._attend(
            Layer, query, key, value, causal.expand(ROWS, 1, -1, -1), scaling=0.5
        )
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("shots", [0, 2], ids=["nothing in front", "behind a prefix"])
@pytest.mark.parametrize("branches", [False, True], ids=["words of a token", "of several"])
def test_rows_of_different_lengths_need_no_mask(tokenizers, monkeypatch, shots, branches):
    lm = CausalLM(build_model(), tokenizers["chatml"], name="watched")
    turns = tuple(Turn(f"Customer {at}", "Answer: no") for at in range(shots))
    prompts = [
        Prompt("Judge.", turns, f"Customer {'late ' * words}", "Answer:", shots)
        for words in (1, 9, 4)
    ]
    labels = Labels(
        {"yes": ["late again" if branches else "a"], "no": ["good but" if branches else "b"]}
    )
    masks = []
    sdpa, flash = attention.sdpa_attention_forward, attention._flash

    def watched_sdpa(module, query, key, value, mask, **given):
        masks.append(mask)
        return sdpa(module, query, key, value, mask, **given)

    def watched_flash(query, key, value, **given):
        masks.extend([given["attn_mask"]] if "attn_mask" in given else [])
        return flash(query, key, value, **given)

    lm.score(prompts, labels)  # reads the prefix, which the next time is kept
    monkeypatch.setattr(attention, "sdpa_attention_forward", watched_sdpa)
    monkeypatch.setattr(attention, "_flash", watched_flash)
    lm.score(prompts, labels)
    assert masks
    assert all((mask is not None) == branches for mask in masks)


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
