"""Leaks: planted ones are found and named, and honest columns raise no alarm."""

from __future__ import annotations

import dataclasses
import random
from datetime import date, timedelta

import numpy as np
import pytest

from promptpredict.leaks import MOST_ROWS, find_leaks, repeated
from promptpredict.prompt import PromptFile
from promptpredict.records import Record
from promptpredict.splits import Split

PROMPT = """\
---
task: binary
target: is_churn
labels: {leaves: [leave], stays: [stay]}
positive: leaves
id: id
text: [feedback, note]
---
{% block system %}You judge.{% endblock %}
{% block customer %}
{% for field in customer.fields %}
{{ field.name }}: {{ field.value }}
{% endfor %}
{{ customer.feedback }}
{% endblock %}
{% block question %}And then?{% endblock %}
"""
N = 400
Y = ["leaves" if row % 4 == 0 else "stays" for row in range(N)]
THREE = PROMPT.replace("binary", "multiclass").replace("positive: leaves\n", "")
THREE = THREE.replace("stays: [stay]", "stays: [stay], asks: [ask]")


@pytest.fixture(scope="module")
def prompt_file():
    return PromptFile.from_text(PROMPT, name="p.jinja")


def records_of(columns):
    """Records of columns, each a list of cells; what is missing is an id and an empty text."""
    rows = len(next(iter(columns.values())))
    filler = {"id": [f"c{row}" for row in range(rows)], "feedback": ["fine"] * rows}
    table = filler | columns
    return [
        Record(row + 1, table["id"][row], {name: cells[row] for name, cells in table.items()})
        for row in range(rows)
    ]


def leaks(prompt_file, y=Y, **columns):
    return [(flag.kind, flag.text) for flag in find_leaks(records_of(columns), y, prompt_file)]


def by_label(leaves, stays, y=Y):
    """A cell for each row, drawn by a function of its label: chance is the row's own."""
    return [(leaves if key == "leaves" else stays)(random.Random(row)) for row, key in enumerate(y)]


ALONE = "alone gives the label 'leaves' away (ROC AUC 1.000 on 400 training rows): it may be from after the outcome; possible: ignore it in the prompt file"
NAMED = "is by its name known only after the outcome"


# -- columns that give the answer --------------------------------------------------------------


@pytest.mark.parametrize(
    ("leaves", "stays"),
    [
        (lambda r: r.uniform(5, 9), lambda r: r.uniform(1, 4)),
        (lambda r: r.uniform(1, 4), lambda r: r.uniform(5, 9)),
        (lambda r: r.choice("xy"), lambda r: r.choice("pq")),
        (lambda _: True, lambda _: False),
        (lambda r: date(2024, 5, r.randint(1, 30)), lambda r: date(2024, 2, r.randint(1, 28))),
        (lambda r: r.randint(1, 99), lambda _: "none"),
        (lambda r: f"B{r.random()}", lambda r: f"A{r.random()}"),
        (lambda r: f"A{r.random()}", lambda r: f"B{r.random()}"),
    ],
    ids=["higher", "lower", "category", "bool", "date", "mixed", "later codes", "earlier codes"],
)
def test_a_column_that_gives_the_answer_is_found(prompt_file, leaves, stays):
    found = leaks(prompt_file, tone=by_label(leaves, stays), plan=["a", "b"] * 200)
    assert found == [("leak", f"'tone' {ALONE}")]


def test_numbers_that_give_the_answer_in_no_order_are_found(prompt_file):
    tone = by_label(lambda r: r.choice([1.5, 7.5]) + r.random(), lambda r: 4 + r.random())
    ((_, text),) = leaks(prompt_file, tone=tone)
    assert text.startswith("'tone' alone gives the label 'leaves' away (ROC AUC 0.99")


def test_whether_a_column_has_a_value_gives_the_answer(prompt_file):
    cells = by_label(lambda r: r.choice("abc"), lambda _: None)
    assert leaks(prompt_file, tone=cells) == [("leak", f"whether 'tone' has a value {ALONE}")]


def test_of_rows_that_have_a_value_the_value_gives_the_answer(prompt_file):
    """Half of the cells are missing, of either label alike."""
    cells = by_label(lambda r: r.uniform(5, 9), lambda r: r.uniform(1, 4))
    cells = [cell if row % 8 < 4 else None for row, cell in enumerate(cells)]
    assert leaks(prompt_file, tone=cells) == [("leak", f"'tone' {ALONE}")]


