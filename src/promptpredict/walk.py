"""The walk of `score`: a table and a prompt file in, predictions and rejects out.

Knows the order of things and what is said about them; how each is done, the other modules know.
Everything that can be wrong with the user's files is found before a model is loaded.
"""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from promptpredict.errors import DataError, ModelError, PromptError
from promptpredict.prompt import PromptFile
from promptpredict.records import Block, Labelled, Record, Reject, read_blocks, read_header, read_records
from promptpredict.shots import SELECTS, Select
from promptpredict.writing import Writer, check_output, write_rejects

if TYPE_CHECKING:
    from promptpredict.calibration import Calibration
    from promptpredict.models import Source

BLOCK_ROWS = 1024
PLATT_ROWS = 256  # labelled records that are read for a Platt calibration, at most
Say = Callable[[str], object]


@dataclass(frozen=True, kw_only=True)
class ScoreOptions:
    """What `score` is asked for; the defaults are the command's."""

    customers: str
    prompt: str
    out: str = "-"
    train: str | None = None
    shots: int = 0
    select: Select = "balanced"
    model: str = "auto"
    encoder: str = "minilm"
    dtype: str = "auto"
    device: str = "auto"
    base_rate: float | None = None
    calibration: str | None = None
    save_calibration: str | None = None
    fallback: Literal["none", "embedding"] = "none"
    threshold: float | None = None
    keep: Sequence[str] = ()
    limit: int | None = None
    seed: int = 0
    delimiter: str | None = None
    encoding: str | None = None


@dataclass
class _Scored:
    """One block behind the language model: rows of arrays beside its records."""

    block: Block
    logprobs: Any  # (n, k), NaN where the row could not be scored
    mass: Any  # (n,)
    truncated: Any  # (n,)
    faults: dict[int, str]
    fallback: dict[int, list[float]] = field(default_factory=dict)  # row → probabilities


@dataclass
class Summary:
    """What a run did, for its last line on stderr and for callers."""

    rows: int = 0
    by_method: dict[str, int] = field(default_factory=dict)
    rejected: int = 0
    truncated: int = 0
    rejects: Path | None = None
    calibration: str = "not calibrated"
    masses: list[float] = field(default_factory=list)

    def line(self) -> str:
        """Return the summary line."""
        methods = ", ".join(f"{count:,} {method}" for method, count in self.by_method.items()) or "0"
        parts = [f"{self.rows:,} rows: {methods}, {self.rejected:,} rejected"]
        if self.rejects:
            parts[0] += f" ({self.rejects})"
        if self.truncated:
            parts.append(f"{self.truncated:,} prompts lost shots or feedback to fit")
        if self.masses:
            parts.append(f"median label mass {sorted(self.masses)[len(self.masses) // 2]:.3g}")
        parts.append(self.calibration)
        return "; ".join(parts)


def score_table(options: ScoreOptions, say: Say = lambda _: None) -> Summary:
    """Score every row of a table; rows in = rows out + rejects.

    Raises PromptPredictError for whatever is wrong with the files or the model.
    """
    prompt_file, labelled = _checked(options)
    source = _language_model(options, labelled, say)
    walk = _Walk(options, prompt_file, labelled, say)
    with tempfile.TemporaryFile() as spool:
        for scored in walk.score(source):
            pickle.dump(scored, spool)
        calibration = walk.calibrate()
        spool.seek(0)
        return walk.write(_unspooled(spool), calibration)


