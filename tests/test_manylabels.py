"""Three labels or more: shares are met, a vector beats one temperature, few labels stay moderate."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from promptpredict.calibration import Calibration, fit_base_rate, fit_platt
from promptpredict.errors import DataError
from promptpredict.manylabels import (
    fit_labels,
    fit_rate,
    fit_shares,
    fit_temperature,
    fit_vector,
    known_rows,
)

LABELS = ("b", "c", "a")  # not in the sorted order
RATE = {"a": 0.2, "b": 0.7, "c": 0.1}


def drawn(n, slopes=(0.5, 0.5, 0.5), shifts=(0.0, 0.0, 0.0), seed=0):
    """Log-probabilities, not normalised, label keys, and the probabilities that they were drawn from."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, 3, (n, 3)) + rng.normal(-9, 2, (n, 1))
    truth = softmax(slopes * log_softmax(scores, axis=1) + shifts, axis=1)
    y = [LABELS[(row > rng.random()).argmax()] for row in truth.cumsum(axis=1)]
    return scores, y, truth


def loss(calibration, scores, y):
    columns = [LABELS.index(key) for key in y]
    return log_loss(columns, calibration.apply(scores), labels=[0, 1, 2])


# ------------------------------------------------------------------------------ vector scaling


@pytest.mark.parametrize("shifts", [(0.0, 0.0, 0.0), (2.0, -1.0, -1.0), (6.0, -8.0, 2.0)])
def test_a_vector_finds_slopes_and_shifts_of_many_labels(shifts):
    scores, y, truth = drawn(40_000, (0.4, 0.6, 0.9), shifts)
    found = fit_vector(scores, y, labels=LABELS)
    assert (found.method, found.labels, found.positive) == ("vector", LABELS, None)
    assert (found.rows, sum(found.shifts)) == (40_000, pytest.approx(0, abs=1e-12))
    np.testing.assert_allclose(found.apply(scores), truth, atol=0.05)
    np.testing.assert_allclose(found.apply(scores).mean(axis=0), truth.mean(axis=0), atol=0.005)


def test_a_vector_is_what_a_general_optimiser_finds():
    """The posterior written out row by row, and minimised without a gradient."""
    scores, y, _ = drawn(30, (0.4, 0.6, 0.9), (2.0, -1.0, 0.0))
    normal, columns = log_softmax(scores, axis=1), [LABELS.index(key) for key in y]

    def posterior(parameters):
        common, own, shifts = parameters[0], parameters[1:4], parameters[4:]
        total = common**2 / 2 + sum(own**2) / 2 / 0.25**2 + sum(np.log(1 + shifts**2))
        for row, column in zip(normal, columns, strict=True):
            count = columns.count(column)
            targets = np.full(3, 1 / (count + 2) / 2)
            targets[column] = (count + 1) / (count + 2)
            total -= targets @ log_softmax(np.exp(common + own) * row + shifts)
        return total

    slow = minimize(posterior, np.zeros(7), tol=1e-9)
    expected = softmax(np.exp(slow.x[0] + slow.x[1:4]) * normal + slow.x[4:], axis=1)
    found = fit_vector(scores, y, labels=LABELS).apply(scores)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_where_labels_are_shifted_a_vector_beats_a_temperature_and_nears_logistic_regression():
    scores, y, _ = drawn(600, (0.5, 0.5, 0.5), (3.0, -2.0, -1.0))
    test, truth, _ = drawn(4000, (0.5, 0.5, 0.5), (3.0, -2.0, -1.0), seed=1)
    vector = loss(fit_vector(scores, y, labels=LABELS), test, truth)
    temperature = loss(fit_temperature(scores, y, labels=LABELS), test, truth)
    fitted = LogisticRegression(C=1e6).fit(log_softmax(scores, axis=1), y)
    free = log_loss(truth, fitted.predict_proba(log_softmax(test, axis=1)), labels=["a", "b", "c"])
    assert vector < temperature - 0.2
    assert vector < free + 0.01


