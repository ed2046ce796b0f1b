"""What `score` is asked for, and whether it can be done.

Knows options, files and columns; imports no torch and loads no model. Every fault of the user's
that can be known before a model is loaded is found here, and nothing is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from promptpredict.errors import DataError, nearest
from promptpredict.keeping import Seal, read_key
from promptpredict.labelled import ReadingOptions, read_labelled
from promptpredict.models import find
from promptpredict.placing import placed_files
from promptpredict.prompt import PromptFile
from promptpredict.rates import Rate, checked_rate
from promptpredict.records import Record, read_header
from promptpredict.shots import Select
from promptpredict.tables import table_name
from promptpredict.writing import (
    Kind,
    check_apart,
    check_output,
    check_place,
    own_files,
    prompts_of,
)

if TYPE_CHECKING:
    from promptpredict.adapters import Card
    from promptpredict.calibration import Calibration
    from promptpredict.episodecards import EpisodeCard

FLAG_MASS, STOP_MASS = 0.001, 0.01  # label masses that are low: of a row, and of a run's median
AMOUNT_COLUMNS = ("prediction", "lower", "upper")  # of the output for task: regression


@dataclass(frozen=True, kw_only=True)
class ScoreOptions(ReadingOptions):
    """What `score` is asked for; the defaults are the command's.

    ``others`` are prompt files whose log-probabilities are averaged with those of ``prompt``;
    ``adapter`` is the folder of an adapter of the language model. Rows
    are read ``block_rows`` at a time; no command has it, as it moves scores in half precision.
    """

    customers: str
    prompt: str
    others: Sequence[str] = ()
    out: str = "-"
    train: str | None = None
    shots: int = 0
    shot_sets: int = 1
    select: Select = "balanced"
    model: str = "auto"
    encoder: str = "minilm"
    dtype: str = "auto"
    device: str = "auto"
    base_rate: Rate | None = None
    calibration: str | None = None
    save_calibration: str | None = None
    fallback: Literal["none", "embedding"] = "none"
    threshold: float | None = None
    keep: Sequence[str] = ()
    limit: int | None = None
    restart: bool = False
    flag_mass: float | None = None
    stop_mass: float | None = None
    max_drift: float = 0.25
    guard: float | None = None
    on: Literal["here", "ray"] = "here"
    adapter: Path | None = None
    keep_prompts: bool = False
    encrypt_key_file: str | None = None
    seed: int = 0
    block_rows: int = 1024


@dataclass(frozen=True)
class Given:
    """What the user gave, found to be fit.

    ``prompt_file`` says how the table is read, ``others`` are averaged with it; ``labelled`` are
    the usable records of --train; ``columns`` are those of the output, each with
    the kind of its values; ``notes`` are for people.
    """

    options: ScoreOptions
    prompt_file: PromptFile
    others: list[PromptFile]
    labelled: list[Record]
    columns: Mapping[str, Kind]
    notes: list[str]
    seal: Seal | None = None  # encrypts the prompts that are kept
    card: Card | EpisodeCard | None = None  # of the adapter that the language model has

    @property
    def labels(self) -> list[str]:
        """The label keys, in the prompt file's order."""
        return list(self.prompt_file.words)

    @property
    def positive(self) -> str | None:
        """The positive label, where there are two."""
        return self.prompt_file.front.positive

    @property
    def id_column(self) -> str:
        """The first column of the output."""
        return self.prompt_file.front.id or "row"

    @property
    def own(self) -> Calibration | None:
        """The calibration of an adapter that has learned the labels."""
        return getattr(self.card, "calibration", None)

    @property
    def flag_mass(self) -> float:
        """The label mass under which a row is flagged."""
        return self._mass(self.options.flag_mass, FLAG_MASS)

    @property
    def stop_mass(self) -> float:
        """The median label mass of the first rows under which a run stops."""
        return self._mass(self.options.stop_mass, STOP_MASS)

    def _mass(self, given: float | None, bound: float) -> float:
        # An adapter learned among the label words alone: how probable these are moves as it may.
        return given if given is not None else bound if self.own is None else 0.0

    @property
    def calibrates_alone(self) -> bool:
        """Whether the labelled records serve for calibration, and for nothing else."""
        files = (self.prompt_file, *self.others)
        placed = any(file.standing and file.standing.columns for file in files)
        return not (self.options.shots or self.options.fallback != "none" or placed)


