"""What a comparison found: rows, differences, one sentence; as JSON and Parquet.

Knows the form of results.json; knows nothing of how the figures came about.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any, Literal

from pydantic import BaseModel, Field

from promptpredict.errors import DataError
from promptpredict.writing import whole

Verdict = Literal["better", "worse", "no worse", "undecided"]


class Value(BaseModel, extra="forbid"):
    """A metric, and the ends of its 95 % bootstrap interval over the test rows where it has one."""

    value: float | None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, *numbers: float) -> Value:
        """Make a value of numbers; one that is NaN is None, as JSON has no NaN."""
        known = [None if math.isnan(number) else number for number in numbers]
        return cls(**dict(zip(("value", "low", "high"), known, strict=False)))


# By which approaches are compared: of classes, and of amounts.
LEADING = {"roc_auc": "ROC AUC", "spearman": "Spearman"}


def base_of(approach: str) -> str:
    """Return the approach of ``probe @ model``, as it is named where several models stand."""
    return approach.partition(" @ ")[0]


def model_of(approach: str) -> str:
    """Return the model of ``probe @ model``; "" of one that is named alone."""
    return approach.partition(" @ ")[2]


class Row(BaseModel, extra="forbid"):
    """What one approach did with one label budget and one seed."""

    table: str
    prompt: str
    model: str
    approach: str
    budget: int
    seed: int
    n_test: int
    metrics: dict[str, Value]
    chosen: str | None = None  # what the training rows chose, where the row is a choice

    @property
    def members(self) -> list[str]:
        """The approaches behind a choice, that of most folds first; of any other row itself."""
        return self.chosen.split(", ") if self.chosen else [self.approach]


def leading(rows: Iterable[Row]) -> str:
    """Return the metric by which approaches are compared: spearman of amounts, else roc_auc."""
    found = next((name for row in rows for name in LEADING if name in row.metrics), None)
    return found or "roc_auc"


def signed(value: float) -> str:
    """Return a difference with its sign: ``+0.080``; one that rounds to nothing is ``+0.000``."""
    return f"{round(value, 3) + 0.0:+.3f}"


class Share(Row):
    """What the cascade did where it asks the language model for a share of the customers.

    ``asked`` is the share of the test rows that it asked for: ``share`` is one of customers like the
    labelled ones. ``gain`` among the metrics is ROC AUC above that of asking nobody, paired on the
    same test rows.
    """

    share: float
    asked: float


class Difference(BaseModel, extra="forbid"):
    """An approach against another at one budget, paired on the same test rows, over the seeds.

    ``low`` and ``high`` are the 95 % interval of this difference alone; ``holm_low`` and
    ``holm_high`` the one corrected for all differences of its family (the approaches of a budget
    against one, the choices among themselves, what a plan asks for besides, or the models), from
    which ``verdict`` is read. ``p`` is two-sided, by the deviation of the resamples, before the
    correction.
    """

    approach: str
    against: str
    budget: int
    metric: str
    value: float
    low: float
    high: float
    p: float
    holm_low: float
    holm_high: float
    verdict: Verdict

    def describe(self) -> str:
        """Return the difference in words: ``+0.080 (95 % +0.030 to +0.120): better``.

        The interval is the corrected one, from which the word is read.
        """
        value, low, high = map(signed, (self.value, self.holm_low, self.holm_high))
        return f"{value} (95 % {low} to {high}): {self.verdict}"


class Crossover(BaseModel, extra="forbid"):
    """From which label budget on one approach is as good as another.

    As good: the 95 % interval of the paired difference, of this pair alone, is above -0.02. None
    where it is not at the largest budget that both have.
    """

    approach: str
    against: str
    budget: int | None


class Flag(BaseModel, extra="forbid"):
    """Something about the table that makes figures look better than they are."""

    kind: Literal["leak", "after the outcome", "memorised", "duplicates", "reversed"]
    column: str | None
    text: str


class Attacked(BaseModel, extra="forbid"):
    """How far an attack in a customer's text moves the log-odds of the label that it aims at.

    ``median`` and ``most`` are in nats, over ``customers``; of their own text left out, the
    movement of any label, without its sign. ``turned`` is the share of customers for whom the
    least likely label became the most likely. None where no customer could be scored.
    """

    attack: str
    kind: str
    customers: int
    median: float | None = None
    most: float | None = None
    turned: float | None = None


class Shown(BaseModel, extra="forbid"):
    """The shots of one draw: row of the table and label of each, in order."""

    approach: str
    budget: int
    seed: int
    shots: list[tuple[int, str]]


class About(BaseModel, extra="forbid"):
    """What the figures depend on, and what a reader wants to see of the run; no customer's text.

    ``prompt_text`` is a whole prompt as the model saw it, with the values of a customer masked
    unless texts were to be kept. ``label_mass`` holds the quantiles 0, .05, .25, .5, .75, .95 and
    1 over the test rows of each approach that has it, of the draw whose median is least;
    ``truncated`` the number of prompts that were cut, of the draw with the most;
    ``tokens`` and ``passes`` are what language models read in this run.
    """

    started: str = ""
    seconds: float = 0.0
    hardware: str = ""
    versions: dict[str, str] = {}
    settings: dict[str, Any] = {}
    counts: dict[str, int] = {}  # rows, training rows, test rows, positives, …
    prompts: int = 0  # distinct pairs of prompt and model that the run needed
    passes: int = 0  # prompts that a language model read; what the ledger held is not among them
    tokens: int = 0
    prompt_text: str = ""
    shots: list[Shown] = []
    label_mass: dict[str, list[float]] = {}
    truncated: dict[str, int] = {}


class Results(BaseModel, extra="forbid", populate_by_name=True):
    """The whole of results.json."""

    schema_: Literal[1] = Field(default=1, alias="schema")
    rows: list[Row]
    differences: list[Difference]
    verdict: str
    crossovers: list[Crossover] = []
    shares: list[Share] = []  # of the cascade
    flags: list[Flag] = []
    notes: list[str] = []
    attacks: dict[str, list[Attacked]] = {}  # of each language model
    about: About = About()

    @classmethod
    def load(cls, path: str | Path) -> Results:
        """Read a results.json."""
        return cls.model_validate_json(Path(path).read_bytes())


def write_results(folder: Path, results: Results, predictions: Sequence[dict[str, Any]]) -> Any:
    """Write results.json and predictions.parquet into a folder, each whole or not at all.

    Returns the predictions as a pandas DataFrame.
    """
    import pandas as pd

    unasked = {name for name in ("attacks", "shares") if not getattr(results, name)}
    text = results.model_dump_json(indent=1, by_alias=True, exclude=unasked) + "\n"
    table = pd.DataFrame(list(predictions))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with whole(folder / "results.json") as draft:
            draft.write_text(text, encoding="utf-8")
        with whole(folder / "predictions.parquet") as draft:
            table.to_parquet(draft, index=False)
    except OSError as error:
        raise DataError(f"{folder}: the results cannot be written ({error.strerror})") from None
    return table


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and standard deviation of a metric over the seeds (0 for one seed)."""

    mean: float
    sd: float


@dataclass(frozen=True, slots=True)
class Group:
    """The rows of one approach at one budget; a metric that no seed has is None."""

    approach: str
    budget: int
    seeds: int
    metrics: Mapping[str, Spread | None]


def summarise(rows: Iterable[Row]) -> list[Group]:
    """Return each approach at each budget, summarised over the seeds, in order of budgets."""
    groups: dict[tuple[int, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.budget, row.approach), []).append(row)
    return [
        Group(
            approach,
            budget,
            len(group),
            {
                name: _spread([row.metrics[name].value for row in group])
                for name in group[0].metrics
            },
        )
        for (budget, approach), group in sorted(groups.items())
    ]


def _spread(values: Sequence[float | None]) -> Spread | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    return Spread(mean(known), stdev(known) if len(known) > 1 else 0.0)
