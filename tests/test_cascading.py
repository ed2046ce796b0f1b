"""The cascade in a comparison: one approach, and what it is worth and costs at several shares."""

from __future__ import annotations

import copy
import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from compared import benchmark, by_case, customers, markers
from fakes import FakeLM
from promptpredict.cascading import SHARES
from promptpredict.comparing import results_of
from promptpredict.joining import joined
from promptpredict.listing import table_text
from promptpredict.plans import CASCADE, DEFAULT
from promptpredict.report import write_report
from promptpredict.results import About, Results, Share, Value, write_results
from promptpredict.runtables import share_table
from promptpredict.sameness import content

NAMES = ("embedding", "probe", CASCADE)


@pytest.fixture(scope="module")
def whole():
    lm = FakeLM()
    run = benchmark(
        customers(160, clear=0.8), lm=lm, approaches=NAMES, budgets=(4, 16, 64), max_test=60
    )
    with threadpool_limits(1):
        expected = run.collect()
        return run, run.run(), lm, expected


def shares_at(comparison, budget, seed):
    return {one.share: one for one in comparison.shares if (one.budget, one.seed) == (budget, seed)}


def test_it_runs_only_by_name():
    assert CASCADE not in DEFAULT


def test_every_share_has_its_figures_at_every_budget_and_seed(whole):
    _, comparison, _, _ = whole
    found = [(one.budget, one.seed, one.share) for one in comparison.shares]
    assert found == [(b, s, share) for b in (16, 64) for s in (0, 1) for share in SHARES]
    for one in comparison.shares:
        assert (one.approach, one.n_test, one.model) == (CASCADE, 60, "fake")
        assert {*one.metrics} == {
            "roc_auc",
            "gain",
            "log_loss",
            "tokens_per_1000",
            "seconds_per_1000",
        }


@pytest.mark.parametrize("budget", [16, 64])
@pytest.mark.parametrize("seed", [0, 1])
def test_at_its_own_share_it_is_the_approach_and_at_none_the_embedding(whole, budget, seed):
    _, comparison, _, _ = whole
    rows = {(row.approach, row.budget, row.seed): row.metrics for row in comparison.rows}
    found = shares_at(comparison, budget, seed)
    for name in ("roc_auc", "log_loss", "tokens_per_1000"):
        mine, main = found[0.25].metrics[name], rows[CASCADE, budget, seed][name]
        assert mine.value == pytest.approx(main.value)
    embedding = rows["embedding", budget, seed]["roc_auc"].value
    assert found[0.0].metrics["roc_auc"].value == pytest.approx(embedding)
    assert found[0.0].metrics["gain"] == Value(value=0, low=0, high=0)
    probe = rows["probe", budget, seed]["tokens_per_1000"].value
    for share, one in found.items():
        gain = one.metrics["roc_auc"].value - found[0.0].metrics["roc_auc"].value
        assert one.metrics["gain"].value == pytest.approx(gain)
        # the fake counts words, of which customers have nearly as many as one another
        assert one.metrics["tokens_per_1000"].value == pytest.approx(probe * one.asked, rel=0.1)
        assert one.asked == (share if share in (0, 1) else one.asked)
    assert sorted(one.asked for one in found.values()) == [one.asked for one in found.values()]


def test_its_figures_are_those_of_its_predictions(whole):
    _, comparison, _, _ = whole
    case = by_case(comparison)[CASCADE, 64, 1]
    expected = roc_auc_score(case["label"] == "leaves", case["p_leaves"])
    (row,) = [
        row for row in comparison.rows if (row.approach, row.budget, row.seed) == (CASCADE, 64, 1)
    ]
    assert row.metrics["roc_auc"].value == pytest.approx(expected)


def test_every_prompt_is_known_before_it_is_read_and_read_once(whole):
    run, _, lm, expected = whole
    assert run.memo.passes == expected == len(lm.asked)
    assert len({prompt.user for prompt in lm.asked}) == expected


def test_without_the_probe_beside_it_only_its_own_rows_are_read():
    lm = FakeLM()
    run = benchmark(customers(160), lm=lm, approaches=(CASCADE,), budgets=(16,), seeds=1)
    run.run()
    (draw,) = run.draws()
    rows = {run.records[row].row for row in (*draw.rows, *draw.test)}
    assert set().union(*(markers(prompt.user) for prompt in lm.asked)) == rows


