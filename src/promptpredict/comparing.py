"""The walk of `benchmark`: a labelled table and a prompt file in, results in a folder out.

Knows the order of things and the table that a person reads; the comparison itself is elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from promptpredict.labelled import check_task, read_labelled
from promptpredict.prompt import PromptFile
from promptpredict.results import Results, Spread, summarise, write_results
from promptpredict.splits import check_split
from promptpredict.writing import check_folder

SHOWN = ("roc_auc", "pr_auc", "brier", "log_loss", "ece", "accuracy", "f1", "seconds_per_1000")
Say = Callable[[str], object]


def benchmark_table(
    labelled: str,
    prompt: str,
    out: Path,
    plan: Mapping[str, Any],
    *,
    model: str,
    encoder: str,
    say: Say,
    delimiter: str | None = None,
    encoding: str | None = None,
) -> str:
    """Compare approaches on a labelled table; return the table of results as text.

    ``plan`` are the fields of a Plan. Raises PromptPredictError for whatever is wrong with the
    files or the model.
    """
    from promptpredict.benchmark import BASELINE, BY_LANGUAGE_MODEL, Benchmark, Plan
    from promptpredict.encoders import Embedder
    from promptpredict.models import find, pick

    check_folder(out)
    asked = Plan(**plan)
    asked.check()
    prompt_file = PromptFile.load(prompt)
    check_task(prompt_file, "benchmark")
    reading = {"delimiter": delimiter, "encoding": encoding}
    records, notes = read_labelled(labelled, prompt_file, reading)
    for note in [*(f"warning: {warning}" for warning in prompt_file.warnings), *notes]:
        say(note)
    check_split([prompt_file.label_of(record.label) for record in records])
    if BASELINE in asked.approaches or (
        "few-shot" in asked.approaches and asked.select == "nearest"
    ):
        find(encoder, "sentence encoder")
    lm = None
    if set(asked.approaches) & set(BY_LANGUAGE_MODEL):
        from promptpredict.loading import load_language_model  # torch: only where all else is well

        lm = load_language_model(pick(model, say), say=say)
    run = Benchmark(
        records, prompt_file, asked, lm=lm, embedder=Embedder(encoder), table=Path(labelled).name
    )
    comparison = run.run(say)
    for note in comparison.notes:
        say(note)
    results = Results.of(comparison.rows, comparison.differences)
    write_results(out, results, comparison.predictions)
    return table_text(results)


def table_text(results: Results) -> str:
    """Return the results as an aligned table: mean over the seeds, and ± their spread."""
    lines = [["approach", "labels", *(name.replace("_", " ") for name in SHOWN)]]
    for group in summarise(results.rows):
        cells = [_cell(name, group.metrics.get(name), group.seeds) for name in SHOWN]
        lines.append([group.approach, f"{group.budget:,}", *cells])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rows = [_aligned(line, widths) for line in lines]
    n_test = results.rows[0].n_test if results.rows else 0
    return "\n".join([*rows, "", f"{n_test:,} test rows, the same for all. {results.verdict}"])


def _aligned(line: list[str], widths: list[int]) -> str:
    first, *others = (cell.rjust(width) for cell, width in zip(line, widths, strict=True))
    return "  ".join([first.strip().ljust(widths[0]), *others]).rstrip()


def _cell(name: str, value: Spread | None, seeds: int) -> str:
    if value is None:
        return ""
    if name == "seconds_per_1000":
        return f"{value.mean:.1f}"
    return f"{value.mean:.3f}" + (f" ±{value.sd:.3f}" if seeds > 1 else "")