def check(options: ScoreOptions) -> Given:
    """Check all that the user gave, and read the labelled records.

    Raises PromptPredictError for the first thing that is wrong.
    """
    _check_places(options)
    prompt_file, *others = files = [
        PromptFile.load(each) for each in (options.prompt, *options.others)
    ]
    for file in files:
        _check_task(options, file)
        _check_overwriting(options, file)
    _check_alike(prompt_file, others)
    if options.guard is not None and not prompt_file.front.text:
        raise DataError(f"--guard needs a text column; {prompt_file.name} declares none (text: [])")
    header = read_header(options.customers, options.reading)
    for file in files:
        file.check_columns(header, table_name(options.customers))
    columns = _columns(options, prompt_file, header)
    if options.fallback == "embedding" or (options.shots and options.select == "nearest"):
        find(options.encoder, "sentence encoder")
    labelled, notes = _labelled(options, prompt_file)
    if options.history is not None:
        options.history.load()
    if prompt_file.front.bins:
        files = [_with_edges(options, file, labelled) for file in files]
    files, unplaced = placed_files(files, labelled if options.train else None)
    notes += unplaced
    card = None
    if options.adapter is not None:
        from promptpredict.adapters import fitting_card, unfit

        card = fitting_card(options.adapter, files, options.shots)
        shown = list(filter(prompt_file.shows, header))
        table = table_name(str(options.train))
        notes += unfit(options.adapter, card, table, labelled, shown, redacted=options.redact)
    warnings = [f"warning: {warning}" for file in files for warning in file.warnings]
    seal = read_key(options.encrypt_key_file) if options.encrypt_key_file else None
    return Given(
        options,
        files[0],
        files[1:],
        labelled,
        columns,
        [*warnings, *notes, *options.notes, *_left_behind(options)],
        seal,
        card,
    )


# -- outputs -----------------------------------------------------------------------------------


def _check_places(options: ScoreOptions) -> None:
    check_output(options.out)
    if options.on == "ray" and "-" in (options.out, options.customers):
        what = "CUSTOMERS" if options.customers == "-" else "--out"
        raise DataError(f"--on ray needs a file for {what}; '-' is a stream")
    if options.on == "ray" and options.events is not None:
        raise DataError("--on ray does not take --events; possible: one machine, or joined columns")
    if options.keep_prompts:
        if options.out == "-":
            raise DataError("--keep-prompts writes beside --out, and stdout has nothing beside it")
        check_place(str(prompts_of(options.out)))
    if options.save_calibration is not None:
        check_place(options.save_calibration)
        saved = Path(options.save_calibration).resolve()
        own = own_files(options.out, prompts=options.keep_prompts)
        if saved in (each.resolve() for each in own.values()):
            raise DataError(
                f"--save-calibration {options.save_calibration} is also written by --out; "
                "give another file"
            )


def _left_behind(options: ScoreOptions) -> list[str]:
    """Return a line on the prompts that an earlier run has kept beside the output."""
    kept = prompts_of(options.out)
    if options.out == "-" or options.keep_prompts or not kept.exists():
        return []
    return [f"{kept} holds the prompts of an earlier run, not of this one"]


def _check_overwriting(options: ScoreOptions, prompt_file: PromptFile) -> None:
    """Refuse an output that is one of the files being read, or stands among them."""
    read = {
        "the table of customers": options.customers,
        "the table of events": options.events,
        "the labelled table": options.train,
        "the prompt file": prompt_file.path,
        "the salt": options.salt_file,
        "the key": options.encrypt_key_file,
    }
    written = own_files(options.out, prompts=options.keep_prompts)
    if options.save_calibration is not None:
        written["--save-calibration"] = Path(options.save_calibration)
    check_apart(written, read)


