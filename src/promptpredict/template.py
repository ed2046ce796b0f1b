"""The blocks of a prompt file: analysed, checked, rendered alone.

Knows the syntax trees of a chain of files, from which the columns that a file needs are read before
there is a table. Knows nothing of prompts, shots or label words, and opens no files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import meta, nodes
from jinja2.exceptions import SecurityError

from promptpredict.chain import Block, Link
from promptpredict.errors import DataError, PromptError, PromptPredictError, nearest
from promptpredict.plainyaml import fault
from promptpredict.sandbox import Cell, Customer, Environment

PARTS = ("system", "customer", "question", "answer")
_REQUIRED = PARTS[:3]
_USES = {
    "customer": 'customer.fields, customer.NAME or customer["NAME"]',
    "self": "self.BLOCK()",
    "super": "super()",
}


class _Walk:
    """Follows the effective blocks and notes what they reach; each fault carries its line."""

    def __init__(
        self,
        links: Sequence[Link],
        environment: Environment,
        *,
        hidden: Mapping[str, str],
        variables: Sequence[str],
    ) -> None:
        self.columns: dict[str, None] = {}  # in order of appearance
        self.uses_fields = False
        self.names: set[str] = set()
        self.stacks: dict[str, list[Block]] = {}
        for link in links:
            for name, block in link.blocks.items():
                self.stacks.setdefault(name, []).append(block)
        self._environment = environment
        self._hidden = hidden
        self._known = ["customer", *variables, "self", "super"]
        self._scoped = frozenset().union(*(link.scoped for link in links))
        self._seen: set[tuple[str, int]] = set()

    def block(self, name: str, depth: int = 0) -> None:
        """Follow one definition of a block: 0 is the nearest, 1 the next up the chain."""
        if (name, depth) in self._seen:
            return
        self._seen.add((name, depth))
        block = self.stacks[name][depth]
        for child in block.body:
            self._node(child, block, depth)
        # only now: looking for undeclared names folds constants, in place
        tree = nodes.Template(block.body, lineno=block.line)
        tree.set_environment(self._environment)
        free = meta.find_undeclared_variables(tree) - self._scoped
        for node in tree.find_all(nodes.Name):
            if node.name in free:
                self._name(node, block)

    def _name(self, node: nodes.Name, block: Block) -> None:
        self.names.add(node.name)
        if node.name not in self._known:
            close = nearest(node.name, [*self._known, *self._environment.globals])
            text = f"unknown name '{node.name}'{close}; a column is reached as customer.NAME"
            raise fault(block.file, node.lineno, text)

    def _node(self, node: nodes.Node, block: Block, depth: int) -> None:
        if isinstance(node, nodes.Block):
            self.block(node.name)
        elif isinstance(node, nodes.Getattr | nodes.Getitem) and _names(node.node, "customer"):
            self._reach(node, block)
        elif isinstance(node, nodes.Call) and self._follow(node, block, depth):
            return
        elif isinstance(node, nodes.Name | nodes.Macro | nodes.NSRef) and node.name in _USES:
            text = f"'{node.name}' may be used only as {_USES[node.name]}"
            raise fault(block.file, node.lineno, text)
        else:
            for child in node.iter_child_nodes():
                self._node(child, block, depth)

    def _reach(self, node: nodes.Getattr | nodes.Getitem, block: Block) -> None:
        """Note the column in customer.NAME or customer["NAME"]."""
        if isinstance(node, nodes.Getattr) and node.attr == "fields":
            self.uses_fields = True
            return
        column: object = None
        if isinstance(node, nodes.Getattr):
            column = node.attr
        elif isinstance(node.arg, nodes.Const):
            column = node.arg.value
        if not isinstance(column, str):
            text = f"'customer' may be used only as {_USES['customer']}"
            raise fault(block.file, node.lineno, text)
        if role := self._hidden.get(column):
            text = f"column '{column}' is {role} and can never be rendered"
            raise fault(block.file, node.lineno, text)
        self.columns[column] = None

    def _follow(self, node: nodes.Call, block: Block, depth: int) -> bool:
        """Follow super() and self.BLOCK(); anything else is not for here."""
        if node.args or node.kwargs or node.dyn_args or node.dyn_kwargs:
            return False
        if _names(node.node, "super"):
            if depth + 1 == len(self.stacks[block.name]):
                text = f"super() finds no block '{block.name}' further up"
                raise fault(block.file, node.lineno, text)
            self.block(block.name, depth + 1)
            return True
        if isinstance(node.node, nodes.Getattr) and _names(node.node.node, "self"):
            if node.node.attr not in self.stacks:
                text = f"no block '{node.node.attr}'{nearest(node.node.attr, self.stacks)}"
                raise fault(block.file, node.lineno, text)
            self.block(node.node.attr)
            return True
        return False


def _names(node: nodes.Node, name: str) -> bool:
    return isinstance(node, nodes.Name) and node.name == name and node.ctx == "load"


class Blocks:
    """The effective blocks of a chain, checked and ready to render.

    ``needed`` are the columns and ``names`` the variables that they reach.
    """

    def __init__(
        self,
        links: Sequence[Link],
        environment: Environment,
        *,
        hidden: Mapping[str, str],
        variables: Sequence[str],
    ) -> None:
        """Check the chain.

        ``hidden`` maps the columns that may not be named to what they are; ``variables`` are the
        names that a template sees beside the customer.
        """
        self._links = links
        walk = _Walk(links, environment, hidden=hidden, variables=variables)
        _check_names(links, walk.stacks)
        for part in PARTS:
            if part in walk.stacks:
                walk.block(part)
        self.parts = frozenset(walk.stacks) & set(PARTS)
        self.needed = tuple(walk.columns)
        self.uses_fields = walk.uses_fields
        self.names = frozenset(walk.names)
        self.warnings = [
            f"{link.source.name}, line {line}: the line break after the tag is swallowed and the next "
            "line joins this one; end the tag with '+%}' to keep it"
            for link in links
            for line in environment.swallowed(link.source.body)
        ]

    def render(
        self, parts: Sequence[str], customer: Customer, variables: Mapping[str, Any], *, row: int
    ) -> list[str]:
        """Render blocks, each alone and stripped; one that no file defines is empty.

        Raises DataError for what fails in this row, PromptError for what the sandbox forbids.
        """
        child, *parents = self._links
        context = child.template.new_context({**variables, "customer": customer})
        for link in parents:  # as the code that Jinja generates for 'extends' does
            for name, block in link.template.blocks.items():
                context.blocks.setdefault(name, []).append(block)
        try:
            return [
                "".join(context.blocks[part][0](context)).strip() if part in self.parts else ""
                for part in parts
            ]
        except Exception as error:  # an expression may raise anything at all
            raise self._row_fault(error, row) from error

    def _row_fault(self, error: Exception, row: int) -> PromptPredictError:
        where = self._links[0].source.name
        names = {id(link.template): link.source.name for link in self._links}
        trace = error.__traceback__
        while trace is not None:
            template = trace.tb_frame.f_globals.get("__jinja_template__")
            if template is not None and id(template) in names:
                line = template.get_corresponding_lineno(trace.tb_lineno)
                where = f"{names[id(template)]}, line {line}"
            trace = trace.tb_next
        kind = PromptError if isinstance(error, SecurityError) else DataError
        reason = " ".join(str(error).split()).replace(f"{Cell.__module__}.", "").rstrip(".")
        return kind(f"{where}, row {row}: {reason or type(error).__name__}")


def _check_names(links: Sequence[Link], stacks: Mapping[str, Sequence[Block]]) -> None:
    nested = {block.name for stack in stacks.values() for block in stack if not block.top}
    possible = [*PARTS, *sorted(nested.difference(PARTS))]
    for block in (block for stack in stacks.values() for block in stack):
        if block.top and block.name not in possible:
            text = f"unknown block '{block.name}'{nearest(block.name, possible)}; possible: "
            raise fault(block.file, block.line, text + ", ".join(possible))
        if not block.top and block.name in PARTS:
            text = f"block '{block.name}' may not stand inside another block"
            raise fault(block.file, block.line, text)
    for part in _REQUIRED:
        if part not in stacks or stacks[part][0].required:
            chain = ", nor do its parents" if len(links) > 1 else ""
            raise fault(links[0].source.name, None, f"it has no block '{part}'{chain}")
