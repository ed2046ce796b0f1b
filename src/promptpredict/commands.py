"""What all commands share: a user's fault is said in a line, and lines for people go to stderr.

Knows typer and the kinds of faults; knows nothing of what a command does.
"""

from __future__ import annotations

import sys
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from promptpredict import logs
from promptpredict.errors import PromptPredictError
from promptpredict.spacing import printable

# What typer raises for a slip on the command line; it exports only this one of its kinds.
UsageError: Any = typer.BadParameter.__bases__[0]


class Commands(TyperGroup):
    """The commands; what the user got wrong is said in a line or two, without a traceback."""

    def main(self, *args: Any, **given: Any) -> NoReturn:
        """Run a command and exit: 0 done, 1 a fault in data or prompt, 2 a slip in the command.

        A command may have a code of its own: `score` ends with 3 where its scores have drifted.
        """
        try:
            code = super().main(*args, **given | {"standalone_mode": False})
        except UsageError as error:
            text = str(error.format_message()).removeprefix("Invalid value: ")
            text = text.replace("Value error, ", "")
            if not text.startswith("Usage: "):  # the help, which a group without a command shows
                text = f"error: {text[:1].lower()}{' '.join(text[1:].split())}"
                text += f"\nsee {error.ctx.command_path if error.ctx else self.name} --help"
            logs.write(text, "error" if text.startswith("error: ") else "note")
            code = 2
        sys.exit(code)

    def invoke(self, ctx: Any) -> Any:
        """Run a command; a fault becomes its exit code."""
        try:
            return super().invoke(ctx)
        except PromptPredictError as error:
            say(f"error: {' '.join(str(error).split())}")
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            say("interrupted")
            raise typer.Exit(130) from None


def say(line: str) -> None:
    """Write a line for people to stderr; it may tell what a table holds."""
    logs.write(printable(line), "error" if line.startswith("error: ") else "note")


def check_shots(train: str | None, shots: int, sets: int = 1) -> None:
    """Raise BadParameter for shots without labelled records, and for several sets without shots."""
    if shots and train is None:
        raise needs_train("--shots")
    if sets > 1 and not shots:
        raise typer.BadParameter(
            "--shot-sets draws several sets of labelled records; give them with --train LABELLED, "
            "and how many are shown with --shots K"
        )


def needs_train(option: str) -> typer.BadParameter:
    """Return the error for an option that has no use without labelled records."""
    return typer.BadParameter(f"{option} needs labelled records; give them with --train LABELLED")
