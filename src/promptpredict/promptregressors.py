"""The approaches to an amount that read customers with a language model: its bins, and a probe.

Knows scikit-learn's contract; knows nothing of tables on disk, splits or metrics. What the model
says of the bins becomes one number a customer, the mean over them; amounts rise with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from promptpredict.amount import AmountApproach, load_regression
from promptpredict.amounts import Floats, Scale, fit_amounts, from_bins
from promptpredict.approach import Prompted, checked
from promptpredict.binning import targets_of
from promptpredict.encoders import Embedder, SentenceEncoder
from promptpredict.errors import DataError
from promptpredict.heads import ProbeFeatures, logistic
from promptpredict.labelled import drawn
from promptpredict.plural import counted
from promptpredict.reading import Reader
from promptpredict.records import Record, groups_of
from promptpredict.regressors import ridges
from promptpredict.scores import LanguageModel, Scores
from promptpredict.shots import Select

LEAST = 8  # rows that are no shots, from which amounts are calibrated


class PromptRegressor(Reader, AmountApproach):
    """Asks a language model for one of a few ordered bins, zero-shot or with shots.

    Bins lie between quantiles of the training amounts, or between the prompt file's own ``edges``.
    With 8 or more training rows that are no shots (at most ``calibration_rows`` are read), amounts
    are a line through the mean over the bins that never falls, on the scale on which they are fitted, and
    the interval comes from rows that the line has not seen. With fewer, and fitted without y, both come
    from the bins' probabilities, which needs edges. The other parameters are PromptClassifier's.
    """

    def __init__(
        self,
        prompt: Prompted = None,
        *,
        model: str | LanguageModel = "auto",
        shots: int = 0,
        select: Select = "balanced",
        calibration: Literal["line", "none"] = "line",
        calibration_rows: int = 256,
        encoder: str | SentenceEncoder | Embedder = "minilm",
        random_state: int | None = 0,
    ) -> None:
        """Keep the parameters."""
        self.prompt = prompt
        self.model = model
        self.shots = shots
        self.select = select
        self.calibration = calibration
        self.calibration_rows = calibration_rows
        self.encoder = encoder
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:
        """Cut the bins, choose shots among the rows, and calibrate on rows that are no shots."""
        if y is not None or self.prompt is None:
            self._fit(self.begin(X, y))
            return self
        checked(self, X, reset=True)
        self.prompt_file_ = load_regression(self.prompt)
        _edges(self)
        self._fit([])
        return self

    def _fit(self, records: list[Record]) -> None:
        if self.calibration not in ("line", "none"):
            raise ValueError(f"calibration must be line, none, got '{self.calibration}'")
        rest = self._prepare(records)
        rest = drawn(rest, self.calibration_rows, seed=self.random_state)
        self.fitted_ = rest if len(rest) >= LEAST and self.calibration == "line" else []
        self.values_ = bin_values(_edges(self), targets_of(records))
        if self.fitted_:
            self.head_ = fit_line(
                self.levels(self._scores(self.fitted_).logprobs),
                targets_of(self.fitted_),
                groups=groups_of(self.fitted_),
                seed=self.random_state or 0,
            )

    def levels(self, logprobs: npt.ArrayLike) -> Floats:
        """Return the mean over the bins (n, 1), on the scale of fitted amounts, of log-probabilities (n, k)."""
        said: Floats = softmax(np.asarray(logprobs, dtype=np.float64), axis=1)
        return (said @ self.values_)[:, None]

    def predict_interval(self, X: Any) -> Floats:
        """Return the expected amount, and the ends of its 80 % interval: (n, 3)."""
        logprobs = self._scores(self.records(X)).logprobs
        if self.fitted_:
            return self.head_.predict(self.levels(logprobs))
        said = softmax(np.asarray(logprobs, dtype=np.float64), axis=1)
        return from_bins(said, _edges(self))

    def _held_out(self, records: list[Record]) -> Floats:
        held_out = self.head_.held_out if self.fitted_ else np.empty((0, 3))
        return _at_places(records, self.fitted_, held_out)


class ProbeRegressor(Reader, AmountApproach):
    """Ridge regression on the language model's last hidden states, and what it says of the bins.

    The parameters are ProbeClassifier's.
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
        self.fitted_ = self._prepare(records)
        if len(self.fitted_) < 2:
            raise DataError(
                f"{self.shots} shots leave {counted(len(self.fitted_), 'row')} for the probe to be fitted on; "
                "possible: fewer shots, or more rows"
            )
        self.values_ = bin_values(_edges(self), targets_of(records))
        scores = self._scores(self.fitted_)
        self.features_ = ProbeFeatures().fit(scores.hidden, self._odds(scores))
        width = scores.hidden.shape[1]
        self.head_ = fit_amounts(
            self._of(scores),
            targets_of(self.fitted_),
            candidates=ridges([width * each for each in (0.1, 0.3, 1.0, 3.0, 10.0)]),
            default=ridges((width,))[0],
            zeros=logistic((1e-3,))[0],
            groups=groups_of(self.fitted_),
            seed=self.random_state or 0,
        )

    def _features(self, records: Sequence[Record]) -> Floats:
        return self._of(self._scores(records))

    def _of(self, scores: Scores) -> Floats:
        return np.asarray(self.features_.transform(scores.hidden, self._odds(scores)), np.float64)

    def _odds(self, scores: Scores) -> Floats:
        """Return the mean over the bins as if it were log-odds (n, 2), which features take."""
        said = softmax(scores.logprobs.astype(np.float64), axis=1) @ self.values_
        return np.stack([said, np.zeros(len(said))], axis=1)

    def _held_out(self, records: list[Record]) -> Floats:
        return _at_places(records, self.fitted_, self.head_.held_out)


