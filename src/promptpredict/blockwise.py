"""A block of rows scored by a language model: the same wherever that is done.

Knows records, prompts and scores; knows nothing of calibration, outputs or machines. Blocks are
fixed stretches of the table, so that which prompts share a batch does not depend on who reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from promptpredict.checking import Given
from promptpredict.records import Block, Reject, read_blocks
from promptpredict.scores import LanguageModel
from promptpredict.scoring import Choosing, score_records
from promptpredict.shots import Shots
from promptpredict.shotsets import ShotSets, draw_sets
from promptpredict.spool import Scored

if TYPE_CHECKING:  # scikit-learn and scipy are 90 MB that most runs do not need
    from promptpredict.encoders import Embedder
    from promptpredict.fallback import Fallback


def blocks_of(given: Given) -> Iterator[Block]:
    """Read the table of customers, block by block."""
    options = given.options
    return read_blocks(
        options.customers,
        given.prompt_file.roles,
        options.reading,
        block_rows=options.block_rows,
        limit=options.limit,
        keep=options.keep,
    )


def scored_block(
    lm: LanguageModel,
    given: Given,
    block: Block,
    shots: Choosing | None,
    advance: Callable[[int], object] = lambda _: None,
) -> Scored:
    """Score a block's records, and guard them where that is asked for."""
    found = score_records(
        lm, given.prompt_file, block.records, shots, others=given.others, progress=advance
    )
    scored = Scored(*_beside(block), found.logprobs, found.mass, found.truncated, found.faults)
    scored.by_set = found.by_set
    if given.options.guard is not None:
        from promptpredict.guard import text_moves

        scored.moved = text_moves(
            lm, given.prompt_file, block.records, found.logprobs, shots, others=given.others
        )
    return scored


def unscored_block(given: Given, block: Block) -> Scored:
    """Return a block that no language model has scored."""
    rows = len(block.records)
    empty = np.full((rows, len(given.labels)), np.nan, dtype=np.float32)
    faults = dict.fromkeys(range(rows), "there is no language model")
    return Scored(*_beside(block), empty, empty[:, 0], np.zeros(rows, dtype=bool), faults)


def shots_of(given: Given, embedder: Embedder) -> Shots | ShotSets | None:
    """Return the shots of a run, or its sets of them; None where none are asked for."""
    options = given.options
    if not options.shots:
        return None
    embed = embedder if options.select == "nearest" else None
    return draw_sets(
        given.prompt_file, given.labelled, options.shots, options.select, options.seed, embed,
        sets=options.shot_sets,
    )  # fmt: skip


def fallback_of(given: Given, embedder: Embedder) -> Fallback | None:
    """Return what scores the rows that no language model can; None where it is not asked for."""
    options = given.options
    if options.fallback == "none":
        return None
    from promptpredict.fallback import Fallback

    return Fallback(given.prompt_file, given.labelled, embedder, options.seed, options.base_rate)


def _beside(block: Block) -> tuple[list[int], list[str], list[dict[str, str | None]], list[Reject]]:
    rows, ids = [each.row for each in block.records], [each.id for each in block.records]
    return rows, ids, block.kept, block.rejects
