"""Records: roles, typing, blocks, and that no row and no secret gets lost or out."""

import csv
import gzip
import io
import json
from datetime import date, datetime
from random import Random

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from promptpredict.errors import DataError
from promptpredict.records import (
    Reading,
    Record,
    Reject,
    Roles,
    read_blocks,
    read_header,
    read_records,
    records_from_frame,
)

ROLES = Roles(id="id", target="left", text=("feedback",), ignore=("note",))
SHORT = Roles(id="id", target="left", ignore=("note",))
CANARY = "canary"
COLUMNS = ["id", "age", "charge", "member", "since", "seen", "plan", "feedback", "note", "left"]
SEEN = datetime(2024, 3, 1, 12, 5)
ROWS = [
    ["007", 41, 29.85, True, date(2020, 1, 31), SEEN, "two years", "12", CANARY, 1],
    ["8", None, 30.0, None, None, None, None, " Never again,\nsorry. ", CANARY, 0],
    ["0x9", 7, None, False, date(2021, 2, 28), SEEN, "month", None, None, None],
]
RECORDS = [
    Record(
        1,
        "007",
        {
            **{"id": "007", "age": 41, "charge": 29.85, "member": True, "since": date(2020, 1, 31)},
            **{"seen": SEEN, "plan": "two years", "feedback": "12"},
        },
        "1",
    ),
    Record(
        2,
        "8",
        {
            **{"id": "8", "age": None, "charge": 30, "member": None, "since": None},
            **{"seen": None, "plan": None, "feedback": "Never again,\nsorry."},
        },
        "0",
    ),
    Record(
        3,
        "0x9",
        {
            **{"id": "0x9", "age": 7, "charge": None, "member": False, "since": date(2021, 2, 28)},
            **{"seen": SEEN, "plan": "month", "feedback": None},
        },
        None,
    ),
]


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(name, columns=COLUMNS, rows=ROWS):
    """Write a table in the format that its name says."""
    if name.endswith(".parquet"):
        frame = {c: [row[i] for row in rows] for i, c in enumerate(columns)}
        parquet.write_table(pa.table(frame), name, row_group_size=5)
        return name
    text = io.StringIO(newline="")
    if ".csv" in name:
        csv.writer(text).writerows([columns, *rows])
    else:
        for row in rows:
            cells = [cell.isoformat() if isinstance(cell, date) else cell for cell in row]
            text.write(json.dumps(dict(zip(columns, cells, strict=True))) + "\n")
    with (gzip.open if name.endswith(".gz") else open)(name, "wb") as file:
        file.write(text.getvalue().encode())
    return name


def write_text(text):
    with open("t.csv", "w", encoding="utf-8", newline="") as file:
        file.write(text)
    return "t.csv"


def read(name, roles=ROLES, **options):
    blocks = list(read_blocks(name, roles, **options))
    return [r for b in blocks for r in b.records], [r for b in blocks for r in b.rejects]


def types(records):
    return [[type(value) for value in record.values.values()] for record in records]


def fails(call, *args, **options):
    with pytest.raises(DataError) as error:
        call(*args, **options)
    return str(error.value)


FORMATS = ["t.csv", "t.csv.gz", "t.jsonl", "t.jsonl.gz", "t.parquet"]


# --------------------------------------------------------------------------------------- typing


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_records(name):
    records, rejects = read(write(name))
    assert (records, rejects) == (RECORDS, [])
    assert types(records) == types(RECORDS)
    assert [list(record.values) for record in records] == [list(r.values) for r in RECORDS]
    assert read_header(name) == COLUMNS


def test_parquet_as_pandas_writes_it_gives_the_same_records():
    # A blank makes float64 of ints, and object of booleans; the index comes along.
    frame = pd.DataFrame(ROWS, columns=COLUMNS, index=[5, 3, 1])
    frame["seen"] = frame["seen"].astype("datetime64[ns]")
    assert frame["age"].dtype == "float64"
    frame.to_parquet("t.parquet")
    records, rejects = read("t.parquet")
    assert (records, rejects) == (RECORDS, [])
    assert types(records) == types(RECORDS)


