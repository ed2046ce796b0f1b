"""The language models of a comparison: several, or one beside itself with an adapter.

Knows models, and what a comparison must not test an adapter on; knows nothing of prompts or results.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from promptpredict.adapters import check_loaded, check_peft, has_learned, read_card, with_adapter
from promptpredict.episodecards import EpisodeCard
from promptpredict.errors import DataError
from promptpredict.models import Source
from promptpredict.plans import TUNED, WITH_LM, Plan
from promptpredict.records import Record
from promptpredict.writing import make_folder

if TYPE_CHECKING:
    from promptpredict.comparing import BenchmarkOptions
    from promptpredict.memo import Memo

LEDGER = "ledger.sqlite"
Say = Callable[[str], object]


def card_beside(folder: Path, models: Sequence[str], plan: Plan) -> EpisodeCard:
    """Return the card of an adapter that may be compared with the one of ``models`` it is of.

    Raises DataError where it may not: one that has learned labels would be tested on customers that
    it knows.
    """
    check_peft("--adapter")
    card = read_card(folder)
    if not isinstance(card, EpisodeCard):
        raise DataError(
            f"{folder} has learned labels, and may have those of the rows that it would be tested on; "
            f"possible: --approach {TUNED}, which trains one on each draw"
        )
    if len(models) > 1:
        raise DataError(
            f"--adapter goes with one language model, and {len(models)} are given; possible: "
            f"--model {card.base}"
        )
    if TUNED in plan.approaches:
        raise DataError(
            f"{TUNED} trains an adapter of its own, and --adapter is given; possible: one of the two"
        )
    if not plan.needs_lm:
        raise DataError(
            "--adapter is one of a language model, and no approach has one; possible: "
            f"{', '.join(name for name in WITH_LM if name != TUNED)}"
        )
    return card


def check_unlearned(folder: Path, card: EpisodeCard, table: str, records: Sequence[Record]) -> None:
    """Raise DataError where an adapter was trained on episodes of the table that tests it.

    Known is the very same table, read in the same way.
    """
    if has_learned(card, records):
        raise DataError(
            f"{folder} was trained on episodes of {table}, and would be tested on what it knows; "
            "possible: another table, or an adapter that was trained without it"
        )


def language_models(asked: BenchmarkOptions, card: EpisodeCard | None, say: Say) -> list[Memo]:
    """Return the language models, each behind its memo, where an approach needs them."""
    from promptpredict.models import find, here

    if asked.plan.needs_encoder:
        source = find(asked.encoder, "sentence encoder")
        if asked.pooling != "auto":  # torch only where it is needed to find that out
            from promptpredict.loading import check_encoder

            check_encoder(source, asked.pooling)
    if not asked.plan.needs_lm:
        return []
    sources = _sources(asked, card, say)
    from promptpredict.ledger import Ledger
    from promptpredict.loading import load_language_model  # torch: only where all else is well
    from promptpredict.memo import Memo

    ledger = None
    if not asked.dry_run:
        make_folder(asked.out)
    if not asked.dry_run or (asked.out / LEDGER).is_file():
        ledger = Ledger(asked.out / LEDGER)
    memos = []
    for source in sources:
        lm = load_language_model(source, say=say)
        # Known by its files, or the next run would not know again what this one has read.
        identity = f"{here(source).fingerprint} {lm.model.dtype}"
        check_loaded(source, card)
        memos.append(Memo(lm, name=_name_of(source), identity=identity, ledger=ledger))
    return memos


def _sources(asked: BenchmarkOptions, card: EpisodeCard | None, say: Say) -> list[Source]:
    """Find the language models, each of another name."""
    from promptpredict.models import pick

    if card and asked.adapter:
        return _both(asked.models[0], asked.adapter, card)
    sources = [pick(model, say) for model in asked.models]
    names = [source.name for source in sources]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise DataError(f"two models are called '{twice}'; possible: models of different names")
    return sources


def _both(model: str, folder: Path, card: EpisodeCard) -> list[Source]:
    """Return a language model without an adapter, and with it."""
    source = with_adapter(model, folder, card)
    return [replace(source, adapter=None, digest=""), source]


def _name_of(source: Source) -> str:
    """Return what a model is called in results, where it may stand beside itself with an adapter."""
    return f"{source.name}+{source.adapter.resolve().name}" if source.adapter else source.name
