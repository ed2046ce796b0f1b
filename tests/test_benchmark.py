"""The comparison: the same test rows for all, nothing of them in training, every prompt once."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from compared import (
    FAKED,
    GROUPED_TIMES,
    QUICK,
    benchmark,
    by_case,
    customers,
    markers,
    prompt_file,
    with_usage,
)
from fakes import FakeEncoder, FakeLM
from promptpredict.benchmark import Benchmark
from promptpredict.choices import choose
from promptpredict.encoders import Embedder
from promptpredict.errors import DataError
from promptpredict.estimating import estimator_of
from promptpredict.heads import spread
from promptpredict.ledger import Ledger
from promptpredict.memo import Memo
from promptpredict.plans import BOTH, CHOICES, WITH_LM, Plan
from promptpredict.scores import each_labels


@pytest.fixture(autouse=True)
def _one_thread():
    """On a busy machine the threads of a tiny fit wait for one another, far longer than it takes."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def whole():
    """A comparison of all approaches, with what the language model was asked."""
    lm = FakeLM()
    run = benchmark(customers(120), lm=lm, approaches=FAKED)
    with threadpool_limits(1):
        return run, run.run(), lm


def cases(comparison):
    return [(row.approach, row.budget, row.seed) for row in comparison.rows]


def figures(comparison):
    """Return the rows without their seconds, which differ from run to run."""
    return [
        row.model_copy(
            update={"metrics": {k: v for k, v in row.metrics.items() if k != "seconds_per_1000"}}
        )
        for row in comparison.rows
    ]


@pytest.fixture
def fits(monkeypatch):
    """The rows that each estimator was fitted on while the comparison ran."""
    from promptpredict import estimators
    from promptpredict.approach import Approach

    seen = []

    def watched(kind, name):
        original = getattr(kind, name)

        def fit(self, X, y=None):
            seen.append((type(self).__name__, [record.row for record in X], y is not None))
            return original(self, X, y)

        monkeypatch.setattr(kind, name, fit)

    watched(Approach, "cross_fit")
    watched(Approach, "fit")
    watched(estimators.PromptClassifier, "fit")
    return seen


# -- what is compared --------------------------------------------------------------------------


def test_every_approach_is_tested_at_every_budget_and_seed_that_it_takes(whole):
    _, comparison, _ = whole
    needs_16 = {*BOTH, "probe-shots"}
    expected = {("zero-shot", 0, 0)} | {
        (approach, budget, seed)
        for seed in (0, 1)
        for budget in (4, 16)
        for approach in (*FAKED, *CHOICES)
        if budget == 16 or approach not in needs_16
    }
    assert Counter(cases(comparison)) == Counter(expected)
    assert [row.budget for row in comparison.rows] == sorted(row.budget for row in comparison.rows)


def test_the_test_rows_are_the_same_for_all(whole):
    run, comparison, _ = whole
    tested = by_case(comparison)
    rows = [run.records[row].row for row in run.splits[0].test]
    assert len(rows) == 40
    assert len(tested) == len(comparison.rows)
    for case in tested.values():
        assert case["row"].tolist() == rows
        assert case["id"].tolist() == [f"c{row}" for row in rows]
        assert case["label"].tolist() == [run.records[row - 1].label for row in rows]
    assert {row.n_test for row in comparison.rows} == {40}
    assert Counter(case["label"].tolist()) == {"leaves": 16, "stays": 24}


def test_the_seed_of_the_training_draw_moves_no_test_row():
    few, many = benchmark(seeds=1), benchmark(seeds=5, budgets=(16,))
    np.testing.assert_array_equal(few.splits[0].test, many.splits[0].test)
    other = benchmark(split_seed=1)
    assert set(other.splits[0].test) != set(few.splits[0].test)


