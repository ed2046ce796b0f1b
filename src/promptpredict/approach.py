"""What every approach shares as a scikit-learn classifier: X to records, y to labels and classes.

Knows scikit-learn's contract; knows nothing of models, encoders or metrics. Classes are sorted, as
scikit-learn wants them; inside, labels stand in the prompt file's order.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from promptpredict.errors import DataError
from promptpredict.placing import placed_for_fit
from promptpredict.plainyaml import quoted
from promptpredict.prompt import PromptFile
from promptpredict.records import Record, records_from_frame

Probabilities = npt.NDArray[np.float64]
Prompted = str | Path | PromptFile | None


class OnRecords(BaseEstimator):  # type: ignore[misc]
    """What estimators share that read records, whatever they predict: X checked, fitted, held out."""

    prompt: Prompted
    prompt_file_: PromptFile

    def begin(self, X: Any, y: Any) -> list[Record]:
        """Check X and y, set ``prompt_file_``, and return records with what is to be learned."""
        raise NotImplementedError

    def records(self, X: Any) -> list[Record]:
        """Return the records of X, for an approach that has been fitted."""
        check_is_fitted(self)
        X = checked(self, X, reset=False)
        _check_rows(X)
        return records_from_frame(X, self.prompt_file_.roles)

    def fit(self, X: Any, y: Any) -> Self:
        """Fit on the rows of X (n, columns) with labels or amounts y (n,)."""
        self._fit(self.begin(X, y))
        return self

    def cross_fit(self, X: Any, y: Any) -> Probabilities:
        """Fit, and return what is predicted of the rows by fits that have not seen them.

        Probabilities (n, k), or amounts with their interval (n, 3). NaN in the rows of which there
        are none, as with a single row of a class.
        """
        records = self.begin(X, y)
        self._fit(records)
        return self._held_out(records)

    def _fit(self, records: list[Record]) -> None:
        """Learn from labelled records."""
        raise NotImplementedError

    def _held_out(self, records: list[Record]) -> Probabilities:
        """Return what ``cross_fit`` does, once fitted on the same records; a head knows it."""
        held_out: Probabilities = self.head_.held_out
        return held_out

    def _checked(self, X: Any, y: Any) -> tuple[Any, npt.NDArray[Any]]:
        """Return X, and y (n,) as a column; ValueError where there is no y, or one is missing."""
        import pandas as pd

        X = checked(self, X, reset=True)
        _check_rows(X)
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None"
            )
        y = column_or_1d(y, warn=True)
        missing = np.flatnonzero(pd.isna(y))
        if len(missing):
            raise DataError(
                f"y has no value in {len(missing)} of {len(y)} rows, the first is row "
                f"{missing[0] + 1}; possible: the rows that have one"
            )
        return X, y

    def _taken(self, X: Any, y: npt.NDArray[Any]) -> list[Record]:
        """Return the records of X with what is to be learned, and place the prompt file's numbers."""
        records = records_from_frame(X, self.prompt_file_.roles, y=y)
        self.prompt_file_ = placed_for_fit(self.prompt_file_, records)
        return records

    def __sklearn_tags__(self) -> Any:
        """Declare what X may hold: text, categories and missing values."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        return tags


class Approach(ClassifierMixin, OnRecords):  # type: ignore[misc]
    """What all approaches share: X to records, y to labels, classes to columns.

    ``reads`` says which kinds of columns bear on what is predicted: fields, texts, or both.
    """

    reads: tuple[Literal["field", "text"], ...] = ("field", "text")

    def begin(self, X: Any, y: Any) -> list[Record]:
        """Check X and y, set ``classes_`` and ``prompt_file_``, and return labelled records."""
        X, y = self._checked(X, y)
        check_classification_targets(y)
        self.classes_ = np.unique(y)
        if len(self.classes_) < 2:
            raise ValueError(
                f"y holds one class, '{self.classes_[0]}'; {type(self).__name__} needs two or more"
            )
        self.prompt_file_ = load_prompt_file(self.prompt, self.classes_)
        self.keys_ = [self.prompt_file_.label_of(value) for value in self.classes_]
        if len(set(self.keys_)) < len(self.keys_):
            found = ", ".join(repr(str(value)) for value in self.classes_)
            raise ValueError(f"y holds spellings of one label as classes of their own: {found}")
        return self._taken(X, y)

    def targets(self, records: Sequence[Record]) -> npt.NDArray[np.intp]:
        """Return the column of ``classes_`` of each record's label, (n,)."""
        columns = {key: column for column, key in enumerate(self.keys_)}
        return np.array([columns[self.prompt_file_.label_of(record.label)] for record in records])

    def by_class(self, found: Probabilities) -> Probabilities:
        """Return probabilities (n, k) by class from those by label, in the prompt file's order."""
        chosen = found[:, [list(self.prompt_file_.words).index(key) for key in self.keys_]]
        return np.asarray(chosen / chosen.sum(axis=1, keepdims=True))

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Return the most probable class of each row, (n,)."""
        best = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[best])

    def predict_proba(self, X: Any) -> Probabilities:
        """Return the probability of each class, (n, k), columns as in ``classes_``."""
        raise NotImplementedError

    def __sklearn_tags__(self) -> Any:
        """Declare that a language model need not know toy clusters."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.poor_score = True
        return tags


def _check_rows(X: Any) -> None:
    """Raise DataError for a table without rows; its columns alone do where no label is learned from."""
    if not len(X):
        raise DataError("X has no rows")


def checked(estimator: BaseEstimator, X: Any, *, reset: bool) -> Any:
    """Check the shape and the column names of X; tables keep their types."""
    if isinstance(X, list) and X and isinstance(X[0], dict | Record):
        return X
    if hasattr(X, "columns"):
        validate_data(estimator, X, reset=reset, skip_check_array=True)
        return X
    return validate_data(estimator, X, reset=reset, dtype=None, ensure_all_finite=False)


def load_prompt_file(prompt: Prompted, classes: Sequence[Any] | npt.NDArray[Any]) -> PromptFile:
    """Load a prompt file, or write one that shows every column and asks for the class.

    Raises DataError for one that asks for an amount.
    """
    if prompt is not None:
        found = prompt if isinstance(prompt, PromptFile) else PromptFile.load(prompt)
        if found.front.bins:
            raise DataError(
                f"{found.name} has task: regression, and a class needs task: binary or multiclass; "
                "possible: the regressor of the same approach"
            )
        return found
    words = [quoted(str(value)) for value in classes]
    two = len(words) == 2
    front = [
        f"task: {'binary' if two else 'multiclass'}",
        "target: target",
        "labels:",
        *(f"  {word}: [{word}]" for word in words),
        *([f"positive: {words[-1]}"] if two else []),
    ]
    text = "\n".join(["---", *front, "---", _EVERY_COLUMN])
    return PromptFile.from_text(text, name="the prompt of all columns")


_EVERY_COLUMN = """\
{% block system %}You assign records to classes.{% endblock %}
{% block customer %}
{% for field in customer.fields %}
{{ field.name }}: {{ field.value }}
{% endfor %}
{% endblock %}
{% block question %}Which class is it: {{ labels | join(", ") }}?{% endblock %}
{% block answer %}The class is{% endblock %}
"""
