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

from promptpredict.beside import card_beside, check_unlearned, language_models
from promptpredict.errors import DataError
from promptpredict.labelled import ReadingOptions, column_cells, read_labelled
from promptpredict.listing import table_text
from promptpredict.plans import Plan, check_attacks, check_developing
from promptpredict.plural import counted
from promptpredict.pooling import Pooling
from promptpredict.prompt import PromptFile
from promptpredict.records import Record, groups_of
from promptpredict.results import About, Attacked, Results, write_results
from promptpredict.splits import check_split
from promptpredict.tables import table_name
from promptpredict.writing import check_apart, check_folder

if TYPE_CHECKING:
    from promptpredict.benchmark import Benchmark
    from promptpredict.cases import Comparison
    from promptpredict.episodecards import EpisodeCard
    from promptpredict.memo import Memo

ADAPTERS = "adapters"
Say = Callable[[str], object]


@dataclass(frozen=True, kw_only=True)
class BenchmarkOptions(ReadingOptions):
    """What `benchmark` is asked for; the defaults of the plan are the plan's.

    Several ``prompts`` are compared on training rows first, and the best is tested. Several
    ``models`` stand side by side, and one with and without an ``adapter``. ``pooling`` is the encoder's. ``group`` and ``time`` are
    columns. ``keep_prompts`` shows a customer's own prompt in the report; ``attacks`` writes
    attacks into the texts of some test rows; ``dry_run`` counts prompts and tokens, and stops.
    """

    labelled: str
    prompts: Sequence[str]
    out: Path
    plan: Plan
    models: Sequence[str] = ("auto",)
    adapter: Path | None = None
    encoder: str = "minilm"
    pooling: Pooling = "auto"
    group: str | None = None
    time: str | None = None
    keep_prompts: bool = False
    attacks: bool = False
    dry_run: bool = False

    @property
    def prompt_names(self) -> Sequence[str]:
        """The prompt files, of which the first says how tables are read."""
        return self.prompts


def benchmark_table(asked: BenchmarkOptions, say: Say) -> str:
    """Compare approaches on a labelled table; return the table of results as text.

    Raises PromptPredictError for whatever is wrong with the files or the model.
    """
    _check_out(asked)
    asked.plan.check()
    card = _card(asked)
    files = [_checked(prompt, asked, say) for prompt in asked.prompts]
    tables = _tables(files, asked, card, say)
    if files[0].front.bins is None:
        check_split([files[0].label_of(record.label) for record in tables[0]])
    begun, started = time.perf_counter(), datetime.now(UTC).isoformat(timespec="seconds")
    plans = [_benchmark(asked, *each) for each in zip(files, tables, strict=True)]
    _check_several(plans)
    for plan in plans:
        plan.check()
    if asked.attacks:
        check_attacks(files, asked.plan)
    warned = _warn_of(asked, plans, say)
    memos = language_models(asked, card, say)
    every: list[Memo | None] = [*memos] or [None]
    if asked.dry_run:
        lines = [_expected(plan.with_model(memo)) for plan in plans for memo in every]
        one = "the best on some training rows is read whole, and the others on those rows alone"
        return "\n".join([*lines, *([one] if len(plans) > 1 else [])])
    best, notes = _developed(plans, every[0], say)
    runs = [plans[best].with_model(memo) for memo in every]
    _read_all(runs, say)
    found = [run.run(say) for run in runs]
    from promptpredict.joining import joined

    comparison = joined(found, [memo.name for memo in memos])
    attacks = _attacks(asked, runs)
    seconds = time.perf_counter() - begun
    about = _about(asked, runs, comparison, started=started, seconds=seconds)
    for line in [
        *comparison.notes,
        *(f"warning: {flag.text}" for flag in comparison.flags if flag.text not in warned),
    ]:
        say(line)
    comparison.notes = [*notes, *comparison.notes]  # the first were said when they were found
    results = results_of(comparison, about)
    results.attacks = attacks
    if len(plans) > 1:
        results.verdict += (
            f"\n{runs[0].prompt_file.name} was chosen by the labels of training rows, which no "
            "budget counts."
        )
    return _written(asked, runs[0], results, comparison.predictions, say)


