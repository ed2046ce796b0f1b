"""Attention to a prefix apart and merged, against plain attention over all keys at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from conftest import build_model
from promptpredict import attention, prefix
from promptpredict.lm import CausalLM
from promptpredict.rendered import Prompt, Turn
from promptpredict.scores import Labels
from reference import reference_scores

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
    with attention.behind([(ROWS, [(other[1], other[0]), other])]):  # the layer is the second
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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("masked", [True, False])
def test_rows_behind_prefixes_of_their_own_see_no_other(dtype, masked):
    query = states(4, WIDTH, 0).to(dtype)
    key, value = states(2, WIDTH, 1).to(dtype), states(2, WIDTH, 2).to(dtype)
    given = mask().to(dtype) if masked else None
    several = [
        [tuple(states(2, length, seed, rows=1).to(dtype) for seed in (length, 9))] * 2
        for length in (PREFIX, 3 * PREFIX)
    ]
    with attention.behind([(1, several[0]), (2, several[1])]):
        found, _ = attention._attend(Layer, query, key, value, given)
    for rows, layers in ((slice(0, 1), several[0]), (slice(1, 3), several[1])):
        own = None if given is None else given[rows]
        with attention.behind([(rows.stop - rows.start, layers)]):
            expected, _ = attention._attend(Layer, query[rows], key[rows], value[rows], own)
        torch.testing.assert_close(found[rows], expected, atol=1e-6, rtol=0)


def test_without_a_mask_each_token_sees_those_before_it():
    query, key, value = (states(4, WIDTH, seed) for seed in range(3))
    other = [(states(4, PREFIX, 3, rows=1), states(4, PREFIX, 4, rows=1))] * 2
    causal = torch.full((WIDTH, WIDTH), torch.finfo(torch.float32).min).triu(1)
    with attention.behind([(ROWS, other)]):
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
    sdpa, kernel = attention.sdpa_attention_forward, attention._kernel

    def watched_sdpa(module, query, key, value, mask, **given):
        masks.append(mask)
        return sdpa(module, query, key, value, mask, **given)

    def watched_kernel(query, key, value, **given):
        far = len(given) == 1  # of queries, all of which see all of the prefix
        masks.extend([] if far else [given.get("attn_mask")])
        return kernel(query, key, value, **given)

    lm.score(prompts, labels)  # reads the prefix, which the next time is kept
    monkeypatch.setattr(attention, "sdpa_attention_forward", watched_sdpa)
    monkeypatch.setattr(attention, "_kernel", watched_kernel)
    lm.score(prompts, labels)
    assert masks
    assert all((mask is not None) == branches for mask in masks)


def test_a_prefix_ends_with_its_block():
    with attention.behind([(1, [(torch.zeros(1), torch.zeros(1))])]):
        assert attention._prefix.get() is not None
    assert attention._prefix.get() is None


def seen_by(query, keys, values, scale):
    """What queries see by a softmax over all keys in float64, and its log sums."""
    scores = query.double() @ keys.double().mT * scale
    return torch.softmax(scores, -1) @ values.double(), torch.logsumexp(scores, -1)


@pytest.mark.parametrize("block", [1, 300, 1 << 21], ids=["a query", "two queries", "all"])
@pytest.mark.parametrize("sink", [1.0, -60.0], ids=["usual", "the first keys have no share"])
def test_products_in_blocks_see_what_one_softmax_sees(monkeypatch, block, sink):
    monkeypatch.setattr(attention, "_BLOCK", block)
    query, keys, values = (
        states(2, length, seed, rows=1).bfloat16() for seed, length in enumerate((9, 150, 150))
    )
    query[..., 0] = 8.0
    keys[:, :, : attention._FIRST, 0] = sink
    found, sums = attention._in_blocks(query, keys, values, 0.25)
    expected, totals = seen_by(query, keys, values, 0.25)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.double(), expected, atol=2e-2, rtol=2e-2)
    torch.testing.assert_close(sums.double(), totals, atol=2e-2, rtol=0)
    assert sums.isfinite().all()


def test_a_long_prefix_in_bfloat16_is_seen_by_products(monkeypatch):
    query, key, value = (states(4, WIDTH, seed).bfloat16() for seed in range(3))
    other = [
        tuple(states(2, length, seed, rows=1).bfloat16() for seed in (3, 4))
        for length in (attention._LONG - 1, attention._LONG)
    ]
    called = []
    blocks = attention._in_blocks
    monkeypatch.setattr(attention, "_in_blocks", lambda *given: called.append(1) or blocks(*given))
    for layers, expected in zip(other, ([], [1]), strict=True):
        with attention.behind([(ROWS, [layers, layers])]):
            attention._attend(Layer, query, key[:, :2], value[:, :2], None)
        assert called == expected


def test_a_mask_without_the_kernel_hides_what_it_hides_with_it():
    query = states(4, WIDTH, 0)
    key, value = states(2, WIDTH, 1), states(2, WIDTH, 2)
    expected = attention._near(query, key, value, mask(), 0.5)
    found = attention._masked(query, key, value, mask(), 0.5)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("masked", [False, True], ids=["a chain", "a tree"])
@pytest.mark.parametrize("kv", [1, 2, 4], ids=["one key head", "two", "as many"])
@pytest.mark.parametrize("own", [1.0, -90.0], ids=["usual", "tokens have no share of themselves"])
def test_short_rows_in_bfloat16_see_what_one_softmax_sees(monkeypatch, masked, kv, own):
    query, key, value = (
        states(heads, WIDTH, seed).bfloat16() for seed, heads in enumerate((4, kv, kv))
    )
    key[:, :, -1, 0] = own  # the last token's own key
    query[:, :, -1, 0] = 8.0
    seen = mask() if masked else torch.full((WIDTH, WIDTH), torch.finfo(torch.float32).min).triu(1)
    monkeypatch.setattr(attention, "_kernel", None)
    found, sums = attention._near(query, key, value, seen.bfloat16() if masked else None, 0.25)
    keys, values = (each.double().repeat_interleave(4 // kv, 1) for each in (key, value))
    scores = query.double() @ keys.mT * 0.25 + seen.double()
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(
        found.double(), torch.softmax(scores, -1) @ values, atol=2e-2, rtol=2e-2
    )
    torch.testing.assert_close(sums.double(), torch.logsumexp(scores, -1), atol=2e-2, rtol=1e-2)
    assert sums.isfinite().all()


def test_long_rows_go_through_the_kernel(monkeypatch):
    """Products make all scores of a row, also those that nobody sees."""
    calls = []
    kernel = attention._kernel
    monkeypatch.setattr(attention, "_kernel", lambda *a, **k: calls.append(k) or kernel(*a, **k))
    for width, expected in ((attention._SHORT, 0), (attention._SHORT + 1, 1)):
        query, key, value = (states(2, width, seed, rows=1).bfloat16() for seed in range(3))
        attention._near(query, key, value, None, 0.25)
        assert len(calls) == expected


@pytest.mark.parametrize(
    ("kind", "changes", "why"),
    [
        ("llama", {}, None),
        ("qwen3", {}, None),
        ("phi", {}, None),
        ("mistral", {"sliding_window": 24}, None),
        ("gemma2", {}, "it caps its attention scores"),
        ("gemma3", {"sliding_window": 24}, None),
    ],
)
def test_soft_caps_keep_the_way_of_the_cache(tokenizers, kind, changes, why):
    lm = CausalLM(build_model(kind, **changes), tokenizers["chatml"], name=kind)
    assert lm.copied == why
    assert (lm.model.config._attn_implementation == attention.NAME) == (why is None)


@pytest.mark.parametrize("kind", ["mistral", "gemma3"])
def test_a_prefix_is_seen_in_place_as_long_as_every_window_holds_it(tokenizers, monkeypatch, kind):
    ask = Labels({"yes": ["a"], "no": ["b"]})
    asked = [Prompt("Judge.", (), f"Customer {'late ' * words}", "Answer:") for words in (1, 9, 4)]
    lm = CausalLM(build_model(kind), tokenizers["chatml"], name=kind)
    fitted, _ = lm.passes.fit(asked, [ask] * 3)
    longest = max(item.encoded.positions for item in fitted.values())
    seen, used = prefix.seen, []
    monkeypatch.setattr("promptpredict.lm.seen", lambda each: used.append(1) or seen(each))
    for window, whole in ((longest, True), (longest - 1, False)):
        lm = CausalLM(build_model(kind, sliding_window=window), tokenizers["chatml"], name=kind)
        used.clear()
        found = lm.score(asked, ask)
        assert bool(used) == whole
        expected, _ = reference_scores(lm, asked, ask)
        np.testing.assert_allclose(found.logprobs, expected, atol=1e-4)


@pytest.mark.parametrize("piece", [1, 7, 1_000])
@pytest.mark.parametrize("kind", ["llama", "qwen3", "phi", "mistral", "gemma2"])
def test_a_prefix_may_be_read_in_pieces(tokenizers, monkeypatch, kind, piece):
    ask = Labels({"yes": ["a"], "no": ["b", "so bad"]})
    asked = [Prompt("Judge.", (), f"Customer {'late ' * words}", "Answer:") for words in (1, 9, 4)]
    # a window that the prefix fits in and the rows do not; gemma2 caps its scores
    changes = {"mistral": {"sliding_window": 24}}.get(kind, {})
    lm = CausalLM(build_model(kind, **changes), tokenizers["chatml"], name=kind)
    expected, hidden = reference_scores(lm, asked, ask)
    monkeypatch.setattr("promptpredict.lm._PIECE", piece)
    behind, pieces = attention.behind, []
    monkeypatch.setattr(
        "promptpredict.prefix.behind",  # the rows' own pass has three of them
        lambda each: pieces.extend([1] if each[0][0] == 1 else []) or behind(each),
    )
    found = lm.score(asked, ask)
    shared = len(lm._prefix.ids)
    assert len(pieces) == (0 if kind == "gemma2" else -(-shared // piece) - 1)
    np.testing.assert_allclose(found.logprobs, expected, atol=1e-4)
    np.testing.assert_allclose(found.hidden, hidden, atol=1e-4)


@pytest.mark.parametrize("fault", ["raises", "is wrong"])
def test_a_kernel_that_does_not_serve_is_known_before_anything_is_scored(
    tokenizers, monkeypatch, fault
):
    kernel = attention._kernel

    def broken(query, key, value, **given):
        if fault == "raises":
            raise RuntimeError("no kernel for this")
        seen, sums = kernel(query, key, value, **given)
        return seen, sums * 3 + 1

    ask = Labels({"yes": ["a"], "no": ["b"]})
    asked = [Prompt("Judge.", (), f"Customer {at}", "Answer:") for at in range(3)]
    monkeypatch.setattr(attention, "_kernel", broken)
    lm = CausalLM(build_model(), tokenizers["chatml"], name="tiny")
    assert lm.copied == (
        "the architecture LlamaForCausalLM cannot read texts that share a beginning "
        "(no kernel for this)"
        if fault == "raises"
        else "the architecture LlamaForCausalLM reads texts that share a beginning otherwise than "
        "each by itself; possible: models with attention to given positions"
    )
    expected, _ = reference_scores(lm, asked, ask)
    np.testing.assert_allclose(lm.score(asked, ask).logprobs, expected, atol=1e-4)


def test_another_attention_than_that_of_torch_is_left_alone(tokenizers):
    model = build_model()
    model.set_attn_implementation("eager")
    lm = CausalLM(model, tokenizers["chatml"], name="eager")
    assert lm.copied == "its attention is 'eager', not 'sdpa'"
    assert lm.model.config._attn_implementation == "eager"


def test_without_a_kernel_on_a_device_a_prefix_is_copied(tokenizers):
    class OnGpu:
        config = build_model().config
        device = torch.device("cuda")
        dtype = torch.float32

    assert attention.why_copied(OnGpu) == "there is no kernel for it in float32 on cuda"
    OnGpu.dtype = torch.bfloat16
    assert attention.why_copied(OnGpu) is None


def test_loading_a_model_twice_is_no_fault(tokenizers):
    model = build_model()
    for _ in range(2):
        assert CausalLM(model, tokenizers["chatml"], name="twice").copied is None
