"""The smallest change: against trying every change by hand."""

import math
from dataclasses import replace
from datetime import date
from itertools import product

import numpy as np
import pytest

from promptpredict.contrast import Change, Choices, choices_of, contrast
from promptpredict.errors import DataError, UnscoredError
from promptpredict.prompt import PromptFile
from promptpredict.records import Record

PROMPT = """---
task: binary
target: left
labels: {1: angry, 0: happy}
positive: 1
id: id
text: [feedback]
ignore: [note]
fields: {paid: {name: Paid a month, unit: EUR}}
---
{% block system %}You judge.{% endblock %}
{% block customer %}{% for field in customer.fields %}{{ field.name }}: {{ field.value }}
{% endfor %}{{ customer.feedback }}{% endblock %}
{% block question %}Feels?{% endblock %}
"""
FILE = PromptFile.from_text(PROMPT, name="p.jinja")
LINE = 0.5


class Weighing:
    """An approach that weighs contract, discount and price: log-odds of the label 1."""

    prompt_file_ = FILE
    keys_ = ["0", "1"]  # noqa: RUF012

    def __init__(self, odds):
        self.odds, self.asked = odds, []

    def predict_proba(self, X):
        self.asked += X
        odds = np.array([self.odds(record.values) for record in X])
        return np.stack([1 / (1 + np.exp(odds)), 1 / (1 + np.exp(-odds))], axis=1)


def records(*rows):
    names = ("contract", "discount", "paid", "feedback", "id")
    return [
        Record(row, f"c{row}", dict(zip(names, [*values, "Bad.", f"c{row}"], strict=True)))
        for row, values in enumerate(rows, 1)
    ]


TABLE = records(
    ("monthly", "no", 10), ("yearly", "yes", 20), ("two years", "no", 30), ("monthly", None, 40)
)


def run(odds, columns=("contract", "discount", "paid"), table=TABLE, below=LINE):
    approach = Weighing(odds)
    choices = choices_of(FILE, TABLE, columns)
    found, faults = contrast(approach, table, choices, below=below, label="1")
    assert faults == {}
    return found, approach


def test_a_record_that_is_under_already_has_no_change_and_costs_one_score():
    (first, *_), approach = run(lambda values: -1.0)
    assert (first.reached, first.changes, first.before == first.after) == (True, (), True)
    assert len(approach.asked) == 4


def test_one_field_is_enough_and_the_nearest_value_is_taken():
    (first, *_), _ = run(lambda values: (values["paid"] - 25) / 10 + 3 * (values["contract"] == "monthly"))  # fmt: skip
    assert first.changes == (
        Change(column="contract", name="contract", before="monthly", after="yearly"),
    )
    assert (first.row, first.id, first.label, first.reached) == (1, "c1", "1", True)
    assert first.before == pytest.approx(1 / (1 + math.exp(-1.5)))
    assert first.after == pytest.approx(1 / (1 + math.exp(1.5)))
    found, _ = run(lambda values: (values["paid"] - 25) / 10)
    assert found[3].changes == (
        Change(column="paid", name="Paid a month", before="40 EUR", after="20 EUR"),
    )
    assert found[2].changes[0].after == "20 EUR"  # 10 EUR would do, and is further away


def test_two_fields_where_one_is_not_enough():
    (first, *_), _ = run(
        lambda values: (
            1.0 - 0.8 * (values["contract"] == "yearly") - 0.6 * (values["discount"] == "yes")
        )
    )
    assert first.reached
    assert {(each.column, each.after) for each in first.changes} == {
        ("contract", "yearly"), ("discount", "yes")
    }  # fmt: skip


def test_where_nothing_is_enough_the_nearest_is_told():
    (first, *_, last), _ = run(lambda values: 2.0 - 0.5 * (values["contract"] == "two years"))
    assert not first.reached
    assert [(each.column, each.after) for each in first.changes] == [("contract", "two years")]
    assert first.after < first.before
    assert last.id == "c4"
    (none, *_), _ = run(lambda values: 2.0)
    assert (none.reached, none.changes, none.after) == (False, (), none.before)


@pytest.mark.parametrize("seed", range(12))
def test_fields_and_distance_are_as_small_as_trying_everything_finds(seed):
    rng = np.random.default_rng(seed)
    weights = {(column, str(record.values[column])): rng.normal() for record in TABLE for column in ("contract", "discount", "paid")}  # fmt: skip

    def odds(values):
        return 0.6 + sum(weights[column, str(values[column])] for column in choices)

    choices = choices_of(FILE, TABLE, ("contract", "discount", "paid"))
    found, _ = contrast(Weighing(odds), TABLE, choices, below=LINE, label="1")
    for each, record in zip(found, TABLE, strict=True):
        options = [[record.values[c], *choices[c].values] for c in choices]
        sizes = []
        for values in product(*options):
            changed = dict(zip(choices, values, strict=True))
            if odds(dict(record.values) | changed) < 0:
                moved = [c for c in choices if changed[c] != record.values[c]]
                apart = sum(choices[c].apart(record.values[c], changed[c]) for c in moved)
                sizes.append((len(moved), apart))
        assert each.reached == bool(sizes)
        if sizes:
            fields, apart = min(sizes)
            assert len(each.changes) == fields
            if fields == 1:  # of more fields a small change is found, not surely the smallest
                own = each.changes[0].column
                value = next(v for v in choices[own].values if str(v) == each.changes[0].after.split(" E")[0])  # fmt: skip
                assert choices[own].apart(record.values[own], value) == apart


