"""How far a run is: a bar on a terminal, a line now and then elsewhere; always on stderr.

Knows counts and time; knows nothing of what is counted.
"""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

from promptpredict import logs

EVERY = 10.0  # seconds between lines where there is no terminal


class Progress:
    """Counts customers up to about ``total`` (None where it is not known), with rate and time left.

    A context manager; at the end it leaves one line with the count, the time and the rate.
    """

    def __init__(self, what: str, total: int | None) -> None:
        """Count ``what``, from 0."""
        self.what, self.total = what, total
        self.done = 0
        self._bar: Any = None

    def __enter__(self) -> Progress:
        """Show the bar, or start the clock."""
        self._start = self._said = time.monotonic()
        if sys.stderr.isatty() and not logs.is_json():
            self._bar = _bar()
            self._task = self._bar.add_task(self.what, total=self.total)
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the bar away, and say what was done."""
        if self._bar:
            self._bar.stop()
        if kind is None:
            seconds = time.monotonic() - self._start
            self._write(f"{self.what}: {self.done:,} in {duration(seconds)}, {self._rate()}")

    def advance(self, count: int) -> None:
        """Count some more."""
        self.done += count
        if self._bar:
            self._bar.advance(self._task, count)
        elif time.monotonic() - self._said >= EVERY:
            self._said = time.monotonic()
            self._write(self.line())

    def line(self) -> str:
        """Return the state as a line: ``scoring: 1,024 of 7,043, 9.1 a second, 11 min left``."""
        if self.total is None or not self.done:
            return f"{self.what}: {self.done:,}, {self._rate()}"
        left = max(0, self.total - self.done) * (time.monotonic() - self._start) / self.done
        return (
            f"{self.what}: {self.done:,} of {self.total:,}, {self._rate()}, {duration(left)} left"
        )

    def _rate(self) -> str:
        return f"{self.done / max(time.monotonic() - self._start, 1e-9):.1f} a second"

    def _write(self, line: str) -> None:
        seconds = round(time.monotonic() - self._start, 3)
        fields = {"what": self.what, "done": self.done, "total": self.total, "seconds": seconds}
        logs.write(line, "progress", **fields)


def duration(seconds: float) -> str:
    """Return a time as people say it: ``45 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bar
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:.1f} a second" if task.speed else "")

    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate()]
    return Bar(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True)
