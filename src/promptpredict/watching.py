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


def drift(then: Mapping[int, int], now: Mapping[int, int], *, labels: bool = False) -> float | None:
    """Return the population stability index of two counts in bins: Σ (q - p) ln(q / p).

    p and q are the shares of groups of bins, each with about a tenth of the rows of ``then``; with
    ``labels`` the bins are labels, and each is a group. Half a row is added to each, so that an empty
    one has a finite share. None where there are too few rows.
    """
    if min(sum(then.values()), sum(now.values())) < MIN_ROWS:
        return None
    ends = sorted({*then, *now})[:-1] if labels else _ends(then)
    shares = []
    for counts in (then, now):
        found = [0.5] * (len(ends) + 1)
        for each, count in counts.items():
            found[bisect_left(ends, each)] += count
        shares.append(np.array(found) / sum(found))
    before, after = shares
    return float(((after - before) * np.log(after / before)).sum())


def _ends(counts: Mapping[int, int]) -> list[int]:
    """Return the last bin of each group but the last group, which has no end.

    A bin with a tenth of the rows by itself is a group with its two neighbours, as a prompt that is
    read anew may move by a bin; what lies below and above is apart, even where nothing does yet.
    """
    tenth = sum(counts.values()) / _GROUPS
    ends: list[int] = []
    seen, held, lump = 0, 0, False
    for each in sorted(counts):
        seen += counts[each]
        if lump and each == ends[-1]:
            continue
        if counts[each] >= tenth:
            ends += [each - 2] if not ends or ends[-1] < each - 2 else []
            ends.append(each + 1)
            held, lump = 0, True
            continue
        held += counts[each]
        if held >= tenth / 2 and seen // tenth > (seen - held) // tenth:
            ends.append(each)
            held, lump = 0, False
    return ends if lump else ends[:-1]
