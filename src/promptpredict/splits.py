"""Which rows test, which may train, and which of those an approach may use.

Knows labels and seeds; knows nothing of records' content, prompts or models.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from promptpredict.errors import DataError

BY_SHARE = 16  # the budget from which a draw has the labels' own shares; below, it is balanced
Rows = npt.NDArray[np.intp]


def split(labels: Sequence[str], *, max_test: int, seed: int) -> tuple[Rows, Rows]:
    """Return training and test rows, stratified by label: at most ``max_test``, at most half.

    Raises DataError where a label has fewer than four rows, too few for both sides.
    """
    from sklearn.model_selection import train_test_split

    check_split(labels)
    size = min(max_test, len(labels) // 2)
    if size < len(set(labels)):
        raise DataError(
            f"{size:,} test rows are fewer than the {len(set(labels)):,} labels; "
            "possible: a larger --max-test"
        )
    train, test = train_test_split(
        np.arange(len(labels)), test_size=size, stratify=labels, random_state=seed
    )
    return np.sort(train), np.sort(test)


def check_split(labels: Sequence[str]) -> None:
    """Raise DataError where rows of these labels cannot be split."""
    keys, counts = np.unique(np.asarray(labels), return_counts=True)
    if len(keys) < 2:
        raise DataError(
            f"every row has the label '{keys[0]}'; a comparison needs rows of two labels or more"
        )
    if counts.min() < 4:
        rare = keys[counts.argmin()]
        raise DataError(
            f"the label '{rare}' has {counts.min()} rows; a comparison needs four of each label"
        )


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

    What is left goes first to labels with fewer than two rows, then to the one that is furthest
    from its share.
    """
    shares = sizes / sizes.sum() if budget >= BY_SHARE else np.full(len(sizes), 1 / len(sizes))
    counts = before.copy()
    for _ in range(budget - counts.sum()):
        few = np.where(counts < 2, len(shares) * budget - counts, 0)  # before any gap of a share
        gap = np.where(counts < sizes, shares * budget - counts + few, -np.inf)
        counts[gap.argmax()] += 1
    return counts
