"""Which of many wordings is best: by a few labels and by agreement, or by agreement alone.

Knows log-odds (n, m) of n records under m wordings, and which records have the positive label;
knows nothing of prompts or models. With few labels and many wordings the highest ROC AUC is a
lucky one. So a wording's own is drawn towards what its agreement with the others leads one to
expect, and what the chosen one will be worth is estimated on records that did not choose it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from promptpredict.errors import DataError

Floats = npt.NDArray[np.float64]
Hits = npt.NDArray[np.bool_]
Outcome = Literal["bad", "good"]
ENSEMBLE = 5
RESAMPLES = 500
# How far ROC AUCs truly lie from their line over the agreement, as a standard deviation. Estimated
# from 16 to 64 labels it is 0 in most draws, and the labels would go unheard.
TRUE_SPREAD = 0.03


@dataclass(frozen=True, slots=True)
class Estimate:
    """A ROC AUC, or a difference of two, and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Labelled:
    """What labels say of m wordings.

    ``auc`` are the wordings' own; ``best`` and ``ensemble`` are what the chosen ones are worth on
    records that did not choose them, ``gain`` and ``ensemble_gain`` how much more than the prompt
    file's own wording there.
    """

    auc: tuple[Estimate, ...]
    best: Estimate
    gain: Estimate
    ensemble: Estimate
    ensemble_gain: Estimate


@dataclass(frozen=True, slots=True)
class Choice:
    """What is known of m wordings; indices are columns of the log-odds.

    ``outcome`` says whether the positive label is the outcome that the words call bad or good.
    ``agreement`` (m,) is the rank correlation of a wording with what all have in common, negative
    where it ranks customers the other way round. ``order`` are the columns, the best first, and
    ``ensemble`` the first few of them. ``labelled`` is None where no labels were used.
    """

    outcome: Outcome
    agreement: Floats
    order: tuple[int, ...]
    ensemble: tuple[int, ...]
    labelled: Labelled | None


def choose(
    log_odds: Floats, hits: Hits | None = None, *, outcome: Outcome | None = None, seed: int = 0
) -> Choice:
    """Choose among wordings.

    ``log_odds`` (n, m) are of the bad against the good outcome; those of the last column, the
    prompt file's own wording, of the positive label against the other. ``hits`` (n,) say which
    records have the positive label; None chooses by agreement alone. ``outcome`` says what the
    positive label is; else it is found, once for all wordings: what they have in common must rise
    with the labels, or without labels with the own wording. Raises DataError where a label has
    fewer than two records.
    """
    if hits is not None:
        check_hits(hits)
    common = consensus(log_odds[:, :-1])
    found = outcome or _outcome(common, log_odds[:, -1], hits)
    table = oriented(log_odds, found)
    agreed = _correlation(table, common if found == "bad" else -common)
    if hits is None:
        order = np.argsort(-agreed, kind="stable").tolist()
        return Choice(found, agreed, tuple(order), tuple(order[:ENSEMBLE]), None)
    value, noise = _with_noise(Pairs(table, hits), agreed)
    order = best_first(value, noise, agreed)
    labelled = _Resampling(table, hits, agreed, noise, common, outcome is None).run(seed)
    return Choice(found, agreed, tuple(order), tuple(order[:ENSEMBLE]), labelled)


def check_hits(hits: Hits) -> None:
    """Raise DataError where a label has fewer than two records, too few for any choice."""
    if min(hits.sum(), (~hits).sum()) < 2:
        raise DataError(
            f"{hits.sum():,} of {len(hits):,} labelled records have the positive label; "
            "a choice needs two of either label (--unlabelled needs none)"
        )


def oriented(log_odds: Floats, outcome: Outcome) -> Floats:
    """Return the log-odds (n, m) of the positive label, whatever outcome it is."""
    signs = np.full(log_odds.shape[1], 1.0 if outcome == "bad" else -1.0)
    signs[-1] = 1.0
    return np.asarray(log_odds * signs)


