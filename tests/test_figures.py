"""From outcomes to figures: what stands in results is what the predictions say."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import brier_score_loss, f1_score, roc_auc_score
from threadpoolctl import threadpool_limits

from compared import FAKED, QUICK, benchmark, by_case, customers
from fakes import FakeEncoder, FakeLM
from promptpredict.figures import members
from promptpredict.metrics import best_threshold, resample
from promptpredict.results import Results, write_results


@pytest.fixture(autouse=True)
def _one_thread():
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def found():
    run = benchmark(customers(120, clear=0.9), budgets=(0, 4, 40), max_test=60)
    with threadpool_limits(1):
        return run, run.run()


# -- the figures of the predictions ------------------------------------------------------------


def test_the_predictions_on_disk_give_the_figures_of_results_json(found, tmp_path):
    _, comparison = found
    results = Results(rows=comparison.rows, differences=comparison.differences, verdict="")
    write_results(tmp_path, results, comparison.predictions)
    frame = pd.read_parquet(tmp_path / "predictions.parquet")
    rows = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))["rows"]
    assert list(frame.columns) == [
        "approach", "budget", "seed", "fold", "row", "id", "label", "p_stays", "p_leaves",
    ]  # fmt: skip
    assert len(rows) == 1 + (5 + 3) * 2 * 2
    assert len(frame) == 60 * len(rows)
    for row in rows:
        case = frame[
            (frame["approach"] == row["approach"])
            & (frame["budget"] == row["budget"])
            & (frame["seed"] == row["seed"])
        ]
        hit, score = case["label"] == "leaves", case["p_leaves"]
        metrics = {name: value["value"] for name, value in row["metrics"].items()}
        assert metrics["roc_auc"] == pytest.approx(roc_auc_score(hit, score))
        assert metrics["brier"] == pytest.approx(brier_score_loss(hit, score))
        f1 = f1_score(hit, score >= metrics["threshold"], zero_division=0)
        assert metrics["f1"] == pytest.approx(f1)
        np.testing.assert_allclose(case["p_stays"] + case["p_leaves"], 1)


def test_the_approaches_know_what_the_feedback_says():
    """A column mixed up or a label turned round would show here."""
    comparison = benchmark(customers(200), approaches=FAKED, budgets=(40,), seeds=1).run()
    assert len(comparison.rows) == len(FAKED) + 3
    least = {"prior": 0.5, "structured": 0.6, "structured-trees": 0.6}
    for row in comparison.rows:
        value = row.metrics["roc_auc"].value
        assert value is not None
        assert value == 0.5 if row.approach == "prior" else value > least.get(row.approach, 0.75), (
            row
        )


def test_zero_shot_is_calibrated_on_labels_and_ranks_as_without(found):
    _, comparison = found
    rows = [row for row in comparison.rows if row.approach == "zero-shot"]
    assert {(row.budget, row.seed) for row in rows} == {(0, 0), (4, 0), (4, 1), (40, 0), (40, 1)}
    assert len({row.metrics["roc_auc"].value for row in rows}) == 1
    loss = {(row.budget, row.seed): row.metrics["log_loss"].value for row in rows}
    assert len({loss[0, 0], loss[4, 0], loss[40, 0], loss[40, 1]}) == 4


def test_labels_that_are_all_wrong_do_not_turn_zero_shot_round():
    records = customers(120, clear=1.0)
    run = benchmark(records, approaches=["zero-shot"], budgets=(0, 40), seeds=1, max_test=60)
    other = {"leaves": "stays", "stays": "leaves"}
    for row in run.splits[0].train:
        run.y[row] = other[run.y[row]]
        run.records[row] = replace(run.records[row], label=run.y[row])
    raw, fitted = run.run().rows
    assert fitted.metrics["roc_auc"].value == raw.metrics["roc_auc"].value == 1.0


def test_the_threshold_is_the_best_of_the_labelled_rows_held_out(found):
    run, comparison = found
    for draw in run.draws():
        if draw.budget != 40:
            continue
        outcome = run._outcome("probe", draw, 0)
        y = [run.y[row] for row in draw.rows]
        expected = best_threshold(
            y, outcome.held_out, labels=["stays", "leaves"], positive="leaves"
        )
        [row] = [
            row
            for row in comparison.rows
            if (row.approach, row.budget, row.seed) == ("probe", 40, draw.seed)
        ]
        assert row.metrics["threshold"].value == pytest.approx(expected)
        assert expected != 0.5
    assert comparison.rows[0].metrics["threshold"].value == 0.5  # there is no labelled row


# -- folds -------------------------------------------------------------------------------------


def test_in_folds_every_row_tests_once_and_is_ranked_among_those_of_its_fold():
    records = customers(90, clear=0.8)
    comparison = benchmark(records, approaches=QUICK, budgets=(0, 16), folds=3).run()
    expected = set()
    for (approach, budget, seed), case in by_case(comparison).items():
        assert sorted(case["row"]) == list(range(1, 91))
        assert case["fold"].value_counts().to_dict() == {0: 30, 1: 30, 2: 30}
        [row] = [
            row
            for row in comparison.rows
            if (row.approach, row.budget, row.seed) == (approach, budget, seed)
        ]
        together = roc_auc_score(case["label"] == "leaves", case["p_leaves"])
        assert row.n_test == 90
        parts = [part for _, part in case.groupby("fold")]
        folded = [roc_auc_score(part["label"] == "leaves", part["p_leaves"]) for part in parts]
        leaves = [(part["label"] == "leaves").sum() for part in parts]
        pairs = [count * (30 - count) for count in leaves]
        assert row.metrics["roc_auc"].value == pytest.approx(np.average(folded, weights=pairs))
        expected.add(abs(row.metrics["roc_auc"].value - together) > 1e-6)
    assert True in expected  # else all rows in one ranking would have passed as well
    assert len(comparison.rows) == 1 + 2 * (len(QUICK) + 3)


def test_folds_of_unequal_size_have_one_budget_of_all_rows():
    """60 or 61 rows train; as two budgets, each would stand on a part of the rows."""
    run = benchmark(customers(91), approaches=["prior", "text"], budgets=("all",), folds=3)
    assert sorted(len(split.train) for split in run.splits) == [60, 61, 61]
    comparison = run.run()
    assert {(row.approach, row.budget, row.n_test) for row in comparison.rows} == {
        ("prior", 60, 91), ("text", 60, 91),
    }  # fmt: skip
    for case in by_case(comparison).values():
        assert sorted(case["row"]) == list(range(1, 92))
    assert {len(draw.rows) for draw in run.draws()} == {60}


def test_the_threshold_of_folds_is_the_mean_of_theirs():
    run = benchmark(
        customers(90, clear=0.8), approaches=["embedding"], budgets=(16,), seeds=1, folds=3
    )
    [row] = run.run().rows
    found = []
    for draw in run.draws():
        held_out = run._outcome("embedding", draw, 0).held_out
        y = [run.y[at] for at in draw.rows]
        found.append(best_threshold(y, held_out, labels=["stays", "leaves"], positive="leaves"))
    assert len(set(found)) > 1
    assert row.metrics["threshold"].value == pytest.approx(np.mean(found))


def test_intervals_draw_whole_groups_where_rows_have_them():
    """Recomputed with the groups of the test rows: brier's interval is percentiles of resamples."""
    records, plan = customers(200), {"approaches": ["embedding"], "budgets": (16,), "seeds": 1}
    groups = [f"h{row // 8}" for row in range(200)]
    run = benchmark(records, groups=groups, max_test=80, **plan)
    comparison = run.run()
    [frame] = by_case(comparison).values()
    own = [groups[at] for at in run.splits[0].test]
    table = frame[["p_stays", "p_leaves"]].to_numpy()
    given = {"labels": ["stays", "leaves"], "positive": "leaves"}
    drawn = resample(frame["label"].to_list(), table, groups=own, only=["brier"], **given)["brier"]
    low, high = np.quantile(drawn, [0.025, 0.975])
    brier = comparison.rows[0].metrics["brier"]
    assert (brier.low, brier.high) == (pytest.approx(low), pytest.approx(high))


