"""Which rows test, which may train, and which of those an approach may use.

Knows labels, groups, times and seeds; knows nothing of records' content, prompts or models. Three
promises: no row and no group stands on both sides, no row trains that is newer than a test row,
and each side has rows of every label.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from promptpredict.errors import DataError
from promptpredict.plural import counted
from promptpredict.times import cell_texts, read_times

FEW = 16  # labels, from which on a draw has their own shares; below, it is balanced
GROUP_DRAWS = 50  # of whole groups, of which the one nearest to the labels' shares tests
Rows = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Split:
    """Rows that train and rows that test, as sorted indices from 0; ``fold`` counts from 0.

    ``left_out`` older rows do neither, because rows of their group test.
    """

    train: Rows
    test: Rows
    fold: int = 0
    left_out: int = 0


def make_splits(
    labels: Sequence[str],
    *,
    folds: int | None,
    max_test: int,
    seed: int,
    groups: Sequence[Any] | None = None,
    times: Sequence[Any] | None = None,
    numbers: Sequence[int] | None = None,
) -> list[Split]:
    """Return one split, or one for each fold; indices count the labels from 0.

    Without ``folds`` at most ``max_test`` rows test, and at most half: stratified by label, or
    with ``times`` the newest. With ``folds`` every row tests once, whatever ``max_test``.
    ``groups`` and ``times`` are cells of a column; ``numbers`` are the table's rows, for faults.
    Raises DataError for what cannot be split so.
    """
    at = list(range(1, len(labels) + 1)) if numbers is None else numbers
    check_split(labels)
    of = None if groups is None else _groups(groups, at)
    if times is not None and folds is not None:
        raise DataError(
            "folds and times exclude each other: a fold would train on rows newer than those it "
            "tests; possible: one of the two"
        )
    if folds is not None:
        splits = _folds(labels, of, folds, seed)
    elif times is not None:
        splits = [_newest(read_times(times, at), of, _size(labels, max_test))]
    elif of is not None:
        splits = [_whole_groups(labels, of, _size(labels, max_test), seed)]
    else:
        splits = [Split(*split(labels, max_test=max_test, seed=seed))]
    for each in splits:
        check_disjoint(each, of)
        _check_sides(each, labels, folds)
    return splits


def split(labels: Sequence[str], *, max_test: int, seed: int) -> tuple[Rows, Rows]:
    """Return training and test rows, stratified by label: at most ``max_test``, at most half.

    Raises DataError where a label has fewer than four rows, too few for both sides.
    """
    from sklearn.model_selection import train_test_split

    check_split(labels)
    train, test = train_test_split(
        np.arange(len(labels)),
        test_size=_size(labels, max_test),
        stratify=labels,
        random_state=seed,
    )
    return np.sort(train), np.sort(test)


def check_split(labels: Sequence[str]) -> None:
    """Raise DataError where rows of these labels cannot be split."""
    keys, counts = np.unique(np.asarray(labels), return_counts=True)
    if not len(keys):
        raise DataError("no labelled row is left; a comparison needs rows of two labels or more")
    if len(keys) < 2:
        raise DataError(
            f"every row has the label '{keys[0]}'; a comparison needs rows of two labels or more"
        )
    if counts.min() < 4:
        rare = keys[counts.argmin()]
        raise DataError(
            f"the label '{rare}' has {counts.min()} rows; a comparison needs four of each label"
        )


def check_disjoint(split: Split, groups: Sequence[Hashable] | None = None) -> None:
    """Raise RuntimeError if a row or a group stands on both sides: a fault of ours."""
    sides = {"row": (split.train.tolist(), split.test.tolist())}
    if groups is not None:
        train, test = ([groups[row] for row in side] for side in sides["row"])
        sides["group"] = train, test
    for what, (train, test) in sides.items():
        if both := set(train).intersection(test):
            raise RuntimeError(f"{what} {min(map(str, both))} both trains and tests")


def duplicates(split: Split, contents: Sequence[Hashable]) -> list[int]:
    """Return the test rows whose content also stands among the training rows."""
    seen = {contents[row] for row in split.train}
    return [int(row) for row in split.test if contents[row] in seen]


# -- ways to split -----------------------------------------------------------------------------


def _size(labels: Sequence[str], max_test: int) -> int:
    """Return how many rows may test."""
    size = min(max_test, len(labels) // 2)
    if size < len(set(labels)):
        raise DataError(
            f"{size:,} test rows are fewer than the {len(set(labels)):,} labels; "
            "possible: a larger --max-test"
        )
    return size


def _folds(labels: Sequence[str], groups: list[str] | None, folds: int, seed: int) -> list[Split]:
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    keys, counts = np.unique(np.asarray(labels), return_counts=True)
    most, rare = int(counts.min()), keys[counts.argmin()]
    what = f"the label '{rare}' has {counted(most, 'row')}"
    if groups is not None and len(set(groups)) < most:
        most = len(set(groups))
        what = f"there are {counted(most, 'group')}"
    if not 2 <= folds <= most:
        raise DataError(f"{folds:,} folds cannot be made: {what}; possible: 2 to {most:,} folds")
    kind = StratifiedKFold if groups is None else StratifiedGroupKFold
    folded = kind(n_splits=folds, shuffle=True, random_state=seed)
    pairs = folded.split(np.zeros(len(labels)), list(labels), groups)
    return [Split(train, test, fold) for fold, (train, test) in enumerate(pairs)]


def _whole_groups(labels: Sequence[str], groups: list[str], size: int, seed: int) -> Split:
    """Return the draw of whole groups whose test rows are nearest to a stratified ``size``.

    Not a fold of StratifiedGroupKFold: it takes minutes where a few rows of many groups test.
    """
    from sklearn.model_selection import GroupShuffleSplit

    y = np.unique(np.asarray(labels), return_inverse=True)[1]
    counts = np.bincount(y)
    wanted = counts * size / len(labels)
    count = max(1, int(len(set(groups)) * size / len(labels)))
    draws = GroupShuffleSplit(GROUP_DRAWS, test_size=count, random_state=seed)
    found: list[tuple[float, Split]] = []
    for train, test in draws.split(y, groups=groups):
        tested = np.bincount(y[test], minlength=len(counts))
        if len(test) <= size and tested.all() and (counts - tested >= 2).all():
            found.append((float(np.abs(tested - wanted).sum()), Split(train, test)))
    if not found:
        raise DataError(
            f"the {len(set(groups)):,} groups cannot be parted into at most {size:,} test rows "
            "and the rest with every label on both sides; possible: smaller groups, or none"
        )
    return min(found, key=lambda each: each[0])[1]


def _newest(times: npt.NDArray[Any], groups: list[str] | None, size: int) -> Split:
    """Let the newest rows test, at most ``size``; rows of one time stay together."""
    first_left = np.sort(times)[::-1][size]  # the newest row that would be one too many
    newer = times > first_left
    if not newer.any():
        raise DataError(
            f"{(times == first_left).sum():,} rows have the newest time, and at most {size:,} "
            "rows may test; possible: finer times, a larger --max-test"
        )
    older = ~newer
    if groups is not None:
        tested = {groups[row] for row in np.flatnonzero(newer)}
        older &= np.array([group not in tested for group in groups])
    out = len(times) - int(older.sum() + newer.sum())
    return Split(np.flatnonzero(older), np.flatnonzero(newer), left_out=out)


def _check_sides(split: Split, labels: Sequence[str], folds: int | None) -> None:
    """Raise DataError for a side that lacks a label; two rows to train, as calibration needs."""
    where = "" if folds is None else f" of fold {split.fold + 1}"
    for side, rows, least in (("training", split.train, 2), ("test", split.test, 1)):
        keys = [labels[row] for row in rows]
        for label in sorted(set(labels)):
            if (count := keys.count(label)) < least:
                raise DataError(
                    f"the {len(rows):,} {side} rows{where} have {count} of the label '{label}', "
                    f"and need {least}; possible: "
                    + ("another --max-test" if folds is None else "fewer folds, smaller groups")
                )


def _groups(cells: Sequence[Any], numbers: Sequence[int]) -> list[str]:
    groups = cell_texts(cells, numbers, "group")
    if len(set(groups)) < 2:
        raise DataError("every row is of one group; possible: a column of two groups or more")
    return groups


# -- label budgets -----------------------------------------------------------------------------


def draws(labels: Sequence[str], budgets: Sequence[int], *, seed: int) -> dict[int, Rows]:
    """Return rows for each label budget, nested: the rows of 16 are among those of 64.

    Below 16 labels are drawn as evenly as can be; from 16 on they have their own shares, but at
    least 2 rows each. A budget of 0, or above the number of rows, is left out.
    """
    groups: dict[str, list[int]] = {}
    for row in np.random.default_rng(seed).permutation(len(labels)).tolist():
        groups.setdefault(labels[row], []).append(row)
    keys = sorted(groups)
    sizes = np.array([len(groups[key]) for key in keys])
    found: dict[int, Rows] = {}
    counts = np.zeros(len(keys), dtype=int)
    for budget in sorted(set(budgets)):
        if 0 < budget <= len(labels):
            counts = _counts(budget, sizes, counts)
            taken = zip(keys, counts, strict=True)
            found[budget] = np.array([row for key, count in taken for row in groups[key][:count]])
    return found


def _counts(budget: int, sizes: Rows, before: Rows) -> Rows:
    """Return how many rows of each label make up a budget, those of the one ``before`` included.

    What is left goes first to labels without a row, then to those with one, then to the one that
    is furthest from its share.
    """
    shares = sizes / sizes.sum() if budget >= FEW else np.full(len(sizes), 1 / len(sizes))
    counts = before.copy()
    for _ in range(budget - counts.sum()):
        few = np.clip(2 - counts, 0, None) * 2 * budget  # before any gap of a share
        gap = np.where(counts < sizes, shares * budget - counts + few, -np.inf)
        counts[gap.argmax()] += 1
    return counts
