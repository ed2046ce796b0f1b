"""What a comparison is to do: approaches, label budgets, seeds, and which rows test.

Knows the names of approaches and what each of them needs; knows nothing of how they work.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Literal

from promptpredict.calibration import MIN_ROWS
from promptpredict.errors import DataError, nearest
from promptpredict.prompt import PromptFile
from promptpredict.rates import Rate
from promptpredict.shots import Select
from promptpredict.splits import FEW

ZERO_SHOT = "zero-shot"  # needs no label, so its one row stands at every budget
# In the order in which one is taken where cross-validation finds several equally good.
READING = (  # with the language model as it is
    ZERO_SHOT,
    "panel",
    "probe",
    "probe-shots",
    "few-shot",
    "few-shot-sets",
    "few-shot-random",
    "few-shot-nearest",
)
TUNED = "tuned"  # which trains one of its own
WITH_LM = (*READING, TUNED)
WITHOUT_LM = (
    "embedding",
    "text",
    "fusion",
    "fusion-mlp",
    "fusion-trees",
    "structured",
    "structured-trees",
)
ENCODED = ("embedding", "fusion", "fusion-mlp", "fusion-trees")  # by a sentence encoder
PRIOR = "prior"  # which ranks nobody, and is no choice
STACK = "stack"
STACKED = (ZERO_SHOT, "probe", "structured", "structured-trees", "text", "embedding")
CASCADE = "cascade"  # embedding, and probe for those of whom it is not sure
ASKING = (*READING, CASCADE)  # which ask the language model as it is
BOTH = (STACK, CASCADE)  # which join a language model with an approach that needs none
APPROACHES = (*WITH_LM, *WITHOUT_LM, PRIOR, *BOTH)
DEFAULT = (
    ZERO_SHOT,
    "few-shot",
    "probe",
    "panel",
    "embedding",
    "structured",
    "structured-trees",
    "text",
    "fusion",
    "stack",
    PRIOR,
)
BASELINE = "embedding"
CHOSEN_WITH, CHOSEN_WITHOUT, CHOSEN_SINGLE = "chosen-with-lm", "chosen-without-lm", "chosen-single"
CHOICES: Mapping[str, tuple[str, ...]] = {
    CHOSEN_WITH: WITH_LM,
    CHOSEN_WITHOUT: WITHOUT_LM,
    CHOSEN_SINGLE: (*WITH_LM, *WITHOUT_LM),
}

MAX_SHOTS = 16
SHOT_SETS = 8  # of few-shot-sets
BY_SELECT = ("few-shot", "few-shot-sets")  # whose shots are chosen as --select says
MOST_VALUE = 1e12  # of a customer; sums of more lose their digits
PROBE_SHOTS = 4  # in front of a probe, whose other labelled rows fit it; few-shot may take so few
WITH_SHOTS = "probe-shots"
LEAST_OF = {STACK: FEW, WITH_SHOTS: FEW, TUNED: FEW, CASCADE: FEW}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to compare: approaches, label budgets, seeds, and which rows test.

    ``budgets_of`` narrows the budgets of single approaches (few-shot is the dearest). At most
    ``max_test`` rows test; with ``held`` that many are kept from training, of which the first
    ``max_test`` test, so that a larger comparison may follow on the same training rows. ``folds``
    tests every row once instead. ``split_seed`` draws the test rows. ``base_rate`` is the known
    share of positives, or those of all labels; ``against`` names, for single approaches, those that
    they stand against besides, all of a budget in a family of their own; ``value_saved`` and
    ``offer_cost`` are in one currency, per customer.
    """

    approaches: Sequence[str] = DEFAULT
    budgets: Sequence[int | Literal["all"]] = (0, 4, 16, 64, 256)
    budgets_of: Mapping[str, Sequence[int | Literal["all"]]] = field(default_factory=dict)
    seeds: int = 3
    max_test: int = 1000
    held: int | None = None
    folds: int | None = None
    split_seed: int = 0
    shots: int = MAX_SHOTS
    select: Select = "balanced"
    base_rate: Rate | None = None
    value_saved: float | None = None
    offer_cost: float | None = None
    memory_rows: int = 100  # of which is asked whether the model knows them by heart; 0: none
    against: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def check(self) -> None:
        """Raise DataError for an approach that there is not, and for prices that make no sense."""
        if not self.approaches:
            raise DataError(f"no approach is given; possible: {', '.join(APPROACHES)}")
        besides = [name for pair in self.against.items() for name in (pair[0], *pair[1])]
        for approach in (*self.approaches, *self.budgets_of, *besides):
            if approach not in APPROACHES:
                raise DataError(
                    f"there is no approach '{approach}'{nearest(approach, APPROACHES)}; "
                    f"possible: {', '.join(APPROACHES)}"
                )
        for approach in besides:
            if approach not in self.wanted:
                raise DataError(
                    f"differences from and to {approach} are asked for, and it does not run; "
                    f"possible: {', '.join(self.wanted)}"
                )
        if (self.value_saved is None) != (self.offer_cost is None):
            lacks = "--offer-cost" if self.offer_cost is None else "--value-saved"
            raise DataError(f"captured value needs {lacks} too")
        for option, price in (
            ("--value-saved", self.value_saved),
            ("--offer-cost", self.offer_cost),
        ):
            if price is not None and not 0 <= price <= MOST_VALUE:
                raise DataError(f"{option} is {price:g}; possible: 0 to {MOST_VALUE:,.0f}")

    @property
    def wanted(self) -> list[str]:
        """The approaches, each once, and behind them those that the stack joins, where it can run."""
        return list(dict.fromkeys((*self.approaches, *(STACKED if self.stacks else ()))))

    @property
    def stacks(self) -> bool:
        """Whether there is a stack, and a budget that is large enough for it."""
        budgets = self.budgets_of.get(STACK, self.budgets)
        enough = any(budget == "all" or budget >= LEAST_OF[STACK] for budget in budgets)
        return STACK in self.approaches and enough

    @property
    def needs_lm(self) -> bool:
        """Whether an approach reads customers with a language model."""
        return bool(set(self.wanted) & {*WITH_LM, CASCADE})

    @property
    def needs_encoder(self) -> bool:
        """Whether an approach, or the choice of shots, needs a sentence encoder."""
        wanted = {*ENCODED, "few-shot-nearest", CASCADE}
        by_select = self.select == "nearest" and set(self.approaches) & set(BY_SELECT)
        return bool(set(self.wanted) & wanted or by_select)

    def budgets_in(self, rows: int) -> list[int]:
        """Return the label budgets, ascending, where so many rows may train."""
        return sorted({_number(budget, rows) for budget in self.budgets})

    def takes(self, approach: str, budget: int, rows: int) -> bool:
        """Whether an approach runs at a budget (0 is for those that need no label)."""
        if budget == 0:
            return approach == ZERO_SHOT or (approach == PRIOR and self.base_rate is not None)
        own = self.budgets_of.get(approach)
        if own is not None and budget not in {_number(each, rows) for each in own}:
            return False
        return budget >= LEAST_OF.get(approach, 0)

    def counts(self, approach: str, budget: int) -> tuple[int, ...]:
        """Return how many shots an approach may show; the draws' own rows choose among them.

        As many as there may be or a few: with some models and tables more of them help, with
        others they crowd out the customer. None for the stack, which shows nothing itself.
        """
        if approach == STACK:
            return ()
        if approach == WITH_SHOTS:
            return (PROBE_SHOTS,)
        if not approach.startswith("few-shot"):
            return (0,)
        most = min(budget, self.shots, MAX_SHOTS)
        return (most,) if budget < FEW or most <= PROBE_SHOTS else (PROBE_SHOTS, most)

    def usable(
        self, prompt_file: PromptFile, columns: Sequence[str], labels: set[str]
    ) -> tuple[list[str], list[str]]:
        """Return the approaches that can be run, and why others cannot.

        ``columns`` are those of the records, ``labels`` those that they have.
        """
        from promptpredict.baselines import unusable

        names = self.wanted
        why = {name: unusable(name, prompt_file, columns) for name in names}
        if not prompt_file.front.panel:
            why["panel"] = f"{prompt_file.name} has no panel"
        bins = prompt_file.front.bins is not None  # of which one may have no amount
        lacking = [label for label in prompt_file.words if label not in labels and not bins]
        if TUNED in names and find_spec("peft") is None:
            why[TUNED] = "it needs peft; possible: pip install 'promptpredict[tune]'"
        if lacking:
            why[TUNED] = f"no row has the label '{lacking[0]}', and an adapter needs every label"
            for name in (WITH_SHOTS, *(BY_SELECT if self.select == "balanced" else ())):
                why[name] = (
                    f"no row has the label '{lacking[0]}', and balanced shots need every label"
                )
        members = [name for name in names if name in STACKED and not why.get(name)]
        if self.stacks and len(members) < 2:
            why[STACK] = f"it joins two or more of {', '.join(STACKED)}"
        added = [name for name in members if name not in self.approaches]
        notes = [f"{name} is left out: {why[name]}" for name in names if why.get(name)]
        if added and not why.get(STACK):
            notes.append(f"stack joins {', '.join(added)} too: they run as well")
        return [name for name in names if not why.get(name)], notes

    def left_out(self, approaches: Sequence[str], rows: int, labels: int) -> Iterator[str]:
        """Yield what of the plan cannot be carried out with so many training rows and labels."""
        budgets = self.budgets_in(rows)
        for budget in budgets:
            if budget > rows:
                yield f"budget {budget:,} is left out: there are {rows:,} training rows"
            elif 0 < budget < labels:
                yield (
                    f"budget {budget:,} is left out: there are {labels:,} labels, and each needs a row"
                )
        usable = [budget for budget in budgets if budget == 0 or labels <= budget <= rows]
        for approach in approaches:
            if not any(self.takes(approach, budget, rows) for budget in usable):
                yield f"{approach} is left out: no budget suits it"
        yield from self._spent(approaches, usable, rows)
        if self.base_rate is not None and rows < MIN_ROWS and ZERO_SHOT in approaches:
            yield (
                f"zero-shot is not calibrated to the base rate: there are {rows:,} training rows, "
                f"and {MIN_ROWS} are needed to find a shift on"
            )

    def _spent(self, approaches: Sequence[str], budgets: Sequence[int], rows: int) -> Iterator[str]:
        """Yield at which budgets all labelled rows are shots, which leaves none to calibrate on."""
        for approach in (*BY_SELECT, "few-shot-random"):
            if approach not in approaches or (approach in BY_SELECT and self.select == "nearest"):
                continue
            for budget in budgets:
                if self.takes(approach, budget, rows) and self.counts(approach, budget) == (
                    budget,
                ):
                    yield f"{approach} is not calibrated at {budget:,} labels: all are its shots"


def check_attacks(files: Sequence[PromptFile], plan: Plan) -> None:
    """Raise DataError where texts are to be attacked and there is none, or nobody reads it."""
    if not plan.needs_lm:
        raise DataError("--attacks needs a language model, and no approach asked for has one")
    for file in files:
        if not file.front.text:
            raise DataError(f"--attacks needs a text column; {file.name} declares none (text: [])")


def check_developing(plan: Plan) -> None:
    """Raise DataError where several prompt files have no rows to be compared on."""
    if not plan.needs_lm:
        raise DataError("several prompt files can only be compared with a language model")
    if plan.folds:
        raise DataError(
            "several prompt files cannot be compared with --folds: every row tests, and none is "
            "left to choose on; possible: without --folds, or one prompt file"
        )


def _number(budget: int | Literal["all"], rows: int) -> int:
    return rows if budget == "all" else budget