def ranks(log_odds: Floats) -> Floats:
    """Return the ranks (n, m) within each column, ties at their mean, as mean 0 and variance 1.

    A column whose records all tie is 0 throughout.
    """
    from scipy.stats import rankdata
    from sklearn.preprocessing import scale

    return np.asarray(scale(rankdata(log_odds, axis=0)))


def consensus(log_odds: Floats) -> Floats:
    """Return what wordings have in common (n,): the first principal component of their ranks.

    Its sign is the majority's, so that a few wordings of the wrong sign do not turn it.
    """
    left, size, right = np.linalg.svd(ranks(log_odds), full_matrices=False)
    return np.asarray(left[:, 0] * size[0] * (1.0 if right[0].sum() >= 0 else -1.0))


class Pairs:
    """Each pair of a record with the positive label and one without, and which stands higher.

    ``wins`` (m, p, q) is 1 where record p stands above record q, 0.5 where they tie: a ROC AUC is
    its mean, that of a resample its weighted mean.
    """

    def __init__(self, log_odds: Floats, hits: Hits) -> None:
        """Compare the records under each wording."""
        above, below = log_odds[hits].T[:, :, None], log_odds[~hits].T[:, None, :]
        self.wins = ((above > below) + 0.5 * (above == below)).astype(np.float32)

    def auc(self, p: npt.NDArray[Any], q: npt.NDArray[Any]) -> Floats:
        """Return the ROC AUC (m,) with each record counted so often: (p,) and (q,)."""
        total = p.sum() * q.sum()
        return np.asarray((self.wins @ q.astype(np.float32)).astype(np.float64) @ p / total)

    @property
    def shape(self) -> tuple[int, int]:
        """Return how many records there are with the positive label, and without."""
        return self.wins.shape[1], self.wins.shape[2]


def shrunk(value: Floats, noise: Floats, agreed: Floats) -> Floats:
    """Return ROC AUCs (m,) drawn towards what their agreement (m,) leads one to expect.

    The expectation is the line of the values over the agreement. A deviation from it keeps the
    weight that ``TRUE_SPREAD`` squared has beside its variance ``noise`` (m,).
    """
    deviation = _deviation(value, agreed)
    return np.asarray(value - deviation * noise / (TRUE_SPREAD**2 + noise))


def best_first(value: Floats, noise: Floats, agreed: Floats) -> list[int]:
    """Return the columns, the one with the highest ``shrunk`` ROC AUC first; of equals the last, the own."""
    others = np.arange(len(value)) < len(value) - 1
    order: list[int] = np.lexsort((others, -shrunk(value, noise, agreed))).tolist()
    return order


def _outcome(common: Floats, own: Floats, hits: Hits | None) -> Outcome:
    if hits is None:
        return "bad" if _correlation(own[:, None], common)[0] >= 0 else "good"
    return "bad" if _plain_auc(Pairs(common[:, None], hits))[0] >= 0.5 else "good"


def _correlation(log_odds: Floats, common: Floats) -> Floats:
    return np.asarray((ranks(log_odds) * ranks(common[:, None])).mean(axis=0))


def _plain_auc(pairs: Pairs) -> Floats:
    p, q = pairs.shape
    return pairs.auc(np.ones(p), np.ones(q))


def _with_noise(pairs: Pairs, agreed: Floats) -> tuple[Floats, Floats]:
    """Return the ROC AUC (m,) of each wording, and how uncertain its deviation is, as variance.

    After DeLong, of the deviation: what is luck to all wordings alike does not part them.
    """
    p, q = pairs.shape
    by_hit = _deviation(pairs.wins.mean(axis=2), agreed)
    by_miss = _deviation(pairs.wins.mean(axis=1), agreed)
    noise = by_hit.var(axis=1, ddof=1) / p + by_miss.var(axis=1, ddof=1) / q
    return _plain_auc(pairs), np.maximum(noise, 1e-9).astype(np.float64)


