"""The bins of a regression: their edges from amounts that are known.

Knows numbers, and the prompt file that has the bins; knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Context
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from promptpredict.amounts import Floats, many_zeros
from promptpredict.errors import DataError

LARGEST = 1e30  # of an amount: squares and cubes of it are numbers still

if TYPE_CHECKING:
    from promptpredict.prompt import PromptFile
    from promptpredict.records import Record


def binned(file: PromptFile, y: Floats) -> PromptFile:
    """Return a prompt file with edges: its own, or quantiles of the amounts ``y`` (n,)."""
    if file.front.bins is None or file.front.bins.edges is not None:
        return file
    return file.with_edges(quantile_edges(y, len(file.front.bins.words)))


def targets_of(records: Sequence[Record]) -> Floats:
    """Return the amount of each record, (n,)."""
    return np.array([float(str(record.label)) for record in records])


def amount_of(text: str) -> float:
    """Return an amount as a number; DataError for a text that is none, or one of no use."""
    try:
        found = np.nan if "_" in text else float(text)  # Python reads 1_000 as a thousand
    except ValueError:
        found = np.nan
    if not np.isfinite(found):
        raise DataError(f"'{text}', which is not a number")
    if abs(found) > LARGEST:
        raise DataError(f"'{text}'; amounts lie between -{LARGEST:g} and {LARGEST:g}")
    return found


def amounts_of(values: Sequence[Any] | npt.NDArray[Any]) -> Floats:
    """Return amounts (n,) as numbers; DataError for the first that is none."""
    found = np.empty(len(values))
    for row, value in enumerate(values):
        try:
            found[row] = amount_of(str(value))
        except DataError as error:
            raise DataError(f"row {row + 1} of y holds {error}") from None
    return found


def quantile_edges(y: npt.ArrayLike, count: int) -> list[float]:
    """Return ``count`` + 1 rising edges between which as many amounts ``y`` (n,) lie each.

    Where a tenth or more are zero, zero is a bin of its own, the lowest. Edges are rounded to three
    digits, to more where bins are so narrow that as many amounts would not lie in each. Raises DataError without two amounts that differ.
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
    edges = [float(edge) for edge in edges]
    for digits in range(3, 16):
        low, high = _round(edges[0], ROUND_FLOOR, digits), _round(edges[-1], ROUND_CEILING, digits)
        rounded = [low, *(float(f"{edge:.{digits}g}") for edge in edges[1:-1]), high]
        if _rise(rounded) and _stay(edges, rounded):
            return rounded
    return _apart(edges)


def _stay(edges: list[float], rounded: list[float]) -> bool:
    """Whether no inner edge moves by more than a tenth of the narrower bin beside it."""
    return all(
        abs(moved - edge) <= 0.1 * min(edge - low, high - edge)
        for low, edge, high, moved in zip(edges, edges[1:], edges[2:], rounded[1:], strict=False)
    )


def _rise(edges: list[float]) -> bool:
    return all(low < high for low, high in pairwise(edges))


def _apart(edges: list[float]) -> list[float]:
    """Return edges that rise: ties, which leave a bin empty, as little as can be."""
    for at in range(1, len(edges)):
        edges[at] = max(edges[at], float(np.nextafter(edges[at - 1], np.inf)))
    return edges


def _round(value: float, to: str, digits: int) -> float:
    """Round an outer edge away from what lies inside, in decimals: no power of ten overflows."""
    return (
        float(Context(prec=digits, rounding=to).create_decimal_from_float(value)) + 0.0
    )  # no -0.0
