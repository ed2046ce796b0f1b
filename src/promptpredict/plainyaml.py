"""YAML as people write it: every scalar is a text, and every key has a place to blame.

Knows YAML and where front matter stands in a file; knows nothing of which keys there are. Scalars
stay as they are written ("no" stays "no", "1" stays "1"); every fault is one line that names the
file and, where it is known, the line.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from promptpredict.errors import PromptError

KeyPath = tuple[str, ...]


def as_list(value: object) -> object:
    """Return a text as a list of one, anything else as it is."""
    return [value] if isinstance(value, str) else value


@dataclass(frozen=True, slots=True)
class Raw:
    """Front matter as it was read; ``places`` holds file and line of every key."""

    values: dict[str, Any]
    places: dict[KeyPath, tuple[str, int]]


def fault(name: str, line: int | None, text: str) -> PromptError:
    """Return the error for a place in a prompt file, as one line."""
    where = f"{name}, line {line}" if line else name
    return PromptError(f"{where}: {' '.join(text.split())}")


# Jinja comments may stand before the front matter: what the file is for.
_START = re.compile(r"\A(?:\s|(?>\{#.*?#\}))*^---[ \t]*\n", re.DOTALL | re.MULTILINE)
_END = re.compile(r"^---[ \t]*(?:\n|\Z)", re.MULTILINE)


def quoted(text: str) -> str:
    """Return a text in quotes, as front matter and templates both read it."""
    plain = json.dumps(text, ensure_ascii=False)
    return "".join(each if each.isprintable() else _escaped(each) for each in plain)


def _escaped(letter: str) -> str:
    # One escape for each letter: YAML takes JSON's pairs of surrogates for two broken letters.
    return f"\\u{ord(letter):04x}" if ord(letter) < 0x10000 else f"\\U{ord(letter):08x}"


def literal(text: str) -> str:
    """Return a text as a template holds it, whatever braces it has."""
    return f"{{{{ {quoted(text)} }}}}" if re.search("[{}#%]", text) else text


def read_text(path: Path, name: str) -> str:
    """Return the text of a file; PromptError, under the name that it was given by, where it is none."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise PromptError(f"{name} is not UTF-8 text (byte {error.start + 1})") from None
    except OSError as error:
        raise PromptError(f"{name} cannot be read ({error.strerror})") from None


def split(text: str, name: str) -> tuple[Raw, str]:
    """Return the front matter and the blocks; the blocks keep their line numbers."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    start = _START.match(text)
    if start is None:
        return Raw({}, {}), text
    above = start[0].count("\n")
    end = _END.search(text, start.end())
    if end is None:
        raise fault(name, above, "the front matter is not closed; end it with a line '---'")
    body = "\n" * text.count("\n", 0, end.end()) + text[end.end() :]
    return read(text[start.end() : end.start()], name, above=above), body


def read(text: str, name: str, *, above: int = 0) -> Raw:
    """Read YAML whose first line is line ``above + 1`` of the file ``name``."""
    try:
        for token in yaml.scan(text, Loader=yaml.BaseLoader):
            # Anchors, aliases and tags are never meant here: '*', '&' and '!' begin a text.
            if isinstance(token, _SIGNS):
                line = token.start_mark.line + above + 1
                sign = text[token.start_mark.index]
                raise fault(name, line, f"a text may not begin with '{sign}'; put it in quotes")
        tree = yaml.compose(text, Loader=yaml.BaseLoader)
    except yaml.YAMLError as error:
        raise _yaml_fault(error, text, name, above) from None
    except RecursionError:
        raise fault(name, above + 1, "the front matter is nested too deeply") from None
    if tree is None:
        return Raw({}, {})
    if not isinstance(tree, yaml.MappingNode):
        raise fault(name, above + 1, "the front matter must be keys and values, as 'task: binary'")
    places: dict[KeyPath, tuple[str, int]] = {}
    return Raw(_plain(tree, (), places, name, above), places)


def located(raw: Raw, name: str, path: KeyPath, text: str) -> PromptError:
    """Return a fault that blames the innermost key of ``path`` whose place is known."""
    for depth in range(len(path), 0, -1):
        if place := raw.places.get(path[:depth]):
            return fault(*place, text)
    return fault(name, None, text)


_SIGNS = (yaml.AnchorToken, yaml.AliasToken, yaml.TagToken, yaml.DirectiveToken)


def _yaml_fault(error: yaml.YAMLError, text: str, name: str, above: int) -> PromptError:
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + above + 1
        return fault(name, line, "a control character, which YAML does not allow")
    assert isinstance(error, yaml.MarkedYAMLError)
    problem = str(error.problem).replace("mapping values are", "': ' is")
    mark = error.problem_mark
    advice = "put it in quotes"
    if "end of stream" in problem:
        problem, advice = "a quote is opened", "close it"
        mark = error.context_mark
    elif "'\\t'" in problem:
        advice = "indent with spaces"
    elif "<block mapping start>" in problem:
        advice = "check the indentation, or put it in quotes"
    return fault(name, mark.line + above + 1 if mark else None, f"{problem}; {advice}")


def _plain(
    node: yaml.Node, path: KeyPath, places: dict[KeyPath, tuple[str, int]], name: str, above: int
) -> Any:
    """Return a YAML tree as dicts, lists and texts; None where a key has no value."""
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, path, places, name, above) for item in node.value]
    if isinstance(node, yaml.ScalarNode):
        return None if node.style is None and not node.value else node.value
    values: dict[str, Any] = {}
    for key, value in node.value:
        line = key.start_mark.line + above + 1
        if not isinstance(key, yaml.ScalarNode):
            raise fault(name, line, "a key may not begin with '[' or '{'; put it in quotes")
        inner = (*path, key.value)
        if key.value in values:
            first = places[inner][1]
            raise fault(name, line, f"duplicate key '{key.value}' (first on line {first})")
        places[inner] = (name, line)
        values[key.value] = _plain(value, inner, places, name, above)
    return values
