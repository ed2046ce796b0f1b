"""The scores of a block while its batches come in, from the states of each batch on.

Knows tensors, label words and the output matrix; knows nothing of how states come about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from promptpredict.batching import Fitted
from promptpredict.outputs import Outputs, by_label, entry_logprobs
from promptpredict.passes import Branches
from promptpredict.prefix import sent
from promptpredict.scores import Journal, Scores
from promptpredict.words import WordIds


@dataclass(frozen=True)
class ReadRows:
    """What was read of some rows of a block, on the device of the model.

    ``logprobs`` (m, k), ``mass`` (m,) and ``hidden`` (m, 2d), as in ``Scores``.
    """

    rows: list[int]
    logprobs: torch.Tensor
    mass: torch.Tensor
    hidden: torch.Tensor


class Draft:
    """Arrays of a block's scores, filled batch by batch: ``rows`` prompts, ``labels``, states of ``width``.

    A ``journal`` counts rows from the first of the run; those of this block begin at ``start``.
    """

    def __init__(
        self,
        rows: int,
        labels: int,
        width: int,
        faults: dict[int, str],
        journal: Journal | None = None,
        start: int = 0,
    ) -> None:
        """Begin with nothing scored, but for the faults that there are."""
        self.logprobs = np.full((rows, labels), np.nan, dtype=np.float32)
        self.mass = np.full(rows, np.nan, dtype=np.float32)
        self.hidden = np.full((rows, width), np.nan, dtype=np.float32)
        self.truncated = np.zeros(rows, dtype=bool)
        self.read = np.zeros((rows, 2), dtype=np.float32)
        self.faults = faults
        self.held: set[int] = set()  # rows that the journal has, and that are not read
        self._journal, self._start = journal, start

    def holds(self, rows: Sequence[int]) -> bool:
        """Whether rows need not be read, as the journal has them all."""
        if not self._journal or not self._journal.holds([self._start + row for row in rows]):
            return False
        self.held |= set(rows)
        return True

    def take(self, parts: Sequence[ReadRows]) -> None:
        """Take what was read from the device, which is waited for; the journal keeps it."""
        for part in parts:
            self.logprobs[part.rows] = part.logprobs.cpu().numpy()
            self.mass[part.rows] = part.mass.cpu().numpy()
            self.hidden[part.rows] = part.hidden.cpu().numpy()
        rows = [row for part in parts for row in part.rows]
        if self._journal and rows:
            kept = self._scores({}, 0, rows)
            self._journal.keep([self._start + row for row in rows], kept)

    def note(self, branches: Branches, shared: int, fitted: Mapping[int, Fitted]) -> None:
        """Note how many tokens the rows of a tree took, each by itself and as its part of all."""
        for row, nodes in branches.nodes.items():
            alone = len(fitted[row].encoded.ids) - shared + len(nodes) - 1
            self.read[row] = alone, len(branches.tree) / len(branches.nodes)

    def scores(self, tokens: int) -> Scores:
        """Return the scores, with faults by their place in the whole run."""
        read = set(range(len(self.mass))) - self.held - self.faults.keys()
        for row in read:
            if not np.isfinite(self.logprobs[row]).all():
                self.faults[row] = "the language model gave logits that are not finite"
        faults = {self._start + row: self.faults[row] for row in sorted(self.faults)}
        return self._scores(faults, tokens, slice(None))

    def _scores(self, faults: dict[int, str], tokens: int, rows: list[int] | slice) -> Scores:
        return Scores(
            self.logprobs[rows],
            self.mass[rows],
            self.hidden[rows],
            self.truncated[rows],
            faults,
            tokens,
            self.read[rows],
        )


def read_rows(
    outputs: Outputs,
    states: torch.Tensor,
    places: Mapping[int, list[int]],
    pooled: torch.Tensor,
    fitted: Mapping[int, Fitted],
    keys: Mapping[int, list[str]],
) -> list[ReadRows]:
    """Return what states (p, d) say of rows at their places, the answer's first; ``pooled`` (r, d)."""
    # Side questions have words of their own, and many of the places in common: the output
    # matrix is gone through once for all of them.
    distinct = sorted({place for own in places.values() for place in own})
    index = {place: at for at, place in enumerate(distinct)}
    groups: dict[WordIds, list[int]] = {}
    for at, row in enumerate(places):
        groups.setdefault(fitted[row].encoded.words, []).append(at)
    wanted = sorted({t for words in groups for path in words.tree().steps for _, t in path})
    hidden = states[sent(np.array(distinct), states.device)]  # (p, d)
    logprobs = outputs.logprobs(hidden, wanted)  # (p, wanted)
    rows, parts = list(places), []
    for words, members in groups.items():
        own = [[index[place] for place in places[rows[member]]] for member in members]
        of = sent(np.array(own), states.device)  # (m, 1 + nodes)
        entries = entry_logprobs(logprobs[of], wanted, words.tree())  # (m, entries)
        labels = keys[rows[members[0]]]
        columns = [labels.index(entry.label) for entry in words.entries]
        parts.append(
            ReadRows(
                rows=[rows[member] for member in members],
                logprobs=by_label(entries, columns, len(labels)),
                mass=torch.logsumexp(entries, dim=1).exp(),
                hidden=torch.cat([hidden[of[:, 0]].float(), pooled[members]], dim=1),
            )
        )
    return parts
