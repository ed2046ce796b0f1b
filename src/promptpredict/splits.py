"""Which rows test, which may train, and which of those an approach may use.

Knows labels and seeds; knows nothing of records' content, prompts or models.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from promptpredict.errors import DataError

Rows = npt.NDArray[np.intp]


def split(labels: Sequence[str], *, max_test: int, seed: int) -> tuple[Rows, Rows]:
    """Return training and test rows, stratified by label: at most ``max_test``, at most half.

    Raises DataError where a label has fewer than four rows, too few for both sides.
    """
    from sklearn.model_selection import train_test_split

    keys, counts = np.unique(np.asarray(labels), return_counts=True)
    if len(keys) < 2:
        raise DataError(f"every row has the label '{keys[0]}'; a comparison needs rows of two labels or more")
    if counts.min() < 4:
        rare = keys[counts.argmin()]
        raise DataError(f"the label '{rare}' has {counts.min()} rows; a comparison needs four of each label or more")
    size = min(max_test, len(labels) // 2)
    train, test = train_test_split(np.arange(len(labels)), test_size=size, stratify=labels, random_state=seed)
    return np.sort(train), np.sort(test)


def draws(labels: Sequence[str], budgets: Sequence[int], *, seed: int) -> dict[int, Rows]:
    """Return rows for each label budget, nested: the rows of 16 are among those of 64.

    4 labels are drawn as evenly as can be; from 16 on the labels have their own shares, but at
    least 2 rows each. A budget above the number of rows is left out.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    groups: dict[str, list[int]] = {}
    for row in order:
        groups.setdefault(labels[row], []).append(int(row))
    keys = sorted(groups)
    shares = np.array([len(groups[key]) for key in keys]) / len(labels)
    found: dict[int, Rows] = {}
    least = np.zeros(len(keys), dtype=int)
    for budget in sorted(set(budgets)):
        if not 0 < budget <= len(labels):
            continue
        counts = _counts(budget, shares, least, np.array([len(groups[key]) for key in keys]))
        found[budget] = np.array([row for key, count in zip(keys, counts, strict=True) for row in groups[key][:count]])
        least = counts
    return found


def _counts(budget: int, shares: npt.NDArray[np.float64], least: Rows, most: Rows) -> Rows:
    """Return how many rows of each label make up a budget, never fewer than ``least``."""
    wanted = shares * budget if budget >= 16 else np.full(len(shares), budget / len(shares))
    counts = np.maximum(np.floor(wanted).astype(int), np.maximum(least, min(2, budget // len(shares))))
    counts = np.minimum(counts, most)
    while counts.sum() != budget:
        room = counts < most if counts.sum() < budget else counts > np.maximum(least, 1)
        if not room.any():
            break
        gap = np.where(room, wanted - counts, np.nan)
        counts[np.nanargmax(gap) if counts.sum() < budget else np.nanargmin(gap)] += np.sign(budget - counts.sum())
    return counts