def _deviation(values: npt.NDArray[Any], agreed: Floats) -> Floats:
    """Return the deviation of values (m, ...) from their line over the agreement (m,)."""
    centred = agreed - agreed.mean()
    slope = centred @ values / max(float(centred @ centred), 1e-12)
    return np.asarray(values - values.mean(axis=0) - np.multiply.outer(centred, slope))


@dataclass(frozen=True, slots=True)
class _Resampling:
    """The choice made again on resamples, each judged by the records that it did not draw.

    After Tsamardinos et al. (2018), "Bootstrapping the out-of-sample predictions for efficient
    and accurate cross-validation": only here the predictions need no training.
    """

    log_odds: Floats
    hits: Hits
    agreed: Floats
    noise: Floats
    common: Floats
    turns: bool  # whether a resample also decides which outcome is positive

    def run(self, seed: int) -> Labelled:
        rng = np.random.default_rng(seed)
        pairs = Pairs(self.log_odds, self.hits)
        common = Pairs(self.common[:, None], self.hits)
        down = _plain_auc(common)[0] < 0.5
        p, q = pairs.shape
        found = []
        for _ in range(RESAMPLES):
            drawn_p, drawn_q = (np.bincount(rng.integers(n, size=n), minlength=n) for n in (p, q))
            value = pairs.auc(drawn_p, drawn_q)
            left_p, left_q = (drawn_p == 0).astype(float), (drawn_q == 0).astype(float)
            if not left_p.any() or not left_q.any():
                continue
            # Turned, all but the own wording rank the other way, and it alone agrees otherwise.
            turned = self.turns and (common.auc(drawn_p, drawn_q)[0] < 0.5) != down
            signs = np.full(len(value), -1.0 if turned else 1.0)
            signs[-1] = 1.0
            agreed = self.agreed.copy()
            agreed[-1] *= signs[0]
            order = best_first(_turned(value, signs), self.noise, agreed)
            some = order[:ENSEMBLE]
            mean = (self.log_odds[:, some] * signs[some]).mean(axis=1, keepdims=True)
            there = _turned(pairs.auc(left_p, left_q), signs)
            together = Pairs(mean, self.hits).auc(left_p, left_q)[0]
            chosen = there[order[0]]
            found.append((chosen, chosen - there[-1], together, together - there[-1]))
        drawn = np.array(found).T  # (4, b)
        best, gain, together, more = (_percentiles(values) for values in drawn)
        return Labelled(
            tuple(_estimate(value, p, q) for value in _plain_auc(pairs)),
            _wider(best, _estimate(best.value, p, q)),
            gain,
            _wider(together, _estimate(together.value, p, q)),
            more,
        )


def _turned(auc: Floats, signs: Floats) -> Floats:
    return np.where(signs > 0, auc, 1 - auc)


def _percentiles(drawn: Floats) -> Estimate:
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Estimate(float(drawn.mean()), float(low), float(high))


def _wider(one: Estimate, other: Estimate) -> Estimate:
    return Estimate(one.value, min(one.low, other.low), max(one.high, other.high))


def _estimate(value: float, p: int, q: int) -> Estimate:
    """Return a ROC AUC with its interval after Newcombe (2006), method 5.

    The resamples of a few records in perfect order are all in perfect order, and would have it
    that they prove it.
    """
    between = (p + q) / 2 - 1

    def spread(auc: float) -> float:
        shares = between * ((1 - auc) / (2 - auc) + auc / (1 + auc))
        return 1.96 * float(np.sqrt(auc * (1 - auc) / (p * q) * (1 + shares)))

    def limit(end: float) -> float:
        """Halve what lies between the value and an end until the value is a spread away."""
        near, far = value, end
        for _ in range(40):
            middle = (near + far) / 2
            near, far = (middle, far) if abs(value - middle) < spread(middle) else (near, middle)
        return far

    return Estimate(float(value), float(limit(0.0)), float(limit(1.0)))
