"""How often the 95 % intervals hold the truth, in simulated samples of 400 rows.

    python benchmarks/intervals.py [--samples 2000] [--rows 400] [--seed 0]

Two correlated normal scores (correlation .6 within a label) rank the positives with a known ROC
AUC; each row is positive with the base rate, so the number of positives varies as in a random test
set. Reports the interval of one ROC AUC (on log-odds) and that of the paired difference of the two
scores (true difference 0 and .05), both by Student's t, each beside the percentiles of the same
1,000 resamples, and how wide they are on average. Prints a Markdown table; exit code 1 where an
interval in use covers less than 93 or more than 97 %. Took 8 minutes of CPU.
"""

from __future__ import annotations

import argparse
import sys
from itertools import product
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from promptpredict.metrics import resample
from promptpredict.resampling import interval, intervals, t_interval, units_of

RATES, AUCS, GAPS = (0.1, 0.5), (0.7, 0.9), (0.0, 0.05)
BAND = (0.93, 0.97)
CORRELATION = 0.6
LABELS = ("0", "1")
Floats = npt.NDArray[np.float64]


def main() -> None:
    """Print the coverage of each setting."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    names = ["base rate", "ROC AUC", "one", "percentiles", "width"]
    names += ["difference", "paired", "percentiles", "width"]
    print("|", " | ".join(names), "|")
    print("|", " | ".join(["---"] * len(names)), "|")
    outside = 0
    for rate, auc, gap in product(RATES, AUCS, GAPS):
        rng = np.random.default_rng([options.seed, *(round(100 * x) for x in (rate, auc, gap))])
        found = [one_sample(rng, options.rows, rate, auc, gap) for _ in range(options.samples)]
        one, plain, width, paired, plainly, apart = (f"{x:.3f}" for x in np.mean(found, axis=0))
        outside += sum(not BAND[0] <= float(each) <= BAND[1] for each in (one, paired))
        cells = [f"{rate}", f"{auc}", one, plain, width, f"{gap:.2f}", paired, plainly, apart]
        print("|", " | ".join(cells), "|", flush=True)
    if outside:
        sys.exit(f"{outside} intervals cover less than {BAND[0]:.0%} or more than {BAND[1]:.0%}")


def one_sample(
    rng: np.random.Generator, rows: int, rate: float, auc: float, gap: float
) -> tuple[float, ...]:
    """Draw one sample; for one score and for two, return what held the truth, and the width."""
    hit, scores = draw(rng, rows, rate, (auc, auc - gap))
    y = [LABELS[int(each)] for each in hit]
    drawn = [
        resample(y, tabled(score), labels=LABELS, positive="1", only=("roc_auc",))["roc_auc"]
        for score in scores
    ]
    values = [roc_auc(hit, score) for score in scores]
    units = units_of(hit.tolist())
    one = intervals({"roc_auc": values[0]}, {"roc_auc": drawn[0]}, units=units)["roc_auc"]
    apart = drawn[0] - drawn[1]
    paired = t_interval(values[0] - values[1], apart.std(), units=units)
    return (
        *(float(low <= auc <= high) for low, high in (one, interval(drawn[0]))),
        one[1] - one[0],
        *(float(low <= gap <= high) for low, high in (paired, interval(apart))),
        paired[1] - paired[0],
    )


def draw(
    rng: np.random.Generator, rows: int, rate: float, aucs: tuple[float, float]
) -> tuple[npt.NDArray[np.bool_], list[Floats]]:
    """Draw labels (n,) and two scores (n,) whose true ROC AUC is known."""
    hit = rng.random(rows) < rate
    shared = rng.normal(size=rows) * CORRELATION**0.5
    own = rng.normal(size=(2, rows)) * (1 - CORRELATION) ** 0.5
    shifts = [2**0.5 * NormalDist().inv_cdf(auc) for auc in aucs]
    return hit, [shared + one + shift * hit for one, shift in zip(own, shifts, strict=True)]


def tabled(score: Floats) -> Floats:
    """Return scores as probabilities (n, 2)."""
    probability = 1 / (1 + np.exp(-score))
    return np.column_stack([1 - probability, probability])


def roc_auc(hit: npt.NDArray[np.bool_], score: Floats) -> float:
    """Return the share of pairs in the right order; scores have no ties."""
    return float((score[hit][:, None] > score[~hit]).mean())


if __name__ == "__main__":
    main()
