"""Write the tables of results into README.md, benchmarks/RESULTS.md and prompts/README.md.

    python benchmarks/report.py [--check]

Reads benchmarks/results/NAME/results.json and those of its folders bare, stack, selection, classes,
amounts and tuned-64 to tuned-1024, which benchmarks/tables.py wrote, and NAME/wordings.json of
benchmarks/wordings.py. What stands between the markers `<!-- results -->` and `<!-- /results -->` is
replaced; with --check it is only compared, and the exit code is 1 where it differs.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from cells import hangs, short, signed, signed_word, spread, table
from pages import prompts_part
from promptpredict.results import LEADING, Difference, Results, Row, Spread, leading, summarise
from promptpredict.sentence import sentence
from tunedpart import RUNS as TUNED_RUNS
from tunedpart import tuned_part

HERE = Path(__file__).parent
PAGES = (HERE.parent / "README.md", HERE / "RESULTS.md", HERE.parent / "prompts" / "README.md")
START, END = "<!-- results -->", "<!-- /results -->"
BUDGETS = (4, 16, 64, 256, 1024)
METRICS = {
    "roc_auc": "ROC AUC", "pr_auc": "PR AUC", "brier": "Brier", "log_loss": "log loss",
    "ece": "ECE", "f1": "F1", "lift_10": "lift at 10 %",
}  # fmt: skip
OF_CLASSES = {
    "roc_auc": "ROC AUC", "accuracy": "accuracy", "balanced_accuracy": "balanced accuracy",
    "f1": "macro F1", "brier": "Brier", "log_loss": "log loss", "ece": "ECE",
}  # fmt: skip
OF_AMOUNTS = {
    "spearman": "Spearman", "gini": "Gini", "mae": "MAE", "rmse": "RMSE", "coverage": "coverage",
}  # fmt: skip
OF_LABEL = (("roc_auc", "ROC AUC"), ("f1", "F1"))
MONEY = ("mae", "rmse")  # in the unit of the amounts
COSTS = {"seconds_per_1000": "s per 1,000", "tokens_per_1000": "tokens per 1,000"}
RUNS = ("main", "bare", "stack", "selection", "classes", "amounts", *TUNED_RUNS)
REGRETS = ("regret", "regret_of_highest", "regret_of_ensemble")
WORDINGS = "results/*/wordings.json"
HELPERS = ("zero-shot", "few-shot", "probe", "probe-shots", "panel", "chosen-with-lm", "stack")
WORDS = ("better", "no worse", "undecided", "worse")
# The tables whose outcome is what the customer feels, and writes.
FELT = ("ryanair_reviews", "telecom_nps_verbatims", "womens_clothing_reviews")
Found = Mapping[str, Mapping[str, Results]]  # table → run → results


def main() -> None:
    """Write, or compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="compare only")
    check = parser.parse_args().check
    found = load(HERE / "results")
    stale = []
    wordings = [json.loads(each.read_text()) for each in sorted(HERE.glob(WORDINGS))]
    results = f"{results_part(found)}\n\n{wordings_part(wordings)}"
    parts = readme_part(found), results, prompts_part(found)
    for path, text in zip(PAGES, parts, strict=True):
        old = path.read_text(encoding="utf-8")
        head, rest = old.split(START)
        new = f"{head}{START}\n{text}\n{END}{rest.split(END)[1]}"
        if new != old and check:
            stale.append(path.name)
        elif new != old:
            path.write_text(new, encoding="utf-8")
    if stale:
        sys.exit(f"stale: {', '.join(stale)}; run python benchmarks/report.py")


def load(folder: Path) -> Found:
    """Return the results of every table whose main run is there."""
    found = {}
    for path in sorted(folder.glob("*/results.json")):
        runs = {"main": path} | {run: path.parent / run / "results.json" for run in RUNS[1:]}
        found[path.parent.name] = {
            run: Results.load(file) for run, file in runs.items() if file.exists()
        }
    return found


def readme_part(found: Found) -> str:
    """Return the README's tables: ROC AUC without labels, and what helps."""
    no_label = [
        [name, *(_with_interval(runs.get(run)) for run in ("bare", "main"))]
        for name, runs in found.items()
    ]
    head = ["ROC AUC with no label", "bare Yes/No question", "the prompt file's wording"]
    return "\n\n".join([table(head, no_label), *_helps(found), _about(found)])


def sides_part(found: Found) -> str:
    """Return both sides of every table at each label budget."""
    lines = [line for name, runs in found.items() for line in _sides(name, runs["main"])]
    head = ["ROC AUC by labels", "", *(f"{budget:,}" for budget in BUDGETS)]
    return "\n\n".join(["## With a language model and without", table(head, lines)])


