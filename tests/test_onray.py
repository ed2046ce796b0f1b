"""`score --on ray`: the bytes of a run on one machine, whatever happens to a worker."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from conftest import build_model, build_tokenizer
from fakes import FakeLM
from promptpredict import checking
from promptpredict.adapters import Tuning
from promptpredict.checking import ScoreOptions, check
from promptpredict.durable import Durable
from promptpredict.errors import DataError
from promptpredict.ledger import Ledger
from promptpredict.models import Source
from promptpredict.tune import TuneOptions, tune_table
from promptpredict.walk import score_table
from walked import HEADER, PROMPT, TRAIN, TRAIN_HEADER, many, read, table, write

ray = pytest.importorskip("ray")

from promptpredict.onray import Actors, Ahead  # noqa: E402
from promptpredict.relay import Job, ReadingActor  # noqa: E402


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("p.jinja", PROMPT)
    table("customers.csv", HEADER, many(70)[0])
    table("train.csv", TRAIN_HEADER, TRAIN)
    build_tokenizer("chatml").save_pretrained("model")
    build_model().save_pretrained("model")
    return tmp_path


def asked(**given):
    fixed = {"customers": "customers.csv", "prompt": "p.jinja", "out": "s.csv", "model": "model",
             "stop_mass": 0.0, "block_rows": 16}  # fmt: skip
    return ScoreOptions(**fixed | given)


# -- what goes to and fro, without a cluster -----------------------------------------------------


def job(ledger, run=1, **given):
    return Job(check(asked(**given)), Source("fake", Path("model")), Path(ledger), "me", run, None)


@pytest.fixture
def reader(monkeypatch):
    """A reader whose language model is a stand-in."""

    def made(own):
        lm = FakeLM()
        monkeypatch.setattr("promptpredict.loading.load_language_model", lambda *_, **__: lm)
        return ReadingActor(own), lm

    return made


def test_a_block_goes_with_what_the_ledger_knows_of_it(reader):
    ledger = Ledger("l")
    ledger.begin("first")
    own = job("l")
    rows = list(own.blocks())
    assert [row["index"] for row in rows] == [0, 1, 2, 3, 4]
    assert all(pickle.loads(row["work"])[1] == {} for row in rows)
    read_by, lm = reader(own)
    entries, faults = read_by.read(*pickle.loads(rows[1]["work"]))
    assert len(entries) == len({prompt.user for prompt in lm.asked}) > 10
    assert faults == {}
    ledger.put(entries.items())
    block, known = pickle.loads(list(own.blocks())[1]["work"])
    assert known.keys() == entries.keys()
    lm.asked.clear()
    assert read_by.read(block, known) == ({}, {})  # held by the run: nothing is read again
    ledger.finish()
    ledger.begin("second")
    later, lm = reader(job("l", run=2))
    assert later.read(*pickle.loads(list(later.job.blocks())[1]["work"])) == ({}, {})
    assert lm.asked == []


def test_what_a_run_read_before_does_not_change_what_shares_a_batch(reader):
    """Half of a block is in the ledger: of this run, so that its company stays; of an earlier one, gone."""
    own = job("l")
    Ledger("l").begin("first")
    (block, _), *_ = (pickle.loads(row["work"]) for row in own.blocks())
    read_by, lm = reader(own)
    entries, _ = read_by.read(block, {})
    some = dict(list(entries.items())[:5])
    lm.asked.clear()
    read_by.read(block, {key: replace(each, run=1) for key, each in some.items()})
    same_run = len(lm.asked)
    lm.asked.clear()
    read_by.read(block, {key: replace(each, run=0) for key, each in some.items()})
    assert same_run == len(entries)
    assert len(lm.asked) == len(entries) - 5


def test_faults_come_back_by_prompt(reader):
    table("customers.csv", HEADER, ["1,1,[unscorable]", "2,2,happy"])
    Ledger("l").begin("first")
    own = job("l")
    (row,) = own.blocks()
    read_by, _ = reader(own)
    entries, faults = read_by.read(*pickle.loads(row["work"]))
    assert len(entries) == 1
    assert list(faults.values()) == ["it cannot be scored"]
    ahead = Ahead.__new__(Ahead)
    ahead._ledger, ahead._job, ahead._results = Ledger("l"), own, iter([read_by(row)])
    ahead._ledger.begin("first")
    ahead.take(0)
    from promptpredict.blockwise import scored_block

    found = scored_block(
        Durable(_named(ahead), ahead._ledger, identity="me"),
        own.given,
        pickle.loads(row["work"])[0],
        None,
    )
    assert found.faults == {0: "it cannot be scored"}
    assert np.isfinite(found.logprobs[1]).all()


def _named(ahead):
    ahead.name = "fake"
    return ahead


# -- what cannot be done -------------------------------------------------------------------------


def test_ray_needs_files():
    for given, what in (
        ({"out": "-"}, "--out"),
        ({"customers": "-"}, "CUSTOMERS"),
    ):
        with pytest.raises(DataError) as error:
            checking.check(asked(on="ray", **given))
        assert str(error.value) == f"--on ray needs a file for {what}; '-' is a stream"


def test_without_ray_that_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(DataError) as error:
        score_table(asked(on="ray"))
    assert str(error.value) == (
        "--on ray needs Ray Data, which is not installed; possible: pip install "
        "'promptpredict[ray]'"
    )


def test_a_model_of_the_hub_is_not_on_every_machine():
    with pytest.raises(
        DataError, match=r"^--on ray needs a model that is on every machine; a/b is on"
    ):
        Ahead(check(asked()), Source("a/b", None))


# -- a cluster -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster():
    """One of this machine, with the tests' own modules in reach of its workers."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="error")
    yield
    ray.shutdown()


