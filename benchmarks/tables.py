"""Every approach on every real table, at every label budget: the campaign.

    python benchmarks/tables.py --data DIR --jobs 2 [--table NAME ...] [--plan | --cost]

Reads DIR/NAME.csv.gz (sources and SHA-256: benchmarks/DATA.md) and the prompt files beside this
script, and runs what `promptpredict benchmark` runs, up to nine times a table on the same training rows:

* main: every approach but few-shot-random, few-shot-sets, few-shot-nearest, tuned and cascade, budgets 0 to 1,024 and all labels
  for those without a language model, three seeds, 400 test rows; few-shot with 4 or 8 shots,
  as the prefix of 16 is what costs most
* stack: 1,024 labels, 2,000 test rows where the table has them (those 400 among them), without
  the approaches that show shots
* bare: a bare Yes/No question, no label, beside main
* selection: how shots are chosen, balanced, at random or, on tables with text, the nearest: 4 shots
  out of 64 labels, 200 test rows
* classes: as main, on tables that have more than two classes too (NAME-classes.jinja)
* amounts: approaches to an amount, 16 to 1,024 labels, on tables that have one (NAME-amounts.jinja)
* tuned-64, tuned-256, tuned-1024: an adapter trained on so many labels against probe, few-shot (4
  shots), embedding and stack, on the draws and test rows of main; on six tables, as three adapters are
  trained for each run, or on those that --table names

What the language model has read stands in WORK/NAME.sqlite, and what was trained in WORK/adapters,
so an interrupted campaign goes on where it was; a run whose results are there already is left alone
unless --again. --jobs N works on N tables at a time, with as large a part of the cores each: on two
cores two tables with a thread each are read faster than one with two (LOG.md). --plan says how many
prompts and tokens are left to read, and how long that takes: some of the prompts are read to know, as
many at a time as --jobs, and training is not counted; --cost says what was read and how long it took.
Predictions are not kept: the ids of some tables are those of real people.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from promptpredict.about import about_run
from promptpredict.amountbench import AmountBenchmark
from promptpredict.benchmark import Benchmark
from promptpredict.comparing import ADAPTERS, results_of
from promptpredict.encoders import Embedder
from promptpredict.labelled import read_labelled
from promptpredict.ledger import Ledger
from promptpredict.lm import CausalLM
from promptpredict.loading import load_language_model
from promptpredict.memo import Memo
from promptpredict.models import Source, find
from promptpredict.plans import (
    APPROACHES,
    CASCADE,
    READING,
    STACK,
    STACKED,
    TUNED,
    Plan,
)
from promptpredict.progress import Progress
from promptpredict.prompt import PromptFile
from promptpredict.report import write_report
from promptpredict.results import write_results

HERE = Path(__file__).parent
PROMPTS = sorted((HERE / "prompts").glob("*.jinja"))
OTHERS = ("bare", "classes", "amounts")  # runs with a prompt file of their own, NAME-RUN.jinja
TABLES = [path.stem for path in PROMPTS if path.stem.rpartition("-")[2] not in OTHERS]
BUDGETS = (0, 4, 16, 64, 256, 1024)
NEAREST = "few-shot-nearest"
AGAINST_TUNED = ("probe", "few-shot", "embedding", STACK)
SELECTIONS = ("few-shot", "few-shot-random", NEAREST, "probe", "embedding")
SAMPLES, SAMPLE = 2, 384  # of a run: the stretches that a plan reads, and the most prompts in one
# Dear, or measured elsewhere.
LEFT_OUT = ("few-shot-random", "few-shot-sets", NEAREST, TUNED, CASCADE)
MAIN = Plan(
    approaches=[name for name in APPROACHES if name not in LEFT_OUT],
    budgets=(*BUDGETS, "all"),
    budgets_of=dict.fromkeys((*READING, STACK), BUDGETS),
    shots=8,
    max_test=400,
    held=2000,
)
RUNS = {
    "main": MAIN,
    "bare": replace(MAIN, approaches=("zero-shot",), budgets=(0,), memory_rows=0),
    "stack": replace(
        MAIN,
        approaches=[name for name in MAIN.approaches if name not in ("few-shot", "probe-shots")],
        budgets=(1024,),
        max_test=2000,
        memory_rows=0,
    ),
    "selection": replace(
        MAIN,
        approaches=SELECTIONS,
        budgets=BUDGETS,  # the draws of main, whose balanced shots have been read then
        budgets_of=dict.fromkeys(SELECTIONS, (64,)),
        shots=4,
        max_test=200,
        memory_rows=0,
    ),
    "classes": replace(MAIN, memory_rows=0),
    "amounts": replace(
        MAIN,
        budgets=(16, 64, 256, 1024),  # a bin needs some labels
        budgets_of={},
        memory_rows=0,
    ),
}
TUNED_RUNS = {
    f"{TUNED}-{budget}": replace(
        MAIN,
        approaches=(*AGAINST_TUNED, TUNED),
        shots=4,
        budgets=BUDGETS,  # the draws of main, so that what it has read is not read again
        budgets_of=dict.fromkeys((*AGAINST_TUNED, *STACKED, TUNED), (budget,)),
        against={TUNED: AGAINST_TUNED},
        memory_rows=0,
    )
    for budget in (64, 256, 1024)  # a run each, as one of more labels takes hours
}
RUNS |= TUNED_RUNS
TUNED_TABLES = (
    "telecom_nps_verbatims", "womens_clothing_reviews", "ryanair_reviews", "cfpb_complaints_2019",
    "telco_churn_ibm", "bank_churn_modelling",
)  # fmt: skip
# Dear runs stand on some tables; on the others where --table names them.
TABLES_OF = dict.fromkeys(TUNED_RUNS, TUNED_TABLES)


def main() -> None:
    """Run, or plan, every table that is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the tables")
    parser.add_argument("--table", action="append", choices=TABLES, help="all, if not given")
    parser.add_argument("--run", action="append", choices=RUNS, help="all, if not given")
    parser.add_argument("--out", type=Path, default=HERE / "results")
    parser.add_argument("--work", type=Path, default=HERE / "work", help="folder of the ledgers")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--jobs", type=int, default=1, help="tables at a time")
    parser.add_argument("--plan", action="store_true", help="say what is left to read, and stop")
    parser.add_argument("--again", action="store_true", help="also what has results already")
    parser.add_argument("--cost", action="store_true", help="say what reading took, and stop")
    parser.add_argument("--commit", default=commit(), help="of the code, if git does not know it")
    options = parser.parse_args()
    tables = options.table or TABLES
    # The largest first: while the last one is read, other processes have nothing to do.
    tables = sorted(tables, key=lambda name: -(options.data / f"{name}.csv.gz").stat().st_size)
    if options.cost:
        say_cost(options.work, tables)
        return
    if options.commit is None and not options.plan:
        parser.error(f"{HERE} is a copy without git's history; possible: --commit")
    if options.jobs < 1:
        parser.error(f"--jobs {options.jobs}; possible: 1 or more")
    options.work.mkdir(parents=True, exist_ok=True)
    if options.jobs > 1:  # the workers begin anew, and see this before torch does
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // options.jobs)))
    with ProcessPoolExecutor(
        options.jobs, mp_context=get_context("spawn"), max_tasks_per_child=1
    ) as workers:
        left = list(workers.map(partial(run_table, options), tables))
    if options.plan:
        tokens, seconds = sum(each[0] for each in left), [each[1] for each in left]
        print(
            f"{tokens:,} tokens to read, in {makespan(seconds, options.jobs) / 3600:.1f} hours at "
            f"the rates measured now, with --jobs {options.jobs}; fits come on top"
        )


