"""The walk of `explain`: a table and a prompt file in, reasons out, and what would have to change.

Knows the order of things; how reasons are found, counted and shown is elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptpredict.errors import DataError, PromptError, nearest
from promptpredict.fitting import (
    card_of,
    cut_by,
    fitted,
    has_learned_labels,
    is_calibrated,
    language_model_of,
    learned_from,
)
from promptpredict.labelled import ReadingOptions, check_task, read_labelled
from promptpredict.placing import placed_files
from promptpredict.plans import BOTH, PRIOR, TUNED, WITH_LM, WITHOUT_LM, ZERO_SHOT
from promptpredict.plural import counted
from promptpredict.prompt import PromptFile
from promptpredict.records import Record, Reject, read_blocks, read_header
from promptpredict.tables import table_name
from promptpredict.values import spelling
from promptpredict.writing import check_apart, check_folder

if TYPE_CHECKING:
    from promptpredict.approach import Approach
    from promptpredict.contrast import Contrast

Say = Callable[[str], object]
EXPLAINED = tuple(name for name in (*WITH_LM, *WITHOUT_LM) if name != TUNED)
SHOWING = ("few-shot", "few-shot-sets", "few-shot-random", "few-shot-nearest", "probe-shots")
LEARNED_FROM = 10_000  # first rows: what is typical, and which values occur


@dataclass(frozen=True, kw_only=True)
class ExplainOptions(ReadingOptions):
    """What `explain` is asked; the defaults are the command's."""

    customers: str
    prompt: str
    row: int | None = None
    limit: int | None = None
    train: str | None = None
    approach: str = ZERO_SHOT
    shots: int | None = None
    calibration: str | None = None
    adapter: Path | None = None
    label: str | None = None
    typical: bool = False
    actionable: Sequence[str] = ()
    below: float | None = None
    out: Path | None = None
    model: str = "auto"
    encoder: str = "minilm"
    dtype: str = "auto"
    device: str = "auto"
    seed: int = 0


def explain_table(asked: ExplainOptions, say: Say = lambda _: None) -> str:
    """Explain customers, and return what was found as text; with ``out``, write it as JSON and HTML.

    Raises PromptPredictError for whatever is wrong with the files, the options or the model.
    """
    from promptpredict.encoders import Embedder
    from promptpredict.told import Told

    prompt_file = PromptFile.load(asked.prompt)
    _check(asked, prompt_file)
    labelled: list[Record] = []
    notes: list[str] = []
    if asked.train is not None:
        labelled, notes = read_labelled(asked.train, prompt_file, asked.reading)
        _check_labelled(asked, prompt_file, labelled)
    records, known, rejects = _records(asked, prompt_file)
    [prompt_file], unplaced = placed_files([prompt_file], labelled or None)
    warned = [f"warning: {warning}" for warning in prompt_file.warnings]
    for note in [*warned, *notes, *unplaced, *asked.notes]:
        say(note)
    choices = _choices(asked, prompt_file, known)
    card = card_of(asked, prompt_file, labelled, records[0], say)
    embedder = Embedder(asked.encoder, device=asked.device)
    lm, saved = language_model_of(asked, prompt_file, card, say)
    learned = learned_from(asked, prompt_file, labelled, saved, say)
    approach = fitted(asked, prompt_file, learned, records, lm, embedder, saved)
    found = _found(asked, approach, records, known, choices, rejects)
    for cut in filter(None, (lm.describe() if lm else "", cut_by(embedder))):
        say(cut)
    for row, reason in found["faults"].items():
        say(f"left out: row {row}: {reason}")
    if not found["explanations"]:
        row, reason = next(iter(found["faults"].items()))
        raise DataError(f"no customer could be explained; the first is row {row}: {reason}")
    told = Told(
        table=table_name(asked.customers),
        prompt=prompt_file.name,
        target=prompt_file.front.target,
        approach=TUNED if has_learned_labels(card) else asked.approach,
        adapter=asked.adapter.resolve().name if asked.adapter else "",
        typical=asked.typical,
        calibrated=is_calibrated(approach, learned),
        **found,
    )
    if asked.out is not None:
        from promptpredict.toldpage import write_told

        for path in write_told(asked.out, told):
            say(f"{path} is written")
    return told.text()


