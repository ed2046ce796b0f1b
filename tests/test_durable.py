"""A run that goes on after an interruption ends with the bytes of one that was never interrupted."""

from __future__ import annotations

import os
import subprocess
import sys
import zlib

import numpy as np
import pytest
import torch

from conftest import build_model
from fakes import FakeLM
from promptpredict.durable import Durable
from promptpredict.errors import DataError
from promptpredict.ledger import Ledger
from promptpredict.lm import CausalLM
from promptpredict.rendered import Prompt
from promptpredict.scores import Labels, Scores

LABELS = Labels({"1": ["angry", "sad"], "0": ["happy"]})
WORDS = ("late", "slow", "happy", "angry", "good", "Feedback", "delivery")


def prompts(count, seed=0):
    rng = np.random.default_rng(seed)
    said = [" ".join(rng.choice(WORDS, size=rng.integers(1, 30))) for _ in range(count)]
    return [Prompt("Judge.", (), text, "The customer feels", 0) for text in said]


def same(found, expected):
    for name in ("logprobs", "mass", "truncated"):
        assert getattr(found, name).tobytes() == getattr(expected, name).tobytes(), name
    assert found.faults == expected.faults


@pytest.fixture(scope="module")
def tiny(tokenizers):
    model = build_model(hidden_size=64, intermediate_size=128).to(torch.bfloat16)
    return CausalLM(model, tokenizers["chatml"], name="tiny", batch_tokens=200)


class Company:
    """A language model that scores a prompt by all prompts of its batch, longest first.

    As bfloat16 does, only in every digit.
    """

    name, journals = "company", True

    def score(self, prompts, labels, *, progress=None, journal=None):
        order = sorted(range(len(prompts)), key=lambda row: (-len(prompts[row].user), row))
        logprobs = np.full((len(prompts), 2), np.nan, np.float32)
        for start in range(0, len(order), 7):
            batch = order[start : start + 7]
            if journal and journal.holds(batch):
                continue
            together = zlib.crc32(repr([prompts[row] for row in batch]).encode())
            drawn = np.random.default_rng(together).normal(-5, 1, (len(batch), 2))
            logprobs[batch] = drawn
            if journal:
                journal.keep(batch, self.scores(logprobs[batch]))
        return self.scores(logprobs)

    def scores(self, logprobs):
        truncated = np.zeros(len(logprobs), bool)
        hidden = np.empty((len(logprobs), 0), np.float32)
        return Scores(logprobs, np.exp(logprobs).sum(1), hidden, truncated, {}, 0)


@pytest.fixture(params=["company", "tiny"])
def lm(request):
    return Company() if request.param == "company" else request.getfixturevalue("tiny")


class Stopping:
    """A language model that is interrupted when so many batches were kept."""

    name, journals = "tiny", True

    def __init__(self, lm, after):
        self.lm, self.left = lm, after

    def score(self, prompts, labels, *, progress=None, journal):
        keep = journal.keep

        def counted(rows, scores):
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            keep(rows, scores)

        journal.keep = counted
        return self.lm.score(prompts, labels, progress=progress, journal=journal)


def run(lm, path, asked, labels=LABELS, identity="a run"):
    """Score in blocks of 40, as `score` does, and return each block's scores."""
    ledger = Ledger(path)
    try:
        ledger.begin(identity)
        durable = Durable(lm, ledger, identity="tiny")
        found = [
            durable.score(asked[start : start + 40], labels) for start in range(0, len(asked), 40)
        ]
        ledger.finish()
        return found, durable
    finally:
        ledger.close()


def test_it_says_what_the_language_model_says(lm, tmp_path):
    asked = prompts(90)
    found, durable = run(lm, tmp_path / "l", asked)
    for start, scores in zip((0, 40, 80), found, strict=True):
        same(scores, lm.score(asked[start : start + 40], LABELS))
    assert (durable.read, durable.known) == (90, 0)


def test_which_prompts_share_a_batch_shows():
    """Or the tests below could not fail."""
    asked = prompts(40)
    together, apart = Company().score(asked, LABELS), Company().score(asked[20:], LABELS)
    assert together.logprobs[20:].tobytes() != apart.logprobs.tobytes()


@pytest.mark.parametrize("after", [0, 1, 2, 3, 5, 8])
def test_an_interrupted_run_ends_with_the_same_bytes(lm, tmp_path, after):
    asked = prompts(160, seed=1)
    whole, _ = run(lm, tmp_path / "whole", asked)
    path = tmp_path / "parts"
    kept = 0
    for more in (after, 1, 4, None):
        stopping = Stopping(lm, -1 if more is None else more)
        try:
            found, durable = run(stopping, path, asked)
        except KeyboardInterrupt:
            kept += more
    for one, other in zip(found, whole, strict=True):
        same(one, other)
    batches = -1 - stopping.left
    assert durable.known == 0  # all of them are this run's own
    assert kept + batches == count_of_batches(lm, asked)  # none was read twice