# -- what is given -----------------------------------------------------------------------------


def _check_out(asked: BenchmarkOptions) -> None:
    check_folder(asked.out)
    read = {"the labelled table": asked.labelled, "the table of events": asked.events}
    check_apart({"--out": asked.out}, read)


def _checked(prompt: str, asked: BenchmarkOptions, say: Say) -> PromptFile:
    file = PromptFile.load(prompt)
    if file.front.bins:
        from promptpredict.amountbench import check_amounts

        check_amounts(asked.plan, len(asked.prompts), attacks=asked.attacks)
    for warning in file.warnings:
        say(f"warning: {warning}")
    return file


def _read(file: PromptFile, asked: BenchmarkOptions, say: Say) -> list[Record]:
    records, notes = read_labelled(asked.labelled, file, asked.reading)
    for note in notes:
        say(note)
    return records


def _card(asked: BenchmarkOptions) -> EpisodeCard | None:
    return card_beside(asked.adapter, asked.models, asked.plan) if asked.adapter else None


def _tables(
    files: Sequence[PromptFile], asked: BenchmarkOptions, card: EpisodeCard | None, say: Say
) -> list[list[Record]]:
    tables = [_read(file, asked, say) for file in files]
    if card and asked.adapter:
        for table in tables:  # each prompt file reads it in its own way
            check_unlearned(asked.adapter, card, table_name(asked.labelled), table)
    return _same_rows(tables, files)


def _same_rows(tables: Sequence[list[Record]], files: Sequence[PromptFile]) -> list[list[Record]]:
    """Return the records of the rows that every prompt file can show, with one label each."""
    if len(files) == 1:
        return list(tables)
    shared = set.intersection(*({record.row for record in table} for table in tables))
    kept = [[record for record in table if record.row in shared] for table in tables]
    labels = [
        [file.label_of(record.label) for record in table]
        for file, table in zip(files, kept, strict=True)
    ]
    for file, own in zip(files[1:], labels[1:], strict=True):
        if own != labels[0] or set(file.words) != set(files[0].words):
            raise DataError(
                f"{files[0].name} and {file.name} read other labels from the table; prompt files "
                "that are compared need the same target and labels"
            )
    return kept


def _warn_of(asked: BenchmarkOptions, plans: Sequence[Benchmark], say: Say) -> set[str]:
    """Warn of what flatters figures, before a prompt is read; return the warnings."""
    for note in asked.notes:
        say(note)
    warned = set()
    for plan in plans:
        of = f"{plan.prompt_file.name}: " if len(plans) > 1 else ""
        for flag in plan.leaks:
            say(f"warning: {of}{flag.text}")
            warned.add(flag.text)
    return warned


def _benchmark(asked: BenchmarkOptions, file: PromptFile, records: Sequence[Record]) -> Benchmark:
    from promptpredict.benchmark import Benchmark
    from promptpredict.encoders import Embedder

    cells = {
        column: column_cells(asked.labelled, column, records, asked.reading, file.roles)
        for column in (asked.group, asked.time)
        if column
    }
    kind: type[Benchmark] = Benchmark
    if file.front.bins:
        from promptpredict.amountbench import AmountBenchmark

        kind = AmountBenchmark
    return kind(
        records,
        file,
        asked.plan,
        embedder=Embedder(asked.encoder, pooling=asked.pooling),
        table=table_name(asked.labelled),
        groups=cells.get(asked.group or ""),
        times=cells.get(asked.time or ""),
        adapters=asked.out / ADAPTERS,
    )


