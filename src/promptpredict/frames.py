"""Tables in memory, as columns and rows: DataFrames, arrays and lists of dicts.

Knows what scikit-learn's callers hand over as X; knows nothing of records or of what a column is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from promptpredict.errors import DataError
from promptpredict.tables import check_columns, new_key


def table_of(X: Any) -> tuple[list[str], Sequence[Sequence[Any]]]:
    """Return the columns and rows of whatever scikit-learn may hand over.

    An array's columns are ``x0``, ``x1``, …. Raises DataError for what is no table.
    """
    if hasattr(X, "columns"):
        names = [str(column) for column in X.columns]
        check_columns("X", names)  # before X[column], which would give every column of that name
        # to_numpy column by column keeps each type; pandas' own iteration widens float32
        return names, list(zip(*(X[column].to_numpy() for column in X.columns), strict=True))
    if isinstance(X, list | tuple) and X and all(isinstance(row, Mapping) for row in X):
        names = list(X[0])
        for number, row in enumerate(X, 1):
            if fault := new_key(row, X[0]):
                raise DataError(f"X, row {number}: {fault}")
        return names, [[row.get(column) for column in names] for row in X]
    import numpy

    array = X if isinstance(X, numpy.ndarray) else numpy.array(X, dtype=object)
    if array.ndim != 2:
        raise DataError(
            "X must be a table: a pandas DataFrame, a numpy array of two dimensions "
            f"or a list of dicts, got {type(X).__name__}"
        )
    return [f"x{number}" for number in range(array.shape[1])], list(array)
