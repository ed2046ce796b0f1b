"""The parts of a record that a prompt shows and that can be taken out: fields, and sentences of texts.

Knows records and prompt files; knows nothing of scores. A part that is out is not shown: a field of
``customer.fields`` has no line, one that the file names is missing there, a sentence leaves no gap.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Literal

from pydantic import BaseModel

from promptpredict.columns import shown_columns, shown_texts
from promptpredict.errors import DataError
from promptpredict.prompt import PromptFile
from promptpredict.records import Record
from promptpredict.sentences import Span, sentences, without
from promptpredict.spacing import plain
from promptpredict.values import Value, show

MOST_SENTENCES = 20  # of one text; neighbours are joined where there are more


class Part(BaseModel, frozen=True):
    """What may be a reason.

    ``name`` is the field's in the prompt, or the text column's; ``text`` what the customer has there:
    the value, or a sentence at ``span`` of its column. A ``text`` stands for all its sentences.
    """

    kind: Literal["field", "sentence", "text"]
    column: str
    name: str
    text: str
    span: Span | None = None

    @property
    def of(self) -> Literal["field", "text"]:
        """Whether it is a field, or of a text."""
        return "field" if self.kind == "field" else "text"

    def describe(self, most: int = 60) -> str:
        """Return it in words: ``contract: monthly``, or a sentence in quotes, cut to ``most`` letters."""
        text = plain(self.text, most)
        if self.kind == "text":
            return f"all of {self.name}"
        return f"“{text}”" if self.kind == "sentence" else f"{self.name}: {text}"


def parts_of(prompt_file: PromptFile, record: Record) -> list[Part]:
    """Return the parts of a record, as the prompt shows them; what is missing is no part."""
    found = []
    for column in shown_columns(prompt_file, record.values):
        value = record.values[column]
        if value is not None:
            name, text = prompt_file.look(column).name or column, shown(prompt_file, column, value)
            found.append(Part(kind="field", column=column, name=name, text=text))
    for column in shown_texts(prompt_file):
        found += _of_text(column, record.values.get(column))
    return found


def shown(prompt_file: PromptFile, column: str, value: Value) -> str:
    """Return a value as ``customer.fields`` shows it; one that a text shows itself may not suit that."""
    try:
        return prompt_file.shown(column, value)
    except DataError:
        return show(value, unit=prompt_file.look(column).unit)


def suits(prompt_file: PromptFile, column: str, value: Value) -> bool:
    """Whether ``customer.fields`` can show a value in a column: not where its format is for others."""
    try:
        prompt_file.shown(column, value)
    except DataError:
        return False
    return True


def _of_text(column: str, value: Value) -> list[Part]:
    """Return the sentences of a text, and where there are several the text itself."""
    if value is None:
        return []
    text = str(value)
    spans = sentences(text, MOST_SENTENCES)
    found = [
        Part(kind="sentence", column=column, name=column, text=text[first:end], span=(first, end))
        for first, end in spans
    ]
    if len(found) > 1:
        found.append(Part(kind="text", column=column, name=column, text=text))
    return found


def taken_out(
    prompt_file: PromptFile,
    record: Record,
    parts: Sequence[Part],
    typical: Mapping[str, Value] | None = None,
) -> Record:
    """Return a record without some of its parts; with ``typical``, fields have that value instead."""
    values = dict(record.values)
    cuts: dict[str, list[Span]] = {}
    for part in parts:
        if part.kind == "text":
            values[part.column] = None
        elif part.span is not None:
            cuts.setdefault(part.column, []).append(part.span)
        elif typical is not None:
            values[part.column] = typical.get(part.column)
        elif part.column in prompt_file.needed:
            values[part.column] = None
        else:
            del values[part.column]
    for column, spans in cuts.items():
        if values[column] is not None:
            values[column] = without(str(values[column]), spans) or None
    return replace(record, values=values, whole=record.whole or record)


def typical_values(prompt_file: PromptFile, records: Sequence[Record]) -> dict[str, Value]:
    """Return what is typical of each column: the median of numbers and dates, else the most frequent.

    The median is a value that occurs, and all are such as the prompt can show. None where most
    records have none.
    """
    found: dict[str, Value] = {}
    for column in dict.fromkeys(name for record in records for name in record.values):
        every = [record.values.get(column) for record in records]
        values = [value for value in every if value is None or suits(prompt_file, column, value)]
        known = [value for value in values if value is not None]
        if 2 * len(known) < len(values) or not known:
            found[column] = None
        elif ordered := ordered_of(known):
            found[column] = ordered[(len(ordered) - 1) // 2]
        else:
            found[column] = Counter(known).most_common(1)[0][0]
    return found


def ordered_of(values: Sequence[Value]) -> list[Value]:
    """Return the numbers among values, or the dates, in order, where most values are such.

    A word or two among numbers, "unknown" or "3 or more", make no words of them.
    """
    for kind in ((int, float), (date,)):
        found = [value for value in values if isinstance(value, kind)]
        if 2 * len(found) > len(values):
            return sorted(found, key=order_of)
    return []


def order_of(value: Value) -> float | str:
    """Return what numbers, or dates, are sorted by: days and moments have one order as text."""
    return float(value) if isinstance(value, int | float) else str(value)
