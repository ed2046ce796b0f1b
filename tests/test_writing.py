"""Predictions out: every format, whole or not at all, and the rejects beside them."""

from __future__ import annotations

import csv
import errno
import gzip
import json
import os
import sys
from pathlib import Path

import pandas
import pyarrow
import pytest
from pyarrow import parquet

from promptpredict import writing
from promptpredict.errors import DataError
from promptpredict.writing import (
    Writer,
    check_output,
    check_place,
    clear_drafts,
    rejects_of,
    write_rejects,
)

COLUMNS = {
    "id": "text",
    "row": "count",
    "prediction": "text",
    "p_1": "number",
    "label_mass": "number",
    "truncated": "truth",
    "note": "text",
}
# Neighbours in float64, the least float, and what an id may look like.
LINES = [
    {
        "id": "007",
        "row": 1,
        "prediction": "1",
        "p_1": 0.1 + 0.2,
        "label_mass": 5e-324,
        "truncated": True,
        "note": 'said "no", then\nleft',
    },
    {
        "id": " é😀,x",
        "row": 2,
        "prediction": "0",
        "p_1": 0.3,
        "label_mass": None,
        "truncated": False,
        "note": "",
    },
]
NUMBERS = [0.1 + 0.2, 0.3, 1 / 3, 1e-300, 5e-324, 1 - 2**-53, 0.0, 1.0, 123456789.123456789]
CSV = (
    "id,row,prediction,p_1,label_mass,truncated,note\n"
    '007,1,1,0.30000000000000004,5e-324,True,"said ""no"", then\nleft"\n'
    '" é😀,x",2,0,0.3,,False,\n'
)
JSONL = (
    '{"id": "007", "row": 1, "prediction": "1", "p_1": 0.30000000000000004, '
    '"label_mass": 5e-324, "truncated": true, "note": "said \\"no\\", then\\nleft"}\n'
    '{"id": " é😀,x", "row": 2, "prediction": "0", "p_1": 0.3, "label_mass": null, '
    '"truncated": false, "note": ""}\n'
)
FORMATS = ["o.csv", "o.csv.gz", "o.jsonl", "o.parquet"]


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(out, lines=LINES, columns=COLUMNS):
    with Writer(out, columns) as writer:
        writer.write(lines)
    return Path(out)


def files():
    return sorted(path.name for path in Path().iterdir())


def fault(call, *args):
    with pytest.raises(DataError) as caught:
        call(*args)
    return str(caught.value)


def numbers_of(path):
    """Return the column p of a written file as its readers see it."""
    if path.suffix == ".parquet":
        return parquet.read_table(path)["p"].to_pylist()
    raw = path.read_bytes()
    lines = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode().splitlines()
    if path.suffix == ".jsonl":
        return [json.loads(line)["p"] for line in lines]
    return [float(line["p"]) for line in csv.DictReader(lines)]


# -------------------------------------------------------------------------------------- formats


def test_csv():
    assert write("o.csv").read_bytes() == CSV.encode()


@pytest.mark.parametrize("cell", ["a\rb", "a\nb", "a\r\nb", "\r\n", "a\r\n", "\r"])
def test_a_line_break_in_a_cell_is_no_row_to_any_reader(cell):
    lines = [LINES[0] | {"note": cell}, LINES[1]]
    path = write("o.csv", lines)
    with path.open(newline="", encoding="utf-8") as stream:
        read = list(csv.DictReader(stream))
    assert [row["note"] for row in read] == [cell, ""]
    assert pandas.read_csv(path, keep_default_na=False)["id"].tolist() == ["007", " é😀,x"]
    assert path.read_bytes().endswith(CSV.encode().splitlines(keepends=True)[-1])


def test_csv_gz_holds_the_same_csv():
    assert gzip.decompress(write("o.csv.gz").read_bytes()) == CSV.encode()


def test_json_lines():
    assert write("o.jsonl").read_bytes() == JSONL.encode()


def test_parquet_has_a_type_for_each_kind():
    found = parquet.read_table(write("o.parquet"))
    assert found.schema == pyarrow.schema(
        [
            ("id", pyarrow.string()),
            ("row", pyarrow.int64()),
            ("prediction", pyarrow.string()),
            ("p_1", pyarrow.float64()),
            ("label_mass", pyarrow.float64()),
            ("truncated", pyarrow.bool_()),
            ("note", pyarrow.string()),
        ]
    )
    assert found.to_pylist() == LINES


def test_the_types_of_parquet_do_not_depend_on_its_rows():
    # A first block without a label mass would otherwise make a column of nulls.
    empty = dict.fromkeys(COLUMNS)
    with Writer("o.parquet", COLUMNS) as writer:
        writer.write([empty])
        writer.write(LINES)
    assert parquet.read_table("o.parquet").to_pylist() == [empty, *LINES]


