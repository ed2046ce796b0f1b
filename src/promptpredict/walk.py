"""The walk of `score`: a table and a prompt file in, predictions and rejects out.

Knows the order of things and what is said about them; how each is done, the other modules know.
The table is read in blocks; what is known of their rows waits on the disk until the calibration of
the whole run is known and they can be written. What the language model said is in the ledger.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, cast

from promptpredict.checking import Given, ScoreOptions, check
from promptpredict.errors import ModelError
from promptpredict.gate import Gate
from promptpredict.summary import Summary
from promptpredict.writing import clear_drafts, ledger_of

if TYPE_CHECKING:
    from promptpredict.amountcalibration import AmountCalibration
    from promptpredict.calibration import Calibration
    from promptpredict.keeping import Keep
    from promptpredict.ledger import Ledger
    from promptpredict.models import Source
    from promptpredict.onray import Ahead
    from promptpredict.records import Block
    from promptpredict.scores import LanguageModel
    from promptpredict.spool import Scored, Spool

LOOKED_AT = 16  # records of which it is said what the language model wants to say
Say = Callable[[str], object]


def score_table(options: ScoreOptions, say: Say = lambda _: None) -> Summary:
    """Score every row of a table; rows in = rows out + rejects.

    Raises PromptPredictError for whatever is wrong with the files or the model.
    """
    given = check(options)
    for note in given.notes:
        say(note)
    source = _source(given, say)
    if source is None and options.calibration is not None:
        say("--calibration is not used: it belongs to a language model")
    on_hub = source is not None and source.path is None  # its files are known once it is loaded
    saved = None if on_hub else _saved(given, source)
    run = _Run(given, source, say)
    with _ledger(options) if source else nullcontext() as ledger:
        run.load(ledger)
        if on_hub and source is not None and run.lm is not None:
            from promptpredict.adapters import check_loaded

            check_loaded(source, given.card)
            saved = _saved(given, source)
        return run.complete(saved)


@contextmanager
def _ledger(options: ScoreOptions) -> Iterator[Ledger | None]:
    """Hold the ledger beside the output for this run; there is none where that is stdout."""
    from promptpredict.ledger import Ledger

    if options.out == "-":
        yield None
        return
    with closing(Ledger.held(ledger_of(options.out), restart=options.restart)) as ledger:
        clear_drafts(options.out)  # of a run that was killed: nobody else writes here
        yield ledger


def _source(given: Given, say: Say) -> Source | None:
    """Find the language model; None where there is none and the embedding serves instead."""
    from promptpredict.adapters import find_model

    options = given.options
    try:
        return find_model(options.model, options.adapter, given.card, say)
    except ModelError as error:
        _do_without(options, error, say)
        return None


def _do_without(options: ScoreOptions, error: ModelError, say: Say) -> None:
    """Say that there is no language model; raise where nothing else can score."""
    if options.fallback != "embedding":
        raise error
    say(f"no language model: {error}; every row is scored by the embedding approach")


def _saved(given: Given, source: Source | None) -> Calibration | AmountCalibration | None:
    if source is None:
        return None
    if given.options.calibration is None:
        # The rows that were held out know best what the adapter has shifted.
        return given.own if given.options.base_rate is None else None
    from promptpredict.calibrating import fingerprints, load_saved
    from promptpredict.models import here

    files = [given.prompt_file, *given.others]
    return load_saved(given.options.calibration, files, fingerprints(given, here(source)))


class _Run:
    """One run: what is loaded, and the steps of the walk that need it."""

    def __init__(self, given: Given, source: Source | None, say: Say) -> None:
        from promptpredict.blockwise import fallback_of, shots_of
        from promptpredict.encoders import Embedder

        self.given, self.options, self.say = given, given.options, say
        self.source = source
        self.embedder = Embedder(self.options.encoder, device=self.options.device)
        self.shots = shots_of(given, self.embedder) if source else None
        self.fallback = fallback_of(given, self.embedder)
        self.gate = Gate(given.prompt_file.name, given.stop_mass)
        self.bins: Counter[int] = Counter()
        self.watched = ""
        self.lm: LanguageModel | None = None
        self.ledger: Ledger | None = None
        self.keep: Keep | None = None
        self.ahead: Ahead | None = None

    def load(self, ledger: Ledger | None) -> None:
        """Load the language model; what it says is kept in the ledger."""
        self.ledger = ledger
        if self.source is None:
            return
        try:
            lm = self._loaded(self.source)
        except ModelError as error:
            _do_without(self.options, error, self.say)
            return
        self.lm = self._durable(lm, self.source, ledger) if ledger else lm

    def _loaded(self, source: Source) -> LanguageModel:
        """Load the language model here, or let actors elsewhere load theirs."""
        if self.options.on == "ray":
            from promptpredict.onray import Ahead

            self.ahead = Ahead(self.given, source)
            self.say(self.ahead.describe())
            return self.ahead
        from promptpredict.loading import load_language_model

        dtype, device = self.options.dtype, self.options.device
        return load_language_model(source, dtype=dtype, device=device, say=self.say)

    def _durable(self, lm: LanguageModel, source: Source, ledger: Ledger) -> LanguageModel:
        """Let the ledger keep what the language model says; say where an earlier run is resumed."""
        from promptpredict.calibrating import fingerprints
        from promptpredict.durable import Durable
        from promptpredict.models import here
        from promptpredict.tables import stamp

        model = getattr(lm, "model", None)
        where = f"{getattr(model, 'dtype', '')} on {getattr(model, 'device', '')}"
        if self.ahead:
            where = self.ahead.where
        own = fingerprints(self.given, here(source))
        # All that says which prompts there are, and which of them share a block.
        asked = self.options
        read = (asked.delimiter, asked.encoding, asked.redact, asked.private.salt, *asked.told)
        rows = (asked.customers, stamp(asked.customers), asked.limit, read, asked.block_rows)
        whole = repr((rows, own, where))
        if ledger.begin(hashlib.sha256(whole.encode()).hexdigest()):
            self.say(f"resuming the run that was interrupted ({ledger.path})")
        self.watched = f"{own} {where}"
        identity = f"{own['model']} {where}"
        if self.ahead:
            self.ahead.begin(ledger, identity)
        return Durable(lm, ledger, identity=identity)

    def complete(self, saved: Calibration | AmountCalibration | None) -> Summary:
        """Score, calibrate and write."""
        from promptpredict.predictions import write_predictions
        from promptpredict.repeats import Repeats
        from promptpredict.spool import Spool
        from promptpredict.watching import counted, drift

        begun = time.monotonic()
        spool, repeats = Spool(), Repeats()
        with self._keeping() as self.keep:
            for block in self.scored_blocks():
                spool.append(block)
                if self.given.prompt_file.front.id:  # else they are the rows' numbers
                    repeats.add(block.ids)
                self.bins += counted(block.logprobs, self._column())
        calibration = self.calibrate(spool, saved)
        summary = Summary(
            shots=list(self.shots.used) if self.shots else [],
            cut=self.embedder.truncated,
            calibration=calibration.describe(),
            known=getattr(self.lm, "known", 0),
        )
        summary.repeated, summary.first_repeated = repeats.find(spool)
        if self.ledger:
            then, labels = self.ledger.last_bins(self.watched), self._column() is None
            summary.drift = drift(then or {}, self.bins, labels=labels)
            summary.incomparable = then is None
        write_predictions(self.given, spool, calibration, summary)
        if self.ledger:
            self.ledger.finish(self.watched, self.bins)
        summary.seconds = time.monotonic() - begun
        return summary

    def _keeping(self) -> AbstractContextManager[Keep | None]:
        """Give what keeps prompts, where that is asked for."""
        if not self.options.keep_prompts or self.lm is None:
            return nullcontext()
        from promptpredict.keeping import kept_prompts

        return kept_prompts(self.options.out, self.given.seal)

    def _column(self) -> int | None:
        labels, positive = self.given.labels, self.given.positive
        return None if positive is None else labels.index(positive)

    # -- first pass: scores --------------------------------------------------------------------

    def scored_blocks(self) -> Iterator[Scored]:
        """Score block by block."""
        from promptpredict.blockwise import blocks_of
        from promptpredict.progress import Progress

        options = self.options
        blocks = blocks_of(self.given)
        with Progress("scoring", options.count(options.customers, options.limit)) as progress:
            for block in blocks:
                if self.ahead:
                    self.ahead.take(block.index)
                progress.advance(len(block.rejects))
                scored = self._scored(block, progress.advance)
                if self.lm is not None:
                    self.gate.check(scored.mass, partial(self._wanted, block))
                self._fall_back(block, scored)
                yield scored
        if self.ahead:
            self.ahead.end()
        for note in options.reading.notes():
            self.say(note)

    def _scored(self, block: Block, advance: Callable[[int], object]) -> Scored:
        from promptpredict.blockwise import scored_block, unscored_block
        from promptpredict.scoring import render_sets

        if self.lm is None:
            advance(len(block.records))
            return unscored_block(self.given, block)
        if self.keep:
            files = [self.given.prompt_file, *self.given.others]
            self.keep(block.records, render_sets(files, block.records, self.shots))
        return scored_block(self.lm, self.given, block, self.shots, advance)

    def _wanted(self, block: Block) -> list[tuple[str, float]]:
        """Return what the language model would say of some records in place of the label words."""
        from promptpredict.scoring import render_records
        from promptpredict.wanted import wanted_tokens

        some = block.records[:LOOKED_AT]
        rendered, _ = render_records([self.given.prompt_file], some, self.shots)
        return wanted_tokens(
            getattr(self.lm, "lm", self.lm), [each[0] for each in rendered.values()]
        )

    def _fall_back(self, block: Block, scored: Scored) -> None:
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

    def calibrate(
        self, scored: Spool, saved: Calibration | AmountCalibration | None
    ) -> Calibration | AmountCalibration:
        """Return the saved calibration, or find the run's own; save it where that is asked."""
        from promptpredict import calibrating
        from promptpredict.models import here

        found = saved
        if self.lm is None or self.source is None:
            found = calibrating.uncalibrated(self.given)
        elif found is None:
            found = calibrating.find_calibration(self.given, self.lm, self.shots, scored, self.say)
        else:
            why = (
                "--calibration was given" if self.options.calibration else "the adapter calibrates"
            )
            for option in self._unused(found):
                self.say(f"{option} is not used: {why}")
        if self.options.save_calibration is None:
            return found
        if found.method in ("none", "bins") or self.source is None:
            self.say(f"{self.options.save_calibration} is not written: there is no calibration")
        else:
            own = calibrating.fingerprints(self.given, here(self.source))
            found.model_copy(update=own).save(self.options.save_calibration)
        return found

    def _unused(self, found: Calibration | AmountCalibration) -> Iterator[str]:
        """Yield what a saved calibration leaves without a use."""
        options, file = self.options, self.given.prompt_file
        rate = file.front.base_rate  # amounts have none, and a calibration of another kind
        if options.base_rate is not None:
            yield "--base-rate"
        elif rate is not None and not cast("Calibration", found).is_at(rate):
            yield f"the base_rate of {file.name}"
        if options.train is not None and self.given.calibrates_alone:
            yield "--train"
