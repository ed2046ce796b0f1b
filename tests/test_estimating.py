"""The estimator of each approach, with what a plan and a draw ask of it."""

from __future__ import annotations

import numpy as np
import pytest

from compared import prompt_file
from fakes import FakeEncoder, FakeLM
from promptpredict.cases import Draw
from promptpredict.encoders import Embedder
from promptpredict.estimating import estimator_of
from promptpredict.memo import Memo
from promptpredict.plans import APPROACHES, CASCADE, STACK, WITH_LM, Plan

MEMO, EMBEDDER, FILE = Memo(FakeLM()), Embedder(FakeEncoder()), prompt_file()


def draw(budget, *, seed=7, train=400):
    rows = np.arange(train)
    return Draw(budget, seed, 0, rows[:budget], rows, np.arange(train, train + 10))


def made(approach, budget=64, *, model=MEMO, train=400, **plan):
    asked = Plan(**plan)
    shots = asked.counts(approach, budget)[-1]
    return estimator_of(
        approach,
        FILE,
        asked,
        draw(budget, train=train),
        shots=shots,
        model=model,
        encoder=EMBEDDER,
    )


def parameters(estimator, *names):
    return {name: estimator.get_params(deep=False)[name] for name in names}


@pytest.mark.parametrize("approach", [name for name in APPROACHES if name != STACK])
def test_every_approach_reads_the_prompt_file_with_what_all_share(approach):
    """Each prompt and text is then read once, whoever needs it."""
    found = made(approach).get_params(deep=False)
    assert found["prompt"] is FILE
    assert ("model" in found) == (approach in {*WITH_LM, CASCADE})
    assert found.get("model", MEMO) is MEMO
    assert found.get("encoder", EMBEDDER) is EMBEDDER


@pytest.mark.parametrize(
    "approach",
    [
        "probe",
        "panel",
        "cascade",
        "embedding",
        "fusion",
        "fusion-trees",
        "fusion-mlp",
        "text",
        "structured",
    ],
)
def test_what_is_drawn_in_a_fit_is_drawn_by_the_seed(approach):
    assert made(approach).random_state == 7


def test_structured_columns_go_to_a_line_or_to_trees():
    assert made("structured").kind == "linear"
    assert made("structured-trees").kind == "trees"


def test_the_name_of_fusion_says_its_head():
    heads = {name: made(name).head for name in ("fusion", "fusion-trees", "fusion-mlp")}
    assert heads == {"fusion": "linear", "fusion-trees": "trees", "fusion-mlp": "mlp"}


@pytest.mark.parametrize(
    ("budget", "rate", "train", "calibration"),
    [
        (0, None, 400, "none"),
        (0, 0.1, 199, "none"),
        (0, 0.1, 200, "base_rate"),
        (4, None, 400, "platt"),
        (64, 0.1, 400, "platt"),
    ],
)
def test_zero_shot_is_calibrated_by_labels_or_the_base_rate_where_it_can(
    budget, rate, train, calibration
):
    found = made("zero-shot", budget, train=train, base_rate=rate)
    assert (found.calibration, found.base_rate, found.shots) == (calibration, rate, 0)
    assert found.calibration_rows > 10**6  # all of them cost nothing more: they have been read


@pytest.mark.parametrize(
    ("approach", "select"),
    [
        ("few-shot", "balanced"),
        ("few-shot-random", "random"),
        ("few-shot-nearest", "nearest"),
    ],
)
def test_the_name_says_how_shots_are_chosen(approach, select):
    found = made(approach)
    assert parameters(found, "select", "shots", "random_state", "calibration") == {
        "select": select,
        "shots": 16,
        "random_state": None,  # the first rows of the draw, so that larger draws show the same
        "calibration": "platt",
    }


def test_the_plan_chooses_the_shots_of_few_shot_alone():
    assert made("few-shot", select="nearest").select == "nearest"
    assert made("few-shot-random", select="nearest").select == "random"
    assert made("few-shot-nearest", select="random").select == "nearest"


def test_a_probe_has_four_shots_in_front_or_none():
    assert parameters(made("probe"), "shots", "random_state") == {"shots": 0, "random_state": 7}
    assert parameters(made("probe-shots"), "shots", "random_state") == {
        "shots": 4,
        "random_state": None,
    }
