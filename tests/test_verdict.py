"""Words for differences: the intervals they are read from, Holm's steps, and crossovers."""

from __future__ import annotations

from itertools import product
from statistics import NormalDist

import numpy as np
import pytest

from promptpredict.results import Crossover
from promptpredict.verdict import Gap, crossovers, judge, p_value, word

SPREAD = np.array([-1.0, 1.0] * 50)  # mean 0, deviation 1


def gap(value, deviation, *, approach="probe", against="embedding"):
    drawn = value + deviation * SPREAD
    return Gap(approach=approach, against=against, metric="roc_auc", value=value, resampled=drawn)


def reach(level):
    return NormalDist().inv_cdf((1 + level) / 2)


# -- words -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0001, 0.2, "better"),
        (0.0, 0.2, "no worse"),
        (-0.0199, 0.2, "no worse"),
        (-0.02, 0.2, "undecided"),
        (-0.3, 0.2, "undecided"),
        (-0.3, 0.0, "undecided"),
        (-0.3, -0.0001, "worse"),
        (-0.01, -0.001, "worse"),  # within the margin, but surely below
        (-0.01, 0.0, "no worse"),
        (0.0, 0.0, "no worse"),
        (-0.041, 0.041, "undecided"),
    ],
)
def test_the_word_follows_from_the_interval_alone(low, high, expected):
    assert word(low, high) == expected


def test_a_difference_alone_is_judged_by_its_own_interval():
    (found,) = judge([gap(0.1, 0.04)], budget=16)
    low, high = 0.1 - reach(0.95) * 0.04, 0.1 + reach(0.95) * 0.04
    assert found.model_dump() == pytest.approx(
        {
            "approach": "probe",
            "against": "embedding",
            "budget": 16,
            "metric": "roc_auc",
            "value": 0.1,
            "low": low,
            "high": high,
            "p": 2 * (1 - NormalDist().cdf(2.5)),
            "holm_low": low,
            "holm_high": high,
            "verdict": "better",
        }
    )


@pytest.mark.parametrize(
    ("value", "deviation", "p"),
    [
        (0.0, 0.1, 1.0),
        (-0.1, 0.1, 2 * NormalDist().cdf(-1)),
        (0.5, 0.01, 1 / 101),  # a hundred resamples show no less
        (0.1, 0.0, 1 / 101),
        (0.0, 0.0, 1.0),
    ],
)
def test_p_counts_both_sides_and_is_never_less_than_the_resamples_show(value, deviation, p):
    assert p_value(gap(value, deviation)) == pytest.approx(p)


# -- Holm's steps ------------------------------------------------------------------------------


def levels(found, deviations):
    """The levels that the ends of each Holm interval have, from their reach."""
    return [
        tuple(
            2 * NormalDist().cdf(abs(end - each.value) / deviation) - 1
            for end in (each.holm_low, each.holm_high)
        )
        for each, deviation in zip(found, deviations, strict=True)
    ]


def test_each_step_that_excludes_0_makes_the_next_milder():
    family = [gap(-0.03, 0.01), gap(0.06, 0.01), gap(0.0, 0.004), gap(0.09, 0.02)]
    found = judge(family, budget=4)
    # farthest from 0, in deviations: 6, 4.5, 3, 0; two are better, one is worse
    expected = [(2, 2), (4, 4), (2, 3), (3, 3)]
    assert levels(found, [0.01, 0.01, 0.004, 0.02]) == [
        pytest.approx(tuple(1 - 0.05 / share for share in shares)) for shares in expected
    ]
    assert [each.verdict for each in found] == ["worse", "better", "no worse", "better"]
    assert [each.value for each in found] == [-0.03, 0.06, 0.0, 0.09]


def test_from_the_first_that_holds_0_no_level_is_milder():
    # 2.1 deviations miss 1 - .05 / 3, so 2.0 must not be found better by its own 95 %.
    found = judge([gap(0.020, 0.01), gap(0.021, 0.01), gap(0.001, 0.01)], budget=4)
    assert levels(found, [0.01] * 3) == [pytest.approx((1 - 0.05 / 3,) * 2)] * 3
    assert [each.low > 0 for each in found] == [True, True, False]
    assert [each.verdict for each in found] == ["no worse", "no worse", "undecided"]


def test_what_is_worse_does_not_make_it_easier_to_be_no_worse():
    found = judge([gap(-0.1, 0.01)] * 5 + [gap(0.005, 0.01)], budget=4)
    assert found[-1].holm_low == pytest.approx(0.005 - reach(1 - 0.05 / 6) * 0.01)
    assert found[-1].verdict == "undecided"  # by 1 - .05 / 1 it would be no worse