def test_a_choice_in_folds_names_the_approaches_of_all_of_them():
    def outcomes(*names):
        return [SimpleNamespace(chosen=name) for name in names]

    assert members(outcomes("a", "b", "b")) == ["b", "a"]
    assert members(outcomes(None, None)) == []
    assert members(outcomes("a", "a")) == ["a"]


# -- the base rate -----------------------------------------------------------------------------


def test_a_balanced_draw_is_moved_to_the_known_base_rate():
    """Four labels, two of each, tell nothing of how rare leaving is: the level is the base rate's."""
    records = customers(600, share=0.1)
    given = {"budgets": (4, 64), "max_test": 300, "seeds": 1}
    known, unknown = (benchmark(records, base_rate=rate, **given).run() for rate in (0.1, None))
    figures = defaultdict(dict)
    for which, comparison in (("known", known), ("unknown", unknown)):
        for row in comparison.rows:
            figures[row.approach, row.budget][which] = row.metrics
    for (approach, budget), metrics in figures.items():
        if "unknown" not in metrics:
            continue
        before, after = metrics["unknown"], metrics["known"]
        assert after["roc_auc"] == before["roc_auc"], approach
        if budget == 4:
            assert after["brier"].value < before["brier"].value, approach
    shares = by_case(known)
    assert shares["prior", 4, 0]["p_leaves"].unique() == pytest.approx([0.1])
    # with 64 labels, of which 6 or 7 leave, as well
    assert shares["prior", 64, 0]["p_leaves"].unique() == pytest.approx([0.1])
    assert by_case(unknown)["prior", 64, 0]["p_leaves"].unique() != pytest.approx([0.1])


