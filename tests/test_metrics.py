"""Metrics against scikit-learn and against slow loops, and their bootstrap intervals."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from scipy.stats import t
from sklearn import metrics as reference

from promptpredict.figures import units_of_labels
from promptpredict.metrics import best_threshold, evaluate, resample
from promptpredict.resampling import interval, intervals, units_of

# neither order of columns is the sorted one
BINARY = {"labels": ("stays", "leaves"), "positive": "leaves"}
THREE = {"labels": ("c", "a", "b"), "positive": None}
TOP = {f"{name}_{share}" for name in ("lift", "precision") for share in (5, 10, 20)}
MONEY = {"value_saved": 90.0, "offer_cost": 20.0}


def binary(n, seed=0):
    """Label keys and probabilities (n, 2) with signal, ties, and probabilities of 0 and 1."""
    rng = np.random.default_rng(seed)
    score = np.round(rng.random(n), 2)
    y = np.where(rng.random(n) < 0.6 * score, "leaves", "stays")
    return y, np.column_stack([1 - score, score])


def three(n, seed=0):
    rng = np.random.default_rng(seed)
    table = rng.dirichlet([1, 1, 1], n)
    y = np.array([rng.choice(THREE["labels"], p=row) for row in table])
    return y, table


def bootstrap(y, table, *, n=1000, seed=0, **given):
    """The interval of each metric."""
    return intervals(evaluate(y, table, **given), resample(y, table, n=n, seed=seed, **given))


def slow_ece(confidence, confirmed):
    """The mean over the rows of the gap of a row's bin; bins end at the deciles."""
    bins = np.searchsorted(np.quantile(confidence, np.arange(0.1, 0.95, 0.1)), confidence)
    gaps = [abs(confidence[bins == each].mean() - confirmed[bins == each].mean()) for each in bins]
    return np.mean(gaps)


def test_binary_metrics_are_those_of_scikit_learn():
    y, table = binary(500)
    hit, score = y == "leaves", table[:, 1]
    expected = {
        "roc_auc": reference.roc_auc_score(hit, score),
        "pr_auc": reference.average_precision_score(hit, score),
        "brier": reference.brier_score_loss(hit, score),
        "log_loss": reference.log_loss(hit, score),
        "ece": slow_ece(score, hit),
        "accuracy": reference.accuracy_score(hit, score >= 0.3),
        "f1": reference.f1_score(hit, score >= 0.3),
    }
    values = evaluate(y, table, threshold=0.3, **BINARY)
    assert values.keys() - expected.keys() == TOP
    assert {name: values[name] for name in expected} == pytest.approx(expected, rel=1e-12)


def test_multiclass_metrics_are_those_of_scikit_learn():
    y, table = three(500)
    in_order = table[:, [1, 2, 0]]  # scikit-learn's columns: a, b, c
    predicted = np.array(THREE["labels"])[table.argmax(axis=1)]
    expected = {
        "roc_auc": reference.roc_auc_score(y, in_order, multi_class="ovr", average="macro"),
        "brier": reference.brier_score_loss(y, in_order),
        "log_loss": reference.log_loss(y, in_order),
        "ece": slow_ece(table.max(axis=1), y == predicted),
        "accuracy": reference.accuracy_score(y, predicted),
        "f1": reference.f1_score(y, predicted, average="macro"),
    }
    expected["balanced_accuracy"] = reference.balanced_accuracy_score(y, predicted)
    each = reference.precision_recall_fscore_support(y, predicted, labels=THREE["labels"])
    for at, label in enumerate(THREE["labels"]):
        expected[f"roc_auc_{label}"] = reference.roc_auc_score(y == label, table[:, at])
        for name, values in zip(("precision", "recall", "f1"), each, strict=False):
            expected[f"{name}_{label}"] = values[at]
    assert evaluate(y, table, **THREE) == pytest.approx(expected, rel=1e-12)


