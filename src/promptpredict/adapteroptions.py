"""The options of `tune`: their types, their help, their limits, and which go with what.

Knows typer; knows nothing of how an adapter is trained. Their defaults stand with the command.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from promptpredict.errors import DataError
from promptpredict.options import TABLES, argument, option
from promptpredict.optionvalues import share

TunedTables = Annotated[
    list[str] | None,
    argument("LABELLED", f"Table with known outcomes ({TABLES}); with --episodes any number."),
]
TunedPrompts = Annotated[
    list[str] | None,
    option(
        "FILE",
        "Prompt file, or the name of a shipped one; one for each table.",
        "--prompt",
        "-p",
    ),
]
Rank = Annotated[int, option("R", "Rank of the adapter (LoRA).", min=1, max=256)]
Alpha = Annotated[float, option("A", "Alpha of LoRA: the adapter is scaled by A / R.", min=0.001)]
Layers = Annotated[
    float,
    option("SHARE", "Share of the layers that get an adapter, from the last.", callback=share),
]
LearningRate = Annotated[
    float | None,
    option(
        "RATE",
        "Learning rate, before it falls; 5e-4 if not given, 1e-3 with --episodes.",
        callback=share,
    ),
]
Batch = Annotated[int, option("N", "Labelled records, or episodes, per step.", min=1, max=1024)]
Epochs = Annotated[int, option("N", "Passes over the records, at most.", min=1, max=1000)]
Balance = Annotated[
    bool,
    typer.Option(
        "--balance/--no-balance", help="Weigh records so that each label counts the same."
    ),
]
EpisodeCount = Annotated[
    int | None,
    option("N", "Learn to read tables in context, from N episodes.", "--episodes", min=1),
]
Width = Annotated[int, option("N", "Tokens of an episode, at most.", min=64)]
Own = Annotated[
    float,
    option(
        "SHARE",
        "Share of episodes from the given tables; the others are synthetic.",
        callback=share,
    ),
]
OutAdapter = Annotated[
    Path, option("DIR", "Folder of the adapter; it must not exist yet.", "--out")
]

LORA = ("rank", "alpha", "layers", "learning_rate", "batch")
TUNED = ("epochs", "balance")  # of labelled records alone
EPISODIC = ("episodes", "width", "own")
SETTINGS = {*LORA, *TUNED, *EPISODIC}


def refuse_unused(context: typer.Context) -> None:
    """Raise DataError where an option is given that serves the other kind of training, or none."""
    episodes = context.params["episodes"] is not None

    def is_given(name: str) -> bool:
        source = context.get_parameter_source(name)
        return source is not None and source.name == "COMMANDLINE"

    if episodes and not context.params["labelled"] and is_given("own"):
        raise DataError("--own is the share of the episodes of labelled tables, and none is given")
    for name in TUNED if episodes else EPISODIC:
        if is_given(name):
            flag = f"--{name.replace('_', '-')}"
            where = "of labelled records, and --episodes is given" if episodes else "of --episodes"
            raise DataError(
                f"{flag} is an option {where}; possible: one of the two kinds of tuning"
            )
