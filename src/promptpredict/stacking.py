"""The stack: what several approaches say of a customer, joined into one probability.

Knows probabilities (n, k) of approaches; knows nothing of prompts, models or columns. It learns
from what each approach said of rows that it had not seen, or the one that fits its own rows best
would be trusted most.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from promptpredict.approach import Approach, Probabilities, Prompted
from promptpredict.heads import Head, fit_head, logistic
from promptpredict.records import Record, groups_of

Floats = npt.NDArray[np.float64]
LEAST = 1e-6  # a probability whose logarithm is still taken
TRUST = 3.0  # how much lighter the mean of the logits is penalised than a departure from it


class Stacker:
    """A regularised logistic regression on the logits of approaches.

    With few rows it stays near the mean of their logits; with more it learns whom to trust. Where
    fewer than two classes are left to learn from, it is the mean.
    """

    def fit(
        self,
        said: Sequence[Probabilities],
        y: npt.NDArray[np.intp],
        seed: int,
        groups: Sequence[str] | None = None,
    ) -> Stacker:
        """Fit on the probabilities (n, k) that each approach gave rows it had not seen.

        ``y`` (n,) are class numbers, ``groups`` (n,) those of the rows. Rows that an
        approach could not be held out of are left out.
        """
        rows = np.isfinite(np.concatenate(said, axis=1)).all(axis=1)
        classes = said[0].shape[1]
        self.held_out_ = np.full((len(y), classes), np.nan)
        self.head_: Head | None = None
        if len(np.unique(y[rows])) < 2:
            return self  # nothing to learn from: the mean of the logits
        self.head_ = fit_head(
            _features([each[rows] for each in said]),
            y[rows],
            groups=None
            if groups is None
            else [groups[row] for row in np.flatnonzero(rows).tolist()],
            candidates=logistic((0.003, 0.03, 0.3, 3.0)),
            default=logistic((0.03,))[0],
            classes=classes,
            seed=seed,
        )
        self.held_out_[rows] = self.head_.held_out
        return self

    def predict_proba(self, said: Sequence[Probabilities]) -> Probabilities:
        """Return probabilities (n, k) from those of each approach."""
        if self.head_ is not None:
            return self.head_.predict_proba(_features(said))
        weights = np.exp(np.mean([np.log(np.clip(each, LEAST, 1.0)) for each in said], axis=0))
        joined: Probabilities = weights / weights.sum(axis=1, keepdims=True)
        return joined


class StackClassifier(Approach):
    """Several approaches, and a stacker that joins them.

    ``members`` are approaches that are not fitted yet; their own ``prompt`` is what they read.
    """

    def __init__(
        self, prompt: Prompted = None, *, members: Sequence[Approach] = (), random_state: int = 0
    ) -> None:
        """Keep the parameters."""
        self.prompt = prompt
        self.members = members
        self.random_state = random_state

    def _fit(self, records: list[Record]) -> None:
        from sklearn.base import clone

        if not self.members:
            raise ValueError("a stack needs members")
        y = self.classes_[self.targets(records)]  # as given: text would sort 10 before 2
        self.members_ = [clone(member) for member in self.members]
        said = [member.cross_fit(records, y) for member in self.members_]
        self.stacker_ = Stacker().fit(
            said, self.targets(records), self.random_state, groups_of(records)
        )

    def _held_out(self, records: list[Record]) -> Probabilities:
        return self.stacker_.held_out_

    def predict_proba(self, X: Any) -> Probabilities:
        """Return the probability of each class, (n, k)."""
        records = self.records(X)
        return self.stacker_.predict_proba([each.predict_proba(records) for each in self.members_])


def _features(said: Sequence[Probabilities]) -> Floats:
    """Return the mean logit, weighted up, and each approach's departure from it: (n, ...)."""
    logits = np.stack([_logits(each) for each in said])  # (approaches, n, columns)
    mean = logits.mean(axis=0)
    return np.hstack([TRUST * mean, *(logits - mean)])


def _logits(probabilities: Probabilities) -> Floats:
    """Return one log-odds (n, 1) for two classes, centred log-probabilities (n, k) for more."""
    logs = np.log(np.clip(probabilities, LEAST, 1.0))
    if logs.shape[1] == 2:
        return np.asarray(logs[:, 1:] - logs[:, :1])
    return np.asarray(logs - logs.mean(axis=1, keepdims=True))