def _columns(
    options: ScoreOptions, prompt_file: PromptFile, header: Sequence[str]
) -> dict[str, Kind]:
    """Return the columns of the output; each name stands once."""
    id_column = prompt_file.front.id
    columns: dict[str, Kind] = {"prediction": "text"}
    if prompt_file.front.bins:
        columns = dict.fromkeys(AMOUNT_COLUMNS, "number")
    else:
        columns |= {f"p_{key}": "number" for key in prompt_file.words}
    columns["label_mass"] = "number"
    if options.shot_sets > 1:
        columns["spread"] = "number"
    columns |= {"method": "text", "truncated": "truth", "flags": "text"}
    if id_column in columns:
        raise DataError(
            f"the id column of {prompt_file.name} is '{id_column}', which is also a column of "
            "the output; give it another name in table and prompt file"
        )
    columns = {id_column or "row": "text" if id_column else "count", **columns}
    for column in dict.fromkeys(options.keep):
        if column not in header:
            raise DataError(
                f"--keep asks for column '{column}'; {table_name(options.customers)} has no such "
                f"column{nearest(column, header)}"
            )
        if column in columns:
            raise DataError(f"--keep asks for column '{column}', which the output has already")
        columns[column] = "text"
    return columns


# -- prompt file and labelled records ----------------------------------------------------------


def _check_task(options: ScoreOptions, prompt_file: PromptFile) -> None:
    labels, there = list(prompt_file.words), f"{prompt_file.name} has"
    for name, value in (("--base-rate", options.base_rate), ("--threshold", options.threshold)):
        if value is not None and prompt_file.front.bins:
            raise DataError(f"{name} needs labels; {there} task: regression")
    if options.shot_sets > 1 and prompt_file.front.bins:
        raise DataError(f"--shot-sets needs labels; {there} task: regression")
    if options.shot_sets > 1 and not options.shots:
        raise DataError(f"--shot-sets is {options.shot_sets}, and --shots is 0: a set needs shots")
    if options.base_rate is not None:
        checked_rate(options.base_rate, labels, what="--base-rate", there=there)
    if options.threshold is not None and len(labels) != 2:
        raise DataError(f"--threshold needs two labels; {there} {len(labels)}")


def _check_alike(prompt_file: PromptFile, others: Sequence[PromptFile]) -> None:
    """Raise DataError where prompt files that are averaged read other labels or other columns."""
    for other in others:
        if other.front.bins != prompt_file.front.bins:  # an amount is a mean over bins in order
            raise DataError(
                f"{prompt_file.name} and {other.name} differ in bins; prompt files that are averaged "
                "need the same words, in one order, and the same edges"
            )
        if other.roles != prompt_file.roles or set(other.words) != set(prompt_file.words):
            raise DataError(
                f"{prompt_file.name} and {other.name} differ in labels, target, id, text or ignore; "
                "prompt files that are averaged need the same"
            )


def _labelled(options: ScoreOptions, prompt_file: PromptFile) -> tuple[list[Record], list[str]]:
    """Return the usable labelled records, and what was left out."""
    if options.train is None:
        return [], []
    usable, notes = read_labelled(options.train, prompt_file, options.reading)
    _check_every_label(options, prompt_file, usable)
    return usable, notes


def _with_edges(options: ScoreOptions, file: PromptFile, labelled: Sequence[Record]) -> PromptFile:
    """Return a prompt file of a regression with edges: its own, of the labelled, or of what was saved.

    Raises DataError where nothing gives them.
    """
    from promptpredict.amountcalibration import AmountCalibration
    from promptpredict.binning import binned, targets_of

    if file.front.bins is None or file.front.bins.edges is not None:
        return file
    if options.calibration is not None:
        saved = AmountCalibration.load(options.calibration)
        if len(saved.labels) == len(file.front.bins.words):
            return file.with_edges(saved.edges)
    if not labelled:
        raise DataError(
            f"{file.name} gives no 'bins.edges'; possible: edges in the prompt file, or --train, "
            "whose amounts say where the bins lie"
        )
    return binned(file, targets_of(labelled))


def _check_every_label(
    options: ScoreOptions, prompt_file: PromptFile, usable: Sequence[Record]
) -> None:
    if options.fallback != "embedding" or prompt_file.front.bins:
        return
    present = {prompt_file.label_of(record.label) for record in usable}
    for key in prompt_file.words:
        if key not in present:
            raise DataError(
                f"no usable record of {options.train} has the label '{key}', "
                "and --fallback embedding needs every label"
            )
