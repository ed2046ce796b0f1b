"""The shipped prompt files: each whole prompt, the list, the copy, and a first file for a table."""

import re
from pathlib import Path

import pytest

from promptpredict.errors import DataError, PromptError
from promptpredict.frontmatter import FrontMatter
from promptpredict.prompt import PromptFile
from promptpredict.records import Record
from promptpredict.shipped import copy, folder, names, new
from promptpredict.values import parse

GOLDEN = Path(__file__).parent / "golden"
CUSTOMERS = {  # made up
    "churn-shop": {
        "customer_id": "s-17",
        "order_amount": "48.5",
        "num_purchases": "6",
        "last_purchase_time": "2024-02-11",
        "returns": "",
        "feedback_text": "The parcel was late twice and the box was open.",
    },
    "churn-telecom": {
        "customerID": "t-17",
        "gender": "Female",
        "SeniorCitizen": "0",
        "Partner": "Yes",
        "Dependents": "No",
        "tenure": "0",
        "PhoneService": "Yes",
        "MultipleLines": "No",
        "InternetService": "Fiber optic",
        "OnlineSecurity": "No",
        "OnlineBackup": "Yes",
        "DeviceProtection": "No",
        "TechSupport": "No",
        "StreamingTV": "Yes",
        "StreamingMovies": "No",
        "Contract": "One year",
        "PaperlessBilling": "Yes",
        "PaymentMethod": "Mailed check",
        "MonthlyCharges": "81.3",
        "TotalCharges": " ",
    },
    "churn-bank": {
        "CustomerId": "b-17",
        "CreditScore": "640",
        "Geography": "Spain",
        "Gender": "Male",
        "Age": "51",
        "Tenure": "4",
        "Balance": "12500.5",
        "NumOfProducts": "1",
        "HasCrCard": "1",
        "IsActiveMember": "0",
        "EstimatedSalary": "70000",
    },
}


@pytest.mark.parametrize("name", CUSTOMERS)
def test_a_shipped_prompt(name):
    cells = CUSTOMERS[name]
    found = PromptFile.load(name)
    found.check_columns([*cells, found.front.target], "t.csv", labelled=True)
    assert (found.name, found.warnings) == (f"{name}.jinja", [])
    prompt = found.render(Record(1, "", {column: parse(cell) for column, cell in cells.items()}))
    words = "; ".join(f"{key}: {', '.join(words)}" for key, words in found.words.items())
    text = f"[system]\n{prompt.system}\n[user]\n{prompt.user}\n[assistant]\n{prompt.answer}|\n[words]\n{words}\n"
    assert text == (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")


def test_every_shipped_file_is_listed_with_its_task_and_what_it_is_for():
    assert [(each.name, each.task) for each in names()] == [(name, "binary") for name in sorted(CUSTOMERS)]  # fmt: skip
    assert names()[1].description == (
        "Churn in an online shop, from what customers wrote and a few order columns."
    )


@pytest.mark.parametrize("name", ["churn-shop", "churn-shop.jinja"])
def test_a_copy_is_the_same_file_and_never_overwrites(tmp_path, name):
    copied = copy(name, tmp_path)
    assert copied == tmp_path / "churn-shop.jinja"
    assert copied.read_bytes() == (folder() / "churn-shop.jinja").read_bytes()
    with pytest.raises(PromptError) as caught:
        copy(name, tmp_path)
    assert str(caught.value) == f"{copied} is there already; move it, or copy elsewhere"


def test_a_copy_needs_a_folder_and_a_known_name(tmp_path):
    with pytest.raises(PromptError) as caught:
        copy("churn-shop", tmp_path / "none")
    assert str(caught.value) == (
        f"{tmp_path / 'none' / 'churn-shop.jinja'} cannot be written (No such file or directory)"
    )
    with pytest.raises(PromptError) as unknown:
        copy("churn-ship", tmp_path)
    assert str(unknown.value) == (
        "no prompt file 'churn-ship' (nearest: 'churn-shop'); it is neither a file nor one of the "
        "shipped: churn-bank, churn-shop, churn-telecom"
    )


def table(**columns: list[object]) -> tuple[list[str], list[dict[str, str]]]:
    """Return header and rows of a table given by its columns."""
    rows = zip(*columns.values(), strict=True)
    return list(columns), [dict(zip(columns, map(str, row), strict=True)) for row in rows]


def front_of(target: str, **columns: list[object]) -> FrontMatter:
    header, rows = table(**columns)
    found = PromptFile.from_text(new(header, rows, target, "t.csv"))
    found.check_columns(header, "t.csv", labelled=True)
    return found.front


N = 60
IDS = [f"c-{number}" for number in range(N)]
MIXED = [number * 7 % 11 for number in range(N)]
TEXTS = [f"this is what customer {number} wrote to us" for number in range(N)]
CHURN = [int(number % 3 == 0) for number in range(N)]


def test_a_first_file_for_a_table():
    header, rows = table(
        customer_id=IDS,
        averageOrder=MIXED,
        feedback=TEXTS,
        cancelled_on=["2024-01-01" if left else "" for left in CHURN],
        is_churn=CHURN,
    )
    assert new(header, rows, "is_churn", "t.csv") == (GOLDEN / "new.jinja").read_text(
        encoding="utf-8"
    )
    found = PromptFile.from_text(new(header, rows, "is_churn", "t.csv"))
    values = {column: parse(cell) for column, cell in rows[0].items() if column != "cancelled_on"}
    assert found.render(Record(1, "", values)).user == (
        "average Order: 0\nfeedback: this is what customer 0 wrote to us\n"
        "Summarize how the customer feels in one word."
    )


@pytest.mark.parametrize(
    ("target", "outcome", "labels", "positive"),
    [
        ("is_churn", CHURN, {"1": ["leave"], "0": ["stay"]}, "1"),
        ("y", ["no", "no", "yes"] * 20, {"yes": ["yes"], "no": ["no"]}, "yes"),
        ("y", ["True", "False", "False"] * 20, {"1": ["yes"], "0": ["no"]}, "1"),
        ("class", ["good", "good", "bad"] * 20, {"bad": ["bad"], "good": ["good"]}, "bad"),
        ("plan", ["a_1", "b", "c"] * 20, {"a_1": ["a 1"], "b": ["b"], "c": ["c"]}, None),
        ("plan", ["a", "A", "b"] * 20, {"A": ["option 1"], "a": ["option 2"], "b": ["option 3"]}, None),
        ("stars", [1, 2, 5] * 20, {"1": ["1"], "2": ["2"], "5": ["5"]}, None),
    ],
)  # fmt: skip
def test_labels_and_their_words(target, outcome, labels, positive):
    front = front_of(target, n=MIXED, **{target: outcome})
    assert (front.labels, front.positive) == (labels, positive)
    assert front.task == ("binary" if positive else "multiclass")


def test_many_numbers_are_a_regression():
    front = front_of("spend", n=MIXED, spend=[number * 2.5 for number in range(N)])
    assert (front.task, front.labels) == ("regression", {})
    assert front.bins is not None
    assert front.bins.edges == [0, 29.5, 59, 88.5, 118, 147.5]
    heaped = front_of("spend", n=MIXED, spend=[0] * 40 + list(range(20)))
    assert heaped.bins is not None
    assert heaped.bins.edges is None


@pytest.mark.parametrize(
    ("target", "outcome", "text"),
    [
        ("churn", [1] * N, "column 'churn' of t.csv holds only '1'; an outcome needs two values"),
        ("churn", [""] * N, "column 'churn' of t.csv holds nothing; an outcome needs two values"),
        ("churn", IDS, "column 'churn' of t.csv holds 60 different texts; an outcome is a number, or one of 20 labels at most"),
        ("chrun", CHURN, "t.csv has no column 'chrun' (nearest: 'churn')"),
    ],
)  # fmt: skip
def test_a_column_that_is_no_outcome_is_refused(target, outcome, text):
    header, rows = table(n=MIXED, churn=outcome)
    with pytest.raises(DataError) as caught:
        new(header, rows, target, "t.csv")
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("columns", "identity", "ignored"),
    [
        ({"RowNumber": list(range(N)), "CustomerId": IDS}, "CustomerId", ["RowNumber"]),
        ({"customer": IDS}, "customer", []),
        ({"paid": MIXED, "amount": list(range(N))}, None, []),
    ],
)
def test_the_id_is_unique_and_named_so(columns, identity, ignored):
    front = front_of("churn", **columns, churn=CHURN)
    assert (front.id, front.ignore) == (identity, ignored)


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("last_name", MIXED),
        ("E-mail", IDS),
        ("closing_date", MIXED),
        ("score", [left * 10 + number for left, number in zip(CHURN, MIXED, strict=True)]),
        ("status", ["x" if left else "y" for left in CHURN]),
        ("note", ["call" if left else "" for left in CHURN]),
    ],
)
def test_leaks_and_names_are_ignored(name, cells):
    cells = [100 + cell if name == "score" and left else cell for cell, left in zip(cells, CHURN, strict=True)]  # fmt: skip
    assert front_of("churn", n=MIXED, **{name: cells}, churn=CHURN).ignore == [name]


