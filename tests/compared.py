"""Customers whose feedback says how they feel, and comparisons of approaches on them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from fakes import FakeEncoder, FakeLM
from promptpredict.benchmark import Benchmark
from promptpredict.encoders import Embedder
from promptpredict.memo import Memo
from promptpredict.plans import APPROACHES, TUNED, Plan
from promptpredict.prompt import PromptFile
from promptpredict.records import Record

# the labels stand in the file in another order than the sorted one
PROMPT = """\
---
task: binary
target: outcome
labels: {stays: [glad], leaves: [angry]}
positive: leaves
id: id
text: [feedback]
panel:
  price: {question: "Was it dear?", answer: "It was", words: [dear, cheap]}
---
{% block system %}You judge.{% endblock %}
{% block customer %}
{% for field in customer.fields %}
{{ field.name }}: {{ field.value }}
{% endfor %}
{{ customer.feedback }}
{% endblock %}
{% block question %}And now?{% endblock %}
{% block answer %}It feels{% endblock %}
"""
# cells of two columns for 120 customers, of which the newest test
GROUPED_TIMES = {
    "groups": [f"g{row % 50}" for row in range(120)],
    "times": [f"2024-{1 + row // 28:02}-{1 + row % 28:02}" for row in range(120)],
}
# all but the one that trains, for which a stand-in has no weights
FAKED = tuple(name for name in APPROACHES if name != TUNED)
QUICK = ("zero-shot", "few-shot", "probe", "embedding", "prior")


def prompt_file(text: str = PROMPT, name: str = "p.jinja") -> PromptFile:
    return PromptFile.from_text(text, name=name)


def customers(
    n: int = 80, *, share: float = 0.4, clear: float = 0.95, seed: int = 0
) -> list[Record]:
    """Labelled records; each feedback holds a marker by which its customer is known in a prompt.

    Of ``clear`` of them the words say what they do; the price says a little, the plan nothing.
    """
    rng = np.random.default_rng(seed)
    leaves = np.arange(n) < round(n * share)
    rng.shuffle(leaves)
    records = []
    for row, leaving in enumerate(leaves.tolist(), 1):
        honest = rng.random() < clear
        words = "angry angry dear" if leaving == honest else "glad glad cheap"
        values: dict[str, Any] = {
            "id": f"c{row}",
            "plan": str(rng.choice(["basic", "full"])),
            "price": round(float(rng.normal(20 + 4 * leaving, 4)), 2),
            "feedback": f"{words} marker{row}" + " so" * int(rng.integers(0, 3)),
        }
        records.append(Record(row, f"c{row}", values, "leaves" if leaving else "stays"))
    return records


def with_usage(records: list[Record]) -> list[Record]:
    """Return customers with one more column of many values, in front of the price."""
    used = []
    for record in records:
        first = {name: record.values[name] for name in ("id", "plan")}
        values = first | {"usage": record.row * 7} | record.values
        used.append(replace(record, values=values))
    return used


def benchmark(
    records: list[Record] | None = None,
    *,
    lm: Any = None,
    encoder: Any = None,
    file: PromptFile | None = None,
    groups: Any = None,
    times: Any = None,
    adapters: Any = None,
    **plan: Any,
) -> Benchmark:
    """Return a small comparison with stand-ins; ``lm`` may be a memo."""
    given = {"approaches": QUICK, "budgets": (0, 4, 16), "seeds": 2, "max_test": 40}
    lm = lm or FakeLM()
    return Benchmark(
        customers() if records is None else records,
        file or prompt_file(),
        Plan(**(given | {"memory_rows": 0} | plan)),
        lm=lm if isinstance(lm, Memo) else Memo(lm),
        embedder=Embedder(encoder or FakeEncoder()),
        table="customers.csv",
        groups=groups,
        times=times,
        adapters=adapters,
    )


def by_case(comparison: Any) -> dict[tuple[str, int, int], pd.DataFrame]:
    """Return the predictions of each approach, budget and seed, as a table."""
    frame = pd.DataFrame(comparison.predictions)
    return dict(list(frame.groupby(["approach", "budget", "seed"], sort=False)))


def markers(text: str) -> set[int]:
    """Return the rows whose feedback a text shows."""
    return {int(word.removeprefix("marker")) for word in text.split() if word.startswith("marker")}


def auc(hit: Any, score: Any) -> float:
    """ROC AUC as the share of pairs in the right order, ties half; NaN without a pair."""
    pairs = score[hit][:, None] - score[~hit][None, :]
    return float((np.sign(pairs).mean() + 1) / 2) if pairs.size else float("nan")
