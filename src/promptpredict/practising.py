"""Makes an adapter that reads tables in context: episodes, training, figures, written whole.

Knows the order of things; episodes, training and the folder are elsewhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from promptpredict.adapters import data_digest, digest, finish, held, unfinished
from promptpredict.episodecards import EpisodeCard, EpisodeTuning
from promptpredict.episodes import Episodes, EpisodeTable
from promptpredict.loading import load_language_model
from promptpredict.models import Source, here
from promptpredict.practice import Practice
from promptpredict.progress import Progress

_PACKAGES = ("promptpredict", "torch", "transformers", "peft")
Say = Callable[[str], object]


@dataclass(frozen=True, kw_only=True)
class EpisodesAsked:
    """Of what an adapter is to be made, how, and where it goes."""

    source: Source
    tuning: EpisodeTuning
    out: Path
    tables: Sequence[EpisodeTable] = ()
    seed: int = 0
    dtype: str = "auto"
    device: str = "auto"


def make_episode_adapter(asked: EpisodesAsked, say: Say = lambda _: None) -> EpisodeCard:
    """Train an adapter on episodes and write its folder; return its card.

    A run that was killed is resumed.
    """
    folder = unfinished(asked.out) / "adapter"
    with held(unfinished(asked.out)):
        practice = _practice(asked, say)
        with Progress("tuning", practice.left) as progress:
            practice.run(progress.advance)
        practice.trainee.write(folder, base=asked.source.name)
        card = EpisodeCard(
            base=asked.source.name,
            model=here(asked.source).base,
            tables=tuple(digest_of(table) for table in asked.tables),
            seed=asked.seed,
            tuning=asked.tuning,
            episodes=practice.step * asked.tuning.batch,
            tokens=practice.tokens,
            before=practice.before,
            after=practice.judged(),
            adapter=digest(folder),
            versions={name: version(name) for name in _PACKAGES},
        )
        finish(asked.out, card)
    return card


def digest_of(table: EpisodeTable) -> str:
    """Return what tells a labelled table and its prompt file from any other."""
    return f"{table.prompt_file.fingerprint}-{data_digest(table.records)}"


def _practice(asked: EpisodesAsked, say: Say) -> Practice:
    """Load the model, and take up what an interrupted run has learned."""
    lm = load_language_model(
        asked.source, dtype=asked.dtype, device=asked.device, pack=False, say=say
    )
    width = min(asked.tuning.width, lm.context)
    episodes = Episodes(
        lm.encoder, width=width, seed=asked.seed, tables=asked.tables, own=asked.tuning.own,
        held_from=-(-asked.tuning.episodes // asked.tuning.batch) * asked.tuning.batch,
    )  # fmt: skip
    tables = [digest_of(table) for table in asked.tables]
    about = (here(asked.source).base, tables, asked.tuning, str(lm.model.dtype))
    key = hashlib.sha256(repr((about, asked.seed)).encode()).hexdigest()
    place = unfinished(asked.out) / "checkpoint.pt"
    return Practice(lm, episodes, asked.tuning, seed=asked.seed, checkpoint=place, key=key)
