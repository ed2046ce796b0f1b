"""What `score` learned of amounts: the same as PromptRegressor's, saved, loaded and refused."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from promptpredict.amountcalibration import AmountCalibration, fit_calibration, from_edges
from promptpredict.amounts import from_bins
from promptpredict.errors import DataError
from promptpredict.promptregressors import bin_values, fit_line

LABELS, EDGES = ("low", "medium", "high"), (0.0, 10.0, 50.0, 400.0)


def rows(count=60, *, seed=0, zeros=0.0):
    rng = np.random.default_rng(seed)
    logprobs = rng.normal(size=(count, 3)) - 4
    y = np.exp(1.5 * logprobs[:, 2] - 0.5 * logprobs[:, 0] + 8 + rng.normal(size=count))
    y[rng.random(count) < zeros] = 0
    return logprobs.astype(np.float32), y


def fitted(logprobs, y):
    return fit_calibration(logprobs, y, labels=LABELS, edges=EDGES, known=y)


@pytest.mark.parametrize("zeros", [0.0, 0.3])
def test_it_is_the_line_in_numbers(zeros):
    logprobs, y = rows(zeros=zeros)
    levels = (softmax(logprobs.astype(float), axis=1) @ bin_values(EDGES, y))[:, None]
    head = fit_line(levels, y)
    found = fitted(logprobs, y)
    assert found.apply(logprobs) == pytest.approx(head.predict(levels))
    assert (found.zeros is None) == (zeros == 0)
    assert found.rows == 60


def test_without_labels_it_is_the_bins():
    logprobs, _ = rows(5)
    found = from_edges(LABELS, EDGES)
    slow = from_bins(softmax(logprobs.astype(float), axis=1), EDGES)
    assert found.apply(logprobs) == pytest.approx(slow)
    assert found.describe() == "amounts from the bins' probabilities, not calibrated"


def test_a_row_that_was_not_scored_has_no_amount():
    logprobs, _ = rows()
    logprobs[3, 1] = np.nan
    for each in (fitted(*rows()), from_edges(LABELS, EDGES)):
        amounts = each.apply(logprobs)
        assert np.isnan(amounts[3]).all()
        assert np.isfinite(np.delete(amounts, 3, axis=0)).all()
    with pytest.raises(ValueError, match=r"log-probabilities of shape \(2, 2\) for 3 bins"):
        from_edges(LABELS, EDGES).apply(np.zeros((2, 2)))


def test_it_is_saved_and_loaded(tmp_path):
    logprobs, y = rows(zeros=0.3)
    found = fitted(logprobs, y).model_copy(update={"prompt": "p", "model": "m"})
    found.save(tmp_path / "c.json")
    loaded = AmountCalibration.load(tmp_path / "c.json")
    assert loaded == found
    assert np.array_equal(loaded.apply(logprobs), found.apply(logprobs))
    assert found.describe() == (
        "amounts by a line of their logarithm through the mean over the bins, found on 60 rows "
        "with labels"
    )


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "Invalid JSON: EOF while parsing an object at line 1 column 1"),
        (
            '{"method": "line", "labels": ["a", "b"], "edges": [0, 1, 2], "rows": 3}',
            "Value error, a line needs a value for each bin, and errors",
        ),
        (
            '{"method": "bins", "labels": ["a", "b"], "edges": [0, 1], "rows": 3}',
            "Value error, 2 bins need 3 edges",
        ),
    ],
)
def test_a_file_that_is_none(text, fault, tmp_path):
    path = tmp_path / "c.json"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        AmountCalibration.load(path)
    assert str(caught.value) == (
        f"{path} is not a calibration of amounts ({fault}); give a file that an earlier run saved"
    )


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError) as caught:
        AmountCalibration.load(tmp_path / "none.json")
    assert str(caught.value).endswith("none.json cannot be read (No such file or directory)")
