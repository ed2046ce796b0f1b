"""Trains an adapter of a language model on labelled prompts: steps, early stopping, checkpoints.

Knows torch, peft and prompts as token ids; knows nothing of tables, prompt files or folders of
adapters. What is trained depends on the prompts, the settings and the seed alone: a run that was
killed goes on from its checkpoint to the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from promptpredict.adapters import Tuning
from promptpredict.batching import Fitted
from promptpredict.episodecards import Lora
from promptpredict.errors import DataError, ModelError
from promptpredict.lm import CausalLM
from promptpredict.merging import adapter_weights, quietly
from promptpredict.objective import balanced, label_logprobs, loss_of, with_gradients
from promptpredict.writing import whole

EVERY = 60.0  # seconds between checkpoints: what being killed can cost
_WARM = 0.1  # share of the steps in which the learning rate rises, before it falls to 0
_DECAY = 0.01  # weight decay
_NORM = 1.0  # longest gradient of a step
Weights = dict[str, torch.Tensor]


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
        import peft

        self.lm, self.lessons, self.tuning = lm, lessons, tuning
        self._seed, self._checkpoint, self._key = seed, checkpoint, key
        self.config = lora_config(lm, tuning)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)  # half of the adapter begins at random, the other at 0
            with quietly():
                self.adapted = peft.get_peft_model(lm.model, self.config)
        with_gradients(lm)
        self._parameters = [each for each in self.adapted.parameters() if each.requires_grad]
        self._optimizer = torch.optim.AdamW(
            self._parameters, lr=tuning.learning_rate, weight_decay=_DECAY
        )
        columns = np.array([lessons.columns[row] for row in lessons.train])
        k = len(lessons.labels)
        self._weights = balanced(columns, k) if tuning.balance else np.ones(k)
        self._steps = -(-len(lessons.train) // tuning.batch)  # of an epoch
        self._state = _State()
        self._take_up()
        self._saved = monotonic()

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
            elif monotonic() - self._saved > EVERY:
                self._save()
        self._put(self._state.best)

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

    def weights(self) -> Weights:
        """Return the weights of the adapter, under the names that peft reads."""
        return adapter_weights(self.adapted)

    # -- an epoch --------------------------------------------------------------------------

    def _take_step(self) -> int:
        """Learn from the next rows; return how many these are."""
        rows = self._rows()
        for group in self._optimizer.param_groups:
            group["lr"] = self.tuning.learning_rate * self._rate()
        self._optimizer.zero_grad()
        fitted = {row: self.lessons.fitted[row] for row in rows}
        for some, logprobs in label_logprobs(self.lm, fitted, self.lessons.labels):
            (self._loss(some, logprobs) / len(rows)).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._parameters, _NORM)
        self._optimizer.step()
        self._state.step += 1
        return len(rows)

    def _rows(self) -> list[int]:
        """Return the rows of the next step: each epoch has an order of its own."""
        epoch, at = divmod(self._state.step, self._steps)
        order = np.random.default_rng([self._seed, epoch]).permutation(len(self.lessons.train))
        chosen = order[at * self.tuning.batch : (at + 1) * self.tuning.batch]
        return [self.lessons.train[place] for place in chosen]

    def _rate(self) -> float:
        """Return the share of the learning rate: it rises, then falls to 0 with the last step."""
        whole = self._steps * self.tuning.epochs
        step = self._state.step
        return min(1.0, (step + 1) / max(1.0, whole * _WARM)) * (1 - step / whole)

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
            state.best = [each.detach().clone() for each in self._parameters]
        state.losses.append(loss)
        self._save()

    def _over(self) -> bool:
        return self.epochs >= self.tuning.epochs or self.epochs - self.best >= self.tuning.patience

    # -- checkpoints -----------------------------------------------------------------------

    def _save(self) -> None:
        """Write down how far training is, whole or not at all."""
        state = self._state
        kept = {
            "key": self._key,
            "step": state.step,
            "losses": state.losses,
            "best": state.best,
            "before": state.before,
            "weights": [each.detach() for each in self._parameters],
            "optimizer": self._optimizer.state_dict(),
            "random": torch.get_rng_state(),
        }
        with whole(self._checkpoint) as draft:
            torch.save(kept, draft)
        self._saved = monotonic()

    def _take_up(self) -> None:
        """Go on from the checkpoint, where there is one."""
        if not self._checkpoint.exists():
            return
        kept: dict[str, Any] = torch.load(self._checkpoint, map_location="cpu", weights_only=True)
        if kept["key"] != self._key:
            raise DataError(
                f"{self._checkpoint.parent} holds an adapter that is not finished, of other rows, "
                "another prompt file, model or options; possible: the command that began it, "
                "another --out, or remove that folder"
            )
        self._put(kept["weights"])
        self._optimizer.load_state_dict(kept["optimizer"])
        torch.set_rng_state(kept["random"])
        self._state = _State(kept["step"], kept["losses"], kept["best"], kept["before"])

    @torch.no_grad()
    def _put(self, weights: Sequence[torch.Tensor]) -> None:
        for parameter, found in zip(self._parameters, weights, strict=True):
            parameter.copy_(found)


def lora_config(lm: CausalLM, tuning: Lora) -> Any:
    """Return peft's settings of an adapter: every linear product of the last share of the layers.

    Raises ModelError for a model that does not keep its layers where a decoder does.
    """
    import peft

    layers: Any = getattr(lm.model.get_decoder(), "layers", None)
    linear = {
        name.rsplit(".", 1)[-1]
        for name, module in (layers.named_modules() if layers is not None else ())
        if isinstance(module, torch.nn.Linear)
    }
    if not linear or getattr(lm.model.config, "is_encoder_decoder", False):
        raise ModelError(
            f"{lm.name}: no adapter can be trained of the architecture {type(lm.model).__name__}; "
            "possible: a decoder whose layers are made of linear products, such as Llama or Qwen"
        )
    count = len(layers)
    first = count - max(1, round(tuning.layers * count))
    return peft.LoraConfig(
        r=tuning.rank,
        lora_alpha=tuning.alpha,
        target_modules=sorted(linear),
        layers_to_transform=list(range(first, count)) if first else None,
        task_type="CAUSAL_LM",
    )
