"""The prompt file: loaded, checked against a table, rendered for a record.

Knows how blocks, labels and shots make a prompt, and what stands between answer and word.
Knows nothing of tokens, chat templates or models.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache, reduce
from itertools import pairwise
from pathlib import Path
from typing import Any

from promptpredict import shipped
from promptpredict.chain import PromptSource, file_source, load_chain, text_source
from promptpredict.errors import DataError, PromptError, nearest, nearest_column
from promptpredict.frontmatter import Column, FrontMatter, merge, validate
from promptpredict.records import Record, Roles, check_hidden
from promptpredict.rendered import Bin, Prompt, Same, Turn
from promptpredict.sandbox import Cell, Customer, Environment, Missing
from promptpredict.spacing import WORD, joiner, without_first
from promptpredict.standing import Standing, learned
from promptpredict.template import PARTS, Blocks
from promptpredict.values import Value, show, spelling

_APART = ("base_rate", "version")  # keys of the front matter that change no prompt


class PromptFile:
    """Wording, labels and columns of one task, ready to render.

    ``needed`` are the columns that the effective blocks name, in order of appearance;
    ``uses_fields`` says whether they show ``customer.fields``; ``fingerprint`` tells what prompts
    and labels depend on from any other, the places of numbers with it; ``standing`` are these, once
    learned.
    """

    name: str
    path: Path | None
    front: FrontMatter
    needed: tuple[str, ...]
    uses_fields: bool
    warnings: list[str]
    fingerprint: str
    standing: Standing | None = None

    def __init__(self, source: PromptSource, *parents: PromptSource) -> None:
        """Load the parents and check everything that can be checked without a table."""
        self.name, self.path = source.name, source.path
        environment = Environment()
        links = load_chain(source, environment, parents)
        self._sources = tuple(link.source for link in links)
        texts = "".join(_telling(link.source) for link in links)
        self.fingerprint = self._wording = hashlib.sha256(texts.encode()).hexdigest()[:16]
        raw = reduce(merge, (link.source.raw for link in links))
        self.front = validate(raw, self.name)
        environment.missing = Missing(self.front.missing)
        regression = self.front.task == "regression"
        self._blocks = Blocks(
            links,
            environment,
            hidden={column: "ignored" for column in self.front.ignore}
            | {self.front.target: "the target"},
            variables=["labels", "bins"] if regression else ["labels"],
        )
        self.needed, self.uses_fields = self._blocks.needed, self._blocks.uses_fields
        self.warnings = self._blocks.warnings + [
            f"{self.name}: no block shows the text column '{column}'"
            for column in self.front.text
            if column not in self.needed
        ]
        # A shot stands in thousands of prompts, and a customer in many of a comparison.
        self._once = lru_cache(maxsize=16_384)(self._render_once)
        self._edges: list[float] | None = None  # those that ``with_edges`` gave
        self._rounds, self._places = self.front.numbers != "plain", self.front.numbers == "placed"
        self._never = {self.front.target, *self.front.ignore}
        self._apart = {*self._never, *self.front.text, self.front.id}  # not in customer.fields

    @classmethod
    def load(cls, source: str | Path) -> PromptFile:
        """Load a prompt file by its path, or one by its name: a copy beside us, else the shipped."""
        for path in (Path(source), Path(f"{source}.jinja")):
            with suppress(OSError):  # a name that no file can have
                if path.is_file():
                    return cls(file_source(path, str(path)))
        path = shipped.path(str(source))
        return cls(file_source(path, path.name))

    @classmethod
    def from_text(
        cls, text: str, *, name: str = "<text>", folder: Path | None = None
    ) -> PromptFile:
        """Load a prompt file from its text; parents are looked up in ``folder``, then shipped."""
        return cls(text_source(text, name=name, folder=folder))

    @property
    def words(self) -> dict[str, list[str]]:
        """Label key, as the file writes it, to its words; of a regression, each bin's word."""
        bins = self.front.bins
        return {word: [word] for word in bins.words} if bins else self.front.labels

    @property
    def roles(self) -> Roles:
        """Which column of a table is what."""
        front = self.front
        return Roles(front.id, front.target, tuple(front.text), tuple(front.ignore))

    def label_of(self, value: object) -> str:
        """Return the label key of a data value in any of its spellings; of a regression, the bin.

        Raises DataError for a value that is none of them.
        """
        if self.front.bins:
            return self._bin_of(value)
        keys = {spelling(key): key for key in self.front.labels}
        key = keys.get(spelling(value))
        if key is None:
            found = "no value" if value is None else f"'{value}'{nearest(str(value), keys)}"
            possible = ", ".join(f"'{key}'" for key in self.front.labels)
            raise DataError(
                f"column '{self.front.target}' holds {found}; the labels of {self.name} are {possible}"
            )
        return key

    def _bin_of(self, value: object) -> str:
        if not (bins := self.bins()):
            raise PromptError(f"{self.name}: a target has no bin without 'bins.edges'")
        try:
            number = float(str(value))
        except ValueError:
            text = f"column '{self.front.target}' holds '{value}', which is not a number"
            raise DataError(text) from None
        return bins[bisect_right([bin.low for bin in bins[1:]], number)].word

    def bins(self) -> tuple[Bin, ...]:
        """Return the bins of a regression; none where the edges are not known, and for other tasks."""
        own = self.front.bins
        if own is None or own.edges is None:
            return ()
        look = self.look(self.front.target)
        whole = [int(edge) if float(edge).is_integer() else float(edge) for edge in own.edges]
        marks = [(edge, show(edge, format=look.format, unit=look.unit)) for edge in whole]
        spans = zip(own.words, pairwise(marks), strict=True)
        return tuple(
            Bin(word, low, high, f"{first} to {last}")
            for word, ((low, first), (high, last)) in spans
        )

    def with_edges(self, edges: Sequence[float]) -> PromptFile:
        """Return this file of a regression with edges of its bins, as if they stood in it."""
        if self.front.bins is None:
            raise ValueError(f"{self.name} has task: {self.front.task}, which has no bins")
        return self._with(self.standing, [float(edge) for edge in edges])

    def placed(self, records: Sequence[Record]) -> PromptFile:
        """Return the file with the places of numbers among these records, labelled or not.

        Itself, unless it has ``numbers: placed``. What it knew of other records is forgotten.
        """
        return self.placed_as(learned(records, self._apart)) if self._places else self

    def placed_as(self, standing: Standing | None) -> PromptFile:
        """Return the file with places that are known, such as those of another file."""
        return self._with(standing, self._edges) if self._places else self

    def _with(self, standing: Standing | None, edges: list[float] | None) -> PromptFile:
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__, warnings=list(self.warnings))
        other.__setstate__((standing, edges))
        return other

    def __reduce__(self) -> tuple[type[PromptFile], tuple[PromptSource, ...], tuple[Any, ...]]:
        """Pickle the texts: compiled templates cannot be, and files may have gone."""
        return type(self), self._sources, (self.standing, self._edges)

    def __setstate__(self, learned: tuple[Standing | None, list[float] | None]) -> None:
        """Take over places and edges: what was rendered with others is of no use."""
        self.standing, self._edges = learned
        if self.front.bins is not None and self._edges is not None:
            bins = self.front.bins.model_copy(update={"edges": self._edges})
            self.front = self.front.model_copy(update={"bins": bins})
        self._once = lru_cache(maxsize=16_384)(self._render_once)
        marks = repr(self.standing.columns) if self.standing and self.standing.columns else ""
        marks += "" if self._edges is None else f" {self._edges}"
        found = hashlib.sha256(f"{self._wording}{marks}".encode()).hexdigest()[:16]
        self.fingerprint = found if marks else self._wording

    def __sklearn_clone__(self) -> PromptFile:
        """Return itself: a clone of an estimator shares what is loaded."""
        return self

    def check_columns(self, header: Sequence[str], table: str, *, labelled: bool = False) -> None:
        """Raise DataError for the first column that the file needs and the table lacks.

        An ignored column may be absent; where another has nearly its name, a warning is added.
        """
        front = self.front
        check_hidden(table, header, self.roles)
        wanted = [(column, "") for column in self.needed]
        wanted += [(column, " (its text)") for column in front.text]
        wanted += [(front.id, " (its id)")] if front.id else []
        wanted += [(front.target, " (its target)")] if labelled else []
        wanted += [(c, " (its fields)") for c in front.fields if c not in self._never]
        for column, role in wanted:
            if column not in header:
                raise DataError(
                    f"{self.name} needs column '{column}'{role}; {table} has no such column"
                    f"{nearest_column(column, header)}"
                )
        known = {*self._apart, *self.needed, *front.fields}
        for column in front.ignore:
            close = nearest(column, [other for other in header if other not in known])
            if column not in header and close:
                text = f"{self.name} ignores '{column}', which {table} does not have{close}"
                self.warnings += [text] if text not in self.warnings else []

    def shows(self, column: str) -> bool:
        """Whether a prompt can show a column of a record; the id tells a customer, and counts as none."""
        if column == self.front.id:
            return False
        return column in self.needed or (self.uses_fields and column not in self._apart)

    def look(self, column: str) -> Column:
        """Return how ``customer.fields`` shows a column."""
        return self.front.fields.get(column, Column())

    def shown(self, column: str, value: Value) -> str:
        """Return a value, which is not missing, as ``customer.fields`` shows it, its place behind it.

        Raises DataError where the format of the column does not suit it.
        """
        look = self.look(column)
        text = show(value, format=look.format, unit=look.unit, rounded=self._rounds)
        return text + (self.standing.behind(column, value) if self.standing else "")

    def render(
        self, record: Record, shots: Sequence[Record] = (), *, drop_words: int = 0
    ) -> Prompt:
        """Render a record after its shots.

        ``drop_words`` leaves out the first words of the record's text columns. Raises DataError
        with the row that failed.
        """
        system, user, answer = self._render(record, drop_words)
        turns = tuple(self._turn(shot) for shot in shots)
        if self.front.layout == "one":
            user = "\n\n".join([*(f"{turn.user}\n{turn.reply}" for turn in turns), user])
            turns = ()

        def shorter(dropped: int, words: int) -> Prompt:
            return self.render(record, shots[dropped:], drop_words=drop_words + words)

        left = max(self.text_words(record) - drop_words, 0)
        return Prompt(system, turns, user, answer, len(shots), left, shorter)

    def render_customer(self, record: Record) -> str:
        """Render the customer block alone, which is what the sentence encoder reads."""
        return self._parts(("customer",), record, 0)[0]

    def render_panel(self, record: Record, question: str, *, drop_words: int = 0) -> Prompt:
        """Render a record with one question of the panel in place of the file's own."""
        aside = self.front.panel[question]
        system, customer = self._parts(("system", "customer"), record, drop_words)
        user = f"{customer}\n{aside.question}".strip()

        def shorter(_: int, words: int) -> Prompt:
            return self.render_panel(record, question, drop_words=drop_words + words)

        left = max(self.text_words(record) - drop_words, 0)
        return Prompt(system, (), user, aside.answer.strip(), 0, left, shorter)

    def text_words(self, record: Record) -> int:
        """Count the words of the text columns, which ``drop_words`` may leave out."""
        texts = (record.values.get(column) for column in self.front.text)
        return sum(len(WORD.findall(text)) for text in texts if isinstance(text, str))

    def _render(self, record: Record, drop_words: int) -> tuple[str, str, str]:
        system, customer, question, answer = self._parts(PARTS, record, drop_words)
        return system, f"{customer}\n{question}".strip(), answer

    def _turn(self, shot: Record) -> Turn:
        _, user, answer = self._render(shot, 0)
        try:
            word = self.words[self.label_of(shot.label)][0]
        except DataError as error:
            raise DataError(f"row {shot.row}: {error}") from None
        return Turn(user, f"{answer}{joiner(answer, word, self.front.join)}{word}")

    def _parts(self, parts: tuple[str, ...], record: Record, drop_words: int) -> list[str]:
        return self._once(parts, Same(record), drop_words)

    def _render_once(self, parts: tuple[str, ...], same: Same, drop_words: int) -> list[str]:
        record, bins = same.record, self.bins()
        if "bins" in self._blocks.names and not bins:
            raise PromptError(
                f"{self.name}: a block shows 'bins', which need 'bins.edges', or edges from "
                "labelled records"
            )
        variables = {"labels": tuple(words[0] for words in self.words.values()), "bins": bins}
        customer = self._customer(record, drop_words)
        return self._blocks.render(parts, customer, variables, row=record.row)

    def _customer(self, record: Record, drop_words: int) -> Customer:
        for column in self.needed:
            if column not in record.values:
                close = nearest(column, record.values)
                text = f"the record has no column '{column}'{close}"
                raise DataError(f"{self.name}, row {record.row}: {text}")
        values: dict[str, Any] = {
            column: Missing(self.front.missing, column) if value is None else value
            for column, value in record.values.items()
        }
        self._shorten(values, drop_words)
        cells = self._cells(values, record.row) if self.uses_fields else ()
        return Customer(values, tuple(cells))

    def _shorten(self, values: dict[str, Any], drop_words: int) -> None:
        """Leave out the first words, the text columns being declared oldest first."""
        for column in self.front.text:
            text = values.get(column)
            if drop_words and isinstance(text, str) and not isinstance(text, Missing):
                values[column], drop_words = without_first(text, drop_words)

    def _cells(self, values: Mapping[str, Any], row: int) -> Iterator[Cell]:
        for column, value in values.items():
            if column in self._apart:
                continue
            try:
                shown = value if isinstance(value, Missing) else self.shown(column, value)
            except DataError as error:
                raise DataError(f"{self.name}, row {row}, column '{column}': {error}") from None
            yield Cell(self.look(column).name or column, column, shown, value)


def _telling(source: PromptSource) -> str:
    """Return what prompts and labels depend on.

    A calibration or an adapter is as good with another base rate, and where the lines stand, or how
    the path of the file was typed, tells nothing.
    """
    values = {key: value for key, value in source.raw.values.items() if key not in _APART}
    return f"{values!r}\n{source.body.strip()}\n"
