"""`benchmark --adapter`: a language model with and without an adapter, on the same rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from promptpredict import practice
from promptpredict.adapters import Tuning, digest
from promptpredict.comparing import BenchmarkOptions, benchmark_table
from promptpredict.episodecards import EpisodeTuning
from promptpredict.errors import DataError
from promptpredict.plans import Plan
from promptpredict.results import Results
from promptpredict.tune import EpisodeOptions, TuneOptions, tune_episodes, tune_table
from walked import PROMPT, table, write

QUICK = EpisodeTuning(rank=4, alpha=8, learning_rate=1e-2, batch=2, episodes=6, width=600)
SAID = ["happy again and again", "late and slow"]

LEARNED = (
    "reader was trained on episodes of other.csv, and would be tested on what it knows; "
    "possible: another table, or an adapter that was trained without it"
)


@pytest.fixture(autouse=True)
def _files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(practice, "HELD", 4)
    monkeypatch.setattr(
        "promptpredict.report.write_report", lambda folder, *_, **__: folder / "report.html"
    )
    write("p.jinja", PROMPT)
    rows = [f"t{n},{n},{SAID[n % 2]} {n % 5} {n},{n % 2}" for n in range(60)]
    table("labelled.csv", "id,amount,feedback,left", rows)
    table("other.csv", "id,amount,feedback,left", rows[:48])


@pytest.fixture
def reader(tiny_folder):
    """An adapter that learned from episodes of another table."""
    asked = {"labelled": ["other.csv"], "prompt": ["p.jinja"], "out": Path("reader")}
    tune_episodes(EpisodeOptions(**asked, model=str(tiny_folder), dtype="float32", tuning=QUICK))
    return Path("reader")


def compare(
    folder,
    adapter,
    *,
    models=None,
    labelled="labelled.csv",
    out="results",
    prompts=("p.jinja",),
    **plan,
):
    plan = {"approaches": ["zero-shot", "few-shot", "text"], "budgets": (0, 8), "seeds": 2} | plan
    asked = BenchmarkOptions(
        labelled=labelled,
        prompts=prompts,
        out=Path(out),
        plan=Plan(**plan, shots=2, max_test=20, memory_rows=0),
        models=models or (str(folder),),
        adapter=adapter,
    )
    return benchmark_table(asked, lambda _: None)


def fault(*given, **changes):
    with pytest.raises(DataError) as caught:
        compare(*given, **changes)
    assert not Path("results").exists()
    return str(caught.value)


def figures(out, approach):
    found = Results.load(Path(out, "results.json"))
    return {
        (row.budget, row.seed): row.metrics["roc_auc"].value
        for row in found.rows
        if row.approach == approach
    }


def test_a_model_stands_beside_itself_with_an_adapter(tiny_folder, reader):
    compare(tiny_folder, reader)
    found, name = Results.load(Path("results/results.json")), tiny_folder.name
    base = next(row.model for row in found.rows if row.model)
    assert {row.model for row in found.rows} == {"", base, f"{base}+reader"}
    kept = {row.approach for row in found.rows if not row.approach.startswith("chosen")}
    assert kept >= {
        "text",
        *(
            f"{each} @ {model}"
            for each in ("zero-shot", "few-shot")
            for model in (base, f"{base}+reader")
        ),
    }
    identities = found.about.settings["models"]
    assert identities[1].startswith(f"{identities[0].split()[0]}+{digest(reader)} ")
    pairs = [(each.approach, each.against) for each in found.differences]
    assert (f"few-shot @ {base}+reader", f"few-shot @ {base}") in pairs
    compare(tiny_folder, None, out="alone")
    for approach in ("zero-shot", "few-shot"):
        alone = figures("alone", approach)
        assert figures("results", f"{approach} @ {base}") == alone
        assert figures("results", f"{approach} @ {base}+reader") != alone
    assert name in base


def test_the_model_of_an_adapter_is_known_from_its_card(tiny_folder, reader):
    compare(tiny_folder, reader, models=("auto",))
    models = {row.model for row in Results.load(Path("results/results.json")).rows if row.model}
    assert len(models) == 2


def test_what_would_be_unfair_or_unclear_is_refused_before_a_model_is_loaded(tiny_folder, reader):
    write("q.jinja", PROMPT.replace("ignore: [note]", "ignore: [note, amount]"))
    for prompts in (["p.jinja"], ["q.jinja", "p.jinja"]):
        assert fault(tiny_folder, reader, labelled="other.csv", prompts=prompts) == LEARNED
    assert fault(tiny_folder, reader, models=("a", "b")).startswith(
        "--adapter goes with one language model, and 2 are given; possible: --model "
    )
    assert fault(tiny_folder, reader, approaches=["tuned", "few-shot"]) == (
        "tuned trains an adapter of its own, and --adapter is given; possible: one of the two"
    )
    assert fault(tiny_folder, reader, approaches=["text"]).startswith(
        "--adapter is one of a language model, and no approach has one; possible: zero-shot, "
    )
    quick = Tuning(rank=4, alpha=8, learning_rate=1e-2, batch=8, epochs=1)
    asked = {"labelled": "other.csv", "prompt": "p.jinja", "out": Path("own"), "tuning": quick}
    tune_table(TuneOptions(**asked, model=str(tiny_folder), dtype="float32"))
    assert fault(tiny_folder, Path("own")) == (
        "own has learned labels, and may have those of the rows that it would be tested on; "
        "possible: --approach tuned, which trains one on each draw"
    )