def fit_line(
    levels: Floats, y: Floats, *, groups: Sequence[str] | None = None, seed: int = 0
) -> Any:
    """Fit amounts (n,) as a line of ``levels`` (n, 1) that never falls, and its errors."""
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    line = make_pipeline(StandardScaler(), Ridge(alpha=1.0, positive=True))
    zeros = make_pipeline(StandardScaler(), *logistic((1.0,)))
    return fit_amounts(
        levels, y, candidates=[line], default=line, zeros=zeros, groups=groups, seed=seed
    )


def bin_values(edges: Sequence[float], y: Floats) -> Floats:
    """Return what stands for each bin (k,) on the scale of fitted amounts.

    The mean of the training amounts ``y`` (n,) in it, or its middle where there is none.
    """
    marks = np.asarray(edges, dtype=np.float64)
    middle = (marks[:-1] + marks[1:]) / 2
    # Edges that begin at 0 do not say that no amount lies below: a refund may.
    least = min(marks[0], y.min()) if len(y) else marks[0]
    scale = Scale.of(y if len(y) else middle, low=0.0 if least >= 0 else -np.inf)
    z, places = scale.fitted(y), np.searchsorted(marks[1:-1], y, side="right")
    return np.array(
        [
            z[places == at].mean() if (places == at).any() else scale.fitted(middle[at : at + 1])[0]
            for at in range(len(middle))
        ]
    )


def _at_places(records: Sequence[Record], some: Sequence[Record], found: Floats) -> Floats:
    """Return what was found of some records at their places among all (n, 3); NaN elsewhere."""
    places = {id(record): row for row, record in enumerate(records)}
    spread = np.full((len(records), 3), np.nan)
    spread[[places[id(record)] for record in some]] = found
    return spread


def _edges(estimator: PromptRegressor | ProbeRegressor) -> Sequence[float]:
    """Return the edges of the bins; DataError where nothing gives them."""
    file = estimator.prompt_file_
    edges = file.front.bins.edges if file.front.bins else None
    if edges is None:
        raise DataError(
            f"{file.name} gives no 'bins.edges', and there are no labelled records to cut bins from; "
            "possible: edges in the prompt file, or labelled records"
        )
    return edges