def _sides(name: str, results: Results) -> list[list[str]]:
    """Return the lines of a table: both choices, how they compare, and the stack."""
    groups = {(group.approach, group.budget): group for group in summarise(results.rows)}
    lines = []
    for title, approach in (
        ("with a language model", "chosen-with-lm"),
        ("without", "chosen-without-lm"),
        ("`stack`", "stack"),
    ):
        cells = []
        for budget in BUDGETS:
            group = groups.get((approach, budget))
            cells.append(spread(group.metrics["roc_auc"], group.seeds) if group else "")
        lines.append([name, title, *cells])
    words = {each.budget: each for each in _pair(results, "chosen-with-lm", "chosen-without-lm")}
    cells = [
        signed_word(words[budget], results.rows) if budget in words else "" for budget in BUDGETS
    ]
    return [*lines[:2], [name, "difference", *cells], lines[2]]


def results_part(found: Found) -> str:
    """Return what helps where, then the full tables, a section for each table of customers."""
    return "\n\n".join(
        [
            "## What helps",
            *_helps(found),
            sides_part(found),
            *_stack_part(found),
            *_selection_part(found),
            *tuned_part(found),
            *(_section(name, runs) for name, runs in found.items()),
            _about(found),
        ]
    )


def _helps(found: Found) -> list[str]:
    """Return what each approach adds to the choice without a language model, by kind of table."""
    parts = [
        "ROC AUC above the choice without a language model, which is made on the same labels: the "
        "mean over tables, and on how many of them the paired interval says so. `stack` joins both "
        "sides."
    ]
    felt = {name: runs["main"] for name, runs in found.items() if name in FELT}
    other = {name: runs["main"] for name, runs in found.items() if name not in FELT}
    for title, tables in (("what the customer feels", felt), ("something else", other)):
        if tables:
            lines = [
                [f"`{approach}`", *(_added(tables, approach, budget) for budget in BUDGETS)]
                for approach in HELPERS
            ]
            head = [f"the outcome is {title}; labels:", *(f"{budget:,}" for budget in BUDGETS)]
            parts += [table(head, lines), f"Tables: {', '.join(tables)}."]
    return parts


def _added(tables: Mapping[str, Results], approach: str, budget: int) -> str:
    pairs = [
        each
        for results in tables.values()
        for each in _pair(results, approach, "chosen-without-lm")
        if each.budget == budget
    ]
    if not pairs:
        return ""
    words = Counter(each.verdict for each in pairs)
    said = ", ".join(f"{words[word]} {word}" for word in WORDS if words[word])
    return f"{signed(mean(each.value for each in pairs))} ({said})"


def _stack_part(found: Found) -> list[str]:
    """Return how the stack stands against a single approach where it was tested on more rows."""
    lines = []
    for name, runs in found.items():
        if "stack" in runs:
            results = runs["stack"]
            groups = {group.approach: group for group in summarise(results.rows)}
            spreads = [
                spread(groups[each].metrics["roc_auc"], groups[each].seeds)
                for each in ("stack", "chosen-single")
            ]
            (against,) = _pair(results, "stack", "chosen-single")
            lines.append([name, f"{results.rows[0].n_test:,}", *spreads, against.describe()])
    head = ["ROC AUC, 1,024 labels", "test rows", "`stack`", "the single choice", "difference"]
    return ["## The stack against one approach", table(head, lines)] if lines else []


def _selection_part(found: Found) -> list[str]:
    """Return how four shots are best chosen."""
    ways = ("few-shot", "few-shot-random", "few-shot-nearest")
    lines = []
    for name, runs in found.items():
        if "selection" in runs:
            groups = {group.approach: group for group in summarise(runs["selection"].rows)}
            known = [groups.get(way) for way in ways]
            spreads = [
                spread(each.metrics["roc_auc"], each.seeds) if each else "" for each in known
            ]
            lines.append([name, *spreads])
    head = ["ROC AUC, 64 labels, 4 shots", "balanced", "at random", "the nearest"]
    return ["## How shots are chosen", table(head, lines)] if lines else []


def _section(name: str, runs: Mapping[str, Results]) -> str:
    parts = [f"## {name}"]
    for run, results in runs.items():
        n_test = results.rows[0].n_test
        about = results.about
        verdict = sentence(results.rows, results.differences)  # in the words of today
        parts += [f"### {name}, {run}: {n_test:,} test rows", verdict, _figures(results)]
        parts += _label_figures(results)
        compared = [
            f"- {each.budget:,} labels: `{each.approach}` against `{each.against}` "
            f"{each.describe()}{hangs(each, results.rows)}"
            for each in results.differences
        ]
        if compared:
            parts.append(
                f"{LEADING[leading(results.rows)]}, paired over test rows and seeds, for these draws of labels. The word is from "
                "the corrected interval; a budget's approaches are corrected together, its choices "
                f"among themselves{_asked(results)}:"
            )
            parts.append("\n".join(compared))
        parts += [f"- {flag.kind}: {flag.text}" for flag in results.flags]
        parts += [f"- {note}" for note in results.notes]
        parts.append(
            f"{about.prompts:,} distinct prompts, {about.passes:,} of them and {about.tokens:,} tokens "
            f"read in this run of {about.seconds:,.0f} s; commit {about.versions.get('commit', '?')}."
        )
    return "\n\n".join(parts)


