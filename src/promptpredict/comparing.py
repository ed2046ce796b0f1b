"""The walk of `benchmark`: a labelled table and a prompt file in, results in a folder out.

Knows the order of things and the table that a person reads; the comparison itself is elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from promptpredict.errors import DataError
from promptpredict.prompt import PromptFile
from promptpredict.records import read_header, read_records
from promptpredict.results import Results, summarise, write_results

SHOWN = ("roc_auc", "pr_auc", "brier", "log_loss", "ece", "accuracy", "f1", "seconds_per_1000")


def benchmark_table(
    labelled: str, prompt: str, out: Path, plan: dict[str, Any], *, model: str, encoder: str,
    say: Callable[[str], object], delimiter: str | None = None, encoding: str | None = None,
) -> str:  # fmt: skip
    """Compare approaches on a labelled table; return the table of results as text.

    Raises PromptPredictError for whatever is wrong with the files or the model.
    """
    prompt_file = PromptFile.load(prompt)
    given = {"delimiter": delimiter, "encoding": encoding}
    prompt_file.check_columns(read_header(labelled, **given), labelled, labelled=True)
    found = read_records(labelled, prompt_file.roles, **given)
    for record in found.records:
        prompt_file.label_of(record.label)
    if out.exists() and not out.is_dir():
        raise DataError(f"{out} is a file; --out wants a folder")
    if found.unlabelled or found.rejects:
        say(f"left out: {len(found.unlabelled)} rows without a label, {len(found.rejects)} that could not be read")
    from promptpredict.benchmark import BY_LANGUAGE_MODEL, Benchmark, Plan
    from promptpredict.encoders import Embedder

    asked = Plan(**plan)
    asked.check()
    lm = _language_model(model, say) if set(asked.approaches) & set(BY_LANGUAGE_MODEL) else None
    run = Benchmark(found.records, prompt_file, asked, lm=lm, embedder=Embedder(encoder), table=Path(labelled).name)
    comparison = run.run(say)
    for note in comparison.notes:
        say(note)
    results = Results.of(comparison.rows, comparison.differences)
    write_results(out, results, comparison.predictions)
    return table_text(results)


def table_text(results: Results) -> str:
    """Return the results as an aligned table: mean over the seeds, and ± their spread."""
    header = ["approach", "labels", *(name.replace("_", " ") for name in SHOWN)]
    lines = [header]
    for approach, budget, seeds, metrics in summarise(results.rows):
        cells = [_cell(name, metrics.get(name), seeds) for name in SHOWN]
        lines.append([approach, f"{budget:,}", *cells])
    widths = [max(len(line[at]) for line in lines) for at in range(len(header))]
    rows = ["  ".join(cell.ljust(width) if at == 0 else cell.rjust(width) for at, (cell, width) in enumerate(zip(line, widths, strict=True))).rstrip() for line in lines]
    n_test = results.rows[0].n_test if results.rows else 0
    return "\n".join([*rows, "", f"{n_test} test rows, the same for all. {results.verdict}"])


def _cell(name: str, value: tuple[float, float] | None, seeds: int) -> str:
    if value is None:
        return ""
    if name == "seconds_per_1000":
        return f"{value[0]:.1f}"
    return f"{value[0]:.3f}" + (f" ±{value[1]:.3f}" if seeds > 1 else "")


def _language_model(model: str, say: Callable[[str], object]) -> Any:
    from promptpredict.loading import load_language_model
    from promptpredict.models import choose, find

    if model != "auto":
        return load_language_model(find(model), say=say)
    source, why = choose()
    say(f"model: {source.name} ({why})")
    return load_language_model(source, say=say)
