"""Trains an adapter of a language model on episodes: it learns to read tables in context.

Knows torch, peft and episodes as token ids; knows nothing of tables, prompt files or folders of
adapters. What is trained depends on the episodes, the settings and the seed alone: a run that was
killed goes on from its checkpoint, on a CPU to the same bytes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from promptpredict.episodecards import EpisodeJudged, EpisodeTuning
from promptpredict.episodes import Episode, Episodes
from promptpredict.errors import ModelError
from promptpredict.lm import CausalLM
from promptpredict.trainee import Trainee

HELD = 32  # episodes that nobody is trained on
_JUDGED = (0, 1, 4, 16)  # shots
_WARM = 0.03  # share of the steps in which the learning rate rises, before it falls to 0
_WORKERS = 12  # processes, at most, that write episodes while a GPU learns from others


class Practice:
    """Trains an adapter of ``lm``, whose weights are plain and stay as they are.

    ``checkpoint`` is the file that keeps how far it is, ``key`` tells the run from any other. Raises
    ModelError for a model of which no adapter can be trained, DataError for a checkpoint of another run.
    """

    def __init__(
        self,
        lm: CausalLM,
        episodes: Episodes,
        tuning: EpisodeTuning,
        *,
        seed: int,
        checkpoint: Path,
        key: str,
    ) -> None:
        """Put an adapter that changes nothing into the model, or take up the checkpoint."""
        self.lm, self.episodes, self.tuning = lm, episodes, tuning
        self.trainee = Trainee(lm, tuning, seed=seed, checkpoint=checkpoint, key=key)
        self._steps = -(-tuning.episodes // tuning.batch)
        kept = self.trainee.take_up("tables, another model or options")
        self.step: int = kept.get("step", 0)
        self.tokens: int = kept.get("tokens", 0)
        self.before = [EpisodeJudged(**each) for each in kept.get("before", ())]

    @property
    def left(self) -> int:
        """How many episodes are still to be gone through."""
        return (self._steps - self.step) * self.tuning.batch

    def run(
        self,
        progress: Callable[[int], object] = lambda _: None,
    ) -> None:
        """Train on all episodes that are left."""
        self.before = self.before or self.judged()
        for some in self._batches():
            self._learn(some)
            progress(self.tuning.batch)
            if self.trainee.due:
                self._save()
        self._save()

    @torch.no_grad()
    def judged(self) -> list[EpisodeJudged]:
        """Return how well labels are told behind so many shots, in episodes that nobody learns from.

        These stand behind all that are trained on.
        """
        losses: dict[int, list[float]] = {shots: [] for shots in _JUDGED}
        rights: dict[int, list[float]] = {shots: [] for shots in _JUDGED}
        first = self._steps * self.tuning.batch
        for start in range(first, first + HELD, self.tuning.batch):
            end = min(start + self.tuning.batch, first + HELD)
            some = [self.episodes[place] for place in range(start, end)]
            states = self._states(some)
            for row, each in enumerate(some):
                for shots in set(_JUDGED).intersection(range(len(each.decisions))):
                    decision = each.decisions[shots]
                    if len({*decision.first}) < len(decision.first):
                        continue  # its words begin alike
                    wanted = sorted(decision.first)
                    state = states[row, decision.position - 1][None]
                    logits, _ = self.lm.outputs.logits(state, wanted)
                    found = logits[0, [wanted.index(token) for token in decision.first]].double()
                    losses[shots].append(-float(found.log_softmax(0)[decision.column]))
                    rights[shots].append(float(found.argmax() == decision.column))
        self._check_finite(sum(map(sum, losses.values())))
        return [
            EpisodeJudged(
                shots=shots,
                episodes=len(losses[shots]),
                log_loss=float(np.mean(losses[shots])),
                accuracy=float(np.mean(rights[shots])),
            )
            for shots in _JUDGED
            if losses[shots]
        ]

    # -- a step ----------------------------------------------------------------------------

    def _batches(self) -> Iterator[list[Episode]]:
        """Yield the episodes of each step that is left, written by other processes beside a GPU."""
        places = range(self.step * self.tuning.batch, self._steps * self.tuning.batch)
        size = self.tuning.batch
        if self.lm.device.type != "cuda":
            each = (self.episodes[place] for place in places)
            yield from iter(lambda: list(islice(each, size)), [])
            return
        from torch.utils.data import DataLoader

        yield from DataLoader(
            _Places(self.episodes, places),  # type: ignore[arg-type]
            batch_size=size,
            collate_fn=list,
            num_workers=_workers(),
            prefetch_factor=4,
            multiprocessing_context="fork",  # a tokenizer cannot be sent
        )

    def _learn(self, some: Sequence[Episode]) -> None:
        """Learn from some episodes."""
        self.trainee.begin_step(self.step, self._steps, warm=_WARM)
        states = self._states(some)
        rows, positions, truth = [], [], []
        for row, each in enumerate(some):
            for decision in each.decisions:
                for at, token in enumerate(decision.word):
                    rows.append(row)
                    positions.append(decision.position - 1 + at)  # logits at t predict token t + 1
                    truth.append(token)
        logits = self.lm.outputs.every(states[rows, positions])  # (m, vocabulary)
        target = torch.tensor(truth, device=logits.device)
        loss = torch.nn.functional.cross_entropy(logits, target)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = self.trainee.end_step()
        if self.step % 50 == 0:  # a GPU is not waited for often
            self._check_finite(float(norm))
        self.step += 1
        self.tokens += sum(len(each.ids) for each in some)

    def _check_finite(self, value: float) -> None:
        if not np.isfinite(value):
            raise ModelError(
                f"{self.lm.name}: the loss is not finite after {self.step * self.tuning.batch:,} "
                "episodes; possible: a smaller --learning-rate"
            )

    def _states(self, some: Sequence[Episode]) -> torch.Tensor:
        """Return the last states (b, s, d) of episodes; padding stands behind and is seen by nobody."""
        width = max(len(each.ids) for each in some)
        ids = torch.zeros(len(some), width, dtype=torch.long)
        for row, each in enumerate(some):
            ids[row, : len(each.ids)] = torch.tensor(each.ids)
        output = self.lm.model.get_decoder()(input_ids=ids.to(self.lm.device), use_cache=False)
        states: torch.Tensor = output.last_hidden_state
        return states

    def _save(self) -> None:
        before = [each.model_dump() for each in self.before]
        self.trainee.save(step=self.step, tokens=self.tokens, before=before)


class _Places:
    """Some places of a list of episodes, as torch's loader asks for them."""

    def __init__(self, episodes: Episodes, places: range) -> None:
        self.episodes, self.places = episodes, places

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, at: int) -> Episode:
        return self.episodes[self.places[at]]


def _workers() -> int:
    return max(1, min(_WORKERS, (os.cpu_count() or 2) - 2))
