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
from pathlib import Path

from promptpredict.results import Difference, Results, Row, summarise

HERE = Path(__file__).parent
START, END = "<!-- results -->", "<!-- /results -->"
COLUMNS = [
    ("few-shot", 4), ("few-shot", 16), ("probe", 16), ("probe", 64), ("probe", 256),
    ("embedding", 4), ("embedding", 16), ("embedding", 64), ("embedding", 256),
]  # fmt: skip


def main() -> None:
    """Write, or compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    stale = []
    for path, text in (
        (HERE.parent / "README.md", readme_part()),
        (HERE / "RESULTS.md", results_part()),
    ):
        old = path.read_text(encoding="utf-8")
        head, rest = old.split(START)
        new = f"{head}{START}\n{text}\n{END}{rest.split(END)[1]}"
        if new != old and check:
            stale.append(path.name)
        elif new != old:
            path.write_text(new, encoding="utf-8")
    if stale:
        sys.exit(f"stale: {', '.join(stale)}; run python benchmarks/report.py")


def readme_part() -> str:
    """Return the README's table: ROC AUC of every approach and budget."""
    found = _found()
    names = [
        "table",
        "bare Yes/No, no label",
        "zero-shot, no label",
        *(f"{approach} {budget}" for approach, budget in COLUMNS),
    ]
    lines = [_line(names), _line(["---"] * len(names))]
    lines += [_line(_readme_row(name, results)) for name, (results, _) in found.items()]
    return "\n".join([*lines, "", _about(found)])


def results_part() -> str:
    """Return the full tables, a section for each table of customers."""
    return "\n\n".join(_section(name, *found) for name, found in _found().items())


def _readme_row(name: str, results: Results) -> list[str]:
    own = [row for row in results.rows if not row.prompt.endswith("-bare.jinja")]
    bare = [row for row in results.rows if row.prompt.endswith("-bare.jinja")]
    means = {
        (approach, budget): metrics["roc_auc"] for approach, budget, _, metrics in summarise(own)
    }
    cells = []
    for column in COLUMNS:
        value = means.get(column)
        cells.append("" if value is None else f"{_short(value[0])} ±{_short(value[1])}")
    zero = [row for row in own if row.approach == "zero-shot"]
    return [name, _with_interval(bare), _with_interval(zero), *cells]


def _section(name: str, results: Results, about: dict[str, object]) -> str:
    lines = [
        f"## {name}",
        "",
        _line(
            [
                "prompt file",
                "approach",
                "labels",
                "seeds",
                "ROC AUC",
                "PR AUC",
                "Brier",
                "log loss",
                "ECE",
                "F1",
                "s per 1,000",
            ]
        ),
    ]
    lines.append(_line(["---"] * 11))
    for prompt in dict.fromkeys(row.prompt for row in results.rows):
        for approach, budget, seeds, metrics in summarise(
            row for row in results.rows if row.prompt == prompt
        ):
            values = [
                metrics[key] for key in ("roc_auc", "pr_auc", "brier", "log_loss", "ece", "f1")
            ]
            cells = ["" if value is None else f"{value[0]:.3f} ±{value[1]:.3f}" for value in values]
            seconds = metrics["seconds_per_1000"]
            lines.append(
                _line(
                    [
                        prompt,
                        approach,
                        str(budget),
                        str(seeds),
                        *cells,
                        "" if seconds is None else f"{seconds[0]:.0f}",
                    ]
                )
            )
    lines += [
        "",
        "ROC AUC against the embedding with the same labels, paired over test rows and seeds:",
        "",
    ]
    lines += [_compared(each) for each in results.differences]
    return "\n".join([*lines, "", f"{results.verdict}", "", f"Run in {about['seconds']} s."])


def _compared(each: Difference) -> str:
    return f"- {each.approach}, {each.budget} labels: {each.value:+.3f} (95 % {each.low:+.3f} to {each.high:+.3f}): {each.verdict}"


def _found() -> dict[str, tuple[Results, dict[str, object]]]:
    return {
        path.parent.name: (Results.load(path), json.loads((path.parent / "about.json").read_text()))
        for path in sorted(HERE.glob("results/*/results.json"))
    }


def _about(found: dict[str, tuple[Results, dict[str, object]]]) -> str:
    if not found:
        return "Nothing has been measured yet."
    about = next(iter(found.values()))[1]
    versions = ", ".join(f"{name} {number}" for name, number in dict(about["versions"]).items())  # type: ignore[call-overload]
    tests = sorted({row.n_test for results, _ in found.values() for row in results.rows})
    return (
        f"ROC AUC on {' or '.join(map(str, tests))} test rows drawn by seed 0, the same for every approach; zero-shot with its 95 % "
        f"bootstrap interval, the others as mean ± standard deviation over 3 draws of the labels (seeds 0 to 2). "
        f"smollm2-135m in {str(about['dtype']).removeprefix('torch.')} and minilm on {about['hardware']}; {versions}."
    )


def _with_interval(rows: list[Row]) -> str:
    if not rows:
        return ""
    value = rows[0].metrics["roc_auc"]
    assert value.value is not None
    assert value.low is not None
    assert value.high is not None
    return f"{_short(value.value)} ({_short(value.low)} to {_short(value.high)})"


def _short(value: float) -> str:
    return f"{value:.3f}".removeprefix("0")


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
