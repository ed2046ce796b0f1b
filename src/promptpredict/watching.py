"""How far the scores of a run have moved from those of the one before: a count in bins, and PSI.

Knows label log-probabilities; knows nothing of files or prompts. What is counted comes from the
language model before any calibration, which would hide a change of level.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

BIN = 0.1  # log-odds
_MOST = 500  # bins on either side of 0
_GROUPS = 10
MIN_ROWS = 200  # of either run: of fewer, chance alone moves the index past the usual bound of .25


def counted(logprobs: npt.NDArray[np.float32], column: int | None) -> Counter[int]:
    """Return in which bins the scores of rows (n, k) fall; rows that are not finite in none.

    With two labels a bin is a tenth of the log-odds of the label at ``column``; with more it is
    the most probable label.
    """
    rows = logprobs[np.isfinite(logprobs).all(axis=1)].astype(float)
    if column is None:
        return Counter(rows.argmax(axis=1).tolist())
    odds = rows[:, column] - rows[:, 1 - column]
    return Counter(np.clip(np.floor(odds / BIN), -_MOST, _MOST).astype(int).tolist())


def drift(then: Mapping[int, int], now: Mapping[int, int]) -> float | None:
    """Return the population stability index of two counts in bins: Σ (q - p) ln(q / p).

    p and q are the shares of ten groups of bins, or fewer, with about as many rows each in
    ``then``; half a row is added to each, so that an empty one has a finite share. None where there
    are too few rows.
    """
    if min(sum(then.values()), sum(now.values())) < MIN_ROWS:
        return None
    groups = _groups(then)
    shares = []
    for counts in (then, now):
        found = [0.5] * len(groups)
        for each, count in counts.items():
            found[min(bisect_left(groups, each), len(groups) - 1)] += count
        shares.append(np.array(found) / sum(found))
    before, after = shares
    return float(((after - before) * np.log(after / before)).sum())


def _groups(counts: Mapping[int, int]) -> list[int]:
    """Return the last bin of each group."""
    total, seen = sum(counts.values()), 0
    groups: list[int] = []
    for each in sorted(counts):
        seen += counts[each]
        if seen * _GROUPS >= total * (len(groups) + 1):
            groups.append(each)
    return groups