def count_of_batches(lm, asked):
    counting = Stopping(lm, -1)
    run(counting, None, asked)
    return -1 - counting.left


def test_a_prompt_that_comes_again_in_a_later_block_keeps_its_first_score(lm, tmp_path):
    """Even if the run is interrupted behind the later block, which reads it in other company."""
    asked = prompts(80, seed=2)
    asked[40:60] = asked[5:25]
    whole, _ = run(lm, tmp_path / "whole", asked)
    assert whole[1].logprobs[:20].tobytes() == whole[0].logprobs[5:25].tobytes()
    path = tmp_path / "parts"
    batches = count_of_batches(lm, asked)
    with pytest.raises(KeyboardInterrupt):
        run(Stopping(lm, batches - 1), path, asked)
    found, _ = run(lm, path, asked)
    for one, other in zip(found, whole, strict=True):
        same(one, other)


def test_a_later_run_reads_only_what_is_new(lm, tmp_path):
    path, asked = tmp_path / "l", prompts(40)
    before, _ = run(lm, path, asked)
    changed = [*asked[:10], *prompts(3, seed=9), *asked[13:]]
    after, durable = run(lm, path, changed, identity="the next night")
    assert (durable.read, durable.known) == (3, 37)
    rows = [row for row in range(40) if not 10 <= row < 13]
    assert after[0].logprobs[rows].tobytes() == before[0].logprobs[rows].tobytes()
    alone = lm.score(changed[10:13], LABELS)
    assert after[0].logprobs[10:13].tobytes() == alone.logprobs.tobytes()


def test_the_next_night_can_be_interrupted_too(lm, tmp_path):
    first, second = prompts(40), prompts(40, seed=4)
    second[::2] = first[::2]
    for name in ("whole", "parts"):
        run(lm, tmp_path / name, first, identity="night 1")
    whole, _ = run(lm, tmp_path / "whole", second, identity="night 2")
    with pytest.raises(KeyboardInterrupt):
        run(Stopping(lm, 1), tmp_path / "parts", second, identity="night 2")
    parts, durable = run(lm, tmp_path / "parts", second, identity="night 2")
    same(parts[0], whole[0])
    assert durable.known == 20


def test_another_model_other_labels_and_other_prompts_are_read(tmp_path):
    ledger, fake = Ledger(), FakeLM()
    asked = prompts(3)
    Durable(fake, ledger, identity="one").score(asked, LABELS)
    for identity, labels in (("another", LABELS), ("one", Labels({"1": ["sad"], "0": ["happy"]}))):
        again = Durable(fake, ledger, identity=identity)
        again.score(asked, labels)
        assert (again.read, again.known) == (3, 0)
    assert len(fake.asked) == 9


def test_equal_prompts_of_a_block_are_read_once(tmp_path):
    fake, done = FakeLM(), []
    durable = Durable(fake, Ledger(), identity="fake")
    asked = prompts(4) * 3
    found = durable.score(asked, LABELS, progress=done.append)
    assert len(fake.asked) == durable.read == 4
    assert sum(done) == 12
    same(found, FakeLM().score(asked, LABELS))


def test_a_model_that_keeps_no_journal_goes_on_block_by_block(tmp_path):
    asked = prompts(120)
    whole, _ = run(FakeLM(), tmp_path / "whole", asked)

    class Breaking(FakeLM):
        def score(self, prompts, labels, *, progress=None):
            if len(self.asked) == 80:
                raise KeyboardInterrupt
            return super().score(prompts, labels, progress=progress)

    with pytest.raises(KeyboardInterrupt):
        run(Breaking(), tmp_path / "parts", asked)
    fake = FakeLM()
    found, _ = run(fake, tmp_path / "parts", asked)
    assert len(fake.asked) == 40
    for one, other in zip(found, whole, strict=True):
        same(one, other)


def test_what_every_night_asks_for_is_read_once_and_what_changes_does_not_pile_up(monkeypatch):
    ledger, fake = Ledger(), FakeLM()
    steady, *changing = [
        [Prompt("Judge.", (), f"late {since}", "The customer feels", 0)] for since in range(201)
    ]
    for night in range(200):
        monkeypatch.setattr("promptpredict.ledger._today", lambda night=night: 700_000 + night)
        ledger.begin(f"night {night}")
        Durable(fake, ledger, identity="fake").score(steady + changing[night], LABELS)
        ledger.finish()
    assert len(fake.asked) == 1 + 200
    assert ledger.spent()[0] == 1 + 61  # of today and of the sixty days before