def test_a_text_that_is_the_outcome_in_words_gives_the_answer(prompt_file):
    """Of one length for either label; where hardly two texts are alike, only what they are is read."""
    notes = by_label(lambda r: f"is gone {r.choice('ab')}", lambda r: f"is loyal {r.choice('ab')}")
    assert leaks(prompt_file, feedback=notes) == [("leak", f"'feedback' {ALONE}")]
    own = by_label(lambda r: f"gone {r.random()}", lambda r: f"loyal {r.random()}")
    assert leaks(prompt_file, feedback=own) == []


def test_the_length_of_a_text_gives_the_answer(prompt_file):
    texts = by_label(
        lambda r: f"{r.random()}{' so' * r.randint(20, 30)}",
        lambda r: f"{r.random()}{' so' * r.randint(1, 9)}",
    )
    assert leaks(prompt_file, feedback=texts) == [("leak", f"the length of 'feedback' {ALONE}")]


def test_a_label_among_three_is_named(prompt_file):
    three = PromptFile.from_text(THREE, name="three.jinja")
    y = ["leaves", "stays", "asks"] * 100
    tone = [row % 3 == 2 for row in range(300)]
    (flag,) = find_leaks(records_of({"tone": tone, "plan": ["a", "b"] * 150}), y, three)
    assert flag.column == "tone"
    assert flag.text.startswith("'tone' alone gives the label 'asks' away (ROC AUC 1.000 on 300")


def honest():
    """Columns that say something, some of them much, and none of them everything."""
    return {
        "id": [f"{row:05}" for row in range(N)],
        "code": [f"{random.Random(row).random():.12f}x" for row in range(N)],
        "customer number": random.Random(0).sample(range(10_000), N),
        "contract": by_label(
            lambda r: r.choice(["month", "month", "year"]), lambda r: r.choice(["month", "year"])
        ),
        "spend": by_label(lambda r: r.gauss(2, 1), lambda r: r.gauss(0, 1)),
        "city": by_label(lambda r: f"city {r.randint(1, 150)}", lambda r: f"city {r.randint(1, 150)}"),
        "empty": [None] * N,
        "same": ["x"] * N,
        "closed tickets": by_label(lambda r: r.randint(2, 9), lambda r: r.randint(0, 6)),
        "contract end date": by_label(
            lambda r: date(2024, 1, r.randint(1, 31)), lambda r: date(2024, 1, r.randint(10, 31))
        ),
    }  # fmt: skip


def test_honest_columns_raise_no_alarm(prompt_file):
    assert leaks(prompt_file, **honest()) == []


def test_a_column_that_is_not_shown_is_not_judged(prompt_file):
    cells = by_label(lambda _: "yes", lambda _: "no")
    assert leaks(prompt_file, id=[f"{cell}{row}" for row, cell in enumerate(cells)]) == []
    assert leaks(prompt_file, note=cells) == []  # a text column that no block shows
    assert find_leaks([], [], prompt_file) == []


def test_too_few_rows_of_a_label_tell_nothing(prompt_file):
    y = ["leaves"] * 9 + ["stays"] * 200
    tone = [key == "leaves" for key in y]
    assert leaks(prompt_file, y=y, tone=tone) == []
    y = ["leaves"] * 10 + ["stays"] * 200
    tone = [key == "leaves" for key in y]
    assert len(leaks(prompt_file, y=y, tone=tone)) == 1


def test_many_rows_are_sampled_the_same_each_time(prompt_file, monkeypatch):
    monkeypatch.setattr("promptpredict.leaks.MOST_ROWS", 100)
    tone = by_label(lambda r: r.gauss(3.6, 1), lambda r: r.gauss(0, 1))
    first, again = leaks(prompt_file, tone=tone), leaks(prompt_file, tone=tone)
    assert first == again
    assert "on 100 training rows" in first[0][1]
    assert MOST_ROWS == 20_000


# -- names -------------------------------------------------------------------------------------


def test_a_name_of_afterwards_needs_less_of_the_answer(prompt_file):
    cells = by_label(lambda r: r.random() < 0.7, lambda r: r.random() < 0.2)
    ((kind, text),) = leaks(prompt_file, churn_risk=cells, tone=cells)
    assert kind == "leak"
    assert text.startswith(f"'churn_risk' {NAMED}, and goes with the label 'leaves' (ROC AUC 0.7")
    assert text.endswith(" on 400 training rows); possible: ignore it in the prompt file")