def wordings_part(found: Sequence[Mapping[str, Any]]) -> str:
    """Return what choosing among wordings is worth: on 50 draws of 32 labels, and without any."""
    lines = [
        [
            each["table"],
            short(each["own"]["roc_auc"]),
            short(each["best"]["roc_auc"]),
            *(short(each["labels"]["32"][name]["median"]) for name in REGRETS),
            short(each["median_wording"]),
            short(each["unlabelled"]["ensemble"]),
        ]
        for each in found
    ]
    head = [
        "table", "own wording", "best of all", "regret of the choice", "of the highest ROC AUC",
        "of the best five's average", "median wording", "best five without labels",
    ]  # fmt: skip
    rows, count = found[0]["rows"], found[0]["wordings"]
    return "\n\n".join(
        [
            "## Wordings",
            f"{count} wordings on {rows} training rows, ROC AUC. Regret is what a choice with 32 "
            "labels loses to the best of all on those rows, the median of 50 draws.",
            table(head, lines),
        ]
    )


def _figures(results: Results) -> str:
    lines = []
    metrics = OF_CLASSES if _labels(results) else METRICS
    if leading(results.rows) == "spearman":
        metrics = OF_AMOUNTS
    chosen = {(row.approach, row.budget): row.chosen for row in results.rows if row.chosen}
    for group in summarise(results.rows):
        cells = [_figure(metric, group.metrics.get(metric), group.seeds) for metric in metrics]
        costs = [group.metrics.get(cost) for cost in COSTS]
        shown = ["" if cost is None else f"{cost.mean:,.0f}" for cost in costs]
        name = group.approach
        if (name, group.budget) in chosen:
            members = {
                member
                for row in results.rows
                if (row.approach, row.budget) == (name, group.budget)
                for member in row.members
            }
            name = f"{name} ({', '.join(sorted(members))})"
        lines.append([name, f"{group.budget:,}", *cells, *shown])
    return table(["approach", "labels", *metrics.values(), *COSTS.values()], lines)


def _labels(results: Results) -> list[str]:
    """Return the labels of a task of several, none of any other task."""
    start = "roc_auc_"
    names = dict.fromkeys(name for row in results.rows for name in row.metrics)
    return [name.removeprefix(start) for name in names if name.startswith(start)]


def _label_figures(results: Results) -> list[str]:
    """Return how well each label of several is told from the rest."""
    labels = _labels(results)
    names = {
        f"{metric}_{label}": f"{label}: {said}" for label in labels for metric, said in OF_LABEL
    }
    lines = [
        [group.approach, f"{group.budget:,}"]
        + [spread(group.metrics.get(name), group.seeds) for name in names]
        for group in summarise(results.rows)
    ]
    return [table(["approach", "labels", *names.values()], lines)] if labels else []


def _figure(metric: str, value: Spread | None, seeds: int) -> str:
    if value is not None and metric in MONEY:
        return f"{value.mean:,.0f}" + (f" ±{value.sd:,.0f}" if seeds > 1 else "")
    return spread(value, seeds)


def _pair(results: Results, approach: str, against: str) -> list[Difference]:
    return [
        each for each in results.differences if (each.approach, each.against) == (approach, against)
    ]


def _asked(results: Results) -> str:
    """Say what else is corrected together, where a plan asked for more."""
    asked = results.about.settings.get("against") or {}
    return f", what `{'`, `'.join(asked)}` stands against besides too" if asked else ""


def _about(found: Found) -> str:
    if not found:
        return "Nothing has been measured yet."
    about = [runs["main"].about for runs in found.values()]
    tests = sorted({runs["main"].rows[0].n_test for runs in found.values()})
    versions = ", ".join(
        f"{name} {number}" for name, number in about[0].versions.items() if name != "commit"
    )
    commits = ", ".join(dict.fromkeys(each.versions.get("commit", "?") for each in about))
    return (
        f"ROC AUC on {' or '.join(f'{count:,}' for count in tests)} test rows drawn by seed 0, the "
        "same for every approach: without labels with its 95 % bootstrap interval, with labels as "
        "mean ± standard deviation over three draws of the labels (seeds 0 to 2). The approach of "
        "each side is chosen on its labelled rows. smollm2-135m in bfloat16 and minilm on "
        f"{about[0].hardware}; {versions}; commit {commits}."
    )


def _with_interval(results: Results | None) -> str:
    rows = [] if results is None else [row for row in results.rows if _is_zero(row)]
    if not rows:
        return ""
    auc = rows[0].metrics["roc_auc"]
    value, low, high = (short(number or 0.0) for number in (auc.value, auc.low, auc.high))
    return f"{value} ({low} to {high})"


def _is_zero(row: Row) -> bool:
    return (row.approach, row.budget) == ("zero-shot", 0)


if __name__ == "__main__":
    main()
