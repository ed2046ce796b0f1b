"""The table on the screen: aligned, mean over the seeds, the verdict below it."""

from __future__ import annotations

from promptpredict.listing import table_text
from promptpredict.results import Results, Row, Value


def row(approach, budget, seed, value, seconds):
    names = ("pr_auc", "brier", "log_loss", "ece", "accuracy", "f1", "lift_10", "threshold")
    metrics = {"roc_auc": Value.of(value), **{name: Value.of(0.25) for name in names}}
    return Row(
        table="customers.csv",
        prompt="p",
        model="m",
        approach=approach,
        budget=budget,
        seed=seed,
        n_test=1500,
        metrics=metrics | {"seconds_per_1000": Value.of(seconds)},
    )


def test_the_table_is_aligned_and_ends_in_the_verdict():
    rows = [
        row("zero-shot", 0, 0, 0.7, 410.04),
        row("probe", 1024, 0, 0.8, 500),
        row("probe", 1024, 1, 0.9, 502),
        row("prior", 1024, 0, float("nan"), 0),
        row("prior", 1024, 1, float("nan"), 0),
    ]
    given = Results(rows=rows, differences=[], verdict="Use `probe`.")
    assert table_text(given).splitlines() == [
        "approach   labels       roc auc        pr auc         brier      log loss           ece            f1       lift 10  seconds per 1000",
        "zero-shot       0         0.700         0.250         0.250         0.250         0.250         0.250         0.250             410.0",
        "prior       1,024                0.250 ±0.000  0.250 ±0.000  0.250 ±0.000  0.250 ±0.000  0.250 ±0.000  0.250 ±0.000               0.0",
        "probe       1,024  0.850 ±0.071  0.250 ±0.000  0.250 ±0.000  0.250 ±0.000  0.250 ±0.000  0.250 ±0.000  0.250 ±0.000             501.0",
        "",
        "1,500 test rows, the same for all. Use `probe`.",
    ]


def test_a_table_without_results_says_so():
    given = Results(rows=[], differences=[], verdict="Nothing was compared.")
    header, blank, last = table_text(given).splitlines()
    assert header.split() == ["approach", "labels"]
    assert (blank, last) == ("", "0 test rows, the same for all. Nothing was compared.")


def test_a_figure_that_no_row_has_is_no_column_and_one_that_some_lack_is_blank():
    some = row("probe", 4, 0, 0.5, 1)
    others = [each.model_copy(deep=True) for each in (some, row("text", 4, 0, 0.25, 2))]
    for each in others:
        for name in ("brier", "log_loss", "ece", "f1", "lift_10"):
            del each.metrics[name]
    del others[1].metrics["pr_auc"]
    given = Results(rows=others, differences=[], verdict="")
    assert table_text(given).splitlines()[:3] == [
        "approach  labels  roc auc  pr auc  seconds per 1000",
        "probe          4    0.500   0.250               1.0",
        "text           4    0.250                       2.0",
    ]
