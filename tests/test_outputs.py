"""The output matrix: log-probabilities as those of a softmax over the whole vocabulary."""

from __future__ import annotations

import pytest
import torch

from conftest import build_model
from promptpredict import outputs
from promptpredict.outputs import Outputs, by_label, entry_logprobs
from promptpredict.words import WordTree

WANTED = [0, 3, 17, 200, 447]
CHANGES = {
    "llama": {},
    "gemma2": {"final_logit_softcapping": 3.0},
    "granite": {"logits_scaling": 7.0},
    "phi": {},  # has a bias
}


def states(count, seed=0):
    """Return hidden states (count, d) far enough from one another for logits to differ."""
    return torch.randn(count, 32, generator=torch.Generator().manual_seed(seed)) * 2


def expected(model, hidden, kind):
    """Return log P of every token, from the whole matrix at once."""
    logits = torch.nn.functional.linear(
        hidden, model.get_output_embeddings().weight, model.get_output_embeddings().bias
    )
    if kind == "gemma2":
        logits = 3.0 * torch.tanh(logits / 3.0)
    if kind == "granite":
        logits = logits / 7.0
    return torch.log_softmax(logits, dim=-1)


@pytest.fixture(scope="module")
def models():
    found = {kind: build_model(kind, **changes) for kind, changes in CHANGES.items()}
    torch.nn.init.normal_(found["phi"].get_output_embeddings().bias)
    return found


@pytest.mark.parametrize("kind", CHANGES)
@pytest.mark.parametrize("chunk", [448, 200, 7])
@torch.inference_mode()
def test_log_probabilities_are_those_of_a_softmax_over_the_vocabulary(
    models, kind, chunk, monkeypatch
):
    """Also where the matrix goes through in chunks, the last of them a part, some without a token."""
    monkeypatch.setattr(outputs, "_CHUNK", chunk)
    hidden = states(9)
    found = Outputs(models[kind]).logprobs(hidden, WANTED)
    torch.testing.assert_close(found, expected(models[kind], hidden, kind)[:, WANTED])
    assert found.dtype == torch.float32


@torch.inference_mode()
def test_a_large_matrix_is_not_kept_in_float32_and_gives_the_same(monkeypatch):
    model, hidden = build_model().to(torch.bfloat16), states(9).bfloat16()
    kept = Outputs(model)
    monkeypatch.setattr(outputs, "_KEPT", 0)
    large = Outputs(model)
    assert (kept._weight.dtype, large._weight.dtype) == (torch.float32, torch.bfloat16)
    assert large._weight.data_ptr() == model.get_output_embeddings().weight.data_ptr()
    assert torch.equal(kept.logprobs(hidden, WANTED), large.logprobs(hidden, WANTED))
    assert torch.equal(kept.every(hidden), large.every(hidden))


@pytest.mark.parametrize("count", [1, 2047, 2048, 2049, 5000])
@torch.inference_mode()
def test_states_go_through_in_parts_and_keep_their_places(models, monkeypatch, count):
    own = Outputs(models["llama"])
    asked = []
    logits = own.logits
    monkeypatch.setattr(
        own, "logits", lambda some, wanted: (asked.append(len(some)), logits(some, wanted))[1]
    )
    hidden = states(count)
    found = own.logprobs(hidden, WANTED)
    torch.testing.assert_close(found, expected(models["llama"], hidden, "llama")[:, WANTED])
    assert max(asked) <= 2048
    assert sum(asked) == count


@torch.inference_mode()
def test_in_bfloat16_the_logits_are_float32():
    """In bfloat16 a logit of 20 is known to 1/16, and customers would tie."""
    model = build_model().to(torch.bfloat16)
    hidden = states(40).to(torch.bfloat16)
    found = Outputs(model).logprobs(hidden, WANTED)
    weight = model.get_output_embeddings().weight.float()
    slow = torch.log_softmax(hidden.float() @ weight.T, dim=-1)[:, WANTED]
    torch.testing.assert_close(found, slow)
    assert found.dtype == torch.float32


@torch.inference_mode()
def test_the_log_probability_of_an_entry_is_the_sum_along_its_path(models):
    """Of three entries two begin alike: the second token is predicted behind the first."""
    entries = [(17,), (3, 200), (3, 0, 447)]
    tree = WordTree.build(entries)
    nodes = 1 + len(tree.tokens)  # the answer position, and behind each proper prefix
    assert nodes == 3
    hidden = states(4 * nodes).reshape(4, nodes, 32)
    logprobs = Outputs(models["llama"]).logprobs(hidden.flatten(0, 1), WANTED)
    found = entry_logprobs(logprobs.reshape(4, nodes, len(WANTED)), WANTED, tree)
    every = expected(models["llama"], hidden, "llama")
    prefixes = {(): 0, (3,): 1, (3, 0): 2}
    slow = torch.stack(
        [sum(every[:, prefixes[ids[:at]], ids[at]] for at in range(len(ids))) for ids in entries],
        dim=1,
    )
    torch.testing.assert_close(found, slow)


def test_the_entries_of_a_label_are_joined_and_those_of_others_are_not():
    entries = torch.log(torch.tensor([[0.1, 0.2, 0.3, 0.05], [0.4, 0.1, 0.2, 0.1]]))
    found = by_label(entries, [1, 0, 1, 0], 2)
    torch.testing.assert_close(found.exp(), torch.tensor([[0.25, 0.4], [0.2, 0.6]]))
