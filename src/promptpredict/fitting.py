"""The approach that `explain` explains: its language model loaded, fitted on labelled records.

Knows models, estimators and what has to be said of both; knows nothing of reasons or of how tables
are read.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from promptpredict.errors import DataError
from promptpredict.labelled import label_of
from promptpredict.plans import PROBE_SHOTS, WITH_LM, ZERO_SHOT
from promptpredict.prompt import PromptFile
from promptpredict.records import Record
from promptpredict.tables import table_name

if TYPE_CHECKING:
    from promptpredict.adapters import Card
    from promptpredict.approach import Approach
    from promptpredict.encoders import Embedder
    from promptpredict.episodecards import EpisodeCard
    from promptpredict.explaining import ExplainOptions
    from promptpredict.rendered import Prompt
    from promptpredict.scores import LanguageModel, Scores

Say = Callable[[str], object]
ROUNDED = (
    "with numbers of 16 bits effects are rounded by .1 or so, and small ones say little; possible: "
    "--dtype float32"
)


class CutCounter:
    """A language model, and how many of the prompts that it read were cut."""

    def __init__(self, lm: LanguageModel) -> None:
        """Read by a language model."""
        self.name, self._lm = lm.name, lm
        self.begin()

    def begin(self) -> None:
        """Forget what was read."""
        self._read, self._cut = 0, 0

    def __sklearn_clone__(self) -> CutCounter:
        """Return itself: a clone of an estimator shares what is loaded."""
        return self

    def score(self, prompts: Sequence[Prompt], labels: Any, **given: Any) -> Scores:
        """Score prompts as the language model does."""
        found = self._lm.score(prompts, labels, **given)
        self._read += len(prompts)
        self._cut += int(found.truncated.sum())
        return found

    def describe(self) -> str:
        """Return in words how many were cut, nothing where none was."""
        if not self._cut:
            return ""
        return (
            f"{self._cut:,} of {self._read:,} prompts were cut to fit the model, shots first, then the "
            "first words of texts: what is not read has no effect, and comes back where another part is out"
        )


def cut_by(embedder: Embedder) -> str:
    """Return in words how many texts a sentence encoder cut, nothing where none was."""
    cut = embedder.describe()
    return f"{cut}: a sentence behind that has no effect of its own" if cut else ""


def has_learned_labels(card: Card | EpisodeCard | None) -> bool:
    """Whether an adapter was trained on the labels that it scores; such a one calibrates itself."""
    return hasattr(card, "calibration")


def card_of(
    asked: ExplainOptions,
    prompt_file: PromptFile,
    labelled: Sequence[Record],
    record: Record,
    say: Say,
) -> Card | EpisodeCard | None:
    """Return the card of the adapter, of which is said what it is not for; ``record`` is any customer.

    Raises DataError where it does not go with the prompt file or the approach.
    """
    if asked.adapter is None:
        return None
    from promptpredict.adapters import fitting_card, unfit

    card = fitting_card(asked.adapter, [prompt_file], shots=0)
    if has_learned_labels(card) and asked.approach != ZERO_SHOT:
        raise DataError(
            f"{asked.adapter} has learned the labels, and {asked.approach} would learn them anew; "
            f"possible: {ZERO_SHOT}"
        )
    shown, table = list(filter(prompt_file.shows, record.values)), table_name(str(asked.train))
    for note in unfit(asked.adapter, card, table, labelled, shown, redacted=asked.redact):
        say(note)
    return card


def language_model_of(
    asked: ExplainOptions, prompt_file: PromptFile, card: Card | EpisodeCard | None, say: Say
) -> tuple[CutCounter | None, Any]:
    """Return the language model, and the calibration that was saved or is the adapter's own."""
    if asked.approach not in WITH_LM:
        return None, None
    from promptpredict.adapters import check_loaded, find_model
    from promptpredict.loading import choose_device, choose_dtype, load_language_model
    from promptpredict.models import here

    saved = getattr(card, "calibration", None)
    source = find_model(asked.model, asked.adapter, card, say)
    if asked.calibration:
        from promptpredict.calibrating import load_saved

        own = {"prompt": prompt_file.fingerprint, "model": here(source).fingerprint}
        saved = load_saved(asked.calibration, [prompt_file], own)
    if choose_dtype(asked.dtype, choose_device(asked.device)[0])[0].itemsize < 4:
        say(ROUNDED)
    lm = load_language_model(source, dtype=asked.dtype, device=asked.device, say=say)
    check_loaded(source, card)
    return CutCounter(lm), saved


def learned_from(
    asked: ExplainOptions,
    prompt_file: PromptFile,
    labelled: Sequence[Record],
    saved: Any,
    say: Say,
) -> Sequence[Record]:
    """Return the labelled records that an approach learns from, and say what it cannot learn."""
    found = {prompt_file.label_of(record.label) for record in labelled}
    lacking = [key for key in prompt_file.words if key not in found]
    if saved is not None:
        rate = prompt_file.front.base_rate
        if rate is not None and not saved.is_at(rate):
            why = "--calibration was given" if asked.calibration else "the adapter calibrates"
            say(f"the base_rate of {prompt_file.name} is not used: {why}")
        placed = prompt_file.standing and prompt_file.standing.columns
        if labelled and not asked.calibration and not placed:
            say("--train is not used: the adapter calibrates")
        return []  # numbers are placed among them
    if not labelled or not lacking:
        return labelled
    none = f"{table_name(str(asked.train))} has no row of the label '{lacking[0]}'"
    if asked.approach == ZERO_SHOT:
        say(f"not calibrated on labels: {none}")
        return []
    say(f"warning: {none}: probabilities are those of the other labels, without it")
    return labelled


def fitted(
    asked: ExplainOptions,
    prompt_file: PromptFile,
    labelled: Sequence[Record],
    records: Sequence[Record],
    lm: CutCounter | None,
    embedder: Embedder,
    saved: Any,
) -> Approach:
    """Return the approach, fitted on the labelled records, or without any on none.

    A calibration that was ``saved`` takes the place of its own.
    """
    import numpy as np

    from promptpredict.cases import Draw
    from promptpredict.estimating import estimator_of
    from promptpredict.plans import Plan

    rows, none = np.arange(len(labelled)), np.arange(0)
    approach = estimator_of(
        asked.approach,
        prompt_file,
        Plan(approaches=[asked.approach]),
        Draw(budget=len(labelled), seed=asked.seed, fold=0, rows=rows, train=rows, test=none),
        shots=asked.shots or PROBE_SHOTS,
        model=lm,
        encoder=embedder,
    )
    if "random_state" in approach.get_params():
        approach.set_params(random_state=asked.seed)  # a table may be sorted; a draw is not
    if labelled:
        y = [label_of(prompt_file, record, str(asked.train)) for record in labelled]
        approach.fit(list(labelled), y)
    else:
        with warnings.catch_warnings():  # numbers have been placed, or that was said
            warnings.simplefilter("ignore", UserWarning)
            approach.fit(list(records[:1]), None)
    if saved is not None:
        approach.calibration_ = saved  # which zero-shot has
    if lm is not None:
        lm.begin()  # what it read so far is not what is explained
    return approach


def is_calibrated(approach: Approach, labelled: Sequence[Record]) -> bool:
    """Whether probabilities are; labelled records may have been too few, or all of them shots."""
    calibration = getattr(approach, "calibration_", None)
    return bool(labelled) if calibration is None else calibration.method != "none"
