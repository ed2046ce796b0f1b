"""Whether a language model has read the table: its figures there say little about other customers.

Knows records, prompts and ``score``; knows nothing of labels or approaches. A row of the table is
shown up to a column, and the row's own value stands against another of the column: once below the
row's own values, once below values mixed from all rows. What the own ones add is knowledge of the
row (the idea of arXiv:2404.06209). Other things that could add are kept out as far as can be: the
column holds many numbers or dates, and the other value is a near one of as many digits, which few
ordinary correlations tell apart (a city goes with its state, and which words are near nobody knows:
columns of words are not asked; a row of fractions goes on with a fraction, .0667 and not .07); and a
value that stands among those shown is left out, since it could be copied.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from promptpredict.columns import shown_columns
from promptpredict.leaks import number_of
from promptpredict.prompt import PromptFile
from promptpredict.records import Record
from promptpredict.rendered import Prompt
from promptpredict.results import Flag
from promptpredict.scores import Labels, LanguageModel
from promptpredict.values import Value, show

MIN_ROWS = 20
COLUMNS = 3
MIN_VALUES = 20  # of a column: between few values, ordinary correlation decides
BEFORE = 2  # columns to be shown in front of one
NEAR = 10  # places that the other value is away at most, in the order of the column's values
# The own row makes its value e^0.5 = 1.6 times as likely against a near one. A model that has not
# read the table is at 0, give or take the interval, which must lie above 0 besides.
LARGE = 0.5
_KEY = re.compile(r"(?i:(^|[^a-z])(id|uuid|guid|key))$|ID$|Id$|^(?i:row ?_?(number|no|id)?)$")
_Table = Mapping[str, Sequence[Value]]


def memorised(
    lm: LanguageModel,
    prompt_file: PromptFile,
    records: Sequence[Record],
    *,
    rows: int = 100,
    seed: int = 0,
) -> Flag | None:
    """Return a flag where the language model knows rows of the table by heart.

    ``records`` are training rows, of which ``rows`` are tried, with up to six prompts each; text
    columns and ids are not used. None as well where the table has no column of many numbers or
    dates to try it on, and below 20 rows.
    """
    from scipy import stats

    table = _structured(records, prompt_file)
    asked = list(_asked(table, len(records), rows, np.random.default_rng(seed)))
    if len({each.row for each in asked}) < MIN_ROWS:
        return None
    labels = [Labels({"real": [each.real], "other": [each.other]}) for each in asked]
    scores = lm.score([each.prompt for each in asked], labels)
    means = _gains(asked, scores.logprobs.astype(np.float64))
    if len(means) < MIN_ROWS:
        return None
    mean, error = float(np.mean(means)), float(stats.sem(means))
    low, high = (mean, mean) if error == 0 else stats.t.interval(0.95, len(means) - 1, mean, error)
    if mean < LARGE or low <= 0:
        return None
    columns = ", ".join(f"'{column}'" for column in sorted({each.column for each in asked}))
    text = (
        f"the language model knows rows of this table by heart: in {columns} it finds the own "
        f"value of a row {np.exp(mean):,.1f} times as likely below the row's other values as "
        f"below mixed ones ({len(means):,} training rows; {mean:+.2f} nats, 95 % {low:+.2f} to "
        f"{high:+.2f}), so its figures here may not hold for other customers; possible: a table "
        "that was never published"
    )
    return Flag(kind="memorised", column=None, text=text)


def _gains(asked: Sequence[_Asked], logprobs: npt.NDArray[np.float64]) -> list[float]:
    """Return for each row how much more its own value gains below its own values, in nats.

    ``logprobs`` (n, 2) are those of the own value and the other; a row without any is left out.
    """
    pairs: dict[tuple[int, str], list[float]] = {}
    for each, (real, other) in zip(asked, logprobs, strict=True):
        pairs.setdefault((each.row, each.column), []).append(real - other)
    by_row: dict[int, list[float]] = {}
    for (row, _), (own, mixed) in pairs.items():
        if np.isfinite(own - mixed):
            by_row.setdefault(row, []).append(own - mixed)
    return [float(np.mean(gains)) for gains in by_row.values()]


# -- what is asked -----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Asked:
    """The own value of a row and another, below its own values or below mixed ones."""

    row: int
    column: str
    real: str
    other: str
    prompt: Prompt


def _structured(records: Sequence[Record], prompt_file: PromptFile) -> _Table:
    return {
        column: [record.values[column] for record in records]
        for column in shown_columns(prompt_file, records[0].values if records else ())
        if not _KEY.search(column)
    }


def _asked(table: _Table, count: int, rows: int, rng: np.random.Generator) -> Iterator[_Asked]:
    """Yield what is asked of some rows: of each, below its own values, then below mixed ones.

    The prompts of a row in that order begin alike, so they are read in one go.
    """
    texts = {
        column: ["" if cell is None else show(cell) for cell in cells]
        for column, cells in table.items()
    }
    orders = {column: _in_order(cells) for column, cells in list(table.items())[BEFORE:]}
    many = [column for column, order in orders.items() if len(order) >= MIN_VALUES]
    most = set(sorted(many, key=lambda column: -len(orders[column]))[:COLUMNS])
    for row in rng.permutation(count)[:rows].tolist():
        own = {column: cells[row] for column, cells in texts.items()}
        mixed = {column: cells[rng.integers(count)] for column, cells in texts.items()}
        below: list[tuple[list[_Asked], dict[str, str]]] = [([], own), ([], mixed)]
        for at, column in enumerate(texts):
            real = own[column]
            other = _near(orders[column], real, rng) if column in most else None
            shown = [set(list(values.values())[:at]) for values in (own, mixed)]
            if other and not {real, other} & set.union(*shown):
                for found, values in below:
                    prompt = _prompt(list(values.items())[:at], column)
                    found.append(_Asked(row, column, real, other, prompt))
        for found, _ in below:
            yield from found


def _in_order(cells: Sequence[Value]) -> list[str]:
    """Return the values of a column as text, ascending; none where one is no number and no date."""
    places = {show(cell): number_of(cell) for cell in cells if cell is not None}
    return [] if np.isnan([*places.values()]).any() else sorted(places, key=places.__getitem__)


def _near(order: Sequence[str], real: str, rng: np.random.Generator) -> str | None:
    """Return another value, written alike, to stand against one; None where there is none."""
    if real not in order:
        return None
    at = order.index(real)
    near = order[max(0, at - NEAR) : at + NEAR + 1]
    others = [text for text in near if text != real and _shape(text) == _shape(real)]
    return str(rng.choice(others)) if others else None


def _shape(text: str) -> str:
    return re.sub(r"\d", "0", text)


def _prompt(values: Sequence[tuple[str, str]], column: str) -> Prompt:
    lines = [f"{name}: {text}" for name, text in values if text]
    return Prompt("You complete rows of a table.", (), "\n".join(lines), f"{column}:")
