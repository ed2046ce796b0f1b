"""Fuzzes the readers of tables and the loader of prompt files, led by coverage (atheris).

    pip install -c constraints.txt -r benchmarks/fuzzing.txt
    python benchmarks/fuzzing.py [--seconds 20] [--target table] [--target prompt]

What must hold stands in tests/fuzzed.py. A fault ends the run with its input in a file; else the last
line is JSON with the inputs that were tried: {target: count}.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))
TARGETS = ("table", "prompt")
SEEDS = {
    "table": [
        (0, b"id,plan,feedback\n1,basic,late\n2,full,\n"),
        (1, b"id\tplan\n1\tx\n"),
        (2, b'{"id": 1, "plan": null}\n{"id": 2, "plan": "x"}\n'),
    ],
    "prompt": [(0, path.read_bytes()) for path in sorted((HERE.parent / "prompts").glob("*.jinja"))],
}  # fmt: skip


def main() -> None:
    """Fuzz each target in a process of its own, as the fuzzer ends its process."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=20, help="for each target")
    parser.add_argument("--target", action="append", choices=TARGETS)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        fuzz(options.target[0], options.seconds, Path(options.child))
        return
    counts = {}
    for target in options.target or TARGETS:
        with tempfile.TemporaryDirectory() as folder:
            for number, (kind, data) in enumerate(SEEDS[target]):
                (Path(folder) / str(number)).write_bytes(data + bytes([kind]))
            command = [sys.executable, __file__, "--target", target, "--child", folder]
            run = subprocess.run(
                [*command, "--seconds", str(options.seconds)], capture_output=True, text=True
            )
        done = re.search(r"Done (\d+) (?:runs|in)", run.stderr)
        if run.returncode or not done:
            sys.exit(f"{target}: {run.stdout}{run.stderr[-4000:]}")
        counts[target] = int(done[1])
        print(f"{target}: {counts[target]:,} inputs in {options.seconds} s, no fault", flush=True)
    print(json.dumps(counts))


def fuzz(target: str, seconds: int, corpus: Path) -> None:
    """Fuzz in this process; the last byte of an input says which ending its table has."""
    import atheris

    with atheris.instrument_imports(include=["promptpredict", "csv", "json"]):
        import fuzzed

    def one(data: bytes) -> None:
        if target == "table":
            ending = fuzzed.ENDINGS[(data[-1] if data else 0) % len(fuzzed.ENDINGS)]
            fuzzed.table(data[:-1], ending)
        else:
            fuzzed.prompt_file(data[:-1].decode("utf-8", "ignore"))

    found = f"-artifact_prefix={tempfile.gettempdir()}/fuzzing-{target}-"
    limits = [f"-max_total_time={seconds}", "-max_len=4096", "-timeout=20", found]
    atheris.Setup([sys.argv[0], *limits, str(corpus)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
