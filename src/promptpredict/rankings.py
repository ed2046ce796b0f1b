"""What a verdict says of differences of one answer: at which budgets, by how much, with which model.

Knows differences of results.json and the names in them; knows nothing of what models are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from promptpredict.plural import counted
from promptpredict.results import Difference, base_of, model_of, signed

_RANKS = {"better": "ranks higher", "worse": "ranks lower"}


def between(models: Sequence[str], differences: Sequence[Difference]) -> Iterator[str]:
    """Yield a line for each model behind the first: which approaches rank higher or lower with it.

    Intervals are those of Holm, from which the words of the differences were read; of several
    budgets with one answer it is that of the least difference. Nothing is said of a model that is not
    compared with the first.
    """
    for model in models[1:]:
        pairs = [
            each
            for each in differences
            if (model_of(each.approach), model_of(each.against)) == (model, models[0])
        ]
        if pairs:
            text = "; ".join(_clauses(pairs)) or "no approach ranks surely higher or lower"
            yield f"`{model}` beside `{models[0]}`: {text[0].upper()}{text[1:]}."


def _clauses(pairs: Sequence[Difference]) -> Iterator[str]:
    for verdict, ranks in _RANKS.items():
        for name in dict.fromkeys(base_of(each.approach) for each in pairs):
            told = [
                each for each in pairs if (base_of(each.approach), each.verdict) == (name, verdict)
            ]
            if told:
                yield f"with {at_budgets(told)} `{name}` {ranks} ({by_how_much(told)})"


def at_budgets(told: Sequence[Difference]) -> str:
    """Return the budgets of differences."""
    *most, last = [f"{each.budget:,}" for each in told]
    return f"{', '.join(most)} and {last} labels" if most else labels(told[0].budget)


def by_how_much(told: Sequence[Difference]) -> str:
    """Return by how much approaches are ahead, or behind, and the interval of the least."""
    least = min(told, key=lambda each: min(abs(each.holm_low), abs(each.holm_high)))
    values = [signed(each(one.value for one in told)) for each in (min, max)]
    how_much = " to ".join(dict.fromkeys(values))
    at = f", at {labels(least.budget)}" if len(told) > 1 else ""
    return f"{how_much}{at}, 95 % {signed(least.holm_low)} to {signed(least.holm_high)}"


def labels(budget: int) -> str:
    """Return a budget with its noun."""
    return counted(budget, "label") if budget else "no label"
