"""Amounts from end to end with stand-ins: `benchmark`, its choices and its stack, and `score`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from promptpredict.amountbench import choose_amounts, join_amounts, strata_of
from promptpredict.amounts import Scale
from promptpredict.binning import quantile_edges
from promptpredict.comparing import BenchmarkOptions, benchmark_table
from promptpredict.errors import DataError, PromptPredictError
from promptpredict.plans import Plan
from promptpredict.results import Results
from promptpredict.showing import RenderOptions, render_row
from test_regressors import customers
from walked import column, read, score, write

PROMPT = """---
task: regression
target: spend
bins: {words: [low, medium, high]}
id: id
text: [said]
---
{% block system %}You judge.{% endblock %}
{% block customer %}{% for field in customer.fields %}{{ field.name }}: {{ field.value }}
{% endfor %}
{{ customer.said }}{% endblock %}
{% block question %}How much?{% endblock %}
{% block answer %}It is{% endblock %}
"""
SHOWN = PROMPT.replace("How much?", "{{ bins[0].formatted }}?")


@pytest.fixture
def run(fakes):
    """Write a prompt file and tables, and give the stand-ins of a run."""
    write("spend.jinja", PROMPT)
    X, y = customers(160)
    X.assign(spend=y).to_csv("spend.csv", index=False)
    new, _ = customers(30, seed=5)
    new.to_csv("new.csv", index=False)
    fakes.lm.model = SimpleNamespace(dtype="float32", device="cpu")
    return fakes


def bench(run, out="results", **changes):
    said = []
    plan = {"approaches": APPROACHES, "budgets": (0, 16, 64), "seeds": 2, "max_test": 60}
    asked = BenchmarkOptions(
        labelled="spend.csv",
        prompts=[changes.pop("prompt", "spend.jinja")],
        out=Path(out),
        plan=Plan(**plan | changes, memory_rows=0),
        models=(run.model_folder,),
        encoder=run.encoder_folder,
    )
    return benchmark_table(asked, said.append), said, Results.load(Path(out) / "results.json")


APPROACHES = (
    *("zero-shot", "few-shot", "probe", "embedding", "structured", "structured-trees"),
    *("text", "fusion", "stack", "prior", "panel"),
)


@pytest.mark.slow
def test_every_approach_is_compared_on_amounts(run):
    table, _, results = bench(run)
    at = {(row.approach, row.budget) for row in results.rows}
    assert {name for name, _ in at} == {
        *APPROACHES, "chosen-with-lm", "chosen-without-lm", "chosen-single",
    } - {"panel"}  # fmt: skip
    assert {budget for _, budget in at} == {16, 64}
    assert "no budget of 0: spend.jinja gives no 'bins.edges'" in results.notes
    assert "panel is left out: spend.jinja has no panel" in results.notes
    assert {each.metric for each in results.differences} == {"spearman"}
    assert re.match(r"With 16 to 64 labels|With 16 labels", results.verdict)
    assert "Spearman" in results.verdict
    stack = [row.metrics for row in results.rows if (row.approach, row.budget) == ("stack", 64)]
    assert min(each["spearman"].value for each in stack) > 0.9
    for metrics in stack:
        assert metrics["spearman"].low <= metrics["spearman"].value <= metrics["spearman"].high
        assert 0.6 < metrics["coverage"].value <= 1
    assert table.splitlines()[0].split()[:6] == [
        "approach",
        "labels",
        "spearman",
        "gini",
        "mae",
        "rmse",
    ]
    frame = pd.read_parquet("results/predictions.parquet")
    assert list(frame.columns) == [
        *(
            "approach",
            "budget",
            "seed",
            "fold",
            "row",
            "id",
            "amount",
            "prediction",
            "lower",
            "upper",
        )
    ]
    truth = pd.read_csv("spend.csv")["spend"]
    assert np.array_equal(frame["amount"], truth[frame["row"] - 1])
    report = Path("results/report.html").read_text(encoding="utf-8")
    assert "Spearman" in report
    assert "this task has amounts" in report
    assert "How much a label buys" in report
    assert "1 is the order of the amounts, 0 is chance." in report
    assert "What was taken for what" not in report


def test_edges_in_the_file_let_it_run_without_labels(run):
    write("spend.jinja", PROMPT.replace("high]}", "high], edges: [0, 60, 150, 500]}"))
    _, _, results = bench(run, approaches=("zero-shot", "structured"))
    zero = next(row for row in results.rows if row.budget == 0)
    assert zero.metrics["spearman"].value > 0.3
    assert results.verdict.startswith("With no label use `zero-shot` (Spearman 0.")
    assert "above 0)" in results.verdict


def test_folds_test_every_row(run):
    _, _, results = bench(run, approaches=("structured",), budgets=(16,), folds=3, seeds=1)
    assert [row.n_test for row in results.rows if row.approach == "structured"] == [160]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"value_saved": 1.0, "offer_cost": 1.0}, "--value-saved needs labels; task: regression has amounts"),
        ({"base_rate": 0.1}, "--base-rate needs labels; task: regression has amounts"),
    ],
)  # fmt: skip
def test_what_amounts_do_not_have(run, changes, text):
    with pytest.raises(DataError) as caught:
        bench(run, **changes)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("much", "spend.csv, row 3: column 'spend' holds 'much', which is not a number"),
        (None, "spend.csv, column 'spend': bins need amounts that differ, found only 5"),
    ],
)
def test_a_target_that_is_no_amount(run, cell, text):
    frame = pd.read_csv("spend.csv", dtype=str)
    if cell is None:
        frame["spend"] = "5"
    else:
        frame.loc[2, "spend"] = cell
    frame.to_csv("spend.csv", index=False)
    with pytest.raises(DataError) as caught:
        bench(run)
    assert str(caught.value) == text
    assert run.loaded == []


# -- choices and the stack -------------------------------------------------------------------


def said(y, error, seed=0):
    rng = np.random.default_rng(seed)
    expected = y * np.exp(error * rng.normal(size=len(y)))
    return np.stack([expected, expected / 2, expected * 2], axis=1)


def test_the_nearest_of_what_was_not_seen_is_chosen():
    y = np.exp(np.random.default_rng(1).normal(size=40))
    held = {"far": said(y, 1.0), "near": said(y, 0.1), "twin": said(y, 0.1)}
    assert choose_amounts(held, y) == "near"
    held["near"][:25] = np.nan  # fewer than half: no choice
    assert choose_amounts(held, y) == "twin"
    held["near"][:] = held["twin"]
    held["near"][:15] = np.nan
    held["twin"][20] *= 50  # a row that both have
    assert choose_amounts(held, y) == "near"
    assert choose_amounts({"a": np.empty((0, 3)), "b": np.empty((0, 3))}, []) == "a"


def test_a_stack_weighs_what_its_members_say():
    rng = np.random.default_rng(2)
    y, new = np.exp(rng.normal(size=80)), np.exp(rng.normal(size=200))
    noise = said(new, 0.0)[rng.permutation(200)]
    held = [said(y, 0.2, 3), said(y, 0.0)[rng.permutation(80)]]
    found, own = join_amounts(held, [said(new, 0.2, 4), noise], y, (), None, 0)
    scale = Scale.of(y, low=0.0)
    assert np.corrcoef(scale.fitted(found[:, 0]), scale.fitted(new))[0, 1] > 0.93
    assert np.corrcoef(scale.fitted(own[:, 0]), scale.fitted(y))[0, 1] > 0.93
    few = [each.copy() for each in held]
    few[0][7:] = np.nan
    found, own = join_amounts(few, [said(new, 0.2, 4), noise], y, (), None, 0)
    assert found == pytest.approx((said(new, 0.2, 4) + noise) / 2)
    assert np.isnan(own).all()


# -- score -----------------------------------------------------------------------------------

FILES = {"customers": "new.csv", "prompt": "spend.jinja"}


def test_score_writes_amounts(run):
    summary, _ = score(run, **FILES, train="spend.csv", save_calibration="c.json")
    lines = read()
    assert list(lines[0]) == [
        *("id", "prediction", "lower", "upper", "label_mass", "method", "truncated", "flags")
    ]
    _, truth = customers(30, seed=5)
    expected = np.array(column("prediction"), dtype=float)
    low, high = (np.array(column(name), dtype=float) for name in ("lower", "upper"))
    assert np.corrcoef(expected, truth)[0, 1] > 0.6
    assert 0.6 < np.mean((low <= truth) & (truth <= high)) <= 1
    assert summary.calibration == (
        "amounts by a line through the mean over the bins, found on 160 rows with labels"
    )
    first = Path("scores.csv").read_bytes()
    score(run, **FILES, calibration="c.json", out="again.csv")
    assert Path("again.csv").read_bytes() == first


def test_score_by_the_embedding_where_a_row_cannot_be_read(run):
    new = pd.read_csv("new.csv")
    new.loc[4, "said"] = "[unscorable] high high"
    new.to_csv("new.csv", index=False)
    given = {"train": "spend.csv", "fallback": "embedding"}
    score(run, **FILES, **given)
    assert [row["method"] for row in read()].count("embedding") == 1
    assert read()[4]["method"] == "embedding"
    assert float(read()[4]["lower"]) <= float(read()[4]["prediction"]) <= float(read()[4]["upper"])


def test_few_labelled_records_calibrate_nothing(run):
    pd.read_csv("spend.csv")[:7].to_csv("few.csv", index=False)
    summary, notes = score(run, **FILES, train="few.csv")
    assert (
        "not calibrated on amounts: at least 8 labelled records that are no shots are needed; "
        "there are 7"
    ) in notes
    assert summary.calibration == "amounts from the bins' probabilities, not calibrated"


def test_a_saved_calibration_of_labels_is_refused(run):
    score(run, train="train.csv", save_calibration="c.json")
    with pytest.raises(PromptPredictError) as caught:
        score(run, **FILES, calibration="c.json")
    assert re.fullmatch(
        r"c\.json is not a calibration of amounts \(.+\); give a file that an earlier run saved",
        str(caught.value),
    )
    saved = json.loads(Path("c.json").read_text())
    assert saved["method"] == "platt"


def test_render_shows_bins_of_the_labelled(run):
    write("spend.jinja", SHOWN)
    asked = {"customers": "new.csv", "prompt": "spend.jinja", "row": 1, "model": "smollm2-135m"}
    with pytest.raises(PromptPredictError) as caught:
        render_row(RenderOptions(**asked))
    assert str(caught.value) == (
        "spend.jinja: a block shows 'bins', which need 'bins.edges', or edges from labelled records"
    )
    low, high = quantile_edges(pd.read_csv("spend.csv")["spend"], 3)[:2]
    shown = render_row(RenderOptions(**asked, train="spend.csv"))
    assert f"\n{low:g} to {high:g}?" in shown


# -- strata ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bins", "expected"),
    [
        ([0] * 5 + [1] * 4 + [2] * 6, [0] * 5 + [1] * 4 + [2] * 6),
        ([0] * 9 + [2] * 4, [0] * 9 + [2] * 4),
        ([0] * 2 + [1] * 4 + [2] * 9, [0] * 6 + [2] * 9),  # a small one joins the next
        ([0] * 9 + [1] * 4 + [2] * 1, [0] * 9 + [1] * 5),  # or the last before it
        ([0] * 1 + [1] * 1 + [2] * 2 + [3] * 9, [0] * 4 + [3] * 9),
        ([1] * 8, [0] * 4 + [1] * 4),  # all in one: halves
        ([0] * 7 + [1] * 2, [0] * 4 + [1] * 5),
    ],
)
def test_strata_are_bins_of_four_rows_or_more(bins, expected):
    amounts = np.arange(len(bins), dtype=float)
    assert strata_of(bins, amounts) == expected
    order = np.random.default_rng(0).permutation(len(bins))
    mixed = strata_of([bins[at] for at in order], amounts[order])
    assert mixed == [expected[at] for at in order]


def test_few_amounts_are_not_compared():
    with pytest.raises(DataError) as caught:
        strata_of([0] * 7, np.zeros(7))
    assert str(caught.value) == "a comparison of amounts needs 8 rows or more; there are 7"


def test_a_bin_with_a_single_amount_ends_no_comparison(run):
    edges = "words: [low, medium, high], edges: [0, 100, 1000, 9000]"
    write("spend.jinja", PROMPT.replace("words: [low, medium, high]", edges))
    X, y = customers(160)
    X.assign(spend=[5000.0, *y[1:]]).to_csv("spend.csv", index=False)
    _, _, results = bench(run, approaches=("few-shot", "structured"), budgets=(16,), seeds=1)
    assert {row.approach for row in results.rows} > {"few-shot", "structured"}