def test_a_name_of_afterwards_that_says_nothing_is_left_alone(prompt_file):
    cells = [random.Random(row).choice("abc") for row in range(N)]
    assert leaks(prompt_file, cancel_code=cells) == []


@pytest.mark.parametrize("positive", ["leaves", "stays"])
def test_a_reason_that_few_gave_is_found_by_who_gave_it(positive):
    prompt_file = PromptFile.from_text(PROMPT.replace("positive: leaves", f"positive: {positive}"))
    cells = [row % 7 if row % 32 == 0 else None for row in range(N)]  # 13 of 100 that left
    ((_, text),) = leaks(prompt_file, churn_reason=cells, tone=cells)
    assert text.startswith(f"'churn_reason' {NAMED}, and goes with the label '{positive}'")


def test_what_nearly_everybody_is_needs_no_reason():
    prompt_file = PromptFile.from_text(PROMPT)
    y = ["leaves"] * 360 + ["stays"] * 40
    assert leaks(prompt_file, y=y, churn_reason=["moved"] * 12 + [None] * 388) == []


def test_a_text_column_may_have_a_name_of_afterwards():
    prompt_file = PromptFile.from_text(PROMPT.replace("feedback", "cancel_note"))
    notes = by_label(lambda r: "so " * r.randint(1, 9), lambda r: "so " * r.randint(1, 5))
    ((_, text),) = leaks(prompt_file, cancel_note=notes)
    assert text.startswith(f"'cancel_note' {NAMED}, and goes with the label 'leaves'")


def test_a_name_of_afterwards_alone_counts_where_rows_are_few(prompt_file):
    found = leaks(prompt_file, y=["leaves", "stays"] * 5, cancel_date=[None] * 10, tone=[0, 1] * 5)
    assert found == [("leak", f"'cancel_date' {NAMED}; possible: ignore it in the prompt file")]


# -- dates -------------------------------------------------------------------------------------


def dated(last):
    start = [date(2023, 1, 1) + timedelta(row) for row in range(N)]
    order = [day + timedelta(random.Random(row).randint(20, 60)) for row, day in enumerate(start)]
    return {
        "since": start,
        "last order": order,
        "changed": [
            day + timedelta(days) for day, days in zip(order, by_label(*last), strict=True)
        ],
    }


def test_a_date_later_than_the_others_for_one_label_only_is_found(prompt_file):
    found = leaks(prompt_file, **dated((lambda _: 5, lambda _: -5)))
    assert found == [
        (
            "leak",
            "'changed' is later than every other date in 100 training rows, 100 of them with the "
            "label 'leaves': it may be from after the outcome; possible: ignore it in the prompt file",
        )
    ]


def test_a_date_that_is_later_for_everybody_is_none(prompt_file):
    assert leaks(prompt_file, **dated((lambda _: 5, lambda _: 5))) == []
    assert leaks(prompt_file, **dated((lambda _: 5, lambda r: r.choice([5, -5])))) == []