def test_without_a_label_the_prior_is_the_known_base_rate():
    comparison = benchmark(approaches=["prior"], budgets=(0,), base_rate=0.2).run()
    [row] = comparison.rows
    assert (row.approach, row.budget, row.seed) == ("prior", 0, 0)
    assert {each["p_leaves"] for each in comparison.predictions} == {0.2}
    assert {each["p_stays"] for each in comparison.predictions} == {0.8}


def test_a_known_base_rate_calibrates_zero_shot_on_training_rows():
    records = customers(600)
    given = {"approaches": ["zero-shot"], "budgets": (0,), "max_test": 300}
    level = benchmark(records, base_rate=0.1, **given).run()
    raw = benchmark(records, **given).run()
    assert level.rows[0].metrics["roc_auc"] == raw.rows[0].metrics["roc_auc"]
    mean = np.mean([each["p_leaves"] for each in level.predictions])
    assert mean == pytest.approx(0.1, abs=0.02)
    assert np.mean([each["p_leaves"] for each in raw.predictions]) > 0.3


# -- money and time ----------------------------------------------------------------------------


def test_captured_value_stands_where_prices_are_known():
    given = {"approaches": ["zero-shot"], "budgets": (0,)}
    prices = {"value_saved": 100.0, "offer_cost": 10.0}
    records = customers(clear=1.0)
    with_prices = benchmark(records, **prices, **given).run().rows[0].metrics
    without = benchmark(records, **given).run().rows[0].metrics
    added = {"value_5", "value_10", "value_20", "value_best"}
    assert set(with_prices) - set(without) == added
    # 40 rows, a tenth is 4, all of them leave: 4 x 100 saved, 4 x 10 spent, for 1,000 customers
    assert with_prices["precision_10"].value == 1
    assert with_prices["value_10"].value == pytest.approx((400 - 40) * 1000 / 40)


class Clock:
    """A clock that stands still until it is moved."""

    now = 0.0

    def perf_counter(self):
        return self.now


class SlowLM(FakeLM):
    def __init__(self, clock):
        super().__init__()
        self.clock = clock

    def score(self, prompts, labels, *, progress=None):
        self.clock.now += 3 * len(prompts)
        return super().score(prompts, labels, progress=progress)


class SlowEncoder(FakeEncoder):
    def __init__(self, clock):
        super().__init__()
        self.clock = clock

    def encode(self, sentences, **given):
        self.clock.now += 0.5 * len(sentences)
        return super().encode(sentences, **given)


@pytest.mark.parametrize("turned", [False, True], ids=["as is", "reversed"])
def test_an_approach_costs_what_it_costs_alone_whoever_read_its_prompts(monkeypatch, turned):
    """Three seconds a prompt and half a second a text, in whatever order the approaches come."""
    clock = Clock()
    for module in ("benchmark", "blending", "memo", "encoders"):
        monkeypatch.setattr(f"promptpredict.{module}.time", clock)
    approaches = [name for name in FAKED if not name.startswith("fusion")]
    comparison = benchmark(
        customers(100),
        lm=SlowLM(clock),
        encoder=SlowEncoder(clock),
        approaches=approaches[::-1] if turned else approaches,
        seeds=1,
    ).run()
    found = defaultdict(set)
    for row in comparison.rows:
        if not row.chosen:
            found[row.approach].add(round(row.metrics["seconds_per_1000"].value, 6))
    by_row = {
        (row.approach, row.budget): row.metrics["seconds_per_1000"] for row in comparison.rows
    }
    for row in comparison.rows:
        if row.chosen:
            assert row.metrics["seconds_per_1000"] == by_row[row.chosen, row.budget]
    # every budget costs the same
    assert {name: sorted(values) for name, values in found.items()} == {
        "zero-shot": [3000],
        "few-shot": [3000],
        "few-shot-sets": [24000],  # eight of them
        "few-shot-random": [3000],
        "few-shot-nearest": [3500],
        "probe": [3000],
        "probe-shots": [3000],
        "panel": [6000],
        "embedding": [500],
        "text": [0],
        "structured": [0],
        "structured-trees": [0],
        "prior": [0],
        # zero-shot and probe read one prompt between them; the embedding comes on top
        "stack": [3500],
        # the embedding of everybody, and a prompt of those that it asks for
        "cascade": [500 + 3000 * one.asked for one in comparison.shares if one.share == 0.25],
    }


def test_tokens_are_those_of_the_test_rows():
    run = benchmark(approaches=["zero-shot", "embedding", "stack"], budgets=(16,), seeds=1)
    lm = run.memo.lm
    rows = {row.approach: row.metrics["tokens_per_1000"].value for row in run.run().rows}
    test = {f"marker{run.records[row].row}" for row in run.splits[0].test}
    words = [len(prompt.user.split()) for prompt in lm.asked if test & set(prompt.user.split())]
    assert len(words) == 40
    # the fake counts words, and shares them out among the prompts that it was given at once
    assert rows["zero-shot"] == pytest.approx(np.mean(words) * 1000, rel=0.05)
    assert rows["stack"] == rows["zero-shot"]
    assert rows["embedding"] == 0
