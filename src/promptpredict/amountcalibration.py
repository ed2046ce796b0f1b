"""From label log-probabilities of bins to amounts with an interval, as `score` finds and saves it.

Knows log-probabilities (n, k), edges and amounts; knows nothing of prompts or models, whose
fingerprints it only carries.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from promptpredict.amounts import Floats, Scale, from_bins, spread_out
from promptpredict.plural import counted
from promptpredict.saved import Saved


class AmountCalibration(Saved):
    """What `score` learned of amounts, saved as JSON so that other rows get the same.

    ``labels`` are the words of the bins, ``edges`` one more than they, ``values`` what stands for each
    bin on the scale of fitted amounts (as they are or log(1 + y), less ``mean``, over ``sd``; never below
    ``low``). ``line`` is intercept and slope, ``errors`` those of rows that it has not seen; ``zeros`` are
    intercept and slope of the log-odds of an amount above zero, None where zeros are nothing special.
    Without labelled rows (``method`` is bins) amounts come from the bins' probabilities.
    """

    what: ClassVar[str] = "a calibration of amounts"

    method: Literal["bins", "line"]
    labels: tuple[str, ...] = Field(min_length=2)
    edges: tuple[float, ...]
    values: tuple[float, ...] = ()
    logged: bool = False
    mean: float = 0.0
    sd: float = Field(default=1.0, gt=0)
    low: float | None = None
    line: tuple[float, float] = (0.0, 1.0)
    zeros: tuple[float, float] | None = None
    errors: tuple[float, ...] = ()
    rows: int = Field(ge=0)
    prompt: str = ""
    model: str = ""

    @model_validator(mode="after")
    def _fits_its_bins(self) -> AmountCalibration:
        if len(self.edges) != len(self.labels) + 1:
            raise ValueError(f"{len(self.labels)} bins need {len(self.labels) + 1} edges")
        if self.method == "line" and (len(self.values) != len(self.labels) or not self.errors):
            raise ValueError("a line needs a value for each bin, and errors")
        return self

    def apply(self, logprobs: npt.ArrayLike) -> Floats:
        """Return what is expected, and the ends of the 80 % interval, of log-probabilities (n, k): (n, 3).

        A row with a number that is not finite is NaN throughout.
        """
        from scipy.special import expit, softmax

        table = np.asarray(logprobs, dtype=np.float64)
        if table.ndim != 2 or table.shape[1] != len(self.labels):
            raise ValueError(
                f"log-probabilities of shape {table.shape} for {len(self.labels)} bins"
            )
        scored = np.isfinite(table).all(axis=1)
        found = np.full((len(table), 3), np.nan)
        said = softmax(table[scored], axis=1)
        if self.method == "bins":
            found[scored] = from_bins(said, self.edges)
            return found
        levels = said @ np.array(self.values)
        positive = np.ones(len(levels))
        if self.zeros is not None:
            positive = expit(self.zeros[0] + self.zeros[1] * levels)
        fitted = self.line[0] + self.line[1] * levels
        low = -np.inf if self.low is None else self.low
        scale = Scale(self.logged, self.mean, self.sd, low)
        found[scored] = spread_out(fitted, positive, np.array(self.errors), scale)
        return found

    def describe(self) -> str:
        """Return one line for the summary of a run."""
        if self.method == "bins":
            return "amounts from the bins' probabilities, not calibrated"
        scale = " of their logarithm" if self.logged else ""
        return f"amounts by a line{scale} through the mean over the bins, found on {counted(self.rows, 'row')} with labels"


def from_edges(labels: tuple[str, ...], edges: tuple[float, ...]) -> AmountCalibration:
    """Return the calibration that takes amounts from the bins' probabilities."""
    return AmountCalibration(method="bins", labels=labels, edges=edges, rows=0)


def fit_calibration(
    logprobs: npt.ArrayLike,
    y: Floats,
    *,
    labels: tuple[str, ...],
    edges: tuple[float, ...],
    known: Floats,
    seed: int = 0,
) -> AmountCalibration:
    """Fit amounts ``y`` (n,) of rows to their log-probabilities (n, k), as PromptRegressor does.

    ``known`` (m,) are the amounts of all labelled rows, which say what stands for each bin.
    """
    from scipy.special import logit, softmax

    from promptpredict.promptregressors import bin_values, fit_line

    values = bin_values(edges, known)
    said = softmax(np.asarray(logprobs, dtype=np.float64), axis=1)
    head = fit_line((said @ values)[:, None], y, seed=seed)
    zeros = None
    if not isinstance(head.positive, float):
        zeros = _straight(head.positive, head.positive[-1].coef_[0])
    elif head.positive < 1:
        zeros = float(logit(head.positive)), 0.0
    scale = head.scale
    return AmountCalibration(
        method="line",
        labels=labels,
        edges=edges,
        values=tuple(values.tolist()),
        logged=scale.logged,
        mean=scale.mean,
        sd=scale.sd,
        low=None if np.isinf(scale.low) else scale.low,
        line=_straight(head.model, head.model[-1].coef_),
        zeros=zeros,
        errors=tuple(head.errors.tolist()),
        rows=len(y),
    )


def _straight(fitted: Any, slopes: Floats) -> tuple[float, float]:
    """Return intercept and slope of a line behind a scaler of its one feature."""
    scaler, line = fitted
    slope = float(slopes[0]) / float(scaler.scale_[0])
    return float(np.ravel(line.intercept_)[0]) - slope * float(scaler.mean_[0]), slope