@pytest.mark.parametrize(
    ("true", "least"), [([0.0] * 6, 0.02), ([-0.02] * 6, 0.0), ([0.1] * 3 + [-0.02] * 3, 0.0)]
)
def test_the_words_of_a_family_are_seldom_wrong_together(true, least):
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(300):
        drawn = np.array(true) + 0.006 * rng.normal(size=6)
        found = judge([gap(value, 0.006) for value in drawn], budget=4)
        wrong += any(
            (each.verdict == "better" and value <= 0)
            or (each.verdict == "worse" and value >= 0)
            or (each.verdict == "no worse" and value <= -0.02)
            for each, value in zip(found, true, strict=True)
        )
    assert least <= wrong / 300 < 0.08  # without the steps .26 of the first would be wrong


def test_a_gap_that_has_no_metric_is_left_out_of_the_family():
    lost = gap(0.1, np.nan)
    (found,) = judge([lost, gap(0.022, 0.01)], budget=4)
    assert found.verdict == "better"  # as if alone
    assert judge([lost], budget=4) == judge([], budget=4) == []
    part = gap(0.022, 0.01)
    part.resampled[:2] = np.nan
    assert judge([part], budget=4)[0].low == pytest.approx(0.022 - reach(0.95) * 0.01)


# -- crossovers --------------------------------------------------------------------------------


def resamples(**means):
    """Resampled ROC AUC by approach and budget; all resamples move together, so gaps are sure."""
    return {
        (name.replace("_", "-"), budget): mean + 0.01 * SPREAD
        for name, budgets in means.items()
        for budget, mean in budgets.items()
    }


def test_a_crossover_is_where_it_is_no_worse_for_good():
    found = crossovers(
        resamples(
            probe={4: 0.7, 16: 0.8, 64: 0.8, 256: 0.8},
            embedding={4: 0.69, 16: 0.7, 64: 0.79, 256: 0.81, 1024: 0.9},
        ),
        pairs=[("probe", "embedding")],
    )
    assert found == [
        Crossover(approach="probe", against="embedding", budget=4),
        # as good at 4, but not at 16
        Crossover(approach="embedding", against="probe", budget=64),
    ]


def test_what_is_not_as_good_with_the_most_labels_never_is():
    table = resamples(probe={4: 0.9, 16: 0.6}, embedding={4: 0.8, 16: 0.8})
    found = crossovers(table, pairs=[("probe", "embedding")])
    assert [each.budget for each in found] == [None, 16]


def test_zero_shot_stands_at_every_budget():
    table = resamples(zero_shot={0: 0.8}, embedding={4: 0.7, 16: 0.79}, prior={4: 0.5})
    found = crossovers(table, pairs=product(["zero-shot"], ["embedding", "prior"]))
    assert [(each.approach, each.against, each.budget) for each in found] == [
        ("zero-shot", "embedding", 4),
        ("embedding", "zero-shot", 16),
        ("zero-shot", "prior", 4),
        ("prior", "zero-shot", None),
    ]


def test_pairs_that_never_meet_are_left_out():
    table = resamples(
        chosen_with_lm={4: 0.8, 16: 0.8}, chosen_without_lm={4: 0.7, 16: 0.8}, probe={4: 0.8}
    )
    table["embedding", 16] = table["chosen-without-lm", 16]
    pairs = [*product(["probe", "zero-shot", "panel"], ["embedding", "structured"])]
    found = crossovers(table, pairs=[*pairs, ("chosen-with-lm", "chosen-without-lm")])
    assert [(each.approach, each.budget) for each in found] == [
        ("chosen-with-lm", 4),
        ("chosen-without-lm", 16),
    ]


def test_a_wide_interval_is_not_as_good():
    table = {("probe", 4): 0.8 + 0.02 * SPREAD, ("embedding", 4): 0.8 - 0.0 * SPREAD}
    found = crossovers(table, pairs=[("probe", "embedding")])
    assert [each.budget for each in found] == [None, None]


def test_a_few_rows_in_perfect_order_decide_nothing():
    """No resample of 4 rows in perfect order has a fault, and chance orders them one time in 6."""
    sure = np.full(100, 0.5)
    few, many, unknown = (
        judge([Gap(approach="a", against="b", metric="roc_auc", value=0.5, resampled=sure, rows=n)], budget=4)[0]
        for n in (4, 400, 0)
    )  # fmt: skip
    assert few.verdict == "undecided"
    assert (few.low, few.high) == pytest.approx((0.5 - 1.959964 * 0.5, 0.5 + 1.959964 * 0.5))
    assert (many.verdict, unknown.verdict) == ("better", "better")
    same = Gap(approach="a", against="b", metric="roc_auc", value=0.0, resampled=0 * sure, rows=4)
    assert judge([same], budget=4)[0].verdict == "no worse"
