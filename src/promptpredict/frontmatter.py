"""The front matter of a prompt file: merged with its parents', checked.

Knows which keys there are and which go together. Knows nothing of blocks, tables or models; how
YAML is read, `plainyaml` knows. Scalars are typed by the schema alone; every fault is one line that
names the file and, where it is known, the line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    ValidationError,
)

from promptpredict.errors import PromptError, nearest
from promptpredict.plainyaml import KeyPath, Raw, as_list, located
from promptpredict.rates import checked_rate, rate_faults
from promptpredict.values import spelling, written

Name = Annotated[str, Field(min_length=1)]


Word = Annotated[str, AfterValidator(str.strip), Field(min_length=1)]
Words = Annotated[list[Word], BeforeValidator(as_list), Field(min_length=1)]
Columns = Annotated[list[Name], BeforeValidator(as_list)]


def _kind(rate: object) -> str:
    return "shares" if isinstance(rate, dict) else "number"


# One number, or a share for each label; told apart first, so that a fault is one of its own kind.
BaseRate = Annotated[
    Annotated[float, Tag("number")] | Annotated[dict[str, float], Tag("shares")],
    Discriminator(_kind),
]


class _Strict(BaseModel, extra="forbid", frozen=True):
    pass


class Column(_Strict):
    """How a column reads in ``customer.fields``."""

    name: str = ""
    unit: str = ""
    format: str = ""


class Question(_Strict):
    """A side question of the panel; ``words`` are the one for and the one against."""

    question: Word
    answer: str = ""
    words: Annotated[list[Word], Field(min_length=2, max_length=2)]


class Bins(_Strict):
    """The ordered answers of a regression; ``edges`` are one more than ``words``."""

    words: Annotated[list[Word], Field(min_length=2)]
    edges: list[Annotated[float, Field(allow_inf_nan=False)]] | None = None


class FrontMatter(_Strict):
    """The merged front matter of a prompt file and its parents, checked."""

    task: Literal["binary", "multiclass", "regression"]
    target: Name
    labels: dict[str, Words] = {}
    positive: str | None = None
    id: Name | None = None
    text: Columns = []
    ignore: Columns = []
    base_rate: BaseRate | None = None
    fields: dict[str, Column] = {}
    panel: dict[str, Question] = {}
    missing: Word = "not recorded"
    layout: Literal["turns", "one"] = "turns"
    join: Literal["", " "] | None = None
    bins: Bins | None = None
    numbers: Literal["plain", "rounded", "placed"] = "plain"
    version: str | None = None


# What a parent says of an outcome, which a child with another task has not.
OUTCOME = ("target", "labels", "positive", "base_rate", "bins")


def merge(child: Raw, parent: Raw) -> Raw:
    """Return the parent's front matter with the child's keys in place of its own.

    A child whose ``task`` is another takes over nothing of the parent's outcome.
    """
    values = dict(parent.values)
    replaced: set[KeyPath] = set()
    if child.values.get("task", values.get("task")) != values.get("task"):
        values = {key: value for key, value in values.items() if key not in OUTCOME}
        replaced = {(key,) for key in OUTCOME}
    for key, value in child.values.items():
        above = values.get(key)
        if key in ("fields", "panel") and isinstance(value, dict) and isinstance(above, dict):
            values[key] = above | value
            replaced |= {(key, inner) for inner in value}
        else:
            values[key] = value
            replaced.add((key,))
    kept = {
        path: place
        for path, place in parent.places.items()
        if path[:1] not in replaced and path[:2] not in replaced
    }
    return Raw(values, kept | child.places)


def validate(raw: Raw, name: str) -> FrontMatter:
    """Check a merged front matter; ``name`` is the file to blame for what is missing."""
    if not raw.values:
        raise PromptError(
            f"{name} has no front matter, the keys between two lines '---' at its top; "
            "possible: what `promptpredict prompts new` or `prompts copy` writes"
        )
    for path, text in _empty(raw.values):
        raise located(raw, name, path, text)
    given = {key: value for key, value in raw.values.items() if value is not None}
    try:
        front = FrontMatter.model_validate(given)
    except ValidationError as error:
        # A misspelt key is also a missing one: the misspelling is the cause.
        first = min(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
        key, *inner = first["loc"]
        # Behind base_rate pydantic names the kind of value that it took it for.
        loc = (key, *(inner[1:] if key == "base_rate" else inner))
        path = tuple(part for part in loc if isinstance(part, str))
        raise located(raw, name, path, _schema_text(path, first)) from None
    for path, text in _faults(front):
        raise located(raw, name, path, text)
    own: dict[str, Any] = {}
    if front.base_rate is not None:
        own["base_rate"] = checked_rate(front.base_rate, list(front.labels), what="'base_rate'")
    if front.positive is not None:
        positive = spelling(front.positive)
        own["positive"] = next(key for key in front.labels if spelling(key) == positive)
    return front.model_copy(update=own)


def _empty(value: object, path: KeyPath = ()) -> Iterator[tuple[KeyPath, str]]:
    """Yield the keys that have no value, where an empty one has no meaning."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _empty(inner, (*path, key))
    elif value is None and path not in {("text",), ("ignore",), ("fields",), ("panel",)}:
        text = f"'{'.'.join(path)}' has no value (an empty text, or one with '#', needs quotes)"
        yield path, text


_MODELS: dict[str, type[BaseModel]] = {"fields": Column, "panel": Question, "bins": Bins}
_KINDS = {
    "string_type": "a text",
    "list_type": "a list",
    "dict_type": "keys with values",
    "model_type": "keys with values",
}


