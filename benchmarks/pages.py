"""The page of the shipped prompt files: what each asks and needs, and what it was worth on a real table.

Knows prompt files, and the results that benchmarks/tables.py wrote; knows nothing of how they came
about. A prompt file of a table that extends a shipped one is that one: what it measured is the shipped
file's figure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from promptpredict.prompt import PromptFile
from promptpredict.results import Results, leading, summarise
from promptpredict.shipped import Shipped, folder, names

PROMPTS = Path(__file__).parent / "prompts"
BUDGET = 64
Found = Mapping[str, Mapping[str, Results]]  # table → run → results


def prompts_part(found: Found) -> str:
    """Return the table of shipped prompt files with their figures, and what each needs."""
    measured = measured_by()
    head = [
        "prompt file", "task", "what it asks", "measured on", "no label",
        f"{BUDGET} labels: with a language model", "without", "stack",
    ]  # fmt: skip
    lines = [_line(each, *measured.get(each.name, ("", "")), found) for each in names()]
    rows = [head, ["---"] * len(head), *lines]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return "\n\n".join([table, "\n".join(needs(each.name) for each in names())])


def needs(name: str) -> str:
    """Return a line of which columns a shipped prompt file names, and of its labels, from the file."""
    file = PromptFile.load(folder() / f"{name}.jinja")
    front = file.front
    hidden = {front.target, *front.ignore, *front.text}
    wanted = [column for column in (*file.needed, *front.fields) if column not in hidden]
    pairs = [f"{key} ({', '.join(words)})" for key, words in file.words.items()]
    labels = f"in {len(pairs)} bins ({', '.join(file.words)})" if front.bins else ", ".join(pairs)
    parts = [
        f"- **{name}** – id: `{front.id}`. Outcome: `{front.target}`, {labels}.",
        f"Text: {_code(front.text)}." if front.text else "No text.",
        f"Needs {_code(dict.fromkeys(wanted))}.",
        f"Leaves out {_code(front.ignore)}." if front.ignore else "",
        "" if file.uses_fields else "Shows no other column.",
    ]
    return " ".join(part for part in parts if part)


def _code(columns: Iterable[str]) -> str:
    return ", ".join(f"`{column}`" for column in columns)


def measured_by() -> dict[str, tuple[str, str]]:
    """Return shipped name → table and run, of the prompt files here that are a shipped one."""
    found = {}
    for path in sorted(PROMPTS.glob("*.jinja")):
        parent = re.search(r'{% extends "([\w-]+)\.jinja" %}', path.read_text(encoding="utf-8"))
        table, _, run = path.stem.partition("-")
        if parent and run != "bare":
            found[parent[1]] = table, run or "main"
    return found


def _line(shipped: Shipped, table: str, run: str, found: Found) -> list[str]:
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
