"""The ground of a comparison: which rows train and test, who may run, and what is left out.

Knows splits, plans and prompt files; knows nothing of estimators, nor of how a model reads. Test rows
are the same for every approach, budget and seed; seeds vary the training draw.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

from promptpredict.cases import Draw, every_draw, fewer, most, runs
from promptpredict.errors import DataError
from promptpredict.leaks import find_leaks, repeated
from promptpredict.placing import unplaced
from promptpredict.plans import TUNED, Plan
from promptpredict.plural import counted
from promptpredict.prompt import PromptFile
from promptpredict.rates import checked_rate
from promptpredict.records import Record
from promptpredict.results import Flag
from promptpredict.sameness import content
from promptpredict.splits import Rows, make_splits
from promptpredict.times import cell_texts


class Ground:
    """Splits labelled records, and says which approaches of a plan run on which draws of them.

    ``groups`` and ``times`` are cells of a column, one a record; without groups, rows of one id
    are one. Raises DataError for records that cannot be split, and for a plan that cannot be carried
    out.
    """

    def __init__(
        self,
        records: Sequence[Record],
        prompt_file: PromptFile,
        plan: Plan,
        *,
        groups: Sequence[Any] | None = None,
        times: Sequence[Any] | None = None,
    ) -> None:
        """Split the records."""
        plan.check()
        rate = prompt_file.front.base_rate if plan.base_rate is None else plan.base_rate
        count, there = len(prompt_file.words), f"{prompt_file.name} has"
        if rate is not None:
            rate = checked_rate(rate, list(prompt_file.words), what="the base rate", there=there)
        if plan.value_saved is not None and prompt_file.front.positive is None:
            raise DataError(f"captured value needs two labels; {there} {count}")
        numbers = [record.row for record in records]
        if groups is not None:
            groups = cell_texts(groups, numbers, "group")
        self.prompt_file, self.plan = prompt_file, replace(plan, base_rate=rate)
        self.labels, self.positive = list(prompt_file.words), prompt_file.front.positive
        self.y = [prompt_file.label_of(record.label) for record in records]
        make = partial(
            make_splits,
            self.strata,
            folds=plan.folds,
            max_test=plan.max_test if plan.held is None else plan.held,
            seed=plan.split_seed,
            times=times,
            numbers=numbers,
        )
        self._same: list[str] = []  # what is to be said of ids that stand in several rows
        column = prompt_file.front.id if groups is None else None
        if column is not None:
            groups, self._same = _by_id(records, column, make, newest=times is not None)
        splits = make(groups=groups)
        if groups is not None:
            pairs = zip(records, groups, strict=True)
            records = [replace(record, group=group) for record, group in pairs]
        self.records = records
        self.splits = [fewer(split, plan, self.strata) for split in splits]
        # Places of numbers, from all that may train in a fold, whatever the budget, so that every
        # prompt stays the same and is read once. No leak: no label is looked at and no test row.
        self.files = [prompt_file.placed(self._rows(split.train)) for split in self.splits]
        self.most = most(self.splits)
        columns = list(records[0].values)
        self.approaches, self._unusable = plan.usable(prompt_file, columns, set(self.y))
        self.unscored: dict[int, str] = {}  # row of the table → why no approach may use it
        self._places = {record.row: index for index, record in enumerate(records)}

    def check(self) -> None:
        """Raise DataError where no approach runs at any budget."""
        if not any(self._runs[draw.budget] for draw in self.draws()):
            raise DataError(f"nothing is left to compare: {'; '.join(self._left_out())}")

    def draws(self) -> list[Draw]:
        """Return every draw of labelled rows."""
        out = {self._places[row] for row in self.unscored}
        found = every_draw(self.splits, self.strata, self.plan, out)
        self._runs, self._few = runs(
            self.approaches, found, self.y, self.plan, self.most, unfit=self._unfit
        )
        return found

    @property
    def adapters_to_train(self) -> int:
        """How many adapters are trained: one a draw."""
        return sum(TUNED in self._runs[draw.budget] for draw in self.draws())

    def _unfit(self, draw: Draw) -> str:
        """Return why no adapter can be trained on a draw, nothing where one can."""
        from promptpredict.adapters import Tuning
        from promptpredict.parting import part

        try:
            part(self.prompt_file, self._rows(draw.rows), Tuning().held_out, draw.seed)
        except DataError as error:
            return f"in a draw {error}"
        return ""

    @cached_property
    def strata(self) -> list[str]:
        """That over which rows are split and drawn evenly, (n,): their labels."""
        return self.y

    @cached_property
    def leaks(self) -> list[Flag]:
        """What makes figures look better than they are, in training rows and across the split."""
        train = self.splits[0].train
        found = find_leaks(self._rows(train), [self.y[row] for row in train], self.prompt_file)
        contents = [content(self.prompt_file, record) for record in self.records]
        same = repeated(self.splits, contents, [record.row for record in self.records])
        return [*found, *([same] if same else [])]

    def _left_out(self) -> list[str]:
        notes = [*self._same, *self._unusable]
        notes += self.plan.left_out(self.approaches, self.most, len(set(self.strata)))
        notes += self._few
        notes += [note for file in self.files if (note := unplaced(file))][:1]  # folds are alike
        if self.unscored:
            row, reason = min(self.unscored.items())
            notes.append(
                f"rows left out for every approach: {len(self.unscored):,} that could not be scored "
                f"(the first is row {row}: {reason})"
            )
        if left := sum(split.left_out for split in self.splits):
            notes.append(f"rows left out of training, because others of their group test: {left:,}")
        return notes

    def _rows(self, rows: Rows) -> list[Record]:
        return [self.records[row] for row in rows]


def _by_id(
    records: Sequence[Record], column: str, make: Callable[..., object], *, newest: bool
) -> tuple[list[str] | None, list[str]]:
    """Return ids as groups, so that rows of one id stand on one side of every split, and a note on them.

    No groups and no note where all ids differ; no groups where the rows cannot be split by them, and
    where the ``newest`` test: of who is a customer still, what was before may be known.
    """
    ids = [record.id for record in records]
    if not (several := sum(count > 1 for count in Counter(ids).values())):
        return None, []
    found = f"{counted(several, 'id')} of '{column}' in several rows"
    if newest:
        return None, [f"{found}: customers may train and test; possible: --group {column}"]
    try:
        make(groups=ids)
    except DataError as error:
        why = str(error).partition("; possible")[0]
        return None, [f"{found}: customers may train and test, as kept together {why}"]
    return ids, [f"{found}: kept together, as by --group {column}"]
