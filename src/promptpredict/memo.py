"""A language model that remembers: each prompt is read once, whoever asks.

Knows prompts, scores and the ledger; knows nothing of approaches. Prompts can be collected before
they are read: a run then knows what it will cost, and reads them in the order that shares most.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import compress
from typing import Any

import numpy as np
import numpy.typing as npt

from promptpredict.ledger import Entry, Ledger, key_of
from promptpredict.rendered import Prompt
from promptpredict.scores import Array, Labels, LanguageModel, Scores, each_labels

_CHUNK = 512  # prompts between two entries in the ledger: what an interruption can cost
Gist = tuple[Array, npt.NDArray[np.bool_]]  # label mass (n,), and whether a prompt was cut (n,)


class Memo:
    """Wraps a language model; ``score`` asks it only for prompts that are new.

    ``identity`` tells the model, its weights and its dtype from any other, in the keys of the
    ledger. ``cost`` are the seconds, and ``tokens`` the tokens, that all prompts asked for would
    have taken by themselves, remembered ones too: what an approach costs; ``waited`` are the
    seconds really spent, ``passes`` the prompts that the model read; ``gists`` label mass and what
    was cut of the last 64 answers.
    """

    def __init__(
        self,
        lm: LanguageModel,
        *,
        name: str = "",
        identity: str = "",
        ledger: Ledger | None = None,
    ) -> None:
        """Wrap a language model; what the ledger holds is known."""
        self.lm = lm
        self.name = name or lm.name
        self.identity = identity or lm.name
        self.cost = self.tokens = self.waited = 0.0
        self.passes = self.tokens_read = 0
        self.gists: deque[Gist] = deque(maxlen=64)
        self._ledger = ledger or Ledger()
        self._known: dict[bytes, Entry] = {}
        self._collected: dict[bytes, tuple[Prompt, Labels]] | None = None
        self._wanted: dict[bytes, tuple[Prompt, Labels]] = {}
        self._asked: set[bytes] = set()
        self._collections = 0
        self._faults: dict[bytes, str | None] = {}  # of prompts that were not read yet
        self._counted: dict[bytes, int] = {}  # → the collection that it was first counted for

    def __sklearn_clone__(self) -> Memo:
        """Return itself: a grid of parameters shares what is known."""
        return self

    def score(
        self,
        prompts: Sequence[Prompt],
        labels: Labels | Sequence[Labels],
        *,
        progress: Callable[[int], object] | None = None,
    ) -> Scores:
        """Return the scores of prompts in order, reading those that are new.

        ``tokens`` counts what was read for this call.
        """
        if not prompts:
            return self.lm.score([], labels, progress=progress)
        every = each_labels(labels, len(prompts))
        keys = [self._digest(*each) for each in zip(prompts, every, strict=True)]
        asked = dict(zip(keys, zip(prompts, every, strict=True), strict=True))
        if self._collected is not None:  # collecting
            self._collected |= asked
            self._new(asked)
            return _guess(keys, len(every[0].words), [self._fault(key, asked) for key in keys])
        self._asked |= asked.keys()
        new = self._new(asked)
        if progress:
            progress(len(prompts) - len(new))
        tokens = self._read(new, progress)
        found = [self._known[key] for key in keys]
        together = not isinstance(labels, Labels)
        read = [entry.shared if together else entry.alone for entry in found]
        self.tokens += sum(read)
        rates = [entry.rate for entry in found]
        self.cost += sum(count * rate for count, rate in zip(read, rates, strict=True))
        scores = _scores(found, tokens)
        self.gists.append((scores.mass, scores.truncated))
        return scores

    @property
    def collecting(self) -> bool:
        """Whether prompts are collected at this moment, and scores mean nothing."""
        return self._collected is not None

    def collect(self, ask: Callable[[], object]) -> int:
        """Let ``ask`` ask without reading, and return how many distinct prompts it needs.

        Until then ``score`` gives numbers that mean nothing. What was collected is kept for
        ``read_collected``.
        """
        self._collected = self._wanted = {}
        self._collections += 1
        try:
            ask()
        finally:
            self._collected = None
        return len(self._wanted)

    def new(self) -> list[tuple[Prompt, Labels]]:
        """Return what was collected and is not known yet, in the order in which it is read."""
        chunks = self._chunks(self._new(self._wanted))
        return [each for part in chunks for each in part.values()]

    @property
    def count(self) -> int:
        """Return how many distinct prompts were ever asked for, other than to collect them."""
        return len(self._asked)

    def count_new(self) -> int:
        """Return how many tokens ``read_collected`` would read, as the model counts them.

        What was counted for an earlier collection is left out: of several runs that are planned,
        the first that needs a prompt reads it.
        """
        count = getattr(self.lm, "count", None)
        if count is None:
            raise TypeError(f"{self.name} does not count tokens")
        new, now = self._new(self._wanted), self._collections
        fresh = {key: new[key] for key in new if self._counted.setdefault(key, now) == now}
        return sum(
            count([p for p, _ in part.values()], [each for _, each in part.values()])
            for part in self._chunks(fresh)
        )

    def read_collected(self, progress: Callable[[int], object] | None = None) -> bool:
        """Read what was collected and is not known yet; return whether a prompt of it has a fault."""
        new = self._new(self._wanted)
        self._asked |= self._wanted.keys()
        self._read(new, progress)
        return any(self._known[key].fault for key in new)

    def _fault(self, key: bytes, asked: Mapping[bytes, tuple[Prompt, Labels]]) -> str | None:
        """Return why a prompt cannot be read, as far as that is known before it is."""
        if key in self._known:
            return self._known[key].fault
        find = getattr(self.lm, "fault", None)
        if key not in self._faults:
            self._faults[key] = find(*asked[key]) if find else None
        return self._faults[key]

    def _new(self, asked: Mapping[bytes, tuple[Prompt, Labels]]) -> dict[bytes, Any]:
        """Return those that are not known, having looked into the ledger."""
        unknown = [key for key in asked if key not in self._known]
        self._known |= self._ledger.get(unknown)
        return {key: asked[key] for key in unknown if key not in self._known}

    def _read(
        self,
        new: Mapping[bytes, tuple[Prompt, Labels]],
        progress: Callable[[int], object] | None,
    ) -> int:
        """Score prompts and remember them; return the tokens."""
        return sum(self._read_chunk(part, progress) for part in self._chunks(new))

    def _chunks(self, new: Mapping[bytes, tuple[Prompt, Labels]]) -> Iterator[dict[bytes, Any]]:
        """Yield prompts in parts, those side by side that begin alike and have as many labels."""
        order = sorted(new, key=lambda key: _place(new[key][0]))
        for width in sorted({len(labels.words) for _, labels in new.values()}):
            keys = [key for key in order if len(new[key][1].words) == width]
            for start in range(0, len(keys), _CHUNK):
                yield {key: new[key] for key in keys[start : start + _CHUNK]}

    def _read_chunk(
        self,
        new: Mapping[bytes, tuple[Prompt, Labels]],
        progress: Callable[[int], object] | None,
    ) -> int:
        prompts, labels = [prompt for prompt, _ in new.values()], [each for _, each in new.values()]
        same = all(each == labels[0] for each in labels)
        start = time.perf_counter()
        scores = self.lm.score(prompts, labels[0] if same else labels, progress=progress)
        spent = time.perf_counter() - start
        self.waited += spent
        self.passes += len(new)
        self.tokens_read += scores.tokens
        read = scores.read
        if read is None:
            read = np.full((len(new), 2), scores.tokens / len(new))
        rate = spent / max(scores.tokens, 1)
        entries = {
            key: Entry(
                scores.logprobs[row],
                scores.hidden[row],
                float(scores.mass[row]),
                bool(scores.truncated[row]),
                scores.faults.get(row),
                float(read[row][0]),
                float(read[row][1]),
                rate,
            )
            for row, key in enumerate(new)
        }
        # What is not finite may be so for want of memory: a later run asks again, as in `Durable`.
        sound = [bool(np.isfinite(row).all()) for row in scores.logprobs]
        self._ledger.put(compress(entries.items(), sound))
        self._known |= entries
        return scores.tokens

    def _digest(self, prompt: Prompt, labels: Labels) -> bytes:
        return key_of(self.identity, prompt, labels)


def _place(prompt: Prompt) -> tuple[str, ...]:
    """Return by what prompts are put in order, so that neighbours begin alike."""
    turns = [text for turn in prompt.shots for text in (turn.user, turn.reply)]
    return (prompt.system, *turns, prompt.user, prompt.answer)


def _scores(found: Sequence[Entry], tokens: int) -> Scores:
    return Scores(
        logprobs=np.stack([entry.logprobs for entry in found]),
        mass=np.array([entry.mass for entry in found], np.float32),
        hidden=np.stack([entry.hidden for entry in found]),
        truncated=np.array([entry.truncated for entry in found]),
        faults={index: entry.fault for index, entry in enumerate(found) if entry.fault},
        tokens=tokens,
        read=np.array([(entry.alone, entry.shared) for entry in found], np.float32),
    )


def _guess(keys: Sequence[bytes], labels: int, faults: Sequence[str | None]) -> Scores:
    """Return numbers of the right shape, no two rows alike, so that fits on them go through."""
    # a key has 32 bytes, and a prompt file may have more labels
    rows = np.array([np.resize(list(key), labels + 1) for key in keys], np.float32)  # (n, k + 1)
    return Scores(
        logprobs=rows[:, :labels],
        mass=np.ones(len(keys), np.float32),
        hidden=rows,
        truncated=np.zeros(len(keys), bool),
        faults={row: fault for row, fault in enumerate(faults) if fault},
        tokens=0,
    )
