"""Calibrators: the level is moved, the ranking kept, extremes and gaps survive."""

from __future__ import annotations

import json

import numpy as np
import pytest

from promptpredict.calibration import (
    MIN_ROWS,
    Calibration,
    columns_of,
    fit_base_rate,
    fit_platt,
    none,
)
from promptpredict.errors import DataError
from promptpredict.manylabels import fit_temperature

BINARY = {"labels": ("1", "0"), "positive": "1"}
SHARED = {"labels": ("1", "0"), "positive": "1", "rows": 64}


def table(odds):
    """Unnormalised log-probabilities (n, 2) of the labels 1, 0 with the given log-odds."""
    odds = np.asarray(odds, dtype=np.float64)
    return np.column_stack([odds / 2 - 3, -odds / 2 - 3])


def keys(hit):
    return ["1" if one else "0" for one in hit]


def drawn(n, slope, shift, seed=0):
    """Log-odds and label keys drawn from 1 / (1 + exp(-slope * log-odds - shift))."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(-1, 3, n)
    return odds, rng.random(n) < 1 / (1 + np.exp(-slope * odds - shift))


@pytest.mark.parametrize("rate", [1e-6, 0.1, 0.5, 0.97])
@pytest.mark.parametrize("spread", [0.0, 2.0, 80.0])
def test_base_rate_is_hit_for_any_spread_of_the_log_odds(rate, spread):
    odds = np.random.default_rng(0).normal(-3, spread, 1024)
    found = fit_base_rate(table(odds), rate, **BINARY)
    assert found.apply(table(odds))[:, 0].mean() == pytest.approx(rate, abs=1e-9, rel=1e-9)
    assert (found.rows, found.base_rate, found.slope) == (1024, rate, 1.0)


@pytest.mark.parametrize("positive", ["1", "0"])
def test_base_rate_belongs_to_the_positive_label_wherever_its_column_is(positive):
    odds, _ = drawn(500, 1, 0)
    found = fit_base_rate(table(odds), 0.1, labels=("1", "0"), positive=positive)
    column = ("1", "0").index(positive)
    assert found.apply(table(odds))[:, column].mean() == pytest.approx(0.1, abs=1e-9)


def test_base_rate_leaves_the_ranking_exactly_as_it_was():
    from sklearn.metrics import roc_auc_score

    odds, hit = drawn(2000, 0.3, 0)
    odds = np.round(odds, 2)  # with ties
    shifted = fit_base_rate(table(odds), 0.1, **BINARY).apply(table(odds))[:, 0]
    plain = none(**BINARY).apply(table(odds))[:, 0]
    assert roc_auc_score(hit, shifted) == roc_auc_score(hit, plain) == roc_auc_score(hit, odds)


def test_rows_that_were_not_scored_stay_nan_and_move_nothing():
    odds, hit = drawn(400, 1, 0)
    full = table(odds)
    holes = np.vstack([full, [[np.nan, np.nan], [-1.0, np.nan], [-np.inf, -1.0]]])
    y = [*keys(hit), "1", "0", "1"]
    found = fit_base_rate(holes, 0.1, **BINARY)
    assert found == fit_base_rate(full, 0.1, **BINARY)
    assert fit_platt(holes, y, **BINARY) == fit_platt(full, y[:-3], **BINARY)
    assert fit_temperature(holes, y, **BINARY) == fit_temperature(full, y[:-3], **BINARY)
    probabilities = found.apply(holes)
    assert np.isnan(probabilities[-3:]).all()
    assert np.array_equal(probabilities[:-3], found.apply(full))


def test_extreme_log_odds_neither_overflow_nor_lose_their_row():
    odds = np.tile([-80.0, 80.0, -2000.0, 2000.0, 0.0], 50)
    y = keys(odds > 0)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        for found in (
            none(**BINARY),
            fit_base_rate(table(odds), 0.1, **BINARY),
            fit_platt(table(odds), y, **BINARY),
            fit_temperature(table(odds), y, **BINARY),
        ):
            probabilities = found.apply(table(odds))
            assert np.isfinite(probabilities).all()
            np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-15)
    assert none(**BINARY).apply(table([-80.0]))[0, 0] == pytest.approx(np.exp(-80), rel=1e-12)


def test_float32_log_probabilities_keep_a_probability_that_float32_could_not_hold():
    tiny = none(**BINARY).apply(np.array([[-200.0, -1.0]], dtype=np.float32))
    assert tiny[0, 0] == pytest.approx(np.exp(-199), rel=1e-12)
    assert tiny.dtype == np.float64


@pytest.mark.parametrize(("slope", "shift"), [(0.4, -1.0), (1.0, 0.0), (2.5, 1.5)])
def test_platt_is_logistic_regression_on_many_labels(slope, shift):
    from sklearn.linear_model import LogisticRegression

    odds, hit = drawn(20_000, slope, shift)
    found = fit_platt(table(odds), keys(hit), **BINARY)
    # C so large that nothing is penalised, in the spelling every release understands
    reference = LogisticRegression(C=1e12, tol=1e-10).fit(odds[:, None], hit)
    # what the two pseudo-counts and the prior still weigh among 20,000 labels
    assert found.slope == pytest.approx(reference.coef_[0, 0], rel=5e-3)
    assert found.shift == pytest.approx(reference.intercept_[0], abs=1e-2)
    np.testing.assert_allclose(
        found.apply(table(odds)), reference.predict_proba(odds[:, None])[:, ::-1], atol=2e-3
    )


@pytest.mark.parametrize(
    ("odds", "hit"),
    [
        ([2.0], [True]),
        ([-9.0, -8.0, -7.5, -7.0], [False, False, True, True]),
        ([-80.0, -79.0, 79.0, 80.0], [False, False, True, True]),
        ([1.0, 2.0, 3.0], [True, True, True]),
        ([5.0, 5.0, 5.0], [True, False, False]),
    ],
    ids=["one label", "separable", "separable and extreme", "one class", "one log-odds"],
)
def test_platt_stays_moderate_on_a_handful_of_labels(odds, hit):
    found = fit_platt(table(odds), keys(hit), **BINARY)
    assert 0.02 < found.slope < 20
    probability = found.apply(table(odds))[:, 0]
    assert (probability > 0.01).all()
    assert (probability < 0.99).all()


def test_platt_never_turns_the_ranking_round():
    odds, hit = drawn(300, -1, 0)
    found = fit_platt(table(odds), keys(hit), **BINARY)
    assert 0 < found.slope < 0.05
    assert (np.diff(found.apply(table(np.sort(odds)))[:, 0]) > 0).all()


def test_platt_moves_balanced_labels_to_the_known_base_rate():
    odds, hit = drawn(60_000, 0.8, -3)
    rate = hit.mean()
    rng = np.random.default_rng(1)
    balanced = np.r_[rng.choice(np.flatnonzero(hit), 3000), rng.choice(np.flatnonzero(~hit), 3000)]
    found = fit_platt(table(odds[balanced]), keys(hit[balanced]), base_rate=float(rate), **BINARY)
    assert (found.slope, found.shift) == pytest.approx((0.8, -3), abs=0.1)
    assert found.apply(table(odds))[:, 0].mean() == pytest.approx(rate, rel=0.05)


def test_temperature_finds_the_slope_for_more_than_two_labels():
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 3, (20_000, 3))
    calm = np.exp(0.5 * scores)
    calm /= calm.sum(axis=1, keepdims=True)
    y = [("a", "b", "c")[(row > rng.random()).argmax()] for row in calm.cumsum(axis=1)]
    found = fit_temperature(scores, y, labels=("a", "b", "c"))
    assert found.method == "temperature"
    assert found.slope == pytest.approx(0.5, rel=0.02)
    np.testing.assert_allclose(found.apply(scores), calm, atol=0.01)


def test_temperature_stays_finite_where_every_label_is_right():
    scores = np.log(np.full((5, 3), 0.1) + np.eye(3)[[0, 1, 2, 0, 1]])
    found = fit_temperature(scores, list("abcab"), labels=("a", "b", "c"))
    assert 1 < found.slope < 3


@pytest.mark.parametrize(
    ("calibration", "line"),
    [
        (none(**BINARY), "not calibrated"),
        (
            Calibration(
                method="base_rate", shift=-1.7312, base_rate=0.1, **SHARED | {"rows": 1024}
            ),
            "base rate 0.1 by a log-odds shift of -1.73 found on 1,024 rows",
        ),
        (
            Calibration(method="platt", slope=0.5, shift=-1, **SHARED),
            "Platt slope 0.50 and shift -1.00 found on 64 rows with labels",
        ),
        (
            Calibration(method="platt", slope=0.5, base_rate=0.1, **SHARED | {"rows": 1}),
            "Platt slope 0.50 and shift 0.00 found on 1 row with labels, moved to base rate 0.1",
        ),
        (
            Calibration(method="temperature", slope=0.5, **SHARED),
            "temperature 2.00 found on 64 rows with labels",
        ),
    ],
)
def test_describe_is_one_line(calibration, line):
    assert calibration.describe() == line


def test_a_saved_calibration_loads_as_it_was(tmp_path):
    odds, _ = drawn(300, 1, 0)
    found = fit_base_rate(table(odds), 0.1, **BINARY)
    found = found.model_copy(update={"prompt": "sha256:ab", "model": "tiny@1"})
    path = tmp_path / "calibration.json"
    none(**BINARY).save(path)
    found.save(path)
    assert Calibration.load(path) == found
    assert [entry.name for entry in tmp_path.iterdir()] == ["calibration.json"]


def saved(**changes):
    return json.dumps(
        {"method": "none", "labels": ["1", "0"], "positive": "1", "rows": 0} | changes
    )


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "Invalid JSON: EOF while parsing a value at line 1 column 0"),
        ('{"method": "none"}', "labels: Field required"),
        (saved(slop=2), "slop: Extra inputs are not permitted"),
        (saved(slope=-1), "slope: Input should be greater than 0"),
        (saved(labels=["1", "1"]), "Value error, a label stands twice"),
        (saved(positive="yes"), "Value error, the positive label 'yes' is not among the labels"),
        (
            saved(method="platt", positive=None),
            "Value error, the method 'platt' needs two labels, one of them positive",
        ),
    ],
    ids=["empty", "field missing", "unknown key", "slope", "twice", "positive", "method"],
)
def test_a_file_that_is_no_calibration_is_one_line(tmp_path, text, fault):
    path = tmp_path / "calibration.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError) as error:
        Calibration.load(path)
    assert str(error.value) == (
        f"{path} is not a calibration ({fault}); give a file that an earlier run saved"
    )


def test_a_path_that_cannot_be_read_or_written_is_one_line(tmp_path):
    path = tmp_path / "nowhere" / "calibration.json"
    with pytest.raises(DataError) as error:
        Calibration.load(path)
    assert str(error.value) == f"{path} cannot be read (No such file or directory)"
    with pytest.raises(DataError) as error:
        none(**BINARY).save(path)
    assert str(error.value) == (f"{path} cannot be written (No such file or directory)")


@pytest.mark.parametrize(
    ("fit", "text"),
    [
        (
            lambda: fit_base_rate(table(np.zeros(MIN_ROWS - 1)), 0.1, **BINARY),
            "found 199 scored rows, but a shift to the base rate 0.1 needs at least 200; "
            "possible: the calibration of a larger run",
        ),
        (
            lambda: fit_base_rate(table(np.zeros(MIN_ROWS)), 12, **BINARY),
            "the base rate 12 has to lie between 0 and 1 (0.12 for 12 %)",
        ),
        (
            lambda: fit_platt(
                np.zeros((2, 3)), ["a", "b"], labels=("a", "b", "c"), positive=None, base_rate=0.1
            ),
            "the base rate 0.1 needs two labels, one of them positive; "
            "found the labels a, b, c and the positive label None",
        ),
        (
            lambda: fit_platt(table([np.nan]), ["1"], **BINARY),
            "no labelled row could be scored; calibration on labels needs at least one",
        ),
        (
            lambda: columns_of(["churned", "stayd"], ("churned", "stayed")),
            "found the label 'stayd'; the labels are churned, stayed (nearest: 'stayed')",
        ),
    ],
    ids=["few rows", "percent", "rate for three labels", "nothing scored", "unknown label"],
)
def test_faults_say_what_is_possible(fit, text):
    with pytest.raises(DataError) as error:
        fit()
    assert str(error.value) == text


def test_what_a_link_leads_to_is_replaced_and_not_the_link(tmp_path):
    real, link = tmp_path / "real.json", tmp_path / "link.json"
    real.write_text("old")
    link.symlink_to(real)
    none(**BINARY).save(link)
    assert link.is_symlink()
    assert Calibration.load(real) == none(**BINARY)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.json", "real.json"]


def test_columns_follow_the_labels_as_given():
    assert columns_of(["0", "1", "0"], ("1", "0")).tolist() == [1, 0, 1]
    assert columns_of([], ("1", "0")).tolist() == []
    with pytest.raises(ValueError, match=r"^log-probabilities of shape \(2, 3\) for 2 labels$"):
        none(**BINARY).apply(np.zeros((2, 3)))
