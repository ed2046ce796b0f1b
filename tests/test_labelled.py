"""Labelled tables: which records are usable, what is said of the others, and which labels pass."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest

from promptpredict import tables
from promptpredict.errors import DataError, PromptError
from promptpredict.labelled import check_task, column_cells, drawn, label_of, read_labelled
from promptpredict.prompt import PromptFile
from promptpredict.records import Reading, Record, Roles

PROMPT = """---
task: binary
target: left
labels: {1: angry, 0: happy}
positive: 1
id: id
text: [feedback]
fields: {amount: {format: ".2f"}}
---
{% block system %}You judge.{% endblock %}
{% block customer %}{% for field in customer.fields %}{{ field.name }}: {{ field.value }}
{% endfor %}
{{ customer.feedback }}{% endblock %}
{% block question %}How does the customer feel?{% endblock %}
"""
READING = Reading()
ROLES = Roles()


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def prompt_file(text=PROMPT):
    return PromptFile.from_text(text, name="p.jinja")


def write(text, encoding="utf-8"):
    with open("l.csv", "w", encoding=encoding, newline="") as file:
        file.write(text)
    return "l.csv"


def read(text, **reading):
    return read_labelled(write(text), prompt_file(), Reading(**reading))


def fails(call, *args):
    with pytest.raises((DataError, PromptError)) as caught:
        call(*args)
    return str(caught.value)


def test_every_record_of_a_clean_table_is_usable_and_nothing_is_said():
    found, notes = read("id,amount,feedback,left\n007,1.5,fine,0\nb,2,late,1\n")
    assert [(record.row, record.id, record.label) for record in found] == [
        (1, "007", "0"),
        (2, "b", "1"),
    ]
    assert notes == []


@pytest.mark.parametrize("cells", [("1", "0"), ("1.0", "0.0"), ("True", "False"), (" 1 ", "0")])
def test_a_label_counts_in_any_spelling(cells):
    found, _ = read(f"id,amount,feedback,left\na,1,x,{cells[0]}\nb,2,y,{cells[1]}\n")
    assert [record.label for record in found] == ["1", "0"]


@pytest.mark.parametrize(
    ("rows", "usable", "note"),
    [
        (
            ["a,1,x,1", "b,2,y,", "c,3,z,NA"],
            ["a"],
            "l.csv: rows left out: 2 without a label",
        ),
        (
            ["a,many,x,1", "b,2,y,0"],
            ["b"],
            "l.csv: rows left out: 1 unusable (the first is row 1: p.jinja, row 1, column 'amount': "
            "the format '.2f' does not suit the value 'many' (Unknown format code 'f' for object "
            "of type 'str'))",
        ),
        (
            # Row 2 cannot be read, row 3 cannot be rendered: the first by row is named.
            ["a,1,x,1", ",2,y,0", "c,many,y,0", "d,1,x,"],
            ["a"],
            "l.csv: rows left out: 1 without a label, 2 unusable (the first is row 2: "
            "line 3: the id is missing)",
        ),
        (
            # The other way round: the one that cannot be rendered stands first.
            ["c,many,y,0", "a,1,x,1", ",2,y,0"],
            ["a"],
            "l.csv: rows left out: 2 unusable (the first is row 1: p.jinja, row 1, column "
            "'amount': the format '.2f' does not suit the value 'many' (Unknown format code 'f' "
            "for object of type 'str'))",
        ),
    ],
    ids=["no label", "no prompt", "no id", "no prompt before no id"],
)
def test_rows_left_out_are_said_in_one_line(rows, usable, note):
    found, notes = read("\n".join(["id,amount,feedback,left", *rows, ""]))
    assert [record.id for record in found] == usable
    assert notes == [note]


def test_many_rows_left_out_are_counted_with_commas():
    rows = ["a,1,x,1", *(f"b{n},2,y," for n in range(1200)), *[",3,z,0"] * 1300]
    _, notes = read("\n".join(["id,amount,feedback,left", *rows, ""]))
    assert notes == [
        "l.csv: rows left out: 1,200 without a label, 1,300 unusable (the first is row 1202: line "
        "1203: the id is missing)"
    ]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            "id,amount,feedback,left\na,1,x,1\nb,2,y,leaves\n",
            "l.csv, row 2: column 'left' holds 'leaves'; the labels of p.jinja are '1', '0'",
        ),
        (
            "id,amount,feedback,lefft\na,1,x,1\n",
            "p.jinja needs column 'left' (its target); l.csv has no such column (nearest: 'lefft')",
        ),
        (
            "id,amount,feedbak,left\na,1,x,1\n",
            "p.jinja needs column 'feedback'; l.csv has no such column (nearest: 'feedbak')",
        ),
        (
            "customer,amount,feedback,left\na,1,x,1\n",
            "p.jinja needs column 'id' (its id); l.csv has no such column; it has customer, amount, feedback, left",
        ),
        ("id,amount,feedback,left\n", "l.csv has a header and no rows"),
        (
            "id,amount,feedback,left\na,1,x,\n,2,y,\n",
            "l.csv: none of 2 rows has a value in column 'left'",
        ),
    ],
    ids=["label", "target", "text", "id", "empty", "no label at all"],
)
def test_a_table_that_gives_no_labels_is_an_error(text, error):
    assert fails(read, text) == error


def test_how_text_is_read_is_passed_on():
    text = "id;amount;feedback;left\na;1;x|y,z;1\n"
    found, _ = read(text, delimiter=";")
    assert found[0].values["feedback"] == "x|y,z"
    assert fails(lambda: read(text, encoding="utf-99")) == (
        "'utf-99' is no encoding (nearest: 'utf-8'); possible: utf-8, utf-16, cp1252, latin-1 and "
        "whatever else Python knows"
    )


@pytest.fixture
def stdin(monkeypatch):
    """Give a text on standard input, which is read once in a process and kept."""

    def give(text):
        tables._stdin.cache_clear()
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(text.encode())))

    yield give
    tables._stdin.cache_clear()


@pytest.mark.parametrize(
    ("rows", "error"),
    [
        (
            "a,1,x,gone\n",
            "standard input, row 1: column 'left' holds 'gone'; the labels of p.jinja are '1', '0'",
        ),
        ("a,1,x,\n", "standard input: none of 1 rows has a value in column 'left'"),
    ],
)
def test_standard_input_has_its_own_name_in_errors(stdin, rows, error):
    stdin(f"id,amount,feedback,left\n{rows}")
    assert fails(read_labelled, "-", prompt_file(), READING) == error


def test_standard_input_has_its_own_name_in_notes(stdin):
    stdin("id,amount,feedback,left\na,1,x,1\nb,2,y,\n")
    _, notes = read_labelled("-", prompt_file(), READING)
    assert notes == ["standard input: rows left out: 1 without a label"]
    assert (tables.table_name("-"), tables.table_name("l.csv")) == ("standard input", "l.csv")


def test_a_label_is_the_key_that_the_file_writes():
    text = PROMPT.replace("{1: angry, 0: happy}", "{'yes': angry, 'True': happy}").replace(
        "positive: 1", "positive: 'yes'"
    )
    record = Record(7, "a", {}, "1")
    assert label_of(prompt_file(text), record, "l.csv") == "True"
    assert fails(label_of, prompt_file(text), Record(7, "a", {}, "yess"), "l.csv") == (
        "l.csv, row 7: column 'left' holds 'yess' (nearest: 'yes'); the labels of p.jinja are "
        "'yes', 'True'"
    )


# -- columns and draws ---------------------------------------------------------------------------


def test_cells_of_a_column_are_those_of_the_records_as_they_are_written():
    """Whatever the order of the records, and where rows before them were left out."""
    table = write(
        "id,amount,feedback,left,when\na,1,x,1, 01.50\n,2,y,0,no id\nc,3,z,,\nd,4,w,0,007\n"
    )
    records, _ = read_labelled(table, prompt_file(), READING)
    assert [record.id for record in records] == ["a", "d"]
    assert column_cells(table, "when", records[::-1], READING, ROLES) == ["007", " 01.50"]
    assert column_cells(table, "left", records, READING, ROLES) == ["1", "0"]
    assert column_cells(table, "when", [], READING, ROLES) == []


def test_cells_are_read_as_the_table_is():
    table = write("id;amount;feedback;left;when\na;1;x;1;späte, r\n", encoding="cp1252")
    reading = Reading(";", "cp1252")
    records, _ = read_labelled(table, prompt_file(), reading)
    assert column_cells(table, "when", records, reading, ROLES) == ["späte, r"]


def test_cells_stand_beside_a_nested_value_that_the_prompt_file_ignores(tmp_path):
    table = tmp_path / "t.jsonl"
    lines = [
        '{"id": "a", "amount": 1, "feedback": "x", "left": 1, "meta": {"k": 1}, "household": "h1"}',
        '{"id": "b", "amount": 1, "feedback": "y", "left": 0, "meta": {"k": 2}, "household": "h2"}',
    ]
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    file = prompt_file(PROMPT.replace("---\n{%", "ignore: [meta, household]\n---\n{%", 1))
    records, _ = read_labelled(str(table), file, READING)
    assert column_cells(str(table), "household", records, READING, file.roles) == ["h1", "h2"]


def test_cells_of_a_table_in_several_blocks_keep_to_their_rows(monkeypatch):
    rows = [f"c{row},1,x,{row % 2},cell {row}" for row in range(3000)]
    table = write("\n".join(["id,amount,feedback,left,when", *rows, ""]))
    records, _ = read_labelled(table, prompt_file(), READING)
    some = [records[row] for row in (2999, 0, 1500)]
    assert column_cells(table, "when", some, READING, ROLES) == ["cell 2999", "cell 0", "cell 1500"]


def test_records_are_drawn_in_their_order_and_the_first_without_a_seed():
    records = [Record(row, str(row), {}) for row in range(50)]
    first, again, other = (drawn(records, 10, seed=seed) for seed in (1, 1, 2))
    assert first == again != other
    assert [record.row for record in first] == sorted({record.row for record in first})
    assert (len(first), first == records[:10]) == (10, False)
    assert drawn(records, 10, seed=None) == records[:10]
    assert drawn(records, 50, seed=0) == drawn(records, 99, seed=None) == records
    assert drawn(records, 0, seed=None) == []


REGRESSION = """---
task: regression
target: spend
bins: {words: [low, high]}
---
{% block system %}s{% endblock %}{% block customer %}c{% endblock %}
{% block question %}q{% endblock %}
"""


def test_a_task_that_a_command_cannot_do_is_refused():
    assert fails(check_task, prompt_file(REGRESSION), "wordings") == (
        "p.jinja has task: regression, which wordings cannot do; possible: binary, multiclass"
    )
    check_task(prompt_file(), "wordings")


def test_a_rare_label_is_drawn_and_the_others_as_without_it():
    records = [Record(row, "", {}, str(int(row in (7, 400)))) for row in range(1, 1001)]
    plain = drawn(records, 50, seed=0)
    assert {record.label for record in plain} == {"0"}
    keys = [str(record.label) for record in records]
    found = drawn(records, 50, seed=0, keys=keys)
    assert len(found) == 50
    assert [record.row for record in found] == sorted(record.row for record in found)
    assert len([record for record in found if record not in plain]) == 1
    assert sum(record.label == "1" for record in found) == 1
    both = [record for record in records if record.row in (1, 7, 400, 401)]
    assert drawn(both, 3, seed=0, keys=list("abcd")) == drawn(both, 3, seed=0)


@pytest.mark.parametrize("seed", range(5))
def test_where_the_draw_has_every_label_keys_change_nothing(seed):
    records = [Record(row, "", {}, str(row % 3)) for row in range(300)]
    keys = [str(record.label) for record in records]
    assert drawn(records, 64, seed=seed, keys=keys) == drawn(records, 64, seed=seed)
