"""Measures that `score` takes no more memory for a million rows than for ten thousand, and its pace.

    python benchmarks/streaming.py [--rows 10000 --rows 1000000] [--prompt churn-shop]

Customers are made up. The language model is a stand-in that counts words of the rendered prompt, so
what is measured is all else: reading, rendering, ledger, calibration, output. Each table is scored in
a process of its own. The last line is JSON.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TEXTS = (
    "Fast delivery again, and the sizes fit.", "The parcel came late, and nobody answers my mails.",
    "I wanted to return two shirts, and the refund took six weeks.", "Good price, friendly hotline.",
    "The quality has become worse, the seams open after a week.", "Nothing to complain about.",
)  # fmt: skip


def main() -> None:
    """Score the tables, and print seconds and memory."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--rows", type=int, action="append", help="10,000 and 1,000,000 if not given"
    )
    parser.add_argument("--prompt", default="churn-shop")
    parser.add_argument("--score", help=argparse.SUPPRESS)  # the process that scores a table
    options = parser.parse_args()
    if options.score:
        print(json.dumps(scored(options.score, options.prompt)))
        return
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for rows in options.rows or [10_000, 1_000_000]:
            table = Path(folder) / f"{rows}.csv"
            write(table, rows)
            words = [sys.executable, __file__, "--score", str(table), "--prompt", options.prompt]
            run = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
            found.append({"rows": rows, **json.loads(run.stdout)})
            print(
                "{rows:,} rows: {rows_a_second:,.0f} a second, {megabytes:.0f} MB".format(
                    **found[-1]
                )
            )
    print(json.dumps({"schema": 1, "runs": found}))


def write(table: Path, rows: int) -> None:
    """Make up customers, no two of whom wrote the same."""
    drawn = random.Random(rows)
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["customer_id", "order_amount", "num_purchases", "last_purchase_time", "feedback_text"]
        )
        for row in range(rows):
            text = " ".join(drawn.sample(TEXTS, 2))
            amount, count = drawn.uniform(5, 200), drawn.randrange(40)
            writer.writerow(
                [f"C{row}", f"{amount:.2f}", count, "2026-09-30", f"{text} Order {row}."]
            )


def scored(table: str, prompt: str) -> dict[str, float]:
    """Score a table with the stand-in; return the pace, and the peak of memory."""
    import numpy as np

    from promptpredict import loading, models
    from promptpredict.checking import ScoreOptions
    from promptpredict.scores import Scores
    from promptpredict.walk import score_table

    class StandIn:
        name = "stand-in"

        def score(self, prompts, labels, *, progress=None):  # type: ignore[no-untyped-def]
            lengths = np.array([len(prompt.user) for prompt in prompts], np.float32)
            logprobs = np.stack([-1 - lengths / 100, -2 + 0 * lengths], axis=1)
            if progress:
                progress(len(prompts))
            return Scores(
                logprobs=logprobs,
                mass=np.exp(logprobs).sum(axis=1),
                hidden=np.empty((len(prompts), 0), np.float32),
                truncated=np.zeros(len(prompts), bool),
                faults={},
                tokens=0,
            )

    loading.load_language_model = lambda *_, **__: StandIn()  # type: ignore[assignment,return-value]
    models.pick = lambda *_: models.Source("stand-in", Path(__file__))  # type: ignore[assignment]
    begun = time.perf_counter()
    summary = score_table(
        ScoreOptions(customers=table, prompt=prompt, out=f"{table}.out.csv", base_rate=0.12)
    )
    seconds = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    assert summary.rows == summary.by_method["llm"]
    return {"seconds": seconds, "rows_a_second": summary.rows / seconds, "megabytes": peak}


if __name__ == "__main__":
    main()
