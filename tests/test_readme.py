"""The README is executed: its files are the shipped ones, its commands give what it shows."""

from __future__ import annotations

import csv
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from promptpredict.frontmatter import FrontMatter
from promptpredict.wordings import load_wordings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SETUP = [
    "pip install -c constraints.txt -e . && promptpredict demo",
    "pip install -c constraints.txt -e '.[test]' && pytest",
]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.M | re.S)


def test_every_block_is_executed_or_compared_somewhere():
    languages = re.findall(r"^```(\w*)\n(?:.*?)^```$", README, re.M | re.S)
    assert sorted(set(languages)) == ["console", "csv", "jinja", "python", "sh", "yaml"]
    assert [block.strip() for block in blocks("sh")] == SETUP


def test_the_prompt_file_is_the_shipped_one():
    (shown,) = blocks("jinja")
    shipped = (ROOT / "prompts" / "churn-shop.jinja").read_text(encoding="utf-8")
    assert shown == shipped


def test_every_key_of_the_front_matter_is_told():
    (table,) = re.findall(r"^\| key \| says \|\n\|---\|---\|\n((?:\|.*\n)+)", README, re.M)
    told = [line.split("|")[1].strip(" `") for line in table.splitlines()]
    assert sorted(told) == sorted(FrontMatter.model_fields)


def test_commands_and_options_that_are_named_exist():
    named = re.findall(r"`promptpredict ([^`]+)`", README.replace("\n", " "))
    assert len(named) > 8
    for command in named:
        words = shlex.split(command)
        name = "-".join(words[: 2 if words[0] in ("prompts", "models") else 1])
        text = (ROOT / "tests" / "golden" / "help" / f"{name}.txt").read_text(encoding="utf-8")
        for option in re.findall(r"--[a-z-]+", command):
            assert re.search(rf"{option}\b", text), f"{command}: {option}"


def test_the_wordings_of_ones_own_can_be_tried(tmp_path):
    (shown,) = blocks("yaml")
    (tmp_path / "own.yaml").write_text(shown, encoding="utf-8")
    tried = load_wordings(tmp_path / "own.yaml")
    assert [(each.question, each.answer) for each in tried] == [
        ("How will the claim end?", "The claim will be")
    ] * 2


def test_the_result_tables_are_those_of_the_results():
    done = subprocess.run(
        [sys.executable, "benchmarks/report.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.weights
def test_console_blocks_give_what_they_show(tmp_path):
    """Texts are compared whole, numbers within .03: in bfloat16 the third digit is the machine's."""
    (customers,) = blocks("csv")
    (tmp_path / "customers.csv").write_text(customers, encoding="utf-8")
    shown = blocks("console")
    assert shown
    for block in shown:
        command, expected = block.split("\n", 1)
        words = shlex.split(command.removeprefix("$ "))
        assert words[0] == "promptpredict"
        done = subprocess.run(
            [sys.executable, "-m", "promptpredict", *words[1:]],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        compare(done.stdout, expected)


@pytest.mark.weights
def test_python_blocks_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), {})


def compare(found: str, expected: str) -> None:
    found_rows, expected_rows = (list(csv.reader(text.splitlines())) for text in (found, expected))
    assert len(found_rows) == len(expected_rows)
    for one, other in zip(found_rows, expected_rows, strict=True):
        assert len(one) == len(other)
        for cell, wanted in zip(one, other, strict=True):
            if re.fullmatch(r"0\.\d+", wanted):
                assert float(cell) == pytest.approx(float(wanted), abs=0.03)
            else:
                assert cell == wanted
