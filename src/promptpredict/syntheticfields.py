"""The columns of a synthetic customer table: random causes, numbers and categories made of them.

Knows structural models and how a column is described in data/synthetic.yaml; knows nothing of
feedback, prompts or labels. Every column has a cause of its own, of which its values and its effect
on the outcome are functions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from promptpredict.values import Value

Floats = npt.NDArray[np.float64]
Random = np.random.Generator
Kind = Sequence[Any] | Mapping[str, float]  # of a column, as data/synthetic.yaml describes it
_HIDDEN = 2  # causes that no column shows
_PARENTS = 2  # columns, at most, that another one depends on directly


@dataclass(frozen=True)
class Field:
    """A column: ``values`` (n) as a table holds them, ``effect`` (n,) on the log-odds, both of ``cause`` (n,)."""

    name: str
    values: list[Value]
    effect: Floats
    cause: Floats
    unit: str = ""


def causes(rng: Random, rows: int, columns: int) -> Floats:
    """Draw causes (columns, rows), each of mean 0 and deviation 1, that depend on one another.

    A random acyclic graph: of each column its parents are drawn among those before it and what is
    hidden, and a line, a step, a bend or a curve for each of them.
    """
    found = list(rng.standard_normal((_HIDDEN, rows)))
    for _ in range(columns):
        own = rng.standard_normal(rows)
        chosen = rng.permutation(len(found))[: rng.integers(0, _PARENTS + 1)]
        for parent in chosen:
            own = own + rng.normal(0, 0.7) * bent(rng, found[parent])
        found.append(_standard(own))
    order = rng.permutation(columns)
    return np.array(found[_HIDDEN:])[order] if columns else np.empty((0, rows))


def bent(rng: Random, cause: Floats, *, straight: float = 0.6) -> Floats:
    """Return a function of a cause (n,): a line by ``straight``, else a step, a bend or a curve."""
    if rng.random() < straight:
        return cause
    at = rng.normal(0, 0.7)
    curves: tuple[Floats, ...] = (
        np.where(cause > at, 1.0, -1.0),
        np.maximum(cause - at, 0.0),
        np.abs(cause - at),
        np.tanh(2 * (cause - at)),
    )
    return _standard(curves[int(rng.integers(len(curves)))])


def usual_field(rng: Random, name: str, kind: Kind, cause: Floats) -> Field:
    """Return a column of a trade, with the effect that it usually has."""
    if isinstance(kind, Mapping):
        values, effects = list(kind), np.array(list(kind.values()), dtype=float)
        order = np.argsort(effects + rng.normal(0, 1e-3, len(effects)))
        codes = order[_cut(rng, cause, len(values))]
        return Field(name, [values[code] for code in codes], effects[codes], cause)
    low, high, shape, effect, *unit = kind
    strength = float(effect) * rng.lognormal(0, 0.3)
    curve = bent(rng, cause, straight=0.8) if effect == 0 else cause
    return Field(name, _numbers(rng, low, high, shape, cause), strength * curve, cause, *unit)


def turned_field(rng: Random, name: str, kind: Kind, cause: Floats) -> Field:
    """Return a column of a trade, with an effect that has nothing to do with its name."""
    plain = usual_field(rng, name, kind, cause)
    strength = rng.normal(0, 0.7)
    if isinstance(kind, Mapping):
        effects = dict(zip(kind, rng.normal(0, 0.7, len(kind)), strict=True))
        effect = np.array([effects[str(value)] for value in plain.values])
        return replace(plain, effect=effect)
    return replace(plain, effect=strength * bent(rng, cause))


def bare_kind(rng: Random, values: Sequence[str]) -> Kind:
    """Draw a column whose name and values say nothing."""
    if rng.random() < 0.5:
        chosen = rng.choice(len(values), rng.integers(2, 6), replace=False)
        return {values[at]: 0.0 for at in chosen}
    high = float(10.0 ** rng.integers(0, 5))
    whole = high >= 10 and rng.random() < 0.7
    shape = "skewed" if rng.random() < 0.4 else "even"
    low = 0.0 if rng.random() < 0.7 else -high
    return [int(low) if whole else low, int(high) if whole else high, shape, 0.0]


def with_gaps(rng: Random, field: Field, hint: Floats) -> Field:
    """Return a column of which values may be missing: at random, or rather where ``hint`` (n,) is high."""
    if rng.random() > 0.2:
        return field
    share = rng.uniform(0.02, 0.3)
    pull = hint * (rng.random() < 0.3)
    lost = pull + rng.standard_normal(len(hint)) > np.quantile(
        pull + rng.standard_normal(len(hint)), 1 - share
    )
    values = [None if gone else value for gone, value in zip(lost, field.values, strict=True)]
    return replace(field, values=values, effect=np.where(lost, 0.0, field.effect))


def _cut(rng: Random, cause: Floats, parts: int) -> npt.NDArray[np.intp]:
    """Cut a cause (n,) into parts of random sizes; return which one each row is in."""
    edges = np.cumsum(rng.dirichlet(np.full(parts, 2.0)))[:-1]
    return np.searchsorted(np.quantile(cause, edges), cause)


def _numbers(rng: Random, low: float, high: float, shape: str, cause: Floats) -> list[Value]:
    """Return numbers between two others that rise with their cause, most of them low if skewed."""
    rank = cause.argsort().argsort() / max(len(cause) - 1, 1)  # from 0 to 1
    power = rng.uniform(2, 4) if shape == "skewed" else rng.uniform(0.8, 1.3)
    numbers = low + (high - low) * rank**power
    if isinstance(low, int) and isinstance(high, int):
        return [int(number) for number in np.rint(numbers)]
    digits = 2 if high - low > 5 else 3
    return [round(float(number), digits) for number in numbers]


def _standard(values: Floats) -> Floats:
    found: Floats = (values - values.mean()) / (values.std() or 1.0)
    return found