def test_figures_of_a_label_that_is_not_there_are_nan_and_the_mean_is_over_the_others():
    table = np.array([[0.2, 0.7, 0.1], [0.1, 0.6, 0.3], [0.3, 0.1, 0.6]])
    values = evaluate(["a", "b", "b"], table, **THREE)
    nan = {name for name, value in values.items() if np.isnan(value)}
    # c neither comes true nor is predicted
    assert nan == {"roc_auc_c", "precision_c", "recall_c", "f1_c"}
    assert values["balanced_accuracy"] == (1 + 1 / 2) / 2
    assert (values["precision_a"], values["recall_b"]) == (1 / 2, 1 / 2)


def test_an_interval_of_a_label_counts_its_own_units():
    """3 rows of a label say less of it than the many of the others: t with 2 degrees of freedom."""
    y, table = three(200)
    y[y == "a"] = "b"
    y[:3] = "a"
    own = units_of_labels(y, None, THREE["labels"])
    assert own["roc_auc_a"] == 3
    values, drawn = evaluate(y, table, **THREE), resample(y, table, **THREE)
    found = intervals(values, drawn, own=own)
    low, high = (np.log(end / (1 - end)) for end in found["roc_auc_a"])
    value = values["roc_auc_a"]
    assert (low + high) / 2 == pytest.approx(np.log(value / (1 - value)))
    resampled = drawn["roc_auc_a"][~np.isnan(drawn["roc_auc_a"])]
    inside = resampled[(resampled > 0) & (resampled < 1)]
    edge = min(inside.min(), 1 - inside.max()) / 2
    clipped = np.clip(resampled, edge, 1 - edge)
    deviation = np.log(clipped / (1 - clipped)).std()
    assert (high - low) / 2 == pytest.approx(t(2).ppf(0.975) * deviation)
    assert found["recall_b"] == interval(drawn["recall_b"])


def test_the_order_of_the_labels_changes_nothing():
    y, table = binary(300)
    turned = evaluate(y, table[:, ::-1], labels=("leaves", "stays"), positive="leaves")
    assert turned == pytest.approx(evaluate(y, table, **BINARY), rel=1e-12)


def test_a_confident_right_answer_costs_little_in_any_column_order():
    table = [[0.8, 0.2], [0.8, 0.2]]
    values = evaluate(["1", "1"], table, labels=("1", "0"), positive="1")
    assert values["log_loss"] == pytest.approx(-np.log(0.8))
    assert values["brier"] == pytest.approx(0.04)


def test_the_positive_label_is_the_one_that_is_named():
    y, table = binary(300)
    other = evaluate(y, table, labels=BINARY["labels"], positive="stays")
    assert other["roc_auc"] == pytest.approx(evaluate(y, table, **BINARY)["roc_auc"])
    assert other["pr_auc"] == pytest.approx(
        reference.average_precision_score(y == "stays", table[:, 0])
    )


def test_the_threshold_itself_predicts_the_positive_label():
    y, table = ["leaves", "stays"], [[0.7, 0.3], [0.71, 0.29]]
    assert evaluate(y, table, threshold=0.3, **BINARY)["accuracy"] == 1
    assert evaluate(y, table, **BINARY)["accuracy"] == 0.5


def test_one_label_alone_has_no_ranking_but_everything_else():
    table = [[0.9, 0.1], [0.6, 0.4]]
    values = evaluate(["stays", "stays"], table, **BINARY)
    undefined = {"roc_auc", "pr_auc", "lift_5", "lift_10", "lift_20"}
    assert {name for name, value in values.items() if np.isnan(value)} == undefined
    assert (values["accuracy"], values["f1"]) == (1, 0)
    assert values["brier"] == pytest.approx((0.01 + 0.16) / 2)


def test_a_label_that_does_not_occur_is_left_out_of_the_mean():
    table = np.array([[0.2, 0.7, 0.1], [0.1, 0.3, 0.6], [0.5, 0.1, 0.4]])
    values = evaluate(["a", "b", "b"], table, **THREE)
    assert values["roc_auc"] == 1
    # a: 1; b: one of two found, nothing else taken for it: 2/3; c: predicted in vain: 0
    assert values["f1"] == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert np.isnan(evaluate(["a"], table[:1], **THREE)["roc_auc"])


