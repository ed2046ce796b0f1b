"""The command line: options in, one function of the library called, its fault in one line.

Knows typer and how things are said; the work is done elsewhere. Nothing heavy is imported before
a command needs it, so that --help is quick. Results go to stdout or --out, all else to stderr.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from io import TextIOWrapper
from pathlib import Path

import typer

from promptpredict import logs, options
from promptpredict.commands import Commands, check_shots, needs_train, say
from promptpredict.headings import Command
from promptpredict.spacing import plain
from promptpredict.subcommands import check, explain, models_app, prompts_app, render, tune

DEFAULT_APPROACHES = (
    "zero-shot,few-shot,probe,panel,embedding,structured,structured-trees,text,fusion,stack,prior"
)

app = typer.Typer(
    cls=Commands,
    name="promptpredict",
    help="Score customer outcomes with a local language model, and know whether it beats "
    "sentence embeddings.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_show_locals=False,  # they may hold what customers wrote
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(prompts_app, name="prompts")
app.add_typer(models_app, name="models")
command = partial(app.command, cls=Command)


@command()
def score(
    context: typer.Context,
    customers: options.Customers,
    prompt: options.AveragedPrompts,
    out: options.Out = "-",
    train: options.Train = None,
    shots: options.Shots = 0,
    shot_sets: options.ShotSets = 1,
    select: options.Select = "balanced",
    model: options.Model = "auto",
    adapter: options.Adapter = None,
    encoder: options.Encoder = "minilm",
    dtype: options.Dtype = "auto",
    device: options.Device = "auto",
    base_rate: options.BaseRate = None,
    calibration: options.Calibration = None,
    save_calibration: options.SaveCalibration = None,
    fallback: options.Fallback = "none",
    threshold: options.Threshold = None,
    keep: options.Keep = None,
    limit: options.Limit = None,
    restart: options.Restart = False,  # noqa: FBT002
    flag_mass: options.FlagMass = None,
    stop_mass: options.StopMass = None,
    max_drift: options.MaxDrift = 0.25,
    guard: options.Guard = None,
    on: options.On = "here",
    offline: options.Offline = False,  # noqa: FBT002
    keep_prompts: options.KeptPrompts = False,  # noqa: FBT002
    encrypt_key_file: options.KeyFile = None,
    log_json: options.LogJson = False,  # noqa: FBT002
    delimiter: options.Delimiter = None,
    encoding: options.Encoding = None,
    redact: options.Redact = False,  # noqa: FBT002
    salt_file: options.SaltFile = None,
    events: options.Events = None,
    events_key: options.EventsKey = None,
    events_time: options.EventsTime = None,
    events_amount: options.EventsAmount = None,
    as_of: options.AsOf = None,
    seed: options.Seed = 0,
) -> None:
    """Score every customer of a table.

    \b
    promptpredict score customers.csv --prompt churn-shop --out scores.csv
    promptpredict score customers.csv --prompt mine.jinja --base-rate 0.12 --out scores.csv
    promptpredict score customers.csv --prompt mine.jinja --train labelled.csv --shots 8

    Writes id (or row), prediction, p_<label> for each label, label_mass (how much of the model's
    probability the label words have), with --shot-sets spread (how far the sets lie apart: the
    standard deviation of the log-odds), method (llm or embedding), truncated and flags. A row that
    cannot be scored goes to FILE.rejects.jsonl with its reason (to stderr, where scores go to
    stdout).

    Probabilities are calibrated by the first of these that there is: --calibration; --base-rate
    (one shift for all rows; 200 rows or more); the records that --adapter has held out; those of
    --train that are no shots (8 or more); base_rate in the prompt file; else not at all.

    FILE.ledger keeps what the language model said (no text): the same command resumes after an
    interruption, and a later run reads only the customers whose prompt is new.
    """
    check_shots(train, shots, shot_sets)
    if train is None and fallback == "embedding":
        raise needs_train("--fallback embedding")
    if encrypt_key_file is not None and not keep_prompts:
        raise typer.BadParameter("--encrypt-key-file encrypts what --keep-prompts keeps; give both")
    from promptpredict.checking import ScoreOptions
    from promptpredict.walk import score_table

    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"  # read where the hub's library is imported, later
    first, *others = prompt
    own = ("log_json", "offline")
    given = {name: value for name, value in context.params.items() if name not in own}
    files = {"prompt": first, "others": tuple(others)}
    asked = ScoreOptions(**given | files | {"keep": options.names(keep)})
    summary = score_table(asked, say)
    logs.write(plain(summary.line()), "summary", **summary.fields())
    if summary.rejected == summary.rows > 0:
        raise typer.Exit(1)  # what is wrong with every row is wrong with the file or the model
    if summary.drift is not None and summary.drift > max_drift:
        say(f"the scores have drifted further than {max_drift:g} (--max-drift) since the last run")
        raise typer.Exit(3)


@command()
def plan(
    context: typer.Context,
    customers: options.Customers,
    prompt: options.AveragedPrompts,
    train: options.Train = None,
    shots: options.Shots = 0,
    shot_sets: options.ShotSets = 1,
    select: options.Select = "balanced",
    model: options.Model = "auto",
    adapter: options.Adapter = None,
    encoder: options.Encoder = "minilm",
    dtype: options.Dtype = "auto",
    device: options.Device = "auto",
    rows: options.LookedRows = 2048,
    reorder: options.Reorder = False,  # noqa: FBT002
    limit: options.Limit = None,
    delimiter: options.Delimiter = None,
    encoding: options.Encoding = None,
    redact: options.Redact = False,  # noqa: FBT002
    salt_file: options.SaltFile = None,
    events: options.Events = None,
    events_key: options.EventsKey = None,
    events_time: options.EventsTime = None,
    events_amount: options.EventsAmount = None,
    as_of: options.AsOf = None,
    seed: options.Seed = 0,
) -> None:
    """Say what score would read and how long it would take.

    \b
    promptpredict plan customers.csv --prompt churn-shop
    promptpredict plan customers.csv --prompt mine.jinja --train labelled.csv --shots 8
    promptpredict plan customers.csv --prompt mine.jinja --reorder

    Counts the tokens of the first rows, says what their prompts share and which columns none of
    them shows, and scores some of them for the time and the memory that all will take, and for
    how probable the label words are.
    """
    check_shots(train, shots, shot_sets)
    from promptpredict.checking import ScoreOptions
    from promptpredict.forecast import forecast_table

    first, *others = prompt
    given = {name: value for name, value in context.params.items() if name not in options.LOOKED}
    asked = ScoreOptions(**given | {"prompt": first, "others": tuple(others)})
    typer.echo(forecast_table(asked, say, rows=rows, reorder=reorder))


@command()
def benchmark(
    context: typer.Context,
    labelled: options.LabelledTable,
    prompt: options.Prompts,
    out: options.OutFolder,
    approach: options.Approaches = DEFAULT_APPROACHES,
    budget: options.Budgets = "0,4,16,64,256",
    seeds: options.Seeds = 3,
    max_test: options.MaxTest = 1000,
    folds: options.Folds = None,
    group: options.GroupColumn = None,
    time: options.TimeColumn = None,
    shots: options.MostShots = 16,
    select: options.Select = "balanced",
    base_rate: options.BaseRate = None,
    value_saved: options.ValueSaved = None,
    offer_cost: options.OfferCost = None,
    model: options.Models = ["auto"],  # noqa: B006
    adapter: options.ComparedAdapter = None,
    encoder: options.Encoder = "minilm",
    pooling: options.Pooling = "auto",
    keep_prompts: options.KeepPrompts = False,  # noqa: FBT002
    attacks: options.Attacks = False,  # noqa: FBT002
    dry_run: options.DryRun = False,  # noqa: FBT002
    delimiter: options.Delimiter = None,
    encoding: options.Encoding = None,
    redact: options.Redact = False,  # noqa: FBT002
    salt_file: options.SaltFile = None,
    events: options.Events = None,
    events_key: options.EventsKey = None,
    events_time: options.EventsTime = None,
    events_amount: options.EventsAmount = None,
    as_of: options.AsOf = None,
) -> None:
    """Compare approaches on the same rows.

    \b
    promptpredict benchmark labelled.csv --prompt churn-shop --out results
    promptpredict benchmark labelled.csv --prompt mine.jinja --approach probe,embedding \\
        --budget 16,64 --out results
    promptpredict benchmark labelled.csv --prompt a.jinja --prompt b.jinja --out results

    Says at the end which to use with how many labels.

    Writes report.html (open it first), results.json, predictions.parquet and the pictures. The
    language model reads each prompt once; what it read is kept in DIR/ledger.sqlite, and what was
    trained in DIR/adapters, so that an interrupted run resumes, and a second one with other
    approaches or budgets reads only what is new. Approaches: zero-shot, few-shot, few-shot-sets,
    few-shot-random, few-shot-nearest, probe, probe-shots, panel, tuned (slow: trains a model for
    each draw), embedding, text, fusion, fusion-mlp, fusion-trees, structured, structured-trees,
    stack, cascade (embedding, and probe for the customers of whom it is least sure; with its cost
    at several shares of them), prior.
    """
    from promptpredict.comparing import BenchmarkOptions, benchmark_table
    from promptpredict.errors import DataError
    from promptpredict.plans import Plan

    given = context.params
    plan = Plan(
        approaches=options.names([approach]),
        budgets=options.budgets(budget),
        **{name: given[name] for name in options.PLANNED},
    )
    try:
        plan.check()
    except DataError as error:
        raise typer.BadParameter(str(error)) from None  # of the command, not of a file
    asked = BenchmarkOptions(
        prompts=prompt, models=model, plan=plan, **{name: given[name] for name in options.COMPARED}
    )
    typer.echo(benchmark_table(asked, say))


@command()
def wordings(
    context: typer.Context,
    labelled: options.LabelledTable,
    prompt: options.Prompt,
    tried: options.Tried = None,
    rows: options.TriedRows = 64,
    unlabelled: options.Unlabelled = False,  # noqa: FBT002
    outcome: options.Outcome = None,
    out: options.OutPrompt = None,
    ensemble: options.Ensemble = False,  # noqa: FBT002
    model: options.Model = "auto",
    delimiter: options.Delimiter = None,
    encoding: options.Encoding = None,
    redact: options.Redact = False,  # noqa: FBT002
    salt_file: options.SaltFile = None,
    events: options.Events = None,
    events_key: options.EventsKey = None,
    events_time: options.EventsTime = None,
    events_amount: options.EventsAmount = None,
    as_of: options.AsOf = None,
    seed: options.Seed = 0,
) -> None:
    """Try other wordings of a prompt file on a few labelled records.

    \b
    promptpredict wordings labelled.csv --prompt mine.jinja --out best.jinja
    promptpredict wordings labelled.csv --prompt mine.jinja --try my-wordings.yaml --rows 200
    promptpredict wordings customers.csv --prompt mine.jinja --unlabelled

    Scores about 100 questions, answer starts and label words, a customer's text being read once,
    and shows the best, the prompt file's own and the worst; then what the best, and the average
    of the best five in log space, are worth on records that did not choose them. --out writes the
    best as a prompt file that extends the given one, and adds the next four to its panel.
    """
    if ensemble and out is None:
        raise typer.BadParameter("--ensemble needs a file to write; give it with --out FILE")
    from promptpredict.trying import WordingsOptions, try_table

    typer.echo(try_table(WordingsOptions(**context.params), say))


command()(explain)
command()(tune)
command()(render)
command()(check)


@command()
def demo(out: options.DemoFolder = Path("promptpredict-demo")) -> None:
    """Try score and benchmark on a synthetic sample.

    \b
    promptpredict demo
    """
    from promptpredict.demo import run_demo

    run_demo(out, say)


def main() -> None:
    """Run the command line."""
    if isinstance(sys.stdout, TextIOWrapper):
        # Scores are UTF-8 whatever the terminal: a customer's emoji must not end a run. The name of
        # a file that the locale cannot read is written as the bytes that it came as.
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")
    if isinstance(sys.stderr, TextIOWrapper):
        sys.stderr.reconfigure(encoding="utf-8", errors="backslashreplace")
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_DISABLE", "1")  # a library's bar is no line in a log
    app()
