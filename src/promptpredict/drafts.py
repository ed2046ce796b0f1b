"""The scores of a block while its batches come in.

Knows tensors and arrays of numbers; knows nothing of weights or attention.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from promptpredict.batching import Fitted
from promptpredict.passes import Branches
from promptpredict.scores import Scores


@dataclass(frozen=True)
class Part:
    """What was read of some rows of a block, on the device of the model.

    ``logprobs`` (m, k), ``mass`` (m,) and ``hidden`` (m, 2d), as in ``Scores``.
    """

    rows: list[int]
    logprobs: torch.Tensor
    mass: torch.Tensor
    hidden: torch.Tensor


class Draft:
    """Arrays of a block's scores, filled batch by batch: ``rows`` prompts, ``labels``, states of ``width``."""

    def __init__(self, rows: int, labels: int, width: int, faults: dict[int, str]) -> None:
        """Begin with nothing scored, but for the faults that there are."""
        self.logprobs = np.full((rows, labels), np.nan, dtype=np.float32)
        self.mass = np.full(rows, np.nan, dtype=np.float32)
        self.hidden = np.full((rows, width), np.nan, dtype=np.float32)
        self.truncated = np.zeros(rows, dtype=bool)
        self.read = np.zeros((rows, 2), dtype=np.float32)
        self.faults = faults

    def take(self, parts: Sequence[Part]) -> None:
        """Take what was read from the device; this waits for it."""
        for part in parts:
            self.logprobs[part.rows] = part.logprobs.cpu().numpy()
            self.mass[part.rows] = part.mass.cpu().numpy()
            self.hidden[part.rows] = part.hidden.cpu().numpy()

    def note(self, branches: Branches, shared: int, fitted: Mapping[int, Fitted]) -> None:
        """Note how many tokens the rows of a tree took, each by itself and as its part of all."""
        for row, nodes in branches.nodes.items():
            alone = len(fitted[row].encoded.ids) - shared + len(nodes) - 1
            self.read[row] = alone, len(branches.tree) / len(branches.nodes)

    def scores(self, faults: dict[int, str], tokens: int) -> Scores:
        """Return the scores, with faults by their place in the whole run."""
        return Scores(
            self.logprobs, self.mass, self.hidden, self.truncated, faults, tokens, self.read
        )
