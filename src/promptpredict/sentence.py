"""The sentence at the end of a comparison: with N labels, use this one.

Knows rows and differences of results.json; knows nothing of resamples or of how approaches work.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import mean
from typing import Literal, TypeVar

from promptpredict.plans import CHOSEN_SINGLE, CHOSEN_WITH, CHOSEN_WITHOUT, STACK, ZERO_SHOT
from promptpredict.rankings import at_budgets, between, by_how_much, labels
from promptpredict.results import (
    LEADING,
    Difference,
    Row,
    base_of,
    leading,
    model_of,
    signed,
    summarise,
)
from promptpredict.verdict import MARGIN

_Named = TypeVar("_Named", Row, Difference)
MOST_TIMES = 1000  # cheaper; beyond, what a few milliseconds are a multiple of tells nothing
_CHANCE = {"roc_auc": 0.5, "spearman": 0.0}  # of a ranking at random
COSTLIER = 1.1  # times the seconds from which on one approach is called cheaper than another


def sentence(rows: Sequence[Row], differences: Sequence[Difference]) -> str:
    """Say which approach to use with how many labels.

    Without a label: zero-shot, and whether its interval is above 0.5. With labels: of the two
    approaches that the training rows chose, with a language model and without, the better one; if
    neither is, the cheaper one, which is as good where the interval says that it is no worse, and
    else undecided. Intervals are those from which the words of the differences were read (Holm).
    Where the seeds chose several approaches it is their side that is advised, as the figures are
    those of the choice and of no single approach. Neighbouring budgets with one answer are told
    together, with the difference at the budget where it is least; then where the stack ranks higher
    than one approach. Where the two choices are not compared: the highest mean ROC AUC, and how it
    compares with the baseline. Of several language models each has a line, as of a comparison with
    this one alone, and each but the first one more, beside the first.
    """
    models = list(dict.fromkeys(filter(None, (model_of(row.approach) for row in rows))))
    if models:
        alone = (
            f"`{model}`: {_sentence(_of(model, rows), _of(model, differences))}" for model in models
        )
        return "\n".join([*alone, *between(models, differences)])
    return _sentence(rows, differences)


def _of(model: str, named: Sequence[_Named]) -> list[_Named]:
    """Return what there would be with one of several models alone, under its plain names."""
    found = []
    for each in named:
        names = {key: getattr(each, key) for key in ("approach", "against") if hasattr(each, key)}
        if {model_of(name) for name in names.values()} <= {model, ""}:
            plain = {key: base_of(name) for key, name in names.items()}
            found.append(each.model_copy(update=plain))
    return found


def _sentence(rows: Sequence[Row], differences: Sequence[Difference]) -> str:
    clauses: list[str] = []
    advised: list[_Advice | str] = []
    for budget in sorted({row.budget for row in rows if _auc([row]) is not None}):
        at = [row for row in rows if row.budget == budget and _auc([row]) is not None]
        among = [each for each in differences if each.budget == budget]
        zero_shot = [row for row in at if row.approach == ZERO_SHOT]
        if budget == 0 and zero_shot:
            clauses.append(_without_labels(zero_shot[0]))
        else:
            advised.append(_advice(at, among) or _highest(at, among))
    clauses += _merged([each for each in advised if each])
    clauses += _stacked(differences)
    text = "; ".join(clauses) or "nothing was compared"
    return f"{text[0].upper()}{text[1:]}."


@dataclass(frozen=True, slots=True, kw_only=True)
class _Advice:
    """Which of two approaches to use at one budget, and why; figures are ``use`` less ``other``."""

    kind: Literal["better", "as good", "undecided"]
    side: str  # the choice that is advised
    metric: str
    budget: int
    use: tuple[str, ...]  # what each seed chose
    other: tuple[str, ...]
    auc: float
    value: float
    low: float
    high: float
    times: float | None  # how many times cheaper it is; None where no seconds are known

    @property
    def answer(self) -> tuple[object, ...]:
        """What neighbouring budgets must share to be told together."""
        use, other = frozenset(self.use), frozenset(self.other)
        if self.kind != "better":
            return self.kind, use, other
        return self.kind, self.side, use if len(use) == 1 else ()

    @property
    def cost(self) -> str:
        if self.times is None:
            return ""
        if self.times < COSTLIER:
            return "no more expensive"
        if self.times > MOST_TIMES:
            return f"more than {MOST_TIMES:,} times cheaper"
        rounded = float(f"{self.times:.2g}")
        return f"{rounded:,.0f} times cheaper" if rounded >= 10 else f"{rounded:g} times cheaper"


def _advice(at: Sequence[Row], among: Sequence[Difference]) -> _Advice | None:
    """Return what the two choices come to at one budget; None where they are not compared."""
    pair = next(
        (each for each in among if {each.approach, each.against} == {CHOSEN_WITH, CHOSEN_WITHOUT}),
        None,
    )
    if pair is None or {CHOSEN_WITH, CHOSEN_WITHOUT} - {row.approach for row in at}:
        return None
    first, second = pair.approach, pair.against
    low, high = pair.holm_low, pair.holm_high
    seconds = {name: _seconds(at, name) for name in (CHOSEN_WITH, CHOSEN_WITHOUT)}
    with_lm, without_lm = seconds[CHOSEN_WITH], seconds[CHOSEN_WITHOUT]
    cheaper = CHOSEN_WITH if with_lm and without_lm and with_lm < without_lm else CHOSEN_WITHOUT
    use = first if low > 0 else second if high < 0 else cheaper
    value = pair.value
    if use == second:
        value, low, high = -value, -high, -low
    other = second if use == first else first
    own, others = seconds[use], seconds[other]
    return _Advice(
        kind="better" if low > 0 else "as good" if low > -MARGIN else "undecided",
        side=use,
        budget=pair.budget,
        metric=pair.metric,
        use=_members(at, use),
        other=_members(at, other),
        auc=_auc([row for row in at if row.approach == use]) or 0.0,
        value=value,
        low=low,
        high=high,
        times=others / own if own and others else None,
    )


def _merged(advised: Sequence[_Advice | str]) -> Iterator[str]:
    """Yield the clauses, those of neighbouring budgets with one answer put together."""
    groups = [
        list(group)
        for _, group in groupby(
            advised, lambda each: each if isinstance(each, str) else each.answer
        )
    ]
    for group in groups:
        known = [each for each in group if isinstance(each, _Advice)]
        if known:
            yield _told(known)
        else:
            yield from (each for each in group if isinstance(each, str))


def _told(group: Sequence[_Advice]) -> str:
    least = min(group, key=lambda each: each.low)
    first, end = group[0].budget, group[-1].budget
    when = f"with {labels(first)}" if first == end else f"with {first:,} to {labels(end)}"
    aucs = [_number(each(advice.auc for advice in group)) for each in (min, max)]
    figures = f"{LEADING[group[0].metric]} {' to '.join(dict.fromkeys(aucs))}, "
    figures += f"at {labels(least.budget)} " if first != end else ""
    figures += signed(least.value)
    other = _against(least)
    figures += f" over {other}" if least.kind == "better" else ""
    figures += f", 95 % {signed(least.low)} to {signed(least.high)}"
    use = _used(least.side, [name for each in group for name in each.use])
    if least.kind == "better":
        advice = f"use {use}"
    elif least.kind == "as good":
        cost = f" and {least.cost}" if least.cost else ""
        advice = f"use {use}, as good as {other}{cost}"
    else:
        cost = f" {least.cost}," if least.cost else ""
        advice = f"use {use},{cost} while it is undecided whether {other} is better"
    return f"{when} {advice} ({figures})"


def _stacked(differences: Sequence[Difference]) -> Iterator[str]:
    """Yield where the stack, which stands on neither side, ranks higher than the single choice."""
    better = [
        each
        for each in differences
        if (each.approach, each.against, each.verdict) == (STACK, CHOSEN_SINGLE, "better")
    ]
    if not better:
        return
    yield (
        f"with {at_budgets(better)} `{STACK}`, which joins both sides, ranks higher than the one "
        f"approach that the labels choose among all ({by_how_much(better)})"
    )


def _without_labels(row: Row) -> str:
    metric = leading([row])
    auc, chance = row.metrics[metric], _CHANCE[metric]
    figures = f"{LEADING[metric]} {_number(auc.value or 0.0)}"
    if auc.low is None or auc.high is None:
        return f"with no label there is `{row.approach}` ({figures})"
    figures += f", 95 % {_number(auc.low)} to {_number(auc.high)}"
    if auc.low > chance:
        return f"with no label use `{row.approach}` ({figures}, above {chance:g})"
    if auc.high < chance:
        return f"with no label `{row.approach}` ranks the wrong way round ({figures})"
    return f"with no label `{row.approach}` is not surely above {chance:g} ({figures})"


def _highest(at: Sequence[Row], among: Sequence[Difference]) -> str:
    """Return the approach with the highest mean ROC AUC; "" where the rows are choices only."""
    groups = summarise(row for row in at if row.chosen is None)
    metric = leading(at)
    known = [(auc.mean, each.approach) for each in groups if (auc := each.metrics[metric])]
    if not known:
        return ""
    best, approach = max(known)
    compared = [
        f", {signed(each.value)} over `{each.against}`, "
        f"95 % {signed(each.holm_low)} to {signed(each.holm_high)}: {each.verdict}"
        for each in among
        if each.approach == approach
    ]
    ends = [row.metrics[metric] for row in at if row.approach == approach]
    lows = [one.low for one in ends if one.low is not None]
    highs = [one.high for one in ends if one.high is not None]
    if not compared and lows and highs:  # few test rows may say next to nothing
        compared = [f", 95 % of single draws {_number(min(lows))} to {_number(max(highs))}"]
    when = f"with {labels(at[0].budget)}"
    return f"{when} `{approach}` is highest ({LEADING[metric]} {_number(best)}{''.join(compared)})"


def _members(at: Sequence[Row], choice: str) -> tuple[str, ...]:
    """Return the approach that each seed chose; those of its folds, where they differ."""
    return tuple(name for row in at if row.approach == choice for name in row.members)


def _used(side: str, members: Sequence[str]) -> str:
    """Return the approach of a side; where several were chosen, the side and what it mostly was."""
    (most, count), *others = Counter(members).most_common()
    if not others:
        return f"`{most}`"
    which = f"mostly `{most}`" if count * 2 > len(members) else "as the labels choose"
    return f"{'a' if side == CHOSEN_WITH else 'no'} language model, {which}"


def _against(advice: _Advice) -> str:
    """Return the approach of the other side; where several were chosen, their choice."""
    if len(set(advice.other)) == 1:
        return f"`{advice.other[0]}`"
    return f"the choice {'without' if advice.side == CHOSEN_WITH else 'with'} a language model"


def _seconds(at: Sequence[Row], choice: str) -> float | None:
    """Return the mean seconds per 1,000 rows of a choice, or else of what it chose."""
    for name in (choice, *dict.fromkeys(_members(at, choice))):
        values = [
            row.metrics["seconds_per_1000"].value
            for row in at
            if row.approach == name and "seconds_per_1000" in row.metrics
        ]
        if known := [value for value in values if value is not None]:
            return mean(known)
    return None


def _auc(rows: Sequence[Row]) -> float | None:
    metric = leading(rows)
    values = [row.metrics[metric].value for row in rows if metric in row.metrics]
    known = [value for value in values if value is not None]
    return mean(known) if known else None


def _number(value: float) -> str:
    return f"{value:.3f}"