def run_table(options: argparse.Namespace, name: str) -> tuple[int, float]:
    """Run, or plan, one table; return the tokens that a plan leaves to read, and the seconds."""
    source = find(options.model)
    lm = load_language_model(source, say=print)
    memo = memo_of(lm, source, options.work / f"{name}.sqlite")
    embedder = Embedder()
    tokens, seconds = 0, 0.0
    for run in options.run or RUNS:
        if not options.table and name not in TABLES_OF.get(run, TABLES):
            continue
        if not (HERE / "prompts" / file_of(name, run)).exists():
            continue
        folder = options.out / name if run == "main" else options.out / name / run
        if (folder / "results.json").exists() and not (options.again or options.plan):
            continue
        if not options.plan:  # each run counts what it needs itself
            memo = memo_of(lm, source, options.work / f"{name}.sqlite")
        benchmark = prepared(name, run, options, memo, embedder)
        if all(budget > benchmark.most for budget in benchmark.plan.budgets if budget != "all"):
            print(f"{name}, {run}: no budget is left, of {benchmark.most:,} training rows")
        elif options.plan:
            more = planned(name, run, benchmark)
            tokens, seconds = tokens + more[0], seconds + more[1]
        else:
            write(folder, benchmark, code=options.commit)
    return tokens, seconds


def makespan(seconds: Sequence[float], jobs: int) -> float:
    """Return how long tables take where the next one goes to whoever is free first."""
    busy = [0.0] * jobs
    for each in seconds:
        busy[busy.index(min(busy))] += each
    return max(busy)


