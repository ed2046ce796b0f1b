"""Which approach the labelled rows themselves choose, and how approaches differ on the test rows.

Knows probabilities and resampled figures; knows nothing of estimators or splits. A choice is made
by what approaches said of labelled rows that they had not seen, never by test rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from promptpredict.calibration import columns_of
from promptpredict.plans import (
    BASELINE,
    BOTH,
    CHOSEN_SINGLE,
    CHOSEN_WITH,
    CHOSEN_WITHOUT,
    STACK,
    WITH_LM,
    WITHOUT_LM,
)
from promptpredict.results import Crossover, Difference, Row, base_of, leading
from promptpredict.verdict import Gap, crossovers, judge, perfect

Floats = npt.NDArray[np.float64]


def choose(held_out: Mapping[str, Floats], y: Sequence[str], labels: Sequence[str]) -> str:
    """Return the approach that gave labelled rows the best probabilities without seeing them.

    ``held_out`` are probabilities (n, k) of the rows with labels ``y``, NaN where an approach has
    seen the row; only rows that all approaches have are compared. Among rows of one label the
    approach that always says this label would win, so one whose rows lack a label is no choice;
    where the shared rows lack one, that with the fewest rows steps back. The measure is log loss:
    of 16 rows ROC AUC takes few values, and does not mind an approach that is sure and wrong. Of
    equals, and where nothing can be compared, the first.
    """
    from sklearn.metrics import log_loss

    numbers = columns_of(y, labels)
    finite = {name: np.isfinite(each).all(axis=1) for name, each in held_out.items()}

    def whole(rows: Any) -> bool:
        return len(numbers) > 0 and set(numbers[rows]) == set(numbers)

    known = [name for name in held_out if whole(finite[name])]
    while known and not whole(np.all([finite[name] for name in known], axis=0)):
        known.remove(min(reversed(known), key=lambda name: int(finite[name].sum())))
    if not known:
        return next(iter(held_out))
    shared = np.all([finite[name] for name in known], axis=0)
    truth = numbers[shared]

    def loss(name: str) -> float:
        return float(log_loss(truth, held_out[name][shared], labels=range(len(labels))))

    return min(known, key=lambda name: round(loss(name), 9))


def differences(
    rows: Sequence[Row],
    resampled: Mapping[tuple[str, int, int], Floats],
    *,
    units: float = np.inf,
    against: Mapping[str, Sequence[str]] | None = None,
) -> tuple[list[Difference], list[Crossover]]:
    """Compare approaches on identical test rows, the mean over the seeds: ROC AUC, or Spearman.

    ``resampled`` holds it for each approach, budget and seed on the same resamples of the test
    rows, so that intervals are paired; ``units`` are the independent ones among the test rows.
    Each approach with a language model stands against the choice without one (without choices, the
    baseline); those are one family, and the choices themselves, against one another and the stack
    against a single approach, are another. What each approach of ``against`` is to stand against
    besides is a third, but for pairs that are in another already. Several models stand in the same
    families.
    """
    seeds = _seeds(rows)
    models = dict.fromkeys(name.removeprefix(base_of(name)) for name, _ in seeds)
    by_lm = [f"{name}{model}" for model in models for name in WITH_LM]

    def gap(approach: str, against: str, budget: int) -> Gap | None:
        return gap_of(rows, resampled, approach, against, budget, units=units)

    found: list[Difference] = []
    asked = _asked(against or {}, list(models))
    for budget in sorted({budget for _, budget in seeds}):
        without = CHOSEN_WITHOUT if (CHOSEN_WITHOUT, budget) in seeds else BASELINE
        joining = [f"{name}{model}" for name in BOTH for model in models]
        single = [gap(name, without, budget) for name in (*by_lm, *joining)]
        choices = [
            gap(f"{approach}{model}", other, budget)
            for model in models
            for approach, other in (
                (CHOSEN_WITH, CHOSEN_WITHOUT),
                (CHOSEN_WITH, BASELINE),
                (STACK, f"{CHOSEN_SINGLE}{model}"),
            )
        ]
        known = {(each.approach, each.against) for each in (*single, *choices) if each}
        besides = [gap(*pair, budget) for pair in asked if pair not in known]
        for family in (single, choices, besides):
            found += judge([each for each in family if each], budget=budget)
    pairs = [
        *product(by_lm, WITHOUT_LM),
        *((f"{CHOSEN_WITH}{model}", CHOSEN_WITHOUT) for model in models),
    ]
    means = _means(resampled, seeds)
    return found, crossovers(means, pairs=pairs, units=units, metric=leading(rows))


def _means(
    resampled: Mapping[tuple[str, int, int], Floats], seeds: Mapping[tuple[str, int], Sequence[int]]
) -> dict[tuple[str, int], Floats]:
    """Return the mean over the seeds of each approach and budget, on each resample (b,)."""
    return {
        key: np.mean([resampled[*key, seed] for seed in of], axis=0) for key, of in seeds.items()
    }


def _asked(against: Mapping[str, Sequence[str]], models: Sequence[str]) -> list[tuple[str, str]]:
    """Return pairs of approaches, with the models that stand behind their names."""

    def named(approach: str, model: str) -> str:
        return approach if approach in WITHOUT_LM else f"{approach}{model}"

    pairs = (
        (named(approach, model), named(other, model))
        for model in models
        for approach, others in against.items()
        for other in others
    )
    return list(dict.fromkeys(pairs))


def gap_of(
    rows: Sequence[Row],
    resampled: Mapping[tuple[str, int, int], Floats],
    approach: str,
    against: str,
    budget: int,
    *,
    units: float = np.inf,
) -> Gap | None:
    """Return by how much an approach is ahead of another, over the seeds that both have."""
    metric = leading(rows)
    known = {
        (row.approach, row.seed): row.metrics[metric].value for row in rows if row.budget == budget
    }
    pairs = [
        ((approach, budget, seed), (against, budget, seed), value - other)
        for (name, seed), value in known.items()
        if name == approach
        and value is not None
        and (other := known.get((against, seed))) is not None
    ]
    if not pairs:
        return None
    ours, theirs, values = zip(*pairs, strict=True)
    drawn = [[resampled[key] for key in keys] for keys in (ours, theirs)]
    return Gap(
        approach=approach,
        against=against,
        metric=metric,
        value=float(np.mean(values)),
        resampled=np.mean(drawn[0], axis=0) - np.mean(drawn[1], axis=0),
        units=units,
        perfect=sum(map(perfect, drawn)),
    )


def _seeds(rows: Sequence[Row]) -> dict[tuple[str, int], list[int]]:
    """Return the seeds of each approach and budget whose leading metric is defined."""
    metric = leading(rows)
    found: dict[tuple[str, int], list[int]] = {}
    for row in rows:
        if row.metrics[metric].value is not None:
            found.setdefault((row.approach, row.budget), []).append(row.seed)
    return found
