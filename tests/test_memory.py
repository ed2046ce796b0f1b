"""Memory: a model that knows the table's rows is found, one that knows its columns is not."""

from __future__ import annotations

import random
import zlib
from datetime import date, timedelta

import numpy as np
import pytest

from promptpredict.memory import memorised
from promptpredict.prompt import PromptFile
from promptpredict.records import Record
from promptpredict.scores import Scores, each_labels

PROMPT = PromptFile.from_text(
    """\
---
task: binary
target: is_churn
labels: {leaves: [leave], stays: [stay]}
positive: leaves
id: id
text: [feedback]
---
{% block system %}You judge.{% endblock %}
{% block customer %}{% for field in customer.fields %}{{ field.name }}: {{ field.value }}
{% endfor %}{{ customer.feedback }}{% endblock %}
{% block question %}And then?{% endblock %}
"""
)


def table(rows=200, seed=0):
    """Customers: spend follows tenure, and of some the total is the spend itself.

    Cities go with their state, and the last visit is within weeks of the first.
    """
    found = []
    for row in range(1, rows + 1):
        r = random.Random(1_000 * seed + row)
        tenure = r.randint(0, 5)
        spend = round(20 * tenure + r.uniform(10, 60), 2)
        since = date(2020, 1, 1) + timedelta(r.randint(0, 900))
        values = {
            "id": f"c{row}",
            "since": since,
            "member_id": r.randint(10**8, 10**9),
            "tenure": tenure,
            "spend": spend if r.random() < 0.9 else None,
            "feedback": f"Said {row}",
            "state": (state := r.choice("ABCDEFGH")),
            "city": f"{state}-town {r.randint(1, 40)}",
            "last": since + timedelta(r.randint(0, 40)),
            "total": spend if row % 5 == 0 else round(tenure * spend + r.uniform(1, 9), 2),
        }
        found.append(Record(row, f"c{row}", values))
    return found


class LM:
    """Adds to chance what ``knows(prompt, word)`` gives for a word, in nats."""

    name = "lm"

    def __init__(self, knows):
        self.knows, self.asked = knows, []

    def score(self, prompts, labels, *, progress=None):
        every = each_labels(labels, len(prompts))
        self.asked += zip(prompts, every, strict=True)
        logprobs = np.array(
            [
                [self.chance(prompt, word) + self.knows(prompt, word) for (word,) in asked.words.values()]
                for prompt, asked in zip(prompts, every, strict=True)
            ],
            np.float32,
        )  # fmt: skip
        logprobs = logprobs.reshape(len(prompts), 2)
        none = np.zeros(len(prompts))
        return Scores(logprobs, none, none[:, None], none.astype(bool), {}, 0)

    def chance(self, prompt, word):
        return -5 - zlib.crc32(f"{prompt.user}{prompt.answer}{word}".encode()) / 2**31


def by_heart(records):
    """Know the rows of a table: what follows on the values of a row up to a column."""
    rows = {}
    for record in records:
        lines = []
        for column, value in record.values.items():
            if column not in ("id", "member_id", "feedback"):
                rows["\n".join(lines), f"{column}:"] = str(value)
                lines += [] if value is None else [f"{column}: {value}"]
    return lambda prompt, word: 3.0 * (rows.get((prompt.user, prompt.answer)) == word)


def nothing(prompt, word):
    return 0.0


def marginals(prompt, word):
    """Know a column: its low values are the more likely ones."""
    return -len(word) - 3.0 * (word > "5")


def copies(prompt, word):
    return 9.0 * (f": {word}" in prompt.user)


def correlation(prompt, word):
    """Know that spend is about 20 a year more and 35 to begin with."""
    lines = dict(line.split(": ") for line in prompt.user.splitlines())
    if prompt.answer != "spend:" or "tenure" not in lines:
        return 0.0
    return -((float(word) - 35 - 20 * int(lines["tenure"])) ** 2) / 400


def same_month(prompt, word):
    """Know that a date comes in the month of the one above it."""
    return 3.0 * (prompt.answer == "last:" and f": {word[:7]}" in prompt.user)


def same_state(prompt, word):
    """Know which cities are in a state."""
    return 3.0 * (f"state: {word[:1]}" in prompt.user)


