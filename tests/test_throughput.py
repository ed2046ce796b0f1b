"""The throughput script: ways that are timed give the same scores, and the floor counts what is multiplied."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from promptpredict.lm import CausalLM

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import throughput
    import ways

    return throughput, ways


@pytest.fixture
def setting(scripts, tokenizers):
    throughput, ways = scripts
    tokenizer = tokenizers["chatml"]
    models = [
        throughput.random_model("tiny", len(tokenizer), "cpu", torch.float32) for _ in range(2)
    ]
    torch.set_num_threads(1)
    ids = [tokenizer(word, add_special_tokens=False).input_ids[0] for word in ("Yes", "No")]
    return ways.Setting(
        model=models[1],
        lm=CausalLM(models[0], tokenizer, name="tiny"),
        tokenizer=tokenizer,
        labels=throughput.LABELS,
        words=("Yes", "No"),
        word_ids=tuple(ids),
        gguf=None,
        context=32_768,
        threads=1,
        sizes=[1, 3],
    )


@pytest.fixture
def jobs(scripts, setting, monkeypatch):
    throughput, _ = scripts
    monkeypatch.setattr(throughput, "WORDS", 12)
    return throughput.made(setting, 7, 2, seed=0)


def test_customers_stand_behind_the_same_shots(jobs, setting):
    beginnings = {job.ids[: job.shared] for job in jobs}
    assert len(beginnings) == 1
    assert len({job.ids[: job.shared + 1] for job in jobs}) > 1
    assert len({job.prompt.shots for job in jobs}) == 1
    assert all(setting.lm.encoder.ids(job.prompt) == list(job.ids) for job in jobs)
    assert all(setting.tokenizer.decode(job.ids) == job.text for job in jobs)


def test_padding_does_not_move_what_is_read(jobs, setting, scripts):
    _, ways = scripts
    alone = ways._transformers(setting, 1)(jobs)
    together = ways._transformers(setting, 3)(jobs)
    assert alone.shape == (7,)
    np.testing.assert_allclose(alone, together, atol=1e-4)
    with torch.inference_mode():
        logits = setting.model(torch.tensor([jobs[4].ids])).logits[0, -1]
    first, second = setting.word_ids
    assert alone[4] == pytest.approx(float(logits[first] - logits[second]), abs=1e-4)


def test_the_prepared_ways_are_named_by_tool_and_batch(setting, scripts):
    _, ways = scripts
    assert list(ways.ways(setting)) == [
        "promptpredict", "transformers", "lm-eval", "folktexts", "transformers, batches of 3",
        "lm-eval, batches of 3", "folktexts, batches of 3", "skorch",
    ]  # fmt: skip


def test_the_floor_counts_what_is_multiplied_behind_the_prefix(jobs, setting, scripts):
    throughput, _ = scripts
    from torch.utils.flop_counter import FlopCounterMode

    model, job = setting.model, jobs[0]
    model.set_attn_implementation("eager")
    with torch.inference_mode():
        kept = model(torch.tensor([job.ids[: job.shared]]), use_cache=True).past_key_values
        with FlopCounterMode(display=False) as counted:
            own = torch.tensor([job.ids[job.shared :]])
            model(own, past_key_values=kept, logits_to_keep=1)
    many, config = own.shape[1], model.config
    # Eager attention multiplies with keys that it then hides, those behind a query.
    hidden = many * (many - 1) / 2 * 4 * config.hidden_size * config.num_hidden_layers
    small = 0.001  # the rotary embedding
    expected = counted.get_total_flops() - hidden
    assert throughput.flops(model, [job]) == pytest.approx(expected, rel=small)


def test_a_way_scores_as_many_as_it_can_in_the_time(scripts, monkeypatch):
    throughput, _ = scripts
    now = [0.0]
    monkeypatch.setattr(throughput.time, "perf_counter", lambda: now[0])

    def way(seconds):
        def score(jobs):
            now[0] += seconds * len(jobs)
            return np.zeros(len(jobs))

        return score

    jobs = list(range(64))
    assert throughput.affordable(way(0.01), jobs, 20) == 64
    assert throughput.affordable(way(1.0), jobs, 20) == 16  # whole batches of 8
    assert throughput.affordable(way(10.0), jobs, 20) == 2
    assert throughput.affordable(way(30.0), jobs, 20) == 1


@pytest.mark.weights
def test_the_script_runs_with_random_weights_of_a_small_configuration():
    words = ["--config", "tiny", "--customers", "6", "--rounds", "1", "--seconds", "0.2"]
    ways = ["--way", "promptpredict", "--way", "transformers"]
    found = subprocess.run(
        [sys.executable, str(BENCHMARKS / "throughput.py"), *words, *ways, "--shots", "2"],
        capture_output=True,
        text=True,
        check=True,
    )
    last = json.loads(found.stdout.splitlines()[-1])
    assert last["schema"] == 1
    assert last["shots"] == 2
    assert set(last["seconds"]) == {"promptpredict", "transformers"}
    assert all(0 < seconds < 10 for seconds in last["seconds"].values())
    assert last["floor"] > 0
    assert "| operation | share of the time |" in found.stdout
