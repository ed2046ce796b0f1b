"""What is said of an adapter that was trained on episodes: its settings, its figures, its card.

Knows settings and JSON; imports no torch and knows nothing of how an adapter is trained or merged.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import BaseModel, Field

from promptpredict.saved import Saved


class Lora(BaseModel, frozen=True, extra="forbid"):
    """What is trained, and how fast.

    ``rank`` and ``alpha`` are those of LoRA. ``layers`` is the share of the layers that get one, the
    last ones. ``batch`` counts what a step learns from.
    """

    rank: int = Field(default=8, ge=1, le=256)
    alpha: float = Field(default=16.0, gt=0)
    layers: float = Field(default=1.0, gt=0, le=1)
    learning_rate: float = Field(default=5e-4, gt=0, le=1)
    batch: int = Field(default=16, ge=1, le=1024)


class EpisodeTuning(Lora):
    """How an adapter is trained on episodes; the learning rate is the better of two (benchmarks/LOG.md).

    There are so many ``episodes`` of at most ``width`` tokens. ``own`` is the share of the user's
    tables, where there are any; the others are synthetic.
    """

    learning_rate: float = Field(default=1e-3, gt=0, le=1)
    episodes: int = Field(default=1024, ge=1)
    width: int = Field(default=2048, ge=64)
    own: float = Field(default=0.5, ge=0, le=1)


class EpisodeJudged(BaseModel, frozen=True, extra="forbid"):
    """How well labels are told behind so many ``shots``, in ``episodes`` that nobody was trained on."""

    shots: int
    episodes: int
    log_loss: float
    accuracy: float


class EpisodeCard(Saved):
    """What an adapter was made of that serves any prompt file, and what it is worth.

    ``base`` is the name of the language model and ``model`` its fingerprint; ``tables`` are digests
    of the labelled tables that were given, none where all were synthetic. ``before`` are the figures
    of the model as it was, ``after`` those with the adapter. ``tokens`` were read in training.
    """

    what: ClassVar[str] = "the card of an adapter"
    version: Literal[1] = 1
    kind: Literal["episodes"] = "episodes"
    base: str
    model: str
    tables: tuple[str, ...]
    seed: int
    tuning: EpisodeTuning
    episodes: int
    tokens: int
    before: list[EpisodeJudged]
    after: list[EpisodeJudged]
    adapter: str
    versions: dict[str, str]

    @classmethod
    def is_of(cls, path: Path) -> bool:
        """Whether a card says that it is of such an adapter."""
        return b'"kind": "episodes"' in path.read_bytes()

    def describe(self) -> str:
        """Return what was trained on, and what it changed by the number of shots."""
        own = f"of {len(self.tables)} given and of" if self.tables else "of"
        lines = [
            f"tuned on {self.episodes:,} episodes {own} synthetic tables, {self.tokens:,} tokens",
        ]
        if not self.before:  # the label words of every table begin alike
            return lines[0]
        lines.append("on episodes held out:")
        lines += [
            f"  {one.shots} shots ({one.episodes} episodes): log loss {one.log_loss:.3f} before, {other.log_loss:.3f} with the "
            f"adapter; right {one.accuracy:.2f} before, {other.accuracy:.2f}"
            for one, other in zip(self.before, self.after, strict=True)
        ]
        return "\n".join(lines)