def _checked(options: ScoreOptions) -> tuple[PromptFile, Labelled | None]:
    """Check all that the user gave, and read the labelled records."""
    check_output(options.out)
    prompt_file = PromptFile.load(options.prompt)
    if prompt_file.front.task == "regression":
        raise PromptError(f"{prompt_file.name} has task: regression, which score cannot do yet; possible: binary, multiclass")
    given = {"delimiter": options.delimiter, "encoding": options.encoding}
    header = read_header(options.customers, **given)
    prompt_file.check_columns(header, options.customers)
    for column in options.keep:
        _check_kept(column, header, options)
    _check_numbers(options, prompt_file)
    labelled = None
    if options.train is not None:
        prompt_file.check_columns(read_header(options.train, **given), options.train, labelled=True)
        labelled = read_records(options.train, prompt_file.roles, **given)
        for record in labelled.records:
            prompt_file.label_of(record.label)
    elif options.shots or options.fallback == "embedding":
        what = "--shots" if options.shots else "--fallback embedding"
        raise DataError(f"{what} needs labelled records; give them with --train LABELLED")
    return prompt_file, labelled


def _check_kept(column: str, header: Sequence[str], options: ScoreOptions) -> None:
    from promptpredict.errors import nearest

    if column not in header:
        raise DataError(f"--keep asks for column '{column}'; {options.customers} has no such column{nearest(column, header)}")


def _check_numbers(options: ScoreOptions, prompt_file: PromptFile) -> None:
    binary = len(prompt_file.words) == 2
    for name, value in (("--base-rate", options.base_rate), ("--threshold", options.threshold)):
        if value is not None and not binary:
            raise DataError(f"{name} needs two labels; {prompt_file.name} has {len(prompt_file.words)}")
        if value is not None and not 0 < value < 1:
            raise DataError(f"{name} is {value:g}; it must lie between 0 and 1")
    if options.shots < 0 or options.shots > 64:
        raise DataError(f"--shots is {options.shots}; it must lie between 0 and 64")
    if options.select not in SELECTS:
        raise DataError(f"--select is '{options.select}'; possible: {', '.join(SELECTS)}")


def _language_model(options: ScoreOptions, labelled: Labelled | None, say: Say) -> Source | None:
    """Find the language model; None where there is none and the embedding serves instead."""
    from promptpredict.models import choose, find

    try:
        if options.model != "auto":
            return find(options.model)
        source, why = choose()
        say(f"model: {source.name} ({why})")
        return source
    except ModelError as error:
        if options.fallback != "embedding":
            raise
        say(f"no language model: {error}; every row is scored by the embedding approach")
        return None


def _unspooled(spool: Any) -> Iterator[_Scored]:
    while True:
        try:
            yield pickle.load(spool)
        except EOFError:
            return