def test_a_column_that_tells_one_of_many_labels_is_a_leak():
    outcome = ["drop", "stay", "grow"] * 20
    front = front_of("end", n=MIXED, gone=[int(of == "drop") for of in outcome], end=outcome)
    assert front.ignore == ["gone"]


def test_the_amount_in_another_currency_is_a_leak_and_what_goes_with_it_is_none():
    amount = [round(10 + number * 1.37, 2) for number in range(N)]
    euros = [round(1.08 * each, 1) for each in amount]
    about = [each + (number * 7919 % 37) for number, each in enumerate(amount)]
    assert front_of("spend", usd=euros, about=about, spend=amount).ignore == ["usd"]


def test_amounts_are_no_ids():
    paid = [10 + number / 4 + 0.01 for number in range(N)]
    front = front_of("churn", n=MIXED, amount_paid=paid, customer_id=IDS, churn=CHURN)
    assert (front.id, front.ignore) == ("customer_id", [])


def test_chance_is_no_leak_in_a_small_sample():
    assert (
        front_of("churn", a=[1, 2, 1, 2], b=["x", "y", "x", "z"], churn=[1, 0, 1, 0]).ignore == []
    )


def test_texts_are_long_and_differ():
    front = front_of("y", note=TEXTS, plan=["a plan of many words"] * N, code=IDS, y=CHURN)
    assert front.text == ["note"]


def test_any_column_name_can_be_written():
    names_of = [
        'a "b" \\ {{ c }}',
        "d: e # f",
        "{% g %}",
        "fields",
        "h\x7fi\n",
        "naïve 😀",
        "👩\u200d💻 role",
    ]
    columns = {name: TEXTS for name in names_of}
    header, rows = table(**columns, y=CHURN)
    found = PromptFile.from_text(new(header, rows, "y", "t.csv"))
    assert found.front.text == names_of
    assert found.needed == tuple(names_of)
    shown = found.render(Record(1, "", dict.fromkeys(names_of, "T"))).user
    assert len(re.findall(": T", shown)) == len(names_of)
