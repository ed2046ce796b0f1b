"""First prompt files: what is guessed of a table's columns, and the file that is written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from promptpredict import drafting
from promptpredict.binning import quantile_edges
from promptpredict.drafting import _KEY, first_file, new_file
from promptpredict.errors import DataError, PromptPredictError
from promptpredict.frontmatter import FrontMatter
from promptpredict.prompt import PromptFile
from promptpredict.records import Record
from promptpredict.showing import CheckOptions, check_file
from promptpredict.values import parse

LABELLED = "id,plan,feedback,left\na,gold,slow,1\nb,gold,fine,0\n007,basic,late again,1\n"
GOLDEN = Path(__file__).parent / "golden"
READING = {"delimiter": None, "encoding": None}


def table(**columns: list[object]) -> tuple[list[str], list[dict[str, str]]]:
    """Return header and rows of a table given by its columns."""
    rows = zip(*columns.values(), strict=True)
    return list(columns), [dict(zip(columns, map(str, row), strict=True)) for row in rows]


def front_of(target: str, **columns: list[object]) -> FrontMatter:
    header, rows = table(**columns)
    found = PromptFile.from_text(first_file(header, rows, target, "t.csv"))
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
    assert first_file(header, rows, "is_churn", "t.csv") == (GOLDEN / "new.jinja").read_text(
        encoding="utf-8"
    )
    found = PromptFile.from_text(first_file(header, rows, "is_churn", "t.csv"))
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


def test_labels_that_may_be_one_are_named():
    header, rows = table(n=MIXED, left=["Yes", "yes", "No"] * 20)
    lines = first_file(header, rows, "left", "t.csv").splitlines()
    doubt = '; "Yes" and "yes" may be one label, to be made one in the table'
    assert f"labels:  # guess: the words{doubt}" in lines


def test_many_numbers_are_a_regression():
    front = front_of("spend", n=MIXED, spend=[number * 2.5 for number in range(N)])
    assert (front.task, front.labels) == ("regression", {})
    assert front.bins is not None
    assert front.bins.edges == [0, 29.5, 59, 88.5, 118, 148]
    heaped = front_of("spend", n=MIXED, spend=[0] * 40 + list(range(20)))
    assert heaped.bins is not None
    assert heaped.bins.edges == quantile_edges([0] * 40 + list(range(20)), 5)  # zero is a bin


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
        first_file(header, rows, target, "t.csv")
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("columns", "identity", "ignored"),
    [
        ({"RowNumber": list(range(N)), "CustomerId": IDS}, "CustomerId", ["RowNumber"]),
        ({"customer": IDS}, "customer", []),
        ({"customer_id": ["", *IDS[1:-1], "c-1"]}, "customer_id", []),
        ({"RowNumber": list(range(N)), "userId": ["", *IDS[1:]]}, "userId", ["RowNumber"]),
        ({"plan_id": MIXED}, None, []),
        ({"paid": [number + 0.5 for number in range(N)]}, None, []),
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


@pytest.mark.parametrize("name", ["closed tickets", "number_of_cancellations", "ExitRates"])
def test_what_is_known_beforehand_is_shown_whatever_it_is_called(name):
    assert front_of("churn", n=MIXED, **{name: MIXED}, churn=CHURN).ignore == []


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
    found = PromptFile.from_text(first_file(header, rows, "y", "t.csv"))
    assert found.front.text == names_of
    assert found.needed == tuple(names_of)
    shown = found.render(Record(1, "", dict.fromkeys(names_of, "T"))).user
    assert len(re.findall(": T", shown)) == len(names_of)


# ------------------------------------------------------------------------------------- on disk


@pytest.fixture(autouse=True)
def _files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("t.csv", LABELLED)
    write("p.jinja", "somebody's own")


def write(name, text):
    Path(name).write_text(text, encoding="utf-8")


def new(target="left", out="-", table="t.csv"):
    return new_file(table, target, out, **READING)


def test_a_first_file_fits_its_table(tmp_path):
    rows = [f"c{n},{n % 7},this is what {n} wrote to us,{int(n % 3 == 0)}\n" for n in range(60)]
    Path("far").mkdir()
    write("far/t.csv", "".join(["customer_id,amount,feedback,left\n", *rows]))
    text = new(table="far/t.csv", out="mine.jinja")
    assert Path("mine.jinja").read_text(encoding="utf-8") == text == new(table="far/t.csv")
    assert text.startswith("{# A first prompt file for t.csv: ")
    found, warnings = check_file(CheckOptions(prompt="mine.jinja", customers="far/t.csv"))
    assert found == (
        "mine.jinja: binary, target left\nlabels: 1: angry; 0: happy\n"
        "columns: feedback and all others as fields\nfar/t.csv: 60 rows rendered\nok"
    )
    assert warnings == []


def test_rows_that_cannot_be_read_are_left_out_of_the_guess():
    rows = [f"c{n},gold,x{n},{n % 2}\n" for n in range(10)]
    whole = "".join(["id,plan,feedback,left\n", *rows])
    write("t.csv", whole)
    sound = new()
    write("t.csv", f"{whole}short\n")
    assert new() == sound


def test_a_first_file_is_guessed_from_rows_of_the_whole_table(monkeypatch):
    """Sorted by outcome, with a label so rare that no draw of rows would hold it."""
    monkeypatch.setattr(drafting, "GUESSED_ON", 40)
    labels = [*["stays"] * 500, *["leaves"] * 100, "waits"]
    rows = [f"{n},{'early' if n < 300 else 'late'},{of}\n" for n, of in enumerate(labels)]
    write("t.csv", "".join(["n,seen,plan\n", *rows]))
    assert list(PromptFile.from_text(new(target="plan")).front.labels) == [
        "leaves", "stays", "waits",
    ]  # fmt: skip
    drawn = drafting._some(({"n": str(n), "plan": of} for n, of in enumerate(labels)), "plan")
    numbers = [int(row["n"]) for row in drawn]
    assert numbers == sorted(set(numbers))
    assert 40 <= len(numbers) <= 43
    assert {0, 500, 600} <= set(numbers)
    assert 10 < sum(number < 300 for number in numbers) < 30


def test_cells_of_every_format_are_guessed_alike():
    import pyarrow
    from pyarrow import parquet

    columns = {"id": [str(n) for n in range(40)], "paid": [n % 3 == 0 for n in range(40)]}
    columns |= {"amount": [None if n == 7 else n / 2 for n in range(40)]}
    columns |= {"left": [n % 2 for n in range(40)]}
    parquet.write_table(pyarrow.table(columns), "t.parquet")
    rows = zip(*columns.values(), strict=True)
    cells = [",".join("" if cell is None else str(cell) for cell in row) for row in rows]
    write("t.csv", "\n".join([",".join(columns), *cells, ""]))
    assert new(table="t.parquet").replace("t.parquet", "t.csv") == new()


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"target": "lefft"}, "t.csv has no column 'lefft' (nearest: 'left')"),
        (
            {"out": "p.jinja"},
            "p.jinja is there already; remove it, or give another --out",
        ),
        (
            {"out": "none/p.jinja"},
            "none/p.jinja cannot be written (No such file or directory)",
        ),
        ({"table": "missing.jsonl"}, "there is no file missing.jsonl"),
    ],
)
def test_a_first_file_that_cannot_be_written(given, text):
    before = Path("p.jinja").read_bytes()
    with pytest.raises(PromptPredictError) as caught:
        new(**given)
    assert str(caught.value) == text
    assert Path("p.jinja").read_bytes() == before


@pytest.mark.parametrize(
    ("column", "key"),
    [
        *((name, True) for name in ("id", "ID", "Customer ID", "customer_id", "customerID", "customerid", "CUSTOMERID", "UserId", "user.id", "row_no", "account number", "order_key")),
        *((name, False) for name in ("amount_paid", "AMOUNT_PAID", "prepaid", "bid", "humid", "valid", "Void", "months")),
    ],
)  # fmt: skip
def test_an_id_is_a_word_of_its_own(column, key):
    assert bool(_KEY.search(column)) is key
