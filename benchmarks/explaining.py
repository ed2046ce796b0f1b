"""Measure explanations: what they cost, and whether the reasons are the reasons.

    python benchmarks/explaining.py --cost [--customers 20]
    python benchmarks/explaining.py --data DIR --table NAME [--table …] [--customers 60]

--cost: made-up customers with 20 fields and 5 sentences. Explaining N of them, in turn with scoring
26 N others under the same prompt file (as many prompts as removals need; both read a shared beginning
once): seconds and tokens of each, and their ratio, three times. Of as large a share of them as of 100
customers it is checked whether the reasons are the reasons. --table: customers of DIR/NAME.csv.gz,
drawn by seed 0 from the rows that do not test in benchmarks/tables.py, zero-shot with prompts/NAME.jinja:
how far the log-odds move without the three strongest reasons and without three at random. Prints a line
for each figure, and all as one JSON line at the end; no text of a customer.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from promptpredict.estimators import PromptClassifier
from promptpredict.explain import CHECKED, explain
from promptpredict.importance import faithfulness, importances
from promptpredict.labelled import read_labelled
from promptpredict.lm import CausalLM
from promptpredict.loading import load_language_model
from promptpredict.models import find
from promptpredict.prompt import PromptFile
from promptpredict.records import Record
from promptpredict.scores import Labels, Scores
from promptpredict.splits import split

HERE = Path(__file__).parent
HELD, RUNS = 2_000, 3
OF = 100  # customers, as many as the cost is asked for
FIELDS, SENTENCES = 20, 5
PROMPT = """---
task: binary
target: left
labels: {1: angry, 0: happy}
positive: 1
text: [feedback]
---
{% block system %}You judge how customers of an online shop feel about it.{% endblock %}
{% block customer %}
{% for field in customer.fields %}
{{ field.name }}: {{ field.value }}
{% endfor %}
Feedback: {{ customer.feedback }}
{% endblock %}
{% block question %}Summarize how the customer feels in one word.{% endblock %}
{% block answer %}The customer feels{% endblock %}
"""
WORDS = """the parcel came late and box was open nobody answered my mails but price fair quality good
shop again never colour size wrong money back quick friendly""".split()  # noqa: SIM905


class Counting:
    """A language model that counts the tokens that it reads."""

    def __init__(self, lm: CausalLM) -> None:
        """Count from 0."""
        self.lm, self.tokens = lm, 0

    def score(self, prompts: Any, labels: Labels | Sequence[Labels], **given: Any) -> Scores:
        """Score as the model does."""
        found = self.lm.score(prompts, labels, **given)
        self.tokens += found.tokens
        return found


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--cost", action="store_true", help="measure what explaining costs")
    parser.add_argument("--data", type=Path, help="folder of the tables")
    parser.add_argument("--table", action="append", default=[], help="measure its reasons")
    parser.add_argument("--customers", type=int, help="20 for the cost, 60 of a table")
    parser.add_argument("--model", default="smollm2-135m")
    options = parser.parse_args()
    lm = Counting(load_language_model(find(options.model), say=print))
    found: dict[str, Any] = {"model": options.model, "dtype": str(lm.lm.model.dtype)}
    if options.cost:
        found["cost"] = cost(lm, options.customers or 20)
    for table in options.table:
        found[table] = reasons(lm, options.data, table, options.customers or 60)
    print(json.dumps(found))


def cost(lm: Counting, customers: int) -> dict[str, Any]:
    """Explain customers and score 26 times as many, in turn; return the median ratios."""
    prompt_file = PromptFile.from_text(PROMPT, name="shop.jinja")
    drawn = random.Random(0)
    count = (1 + FIELDS + SENTENCES) * customers
    checked = max(1, min(CHECKED, customers * CHECKED // OF))
    records = [made_up(row, drawn) for row in range(1, RUNS * (customers + count) + 1)]
    approach = PromptClassifier(prompt_file, model=lm, calibration="none").fit(records[:1], None)
    approach.predict_proba(records[:8])  # the first pass is slower
    rows = []
    for run in range(RUNS):
        some = records[run * (customers + count) :][: customers + count]
        scored, tokens = timed(lm, lambda some=some: approach.predict_proba(some[customers:]))
        told, read = timed(
            lm, lambda some=some: explain(approach, some[:customers], checked=checked)
        )
        rows.append(
            {"score": scored, "explain": told, "score_tokens": tokens, "explain_tokens": read}
        )
        print(
            f"run {run + 1}: {told:.1f} s for {scored:.1f} s, {told / scored:.3f}; tokens {read / tokens:.3f}",
            flush=True,
        )
    ratio = median(row["explain"] / row["score"] for row in rows)
    of_tokens = median(row["explain_tokens"] / row["score_tokens"] for row in rows)
    print(f"explaining {customers} is {ratio:.3f} of scoring {count}; tokens {of_tokens:.3f}")
    return {"customers": customers, "runs": rows, "ratio": ratio, "ratio_of_tokens": of_tokens}


def timed(lm: Counting, work: Any) -> tuple[float, int]:
    """Return the seconds and tokens of some work."""
    tokens, begun = lm.tokens, time.perf_counter()
    work()
    return time.perf_counter() - begun, lm.tokens - tokens


def made_up(row: int, drawn: random.Random) -> Record:
    """Return a customer with 20 fields and 5 sentences."""
    values: dict[str, Any] = {
        f"{drawn.choice(WORDS)} {at}": drawn.choice(
            [drawn.randint(1, 999), drawn.choice(WORDS), round(drawn.random() * 100, 2)]
        )
        for at in range(FIELDS)
    }
    said = (" ".join(drawn.choices(WORDS, k=drawn.randint(6, 14))) for _ in range(SENTENCES))
    values["feedback"] = " ".join(f"{each.capitalize()}." for each in said)
    return Record(row, str(row), values)


def reasons(lm: Counting, data: Path, table: str, customers: int) -> dict[str, Any]:
    """Explain customers of a table; return whether the reasons hold, and which columns matter."""
    prompt_file = PromptFile.load(HERE / "prompts" / f"{table}.jinja")
    records, _ = read_labelled(str(data / f"{table}.csv.gz"), prompt_file)
    y = [prompt_file.label_of(record.label) for record in records]
    train, _ = split(y, max_test=min(HELD, len(y) // 2), seed=0)
    rows = np.random.default_rng(0).permutation(train)[:customers]
    some = [records[row] for row in rows]
    approach = PromptClassifier(prompt_file, model=lm, calibration="none").fit(some[:1], None)
    tokens, begun = lm.tokens, time.perf_counter()
    explanations, faults = explain(approach, some, checked=len(some))
    seconds, found = time.perf_counter() - begun, faithfulness(explanations)
    columns = importances(explanations)
    if found:
        print(
            f"{table}: without the three strongest {found.top:.2f}, without any three "
            f"{found.random:.2f}: {found.more.mean:.2f} ({found.more.low:.2f} to {found.more.high:.2f}) "
            f"more, further for {found.ahead:.0%} of {found.n}; {seconds:.0f} s"
        )
    for each in columns[:6]:
        print(
            f"  {each.name}: moves {each.moves.mean:.2f} ({each.moves.low:.2f} to {each.moves.high:.2f}), adds {each.adds.mean:+.2f}"
        )
    return {
        "customers": len(explanations),
        "faults": len(faults),
        "parts": float(np.mean([len(each.reasons) for each in explanations])),
        "faithfulness": found.model_dump() if found else None,
        "columns": [each.model_dump() for each in columns],
        "seconds": round(seconds),
        "tokens": lm.tokens - tokens,
    }


if __name__ == "__main__":
    main()
