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
    size = min(max_test, len(labels) // 2)
    train, test = train_test_split(
        np.arange(len(labels)), test_size=size, stratify=labels, random_state=seed
    )
    return np.sort(train), np.sort(test)


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


def _counts(budget: int, sizes: Rows, least: Rows) -> Rows:
    """Return how many rows of each label make up a budget, never fewer than ``least``."""
    k = len(sizes)
    shares = sizes / sizes.sum() if budget >= BY_SHARE else np.full(k, 1 / k)
    wanted = shares * budget
    least = np.maximum(least, min(2, budget // k))
    counts = np.minimum(np.maximum(np.floor(wanted).astype(int), least), sizes)
    while counts.sum() < budget:
        counts[np.where(counts < sizes, wanted - counts, -np.inf).argmax()] += 1
    while counts.sum() > budget and (counts > least).any():
        counts[np.where(counts > least, wanted - counts, np.inf).argmin()] -= 1
    return np.asarray(counts)
