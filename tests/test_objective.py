"""What is learned against a slow reference: one prompt at a time, no cache, full logits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from conftest import build_model
from promptpredict import objective
from promptpredict.lm import CausalLM
from promptpredict.objective import label_logprobs, levelled, losses_of, with_gradients
from promptpredict.rendered import Prompt, Turn
from promptpredict.scores import Labels

SINGLE = Labels({"1": ["Yes"], "0": ["No"]})
SEVERAL = Labels({"1": ["disappointed", "very angry"], "0": ["happy", "not sure at all"]})
NESTED = Labels({"1": ["no"], "0": ["not sure"], "2": ["not"]})
LABELS = {"one word": SINGLE, "several tokens": SEVERAL, "one begins another": NESTED}


def prompts(count=9, shots=0):
    shown = tuple(Turn(f"Plan: {n}", "The customer feels happy") for n in range(shots))
    texts = [f"Plan: {n % 4}\nFeedback: {'late ' * (n % 5)}ok {n}" for n in range(count)]
    return [Prompt("You judge customers.", shown, text, "The customer feels") for text in texts]


def slow_loss(lm, every, labels, columns, weights):
    """The weighted cross-entropy, a sequence at a time: the whole text of every entry is read."""
    total = torch.zeros(())
    for prompt, column in zip(every, columns, strict=True):
        encoded = lm.encoder.encode(prompt, labels.words, labels.join)
        entries = {label: [] for label in labels.words}
        for entry in encoded.words.entries:
            ids = torch.tensor([[*encoded.ids, *entry.ids]])
            table = torch.log_softmax(lm.model(input_ids=ids, use_cache=False).logits[0], dim=-1)
            first = len(encoded.ids) - 1
            parts = [table[first + step, token] for step, token in enumerate(entry.ids)]
            entries[entry.label].append(torch.stack(parts).sum())
        of = torch.stack([torch.logsumexp(torch.stack(each), 0) for each in entries.values()])
        total = total - weights[column] * torch.log_softmax(of, dim=0)[column]
    return total


def trainable(lm):
    """Let gradients reach some weights of every kind, as an adapter's would."""
    kept = ("q_proj", "v_proj", "o_proj", "gate_proj", "down_proj")
    found = []
    for name, parameter in lm.model.named_parameters():
        parameter.requires_grad_(any(part in name for part in kept))
        found += [parameter] if parameter.requires_grad else []
    return found


def gradients(parameters):
    found = [parameter.grad.clone() for parameter in parameters]
    for parameter in parameters:
        parameter.grad = None
    return found


@pytest.mark.parametrize("shots", [0, 2])
@pytest.mark.parametrize(
    ("batch_tokens", "share"),
    [(60, True), (2048, True), (2048, False)],
    ids=["many batches", "one batch", "each prompt whole"],
)
@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_loss_and_gradients_equal_the_reference(tokenizers, labels, batch_tokens, shots, share):
    lm = CausalLM(build_model(), tokenizers["chatml"], name="tiny", batch_tokens=batch_tokens)
    lm.passes.share = share
    with_gradients(lm)
    parameters, every = trainable(lm), prompts(shots=shots)
    columns = [n % len(labels.words) for n in range(len(every))]
    weights = np.linspace(0.5, 2, len(labels.words))
    expected = slow_loss(lm, every, labels, columns, weights)
    expected.backward()
    slow = gradients(parameters)

    fitted, _ = lm.passes.fit(every, [labels] * len(every))
    total = 0.0
    for rows, logprobs in label_logprobs(lm, fitted, list(labels.words)):
        loss = losses_of(logprobs, [columns[row] for row in rows], weights).sum()
        loss.backward()
        total += float(loss.detach())
    assert total == pytest.approx(float(expected), rel=1e-4)
    for found, own in zip(gradients(parameters), slow, strict=True):
        torch.testing.assert_close(found, own, rtol=1e-3, atol=1e-4 * float(own.abs().max()))


@pytest.mark.parametrize(
    ("dtype", "narrow", "expected"),
    [(torch.bfloat16, 512, True), (torch.bfloat16, 8, False), (torch.float32, 512, False)],
)
def test_narrow_rows_of_bfloat16_attend_by_products(
    tokenizers, monkeypatch, dtype, narrow, expected
):
    """The gradients stay near those of float32, and torch's switches are as they were."""
    switch = torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed
    monkeypatch.setattr(objective, "_NARROW", narrow)
    seen, plain = [], objective.sdpa_kernel

    def watched(*given):
        seen.append((given, switch()))
        return plain(*given)

    monkeypatch.setattr(objective, "sdpa_kernel", watched)
    every, columns = prompts(shots=1), [n % 2 for n in range(9)]
    found = {}
    for kind in (torch.float32, dtype):
        lm = CausalLM(build_model().to(kind), tokenizers["chatml"], name="tiny")
        with_gradients(lm)
        parameters = trainable(lm)
        seen.clear()
        fitted, _ = lm.passes.fit(every, [SINGLE] * 9)
        for rows, logprobs in label_logprobs(lm, fitted, ["1", "0"]):
            losses_of(logprobs, [columns[row] for row in rows], np.ones(2)).sum().backward()
        found[kind] = torch.cat([each.float().flatten() for each in gradients(parameters)])
    assert bool(seen) is expected
    assert all(given == (objective.SDPBackend.MATH,) and on for given, on in seen)
    assert switch() is False
    assert torch.backends.cuda.flash_sdp_enabled()
    exact = found[torch.float32]
    assert (found[dtype] - exact).norm() < 0.1 * exact.norm()


