"""The bins of a regression: their edges from amounts that are known.

Knows numbers; knows nothing of prompt files or models.
"""

from __future__ import annotations

from itertools import pairwise
from math import ceil, floor, log10

import numpy as np
import numpy.typing as npt

from promptpredict.amounts import many_zeros
from promptpredict.errors import DataError


def quantile_edges(y: npt.ArrayLike, count: int) -> list[float]:
    """Return ``count`` + 1 rising edges between which as many amounts ``y`` (n,) lie each.

    Where a tenth or more are zero, zero is a bin of its own, the lowest. Edges are rounded to three
    digits where they stay apart. Raises DataError without two amounts that differ.
    """
    amounts = np.asarray(y, dtype=np.float64)
    if len(np.unique(amounts)) < 2:
        found = f"only {amounts[0]:g}" if len(amounts) else "none"
        raise DataError(f"bins need amounts that differ, found {found}")
    if many_zeros(amounts) and count > 2:
        above = amounts[amounts > 0]
        edges = [0.0, *np.quantile(above, np.linspace(0, 1, count))]
        edges[1] = float(above.min()) / 2 if edges[1] > 0 else edges[1]
    else:
        edges = list(np.quantile(amounts, np.linspace(0, 1, count + 1)))
    rounded = [_round(edges[0], floor), *map(_nearest, edges[1:-1]), _round(edges[-1], ceil)]
    return rounded if _rise(rounded) else _apart([float(edge) for edge in edges])


def _rise(edges: list[float]) -> bool:
    return all(low < high for low, high in pairwise(edges))


def _apart(edges: list[float]) -> list[float]:
    """Return edges that rise: ties, which leave a bin empty, as little as can be."""
    for at in range(1, len(edges)):
        edges[at] = max(edges[at], float(np.nextafter(edges[at - 1], np.inf)))
    return edges


def _nearest(value: float) -> float:
    return float(f"{value:.3g}")


def _round(value: float, to: object) -> float:
    """Round an outer edge away from what lies inside."""
    if value == 0:
        return 0.0
    unit = 10.0 ** (floor(log10(abs(value))) - 2)
    return float(f"{to(value / unit) * unit:.6g}")  # type: ignore[operator]
