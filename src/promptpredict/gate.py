"""Stops a run whose label words have next to no probability, before it has cost a night.

Knows label masses and what to say of them; knows nothing of models or tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import isfinite
from statistics import median

from promptpredict.errors import PromptError

ROWS = 200  # whose label mass decides


class Gate:
    """Looks at the label masses of a run's first 200 rows; 0 as ``bound`` lets everything through."""

    def __init__(self, name: str, bound: float) -> None:
        """Guard a run of the prompt file ``name``."""
        self.name, self.bound = name, bound
        self._masses: list[float] = []

    def check(self, masses: Iterable[float], wanted: Callable[[], list[tuple[str, float]]]) -> None:
        """Take the masses of some more rows; NaN is a row without one.

        Raises PromptError where the median of the first 200 is under the bound, with the tokens that
        ``wanted`` says the language model would rather have, and their probabilities.
        """
        if len(self._masses) >= ROWS:
            return
        self._masses += [float(mass) for mass in masses if isfinite(mass)]
        middle = median(self._masses[:ROWS]) if len(self._masses) >= ROWS else self.bound
        if middle >= self.bound:
            return
        others = ", ".join(f"{text!r} {share:.2g}" for text, share in wanted())
        raise PromptError(
            f"{self.name}: the label words have a median probability of {middle:.2g} in the first "
            f"{ROWS} rows, under {self.bound:g} (--stop-mass)"
            + (f"; the language model would rather say {others}" if others else "")
            + "; possible: other label words, or --stop-mass 0 where they are known to rank well"
        )
