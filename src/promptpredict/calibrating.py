"""Which calibration a run of `score` gets: a saved one, a base rate, labels, or none.

Knows the order of preference, and what a saved calibration has to fit; how a calibration is
found from numbers, `calibration` knows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from promptpredict import calibration, manylabels, rebasing
from promptpredict.amountcalibration import AmountCalibration, fit_calibration, from_edges
from promptpredict.calibration import Calibration
from promptpredict.checking import Given
from promptpredict.errors import DataError
from promptpredict.labelled import drawn, label_shares
from promptpredict.models import Source
from promptpredict.progress import Progress
from promptpredict.prompt import PromptFile
from promptpredict.rates import Rate, said_rate
from promptpredict.records import Record
from promptpredict.scores import LanguageModel
from promptpredict.scoring import score_held_out
from promptpredict.shots import Shots
from promptpredict.shotsets import ShotSets
from promptpredict.spool import NumberFile, Scored

MIN_LABELLED = 8  # labelled records from which a calibration on labels is tried
MAX_LABELLED = 256  # labelled records that are scored for it, at most
SURE = 0.01  # chance of a ranking so wrong where there is none, below which it is said
Say = Callable[[str], object]


def fingerprints(given: Given, source: Source) -> dict[str, str]:
    """Return what label log-probabilities depend on: the prompts and the model."""
    options = given.options
    prompt = "+".join(file.fingerprint for file in (given.prompt_file, *given.others))
    if options.shots:
        sets = (options.shot_sets,) if options.shot_sets > 1 else ()
        pool = [(record.id, record.label, record.values) for record in given.labelled]
        encoder = options.encoder if options.select == "nearest" else None
        shown = repr((options.shots, options.select, options.seed, encoder, pool, *sets))
        prompt += f"+shots-{hashlib.sha256(shown.encode()).hexdigest()[:16]}"
    return {"prompt": prompt, "model": source.fingerprint}


def load_saved(
    path: str, files: Sequence[PromptFile], own: Mapping[str, str]
) -> Calibration | AmountCalibration:
    """Read a saved calibration; DataError where it was found with anything else than ``own``."""
    kind = AmountCalibration if files[0].front.bins else Calibration
    found: Calibration | AmountCalibration = kind.load(path)
    placed = any(file.front.numbers == "placed" for file in files)
    parts = "file, shots or places of numbers" if placed else "file or shots"
    what = {"prompt": f"another prompt ({parts})", "model": "another model"}
    for name, fingerprint in own.items():
        saved = getattr(found, name)
        # Of a model by its files alone: a folder may have been moved.
        if saved.rpartition("@")[2] != fingerprint.rpartition("@")[2]:
            raise DataError(
                f"{path} was found with {what[name]}: {saved or 'unknown'}, and this run has "
                f"{fingerprint}; possible: a new one with --save-calibration"
            )
    labels = list(files[0].words)
    if list(found.labels) != labels:
        raise DataError(
            f"{path} has the labels {', '.join(found.labels)}, and this run has {', '.join(labels)}"
        )
    return found


def find_calibration(
    given: Given,
    lm: LanguageModel,
    shots: Shots | ShotSets | None,
    scored: Iterable[Scored],
    say: Say,
) -> Calibration | AmountCalibration:
    """Find the calibration of a run from its own label log-probabilities, block by block.

    By the first of these that there is: --base-rate, labelled records that are no shots, the
    prompt file's base_rate. What cannot be found is said, and the run is not calibrated. The
    calibration of an adapter is moved to --base-rate.
    """
    front = given.prompt_file.front
    if front.bins:
        return _amounts(given, lm, shots, say)
    found = None
    if given.options.base_rate is not None:
        if given.labelled and given.calibrates_alone:
            say(
                "--train is not used: --base-rate gives the level; possible: --shots, or one of them"
            )
        found = _by_base_rate(given, given.options.base_rate, scored, say)
    else:
        if given.labelled:
            found = _by_labels(given, lm, shots, say)
        if found is not None and front.base_rate is not None:
            say(
                f"the base_rate of {given.prompt_file.name} is not used: labelled records calibrate, and "
                "probabilities follow their shares; possible: --base-rate"
            )
        if found is None and front.base_rate is not None:
            found = _by_base_rate(given, front.base_rate, scored, say)
    return found or uncalibrated(given)


def uncalibrated(given: Given) -> Calibration | AmountCalibration:
    """Return what a run has that is not calibrated."""
    bins = given.prompt_file.front.bins
    if bins is None:
        return calibration.none(given.labels, given.positive)
    return from_edges(tuple(given.labels), tuple(bins.edges or ()))


def _amounts(
    given: Given, lm: LanguageModel, shots: Shots | ShotSets | None, say: Say
) -> Calibration | AmountCalibration:
    """Find how amounts follow from bins on labelled records that are no shots."""
    if not given.labelled:
        return uncalibrated(given)
    from promptpredict.binning import targets_of

    logprobs, scored = _scored(given, lm, _no_shots(given, shots), shots)
    if len(scored) < MIN_LABELLED:
        say(
            f"not calibrated on amounts: at least {MIN_LABELLED} labelled records that are no shots "
            f"are needed; there are {len(scored)}"
        )
        return uncalibrated(given)
    bins = given.prompt_file.front.bins
    return fit_calibration(
        logprobs,
        targets_of(scored),
        labels=tuple(given.labels),
        edges=tuple(bins.edges or ()) if bins else (),
        known=targets_of(given.labelled),
        seed=given.options.seed,
    )


def _by_base_rate(
    given: Given, rate: Rate, scored: Iterable[Scored], say: Say
) -> Calibration | None:
    labels, positive, own = given.labels, given.positive, given.own
    file = NumberFile(width=1 if positive is not None else len(labels))
    for block in scored:
        logprobs = block.logprobs if own is None else rebasing.calibrated(own, block.logprobs)
        if positive is None:
            file.append(manylabels.known_rows(logprobs, labels))
        else:
            odds = calibration.log_odds(logprobs, labels, positive)
            file.append(odds[np.isfinite(odds)])
    if own is not None and file.count < calibration.MIN_ROWS:
        return rebasing.at_rate(own, rate)
    if file.count < calibration.MIN_ROWS:
        say(
            f"not calibrated to the base rate {said_rate(rate)}: {file.count} scored rows are too few to find "
            f"a shift on ({calibration.MIN_ROWS} are needed); possible: --calibration FILE, from "
            "a larger run with --save-calibration FILE"
        )
        return None
    if positive is None or isinstance(rate, Mapping):
        assert isinstance(rate, Mapping)  # checked with the options and the front matter
        found = manylabels.fit_shares(file.parts, rate, labels=labels)
    else:
        found = calibration.fit_shift(file.parts, rate, labels=labels, positive=positive)
    return found if own is None else rebasing.further(own, found)


def _by_labels(
    given: Given, lm: LanguageModel, shots: Shots | ShotSets | None, say: Say
) -> Calibration | None:
    records = _no_shots(given, shots)
    y = [given.prompt_file.label_of(record.label) for record in records]
    logprobs: Any = np.empty((0, len(given.labels)))
    if _enough(y, given.labels):
        logprobs, scored = _scored(given, lm, records, shots)
        y = [given.prompt_file.label_of(record.label) for record in scored]
    if not _enough(y, given.labels):
        lacking = [label for label in given.labels if label not in y]
        none = f", none with the label '{lacking[0]}'" if y and lacking else ""
        say(
            f"not calibrated on labels: at least {MIN_LABELLED} labelled records that are no "
            f"shots, every label among them, are needed; there are {len(y)}{none}"
        )
        return None
    if reverse := _reversed(np.asarray(logprobs), np.asarray(y), given):
        say(reverse)
    # Balanced shots take more of the rare label: the level is that of all labelled records.
    some = len(records) < len(given.labelled)
    level = label_shares(given.prompt_file, given.labelled) if some else None
    return manylabels.fit_labels(
        logprobs, y, labels=given.labels, positive=given.positive, level=level
    )


def _scored(
    given: Given, lm: LanguageModel, records: Sequence[Record], shots: Shots | ShotSets | None
) -> tuple[npt.NDArray[np.float32], list[Record]]:
    """Return label log-probabilities (m, k) of the records that could be scored, and these records."""
    with Progress("calibrating", len(records)) as progress:
        scores = score_held_out(
            lm, given.prompt_file, records, shots, others=given.others, progress=progress.advance
        )
    rows = [row for row in range(len(records)) if row not in scores.faults]
    return scores.logprobs[rows], [records[row] for row in rows]


def _reversed(logprobs: npt.NDArray[Any], y: npt.NDArray[Any], given: Given) -> str | None:
    """Say so where label log-probabilities (n, k) rank labelled records (n,) the wrong way round.

    A calibration moves the level and never turns the order: the scores would be the worse for it.
    """
    if given.positive is None:
        return None
    from scipy.stats import mannwhitneyu

    place = given.labels.index(given.positive)
    odds = logprobs[:, place] - logprobs[:, 1 - place]
    ahead, behind = odds[y == given.positive], odds[y != given.positive]
    statistic, chance = mannwhitneyu(ahead, behind, alternative="less")
    if chance >= SURE:
        return None
    auc = statistic / (len(ahead) * len(behind))
    return (
        f"warning: {given.prompt_file.name} ranks {len(y)} labelled records the wrong way round "
        f"(ROC AUC {auc:.3f}), and calibration does not turn it; possible: another wording, or "
        "other words for the labels"
    )


def _no_shots(given: Given, shots: Shots | ShotSets | None) -> list[Record]:
    """Return labelled records that are no shots, where there are many some of every label."""
    rest = shots.others() if shots else given.labelled
    file = given.prompt_file
    keys = [] if file.front.bins else [file.label_of(record.label) for record in rest]
    return drawn(rest, MAX_LABELLED, seed=given.options.seed, keys=keys)


def _enough(y: Sequence[str], labels: Sequence[str]) -> bool:
    return len(y) >= MIN_LABELLED and set(y) == set(labels)