def test_a_row_says_what_was_compared(whole):
    _, comparison, _ = whole
    names = [
        "roc_auc", "brier", "log_loss", "ece", "accuracy", "f1", "pr_auc", "lift_5", "lift_10",
        "lift_20", "precision_5", "precision_10", "precision_20", "threshold", "seconds_per_1000",
        "tokens_per_1000",
    ]  # fmt: skip
    for row in comparison.rows:
        name = row.chosen or row.approach
        encoded = name in ("embedding", "fusion", "fusion-trees", "fusion-mlp")
        assert row.model == (
            "fake" if name in (*WITH_LM, *BOTH) else "FakeEncoder" if encoded else ""
        )
        assert (row.table, row.prompt) == ("customers.csv", "p.jinja")
        assert sorted(row.metrics) == sorted(names)
        assert (row.chosen is not None) == (row.approach in CHOICES)


def test_the_same_plan_gives_the_same_results():
    given = {"approaches": ("zero-shot", "probe", "text", "structured-trees", "stack")}
    given["budgets"] = (0, 16)
    first, again = (benchmark(customers(90), **given).run() for _ in range(2))
    assert again.predictions == first.predictions
    assert again.differences == first.differences
    assert figures(again) == figures(first)


def test_without_an_approach_that_needs_one_there_is_no_language_model():
    run = Benchmark(
        customers(),
        prompt_file(),
        Plan(approaches=("embedding", "prior"), budgets=(16,), seeds=1, max_test=40),
        lm=None,
        embedder=Embedder(FakeEncoder()),
        table="customers.csv",
    )
    assert run.collect() == 0
    comparison = run.run()
    assert [(row.approach, row.model, row.chosen) for row in comparison.rows] == [
        ("embedding", "FakeEncoder", None),
        ("prior", "", None),
    ]


def test_what_is_done_is_said_case_by_case():
    said = []
    comparison = benchmark(approaches=["zero-shot", "prior"], seeds=1).run(said.append)
    auc = comparison.rows[0].metrics["roc_auc"].value
    assert said == [
        f"zero-shot, 0 labels, seed 0: ROC AUC {auc:.3f}",
        *(
            line
            for budget in (4, 16)
            for line in (
                f"zero-shot, {budget} labels, seed 0: ROC AUC {auc:.3f}",
                f"prior, {budget} labels, seed 0: ROC AUC 0.500",
            )
        ),
    ]


@pytest.mark.parametrize("seed", range(4))
def test_the_number_of_shots_is_that_which_suits_the_draws_own_rows(seed):
    """Against both numbers fitted by themselves; the test rows have no say."""
    lm = FakeLM()
    run = benchmark(
        customers(200, clear=0.7, seed=seed), lm=lm, approaches=["few-shot", "prior"], budgets=(40,)
    )
    chosen = {each.seed: len(each.shots) for each in run.run().shots}
    assert sorted(chosen) == [0, 1]
    for draw in run.draws():
        rows = [run.records[row] for row in draw.rows]
        losses = {}
        for count in (16, 4):
            estimator = estimator_of(
                "few-shot", run.prompt_file, run.plan, draw,
                shots=count, model=lm, encoder=run.embedder,
            )  # fmt: skip
            held_out = estimator.cross_fit(rows, [record.label for record in rows])
            losses[count] = spread(held_out, [run.labels.index(k) for k in estimator.keys_], 2)
        known = np.all([np.isfinite(each).all(axis=1) for each in losses.values()], axis=0)
        truth = np.array([run.labels.index(run.y[row]) for row in draw.rows])[known]
        picked = np.flatnonzero(known), truth
        means = {count: -np.log(each[picked]).mean() for count, each in losses.items()}
        assert chosen[draw.seed] == min(means, key=means.get)


