"""The shipped prompt files: where they are, what they are for, a copy to edit.

Knows the folder and the first comment of each file. Knows nothing of blocks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from promptpredict.errors import PromptError, nearest
from promptpredict.plainyaml import split


@dataclass(frozen=True, slots=True)
class Shipped:
    """One shipped prompt file, as a list shows it."""

    name: str
    task: str
    description: str


def folder() -> Path:
    """Return the folder of the shipped prompt files, in a wheel or in the repository."""
    here = Path(__file__).resolve()
    inside = here.parent / "prompts"
    return inside if inside.is_dir() else here.parents[2] / "prompts"


def _files() -> list[Path]:
    return sorted(folder().glob("*.jinja"), key=lambda file: file.stem)


def names() -> list[Shipped]:
    """List the shipped prompt files, with the comment that each begins with."""
    listed = []
    for file in _files():
        text = file.read_text(encoding="utf-8")
        comment = re.match(r"\s*\{#(.*?)#\}", text, re.DOTALL)
        raw, _ = split(text, file.name)
        description = " ".join(comment[1].split()) if comment else ""
        listed.append(Shipped(file.stem, raw.values.get("task", ""), description))
    return listed


def path(name: str) -> Path:
    """Return the path of a shipped prompt file, by its name with or without ``.jinja``."""
    files = {file.stem: file for file in _files()}
    stem = name.removesuffix(".jinja")
    if stem not in files:
        raise PromptError(
            f"no prompt file '{name}'{nearest(stem, files)}; "
            f"it is neither a file nor one of the shipped: {', '.join(files)}"
        )
    return files[stem]


def copy(name: str, destination: Path) -> Path:
    """Copy a shipped prompt file into a folder and return its path there; never overwrite."""
    source = path(name)
    target = destination / source.name
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(source.read_text(encoding="utf-8"))
    except FileExistsError:
        raise PromptError(f"{target} is there already; move it, or copy elsewhere") from None
    except OSError as error:
        raise PromptError(f"{target} cannot be written ({error.strerror})") from None
    return target
