"""Which approach labelled rows choose, and differences that a slow recomputation finds as well."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from compared import QUICK, auc, benchmark, by_case, customers
from promptpredict.choices import choose, differences, gap_of
from promptpredict.plans import CHOICES
from promptpredict.results import Row, Value
from promptpredict.verdict import Gap, judge

TWO = ["a", "b"]


def share(*positive):
    """Return probabilities (n, 2) of labels a and b."""
    column = np.array(positive, float)
    return np.column_stack([1 - column, column])


# -- choosing ----------------------------------------------------------------------------------


def test_the_approach_with_the_best_probabilities_of_unseen_rows_is_chosen():
    held_out = {"bad": share(0.9, 0.1, 0.5, 0.5), "good": share(0.1, 0.2, 0.7, 0.6)}
    assert choose(held_out, ["a", "a", "b", "b"], TWO) == "good"
    assert choose(held_out, ["b", "b", "a", "a"], TWO) == "bad"


def test_one_that_is_sure_and_wrong_is_not_chosen_for_its_order():
    """Both rank all rows but one alike; a ROC AUC of so few would not tell them apart."""
    held_out = {
        "sure": share(0.001, 0.999, 0.99, 0.999),
        "mild": share(0.3, 0.6, 0.5, 0.7),
    }
    assert choose(held_out, ["a", "a", "b", "b"], TWO) == "mild"


def test_of_equals_the_first_is_chosen():
    same = {"first": share(0.1, 0.4), "second": share(0.6, 0.9)}
    assert choose(same, ["a", "b"], TWO) == "first"
    assert choose(dict(reversed(same.items())), ["a", "b"], TWO) == "second"


def test_only_rows_that_all_have_are_compared():
    nan = np.nan
    held_out = {
        "few": share(nan, nan, 0.1, 0.9),
        "all": share(0.9, 0.1, 0.6, 0.2),  # right on the rows that the other lacks
    }
    y = ["b", "a", "a", "b"]
    assert choose(held_out, y, TWO) == "few"
    assert choose({"all": held_out["all"], "few": share(nan, 0.2, 0.9, 0.1)}, y, TWO) == "all"


def test_an_approach_of_which_nothing_is_known_is_not_chosen_nor_in_the_way():
    nothing = np.full((4, 2), np.nan)
    worse = share(0.9, 0.8, 0.1, 0.2)
    better = share(0.1, 0.2, 0.3, 0.4)
    y = ["a", "a", "b", "b"]
    assert choose({"none": nothing, "w": worse, "b": better}, y, TWO) == "b"
    assert choose({"none": nothing, "other": nothing}, y, TWO) == "none"


def test_an_approach_that_knows_rows_of_one_label_alone_is_no_choice():
    """Among them whoever always says this label would win."""
    nan = np.nan
    y = ["a", "a", "a", "b"]
    partial, whole = share(0.0, 0.0, 0.0, nan), share(0.4, 0.4, 0.4, 0.6)
    assert choose({"partial": partial, "whole": whole}, y, TWO) == "whole"
    assert choose({"partial": partial, "also": share(0.1, 0.1, nan, nan)}, y, TWO) == "partial"


def test_where_the_shared_rows_lack_a_label_the_one_with_the_fewest_rows_steps_back():
    nan = np.nan
    y = ["a", "a", "b", "b"]
    good, bad = share(0.1, 0.1, 0.9, nan), share(0.6, 0.6, 0.4, nan)
    few = share(nan, 0.0, nan, 1.0)  # without it the others share three rows
    assert choose({"few": few, "bad": bad, "good": good}, y, TWO) == "good"
    first, second = share(0.5, nan, 0.5, nan), share(nan, 0.1, nan, 0.9)
    assert choose({"first": first, "second": second}, y, TWO) == "first"  # of equally few


def test_where_nothing_can_be_compared_the_first_is_chosen():
    nan = np.nan
    held_out = {"none": np.full((2, 2), nan), "x": share(0.1, nan), "y": share(nan, 0.3)}
    assert choose(held_out, ["a", "b"], TWO) == "none"
    assert choose({"x": np.empty((0, 2)), "y": np.empty((0, 2))}, [], TWO) == "x"


def test_more_than_two_labels_are_judged_alike():
    labels = ["a", "b", "c"]
    sure = np.array([[0.9, 0.05, 0.05], [0.05, 0.9, 0.05], [0.05, 0.05, 0.9]])
    y = ["a", "b", "c"]
    assert choose({"vague": sure * 0.1 + 0.3, "sure": sure}, y, labels) == "sure"
    assert choose({"vague": sure * 0.1 + 0.3, "sure": sure}, ["b", "c", "a"], labels) == "vague"


# -- choices and differences of a run ----------------------------------------------------------


@pytest.fixture(scope="module")
def found():
    """A comparison with choices and a stack, on customers whose words are often wrong."""
    run = benchmark(
        customers(160, clear=0.8), approaches=(*QUICK, "stack"), budgets=(0, 4, 40), max_test=60
    )
    with threadpool_limits(1):
        return run, run.run()


def test_a_choice_is_the_approach_that_it_names(found):
    _, comparison = found
    tested = by_case(comparison)
    rows = {(row.approach, row.budget, row.seed): row for row in comparison.rows}
    chosen = [row for row in comparison.rows if row.chosen]
    assert len(chosen) == 3 * 2 * 2
    for row in chosen:
        own, other = ((name, row.budget, row.seed) for name in (row.approach, row.chosen))
        assert row.chosen in CHOICES[row.approach]
        assert row.metrics == rows[other].metrics
        assert tested[own]["p_leaves"].tolist() == tested[other]["p_leaves"].tolist()
    assert {row.budget for row in chosen} == {4, 40}


def test_choices_stand_only_where_there_is_something_on_both_sides():
    for approaches in (("zero-shot", "probe"), ("embedding", "prior")):
        comparison = benchmark(approaches=approaches, budgets=(0, 16), seeds=1).run()
        assert not [row for row in comparison.rows if row.chosen]


def slow_gap(run, comparison, approach, against, budget, seeds=(0, 1)):
    """Compute a difference from the predictions, resample by resample."""
    tested = by_case(comparison)
    hit = np.array([run.y[row] == "leaves" for row in run.splits[0].test])
    draws = np.random.default_rng(0).integers(len(hit), size=(1000, len(hit)))
    values, gaps = [], []
    for seed in seeds:
        ours, theirs = (
            tested[name, budget, seed]["p_leaves"].to_numpy() for name in (approach, against)
        )
        values.append(auc(hit, ours) - auc(hit, theirs))
        gaps.append([auc(hit[rows], ours[rows]) - auc(hit[rows], theirs[rows]) for rows in draws])
    return Gap(
        approach=approach,
        against=against,
        metric="roc_auc",
        value=float(np.mean(values)),
        resampled=np.mean(gaps, axis=0),
        units=min(hit.sum(), (~hit).sum()),
    )


def test_differences_are_paired_and_those_of_a_slow_recomputation(found):
    """Two families at each budget, each corrected for its own number of differences."""
    run, comparison = found
    without = "chosen-without-lm"
    expected = []
    for budget in (4, 40):
        single = ["zero-shot", "probe", "few-shot", *(["stack"] if budget == 40 else [])]
        families = [
            [(name, without) for name in single],
            [("chosen-with-lm", without), ("chosen-with-lm", "embedding")]
            + ([("stack", "chosen-single")] if budget == 40 else []),
        ]
        for family in families:
            gaps = [slow_gap(run, comparison, *pair, budget) for pair in family]
            expected += judge(gaps, budget=budget)
    assert len(comparison.differences) == len(expected) == 12
    for ours, slow in zip(comparison.differences, expected, strict=True):
        for name, value in slow.model_dump().items():
            assert getattr(ours, name) == (
                pytest.approx(value, abs=1e-9) if isinstance(value, float) else value
            ), (name, slow)


def test_what_an_approach_stands_against_besides_is_a_family_of_its_own():
    """Without the pairs that are in another already."""
    against = {"few-shot": ("probe", "zero-shot", "embedding"), "stack": ("probe",)}
    run = benchmark(
        customers(160, clear=0.8), approaches=(*QUICK, "stack"), budgets=(0, 4, 40), max_test=60,
        against=against,
    )  # fmt: skip
    with threadpool_limits(1):
        comparison = run.run()
    for budget, more in ((4, []), (40, [("stack", "probe")])):
        pairs = [("few-shot", other) for other in ("probe", "zero-shot", "embedding")] + more
        gaps = [slow_gap(run, comparison, *pair, budget) for pair in pairs]
        at = [each for each in comparison.differences if each.budget == budget]
        for ours, slow in zip(at[-len(pairs) :], judge(gaps, budget=budget), strict=True):
            assert ours.model_dump() == pytest.approx(slow.model_dump(), abs=1e-9)
        assert len(at) == len(pairs) + (7 if budget == 40 else 5)


def test_a_difference_is_that_of_the_two_figures_in_the_table(found):
    """A person subtracts them, and would else find another number than the one that is said."""
    _, comparison = found
    figures = defaultdict(list)
    for row in comparison.rows:
        figures[row.approach, row.budget].append(row.metrics["roc_auc"].value)
    for each in comparison.differences:
        ours, theirs = (
            np.mean(figures[name, each.budget]) for name in (each.approach, each.against)
        )
        assert each.value == pytest.approx(ours - theirs, abs=1e-9)


def test_crossovers_are_those_of_pairs_across_the_sides(found):
    _, comparison = found
    pairs = {(each.approach, each.against) for each in comparison.crossovers}
    for approach in ("zero-shot", "probe", "few-shot"):
        for other in ("embedding",):
            assert {(approach, other), (other, approach)} <= pairs
    assert ("chosen-with-lm", "chosen-without-lm") in pairs
    assert ("probe", "few-shot") not in pairs
    assert {each.budget for each in comparison.crossovers} <= {None, 0, 4, 40}


# -- differences of given figures --------------------------------------------------------------


def figured(aucs):
    """Return rows and resamples around given ROC AUCs of approach, budget and seed."""
    rows, resampled = [], {}
    noise = np.random.default_rng(0).normal(scale=0.01, size=(1000, len(aucs)))
    for column, (key, value) in enumerate(aucs.items()):
        approach, budget, seed = key
        metrics = {"roc_auc": Value.of(np.nan if value is None else value)}
        named = {"table": "t", "prompt": "p", "model": "", "n_test": 9, "metrics": metrics}
        rows.append(Row(approach=approach, budget=budget, seed=seed, **named))
        resampled[key] = noise[:, column] + (0.5 if value is None else value)
    return rows, resampled


def pairs(aucs):
    return [(d.budget, d.approach, d.against) for d in differences(*figured(aucs))[0]]


def test_without_choices_an_approach_stands_against_the_baseline():
    assert pairs({("stack", 16, 0): 0.8, ("embedding", 16, 0): 0.7}) == [(16, "stack", "embedding")]
    assert pairs({("stack", 16, 0): 0.8, ("text", 16, 0): 0.7}) == []
    assert pairs({("probe", 16, 0): 0.8, ("few-shot", 16, 0): 0.7}) == []
    assert pairs({}) == []


def asked(aucs, against):
    found, _ = differences(*figured(aucs), against=against)
    return [(each.budget, each.approach, each.against) for each in found]


def test_a_pair_that_stands_elsewhere_already_stands_once():
    aucs = {("probe", 16, 0): 0.8, ("few-shot", 16, 0): 0.7, ("embedding", 16, 0): 0.6}
    assert asked(aucs, {"probe": ("embedding", "few-shot")}) == [
        (16, "probe", "embedding"),
        (16, "few-shot", "embedding"),
        (16, "probe", "few-shot"),
    ]


def test_of_several_models_each_stands_against_its_own():
    aucs = {
        (name, 16, 0): value
        for value, name in enumerate(
            ("tuned @ a", "probe @ a", "tuned @ b", "probe @ b", "text", "chosen-without-lm")
        )
    }
    besides = asked(aucs, {"tuned": ("probe", "text"), "text": ("probe",)})[4:]
    assert besides == [
        (16, "tuned @ a", "probe @ a"),
        (16, "tuned @ a", "text"),
        (16, "text", "probe @ a"),
        (16, "tuned @ b", "probe @ b"),
        (16, "tuned @ b", "text"),
        (16, "text", "probe @ b"),
    ]


def test_nothing_is_compared_across_budgets_or_with_figures_that_are_not_defined():
    assert pairs({("probe", 16, 0): 0.8, ("embedding", 4, 0): 0.7}) == []
    assert pairs({("probe", 16, 0): None, ("embedding", 16, 0): 0.7}) == []
    assert pairs({("probe", 16, 0): 0.8, ("embedding", 16, 0): None}) == []


def test_a_gap_is_the_mean_over_the_seeds_that_both_have():
    rows, resampled = figured(
        {
            ("probe", 16, 0): 0.9,
            ("probe", 16, 1): 0.8,
            ("probe", 16, 2): 0.1,
            ("embedding", 16, 0): 0.7,
            ("embedding", 16, 1): 0.5,
            ("embedding", 16, 2): None,
            ("embedding", 16, 3): 0.0,
        }
    )
    gap = gap_of(rows, resampled, "probe", "embedding", 16)
    assert gap is not None
    assert (gap.approach, gap.against, gap.metric) == ("probe", "embedding", "roc_auc")
    assert gap.value == pytest.approx(0.25)
    expected = [resampled["probe", 16, seed] - resampled["embedding", 16, seed] for seed in (0, 1)]
    np.testing.assert_allclose(gap.resampled, np.mean(expected, axis=0))
    assert gap.units == np.inf
    assert gap_of(rows, resampled, "probe", "embedding", 16, units=3).units == 3
    assert gap_of(rows, resampled, "probe", "embedding", 4) is None
    assert gap_of(rows, resampled, "probe", "text", 16) is None
