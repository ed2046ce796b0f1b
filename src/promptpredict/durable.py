"""A language model whose answers outlive the run: what a ledger holds is not read again.

Knows prompts, scores and the ledger; knows nothing of tables or files beside it. A run that is
resumed gives the same bytes as one that was not interrupted: which prompts share a batch
depends on those that no earlier run had answered, whether this one has answered them already or not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from promptpredict.ledger import Entry, Ledger, key_of
from promptpredict.passes import BLOCK_ROWS
from promptpredict.rendered import Prompt
from promptpredict.scores import Array, Labels, LanguageModel, Scores, each_labels

NOT_FINITE = "the language model gave log-probabilities that are not finite"
_NO_STATES = np.empty(0, np.float32)  # they would make a ledger a hundred times as large


class Durable:
    """Wraps a language model; a prompt that the ledger knows is not read.

    ``identity`` tells the model, its weights and its dtype from any other. ``read`` counts the
    prompts that were read, ``known`` those that earlier runs had read. Its scores have no hidden
    states.
    """

    def __init__(self, lm: LanguageModel, ledger: Ledger, *, identity: str) -> None:
        """Wrap a language model."""
        self.lm, self.name, self.identity = lm, lm.name, identity
        self.read = self.known = 0
        self._ledger = ledger

    def score(
        self,
        prompts: Sequence[Prompt],
        labels: Labels | Sequence[Labels],
        *,
        progress: Callable[[int], object] | None = None,
    ) -> Scores:
        """Return the scores of prompts in order, reading those that are new."""
        every = each_labels(labels, len(prompts))
        if not prompts:
            return self.lm.score([], labels)
        keys = [key_of(self.identity, *each) for each in zip(prompts, every, strict=True)]
        found = self._ledger.get(keys)
        self._ledger.mark(found)
        places = {key: place for place, key in reversed(list(enumerate(keys)))}  # the first of each
        earlier = {key for key in places if key in found and found[key].run != self._ledger.run}
        new = sorted(place for key, place in places.items() if key not in earlier)
        self.known += sum(key in earlier for key in keys)
        if progress:
            progress(len(prompts) - len(new))
        faults: dict[bytes, str] = {}
        tokens = 0
        for start in range(0, len(new), BLOCK_ROWS):
            some = new[start : start + BLOCK_ROWS]
            page = _Page(self._ledger, [keys[place] for place in some], found)
            asked = [prompts[place] for place in some]
            scores = self._ask(asked, [every[place] for place in some], page, progress)
            faults |= {page.keys[row]: fault for row, fault in scores.faults.items()}
            tokens += scores.tokens
            self.read += page.read
        return _joined(keys, found, faults, len(every[0].words), tokens)

    def _ask(
        self,
        prompts: Sequence[Prompt],
        labels: Sequence[Labels],
        page: _Page,
        progress: Callable[[int], object] | None,
    ) -> Scores:
        asked = labels[0] if all(each == labels[0] for each in labels) else labels
        if getattr(self.lm, "journals", False):
            given = {"progress": progress, "journal": page}
            return self.lm.score(prompts, asked, **given)  # type: ignore[arg-type]
        rows = range(len(prompts))
        if page.holds(rows):
            if progress:
                progress(len(prompts))
            return _joined(page.keys, page.found, {}, len(labels[0].words), 0)
        scores = self.lm.score(prompts, asked, progress=progress)
        page.keep(rows, scores)
        return scores


class _Page:
    """Some prompts that are read together, and what the ledger has of them (a Journal)."""

    def __init__(self, ledger: Ledger, keys: Sequence[bytes], found: dict[bytes, Entry]) -> None:
        self.keys, self.found = keys, found
        self.read = 0
        self._ledger = ledger

    def holds(self, rows: Sequence[int]) -> bool:
        return all(self.keys[row] in self.found for row in rows)

    def keep(self, rows: Sequence[int], scores: Scores) -> None:
        self.read += len(rows)
        # What is not finite may be so by chance, or for want of memory: it is asked again. What an
        # earlier block of the run has said of the same prompt stays: its rows have that score.
        sound: Any = np.isfinite(scores.logprobs).all(axis=1)
        entries = {
            self.keys[row]: _entry(
                scores.logprobs[at],
                float(scores.mass[at]),
                truncated=bool(scores.truncated[at]),
            )
            for at, row in enumerate(rows)
            if sound[at] and self.keys[row] not in self.found
        }
        self._ledger.put(entries.items())
        self.found |= entries


def _entry(logprobs: Array, mass: float, *, truncated: bool) -> Entry:
    return Entry(logprobs, _NO_STATES, mass, truncated, None, 0.0, 0.0, 0.0)


def _joined(
    keys: Sequence[bytes],
    found: Mapping[bytes, Entry],
    faults: Mapping[bytes, str],
    labels: int,
    tokens: int,
) -> Scores:
    """Return the scores of keys in order: from entries, else NaN with their fault."""
    faults = {key: NOT_FINITE for key in keys if key not in found} | dict(faults)
    blank = _entry(np.full(labels, np.nan, np.float32), np.nan, truncated=False)
    entries = [blank if key in faults else found[key] for key in keys]
    return Scores(
        logprobs=np.array([entry.logprobs for entry in entries], np.float32).reshape(-1, labels),
        mass=np.array([entry.mass for entry in entries], np.float32),
        hidden=np.empty((len(keys), 0), np.float32),
        truncated=np.array([entry.truncated for entry in entries], bool),
        faults={row: faults[key] for row, key in enumerate(keys) if key in faults},
        tokens=tokens,
    )