def _check_several(plans: Sequence[Benchmark]) -> None:
    """Raise DataError where several prompt files cannot be compared.

    Nor can they where ids of one keep other rows together than those of another.
    """
    first, *others = plans
    if others:
        check_developing(first.plan)
    for plan in others:
        if groups_of(plan.records) != groups_of(first.records):
            raise DataError(
                f"{first.prompt_file.name} and {plan.prompt_file.name} name other ids, by which rows "
                "of one customer are kept together; possible: the same id, --group"
            )


# -- the run -----------------------------------------------------------------------------------


def _developed(plans: Sequence[Benchmark], memo: Memo | None, say: Say) -> tuple[int, list[str]]:
    """Return which prompt file is tested, and what is to be said of the choice."""
    if len(plans) == 1 or memo is None:
        return 0, []
    from promptpredict.developing import develop

    files, tables = [plan.files[0] for plan in plans], [plan.records for plan in plans]
    best, notes = develop(files, tables, plans[0].splits[0].train, memo)
    for note in notes:
        say(note)
    return best, notes


def _expected(run: Benchmark) -> str:
    """Return how much there is to read; what prompts share is counted once."""
    if run.memo is None:
        return "no approach needs a language model"
    count, new = run.collect(), len(run.memo.new())
    known = f", {count - new:,} of them read before" if new < count else ""
    adapters = run.adapters_to_train
    train = f", and {counted(adapters, 'adapter')} to train" if adapters else ""
    return (
        f"{run.prompt_file.name}, {run.memo.name}: {count:,} distinct prompts{known}; "
        f"{run.memo.count_new():,} tokens to read{train}"
    )


def _read_all(runs: Sequence[Benchmark], say: Say) -> None:
    """Say how many prompts there are, and let every model read its own."""
    from promptpredict.progress import Progress

    for run in runs:
        if run.memo is None:
            continue
        count, new = run.collect(), len(run.memo.new())
        known = f", of which {count - new:,} have been read before" if new < count else ""
        say(f"{run.memo.name}: {count:,} distinct prompts to read{known}")
        if new:
            with Progress("reading", new) as progress:
                run.read(progress.advance)
    # A row that one model cannot score is left out for the others, which may ask for new prompts.
    before = -1
    while len(runs) > 1 and before < (before := len(runs[0].unscored)):
        for run in runs:
            run.collect()
            run.read()


def _attacks(asked: BenchmarkOptions, runs: Sequence[Benchmark]) -> dict[str, list[Attacked]]:
    """Return how far attacks move the language models, where that is asked for."""
    if not asked.attacks:
        return {}
    from promptpredict.attacks import attacks_of

    return attacks_of(runs)


def _about(
    asked: BenchmarkOptions,
    runs: Sequence[Benchmark],
    found: Comparison,
    *,
    started: str,
    seconds: float,
) -> About:
    from promptpredict.about import about_run

    settings = asdict(asked.plan) | {
        "prompts": list(asked.prompts),
        "encoder": asked.encoder,
        "pooling": asked.pooling,
        "group": asked.group,
        "time": asked.time,
        "redact": asked.redact,
        "salted": asked.salt_file is not None,
        "events": asked.events,
        "as_of": asked.as_of,
    }
    return about_run(
        runs, found, settings=settings, started=started, seconds=seconds, keep=asked.keep_prompts
    )


def _written(
    asked: BenchmarkOptions,
    run: Benchmark,
    results: Results,
    said: Sequence[dict[str, Any]],
    say: Say,
) -> str:
    from promptpredict.report import write_report

    predictions = write_results(asked.out, results, said)
    report = write_report(asked.out, results, predictions, positive=run.positive)
    say(f"report: {report}")
    return table_text(results)


def results_of(found: Comparison, about: About) -> Results:
    """Return the whole of results.json, the verdict with it."""
    from promptpredict.sentence import sentence

    return Results(
        rows=found.rows,
        differences=found.differences,
        verdict=sentence(found.rows, found.differences),
        crossovers=found.crossovers,
        shares=found.shares,
        flags=found.flags,
        notes=found.notes,
        about=about,
    )
