"""Measures what sharing a customer's text saves, and that a long run costs what a short one does.

    python benchmarks/sharing.py [--customers 32] [--rounds 3]
    python benchmarks/sharing.py --long [--model smollm2-135m]

The first compares one question of about 20 tokens about a customer of about 120 with ten and with a hundred
questions, side by side in one run; the second runs `promptpredict score` on tables of 1,000, 4,500 and
8,000 customers, and compares seconds a customer and the peak of memory. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from promptpredict.lm import CausalLM
from promptpredict.loading import load_language_model
from promptpredict.models import find
from promptpredict.rendered import Prompt
from throughput import LABELS, SYSTEM, VOCABULARY

WORDS = 100  # of feedback: a customer is about 120 tokens
TOPICS = (
    "the price of the contract", "a wrong charge on the bill", "the speed of the network",
    "how long the hotline took", "a technician who did not come", "the router at home",
    "another company's offer", "moving to another town", "the app and the website", "a broken promise",
)  # fmt: skip
ASKED = (
    "Did this customer write about {}? Answer with one word, yes or no.",
    "Is {} something that this customer complains about? Say yes or no.",
    "Does the customer sound angry because of {}? One word, yes or no.",
    "Would {} be a reason for this customer to go? Reply with yes or no.",
    "Has {} been settled for this customer by now? Tell me yes or no.",
    "Should somebody call this customer because of {}? Just yes or no.",
    "Was {} what the customer was asked about first? Only yes or no.",
    "Will {} still matter to this customer in a year? Give yes or no.",
    "Do others who have trouble with {} write like this? Yes or no.",
    "Can the company mend {} for this customer soon? Write yes or no.",
)
COUNTS = (1_000, 4_500, 8_000)
PROMPT = """---
task: binary
target: left
labels: {1: yes, 0: no}
positive: 1
id: id
text: [feedback]
---
{% block system %}You judge customers.{% endblock %}
{% block customer %}Feedback: {{ customer.feedback }}{% endblock %}
{% block question %}Will this customer leave?{% endblock %}
{% block answer %}Answer:{% endblock %}
"""
QUESTIONS = [ask.format(topic) for ask in ASKED for topic in TOPICS]


def main() -> None:
    """Measure one of the two."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--customers", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--model", default="smollm2-135m")
    options = parser.parse_args()
    if options.long:
        print(json.dumps(long(options.model, COUNTS)))
    else:
        lm = load_language_model(find(options.model), say=print)
        print(json.dumps(shared(lm, options.customers, options.rounds)))


def text_of(drawn: random.Random) -> str:
    """Make up what a customer wrote."""
    return " ".join(drawn.choice(VOCABULARY) for _ in range(WORDS))


def shared(lm: CausalLM, customers: int, rounds: int) -> dict[str, object]:
    """Return how much more ten and a hundred questions take than one, medians over the rounds."""
    counts = (1, 10, 100)
    seconds: dict[int, list[float]] = {count: [] for count in counts}
    tokens = {}
    for turn in range(rounds):
        drawn = random.Random(turn)
        texts = [text_of(drawn) for _ in range(customers)]
        for count in counts:
            prompts = [
                Prompt(SYSTEM, (), f"Feedback: {text}\n{question}", "Answer:")
                for text in texts
                for question in QUESTIONS[:count]
            ]
            begun = time.perf_counter()
            tokens[count] = lm.score(prompts, LABELS).tokens / customers
            seconds[count].append((time.perf_counter() - begun) / customers)
    medians = {count: statistics.median(each) for count, each in seconds.items()}
    ratios = {count: medians[count] / medians[1] for count in counts}
    for count in counts:
        print(
            f"{count} questions: {medians[count]:.4f} s a customer, {tokens[count]:,.0f} tokens, "
            f"{ratios[count]:.2f} times one"
        )
    return {"schema": 1, "seconds": medians, "ratios": ratios}


def long(model: str, counts: Sequence[int]) -> dict[str, object]:
    """Return how `score` goes on: what a customer takes late in a table, and the peak of memory.

    Seconds a customer are those between two tables, so that what loading takes is in none of them.
    """
    seconds, peaks = [], []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "mine.jinja").write_text(PROMPT)
        for count in counts:
            drawn = random.Random(0)
            rows = [f"{at},{text_of(drawn)}" for at in range(count)]
            (place / "customers.csv").write_text("\n".join(["id,feedback", *rows, ""]))
            words = [
                "customers.csv",
                "--prompt",
                "mine.jinja",
                "--model",
                model,
                "--out",
                "out.csv",
                "--restart",  # the ledger knows the customers of the table before
            ]
            begun = time.perf_counter()
            run = subprocess.Popen(
                [sys.executable, "-m", "promptpredict", "score", *words],
                cwd=place,
                stderr=subprocess.DEVNULL,
            )
            _, status, used = os.wait4(run.pid, 0)
            seconds.append(time.perf_counter() - begun)
            if status or len((place / "out.csv").read_text().splitlines()) != count + 1:
                raise SystemExit(f"score ended with {status}")
            peaks.append(used.ru_maxrss * 1024)
            print(f"{count:,} customers: {seconds[-1]:.0f} s, peak {peaks[-1] / 2**20:,.0f} MiB")
    each = [
        (later - sooner) / (more - fewer)
        for (sooner, later), (fewer, more) in zip(pairwise(seconds), pairwise(counts), strict=True)
    ]
    return {"schema": 1, "each": each, "seconds": each[-1] / each[0], "peak": peaks[-1] / peaks[0]}


if __name__ == "__main__":
    main()