# -- before a model is loaded ------------------------------------------------------------------


def _check(asked: ExplainOptions, prompt_file: PromptFile) -> None:
    """Raise PromptPredictError for what does not go together."""
    check_task(prompt_file, "explain")
    _check_approach(asked, prompt_file)
    if asked.label is not None and spelling(asked.label) not in map(spelling, prompt_file.words):
        possible = ", ".join(f"'{label}'" for label in prompt_file.words)
        raise DataError(
            f"--label is '{asked.label}'; the labels of {prompt_file.name} are {possible}"
        )
    if bool(asked.actionable) != (asked.below is not None):
        raise DataError("--actionable and --below go together: what may change, and how far down")
    if asked.actionable and prompt_file.front.positive is None and asked.label is None:
        raise DataError(
            f"{prompt_file.name} has several labels; say of which one the probability is to fall, "
            f"with --label; possible: {', '.join(prompt_file.words)}"
        )
    if asked.out is not None:
        check_folder(asked.out)
        read = {"the table of customers": asked.customers, "the labelled table": asked.train}
        check_apart({"--out": asked.out}, {**read, "the table of events": asked.events})


def _check_approach(asked: ExplainOptions, prompt_file: PromptFile) -> None:
    """Raise PromptPredictError for an approach that cannot be explained, or not so."""
    if asked.approach not in EXPLAINED:
        others = {PRIOR: "has no reasons"}
        others |= dict.fromkeys(BOTH, "joins others, which can be explained")
        others |= {TUNED: "is zero-shot with an adapter, which --adapter names"}
        why = others.get(asked.approach, f"is unknown{nearest(asked.approach, EXPLAINED)}")
        raise DataError(f"the approach '{asked.approach}' {why}; possible: {', '.join(EXPLAINED)}")
    if asked.adapter is not None and asked.approach not in WITH_LM:
        raise DataError(
            f"--adapter is one of a language model, which {asked.approach} has not; "
            f"possible: {', '.join(name for name in EXPLAINED if name in WITH_LM)}"
        )
    if asked.approach != ZERO_SHOT and asked.train is None:
        raise DataError(f"{asked.approach} learns from labelled records; give them with --train")
    if asked.shots and asked.approach not in SHOWING:
        raise DataError(f"{asked.approach} shows no shots; possible: {', '.join(SHOWING)}")
    if asked.actionable and asked.approach in SHOWING and prompt_file.front.id is None:
        raise PromptError(
            f"{prompt_file.name} names no id: a customer that is changed could be shown itself as a shot; "
            "possible: id in the front matter, or an approach without shots"
        )
    places = prompt_file.front.numbers == "placed"  # which are learned from labelled records
    if asked.calibration and (asked.approach != ZERO_SHOT or (asked.train and not places)):
        raise DataError("--calibration goes with zero-shot, without --train, which calibrates anew")
    if asked.approach == "panel" and not prompt_file.front.panel:
        raise PromptError(f"{prompt_file.name} has no panel, which the approach panel asks")


def _check_labelled(
    asked: ExplainOptions, prompt_file: PromptFile, labelled: Sequence[Record]
) -> None:
    """Raise DataError for labelled records that an approach cannot learn from, or not of the label."""
    table = table_name(str(asked.train))
    found = {prompt_file.label_of(record.label) for record in labelled}
    if len(found) < 2:
        what = f"rows of the label '{min(found)}' alone" if found else "no usable row"
        raise DataError(f"{table} has {what}; {asked.approach} learns from two labels or more")
    if asked.approach == ZERO_SHOT:
        return  # which tells every label without labelled records
    label = prompt_file.front.positive if asked.label is None else asked.label
    if label is not None and prompt_file.label_of(label) not in found:
        raise DataError(f"{table} has no row of the label '{label}', which is to be explained")