@pytest.mark.parametrize("n", [8, 16, 32, 64])
def test_where_nothing_is_shifted_few_labels_cost_a_vector_next_to_nothing(n):
    """Means over 30 draws of labels: a temperature is the truth here, and has one number to find."""
    gaps, worst = [], []
    for seed in range(30):
        scores, y, _ = drawn(n, seed=seed)
        test, truth, _ = drawn(1000, seed=1000 + seed)
        own = loss(fit_vector(scores, y, labels=LABELS), test, truth)
        gaps.append(own - loss(fit_temperature(scores, y, labels=LABELS), test, truth))
        worst.append(own)
    assert np.mean(gaps) < 0.03
    assert max(worst) < np.log(3)  # better than to know nothing


@pytest.mark.parametrize(
    ("scores", "y"),
    [
        ([[-1.0, -2.0, -3.0]], "b"),
        ([[0.0, -9.0, -9.0], [-9.0, 0.0, -9.0], [-9.0, -9.0, 0.0]], "bca"),
        ([[-800.0, -80.0, 0.0]] * 4, "bcab"),
        ([[-1.0, -2.0, -3.0]] * 5, "bbbbb"),
        ([[-5.0, -5.0, -5.0]] * 3, "bca"),
    ],
    ids=["one row", "all right", "extreme", "one label", "equal"],
)
def test_a_vector_stays_moderate_on_a_handful_of_labels(scores, y):
    found = fit_vector(scores, list(y), labels=LABELS)
    probabilities = found.apply(scores)
    assert all(0.001 < slope < 20 for slope in found.slopes)
    assert (probabilities > 0.001).all()
    assert (probabilities < 0.99).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-12)


def test_a_vector_knows_a_shift_of_many_nats():
    """As a language model has it, which finds one word far more likely than another."""
    scores, y, truth = drawn(64)
    far = scores + np.array([0.0, -30.0, 15.0])
    found = fit_vector(far, y, labels=LABELS).apply(far)
    np.testing.assert_allclose(found.mean(axis=0), truth.mean(axis=0), atol=0.1)


def test_rows_that_share_a_constant_are_the_same_rows():
    scores, y, _ = drawn(40)
    moved = scores + np.random.default_rng(3).normal(0, 20, (40, 1))
    one, other = (fit_vector(each, y, labels=LABELS) for each in (scores, moved))
    np.testing.assert_allclose(one.apply(scores), other.apply(moved), atol=1e-6)


def test_labels_in_another_order_are_the_same_labels():
    scores, y, _ = drawn(40, (0.4, 0.6, 0.9), (1.0, -1.0, 0.0))
    turned = fit_vector(scores[:, ::-1], y, labels=LABELS[::-1])
    found = fit_vector(scores, y, labels=LABELS).apply(scores)
    np.testing.assert_allclose(turned.apply(scores[:, ::-1])[:, ::-1], found, atol=1e-5)


def test_rows_that_were_not_scored_stay_nan_and_move_nothing():
    scores, y, _ = drawn(300)
    holes = np.vstack([scores, [[np.nan] * 3, [-1.0, -np.inf, -2.0]]])
    found = fit_vector(holes, [*y, "a", "b"], labels=LABELS)
    assert found == fit_vector(scores, y, labels=LABELS)
    assert np.isnan(found.apply(holes)[-2:]).all()
    assert np.array_equal(found.apply(holes)[:-2], found.apply(scores))
    assert fit_rate(holes, RATE, labels=LABELS, positive=None).rows == 300


def test_the_level_moves_balanced_labels_to_the_shares_of_all():
    scores, y, truth = drawn(60_000, shifts=(3.0, -1.0, -2.0))
    level = {label: y.count(label) / len(y) for label in LABELS}
    rng, keys = np.random.default_rng(1), np.array(y)
    rows = np.concatenate([rng.choice(np.flatnonzero(keys == label), 1000) for label in LABELS])
    found = fit_labels(scores[rows], keys[rows], labels=LABELS, positive=None, level=level)
    assert found.shares == tuple(level[label] for label in LABELS)
    np.testing.assert_allclose(found.apply(scores).mean(axis=0), truth.mean(axis=0), atol=0.01)
    assert fit_labels(scores, y, labels=LABELS, positive=None, level=level).shifts == pytest.approx(
        fit_vector(scores, y, labels=LABELS).shifts, abs=1e-3
    )


