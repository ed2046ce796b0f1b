"""The files of a prompt file's inheritance chain, each parsed and compiled.

Knows where a parent is looked for, and what may stand outside the blocks; knows nothing of what a
block shows, and opens no files but prompt files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Template, TemplateSyntaxError, nodes
from jinja2.visitor import NodeTransformer

from promptpredict import shipped
from promptpredict.errors import nearest
from promptpredict.plainyaml import Raw, fault, read_text, split
from promptpredict.sandbox import Environment

_OUTSIDE = "outside the blocks only one 'extends' and comments may stand"


@dataclass(frozen=True, slots=True)
class PromptSource:
    """The text of one prompt file, its front matter cut off; ``folder`` is where parents stand."""

    name: str
    path: Path | None
    folder: Path | None
    raw: Raw
    body: str


@dataclass(frozen=True, slots=True)
class Block:
    """One definition of a block; blocks nested in it are left hollow in ``body``."""

    name: str
    file: str
    line: int
    body: list[nodes.Node]
    top: bool
    required: bool


@dataclass(frozen=True, slots=True)
class Link:
    """One file of an inheritance chain, compiled."""

    source: PromptSource
    template: Template
    blocks: Mapping[str, Block]
    extends: tuple[str, int] | None  # the parent's name, and the line that says so
    scoped: frozenset[str]  # names that a scoped block may see from around it


def text_source(
    text: str, *, name: str, folder: Path | None, path: Path | None = None
) -> PromptSource:
    """Return the source of a prompt file given as text."""
    raw, body = split(text, name)
    return PromptSource(name, path, folder, raw, body)


def file_source(path: Path, name: str) -> PromptSource:
    """Return the source of a prompt file on disk."""
    text = read_text(path, name)
    return text_source(text, name=name, folder=path.resolve().parent, path=path.resolve())


def load_chain(
    source: PromptSource, environment: Environment, parents: Sequence[PromptSource] = ()
) -> list[Link]:
    """Return a file and its parents, the child first; parents that are given are not looked up."""
    links = [_link(source, environment)]
    given = iter(parents)
    while (extends := links[-1].extends) is not None:
        parent = next(given, None) or _parent(links[-1].source, *extends)
        names = [link.source.name for link in links]
        if parent.path in {link.source.path for link in links}:
            cycle = " extends ".join([*names, parent.name])
            raise fault(names[-1], extends[1], f"the files extend one another: {cycle}")
        links.append(_link(parent, environment))
    return links


def _parent(child: PromptSource, name: str, line: int) -> PromptSource:
    if Path(name).name != name:
        raise fault(child.name, line, f"'{name}' must be the bare name of a prompt file")
    folders = [shipped.folder()] if child.folder is None else [child.folder, shipped.folder()]
    for folder in folders:
        if (folder / name).is_file():
            return file_source(folder / name, name)
    possible = [path.name for folder in folders for path in sorted(folder.glob("*.jinja"))]
    text = f"no prompt file '{name}' beside it or among the shipped ones{nearest(name, possible)}"
    raise fault(child.name, line, text)


class _Hollow(NodeTransformer):
    """Empties the blocks nested in a block: each is looked at by itself."""

    def visit_Block(self, node: nodes.Block) -> nodes.Block:
        return nodes.Block(node.name, [], node.scoped, node.required, lineno=node.lineno)


def _link(source: PromptSource, environment: Environment) -> Link:
    try:
        return _linked(source, environment)
    except (
        RecursionError,
        MemoryError,
        SyntaxError,
    ):  # of Jinja's parser, and of Python's compiler
        raise fault(source.name, None, "the template is nested too deeply") from None


def _linked(source: PromptSource, environment: Environment) -> Link:
    try:
        tree = environment.parse(source.body)
        extends = _outline(tree, source.name)
        template = environment.from_string(source.body)
    except TemplateSyntaxError as error:
        raise fault(source.name, error.lineno, environment.describe(error)) from None
    found = list(tree.find_all(nodes.Block))
    stored = {node.name for node in tree.find_all(nodes.Name) if node.ctx != "load"}
    scoped = stored if any(block.scoped for block in found) else set()
    blocks = {}
    for block in found:
        top = block in tree.body
        _Hollow().generic_visit(block)
        place = (block.name, source.name, block.lineno)
        blocks[block.name] = Block(*place, block.body, top, block.required)
    return Link(source, template, blocks, extends, frozenset(scoped))


def _outline(tree: nodes.Template, name: str) -> tuple[str, int] | None:
    """Check what stands outside the blocks; return the parent's name and its line."""
    for node in tree.find_all((nodes.Include, nodes.Import, nodes.FromImport)):
        text = "a prompt file cannot include or import another; it can extend one"
        raise fault(name, node.lineno, text)
    extends = None
    for stmt in tree.body:
        if isinstance(stmt, nodes.Extends) and extends is None:
            parent = stmt.template
            if not isinstance(parent, nodes.Const) or not isinstance(parent.value, str):
                raise fault(name, stmt.lineno, "'extends' needs the name of a file, in quotes")
            extends = (parent.value, stmt.lineno)
        elif isinstance(stmt, nodes.Output):
            for item in stmt.nodes:
                _check_blank(item, name)
        elif not isinstance(stmt, nodes.Block):
            what = type(stmt).__name__.lower()
            raise fault(name, stmt.lineno, f"{_OUTSIDE}, not '{what}'")
    return extends


def _check_blank(item: nodes.Expr, name: str) -> None:
    if not isinstance(item, nodes.TemplateData):
        raise fault(name, item.lineno, f"{_OUTSIDE}, not an expression")
    for offset, text in enumerate(item.data.split("\n")):
        if text.strip():
            raise fault(name, item.lineno + offset, f"{_OUTSIDE}, not '{text.strip()[:40]}'")