def test_what_could_not_be_scored_is_asked_again_and_never_kept():
    ledger = Ledger()
    asked = [*prompts(2), Prompt("Judge.", (), "[unscorable]", "The customer feels", 0)]
    for _ in range(2):
        fake = FakeLM()
        ledger.begin("a night")
        found = Durable(fake, ledger, identity="fake").score(asked, LABELS)
        ledger.finish()
        assert found.faults == {2: "it cannot be scored"}
        assert np.isnan(found.logprobs[2]).all()
        assert fake.asked[-1] == asked[2]
    assert len(fake.asked) == 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_faults_whoever_gave_them(value):
    class Odd(FakeLM):
        def score(self, prompts, labels, *, progress=None):
            scores = super().score(prompts, labels, progress=progress)
            scores.logprobs[1, 0] = value
            return scores

    found = Durable(Odd(), Ledger(), identity="odd").score(prompts(3), LABELS)
    assert found.faults == {1: "the language model gave log-probabilities that are not finite"}
    assert np.isnan(found.logprobs[1]).all()


def test_no_prompts_have_no_scores():
    found = Durable(FakeLM(), Ledger(), identity="fake").score([], LABELS)
    assert found.logprobs.shape == (0, 2)


def test_a_ledger_holds_nothing_that_a_customer_wrote(tmp_path):
    path = tmp_path / "l"
    secret = Prompt("Judge.", (), "canary@example.org", "The customer feels", 0)
    run(FakeLM(), path, [secret])
    assert b"canary" not in b"".join(file.read_bytes() for file in tmp_path.iterdir())


# -- one run at a time ---------------------------------------------------------------------------

HOLDING = """
import sys, time
from pathlib import Path
from promptpredict.ledger import Ledger
ledger = Ledger.held(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


def test_two_runs_on_one_ledger_the_second_is_told_who_holds_it(tmp_path):
    path = tmp_path / "scores.csv.ledger"
    other = subprocess.Popen([sys.executable, "-c", HOLDING, str(path)], stdout=subprocess.PIPE)
    try:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(DataError) as error:
            Ledger.held(path)
        text = str(error.value)
        assert text.startswith(f"{path} is held by process {other.pid} on ")
        assert text.endswith("; possible: wait for it, or another --out")
        with pytest.raises(DataError):
            Ledger.held(path, restart=True)  # which forgets nothing of theirs
        assert path.exists()
    finally:
        other.kill()
        other.wait()
    Ledger.held(path).close()  # killed, it holds nothing


def test_the_holder_is_known_before_its_run_begins(tmp_path):
    """Loading a model takes long; an earlier run's name there would be a lie."""
    path = tmp_path / "l"
    earlier = Ledger.held(path)
    earlier._file.execute("update holder set name = 'process 1 on another, since long ago'")
    earlier.close()
    held = Ledger.held(path)
    with pytest.raises(DataError, match=f"is held by process {os.getpid()} on "):
        Ledger.held(path)
    held.close()


@pytest.mark.parametrize("restart", [False, True])
def test_a_ledger_that_cannot_be_opened_is_named_and_held_by_nobody(tmp_path, restart):
    path = tmp_path / "l"
    path.mkdir()
    for _ in range(2):  # the second is not told that the first holds it
        with pytest.raises(DataError) as error:
            Ledger.held(path, restart=restart)
        assert str(path) in str(error.value)
        assert "is held by" not in str(error.value)
        assert "\n" not in str(error.value)


def test_a_run_goes_on_only_where_it_is_the_same_and_was_not_finished(tmp_path):
    ledger = Ledger(tmp_path / "l")
    assert not ledger.begin("one")
    assert (ledger.begin("one"), ledger.run) == (True, 1)
    assert (ledger.begin("another"), ledger.run) == (False, 2)
    ledger.finish()
    assert (ledger.begin("another"), ledger.run) == (False, 3)


def test_a_restart_forgets(lm, tmp_path):
    path = tmp_path / "l"
    run(lm, path, prompts(5))
    ledger = Ledger.held(path, restart=True)
    ledger.begin("a run")
    durable = Durable(lm, ledger, identity="tiny")
    durable.score(prompts(5), LABELS)
    assert (durable.read, durable.known) == (5, 0)
    ledger.close()


def test_a_ledger_of_before_there_were_runs_is_read(tmp_path):
    import sqlite3

    path = tmp_path / "l"
    Ledger(path).close()
    with sqlite3.connect(path) as file:
        file.execute("alter table scores drop column run")
        file.execute("drop table runs")
    ledger = Ledger(path)
    ledger.begin("a run")
    durable = Durable(FakeLM(), ledger, identity="fake")
    same(durable.score(prompts(3), LABELS), FakeLM().score(prompts(3), LABELS))
