"""What every approach to an amount shares as a scikit-learn regressor: X to records, y to amounts.

Knows scikit-learn's contract; knows nothing of models, encoders or metrics. Bins are cut where the
training amounts lie, unless the prompt file gives their edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sklearn.base import RegressorMixin

from promptpredict.amounts import AmountHead, Floats
from promptpredict.approach import OnRecords, Prompted
from promptpredict.binning import amounts_of, binned
from promptpredict.errors import DataError
from promptpredict.prompt import PromptFile
from promptpredict.records import Record

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


class AmountApproach(RegressorMixin, OnRecords):  # type: ignore[misc]
    """What all approaches to an amount share; ``predict_interval`` says between what it lies."""

    head_: AmountHead

    def begin(self, X: Any, y: Any) -> list[Record]:
        """Check X and y, set ``prompt_file_`` with its bins, and return records with amounts."""
        X, y = self._checked(X, y)
        y = amounts_of(y)
        if len(y) < 2:
            raise ValueError(f"{type(self).__name__} needs two samples or more, got one sample")
        self.prompt_file_ = binned(load_regression(self.prompt), y)
        return self._taken(X, y)

    def predict(self, X: Any) -> Floats:
        """Return the expected amount of each row, (n,)."""
        expected: Floats = self.predict_interval(X)[:, 0]
        return expected

    def predict_interval(self, X: Any) -> Floats:
        """Return the expected amount, and the ends of its 80 % interval: (n, 3)."""
        features = self._features(self.records(X))
        return self.head_.predict(features)

    def _features(self, records: Sequence[Record]) -> Any:
        """Return what the head reads of records, (n, d)."""
        raise NotImplementedError

    def __sklearn_tags__(self) -> Any:
        """Declare that a language model need not know toy slopes."""
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True
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
