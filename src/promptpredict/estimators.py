"""Approaches as scikit-learn classifiers: the language model zero-shot, few-shot and probed.

Knows scikit-learn's contract; knows nothing of tables on disk, splits or metrics. Classes are
sorted, as scikit-learn wants them; inside, labels stand in the prompt file's order.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from promptpredict import calibration as calibrate
from promptpredict.encoders import Embedder, SentenceEncoder
from promptpredict.errors import DataError
from promptpredict.heads import ProbeFeatures, fit_head
from promptpredict.lm import LanguageModel, Scores
from promptpredict.prompt import PromptFile
from promptpredict.records import Record, records_from_frame
from promptpredict.scoring import score_records
from promptpredict.shots import Select, Shots

Probabilities = npt.NDArray[np.float64]
Prompted = str | Path | PromptFile | None


class _RecordClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """What all approaches share: X to records, y to labels, classes to columns."""

    prompt: Prompted

    def _begin(self, X: Any, y: Any) -> list[Record]:
        """Check X and y, set ``classes_`` and ``prompt_file_``, and return labelled records."""
        X = _checked(self, X, reset=True)
        if y is None:
            return self._begin_unlabelled(X)
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        self.classes_ = np.unique(y)
        if len(self.classes_) < 2:
            raise ValueError(f"y holds one class, '{self.classes_[0]}'; {type(self).__name__} needs two or more")
        self.prompt_file_ = _prompt_file(self.prompt, X, self.classes_)
        self.keys_ = [self.prompt_file_.label_of(value) for value in self.classes_]
        return records_from_frame(X, self.prompt_file_.roles, y=y)

    def _begin_unlabelled(self, X: Any) -> list[Record]:
        """Take the classes from the prompt file, where the approach can do without labels."""
        if not isinstance(self, PromptClassifier) or isinstance(self, ProbeClassifier) or self.prompt is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        self.prompt_file_ = _prompt_file(self.prompt, X, np.array([]))
        self.classes_ = np.array(sorted(self.prompt_file_.words))
        self.keys_ = list(self.classes_)
        return records_from_frame(X, self.prompt_file_.roles)

    def _records(self, X: Any) -> list[Record]:
        check_is_fitted(self)
        return records_from_frame(_checked(self, X, reset=False), self.prompt_file_.roles)

    def _targets(self, records: Sequence[Record]) -> npt.NDArray[np.intp]:
        """Return the column of ``classes_`` of each record's label, (n,)."""
        columns = {key: column for column, key in enumerate(self.keys_)}
        return np.array([columns[self.prompt_file_.label_of(record.label)] for record in records])

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Return the most probable class of each row, (n,)."""
        best = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[best])

    def predict_proba(self, X: Any) -> Probabilities:
        """Return the probability of each class, (n, k), columns as in ``classes_``."""
        raise NotImplementedError

    def __sklearn_tags__(self) -> Any:
        """Declare what X may hold: text, categories and missing values."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        tags.classifier_tags.poor_score = True  # a language model need not know toy clusters
        return tags


