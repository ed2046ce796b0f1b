"""Write the tables of results into README.md and benchmarks/RESULTS.md.

    python benchmarks/report.py [--check]

Reads benchmarks/results/*/results.json and about.json, which benchmarks/tables.py wrote. What
stands between the markers `<!-- results -->` and `<!-- /results -->` is replaced; with --check it
is only compared, and the exit code is 1 where it differs.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from promptpredict.results import Results, Row, Spread, summarise

HERE = Path(__file__).parent
PAGES = (HERE.parent / "README.md", HERE / "RESULTS.md")
START, END = "<!-- results -->", "<!-- /results -->"
# what the README shows of each table: budgets of an approach
BUDGETS = {"few-shot": (4, 16), "probe": (16, 64, 256), "embedding": (4, 16, 64, 256)}
METRICS = ("roc_auc", "pr_auc", "brier", "log_loss", "ece", "accuracy", "f1")
Found = dict[str, tuple[Results, dict[str, Any]]]


def main() -> None:
    """Write, or compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="compare only")
    check = parser.parse_args().check
    found = {
        path.parent.name: (Results.load(path), json.loads((path.parent / "about.json").read_text()))
        for path in sorted(HERE.glob("results/*/results.json"))
    }
    stale = []
    for path, text in zip(PAGES, (readme_part(found), results_part(found)), strict=True):
        old = path.read_text(encoding="utf-8")
        head, rest = old.split(START)
        new = f"{head}{START}\n{text}\n{END}{rest.split(END)[1]}"
        if new != old and check:
            stale.append(path.name)
        elif new != old:
            path.write_text(new, encoding="utf-8")
    if stale:
        sys.exit(f"stale: {', '.join(stale)}; run python benchmarks/report.py")


def readme_part(found: Found) -> str:
    """Return the README's tables: ROC AUC without labels, and with each label budget."""
    no_label = [
        [name, *(_with_interval(row) for row in _zero_shot(results))]
        for name, (results, _) in found.items()
    ]
    with_labels = [
        [name, approach, *_budget_cells(results, approach)]
        for name, (results, _) in found.items()
        for approach in BUDGETS
    ]
    return "\n\n".join(
        [
            _table(["no label", "bare Yes/No question", "the prompt file's wording"], no_label),
            _table(["table", "approach", "4 labels", "16", "64", "256"], with_labels),
            _about(found),
        ]
    )


def results_part(found: Found) -> str:
    """Return the full tables, a section for each table of customers."""
    return "\n\n".join([*(_section(name, *each) for name, each in found.items()), _about(found)])


def _zero_shot(results: Results) -> list[Row]:
    """Return the rows without a label: that of the bare question, then that of the wording."""
    rows = [row for row in results.rows if row.approach == "zero-shot"]
    return sorted(rows, key=lambda row: not _is_bare(row))


def _budget_cells(results: Results, approach: str) -> list[str]:
    groups = summarise(row for row in results.rows if row.approach == approach)
    means = {group.budget: _spread(group.metrics["roc_auc"], 3) for group in groups}
    return [means.get(budget, "") for budget in (4, 16, 64, 256)]


def _section(name: str, results: Results, about: dict[str, Any]) -> str:
    lines = []
    for prompt in dict.fromkeys(row.prompt for row in results.rows):
        for group in summarise(row for row in results.rows if row.prompt == prompt):
            seconds = group.metrics["seconds_per_1000"]
            cells = [_spread(group.metrics[metric], 3) for metric in METRICS]
            shown = "" if seconds is None else f"{seconds.mean:.0f}"
            lines.append([prompt, group.approach, f"{group.budget}", *cells, shown])
    names = ["ROC AUC", "PR AUC", "Brier", "log loss", "ECE", "accuracy", "F1", "s per 1,000"]
    compared = [
        f"- {each.approach}, {each.budget} labels: {each.describe()}"
        for each in results.differences
    ]
    paired = "ROC AUC against the embedding with as many labels, paired over test rows and seeds:"
    parts = [
        f"## {name}",
        _table(["prompt file", "approach", "labels", *names], lines),
        paired,
        "\n".join(compared),
        results.verdict,
        f"{results.rows[0].n_test} test rows; the run took {about['seconds']} s.",
    ]
    return "\n\n".join(parts)


def _about(found: Found) -> str:
    if not found:
        return "Nothing has been measured yet."
    about = next(iter(found.values()))[1]
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    tests = sorted({row.n_test for results, _ in found.values() for row in results.rows})
    return (
        f"ROC AUC on {' or '.join(map(str, tests))} test rows drawn by seed 0, the same for every "
        "approach: without labels with its 95 % bootstrap interval, with labels as mean ± standard "
        "deviation over three draws of the labels (seeds 0 to 2). "
        f"smollm2-135m in {about['dtype']} and minilm on {about['hardware']}; Python "
        f"{about['python']}, {versions}; commit {about['commit']}."
    )


def _is_bare(row: Row) -> bool:
    return row.prompt.endswith("-bare.jinja")


def _with_interval(row: Row) -> str:
    auc = row.metrics["roc_auc"]
    value, low, high = (_short(number or 0.0, 3) for number in (auc.value, auc.low, auc.high))
    return f"{value} ({low} to {high})"


def _spread(value: Spread | None, digits: int) -> str:
    return "" if value is None else f"{_short(value.mean, digits)} ±{_short(value.sd, digits)}"


def _short(value: float, digits: int) -> str:
    return f"{value:.{digits}f}".removeprefix("0")


def _table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    main()