@pytest.mark.parametrize("out", FORMATS)
def test_numbers_keep_all_their_digits(out):
    path = write(out, [{"p": number} for number in NUMBERS], {"p": "number"})
    assert numbers_of(path) == NUMBERS


@pytest.mark.parametrize("out", FORMATS)
def test_the_same_rows_are_the_same_bytes(monkeypatch, out):
    first = write(out).read_bytes()
    monkeypatch.setattr("time.time", lambda: 1e9)  # gzip would write the time and the name
    assert write(out).read_bytes() == first
    assert write(f"p{out[1:]}").read_bytes() == first


@pytest.mark.parametrize("out", FORMATS)
def test_rows_may_come_in_several_parts_and_with_columns_to_spare(out):
    whole = write(out).read_bytes()
    with Writer(out, COLUMNS) as writer:
        for line in LINES:
            writer.write(iter([dict(reversed((line | {"more": 1}).items()))]))
    if out == "o.parquet":  # its parts are row groups
        assert parquet.read_table(out).to_pylist() == LINES
    else:
        assert Path(out).read_bytes() == whole


@pytest.mark.parametrize(
    ("out", "empty"),
    [("o.csv", b"id,row,prediction,p_1,label_mass,truncated,note\n"), ("o.jsonl", b"")],
)
def test_without_rows_there_is_a_file_all_the_same(out, empty):
    assert write(out, []).read_bytes() == empty


def test_without_rows_parquet_has_its_columns():
    found = parquet.read_table(write("o.parquet", []))
    assert (found.num_rows, found.column_names) == (0, list(COLUMNS))


def test_stdout_is_csv(capsys):
    write("-")
    assert capsys.readouterr().out == CSV
    assert files() == []


def test_stdout_is_left_open(capsys):
    write("-", [])
    print("still open")  # noqa: T201
    assert capsys.readouterr().out.endswith("note\nstill open\n")


# ----------------------------------------------------------------------------------- all or nothing


@pytest.mark.parametrize("out", FORMATS)
@pytest.mark.parametrize("old", [b"old", None])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_after_an_error_the_output_is_as_it_was(out, old, error):
    if old:
        Path(out).write_bytes(old)

    def lines():
        yield LINES[0]
        raise error

    with pytest.raises(error):
        write(out, lines())
    assert files() == ([out] if old else [])
    assert not old or Path(out).read_bytes() == old


@pytest.mark.parametrize("out", FORMATS)
def test_until_the_last_row_is_written_the_old_output_stands(out):
    Path(out).write_bytes(b"old")
    with Writer(out, COLUMNS) as writer:
        writer.write(LINES)
        assert Path(out).read_bytes() == b"old"
        assert len(files()) == 2
    assert Path(out).read_bytes() != b"old"
    assert files() == [out]


def test_what_a_killed_run_left_goes_and_what_another_run_writes_stays():
    left = [".y.csv.4711.tmp", ".y.csv.rejects.jsonl.4711.tmp", ".y.csv.prompts.jsonl.4711.tmp"]
    others = [".y.csv.gz.4711.tmp", ".y.csv.gz.rejects.jsonl.4711.tmp", ".y.csv.jsonl.4711.tmp"]
    for name in (*left, *others):
        Path(name).touch()
    with Writer("y.csv.gz", COLUMNS) as other:
        clear_drafts("y.csv")
        other.write(LINES)
    assert files() == sorted([*others, "y.csv.gz"])


@pytest.mark.parametrize("out", ["o.csv", "o.parquet"])
def test_a_link_stays_and_the_file_that_it_leads_to_is_replaced(out):
    Path("far").mkdir()
    Path("far", out).write_bytes(b"old")
    Path(out).symlink_to(Path("far", out))
    write(out)
    assert Path(out).is_symlink()
    assert files() == sorted(["far", out])
    assert [path.name for path in Path("far").iterdir()] == [out]
    assert Path("far", out).read_bytes() != b"old"


@pytest.mark.parametrize("out", FORMATS)
def test_a_folder_that_has_gone_is_said(out):
    name = f"gone/{out}"
    assert fault(write, name) == f"{name} cannot be written (No such file or directory)"


def test_a_full_disk_is_said_and_leaves_the_old_output(monkeypatch):
    Path("o.csv").write_bytes(b"old")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writing._Csv, "write", full)
    assert fault(write, "o.csv") == "o.csv cannot be written (No space left on device)"
    assert (files(), Path("o.csv").read_bytes()) == (["o.csv"], b"old")


def test_a_draft_that_cannot_take_its_place_is_said_and_removed(monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "replace", refuse)
    assert fault(write, "o.csv") == "o.csv cannot be written (Permission denied)"
    assert fault(write_rejects, "o.csv", [{"row": 1}]) == (
        "o.csv.rejects.jsonl cannot be written (Permission denied)"
    )
    assert files() == []


def test_a_reader_who_has_enough_is_no_fault(monkeypatch):
    class Closed:
        def write(self, _):
            raise BrokenPipeError

        def flush(self):
            pass

    monkeypatch.setattr(sys, "stdout", Closed())
    with pytest.raises(BrokenPipeError):
        write("-")


