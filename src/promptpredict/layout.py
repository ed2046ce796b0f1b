"""The layout of a prompt: a tokenizer's chat template, or a plain one for base models.

Knows chat templates as text; knows nothing of token ids. A layout is rendered around slots, so
that no template ever sees (or changes) what a customer wrote.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime
from itertools import cycle
from typing import Any, Literal, NoReturn

from jinja2 import Template, TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.nodes import Node, Scope
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from promptpredict.errors import ModelError

# A template that prints today's date would change every prompt every night.
PINNED_DATE = datetime(2024, 7, 26)
SLOT = re.compile("\ue000(\\d+)\ue001")


class Layout:
    """Lays out prompts for one tokenizer.

    ``kind`` is ``chat`` where the tokenizer has a chat template, else ``plain`` (system, shots and
    customer joined by a blank line, the answer on a line of its own). ``system_role`` is ``own``,
    or ``merged`` into the first user turn where the template knows no system role. Raises
    ModelError for a template that does not lead straight to an answer.
    """

    def __init__(self, tokenizer: Any, name: str) -> None:
        """Find out what the template can do."""
        self.name = name
        self.kind: Literal["chat", "plain"] = "chat" if tokenizer.chat_template else "plain"
        self.system_role: Literal["own", "merged"] = "own"
        self._opening = ""
        if self.kind == "chat":
            self._source = _default(tokenizer.chat_template, name)
            self._names = dict(tokenizer.special_tokens_map)
            self._template = _compiled(self._source, name)
            self.system_role = self._find_system_role()
            self._opening = self._find_opening()

    def text(self, shots: int, *, system: bool) -> str:
        """Return a prompt's layout with slots for its contents.

        Slot 0 is the system text, then come user and reply of each shot, user and answer.
        """
        slots = [f"\ue000{index}\ue001" for index in range(2 * shots + 3)]
        text = self._chat(slots, system) if self.kind == "chat" else _plain(slots, system)
        found = sorted(int(index) for index in SLOT.findall(text))
        if found != list(range(0 if system else 1, len(slots))):
            raise ModelError(f"{self.name}: its chat template does not write every turn once")
        return text

    def _chat(self, slots: Sequence[str], system: bool) -> str:  # noqa: FBT001
        roles = cycle(["user", "assistant"])
        turns = [{"role": next(roles), "content": content} for content in slots[1:-1]]
        if system and self.system_role == "merged":
            turns[0]["content"] = f"{slots[0]}\n\n{slots[1]}"
        elif system:
            turns.insert(0, {"role": "system", "content": slots[0]})
        return self._render(turns) + self._opening + slots[-1]

    def _render(self, messages: list[dict[str, str]]) -> str:
        try:
            return self._template.render(
                messages=messages,
                tools=None,
                documents=None,
                add_generation_prompt=True,
                enable_thinking=False,
                date_string=PINNED_DATE.strftime("%d %b %Y"),
                **self._names,
            )
        except Exception as error:  # a TemplateError, or whatever the template ran into
            raise ModelError(f"{self.name}: its chat template fails: {error}") from error

    def _find_system_role(self) -> Literal["own", "merged"]:
        system, user = "\ue0000\ue001", "\ue0001\ue001"
        turns = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        try:
            return "own" if system in self._render(turns) else "merged"  # some drop it silently
        except ModelError:
            return "merged"

    def _find_opening(self) -> str:
        """Return the white space that stands before a reply, but not after a generation prompt.

        Raises ModelError where an answer does not follow a generation prompt at all: the model
        would think first, or name a channel.
        """
        text = self.text(1, system=False)
        before, prompt = _between(text, 1, 2), _between(text, 3, 4)
        thinks = any(mark in self._source for mark in ("enable_thinking", "<think>", "</think>"))
        if thinks and "</think>" not in prompt:
            raise ModelError(
                f"{self.name}: its chat template leaves thinking open, so the next token is no "
                "answer; possible: an instruct model without thinking, or one whose template closes it"
            )
        missing = before.removeprefix(prompt) if before.startswith(prompt) else ""
        if missing.strip():
            raise ModelError(
                f"{self.name}: its chat template writes {missing!r} before an answer, but not at the "
                "end of its generation prompt; possible: an instruct model without such channels"
            )
        return missing


class _Generation(Extension):
    """The tags around what the model wrote, which serve training and print nothing."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> Node:
        """Return what stands between the tags."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return Scope(body, lineno=line)


def _default(template: Any, name: str) -> str:
    """Return the template of a tokenizer; of several under names, the one for mere chat."""
    if not isinstance(template, dict):
        return str(template)
    if "default" not in template:
        raise ModelError(f"{name}: of its chat templates {', '.join(template)} none is the default")
    return str(template["default"])


def _compiled(source: str, name: str) -> Template:
    """Compile a template as transformers does, but with the date pinned.

    transformers hands no functions to a template, so its ``strftime_now`` cannot be replaced.
    """
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    environment.filters["tojson"] = lambda value, **_: json.dumps(value, ensure_ascii=False)
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = PINNED_DATE.strftime
    try:
        return environment.from_string(source)
    except TemplateError as error:
        raise ModelError(f"{name}: its chat template cannot be read: {error}") from error


def _raise(message: str) -> NoReturn:
    raise TemplateError(message)


def _between(text: str, start: int, end: int) -> str:
    return text.split(f"\ue000{start}\ue001")[1].split(f"\ue000{end}\ue001")[0]


def _plain(slots: Sequence[str], system: bool) -> str:  # noqa: FBT001
    shots = [f"{user}\n{reply}" for user, reply in zip(slots[1:-2:2], slots[2:-2:2], strict=True)]
    return "\n\n".join([*([slots[0]] if system else []), *shots, f"{slots[-2]}\n{slots[-1]}"])