def test_ece_is_the_gap_of_ten_bins_of_equal_mass():
    rng = np.random.default_rng(0)
    confidence = rng.random(200)
    confirmed = rng.random(200) < confidence**2
    order = np.argsort(confidence)
    slow = np.mean(
        [
            abs(confidence[part].mean() - confirmed[part].mean())
            for part in np.array_split(order, 10)
        ]
    )
    y, table = np.where(confirmed, "leaves", "stays"), np.stack([1 - confidence, confidence], 1)
    assert evaluate(y, table, **BINARY)["ece"] == pytest.approx(slow)


@pytest.mark.parametrize(("level", "gap"), [(0.3, 0.0), (0.5, 0.2)])
def test_one_probability_for_everybody_is_judged_by_its_level_alone(level, gap):
    confirmed = np.arange(100) < 30  # sorted, as a table may be
    y, table = np.where(confirmed, "leaves", "stays"), [[1 - level, level]] * 100
    assert evaluate(y, table, **BINARY)["ece"] == pytest.approx(gap)


@pytest.mark.parametrize(
    ("sample", "task"), [(binary, BINARY), (binary, BINARY | MONEY), (three, THREE | MONEY)]
)
def test_each_resample_is_evaluated_as_scikit_learn_would(sample, task):
    y, table = sample(60)
    values = resample(y, table, n=20, seed=3, **task)
    drawn = np.random.default_rng(3).integers(60, size=(20, 60))
    for index, rows in enumerate(drawn):
        expected = evaluate(y[rows], table[rows], **task)
        assert values.keys() == expected.keys()
        for name in expected.keys() - {"ece"}:  # keeps the bins of the whole sample
            assert values[name][index] == pytest.approx(expected[name], rel=1e-9, nan_ok=True), name


@pytest.mark.parametrize(
    ("sample", "task"), [(binary, BINARY), (binary, BINARY | MONEY), (three, THREE | MONEY)]
)
def test_groups_are_drawn_as_a_whole(sample, task):
    """Evaluated slowly: of 20 groups of 1 to 5 rows 20 are drawn, and all of their rows taken."""
    y, table = sample(60)
    numbers = np.sort(np.random.default_rng(1).integers(20, size=60))
    numbers = np.unique(numbers, return_inverse=True)[1]
    units = numbers.max() + 1
    values = resample(y, table, n=20, seed=3, groups=[f"g{n:03}" for n in numbers], **task)
    drawn = np.random.default_rng(3).integers(units, size=(20, units))
    sizes = set()
    for index, of in enumerate(drawn):
        rows = np.concatenate([np.flatnonzero(numbers == group) for group in of])
        sizes.add(len(rows))
        expected = evaluate(y[rows], table[rows], **task)
        for name in expected.keys() - {"ece"}:
            assert values[name][index] == pytest.approx(expected[name], rel=1e-9), name
    assert len(sizes) > 3


def test_each_row_a_group_of_its_own_is_no_group():
    y, table = binary(60)
    alone = resample(y, table, n=20, groups=[f"{row:02}" for row in range(60)], **BINARY)
    for name, values in resample(y, table, n=20, **BINARY).items():
        assert np.array_equal(values, alone[name])


def test_ten_equal_rows_a_group_say_no_more_than_one():
    y, table = binary(40)
    groups = [f"{row:02}" for row in range(40)] * 10
    once = resample(y, table, n=300, **BINARY)
    often = resample(np.tile(y, 10), np.tile(table, (10, 1)), n=300, groups=groups, **BINARY)
    for name in ("roc_auc", "brier", "lift_10"):
        np.testing.assert_allclose(often[name], once[name], rtol=1e-9)


