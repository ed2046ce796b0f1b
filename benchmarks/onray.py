"""Compares `score --on ray` with a run here: the same bytes, and what another block size changes.

    python benchmarks/onray.py CUSTOMERS --prompt P [--rows 5000] [--block-rows 700] [--out-dir DIR]

Runs of one table: here, and on a Ray cluster of this machine of which a worker is killed (SIGKILL) on
the way, in bfloat16, the same blocks: their bytes are compared. Then here and on Ray in blocks of
--block-rows, in bfloat16 and float32: the largest and the median difference of a log-probability,
the rank correlation, and the difference in ROC AUC where the table has labels. JSON is the last line.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sqlite3
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from promptpredict.checking import ScoreOptions
from promptpredict.labelled import read_labelled
from promptpredict.prompt import PromptFile
from promptpredict.walk import score_table


def main() -> None:
    """Run, kill, compare, and print what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("customers")
    parser.add_argument("--prompt", required=True)
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--block-rows", type=int, default=700)
    parser.add_argument("--model", default="smollm2-135m")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        here, seconds = run(options, place / "here.csv")
        killed = threading.Event()
        threading.Thread(target=kill, args=(place / "ray.csv.ledger", killed), daemon=True).start()
        there, on_ray = run(options, place / "ray.csv", on="ray")
        same = here == there
        print(f"here {seconds:.0f} s, on Ray {on_ray:.0f} s, a worker killed: {killed.is_set()}")
        print(f"the same bytes: {same}", flush=True)
        found: dict[str, Any] = {"schema": 1, "same": same, "killed": killed.is_set()}
        labels = labels_of(options)
        for dtype in ("float32", "bfloat16"):
            if dtype == "float32":
                run(options, place / "here32.csv", dtype=dtype)
            one = pd.read_csv(place / ("here32.csv" if dtype == "float32" else "here.csv"))
            name = place / f"other-{dtype}.csv"
            run(options, name, on="ray", dtype=dtype, block_rows=options.block_rows)
            found[dtype] = compared(one, pd.read_csv(name), labels)
            print(dtype, json.dumps(found[dtype]), flush=True)
    print(json.dumps(found))


def run(options: argparse.Namespace, out: Path, **given: Any) -> tuple[bytes, float]:
    """Score, and return what was written and the seconds."""
    begun = time.perf_counter()
    asked = {"dtype": "bfloat16", "limit": options.rows, "stop_mass": 0.0, "model": options.model}
    score_table(ScoreOptions(customers=options.customers, prompt=options.prompt, out=str(out), **asked | given))  # fmt: skip
    return out.read_bytes(), time.perf_counter() - begun


def kill(ledger: Path, killed: threading.Event) -> None:
    """Kill a worker that reads, once some prompts are in the ledger."""
    while not killed.wait(0.2):
        try:
            with sqlite3.connect(f"file:{ledger}?mode=ro", uri=True) as file:
                if not file.execute("select count(*) from scores").fetchone()[0]:
                    continue
        except sqlite3.Error:
            continue
        for process in Path("/proc").glob("[0-9]*"):
            try:
                name = (process / "cmdline").read_bytes()
            except OSError:
                continue
            if b"ray::" in name and b"Reader" in name:
                os.kill(int(process.name), signal.SIGKILL)
                killed.set()


def labels_of(options: argparse.Namespace) -> dict[str, int]:
    """Return whether each customer's label is the positive one, by the first column of the output."""
    file = PromptFile.load(options.prompt)
    records, _ = read_labelled(options.customers, file)
    by_id = file.front.id is not None
    return {
        (each.id if by_id else str(each.row)): int(file.label_of(each.label) == file.front.positive)
        for each in records
    }


def compared(one: pd.DataFrame, other: pd.DataFrame, labels: dict[str, int]) -> dict[str, float]:
    """Return how far two outputs are apart."""
    columns = [column for column in one.columns if column.startswith("p_")]
    gaps = np.abs(np.log(one[columns].to_numpy()) - np.log(other[columns].to_numpy()))
    ranks = spearmanr(one[columns[0]], other[columns[0]]).statistic
    y = [labels.get(str(id)) for id in one.iloc[:, 0]]
    known = [at for at, label in enumerate(y) if label is not None]
    aucs = [
        roc_auc_score([y[at] for at in known], table[columns[0]].to_numpy()[known])
        for table in (one, other)
    ]
    return {
        "largest": float(gaps.max()),
        "median": float(np.median(gaps)),
        "rank_correlation": float(ranks),
        "auc_difference": float(aucs[1] - aucs[0]),
    }


if __name__ == "__main__":
    main()