@pytest.mark.parametrize("name", FORMATS)
def test_without_roles_every_column_is_a_value_and_the_row_is_the_id(name):
    records, _ = read(write(name), Roles())
    assert [record.id for record in records] == ["1", "2", "3"]
    assert [record.label for record in records] == [None, None, None]
    assert list(records[0].values) == COLUMNS
    # without a role '12' is a number, with the role text it stays what the customer wrote
    assert records[0].values["feedback"] == 12


@pytest.mark.parametrize("name", FORMATS)
def test_neither_target_nor_ignored_columns_are_among_the_values(name):
    rows = [[str(n), f"label {CANARY}", f"note {CANARY}", "fine"] for n in range(20)]
    roles = Roles(id="note", target="left", text=("left", "note"), ignore=("note",))
    records, _ = read(write(name, ["id", "left", "note", "feedback"], rows), roles)
    assert len(records) == 20
    assert CANARY not in str([record.values for record in records])
    assert {(record.id, record.label) for record in records} == {
        (f"note {CANARY}", f"label {CANARY}")
    }


def test_labels_have_one_spelling_in_every_format():
    for left in ([1, 0, None], [1.0, 0.0, None], [True, False, None], ["1", "0", " "]):
        rows = [["a", value] for value in left]
        for name in FORMATS:
            records, _ = read(write(name, ["id", "left"], rows), Roles(target="left"))
            assert [record.label for record in records] == ["1", "0", None]


# --------------------------------------------------------------------------------------- blocks


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    ("block_rows", "limit", "sizes"),
    [
        (4, None, [4, 4, 4, 1]),
        (13, None, [13]),
        (1024, None, [13]),
        (4, 8, [4, 4]),
        (4, 6, [4, 2]),
        (4, 99, [4, 4, 4, 1]),
    ],
)
def test_blocks_are_fixed_whatever_the_format_and_its_row_groups(name, block_rows, limit, sizes):
    # Parquet comes in row groups of 5; every third row has no id and is rejected.
    write(name, ["id", "n"], [[None if n % 3 == 0 else f"c{n}", n] for n in range(1, 14)])
    blocks = list(read_blocks(name, Roles(id="id"), block_rows=block_rows, limit=limit))
    assert [block.index for block in blocks] == list(range(len(sizes)))
    assert [len(block.records) + len(block.rejects) for block in blocks] == sizes
    for block in blocks:
        rows = [record.row for record in block.records] + [reject.row for reject in block.rejects]
        start = block.index * block_rows + 1
        assert sorted(rows) == list(range(start, start + sizes[block.index]))
        assert all(record.values["n"] == record.row for record in block.records)
        assert all(reject.row % 3 == 0 for reject in block.rejects)


def test_a_limit_may_be_any_number():
    assert len(read(write_text("id\n1\n2\n"), Roles(id="id"), limit=10**24)[0]) == 2


def test_kept_columns_stand_beside_the_records_as_they_were_written():
    write_text("id,left,note,charge\n1,True, a ,29.850\n,1,b,2\n3,NA,,x\n")
    (block,) = read_blocks("t.csv", SHORT, keep=("left", "note", "charge"))
    assert [record.id for record in block.records] == ["1", "3"]
    assert block.kept == [
        {"left": "True", "note": " a ", "charge": "29.850"},
        {"left": "NA", "note": "", "charge": "x"},
    ]


def test_kept_values_that_have_types_lose_nothing():
    seen = datetime(2024, 3, 1, 12, 5, 9)
    note = [{"a": "é"}]
    rows = [["1", 1.0, seen, note], ["2", None, None, []]]
    write("t.parquet", ["id", "n", "seen", "note"], rows)
    (block,) = read_blocks("t.parquet", SHORT, keep=("n", "seen", "note"))
    assert block.kept == [
        {"n": "1", "seen": "2024-03-01 12:05:09", "note": '[{"a": "é"}]'},
        {"n": None, "seen": None, "note": "[]"},
    ]
    (block,) = read_blocks("t.parquet", SHORT)
    assert block.kept == [{}, {}]


# -------------------------------------------------------------------------------------- rejects