def test_ece_of_a_resample_keeps_the_bins_of_the_sample():
    y, table = binary(60)
    score = table[:, 1]
    bins = np.searchsorted(np.quantile(score, np.arange(1, 10) / 10), score)
    rows = np.random.default_rng(3).integers(60, size=60)
    gap = (score - (y == "leaves"))[rows]
    slow = sum(abs(gap[bins[rows] == one].sum()) for one in range(10)) / 60
    assert resample(y, table, n=1, seed=3, **BINARY)["ece"][0] == pytest.approx(slow)


def test_resamples_do_not_depend_on_how_they_are_chunked(monkeypatch):
    y, table = binary(60)
    whole = resample(y, table, n=25, **BINARY)
    monkeypatch.setattr("promptpredict.resampling._CELLS", 600)
    parts = resample(y, table, n=25, **BINARY)
    for name, values in whole.items():
        np.testing.assert_allclose(parts[name], values, rtol=1e-12)


def test_resamples_with_one_label_are_left_out_of_the_interval():
    y = np.array(["leaves", *["stays"] * 7])
    table = np.column_stack([np.linspace(0.1, 0.9, 8), np.linspace(0.9, 0.1, 8)])
    drawn = np.random.default_rng(0).integers(8, size=(200, 8))
    alone = (drawn > 0).all(axis=1)
    assert 0 < alone.sum() < 200
    values = resample(y, table, n=200, **BINARY)
    for name in ("roc_auc", "pr_auc"):
        assert np.array_equal(np.isnan(values[name]), alone)
        assert interval(values[name]) == (1, 1)
    assert not np.isnan(values["brier"]).any()


def test_only_the_metrics_that_are_named_are_resampled():
    y, table = binary(60)
    every = resample(y, table, n=5, **BINARY)
    for only in (["roc_auc"], ["f1", "lift_10"]):
        some = resample(y, table, n=5, only=only, **BINARY)
        assert some.keys() == set(only)
        for name, values in some.items():
            assert np.array_equal(values, every[name])


# -- the top of the ranking --------------------------------------------------------------------


def test_the_top_is_counted_row_by_row():
    y, table = binary(40)
    score = np.linspace(0, 0.01, 40) + 0.99 * table[:, 1]  # no ties
    table = np.column_stack([1 - score, score])
    hits = (y == "leaves")[np.argsort(-table[:, 1])]
    values = evaluate(y, table, **BINARY, **MONEY)
    for share, rows in ((5, 2), (10, 4), (20, 8)):
        found = hits[:rows].sum()
        assert values[f"precision_{share}"] == pytest.approx(found / rows)
        assert values[f"lift_{share}"] == pytest.approx(found / rows / hits.mean())
        assert values[f"value_{share}"] == pytest.approx((found * 90 - rows * 20) * 25)
    best = max(hits[:rows].sum() * 90 - rows * 20 for rows in range(41))
    assert values["value_best"] == pytest.approx(best * 25)


def test_rows_that_tie_share_what_is_left_as_if_in_random_order():
    y, table = binary(50)
    table = np.round(table, 1)
    rng = np.random.default_rng(0)
    orders = [np.lexsort([rng.random(50), -table[:, 1]]) for _ in range(2000)]
    hits = np.array([(y == "leaves")[order] for order in orders])
    values = evaluate(y, table, **BINARY)
    assert values["precision_10"] == pytest.approx(hits[:, :5].mean(), abs=0.02)
    # 2.5 rows: two, and half of the third
    part = (hits[:, :2].sum(axis=1) + hits[:, 2] / 2).mean() / 2.5
    assert values["precision_5"] == pytest.approx(part, abs=0.02)


def test_one_probability_for_everybody_has_the_base_rate_and_a_lift_of_1():
    y = ["leaves"] * 7 + ["stays"] * 26
    values = evaluate(y, [[0.8, 0.2]] * 33, **BINARY, **MONEY)
    for share in (5, 10, 20):
        assert values[f"lift_{share}"] == pytest.approx(1, rel=1e-12)
        assert values[f"precision_{share}"] == pytest.approx(7 / 33, rel=1e-12)
        assert values[f"value_{share}"] == pytest.approx(10 * share * (90 * 7 / 33 - 20))
    assert values["value_best"] == 0  # whoever is offered something costs more than is saved


