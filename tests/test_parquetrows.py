"""Parquet as rows: the types of cells, damaged files, and a folder of files as one table."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from promptpredict.errors import DataError
from promptpredict.records import Roles, read_blocks
from promptpredict.tables import count_rows, open_table, stamp
from walked import HEADER, ROWS, score
from walked import read as scores_of


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write_parquet(name, columns):
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.table(columns), name)
    return name


def read(name):
    with closing(open_table(name)) as table:
        return table.columns, list(table.rows)


def cells(name):
    return [list(row.cells) for row in read(name)[1]]


def faults(name):
    return [row.place + row.fault if row.fault else "" for row in read(name)[1]]


def fails(name):
    with pytest.raises(DataError) as error:
        read(name)
    assert "\n" not in str(error.value)
    return str(error.value)


# ------------------------------------------------------------------------------------ one file


def test_parquet_columns_keep_types_that_python_has():
    table = {
        "short": pa.array([29.85, None], pa.float32()),
        "kind": pa.array(["a", None]).dictionary_encode(),
        "at": pa.array([1_706_702_700_123_456_789, None], pa.timestamp("ns")),
    }
    found = cells(write_parquet("t.parquet", table))
    assert str(found[0][0]) == "29.85"
    assert [found[0][1], found[0][2].isoformat()] == ["a", "2024-01-31T12:05:00.123456"]
    assert [str(found[1][0]), *found[1][1:]] == ["nan", None, None]


def test_the_index_that_pandas_leaves_in_parquet_is_no_column():
    name = write_parquet("t.parquet", {"a": [1], "__index_level_0__": [7]})
    assert [read(name)[0], cells(name)] == [["a"], [[1]]]


def test_a_parquet_file_without_rows_is_no_table():
    assert fails(write_parquet("t.parquet", {"a": []})) == "t.parquet has a header and no rows"


def test_a_damaged_parquet_file_is_said(tmp_path):
    write_parquet("t.parquet", {"a": list(range(1000))})
    content = bytearray((tmp_path / "t.parquet").read_bytes())
    content[4:400] = bytes(396)
    (tmp_path / "t.parquet").write_bytes(content)
    assert fails("t.parquet").startswith("t.parquet cannot be read: ")


def test_a_parquet_cell_that_cannot_be_read_is_the_fault_of_its_row():
    """Whatever its column, and however many rows are read at once."""
    count, year_20001 = 1500, 569_034_205_000_000_000
    columns = {
        "id": [str(number) for number in range(count)],
        "note": pa.array([1] * (count - 1) + [year_20001], pa.timestamp("us")),
        "text": pa.array([b"fine", b"\xff", *[None] * (count - 2)]).view(pa.string()),
    }
    columns["kind"] = columns["text"].dictionary_encode()
    name = write_parquet("t.parquet", columns)
    found = faults(name)
    assert [at for at, fault in enumerate(found) if fault] == [1, count - 1]
    assert found[-1] == "column 'note' cannot be read (date value out of range)"
    assert found[1].startswith("column 'text' cannot be read ('utf-8' codec can't decode byte 0xff")
    rows = cells(name)
    assert [row[0] for row in rows] == columns["id"]
    assert [rows[0][2:], rows[1][2:], rows[-1][1]] == [["fine", "fine"], [None, None], None]


def test_a_parquet_file_of_an_unknown_time_zone_is_said():
    write_parquet("t.parquet", {"at": pa.array([1, 2], pa.timestamp("us", "Mars/Olympus"))})
    assert fails("t.parquet").startswith("t.parquet cannot be read: ")


# ------------------------------------------------------------------------------------ a folder


def parts(**more):
    """Write a table of five rows in three parts, one of them empty, and what a writer leaves."""
    write_parquet("t/part-2.parquet", {"id": ["d", "e"], "text": ["late", None]})
    write_parquet("t/part-0.snappy.parquet", {"id": ["a", "b", "c"], "text": ["ok", "ok", "late"]})
    empty = pa.array([], pa.string())
    write_parquet("t/part-1.parquet", {"text": empty, "id": empty})
    for left in ("t/_SUCCESS", "t/.part-0.crc", "t/_temporary/0/part-9.parquet"):
        Path(left).parent.mkdir(parents=True, exist_ok=True)
        Path(left).write_text("x")
    return "t"


def test_the_files_of_a_folder_are_one_table_in_the_order_of_their_names():
    expected = [["a", "ok"], ["b", "ok"], ["c", "late"], ["d", "late"], ["e", None]]
    for name in (
        parts(),
        "./t/",
        Path("t").absolute().as_uri(),
        Path("t").absolute().as_uri() + "/",
    ):
        columns, rows = read(name)
        assert columns == ["id", "text"]
        assert [list(row.cells) for row in rows] == expected
        assert count_rows(name) == 5
        assert count_rows(name, 2) == 2
        assert stamp(name) == stamp("t")


def test_a_part_may_have_its_columns_in_another_order_and_type():
    write_parquet("t/0.parquet", {"id": ["a"], "visits": pa.array([None], pa.null())})
    write_parquet("t/1.parquet", {"visits": [3], "id": ["b"]})
    assert cells("t") == [["a", None], ["b", 3]]


def test_folders_named_as_a_value_are_columns():
    for country, id in (("DE", 1), ("New%20York", 2), ("__HIVE_DEFAULT_PARTITION__", 3)):
        write_parquet(f"t/day=01/country={country}/part.parquet", {"id": [id]})
    columns, rows = read("t")
    assert columns == ["id", "day", "country"]
    assert [list(row.cells) for row in rows] == [
        [1, "01", "DE"],
        [2, "01", "New York"],
        [3, "01", None],
    ]


def test_a_column_of_the_folder_goes_before_that_of_its_file():
    """As with Spark: not one in one part and the other in the next."""
    write_parquet("t/day=01/part.parquet", {"day": [7], "id": [1]})
    write_parquet("t/day=02/part.parquet", {"id": [2]})
    assert (read("t")[0], cells("t")) == (["day", "id"], [["01", 1], ["02", 2]])


def test_parts_of_other_columns_are_no_table_before_a_row_is_read():
    write_parquet("t/0.parquet", {"id": [1], "text": ["ok"]})
    write_parquet("t/1.parquet", {"id": [1]})
    said = "the files of t are no parts of one table: "
    assert fails("t") == said + "1.parquet has no column 'text', which 0.parquet has"
    write_parquet("t/1.parquet", {"id": [1], "text": ["ok"], "plan": ["a"]})
    assert fails("t") == said + "1.parquet has a column 'plan', which 0.parquet has not"
    twice = pa.Table.from_arrays([pa.array([1])] * 3, names=["id", "text", "id"])
    parquet.write_table(twice, "t/1.parquet")
    assert fails("t") == said + "1.parquet has more than one column 'id'"
    write_parquet("t/1.parquet", {"id": [1], "text": ["ok"]})
    assert cells("t") == [[1, "ok"]] * 2
    write_parquet("t/day=1/1.parquet", {"id": [1], "text": ["ok"]})
    assert fails("t") == said + "day=1/1.parquet has a column 'day', which 0.parquet has not"


def test_another_file_beside_the_parts_is_said():
    Path(parts(), "notes.csv").write_text("a")
    assert fails("t") == (
        "t is a folder of .parquet files that holds notes.csv as well; possible: only files that "
        "are parts of the table"
    )


def test_a_part_that_is_none_and_one_that_is_damaged_are_named():
    Path(parts(), "part-2.parquet").write_text("")
    assert fails("t") == "t/part-2.parquet is not a Parquet file: Parquet file size is 0 bytes"
    write_parquet("t/part-2.parquet", {"id": ["1"] * 1000, "text": [str(at) for at in range(1000)]})
    content = bytearray(Path("t/part-2.parquet").read_bytes())
    content[4:2400] = bytes(2396)
    Path("t/part-2.parquet").write_bytes(content)
    assert fails("t").startswith("t/part-2.parquet cannot be read: ")


def test_a_part_that_is_not_there_is_said():
    """A link that leads nowhere, and one that is taken away while the table is open."""
    Path(parts(), "part-3.parquet").symlink_to("nowhere.parquet")
    assert fails("t").startswith("t/part-3.parquet cannot be read: ")
    Path("t/part-3.parquet").unlink()
    with closing(open_table("t")) as table:
        Path("t/part-2.parquet").unlink()
        with pytest.raises(DataError, match=r"^t/part-2\.parquet cannot be read: "):
            list(table.rows)


def test_a_part_that_changes_while_the_table_is_open_is_said():
    with closing(open_table(parts())) as table:
        write_parquet("t/part-2.parquet", {"id": ["e", "d", "x"], "text": ["late", "late", "x"]})
        with pytest.raises(DataError, match=r"^t/part-2\.parquet has changed since the table"):
            list(table.rows)


def test_a_link_to_a_folder_and_a_delta_table_are_no_parts():
    """Their rows would be read twice, or those that were deleted again."""
    Path(parts(), "latest").symlink_to(".")
    assert fails("t") == "t holds a link to a folder, latest; possible: the folder itself"
    Path("t/latest").unlink()
    Path("t/_delta_log").mkdir()
    Path("t/_delta_log/0.json").write_text("{}")
    assert fails("t") == (
        "t is a Delta table, whose files hold deleted rows as well; possible: its rows as they are "
        "now, written as Parquet"
    )


def test_odd_names_of_folders():
    write_parquet("./shop:2026/_year=2026/0.parquet", {"id": [1]})
    assert (read("shop:2026")[0], cells("shop:2026")) == (["id", "_year"], [[1, "2026"]])


def test_a_folder_without_rows_is_no_table():
    write_parquet("t/0.parquet", {"a": []})
    write_parquet("t/1.parquet", {"a": []})
    assert fails("t") == "t has a header and no rows"


def test_a_row_with_a_fault_names_its_part_and_its_place_in_the_whole_table():
    write_parquet("t/0.parquet", {"id": ["a", "b"], "text": ["ok", "ok"]})
    write_parquet("t/1.parquet", {"id": ["c"], "text": pa.array([b"\xff"]).view(pa.string())})
    (block,) = read_blocks("t", Roles(id="id", text=("text",)))
    (reject,) = block.rejects
    assert [record.id for record in block.records] == ["a", "b"]
    assert (reject.row, reject.id) == (3, "c")
    assert reject.reason.startswith("1.parquet: column 'text' cannot be read ('utf-8' codec")


def test_a_part_that_changed_makes_another_table():
    before = stamp(parts())
    assert stamp("t") == before
    write_parquet("t/part-3.parquet", {"id": ["f"], "text": ["ok"]})
    assert stamp("t") != before


def test_customers_in_a_folder_are_scored_as_those_of_one_file(fakes):
    score(fakes)
    for number, row in enumerate(ROWS):
        cells = zip(HEADER.split(","), row.split(","), strict=True)
        write_parquet(f"t/{number}.parquet", {column: [cell or None] for column, cell in cells})
    score(fakes, customers="t", out="other.csv")
    assert scores_of("other.csv") == scores_of()
