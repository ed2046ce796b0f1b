"""How far a run is: a bar on a terminal, a line now and then elsewhere; always on stderr.

Knows counts and time; knows nothing of what is counted.
"""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

EVERY = 30.0  # seconds between lines where there is no terminal


class Progress:
    """Counts customers up to ``total`` (None where it is not known), with rate and time left."""

    def __init__(self, what: str, total: int | None) -> None:
        self.what, self.total = what, total
        self.done = 0
        self._bar: Any = None

    def __enter__(self) -> Progress:
        """Show the bar, or start the clock."""
        self._start = self._said = time.monotonic()
        if sys.stderr.isatty():
            self._bar = _bar()
            self._bar.start()
            self._task = self._bar.add_task(self.what, total=self.total)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Take the bar away."""
        if self._bar:
            self._bar.stop()

    def advance(self, count: int) -> None:
        """Count some more."""
        self.done += count
        if self._bar:
            self._bar.advance(self._task, count)
        elif time.monotonic() - self._said > EVERY:
            self._said = time.monotonic()
            sys.stderr.write(self.line() + "\n")

    def line(self) -> str:
        """Return the state as a line: ``scoring: 1,024 of 7,043, 9.1 a second, 11 min left``."""
        seconds = max(time.monotonic() - self._start, 1e-9)
        rate = self.done / seconds
        text = f"{self.what}: {self.done:,}"
        if self.total is None or not self.done:
            return f"{text}, {rate:.1f} a second"
        left = max(0, self.total - self.done) / rate
        shown = f"{left / 60:.0f} min" if left > 90 else f"{left:.0f} s"
        return f"{text} of {self.total:,}, {rate:.1f} a second, {shown} left"


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Any) -> Text:
            return Text(f"{task.speed:.1f} a second" if task.speed else "")

    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn()]
    return Bar(*columns, console=Console(stderr=True), transient=True)
