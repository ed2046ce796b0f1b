"""A block that is read elsewhere: what goes there, what is read, and what comes back.

Knows blocks, prompts and the ledger; knows nothing of what carries them. With a block goes what the
ledger knows of its prompts; back come the entries that are new, and the faults of prompts that have
none. Whoever scores the block afterwards finds every prompt among them.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from promptpredict.blockwise import blocks_of, scored_block, shots_of
from promptpredict.checking import Given
from promptpredict.durable import NOT_FINITE, Durable
from promptpredict.encoders import Embedder
from promptpredict.ledger import Entry, Ledger, key_of
from promptpredict.models import Source
from promptpredict.records import Block
from promptpredict.rendered import Prompt
from promptpredict.scores import Journal, Labels, LanguageModel, Scores, each_labels

Known = dict[bytes, Entry]
Read = tuple[Known, dict[bytes, str]]  # new entries, and the faults of prompts without one


@dataclass(frozen=True)
class Job:
    """What every process of a run has to know; ``identity`` is that of the ledger's keys."""

    given: Given
    source: Source
    ledger: Path
    identity: str
    run: int
    threads: int | None

    def blocks(self) -> Iterator[dict[str, Any]]:
        """Read the table; give each block with what the ledger knows of its prompts."""
        shots = shots_of(self.given, _embedder(self.given))
        ledger = Ledger(self.ledger)
        for block in blocks_of(self.given):
            asked = _Asked(self.identity)
            scored_block(asked, self.given, block, shots)
            yield {"index": block.index, "work": pickle.dumps((block, ledger.get(asked.keys)))}
        ledger.close()


class ReadingActor:
    """An actor with a language model of its own."""

    def __init__(self, job: Job) -> None:
        """Load the language model."""
        from promptpredict.loading import load_language_model

        if job.threads:
            import torch

            torch.set_num_threads(job.threads)
        options = job.given.options
        self.job = job
        self.shots = shots_of(job.given, _embedder(job.given))
        self.lm: LanguageModel = load_language_model(
            job.source, dtype=options.dtype, device=options.device, say=lambda _: None
        )

    def __call__(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Read what is new of a block."""
        block, known = pickle.loads(row["work"])
        return {"index": row["index"], "found": pickle.dumps(self.read(block, known))}

    def read(self, block: Block, known: Known) -> Read:
        """Return what the block's prompts need and nobody knows yet."""
        ledger = Ledger()
        ledger.put((key, each) for key, each in known.items() if each.run != self.job.run)
        ledger.run = self.job.run
        ledger.put((key, each) for key, each in known.items() if each.run == self.job.run)
        noted = _Noted(self.lm, self.job.identity)
        durable = Durable(noted, ledger, identity=self.job.identity)
        scored_block(durable, self.job.given, block, self.shots)
        found = ledger.get(noted.keys)
        return {key: each for key, each in found.items() if key not in known}, noted.faults


def scored(job: Job, prompts: Sequence[Prompt], labels: Labels | Sequence[Labels]) -> Scores:
    """Read prompts of no block, by a language model that is loaded for them."""
    return ReadingActor(job).lm.score(prompts, labels)


# -- language models in between ------------------------------------------------------------------


class _Asked:
    """Answers nothing, and notes what it was asked."""

    name = "asked"

    def __init__(self, identity: str) -> None:
        self.identity = identity
        self.keys: list[bytes] = []

    def score(
        self, prompts: Sequence[Prompt], labels: Labels | Sequence[Labels], **_: Any
    ) -> Scores:
        every = each_labels(labels, len(prompts))
        self.keys += [key_of(self.identity, *each) for each in zip(prompts, every, strict=True)]
        count = len(every[0].words) if every else len(labels.words)  # type: ignore[union-attr]
        return nothing(len(prompts), count, {})


class _Noted:
    """A language model; notes what it was asked, and which prompts have no score."""

    def __init__(self, lm: LanguageModel, identity: str) -> None:
        self.lm, self.name, self.identity = lm, lm.name, identity
        self.journals = getattr(lm, "journals", False)
        self.keys: list[bytes] = []
        self.faults: dict[bytes, str] = {}

    def score(
        self,
        prompts: Sequence[Prompt],
        labels: Labels | Sequence[Labels],
        *,
        progress: Callable[[int], object] | None = None,
        journal: Journal | None = None,
    ) -> Scores:
        given: dict[str, Any] = {"journal": journal} if journal else {}
        scores = self.lm.score(prompts, labels, progress=progress, **given)
        every = each_labels(labels, len(prompts))
        keys = [key_of(self.identity, *each) for each in zip(prompts, every, strict=True)]
        self.keys += keys
        for row in np.flatnonzero(~np.isfinite(scores.logprobs).all(axis=1)).tolist():
            self.faults[keys[row]] = scores.faults.get(row, NOT_FINITE)
        return scores


def nothing(rows: int, labels: int, faults: dict[int, str]) -> Scores:
    """Return scores of prompts that have none."""
    return Scores(
        logprobs=np.full((rows, labels), np.nan, np.float32),
        mass=np.full(rows, np.nan, np.float32),
        hidden=np.empty((rows, 0), np.float32),
        truncated=np.zeros(rows, bool),
        faults=faults,
        tokens=0,
    )


def _embedder(given: Given) -> Embedder:
    return Embedder(given.options.encoder, device=given.options.device)