def test_value_needs_both_prices():
    y, table = binary(40)
    names = {"value_5", "value_10", "value_20", "value_best"}
    assert evaluate(y, table, **BINARY, **MONEY).keys() >= names
    assert not evaluate(y, table, **BINARY).keys() & names
    for measure in (evaluate, resample):
        with pytest.raises(ValueError, match="value_saved") as error:
            measure(y, table, **BINARY, offer_cost=0.0)
        assert str(error.value) == "value_saved and offer_cost are given together or not at all"


# -- threshold ---------------------------------------------------------------------------------


def test_the_best_threshold_has_the_highest_f1_of_all():
    y, table = binary(200, seed=4)
    hit, score = y == "leaves", table[:, 1]
    best = best_threshold(y, table, **BINARY)
    f1 = {at: reference.f1_score(hit, score >= at) for at in np.linspace(0, 1, 201)}
    found = reference.f1_score(hit, score >= best)
    assert found == pytest.approx(max(f1.values()))
    assert found > f1[0.5]
    below, above = score[score < best].max(), score[score >= best].min()
    assert best == pytest.approx((below + above) / 2)


def scored(*scores):
    return [[1 - score, score] for score in scores]


@pytest.mark.parametrize(
    ("y", "scores", "threshold"),
    [
        (["stays", "leaves", "leaves"], (0.1, 0.3, 0.4), 0.2),
        (["leaves", "stays", "leaves"], (0.1, 0.3, 0.4), 0.05),  # everybody
        (["leaves", "stays", "stays", "leaves"], (0.1, 0.2, 0.3, 0.4), 0.35),  # as good as all
        (["stays", "leaves"], (0.3, 0.3), 0.5),
        (["leaves", "leaves"], (0.3, 0.4), 0.5),
        (["stays", "stays"], (0.3, 0.4), 0.5),
        ([], (), 0.5),
    ],
)
def test_the_best_threshold_lies_midway(y, scores, threshold):
    table = np.reshape(scored(*scores), (-1, 2))
    assert best_threshold(y, table, **BINARY) == pytest.approx(threshold, rel=1e-15)


def test_the_best_threshold_parts_neighbours_that_have_no_number_between_them():
    low = 0.3
    for _ in range(4):  # the middle of two such numbers is now the lower, now the higher
        high = np.nextafter(low, 1)
        assert best_threshold(["stays", "leaves"], scored(low, high), **BINARY) == high
        low = high


def test_more_than_two_labels_have_no_threshold():
    assert best_threshold(*three(50), **THREE) == 0.5


# -- intervals ---------------------------------------------------------------------------------


def test_interval_is_between_the_percentiles():
    assert interval(np.arange(101.0), level=0.9) == pytest.approx((5, 95))
    assert interval([np.nan, 2.0, np.nan]) == (2, 2)
    assert np.isnan(interval([np.nan])).all()


def test_bootstrap_interval_has_the_width_that_theory_gives():
    y, table = binary(400)
    low, high = bootstrap(y, table, **BINARY)["accuracy"]
    accuracy = evaluate(y, table, **BINARY)["accuracy"]
    error = np.sqrt(accuracy * (1 - accuracy) / 400)
    assert (low, high) == pytest.approx(
        (accuracy - 1.96 * error, accuracy + 1.96 * error), abs=0.01
    )


def test_ranking_has_its_interval_on_log_odds_and_the_rest_percentiles():
    y, table = binary(400)
    values, drawn = evaluate(y, table, **BINARY), resample(y, table, **BINARY)
    found = bootstrap(y, table, **BINARY)
    assert found == intervals(values, drawn)
    for name in ("roc_auc", "pr_auc"):
        odds = np.log(drawn[name] / (1 - drawn[name]))
        middle = np.log(values[name] / (1 - values[name]))
        ends = middle + np.array([-1.959964, 1.959964]) * odds.std()
        assert found[name] == pytest.approx(tuple(1 / (1 + np.exp(-ends))), rel=1e-6)
    for name in found.keys() - {"roc_auc", "pr_auc", "ece"}:
        assert found[name] == interval(drawn[name])


