"""An adapter while it is trained: its weights, its optimiser, and the file that keeps how far it is.

Knows torch and peft; knows nothing of prompts, episodes or what is learned. The weights begin the
same for the same seed, and go on from a checkpoint as if nothing had happened.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from pickle import UnpicklingError
from time import monotonic
from typing import Any

import torch

from promptpredict.episodecards import Lora
from promptpredict.errors import DataError, ModelError
from promptpredict.lm import CausalLM
from promptpredict.lowrank import use_lean
from promptpredict.merging import quietly, write_adapter
from promptpredict.writing import whole

EVERY = 60.0  # seconds between checkpoints: what being killed can cost
_FORMAT = 3  # of a checkpoint
_DECAY = 0.01  # weight decay
_NORM = 1.0  # longest gradient of a step


class Trainee:
    """An adapter of ``lm``, whose own weights are plain and stay as they are.

    ``checkpoint`` is the file that keeps how far it is, ``key`` tells the run from any other.
    Raises ModelError for a model of which no adapter can be trained.
    """

    def __init__(
        self, lm: CausalLM, tuning: Lora, *, seed: int, checkpoint: Path, key: str
    ) -> None:
        """Put an adapter that changes nothing into the model."""
        import peft

        self.config = lora_config(lm, tuning)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)  # half of the adapter begins at random, the other at 0
            with quietly():
                self.adapted = peft.get_peft_model(lm.model, self.config)
        use_lean(self.adapted)
        self.parameters = [each for each in self.adapted.parameters() if each.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=tuning.learning_rate, weight_decay=_DECAY
        )
        self._rate, self._checkpoint = tuning.learning_rate, checkpoint
        self._key = f"{_FORMAT} {key}"
        self._saved = monotonic()

    def weights(self) -> dict[str, torch.Tensor]:
        """Return the weights of the adapter, under the names that peft reads."""
        import peft

        found = peft.get_peft_model_state_dict(self.adapted, save_embedding_layers=False)
        return {name: found[name].detach().cpu().contiguous() for name in sorted(found)}

    def write(self, folder: Path, *, base: str) -> None:
        """Write the files of the adapter, of the model that is called ``base``."""
        write_adapter(folder, self.weights(), self.config, base=base)

    def begin_step(self, step: int, steps: int, *, warm: float) -> None:
        """Forget the gradients, and set the learning rate of step ``step`` of so many.

        It rises over the first share ``warm`` of them, then falls to 0 with the last.
        """
        rise = min(1.0, (step + 1) / max(1.0, steps * warm))
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate * rise * (1 - step / steps)
        self.optimizer.zero_grad()

    def end_step(self) -> torch.Tensor:
        """Take the step that the gradients say; return how long they were, all together."""
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, _NORM)
        self.optimizer.step()
        return norm

    @torch.no_grad()
    def put(self, weights: Sequence[torch.Tensor]) -> None:
        """Give the adapter other weights, in the order of its parameters."""
        for parameter, found in zip(self.parameters, weights, strict=True):
            parameter.copy_(found)

    # -- checkpoints -----------------------------------------------------------------------

    @property
    def due(self) -> bool:
        """Whether the last checkpoint was written some time ago."""
        return monotonic() - self._saved > EVERY

    def save(self, **progress: Any) -> None:
        """Write down how far training is, whole or not at all."""
        kept = {
            "key": self._key,
            "progress": progress,
            "weights": [each.detach() for each in self.parameters],
            "optimizer": self.optimizer.state_dict(),
        }
        try:
            with whole(self._checkpoint) as draft:
                torch.save(kept, draft)
        except RuntimeError as error:  # torch's own of a full disk
            raise DataError(f"{self._checkpoint} cannot be written ({error})") from None
        self._saved = monotonic()

    def take_up(self, of: str) -> dict[str, Any]:
        """Go on from the checkpoint, where there is one, and return the progress that it holds.

        Raises DataError for one of another run, which differs in what ``of`` says, or of another
        version.
        """
        if not self._checkpoint.exists():
            return {}
        try:
            kept: dict[str, Any] = torch.load(
                self._checkpoint, map_location="cpu", weights_only=True
            )
            key, progress = kept["key"], dict(kept["progress"])
        except (RuntimeError, EOFError, UnpicklingError, LookupError, TypeError, ValueError):
            raise DataError(
                f"{self._checkpoint} is damaged; possible: remove {self._checkpoint.parent}, and "
                "begin again"
            ) from None
        if key != self._key:
            raise DataError(
                f"{self._checkpoint.parent} holds an adapter that is not finished, of other {of}, or of "
                "another version; possible: the command that began it, another --out, or remove "
                "that folder"
            )
        self.put(kept["weights"])
        self.optimizer.load_state_dict(kept["optimizer"])
        return progress


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
