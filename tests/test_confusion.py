"""The tables of a task with several labels, cell by cell, and where the page shows them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import confusion_matrix

from promptpredict.confusion import confused, confusion_table, label_table, labels_in
from promptpredict.glossary import FIGURES, OF_LABELS, meanings
from promptpredict.report import write_report
from promptpredict.reporttables import figure_tables
from promptpredict.results import Results, Row, Value

LABELS = ["5", "a", "<b>"]  # a label may look like a share of the top, or like HTML
ROWS = 40


def row(approach, budget, seed=0, **metrics):
    return Row(
        table="t.csv", prompt="p.jinja", model="m", approach=approach, budget=budget, seed=seed,
        n_test=ROWS, metrics={name: Value.of(*numbers) for name, numbers in metrics.items()},
    )  # fmt: skip


def predictions(*cases):
    """Predictions at random of approaches, budgets and seeds."""
    tables = []
    for at, (approach, budget, seed) in enumerate(cases):
        rng = np.random.default_rng(at)
        table = pd.DataFrame(
            rng.dirichlet([1, 1, 1], ROWS), columns=[f"p_{label}" for label in LABELS]
        )
        label = np.random.default_rng(99).choice(LABELS, ROWS)
        given = {
            "approach": approach,
            "budget": budget,
            "seed": seed,
            "fold": 0,
            "row": range(ROWS),
        }
        tables.append(pd.DataFrame({**given, "label": label}).join(table))
    return pd.concat(tables, ignore_index=True)


CASES = [
    ("zero-shot", 0, 0),
    *((name, budget, seed) for name in ("chosen-with-lm", "chosen-without-lm", "probe", "zero-shot")
      for budget in (16, 64) for seed in (0, 1)),
]  # fmt: skip


@pytest.fixture(scope="module")
def said():
    return predictions(*CASES)


@pytest.fixture(scope="module")
def rows():
    own = {
        f"{name}_{label}": (0.25 * at + 0.25, 0.2, 0.9)
        for name in ("roc_auc", "precision", "recall", "f1")
        for at, label in enumerate(LABELS)
    }
    shared = {"roc_auc": (0.5, 0.4, 0.6), "balanced_accuracy": (0.4, 0.3, 0.5)}
    return [row(*case, **shared, **own) for case in CASES]


def test_counts_are_those_of_scikit_learn_and_means_over_the_seeds(said):
    def of(seed):
        own = said.query(f"approach == 'chosen-with-lm' and budget == 64 and seed == {seed}")
        columns = own[[f"p_{label}" for label in LABELS]].to_numpy()
        predicted = [LABELS[place] for place in columns.argmax(axis=1)]
        return confusion_matrix(own["label"], predicted, labels=LABELS)

    found = confused(said, "chosen-with-lm", 64)
    np.testing.assert_allclose(found, (of(0) + of(1)) / 2)
    assert found.sum() == ROWS
    assert not np.array_equal(of(0), of(1))


def test_rows_are_labels_columns_predictions_and_the_right_ones_are_bold():
    y = ["5", "5", "5", "a"]
    said = pd.DataFrame(
        {"approach": "zero-shot", "budget": 0, "seed": 0, "label": y,
         "p_5": [0.6, 0.1, 0.5, 0.2], "p_a": [0.2, 0.8, 0.3, 0.3], "p_<b>": [0.2, 0.1, 0.2, 0.5]}
    )  # fmt: skip
    assert labels_in(said) == LABELS
    table = confusion_table([row("zero-shot", 0)], said)
    assert table.head == ["label", "as 5", "as a", "as <b>", "rows"]
    (part,) = table.parts
    assert part.name == "zero-shot, no labels"
    cells = [[(cell.text, cell.under, cell.kind) for cell in line] for line in part.rows]
    assert cells == [
        [("5", "", ""), ("2", "67 %", "best"), ("1", "33 %", ""), ("0", "0 %", ""), ("3", "", "")],
        [("a", "", ""), ("0", "0 %", ""), ("0", "0 %", "best"), ("1", "100 %", ""), ("1", "", "")],
        [("<b>", "", ""), ("0", "", ""), ("0", "", ""), ("0", "", "best"), ("0", "", "")],
    ]


def test_the_choices_and_zero_shot_are_shown_at_their_largest_budget(rows, said):
    expected = [
        "chosen-with-lm, 64 labels", "chosen-without-lm, 64 labels",
        "zero-shot, 64 labels", "zero-shot, no labels",
    ]  # fmt: skip
    for table in (confusion_table(rows, said), label_table(rows, said)):
        assert [part.name for part in table.parts] == expected
    assert "(means over the seeds)" in confusion_table(rows, said).caption
    assert confusion_table([row("probe", 16)], said).parts == []


def test_each_label_has_its_figures_with_intervals(rows, said):
    table = label_table(rows, said)
    assert table.head == ["label", "ROC AUC", "precision", "recall", "F1"]
    lines = [[(cell.text, cell.under) for cell in line] for line in table.parts[0].rows]
    assert lines == [
        [(label, ""), *[(f"{0.25 * at + 0.25:.3f}", "0.200–0.900")] * 4]
        for at, label in enumerate(LABELS)
    ]


def test_figures_of_a_label_called_5_are_not_those_of_the_top_5_per_cent(rows):
    (quality,) = figure_tables(rows)[64]
    assert quality.head == ["approach", "ROC AUC", "balanced accuracy"]


def test_the_page_shows_both_tables_and_escapes_labels(rows, said, tmp_path):
    results = Results(rows=rows, differences=[], verdict="")
    page = write_report(tmp_path, results, said, positive=None).read_text("utf-8")
    assert "What was taken for what: rows of each label by the label predicted" in page
    assert "Each label against the rest, below each figure its 95 % interval" in page
    assert "as &lt;b&gt;" in page
    assert "<b>" not in page.split("<main>")[1].replace("<figcaption><b>", "")
    assert "the mean over the labels of their recall" in page
    assert "lift at 10 %" not in page


def test_figures_of_several_labels_have_meanings_of_their_own():
    found = meanings(["prior"], several=True)
    assert set(found) == {"prior", *OF_LABELS, *FIGURES} - {
        "PR AUC", "lift at 10 %", "value at 10 %",
    }  # fmt: skip
    assert found["F1"] == OF_LABELS["F1"]
    assert meanings(["prior"])["F1"] == FIGURES["F1"]
