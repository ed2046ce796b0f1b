"""What every approach to an amount shares as a scikit-learn regressor: X to records, y to amounts.

Knows scikit-learn's contract; knows nothing of models, encoders or metrics. Bins are cut where the
training amounts lie, unless the prompt file gives their edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted, column_or_1d

from promptpredict.amounts import AmountHead, Floats
from promptpredict.approach import Prompted, checked
from promptpredict.binning import amounts_of, binned
from promptpredict.errors import DataError
from promptpredict.placing import placed_for_fit
from promptpredict.prompt import PromptFile
from promptpredict.records import Record, records_from_frame

_EVERY_COLUMN = """\
---
task: regression
target: target
bins: {words: [very low, low, medium, high, very high]}
---
{% block system %}You estimate an amount.{% endblock %}
{% block customer %}
{% for field in customer.fields %}
{{ field.name }}: {{ field.value }}
{% endfor %}
{% endblock %}
{% block question %}How much is it: {{ labels | join(", ") }}?{% endblock %}
{% block answer %}It is{% endblock %}
"""


class AmountApproach(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """What all approaches to an amount share; ``predict_interval`` says between what it lies."""

    prompt: Prompted
    head_: AmountHead

    def begin(self, X: Any, y: Any) -> list[Record]:
        """Check X and y, set ``prompt_file_`` with its bins, and return records with amounts."""
        X = checked(self, X, reset=True)
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None"
            )
        y = amounts_of(column_or_1d(y, warn=True))
        if len(y) < 2:
            raise ValueError(f"{type(self).__name__} needs two samples or more, got one sample")
        self.prompt_file_ = binned(load_regression(self.prompt), y)
        records = records_from_frame(X, self.prompt_file_.roles, y=y)
        self.prompt_file_ = placed_for_fit(self.prompt_file_, records)
        return records

    def records(self, X: Any) -> list[Record]:
        """Return the records of X, for an approach that has been fitted."""
        check_is_fitted(self)
        return records_from_frame(checked(self, X, reset=False), self.prompt_file_.roles)

    def fit(self, X: Any, y: Any) -> Self:
        """Fit on the rows of X (n, columns) with amounts y (n,)."""
        self._fit(self.begin(X, y))
        return self

    def cross_fit(self, X: Any, y: Any) -> Floats:
        """Fit, and return what ``predict_interval`` gives (n, 3) by fits that have not seen the row.

        NaN in the rows of which there are none.
        """
        records = self.begin(X, y)
        self._fit(records)
        return self._held_out(records)

    def predict(self, X: Any) -> Floats:
        """Return the expected amount of each row, (n,)."""
        expected: Floats = self.predict_interval(X)[:, 0]
        return expected

    def predict_interval(self, X: Any) -> Floats:
        """Return the expected amount, and the ends of its 80 % interval: (n, 3)."""
        features = self._features(self.records(X))
        return self.head_.predict(features)

    def _fit(self, records: list[Record]) -> None:
        """Learn from records with amounts."""
        raise NotImplementedError

    def _features(self, records: Sequence[Record]) -> Any:
        """Return what the head reads of records, (n, d)."""
        raise NotImplementedError

    def _held_out(self, records: list[Record]) -> Floats:
        """Return what ``cross_fit`` does, once fitted on the same records; a head knows it."""
        return self.head_.held_out

    def __sklearn_tags__(self) -> Any:
        """Declare what X may hold: text, categories and missing values."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        tags.regressor_tags.poor_score = True  # a language model need not know toy slopes
        return tags


def load_regression(prompt: Prompted) -> PromptFile:
    """Load a prompt file of a regression, or write one that shows every column.

    Raises DataError for one that asks for labels.
    """
    if prompt is None:
        return PromptFile.from_text(_EVERY_COLUMN, name="the prompt of all columns")
    file = prompt if isinstance(prompt, PromptFile) else PromptFile.load(prompt)
    if file.front.bins is None:
        raise DataError(
            f"{file.name} has task: {file.front.task}, and an amount needs task: regression; "
            "possible: the classifier of the same approach"
        )
    return file
