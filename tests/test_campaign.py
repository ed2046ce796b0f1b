"""The campaign's run of adapters: what it compares, what a ledger keeps of it, and its section."""

from __future__ import annotations

import gzip
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest

from compared import PROMPT, customers
from fakes import FakeEncoder
from promptpredict import tuned
from promptpredict.adapters import Tuning
from promptpredict.encoders import Embedder
from promptpredict.loading import load_language_model
from promptpredict.models import find
from promptpredict.results import About, Difference, Results, Row, Value
from promptpredict.scores import Labels

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    names = ("cells", "pages", "report", "tables", "tunedpart")
    import report
    import tables
    import tunedpart

    yield report, tables, tunedpart
    for name in names:
        sys.modules.pop(name, None)


# -- the run -----------------------------------------------------------------------------------


def test_every_run_is_a_plan_that_can_be_carried_out(scripts):
    _, tables, _ = scripts
    for plan in tables.RUNS.values():
        plan.check()
    assert {name for names in tables.TABLES_OF.values() for name in names} <= {*tables.TABLES}


@pytest.mark.parametrize("budget", [64, 256, 1024])
def test_adapters_stand_on_the_draws_of_main(scripts, budget):
    _, tables, tunedpart = scripts
    assert (*tables.TUNED_RUNS,) == tunedpart.RUNS
    plan, main = tables.RUNS[f"tuned-{budget}"], tables.RUNS["main"]
    for name in ("seeds", "max_test", "held", "split_seed", "select"):
        assert getattr(plan, name) == getattr(main, name)
    assert plan.shots < main.shots  # which bear on no draw, and are what costs most
    assert plan.budgets_in(5000) == [each for each in main.budgets_in(5000) if each <= 1024]
    for name in plan.wanted:
        taken = [each for each in plan.budgets_in(5000) if plan.takes(name, each, 5000)]
        assert taken == ([0] if name == "zero-shot" else []) + [budget]


@pytest.fixture
def campaign(scripts, tmp_path, tiny_folder, monkeypatch):
    """Return the script and options for one small table, with the run made small."""
    _, tables, _ = scripts
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "shop.jinja").write_text(PROMPT, encoding="utf-8")
    columns = ("id", "plan", "price", "feedback", "outcome")
    lines = [",".join(columns)]
    for record in customers(60):
        lines.append(",".join(str(record.values.get(name, record.label)) for name in columns))
    with gzip.open(tmp_path / "shop.csv.gz", "wt", encoding="utf-8") as file:
        file.write("\n".join([*lines, ""]))
    small = {"budgets": (0, 16), "seeds": 1, "max_test": 12, "held": 12, "shots": 2}
    own = dict.fromkeys(tables.RUNS["tuned-64"].budgets_of, (16,))
    monkeypatch.setattr(tables, "HERE", tmp_path)
    monkeypatch.setattr(tables, "Embedder", lambda: Embedder(FakeEncoder()))
    monkeypatch.setitem(
        tables.RUNS, "tuned-64", replace(tables.RUNS["tuned-64"], budgets_of=own, **small)
    )
    plain = tuned.TunedClassifier.__init__

    def init(self, *given, **named):
        plain(self, *given, **named)
        self.tuning = Tuning(rank=4, alpha=8, learning_rate=1e-2, batch=8, epochs=3)

    monkeypatch.setattr(tuned.TunedClassifier, "__init__", init)
    options = Namespace(
        data=tmp_path, out=tmp_path / "results", work=tmp_path, model=str(tiny_folder),
        run=["tuned-64"], table=["shop"], plan=False, again=False, commit="0123456789ab",
    )  # fmt: skip
    return tables, options


def test_a_dear_run_stands_on_its_own_tables_or_where_one_is_named(campaign):
    tables, options = campaign
    options.table = None
    tables.run_table(options, "shop")
    assert not options.out.exists()


@pytest.mark.slow
def test_a_run_says_how_an_adapter_stands_and_a_ledger_keeps_the_model_as_it_is(campaign):
    tables, options = campaign
    tables.run_table(options, "shop")
    found = Results.load(options.out / "shop" / "tuned-64" / "results.json")
    assert sorted(path.name for path in (options.out / "shop" / "tuned-64").iterdir()) == [
        "report.html",
        "results.json",
    ]
    pairs = [(each.approach, each.against) for each in found.differences]
    besides = [("tuned", name) for name in ("probe", "few-shot", "embedding", "stack")]
    assert pairs[-4:] == besides
    assert found.about.versions["commit"] == "0123456789ab"
    assert found.about.settings["against"] == {"tuned": ["probe", "few-shot", "embedding", "stack"]}

    source = find(options.model)
    lm = load_language_model(source)
    kept = tables.memo_of(lm, source, options.work / "shop.sqlite")
    benchmark = tables.prepared("shop", "tuned-64", options, kept, Embedder(FakeEncoder()))
    records, file = benchmark.records, benchmark.prompt_file
    tested = [file.render(records[row]) for row in benchmark.splits[0].test]
    asked = Labels(file.words, file.front.join)
    assert kept.score(tested, asked).logprobs == pytest.approx(
        lm.score(tested, asked).logprobs, abs=1e-4
    )
    assert kept.passes == 0  # all of it was in the ledger, and is what the model itself says


