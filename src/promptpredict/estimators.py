"""The approaches that read customers with a language model: zero-shot, few-shot and probe.

Knows scikit-learn's contract; knows nothing of tables on disk, splits or metrics. X may be a pandas
DataFrame, an array, a list of dicts, or a list of Records.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from promptpredict import calibration as calibrate
from promptpredict.approach import Approach, Probabilities, Prompted, checked, load_prompt_file
from promptpredict.calibration import Calibration
from promptpredict.encoders import Embedder, SentenceEncoder
from promptpredict.errors import DataError
from promptpredict.heads import ProbeFeatures, fit_head, spread
from promptpredict.labelled import drawn
from promptpredict.records import Record, records_from_frame
from promptpredict.scores import LanguageModel, Scores
from promptpredict.scoring import score_records
from promptpredict.shots import Select, Shots

_CALIBRATIONS = ("platt", "base_rate", "none")


class _ByLanguageModel(Approach):
    """What the approaches share that read customers with a language model."""

    model: str | LanguageModel
    shots: int
    select: Select
    encoder: str | SentenceEncoder | Embedder
    random_state: int

    def _prepare(self, records: list[Record]) -> list[Record]:
        """Choose the shots, and return the records that are none.

        Raises ValueError for parameters that mean nothing.
        """
        if self.shots < 0:
            raise ValueError(f"shots must be 0 or more, got {self.shots}")
        self.__dict__.pop("model_", None)  # that of an earlier fit
        self.shots_ = None
        if not self.shots:
            return records
        self.shots_ = Shots(
            self.prompt_file_,
            records,
            min(self.shots, len(records)),
            self.select,
            self.random_state,
            Embedder.of(self.encoder) if self.select == "nearest" else None,
        )
        return self.shots_.others()

    def __getstate__(self) -> dict[str, Any]:
        """Leave weights that a name stands for out of a pickle; they are loaded again."""
        state: dict[str, Any] = super().__getstate__()
        if isinstance(self.model, str):
            state = {name: value for name, value in state.items() if name != "model_"}
        return state

    def _scores(self, records: Sequence[Record]) -> Scores:
        if not hasattr(self, "model_"):
            self.model_ = _language_model(self.model)
        scores = score_records(self.model_, self.prompt_file_, records, self.shots_)
        if scores.faults:
            index, fault = min(scores.faults.items())
            raise DataError(f"row {records[index].row} could not be scored: {fault}")
        return scores


class PromptClassifier(_ByLanguageModel):
    """Scores label words with a language model, zero-shot or with shots.

    ``prompt`` is a prompt file (path, shipped name, or loaded); without one, every column is
    shown and the classes themselves are the words. ``model`` is a name or any object with
    ``score``. ``shots`` of the training rows are shown in the prompt, chosen by ``select``
    (balanced, nearest, random), where ``encoder`` serves nearest. ``calibration`` is ``platt`` on
    the training rows that are no shots, at most ``calibration_rows`` of them; ``base_rate``, one
    shift to a known share of positives (of the prompt file, if not given); or ``none``. Platt
    without rows of every label is none. Fitted without y it is zero-shot: ``classes_`` are then
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
        base_rate: float | None = None,
        encoder: str | SentenceEncoder | Embedder = "minilm",
        random_state: int = 0,
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

    def fit(self, X: Any, y: Any = None) -> PromptClassifier:
        """Choose shots among the rows, and calibrate on rows that are no shots."""
        if self.calibration not in _CALIBRATIONS:
            raise ValueError(
                f"calibration must be {', '.join(_CALIBRATIONS)}, got '{self.calibration}'"
            )
        unlabelled = y is None and self.prompt is not None
        records = self._begin_unlabelled(X) if unlabelled else self.begin(X, y)
        self.calibration_ = self._calibrated(self._prepare(records))
        return self

    def predict_proba(self, X: Any) -> Probabilities:
        """Return the calibrated probability of each class, (n, k).

        Raises DataError for the first row that could not be scored.
        """
        scores = self._scores(self.records(X))
        found = self.calibration_.apply(scores.logprobs)
        chosen = found[:, [list(self.prompt_file_.words).index(key) for key in self.keys_]]
        return np.asarray(chosen / chosen.sum(axis=1, keepdims=True))

    def _begin_unlabelled(self, X: Any) -> list[Record]:
        """Take the classes from the prompt file."""
        X = checked(self, X, reset=True)
        self.prompt_file_ = load_prompt_file(self.prompt, ())
        self.classes_ = np.array(sorted(self.prompt_file_.words))
        self.keys_ = list(self.classes_)
        found = records_from_frame(X, self.prompt_file_.roles)
        return [replace(record, label=None) for record in found]

    def _calibrated(self, rest: list[Record]) -> Calibration:
        labels, positive = list(self.prompt_file_.words), self.prompt_file_.front.positive
        if self.calibration == "base_rate":
            rate = self.prompt_file_.front.base_rate if self.base_rate is None else self.base_rate
            if rate is None or positive is None:
                raise DataError(
                    "calibration='base_rate' needs two labels and a base_rate, here or in the "
                    "prompt file"
                )
            return calibrate.fit_base_rate(
                self._scores(rest).logprobs, rate, labels=labels, positive=positive
            )
        known = [record for record in rest if record.label is not None]
        rest = drawn(known, self.calibration_rows, seed=self.random_state)
        y = [self.prompt_file_.label_of(record.label) for record in rest]
        if self.calibration == "none" or set(y) < set(labels):
            return calibrate.none(labels, positive)
        return calibrate.fit_platt(self._scores(rest).logprobs, y, labels=labels, positive=positive)