def copied_rows(label, rows=N, copies=16):
    """The columns of a table in which rows of one label were multiplied, each with its own channel."""
    y = (Y * (rows // N + 1))[:rows]
    spent = [
        random.Random(row // copies if key == label else rows + row).uniform(1, 9)
        for row, key in enumerate(y)
    ]
    channel = [random.Random(row).choice(["web", "shop"]) for row in range(rows)]
    return y, {"spent": spent, "channel": channel}


COPIED = (
    "values of 'spent' repeat in rows of the label '{}' and hardly in others (ROC AUC 1.000 of how "
    "often, on {:,} training rows): its rows may be copies of one another, which flatters what is "
    "fitted; possible: --group with a column that tells them, or one row of each"
)


@pytest.mark.parametrize("label", ["leaves", "stays"])
def test_rows_of_one_label_that_were_copied_are_found_by_a_value_to_the_cent(prompt_file, label):
    y, columns = copied_rows(label)
    assert leaks(prompt_file, y, **columns) == [("duplicates", COPIED.format(label, N))]


def test_copies_are_found_though_a_sample_would_lose_them(prompt_file, monkeypatch):
    monkeypatch.setattr("promptpredict.leaks.MOST_ROWS", 60)
    y, columns = copied_rows("leaves", 4000)
    assert leaks(prompt_file, y, **columns) == [("duplicates", COPIED.format("leaves", 4000))]


def test_copies_that_stand_on_one_side_as_a_group_raise_no_alarm(prompt_file):
    y, columns = copied_rows("leaves")
    records = [
        dataclasses.replace(record, group=str(record.values["spent"]))
        for record in records_of(columns)
    ]
    assert find_leaks(records, y, prompt_file) == []


def test_a_default_that_a_label_has_is_no_copy(prompt_file):
    """It gives the answer away, and that is said of it."""
    spent = by_label(lambda _: 3.5, lambda r: r.uniform(1, 9))
    assert [kind for kind, _ in leaks(prompt_file, spent=spent)] in ([], ["leak"])


def test_a_column_is_flagged_once(prompt_file):
    columns = dated((lambda r: r.randint(60, 250), lambda _: -5))
    columns["closed date"] = columns.pop("changed")
    ((_, text),) = leaks(prompt_file, **columns)
    assert text.startswith(f"'closed date' {NAMED}, and goes with")


# -- texts -------------------------------------------------------------------------------------


def texts_of(leaves, stays):
    """Texts, of which the first so many of each label have a wording of afterwards."""
    left = {"leaves": leaves, "stays": stays}
    texts = []
    for row, key in enumerate(Y):
        left[key] -= 1
        said = ["The account was closed.", "I have cancelled"][row % 8 == 0]
        texts.append(f"Secret {row}. {said}" if left[key] >= 0 else "I will cancel")
    return texts


def test_texts_of_afterwards_are_found_and_not_quoted(prompt_file):
    found = leaks(prompt_file, feedback=texts_of(20, 3))
    assert found == [
        (
            "after the outcome",
            "'feedback' has wordings from after the outcome, such as 'account closed' or 'I have "
            "cancelled', in 23 of 400 training rows: 20 with the label 'leaves' (20.0% of its "
            "rows), 3 with others (1.0%); possible: only texts from before the outcome",
        )
    ]


@pytest.mark.parametrize(
    ("leaves", "stays"),
    [(4, 0), (20, 60), (5, 5), (0, 9), (10, 80)],
    ids=["too few", "of all alike", "of either", "chance", "hardly more often"],
)
def test_texts_of_afterwards_that_tell_nothing_raise_no_alarm(prompt_file, leaves, stays):
    assert leaks(prompt_file, feedback=texts_of(leaves, stays)) == []


def test_texts_of_afterwards_that_are_mostly_of_others_raise_no_alarm(prompt_file):
    y = ["leaves"] * 40 + ["stays"] * 360
    texts = ["Account closed." if row < 10 or row >= 388 else "Fine again" for row in range(N)]
    assert leaks(prompt_file, y=y, feedback=texts) == []


def test_texts_of_afterwards_of_the_other_label_are_found(prompt_file):
    """Four of ten that stay have thanked for a refund, and nobody else."""
    ((kind, text),) = leaks(prompt_file, feedback=texts_of(0, 120))
    assert kind == "after the outcome"
    assert "120 with the label 'stays' (40.0% of its rows), 0 with others (0.0%)" in text


# -- duplicates --------------------------------------------------------------------------------


def test_test_rows_that_training_rows_repeat_are_counted_and_the_first_named():
    split = Split(np.arange(10), np.arange(10, 20))
    contents = [*range(10), *range(7), "a", "b", "c"]
    flag = repeated([split], contents, [row + 1_001 for row in range(20)])
    assert (flag.kind, flag.column, flag.text) == (
        "duplicates",
        None,
        "7 of 10 test rows show a prompt the same as a training row (row 1,011, 1,012, "
        "1,013, 1,014, 1,015, …): what is fitted has as good as seen them, which flatters it; "
        "possible: remove repeated rows, or keep them together as groups",
    )


def test_folds_are_counted_together_and_no_repetition_is_no_flag():
    folds = [Split(np.array([2, 3]), np.array([0, 1])), Split(np.array([0, 1]), np.array([2, 3]))]
    flag = repeated(folds, ["a", "b", "a", "c"], range(1, 5))
    assert flag.text.startswith(
        "2 of 4 test rows show a prompt the same as a training row (row 1, 3): "
    )
    assert repeated(folds, list("abcd"), range(1, 5)) is None
