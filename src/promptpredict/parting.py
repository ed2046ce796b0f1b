"""Which labelled records train an adapter, and which are held out: they stop it, and calibrate.

Knows labels, groups and which records are the same customer; knows nothing of models, and does not
import torch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from promptpredict.calibration import columns_of
from promptpredict.errors import DataError
from promptpredict.heads import stratified
from promptpredict.prompt import PromptFile
from promptpredict.records import Record, groups_of
from promptpredict.sameness import customers_of

LEAST = 16  # labelled rows, of which half are held out
HELD = 8  # rows at least that say when to stop, and calibrate
Columns = npt.NDArray[np.intp]


def part(
    prompt_file: PromptFile, records: Sequence[Record], share: float, seed: int
) -> tuple[list[int], list[int]]:
    """Return the places of records that train, and of those held out: a share of each label, 8 at least.

    Records of one group stand on one side, and those of one customer, but for one who has all rows of
    a label. Raises DataError where there are too few.
    """
    labels = list(prompt_file.words)
    columns = columns_of([prompt_file.label_of(record.label) for record in records], labels)
    counts = np.bincount(columns, minlength=len(labels))
    for label, count in zip(labels, counts.tolist(), strict=True):
        if count < 2:
            raise DataError(
                f"{count} of {len(columns):,} labelled rows {'has' if count == 1 else 'have'} the "
                f"label '{label}'; an adapter needs 2 of each label, one to train and one to judge"
            )
    if len(columns) < LEAST:
        raise DataError(f"there are {len(columns)} labelled rows; an adapter needs {LEAST} or more")
    groups, customers = groups_of(records), customers_of(prompt_file, records)
    if groups is None:
        held = _drawn(columns, counts, share, seed, customers)
    else:
        held = _drawn_groups(columns, customers or groups, seed)
        held = held or _drawn_groups(columns, groups, seed)
    if not held:
        raise DataError(
            "the groups of the labelled rows cannot be parted so that every label both trains "
            f"and is held out, with {HELD} rows or more on both sides; possible: more groups, or none"
        )
    every = range(len(columns))
    return [row for row in every if row not in held], [row for row in every if row in held]


def _drawn_groups(columns: Columns, groups: Sequence[str], seed: int) -> set[int]:
    """Draw groups to be held out: a fifth of the rows, and more until these are 8 and of every label.

    None of them where no groups do that and leave every label to train on.
    """
    held: set[int] = set()
    # The smallest first: a group of most rows is to train.
    for _, fold in sorted(stratified(columns, seed, groups) or (), key=lambda each: len(each[1])):
        held |= set(fold.tolist())
        left = [row for row in range(len(columns)) if row not in held]
        sides = [set(columns[sorted(held)].tolist()), set(columns[left].tolist())]
        if len(held) >= HELD and len(left) >= HELD and sides == [set(columns.tolist())] * 2:
            return held
    return set()


def _drawn(
    columns: Columns, counts: Columns, share: float, seed: int, customers: Sequence[str] | None
) -> set[int]:
    """Draw rows to be held out: of each label a share, one at least, and one is left.

    Rows of one customer go together, but for one who has all rows of a label.
    """
    taken = np.clip(np.rint(share * counts).astype(int), 1, counts - 1)
    while taken.sum() < HELD:
        taken[(counts - 1 - taken).argmax()] += 1
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(np.flatnonzero(columns == label)) for label in range(len(counts))]
    of: dict[str, list[int]] = {}
    for row, customer in enumerate(customers or ()):
        of.setdefault(customer, []).append(row)
    held: set[int] = set()
    found = np.zeros_like(counts)  # rows of each label that are held

    def hold(label: int, *, together: bool) -> None:
        for row in orders[label].tolist():
            rows = of[customers[row]] if customers and together else [row]
            if len(rows) > taken.sum():
                continue  # who has most rows is to train
            more = np.bincount(columns[rows], minlength=len(counts))
            if found[label] < taken[label] and row not in held and (found + more < counts).all():
                held.update(rows)
                found[:] += more

    for label in range(len(counts)):
        hold(label, together=True)
    for label in range(len(counts)):
        if not found[label] or len(held) < HELD:
            hold(label, together=False)
    return held
