"""The page of the shipped prompt files: what each asks, and what it was worth on a real table.

Knows the results that benchmarks/tables.py wrote; knows nothing of how they came about. A prompt file of
a table that extends a shipped one is that one: what it measured is the shipped file's figure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from promptpredict.results import Results, leading, summarise
from promptpredict.shipped import Shipped, names

PROMPTS = Path(__file__).parent / "prompts"
BUDGET = 64
Found = Mapping[str, Mapping[str, Results]]  # table → run → results


def prompts_part(found: Found) -> str:
    """Return the table of shipped prompt files with their figures."""
    tables = measured_by()
    head = [
        "prompt file", "task", "what it asks", "measured on", "no label",
        f"{BUDGET} labels: with a language model", "without", "stack",
    ]  # fmt: skip
    lines = [_line(each, tables.get(each.name, ""), found) for each in names()]
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def measured_by() -> dict[str, str]:
    """Return shipped name → table, of the prompt files here that are a shipped one."""
    found = {"lifetime-value": "auto_insurance_clv"}
    for path in sorted(PROMPTS.glob("*.jinja")):
        parent = re.search(r'{% extends "([\w-]+)\.jinja" %}', path.read_text(encoding="utf-8"))
        if parent and not path.stem.endswith("-bare"):
            found[parent[1]] = path.stem
    return found


def _line(shipped: Shipped, table: str, found: Found) -> list[str]:
    run = "amounts" if shipped.task == "regression" else "main"
    results = found.get(table, {}).get(run)
    cells = [f"[{shipped.name}]({shipped.name}.jinja)", shipped.task, shipped.description]
    if results is None:
        return [*cells, "not measured", "", "", "", ""]
    metric = leading(results.rows)
    groups = {(each.approach, each.budget): each for each in summarise(results.rows)}
    figures = []
    for key in (
        ("zero-shot", 0),
        *((name, BUDGET) for name in ("chosen-with-lm", "chosen-without-lm", "stack")),
    ):
        value = groups[key].metrics.get(metric) if key in groups else None
        figures.append("" if value is None else f"{value.mean:.3f}".replace("0.", ".", 1))
    name = "Spearman" if metric == "spearman" else "ROC AUC"
    return [*cells, f"{table} ({name})", *figures]
