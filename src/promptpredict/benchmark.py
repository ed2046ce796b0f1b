"""Compares approaches on the same rows: one split, nested label budgets, several seeds.

Knows estimators, splits and metrics; knows nothing of files but the results' own form. Test rows
are the same for every approach, budget and seed; seeds vary the training draw. A prompt that
several approaches need is read once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from promptpredict.calibration import MIN_ROWS
from promptpredict.encoders import Embedder
from promptpredict.errors import DataError, nearest
from promptpredict.memo import Memo
from promptpredict.metrics import evaluate, interval, resample
from promptpredict.prompt import PromptFile
from promptpredict.records import Record
from promptpredict.results import Difference, Row, Value, judge
from promptpredict.scores import LanguageModel
from promptpredict.shots import Select
from promptpredict.splits import Rows, draws, split

APPROACHES = ("zero-shot", "few-shot", "probe", "embedding", "prior")
BY_LANGUAGE_MODEL = ("zero-shot", "few-shot", "probe")
BASELINE = "embedding"
MAX_SHOTS = 16
REVERSED = 0.45  # a ROC AUC below it is more than bad luck: words and labels may be swapped
RATE_ROWS = 1000  # training rows, without their labels, on which a base-rate shift is found
Say = Callable[[str], object]


@dataclass(frozen=True, kw_only=True)
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
    select: Select = "balanced"
    base_rate: float | None = None

    def check(self) -> None:
        """Raise DataError for an approach that there is not."""
        for approach in self.approaches:
            if approach not in APPROACHES:
                raise DataError(
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


_Key = tuple[str, int, int]  # approach, budget, seed


@dataclass(frozen=True)
class _Case:
    """One approach with one draw of labelled rows."""

    approach: str
    budget: int
    seed: int
    train: Rows

    @property
    def key(self) -> _Key:
        return self.approach, self.budget, self.seed


class Benchmark:
    """Runs a plan on labelled records.

    ``lm`` may be None where no approach needs a language model. Raises DataError for records that
    cannot be split, and for a plan that cannot be carried out.
    """

    def __init__(
        self,
        records: Sequence[Record],
        prompt_file: PromptFile,
        plan: Plan,
        *,
        lm: LanguageModel | None,
        embedder: Embedder,
        table: str,
    ) -> None:
        """Split the records."""
        plan.check()
        self.records, self.prompt_file, self.plan, self.table = records, prompt_file, plan, table
        self.memo = Memo(lm) if lm else None
        self.embedder = embedder
        self.labels = list(prompt_file.words)
        self.y = [prompt_file.label_of(record.label) for record in records]
        self.train, self.test = split(self.y, max_test=plan.max_test, seed=plan.split_seed)
        # ROC AUC of each approach, budget and seed on the same resamples of the test rows
        self._resampled: dict[_Key, npt.NDArray[np.float64]] = {}

    def run(self, say: Say = lambda _: None) -> Comparison:
        """Fit and test every approach at every budget and seed that it takes."""
        comparison = Comparison(notes=self._left_out())
        for case in self._cases():
            row, predictions = self._tested(case)
            comparison.rows.append(row)
            comparison.predictions += predictions
            auc = row.metrics["roc_auc"].value
            shown = "undefined" if auc is None else f"{auc:.3f}"
            say(f"{case.approach}, {case.budget:,} labels, seed {case.seed}: ROC AUC {shown}")
        comparison.differences = self._differences(comparison.rows)
        comparison.notes += _reversed(comparison.rows)
        comparison.notes += [cut] if (cut := self.embedder.describe()) else []
        return comparison

    # -- what is compared ------------------------------------------------------------------

    @property
    def _budgets(self) -> list[int]:
        most = len(self.train)
        return sorted({most if budget == "all" else budget for budget in self.plan.budgets})

    def _left_out(self) -> list[str]:
        most, least = len(self.train), len(set(self.y))
        notes = [
            f"budget {budget:,} is left out: there are {most:,} training rows"
            for budget in self._budgets
            if budget > most
        ]
        notes += [
            f"budget {budget:,} is left out: there are {least:,} labels, and each needs a row"
            for budget in self._budgets
            if 0 < budget < least
        ]
        cases = {case.approach for case in self._cases()}
        notes += [
            f"{approach} is left out: no budget suits it (zero-shot takes 0, the others take more)"
            for approach in dict.fromkeys(self.plan.approaches)
            if approach not in cases
        ]
        if self.plan.base_rate is not None and most < MIN_ROWS:
            notes.append(
                f"zero-shot is not calibrated to the base rate: there are {most:,} training rows, "
                f"and {MIN_ROWS} are needed to find a shift on"
            )
        return notes

    def _cases(self) -> list[_Case]:
        """Return every approach with every draw, zero-shot (which draws nothing) once."""
        cases = []
        if "zero-shot" in self.plan.approaches and 0 in self._budgets:
            cases.append(_Case("zero-shot", 0, 0, self.train[:0]))
        others = [each for each in dict.fromkeys(self.plan.approaches) if each != "zero-shot"]
        for seed in range(self.plan.seeds):
            drawn = draws([self.y[row] for row in self.train], self._budgets, seed=seed)
            for budget, rows in drawn.items():
                if budget < len(set(self.y)):
                    continue
                cases += [
                    _Case(approach, budget, seed, self.train[rows])
                    for approach in others
                    if budget in self.plan.budgets_of.get(approach, self._budgets)
                ]
        return cases

    # -- one case --------------------------------------------------------------------------

    def _tested(self, case: _Case) -> tuple[Row, list[dict[str, Any]]]:
        """Fit an approach, and test it on the test rows."""
        estimator = self._fitted(case)
        start, (cost, waited) = time.perf_counter(), self._clock()
        found = estimator.predict_proba(self._rows(self.test))
        seconds = time.perf_counter() - start
        # What another approach has read already would have taken its time here as well.
        seconds += self._clock()[0] - cost - (self._clock()[1] - waited)
        probabilities = np.zeros((len(found), len(self.labels)))  # 0 for a label nobody has
        probabilities[:, [self.labels.index(key) for key in estimator.classes_]] = found
        return self._row(case, probabilities, seconds), self._predictions(case, probabilities)

    def _fitted(self, case: _Case) -> Any:
        estimator = self._estimator(case)
        if case.approach == "zero-shot":
            rows = np.random.default_rng(self.plan.split_seed).permutation(self.train)[:RATE_ROWS]
            return estimator.fit(self._rows(rows))
        return estimator.fit(self._rows(case.train), [self.y[row] for row in case.train])

    def _estimator(self, case: _Case) -> Any:
        from promptpredict import baselines, estimators

        prompt, plan = self.prompt_file, self.plan
        given: dict[str, Any] = {"encoder": self.embedder, "random_state": case.seed}
        by_lm = given | {"model": self.memo}
        if case.approach == "zero-shot":
            known = plan.base_rate is not None and len(self.train) >= MIN_ROWS
            rate: dict[str, Any] = {
                "calibration": "base_rate" if known else "none",
                "base_rate": plan.base_rate,
            }
            return estimators.PromptClassifier(prompt, **by_lm, **rate)
        if case.approach == "few-shot":
            shots = min(case.budget, plan.shots, MAX_SHOTS)
            return estimators.PromptClassifier(prompt, shots=shots, select=plan.select, **by_lm)
        if case.approach == "probe":
            return estimators.ProbeClassifier(prompt, **by_lm)
        if case.approach == "embedding":
            return baselines.EmbeddingClassifier(prompt, **given)
        return baselines.PriorClassifier(prompt)

    def _row(self, case: _Case, probabilities: Any, seconds: float) -> Row:
        y = [self.y[row] for row in self.test]
        given: dict[str, Any] = {"labels": self.labels, "positive": self.prompt_file.front.positive}
        drawn = resample(y, probabilities, **given)
        self._resampled[case.key] = drawn["roc_auc"]
        metrics = {
            name: Value.of(value, *interval(drawn[name]))
            for name, value in evaluate(y, probabilities, **given).items()
        }
        metrics["seconds_per_1000"] = Value.of(seconds * 1000 / len(y))
        model = self.embedder.name if case.approach == BASELINE else ""
        if case.approach in BY_LANGUAGE_MODEL and self.memo:
            model = self.memo.name
        return Row(
            table=self.table,
            prompt=self.prompt_file.name,
            model=model,
            approach=case.approach,
            budget=case.budget,
            seed=case.seed,
            n_test=len(y),
            metrics=metrics,
        )

    def _predictions(self, case: _Case, probabilities: Any) -> list[dict[str, Any]]:
        drawn = {"approach": case.approach, "budget": case.budget, "seed": case.seed}
        return [
            drawn
            | {"row": self.records[row].row, "id": self.records[row].id, "label": self.y[row]}
            | {f"p_{key}": float(p) for key, p in zip(self.labels, each, strict=True)}
            for row, each in zip(self.test, probabilities, strict=True)
        ]

    # -- all of them -----------------------------------------------------------------------

    def _differences(self, rows: Sequence[Row]) -> list[Difference]:
        """Compare each approach with the baseline at its budgets, the mean over the seeds.

        All intervals come from the same resamples of the test rows, so they are paired.
        """
        known = {
            (row.approach, row.budget, row.seed): row.metrics["roc_auc"].value
            for row in rows
            if row.metrics["roc_auc"].value is not None
        }
        groups: dict[tuple[str, int], list[tuple[_Key, _Key]]] = {}
        for ours, theirs in product(known, known):
            # zero-shot needs no label, so it stands against every budget of the baseline
            same = ours[1:] == theirs[1:] or ours[0] == "zero-shot"
            if theirs[0] == BASELINE != ours[0] and same:
                groups.setdefault((ours[0], theirs[1]), []).append((ours, theirs))
        found = []
        for (approach, budget), pairs in groups.items():
            gaps = [self._resampled[ours] - self._resampled[theirs] for ours, theirs in pairs]
            low, high = interval(np.mean(gaps, axis=0))
            value = float(np.mean([known[ours] - known[theirs] for ours, theirs in pairs]))
            found.append(judge(approach, BASELINE, budget, "roc_auc", value, low, high))
        return found

    def _rows(self, rows: Rows) -> list[Record]:
        return [self.records[row] for row in rows]

    def _clock(self) -> tuple[float, float]:
        """Return the seconds that all that was asked for costs, and those really spent."""
        cost, waited = self.embedder.cost, self.embedder.waited
        return (cost + self.memo.cost, waited + self.memo.waited) if self.memo else (cost, waited)


def _reversed(rows: Sequence[Row]) -> list[str]:
    """Return a note where the wording alone ranks the wrong way round."""
    return [
        f"zero-shot ranks the wrong way round (ROC AUC {auc:.3f}): possible: another wording, or "
        "other words for the labels"
        for row in rows
        if row.approach == "zero-shot"
        and (auc := row.metrics["roc_auc"].value) is not None
        and auc < REVERSED
    ]
