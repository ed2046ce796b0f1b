"""Compares approaches to an amount on the same rows: the comparison of classes, with other figures.

Knows the comparison and the regressors; knows nothing of files. Rows are drawn evenly over bins of
the amounts, so that a small label budget has high ones and low ones; what an approach learns, its
own bins among it, comes from its own labelled rows.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np

from promptpredict.amount import AmountApproach
from promptpredict.amountfigures import AmountFigures
from promptpredict.amounts import AmountHead, Floats, Scale, fit_amounts
from promptpredict.benchmark import Benchmark
from promptpredict.binning import binned, targets_of
from promptpredict.blending import best_of, choices, stacked
from promptpredict.cases import Draw, Outcome
from promptpredict.errors import DataError
from promptpredict.heads import logistic
from promptpredict.plans import CASCADE, TUNED, ZERO_SHOT, Plan
from promptpredict.prompt import PromptFile
from promptpredict.records import Record, groups_of

_STRATUM = 4  # rows at least over which rows are split and drawn evenly
LEAST_JOINED = 8  # rows that all members of a stack have not seen, from which it weighs them
# Approaches to a class that have no twin for amounts.
_NO_TWIN = ("few-shot-sets", "panel", "fusion-trees", "fusion-mlp", TUNED, CASCADE)


def strata_of(bins: Sequence[int], amounts: Floats) -> list[int]:
    """Return strata (n,) of four rows or more by their first bin; a small bin joins its neighbour.

    Where one is left, the lower and the upper half of the ``amounts``, 0 and 1. Raises DataError for
    fewer than eight rows.
    """
    if len(bins) < 2 * _STRATUM:
        raise DataError(
            f"a comparison of amounts needs {2 * _STRATUM} rows or more; there are {len(bins)}"
        )
    counts = Counter(bins)
    firsts: list[int] = []  # bins at which a stratum begins
    rows = _STRATUM
    for each in sorted(counts):
        if rows >= _STRATUM:
            firsts.append(each)
            rows = 0
        rows += counts[each]
    if rows < _STRATUM:
        firsts.pop()
    if len(firsts) == 1:
        ranks = np.argsort(np.argsort(amounts, kind="stable"))
        return (ranks >= len(amounts) // 2).astype(int).tolist()  # type: ignore[no-any-return]
    return [firsts[bisect_right(firsts, each) - 1] for each in bins]


class AmountBenchmark(Benchmark):
    """Runs a plan on records with amounts; the parameters are Benchmark's."""

    def __init__(
        self, records: Sequence[Record], prompt_file: PromptFile, plan: Plan, **given: Any
    ) -> None:
        """Split the records, evenly over their amounts."""
        self.amounts = targets_of(records)
        self._y = self.amounts.tolist()
        self.own_file = prompt_file  # each draw cuts its bins, unless the file gives their edges
        super().__init__(records, binned(prompt_file, self.amounts), plan, **given)
        self.own_files = [prompt_file.placed_as(file.standing) for file in self.files]
        left = [name for name in self.approaches if name in _NO_TWIN]
        self.approaches = [name for name in self.approaches if name not in left]
        self._unusable += [
            f"{name} is left out: it is for labels, not for amounts" for name in left
        ]

    @cached_property
    def strata(self) -> list[str]:
        """Bins of four rows or more, (n,)."""
        places = strata_of([self.labels.index(word) for word in self.y], self.amounts)
        return [self.labels[at] for at in places]

    def draws(self) -> list[Draw]:
        """Return every draw of labelled rows."""
        found = super().draws()
        bins = self.own_file.front.bins
        if self._runs.get(0) and (bins is None or bins.edges is None):
            self._runs[0] = []
            self._few = [*self._few, f"no budget of 0: {self.own_file.name} gives no 'bins.edges'"]
        return found

    def _outcome(self, approach: str, draw: Draw, shots: int) -> Outcome:
        """Fit an approach with so many shots on a draw, and test it on the test rows."""
        estimator = regressor_of(
            approach, self.own_files[draw.fold], self.plan, draw, shots=shots, model=self.memo, encoder=self.embedder
        )  # fmt: skip
        held_out = np.empty((0, 3))
        if draw.budget:
            held_out = estimator.cross_fit(self._rows(draw.rows), self.amounts[draw.rows])
        else:
            estimator.fit(self._rows(draw.train[:1]), None)
        predicted, seconds, tokens = self._timed(estimator.predict_interval, draw)
        seen = self._seen(approach, estimator)
        return Outcome(draw, predicted, held_out, held_out, seconds, tokens, seen=seen)

    def _best_of(self, counts: Mapping[str, Sequence[Outcome]]) -> list[tuple[str, Outcome]]:
        return best_of(counts, self._y, (), choose=choose_amounts)

    def _joined(self, found: Mapping[str, Sequence[Outcome]]) -> list[Outcome] | None:
        groups = groups_of(self.records)
        return stacked(found, self._y, (), groups, join=join_amounts)

    def _choices(self, found: Mapping[str, Sequence[Outcome]]) -> dict[str, list[Outcome]]:
        return choices(found, self._y, (), choose=choose_amounts)

    def _figures(self) -> AmountFigures:
        return AmountFigures(self.records, self.amounts)


