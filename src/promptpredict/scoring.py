"""Records to scores: shots chosen, prompts rendered, label words scored.

The part of the walk that `score`, `benchmark` and the estimators share. Knows nothing of tables,
output files or calibration.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from promptpredict.errors import PromptPredictError
from promptpredict.prompt import PromptFile
from promptpredict.records import Record
from promptpredict.rendered import Prompt
from promptpredict.scores import Labels, LanguageModel, Scores


class Choosing(Protocol):
    """What knows the shots of records; ``promptpredict.shots.Shots`` does.

    ``sets`` are those behind each of which a record is scored: itself, where there is one.
    """

    @property
    def sets(self) -> Sequence[Choosing]:
        """The sets of shots, the first first."""

    def choose(self, records: Sequence[Record]) -> Sequence[tuple[Record, ...]]:
        """Return the shots of each record, in the order in which a prompt shows them."""


class Known(Choosing, Protocol):
    """What knows which labelled records it shows to everybody, besides."""

    @property
    def sets(self) -> Sequence[Known]:
        """The sets of shots, the first first."""

    def shown(self) -> Sequence[Record]:
        """Return the shots that everybody is shown."""


def score_records(
    lm: LanguageModel,
    prompt_file: PromptFile,
    records: Sequence[Record],
    shots: Choosing | None = None,
    *,
    others: Sequence[PromptFile] = (),
    progress: Callable[[int], object] = lambda _: None,
) -> Scores:
    """Score every record; row i of the scores is record i.

    With ``others``, prompt files that have the same labels, log-probabilities are the mean over
    all files; a record's prompts stand side by side, so that its text is read once. With several
    sets of shots they are the mean over these too, and ``by_set`` has those of each; records are
    read set by set, so that what a set shows is read once a block. A record that
    cannot be rendered or scored has NaN in its row and its reason in ``faults``. ``progress`` is
    called with the number of records done since its last call.

    The mean is not taken of probabilities: a set that is sure would outvote the others. Whether
    log-probabilities are normalised over the labels before it or behind it is the same, for a set's
    own sum is common to its labels: the log-odds are the mean of the sets' log-odds.
    """
    files = [prompt_file, *others]
    if shots is None or len(shots.sets) == 1:
        return _score_set(lm, files, records, shots, progress)
    told = _each(len(shots.sets), progress)
    parts = [_score_set(lm, files, records, each, told) for each in shots.sets]
    return _over_sets(parts, np.ones((len(records), len(parts)), dtype=bool))


def score_held_out(
    lm: LanguageModel,
    prompt_file: PromptFile,
    records: Sequence[Record],
    shots: Known | None = None,
    *,
    others: Sequence[PromptFile] = (),
    progress: Callable[[int], object] = lambda _: None,
) -> Scores:
    """Score labelled records, each by the sets of shots that do not show it.

    A single set is taken to show none of them. Where each of several shows a record, it has NaN.
    """
    if shots is None or len(shots.sets) == 1:
        return score_records(
            lm, prompt_file, records, shots, others=others, progress=progress
        )  # fmt: skip
    files, told = [prompt_file, *others], _each(len(shots.sets), progress)
    parts, asked = [], np.ones((len(records), len(shots.sets)), dtype=bool)
    for at, each in enumerate(shots.sets):
        shown = {id(record) for record in each.shown()}
        asked[:, at] = [id(record) not in shown for record in records]
        rows = np.flatnonzero(asked[:, at]).tolist()
        told(len(records) - len(rows))
        scores = _score_set(lm, files, [records[row] for row in rows], each, told)
        parts.append(_spread(scores, rows, len(records), {}))
    return _over_sets(parts, asked)


def _score_set(
    lm: LanguageModel,
    files: Sequence[PromptFile],
    records: Sequence[Record],
    shots: Choosing | None,
    progress: Callable[[int], object],
) -> Scores:
    """Score records behind one set of shots, averaged over prompt files."""
    prompts, faults = render_records(files, records, shots)
    progress(len(faults))
    asked = [Labels(file.words, file.front.join) for file in files]
    every = [prompt for each in prompts.values() for prompt in each]
    if len(files) > 1 and every:
        found = lm.score(every, asked * len(prompts), progress=_each(len(files), progress))
        scores = _averaged(found, files)
    else:
        scores = lm.score(every, asked[0], progress=progress)
    return _spread(scores, list(prompts), len(records), faults)


def render_sets(
    files: Sequence[PromptFile], records: Sequence[Record], shots: Choosing | None = None
) -> dict[int, list[Prompt]]:
    """Return each record's prompts, set by set and one a file, by its index, where it has all."""
    sets: Sequence[Choosing | None] = shots.sets if shots else [None]
    every = [render_records(files, records, each)[0] for each in sets]
    return {
        index: [prompt for each in every for prompt in each[index]]
        for index in every[0]
        if all(index in each for each in every)
    }