@pytest.mark.parametrize("counts", [(6, 1, 1), (30, 5, 5), (2, 2, 4)])
@pytest.mark.parametrize("level", [(1 / 3, 1 / 3, 1 / 3), (0.75, 0.125, 0.125), (0.05, 0.9, 0.05)])
def test_where_nothing_tells_rows_apart_each_has_the_level(counts, level):
    """As with two labels: a few rows and the prior leave the shifts short of the rows' shares."""
    y = [label for label, count in zip(LABELS, counts, strict=True) for _ in range(count)]
    scores = np.tile([-1.0, -3.0, -2.0], (len(y), 1))
    given = dict(zip(LABELS, level, strict=True))
    found = fit_vector(scores, y, labels=LABELS, level=given).apply(scores)
    np.testing.assert_allclose(found, np.tile(level, (len(y), 1)), atol=1e-9)


def test_a_level_needs_a_row_of_each_label():
    with pytest.raises(DataError) as error:
        fit_vector([[-1.0, -2.0, -3.0]], ["b"], labels=LABELS, level=RATE)
    assert str(error.value) == "no labelled row has the label 'c'; its level is unknown"
    with pytest.raises(DataError) as error:
        fit_vector([[np.nan] * 3], ["b"], labels=LABELS)
    assert str(error.value) == (
        "no labelled row could be scored; calibration on labels needs at least one"
    )


def test_two_labels_are_platts():
    scores, y, _ = drawn(40)
    two, y = scores[:, :2], ["b" if key == "a" else key for key in y]
    given = {"labels": ("b", "c"), "positive": "c"}
    assert fit_labels(two, y, **given) == fit_platt(two, y, **given)
    known = fit_platt(two, y, base_rate=0.2, **given)
    assert fit_labels(two, y, level={"b": 0.8, "c": 0.2}, **given) == known
    many = np.tile(two, (9, 1))
    assert fit_rate(many, 0.2, **given) == fit_base_rate(many, 0.2, **given)


# -------------------------------------------------------------------------------- known shares


@pytest.mark.parametrize("spread", [0.0, 2.0, 80.0])
@pytest.mark.parametrize("rate", [RATE, {"a": 1e-6, "b": 1 - 3e-6, "c": 2e-6}])
def test_each_label_has_its_share_for_any_spread(spread, rate):
    scores = np.random.default_rng(0).normal([-30, 0, -2], spread, (1024, 3))
    found = fit_rate(scores, rate, labels=LABELS, positive=None)
    expected = [rate[label] for label in LABELS]
    np.testing.assert_allclose(found.apply(scores).mean(axis=0), expected, rtol=1e-8)
    assert (found.method, found.rows, found.shares) == ("base_rate", 1024, tuple(expected))
    assert (found.slopes, sum(found.shifts)) == ((), pytest.approx(0, abs=1e-9))


def test_shifts_are_those_of_the_convex_problem():
    """Written out: the mean log-sum-exp less the shares times the shifts, minimised as it stands."""
    scores = np.random.default_rng(0).normal(0, 3, (400, 6))
    labels, shares = tuple("abcdef"), np.array([0.3, 0.05, 0.05, 0.2, 0.1, 0.3])
    slow = minimize(
        lambda shifts: np.logaddexp.reduce(scores + shifts, axis=1).mean() - shares @ shifts,
        np.zeros(6),
        tol=1e-9,
    )
    rate = dict(zip(labels, shares.tolist(), strict=True))
    found = fit_rate(scores, rate, labels=labels, positive=None)
    np.testing.assert_allclose(found.shifts, slow.x - slow.x.mean(), atol=1e-4)


def test_two_of_three_labels_keep_their_odds():
    """One shift a label: what a row says of two labels against each other moves by one number."""
    scores, _, _ = drawn(300)
    found = fit_rate(scores, RATE, labels=LABELS, positive=None)
    odds = np.log(found.apply(scores)[:, 0] / found.apply(scores)[:, 1])
    moved = odds - (scores[:, 0] - scores[:, 1])
    np.testing.assert_allclose(moved, found.shifts[0] - found.shifts[1], atol=1e-9)


def test_parts_are_read_anew_and_make_no_difference():
    scores, _, _ = drawn(1000)
    known = known_rows(scores, LABELS)
    parts = [known[:7], known[7:7], known[7:600], known[600:]]
    whole = fit_rate(scores, RATE, labels=LABELS, positive=None)
    found = fit_shares(lambda: iter(parts), RATE, labels=LABELS)
    assert found.shifts == pytest.approx(whole.shifts, abs=1e-9)
    assert found.rows == 1000


