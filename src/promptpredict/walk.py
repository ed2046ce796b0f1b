"""The walk of `score`: a table and a prompt file in, predictions and rejects out.

Knows the order of things and what is said about them; how each is done, the other modules know.
The table is read in blocks; what stays in memory of a row is its id, its scores and its kept
columns, until the calibration of the whole run is known and the rows can be written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptpredict.checking import Given, ScoreOptions, check
from promptpredict.errors import ModelError
from promptpredict.records import Block, Reject, read_blocks
from promptpredict.writing import Writer, write_rejects

if TYPE_CHECKING:
    from promptpredict.calibration import Calibration
    from promptpredict.encoders import Embedder
    from promptpredict.fallback import Fallback
    from promptpredict.models import Source
    from promptpredict.scores import LanguageModel
    from promptpredict.shots import Shots

BLOCK_ROWS = 1024
NAMED_SHOTS = 16  # shots whose ids the summary names
Say = Callable[[str], object]


@dataclass
class Summary:
    """What a run did, for its last line on stderr and for callers.

    ``rows`` is the sum of ``by_method`` and ``rejected``; ``shots`` are the ids of the shots
    shown; ``cut`` counts the texts that were longer than the sentence encoder's window.
    """

    rows: int = 0
    by_method: dict[str, int] = field(default_factory=dict)
    rejected: int = 0
    first_reject: Reject | None = None
    rejects: Path | None = None
    shots: list[str] = field(default_factory=list)
    truncated: int = 0
    cut: int = 0
    masses: list[float] = field(default_factory=list)
    calibration: str = "not calibrated"

    def line(self) -> str:
        """Return the summary line."""
        methods = "".join(f", {count:,} by {name}" for name, count in self.by_method.items())
        parts = [f"{self.rows:,} rows{methods}, {self.rejected:,} rejected"]
        if self.first_reject:
            where = f"{self.rejects}; " if self.rejects else ""
            first = f"row {self.first_reject.row}: {self.first_reject.reason}"
            parts[0] += f" ({where}the first is {first})"
        if self.shots:
            more = len(self.shots) - NAMED_SHOTS
            named = ", ".join(self.shots[:NAMED_SHOTS])
            parts.append(f"shots: {named}{f' and {more:,} more' if more > 0 else ''}")
        if self.truncated:
            parts.append(f"{self.truncated:,} prompts lost shots or feedback to fit")
        if self.cut:
            parts.append(f"{self.cut:,} texts were cut by the sentence encoder")
        if self.masses:
            middle = sorted(self.masses)[len(self.masses) // 2]
            parts.append(f"median label mass {middle:.3g}")
        parts.append(self.calibration)
        return "; ".join(parts)


def score_table(options: ScoreOptions, say: Say = lambda _: None) -> Summary:
    """Score every row of a table; rows in = rows out + rejects.

    Raises PromptPredictError for whatever is wrong with the files or the model.
    """
    given = check(options)
    for note in given.notes:
        say(note)
    source = _source(options, say)
    if source is None and options.calibration is not None:
        say("--calibration is not used: it belongs to a language model")
    on_hub = source is not None and source.path is None  # its files are known once it is loaded
    saved = None if on_hub else _saved(given, source)
    run = _Run(given, source, say)
    if on_hub and run.lm is not None:
        saved = _saved(given, source)
    scored = list(run.scored_blocks())
    calibration = run.calibrate(scored, saved)
    return run.write(scored, calibration)


def _source(options: ScoreOptions, say: Say) -> Source | None:
    """Find the language model; None where there is none and the embedding serves instead."""
    from promptpredict.models import pick

    try:
        return pick(options.model, say)
    except ModelError as error:
        _do_without(options, error, say)
        return None


def _do_without(options: ScoreOptions, error: ModelError, say: Say) -> None:
    """Say that there is no language model; raise where nothing else can score."""
    if options.fallback != "embedding":
        raise error
    say(f"no language model: {error}; every row is scored by the embedding approach")


def _saved(given: Given, source: Source | None) -> Calibration | None:
    if given.options.calibration is None or source is None:
        return None
    from promptpredict.calibrating import fingerprints, load_saved
    from promptpredict.models import here

    return load_saved(given.options.calibration, given, fingerprints(given, here(source)))


@dataclass
class _Scored:
    """A block behind its scoring; index i is the block's record i."""

    rows: list[int]
    ids: list[str]
    kept: list[dict[str, str]]
    rejects: list[Reject]
    logprobs: Any  # (n, k) float32, NaN where the language model did not score
    mass: Any  # (n,) float32
    truncated: Any  # (n,) bool
    faults: dict[int, str]
    fallback: dict[int, list[float]] = field(default_factory=dict)  # index → probabilities


