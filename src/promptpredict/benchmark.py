"""Compares approaches on the same rows: one split, nested label budgets, several seeds.

Knows estimators, and the ground that they stand on; knows nothing of files, nor of how figures are
made. All prompts are collected before the language model reads the first, each once, whoever needs it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from promptpredict.approach import Probabilities
from promptpredict.blending import best_of, choices, stacked
from promptpredict.calibration import columns_of
from promptpredict.cascading import at_shares, share_rows
from promptpredict.cases import Comparison, Draw, Key, Outcome, Seen
from promptpredict.choices import differences
from promptpredict.encoders import Embedder
from promptpredict.errors import DataError, UnscoredError
from promptpredict.estimating import estimator_of
from promptpredict.figures import Figures, line, members, reversed_flags
from promptpredict.ground import Ground
from promptpredict.heads import moved, shares, spread
from promptpredict.memo import Memo
from promptpredict.plans import (
    ASKING,
    BOTH,
    CASCADE,
    ENCODED,
    PRIOR,
    READING,
    STACK,
    TUNED,
    WITH_LM,
    Plan,
)
from promptpredict.prompt import PromptFile
from promptpredict.rates import Rate, shares_of
from promptpredict.records import Record, groups_of
from promptpredict.results import Flag
from promptpredict.scores import Labels

RATE_ROWS = 1000  # training rows, without their labels, on which a base-rate shift is found
Say = Callable[[str], object]


class Benchmark(Ground):
    """Runs a plan on labelled records.

    ``lm`` may be None where no approach needs a language model. ``groups`` and ``times`` are
    cells of a column, one a record; ``adapters`` is the folder in which those that are trained stay,
    so that a run that was cut off goes on. Raises DataError for records that cannot be split, and
    for a plan that cannot be carried out.
    """

    def __init__(
        self,
        records: Sequence[Record],
        prompt_file: PromptFile,
        plan: Plan,
        *,
        lm: Memo | None = None,
        embedder: Embedder,
        table: str,
        groups: Sequence[Any] | None = None,
        times: Sequence[Any] | None = None,
        adapters: Path | None = None,
    ) -> None:
        """Split the records."""
        super().__init__(records, prompt_file, plan, groups=groups, times=times)
        self.memo, self.embedder, self.table, self.adapters = lm, embedder, table, adapters
        self._collected = False

    def with_model(self, memo: Memo | None) -> Benchmark:
        """Return the same comparison with another language model.

        Rows that one of them cannot score are left out for all, so that all stand on the same.
        """
        other = copy(self)
        other.memo, other._collected = memo, False
        return other

    # -- before the first prompt is read ---------------------------------------------------

    def collect(self) -> int:
        """Find every prompt that the run will need; return how many are distinct.

        A record whose prompt is known to have a fault is left out for every approach.
        """
        self._collected = True
        if self.memo is None:
            return 0
        while True:
            before = len(self.unscored)
            count = self.memo.collect(self._ask)
            if len(self.unscored) == before:
                return count

    def read(self, progress: Callable[[int], object] | None = None) -> None:
        """Let the language model read what was collected and is new."""
        if not self._collected:
            self.collect()
        while self.memo is not None and self.memo.read_collected(progress):
            self.collect()  # without the rows whose prompts turned out to have a fault

    def _ask(self) -> None:
        """Go through the run with what needs a language model, and nothing else."""
        for draw in self.draws():
            # At a share of 1 a cascade asks what a probe asks, and needs no embedding to tell.
            runs = ["probe" if name == CASCADE else name for name in self._runs[draw.budget]]
            for approach in dict.fromkeys(runs):
                if approach in READING:
                    self._ask_for(approach, draw)
                if approach == TUNED:
                    self._find_faults(draw)
        self._memorised()

    def _ask_for(self, approach: str, draw: Draw) -> None:
        try:
            for shots in self.plan.counts(approach, draw.budget):
                self._outcome(approach, draw, shots)
        except UnscoredError as error:
            self.unscored.update(error.faults)  # and once more, without these rows

    def _find_faults(self, draw: Draw) -> None:
        """Leave out rows that cannot be read, for an approach that asks no prompt of the memo."""
        rows = sorted({*draw.rows.tolist(), *draw.test.tolist()})
        file = self.files[draw.fold]
        fault: Any = getattr(getattr(self.memo, "lm", None), "fault", None)
        asked = Labels(file.words, file.front.join)
        for row in rows if fault else ():
            if why := fault(file.render(self.records[row]), asked):
                self.unscored[self.records[row].row] = why

    # -- the run ---------------------------------------------------------------------------

    def run(self, say: Say = lambda _: None) -> Comparison:
        """Fit and test every approach at every budget and seed that it takes."""
        if self.memo is None and (
            reading := [name for name in self.approaches if name in {*WITH_LM, CASCADE}]
        ):
            raise DataError(f"{', '.join(reading)}: a language model is needed, and none is given")
        self.read()
        draws = self.draws()
        found = Comparison(notes=self._left_out(), against=self.plan.against)
        cases = self._cases(draws)
        figures = self._figures()
        found.units = figures.units(next(iter(cases.values()), []))  # all have the same test rows
        given: dict[str, Any] = {
            "table": self.table,
            "prompt": Path(self.prompt_file.name).name,
            "units": found.units,
        }
        for key, outcomes in sorted(cases.items(), key=lambda case: case[0][1:]):
            model = self._model(members(outcomes) or [key[0]])
            row, found.resampled[key] = figures.row(key, outcomes, model=model, **given)
            found.rows.append(row)
            found.predictions += figures.predictions(key, outcomes)
            if key[0] == CASCADE:
                found.shares += share_rows(figures, key, outcomes, model=row.model, **given)
            if key[0] in self.approaches:
                found.watch(key[0], outcomes)
            say(line(row))
        found.differences, found.crossovers = differences(
            found.rows, found.resampled, units=found.units, against=found.against
        )
        found.flags = [*self.leaks, *self._memorised(), *reversed_flags(found.rows)]
        found.notes += [cut] if (cut := self.embedder.describe()) else []
        return found

    def _cases(self, draws: Sequence[Draw]) -> dict[Key, list[Outcome]]:
        """Return the outcomes of every approach, the stack and the choices last; one for a fold."""
        tried: dict[tuple[int, int], dict[str, dict[str, list[Outcome]]]] = {}
        for draw in draws:
            said = tried.setdefault((draw.budget, draw.seed), {})
            for approach in self._runs[draw.budget]:
                for shots in self.plan.counts(approach, draw.budget):
                    outcomes = said.setdefault(approach, {}).setdefault(str(shots), [])
                    outcomes.append(self._outcome(approach, draw, shots))
        cases: dict[Key, list[Outcome]] = {}
        for (budget, seed), each in tried.items():
            found: dict[str, Sequence[Outcome]] = {
                # as many shots as suit the draw's own rows best
                approach: [each for _, each in self._best_of(counts)]
                for approach, counts in each.items()
            }
            if STACK in self._runs[budget]:
                stack = self._joined(found)
                found |= {STACK: stack} if stack else {}
            if budget:
                found |= self._choices(found)
            cases |= {(name, budget, seed): list(outcomes) for name, outcomes in found.items()}
        return cases

    def _best_of(self, counts: Mapping[str, Sequence[Outcome]]) -> list[tuple[str, Outcome]]:
        return best_of(counts, self.y, self.labels)

    def _joined(self, found: Mapping[str, Sequence[Outcome]]) -> list[Outcome] | None:
        """Return the stack: joined at the shares of its draw, then moved to the base rate as all are."""
        own = {name: [self._at_own(each) for each in folds] for name, folds in found.items()}
        stack = stacked(own, self.y, self.labels, groups_of(self.records))
        return stack and [self._at_rate(each) for each in stack]

    def _choices(self, found: Mapping[str, Sequence[Outcome]]) -> dict[str, list[Outcome]]:
        return choices(found, self.y, self.labels)

    def _figures(self) -> Any:
        money = self.plan.value_saved, self.plan.offer_cost
        return Figures(self.records, self.y, self.labels, self.positive, money)

    def _timed(
        self, predict: Callable[[Sequence[Record]], Probabilities], draw: Draw
    ) -> tuple[Probabilities, float, float]:
        """Return what an approach says of the test rows, the seconds it takes, and the tokens.

        What another approach has read already would have taken its time here as well.
        """
        start, before = time.perf_counter(), self._clock()
        predicted = predict(self._rows(draw.test))
        seconds = time.perf_counter() - start
        cost, waited, tokens = (now - then for now, then in zip(self._clock(), before, strict=True))
        return predicted, seconds - waited + cost, tokens

    def _seen(self, approach: str, estimator: Any) -> Seen | None:
        if approach == TUNED:
            return Seen.of([(estimator.scores_.mass, estimator.scores_.truncated)], None)
        if self.memo is None or approach not in ASKING or self.memo.collecting:
            return None
        return Seen.of(self.memo.gists, getattr(estimator, "shots_", None))

    def _outcome(self, approach: str, draw: Draw, shots: int) -> Outcome:
        """Fit an approach with so many shots on a draw, and test it on the test rows."""
        if approach == PRIOR and draw.budget == 0:
            return self._base_rate(draw)
        estimator = estimator_of(
            approach,
            self.files[draw.fold],
            self.plan,
            draw,
            shots=shots,
            model=self.memo,
            encoder=self.embedder,
            adapters=self.adapters,
        )
        held_out = np.empty((0, len(self.labels)))
        if draw.budget:
            rows = self._rows(draw.rows)
            held_out = estimator.cross_fit(rows, [record.label for record in rows])
        else:
            some = np.random.default_rng(self.plan.split_seed).permutation(draw.train)[:RATE_ROWS]
            estimator.fit(self._rows(some), None)
        said, seconds, tokens = self._said(estimator, draw)
        columns = [self.labels.index(key) for key in estimator.keys_]
        judged = spread(held_out, columns, len(self.labels))
        seen = self._seen(approach, estimator) if tokens else None
        unseen = self._to_rate(draw, judged)
        found = Outcome(draw, said, unseen, judged, seconds, tokens, seen=seen)
        if approach != CASCADE:
            return found
        tested = self._rows(draw.test)
        return at_shares(estimator, found, tested, lambda each: self._said(each, draw))

    def _said(self, estimator: Any, draw: Draw) -> tuple[Probabilities, float, float]:
        """Return what an estimator says of the test rows in label order, the seconds, the tokens."""
        probabilities, seconds, tokens = self._timed(estimator.predict_proba, draw)
        tokens += getattr(estimator, "tokens_", 0.0)
        columns = [self.labels.index(key) for key in estimator.keys_]
        said = self._to_rate(draw, spread(probabilities, columns, len(self.labels)))
        return said, seconds, tokens

    def _base_rate(self, draw: Draw) -> Outcome:
        rate = self.plan.base_rate
        assert rate is not None
        same = np.tile(self._known_shares(rate), (len(draw.test), 1))
        none = np.empty((0, len(self.labels)))
        return Outcome(draw, same, none, none, 0.0, 0.0)

    def _to_rate(
        self, draw: Draw, probabilities: Probabilities, *, back: bool = False
    ) -> Probabilities:
        """Move probabilities learned from a draw's shares to the base rate, where it is known.

        Or ``back`` to the shares of the draw.
        """
        rate = self.plan.base_rate
        if rate is None or not draw.budget:
            return probabilities
        y = columns_of([self.y[row] for row in draw.rows], self.labels)
        own, known = shares(y, len(self.labels)), self._known_shares(rate)
        return moved(probabilities, *((known, own) if back else (own, known)))

    def _at_own(self, each: Outcome) -> Outcome:
        own = self._to_rate(each.draw, each.probabilities, back=True)
        return replace(each, probabilities=own, held_out=each.judged)

    def _at_rate(self, each: Outcome) -> Outcome:
        tested, held_out = (
            self._to_rate(each.draw, said) for said in (each.probabilities, each.judged)
        )
        return replace(each, probabilities=tested, held_out=held_out)

    def _known_shares(self, rate: Rate) -> Probabilities:
        return np.array(shares_of(rate, self.labels, self.positive))

    # -- what is seen besides --------------------------------------------------------------

    def _model(self, approaches: Sequence[str]) -> str:
        if set(approaches) & {*WITH_LM, *BOTH}:
            return self.memo.name if self.memo else ""
        return self.embedder.name if set(approaches) & {*ENCODED} else ""

    def _memorised(self) -> list[Flag]:
        if self.memo is None or not self.plan.memory_rows:
            return []
        from promptpredict.memory import memorised

        train = self._rows(self.splits[0].train)
        known = memorised(self.memo, self.prompt_file, train, rows=self.plan.memory_rows)
        return [known] if known else []

    def _clock(self) -> tuple[float, float, float]:
        """Return the seconds that all that was asked for costs, those really spent, and tokens."""
        memo, embedder = self.memo, self.embedder
        if memo is None:
            return embedder.cost, embedder.waited, 0.0
        return embedder.cost + memo.cost, embedder.waited + memo.waited, memo.tokens