@pytest.mark.parametrize(
    ("rate", "rows", "text"),
    [
        (
            RATE, 199,
            "found 199 scored rows, but shifts to the base rate b 0.7, c 0.1, a 0.2 need at least 200; "
            "possible: the calibration of a larger run",
        ),
        (RATE | {"c": 0.2}, 200, "base_rate sums to 1.1; the shares of all labels sum to 1"),
        (
            0.2, 200,
            "base_rate is one number, and there are 3 labels; possible: a share for each of b, c, a",
        ),
    ],
)  # fmt: skip
def test_shares_that_cannot_be_met_are_one_line(rate, rows, text):
    with pytest.raises(DataError) as error:
        fit_rate(np.zeros((rows, 3)), rate, labels=LABELS, positive=None)
    assert str(error.value) == text


# ------------------------------------------------------------------------------- saved and said

VECTOR = Calibration(
    method="vector", labels=("a", "b", "c"), positive=None, rows=64,
    slopes=(0.5, 1.25, 1.0), shifts=(-0.3, 0.1, 0.2), shares=(0.5, 0.3, 0.2),
)  # fmt: skip


def test_describe_is_one_line():
    line = "slope and shift of each label (a 0.50 and -0.30, b 1.25 and +0.10, c 1.00 and +0.20) found on 64 rows with labels"
    assert VECTOR.model_copy(update={"shares": ()}).describe() == line
    assert VECTOR.describe() == f"{line}, moved to base rate a 0.5, b 0.3, c 0.2"
    known = VECTOR.model_copy(update={"method": "base_rate", "slopes": (), "rows": 1024})
    assert known.describe() == (
        "base rate a 0.5, b 0.3, c 0.2 by shifts of a -0.30, b +0.10, c +0.20 found on 1,024 rows"
    )


def test_a_saved_calibration_loads_as_it_was_and_gives_the_same(tmp_path):
    scores, y, _ = drawn(300)
    for found in (
        fit_vector(scores, y, labels=LABELS),
        fit_rate(scores, RATE, labels=LABELS, positive=None),
    ):
        found.save(tmp_path / "c.json")
        loaded = Calibration.load(tmp_path / "c.json")
        assert loaded == found
        assert np.array_equal(loaded.apply(scores), found.apply(scores))


def test_files_of_two_labels_have_no_new_keys_and_old_ones_load(tmp_path):
    """A file that was saved before there were vectors, and one as it was saved then."""
    path = tmp_path / "c.json"
    old = {"method": "temperature", "labels": ["a", "b", "c"], "positive": None, "slope": 0.5}
    path.write_text(json.dumps(old | {"rows": 9}), encoding="utf-8")
    scores, _, _ = drawn(9)
    np.testing.assert_allclose(
        Calibration.load(path).apply(scores), softmax(0.5 * scores, axis=1), rtol=1e-12
    )
    Calibration(method="platt", labels=("1", "0"), positive="1", slope=0.5, rows=9).save(path)
    assert list(json.loads(path.read_text(encoding="utf-8"))) == [
        "method", "labels", "positive", "slope", "shift", "base_rate", "rows", "prompt", "model",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"slopes": [1, 2]}, "Value error, slopes, shifts and shares are one a label, or none"),
        ({"shifts": []}, "Value error, the method 'vector' needs a slope and a shift for each label"),
        ({"slopes": [1, 0, 1]}, "slopes.1: Input should be greater than 0"),
        (
            {"method": "base_rate", "shifts": []},
            "Value error, the method 'base_rate' needs two labels, one of them positive",
        ),
    ],
)  # fmt: skip
def test_a_file_that_is_no_calibration_is_one_line(tmp_path, changes, fault):
    path = tmp_path / "c.json"
    path.write_text(json.dumps(json.loads(VECTOR.model_dump_json()) | changes), encoding="utf-8")
    with pytest.raises(DataError) as error:
        Calibration.load(path)
    assert str(error.value) == (
        f"{path} is not a calibration ({fault}); give a file that an earlier run saved"
    )
