"""Several sets of shots in place of one: what a score owes to the shots that happened to be drawn.

Knows how sets are drawn out of one pool, and how far scores behind them lie apart; knows nothing of
prompts or language models. The first set is the one that is shown where a single set is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from promptpredict.prompt import PromptFile
from promptpredict.records import Record
from promptpredict.shots import Embed, Select, Shots

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ShotSets:
    """Sets of shots out of one pool, behind each of which a record is scored.

    Balanced and random sets have no record in common as long as the pool suffices, label by label;
    then they are other draws in other orders. Of nearest sets the first shows the nearest records,
    the second those that come behind them, and so on; what comes when the pool is at its end,
    ``Shots`` says.
    """

    sets: Sequence[Shots]

    def choose(self, records: Sequence[Record]) -> list[tuple[Record, ...]]:
        """Return the shots of each record in the first set."""
        return self.sets[0].choose(records)

    def others(self) -> list[Record]:
        """Return the records of the pool that one set or more does not show to everybody.

        They can be scored as customers are, by the sets that do not show them
        (``scoring.score_held_out``), so several sets take no more labelled records away than one.
        """
        shown = [{id(record) for record in each.shown()} for each in self.sets]
        return [
            record for record in self.sets[0].pool if any(id(record) not in each for each in shown)
        ]

    def shown(self) -> list[Record]:
        """Return the shots that everybody is shown, each once, set by set; none if nearest."""
        every = {id(record): record for each in self.sets for record in each.shown()}
        return list(every.values())

    @property
    def used(self) -> dict[str, None]:
        """The ids of all shots shown so far, set by set."""
        return dict.fromkeys(shot for each in self.sets for shot in each.used)


def draw_sets(
    prompt_file: PromptFile,
    pool: Sequence[Record],
    count: int,
    select: Select = "balanced",
    seed: int | None = 0,
    embed: Embed | None = None,
    *,
    sets: int = 1,
) -> Shots | ShotSets:
    """Return so many sets of ``count`` shots each; raises what ``Shots`` does."""
    if sets == 1:
        return Shots(prompt_file, pool, count, select, seed, embed)
    once = embed and _Once(embed)
    return ShotSets(
        [Shots(prompt_file, pool, count, select, seed, once, nth) for nth in range(sets)]
    )


def spread(by_set: npt.NDArray[np.floating[Any]]) -> Floats:
    """Return how far sets lie apart (n,): the standard deviation of the log-odds over them.

    ``by_set`` (n, sets, k) are label log-probabilities. The log-odds are those of the label that is
    the most probable on average, against all others; of two labels it does not matter which. The
    sets are a sample of those that might have been drawn, so it is divided by sets - 1. NaN where
    a set has not scored a row.
    """
    found = np.full(len(by_set), np.nan)
    known = np.isfinite(by_set).all(axis=(1, 2))
    values = np.asarray(by_set[known], dtype=np.float64)
    values = values - np.logaddexp.reduce(values, axis=2, keepdims=True)
    rows, best = np.arange(len(values)), values.mean(axis=1).argmax(axis=1)  # (n,)
    chosen = values[rows, :, best]  # (n, sets)
    values[rows, :, best] = -np.inf
    found[known] = (chosen - np.logaddexp.reduce(values, axis=2)).std(axis=1, ddof=1)
    return found


class _Once:
    """Embeds the same texts once for all sets: an encoder's cost is counted by what it is asked."""

    def __init__(self, embed: Embed) -> None:
        self.embed = embed
        self._asked: list[str] = []
        self._found: Any = None

    def __call__(self, texts: list[str]) -> Any:
        if self._found is None or texts != self._asked:
            self._asked, self._found = texts, self.embed(texts)
        return self._found

    def __getstate__(self) -> dict[str, Any]:
        """Leave customers' texts out of a pickle."""
        return {"embed": self.embed, "_asked": [], "_found": None}
