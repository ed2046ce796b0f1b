"""What runs inside a template: the sandbox, the customer it sees, a value that is missing.

Knows Jinja's environment and how values print; no rendered prompt can hold None, nan or an int
written 12.0. Knows nothing of files, inheritance or prompts.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, NoReturn, Self

from jinja2 import StrictUndefined, TemplateSyntaxError, Undefined, nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from promptpredict.errors import nearest
from promptpredict.values import show

_POWER = 64
_REPEATS = 10_000


class _Absent(Exception):
    """A missing value was compared or calculated with."""


class Missing(str):
    """A missing value: shown as a word, false and none in logic, refused in arithmetic."""

    column: str

    def __new__(cls, word: str, column: str = "") -> Missing:
        """Return the missing value of a column, shown as ``word``."""
        missing = super().__new__(cls, word)
        missing.column = column
        return missing

    def __bool__(self) -> bool:
        """Return False."""
        return False

    def __eq__(self, other: object) -> bool:
        """Compare as None does: the word is only how it is shown."""
        return other is None or isinstance(other, Missing)

    def __ne__(self, other: object) -> bool:
        """Compare as None does."""
        return not self == other

    __hash__ = str.__hash__

    def __contains__(self, part: object) -> bool:
        """Return False: nothing is in a text that is not there."""
        return False

    def __len__(self) -> int:
        """Return 0: the word is no text of a customer."""
        return 0

    def _refuse(self, *_: object) -> NoReturn:
        what = f"'{self.column}'" if self.column else "a value"
        raise _Absent(f"{what} is missing and cannot be compared or calculated with; test it first")


for _name in (
    *("lt", "le", "gt", "ge", "int", "float", "round", "abs", "neg", "pos"),
    *(
        side + op
        for side in ("", "r")
        for op in ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow"]
    ),
):
    setattr(Missing, f"__{_name}__", Missing._refuse)


@dataclass(frozen=True, slots=True)
class Cell:
    """One of ``customer.fields``: a column with its name and its value as text and as it is."""

    name: str
    column: str
    value: str
    raw: Any


@dataclass(frozen=True, slots=True)
class Customer:
    """What a template sees of a record."""

    values: Mapping[str, Any]
    fields: tuple[Cell, ...]


class _Generator(CodeGenerator):
    def visit_Const(self, node: nodes.Const, frame: Frame) -> None:
        # a literal none must not print as None either, wherever it travels
        if node.value is None:
            self.write("environment.missing")
        else:
            super().visit_Const(node, frame)


class Environment(ImmutableSandboxedEnvironment):
    """The sandbox: strict, without loaders, and with no way to print None, nan or 12.0."""

    code_generator_class = _Generator
    intercepted_binops = frozenset(ImmutableSandboxedEnvironment.default_binop_table)

    def __init__(self) -> None:
        """Prepare the sandbox; ``missing`` is set when the front matter is known."""
        super().__init__(
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            autoescape=False,
            finalize=self._shown,
        )
        self.missing = Missing("not recorded")
        kept = ("range", "dict", "namespace")
        self.globals = {name: self.globals[name] for name in kept}
        self.filters = {name: self._tidied(run) for name, run in self.filters.items()}
        count = self.filters["wordcount"]
        self.filters["wordcount"] = lambda text: 0 if isinstance(text, Missing) else count(text)
        self.tests["none"] = lambda value: value is None or isinstance(value, Missing)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Reach a column by its name, even one called ``items`` or ``_x``."""
        if isinstance(obj, Customer):
            return obj.fields if attribute == "fields" else obj.values[attribute]
        if isinstance(obj, Cell) and attribute in Cell.__slots__:
            return getattr(obj, attribute)  # as the sandbox would, without its search
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Reach a column by its name, even one called ``fields``."""
        if isinstance(obj, Customer):
            return obj.values[argument]
        return super().getitem(obj, argument)

    def call(__self: Self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Call from a template; what comes back is tidied."""
        return __self._tidy(super().call(__context, __obj, *args, **kwargs))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Calculate; what comes back is tidied. What would take all time or memory is refused."""
        if operator == "**" and isinstance(right, int | float) and abs(right) > _POWER:
            raise OverflowError(f"a power of {right} is too large")
        if operator == "*" and any(
            isinstance(one, str | list | tuple) and isinstance(other, int) and other > _REPEATS
            for one, other in ((left, right), (right, left))
        ):
            raise OverflowError(f"more than {_REPEATS:,} repetitions are too many")
        return self._tidy(super().call_binop(context, operator, left, right))

    def describe(self, error: TemplateSyntaxError) -> str:
        """Say what is wrong with a template, and which filter or test was meant."""
        text = (error.message or "the template cannot be read").rstrip(".")
        if match := re.match(r"No (filter|test) named '(\w+)'", text):
            text += nearest(match[2], self.filters if match[1] == "filter" else self.tests)
        return text

    def swallowed(self, text: str) -> Iterator[int]:
        """Yield the lines of a template whose break trim_blocks takes from between two texts."""
        depth, tag = 0, "-"  # of how many blocks we are inside; the tag being read
        shown = False  # something is shown on this line so far
        taken = 0  # the line whose break was taken, until it is known what follows
        for line, kind, value in self.lex(text):
            if kind == "block_begin":
                tag = ""
            elif kind == "name" and not tag:
                tag = value
                depth += {"block": 1, "endblock": -1}.get(tag, 0)
                if tag == "endfor" and taken:  # what follows is the next turn of the loop
                    yield taken
                taken = 0 if tag in ("endblock", "endfor") else taken
            elif kind in ("block_end", "comment_end") and value.endswith("\n"):
                taken = line if shown and depth and value[0] != "-" else taken
                shown = False
            elif kind in ("data", "variable_begin"):
                first, *rest = value.split("\n")
                if taken and first.strip():
                    yield taken
                taken = 0 if value.strip() or rest else taken
                shown = bool((rest[-1:] or [first])[0].strip()) or (shown and not rest)

    def _tidied(self, run: Callable[..., Any]) -> Callable[..., Any]:
        # wraps keeps the marks by which Jinja knows who wants the context
        @functools.wraps(run)
        def tidied(*args: Any, **kwargs: Any) -> Any:
            return self._tidy(run(*args, **kwargs))

        return tidied

    def _tidy(self, value: Any) -> Any:
        """Keep results as typed cells are: 24 / 2 is 12, not 12.0, wherever it is joined to text."""
        if value is None:
            return self.missing
        if isinstance(value, float):
            if not math.isfinite(value):
                raise OverflowError("the result is not a number")
            short = float(f"{value:.15g}")  # 0.1 + 0.2
            return int(short) if short.is_integer() and abs(short) < 1e15 else short
        return value

    def _shown(self, value: Any) -> Any:
        if value is None or isinstance(value, str | Undefined):
            return self.missing if value is None else value
        if isinstance(value, int | float | date):
            return show(self._tidy(value))
        if isinstance(value, timedelta):
            return str(value)
        raise TypeError(f"a {type(value).__name__} cannot be shown; show its items one by one")
