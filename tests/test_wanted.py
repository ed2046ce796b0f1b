"""What a language model would rather say, against its own logits."""

from __future__ import annotations

import pytest
import torch

from conftest import build_model
from fakes import FakeLM
from promptpredict.lm import CausalLM
from promptpredict.rendered import Prompt
from promptpredict.wanted import wanted_tokens

PROMPTS = [
    Prompt("Judge.", (), f"Feedback: {text}", "The customer feels", 0) for text in ("late", "good")
]


def test_tokens_come_with_their_mean_probability(tokenizers):
    lm = CausalLM(build_model(), tokenizers["chatml"], name="tiny")
    with torch.inference_mode():
        every = [
            torch.softmax(lm.model(torch.tensor([lm.encoder.ids(prompt)])).logits[0, -1], 0)
            for prompt in PROMPTS
        ]
    shares, tokens = torch.stack(every).mean(0).sort(descending=True)
    found = wanted_tokens(lm, PROMPTS, count=3)
    assert [text for text, _ in found] == [lm.encoder.tokenizer.decode([t]) for t in tokens[:3]]
    assert [share for _, share in found] == pytest.approx(shares[:3].tolist(), rel=1e-4)


def test_a_stand_in_says_nothing(tokenizers):
    assert wanted_tokens(FakeLM(), PROMPTS) == []
    lm = CausalLM(build_model(), tokenizers["chatml"], name="tiny")
    assert wanted_tokens(lm, []) == []