def test_the_interval_of_a_calibration_error_holds_it_and_stays_above_0():
    """Resamples of calibrated rows are less calibrated: their percentiles may lie above it."""
    values, drawn = {"ece": 0.03}, {"ece": [0.05, 0.06, 0.07, np.nan]}
    assert interval(drawn["ece"])[0] > values["ece"]
    far = 1.959964 * np.std([0.05, 0.06, 0.07])
    assert intervals(values, drawn)["ece"] == pytest.approx((0.03 - far, 0.03 + far))
    assert intervals({"ece": 0.01}, drawn)["ece"][0] == 0
    wide = intervals({"ece": 0.99}, {"ece": [0.5, 0.99]}, units=2)["ece"]
    assert wide == (0, 1)


@pytest.mark.parametrize("units", [2, 9, 200])
def test_few_units_widen_the_interval_of_roc_auc_by_students_t(units):
    drawn, value = np.linspace(0.6, 0.8, 50), 0.7
    low, high = intervals({"roc_auc": value}, {"roc_auc": drawn}, units=units)["roc_auc"]
    far = t(units - 1).ppf(0.975) * np.log(drawn / (1 - drawn)).std()
    odds = np.log(value / (1 - value)) + np.array([-far, far])
    assert (low, high) == pytest.approx(tuple(1 / (1 + np.exp(-odds))))
    assert intervals({"roc_auc": value}, {"roc_auc": drawn}, units=1)["roc_auc"] == (0, 1)


def test_units_are_those_of_the_label_with_the_fewest():
    truth = ["a", "b", "b", "a", "b"]
    assert units_of(truth) == 2
    assert units_of(truth, ["g", "g", "h", "g", "i"]) == 1
    assert units_of([]) == 0


def test_a_rare_label_among_several_says_little_of_their_mean():
    """With one row of it the mean is not undecided altogether; alike, they have a sum of their own."""
    counts = {"a": 150, "b": 120, "c": 80, "d": 49, "e": 1}
    truth = [label for label, count in counts.items() for _ in range(count)]
    by_label = sum(1 / (count - 1) for count in list(counts.values())[:4])
    assert units_of(truth) == pytest.approx(1 + 25 / (by_label + 2))
    assert units_of("abc" * 10) == pytest.approx(1 + 3 * 9)


def test_resamples_without_a_fault_are_taken_to_be_near_1():
    low, high = intervals({"roc_auc": 0.98}, {"roc_auc": [1.0, 0.98, 0.96, np.nan]})["roc_auc"]
    odds = np.log(np.array([0.99 / 0.01, 0.98 / 0.02, 0.96 / 0.04]))
    expected = 1 / (1 + np.exp(1.959964 * odds.std() - np.log(0.98 / 0.02)))
    assert low == pytest.approx(expected, rel=1e-6)
    assert 0.98 < high < 1
    # a few rows in perfect order prove nothing
    assert np.isnan(intervals({"roc_auc": 1.0}, {"roc_auc": [1.0, 1.0]})["roc_auc"]).all()
    assert np.isnan(intervals({"roc_auc": np.nan}, {"roc_auc": [np.nan]})["roc_auc"]).all()


@pytest.mark.parametrize("auc", [0.75, 0.9])
def test_the_interval_of_roc_auc_holds_the_truth_as_often_as_it_says(auc):
    """A quick look; benchmarks/intervals.py is the thorough one."""
    rng = np.random.default_rng(0)
    held = []
    for _ in range(100):
        hit = rng.random(200) < 0.2
        score = rng.normal(size=200) + 2**0.5 * NormalDist().inv_cdf(auc) * hit
        p = 1 / (1 + np.exp(-score))
        y, table = np.where(hit, "leaves", "stays"), np.column_stack([1 - p, p])
        drawn = resample(y, table, n=200, only=["roc_auc"], **BINARY)
        value = {"roc_auc": reference.roc_auc_score(hit, score)}
        low, high = intervals(value, drawn)["roc_auc"]
        held.append(low <= auc <= high)
    assert 0.9 <= np.mean(held) <= 0.99


