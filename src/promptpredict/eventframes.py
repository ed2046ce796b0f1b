"""Histories in Python: customers and their events as pandas DataFrames.

Knows DataFrames, and that events are summed up; how, `histories` knows.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from promptpredict.csvrows import RawRow
from promptpredict.errors import DataError
from promptpredict.frames import table_of
from promptpredict.histories import EventOptions, History
from promptpredict.tables import Table


def with_events(
    customers: Any,
    events: Any,
    *,
    key: str,
    as_of: str,
    time: str | None = None,
    amount: str | None = None,
    hidden: Sequence[str] = (),
) -> Any:
    """Return a pandas DataFrame of customers with the summary columns of a DataFrame of events.

    ``key`` is the column that both have; ``as_of``, ``time``, ``amount`` and ``hidden`` as in
    EventOptions: no prompt file says here which columns of events give the outcome away. Raises
    DataError for what cannot be joined, a customer without a cut-off included.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "events.parquet"
        events.to_parquet(place, index=False)
        options = EventOptions(
            table=str(place), as_of=as_of, key=key, time=time, amount=amount, hidden=tuple(hidden)
        )
        history = History(options)
        history.load()
    columns, cells = table_of(customers)
    rows = iter([RawRow(f"row {number}: ", list(row)) for number, row in enumerate(cells, 1)])
    joined = history.joined(Table("customers", columns, rows, lambda: None))
    found = []
    for row in joined.rows:
        if row.fault:
            raise DataError(f"customers, {row.place}{row.fault}")
        found.append(row.cells[len(columns) :])
    result = customers.copy()
    for place_at, column in enumerate(history.columns):
        result[column] = [cells[place_at] for cells in found]
    return result
