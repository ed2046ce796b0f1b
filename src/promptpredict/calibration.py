"""From label log-probabilities to probabilities: what a calibrator learned, and how it learns it.

Knows label log-probabilities (n, k), label keys and rates; knows nothing of prompts or models,
whose fingerprints it only carries so that a caller can refuse the wrong ones. Everything stays in
log space until the last step: float32 log-probabilities of -80 are ordinary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from promptpredict.errors import DataError, nearest
from promptpredict.plural import counted
from promptpredict.rates import Rate
from promptpredict.saved import Saved

MIN_ROWS = 200  # a base-rate shift found on fewer says more about those rows than about the prompt

Floats = npt.NDArray[np.float64]


class Calibration(Saved):
    """What a calibrator learned, saved as JSON so that other rows get the same probabilities.

    ``labels`` are the label keys in column order. With two labels the log-odds of ``positive``
    become ``slope`` * log-odds + ``shift``; with more, each label's normalised log-probability
    becomes its own of ``slopes`` (1 where there are none) times it, and its own of ``shifts`` more;
    by the older method ``temperature`` all are multiplied by ``slope``. ``base_rate`` is a known
    share of ``positive``, ``shares`` are those of all labels. ``rows`` counts the rows it was found
    on. ``prompt`` and ``model`` are fingerprints of what gave the log-probabilities, empty where the
    caller set none.
    """

    method: Literal["none", "base_rate", "platt", "temperature", "vector"]
    labels: tuple[str, ...] = Field(min_length=2)
    positive: str | None
    slope: float = Field(default=1.0, gt=0)
    shift: float = 0.0
    base_rate: float | None = Field(default=None, gt=0, lt=1)
    slopes: tuple[Annotated[float, Field(gt=0)], ...] = ()
    shifts: tuple[float, ...] = ()
    shares: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = ()
    rows: int = Field(ge=0)
    prompt: str = ""
    model: str = ""

    @model_validator(mode="after")
    def _fits_its_labels(self) -> Calibration:
        if len(set(self.labels)) < len(self.labels):
            raise ValueError("a label stands twice")
        if self.positive is not None and self.positive not in self.labels:
            raise ValueError(f"the positive label '{self.positive}' is not among the labels")
        of_each = self.slopes, self.shifts, self.shares
        if any(len(each) not in (0, len(self.labels)) for each in of_each):
            raise ValueError("slopes, shifts and shares are one a label, or none")
        if self.method == "vector" and not (self.slopes and self.shifts):
            raise ValueError("the method 'vector' needs a slope and a shift for each label")
        if self.method == "base_rate" and self.shares and self.shifts:
            return self
        if self.method in ("base_rate", "platt") and (
            len(self.labels) > 2 or self.positive is None
        ):
            raise ValueError(f"the method '{self.method}' needs two labels, one of them positive")
        return self

    def unused(self) -> set[str]:
        """Return the fields of several labels, where there are none."""
        return {name for name in ("slopes", "shifts", "shares") if not getattr(self, name)}

    def apply(self, logprobs: npt.ArrayLike) -> Floats:
        """Return probabilities (n, k) whose rows sum to 1.

        ``logprobs`` (n, k) need not be normalised. A row with a number that is not finite has no
        probability and is NaN throughout.
        """
        from scipy.special import log_softmax, softmax

        table = label_table(logprobs, self.labels)
        scored = np.isfinite(table).all(axis=1)
        probabilities = np.full(table.shape, np.nan)
        if self.shifts:
            slopes = np.array(self.slopes or [1.0] * len(self.labels))
            scores = slopes * log_softmax(table[scored], axis=1) + np.array(self.shifts)
            probabilities[scored] = softmax(scores, axis=1)
            return probabilities
        column = 0 if self.positive is None else self.labels.index(self.positive)
        # Relative to one column before anything else, so that two labels are one number, the
        # log-odds: slope and shift then keep the order of the rows to the last bit.
        scores = self.slope * (table[scored] - table[scored, column, None]) - self.shift
        scores[:, column] = 0.0
        probabilities[scored] = softmax(scores, axis=1)
        return probabilities

    def is_at(self, rate: Rate) -> bool:
        """Whether probabilities are moved to this base rate."""
        if isinstance(rate, Mapping):
            return self.shares == tuple(rate[label] for label in self.labels)
        return self.base_rate == rate

    def describe(self) -> str:
        """Return one line for the summary of a run."""
        rows = counted(self.rows, "row")
        if self.method == "none":
            return "not calibrated"
        if self.shifts:
            return self._described(rows)
        if self.method == "base_rate":
            return f"base rate {self.base_rate} by a log-odds shift of {self.shift:.2f} found on {rows}"
        if self.method == "temperature":
            return f"temperature {1 / self.slope:.2f} found on {rows} with labels"
        moved = "" if self.base_rate is None else f", moved to base rate {self.base_rate:.3g}"
        return f"Platt slope {self.slope:.2f} and shift {self.shift:.2f} found on {rows} with labels{moved}"

    def _described(self, rows: str) -> str:
        """Describe a slope and a shift, or a shift alone, for each label."""
        rate = ", ".join(
            f"{label} {share:.3g}" for label, share in zip(self.labels, self.shares, strict=False)
        )
        shifts = [
            f"{label} {shift:+.2f}" for label, shift in zip(self.labels, self.shifts, strict=True)
        ]
        if not self.slopes:
            return f"base rate {rate} by shifts of {', '.join(shifts)} found on {rows}"
        scaled = ", ".join(
            f"{label} {slope:.2f} and {shift:+.2f}"
            for label, slope, shift in zip(self.labels, self.slopes, self.shifts, strict=True)
        )
        moved = f", moved to base rate {rate}" if rate else ""
        return f"slope and shift of each label ({scaled}) found on {rows} with labels{moved}"


def none(labels: Sequence[str], positive: str | None) -> Calibration:
    """Return the calibration that only normalises over the labels."""
    return Calibration(method="none", labels=tuple(labels), positive=positive, rows=0)


def fit_base_rate(
    logprobs: npt.ArrayLike, rate: float, *, labels: Sequence[str], positive: str
) -> Calibration:
    """Find the log-odds shift at which the mean probability of ``positive`` is ``rate``.

    It changes no ranking, only the level. The rows have to stand for the customers to whom the
    rate belongs. Raises DataError for fewer than MIN_ROWS finite rows, whose mean would be forced
    to the rate whoever they are: a single customer would score exactly the rate.
    """
    _check_rate(rate, labels, positive)
    odds = log_odds(logprobs, labels, positive)
    finite = odds[np.isfinite(odds)]
    return fit_shift(lambda: iter([finite]), rate, labels=labels, positive=positive)


def fit_shift(
    parts: Callable[[], Iterator[Floats]], rate: float, *, labels: Sequence[str], positive: str
) -> Calibration:
    """Do what ``fit_base_rate`` does from finite log-odds, which ``parts`` yields anew each time.

    So millions of rows need not be in memory.
    """
    from scipy.optimize import brentq
    from scipy.special import log_expit, logit, logsumexp

    _check_rate(rate, labels, positive)
    sizes = [(len(odds), odds.min(), odds.max()) for odds in parts() if len(odds)]
    rows = sum(size for size, _, _ in sizes)
    if rows < MIN_ROWS:
        raise DataError(
            f"found {rows} scored rows, but a shift to the base rate {rate} needs at least "
            f"{MIN_ROWS}; possible: the calibration of a larger run"
        )

    def excess(shift: float) -> float:
        sums = [logsumexp(log_expit(odds + shift)) for odds in parts()]
        return float(logsumexp(sums) - np.log(rows) - np.log(rate))

    # At the ends every row is below the rate, and every row above it; 1 makes it strictly so.
    level = logit(rate)
    low, high = level - max(high for _, _, high in sizes), level - min(low for _, low, _ in sizes)
    shift = brentq(excess, low - 1, high + 1, xtol=1e-12)
    return Calibration(
        method="base_rate",
        labels=tuple(labels),
        positive=positive,
        shift=float(shift),
        base_rate=rate,
        rows=rows,
    )


def fit_platt(
    logprobs: npt.ArrayLike,
    y: Sequence[str],
    *,
    labels: Sequence[str],
    positive: str,
    base_rate: float | None = None,
) -> Calibration:
    """Fit log-odds' = slope * log-odds + shift to labelled rows, of two labels.

    ``y`` holds one label key a row. Four labels, one class or separable rows give finite numbers:
    the targets are Platt's (a pseudo-count of one a class), and log slope has a standard normal
    prior. The slope is positive, so a few labels cannot turn the ranking round. ``base_rate``
    moves the shift from the share of positives in ``y`` to the known one, for labelled rows that
    were not drawn at random (balanced, say).
    """
    from scipy.special import logit

    if base_rate is not None:
        _check_rate(base_rate, labels, positive)
    odds = log_odds(logprobs, labels, positive)
    scored = np.isfinite(odds)
    hit = columns_of(y, labels)[scored] == list(labels).index(positive)
    check_labelled(hit)
    slope, shift = _platt(odds[scored], hit)
    if base_rate is not None:
        # The mean that was fitted: with few rows Platt's targets are nearer one half than the rows.
        shift += float(logit(base_rate) - logit(_targets(hit).mean()))
    return Calibration(
        method="platt",
        labels=tuple(labels),
        positive=positive,
        slope=slope,
        shift=shift,
        base_rate=base_rate,
        rows=len(hit),
    )


def columns_of(y: Sequence[str], labels: Sequence[str]) -> npt.NDArray[np.intp]:
    """Return the column (n,) of each label key; DataError for one that is not among ``labels``."""
    columns = {label: column for column, label in enumerate(labels)}
    for label in y:
        if label not in columns:
            possible = f"{', '.join(labels)}{nearest(str(label), labels)}"
            raise DataError(f"found the label '{label}'; the labels are {possible}")
    return np.array([columns[label] for label in y], dtype=np.intp)


def _platt(odds: Floats, hit: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Return the slope and shift that ``fit_platt`` describes."""
    from scipy.optimize import minimize

    targets = _targets(hit)
    # Around the middle, or slope and shift pull on the same thing where all log-odds lie at -8.
    middle = float(np.median(odds))
    centred = odds - middle

    def loss(parameters: Floats) -> tuple[float, Floats]:
        log_slope, level = parameters
        scores = np.exp(log_slope) * centred + level
        residual = np.exp(-np.logaddexp(0, -scores)) - targets
        value = np.sum(np.logaddexp(0, scores) - targets * scores) + log_slope**2 / 2
        by_log_slope = np.exp(log_slope) * (residual @ centred) + log_slope
        return float(value), np.array([by_log_slope, residual.sum()])

    # The bounds are far outside what the prior allows; they keep a line search from exp(1000).
    fit = minimize(loss, [0.0, 0.0], jac=True, bounds=[(-20, 20), (None, None)], tol=1e-12)
    slope, level = float(np.exp(fit.x[0])), float(fit.x[1])
    return slope, level - slope * middle


