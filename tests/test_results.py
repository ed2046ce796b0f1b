"""What a comparison found: the form of results.json, and its summary."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import pandas as pd
import pytest
from pydantic import ValidationError

from promptpredict.errors import DataError
from promptpredict.results import (
    About,
    Crossover,
    Difference,
    Flag,
    Results,
    Row,
    Shown,
    Spread,
    Value,
    summarise,
    write_results,
)

NAN = float("nan")


def row(approach="probe", budget=16, seed=0, auc=0.8, **metrics):
    return Row(
        table="customers.csv",
        prompt="churn-shop",
        model="smollm2-135m",
        approach=approach,
        budget=budget,
        seed=seed,
        n_test=200,
        metrics={"roc_auc": Value.of(auc, auc - 0.05, auc + 0.05), **metrics},
    )


def results(*rows, **more):
    return Results(rows=list(rows), differences=[], verdict="Nothing was compared.", **more)


DIFFERENCE = Difference(
    approach="probe",
    against="embedding",
    budget=16,
    metric="roc_auc",
    value=0.08,
    low=0.03,
    high=0.13,
    p=0.002,
    holm_low=0.01,
    holm_high=0.15,
    verdict="better",
)


# -- results.json ------------------------------------------------------------------------------


def test_results_json_has_exactly_the_form_of_the_design(tmp_path):
    found = Results(
        rows=[row(seconds_per_1000=Value.of(1.5))],
        differences=[DIFFERENCE],
        verdict="Use probe.",
        crossovers=[Crossover(approach="embedding", against="probe", budget=None)],
        flags=[Flag(kind="leak", column="churned_on", text="churned_on gives it away")],
        notes=["a note"],
        about=About(
            counts={"rows": 600},
            shots=[Shown(approach="few-shot", budget=2, seed=0, shots=[(5, "1")])],
        ),
    )
    write_results(tmp_path, found, [{"approach": "probe", "p_1": 0.5}])
    assert json.loads((tmp_path / "results.json").read_text(encoding="utf-8")) == {
        "schema": 1,
        "rows": [
            {
                "table": "customers.csv",
                "prompt": "churn-shop",
                "model": "smollm2-135m",
                "approach": "probe",
                "budget": 16,
                "seed": 0,
                "n_test": 200,
                "metrics": {
                    "roc_auc": {"value": 0.8, "low": 0.75, "high": 0.8500000000000001},
                    "seconds_per_1000": {"value": 1.5, "low": None, "high": None},
                },
                "chosen": None,
            }
        ],
        "differences": [
            {
                "approach": "probe",
                "against": "embedding",
                "budget": 16,
                "metric": "roc_auc",
                "value": 0.08,
                "low": 0.03,
                "high": 0.13,
                "p": 0.002,
                "holm_low": 0.01,
                "holm_high": 0.15,
                "verdict": "better",
            }
        ],
        "verdict": "Use probe.",
        "crossovers": [{"approach": "embedding", "against": "probe", "budget": None}],
        "flags": [{"kind": "leak", "column": "churned_on", "text": "churned_on gives it away"}],
        "notes": ["a note"],
        "about": {
            "started": "",
            "seconds": 0.0,
            "hardware": "",
            "versions": {},
            "settings": {},
            "counts": {"rows": 600},
            "prompts": 0,
            "passes": 0,
            "tokens": 0,
            "prompt_text": "",
            "shots": [{"approach": "few-shot", "budget": 2, "seed": 0, "shots": [[5, "1"]]}],
            "label_mass": {},
            "truncated": {},
        },
    }
    assert Results.load(tmp_path / "results.json") == found


def test_a_number_that_is_none_is_null(tmp_path):
    write_results(tmp_path, results(row(auc=NAN)), [])
    text = (tmp_path / "results.json").read_text(encoding="utf-8")
    assert "NaN" not in text
    assert json.loads(text)["rows"][0]["metrics"]["roc_auc"] == {
        "value": None,
        "low": None,
        "high": None,
    }


def test_what_was_written_loads_as_it_was(tmp_path):
    found = results(row(), row(auc=NAN), row("prior", 0, brier=Value.of(1 / 3)))
    found.differences.append(DIFFERENCE)
    write_results(tmp_path, found, [])
    assert Results.load(tmp_path / "results.json") == found
    assert Results.load(str(tmp_path / "results.json")).schema_ == 1


@pytest.mark.parametrize(
    "text",
    [
        '{"schema": 2, "rows": [], "differences": [], "verdict": ""}',
        '{"schema": 1, "rows": [], "differences": [], "verdict": "", "more": 1}',
        '{"schema": 1, "rows": [{"table": "t"}], "differences": [], "verdict": ""}',
    ],
    ids=["other schema", "unknown key", "row incomplete"],
)
def test_a_file_of_another_form_is_refused(tmp_path, text):
    (tmp_path / "results.json").write_text(text, encoding="utf-8")
    with pytest.raises(ValidationError):
        Results.load(tmp_path / "results.json")


def test_predictions_are_a_table_of_their_keys(tmp_path):
    predictions = [
        {"approach": "probe", "budget": 16, "row": 3, "id": "007", "label": "1", "p_1": 0.25},
        {"approach": "prior", "budget": 16, "row": 4, "id": "9", "label": "0", "p_1": 1 / 3},
    ]
    write_results(tmp_path, results(), predictions)
    found = pd.read_parquet(tmp_path / "predictions.parquet")
    assert found.to_dict("records") == predictions
    assert found["id"].tolist() == ["007", "9"]  # a code stays a code


def test_a_folder_is_made_and_holds_nothing_else(tmp_path):
    folder = tmp_path / "new" / "results"
    write_results(folder, results(row()), [{"p_1": 0.5}])
    write_results(folder, results(row(auc=0.9)), [{"p_1": 0.6}])
    assert sorted(each.name for each in folder.iterdir()) == ["predictions.parquet", "results.json"]
    assert Results.load(folder / "results.json").rows[0].metrics["roc_auc"].value == 0.9
    assert pd.read_parquet(folder / "predictions.parquet")["p_1"].tolist() == [0.6]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_file_that_could_not_be_written_whole_leaves_the_old_one(tmp_path, monkeypatch, error):
    write_results(tmp_path, results(row()), [{"p_1": 0.5}])
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir()}

    def half(_, path, **__):
        path.write_bytes(b"PAR1")
        raise error

    monkeypatch.setattr(pd.DataFrame, "to_parquet", half)
    with pytest.raises(DataError if isinstance(error, OSError) else KeyboardInterrupt) as caught:
        write_results(tmp_path, results(row(auc=0.9)), [{"p_1": 0.6}])
    if isinstance(error, OSError):
        assert str(caught.value) == (
            f"{tmp_path}: the results cannot be written (No space left on device)"
        )
    after = {each.name: each.read_bytes() for each in tmp_path.iterdir()}
    assert after.keys() == before.keys()  # no draft is left behind
    assert after["predictions.parquet"] == before["predictions.parquet"]


def test_no_file_is_written_in_place(tmp_path, monkeypatch):
    """Where a draft cannot take its place, what was there before is still whole."""
    write_results(tmp_path, results(row()), [{"p_1": 0.5}])
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir()}

    def refuse(*_):
        raise OSError(13, "Permission denied")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(DataError) as error:
        write_results(tmp_path, results(row(auc=0.9)), [{"p_1": 0.6}])
    assert str(error.value) == f"{tmp_path}: the results cannot be written (Permission denied)"
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == before


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "results"
    with pytest.raises(DataError) as error:
        write_results(folder, results(row()), [{"p_1": 0.5}])
    assert str(error.value) == f"{folder}: the results cannot be written (Not a directory)"


def test_a_difference_is_told_with_its_interval_and_its_word():
    assert DIFFERENCE.describe() == "+0.080 (95 % +0.010 to +0.150): better"


# -- summary -----------------------------------------------------------------------------------


def test_a_summary_is_mean_and_standard_deviation_over_the_seeds():
    values = [0.71, 0.8, 0.83]
    rows = [row(seed=seed, auc=auc) for seed, auc in enumerate(values)]
    (group,) = summarise(rows)
    assert (group.approach, group.budget, group.seeds) == ("probe", 16, 3)
    assert group.metrics["roc_auc"].mean == pytest.approx(statistics.mean(values), rel=1e-12)
    assert group.metrics["roc_auc"].sd == pytest.approx(statistics.stdev(values), rel=1e-12)


def test_one_seed_has_no_deviation():
    assert summarise([row(auc=0.8)])[0].metrics["roc_auc"] == Spread(0.8, 0.0)


def test_a_seed_without_a_metric_is_left_out_of_its_mean():
    rows = [row(seed=0, auc=0.7), row(seed=1, auc=NAN), row(seed=2, auc=0.9)]
    found = summarise(rows)[0]
    assert found.seeds == 3
    assert found.metrics["roc_auc"].mean == pytest.approx(0.8)
    assert found.metrics["roc_auc"].sd == pytest.approx(statistics.stdev([0.7, 0.9]))
    assert summarise([row(auc=NAN)])[0].metrics["roc_auc"] is None


def test_groups_stand_in_the_order_of_budgets_then_names():
    rows = [
        row("probe", 64),
        row("zero-shot", 0),
        row("embedding", 64),
        row("probe", 4),
        row("embedding", 64, 1),
        row("probe", 256),
    ]
    assert [(group.approach, group.budget, group.seeds) for group in summarise(rows)] == [
        ("zero-shot", 0, 1),
        ("probe", 4, 1),
        ("embedding", 64, 2),
        ("probe", 64, 1),
        ("probe", 256, 1),
    ]
    assert summarise([]) == []
