"""What figures depend on beside code and data, and a prompt without anybody's words in it.

Knows versions, hardware and prompts; knows nothing of figures.
"""

from __future__ import annotations

import os
import platform
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from promptpredict.errors import PromptPredictError
from promptpredict.prompt import PromptFile
from promptpredict.records import Record
from promptpredict.results import About
from promptpredict.values import Value

if TYPE_CHECKING:
    from promptpredict.benchmark import Benchmark
    from promptpredict.cases import Comparison

PACKAGES = (
    "promptpredict",
    "torch",
    "transformers",
    "sentence-transformers",
    "scikit-learn",
    "skrub",
)  # fmt: skip
COMMON = 5  # records that must share a word before it is shown as a category


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that figures depend on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def hardware() -> str:
    """Return the processor's cores and name, and its instructions where torch knows them."""
    info = Path("/proc/cpuinfo")
    names = re.findall(r"^model name\s*: (.*)$", info.read_text(), re.M) if info.is_file() else []
    found = f"{os.cpu_count()} cores ({(names or [platform.machine()])[0]}"
    try:
        import torch
    except ImportError:
        return f"{found})"
    bfloat16 = ", bfloat16" if torch.cpu._is_avx512_bf16_supported() else ""
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{found}, {torch.backends.cpu.get_cpu_capability()}{bfloat16}){gpu}"


def about_run(
    runs: Sequence[Benchmark],
    found: Comparison,
    *,
    settings: Mapping[str, Any],
    started: str,
    seconds: float,
    keep: bool = False,
) -> About:
    """Return what the figures of a comparison depend on; ``runs`` are those of each model.

    ``keep`` shows the prompt of a real record.
    """
    run, memos = runs[0], [each.memo for each in runs if each.memo]
    split = run.splits[0]
    counts = {
        "rows": len(run.records),
        "folds": len(run.splits),
        "training rows": sum(run.records[row].row not in run.unscored for row in split.train),
        "test rows": max((row.n_test for row in found.rows), default=0),
    }
    if run.positive is not None:
        counts["positive rows"] = sum(label == run.positive for label in run.y)
    train = [run.records[row] for row in split.train]
    text = prompt_text(memos[0].lm, run.files[0], train, keep=keep) if memos else ""
    return About(
        started=started,
        seconds=round(seconds, 1),
        hardware=hardware(),
        versions=versions(),
        settings=dict(settings)
        | {"models": [memo.identity for memo in memos], "wording": run.prompt_file.fingerprint}
        | ({"label_words": run.prompt_file.words} if memos else {}),
        counts=counts,
        prompts=sum(memo.count for memo in memos),
        passes=sum(memo.passes for memo in memos),
        tokens=sum(memo.tokens_read for memo in memos),
        prompt_text=text,
        shots=found.shots,
        label_mass=found.label_mass,
        truncated=found.truncated,
    )


def prompt_text(
    lm: Any, prompt_file: PromptFile, records: Sequence[Record], *, keep: bool = False
) -> str:
    """Return a whole prompt as the model sees it, control tokens written out.

    Of a record that stands for all: medians of numbers, the month in the middle of dates, the most
    frequent of words that at least five records share, and the column's name in place of anything
    else; with ``keep`` of the first record itself. The reason stands in its place where the wording
    cannot show such a record.
    """
    record = records[0] if keep else masked(records, prompt_file)
    try:
        prompt = prompt_file.render(record)
    except PromptPredictError as error:
        return f"a prompt without a customer's own values cannot be shown: {error}"
    encoder = getattr(lm, "encoder", None)
    if encoder is not None:
        return str(encoder.text(prompt))
    return "\n\n".join(part for part in (prompt.system, prompt.user, prompt.answer) if part)


def masked(records: Sequence[Record], prompt_file: PromptFile) -> Record:
    """Return a record that stands for all and is nobody: a middle number or month, a common word."""
    values: dict[str, Value] = {}
    for column in records[0].values:
        cells = [record.values[column] for record in records]
        apart = column in prompt_file.front.text or column == prompt_file.front.id
        values[column] = f"‹{column}›" if apart else _typical(column, cells)
    return replace(records[0], row=0, id="0", values=values, label=None)


def _typical(column: str, cells: Sequence[Value]) -> Value:
    known = [cell for cell in cells if cell is not None]
    numbers = [
        cell for cell in known if isinstance(cell, int | float) and not isinstance(cell, bool)
    ]
    if known and len(numbers) == len(known):
        middle = median(numbers)
        return int(middle) if all(isinstance(cell, int) for cell in numbers) else float(middle)
    days = [cell for cell in known if isinstance(cell, date)]
    if known and len(days) == len(known):
        day = sorted(days, key=str)[(len(days) - 1) // 2]  # ISO: as text they are in order
        # The first of its month: no customer's own day.
        return datetime(day.year, day.month, 1) if isinstance(day, datetime) else day.replace(day=1)
    [(cell, count)] = Counter(map(str, known)).most_common(1) or [("", 0)]
    return cell if count >= COMMON else f"‹{column}›"