def _targets(hit: npt.NDArray[np.bool_]) -> Floats:
    """Return Platt's targets (n,): as if there were one more row of each class, a miss."""
    hits = int(hit.sum())
    return np.where(hit, (hits + 1) / (hits + 2), 1 / (len(hit) - hits + 2))


def label_table(logprobs: npt.ArrayLike, labels: Sequence[str]) -> Floats:
    """Return log-probabilities as an array (n, k); ValueError for another shape."""
    table = np.asarray(logprobs, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] != len(labels):
        raise ValueError(f"log-probabilities of shape {table.shape} for {len(labels)} labels")
    return table


def log_odds(logprobs: npt.ArrayLike, labels: Sequence[str], positive: str) -> Floats:
    """Return the log-odds (n,) of ``positive`` against the one other label."""
    table = label_table(logprobs, labels)
    column = list(labels).index(positive)
    # -inf less -inf, a row that was never scored: NaN, and NaN rows are left out
    with np.errstate(invalid="ignore"):
        return np.asarray(table[:, column] - table[:, 1 - column])


def _check_rate(rate: float, labels: Sequence[str], positive: str | None) -> None:
    if not 0 < rate < 1:
        raise DataError(f"the base rate {rate} has to lie between 0 and 1 (0.12 for 12 %)")
    if len(labels) != 2 or positive is None:
        raise DataError(
            f"the base rate {rate} needs two labels, one of them positive; "
            f"found the labels {', '.join(labels)} and the positive label {positive}"
        )


def check_labelled(rows: npt.NDArray[Any]) -> None:
    """Raise DataError where no labelled row is left."""
    if not len(rows):
        raise DataError("no labelled row could be scored; calibration on labels needs at least one")
