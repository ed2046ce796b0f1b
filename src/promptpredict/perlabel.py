"""Figures of each label of several: precision, recall and F1, whole and of a thousand resamples.

Knows labels as column numbers and how often each row is taken, counts (b, n); knows nothing of
approaches or of how a figure is shown.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
BALANCED = "balanced_accuracy"  # which more than two labels have, and two have not
OF_LABEL = ("roc_auc", "precision", "recall", "f1")  # each as precision_<label>


@dataclass(frozen=True, slots=True)
class Tally:
    """How often one label came true, was predicted, and both, (b,) each: once a resample.

    Each share is NaN where nothing was counted: precision of a label that nobody is predicted to
    have, recall of one that nobody has, F1 of both.
    """

    right: Floats
    true: Floats
    predicted: Floats

    @classmethod
    def of(
        cls, truth: npt.NDArray[np.intp], said: npt.NDArray[np.intp], counts: Floats, column: int
    ) -> Tally:
        """Count a label among rows whose labels are ``truth`` (n,) and predictions ``said`` (n,)."""
        true, predicted = truth == column, said == column
        return cls(counts @ (true & predicted), counts @ true, counts @ predicted)

    @property
    def precision(self) -> Floats:
        """The share (b,) of those predicted that came true."""
        return ratio(self.right, self.predicted)

    @property
    def recall(self) -> Floats:
        """The share (b,) of those that came true that was predicted."""
        return ratio(self.right, self.true)

    @property
    def f1(self) -> Floats:
        """The harmonic mean (b,) of both."""
        return ratio(2 * self.right, self.true + self.predicted)


def ratio(above: Floats, below: Floats) -> Floats:
    """Return a quotient; NaN where nothing is below."""
    found = np.full(above.shape, np.nan)
    np.divide(above, below, out=found, where=below > 0)
    return found


def mean_defined(values: Sequence[Floats]) -> Floats:
    """Return the mean (b,) over the values that are not NaN; NaN where all are."""
    stacked = np.stack(values)
    return ratio(np.nansum(stacked, axis=0), (~np.isnan(stacked)).sum(axis=0))


def label_figures(
    tallies: Sequence[Tally], aucs: Sequence[Floats], names: Sequence[str]
) -> dict[str, Floats]:
    """Return balanced accuracy (b,), and each label's ROC AUC against the rest and own figures.

    All are in the order of ``names``, the label keys.
    """
    found = {BALANCED: mean_defined([each.recall for each in tallies])}
    found |= {f"roc_auc_{name}": auc for name, auc in zip(names, aucs, strict=True)}
    for figure in OF_LABEL[1:]:
        for name, each in zip(names, tallies, strict=True):
            found[f"{figure}_{name}"] = getattr(each, figure)
    return found


def names_of(labels: Sequence[str]) -> set[str]:
    """Return the names of what ``label_figures`` finds."""
    return {BALANCED} | {f"{figure}_{label}" for figure in OF_LABEL for label in labels}


def is_of_label(name: str, metrics: Container[str]) -> bool:
    """Whether a metric is one label's, among the ``metrics`` of its row.

    A label may be called 5, and with two labels ``precision_5`` is that of the top 5 per cent.
    """
    return BALANCED in metrics and name.startswith(tuple(f"{figure}_" for figure in OF_LABEL))