def _records(
    asked: ExplainOptions, prompt_file: PromptFile
) -> tuple[list[Record], list[Record], list[Reject]]:
    """Return the records to explain, those that say what is typical and occurs, and unreadable rows."""
    header = read_header(asked.customers, asked.reading)
    prompt_file.check_columns(header, table_name(asked.customers))
    last = asked.row or asked.limit
    compared = asked.typical or bool(asked.actionable)
    limit = last if last is None or not compared else max(last, LEARNED_FROM)
    records: list[Record] = []
    known: list[Record] = []
    rejects: list[Reject] = []
    rows = 0
    for block in read_blocks(asked.customers, prompt_file.roles, asked.reading, limit=limit):
        rows += len(block.records) + len(block.rejects)
        if compared:
            known += block.records[: max(LEARNED_FROM - len(known), 0)]
        records += [each for each in block.records if _is_asked(asked, each.row)]
        rejects += [each for each in block.rejects if _is_asked(asked, each.row)]
    if not records:
        what = f"row {asked.row}" if asked.row else "usable row"
        why = f"; it has {counted(rows, 'row')}" if asked.row else ""
        why = f": {rejects[0].reason}" if rejects else why
        raise DataError(f"{table_name(asked.customers)} has no {what}{why}")
    return records, known, rejects


def _is_asked(asked: ExplainOptions, row: int) -> bool:
    return row == asked.row if asked.row else asked.limit is None or row <= asked.limit


def _choices(asked: ExplainOptions, prompt_file: PromptFile, known: Sequence[Record]) -> Any:
    if not asked.actionable:
        return {}
    from promptpredict.contrast import choices_of

    return choices_of(prompt_file, known, asked.actionable)


# -- with it -----------------------------------------------------------------------------------


def _found(
    asked: ExplainOptions,
    approach: Approach,
    records: Sequence[Record],
    known: Sequence[Record],
    choices: Any,
    rejects: Sequence[Reject],
) -> dict[str, Any]:
    """Return explanations, contrasts, what they come to, and why rows have none."""
    from promptpredict.explain import explain
    from promptpredict.importance import faithfulness, importances
    from promptpredict.parts import typical_values
    from promptpredict.progress import Progress

    typical = typical_values(approach.prompt_file_, known) if asked.typical else None
    with Progress("explaining", len(records)) as progress:
        explanations, faults = explain(
            approach,
            records,
            label=asked.label,
            typical=typical,
            seed=asked.seed,
            progress=progress.advance,
        )
    contrasts: list[Contrast] = []
    if choices and explanations:
        contrasts = _contrasts(asked, approach, records, faults, choices)
    return {
        "explanations": tuple(explanations),
        "contrasts": tuple(contrasts),
        "importances": tuple(importances(explanations)),
        "faithfulness": faithfulness(explanations),
        "faults": {reject.row: reject.reason for reject in rejects} | faults,
    }


def _contrasts(
    asked: ExplainOptions,
    approach: Approach,
    records: Sequence[Record],
    faults: dict[int, str],
    choices: Any,
) -> list[Contrast]:
    from promptpredict.contrast import contrast
    from promptpredict.progress import Progress

    assert asked.below is not None
    file = approach.prompt_file_
    label = file.front.positive if asked.label is None else file.label_of(asked.label)
    assert label is not None
    some = [record for record in records if record.row not in faults]
    with Progress("changing", len(some)) as progress:
        found, left_out = contrast(
            approach, some, choices, below=asked.below, label=label, progress=progress.advance
        )
    faults |= {row: f"no change was tried: {reason}" for row, reason in left_out.items()}
    return found