@pytest.mark.parametrize(
    ("kind", "changes"),
    [("qwen3", {}), ("mistral", {"sliding_window": 24}), ("gemma2", {"sliding_window": 24})],
)
def test_other_architectures_learn_the_same(tokenizers, kind, changes):
    lm = CausalLM(build_model(kind, **changes), tokenizers["chatml"], name=kind)
    with_gradients(lm)
    parameters, every = trainable(lm), prompts(4, shots=1)
    columns, weights = [0, 1, 1, 0], np.ones(2)
    slow_loss(lm, every, SEVERAL, columns, weights).backward()
    slow = gradients(parameters)
    fitted, _ = lm.passes.fit(every, [SEVERAL] * 4)
    for rows, logprobs in label_logprobs(lm, fitted, ["1", "0"]):
        losses_of(logprobs, [columns[row] for row in rows], weights).sum().backward()
    for found, own in zip(gradients(parameters), slow, strict=True):
        torch.testing.assert_close(found, own, rtol=1e-3, atol=1e-4 * float(own.abs().max()))


@pytest.mark.parametrize(("kind", "changes"), [("llama", {}), ("mistral", {"sliding_window": 90})])
def test_prefixes_behind_prefixes_learn_the_same(tokenizers, kind, changes):
    model = build_model(kind, max_position_embeddings=2048, **changes)
    lm = CausalLM(model, tokenizers["chatml"], name=kind)
    lm.passes.pass_tokens = 8
    with_gradients(lm)
    parameters = trainable(lm)
    parts = [f"Part {at}: {f'late {at} ' * 12}" for at in range(6)]
    texts = [parts, *([*parts[:at], *parts[at + 1 :]] for at in range(6))]
    every = [Prompt("You judge.", (), " ".join(text), "It feels") for text in texts]
    columns, weights = [n % 2 for n in range(7)], np.ones(2)
    slow_loss(lm, every, SINGLE, columns, weights).backward()
    slow = gradients(parameters)
    fitted, _ = lm.passes.fit(every, [SINGLE] * 7)
    assert max(len(group.prefix.steps) for group in lm.passes.groups(fitted)) > 2
    for rows, logprobs in label_logprobs(lm, fitted, ["1", "0"]):
        losses_of(logprobs, [columns[row] for row in rows], weights).sum().backward()
    for found, own in zip(gradients(parameters), slow, strict=True):
        torch.testing.assert_close(found, own, rtol=1e-3, atol=1e-4 * float(own.abs().max()))


def test_what_is_learned_is_what_is_scored(tokenizers):
    lm = CausalLM(build_model(), tokenizers["chatml"], name="tiny")
    scored = lm.score(prompts(), SEVERAL).logprobs
    with_gradients(lm)
    fitted, _ = lm.passes.fit(prompts(), [SEVERAL] * 9)
    found = {}
    for rows, logprobs in label_logprobs(lm, fitted, ["1", "0"]):
        found |= dict(zip(rows, logprobs.detach().numpy(), strict=True))
    np.testing.assert_allclose([found[row] for row in range(9)], scored, atol=1e-4)


@pytest.mark.parametrize("labels", [2, 3])
@pytest.mark.parametrize("far", [0.0, 5.0, -40.0])
def test_shifts_have_the_least_cross_entropy(labels, far):
    """No step of a thousandth in any direction leads below it, wherever the log-probabilities begin."""
    rng = np.random.default_rng(0)
    columns = np.arange(60) * labels // 70
    logprobs = rng.normal(size=(60, labels)) + 2 * np.eye(labels)[columns]
    logprobs[:, 0] += far
    weights = compute_class_weight("balanced", classes=np.arange(labels), y=columns)

    def loss(shift):
        each = losses_of(torch.tensor(logprobs + shift), columns.tolist(), weights)
        return float(each.sum())

    found = levelled(logprobs, columns, weights)
    least = loss(found)
    for at in range(labels):
        for step in (-1e-3, 1e-3):
            assert loss(found + step * np.eye(labels)[at]) > least
    near = logprobs - far * np.eye(labels)[0]
    np.testing.assert_allclose(
        np.diff(found + far * np.eye(labels)[0]),
        np.diff(levelled(near, columns, weights)),
        atol=1e-4,
    )
