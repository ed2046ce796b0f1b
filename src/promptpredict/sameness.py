"""Which records are the same customer: by id, by all that a prompt shows, by group.

Knows records and prompt files; knows nothing of shots, splits or labels.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from promptpredict.prompt import PromptFile
from promptpredict.records import Record


def content(prompt_file: PromptFile, record: Record) -> Hashable:
    """Return what a prompt can show of a record besides its id, whatever the order of columns.

    Two records of the same content are the same customer to a language model, and to an encoder.
    """
    return frozenset(
        (column, value)
        for column, value in record.values.items()
        if value is not None and prompt_file.shows(column)
    )


def marks(prompt_file: PromptFile, record: Record) -> list[Hashable]:
    """Return what tells a customer: its content, its id where the table has one, its group.

    Not ``record.id``: without an id column that counts rows, and row 1 of another table is
    another customer.
    """
    id = record.values.get(prompt_file.front.id or "")
    same: Hashable = content(prompt_file, record)
    found = [same] if id is None else [same, ("id", str(id))]
    return found if record.group is None else [*found, ("group", record.group)]


def customers_of(prompt_file: PromptFile, records: Sequence[Record]) -> list[str] | None:
    """Return the customer of each record (n,), as the place of its first; None where all differ."""
    from scipy.cluster.hierarchy import DisjointSet

    first: dict[Hashable, int] = {}  # mark → a record that has it
    same = DisjointSet(range(len(records)))
    for place, record in enumerate(records):
        for mark in marks(prompt_file, record):
            same.merge(place, first.setdefault(mark, place))
    if same.n_subsets == len(records):
        return None
    customers = {place: str(min(some)) for some in same.subsets() for place in some}
    return [customers[place] for place in range(len(records))]
