"""Help under headings: every option once, whatever its heading, and no heading for what is no option."""

from __future__ import annotations

import re

import pytest
import typer.main

from promptpredict.cli import app
from promptpredict.headings import HEADINGS, Command

COMMANDS = {
    name: command
    for name, command in typer.main.get_command(app).commands.items()
    if isinstance(command, Command)
}


def help_of(command):
    with command.make_context(command.name, [], resilient_parsing=True) as context:
        return command.get_help(context)


def test_the_commands_that_read_tables_have_headings():
    assert {*COMMANDS} == {"score", "plan", "benchmark", "wordings", "explain", "tune", "render",
                           "check", "demo"}  # fmt: skip


def test_what_has_a_heading_is_an_option_of_some_command_and_has_one():
    named = [name for names in HEADINGS.values() for name in names]
    assert len(named) == len({*named})
    assert {*named} <= {param.name for command in COMMANDS.values() for param in command.params}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_stands_once_and_no_section_is_empty(name):
    command = COMMANDS[name]
    text = help_of(command)
    sections = dict(re.findall(r"^(\w[\w ]*):\n((?:  .+\n?)+)", text, re.M))
    assert [each for each in ("Arguments", "Options", *HEADINGS) if each in sections] == [*sections]
    for param in command.params:
        mark = param.opts[0] if param.param_type_name == "option" else param.metavar
        lines = rf"^  (?:-\w, )?{re.escape(mark)}(?: |$)"
        found = [each for each, lines_of in sections.items() if re.search(lines, lines_of, re.M)]
        own = [each for each, names in HEADINGS.items() if param.name in names]
        kind = "Arguments" if param.param_type_name == "argument" else "Options"
        assert found == (own or [kind])
