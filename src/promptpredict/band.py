"""The uncertain band: the customers of whom probabilities are least sure, and where it begins.

Knows probabilities (n, k) alone; knows nothing of approaches, prompts or models. A band is learned from
rows that were not fitted on. So whether a customer is in it depends on the customer alone,
and not on who else stands in the table.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from promptpredict.errors import nearest

Around = Literal["ranking", "probability"]
Floats = npt.NDArray[np.float64]


class Band:
    """How undecided probabilities are, and whether that is among the most undecided.

    ``own`` are calibrated probabilities (m, k) of rows like those to come. ``around`` says what
    undecided means. ``ranking``: in how many pairs with ``own`` a customer is expected to stand the
    wrong way round, which is what ROC AUC counts; of several labels the sum over them, each against
    the rest, as a share of its pairs. ``probability``: the entropy in nats, the log loss that a
    probability expects of itself. With labels as frequent as one another the two hold the same
    customers. Where 5 % leave, both lie above .05, and that of the ranking leaves out the very top, who
    stay there whatever else is said.
    """

    def __init__(self, own: Floats, around: Around = "ranking") -> None:
        """Learn from rows (m, k); of none, everybody is in the band."""
        self.around = around
        self._own = own
        self.undecided_ = self.undecided(own)  # (m,), each row without itself
        if around == "ranking" and len(own) > 1:
            # With one other less, or of few rows all would look more decided than those to come.
            pairs = own.sum(axis=0) * (1 - own).sum(axis=0)  # (k,)
            itself = np.divide(own * (1 - own), pairs, out=np.zeros_like(own), where=pairs > 0)
            self.undecided_ -= itself.sum(axis=1)
            self.undecided_ *= len(own) / (len(own) - 1)

    def undecided(self, said: Floats) -> Floats:
        """Return how undecided probabilities (n, k) are, (n,)."""
        if self.around == "probability":
            logs = np.log(said, out=np.zeros_like(said), where=said > 0)
            return np.asarray(-(said * logs).sum(axis=1))
        found = np.zeros(len(said))
        if len(self._own):
            for mine, others in zip(said.T, self._own.T, strict=True):
                found += _wrong(mine, others)
        return found

    def begins(self, share: float) -> float:
        """Return from where on ``share`` of the rows lie that it was learned from.

        Above all for a share of 0. Below all for one of 1, and where no row is known: then it is not
        known of whom anybody is sure.
        """
        if share == 0:
            return np.inf
        if share == 1 or not len(self._own):
            return -np.inf
        return float(np.quantile(self.undecided_, 1 - share))

    def holds(self, said: Floats, share: float) -> npt.NDArray[np.bool_]:
        """Return which rows of probabilities (n, k) are in the band, (n,)."""
        return np.asarray(self.undecided(said) >= self.begins(share))


def _wrong(mine: Floats, others: Floats) -> Floats:
    """Return the share of pairs of a label and the rest that rows (n,) are expected to turn round.

    ``mine`` and ``others`` are probabilities of the label. A row that has the label stands wrong with
    those of the rest above it, and one of the rest with those of the label below it; ties are half
    a pair.
    """
    ordered = np.sort(others)
    hits = np.concatenate([[0.0], np.cumsum(ordered)])  # of the label, among the lowest
    misses = np.concatenate([[0.0], np.cumsum(1 - ordered)])
    left, right = (np.searchsorted(ordered, mine, side) for side in ("left", "right"))
    above = misses[-1] - (misses[left] + misses[right]) / 2
    below = (hits[left] + hits[right]) / 2
    pairs = hits[-1] * misses[-1]  # none where everybody is sure to have the label, or nobody
    return np.asarray((mine * above + (1 - mine) * below) / pairs if pairs else np.zeros(len(mine)))


def check_band(share: float, around: str) -> None:
    """Raise ValueError for a band that there cannot be."""
    if not 0 <= share <= 1:
        raise ValueError(f"share is {share:g}; possible: 0 (nobody) to 1 (everybody)")
    known = get_args(Around)
    if around not in known:
        possible = ", ".join(known)
        raise ValueError(f"around is '{around}'{nearest(around, known)}; possible: {possible}")