def render_records(
    files: Sequence[PromptFile], records: Sequence[Record], shots: Choosing | None = None
) -> tuple[dict[int, list[Prompt]], dict[int, str]]:
    """Return each record's prompts, one a file, by its index, and the reasons of those without."""
    shown = shots.choose(records) if shots else [()] * len(records)
    prompts: dict[int, list[Prompt]] = {}
    faults: dict[int, str] = {}
    for index, record in enumerate(records):
        try:
            prompts[index] = [file.render(record, shown[index]) for file in files]
        except PromptPredictError as error:
            faults[index] = str(error)
    return prompts, faults


def score_panel(
    lm: LanguageModel, prompt_file: PromptFile, records: Sequence[Record]
) -> tuple[npt.NDArray[np.float64], dict[int, str]]:
    """Return the log-odds (n, q) of the panel's questions, and a reason for each row without.

    Where the file asks a yes/no question of its own, it comes first. A customer's prompts stand
    side by side, so that its text is read once.
    """
    own = len(prompt_file.words) == 2
    join = prompt_file.front.join
    asked = [Labels(prompt_file.words, join)] if own else []
    for aside in prompt_file.front.panel.values():
        favour, against = aside.words
        asked.append(Labels({"for": [favour], "against": [against]}, join))
    prompts: dict[int, list[Prompt]] = {}
    faults: dict[int, str] = {}
    for index, record in enumerate(records):
        try:
            first = [prompt_file.render(record)] if own else []
            prompts[index] = first + [
                prompt_file.render_panel(record, name) for name in prompt_file.front.panel
            ]
        except PromptPredictError as error:
            faults[index] = str(error)
    rows, width = list(prompts), len(asked)
    odds = np.full((len(records), width), np.nan)
    if not rows:
        return odds, faults
    every = [prompt for each in prompts.values() for prompt in each]
    scores = lm.score(every, asked * len(prompts))
    for at, fault in scores.faults.items():
        faults.setdefault(rows[at // width], fault)
    odds[rows] = (scores.logprobs[:, 0] - scores.logprobs[:, 1]).reshape(len(rows), width)
    if own and next(iter(prompt_file.words)) != prompt_file.front.positive:
        odds[:, 0] *= -1  # turned here, not in the prompt, which others have read as it stands
    return odds, faults


def _each(count: int, progress: Callable[[int], object]) -> Callable[[int], object]:
    """Return a progress that is told of records, ``count`` prompts each."""
    left = 0

    def advance(prompts: int) -> None:
        nonlocal left
        whole, left = divmod(left + prompts, count)
        progress(whole)

    return advance


def _averaged(scores: Scores, files: Sequence[PromptFile]) -> Scores:
    """Return one row for each record from those of its prompts, one a file, side by side."""
    labels, count = list(files[0].words), len(files)
    by_file = scores.logprobs.reshape(-1, count, len(labels))  # (n, files, k)
    aligned = [
        by_file[:, at, [list(file.words).index(label) for label in labels]]
        for at, file in enumerate(files)
    ]
    return Scores(
        logprobs=np.mean(aligned, axis=0),
        mass=scores.mass.reshape(-1, count).mean(axis=1),
        hidden=scores.hidden[::count],
        truncated=np.asarray(scores.truncated.reshape(-1, count).any(axis=1)),
        faults={at // count: fault for at, fault in sorted(scores.faults.items(), reverse=True)},
        tokens=scores.tokens,
    )


def _over_sets(parts: Sequence[Scores], asked: npt.NDArray[np.bool_]) -> Scores:
    """Return the mean over sets of shots, of those that were ``asked`` (n, sets) of a record.

    Hidden states are those of the first set.
    """
    by_set = np.stack([part.logprobs for part in parts], axis=1)  # (n, sets, k)
    masses = np.stack([part.mass for part in parts], axis=1)  # (n, sets)
    counts = asked.sum(axis=1)
    shares = asked / np.where(counts, counts, np.nan)[:, None]  # (n, sets)
    logprobs = (np.where(asked[..., None], by_set, 0) * shares[..., None]).sum(axis=1)
    mass = (np.where(asked, masses, 0) * shares).sum(axis=1)
    return Scores(
        logprobs=logprobs.astype(np.float32),
        mass=mass.astype(np.float32),
        hidden=parts[0].hidden,
        truncated=np.any([part.truncated for part in parts], axis=0),
        faults={row: fault for part in reversed(parts) for row, fault in part.faults.items()},
        tokens=sum(part.tokens for part in parts),
        by_set=by_set,
    )


def _spread(scores: Scores, rows: list[int], count: int, faults: dict[int, str]) -> Scores:
    """Put the rows of scores at their places among ``count`` records."""

    def full(values: Any) -> Any:
        empty = False if values.dtype == bool else np.nan
        spread = np.full((count, *values.shape[1:]), empty, dtype=values.dtype)
        spread[rows] = values
        return spread

    return Scores(
        logprobs=full(scores.logprobs),
        mass=full(scores.mass),
        hidden=full(scores.hidden),
        truncated=full(scores.truncated),
        faults=faults | {rows[index]: fault for index, fault in scores.faults.items()},
        tokens=scores.tokens,
        read=None if scores.read is None else full(scores.read),
    )
