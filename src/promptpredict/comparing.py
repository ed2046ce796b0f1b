"""The walk of `benchmark`: a labelled table and prompt files in, results and a report out.

Knows the order of things and the table that a person reads; the comparison itself is elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptpredict.errors import DataError
from promptpredict.labelled import check_task, column_cells, read_labelled
from promptpredict.plans import Plan
from promptpredict.prompt import PromptFile
from promptpredict.records import Record
from promptpredict.results import About, Results, Spread, summarise, write_results
from promptpredict.splits import check_split
from promptpredict.tables import table_name
from promptpredict.writing import check_folder

if TYPE_CHECKING:
    from promptpredict.benchmark import Benchmark
    from promptpredict.cases import Comparison
    from promptpredict.encoders import Embedder
    from promptpredict.memo import Memo

SHOWN = ("roc_auc", "pr_auc", "brier", "log_loss", "ece", "f1", "lift_10", "seconds_per_1000")
LEDGER = "ledger.sqlite"
Say = Callable[[str], object]


@dataclass(frozen=True, kw_only=True)
class BenchmarkOptions:
    """What `benchmark` is asked for; the defaults of the plan are the plan's.

    Several ``prompts`` are compared on training rows first, and the best is tested. Several
    ``models`` stand side by side. ``group`` and ``time`` are columns. ``keep_prompts`` shows a
    customer's own prompt in the report; ``dry_run`` counts prompts and tokens, and stops.
    """

    labelled: str
    prompts: Sequence[str]
    out: Path
    plan: Plan
    models: Sequence[str] = ("auto",)
    encoder: str = "minilm"
    group: str | None = None
    time: str | None = None
    keep_prompts: bool = False
    dry_run: bool = False
    delimiter: str | None = None
    encoding: str | None = None

    @property
    def reading(self) -> dict[str, Any]:
        """How text files are read."""
        return {"delimiter": self.delimiter, "encoding": self.encoding}


def benchmark_table(asked: BenchmarkOptions, say: Say) -> str:
    """Compare approaches on a labelled table; return the table of results as text.

    Raises PromptPredictError for whatever is wrong with the files or the model.
    """
    check_folder(asked.out)
    asked.plan.check()
    files = [_checked(prompt, say) for prompt in asked.prompts]
    tables = _same_rows([_read(file, asked, say) for file in files], files)
    check_split([files[0].label_of(record.label) for record in tables[0]])
    begun = time.perf_counter()
    started = datetime.now(UTC).isoformat(timespec="seconds")
    embedder, memos = _models(asked, say)
    every: list[Memo | None] = [*memos] or [None]
    best, notes = _developed(asked, files, tables, memos[0] if memos else None, say)
    runs = [_benchmark(asked, files[best], tables[best], memo, embedder) for memo in every]
    for run in runs:
        say(_cost(run))
    if asked.dry_run:
        return "\n".join(_expected(run) for run in runs)
    found = [_run(run, say) for run in runs]
    from promptpredict.joining import joined

    comparison = joined(found, [memo.name for memo in memos])
    comparison.notes = [*notes, *comparison.notes]
    about = _about(asked, runs[0], memos, comparison, started, time.perf_counter() - begun)
    return _written(asked, runs[0], comparison, about, say)


# -- what is given -----------------------------------------------------------------------------


def _checked(prompt: str, say: Say) -> PromptFile:
    file = PromptFile.load(prompt)
    check_task(file, "benchmark")
    for warning in file.warnings:
        say(f"warning: {warning}")
    return file


def _read(file: PromptFile, asked: BenchmarkOptions, say: Say) -> list[Record]:
    records, notes = read_labelled(asked.labelled, file, asked.reading)
    for note in notes:
        say(note)
    return records


def _same_rows(tables: Sequence[list[Record]], files: Sequence[PromptFile]) -> list[list[Record]]:
    """Return the records of the rows that every prompt file can show, with one label each."""
    shared = set.intersection(*({record.row for record in table} for table in tables))
    kept = [[record for record in table if record.row in shared] for table in tables]
    labels = [
        [file.label_of(record.label) for record in table]
        for file, table in zip(files, kept, strict=True)
    ]
    for file, own in zip(files[1:], labels[1:], strict=True):
        if own != labels[0]:
            raise DataError(
                f"{files[0].name} and {file.name} read other labels from the table; prompt files "
                "that are compared need the same target and labels"
            )
    return kept


def _models(asked: BenchmarkOptions, say: Say) -> tuple[Embedder, list[Memo]]:
    """Return the encoder, not loaded yet, and the language models, each behind its memo."""
    from promptpredict.encoders import Embedder
    from promptpredict.models import find, pick

    if asked.plan.needs_encoder:
        find(asked.encoder, "sentence encoder")
    memos = []
    if asked.plan.needs_lm:
        sources = [pick(model, say) for model in asked.models]
        from promptpredict.ledger import Ledger
        from promptpredict.loading import load_language_model  # torch: only where all else is well
        from promptpredict.memo import Memo

        asked.out.mkdir(parents=True, exist_ok=True)
        ledger = Ledger(asked.out / LEDGER)
        for source in sources:
            lm = load_language_model(source, say=say)
            identity = f"{source.name} {source.fingerprint} {lm.model.dtype}"
            memos.append(Memo(lm, identity=identity, ledger=ledger))
    return Embedder(asked.encoder), memos


def _developed(
    asked: BenchmarkOptions,
    files: Sequence[PromptFile],
    tables: Sequence[list[Record]],
    memo: Memo | None,
    say: Say,
) -> tuple[int, list[str]]:
    """Return which prompt file is tested, and what is to be said of the choice."""
    if len(files) == 1:
        return 0, []
    if memo is None:
        raise DataError("several prompt files can only be compared with a language model")
    from promptpredict.developing import develop

    best, notes = develop(files, tables, asked.plan, memo)
    for note in notes:
        say(note)
    return best, notes


def _benchmark(
    asked: BenchmarkOptions,
    file: PromptFile,
    records: Sequence[Record],
    memo: Memo | None,
    embedder: Embedder,
) -> Benchmark:
    from promptpredict.benchmark import Benchmark

    cells = {
        column: column_cells(asked.labelled, column, records, asked.reading)
        for column in (asked.group, asked.time)
        if column
    }
    return Benchmark(
        records,
        file,
        asked.plan,
        lm=memo,
        embedder=embedder,
        table=table_name(asked.labelled),
        groups=cells.get(asked.group or ""),
        times=cells.get(asked.time or ""),
    )


# -- the run -----------------------------------------------------------------------------------


def _cost(run: Benchmark) -> str:
    """Collect the prompts, and say how many there are before the first is read."""
    count = run.collect()
    if run.memo is None:
        return "no approach needs a language model"
    new = len(run.memo.new())
    known = f", of which {count - new:,} have been read before" if new < count else ""
    return f"{run.memo.name}: {count:,} distinct prompts to read{known}"


def _expected(run: Benchmark) -> str:
    """Return how many tokens the new prompts have; those that prompts share are counted once."""
    if run.memo is None:
        return "nothing to read"
    new = run.memo.new()
    return f"{run.memo.name}: {len(new):,} prompts, {run.memo.count_new():,} tokens to read"


def _run(run: Benchmark, say: Say) -> Comparison:
    from promptpredict.progress import Progress

    if run.memo is not None and (new := len(run.memo.new())):
        with Progress("reading", new) as progress:
            run.read(progress.advance)
    return run.run(say)


def _about(
    asked: BenchmarkOptions,
    run: Benchmark,
    memos: Sequence[Memo],
    found: Comparison,
    started: str,
    seconds: float,
) -> About:
    from promptpredict.about import hardware, prompt_text, versions

    split = run.splits[0]
    positive = run.prompt_file.front.positive
    counts = {
        "rows": len(run.records),
        "positive": sum(label == positive for label in run.y) if positive else 0,
        "folds": len(run.splits),
        "training rows": len(split.train),
        "test rows": found.rows[0].n_test if found.rows else 0,
    }
    train = [run.records[row] for row in split.train]
    lm = memos[0].lm if memos else None
    plan = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in asdict(asked.plan).items()
    }
    return About(
        started=started,
        seconds=round(seconds, 1),
        hardware=hardware(),
        versions=versions(),
        settings=plan
        | {
            "prompts": list(asked.prompts),
            "models": [memo.identity for memo in memos],
            "encoder": asked.encoder,
            "group": asked.group,
            "time": asked.time,
        },
        counts=counts,
        prompts=sum(memo.count for memo in memos),
        passes=sum(memo.passes for memo in memos),
        tokens=sum(memo.tokens_read for memo in memos),
        prompt_text=prompt_text(lm, run.prompt_file, train, keep=asked.keep_prompts) if lm else "",
        shots=found.shots,
        label_mass=found.label_mass,
        truncated=found.truncated,
    )


def _written(
    asked: BenchmarkOptions, run: Benchmark, found: Comparison, about: About, say: Say
) -> str:
    from promptpredict.report import write_report
    from promptpredict.sentence import sentence

    results = Results(
        rows=found.rows,
        differences=found.differences,
        verdict=sentence(found.rows, found.differences),
        crossovers=found.crossovers,
        flags=found.flags,
        notes=found.notes,
        about=about,
    )
    for note in found.notes:
        say(note)
    for flag in found.flags:
        say(f"warning: {flag.text}")
    predictions = write_results(asked.out, results, found.predictions)
    say(
        f"report: {write_report(asked.out, results, predictions, positive=run.prompt_file.front.positive)}"
    )
    return table_text(results)


# -- what a person reads -----------------------------------------------------------------------


def table_text(results: Results) -> str:
    """Return the results as an aligned table: mean over the seeds, and ± their spread."""
    names = [name for name in SHOWN if any(name in row.metrics for row in results.rows)]
    lines = [["approach", "labels", *(name.replace("_", " ") for name in names)]]
    for group in summarise(results.rows):
        cells = [_cell(name, group.metrics.get(name), group.seeds) for name in names]
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