def test_a_table_known_by_heart_is_found():
    records = table()
    flag = memorised(LM(by_heart(records)), PROMPT, records)
    assert (flag.kind, flag.column) == ("memorised", None)
    first, _, last = flag.text.partition(" it finds the own value of a row ")
    assert first == (
        "the language model knows rows of this table by heart: in 'last', 'spend', 'total'"
    )
    times, nats = last.split(" times as likely below the row's other values as below mixed ones ")
    assert 15 < float(times) < 26  # e^3 is 20
    assert nats.startswith("(100 training rows; +")
    assert nats.endswith(
        "), so its figures here may not hold for other customers; possible: a table that was never "
        "published"
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("knows", [nothing, marginals, copies, correlation, same_month, same_state])
def test_a_model_that_has_not_read_the_table_is_not_suspected(knows, seed):
    assert memorised(LM(knows), PROMPT, table(seed=seed), seed=seed) is None


def test_a_fraction_that_follows_on_a_fraction_is_not_memory():
    rng = random.Random(0)
    records = []
    for row in range(200):
        digits = rng.choice([2, 6])
        bounce, leave = (round(rng.uniform(0.01, 0.3), digits) for _ in range(2))
        values = {"pages": rng.randint(1, 9), "bounce": bounce, "share": rng.random() < 0.5}
        records.append(Record(row, str(row), {**values, "leave": leave, "feedback": ""}))

    def same_length(prompt, word):
        lines = dict(line.split(": ") for line in prompt.user.splitlines())
        return -3.0 * (prompt.answer == "leave:" and abs(len(lines["bounce"]) - len(word)) > 2)

    lm = LM(same_length)
    assert memorised(lm, PROMPT, records) is None
    assert lm.asked


def test_another_table_of_the_same_kind_is_not_known():
    assert memorised(LM(by_heart(table(seed=1))), PROMPT, table(seed=2)) is None


def test_half_the_rows_known_are_found_and_a_twentieth_is_not():
    records = table()
    assert memorised(LM(by_heart(records[::2])), PROMPT, records)
    assert memorised(LM(by_heart(records[::20])), PROMPT, records) is None


def test_one_row_known_very_well_is_not_the_table():
    records = table(100)
    known = by_heart(records[:1])
    assert memorised(LM(lambda *asked: 100 * known(*asked)), PROMPT, records) is None


def test_what_is_asked_is_one_row_and_near_values_of_its_columns():
    records = table()
    lm = LM(nothing)
    memorised(lm, PROMPT, records, rows=50)
    spends = sorted({record.values["spend"] for record in records} - {None})
    assert {prompt.answer for prompt, _ in lm.asked} == {"last:", "spend:", "total:"}
    assert 200 < len(lm.asked) <= 300
    for prompt, labels in lm.asked:
        assert prompt.system == "You complete rows of a table."
        assert "Said" not in prompt.user
        assert "id" not in prompt.user
        (real,), (other,) = labels.words["real"], labels.words["other"]
        assert real != other
        assert not {f": {real}", f": {other}"} & set(prompt.user.split("\n"))
        if prompt.answer == "spend:":
            assert prompt.user.count("\n") == 1
            assert prompt.user.startswith("since: 202")
            assert 0 < abs(spends.index(float(real)) - spends.index(float(other))) <= 10
        assert [len(part) for part in real.split(".")] == [len(part) for part in other.split(".")]


def test_each_own_row_is_asked_once_beside_a_mixed_one_of_other_rows():
    records = table()
    lm = LM(nothing)
    memorised(lm, PROMPT, records)
    own = set()
    for record in records:
        shown = [(name, record.values[name]) for name in ("since", "tenure", "spend")]
        own.add("\n".join(f"{name}: {value}" for name, value in shown if value is not None))
    states = [
        prompt.user.split("\nstate")[0] in own for prompt, _ in lm.asked if prompt.answer == "last:"
    ]
    assert sum(states) == pytest.approx(len(states) / 2, abs=3)


def test_the_seed_decides_what_is_asked():
    asked = []
    for seed in (1, 1, 2):
        lm = LM(nothing)
        memorised(lm, PROMPT, table(), seed=seed)
        asked.append(lm.asked)
    assert asked[0] == asked[1] != asked[2]


def test_too_few_rows_or_no_column_of_many_values_ask_nothing():
    lm = LM(nothing)
    assert memorised(lm, PROMPT, table(), rows=19) is None
    few = [
        Record(row, str(row), {"a": row % 3, "b": row % 5, "c": row % 19, "feedback": f"{row}"})
        for row in range(100)
    ]
    assert memorised(lm, PROMPT, few) is None
    assert memorised(lm, PROMPT, []) is None
    assert lm.asked == []


def test_prompts_that_cannot_be_scored_are_left_out():
    records = table()

    def faulty(share):
        known = by_heart(records)
        return lambda prompt, word: (
            np.nan if zlib.crc32(prompt.user.encode()) % 100 < share else known(prompt, word)
        )

    assert memorised(LM(faulty(20)), PROMPT, records)
    assert memorised(LM(faulty(100)), PROMPT, records) is None