def test_two_approaches_on_the_same_rows_are_paired():
    y, table = binary(200)
    better = table.copy()
    better[y == "leaves"] = [0.0, 1.0]
    near = 0.999 * table + 0.001 * better
    values = [resample(y, one, **BINARY)["brier"] for one in (table, near)]
    low, high = interval(values[0] - values[1])
    assert 0 < low < high  # far narrower than either interval
    alone = interval(values[0])
    assert high - low < 0.01 * (alone[1] - alone[0])


def test_the_seed_decides_the_resamples():
    y, table = binary(100)
    first, again, other = (bootstrap(y, table, n=50, seed=seed, **BINARY) for seed in (1, 1, 2))
    assert first == again != other


# -- folds -------------------------------------------------------------------------------------


def test_rows_are_ranked_among_those_of_their_fold():
    """Against slow loops: pairs counted, and tops taken, in each fold."""
    y, table = binary(300, seed=5)
    folds = np.arange(300) % 3
    table = np.column_stack([1 - table[:, 1] / (1 + folds), table[:, 1] / (1 + folds)])
    parts = [np.flatnonzero(folds == fold) for fold in range(3)]
    hit, score = y == "leaves", table[:, 1]
    pairs = [hit[at].sum() * (~hit[at]).sum() for at in parts]
    aucs = [reference.roc_auc_score(hit[at], score[at]) for at in parts]
    precision = [reference.average_precision_score(hit[at], score[at]) for at in parts]
    alone = [evaluate(y[at], table[at], **BINARY, **MONEY) for at in parts]
    found = evaluate(y, table, **BINARY, **MONEY, folds=folds.tolist())
    assert found["roc_auc"] == pytest.approx(np.average(aucs, weights=pairs))
    assert found["pr_auc"] == pytest.approx(
        np.average(precision, weights=[hit[at].sum() for at in parts])
    )
    for name in ("precision_5", "precision_20", "value_10", "value_best"):
        assert found[name] == pytest.approx(np.mean([each[name] for each in alone]))
    assert found["lift_10"] == pytest.approx(found["precision_10"] / hit.mean())
    whole = evaluate(y, table, **BINARY, **MONEY)
    for name in ("brier", "log_loss", "ece", "accuracy", "f1"):
        assert found[name] == whole[name]
    assert found["roc_auc"] > whole["roc_auc"] + 0.02  # levels of folds differ, rankings do not


def test_a_fold_of_one_label_has_no_pairs():
    y = ["leaves", "stays", "stays", "leaves", "leaves"]
    table = scored(0.9, 0.1, 0.5, 0.2, 0.3)
    found = evaluate(y, table, **BINARY, folds=[0, 0, 0, 1, 1])
    assert (found["roc_auc"], found["pr_auc"]) == (1, 1)
    assert np.isnan(evaluate(y, table, **BINARY, folds=[0, 1, 2, 3, 4])["roc_auc"])


def test_resamples_of_folds_are_those_of_the_rows_taken_so_often():
    y, table = binary(60, seed=6)
    folds = np.arange(60) % 2
    drawn = resample(y, table, n=3, seed=2, **BINARY, folds=folds.tolist())
    rng = np.random.default_rng(2)
    for at, rows in enumerate(rng.integers(60, size=(3, 60))):
        slow = evaluate(y[rows], table[rows], **BINARY, folds=folds[rows].tolist())
        for name in ("roc_auc", "pr_auc", "brier"):
            assert drawn[name][at] == pytest.approx(slow[name])


def test_each_row_may_have_a_threshold_of_its_own():
    y, table = binary(100, seed=7)
    at = np.where(np.arange(100) < 50, 0.3, 0.6)
    hit, score = y == "leaves", table[:, 1]
    found = evaluate(y, table, threshold=at, **BINARY)
    assert found["f1"] == pytest.approx(reference.f1_score(hit, score >= at))
