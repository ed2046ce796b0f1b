"""The cases of a comparison: which labelled rows an approach may use, and what it made of them.

Knows row numbers, probabilities and seeds; knows nothing of estimators, models or metrics.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from promptpredict.approach import Probabilities
from promptpredict.errors import DataError
from promptpredict.memo import Gist
from promptpredict.plans import BY_SELECT, PROBE_SHOTS, TUNED, WITH_SHOTS, Plan
from promptpredict.results import Crossover, Difference, Flag, Row, Share, Shown
from promptpredict.shots import Shots
from promptpredict.shotsets import ShotSets
from promptpredict.splits import Rows, Split, draws

Key = tuple[str, int, int]  # approach, budget, seed
QUANTILES = (0, 0.05, 0.25, 0.5, 0.75, 0.95, 1)  # of label mass


@dataclass(frozen=True)
class Draw:
    """Labelled rows that approaches may use in one fold, and the rows that test them.

    ``rows``, ``train`` (all that might train) and ``test`` are indices of records.
    """

    budget: int
    seed: int
    fold: int
    rows: Rows
    train: Rows
    test: Rows


@dataclass(frozen=True)
class Seen:
    """What a language model was shown: label mass (n,), prompts cut, everybody's shots.

    ``shots`` are row of the table and label of each, in order.
    """

    mass: npt.NDArray[np.float32]
    truncated: int
    shots: list[tuple[int, str]]

    @classmethod
    def of(cls, gists: Sequence[Gist], shots: Shots | ShotSets | None) -> Seen:
        """Return what there is to say of test rows, whose scores were the last that were given.

        Behind several sets of shots label mass is the mean over the sets.
        """
        shown = [(record.row, str(record.label)) for record in shots.shown()] if shots else []
        last = list(gists)[-len(shots.sets) if shots else -1 :]
        mass = np.mean([mass for mass, _ in last], axis=0)
        return cls(mass, int(np.any([cut for _, cut in last], axis=0).sum()), shown)


@dataclass(frozen=True)
class Outcome:
    """What one approach said of the test rows of a draw (n, k), and of its own rows, held out.

    Columns are in label order. ``judged`` are the probabilities of its own rows before they are
    moved to a known base rate: those by which the rows themselves choose. ``seconds`` and
    ``tokens`` are those of the test rows; ``chosen`` names the approach behind a choice. Of a cascade
    ``shares`` are the outcomes at other shares of customers that it asks for, and of each ``asked`` the
    share of the test rows.
    """

    draw: Draw
    probabilities: Probabilities
    held_out: Probabilities
    judged: Probabilities
    seconds: float
    tokens: float
    chosen: str | None = None
    seen: Seen | None = None
    shares: Mapping[float, Outcome] = field(default_factory=dict)
    asked: float = 0.0


@dataclass
class Comparison:
    """What was found: rows and differences, the predictions behind them, and what was seen.

    ``resampled`` holds ROC AUC (resamples,) of each approach, budget and seed; ``units`` says how
    many independent units its test rows are (resampling.units_of); ``against`` is the plan's.
    """

    rows: list[Row] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    crossovers: list[Crossover] = field(default_factory=list)
    predictions: list[dict[str, Any]] = field(default_factory=list)
    shares: list[Share] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    flags: list[Flag] = field(default_factory=list)
    shots: list[Shown] = field(default_factory=list)
    label_mass: dict[str, list[float]] = field(default_factory=dict)
    truncated: dict[str, int] = field(default_factory=dict)
    resampled: dict[Key, Probabilities] = field(default_factory=dict)
    units: float = np.inf
    against: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def watch(self, approach: str, outcomes: Sequence[Outcome]) -> None:
        """Note label mass, what was cut, and which shots were shown to everybody.

        ``outcomes`` are those of all folds. Of several draws, the label mass with the least
        median is kept, and the most prompts that were cut: what to look into.
        """
        seen = [(outcome.draw, outcome.seen) for outcome in outcomes if outcome.seen]
        if not seen:
            return
        mass = np.quantile(np.concatenate([each.mass for _, each in seen]), QUANTILES)
        known, middle = self.label_mass.get(approach), len(QUANTILES) // 2
        if known is None or mass[middle] < known[middle]:
            self.label_mass[approach] = mass.round(6).tolist()
        cut = sum(each.truncated for _, each in seen)
        self.truncated[approach] = max(cut, self.truncated.get(approach, 0))
        for draw, each in seen:
            if each.shots:
                given = {"budget": draw.budget, "seed": draw.seed}
                self.shots.append(Shown(approach=approach, shots=each.shots, **given))


def every_draw(splits: Sequence[Split], y: Sequence[str], plan: Plan, out: set[int]) -> list[Draw]:
    """Return every draw of every fold; the one of no label, and that of all, once.

    ``out`` are rows that take no part. They are taken from the draws, so that the others stay as
    they were: what a language model has read of them is still of use. A draw that has lost the
    last row of a label so is left out, in every fold, as figures are those of all folds together.
    """
    found = []
    rows = most(splits)
    budgets = plan.budgets_in(rows)
    for split in splits:
        train, test = _without(split.train, out), _without(split.test, out)
        if not len(train) or not len(test):
            kind = "test" if len(train) else "training"
            raise DataError(f"no {kind} row is left: none of them can be scored")
        if 0 in budgets:
            found.append(Draw(0, 0, split.fold, train[:0], train, test))
        for seed in range(plan.seeds):
            nested = draws([y[row] for row in split.train], budgets, seed=seed)
            for budget, taken in _in_order(nested, seed).items():
                drawn = _without(split.train[taken], out)
                again = budget == rows and seed > 0
                whole = len({y[row] for row in drawn}) == len(set(y)) and budget <= rows
                if whole and not again:
                    found.append(Draw(budget, seed, split.fold, drawn, train, test))
    folds = Counter((draw.budget, draw.seed) for draw in found)
    return [draw for draw in found if folds[draw.budget, draw.seed] == len(splits)]


def runs(
    approaches: Sequence[str],
    draws: Sequence[Draw],
    y: Sequence[str],
    plan: Plan,
    rows: int,
    *,
    unfit: Callable[[Draw], str] = lambda _: "",
) -> tuple[dict[int, list[str]], list[str]]:
    """Return the approaches that run at each label budget, and notes on what few rows keep away.

    A draw, of any seed or fold, may have so few rows of its rarest label that the shots in front of
    a probe leave it nothing to be fitted on, or few-shot nothing to be calibrated on. ``rows`` is
    the largest budget; ``unfit`` says why no adapter can be trained on a draw.
    """
    found = {
        draw.budget: [name for name in approaches if plan.takes(name, draw.budget, rows)]
        for draw in draws
    }
    notes: dict[tuple[str, int], str] = {}
    for draw in draws:
        counts = Counter(y[row] for row in draw.rows)
        label, count = min(counts.items(), key=itemgetter(1), default=("", 0))
        # Balanced shots take a row of each label in turn: all of the rarest in its last turn.
        few = sum(min(each, count - 1) for each in counts.values()) < PROBE_SHOTS
        if few and WITH_SHOTS in found[draw.budget]:
            found[draw.budget].remove(WITH_SHOTS)
            notes[WITH_SHOTS, draw.budget] = (
                f"{WITH_SHOTS} is left out at {draw.budget:,} labels: a draw has {count:,} of "
                f"'{label}', and its {PROBE_SHOTS} shots may take them all"
            )
        if TUNED in found[draw.budget] and (why := unfit(draw)):
            found[draw.budget].remove(TUNED)
            notes[TUNED, draw.budget] = f"{TUNED} is left out at {draw.budget:,} labels: {why}"
        shots = min(plan.counts("few-shot", draw.budget))
        taken = count <= shots // max(len(counts), 1)
        taken = taken and plan.select == "balanced" and shots < draw.budget
        for name in [name for name in BY_SELECT if taken and name in found[draw.budget]]:
            notes[name, draw.budget] = (
                f"{name} is not calibrated at {draw.budget:,} labels: a draw has {count:,} of "
                f"'{label}', and its shots take them all"
            )
    return found, list(notes.values())


def most(splits: Sequence[Split]) -> int:
    """Return the largest label budget: the rows that may train in the smallest fold."""
    return min(len(split.train) for split in splits)


def fewer(split: Split, plan: Plan, y: Sequence[str]) -> Split:
    """Return a split in which only ``max_test`` of the rows held back test."""
    from sklearn.model_selection import train_test_split

    if plan.held is None or plan.folds or len(split.test) <= plan.max_test:
        return split
    labels = [y[row] for row in split.test]
    enough = min(plan.max_test, len(labels) - plan.max_test) >= len(set(labels))
    test, _ = train_test_split(
        split.test,
        train_size=plan.max_test,
        stratify=labels if enough else None,
        random_state=plan.split_seed,
    )
    return Split(split.train, np.sort(test), split.fold, split.left_out)


def _in_order(nested: Mapping[int, Rows], seed: int) -> dict[int, Rows]:
    """Put nested rows in a random order in which those of a smaller budget come first."""
    rng = np.random.default_rng(seed)
    order: list[int] = []
    found = {}
    for budget in sorted(nested):
        order += rng.permutation(sorted(set(nested[budget].tolist()).difference(order))).tolist()
        found[budget] = np.array(order, dtype=np.intp)
    return found


def _without(rows: Rows, out: set[int]) -> Rows:
    return np.array([row for row in rows if row not in out], dtype=np.intp)