class PromptClassifier(_RecordClassifier):
    """Scores label words with a language model, zero-shot or with shots.

    ``prompt`` is a prompt file (path, shipped name, or loaded); without one, every column is
    shown and the classes themselves are the words. ``model`` is a name or any object with
    ``score``. ``shots`` of the training rows are shown in the prompt, chosen by ``select``
    (balanced, nearest, random); ``calibration`` is ``platt`` on the other training rows, at most
    ``calibration_rows`` of them, ``base_rate`` (one shift to a known share of positives), or
    ``none``; platt without rows for it is none. ``encoder`` serves nearest shots. Fitted without
    y it is zero-shot and uncalibrated, but for a base rate.
    """

    def __init__(
        self,
        prompt: Prompted = None,
        *,
        model: str | LanguageModel = "auto",
        shots: int = 0,
        select: Select = "balanced",
        calibration: str = "platt",
        calibration_rows: int = 256,
        base_rate: float | None = None,
        encoder: str | SentenceEncoder = "minilm",
        random_state: int = 0,
    ) -> None:
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
        records = self._begin(X, y)
        rest = self._prepare(records)
        self.calibration_ = self._calibrated(rest)
        return self

    def predict_proba(self, X: Any) -> Probabilities:
        """Return the calibrated probability of each class, (n, k).

        Raises DataError for the first row that could not be scored.
        """
        scores = self._scores(self._records(X))
        return self._by_class(self.calibration_.apply(scores.logprobs))

    def _prepare(self, records: list[Record]) -> list[Record]:
        """Load the model, set the shots, and return the records that are none."""
        self.model_ = language_model(self.model)
        self.shots_ = None
        if not self.shots:
            return records
        embed = _embedder(self.encoder) if self.select == "nearest" else None
        count = min(self.shots, len(records))
        self.shots_ = Shots(self.prompt_file_, records, count, self.select, self.random_state, embed)
        return records if self.select == "nearest" else self.shots_.others()

    def _calibrated(self, rest: list[Record]) -> calibrate.Calibration:
        labels = list(self.prompt_file_.words)
        positive = self.prompt_file_.front.positive if len(labels) == 2 else None
        if self.calibration == "base_rate":
            rate = self.prompt_file_.front.base_rate if self.base_rate is None else self.base_rate
            if rate is None or positive is None:
                raise DataError("calibration='base_rate' needs two labels and a base_rate, here or in the prompt file")
            return calibrate.fit_base_rate(self._scores(rest).logprobs, rate, labels=labels, positive=positive)
        rest = [record for record in rest if record.label is not None][: self.calibration_rows]
        y = [self.prompt_file_.label_of(record.label) for record in rest]
        if self.calibration == "none" or set(y) < set(labels):
            return calibrate.none(labels, positive)
        if positive is None:
            return calibrate.fit_temperature(self._scores(rest).logprobs, y, labels=labels, positive=None)
        return calibrate.fit_platt(self._scores(rest).logprobs, y, labels=labels, positive=positive)

    def _scores(self, records: Sequence[Record]) -> Scores:
        scores = score_records(self.model_, self.prompt_file_, records, self.shots_)
        if scores.faults:
            index, fault = min(scores.faults.items())
            raise DataError(f"row {records[index].row} could not be scored: {fault}")
        return scores

    def _by_class(self, probabilities: Probabilities) -> Probabilities:
        """Put label columns in the order of ``classes_``, over those classes alone."""
        order = [list(self.prompt_file_.words).index(key) for key in self.keys_]
        chosen = probabilities[:, order]
        return np.asarray(chosen / chosen.sum(axis=1, keepdims=True))


class ProbeClassifier(PromptClassifier):
    """Logistic regression on the language model's hidden state at the answer position.

    The label log-odds stand beside the state. Parameters are those of PromptClassifier;
    ``shots`` are shown in front, and the other rows are fitted on.
    """

    def fit(self, X: Any, y: Any) -> ProbeClassifier:
        """Fit on the rows that are no shots; all of them without shots."""
        records = self._begin(X, y)
        rest = self._prepare(records)
        scores = self._scores(rest)
        self.features_ = ProbeFeatures().fit(scores.hidden, scores.logprobs)
        self.head_ = fit_head(
            self.features_.transform(scores.hidden, scores.logprobs),
            self._targets(rest),
            strengths=(1e-4, 1e-3, 1e-2, 1e-1, 1.0),
            default=1e-3,
            seed=self.random_state,
        )
        return self

    def predict_proba(self, X: Any) -> Probabilities:
        """Return the probability of each class, (n, k)."""
        scores = self._scores(self._records(X))
        return _spread(self.head_, self.features_.transform(scores.hidden, scores.logprobs), len(self.classes_))


