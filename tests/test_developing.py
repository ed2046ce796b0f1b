"""Which of several prompt files is tested: training rows alone decide, and the choice is told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from compared import GROUPED_TIMES, PROMPT, auc, customers, markers, prompt_file
from fakes import FakeLM
from promptpredict.benchmark import Benchmark
from promptpredict.developing import develop
from promptpredict.encoders import Embedder
from promptpredict.errors import DataError
from promptpredict.memo import Memo
from promptpredict.plans import Plan
from promptpredict.verdict import Gap, judge

WORDS = "{stays: [glad], leaves: [angry]}"
GOOD = prompt_file(PROMPT, "good.jinja")
VAGUE = prompt_file(PROMPT.replace(WORDS, "{stays: [never], leaves: [full]}"), "vague.jinja")
BACKWARDS = prompt_file(PROMPT.replace(WORDS, "{stays: [angry], leaves: [glad]}"), "back.jinja")
PLAN = Plan(max_test=40)


def split(records, plan=PLAN, **cells):
    """Return training and test rows of the comparison that follows."""
    run = Benchmark(records, GOOD, plan, embedder=Embedder("none"), table="t", **cells)
    return run.splits[0].train, run.splits[0].test


def developed(files, records=None, train=None, lm=None):
    records = records or customers(clear=0.9)
    train = split(records)[0] if train is None else train
    return develop(files, [records] * len(files), train, Memo(lm or FakeLM()))


def read_by(lm):
    return {row for prompt in lm.asked for row in markers(prompt.user)}


def test_the_file_that_ranks_best_is_chosen_wherever_it_stands():
    assert developed([GOOD, VAGUE, BACKWARDS])[0] == 0
    assert developed([BACKWARDS, GOOD, VAGUE])[0] == 1
    assert developed([BACKWARDS, VAGUE, GOOD])[0] == 2


def test_a_file_may_name_its_labels_in_another_order():
    words = "{leaves: [angry], stays: [glad]}"
    other = prompt_file(PROMPT.replace(WORDS, words), "other.jinja")
    best, notes = developed([VAGUE, other])
    assert best == 1
    assert developed([GOOD, other])[1][1] == (
        "other.jinja: +0.000 (95 % +0.000 to +0.000, corrected for 1): no worse"
    )
    assert notes[0].startswith("of 2 prompt files other.jinja ranks 40 training rows best")


def test_of_equals_the_first_is_chosen():
    twin = prompt_file(PROMPT, "twin.jinja")
    best, notes = developed([twin, GOOD])
    assert best == 0
    assert notes[1] == "good.jinja: +0.000 (95 % +0.000 to +0.000, corrected for 1): no worse"


def counted(record, word):
    return record.values["feedback"].split().count(word)


def test_the_choice_is_told_with_differences_corrected_for_all_files():
    """Recomputed slowly: the words in the feedback, counted row by row, resample by resample."""
    records = customers(clear=0.9)
    train, _ = split(records)
    rows = [records[at] for at in train]
    hit = np.array([row.label == "leaves" for row in rows])
    odds = {
        "good.jinja": np.array([counted(row, "angry") - counted(row, "glad") for row in rows]),
        "vague.jinja": np.array([int(row.values["plan"] == "full") for row in rows]),
        "back.jinja": np.array([counted(row, "glad") - counted(row, "angry") for row in rows]),
    }
    draws = np.random.default_rng(0).integers(40, size=(1000, 40))
    ranked = {name: auc(hit, each) for name, each in odds.items()}
    resampled = {
        name: np.array([auc(hit[draw], each[draw]) for draw in draws])
        for name, each in odds.items()
    }
    gaps = [
        Gap(
            approach=name,
            against="good.jinja",
            metric="roc_auc",
            value=ranked[name] - ranked["good.jinja"],
            resampled=resampled[name] - resampled["good.jinja"],
            units=min(hit.sum(), (~hit).sum()),
        )
        for name in ("vague.jinja", "back.jinja")
    ]
    best, notes = developed([VAGUE, GOOD, BACKWARDS], records)
    assert best == 1
    expected = [
        f"of 3 prompt files good.jinja ranks 40 training rows best without a label by fake (ROC AUC "
        f"{ranked['good.jinja']:.3f}) and is tested; its figures there are flattered by the choice"
    ]
    for each in judge(gaps, budget=0):
        expected.append(
            f"{each.approach}: {each.value:+.3f} (95 % {each.holm_low:+.3f} to "
            f"{each.holm_high:+.3f}, corrected for 2): {each.verdict}"
        )
    assert notes == expected
    assert notes[2].endswith(": worse")


@pytest.mark.parametrize(
    ("plan", "cells"),
    [
        (PLAN, {}),
        (Plan(max_test=20, held=40), {}),
        (Plan(max_test=30, split_seed=3), {}),
        (PLAN, {"times": GROUPED_TIMES["times"]}),
        (PLAN, {"groups": GROUPED_TIMES["groups"]}),
        (PLAN, GROUPED_TIMES),
    ],
    ids=["plain", "held", "split seed", "time", "group", "time and group"],
)
def test_only_training_rows_are_read_and_no_label_of_a_test_row_matters(plan, cells):
    """A row that tests later must not choose: neither do older rows of its group."""
    records = customers(120, clear=0.9)
    train, test = split(records, plan, **cells)
    lm = FakeLM()
    before = developed([BACKWARDS, GOOD], records, train, lm)
    assert read_by(lm) == {records[at].row for at in train}
    other = list(records)
    for at in test:
        # the texts of the test rows now say the opposite of what they said
        text = other[at].values["feedback"].replace("angry", "x").replace("glad", "angry")
        values = other[at].values | {"feedback": text.replace("x", "glad")}
        other[at] = replace(other[at], values=values)
    assert developed([BACKWARDS, GOOD], other, train) == before


def test_with_many_training_rows_some_are_read_drawn_not_from_the_top():
    records = customers(1400)
    train, _ = split(records, Plan(max_test=200))
    lm = FakeLM()
    _, notes = developed([GOOD, BACKWARDS], records, train, lm)
    assert notes[0].startswith("of 2 prompt files good.jinja ranks 400 training rows best")
    read = read_by(lm)
    assert len(read) == 400
    assert read < {records[at].row for at in train}
    assert read & {records[at].row for at in train[-300:]}
    # each file asks about the same rows, and again the same ones
    assert len(lm.asked) == 800 == 2 * len({prompt.user for prompt in lm.asked})


def test_the_prompts_are_those_that_zero_shot_will_read():
    records = customers()
    memo = Memo(FakeLM())
    develop([GOOD, BACKWARDS], [records, records], split(records)[0], memo)
    before = memo.passes
    plan = Plan(approaches=("zero-shot",), budgets=(0, "all"), max_test=40, memory_rows=0)
    Benchmark(records, GOOD, plan, lm=memo, embedder=Embedder("none"), table="t").run()
    assert memo.passes == before + 40  # the test rows; the training rows have been read


def test_equal_log_odds_at_other_levels_tie():
    """In float32, shares of 2 : 1 nats at different levels differ in their last digit."""
    records = customers(clear=1.0)
    for record in records:
        # one word more of one label than of the other for everybody, up to six times
        record.values["feedback"] = "angry " + "angry glad " * (record.row % 7)
    same = prompt_file(PROMPT.replace(WORDS, "{stays: [never], leaves: [ever]}"), "same.jinja")
    for files in ([same, GOOD], [GOOD, same]):
        best, notes = developed(files, records)
        assert best == 0
        assert notes == [
            f"of 2 prompt files {files[0].name} ranks 40 training rows best without a label "
            "by fake (ROC AUC 0.500) and is tested; its figures there are flattered by the choice",
            f"{files[1].name}: +0.000 (95 % +0.000 to +0.000, corrected for 1): no worse",
        ]


def unscorable(records, rows):
    """Let prompts of some rows be unscorable with every file that shows the feedback."""
    for row in rows:
        records[row].values["feedback"] += " [unscorable]"


def test_a_row_that_cannot_be_scored_with_one_file_is_left_out_for_all():
    """As if it were not there: neither a fault nor a row that only one file stands on."""
    records = customers(clear=0.9)
    train, _ = split(records)
    mute = customers(clear=0.9)  # the records as the second file reads them
    unscorable(mute, train[[4, 9]])
    unscorable(records, train[[9, 20]])
    best, notes = develop([BACKWARDS, GOOD], [records, mute], train, Memo(FakeLM()))
    without = np.delete(train, [4, 9, 20])
    assert (best, notes) == developed([BACKWARDS, GOOD], customers(clear=0.9), without)
    assert notes[0].startswith("of 2 prompt files good.jinja ranks 37 training rows best")


@pytest.mark.parametrize(("label", "count"), [("leaves", 24), (None, 0)])
def test_rows_of_one_label_or_none_compare_no_files(label, count):
    records = customers(clear=0.9)
    train, _ = split(records)
    unscorable(
        records, [row for row in train if records[row].label in (label or records[row].label)]
    )
    with pytest.raises(DataError) as error:
        developed([GOOD, VAGUE], records, train)
    assert str(error.value) == (
        f"{count} training rows can be scored with every prompt file, of one label or none; prompt "
        "files cannot be compared on them"
    )