def test_groups_stay_together_in_the_folds_of_training_rows_too(monkeypatch):
    """Of every approach, its regularisation, the stack and what the choices are made by."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    def refuse(self, *given):
        raise AssertionError("folds without groups")

    seen = []
    original = StratifiedGroupKFold.split

    def split(self, X, y=None, groups=None):
        seen.append(len(groups))
        return original(self, X, y, groups)

    monkeypatch.setattr(StratifiedKFold, "split", refuse)
    monkeypatch.setattr(StratifiedGroupKFold, "split", split)
    groups = [f"g{row // 2}" for row in range(160)]
    run = benchmark(
        customers(160), approaches=FAKED, budgets=(64,), seeds=1, max_test=60, groups=groups
    )
    run.read()
    assert {name for name, _, _ in run._cases(run.draws())} == {*FAKED, *CHOICES}
    assert seen.count(64) >= 9


def test_each_fold_chooses_by_its_own_rows_alone():
    """The labelled rows of another fold may be among its test rows."""
    run = benchmark(
        customers(200, clear=0.7),
        approaches=["few-shot", "probe", "embedding", "text"],
        budgets=(40,),
        folds=3,
    )
    run.read()
    cases = run._cases(run.draws())
    found = set()
    for seed in (0, 1):
        for name, among in CHOICES.items():
            sides = {each: cases[each, 40, seed] for each in among if (each, 40, seed) in cases}
            for fold, outcome in enumerate(cases[name, 40, seed]):
                judged = {each: of[fold].judged for each, of in sides.items()}
                own = [run.y[row] for row in outcome.draw.rows]
                assert outcome.chosen == choose(judged, own, run.labels)
                found.add((name, seed, outcome.chosen))
    assert len(found) > 6  # else one choice for all folds would have passed as well


@pytest.mark.parametrize(("side", "rows"), [("test", "test"), ("training", "train")])
def test_a_side_without_a_row_that_can_be_scored_is_an_error(side, rows):
    """Of the training rows zero-shot asks for all, to find the shift to a known base rate."""
    records, plan = customers(300), {"max_test": 60, "base_rate": 0.3, "budgets": (0,)}
    for row in getattr(benchmark(records, **plan).splits[0], rows):
        records[row].values["feedback"] += " [unscorable]"
    with pytest.raises(DataError) as raised:
        benchmark(records, approaches=["zero-shot"], **plan).run()
    assert str(raised.value) == f"no {side} row is left: none of them can be scored"


# -- no test row is shown or learned from ------------------------------------------------------


SPLITS = {
    "holdout": {},
    "folds": {"folds": 2},
    "groups": {"groups": [f"g{row // 3}" for row in range(120)]},
    "times": {"times": GROUPED_TIMES["times"]},
    "groups and times": GROUPED_TIMES,
    "groups and folds": {"groups": [f"g{row // 3}" for row in range(120)], "folds": 2},
}


@pytest.mark.parametrize("split", SPLITS)
def test_no_test_row_is_ever_shown_or_learned_from(fits, split):
    """Of any approach: what each fit was given, and which customers stand in a shot."""
    lm = FakeLM()
    run = benchmark(
        customers(120), lm=lm, approaches=FAKED, budgets=(4, 20), seeds=1, **SPLITS[split]
    )
    run.collect()
    fits.clear()
    before = len(lm.asked)
    comparison = run.run()
    tests = [{run.records[row].row for row in each.test} for each in run.splits]
    trains = [{run.records[row].row for row in each.train} for each in run.splits]
    for train, test in zip(trains, tests, strict=True):
        assert not train & test
        if groups := SPLITS[split].get("groups"):
            assert not {groups[row - 1] for row in train} & {groups[row - 1] for row in test}
    # each fold's fits stand behind one another, the fold's two budgets as well
    assert len(fits) % len(trains) == 0
    size = len(fits) // len(trains)
    assert size >= 2 * (len(FAKED) - len({*BOTH, "probe-shots"}))
    for fold, train in enumerate(trains):
        for name, rows, _ in fits[fold * size : (fold + 1) * size]:
            assert set(rows) <= train, name
            assert len(set(rows)) == len(rows), name
    shown = {row for prompt in lm.asked for turn in prompt.shots for row in markers(turn.user)}
    assert shown
    assert shown <= set.union(*trains)
    assert len(lm.asked) > before
    # a prompt of a fold's test row shows rows of that fold's training side alone
    for prompt in lm.asked:
        [asked] = markers(prompt.user)
        shots = {row for turn in prompt.shots for row in markers(turn.user)}
        assert asked not in shots
        if shots and not run.plan.folds and asked in tests[0]:
            assert shots <= trains[0]
    frame = pd.DataFrame(comparison.predictions)
    for fold, test in enumerate(tests):
        assert set(frame[frame["fold"] == fold]["row"]) == test


@pytest.mark.parametrize("select", ["balanced", "random", "nearest"])
def test_shots_of_every_selection_are_training_rows(select):
    lm = FakeLM()
    run = benchmark(lm=lm, approaches=["few-shot"], select=select)
    run.run()
    train = {run.records[row].row for row in run.splits[0].train}
    shown = {row for prompt in lm.asked for turn in prompt.shots for row in markers(turn.user)}
    assert shown
    assert shown <= train


def turned(run):
    """Turn the labels of all test rows round, in a comparison that has been split already."""
    other = {"leaves": "stays", "stays": "leaves"}
    run.records = list(run.records)
    for row in run.splits[0].test:
        run.y[row] = other[run.y[row]]
        run.records[row] = replace(run.records[row], label=run.y[row])
    return run


def test_labels_of_test_rows_change_no_prediction_no_choice_and_no_threshold(whole):
    """Only the figures change: every approach, choice and threshold is made of training rows."""
    _, comparison, _ = whole
    other = turned(benchmark(customers(120), approaches=FAKED)).run()
    shares = ["p_stays", "p_leaves"]
    for key, case in by_case(other).items():
        pd.testing.assert_frame_equal(case[shares], by_case(comparison)[key][shares])
    assert [row.chosen for row in other.rows] == [row.chosen for row in comparison.rows]
    assert {row.chosen for row in other.rows} - {None}
    for row, before in zip(other.rows, comparison.rows, strict=True):
        assert row.metrics["threshold"] == before.metrics["threshold"]
    assert other.shots == comparison.shots
    assert other.rows[0].metrics["brier"] != comparison.rows[0].metrics["brier"]


def test_the_base_rate_shift_is_found_on_training_rows_without_their_labels(fits):
    run = benchmark(customers(440), approaches=["zero-shot"], base_rate=0.1, budgets=(0,))
    run.run()
    train = {run.records[row].row for row in run.splits[0].train}
    for name, rows, labelled in fits:
        assert (name, set(rows), labelled) == ("PromptClassifier", train, False)
    assert fits


# -- draws and prompts -------------------------------------------------------------------------


def test_every_approach_has_the_same_labelled_rows(fits):
    run = benchmark(budgets=(16,))
    run.collect()
    fits.clear()
    run.run()
    learned = [rows for _, rows, labelled in fits if labelled]
    fitted = len(QUICK) + 1  # few-shot with 4 shots and with 16
    assert len(learned) == 2 * fitted
    first, second = learned[:fitted], learned[fitted:]
    for group in (first, second):
        assert len({tuple(rows) for rows in group}) == 1
    assert first[0] != second[0]


@pytest.mark.parametrize(
    ("approach", "budgets"), [("few-shot", (64, 128)), ("few-shot-random", (16, 64, 128))]
)
def test_shots_stay_the_same_at_larger_budgets(approach, budgets):
    """So their prompts are read once: another budget costs only the rows that it adds.

    Balanced shots need as many rows of each label as they show, which 16 rows need not have.
    """
    lm = FakeLM()
    run = benchmark(
        customers(400), lm=lm, approaches=[approach], budgets=budgets, seeds=1, max_test=100
    )
    comparison = run.run()
    shown = {each.budget: each.shots for each in comparison.shots}
    assert tuple(shown) == budgets
    assert len(set(map(tuple, shown.values()))) == len({len(each) for each in shown.values()})
    for count in (4, 16):
        full = [prompt for prompt in lm.asked if len(prompt.shots) == count]
        assert len({prompt.shots for prompt in full}) == 1
        test, others = 100, 128 - count
        assert len(full) == len(set(full)) == test + others


def test_shots_are_the_first_rows_of_the_draw_and_as_many_as_the_plan_says():
    for shots, most in ((3, 3), (64, 16)):
        lm = FakeLM()
        run = benchmark(
            lm=lm, approaches=["few-shot-random"], budgets=(4, 40), seeds=1, shots=shots
        )
        found = {each.budget: [row for row, _ in each.shots] for each in run.run().shots}
        for draw in run.draws():
            if draw.budget:
                rows = [run.records[row].row for row in draw.rows[: min(draw.budget, most)]]
                assert sorted(found[draw.budget]) == sorted(rows)
        assert max(len(prompt.shots) for prompt in lm.asked) == most


def test_shots_are_shown_with_row_and_label_and_none_that_differ_by_customer():
    run = benchmark(approaches=["few-shot", "few-shot-nearest", "probe"], seeds=1)
    comparison = run.run()
    assert [(each.approach, each.budget, each.seed) for each in comparison.shots] == [
        ("few-shot", 4, 0),
        ("few-shot", 16, 0),
    ]
    for each in comparison.shots:
        assert len(each.shots) == each.budget
        for row, label in each.shots:
            assert run.records[row - 1].label == label


class Listed(FakeLM):
    """Keeps what it was asked for as pairs of prompt and labels."""

    def score(self, prompts, labels, *, progress=None):
        self.pairs = getattr(self, "pairs", [])
        every = each_labels(labels, len(prompts))
        self.pairs += zip(prompts, map(repr, every), strict=True)
        return super().score(prompts, labels, progress=progress)


def test_prompts_are_counted_before_the_first_is_read_and_each_is_read_once():
    lm = Listed()
    memo = Memo(lm)
    records = with_usage(customers(120))
    run = benchmark(records, lm=memo, approaches=FAKED, memory_rows=100)
    count = run.collect()
    assert lm.asked == []
    assert (memo.passes, len(memo.new())) == (0, count)
    run.run()
    assert (memo.passes, memo.count) == (count, count)
    assert len(lm.pairs) == len(set(lm.pairs)) == count
    assert any("real" in labels for _, labels in lm.pairs)  # what asks whether it knows the table


def test_a_second_run_on_the_same_ledger_reads_nothing_and_finds_the_same(tmp_path):
    def run(lm):
        memo = Memo(lm, ledger=Ledger(tmp_path / "ledger.sqlite"))
        return memo, benchmark(lm=memo, approaches=(*QUICK, "panel", "stack")).run()

    memo, first = run(FakeLM())
    again, second = run(lm := FakeLM())
    assert memo.passes > 0
    assert (again.passes, lm.asked, again.count) == (0, [], memo.count)
    assert second.predictions == first.predictions
    assert figures(second) == figures(first)
    assert second.label_mass == first.label_mass


class Interrupted(FakeLM):
    """Is stopped by Ctrl-C after so many calls."""

    def __init__(self, calls):
        super().__init__()
        self.calls = calls

    def score(self, prompts, labels, *, progress=None):
        if prompts and self.calls == 0:
            raise KeyboardInterrupt
        self.calls -= bool(prompts)
        return super().score(prompts, labels, progress=progress)


def test_an_interrupted_reading_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr("promptpredict.memo._CHUNK", 20)
    given = {"approaches": (*QUICK, "panel", "stack")}
    straight = Memo(FakeLM())
    expected = benchmark(lm=straight, **given).run()
    path = tmp_path / "ledger.sqlite"
    lm = Interrupted(4)
    with pytest.raises(KeyboardInterrupt):
        benchmark(lm=Memo(lm, ledger=Ledger(path)), **given).run()
    before = len(lm.asked)
    assert 0 < before < straight.passes
    memo = Memo(FakeLM(), ledger=Ledger(path))
    run = benchmark(lm=memo, **given)
    assert run.collect() == straight.passes
    assert len(memo.new()) == straight.passes - before
    found = run.run()
    assert memo.passes + before == straight.passes
    assert found.predictions == expected.predictions
    assert figures(found) == figures(expected)
    assert found.differences == expected.differences
