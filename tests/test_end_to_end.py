"""The commands as a user types them, with the embedded models: what no stand-in can show."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from promptpredict.demo import SAMPLE

pytestmark = pytest.mark.weights


def run(*words, cwd):
    done = subprocess.run(
        [sys.executable, "-m", "promptpredict", *map(str, words)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        # as a user's shell: with every core, and without the setting that unit tests have
        env={name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"},
    )
    assert done.returncode == 0, done.stderr
    return done


def rows_of(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """The first 100 customers of the sample, scored with the shipped prompt file."""
    folder = tmp_path_factory.mktemp("scored")
    done = run("score", SAMPLE, "--prompt", "churn-shop", "--limit", 100, "--out", "scores.csv", cwd=folder)  # fmt: skip
    return folder, done


def test_every_customer_has_a_probability_in_the_order_of_the_table(scored):
    folder, done = scored
    rows = rows_of(folder / "scores.csv")
    assert [row["customer_id"] for row in rows] == [
        row["customer_id"] for row in rows_of(SAMPLE)[:100]
    ]
    for row in rows:
        assert float(row["p_1"]) + float(row["p_0"]) == pytest.approx(1)
        assert 0 < float(row["label_mass"]) < 1
        assert row["method"] == "llm"
    assert done.stderr.splitlines()[-1].startswith("100 rows, 100 by llm, 0 rejected; ")


def test_the_model_knows_more_than_chance_without_a_label(scored):
    """The sample is synthetic: what is tested is that words and labels are not swapped."""
    folder, _ = scored
    churned = [row["is_churn"] == "1" for row in rows_of(SAMPLE)[:100]]
    assert (
        roc_auc_score(churned, [float(row["p_1"]) for row in rows_of(folder / "scores.csv")]) > 0.6
    )


def test_a_word_changed_in_a_copied_prompt_file_changes_the_scores(scored, tmp_path):
    folder, _ = scored
    run("prompts", "copy", "churn-shop", cwd=tmp_path)
    wording = tmp_path / "churn-shop.jinja"
    text = wording.read_text(encoding="utf-8")
    wording.write_text(text.replace("[angry, disappointed]", "[annoyed]"), encoding="utf-8")
    run("score", SAMPLE, "--prompt", "churn-shop.jinja", "--limit", 100, "--out", "scores.csv", cwd=tmp_path)  # fmt: skip
    before, after = (
        np.array([float(row["p_1"]) for row in rows_of(where / "scores.csv")])
        for where in (folder, tmp_path)
    )
    assert (before != after).all()


def test_a_known_base_rate_is_hit_and_the_ranking_kept(scored, tmp_path):
    """The 100 customers stand eleven times: many rows, and few prompts to read."""
    folder, _ = scored
    header, *lines = SAMPLE.read_text(encoding="utf-8").splitlines(keepends=True)[:101]
    (tmp_path / "many.csv").write_text("".join([header, *lines * 11]), encoding="utf-8")
    run("score", "many.csv", "--prompt", "churn-shop", "--base-rate", 0.1, "--out", "level.csv", cwd=tmp_path)  # fmt: skip
    raw = np.array([float(row["p_1"]) for row in rows_of(folder / "scores.csv")] * 11)
    level = np.array([float(row["p_1"]) for row in rows_of(tmp_path / "level.csv")])
    churned = [row["is_churn"] == "1" for row in rows_of(tmp_path / "many.csv")]
    assert len(level) == 1100
    assert level.mean() == pytest.approx(0.1, abs=1e-3)
    assert roc_auc_score(churned, level) == roc_auc_score(churned, raw)


def test_benchmark_writes_results_that_can_be_read_back(tmp_path):
    few = SAMPLE.read_text(encoding="utf-8").splitlines(keepends=True)[:41]
    (tmp_path / "few.csv").write_text("".join(few), encoding="utf-8")
    done = run(
        "benchmark", "few.csv", "--prompt", "churn-shop", "--approach", "zero-shot,probe,embedding,prior",
        "--budget", "0,16", "--seeds", 1, "--max-test", 20, "--out", "results", cwd=tmp_path,
    )  # fmt: skip
    results = json.loads((tmp_path / "results/results.json").read_text())
    assert sorted(results) == [
        "about", "crossovers", "differences", "flags", "notes", "rows", "schema", "verdict",
    ]  # fmt: skip
    assert results["about"]["prompts"] == results["about"]["passes"] > 0
    assert (tmp_path / "results/report.html").stat().st_size > 10_000
    found = {(row["approach"], row["budget"]) for row in results["rows"]}
    choices = [("chosen-with-lm", 16), ("chosen-without-lm", 16), ("chosen-single", 16)]
    assert found == {
        ("zero-shot", 0), ("zero-shot", 16), ("probe", 16), ("embedding", 16), ("prior", 16), *choices,
    }  # fmt: skip
    assert done.stdout.splitlines()[-1] == f"20 test rows, the same for all. {results['verdict']}"