def test_bad_rows_are_rejected_with_row_line_and_reason():
    text = "id,n,left\n1,5,0\n2\n ,5,0\nNA,5,0\n\n4,a\0b,1\n5,5,1\n"
    records, rejects = read(write_text(text), Roles(id="id", target="left"))
    assert [(record.row, record.id) for record in records] == [(1, "1"), (6, "5")]
    assert rejects == [
        Reject(2, "", "line 3: the header has 3 cells, this row 1"),
        Reject(3, "", "line 4: the id is missing"),
        Reject(4, "", "line 5: the id is missing"),
        Reject(5, "", "line 7: column 'n' holds a NUL byte"),
    ]
    assert read("t.csv", Roles())[1] == [
        Reject(2, "2", "line 3: the header has 3 cells, this row 1"),
        Reject(5, "5", "line 7: column 'n' holds a NUL byte"),
    ]


@pytest.mark.parametrize(("name", "place"), [("t.jsonl", "line 2: "), ("t.parquet", "")])
def test_nested_values_are_rejected_unless_they_are_ignored(name, place):
    write(name, ["id", "tags"], [["1", None], ["2", ["a"]]])
    reason = f"{place}column 'tags' holds a nested value (list)"
    assert read(name, Roles(id="id"))[1] == [Reject(2, "2", reason)]
    assert read(name, Roles(target="tags"))[1] == [Reject(2, "2", reason)]
    assert read(name, Roles(ignore=("tags",)))[1] == []
    assert read(name, Roles(id="tags"))[1] == [
        Reject(1, "", "line 1: the id is missing" if place else "the id is missing"),
        Reject(2, "", reason),
    ]


def test_bytes_that_are_no_text_are_rejected():
    write("t.parquet", ["id", "n"], [[b"007", b"5"], [b"\xff", b"5"]])
    records, rejects = read("t.parquet", Roles(id="id"))
    assert records == [Record(1, "007", {"id": "007", "n": 5})]
    assert rejects == [Reject(2, "", "column 'id' holds bytes that are not utf-8 text")]


def test_an_unreadable_cell_of_parquet_rejects_its_row_by_its_id():
    at = pa.array([1, 569_034_205_000_000_000], pa.timestamp("us"))
    parquet.write_table(pa.table({"id": ["007", "8"], "note": at}), "t.parquet")
    records, rejects = read("t.parquet", Roles(id="id", ignore=("note",)))
    assert [record.id for record in records] == ["007"]
    reason = "column 'note' cannot be read (date value out of range)"
    assert rejects == [Reject(2, "8", reason)]


def test_ids_may_repeat_and_stay_as_written():
    records, _ = read(write_text("id,n\n 007 ,1\n 007 ,2\n1.0,3\n"), Roles(id="id"))
    assert [record.id for record in records] == [" 007 ", " 007 ", "1.0"]


@pytest.mark.parametrize("seed", range(40))
def test_rows_in_are_records_and_rejects(seed):
    random = Random(seed)
    pieces = ["a", "", '"', '""', ",", "é", "7", " ", "nan", "\n", "\0", "\udce9", "\r\n", '","']
    text = "id,b,c,d\n" + "".join(random.choice(pieces) for _ in range(200)) + "\nlast,1,2,3"
    with open("t.csv", "wb") as file:
        file.write(text.encode("utf-8", "surrogateescape"))
    for roles in (Roles(), Roles(id="id", target="d", text=("b",))):
        records, rejects = read("t.csv", roles, block_rows=3, reading=Reading(encoding="utf-8"))
        rows = sorted([record.row for record in records] + [reject.row for reject in rejects])
        assert rows == list(range(1, len(rows) + 1))
        assert all(reject.reason.startswith("line") for reject in rejects)
        for record in records:
            str(record).encode()  # nothing that cannot be written gets in


