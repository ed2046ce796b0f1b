"""Words for differences: the intervals they are read from, Holm's steps, and crossovers."""

from __future__ import annotations

import dataclasses
from itertools import product
from statistics import NormalDist

import numpy as np
import pytest
from scipy.stats import t

from promptpredict.results import Crossover
from promptpredict.verdict import Gap, crossovers, judge, p_value, perfect, word

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
    few, many = (judge([of_units(0.5, 0.0, n, perfect=2)], budget=4)[0] for n in (2, 200))
    assert (few.low, few.high, few.verdict) == (-1.0, 1.0, "undecided")
    assert (many.low, many.high) == pytest.approx((0.5 - 1.971957 / 200, 0.5 + 1.971957 / 200))
    assert many.verdict == "better"
    # nor that two in perfect order are as good as one another; those in the same order are
    for both, expected in ((2, "undecided"), (0, "no worse")):
        assert judge([of_units(0.0, 0.0, 2, perfect=both)], budget=4)[0].verdict == expected
    assert judge([of_units(0.1, 0.01, 200, perfect=2)], budget=4)[0].low == pytest.approx(
        0.1 - 1.971957 * 0.01
    )


def test_one_in_perfect_order_is_half_as_unsure_as_two():
    """5 positives before all others, against a constant: no weaker a word than with one error."""
    one, two = (judge([of_units(0.5, 0.0, 5, perfect=n)], budget=4)[0] for n in (1, 2))
    assert one.low == pytest.approx(0.5 - t(4).ppf(0.975) / 10)
    assert (one.verdict, two.verdict) == ("better", "undecided")


@pytest.mark.parametrize(
    ("values", "expected"),
    [((1.0, 1.0), True), ((0.0, 0.0), True), ((0.5, 0.5), False), ((1.0, 0.9), False)],
)
def test_a_ranking_without_a_fault_in_any_resample_is_perfect(values, expected):
    drawn = np.array([*values, np.nan])
    assert perfect([np.array([0.7, 0.8, 0.9]), drawn]) is expected


def of_units(value, deviation, units, *, perfect=0):
    return Gap(
        approach="a",
        against="b",
        metric="roc_auc",
        value=value,
        resampled=value + deviation * SPREAD,
        units=units,
        perfect=perfect,
    )


@pytest.mark.parametrize("units", [2, 3, 5, 40])
def test_few_units_widen_the_interval_by_students_t(units):
    found = judge([of_units(0.02, 0.01, units)], budget=4)[0]
    far = t(units - 1).ppf(0.975) * 0.01
    assert (found.low, found.high) == pytest.approx((0.02 - far, 0.02 + far))
    assert found.p == pytest.approx(2 * t(units - 1).sf(2))


def test_resamples_of_one_unit_say_nothing():
    alone = judge([of_units(0.3, 0.01, 1), of_units(-0.3, 0.01, 1)], budget=4)
    assert [(each.low, each.high, each.p, each.verdict) for each in alone] == [
        (-1.0, 1.0, 1.0, "undecided"),
        (-1.0, 1.0, 1.0, "undecided"),
    ]
    table = {("probe", 4): 0.9 + 0.001 * SPREAD, ("embedding", 4): 0.5 + 0.0 * SPREAD}
    for count, budget in ((1, None), (2, 4)):
        found = crossovers(table, pairs=[("probe", "embedding")], units=count)
        assert [each.budget for each in found] == [budget, None]


@pytest.mark.parametrize(("positives", "most"), [(2, 0.02), (4, 0.07)])
def test_noise_is_seldom_called_better_or_worse_with_few_positives(positives, most):
    """By the normal quantile it was in 28 % and 11 % of such samples."""
    rng, hit, wrong = np.random.default_rng(0), np.arange(60) < positives, 0
    for _ in range(150):
        scores = rng.normal(size=(2, 60))
        draws = rng.integers(60, size=(100, 60))
        drawn = [ranked(hit[draws], score[draws]) for score in scores]
        value = [ranked(hit[None], score[None])[0] for score in scores]
        found = of_units(value[0] - value[1], 0.0, positives)
        found = dataclasses.replace(found, resampled=drawn[0] - drawn[1])
        wrong += judge([found], budget=4)[0].verdict in ("better", "worse")
    assert wrong <= most * 150


def ranked(hit, score):
    """Return ROC AUC (b,) of rows (b, n); scores have ties where a row is drawn twice."""
    above = (score[:, :, None] > score[:, None, :]) + 0.5 * (score[:, :, None] == score[:, None, :])
    pairs = hit[:, :, None] & ~hit[:, None, :]
    count = pairs.sum(axis=(1, 2))
    return np.where(count, (above * pairs).sum(axis=(1, 2)) / np.maximum(count, 1), np.nan)