class EmbeddingClassifier(_RecordClassifier):
    """Sentence embedding of the rendered customer, and logistic regression.

    ``encoder`` is a short name, a folder, a hub id, or any object with ``encode``. After a
    fit or a prediction, ``embedder_.truncated`` counts the texts that the encoder cut.
    """

    def __init__(
        self, prompt: Prompted = None, *, encoder: str | SentenceEncoder = "minilm", random_state: int = 0
    ) -> None:
        self.prompt = prompt
        self.encoder = encoder
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> EmbeddingClassifier:
        """Fit the logistic regression on the embeddings of the rows."""
        records = self._begin(X, y)
        self.embedder_ = _embedder(self.encoder)
        self.head_ = fit_head(
            self._vectors(records),
            self._targets(records),
            strengths=(0.1, 1.0, 10.0, 100.0, 1000.0),
            default=1.0,
            seed=self.random_state,
        )
        return self

    def predict_proba(self, X: Any) -> Probabilities:
        """Return the probability of each class, (n, k)."""
        return _spread(self.head_, self._vectors(self._records(X)), len(self.classes_))

    def _vectors(self, records: Sequence[Record]) -> npt.NDArray[np.float64]:
        texts = [self.prompt_file_.render_customer(record) for record in records]
        return self.embedder_(texts).astype(np.float64)


class PriorClassifier(_RecordClassifier):
    """The share of each class in the training rows, for everybody."""

    def __init__(self, prompt: Prompted = None) -> None:
        self.prompt = prompt

    def fit(self, X: Any, y: Any) -> PriorClassifier:
        """Count the classes."""
        targets = self._targets(self._begin(X, y))
        self.shares_ = np.bincount(targets, minlength=len(self.classes_)) / len(targets)
        return self

    def predict_proba(self, X: Any) -> Probabilities:
        """Return the same probabilities (n, k) in every row."""
        return np.tile(self.shares_, (len(self._records(X)), 1))


def language_model(model: str | LanguageModel) -> LanguageModel:
    """Return the language model of a name (``auto``: the choice for this machine), or itself."""
    if not isinstance(model, str):
        return model
    from promptpredict.loading import load_language_model
    from promptpredict.models import choose, find

    return load_language_model(choose()[0] if model == "auto" else find(model))


def _embedder(encoder: str | SentenceEncoder) -> Embedder:
    return encoder if isinstance(encoder, Embedder) else Embedder(encoder)


def _spread(head: Any, features: Any, classes: int) -> Probabilities:
    """Return the head's probabilities with a column for every class, seen in its rows or not."""
    probabilities = np.zeros((len(features), classes))
    probabilities[:, head.classes_] = head.predict_proba(features)
    return probabilities


def _checked(estimator: BaseEstimator, X: Any, *, reset: bool) -> Any:
    """Check the shape and the column names of X; tables keep their types."""
    if isinstance(X, list) and X and isinstance(X[0], dict):
        return X
    if hasattr(X, "columns"):
        validate_data(estimator, X, reset=reset, skip_check_array=True)
        return X
    return validate_data(estimator, X, reset=reset, dtype=None, ensure_all_finite=False)


def _prompt_file(prompt: Prompted, X: Any, classes: npt.NDArray[Any]) -> PromptFile:
    """Load a prompt file, or write one that shows every column and asks for the class."""
    if isinstance(prompt, PromptFile):
        return prompt
    if prompt is not None:
        return PromptFile.load(prompt)
    import json

    labels = "".join(f"  {json.dumps(str(value))}: [{json.dumps(str(value))}]\n" for value in classes)
    two = len(classes) == 2
    front = f"task: {'binary' if two else 'multiclass'}\ntarget: target\nlabels:\n{labels}"
    front += f"positive: {json.dumps(str(classes[-1]))}\n" if two else ""
    return PromptFile.from_text(f"---\n{front}---\n{_PLAIN}", name="the prompt of all columns")


_PLAIN = """\
{% block system %}You assign records to classes.{% endblock %}
{% block customer %}
{% for field in customer.fields %}
{{ field.name }}: {{ field.value }}
{% endfor %}
{% endblock %}
{% block question %}Which class is it: {{ labels | join(", ") }}?{% endblock %}
{% block answer %}The class is{% endblock %}
"""
