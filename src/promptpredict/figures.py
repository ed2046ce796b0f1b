"""From outcomes to figures: the row of an approach, budget and seed, and its predictions.

Knows label keys, probabilities and metrics; knows nothing of estimators, models or files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from promptpredict.approach import Probabilities
from promptpredict.cases import Key, Outcome
from promptpredict.metrics import best_threshold, evaluate, resample
from promptpredict.plans import ZERO_SHOT
from promptpredict.records import Record, groups_of
from promptpredict.resampling import intervals, units_of
from promptpredict.results import LEADING, Flag, Row, Value, leading

REVERSED = 0.45  # a ROC AUC below it is more than bad luck: words and labels may be swapped


@dataclass(frozen=True)
class Figures:
    """Makes figures of outcomes; ``y`` are the label keys of ``records``.

    ``money`` is what a customer saves who is kept, and what an offer costs.
    """

    records: Sequence[Record]
    y: Sequence[str]
    labels: Sequence[str]
    positive: str | None
    money: tuple[float | None, float | None]

    def row(
        self,
        key: Key,
        outcomes: Sequence[Outcome],
        *,
        units: float,
        **names: str,
    ) -> tuple[Row, Probabilities]:
        """Return the row of an approach, and ROC AUC on resamples of its test rows.

        ``outcomes`` are those of all folds: rows are ranked among those of their fold, with its own
        threshold, and judged together; ``names`` are those of ``row_of``.
        """
        y = [self.y[row] for outcome in outcomes for row in outcome.draw.test]
        probabilities = np.concatenate([outcome.probabilities for outcome in outcomes])
        sizes = [len(outcome.draw.test) for outcome in outcomes]
        thresholds = [self._threshold(outcome) for outcome in outcomes]
        saved, cost = self.money
        given: dict[str, Any] = {
            "labels": self.labels,
            "positive": self.positive,
            "threshold": np.repeat(thresholds, sizes),
            "value_saved": saved,
            "offer_cost": cost,
            "folds": np.repeat(np.arange(len(outcomes)), sizes).tolist(),
        }
        values = evaluate(y, probabilities, **given)
        tested = [self.records[row] for outcome in outcomes for row in outcome.draw.test]
        groups = groups_of(tested)
        drawn = resample(y, probabilities, groups=groups, **given)
        own = units_of_labels(y, groups, self.labels) if self.positive is None else {}
        ends = intervals(values, drawn, units=units, own=own)
        metrics = {name: Value.of(value, *ends[name]) for name, value in values.items()}
        if self.positive is not None:
            metrics["threshold"] = Value.of(float(np.mean(thresholds)))
        return row_of(key, outcomes, metrics, **names), drawn["roc_auc"]

    def units(self, outcomes: Sequence[Outcome]) -> float:
        """Return how many independent units the test rows are, as intervals count them."""
        rows = [row for outcome in outcomes for row in outcome.draw.test]
        groups = groups_of([self.records[row] for row in rows])
        return units_of([self.y[row] for row in rows], groups)

    def predictions(self, key: Key, outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
        """Return a line for each test row."""
        approach, budget, seed = key
        found = []
        for outcome in outcomes:
            drawn = {
                "approach": approach, "budget": budget, "seed": seed, "fold": outcome.draw.fold
            }  # fmt: skip
            for row, each in zip(outcome.draw.test, outcome.probabilities, strict=True):
                record = self.records[row]
                named = {"row": record.row, "id": record.id, "label": self.y[row]}
                shares = {f"p_{key}": float(p) for key, p in zip(self.labels, each, strict=True)}
                found.append(drawn | named | shares)
        return found

    def _threshold(self, outcome: Outcome) -> float:
        """Return the threshold with the best F1 on the draw's own rows, held out; or 0.5."""
        known = np.flatnonzero(np.isfinite(outcome.held_out).all(axis=1))
        if self.positive is None or not len(known):
            return 0.5
        y = [self.y[outcome.draw.rows[at]] for at in known]
        held_out = outcome.held_out[known]
        return best_threshold(y, held_out, labels=self.labels, positive=self.positive)


def units_of_labels(
    y: Sequence[str], groups: Sequence[Any] | None, labels: Sequence[str]
) -> Mapping[str, float]:
    """Return how many independent units stand behind each label's own ROC AUC, by its name.

    Those of the label or those of the rest, whichever are fewer: as with two labels.
    """
    return {f"roc_auc_{key}": units_of([one == key for one in y], groups) for key in labels}


def row_of(
    key: Key,
    outcomes: Sequence[Outcome],
    metrics: Mapping[str, Value],
    *,
    table: str,
    prompt: str,
    model: str,
) -> Row:
    """Return the row of an approach with its metrics, and what its test rows cost."""
    approach, budget, seed = key
    tested = sum(len(outcome.draw.test) for outcome in outcomes)
    totals = {name: sum(getattr(each, name) for each in outcomes) for name in ("seconds", "tokens")}
    costs = {f"{name}_per_1000": Value.of(total * 1000 / tested) for name, total in totals.items()}
    return Row(
        table=table,
        prompt=prompt,
        model=model,
        approach=approach,
        budget=budget,
        seed=seed,
        n_test=tested,
        metrics={**metrics, **costs},
        chosen=", ".join(members(outcomes)) or None,
    )


def members(outcomes: Sequence[Outcome]) -> list[str]:
    """Return the approaches behind a choice, that of most folds first; none of an approach."""
    names = Counter(outcome.chosen for outcome in outcomes if outcome.chosen)
    return [name for name, _ in names.most_common()]


def line(row: Row) -> str:
    """Return a row as a line for people."""
    metric = leading([row])
    value = row.metrics[metric].value
    shown = "undefined" if value is None else f"{value:.3f}"
    name = f"{row.approach} ({row.chosen})" if row.chosen else row.approach
    return f"{name}, {row.budget:,} labels, seed {row.seed}: {LEADING[metric]} {shown}"


def reversed_flags(rows: Sequence[Row]) -> list[Flag]:
    """Return a flag where the wording alone ranks the wrong way round.

    ``rows`` are in the order of their budgets: labels change the level of zero-shot, not its order.
    """
    wording = next((row for row in rows if row.approach == ZERO_SHOT), None)
    auc = wording.metrics["roc_auc"].value if wording and "roc_auc" in wording.metrics else None
    if auc is None or auc >= REVERSED:
        return []
    text = (
        f"zero-shot ranks the wrong way round (ROC AUC {auc:.3f}): possible: another wording, or "
        "other words for the labels"
    )
    return [Flag(kind="reversed", column=None, text=text)]