def say_cost(work: Path, tables: Sequence[str]) -> None:
    """Say what was read of each table, and in how many minutes of the process that read it.

    Without what prompts begin with in common, which is read once for many.
    """
    print(
        "| table | prompts | own tokens | minutes for these | tokens a second |\n| --- | --- | --- | --- | --- |"
    )
    for name in tables:
        if not (work / f"{name}.sqlite").exists():
            continue
        prompts, tokens, seconds = Ledger(work / f"{name}.sqlite").spent()
        rate = tokens / max(seconds, 1e-9)
        print(f"| {name} | {prompts:,} | {tokens:,.0f} | {seconds / 60:.0f} | {rate:,.0f} |")


def memo_of(lm: CausalLM, source: Source, path: Path) -> Memo:
    """Return the language model behind a ledger."""
    identity = f"{source.name} {source.fingerprint} {lm.model.dtype}"
    return Memo(lm, identity=identity, ledger=Ledger(path))


def prepared(
    name: str, run: str, options: argparse.Namespace, memo: Memo, embedder: Embedder
) -> Benchmark:
    """Return one comparison of a table."""
    file = file_of(name, run)
    prompt_file, plan = PromptFile.load(HERE / "prompts" / file), RUNS[run]
    prompt_file.name = file  # the folder is this machine's
    if not prompt_file.front.text:
        plan = replace(plan, approaches=[name for name in plan.approaches if name != NEAREST])
    records, notes = read_labelled(str(options.data / f"{name}.csv.gz"), prompt_file)
    for note in notes:
        print(name, note, flush=True)
    kind = AmountBenchmark if run == "amounts" else Benchmark
    return kind(
        records, prompt_file, plan, lm=memo, embedder=embedder, table=name,
        adapters=options.work / ADAPTERS,
    )  # fmt: skip


def file_of(name: str, run: str) -> str:
    """Return the name of the prompt file of a run."""
    return f"{name}-{run}.jinja" if run in OTHERS else f"{name}.jinja"


def planned(name: str, run: str, benchmark: Benchmark) -> tuple[int, float]:
    """Say what a run has to read; return the tokens, and the seconds as far as a sample tells."""
    count, memo = benchmark.collect(), benchmark.memo
    assert memo is not None
    tokens, seconds = memo.count_new(), 0.0
    if tokens:
        lm, read, new = memo.lm, 0, memo.new()
        # Neighbours, as what they share is what makes a rate, and enough of them to fill a batch.
        size = min(SAMPLE, -(-len(new) // 12))
        for part in range(SAMPLES):
            at = len(new) * (2 * part + 1) // (2 * SAMPLES)
            prompts, labels = zip(*new[at : at + size], strict=True)
            begun = time.perf_counter()
            read += lm.score(prompts, labels).tokens
            seconds += time.perf_counter() - begun
        seconds *= tokens / max(read, 1)
    print(
        f"{name}, {run}: {count:,} distinct prompts, {tokens:,} tokens to read, "
        f"{seconds / 60:,.0f} minutes",
        flush=True,
    )
    return tokens, seconds


def write(folder: Path, benchmark: Benchmark, *, code: str) -> None:
    """Run a comparison, and write its results and report."""
    begun, memo = time.perf_counter(), benchmark.memo
    assert memo is not None
    name, count = benchmark.table, benchmark.collect()
    new = len(memo.new())
    print(f"{name}: {count:,} distinct prompts, {new:,} of them to read", flush=True)
    with Progress(name, new) as progress:
        benchmark.read(progress.advance)
    found = benchmark.run(lambda line: print(name, line, flush=True))
    seconds = time.perf_counter() - begun
    started = time.strftime("%Y-%m-%d", time.gmtime())
    about = about_run(
        [benchmark], found, settings=asdict(benchmark.plan), started=started, seconds=seconds
    )
    about.versions["commit"] = code
    results = results_of(found, about)
    predictions = write_results(folder, results, found.predictions)
    write_report(folder, results, predictions, positive=benchmark.prompt_file.front.positive)
    (folder / "predictions.parquet").unlink()
    shutil.rmtree(folder / "pictures", ignore_errors=True)
    print(f"{name}: {seconds:,.0f} s. {results.verdict}", flush=True)


def commit() -> str | None:
    """Return the commit of the code; None where it is a copy without git's history."""
    git = ["git", "-C", str(HERE), "rev-parse", "--short=12", "HEAD"]
    said = shutil.which("git") and subprocess.run(git, capture_output=True, text=True, check=False)
    return said.stdout.strip() if said and said.returncode == 0 else None


if __name__ == "__main__":
    main()
