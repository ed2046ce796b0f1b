"""The columns of records in another order: those with few values first, which many customers share.

Knows records and prompt files; knows nothing of tokens or scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from promptpredict.checking import Given
from promptpredict.errors import PromptError
from promptpredict.records import Block, Record


def check_order(given: Given) -> None:
    """Raise PromptError for a prompt file that names its columns itself: their order is its own."""
    for file in (given.prompt_file, *given.others):
        if not file.uses_fields:
            raise PromptError(
                f"{file.name} names each column that it shows, in an order of its own; --reorder "
                "is for files that list customer.fields"
            )


def in_order(given: Given, blocks: Sequence[Block]) -> tuple[Given, list[Block]]:
    """Return labelled records and blocks whose columns stand by how many values they have.

    The values are counted in the blocks; columns with as many keep their order.
    """
    records = [record for block in blocks for record in block.records]
    columns = list(records[0].values) if records else []
    counts = {column: len({record.values[column] for record in records}) for column in columns}
    order = sorted(columns, key=lambda column: counts[column])

    def moved(record: Record) -> Record:
        return replace(record, values=_in(order, record.values))

    return (
        replace(given, labelled=[moved(record) for record in given.labelled]),
        [replace(block, records=[moved(record) for record in block.records]) for block in blocks],
    )


def _in(order: Sequence[str], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values in an order; those of other columns come last."""
    first = {column: values[column] for column in order if column in values}
    return first | {column: value for column, value in values.items() if column not in first}