def test_a_stdout_that_cannot_be_written_is_said(monkeypatch):
    class Full:
        def write(self, _):
            raise OSError(errno.ENOSPC, "No space left on device")

        def flush(self):
            pass

    monkeypatch.setattr(sys, "stdout", Full())
    assert fault(write, "-") == "stdout cannot be written (No space left on device)"


# ------------------------------------------------------------------------------------- rejects

REJECTS = [{"row": 3, "id": "ü", "reason": "a 'reason'\nof two lines"}, {"row": 9, "id": "", "reason": "x"}]  # fmt: skip
REJECTED = (
    '{"row": 3, "id": "ü", "reason": "a \'reason\'\\nof two lines"}\n'
    '{"row": 9, "id": "", "reason": "x"}\n'
)


def test_rejects_are_json_lines_beside_the_output():
    assert write_rejects("o.csv.gz", REJECTS) == Path("o.csv.gz.rejects.jsonl")
    assert Path("o.csv.gz.rejects.jsonl").read_bytes() == REJECTED.encode()
    assert rejects_of("a/o.csv") == Path("a/o.csv.rejects.jsonl")


def test_without_rejects_the_file_of_an_earlier_run_goes():
    write_rejects("o.csv", REJECTS)
    assert write_rejects("o.csv", []) is None
    assert files() == []
    assert write_rejects("o.csv", iter([])) is None


def test_rejects_of_an_earlier_run_are_replaced():
    write_rejects("o.csv", REJECTS)
    write_rejects("o.csv", REJECTS[1:])
    assert Path("o.csv.rejects.jsonl").read_text() == REJECTED.splitlines(keepends=True)[1]
    assert files() == ["o.csv.rejects.jsonl"]


def test_rejects_of_stdout_go_to_stderr(capsys):
    assert write_rejects("-", REJECTS) is None
    assert tuple(capsys.readouterr()) == ("", REJECTED)
    assert files() == []


def test_rejects_follow_a_link_as_the_output_does():
    Path("far").mkdir()
    Path("far/r.jsonl").write_bytes(b"old")
    Path("o.csv.rejects.jsonl").symlink_to("far/r.jsonl")
    write_rejects("o.csv", REJECTS)
    assert Path("far/r.jsonl").read_bytes() == REJECTED.encode()
    assert Path("o.csv.rejects.jsonl").is_symlink()


def test_rejects_that_cannot_be_written_are_said():
    assert fault(write_rejects, "gone/o.csv", REJECTS) == (
        "gone/o.csv.rejects.jsonl cannot be written (No such file or directory)"
    )


# --------------------------------------------------------------------------------------- places


@pytest.mark.parametrize("out", ["-", *FORMATS, "a.b.csv", "./o.csv", ".csv"])
def test_what_can_be_written_passes(out):
    check_output(out)
    assert files() == []


@pytest.mark.parametrize(
    ("out", "text"),
    [
        ("o.csv.zip", "o.csv.zip: its ending says no format"),
        ("o.parqet", "o.parqet: its ending says no format (nearest: '.parquet')"),
        ("o.xlsx", "o.xlsx: its ending says no format"),
        ("o.json", "o.json: its ending says no format (nearest: '.jsonl')"),
        ("csv", "csv: its ending says no format"),
    ],
)
def test_an_ending_that_says_no_format(out, text):
    assert fault(check_output, out) == (
        f"{text}; possible: .csv, .csv.gz, .jsonl, .parquet, or - for stdout"
    )


def test_a_place_that_is_none():
    Path("d.csv").mkdir()
    Path("file").touch()
    assert fault(check_output, "d.csv") == "d.csv is a folder; give the file to write"
    assert fault(check_place, "d.csv") == "d.csv is a folder; give the file to write"
    assert fault(check_place, "none/c.json") == (
        "none/c.json cannot be written: there is no folder none"
    )
    assert fault(check_place, "file/c.json") == (
        "file/c.json cannot be written: there is no folder file"
    )


@pytest.mark.parametrize(
    ("locked", "text"),
    [
        ("d", "d/o.csv cannot be written: the folder d is read-only"),
        ("d/o.csv", "d/o.csv cannot be written: it is read-only"),
        (
            "d/o.csv.rejects.jsonl",
            "d/o.csv.rejects.jsonl cannot be written: it is read-only",
        ),
    ],
)
def test_what_is_read_only_is_not_replaced(monkeypatch, locked, text):
    Path("d").mkdir()
    write("d/o.csv")
    write_rejects("d/o.csv", REJECTS)
    asked = os.access  # root, to whom nothing is read-only, may run the tests
    monkeypatch.setattr(
        writing.os, "access", lambda path, mode: str(path) != locked and asked(path, mode)
    )
    assert fault(check_output, "d/o.csv") == text