@pytest.mark.parametrize("seed", range(10))
def test_rows_in_are_rows_written(seed):
    random = Random(seed)
    texts = ["fine", 'so "so"', "a, b", "two\nlines", "", " ", "é", "NA"]
    rows = [
        [random.choice(["", str(n)]), random.choice(texts), random.choice(texts)]
        for n in range(random.randint(1, 40))
    ]
    for name in FORMATS:
        write(name, ["id", "feedback", "b"], rows)
        records, rejects = read(name, Roles(id="id", text=("feedback",)), block_rows=7)
        assert [reject.row for reject in rejects] == [
            row for row, cells in enumerate(rows, 1) if not cells[0]
        ]
        assert len(records) + len(rejects) == len(rows)


# ------------------------------------------------------------------------------ labelled tables


def test_rows_with_a_blank_target_are_handed_over_apart():
    name = write_text("id,left\n1,yes\n2,\n,no\n4,NA\n5,no\n")
    found = read_records(name, Roles(id="id", target="left"))
    assert [(record.row, record.label) for record in found.records] == [(1, "yes"), (5, "no")]
    assert [(record.row, record.label) for record in found.unlabelled] == [(2, None), (4, None)]
    assert found.rejects == [Reject(3, "", "line 4: the id is missing")]


def test_a_table_without_labels_is_no_labelled_table():
    name = write_text("id,left\n1,\n,\n")
    assert fails(read_records, name, Roles(id="id", target="left")) == (
        "t.csv: none of 2 rows has a value in column 'left'"
    )


@pytest.mark.parametrize(
    ("roles", "options", "text"),
    [
        (Roles(id="customer"), {}, "t.csv has no column 'customer'; it has Id, plan, left"),
        (Roles(id="id"), {}, "t.csv has no column 'id' (nearest: 'Id')"),
        (Roles(text=("plam",)), {}, "t.csv has no column 'plam' (nearest: 'plan')"),
        (Roles(), {"keep": ["lefd"]}, "t.csv has no column 'lefd' (nearest: 'left')"),
        (
            Roles(target="churn"),
            {"labelled": True},
            "t.csv has no column 'churn'; it has Id, plan, left",
        ),
        (
            Roles(target="LEFT?"),
            {},
            "t.csv has no column 'LEFT?', which must not be shown, but has 'left'; "
            "name it as the table does",
        ),
        (
            Roles(ignore=("p_lan",)),
            {},
            "t.csv has no column 'p_lan', which must not be shown, but has 'plan'; "
            "name it as the table does",
        ),
    ],
)
def test_columns_are_checked_before_a_row_is_asked_for(roles, options, text):
    write_text("Id,plan,left\n1,a,1\n")
    assert fails(read_blocks, "t.csv", roles, **options) == text


@pytest.mark.parametrize(
    ("header", "hidden", "shown"),
    [
        ("id,geku\u0308ndigt", "gek\u00fcndigt", "geku\u0308ndigt"),  # an umlaut of two characters
        ("id,\uff2c\uff25\uff26\uff34", "left", "\uff2c\uff25\uff26\uff34"),  # wide letters
        ("id,Stra\u00dfe", "STRASSE", "Stra\u00dfe"),
    ],
)
def test_a_column_that_is_hidden_is_known_in_every_way_to_write_it(header, hidden, shown):
    write_text(f"{header}\n1,1\n")
    for roles in (Roles(target=hidden), Roles(ignore=(hidden,))):
        assert fails(read_blocks, "t.csv", roles) == (
            f"t.csv has no column '{hidden}', which must not be shown, but has '{shown}'; name it as "
            "the table does"
        )


@pytest.mark.parametrize("other", ["Left", "LEFT", "le_ft"])
def test_a_second_spelling_beside_a_hidden_column_is_not_shown(other):
    write_text(f"id,left,{other}\n1,0,0\n")
    for roles in (Roles(target="left"), Roles(ignore=("left",))):
        assert fails(read_blocks, "t.csv", roles) == (
            f"t.csv has '{other}' beside 'left', which must not be shown; possible: another name, or "
            f"ignore: ['{other}'] as well"
        )
    records, _ = read("t.csv", Roles(target="left", ignore=(other,)))
    assert records == [Record(1, "1", {"id": 1}, "0")]


