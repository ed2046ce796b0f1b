"""Compare approaches on the real tables, and a bare Yes/No question beside each.

    python benchmarks/tables.py --data DIR [--table NAME ...] [--out benchmarks/results]

Reads DIR/NAME.csv.gz (sources and SHA-256: benchmarks/DATA.md) and the prompt files beside this
script, and runs what `promptpredict benchmark` runs: 400 test rows drawn by seed 0, the budgets
0, 4, 16, 64 and 256, three seeds. Writes OUT/NAME/results.json and about.json; few-shot runs at
4 and 16 labels only, because more than 16 shots are never shown. Predictions are not kept: the ids
of some tables are those of real people.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from promptpredict.benchmark import Benchmark, Comparison, Plan
from promptpredict.encoders import Embedder
from promptpredict.labelled import read_labelled
from promptpredict.lm import CausalLM
from promptpredict.loading import load_language_model
from promptpredict.models import find
from promptpredict.prompt import PromptFile
from promptpredict.results import Results

HERE = Path(__file__).parent
PROMPTS = sorted((HERE / "prompts").glob("*.jinja"))
TABLES = [path.stem for path in PROMPTS if not path.stem.endswith("-bare")]
PLAN = Plan(
    approaches=("zero-shot", "probe", "embedding", "few-shot"),
    budgets_of={"few-shot": (4, 16)},
    max_test=400,
)
BARE = Plan(approaches=("zero-shot",), budgets=(0,), max_test=400, seeds=1)


def main() -> None:
    """Run every table that is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the tables")
    parser.add_argument("--table", action="append", choices=TABLES, help="all, if not given")
    parser.add_argument("--out", type=Path, default=HERE / "results")
    parser.add_argument("--model", default="smollm2-135m")
    options = parser.parse_args()
    lm = load_language_model(find(options.model), say=print)
    for name in options.table or TABLES:
        start = time.perf_counter()
        results = compare(name, options.data, lm)
        folder = options.out / name
        folder.mkdir(parents=True, exist_ok=True)
        text = results.model_dump_json(indent=1, by_alias=True)
        (folder / "results.json").write_text(text + "\n")
        about = about_run(lm) | {"seconds": round(time.perf_counter() - start)}
        (folder / "about.json").write_text(json.dumps(about, indent=1) + "\n")


def compare(name: str, data: Path, lm: CausalLM) -> Results:
    """Run the comparison of one table, then the bare question on the same test rows."""
    own, bare = (
        run_file(f"{name}.jinja", name, data, PLAN, lm),
        run_file(f"{name}-bare.jinja", name, data, BARE, lm),
    )
    # The verdict is on the wording; the bare question only stands beside it.
    results = Results.of(own.rows, own.differences)
    return results.model_copy(update={"rows": [*own.rows, *bare.rows]})


def run_file(file: str, name: str, data: Path, plan: Plan, lm: CausalLM) -> Comparison:
    """Run a plan with one prompt file."""
    prompt_file = PromptFile.load(HERE / "prompts" / file)
    records, notes = read_labelled(str(data / f"{name}.csv.gz"), prompt_file, {})
    run = Benchmark(records, prompt_file, plan, lm=lm, embedder=Embedder(), table=name)
    found = run.run(lambda line: print(name, line, flush=True))
    for note in [*notes, *found.notes]:
        print(name, note, flush=True)
    found.rows = [row.model_copy(update={"prompt": file}) for row in found.rows]
    return found


def about_run(lm: CausalLM) -> dict[str, Any]:
    """Return what the figures depend on beside code and data."""
    packages = ("torch", "transformers", "sentence-transformers", "scikit-learn")
    git = ["git", "-C", str(HERE), "rev-parse", "--short=12", "HEAD"]
    return {
        "commit": subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip(),
        "hardware": hardware(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
        "dtype": str(lm.model.dtype).removeprefix("torch."),
    }


def hardware() -> str:
    """Return the processor's cores, name and instructions."""
    info = Path("/proc/cpuinfo")
    names = re.findall(r"^model name\s*: (.*)$", info.read_text(), re.M) if info.is_file() else []
    bfloat16 = ", bfloat16" if torch.cpu._is_avx512_bf16_supported() else ""
    capability = torch.backends.cpu.get_cpu_capability()
    return f"{os.cpu_count()} cores ({(names or [platform.machine()])[0]}, {capability}{bfloat16})"


if __name__ == "__main__":
    main()