@pytest.mark.slow
def test_actors_have_a_gpu_or_a_machine(cluster, monkeypatch):
    assert Actors.found("cpu") == Actors(count=1, cpus=1)
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"GPU": 4.0, "CPU": 8.0})
    assert Actors.found("auto") == Actors(count=4, cpus=1, gpus=1)
    assert Actors.found("cpu") == Actors(count=1, cpus=1)


@pytest.mark.slow
def test_the_bytes_are_those_of_a_run_here(cluster):
    """bfloat16, guarded, sets of shots, calibrated; some rows are rejects, some known."""
    rows = many(40)[0]
    table("customers.csv", HEADER, [*rows, "short", *rows[:20], *many(20, seed=1)[0]])
    write("salt", "0123456789abcdef")
    given = {"dtype": "bfloat16", "train": "train.csv", "shots": 2, "shot_sets": 3, "guard": 0.5,
             "limit": 70, "salt_file": "salt"}  # fmt: skip
    score_table(asked(out="here.csv", **given))
    said = []
    score_table(asked(out="there.csv", on="ray", **given), said.append)
    assert Path("there.csv").read_bytes() == Path("here.csv").read_bytes()
    assert (
        Path("there.csv.rejects.jsonl").read_bytes() == Path("here.csv.rejects.jsonl").read_bytes()
    )
    shutil.copy("here.csv.ledger", "again.csv.ledger")
    # what a run here has read is known there, and the other way round
    for name, on in (("there", "here"), ("again", "ray")):
        summary = score_table(asked(out=f"{name}.csv", on=on, **given), said.append)
        assert summary.known > 40
        assert Path(f"{name}.csv").read_bytes() == Path("here.csv").read_bytes()


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_no_row(cluster):
    """With an adapter, which each worker has to find as well."""
    quick = Tuning(rank=2, epochs=1, learning_rate=1e-2)
    tune_table(
        TuneOptions(
            labelled="train.csv", prompt="p.jinja", out=Path("adapter"), model="model", tuning=quick
        )
    )
    table("customers.csv", HEADER, many(300)[0])
    score_table(asked(out="here.csv", adapter=Path("adapter")))
    score_table(asked(out="plain.csv"))
    assert read("plain.csv") != read("here.csv")
    killed = []

    def kill():
        while not killed:
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    name = (process / "cmdline").read_bytes()
                except OSError:
                    continue
                if b"ray::" in name and b"Map(ReadingActor)" in name and ready():
                    os.kill(int(process.name), signal.SIGKILL)
                    killed.append(name)
                    return
            time.sleep(0.02)

    def ready():
        """Whether some blocks are in the ledger, and others are not."""
        try:
            import sqlite3

            with sqlite3.connect("file:there.csv.ledger?mode=ro", uri=True) as file:
                return file.execute("select count(*) from scores").fetchone()[0] > 16
        except sqlite3.Error:
            return False

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    score_table(asked(out="there.csv", on="ray", adapter=Path("adapter")))
    thread.join(5)
    assert killed
    assert read("there.csv") == read("here.csv")
