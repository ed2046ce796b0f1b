"""The options and arguments of the command line: their types, their help, their limits.

Knows typer; knows nothing of what a command does with them. Their defaults stand with the commands.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from promptpredict.errors import DataError
from promptpredict.rates import read_rate

_TABLES = ".csv, .tsv, .jsonl (each also .gz), .parquet; - is CSV on stdin"


def _argument(metavar: str, help: str) -> Any:
    return typer.Argument(metavar=metavar, help=help)


def _option(metavar: str, help: str, *names: str, **limits: Any) -> Any:
    return typer.Option(*names, metavar=metavar, help=help, **limits)


def _share(share: float | None) -> float | None:
    if share is not None and not 0 < share < 1:
        raise typer.BadParameter(f"{share:g} does not lie between 0 and 1")
    return share


def _part(share: float | None) -> float | None:
    if share is not None and not 0 < share <= 1:
        raise typer.BadParameter(f"{share:g} does not lie above 0, and at most at 1")
    return share


def _rate(text: str) -> float | dict[str, float]:
    try:
        return read_rate(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _seed(seed: int) -> int:
    if not 0 <= seed < 2**32:
        raise typer.BadParameter(f"{seed} does not lie between 0 and {2**32 - 1}")
    return seed


def _device(device: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", device):
        raise typer.BadParameter(
            f"'{device}' is not one of 'auto', 'cpu', 'cuda', 'cuda:N', 'mps'."
        )
    return device


# Tables and prompt files
Customers = Annotated[str, _argument("CUSTOMERS", f"Table of customers ({_TABLES}).")]
CheckedTable = Annotated[str | None, _argument("CUSTOMERS", "Table to check it against.")]
LabelledTable = Annotated[str, _argument("LABELLED", f"Table with known outcomes ({_TABLES}).")]
Delimiter = Annotated[str | None, _option("CHAR", "Delimiter of CSV; found if not given.")]
Encoding = Annotated[str | None, _option("NAME", "Encoding of text; found if not given.")]
TunedTables = Annotated[
    list[str] | None,
    _argument("LABELLED", f"Table with known outcomes ({_TABLES}); with --episodes any number."),
]
TunedPrompts = Annotated[
    list[str] | None,
    _option(
        "FILE",
        "Prompt file, or the name of a shipped one; one for each table.",
        "--prompt",
        "-p",
    ),
]
Prompt = Annotated[
    str, _option("FILE", "Prompt file, or the name of a shipped one.", "--prompt", "-p")
]
AveragedPrompts = Annotated[
    list[str],
    _option(
        "FILE",
        "Prompt file, or the name of a shipped one; several are averaged in log space.",
        "--prompt",
        "-p",
    ),
]
CheckedPrompt = Annotated[str, _argument("PROMPT", "Prompt file, or the name of a shipped one.")]
ShippedName = Annotated[str, _argument("NAME", "A shipped prompt file.")]
Folder = Annotated[Path, _argument("FOLDER", "Where to.")]
Target = Annotated[str, _option("COLUMN", "Column that holds the outcome.")]

Redact = Annotated[
    bool, typer.Option("--redact", help="Replace names, e-mails, numbers, addresses in texts.")
]
SaltFile = Annotated[
    str | None, _option("FILE", "Write ids salted, with the salt that this file holds.")
]

# Histories
Events = Annotated[
    str | None, _option("TABLE", "Orders or events of the customers, summed up as columns.")
]
EventsKey = Annotated[str | None, _option("COLUMN", "Column with the customer's id, in both.")]
EventsTime = Annotated[str | None, _option("COLUMN", "Column with the time of an event.")]
EventsAmount = Annotated[str | None, _option("COLUMN", "Column with what an event brought.")]
AsOf = Annotated[
    str | None,
    _option("DATE", "Only events before it are known; or a column of the customers with it."),
]

# Rows and columns
Row = Annotated[int, _option("N", "Which row, from 1.", min=1)]
Rows = Annotated[int, _option("N", "Most rows to render.", min=1)]
LookedRows = Annotated[int, _option("N", "Most rows to look at.", min=1)]
Limit = Annotated[int | None, _option("N", "Score only the first N rows.", min=1)]
Restart = Annotated[bool, typer.Option("--restart", help="Forget what the ledger of --out holds.")]
FlagMass = Annotated[float, _option("M", "Flag rows whose label mass is under this.", min=0, max=1)]
StopMass = Annotated[
    float,
    _option("M", "Stop where the median label mass of 200 rows is under this.", min=0, max=1),
]
Guard = Annotated[
    float | None,
    _option("NATS", "Flag rows whose text alone moves the log-odds further than this.", min=0),
]
MaxDrift = Annotated[
    float, _option("PSI", "Exit with 3 where scores have moved further since the last run.", min=0)
]
LogJson = Annotated[
    bool, typer.Option("--log-json", help="Write what goes to stderr as JSON, an object a line.")
]
On = Annotated[
    Literal["here", "ray"],
    _option("WHERE", "here, or ray: the cluster of RAY_ADDRESS, else one of this machine."),
]
Offline = Annotated[
    bool, typer.Option("--offline", help="Ask no hub, even for a model that is not here.")
]
Keep = Annotated[list[str] | None, _option("COLUMNS", "Columns to copy into the output: A,B.")]

# Models
Model = Annotated[str, _option("MODEL", "Short name, folder, .gguf file or hub id.")]
Encoder = Annotated[str, _option("ENCODER", "Sentence encoder: minilm, folder or hub id.")]
Pooling = Annotated[
    Literal["auto", "mean", "cls"],
    _option("HOW", "How an encoder pools: auto (its own way, else mean), mean or cls."),
]
Adapter = Annotated[
    Path | None, _option("DIR", "Adapter of the language model, which promptpredict tune wrote.")
]
EmbeddedName = Annotated[str, _argument("NAME", "smollm2-135m or minilm.")]
Into = Annotated[
    Literal["cache", "environment"],
    _option("WHERE", "cache, or environment: this Python's packages."),
]
Dtype = Annotated[
    Literal["auto", "float32", "bfloat16"], _option("DTYPE", "auto, float32 or bfloat16.")
]
Device = Annotated[str, _option("DEVICE", "auto, cpu, cuda or mps.", callback=_device)]
Tokens = Annotated[bool, typer.Option("--tokens", help="Count tokens too (may import torch).")]

Reorder = Annotated[
    bool,
    typer.Option("--reorder", help="What columns with few values first would save, and move."),
]

# Labelled records
Train = Annotated[
    str | None, _option("LABELLED", "Labelled table for shots, calibration and fallback.")
]
Shots = Annotated[int, _option("K", "Labelled records in each prompt.", min=0, max=64)]
ShotSets = Annotated[
    int,
    _option("N", "So many sets of shots, averaged in log space.", "--shot-sets", min=1, max=64),
]
MostShots = Annotated[
    int, _option("K", "Most shots of few-shot; 4 are tried too.", "--shots", min=1, max=16)
]
Select = Annotated[
    Literal["balanced", "random", "nearest"],
    _option("HOW", "Which shots: balanced, random or nearest."),
]
Fallback = Annotated[
    Literal["none", "embedding"],
    _option("HOW", "For what no language model can score: none or embedding."),
]
Seed = Annotated[int, _option("N", "Seed of whatever is drawn.", callback=_seed)]

# Probabilities
BaseRate = Annotated[
    Any,
    _option(
        "R", "Known share of the positive label, or each label's: a=0.5,b=0.3,c=0.2.", parser=_rate
    ),
]
Threshold = Annotated[
    float | None,
    _option("T", "Probability from which the positive label is predicted.", callback=_share),
]
Calibration = Annotated[str | None, _option("FILE", "Calibration that an earlier run saved.")]
SaveCalibration = Annotated[str | None, _option("FILE", "File to save the calibration in.")]

# Comparisons
Approaches = Annotated[str, _option("A,B", "Approaches, by commas.", "--approach")]
Budgets = Annotated[str, _option("N,N", "Label budgets; all is every training row.", "--budget")]
Seeds = Annotated[int, _option("N", "How many training draws.", min=1)]
MaxTest = Annotated[int, _option("N", "Most test rows.", min=4)]
Folds = Annotated[int | None, _option("K", "Cross-validation: every row tests once.", min=2)]
GroupColumn = Annotated[
    str | None, _option("COLUMN", "Never both train and test: household, account.", "--group")
]
TimeColumn = Annotated[str | None, _option("COLUMN", "The newest rows test.", "--time")]
Prompts = Annotated[
    list[str],
    _option("FILE", "Prompt file; several are compared on training rows.", "--prompt", "-p"),
]
Models = Annotated[
    list[str],
    _option(
        "MODEL", "Short name, folder, .gguf file or hub id; several stand side by side.", "--model"
    ),
]
ValueSaved = Annotated[float | None, _option("V", "What a customer is worth who is kept.", min=0)]
OfferCost = Annotated[float | None, _option("C", "What an offer to one customer costs.", min=0)]
KeptPrompts = Annotated[
    bool, typer.Option("--keep-prompts", help="Write every prompt to FILE.prompts.jsonl.")
]
KeyFile = Annotated[
    str | None, _option("FILE", "Encrypt the prompts that are kept; a Fernet key, 44 characters.")
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
    str | None, _option("FILE", "Wordings to try in place of the shipped ones (YAML).", "--try")
]
TriedRows = Annotated[int, _option("N", "Most records to try them on.", min=4, max=1000)]
Unlabelled = Annotated[
    bool, typer.Option("--unlabelled", help="Use no labels: choose by agreement alone.")
]
Outcome = Annotated[
    Literal["bad", "good"] | None,
    _option("WHICH", "Whether the positive label is the bad or the good outcome."),
]
Ensemble = Annotated[
    bool,
    typer.Option("--ensemble", help="Write the other four as well: FILE-2 to FILE-5."),
]
OutPrompt = Annotated[Path | None, _option("FILE", "Prompt file to write.", "--out")]

# Reasons
ExplainedRow = Annotated[
    int | None, _option("N", "Explain this row alone, from 1.", "--row", min=1)
]
ExplainedLimit = Annotated[
    int | None, _option("N", "Explain the first N rows; all, if not given.", "--limit", min=1)
]
ExplainedApproach = Annotated[
    str, _option("NAME", "Approach to explain; all but zero-shot need --train.", "--approach")
]
ExplainedShots = Annotated[
    int | None,
    _option("K", "Shots of few-shot and probe-shots; 4, if not given.", "--shots", min=1, max=16),
]
Label = Annotated[
    str | None,
    _option("KEY", "Label to explain: the positive one, or each customer's most probable."),
]
Typical = Annotated[
    bool, typer.Option("--typical", help="Give a field its typical value, in place of none.")
]
Actionable = Annotated[list[str] | None, _option("A,B", "Fields that may be changed.")]
Below = Annotated[
    float | None,
    _option("P", "Probability under which a change should bring a customer.", callback=_share),
]
OutReasons = Annotated[
    Path | None,
    _option("DIR", "Folder for explanations.json and explanations.html.", "--out"),
]

# Adapters
Rank = Annotated[int, _option("R", "Rank of the adapter (LoRA).", min=1, max=256)]
Alpha = Annotated[float, _option("A", "How much it counts, by its rank.")]
Layers = Annotated[
    float, _option("SHARE", "Share of the layers that get one, the last ones.", callback=_part)
]
LearningRate = Annotated[
    float | None,
    _option(
        "RATE",
        "Learning rate, before it falls; 5e-4 if not given, 1e-3 with --episodes.",
        callback=_part,
    ),
]
Batch = Annotated[int, _option("N", "Labelled records, or episodes, a step.", min=1, max=1024)]
Epochs = Annotated[int, _option("N", "Most times through the records.", min=1, max=1000)]
Balance = Annotated[
    bool,
    typer.Option(
        "--balance/--no-balance", help="Weigh records so that each label counts the same."
    ),
]
EpisodeCount = Annotated[
    int | None,
    _option("N", "Learn to read tables in context, from N episodes.", "--episodes", min=1),
]
Width = Annotated[int, _option("N", "Tokens of an episode, at most.", min=64)]
Own = Annotated[
    float,
    _option(
        "SHARE", "Share of episodes of the given tables; others are synthetic.", callback=_part
    ),
]
OutAdapter = Annotated[Path, _option("DIR", "Folder of the adapter; there must be none.", "--out")]

# Outputs
Out = Annotated[str, _option("FILE", ".csv, .csv.gz, .jsonl or .parquet; - is stdout.")]
OutText = Annotated[str, _option("FILE", "File to write; - is stdout.", "--out")]
OutFolder = Annotated[
    Path, _option("DIR", "Folder for report.html, results.json and predictions.", "--out")
]
DemoFolder = Annotated[Path, _option("DIR", "Folder for the demo's files.", "--out")]

# Of benchmark's options, those that become fields of a plan, and those of the comparison itself
PLANNED = (
    "seeds", "max_test", "folds", "shots", "select", "base_rate", "value_saved", "offer_cost"
)  # fmt: skip
COMPARED = (
    "labelled", "out", "encoder", "pooling", "group", "time", "keep_prompts", "attacks", "dry_run", "delimiter", "encoding", "redact",
    "salt_file", "events", "events_key", "events_time", "events_amount", "as_of",
)  # fmt: skip
LORA = ("rank", "alpha", "layers", "learning_rate", "batch")
TUNED = ("epochs", "balance")  # of labelled records alone
EPISODIC = ("episodes", "width", "own")
LOOKED = ("rows", "reorder")  # of plan's options, those that score does not have


def refuse_unused(context: typer.Context, unused: Sequence[str], episodes: int | None) -> None:
    """Raise DataError where an option is given that serves the other kind of training alone."""
    for name in unused:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            option = f"--{name.replace('_', '-')}"
            where = "of labelled records, and --episodes is given" if episodes else "of --episodes"
            raise DataError(
                f"{option} is an option {where}; possible: one of the two kinds of tuning"
            )


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
