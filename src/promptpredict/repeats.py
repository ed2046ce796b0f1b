"""Ids that stand in more than one row, found without keeping all ids in memory.

Knows ids and scored blocks; knows nothing of what is done about them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from promptpredict.spool import NumberFile, Scored

_AT_ONCE = 1 << 20  # ids that are compared in memory


class Repeats:
    """Takes the ids of a run block by block."""

    def __init__(self) -> None:
        """Know no id."""
        self._digests = NumberFile(np.uint64)

    def add(self, ids: Sequence[str]) -> None:
        """Take some more ids."""
        self._digests.append(_digests(ids))

    def find(self, scored: Iterable[Scored]) -> tuple[int, str]:
        """Return how many ids came more than once, and the first of them with its rows in words."""
        repeated = self._repeated()
        if not len(repeated):
            return 0, ""
        rows: dict[str, int] = {}
        for block in scored:
            for at in np.flatnonzero(_among(repeated, _digests(block.ids))):
                id, row = block.ids[at], block.rows[at]
                if id in rows:
                    return len(repeated), f"{id}, rows {rows[id]:,} and {row:,}"
                rows[id] = row
        return 0, ""  # two ids of one digest

    def _repeated(self) -> npt.NDArray[np.uint64]:
        """Return the digests that came more than once, sorted; a share of them at a time."""
        shares = -(-self._digests.count // _AT_ONCE)
        found = []
        for share in range(shares):
            some = [part[part % np.uint64(shares) == share] for part in self._digests.parts()]
            digests, counts = np.unique(np.concatenate(some), return_counts=True)
            found.append(digests[counts > 1])
        return np.sort(np.concatenate([np.empty(0, np.uint64), *found]))


def _among(known: npt.NDArray[np.uint64], some: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """Say which are among the known, which are sorted once: np.isin would sort them for each block."""
    places = np.searchsorted(known, some)
    return np.equal(known[np.minimum(places, len(known) - 1)], some)


def _digests(ids: Sequence[str]) -> npt.NDArray[np.uint64]:
    whole = b"".join(hashlib.blake2b(id.encode(), digest_size=8).digest() for id in ids)
    return np.frombuffer(whole, np.uint64)