class _Walk:
    """One run: what is loaded, and what has to be remembered between its two passes."""

    def __init__(self, options: ScoreOptions, prompt_file: PromptFile, labelled: Labelled | None, say: Say) -> None:
        from promptpredict.encoders import Embedder

        self.options, self.prompt_file, self.say = options, prompt_file, say
        self.labelled = labelled.records if labelled else []
        self.labels = list(prompt_file.words)
        self.positive = prompt_file.front.positive if len(self.labels) == 2 else None
        self.embedder = Embedder(options.encoder)
        self.lm: Any = None
        self.shots: Any = None
        self._embedding: Any = None
        self._odds: list[Any] = []  # label log-probabilities of a run, for its base rate

    # -- first pass: scores ----------------------------------------------------------------

    def score(self, source: Source | None) -> Iterator[_Scored]:
        """Score block by block."""
        from promptpredict.progress import Progress
        from promptpredict.tables import count_rows

        options = self.options
        self._load(source)
        blocks = read_blocks(
            options.customers, self.prompt_file.roles, block_rows=BLOCK_ROWS, limit=options.limit,
            keep=options.keep, delimiter=options.delimiter, encoding=options.encoding,
        )  # fmt: skip
        with Progress("scoring", count_rows(options.customers, options.limit)) as progress:
            for block in blocks:
                progress.advance(len(block.rejects))
                scored = self._scored(block, progress.advance)
                self._fall_back(scored)
                self._odds.append(scored.logprobs)
                yield scored

    def _load(self, source: Source | None) -> None:
        from promptpredict.shots import Shots

        if source is not None:
            from promptpredict.loading import load_language_model

            self.lm = load_language_model(source, dtype=self.options.dtype, device=self.options.device, say=self.say)
        if self.options.shots:
            embed = self.embedder if self.options.select == "nearest" else None
            self.shots = Shots(self.prompt_file, self.labelled, self.options.shots, self.options.select, self.options.seed, embed)

    def _scored(self, block: Block, advance: Callable[[int], object]) -> _Scored:
        import numpy as np

        from promptpredict.scoring import score_records

        if self.lm is None:
            n = len(block.records)
            advance(n)
            empty = np.full((n, len(self.labels)), np.nan, dtype=np.float32)
            return _Scored(block, empty, empty[:, 0], np.zeros(n, dtype=bool), dict.fromkeys(range(n), "no language model"))
        scores = score_records(self.lm, self.prompt_file, block.records, self.shots, progress=advance)
        return _Scored(block, scores.logprobs, scores.mass, scores.truncated, scores.faults)

    def _fall_back(self, scored: _Scored) -> None:
        """Score by the embedding approach what the language model could not."""
        if not scored.faults or self.options.fallback != "embedding":
            return
        if self._embedding is None:
            from promptpredict.estimators import EmbeddingClassifier

            y = [self.prompt_file.label_of(record.label) for record in self.labelled]
            self._embedding = EmbeddingClassifier(self.prompt_file, encoder=self.embedder).fit(_frame(self.labelled), y)
        classes = list(self._embedding.classes_)
        for index in sorted(scored.faults):
            try:
                found = self._embedding.predict_proba(_frame([scored.block.records[index]]))[0]
            except DataError:  # the row cannot be rendered at all: it stays a reject
                continue
            scored.fallback[index] = [float(found[classes.index(key)]) if key in classes else 0.0 for key in self.labels]
            del scored.faults[index]

    # -- between: calibration --------------------------------------------------------------

    def calibrate(self) -> Calibration:
        """Find the calibration of this run, or read the one that was given."""
        from promptpredict import calibration

        options, front = self.options, self.prompt_file.front
        found = calibration.none(self.labels, self.positive)
        rest = self._calibration_records()
        if options.calibration:
            found = self._saved(calibration.Calibration.load(options.calibration))
        elif self.lm is None:
            pass
        elif options.base_rate is not None:
            found = self._by_base_rate(options.base_rate)
        elif rest:
            found = self._by_labels(rest)
        elif front.base_rate is not None:
            found = self._by_base_rate(front.base_rate)
        if options.save_calibration:
            if found.method == "none":
                self.say("there is no calibration to save")
            else:
                found = found.model_copy(update=self._fingerprints())
                found.save(options.save_calibration)
        return found

    def _by_base_rate(self, rate: float) -> Calibration:
        import numpy as np

        from promptpredict import calibration

        assert self.positive is not None
        logprobs = np.concatenate(self._odds) if self._odds else np.empty((0, 2))
        scored = int(np.isfinite(logprobs).all(axis=1).sum())
        if scored < calibration.MIN_ROWS:
            self.say(
                f"not calibrated to the base rate {rate:g}: {scored} rows are too few to find a shift on "
                f"({calibration.MIN_ROWS} are needed); possible: --calibration FILE, saved by a larger run with --save-calibration"
            )
            return calibration.none(self.labels, self.positive)
        return calibration.fit_base_rate(logprobs, rate, labels=self.labels, positive=self.positive)

    def _calibration_records(self) -> list[Record]:
        """Return labelled records that are no shots, where every label is among them."""
        rest = self.shots.others() if self.shots and self.options.select != "nearest" else self.labelled
        rest = rest[:PLATT_ROWS]
        present = {self.prompt_file.label_of(record.label) for record in rest}
        return list(rest) if len(rest) >= 8 and len(present) == len(self.labels) else []

    def _by_labels(self, records: list[Record]) -> Calibration:
        from promptpredict import calibration
        from promptpredict.scoring import score_records

        logprobs = score_records(self.lm, self.prompt_file, records, self.shots).logprobs
        y = [self.prompt_file.label_of(record.label) for record in records]
        fit = calibration.fit_platt if self.positive is not None else calibration.fit_temperature
        return fit(logprobs, y, labels=self.labels, positive=self.positive)

    def _saved(self, found: Calibration) -> Calibration:
        for what, own in self._fingerprints().items():
            if getattr(found, what) not in ("", own):
                raise DataError(
                    f"{self.options.calibration} was found with another {what} ({getattr(found, what)}, "
                    f"and this run has {own}); possible: a new one with --save-calibration"
                )
        if list(found.labels) != self.labels:
            raise DataError(f"{self.options.calibration} has the labels {', '.join(found.labels)}, and this run has {', '.join(self.labels)}")
        return found

    def _fingerprints(self) -> dict[str, str]:
        shots = f"+{self.options.shots} {self.options.select} shots" if self.options.shots else ""
        return {"prompt": self.prompt_file.fingerprint + shots, "model": self.lm.name if self.lm else ""}

    # -- second pass: predictions ----------------------------------------------------------

    def write(self, blocks: Iterator[_Scored], calibration: Calibration) -> Summary:
        """Write predictions and rejects."""
        summary = Summary(calibration=calibration.describe())
        rejects: list[Reject] = []
        id_column = self.prompt_file.front.id or "row"
        probabilities = [f"p_{key}" for key in self.labels]
        columns = [id_column, "prediction", *probabilities, "label_mass", "method", "truncated"]
        columns += [column for column in self.options.keep if column not in columns]
        with Writer(self.options.out, columns) as writer:
            for scored in blocks:
                lines = self._lines(scored, calibration.apply(scored.logprobs), id_column, summary)
                writer.write(lines)
                rejects += scored.block.rejects
                rejects += [_reject(scored.block.records[index], fault) for index, fault in scored.faults.items()]
        rejects.sort(key=lambda reject: reject.row)
        summary.rejected = len(rejects)
        summary.rows += len(rejects)
        summary.rejects = write_rejects(
            self.options.out, [{"row": each.row, "id": each.id, "reason": each.reason} for each in rejects]
        )
        return summary

    def _lines(self, scored: _Scored, probabilities: Any, id_column: str, summary: Summary) -> list[dict[str, Any]]:
        lines = []
        for index, record in enumerate(scored.block.records):
            if index in scored.faults:
                continue
            fallen = scored.fallback.get(index)
            row = [float(p) for p in probabilities[index]] if fallen is None else fallen
            method = "llm" if fallen is None else "embedding"
            mass = float(scored.mass[index]) if fallen is None else None
            truncated = bool(scored.truncated[index]) and fallen is None
            summary.rows += 1
            summary.by_method[method] = summary.by_method.get(method, 0) + 1
            summary.truncated += truncated
            if mass is not None:
                summary.masses.append(mass)
            lines.append(
                scored.block.kept[index]
                | {id_column: record.id if self.prompt_file.front.id else record.row, "prediction": self._prediction(row)}
                | {f"p_{key}": p for key, p in zip(self.labels, row, strict=True)}
                | {"label_mass": mass, "method": method, "truncated": truncated}
            )
        return lines

    def _prediction(self, probabilities: Sequence[float]) -> str:
        if self.options.threshold is None or self.positive is None:
            return self.labels[max(range(len(self.labels)), key=lambda at: probabilities[at])]
        column = self.labels.index(self.positive)
        return self.labels[column if probabilities[column] >= self.options.threshold else 1 - column]


def _reject(record: Record, fault: str) -> Reject:
    return Reject(record.row, record.id, fault)


def _frame(records: Sequence[Record]) -> list[dict[str, Any]]:
    return [dict(record.values) for record in records]
