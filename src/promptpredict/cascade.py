"""The cascade: a cheap approach for everybody, an expensive one for customers of whom it is not sure.

Knows two approaches, what they say, and who is in the uncertain band; knows nothing of how they come
to it, nor of splits or metrics.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from promptpredict import calibration as calibrate
from promptpredict import manylabels
from promptpredict.approach import Approach, Probabilities, Prompted
from promptpredict.band import Around, Band, check_band
from promptpredict.calibration import Calibration
from promptpredict.encoders import Embedder, SentenceEncoder
from promptpredict.heads import moved, shares
from promptpredict.records import Record, groups_of
from promptpredict.scores import LanguageModel
from promptpredict.stacking import Stacker

SHARE = 0.25  # of the customers whom the expensive approach is asked for
_LEAST = 1e-12  # a probability whose logarithm is still taken


class CascadeClassifier(Approach):
    """A cheap approach, and an expensive one for a share of customers: those of whom the cheap is least sure.

    ``cheap`` is ``"embedding"`` and ``expensive`` is ``"probe"``, which read ``prompt`` with ``encoder``
    and ``model``; or either is any approach that is not fitted yet, whose own ``prompt`` is what it
    reads. Both are fitted on all labelled rows; of rows to predict, the expensive one is asked for those
    in the uncertain band alone. ``share`` says how wide the band is: its threshold is where so many of
    the labelled rows lie, by what the cheap approach said of them without having seen them. So it is
    a share of customers like them, and whether one is asked for does not depend on the others.
    ``around`` says whom it holds: ``ranking``, those in most pairs that are expected to stand the wrong
    way round (ROC AUC), or ``probability``, those whose label is least certain (log loss); see
    ``band.Band``. With ``share=0`` the expensive one is not fitted, and no language model is loaded.

    What the cheap approach says is calibrated, which keeps its order; in the band what both say is
    joined by a stacker. Both are probabilities that labelled rows bore out, so that they can stand in
    one order. Where a label has a single row, nothing is known of whom the cheap one is sure,
    and the expensive one is asked for everybody.
    """

    def __init__(
        self,
        prompt: Prompted = None,
        *,
        cheap: Approach | Literal["embedding"] = "embedding",
        expensive: Approach | Literal["probe"] = "probe",
        share: float = SHARE,
        around: Around = "ranking",
        model: str | LanguageModel = "auto",
        encoder: str | SentenceEncoder | Embedder = "minilm",
        random_state: int = 0,
    ) -> None:
        """Keep the parameters."""
        self.prompt = prompt
        self.cheap = cheap
        self.expensive = expensive
        self.share = share
        self.around = around
        self.model = model
        self.encoder = encoder
        self.random_state = random_state

    def _fit(self, records: list[Record]) -> None:
        cheap, expensive = self._cheap(), self._expensive()  # before anything is fitted
        check_band(self.share, self.around)
        self.cheap_ = _Calibrated.fit(cheap, self, records)
        own = self.cheap_.held_out
        # By the calibration that customers get, not by those of the folds, which differ a little.
        self.band_ = Band(self.cheap_.calibrated(self.cheap_.said[_known(own)]), self.around)
        self.expensive_ = self.stacker_ = None
        if self.share == 0:
            return
        self.expensive_ = _Calibrated.fit(expensive, self, records)
        columns, both = self.targets(records), [own, self.expensive_.held_out]
        learned = _known(np.concatenate(both, axis=1))
        if set(columns[learned]) < set(columns):  # all rows of a label are shots
            # The mean of both: a stacker that knows no row of a label never predicts it.
            learned[:], both = False, [np.full_like(each, np.nan) for each in both]
        self.stacker_ = Stacker().fit(both, columns, self.random_state, groups_of(records))
        # Shots in front of the expensive one are rows that it cannot be held out of: the level of the
        # others is another where more of a label are shots.
        some = columns[learned] if learned.any() else columns
        self._levels = tuple(shares(each, len(self.classes_)) for each in (some, columns))

    def predict_proba(self, X: Any) -> Probabilities:
        """Return the probability of each class, (n, k)."""
        records = self.records(X)
        said = self.cheap_.predict_proba(records)
        rows = np.flatnonzero(self._in_band(said))
        if len(rows):
            assert self.expensive_ is not None
            also = self.expensive_.predict_proba([records[row] for row in rows])
            said[rows] = self._joined([said[rows], also])
        return said

    def asked(self, X: Any) -> npt.NDArray[np.bool_]:
        """Return of which rows the expensive approach is asked, (n,); it is not asked to tell that."""
        return self._in_band(self.cheap_.predict_proba(self.records(X)))

    def at(self, share: float) -> CascadeClassifier:
        """Return the same cascade, fitted as it is, that asks for another share of customers."""
        check_band(share, self.around)
        other = copy(self)
        other.share = share
        return other

    def _in_band(self, said: Probabilities) -> npt.NDArray[np.bool_]:
        if self.share > 0 and self.expensive_ is None:
            raise ValueError(
                f"share is {self.share:g}, and the cascade was fitted with 0, without the expensive "
                "approach; possible: fit it again"
            )
        return self.band_.holds(said, self.share)

    def _joined(self, said: Sequence[Probabilities]) -> Probabilities:
        assert self.stacker_ is not None
        return moved(self.stacker_.predict_proba(said), *self._levels)

    def _held_out(self, records: list[Record]) -> Probabilities:
        """Return what is said of each row without it; NaN in the band where the expensive one has seen it."""
        found = self.cheap_.held_out.copy()
        if self.stacker_ is not None:
            known = _known(found)
            asked = known.copy()
            asked[known] = self.band_.undecided_ >= self.band_.begins(self.share)
            found[asked] = moved(self.stacker_.held_out_[asked], *self._levels)
        return found

    def _cheap(self) -> Approach:
        if isinstance(self.cheap, str):
            _check_name("cheap", self.cheap, "embedding")
            from promptpredict.baselines import EmbeddingClassifier

            return EmbeddingClassifier(
                self.prompt_file_, encoder=self.encoder, random_state=self.random_state
            )
        return self.cheap

    def _expensive(self) -> Approach:
        if isinstance(self.expensive, str):
            _check_name("expensive", self.expensive, "probe")
            from promptpredict.estimators import ProbeClassifier

            return ProbeClassifier(
                self.prompt_file_, model=self.model, random_state=self.random_state
            )
        return self.expensive


@dataclass(frozen=True)
class _Calibrated:
    """An approach, fitted, and what labelled rows say of its probabilities.

    ``said`` (n, k) is what it says of its own rows without having seen them, and ``held_out`` the
    same calibrated on others of them.
    """

    approach: Approach
    calibration: Calibration
    said: Probabilities
    held_out: Probabilities

    @classmethod
    def fit(cls, approach: Approach, owner: Approach, records: list[Record]) -> _Calibrated:
        """Fit a clone of an approach, and calibrate it by rows that it had not seen."""
        from sklearn.base import clone

        columns = owner.targets(records)
        fitted = clone(approach)
        said = fitted.cross_fit(records, owner.classes_[columns])
        known = np.flatnonzero(_known(said))
        labels, positive = owner.keys_, owner.prompt_file_.front.positive
        given: dict[str, Any] = {"labels": labels, "positive": positive}
        if set(columns[known]) < set(columns):
            return cls(fitted, calibrate.none(labels, None), said, said)
        logs, y = _logs(said[known]), [labels[column] for column in columns[known]]
        if len(known) < len(records):  # the others are shots, and not drawn at random
            given["level"] = dict(zip(labels, shares(columns, len(labels)), strict=True))
        held_out = np.full(said.shape, np.nan)
        held_out[known] = manylabels.cross_calibrated(
            logs, y, groups=groups_of([records[row] for row in known]), **given
        )
        return cls(fitted, manylabels.fit_labels(logs, y, **given), said, held_out)

    def predict_proba(self, records: list[Record]) -> Probabilities:
        """Return calibrated probabilities (n, k)."""
        return self.calibrated(self.approach.predict_proba(records))

    def calibrated(self, said: Probabilities) -> Probabilities:
        """Return probabilities (n, k) calibrated."""
        return self.calibration.apply(_logs(said))


def _logs(probabilities: Probabilities) -> Probabilities:
    return np.asarray(np.log(np.maximum(probabilities, _LEAST)))


def _known(said: Probabilities) -> npt.NDArray[np.bool_]:
    """Return which rows (n,) something is said of."""
    return np.asarray(np.isfinite(said).all(axis=1))


def _check_name(parameter: str, given: str, known: str) -> None:
    if given != known:
        raise ValueError(f"{parameter} is '{given}'; possible: '{known}', or an approach")
