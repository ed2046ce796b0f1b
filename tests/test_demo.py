"""The demo: what it writes and says, with stand-ins for both models."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from fakes import FakeEncoder, FakeLM
from promptpredict import demo
from promptpredict.demo import SAMPLE, TARGET, run_demo
from promptpredict.errors import DataError


class Counted(FakeLM):
    """Has a dtype, and can say what it would read."""

    def __init__(self):
        super().__init__()
        self.model = SimpleNamespace(dtype=np.dtype("float32"))

    def count(self, prompts, labels):
        return len(prompts)


@pytest.fixture(autouse=True)
def pulled(tmp_path, monkeypatch):
    """The names that were fetched; nothing is on this machine before."""
    monkeypatch.chdir(tmp_path)
    found = []

    def find(name, kind="language model"):
        return SimpleNamespace(name=name, path=Path(name), fingerprint=f"{name}@1", adapter=None)

    monkeypatch.setattr("promptpredict.models.find", find)
    monkeypatch.setattr("promptpredict.checking.find", find)
    monkeypatch.setattr("promptpredict.models.here", lambda source: source)
    monkeypatch.setattr("promptpredict.loading.load_language_model", lambda *_, **__: Counted())
    monkeypatch.setattr("promptpredict.encoders._load", lambda *_: FakeEncoder())
    monkeypatch.setattr("promptpredict.gate.ROWS", 10_000)  # the stand-in's label mass is low
    monkeypatch.setattr(demo, "embedded_path", lambda _: None)
    monkeypatch.setattr(demo, "pull", found.append)
    monkeypatch.setattr("promptpredict.report.write_report", lambda *_, **__: "report.html")
    monkeypatch.setattr(demo, "BUDGETS", (0, 16))
    monkeypatch.setattr(demo, "SEEDS", 1)
    return found


def rows(path):
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


def test_it_fetches_scores_and_compares_and_says_how(pulled):
    said = []
    run_demo(Path("shown"), said.append)
    assert pulled == ["smollm2-135m", "minilm"]
    commands = [line for line in said if line.startswith("$ ")]
    assert commands == [
        "$ promptpredict score shown/customers.csv --prompt churn-shop --model smollm2-135m "
        "--base-rate 0.22 --out shown/scores.csv",
        "$ promptpredict benchmark shown/labelled.csv --prompt churn-shop --model smollm2-135m "
        "--approach zero-shot,probe,embedding,prior --budget 0,16 --seeds 1 --max-test 200 "
        "--out shown/results",
    ]
    assert any("600 customers of a shop; they are synthetic" in line for line in said)
    scores = rows(Path("shown/scores.csv"))
    assert len(scores) == 600
    assert np.mean([float(row["p_1"]) for row in scores]) == pytest.approx(0.22, abs=1e-3)
    assert Path("shown/results/results.json").is_file()
    # customers are the sample without its target
    whole, shown = rows(SAMPLE), rows(Path("shown/customers.csv"))
    assert shown == [{k: v for k, v in row.items() if k != TARGET} for row in whole]
    assert Path("shown/labelled.csv").read_bytes() == SAMPLE.read_bytes()


def test_files_of_others_are_left_as_they_are():
    Path("customers.csv").write_text("somebody's own")
    with pytest.raises(DataError) as caught:
        run_demo(Path(), lambda _: None)
    assert str(caught.value) == (
        "customers.csv is there already, and not the demo's; give another --out"
    )
    assert sorted(path.name for path in Path().iterdir()) == ["customers.csv"]


def test_a_folder_that_cannot_be_made_is_a_fault():
    Path("file").touch()
    with pytest.raises(DataError) as caught:
        run_demo(Path("file/shown"), lambda _: None)
    assert str(caught.value) == (
        "the demo's files cannot be written to file/shown (Not a directory); give another --out"
    )
