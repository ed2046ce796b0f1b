"""The walk of `wordings`: a table and a prompt file in, what was found and a prompt file out.

Knows the order of things; how wordings are scored, chosen and told of is elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from promptpredict import models, shipped
from promptpredict.choosing import ENSEMBLE, Hits, Outcome, check_hits, choose
from promptpredict.errors import DataError
from promptpredict.ground import Ground
from promptpredict.labelled import (
    ReadingOptions,
    check_task,
    drawn,
    read_labelled,
    read_unlabelled,
)
from promptpredict.placing import placed_files
from promptpredict.plans import Plan
from promptpredict.prompt import PromptFile
from promptpredict.records import Record
from promptpredict.saying import Found
from promptpredict.splits import Rows, draws
from promptpredict.wordings import SHIPPED, label_keys, load_wordings, try_wordings
from promptpredict.writing import check_apart, check_place, writable

Say = Callable[[str], object]


@dataclass(frozen=True, kw_only=True)
class WordingsOptions(ReadingOptions):
    """What `wordings` is asked to try; the defaults are the command's."""

    labelled: str
    prompt: str
    tried: str | None = None
    rows: int = 64
    unlabelled: bool = False
    outcome: Outcome | None = None
    out: Path | None = None
    ensemble: bool = False
    model: str = "auto"
    seed: int = 0


def try_table(asked: WordingsOptions, say: Say = lambda _: None) -> str:
    """Score wordings on records of a table, and return what was found as text.

    Writes the best wording as a prompt file where ``out`` is given. Raises PromptPredictError for
    whatever is wrong with the files or the model.
    """
    prompt_file = PromptFile.load(asked.prompt)
    check_task(prompt_file, "wordings")
    label_keys(prompt_file)
    wordings = load_wordings(asked.tried or SHIPPED)
    read = {"the labelled table": asked.labelled, "the table of events": asked.events}
    for out in _outs(asked):
        check_place(str(out))
        check_apart({"--out": out}, read)
        _check_out(out, prompt_file)
    records, untested, notes = _records(asked, prompt_file)
    [prompt_file], unplaced = placed_files([prompt_file], untested)
    notes += [*unplaced, *asked.notes]
    for note in [*(f"warning: {warning}" for warning in prompt_file.warnings), *notes]:
        say(note)
    hits = None if asked.unlabelled else _hits(prompt_file, records)
    from promptpredict.loading import load_language_model  # torch: only where all else is well
    from promptpredict.progress import Progress

    lm = load_language_model(models.pick(asked.model, say), say=say)
    with Progress("trying", len(records)) as progress:
        tried = try_wordings(lm, prompt_file, wordings, records, progress=progress.advance)
    for at, text in tried.faults.items():
        say(f"left out: row {records[at].row}: {text}")
    for name, text in tried.dropped.items():
        say(f"left out: the wording {name}: {text}")
    if hits is not None:
        hits = hits[list(tried.kept)]
    choice = choose(tried.log_odds, hits, outcome=asked.outcome, seed=asked.seed)
    found = Found(prompt_file, tried, choice, hits, asked.outcome is not None)
    lines = [found.text()]
    for place, out in enumerate(_outs(asked)[: len(choice.ensemble)]):
        _write(out, found.file_text(place))
        lines.append(f"{out} is written.")
    return "\n".join(lines)


def _outs(asked: WordingsOptions) -> list[Path]:
    """Return the files to write: the best, and for the ensemble those behind it."""
    if asked.out is None:
        return []
    places = range(2, ENSEMBLE + 1) if asked.ensemble else ()
    return [asked.out, *(asked.out.with_stem(f"{asked.out.stem}-{place}") for place in places)]


def _records(
    asked: WordingsOptions, prompt_file: PromptFile
) -> tuple[list[Record], list[Record], list[str]]:
    """Return the records to try wordings on, all that test nothing, and lines on those left out."""
    if asked.unlabelled:
        records, notes = read_unlabelled(asked.labelled, prompt_file, asked.reading)
        return drawn(records, asked.rows, seed=asked.seed), records, notes
    records, notes = read_labelled(asked.labelled, prompt_file, asked.reading)
    keys = [prompt_file.label_of(record.label) for record in records]
    # Not those that `benchmark` tests by its defaults, or it would flatter what they chose.
    pool = _kept_from_tests(records, prompt_file)
    if len(pool) < asked.rows:
        pool = np.arange(len(records))
        notes.append(
            f"{min(asked.rows, len(records)):,} of {len(records):,} labelled rows choose; a "
            "`benchmark` of the wording on this table would test it on some of them"
        )
    untested = [records[row] for row in pool.tolist()]
    if len(pool) > asked.rows:
        some = draws([keys[row] for row in pool], [asked.rows], seed=asked.seed)
        pool = pool[some[asked.rows]]
    return [records[row] for row in sorted(pool.tolist())], untested, notes


def _kept_from_tests(records: Sequence[Record], prompt_file: PromptFile) -> Rows:
    """Return the rows that `benchmark` keeps for training, by its defaults; none without a split."""
    try:
        return Ground(records, prompt_file, Plan()).splits[0].train
    except DataError:
        return np.array([], dtype=np.intp)


def _hits(prompt_file: PromptFile, records: Sequence[Record]) -> Hits:
    positive = label_keys(prompt_file)[0]
    hits = np.array(
        [prompt_file.label_of(record.label) == positive for record in records], dtype=bool
    )
    check_hits(hits)
    return hits


def _check_out(out: Path, prompt_file: PromptFile) -> None:
    """Raise DataError for a file that is there already, or from which the parent is out of reach."""
    if out.exists():
        raise DataError(f"{out} is there already; remove it, or give another --out")
    if prompt_file.path is None:
        return
    name = prompt_file.path.name
    if out.name == name:
        raise DataError(f"{out} would extend itself; possible: another name")
    beside = out.parent / name
    reached = beside if beside.is_file() else shipped.folder() / name
    if reached.resolve() != prompt_file.path.resolve():
        raise DataError(
            f"{out} would extend {name}, which must stand beside it; "
            f"possible: --out {prompt_file.path.parent / out.name}"
        )


def _write(out: Path, text: str) -> None:
    with writable(str(out)), out.open("x", encoding="utf-8") as file:
        file.write(text)
