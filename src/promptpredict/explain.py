"""Why a record scores as it does: how far its log-odds move when a part of it is taken out.

Knows records and any approach that is fitted; knows nothing of tables, files or how reasons are shown.
A language model reads the prompts of one record side by side, so that what stands before the part
that is out is read once (``promptpredict.trees``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel
from scipy.special import expit

from promptpredict import guard
from promptpredict.columns import shown_texts
from promptpredict.errors import DataError, PromptPredictError, UnscoredError, nearest
from promptpredict.parts import Part, parts_of, taken_out
from promptpredict.passes import BLOCK_ROWS
from promptpredict.prompt import PromptFile
from promptpredict.records import Record
from promptpredict.values import Value, spelling

Floats = npt.NDArray[np.float64]
TOP = 3  # reasons that are taken out together, to see whether they are the reasons
CHECKED = 32  # records of which is measured whether their reasons are the reasons
_SMALLEST = 1e-12  # of a probability: log-odds are told up to 27.6


class FittedApproach(Protocol):
    """An approach that was fitted: every estimator of this package that classifies is one."""

    prompt_file_: PromptFile
    keys_: list[str]

    def predict_proba(self, X: list[Record]) -> Floats:
        """Return the probability of each label (n, k), columns as ``keys_``."""

    def records(self, X: Any) -> list[Record]:
        """Return the records of a table."""


class Reason(BaseModel, frozen=True):
    """A part, and what it adds to the log-odds: what they lose when it is taken out."""

    part: Part
    effect: float


class Explanation(BaseModel, frozen=True):
    """Why one record has its log-odds of a label, and its probability.

    ``reasons`` are all parts, the strongest first. ``together`` is what the two strongest add beyond
    what each adds alone; None where there are fewer. ``top`` and ``random`` are how far the log-odds
    move without the three strongest, and without three drawn at random; None where there are no more,
    and where that was not measured.
    """

    row: int
    id: str
    label: str
    log_odds: float
    probability: float
    reasons: tuple[Reason, ...]
    together: float | None = None
    top: float | None = None
    random: float | None = None

    @property
    def strongest(self) -> tuple[Reason, ...]:
        """The reasons but those of whole texts, whose sentences are reasons already."""
        return single(self.reasons)


def single(reasons: Sequence[Reason]) -> tuple[Reason, ...]:
    """Return the reasons but those of whole texts."""
    return tuple(reason for reason in reasons if reason.part.kind != "text")


def explain(
    approach: FittedApproach,
    records: Sequence[Record],
    *,
    label: str | None = None,
    typical: Mapping[str, Value] | None = None,
    checked: int = CHECKED,
    seed: int = 0,
    progress: Callable[[int], object] = lambda _: None,
) -> tuple[list[Explanation], dict[int, str]]:
    """Explain records; return explanations in their order, and row → reason of those without.

    ``label`` is a label key; by default the positive one, and of several labels the most probable of
    each record. A part is taken out; with ``typical``, a field gets that value instead
    (``promptpredict.parts.typical_values``). At most ``checked`` records, spread over all, have their
    three strongest reasons taken out, and any three. A record without a part keeps the shots
    that are chosen for it whole. ``records`` may be whatever the approach was fitted on, a table
    too. Raises DataError for an unknown label, and for an approach that predicts amounts.
    """
    if not hasattr(approach, "predict_proba"):
        raise DataError(f"{type(approach).__name__} predicts amounts; explain is for labels")
    if not all(isinstance(each, Record) for each in records):
        records = approach.records(records)
    step = max(-(-len(records) // checked), 1) if checked else None
    rows = frozenset(record.row for record in records[::step]) if step else frozenset()
    told = _Telling(approach, _label_key(approach, label), typical, rows, seed)
    found: list[Explanation] = []
    faults: dict[int, str] = {}
    for some in _blocks(told.opened(records, faults)):
        found += told.explained(some, faults)
        progress(len(some))
    return found, faults


def _label_key(approach: FittedApproach, label: str | None) -> str | None:
    label = approach.prompt_file_.front.positive if label is None else label
    if label is None:
        return None
    known = {spelling(key): key for key in approach.keys_}
    if spelling(label) not in known:
        raise DataError(
            f"there is no label '{label}'{nearest(label, known)}; "
            f"possible: {', '.join(approach.keys_)}"
        )
    return known[spelling(label)]


@dataclass(frozen=True)
class _Opened:
    """A record and its parts."""

    record: Record
    parts: list[Part]


def _blocks(opened: Sequence[_Opened]) -> Iterator[list[_Opened]]:
    """Yield records whose prompts make a block, one at least."""
    some: list[_Opened] = []
    count = 0
    for each in opened:
        needed = 1 + len(each.parts)
        if some and count + needed > BLOCK_ROWS:
            yield some
            some, count = [], 0
        some.append(each)
        count += needed
    if some:
        yield some


@dataclass(frozen=True)
class _Telling:
    """What explanations have in common."""

    approach: FittedApproach
    label: str | None
    typical: Mapping[str, Value] | None
    checked: frozenset[int]  # rows
    seed: int

    def opened(self, records: Sequence[Record], faults: dict[int, str]) -> list[_Opened]:
        """Return records with their parts; one that cannot be shown, whole or without a part, is a fault."""
        file = self.approach.prompt_file_
        # A part that nobody reads would be among three drawn at random, and move nothing.
        reads = getattr(self.approach, "reads", ("field", "text"))
        if "field" not in reads and not shown_texts(file):
            reads = ("field",)  # it reads the whole customer then
        found = []
        for record in records:
            try:
                parts = [part for part in parts_of(file, record) if part.of in reads]
                for out in ([], *([part] for part in parts)):
                    file.render(taken_out(file, record, out, self.typical))
            except PromptPredictError as error:
                faults[record.row] = str(error)
            else:
                found.append(_Opened(record, parts))
        return found

    def explained(self, some: Sequence[_Opened], faults: dict[int, str]) -> list[Explanation]:
        """Explain the records of a block; those that cannot be scored go to ``faults``."""
        try:
            first = self._odds(some, [[[], *([part] for part in each.parts)] for each in some])
            ranked = [
                _ranked(each, odds, self._column(odds[0]))
                for each, odds in zip(some, first, strict=True)
            ]
            sets = [self._sets(each, reasons) for each, reasons in zip(some, ranked, strict=True)]
            second = self._odds(some, sets)
        except UnscoredError as error:
            faults |= error.faults
            left = [each for each in some if each.record.row not in error.faults]
            return self.explained(left, faults) if left else []
        return [self._explanation(*each) for each in zip(some, first, ranked, second, strict=True)]

    def _odds(
        self, some: Sequence[_Opened], sets: Sequence[Sequence[Sequence[Part]]]
    ) -> list[Floats]:
        """Return the log-odds (s, k) of each record without each of its sets of parts."""
        file = self.approach.prompt_file_
        changed = [
            taken_out(file, each.record, out, self.typical)
            for each, own in zip(some, sets, strict=True)
            for out in own
        ]
        if not changed:
            return [np.empty((0, len(self.approach.keys_)))] * len(some)
        said = self.approach.predict_proba(changed)  # (sum of s, k)
        odds = log_odds(said)
        ends = np.cumsum([len(own) for own in sets])
        return np.split(odds, ends[:-1])

    def _column(self, whole: Floats) -> int:
        """Return the column of the label of a record whose log-odds are ``whole`` (k,)."""
        if self.label is None:
            return int(np.argmax(whole))
        return self.approach.keys_.index(self.label)

    def _sets(self, each: _Opened, reasons: Sequence[Reason]) -> list[list[Part]]:
        """Return what is taken out once the reasons are known: the first two, the first three, any three."""
        parts = [reason.part for reason in single(reasons)]
        if len(parts) < 2:
            return []
        if len(parts) <= TOP or each.record.row not in self.checked:
            return [parts[:2]]
        drawn = np.random.default_rng([self.seed, each.record.row])
        any_three = drawn.choice(len(parts), TOP, replace=False)
        return [parts[:2], parts[:TOP], [parts[at] for at in any_three.tolist()]]

    def _explanation(
        self, each: _Opened, first: Floats, reasons: tuple[Reason, ...], second: Floats
    ) -> Explanation:
        column = self._column(first[0])
        whole = float(first[0, column])
        moved = [whole - float(odds) for odds in second[:, column]]
        alone = sum(reason.effect for reason in single(reasons)[:2])
        return Explanation(
            row=each.record.row,
            id=each.record.id,
            label=self.approach.keys_[column],
            log_odds=whole,
            probability=float(expit(whole)),
            reasons=reasons,
            together=moved[0] - alone if moved else None,
            top=abs(moved[1]) if len(moved) > 1 else None,
            random=abs(moved[2]) if len(moved) > 1 else None,
        )


def _ranked(each: _Opened, odds: Floats, column: int) -> tuple[Reason, ...]:
    """Return the parts of a record with their effects, the strongest first."""
    effects = (odds[0, column] - odds[1:, column]).tolist()
    found = [
        Reason(part=part, effect=effect) for part, effect in zip(each.parts, effects, strict=True)
    ]
    return tuple(sorted(found, key=lambda reason: -abs(reason.effect)))


def log_odds(probabilities: npt.ArrayLike) -> Floats:
    """Return the log-odds (n, k) of each label against all others from probabilities (n, k)."""
    # Not by 1 - p: of a p near 1 few digits would be left.
    return guard.log_odds(np.log(np.maximum(np.asarray(probabilities, np.float64), _SMALLEST)))