def test_a_row_that_cannot_be_scored_is_left_out_for_every_approach():
    records = customers(120)
    run = benchmark(records, lm=FakeLM(), approaches=NAMES, budgets=(16,), seeds=1)
    bad = run.splits[0].test[3]
    records[bad].values["feedback"] = "[unscorable] marker"
    assert content(run.prompt_file, records[bad])
    found = run.run()
    assert {one.n_test for one in found.shares} == {39}
    assert {row.n_test for row in found.rows} == {39}


# -- where it is told ------------------------------------------------------------------------------


def test_of_several_models_each_has_its_shares(whole):
    comparison = whole[1]
    found = joined([copy.deepcopy(comparison), copy.deepcopy(comparison)], ["one", "two"])
    assert len(found.shares) == 2 * len(comparison.shares)
    assert {one.approach for one in found.shares} == {"cascade @ one", "cascade @ two"}
    parts = [part.name for part in share_table(found.shares).parts]
    assert parts == [f"cascade @ {m}, with {b} labels" for m in ("one", "two") for b in (16, 64)]


def test_it_is_judged_with_those_that_read_customers(whole):
    pairs = {(one.approach, one.against, one.budget) for one in whole[1].differences}
    assert (CASCADE, "chosen-without-lm", 64) in pairs


def share(value, *, share=0.25, asked=0.3, seed=0, budget=16):
    metrics = {
        "roc_auc": Value.of(value, value - 0.1, value + 0.1),
        "gain": Value.of(value - 0.8, value - 0.85, value - 0.75),
        "log_loss": Value.of(0.5),
        "tokens_per_1000": Value.of(1234.5),
        "seconds_per_1000": Value.of(float("nan")),
    }
    given = {"table": "t.csv", "prompt": "p.jinja", "model": "m", "n_test": 10}
    return Share(approach=CASCADE, budget=budget, seed=seed, metrics=metrics, share=share, asked=asked, **given)  # fmt: skip


def test_the_table_holds_means_over_the_seeds():
    table = share_table([share(0.75), share(0.85, seed=1, asked=0.4)])
    assert list(table.head) == [
        "share", "asked", "gain", "ROC AUC", "log loss", "tokens per 1,000", "seconds per 1,000"
    ]  # fmt: skip
    (part,) = table.parts
    assert part.name == "with 16 labels"
    assert [(cell.text, cell.under) for cell in part.rows[0]] == [
        ("25 %", ""),
        ("35 %", ""),
        ("+0.000", "−0.050 to +0.050"),
        ("0.800", "0.700–0.900"),
        ("0.500", ""),
        ("1,234", ""),
        ("–", ""),
    ]
    assert share_table([]).parts == []


def test_the_terminal_shows_the_shares_below_the_approaches(whole):
    comparison = whole[1]
    lines = table_text(results_of(comparison, About())).splitlines()
    start = lines.index("") + 1
    assert lines[start].split("  ")[0] == "asks for"
    assert lines[start + 1].split()[:6] == ["cascade,", "0", "%", "16", "0", "%"]
    assert len(lines[start:]) == 1 + 2 * len(SHARES) + 2
    without = results_of(comparison, About())
    without.shares = []
    assert "asks for" not in table_text(without)


def test_results_and_report_hold_them_and_those_without_a_cascade_nothing(whole, tmp_path):
    comparison = whole[1]
    results = results_of(comparison, About())
    predictions = write_results(tmp_path, results, comparison.predictions)
    assert isinstance(predictions, pd.DataFrame)
    assert Results.load(tmp_path / "results.json").shares == comparison.shares
    page = write_report(tmp_path, results, predictions, positive="leaves").read_text("utf-8")
    assert "A cascade that asks the language model for a share of the customers" in page
    results.shares = []
    write_results(tmp_path, results, comparison.predictions)
    assert "shares" not in json.loads((tmp_path / "results.json").read_text("utf-8"))
    page = write_report(tmp_path, results, predictions, positive="leaves").read_text("utf-8")
    assert "A cascade that asks" not in page


def test_folds_are_counted_together():
    run = benchmark(
        customers(90, clear=0.8), approaches=(CASCADE,), budgets=(16,), seeds=1, folds=3
    )
    found = run.run()
    assert {one.n_test for one in found.shares} == {90}
    for one in found.shares:
        assert one.asked * 90 == pytest.approx(np.round(one.asked * 90))
