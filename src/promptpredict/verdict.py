"""From resampled differences to words: better, worse, no worse, undecided, and from when on.

Knows metrics of approaches on the same resamples of the test rows, (n,) each; knows nothing of
rows, tables or how an approach works.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from promptpredict.calibration import Floats
from promptpredict.plans import ZERO_SHOT
from promptpredict.resampling import t_interval
from promptpredict.results import Crossover, Difference, Verdict, base_of

MARGIN = 0.02  # how much ROC AUC an approach may lose and still be called no worse
ALPHA = 0.05  # how often the words of one family may be wrong, all of them together
_NONE = 1e-9  # a deviation below it is rounding


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A metric of one approach less that of another, on the rows and on resamples of them."""

    approach: str
    against: str
    metric: str
    value: float
    resampled: Floats  # (n,), NaN where a resample has no such metric
    units: float = np.inf  # independent ones among what tests (resampling.units_of)
    perfect: int = 0  # how many of the two rank without a fault, or with nothing else

    @property
    def deviation(self) -> float:
        """The deviation of the resamples.

        Those of a few rows in perfect order are all in perfect order, and would have it that they
        prove it: what no resample changes then still hangs on half of one of the ``units``, for
        each of the two that is so.
        """
        found = float(np.nanstd(self.resampled))
        return self.perfect / (2 * max(self.units, 1)) if found < _NONE and self.perfect else found

    def ends(self, level: float) -> tuple[float, float]:
        """Return the t interval (low, high) of a level around the value, a difference of shares."""
        low, high = t_interval(self.value, self.deviation, units=self.units, level=level)
        return max(low, -1.0), min(high, 1.0)


def perfect(resampled: Iterable[Floats]) -> bool:
    """Return whether a ROC AUC of these is 1 on all of its resamples (n,), or 0."""
    drawn = [each[~np.isnan(each)] for each in resampled]
    return any(np.all(each == end) for each in drawn for end in (0, 1))


def judge(family: Sequence[Gap], *, budget: int) -> list[Difference]:
    """Return the differences of one budget, in order, each with its word.

    ``low`` and ``high`` are the 95 % interval by Student's t, with the deviation of the resamples;
    ``p`` is two-sided, by the same, and at least 1 / (n + 1), as n resamples show no less.

    ``holm_low`` and ``holm_high`` follow Holm's steps: of m differences the one with the smallest
    p gets the level 1 - .05 / m; as long as 0 lies outside, the next gets 1 - .05 / (m - 1), and
    so on, up to the first whose interval holds 0. What the steps passed is better or worse, as by
    Holm's corrected p. The rest could be called no worse, an error that only the better ones use
    up: their lower ends get the level 1 - .05 / (m - number better), their upper ends 1 - .05 /
    (m - number worse), so that they still hold 0, and the words of a family are together wrong in
    some 5 % of samples at most (one level for both ends, after all steps: up to 10 %).

    The word is read from this interval alone: ``better`` above 0, ``worse`` below 0, ``no worse``
    above -0.02, else ``undecided``, as one around 0 that is wider than ±0.04 always is. A
    difference alone in its family has its 95 % interval. A gap without any resample that has the
    metric is left out.
    """
    known = [gap for gap in family if not np.isnan(gap.resampled).all()]
    ends = _holm(known)
    found = []
    for gap, (holm_low, holm_high) in zip(known, ends, strict=True):
        low, high = gap.ends(1 - ALPHA)
        found.append(
            Difference(
                approach=gap.approach,
                against=gap.against,
                budget=budget,
                metric=gap.metric,
                value=gap.value,
                low=low,
                high=high,
                p=p_value(gap),
                holm_low=holm_low,
                holm_high=holm_high,
                verdict=word(holm_low, holm_high),
            )
        )
    return found


def _holm(family: Sequence[Gap]) -> list[tuple[float, float]]:
    """Return the corrected interval of each difference."""

    def at(gap: Gap, sharing: int) -> tuple[float, float]:
        return gap.ends(1 - ALPHA / sharing)

    ends = [(0.0, 0.0)] * len(family)
    left = len(family)  # how many share what error is left
    for index in sorted(range(len(family)), key=lambda index: -_distance(family[index])):
        low, high = ends[index] = at(family[index], left)
        if not low <= 0 <= high:  # else the steps end: those nearer to 0 hold it at this level too
            left -= 1
    not_better = sum(low <= 0 for low, _ in ends)
    not_worse = sum(high >= 0 for _, high in ends)
    return [
        (at(gap, not_better)[0], at(gap, not_worse)[1]) if low <= 0 <= high else (low, high)
        for gap, (low, high) in zip(family, ends, strict=True)
    ]


def p_value(gap: Gap) -> float:
    """Return the two-sided p-value of a difference; at least 1 / (n + 1)."""
    from scipy.special import ndtr, stdtr

    if gap.units <= 1:
        return 1.0
    away = -_distance(gap)
    chance = 2 * float(ndtr(away) if math.isinf(gap.units) else stdtr(gap.units - 1, away))
    return max(chance, 1 / (int((~np.isnan(gap.resampled)).sum()) + 1))


def _distance(gap: Gap) -> float:
    """Return how many deviations of its resamples a difference is away from 0."""
    if gap.deviation == 0:
        return math.inf if gap.value else 0.0
    return abs(gap.value) / gap.deviation


def word(low: float, high: float) -> Verdict:
    """Put an interval of a difference in one word."""
    if low > 0:
        return "better"
    if high < 0:
        return "worse"
    return "no worse" if low > -MARGIN else "undecided"


def crossovers(
    resampled: Mapping[tuple[str, int], Floats],
    *,
    pairs: Iterable[tuple[str, str]],
    units: float = np.inf,
    metric: str = "roc_auc",
) -> list[Crossover]:
    """Return from which budget on one approach is no worse than another, for pairs across sides.

    ``resampled`` holds the mean over the seeds of ROC AUC (n,) of each approach and budget, all
    on the same resamples, ``units`` as in ``Gap``. Each of ``pairs``, one approach with a language
    model and one without, is asked both ways, and left out where they have no budget in common.
    The budget is the first at which, and at every larger one compared, the 95 % interval of the
    paired difference is above -0.02; None where it is not even at the largest.
    """
    found = []
    for ours, theirs in pairs:
        budgets = sorted(_budgets(resampled, ours) & _budgets(resampled, theirs))
        for approach, against in ((ours, theirs), (theirs, ours)) if budgets else ():
            first = None
            for budget in reversed(budgets):
                pair = [_at(resampled, name, budget) for name in (approach, against)]
                gap = Gap(
                    approach=approach,
                    against=against,
                    metric=metric,
                    value=float(np.nanmean(pair[0] - pair[1])),
                    resampled=pair[0] - pair[1],
                    units=units,
                    perfect=sum(perfect([each]) for each in pair),
                )
                if not gap.ends(1 - ALPHA)[0] > -MARGIN:
                    break
                first = budget
            found.append(Crossover(approach=approach, against=against, budget=first))
    return found


def _budgets(resampled: Mapping[tuple[str, int], Floats], approach: str) -> set[int]:
    if (approach, 0) in resampled and base_of(approach) == ZERO_SHOT:
        return {budget for _, budget in resampled}
    return {budget for name, budget in resampled if name == approach}


def _at(resampled: Mapping[tuple[str, int], Floats], approach: str, budget: int) -> Floats:
    needs_no_label = (approach, 0) in resampled and base_of(approach) == ZERO_SHOT
    return resampled[approach, 0 if needs_no_label else budget]
