"""Kills `score` at random moments, lets it go on, and compares what it wrote with an uninterrupted run.

    python benchmarks/kills.py CUSTOMERS --prompt P [--kills 100] [--limit 120]

Each run is a process that is killed (SIGKILL) at a moment drawn from its whole life, loading included,
and started again until it ends; then its output is compared byte for byte, and another run begins.
Batches are noted when they begin to be read: those that began more often than in a run without kills
are the work that was repeated. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

NOTES = "PROMPTPREDICT_KILLS_NOTES"


def main() -> None:
    """Run, kill, compare, and print what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("customers")
    parser.add_argument("--prompt", required=True)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--limit", type=int, default=120)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    drawn = random.Random(options.seed)
    kills = runs = repeated = 0
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        whole, batches = Path(folder) / "whole.csv", Path(folder) / "whole.notes"
        start(options, whole, batches).wait()
        seconds = time.perf_counter() - begun
        once = len(batches.read_text().split())
        expected = whole.read_bytes()
        print(f"uninterrupted: {seconds:.1f} s, {once} batches", flush=True)
        while kills < options.kills:
            out, notes = Path(folder) / f"{runs}.csv", Path(folder) / f"{runs}.notes"
            mine = 0
            while True:
                process = start(options, out, notes)
                try:
                    process.wait(drawn.uniform(0, seconds))
                    break
                except subprocess.TimeoutExpired:
                    process.send_signal(signal.SIGKILL)
                    process.wait()
                    mine += 1
            if process.returncode or out.read_bytes() != expected:
                raise SystemExit(
                    f"run {runs}, {mine} kills: not the same (exit {process.returncode})"
                )
            more = len(notes.read_text().split()) - once
            if more > mine:
                raise SystemExit(f"run {runs}: {more} batches were read again after {mine} kills")
            kills, runs, repeated = kills + mine, runs + 1, repeated + more
            print(f"run {runs}: the same after {mine} kills; {more} batches read again", flush=True)
    print(json.dumps({"schema": 1, "kills": kills, "runs": runs, "batches_repeated": repeated}))


def start(options: argparse.Namespace, out: Path, notes: Path) -> subprocess.Popen[bytes]:
    """Start `score`, which notes each batch that it begins to read."""
    words = ["score", options.customers, "--prompt", options.prompt, "--stop-mass", "0"]
    words += ["--limit", str(options.limit), "--out", str(out)]
    given = os.environ | {NOTES: str(notes)}
    notes.touch()
    return subprocess.Popen(
        [sys.executable, __file__, "--child", *words], env=given, stderr=subprocess.DEVNULL
    )


def child() -> None:
    """Run the command line with a note of each batch."""
    from promptpredict.cli import main as run
    from promptpredict.lm import CausalLM

    read = CausalLM.read

    def noted(self: Any, batch: Any, *given: Any) -> Any:
        with open(os.environ[NOTES], "a") as file:
            file.write(f"{len(batch)}\n")
        return read(self, batch, *given)

    CausalLM.read = noted  # type: ignore[method-assign]
    sys.argv = ["promptpredict", *sys.argv[2:]]
    run()


if __name__ == "__main__":
    child() if sys.argv[1:2] == ["--child"] else main()
