"""The walk of `tune`: labelled tables and prompt files in, an adapter out.

Knows the order of things, and what can be known before a model loads; how an adapter is made is
elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from promptpredict.adapters import Tuning, check_peft
from promptpredict.episodecards import EpisodeTuning
from promptpredict.episodes import EpisodeTable
from promptpredict.errors import DataError, UnscoredError
from promptpredict.labelled import ReadingOptions, check_task, read_labelled
from promptpredict.models import pick
from promptpredict.placing import placed_files
from promptpredict.prompt import PromptFile
from promptpredict.writing import check_apart, check_folder

Say = Callable[[str], object]


@dataclass(frozen=True, kw_only=True)
class TuneOptions(ReadingOptions):
    """What `tune` is asked to make; the defaults are the command's."""

    labelled: str
    prompt: str
    out: Path
    model: str = "auto"
    dtype: str = "auto"
    device: str = "auto"
    tuning: Tuning = field(default_factory=Tuning)
    seed: int = 0


def tune_table(options: TuneOptions, say: Say = lambda _: None) -> str:
    """Train an adapter on a labelled table, and return what it is worth as text.

    Raises PromptPredictError for whatever is wrong with the files or the model.
    """
    check_peft("tune")
    prompt_file = PromptFile.load(options.prompt)
    check_task(prompt_file, "tune")
    check_new(options.out, [options.labelled, options.events])
    records, notes = read_labelled(options.labelled, prompt_file, options.reading)
    [prompt_file], unplaced = placed_files([prompt_file], records)
    warned = [f"warning: {warning}" for warning in prompt_file.warnings]
    for note in [*warned, *notes, *unplaced, *options.notes]:
        say(note)
    source = pick(options.model, say)
    from promptpredict.making import Asked, make_adapter, part  # torch: only where all else is well

    asked = Asked(
        source=source,
        prompt_file=prompt_file,
        records=records,
        tuning=options.tuning,
        seed=options.seed,
        out=options.out,
        dtype=options.dtype,
        device=options.device,
        redacted=options.redact,
    )
    part(asked)  # too few rows are known before the model loads
    try:
        made = make_adapter(asked, say)
    except UnscoredError as error:
        for row, fault in error.faults.items():
            say(f"left out: row {row}: {fault}")
        kept = [record for record in records if record.row not in error.faults]
        made = make_adapter(replace(asked, records=kept), say)
    return f"{made.card.describe()}\n{options.out} is written."


@dataclass(frozen=True, kw_only=True)
class EpisodeOptions(ReadingOptions):
    """What `tune --episodes` is asked to make; the defaults are the command's.

    ``labelled`` and ``prompt`` are tables and their prompt files, of the same order.
    """

    labelled: Sequence[str] = ()
    prompt: Sequence[str] = ()
    out: Path
    model: str = "auto"
    dtype: str = "auto"
    device: str = "auto"
    tuning: EpisodeTuning = field(default_factory=EpisodeTuning)
    seed: int = 0

    @property
    def prompt_names(self) -> Sequence[str]:
        """The prompt files, of which the first says how tables are read."""
        return self.prompt


def tune_episodes(options: EpisodeOptions, say: Say = lambda _: None) -> str:
    """Train an adapter on episodes, and return what it is worth as text.

    Raises PromptPredictError for whatever is wrong with the files or the model.
    """
    check_peft("tune")
    if len(options.labelled) != len(options.prompt):
        raise DataError(
            f"{len(options.labelled)} tables and {len(options.prompt)} prompt files are given; "
            "possible: a --prompt for each table, in the order of the tables"
        )
    if options.events is not None and not options.labelled:
        raise DataError("--events is of the customers of a table; --episodes is given none")
    check_new(options.out, [*options.labelled, options.events])
    for note in options.notes:
        say(note)
    tables = [
        _episode_table(options, table, name, say)
        for table, name in zip(options.labelled, options.prompt, strict=True)
    ]
    source = pick(options.model, say)
    from promptpredict.practising import EpisodesAsked, make_episode_adapter

    card = make_episode_adapter(
        EpisodesAsked(
            source=source,
            tuning=options.tuning,
            out=options.out,
            tables=tables,
            seed=options.seed,
            dtype=options.dtype,
            device=options.device,
        ),
        say,
    )
    return f"{card.describe()}\n{options.out} is written."


def _episode_table(options: EpisodeOptions, table: str, name: str, say: Say) -> EpisodeTable:
    prompt_file = PromptFile.load(name)
    check_task(prompt_file, "tune")
    records, notes = read_labelled(table, prompt_file, options.reading)
    [prompt_file], unplaced = placed_files([prompt_file], records)
    for note in [*(f"warning: {warning}" for warning in prompt_file.warnings), *notes, *unplaced]:
        say(note)
    if len({record.label for record in records}) < 2:
        raise DataError(
            f"{table}: its {len(records):,} labelled rows have one label; an episode needs two"
        )
    return EpisodeTable(prompt_file, records)


def check_new(out: Path, tables: Iterable[str | None]) -> None:
    """Raise DataError where an adapter's folder cannot be made, is there, or would be in a table's."""
    check_folder(out)
    for table in tables:
        check_apart({"--out": out}, {"the table": table})
    if out.exists():
        raise DataError(f"{out} is there already; remove it, or give another --out")
