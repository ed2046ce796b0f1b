"""Prompt files with `numbers: placed`, given places; and what is said of those that get none.

Knows prompt files and records; knows nothing of marks, tables or commands' order.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from promptpredict.plural import counted
from promptpredict.prompt import PromptFile
from promptpredict.records import Record
from promptpredict.standing import LEAST_RECORDS, LEAST_VALUES

_ROUNDED = "its numbers are only rounded"


def placed_files(
    files: Sequence[PromptFile], records: Sequence[Record] | None
) -> tuple[list[PromptFile], list[str]]:
    """Return prompt files with the places of numbers among records, and a line for each without.

    None are the records of a command without --train. Files of other ``numbers`` are as they were.
    """
    found = [file if records is None else file.placed(records) for file in files]
    return found, [note for file in found if (note := unplaced(file))]


def placed_for_fit(file: PromptFile, records: Sequence[Record]) -> PromptFile:
    """Return a prompt file for an estimator; one whose places are known already keeps them.

    Warns where its numbers get no places.
    """
    if file.front.numbers != "placed" or file.standing is not None:
        return file
    found = file.placed(records)
    if note := unplaced(found):
        warnings.warn(note, stacklevel=2)
    return found


def unplaced(file: PromptFile) -> str | None:
    """Return why the numbers of a prompt file have no places; None where some have, or none should."""
    standing = file.standing
    if file.front.numbers != "placed" or (standing and standing.columns):
        return None
    if standing is None:
        return (
            f"{file.name} has numbers: placed, which needs records to learn places from (--train "
            f"LABELLED); {_ROUNDED}"
        )
    if standing.records < LEAST_RECORDS:
        return (
            f"{file.name} has numbers: placed, and places are learned from {LEAST_RECORDS} records "
            f"or more; there {'is' if standing.records == 1 else 'are'} {counted(standing.records, 'record')}, and {_ROUNDED}"
        )
    return (
        f"{file.name} has numbers: placed, and no column of {counted(standing.records, 'record')} has "
        f"{LEAST_VALUES} different numbers; {_ROUNDED}"
    )
