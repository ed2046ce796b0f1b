"""Trains an adapter of a language model on labelled prompts: steps, epochs, early stopping.

Knows torch and prompts as token ids; knows nothing of tables, prompt files or folders of adapters.
What is trained depends on the prompts, the settings and the seed alone: a run that was killed goes
on from its checkpoint to the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from promptpredict.adapters import Tuning
from promptpredict.batching import Fitted
from promptpredict.errors import ModelError
from promptpredict.lm import CausalLM
from promptpredict.objective import balanced, label_logprobs, loss_of, with_gradients
from promptpredict.trainee import Trainee

_WARM = 0.1  # share of the steps in which the learning rate rises, before it falls to 0


@dataclass(frozen=True)
class Lessons:
    """Labelled prompts as a language model reads them, by row.

    ``columns`` are the places of their labels among ``labels``; ``train`` and ``held`` are rows, of
    which the latter say when to stop.
    """

    fitted: Mapping[int, Fitted]
    columns: Mapping[int, int]
    labels: Sequence[str]
    train: Sequence[int]
    held: Sequence[int]


@dataclass
class _State:
    """How far training is: steps done, held-out losses from before the first epoch on, the best."""

    step: int = 0
    losses: list[float] = field(default_factory=list)
    best: list[torch.Tensor] = field(default_factory=list)
    before: torch.Tensor = field(default_factory=lambda: torch.empty(0))


class Training:
    """Trains an adapter of ``lm``, whose weights are plain and stay as they are.

    ``checkpoint`` is the file that keeps how far it is, ``key`` tells the run from any other. Raises
    ModelError for a model of which no adapter can be trained, DataError for a checkpoint of another run.
    """

    def __init__(
        self,
        lm: CausalLM,
        lessons: Lessons,
        tuning: Tuning,
        *,
        seed: int,
        checkpoint: Path,
        key: str,
    ) -> None:
        """Put an adapter that changes nothing into the model, or take up the checkpoint."""
        self.lm, self.lessons, self.tuning, self._seed = lm, lessons, tuning, seed
        self.trainee = Trainee(lm, tuning, seed=seed, checkpoint=checkpoint, key=key)
        with_gradients(lm)
        columns = np.array([lessons.columns[row] for row in lessons.train])
        k = len(lessons.labels)
        self._weights = balanced(columns, k) if tuning.balance else np.ones(k)
        self._steps = -(-len(lessons.train) // tuning.batch)  # of an epoch
        self._state = _State(**self.trainee.take_up("rows, another prompt file, model or options"))

    @property
    def left(self) -> int:
        """How many rows are still to be gone through, if training does not end before."""
        done, within = divmod(self._state.step, self._steps)
        rows = (self.tuning.epochs - done) * len(self.lessons.train)
        return rows - within * self.tuning.batch

    def run(self, progress: Callable[[int], object] = lambda _: None) -> None:
        """Train until the held-out rows say that it is enough."""
        if not self._state.losses:
            self._judge()
        while not self._over():
            progress(self._take_step())
            if self._state.step % self._steps == 0:
                self._judge()
            elif self.trainee.due:
                self._save()
        self.trainee.put(self._state.best)

    @property
    def epochs(self) -> int:
        """How many epochs have been trained."""
        return len(self._state.losses) - 1

    @property
    def best(self) -> int:
        """After which epoch the held-out rows were best; 0 is before the first."""
        return int(np.argmin(self._state.losses))

    @property
    def before(self) -> npt.NDArray[np.float64]:
        """The label log-probabilities (m, k) of the held-out rows before the first step."""
        return np.asarray(self._state.before.numpy(), dtype=np.float64)

    # -- an epoch --------------------------------------------------------------------------

    def _take_step(self) -> int:
        """Learn from the next rows; return how many these are."""
        rows = self._rows()
        self.trainee.begin_step(self._state.step, self._steps * self.tuning.epochs, warm=_WARM)
        fitted = {row: self.lessons.fitted[row] for row in rows}
        for some, logprobs in label_logprobs(self.lm, fitted, self.lessons.labels):
            (self._loss(some, logprobs) / len(rows)).backward()  # type: ignore[no-untyped-call]
        self.trainee.end_step()
        self._state.step += 1
        return len(rows)

    def _rows(self) -> list[int]:
        """Return the rows of the next step: each epoch has an order of its own."""
        epoch, at = divmod(self._state.step, self._steps)
        order = np.random.default_rng([self._seed, epoch]).permutation(len(self.lessons.train))
        chosen = order[at * self.tuning.batch : (at + 1) * self.tuning.batch]
        return [self.lessons.train[place] for place in chosen]

    def _loss(self, rows: Sequence[int], logprobs: torch.Tensor) -> torch.Tensor:
        return loss_of(logprobs, [self.lessons.columns[row] for row in rows], self._weights)

    @torch.no_grad()
    def _judge(self) -> None:
        """Find the loss of the held-out rows, and keep the weights where it is the least so far."""
        held = self.lessons.held
        found: dict[int, torch.Tensor] = {}
        fitted = {row: self.lessons.fitted[row] for row in held}
        for rows, logprobs in label_logprobs(self.lm, fitted, self.lessons.labels):
            found |= dict(zip(rows, logprobs.float().cpu(), strict=True))
        logprobs = torch.stack([found[row] for row in held])
        loss = float(self._loss(held, logprobs)) / len(held)
        state = self._state
        if not np.isfinite(loss):
            raise ModelError(
                f"{self.lm.name}: the loss is not finite after epoch {len(state.losses)}; possible: "
                "a smaller --learning-rate"
            )
        if not state.losses:
            state.before = logprobs
        if loss < min(state.losses, default=np.inf):
            state.best = [each.detach().clone() for each in self.trainee.parameters]
        state.losses.append(loss)
        self._save()

    def _over(self) -> bool:
        return self.epochs >= self.tuning.epochs or self.epochs - self.best >= self.tuning.patience

    def _save(self) -> None:
        self.trainee.save(**vars(self._state))
