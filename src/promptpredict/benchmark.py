"""Compares approaches on the same rows: one split, nested label budgets, several seeds.

Knows estimators, splits and metrics; knows nothing of files but the results' own form. Test rows
are the same for every approach, budget and seed; seeds vary the training draw. A prompt that
several approaches need is read once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from promptpredict.encoders import Embedder
from promptpredict.errors import PromptPredictError, nearest
from promptpredict.lm import LanguageModel
from promptpredict.memo import Memo
from promptpredict.metrics import evaluate, interval, resample
from promptpredict.prompt import PromptFile
from promptpredict.records import Record
from promptpredict.results import Difference, Row, Value, judge
from promptpredict.splits import draws, split

APPROACHES = ("zero-shot", "few-shot", "probe", "embedding", "prior")
BY_LANGUAGE_MODEL = ("zero-shot", "few-shot", "probe")
BASELINE = "embedding"
MAX_SHOTS = 16


@dataclass(frozen=True)
class Plan:
    """What to compare: approaches, label budgets, seeds, and how many rows test.

    ``budgets_of`` narrows the budgets of single approaches (few-shot is the dearest).
    ``split_seed`` draws the test rows; ``base_rate`` calibrates zero-shot, where it is known.
    """

    approaches: Sequence[str] = APPROACHES
    budgets: Sequence[int | Literal["all"]] = (0, 4, 16, 64, 256)
    budgets_of: Mapping[str, Sequence[int]] = field(default_factory=dict)
    seeds: int = 3
    max_test: int = 1000
    split_seed: int = 0
    shots: int = MAX_SHOTS
    select: Literal["balanced", "random", "nearest"] = "balanced"
    base_rate: float | None = None

    def check(self) -> None:
        """Raise PromptPredictError for an approach that there is not."""
        for approach in self.approaches:
            if approach not in APPROACHES:
                raise PromptPredictError(
                    f"there is no approach '{approach}'{nearest(approach, APPROACHES)}; "
                    f"possible: {', '.join(APPROACHES)}"
                )


@dataclass
class Comparison:
    """Results so far, with the predictions behind them and what was left out."""

    rows: list[Row] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    predictions: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Benchmark:
    """Runs a plan on labelled records."""

    def __init__(
        self, records: Sequence[Record], prompt_file: PromptFile, plan: Plan, *,
        lm: LanguageModel | None, embedder: Embedder, table: str,
    ) -> None:  # fmt: skip
        plan.check()
        self.records, self.prompt_file, self.plan, self.table = records, prompt_file, plan, table
        self.memo = Memo(lm) if lm else None
        self.embedder = embedder
        self.labels = list(prompt_file.words)
        self.positive = prompt_file.front.positive if len(self.labels) == 2 else None
        self.y = [prompt_file.label_of(record.label) for record in records]
        self.train, self.test = split(self.y, max_test=plan.max_test, seed=plan.split_seed)
        # ROC AUC of each approach, budget and seed on the same resamples of the test rows
        self._resampled: dict[tuple[str, int, int], npt.NDArray[np.float64]] = {}

    def run(self, say: Callable[[str], object] = lambda _: None) -> Comparison:
        """Fit and test every approach at every budget and seed that it takes."""
        comparison = Comparison()
        budgets = sorted({len(self.train) if budget == "all" else budget for budget in self.plan.budgets})
        for budget in [budget for budget in budgets if budget > len(self.train)]:
            comparison.notes.append(f"budget {budget} is left out: there are {len(self.train)} training rows")
        for seed in range(self.plan.seeds):
            drawn = draws([self.y[row] for row in self.train], budgets, seed=seed)
            if 0 in budgets and seed == 0 and "zero-shot" in self.plan.approaches:
                self._one("zero-shot", 0, seed, self.train[:0], comparison, say)
            for budget, rows in drawn.items():
                for approach in self.plan.approaches:
                    if approach != "zero-shot" and budget in self.plan.budgets_of.get(approach, budgets):
                        self._one(approach, budget, seed, self.train[rows], comparison, say)
        comparison.differences = self._differences()
        if self.embedder.truncated:
            comparison.notes.append(f"{self.embedder.truncated} texts are longer than the encoder's window and were cut by it")
        return comparison

    def _one(self, approach: str, budget: int, seed: int, train: Any, comparison: Comparison, say: Callable[[str], object]) -> None:
        estimator = self._estimator(approach, budget, seed)
        if approach == "zero-shot":
            estimator.fit(self._frame(self.test))
        else:
            estimator.fit(self._frame(train), [self.y[row] for row in train])
        start, spent, waited = time.perf_counter(), *self._clock()
        probabilities = estimator.predict_proba(self._frame(self.test))
        own = time.perf_counter() - start
        cost, really = (after - before for after, before in zip(self._clock(), (spent, waited), strict=True))
        seconds = own - really + cost
        probabilities = probabilities[:, [list(estimator.classes_).index(key) for key in self.labels]]
        row = self._row(approach, budget, seed, probabilities, seconds)
        comparison.rows.append(row)
        comparison.predictions += self._predictions(approach, budget, seed, probabilities)
        say(f"{approach}, {budget} labels, seed {seed}: ROC AUC {row.metrics['roc_auc'].value:.3f}")

    def _estimator(self, approach: str, budget: int, seed: int) -> Any:
        from promptpredict import estimators

        prompt, plan = self.prompt_file, self.plan
        given: dict[str, Any] = {"model": self.memo, "random_state": seed, "encoder": self.embedder}
        if approach == "zero-shot":
            method = "none" if plan.base_rate is None else "base_rate"
            return estimators.PromptClassifier(prompt, calibration=method, base_rate=plan.base_rate, **given)
        if approach == "few-shot":
            shots = min(budget, plan.shots, MAX_SHOTS)
            return estimators.PromptClassifier(prompt, shots=shots, select=plan.select, **given)
        if approach == "probe":
            return estimators.ProbeClassifier(prompt, **given)
        if approach == "embedding":
            return estimators.EmbeddingClassifier(prompt, encoder=self.embedder, random_state=seed)
        return estimators.PriorClassifier(prompt)

    def _row(self, approach: str, budget: int, seed: int, probabilities: Any, seconds: float) -> Row:
        y = [self.y[row] for row in self.test]
        given: dict[str, Any] = {"labels": self.labels, "positive": self.positive}
        drawn = resample(y, probabilities, **given)
        self._resampled[approach, budget, seed] = drawn["roc_auc"]
        metrics = {
            name: Value.of(value, *interval(drawn[name]))
            for name, value in evaluate(y, probabilities, **given).items()
        }
        metrics["seconds_per_1000"] = Value.of(seconds * 1000 / len(y))
        model = self.memo.name if self.memo and approach in BY_LANGUAGE_MODEL else ""
        model = self.embedder.name if approach == "embedding" else model
        return Row(
            table=self.table, prompt=self.prompt_file.name, model=model, approach=approach,
            budget=budget, seed=seed, n_test=len(y), metrics=metrics,
        )  # fmt: skip

    def _differences(self) -> list[Difference]:
        """Compare each approach with the baseline at its budgets, over seeds, on the same resamples."""
        found = []
        budgets = dict.fromkeys((name, budget) for name, budget, _ in self._resampled if name != BASELINE)
        for approach, budget in budgets:
            seeds = [s for n, b, s in self._resampled if (n, b) == (approach, budget) and (BASELINE, b, s) in self._resampled]
            if seeds:
                gaps = [self._resampled[approach, budget, s] - self._resampled[BASELINE, budget, s] for s in seeds]
                mean = np.mean(gaps, axis=0)
                found.append(judge(approach, BASELINE, budget, "roc_auc", float(np.nanmean(mean)), *interval(mean)))
        return found

    def _predictions(self, approach: str, budget: int, seed: int, probabilities: Any) -> list[dict[str, Any]]:
        return [
            {"approach": approach, "budget": budget, "seed": seed, "row": self.records[row].row,
             "id": self.records[row].id, "label": self.y[row]}
            | {f"p_{key}": float(p) for key, p in zip(self.labels, each, strict=True)}
            for row, each in zip(self.test, probabilities, strict=True)
        ]  # fmt: skip

    def _frame(self, rows: Any) -> list[dict[str, Any]]:
        return [dict(self.records[row].values) for row in rows]

    def _clock(self) -> tuple[float, float]:
        return (self.memo.cost, self.memo.waited) if self.memo else (0.0, 0.0)