def test_a_wide_table_is_not_listed_whole():
    write_text(",".join(f"c{n}" for n in range(40)) + "\n" + "," * 39)
    assert fails(read_blocks, "t.csv", Roles(id="key")) == (
        "t.csv has no column 'key'; "
        "it has c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11 and 28 more"
    )


def test_target_and_ignored_columns_may_be_absent():
    name = write_text("id,?\n1,2\n")
    records, _ = read(name, Roles(id="id", target="left", ignore=("note", "#", "ID", "id")))
    assert records == [Record(1, "1", {"?": 2})]


# --------------------------------------------------------------------------------------- frames


def test_frames_give_the_records_of_the_file():
    frame = pd.DataFrame(ROWS, columns=COLUMNS)
    frame["charge"] = frame["charge"].astype("float32")
    frame["seen"] = frame["seen"].astype("datetime64[ns]")
    dicts = [dict(zip(COLUMNS, row, strict=True)) for row in ROWS]
    text = pd.read_csv(write("t.csv"), dtype=str)
    for X in (frame, frame.convert_dtypes(), text, dicts):
        records = records_from_frame(X, ROLES)
        assert records == RECORDS
        assert types(records) == types(RECORDS)


def test_labels_come_from_y_before_the_frame():
    X = pd.DataFrame({"n": [1, 2, 3], "left": ["a", "b", "c"]}, index=[9, 9, 9])
    roles = Roles(id="id", target="left")
    for y in (["yes", 1.0, np.nan], pd.Series(["yes", True, None]), ("yes", "1", "")):
        records = records_from_frame(X, roles, y=y)
        assert [record.label for record in records] == ["yes", "1", None]
        assert [record.values for record in records] == [{"n": 1}, {"n": 2}, {"n": 3}]
        assert [(record.row, record.id) for record in records] == [(1, "1"), (2, "2"), (3, "3")]
    assert [record.label for record in records_from_frame(X, roles)] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("X", "values"),
    [
        (np.array([[1.0, np.nan], [2.5, 3]]), [{"x0": 1, "x1": None}, {"x0": 2.5, "x1": 3}]),
        (np.array([["a", "007"]]), [{"x0": "a", "x1": "007"}]),
        ([[1, "a"], [2.5, None]], [{"x0": 1, "x1": "a"}, {"x0": 2.5, "x1": None}]),
        ([{"a": 1, "b": 2}, {"b": 3}], [{"a": 1, "b": 2}, {"a": None, "b": 3}]),
        (pd.DataFrame({0: [1]}), [{"0": 1}]),
    ],
)
def test_arrays_and_dicts_are_frames(X, values):
    records = records_from_frame(X, Roles())
    assert [dict(record.values) for record in records] == values


NO_TABLE = (
    "X must be a table: a pandas DataFrame, a numpy array of two dimensions or a list of dicts, got"
)


@pytest.mark.parametrize(
    ("X", "options", "text"),
    [
        (np.zeros(3), {}, f"{NO_TABLE} ndarray"),
        (["one", "two"], {}, f"{NO_TABLE} list"),
        ("text", {}, f"{NO_TABLE} str"),
        (np.zeros((3, 0)), {}, "X has no columns"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), {}, "X has more than one column 'a'"),
        (
            [{"plan": 1}, {"plam": 1}],
            {},
            "X, row 2: the key 'plam' is not in the first object (nearest: 'plan')",
        ),
        ([{"a": 1}, {"a": [1]}], {}, "X, row 2: column 'a' holds a nested value (list)"),
        ([{"id": "1"}, {"id": None}], {}, "X, row 2: the id is missing"),
        ([{"a": 1}], {"y": np.ones((1, 1))}, "y holds a nested value (ndarray)"),
        ([{"a": 1}], {"y": [1, 2]}, "X has 1 rows and y has 2 values"),
    ],
)
def test_a_frame_that_gives_no_records_is_an_error(X, options, text):
    assert fails(records_from_frame, X, Roles(id="id"), **options) == text


def test_a_frame_needs_its_text_columns():
    X = pd.DataFrame({"feedbak": ["fine"]})
    assert fails(records_from_frame, X, Roles(text=("feedback",))) == (
        "X has no column 'feedback' (nearest: 'feedbak')"
    )
