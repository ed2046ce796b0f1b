"""The approaches that read customers with a language model: zero-shot, few-shot and probe.

Knows scikit-learn's contract; knows nothing of tables on disk, splits or metrics. X may be a pandas
DataFrame, an array, a list of dicts, or a list of Records.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from promptpredict import calibration as calibrate
from promptpredict import manylabels
from promptpredict.approach import Approach, Probabilities, Prompted, checked, load_prompt_file
from promptpredict.calibration import Calibration
from promptpredict.encoders import Embedder, SentenceEncoder
from promptpredict.errors import DataError
from promptpredict.heads import ProbeFeatures, fit_head, moved, shares, stratified
from promptpredict.labelled import drawn, label_shares
from promptpredict.placing import placed_for_fit
from promptpredict.priors import informed
from promptpredict.rates import Rate
from promptpredict.reading import Reader
from promptpredict.records import Record, groups_of, records_from_frame
from promptpredict.scores import LanguageModel
from promptpredict.shots import Select, Shots
from promptpredict.shotsets import ShotSets, spread

_CALIBRATIONS = ("platt", "base_rate", "none")


class PromptClassifier(Reader, Approach):
    """Scores label words with a language model, zero-shot or with shots.

    ``prompt`` is a prompt file (path, shipped name, or loaded); without one, every column is
    shown and the classes themselves are the words. ``model`` is a name or any object with
    ``score``. ``shots`` of the training rows are shown in the prompt, chosen by ``select``
    (balanced, nearest, random), where ``encoder`` serves nearest. With ``shot_sets`` so many sets
    of them are drawn (``shotsets``) and every row is scored behind each: label log-probabilities
    are the mean over the sets and normalised behind it, so that the log-odds are the mean of the
    sets' log-odds and no set that is sure outvotes the others; ``spread`` says how far they lie
    apart. ``calibration`` is ``platt`` on the training rows that are no shots (of several sets,
    each row by the sets that do not show it), at most ``calibration_rows`` of them (vector scaling,
    where there are more labels than two); ``base_rate``, one shift to a known share of positives
    (of the prompt file, if not given), or one for each label to a mapping of label to share; or
    ``none``.
    Platt without rows of every label is none. With ``random_state=None`` the first rows are taken
    wherever others would be drawn. Fitted without y it is zero-shot: ``classes_`` are then
    the label keys as text, and there is no Platt.

    scikit-learn's ``cross_val_predict(method="predict_proba")`` and its stacking number the
    classes 0 to k - 1 before they fit: use them only with a prompt file whose keys are these.
    """

    def __init__(
        self,
        prompt: Prompted = None,
        *,
        model: str | LanguageModel = "auto",
        shots: int = 0,
        select: Select = "balanced",
        calibration: Literal["platt", "base_rate", "none"] = "platt",
        calibration_rows: int = 256,
        base_rate: Rate | None = None,
        encoder: str | SentenceEncoder | Embedder = "minilm",
        random_state: int | None = 0,
        shot_sets: int = 1,
    ) -> None:
        """Keep the parameters."""
        self.prompt = prompt
        self.model = model
        self.shots = shots
        self.select = select
        self.calibration = calibration
        self.calibration_rows = calibration_rows
        self.base_rate = base_rate
        self.encoder = encoder
        self.random_state = random_state
        self.shot_sets = shot_sets

    def fit(self, X: Any, y: Any = None) -> Self:
        """Choose shots among the rows, and calibrate on rows that are no shots."""
        unlabelled = y is None and self.prompt is not None
        self._fit(self._begin_unlabelled(X) if unlabelled else self.begin(X, y))
        return self

    def _fit(self, records: list[Record]) -> None:
        if self.calibration not in _CALIBRATIONS:
            raise ValueError(
                f"calibration must be {', '.join(_CALIBRATIONS)}, got '{self.calibration}'"
            )
        rest = self._prepare(records)
        self._level = label_shares(self.prompt_file_, records)
        self.calibration_ = self._calibrated(rest)

    def predict_proba(self, X: Any) -> Probabilities:
        """Return the calibrated probability of each class, (n, k).

        Raises DataError for the first row that could not be scored.
        """
        scores = self._scores(self.records(X))
        return self.by_class(self.calibration_.apply(scores.logprobs))

    def spread(self, X: Any) -> npt.NDArray[np.float64]:
        """Return how far the sets of shots lie apart in each row, (n,): see ``shotsets.spread``.

        It is in nats of log-odds, before any calibration, and 0 where there is one set.
        """
        scores = self._scores(self.records(X))
        return np.zeros(len(scores.mass)) if scores.by_set is None else spread(scores.by_set)

    def _begin_unlabelled(self, X: Any) -> list[Record]:
        """Take the classes from the prompt file."""
        X = checked(self, X, reset=True)
        self.prompt_file_ = load_prompt_file(self.prompt, ())
        self.classes_ = np.array(sorted(self.prompt_file_.words))
        self.keys_ = list(self.classes_)
        found = records_from_frame(X, self.prompt_file_.roles)
        self.prompt_file_ = placed_for_fit(self.prompt_file_, found)
        return [replace(record, label=None) for record in found]

    def _calibrated(self, rest: list[Record]) -> Calibration:
        labels, positive = list(self.prompt_file_.words), self.prompt_file_.front.positive
        if self.calibration == "base_rate":
            rate = self.prompt_file_.front.base_rate if self.base_rate is None else self.base_rate
            if rate is None:
                raise DataError(
                    "calibration='base_rate' needs a base_rate, here or in the prompt file"
                )
            return manylabels.fit_rate(
                self._scores_held_out(rest).logprobs, rate, labels=labels, positive=positive
            )
        rest = self._asked(rest)
        y = [self.prompt_file_.label_of(record.label) for record in rest]
        if self.calibration == "none" or set(y) < set(labels):
            return calibrate.none(labels, positive)
        # At the level of all rows: balanced shots take more of the rare label.
        return manylabels.fit_labels(
            self._scores_held_out(rest).logprobs,
            y,
            labels=labels,
            positive=positive,
            level=self._level,
        )

    def _asked(self, rest: Sequence[Record]) -> list[Record]:
        """Return the rows to calibrate on."""
        known = [record for record in rest if record.label is not None]
        keys = [self.prompt_file_.label_of(record.label) for record in known]
        return drawn(known, self.calibration_rows, seed=self.random_state, keys=keys)

    # -- cross-fitting ---------------------------------------------------------------------

    def _held_out(self, records: list[Record]) -> Probabilities:
        """Score each row by prompts that do not show it, calibrated on other rows.

        NaN for a shot where most rows are none, and for rows beyond ``calibration_rows`` behind
        shots: they would cost a pass, and nobody needs them.
        """
        logprobs = self._left_out(records)
        scored = np.flatnonzero(np.isfinite(logprobs).all(axis=1))
        found = np.full(logprobs.shape, np.nan)
        if self.calibration_.method not in ("platt", "vector"):
            found[scored] = self.calibration_.apply(logprobs[scored])
            return self.by_class(found)
        found[scored] = manylabels.cross_calibrated(
            logprobs[scored],
            [self.prompt_file_.label_of(records[row].label) for row in scored],
            labels=list(self.prompt_file_.words),
            positive=self.prompt_file_.front.positive,
            level=self._level,
            groups=groups_of([records[row] for row in scored]),
        )
        return self.by_class(found)

    def _left_out(self, records: list[Record]) -> npt.NDArray[np.float64]:
        """Return label log-probabilities (n, k) behind shots that leave the row out."""
        if self.shots_ is None:
            return self._scores(records).logprobs.astype(np.float64)
        places = {id(record): row for row, record in enumerate(records)}
        logprobs = np.full((len(records), len(self.prompt_file_.words)), np.nan)

        def score(part: Sequence[Record], shots: Shots | ShotSets | None = None) -> None:
            rows = [places[id(record)] for record in part]
            logprobs[rows] = self._scores_held_out(part, shots).logprobs

        others = self.shots_.others()
        if rest := self._asked(others):
            score(rest)
        free = {id(record) for record in others}
        shown = [record for record in records if id(record) not in free]
        if len(shown) > len(others):
            for left, out in stratified(self.targets(shown), 0, groups_of(shown)) or ():
                pool = [shown[row] for row in left]
                score([shown[row] for row in out], self._choose_from(pool, len(pool)))
        return logprobs


class ProbeClassifier(Reader, Approach):
    """Logistic regression on the language model's last hidden states.

    That of the answer position, their mean over the customer's turn, and the label log-odds: the
    zero-shot answer, which counts as two labelled rows. ``shots`` of the training rows are shown
    in the prompt, and the others are fitted on; the other parameters are those of
    PromptClassifier.
    """

    def __init__(
        self,
        prompt: Prompted = None,
        *,
        model: str | LanguageModel = "auto",
        shots: int = 0,
        select: Select = "balanced",
        encoder: str | SentenceEncoder | Embedder = "minilm",
        random_state: int | None = 0,
    ) -> None:
        """Keep the parameters."""
        self.prompt = prompt
        self.model = model
        self.shots = shots
        self.select = select
        self.encoder = encoder
        self.random_state = random_state

    def _fit(self, records: list[Record]) -> None:
        """Fit on the rows that are no shots; on all of them without shots."""
        rest = self._prepare(records)
        left = {self.prompt_file_.label_of(record.label) for record in rest}
        for key in self.keys_:
            if key not in left:
                raise DataError(
                    f"{self.shots} shots leave no row of the label '{key}' for the probe to be "
                    "fitted on; possible: fewer shots, or more rows"
                )
        scores = self._scores(rest)
        # Balanced shots take more of the rare labels: the level is that of all rows.
        counted = len(self.classes_)
        self._levels = tuple(shares(self.targets(each), counted) for each in (rest, records))
        self.features_ = ProbeFeatures().fit(scores.hidden, scores.logprobs)
        # A few labels can contradict the zero-shot answer by chance, and would turn it round.
        labels = list(self.prompt_file_.words)
        believed = self.features_.believed([labels.index(key) for key in self.keys_])
        self.head_ = fit_head(
            self.features_.transform(scores.hidden, scores.logprobs),
            self.targets(rest),
            groups=groups_of(rest),
            candidates=informed((1e-4, 1e-3, 1e-2, 1e-1, 1.0), believed),
            default=informed((1e-3,), believed)[0],
            classes=len(self.classes_),
            seed=self.random_state or 0,
        )

    def _held_out(self, records: list[Record]) -> Probabilities:
        """Return what the head knows of the rows that are no shots; NaN for the shots."""
        if self.shots_ is None:
            return self.head_.held_out
        places = {id(record): row for row, record in enumerate(records)}
        found = np.full((len(records), len(self.classes_)), np.nan)
        found[[places[id(record)] for record in self.shots_.others()]] = moved(
            self.head_.held_out, *self._levels
        )
        return found

    def predict_proba(self, X: Any) -> Probabilities:
        """Return the probability of each class, (n, k)."""
        scores = self._scores(self.records(X))
        features = self.features_.transform(scores.hidden, scores.logprobs)
        return moved(self.head_.predict_proba(features), *self._levels)