def regressor_of(
    approach: str,
    prompt_file: PromptFile,
    plan: Plan,
    draw: Draw,
    *,
    shots: int,
    model: Any,
    encoder: Any,
) -> AmountApproach:
    """Return the regressor of an approach for a draw of labelled rows, with so many shots."""
    from promptpredict import promptregressors, regressors

    by_lm: dict[str, Any] = {"model": model, "encoder": encoder, "random_state": None}
    given: dict[str, Any] = {"random_state": draw.seed}
    if approach == ZERO_SHOT:
        return promptregressors.PromptRegressor(prompt_file, calibration_rows=1 << 30, **by_lm)
    if approach.startswith("few-shot"):
        select: Any = approach.removeprefix("few-shot").removeprefix("-") or plan.select
        return promptregressors.PromptRegressor(prompt_file, shots=shots, select=select, **by_lm)
    if approach.startswith("probe"):
        return promptregressors.ProbeRegressor(prompt_file, shots=shots, **by_lm)
    if approach.startswith("structured"):
        kind: Any = "trees" if approach.endswith("-trees") else "linear"
        return regressors.StructuredRegressor(prompt_file, kind=kind, **given)
    twins: dict[str, Any] = {
        "embedding": partial(regressors.EmbeddingRegressor, encoder=encoder, **given),
        "fusion": partial(regressors.FusionRegressor, encoder=encoder, **given),
        "text": partial(regressors.TextRegressor, **given),
        "prior": regressors.MedianRegressor,
    }
    made: AmountApproach = twins[approach](prompt_file)
    return made


def choose_amounts(held_out: Mapping[str, Floats], y: Sequence[Any], _: Sequence[str] = ()) -> str:
    """Return the approach that was nearest to the amounts ``y`` (n,) without having seen them.

    ``held_out`` are expectation and interval (n, 3) of the rows, NaN where an approach has seen the
    row; only rows that all approaches have are compared, and one that has fewer than half is no
    choice. The measure is the squared error on the scale on which amounts are fitted. Of equals, and
    where nothing can be compared, the first.
    """
    truth = np.asarray(y, dtype=np.float64)
    finite = {name: np.isfinite(each[:, 0]) for name, each in held_out.items() if len(each)}
    known = [name for name, rows in finite.items() if 2 * rows.sum() >= len(truth) > 0]
    shared = np.all([finite[name] for name in known], axis=0) if known else np.array([])
    if not known or not shared.any():
        return next(iter(held_out))
    scale = Scale.of(truth, low=0.0 if truth.min() >= 0 else -np.inf)
    z = scale.fitted(truth[shared])

    def loss(name: str) -> float:
        said = held_out[name][shared, 0]
        said = np.maximum(said, 0.0) if scale.logged else said
        return float(np.mean((scale.fitted(said) - z) ** 2))

    return min(known, key=lambda name: round(loss(name), 9))


def join_amounts(
    held_out: Sequence[Floats],
    tested: Sequence[Floats],
    y: Sequence[Any],
    _: Sequence[str],
    groups: Sequence[str] | None,
    seed: int,
) -> tuple[Floats, Floats]:
    """Return what the stack says of test rows (m, 3) and of its own rows without them (n, 3).

    A ridge regression with weights of zero or more on what its members say, where they have not seen
    enough rows their mean.
    """
    from sklearn.linear_model import Ridge

    truth = np.asarray(y, dtype=np.float64)
    known = np.flatnonzero(np.all([np.isfinite(each[:, 0]) for each in held_out], axis=0))
    found = np.full((len(truth), 3), np.nan)
    if len(known) < LEAST_JOINED:
        return np.mean(tested, axis=0), found
    scale = Scale.of(truth, low=0.0 if truth.min() >= 0 else -np.inf)

    def said(each: Sequence[Floats]) -> Floats:
        columns = [np.maximum(one[:, 0], scale.low) for one in each]
        return np.stack([scale.fitted(column) for column in columns], axis=1)

    head: AmountHead = fit_amounts(
        said([each[known] for each in held_out]),
        truth[known],
        candidates=[Ridge(alpha=alpha, positive=True) for alpha in (1.0, 3.0, 10.0)],
        default=Ridge(alpha=3.0, positive=True),
        zeros=logistic((0.1,))[0],
        groups=None if groups is None else [groups[row] for row in known.tolist()],
        seed=seed,
        least=16,
    )
    found[known] = head.held_out
    return head.predict(said(tested)), found


def check_amounts(plan: Plan, prompts: int, *, attacks: bool) -> None:
    """Raise DataError for what a comparison of amounts cannot do."""
    if prompts > 1:
        raise DataError(
            "several prompt files cannot be compared with task: regression; possible: one prompt file"
        )
    for option, given in (
        ("--value-saved", plan.value_saved is not None),
        ("--base-rate", plan.base_rate is not None),
        ("--attacks", attacks),
    ):
        if given:
            raise DataError(f"{option} needs labels; task: regression has amounts")