# -- its section -------------------------------------------------------------------------------

AUCS = {"tuned": 0.9, "probe": 0.85, "few-shot": 0.8, "embedding": 0.7, "stack": 0.9123}


def results(approaches=tuple(AUCS), seeds=2, budget=64, commit="0123456789ab", **more):
    """Return what a run of one table would leave, of one budget."""
    rows = [
        Row(
            table="shop", prompt="shop.jinja", model="tiny", approach=name, budget=budget, seed=seed,
            n_test=400, metrics={"roc_auc": Value.of(AUCS[name] + 0.01 * seed)},
        )
        for name in approaches
        for seed in range(seeds)
    ]  # fmt: skip
    words = {"probe": "better", "few-shot": "undecided", "embedding": "better", "stack": "no worse"}
    differences = [
        Difference(
            approach="tuned", against=name, budget=budget, metric="roc_auc", value=0.9 - AUCS[name],
            low=0.88 - AUCS[name], high=0.92 - AUCS[name], p=0.5, holm_low=0.87 - AUCS[name],
            holm_high=0.93 - AUCS[name], verdict=words[name],
        )
        for name in approaches
        if name != "tuned"
    ]  # fmt: skip
    about = About(
        hardware="16 cores, a GPU",
        versions={"commit": commit},
        settings={"models": ["tiny tiny@1 torch.bfloat16"]} | more,
    )
    return Results(rows=rows, differences=differences, verdict="", about=about)


SECTION = """\
## An adapter trained on the labels

| ROC AUC | labels | `tuned` | `probe` | `few-shot` | `embedding` | `stack` |
| --- | --- | --- | --- | --- | --- | --- |
| shop | 64 | .905 ±.007 | .855 ±.007 | .805 ±.007 | .705 ±.007 | .917 ±.007 |
| shop | 1,024 | .905 ±.007 | .855 ±.007 | .805 ±.007 | .705 ±.007 | .917 ±.007 |
| half | 256 | .900 | .850 |  |  |  |

By how much `tuned` is ahead of each, ROC AUC paired over test rows and seeds; the word is from the interval, which is corrected for those of a table and budget together:

| `tuned` less | labels | `probe` | `few-shot` | `embedding` | `stack` |
| --- | --- | --- | --- | --- | --- |
| shop | 64 | +0.050 (95 % +0.020 to +0.080): better | +0.100 (95 % +0.070 to +0.130): undecided | +0.200 (95 % +0.170 to +0.230): better | -0.012 (95 % -0.042 to +0.018): no worse |
| shop | 1,024 | +0.050 (95 % +0.020 to +0.080): better | +0.100 (95 % +0.070 to +0.130): undecided | +0.200 (95 % +0.170 to +0.230): better | -0.012 (95 % -0.042 to +0.018): no worse |
| half | 256 | +0.050 (95 % +0.020 to +0.080): better |  |  |  |

tiny in bfloat16, read and trained on 16 cores, a GPU, commit 0123456789ab or cdef. 400 test rows; means ± standard deviations over draws of the labels (seeds 0 to 1)."""


def test_the_section_of_adapters_is_this(scripts):
    _, _, tunedpart = scripts
    found = {
        "shop": {"tuned-64": results(), "tuned-1024": results(budget=1024, commit="cdef")},
        "other": {},
        "half": {"tuned-256": results(("tuned", "probe"), 1, 256)},
    }
    assert "\n\n".join(tunedpart.tuned_part(found)) == SECTION


def test_without_results_the_section_is_left_out(scripts):
    _, _, tunedpart = scripts
    assert tunedpart.tuned_part({}) == []
    assert tunedpart.tuned_part({"shop": {}}) == []
    assert tunedpart.tuned_part({"shop": {"tuned-64": results(("probe",))}}) == []


def test_the_page_has_the_section_once_there_are_results(scripts, tmp_path):
    report, _, _ = scripts
    (tmp_path / "shop" / "tuned-64").mkdir(parents=True)
    found = results(against={"tuned": ["probe"]}).model_dump_json(by_alias=True)
    (tmp_path / "shop" / "results.json").write_text(found)
    assert "An adapter" not in report.results_part(report.load(tmp_path))
    (tmp_path / "shop" / "tuned-64" / "results.json").write_text(found)
    page = report.results_part(report.load(tmp_path))
    assert page.count("## An adapter trained on the labels\n") == 1
    assert "### shop, tuned-64: 400 test rows\n" in page
    assert "among themselves, what `tuned` stands against besides too:\n" in page
