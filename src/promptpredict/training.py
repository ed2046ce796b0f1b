"""Trains an adapter of a language model on labelled prompts: steps, epochs, early stopping.

Knows torch and prompts as token ids; knows nothing of tables, prompt files or folders of adapters.
Label words are not as frequent as labels are, by whole nats: a shift of each label's log-probability
takes that away before the first step, so that none is spent on it. Calibration finds its own.
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
from sklearn.utils.class_weight import compute_class_weight

from promptpredict.adapters import Tuning
from promptpredict.batching import Fitted
from promptpredict.errors import ModelError
from promptpredict.lm import CausalLM
from promptpredict.objective import label_logprobs, levelled, losses_of, with_gradients
from promptpredict.trainee import Trainee

_WARM = 0.1  # share of the steps in which the learning rate rises, before it falls to 0
_LEVELLED = 128  # rows at most that tell how frequent label words are
_ASTRAY = np.log(2)  # nats: of one row gone far astray the mean is a standard error, however far


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
    """How far training is: steps done, the losses (m,) of the held-out rows from before the first epoch on.

    ``kept`` is the epoch whose ``weights`` are kept, 0 before the first; ``before`` (m, k) are the
    held-out rows' label log-probabilities then, ``shift`` (k,) what is added to everybody's.
    """

    step: int = 0
    losses: list[torch.Tensor] = field(default_factory=list)
    kept: int = 0
    weights: list[torch.Tensor] = field(default_factory=list)
    before: torch.Tensor = field(default_factory=lambda: torch.empty(0))
    shift: torch.Tensor = field(default_factory=lambda: torch.empty(0))


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
        kind = "balanced" if tuning.balance else None
        self._weights = compute_class_weight(kind, classes=np.arange(k), y=columns)
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
            self._level()
            self._judge()
        while not self._over():
            progress(self._take_step())
            if self._state.step % self._steps == 0:
                self._judge()
            elif self.trainee.due:
                self._save()
        self.trainee.put(self._state.weights)

    @property
    def epochs(self) -> int:
        """How many epochs have been trained."""
        return len(self._state.losses) - 1

    @property
    def kept(self) -> int:
        """Which epoch is kept: the last that was no worse on the held-out rows; 0 is before the first."""
        return self._state.kept

    @property
    def before(self) -> npt.NDArray[np.float64]:
        """The label log-probabilities (m, k) of the held-out rows before the first step."""
        return np.asarray(self._state.before.numpy(), dtype=np.float64)

    @property
    def shift(self) -> npt.NDArray[np.float64]:
        """What is added to label log-probabilities (k,) while training, for how frequent the words are."""
        return np.asarray(self._state.shift.numpy(), dtype=np.float64)

    # -- an epoch --------------------------------------------------------------------------

    def _take_step(self) -> int:
        """Learn from the next rows; return how many these are."""
        rows = self._rows()
        self.trainee.begin_step(self._state.step, self._steps * self.tuning.epochs, warm=_WARM)
        fitted = {row: self.lessons.fitted[row] for row in rows}
        for some, logprobs in label_logprobs(self.lm, fitted, self.lessons.labels):
            (self._losses(some, logprobs).sum() / len(rows)).backward()  # type: ignore[no-untyped-call]
        self.trainee.end_step()
        self._state.step += 1
        return len(rows)

    def _rows(self) -> list[int]:
        """Return the rows of the next step: each epoch has an order of its own."""
        epoch, at = divmod(self._state.step, self._steps)
        order = np.random.default_rng([self._seed, epoch]).permutation(len(self.lessons.train))
        chosen = order[at * self.tuning.batch : (at + 1) * self.tuning.batch]
        return [self.lessons.train[place] for place in chosen]

    def _losses(self, rows: Sequence[int], logprobs: torch.Tensor) -> torch.Tensor:
        shifted = logprobs + self._state.shift.to(logprobs)
        return losses_of(shifted, [self.lessons.columns[row] for row in rows], self._weights)

    @torch.no_grad()
    def _read(self, rows: Sequence[int]) -> torch.Tensor:
        """Return the label log-probabilities (m, k) of rows."""
        found: dict[int, torch.Tensor] = {}
        fitted = {row: self.lessons.fitted[row] for row in rows}
        for some, logprobs in label_logprobs(self.lm, fitted, self.lessons.labels):
            found |= dict(zip(some, logprobs.float().cpu(), strict=True))
        return torch.stack([found[row] for row in rows])

    def _level(self) -> None:
        """Find the shift of each label, on rows that train: of each as many, as one may be rare."""
        train, k = np.array(self.lessons.train), len(self.lessons.labels)
        columns = np.array([self.lessons.columns[row] for row in self.lessons.train])
        order = np.random.default_rng(self._seed).permutation(len(train))
        each = [order[columns[order] == label][: max(_LEVELLED // k, 1)] for label in range(k)]
        drawn = np.concatenate(each)
        counts, found = (np.bincount(some, minlength=k) for some in (columns, columns[drawn]))
        weights = self._weights * counts / found  # those drawn stand for all of their label
        shift = levelled(self._read(train[drawn].tolist()), columns[drawn], weights)
        self._state.shift = torch.from_numpy(shift)

    def _judge(self) -> None:
        """Find the losses of the held-out rows, and keep the weights where these are no worse."""
        state, logprobs = self._state, self._read(self.lessons.held)
        losses = self._losses(self.lessons.held, logprobs.double())
        if not losses.isfinite().all():
            raise ModelError(
                f"{self.lm.name}: the loss is not finite after epoch {len(state.losses)}; possible: "
                "a smaller --learning-rate"
            )
        if not state.losses:
            state.before = logprobs
        state.losses.append(losses)
        if no_worse(losses, min(state.losses, key=torch.mean)):
            state.kept = self.epochs
            state.weights = [each.detach().clone() for each in self.trainee.parameters]
        self._save()

    def _over(self) -> bool:
        return self.epochs >= self.tuning.epochs or self.epochs - self.kept >= self.tuning.patience

    def _save(self) -> None:
        self.trainee.save(**vars(self._state))


def no_worse(losses: torch.Tensor, best: torch.Tensor) -> bool:
    """Whether losses (m,) are no higher than the ``best`` (m,) by more than a standard error.

    Few rows cannot tell epochs apart. Of those that they cannot, the last has learned the most, at the
    lowest learning rate.
    """
    more = losses - best
    return bool(more.mean() <= min(more.std() / len(more) ** 0.5, _ASTRAY))