class ProbeClassifier(_ByLanguageModel):
    """Logistic regression on the language model's hidden state at the answer position.

    The label log-odds stand beside the state. ``shots`` of the training rows are shown in the
    prompt, and the others are fitted on; the other parameters are those of PromptClassifier.
    """

    def __init__(
        self,
        prompt: Prompted = None,
        *,
        model: str | LanguageModel = "auto",
        shots: int = 0,
        select: Select = "balanced",
        encoder: str | SentenceEncoder | Embedder = "minilm",
        random_state: int = 0,
    ) -> None:
        """Keep the parameters."""
        self.prompt = prompt
        self.model = model
        self.shots = shots
        self.select = select
        self.encoder = encoder
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> ProbeClassifier:
        """Fit on the rows that are no shots; on all of them without shots."""
        rest = self._prepare(self.begin(X, y))
        left = {self.prompt_file_.label_of(record.label) for record in rest}
        for key in self.keys_:
            if key not in left:
                raise DataError(
                    f"{self.shots} shots leave no row of the label '{key}' for the probe to be "
                    "fitted on; possible: fewer shots, or more rows"
                )
        scores = self._scores(rest)
        self.features_ = ProbeFeatures().fit(scores.hidden, scores.logprobs)
        self.head_ = fit_head(
            self.features_.transform(scores.hidden, scores.logprobs),
            self.targets(rest),
            strengths=(1e-4, 1e-3, 1e-2, 1e-1, 1.0),
            default=1e-3,
            seed=self.random_state,
        )
        return self

    def predict_proba(self, X: Any) -> Probabilities:
        """Return the probability of each class, (n, k)."""
        scores = self._scores(self.records(X))
        features = self.features_.transform(scores.hidden, scores.logprobs)
        return spread(self.head_, features, len(self.classes_))


def _language_model(model: str | LanguageModel) -> LanguageModel:
    """Return the language model of a name (``auto``: the choice for this machine), or itself."""
    return _load(model) if isinstance(model, str) else model


@lru_cache(maxsize=1)
def _load(model: str) -> LanguageModel:
    """Load a language model by its name, once for all folds of a cross-validation."""
    from promptpredict.loading import load_language_model
    from promptpredict.models import pick

    return load_language_model(pick(model))