def test_progress_goes_on_while_records_are_searched():
    many = [replace(TABLE[0], row=row) for row in range(1, 71)]
    done = []
    choices = choices_of(FILE, TABLE, ("contract",))
    found, _ = contrast(
        Weighing(lambda values: 2.0), many, choices, below=LINE, label="1", progress=done.append
    )
    assert done == [32, 32, 6]
    assert [each.row for each in found] == list(range(1, 71))


def test_no_change_is_tried_twice():
    (first, *_), approach = run(lambda values: 2.0, table=TABLE[:1])
    assert not first.reached
    asked = [tuple(record.values.items()) for record in approach.asked]
    assert len(asked) == len(set(asked))


def test_a_record_that_cannot_be_scored_when_it_is_changed_is_told():
    class Refusing(Weighing):
        def predict_proba(self, X):
            bad = {record.row: "too long" for record in X if record.values["contract"] == "yearly" and record.row == 1}  # fmt: skip
            if bad:
                raise UnscoredError(bad)
            return super().predict_proba(X)

    choices = choices_of(FILE, TABLE, ("contract",))
    approach = Refusing(lambda values: 1.0 - 2.0 * (values["contract"] == "two years"))
    found, faults = contrast(approach, TABLE, choices, below=LINE, label="1")
    assert faults == {1: "too long"}
    assert [(each.row, each.reached) for each in found] == [(2, True), (3, True), (4, True)]


def test_what_others_have_and_the_prompt_cannot_show_is_no_choice():
    """One cell says "unknown" where others have a price: a format, or the text itself, may refuse it."""
    dirty = [*TABLE, *records(("monthly", "no", "unknown"))]
    expected = [TABLE[at].values["paid"] for at in (1, 2, 3)]
    for text in (
        PROMPT.replace("unit: EUR", 'unit: EUR, format: ".2f"'),
        PROMPT.replace("{{ customer.feedback }}", "{{ customer.paid + 1 }}"),
    ):
        approach = Weighing(lambda values: 1.0)
        approach.prompt_file_ = PromptFile.from_text(text, name="p.jinja")
        choices = choices_of(approach.prompt_file_, dirty, ["paid"])
        found, faults = contrast(approach, dirty[:1], choices, below=LINE, label="1")
        assert faults == {}
        assert not found[0].reached
        assert found[0].changes == ()  # none lowers it
        assert [record.values["paid"] for record in approach.asked[1:]] == expected


def test_a_value_that_its_format_does_not_suit_is_changed_from():
    """The prompt shows the column in its own way, so that it is no fault of the customer."""
    text = PROMPT.replace("unit: EUR", 'unit: EUR, format: ".2f"').replace(
        "{% for field in customer.fields %}{{ field.name }}: {{ field.value }}\n{% endfor %}",
        "{{ customer.paid }}",
    )
    approach = Weighing(lambda values: 1.0 if values["paid"] == "unknown" else -1.0)
    approach.prompt_file_ = PromptFile.from_text(text, name="p.jinja")
    dirty = [*TABLE, *records(("monthly", "no", "unknown"))]
    choices = choices_of(approach.prompt_file_, dirty, ["paid"])
    found, _ = contrast(approach, dirty[-1:], choices, below=LINE, label="1")
    assert [(each.before, each.after) for each in found[0].changes] == [
        ("unknown EUR", "10.00 EUR")
    ]


def test_what_a_field_may_be_changed_to():
    numbers = Choices.of([*range(1000), None])
    assert numbers.values == (0, 100, 200, 300, 400, 500, 599, 699, 799, 899, 999)
    assert numbers.apart(100, 350) == 0.25
    assert numbers.apart(None, 350) == 1.0
    assert numbers.apart(7, 7) == 0.0
    words = Choices.of(["a", "b", "b", None])
    assert words.values == ("b", "a")
    assert words.apart("a", "b") == 1.0
    days = Choices.of([date(2024, 1, day) for day in range(1, 5)])
    assert days.apart(date(2024, 1, 1), date(2024, 1, 3)) == 0.5
    assert days.apart(7.5, date(2024, 1, 3)) == days.apart("soon", date(2024, 1, 3)) == 1.0
    assert numbers.apart(date(2024, 1, 1), 350) == 1.0
    dirty = Choices.of([*range(1000), "unknown"])
    assert (dirty.values, dirty.apart(100, 350)) == (numbers.values, 0.25)
    # Most have the same: the smallest that differs is a choice, not the largest alone.
    shared = Choices.of([0] * 190 + list(range(5, 55, 5)))
    assert shared.values == (0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50)
    many = Choices.of([f"w{at}" for at in range(30)])
    assert len(many.values) == 11


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("contrct", "'contrct' is no field that p.jinja shows (nearest: 'contract'); possible: contract, discount, paid"),
        ("feedback", "'feedback' is no field that p.jinja shows; possible: contract, discount, paid"),
        ("id", "'id' is no field that p.jinja shows (nearest: 'paid'); possible: contract, discount, paid"),
    ],
)  # fmt: skip
def test_what_may_not_be_changed(column, text):
    with pytest.raises(DataError) as caught:
        choices_of(FILE, TABLE, [column])
    assert str(caught.value) == text


def test_a_field_with_one_value_cannot_be_changed():
    same = records(("monthly", "no", 10), ("monthly", "yes", 20))
    with pytest.raises(DataError) as caught:
        choices_of(FILE, same, ["contract"])
    assert str(caught.value) == (
        "'contract' has one value in all records: there is nothing to change"
    )
