"""Compare approaches on the real tables, and a bare Yes/No question beside each.

    python benchmarks/tables.py --data DIR [--table NAME ...] [--out benchmarks/results]

Reads DIR/NAME.csv.gz (sources and SHA-256: benchmarks/DATA.md) and the prompt files beside this
script, and runs what `promptpredict benchmark` runs: 400 test rows drawn by seed 0, the budgets
0, 4, 16, 64 and 256, three seeds. Writes OUT/NAME/results.json; few-shot runs at 4 and 16 only.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from importlib.metadata import version
from pathlib import Path

import torch

from promptpredict.benchmark import Benchmark, Comparison, Plan
from promptpredict.encoders import Embedder
from promptpredict.loading import load_language_model
from promptpredict.models import find
from promptpredict.prompt import PromptFile
from promptpredict.records import read_records
from promptpredict.results import Results, write_results

HERE = Path(__file__).parent
TABLES = [
    path.stem
    for path in sorted((HERE / "prompts").glob("*.jinja"))
    if not path.stem.endswith("-bare")
]
PLAN = Plan(
    approaches=("zero-shot", "probe", "embedding", "few-shot"),
    budgets_of={"few-shot": (4, 16)},
    max_test=400,
    seeds=3,
)
BARE = Plan(approaches=("zero-shot",), budgets=(0,), max_test=400, seeds=1)


def main() -> None:
    """Run every table that is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--table", action="append", choices=TABLES)
    parser.add_argument("--out", type=Path, default=HERE / "results")
    parser.add_argument("--model", default="smollm2-135m")
    options = parser.parse_args()
    lm = load_language_model(find(options.model), say=print)
    embedder = Embedder()
    for name in options.table or TABLES:
        start = time.perf_counter()
        comparison = Comparison()
        for suffix, plan in (("", PLAN), ("-bare", BARE)):
            prompt_file = PromptFile.load(HERE / "prompts" / f"{name}{suffix}.jinja")
            records = read_records(options.data / f"{name}.csv.gz", prompt_file.roles).records
            run = Benchmark(records, prompt_file, plan, lm=lm, embedder=embedder, table=name)
            found = run.run(lambda line, name=name: print(name, line, flush=True))
            comparison.rows += [
                row.model_copy(update={"prompt": f"{name}{suffix}.jinja"}) for row in found.rows
            ]
            comparison.differences += found.differences
            comparison.predictions += found.predictions
        results = Results.of(comparison.rows, comparison.differences)
        write_results(options.out / name, results, comparison.predictions)
        about = {
            "seconds": round(time.perf_counter() - start),
            "hardware": hardware(),
            "versions": {
                each: version(each)
                for each in ("torch", "transformers", "sentence-transformers", "scikit-learn")
            },
            "python": platform.python_version(),
            "dtype": str(lm.model.dtype),
        }
        (options.out / name / "about.json").write_text(json.dumps(about, indent=1) + "\n")


def hardware() -> str:
    """Return the processor, its cores, and whether it has bfloat16."""
    import os
    import re

    info = Path("/proc/cpuinfo")
    names = re.findall(r"^model name\s*: (.*)$", info.read_text(), re.M) if info.is_file() else []
    flags = torch.cpu._is_avx512_bf16_supported()
    return f"{os.cpu_count()} cores ({(names or [platform.machine()])[0]}, {torch.backends.cpu.get_cpu_capability()}{', bfloat16' if flags else ''})"


if __name__ == "__main__":
    main()