def _schema_text(path: KeyPath, error: Any) -> str:
    """Say in our own words what pydantic found."""
    kind, found, where = error["type"], error["input"], ".".join(path)
    got = (
        f"'{found}'" if isinstance(found, str) else "a list" if isinstance(found, list) else "keys"
    )
    if kind == "extra_forbidden":
        allowed = list((FrontMatter if len(path) == 1 else _MODELS[path[0]]).model_fields)
        return f"unknown key '{where}'{nearest(path[-1], allowed)}; possible: {', '.join(allowed)}"
    if kind == "missing":
        return f"'{where}' is missing"
    if kind == "literal_error":
        close = nearest(str(found), re.findall(r"'(\w+)'", error["ctx"]["expected"]))
        return f"'{where}' must be {error['ctx']['expected']}, got {got}{close}"
    if not found or (isinstance(found, str) and found.isspace()):
        return f"'{where}' is empty"
    if kind in ("too_short", "too_long"):
        need = "exactly two" if path[0] == "panel" else "two or more"
        return f"'{where}' needs {need}, got {error['ctx']['actual_length']}"
    return f"'{where}' must be {_KINDS.get(kind, 'a number')}, got {got}"


def _faults(front: FrontMatter) -> Iterator[tuple[KeyPath, str]]:
    """Yield what the schema cannot see: keys that do not go together."""
    yield from _task_faults(front)
    yield from _label_faults(front)
    yield from _column_faults(front)
    for key, question in front.panel.items():
        yield from _twice(("panel", key, "words"), {key: question.words})
    if front.bins:
        yield from _twice(("bins", "words"), {"bins": front.bins.words})
        if front.bins.edges is not None:
            yield from _edge_faults(front.bins.edges, len(front.bins.words))
    if front.missing in ("nan", "None", "NaT", "<NA>"):
        yield ("missing",), f"'missing' may not be '{front.missing}', which reads as a fault"


def _task_faults(front: FrontMatter) -> Iterator[tuple[KeyPath, str]]:
    binary = front.task == "binary"
    fits = {
        "labels": front.task != "regression",
        "positive": binary,
        "base_rate": front.task != "regression",
        "bins": front.task == "regression",
    }
    for key, fitting in fits.items():
        given = getattr(front, key)
        if given and not fitting:
            yield (key,), f"'{key}' does not go with task: {front.task}"
        if not given and fitting and key != "base_rate":
            yield (), f"'{key}' is missing, which task: {front.task} needs"
    rate = front.base_rate
    if isinstance(rate, float) and front.task != "multiclass" and not 0 < rate < 1:
        yield ("base_rate",), f"'base_rate' must lie between 0 and 1, got {rate:g}"


def _label_faults(front: FrontMatter) -> Iterator[tuple[KeyPath, str]]:
    count = len(front.labels)
    if front.task == "binary" and count != 2:
        yield ("labels",), f"task: binary needs two labels, got {count}"
    if front.task == "multiclass" and count < 3:
        yield ("labels",), f"task: multiclass needs three labels or more, got {count}"
    keys: dict[str, str] = {}
    for key in front.labels:
        if written(key) is None:  # its rows would pass for unlabelled
            yield ("labels", key), f"'{key}' reads as a missing value; possible: another value"
        other = keys.setdefault(spelling(key), key)
        if other != key:
            yield ("labels", key), f"the labels '{other}' and '{key}' are spellings of one value"
    if front.positive is not None and spelling(front.positive) not in keys:
        possible = ", ".join(f"'{key}'" for key in front.labels)
        yield ("positive",), f"'positive' is '{front.positive}', not one of the labels {possible}"
    yield from _twice(("labels",), front.labels)
    if front.base_rate is not None:
        for share, text in rate_faults(front.base_rate, list(front.labels), what="'base_rate'"):
            yield ("base_rate", *([share] if share is not None else [])), text


def _twice(path: KeyPath, groups: dict[str, list[str]]) -> Iterator[tuple[KeyPath, str]]:
    """Yield words that stand twice: their probability would count twice, or for both sides."""
    seen: dict[str, str] = {}
    for key, words in groups.items():
        for word in words:
            other = seen.get(word.casefold())
            if other is not None:
                both = f"of both '{other}' and '{key}'" if other != key else f"twice in '{key}'"
                yield (*path, key), f"the word '{word}' (in any case) is {both}"
            seen[word.casefold()] = key


def _column_faults(front: FrontMatter) -> Iterator[tuple[KeyPath, str]]:
    roles: dict[str, str] = {front.target: "target"}
    columns: list[tuple[str, Sequence[str]]] = [
        ("id", [front.id] if front.id else []),
        ("text", front.text),
        ("ignore", front.ignore),
    ]
    for role, names in columns:
        for column in names:
            if other := roles.get(column):
                where = "twice in" if other == role else f"in '{other}' and in"
                yield (role,), f"column '{column}' is {where} '{role}'"
            roles[column] = role
    for column, look in front.fields.items():
        if look.format and not _suits_something(look.format):
            text = f"'{look.format}' is no format; possible: '.2f', ',', '.0%', '%Y-%m-%d', …"
            yield ("fields", column, "format"), text


def _suits_something(format: str) -> bool:
    for value in (0, 0.5, "text"):
        try:
            value.__format__(format)
        except ValueError:
            continue
        return True
    return "%" in format  # a date takes any text with '%' in it


def _edge_faults(edges: list[float], count: int) -> Iterator[tuple[KeyPath, str]]:
    if len(edges) != count + 1:
        text = f"'bins.edges' must hold {count + 1} numbers for {count} words, got {len(edges)}"
        yield ("bins", "edges"), text
    if any(low >= high for low, high in pairwise(edges)):
        yield ("bins", "edges"), "'bins.edges' must rise from each number to the next"
