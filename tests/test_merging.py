"""An adapter in the weights says what it said beside them, and one that changes nothing, nothing."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from promptpredict import loading
from promptpredict.adapters import CONFIG, WEIGHTS, Tuning, digest
from promptpredict.loading import load_language_model
from promptpredict.merging import write_adapter
from promptpredict.models import find
from promptpredict.objective import label_logprobs
from promptpredict.rendered import Prompt
from promptpredict.scores import Labels
from promptpredict.training import Lessons, Training

ASKED = Labels({"1": ["angry"], "0": ["happy", "not sure"]})
PROMPTS = [Prompt("You judge.", (), f"Plan: {n}\nlate", "The customer feels") for n in range(6)]


def training_of(folder, place):
    lm = load_language_model(find(str(folder)), dtype="float32", pack=False)
    fitted, _ = lm.passes.fit(PROMPTS, [ASKED] * 6)
    rows = list(range(6))
    lessons = Lessons(fitted, {row: row % 2 for row in rows}, ["1", "0"], rows[:4], rows[4:])
    return Training(lm, lessons, Tuning(), seed=0, checkpoint=place / "c.pt", key="k")


def drawn(training):
    """Let the adapter say something, without training it."""
    generator = torch.Generator().manual_seed(0)
    training.trainee.put(
        [0.2 * torch.randn(each.shape, generator=generator) for each in training.trainee.parameters]
    )


def merged_source(folder, place, training):
    write_adapter(place, training.trainee.weights(), training.trainee.config, base="tiny")
    return replace(find(str(folder)), adapter=place, digest=digest(place))


@pytest.mark.parametrize(("dtype", "most"), [("float32", 1e-4), ("bfloat16", 0.5)])
def test_merged_weights_say_what_the_adapter_says(tiny_folder, tmp_path, dtype, most):
    training = training_of(tiny_folder, tmp_path)
    plain = training.lm.score(PROMPTS, ASKED).logprobs
    drawn(training)
    beside = {}
    with torch.no_grad():
        for rows, found in label_logprobs(training.lm, training.lessons.fitted, ["1", "0"]):
            beside |= dict(zip(rows, found.numpy(), strict=True))
    source = merged_source(tiny_folder, tmp_path / "adapter", training)
    lm = load_language_model(source, dtype=dtype)
    assert {each.dtype for each in lm.model.parameters()} == {getattr(torch, dtype)}
    scored = lm.score(PROMPTS, ASKED).logprobs
    own = np.array([beside[row] for row in range(6)])
    np.testing.assert_allclose(scored, own, atol=most)
    assert np.abs(own - plain).max() > 2 * most


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_adapter_that_changes_nothing_leaves_every_bit(tiny_folder, tmp_path, dtype):
    """Frequencies of rotated positions too, which a cast of the whole model would round."""
    source = merged_source(tiny_folder, tmp_path, training_of(tiny_folder, tmp_path))
    scores = [
        load_language_model(each, dtype=dtype).score(PROMPTS, ASKED)
        for each in (source, find(str(tiny_folder)))
    ]
    np.testing.assert_array_equal(scores[0].logprobs, scores[1].logprobs)
    np.testing.assert_array_equal(scores[0].hidden, scores[1].hidden)


def test_an_adapter_is_merged_before_weights_are_packed(tiny_folder, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(loading, "pack_weights", lambda model, rows: seen.extend(model.modules()))
    load_language_model(merged_source(tiny_folder, tmp_path, training_of(tiny_folder, tmp_path)))
    assert seen
    assert not [each for each in seen if "lora" in type(each).__module__]


def test_the_files_are_those_that_peft_reads_and_name_no_folder(tiny_folder, tmp_path):
    training = training_of(tiny_folder, tmp_path)
    merged_source(tiny_folder, tmp_path / "adapter", training)
    config = json.loads((tmp_path / "adapter" / CONFIG).read_text())
    assert config["base_model_name_or_path"] == "tiny"
    assert config["target_modules"] == sorted(config["target_modules"])
    assert str(tmp_path) not in (tmp_path / "adapter" / CONFIG).read_text()
    assert str(tiny_folder) not in (tmp_path / "adapter" / CONFIG).read_text()
    names = sorted(path.name for path in (tmp_path / "adapter").iterdir())
    assert names == sorted([WEIGHTS, CONFIG])


def test_an_adapter_of_other_shapes_is_a_fault_in_one_line(tiny_folder, tmp_path):
    training = training_of(tiny_folder, tmp_path)
    source = merged_source(tiny_folder, tmp_path / "adapter", training)
    (tmp_path / "adapter" / WEIGHTS).write_bytes(b"nothing")
    with pytest.raises(loading.ModelError) as caught:
        load_language_model(source)
    text = str(caught.value)
    assert text.startswith(
        f"the adapter {tmp_path / 'adapter'} cannot be merged into {tiny_folder}: "
    )
    assert "\n" not in text