class _Run:
    """One run: what is loaded, and the steps of the walk that need it."""

    def __init__(self, given: Given, source: Source | None, say: Say) -> None:
        from promptpredict.encoders import Embedder

        self.given, self.options, self.say = given, given.options, say
        self.source = source
        self.embedder = Embedder(self.options.encoder, device=self.options.device)
        self.shots = shots_of(given, self.embedder) if source else None
        self.fallback = _fallback(given, self.embedder)
        self.lm = self._language_model()

    def _language_model(self) -> LanguageModel | None:
        if self.source is None:
            return None
        from promptpredict.loading import load_language_model

        dtype, device = self.options.dtype, self.options.device
        try:
            return load_language_model(self.source, dtype=dtype, device=device, say=self.say)
        except ModelError as error:
            _do_without(self.options, error, self.say)
            return None

    # -- first pass: scores --------------------------------------------------------------------

    def scored_blocks(self) -> Iterator[_Scored]:
        """Score block by block."""
        from promptpredict.progress import Progress
        from promptpredict.tables import count_rows

        options = self.options
        blocks = read_blocks(
            options.customers,
            self.given.prompt_file.roles,
            block_rows=BLOCK_ROWS,
            limit=options.limit,
            keep=options.keep,
            **options.reading,
        )
        with Progress("scoring", count_rows(options.customers, options.limit)) as progress:
            for block in blocks:
                progress.advance(len(block.rejects))
                scored = self._scored(block, progress.advance)
                self._fall_back(block, scored)
                yield scored

    def _scored(self, block: Block, advance: Callable[[int], object]) -> _Scored:
        rows, ids = [each.row for each in block.records], [each.id for each in block.records]
        beside = (rows, ids, block.kept, block.rejects)
        if self.lm is None:
            import numpy as np

            advance(len(rows))
            empty = np.full((len(rows), len(self.given.labels)), np.nan, dtype=np.float32)
            faults = dict.fromkeys(range(len(rows)), "there is no language model")
            return _Scored(*beside, empty, empty[:, 0], np.zeros(len(rows), dtype=bool), faults)
        from promptpredict.scoring import score_records

        found = score_records(
            self.lm,
            self.given.prompt_file,
            block.records,
            self.shots,
            others=self.given.others,
            progress=advance,
        )
        return _Scored(*beside, found.logprobs, found.mass, found.truncated, found.faults)

    def _fall_back(self, block: Block, scored: _Scored) -> None:
        """Score by the embedding approach what the language model could not."""
        if self.fallback is None or not scored.faults:
            return
        failed = sorted(scored.faults)
        found, faults = self.fallback.score([block.records[index] for index in failed])
        scored.fallback = {failed[at]: row for at, row in found.items()}
        if self.lm is None:
            scored.faults = {failed[at]: fault for at, fault in faults.items()}
        else:  # what kept a row from the language model is the reason that a user can mend
            scored.faults = {failed[at]: scored.faults[failed[at]] for at in faults}

    # -- between: calibration ------------------------------------------------------------------

    def calibrate(self, scored: Sequence[_Scored], saved: Calibration | None) -> Calibration:
        """Return the saved calibration, or find the run's own; save it where that is asked."""
        from promptpredict import calibrating, calibration
        from promptpredict.models import here

        found = saved
        if self.lm is None or self.source is None:
            found = calibration.none(self.given.labels, self.given.positive)
        elif found is None:
            import numpy as np

            width = len(self.given.labels)
            parts = [np.empty((0, width), dtype=np.float32), *(each.logprobs for each in scored)]
            logprobs = np.concatenate(parts)
            found = calibrating.find_calibration(
                self.given, self.lm, self.shots, logprobs, self.say
            )
        else:
            for option in self._unused():
                self.say(f"{option} is not used: --calibration was given")
        if self.options.save_calibration is None:
            return found
        if found.method == "none" or self.source is None:
            self.say(f"{self.options.save_calibration} is not written: there is no calibration")
        else:
            own = calibrating.fingerprints(self.given, here(self.source))
            found.model_copy(update=own).save(self.options.save_calibration)
        return found

    def _unused(self) -> Iterator[str]:
        """Yield the options that a saved calibration leaves without a use."""
        options = self.options
        if options.base_rate is not None:
            yield "--base-rate"
        if options.train is not None and not options.shots and options.fallback == "none":
            yield "--train"

    # -- second pass: predictions --------------------------------------------------------------

    def write(self, scored: Sequence[_Scored], calibration: Calibration) -> Summary:
        """Write predictions and rejects."""
        summary = Summary(
            shots=list(self.shots.used) if self.shots else [],
            cut=self.embedder.truncated,
            calibration=calibration.describe(),
        )
        rejects: list[Reject] = []
        with Writer(self.options.out, self.given.columns) as writer:
            for block in scored:
                writer.write(self._lines(block, calibration.apply(block.logprobs), summary))
                rejects += block.rejects
                rejects += [
                    Reject(block.rows[index], block.ids[index], fault)
                    for index, fault in block.faults.items()
                ]
            rejects.sort(key=lambda reject: reject.row)
            summary.rejects = write_rejects(self.options.out, [_reject(each) for each in rejects])
        summary.first_reject = rejects[0] if rejects else None
        summary.rejected = len(rejects)
        summary.rows = sum(summary.by_method.values()) + len(rejects)
        return summary

    def _lines(
        self, block: _Scored, probabilities: Any, summary: Summary
    ) -> Iterator[Mapping[str, Any]]:
        """Yield the lines of a block's rows, counting them."""
        for index, row in enumerate(block.rows):
            if index in block.faults:
                continue
            fallen = block.fallback.get(index)
            found = probabilities[index].tolist() if fallen is None else fallen
            mass = float(str(block.mass[index])) if fallen is None else None  # float32's digits
            method = "llm" if fallen is None else "embedding"
            truncated = bool(block.truncated[index]) and fallen is None
            summary.by_method[method] = summary.by_method.get(method, 0) + 1
            summary.truncated += truncated
            summary.masses += [] if mass is None else [mass]
            yield {
                self.given.id_column: block.ids[index] if self.given.prompt_file.front.id else row,
                "prediction": self._prediction(found),
                **{f"p_{key}": p for key, p in zip(self.given.labels, found, strict=True)},
                "label_mass": mass,
                "method": method,
                "truncated": truncated,
                **block.kept[index],
            }

    def _prediction(self, probabilities: Sequence[float]) -> str:
        labels = self.given.labels
        if self.options.threshold is None or self.given.positive is None:
            return labels[max(range(len(labels)), key=lambda at: probabilities[at])]
        column = labels.index(self.given.positive)
        return labels[column if probabilities[column] >= self.options.threshold else 1 - column]


def shots_of(given: Given, embedder: Embedder) -> Shots | None:
    """Return the shots of a run; None where none are asked for."""
    from promptpredict.shots import Shots

    options = given.options
    if not options.shots:
        return None
    embed = embedder if options.select == "nearest" else None
    return Shots(
        given.prompt_file, given.labelled, options.shots, options.select, options.seed, embed
    )


def _fallback(given: Given, embedder: Embedder) -> Fallback | None:
    if given.options.fallback == "none":
        return None
    from promptpredict.fallback import Fallback

    options = given.options
    return Fallback(given.prompt_file, given.labelled, embedder, options.seed, options.base_rate)


def _reject(reject: Reject) -> dict[str, Any]:
    return {"row": reject.row, "id": reject.id, "reason": reject.reason}
