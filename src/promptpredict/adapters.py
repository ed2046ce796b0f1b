"""Adapters of a language model as folders: what they were made of, and whether they fit a run.

Knows files, fingerprints and settings; imports no torch and knows nothing of how an adapter is
trained or merged. A folder holds peft's adapter_model.safetensors and adapter_config.json, and a
card that says of which labelled records, prompt file and language model the adapter is.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import BaseModel, Field

from promptpredict.calibration import Calibration
from promptpredict.episodecards import EpisodeCard, Lora
from promptpredict.errors import DataError, ModelError
from promptpredict.means import Mean
from promptpredict.models import AUTO, Source, find, here, pick
from promptpredict.plural import counted
from promptpredict.prompt import PromptFile
from promptpredict.records import Record
from promptpredict.saved import Saved

WEIGHTS, CONFIG, CARD = "adapter_model.safetensors", "adapter_config.json", "card.json"
UNFINISHED = ".unfinished"  # what the folder's name ends with until the adapter is whole


class Tuning(Lora):
    """How an adapter is trained; the defaults were found by experiment (benchmarks/LOG.md).

    ``batch`` counts prompts a step. Training ends after ``epochs``, or once ``patience`` of them in a
    row have been worse on the ``held_out`` share of the labelled rows than the best, by more than a
    standard error. ``balance`` weighs rows so that each label counts the same.
    """

    epochs: int = Field(default=6, ge=1, le=1000)
    patience: int = Field(default=2, ge=1)
    held_out: float = Field(default=0.2, gt=0, lt=1)
    balance: bool = True


class Judged(BaseModel, frozen=True, extra="forbid"):
    """How good label probabilities are on held-out rows; no ROC AUC where labels are not two."""

    log_loss: float
    roc_auc: float | None


class Card(Saved):
    """What an adapter was made of, and what it is worth on rows that it was not trained on.

    ``base`` is the name of the language model and ``model`` its fingerprint, ``prompt`` that of the
    prompt file ``prompt_file``; ``data`` is a digest of the labelled records, of which prompts showed
    the ``columns``, ``redacted`` whether personal data was kept out of them (None: not known),
    ``adapter`` one of the weights. ``before`` are the figures of the model as it was, ``after``
    those with the adapter, both on the ``held_out`` rows and calibrated by no more than the shift
    that training began with; ``change`` is the log loss after less that before, and its interval (None:
    not known). ``calibration`` was found on the same rows. ``epochs`` were trained,
    of which ``best`` was kept (0: none): the last that was not worse than any by more than a
    standard error.
    """

    what: ClassVar[str] = "the card of an adapter"
    version: Literal[1] = 1
    base: str
    model: str
    prompt_file: str
    prompt: str
    data: str
    labels: tuple[str, ...] = Field(min_length=2)
    rows: int
    held_out: int
    seed: int
    columns: tuple[str, ...] = ()
    redacted: bool | None = None
    tuning: Tuning
    epochs: int
    best: int
    before: Judged
    after: Judged
    change: Mean | None = None
    calibration: Calibration
    adapter: str
    versions: dict[str, str]

    def describe(self) -> str:
        """Return in two lines what was trained, and whether that was worth it."""
        losses = f"{self.before.log_loss:.3f} before, {self.after.log_loss:.3f} with the adapter"
        if self.best and self.change is not None:
            losses += _told(self.change)
        aucs = ""
        if self.before.roc_auc is not None and self.after.roc_auc is not None:
            aucs = f"; ROC AUC {self.before.roc_auc:.3f} before, {self.after.roc_auc:.3f}"
        kept = f"the {_ordinal(self.best)} of {self.epochs} epochs is kept"
        if not self.best:
            kept = f"all {self.epochs} epochs were worse than the model as it is, which is kept"
        trained = self.rows - self.held_out
        return (
            f"tuned on {counted(trained, 'labelled row')}; {kept}\n"
            f"on {counted(self.held_out, 'row')} held out: log loss {losses}{aucs}"
        )


def _told(change: Mean) -> str:
    """Return in words how the log loss changes; nothing where one customer alone says so."""
    if change.low is None or change.high is None:
        return ""
    verdict = "better" if change.high < 0 else "worse" if change.low > 0 else "undecided"
    return f" ({change.mean:+.3f}, 95 % {change.low:+.3f} to {change.high:+.3f}: {verdict})"


def _ordinal(number: int) -> str:
    ends = {1: "st", 2: "nd", 3: "rd"}
    return f"{number}{'th' if number % 100 in (11, 12, 13) else ends.get(number % 10, 'th')}"


def digest(folder: Path) -> str:
    """Return what tells the weights of an adapter, and how they are applied, from any other."""
    found = hashlib.sha256()
    for name in (WEIGHTS, CONFIG):
        with (folder / name).open("rb") as file:
            found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()[:12]


def data_digest(records: Sequence[Record]) -> str:
    """Return what tells labelled records from any others."""
    # Rows of a group stand on one side of what is held out.
    rows = [
        (each.id, each.label, each.values, *([each.group] if each.group is not None else []))
        for each in records
    ]
    return hashlib.sha256(repr(rows).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def read_card(folder: Path) -> Card | EpisodeCard:
    """Return the card of an adapter. Raises DataError for a folder that holds no whole adapter."""
    for name in (CARD, CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise DataError(
                f"{folder} is no adapter: it holds no {name}; possible: a folder that "
                "promptpredict tune has written"
            )
    kind = EpisodeCard if EpisodeCard.is_of(folder / CARD) else Card
    card = kind.load(folder / CARD)
    if (found := digest(folder)) != card.adapter:
        raise DataError(
            f"{folder} holds the weights {found}, and its card is of {card.adapter}; possible: "
            "the whole folder that promptpredict tune has written"
        )
    return card


def check_peft(what: str) -> None:
    """Raise ModelError where peft is not installed, which ``what`` needs."""
    if find_spec("peft") is None:
        raise ModelError(
            f"{what} needs peft, which is not installed; possible: pip install 'promptpredict[tune]'"
        )


def fitting_card(folder: Path, files: Sequence[PromptFile], shots: int) -> Card | EpisodeCard:
    """Return the card of an adapter; DataError where it was trained with other prompts than these.

    One that was trained on episodes serves any prompt file, with shots and without.
    """
    check_peft("--adapter")
    card = read_card(folder)
    if isinstance(card, EpisodeCard):
        return card
    if shots:
        raise DataError(
            f"{folder} was trained without shots, and --shots is {shots}; possible: one of the two"
        )
    if len(files) > 1:
        raise DataError(
            f"{folder} was trained with one prompt file, and {len(files)} are given; possible: "
            f"{card.prompt_file} alone"
        )
    [file] = files
    if file.fingerprint != card.prompt:
        what, too = "its text was another", ""
        if file.front.numbers == "placed":
            what = "its text was another, or other records give its numbers their places"
            too = " with --train and the same labelled table"
        raise DataError(
            f"{folder} was trained with {card.prompt_file} ({card.prompt}), and {file.name} is "
            f"{file.fingerprint}: {what}; possible: the same prompt file{too}"
        )
    if card.labels != tuple(file.words):
        raise DataError(
            f"{folder / CARD} has the labels {', '.join(card.labels)}, and {file.name}, which it was trained "
            f"with, has {', '.join(file.words)}; possible: the card that promptpredict tune has written"
        )
    return card


def has_learned(card: Card | EpisodeCard, records: Sequence[Record]) -> bool:
    """Whether an adapter was trained on episodes of these labelled records."""
    if not isinstance(card, EpisodeCard):
        return False
    return any(table.endswith(f"-{data_digest(records)}") for table in card.tables)


def unfit(
    folder: Path,
    card: Card | EpisodeCard,
    table: str,
    records: Sequence[Record],
    shown: Sequence[str],
    *,
    redacted: bool,
) -> list[str]:
    """Return warnings of what an adapter is not for: labelled ``records`` that calibrate, other prompts.

    These show the columns ``shown``, in which personal data is ``redacted``.
    """
    found = []
    if has_learned(card, records):
        found.append(
            f"warning: {folder} was trained on episodes of {table}: calibrated on it, probabilities are "
            "surer than they are right; possible: other labelled records"
        )
    if other := _other_columns(card, shown):
        found.append(
            f"warning: {folder} was trained on prompts {other}, and its calibration is for such; "
            "possible: the columns and --events that it was trained with"
        )
    if isinstance(card, Card) and card.redacted not in (None, redacted):
        found.append(
            f"warning: {folder} was trained {'with' if card.redacted else 'without'} --redact, and this run "
            f"is {'without' if card.redacted else 'with'} it: its calibration is for the other prompts"
        )
    return found


def _other_columns(card: Card | EpisodeCard, shown: Sequence[str]) -> str:
    """Return in words which columns the prompts of training had and these have not, or the reverse."""
    if isinstance(card, EpisodeCard) or not card.columns:
        return ""
    lacking = [column for column in card.columns if column not in shown]
    new = [column for column in shown if column not in card.columns]
    parts = [f"with {', '.join(lacking)}"] if lacking else []
    parts += [f"without {', '.join(new)}"] if new else []
    return " and ".join(parts)


def check_base(folder: Path, card: Card | EpisodeCard, source: Source) -> None:
    """Raise DataError where an adapter is not one of this language model.

    No ModelError: no other approach should serve in its place.
    """
    # By the files alone: a folder may have been moved.
    if source.base.rpartition("@")[2] != card.model.rpartition("@")[2]:
        raise DataError(
            f"{folder} is an adapter of {card.model}, and the language model is {source.base}; "
            f"possible: --model {card.base}"
        )


def check_loaded(source: Source, card: Card | EpisodeCard | None) -> None:
    """Raise DataError where a model that was loaded is not that of its adapter.

    Of a hub's model this is known only once its files are here.
    """
    if source.adapter is not None and card is not None:
        check_base(source.adapter, card, here(source))


def find_model(
    model: str, folder: Path | None, card: Card | EpisodeCard | None, say: Callable[[str], object]
) -> Source:
    """Find a language model, with the adapter in ``folder`` if there is one; say an automatic choice.

    Raises ModelError where there is no such model, DataError where the adapter is not one of it, as
    far as that is known before the model is loaded (``check_loaded``).
    """
    if folder is None or card is None:
        return pick(model, say)
    return with_adapter(model, folder, card)


def with_adapter(model: str, folder: Path, card: Card | EpisodeCard) -> Source:
    """Return a language model with an adapter; of ``auto`` the one that the adapter is of.

    Raises DataError where it is another one. Of a model that is still on the hub this is known
    only once it is here.
    """
    source = find(card.base) if model == AUTO else pick(model)
    if source.path is not None:
        check_base(folder, card, source)
    return replace(source, adapter=folder, digest=card.adapter)


def unfinished(out: Path) -> Path:
    """Return the folder of an adapter that is not whole yet, beside its own."""
    return out.with_name(out.name + UNFINISHED)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the folder of an adapter that is not finished, so that no other run writes there."""
    from filelock import FileLock, Timeout

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "lock", timeout=0):
            yield
    except Timeout:
        raise DataError(
            f"{folder} is held by another run; possible: wait for it, or another --out"
        ) from None
    except OSError as error:
        raise DataError(f"{folder} cannot be written ({error.strerror})") from None


def finish(out: Path, card: Card | EpisodeCard) -> None:
    """Write the card, and give the adapter its name: from here on it is whole.

    Raises DataError where there is a folder of that name by now.
    """
    folder = unfinished(out) / "adapter"
    card.save(folder / CARD)
    try:
        folder.rename(out)
    except OSError as error:
        raise DataError(f"{out} cannot be written ({error.strerror}); {folder} has it") from None
    shutil.rmtree(unfinished(out), ignore_errors=True)
