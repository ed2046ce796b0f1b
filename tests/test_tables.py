"""Table files: formats by name, encodings, and every file that is no table."""

import gzip
import io
import json
import os
import subprocess
import sys
from contextlib import closing
from types import SimpleNamespace

import pytest

from promptpredict import tables
from promptpredict.errors import DataError
from promptpredict.tables import FORMATS, count_rows, open_table

POSSIBLE = ", ".join(FORMATS)


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(name, content):
    content = content.encode() if isinstance(content, str) else content
    with (gzip.open if name.endswith(".gz") else open)(name, "wb") as file:
        file.write(content)
    return name


def read(name, **given):
    with closing(open_table(name, **given)) as table:
        return table.columns, list(table.rows)


def cells(name, **given):
    return [list(row.cells) for row in read(name, **given)[1]]


def faults(name, **given):
    return [row.place + row.fault if row.fault else "" for row in read(name, **given)[1]]


def fails(name, **given):
    with pytest.raises(DataError) as error:
        read(name, **given)
    assert "\n" not in str(error.value)
    return str(error.value)


# ------------------------------------------------------------------------------------- formats


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", "id,text\n1,fine\n2,\n"),
        ("T.CSV", "id;text\n1;fine\n2;\n"),
        ("t.csv.gz", "id,text\n1,fine\n2,\n"),
        ("t.tsv", "id\ttext\n1\tfine\n2\t\n"),
        ("t.tsv.gz", "id\ttext\n1\tfine\n2\t\n"),
        ("t.jsonl", '{"id": "1", "text": "fine"}\n\n{"id": "2", "text": ""}\n'),
        ("t.jsonl.gz", '{"id": "1", "text": "fine"}\n{"text": "", "id": "2"}'),
    ],
)
def test_the_name_says_the_format(name, content):
    columns, rows = read(write(name, content))
    assert (columns, [row.cells for row in rows]) == (["id", "text"], [["1", "fine"], ["2", ""]])


def test_a_tsv_without_a_tab_in_it_is_one_column():
    assert cells(write("t.tsv", "a,b\n1,2\n")) == [["1,2"]]


def test_standard_input_is_csv_and_can_be_opened_again(monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"id;text\n1;fine\n")))
    tables._stdin.cache_clear()
    assert [cells("-"), cells("-")] == [[["1", "fine"]]] * 2
    tables._stdin.cache_clear()


def test_reading_csv_and_json_imports_nothing_heavy():
    write("t.csv", "a\n1\n")
    write("t.jsonl", '{"a": 1}\n')
    code = (
        "import sys; from promptpredict.records import Roles, read_blocks\n"
        "for name in ('t.csv', 't.jsonl'): list(read_blocks(name, Roles()))\n"
        "print({'numpy', 'pandas', 'pyarrow', 'torch'} & set(sys.modules))"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=True)
    assert run.stdout == b"set()\n"


# ----------------------------------------------------------------------------------- encodings


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"], ids=lambda name: name
)
@pytest.mark.parametrize("header", ['"id",text', "id,text"])
def test_the_encoding_is_found(encoding, header):
    name = write("t.csv", f"{header}\n1,café\n2,„schön“\n".encode(encoding))
    assert read(name)[0] == ["id", "text"]
    assert cells(name) == [["1", "café"], ["2", "„schön“"]]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-8", "UTF8", "shift_jis"])
def test_an_encoding_may_be_given(encoding):
    text = "id,text\n1,配達\n"
    text = text if encoding == "shift_jis" else "\ufeff" + text
    name = write("t.csv", text.encode(encoding))
    assert read(name, encoding=encoding)[0] == ["id", "text"]
    assert cells(name, encoding=encoding) == [["1", "配達"]]


def test_json_lines_may_begin_with_a_mark():
    assert cells(write("t.jsonl", '\ufeff{"a": 1}\n')) == [[1]]


def test_a_damaged_line_of_utf8_is_rejected_and_makes_no_other_encoding():
    name = write("t.csv", "id,text\n1,café\n2,".encode() + b"caf\xe9\n3,fine\n")
    assert faults(name) == ["", "line 3: column 'text' is not valid utf-8", ""]
    assert cells(name)[0] == ["1", "café"]


@pytest.mark.parametrize(
    "note", ['"\\ud83d"', '{"a": ["\\ud83d"]}', '[{"\\ud83d": 1}]', '[["caf\udce9"]]'], ids=ascii
)
def test_half_a_character_is_rejected_wherever_it_stands_in_json(note):
    """Nothing can write it: neither an output that keeps the column, nor the rejects."""
    lines = ['{"id": 1, "note": {"a": ["é", "😀"]}}', f'{{"id": 2, "note": {note}}}']
    lines += ['{"id": 3, "\\ud83d": 4}', '{"id": 5, "note": ["\\ud83d\\ude00\\u0000"]}']
    name = write("t.jsonl", "\n".join(lines).encode(errors="surrogateescape"))
    assert faults(name) == [
        "",
        "line 2: column 'note' is not valid utf-8",
        "line 3: the key '\\ud83d' is not in the first object",
        "",
    ]


def test_a_byte_that_the_given_encoding_has_not_is_rejected():
    name = write("t.csv", b"id,text\n1,a\x81b\n2,\xe9\n")
    assert faults(name) == ["line 2: column 'text' is not valid cp1252", ""]


def test_a_utf8_character_that_the_sample_cuts_does_not_make_it_cp1252(monkeypatch):
    monkeypatch.setattr(tables, "_SAMPLE", 12)
    assert cells(write("t.csv", "id,text\n1,aé\n")) == [["1", "aé"]]


# ---------------------------------------------------------------------------------- bad rows


def test_bad_csv_rows_are_named_by_line_and_the_others_go_on():
    text = 'id,text\n1,"two\nlines"\n2\n\n3,a,b\n4,a\0b\n5,"x" y\n6,fine\n7,"open\n'
    assert faults(write("t.csv", text)) == [
        "",
        "line 4: the header has 2 cells, this row 1",
        "line 6: the header has 2 cells, this row 3",
        "line 7: column 'text' holds a NUL byte",
        "line 8: text follows a closing quote",
        "",
        "line 10: a quote is opened and never closed",
    ]


def test_bad_json_lines_are_named_by_line_and_the_others_go_on():
    lines = [
        "not yet",
        '{"id": 1, "text": "fine"}',
        '{"id": 2, "txt": "fine"}',
        "",
        '{"id": 3',
        "[4]",
        '{"id": 5, "id": 6}',
        '{"id": 7, "text": "\\ud83d"}',
        '{"id": ' + "9" * 5000 + "}",
        "[" * 100_000,
        '{"id": 8}',
    ]
    name = write("t.jsonl", "\n".join(lines))
    with pytest.raises(ValueError, match="digits") as too_long:
        int("9" * 5000)
    assert faults(name) == [
        "line 1: not JSON (Expecting value at character 1)",
        "",
        "line 3: the key 'txt' is not in the first object (nearest: 'text')",
        "line 5: not JSON (Expecting ',' delimiter at character 9)",
        "line 6: not a JSON object",
        "line 7: not usable JSON (a key comes twice)",
        "line 8: column 'text' is not valid utf-8",
        f"line 9: not usable JSON ({too_long.value})",
        "line 10: not usable JSON (nested too deeply)",
        "",
    ]
    assert cells(name)[-1] == [8, None]


# ------------------------------------------------------------------------- files that are none


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("t.csv", b"", "t.csv is empty"),
        ("t.csv", b"\n  \n\r\n", "t.csv is empty"),
        ("t.csv", b"\xef\xbb\xbf", "t.csv is empty"),
        ("t.csv.gz", b"", "t.csv.gz is empty"),
        ("t.jsonl", b"\n\n", "t.jsonl is empty"),
        ("t.csv", b"id,text\n", "t.csv has a header and no rows"),
        ("t.csv", b"id,text\n\n \n", "t.csv has a header and no rows"),
        ("t.csv", b"id, id \n1,2\n", "t.csv has more than one column 'id'"),
        ("t.csv", b",id\n0,1\n", "t.csv: column 1 of 2 has no name"),
        ("t.csv", b'id,"text\n1,2\n', "t.csv, lines 1 to 2: a quote is opened and never closed"),
        ("t.csv", b"\x89PNG\r\n\x1a\n\0", "t.csv holds a PNG image, not csv text"),
        ("t.csv", b"PAR1\x15\x04", "t.csv holds a Parquet file, not csv text"),
        ("t.csv", b"\x1f\x8b\x08", "t.csv holds gzip data, not csv text"),
        ("t.csv", b"PK\x03\x04\x14", "t.csv holds a zip or Excel file, not csv text"),
        ("t.tsv", b"<!DOCTYPE html>\n<p>\n", "t.tsv holds HTML or XML, not tsv text"),
        ("t.csv", b'{"id": 1}\n{"id": 2}\n', "t.csv holds JSON, not CSV; name it .jsonl"),
        (
            "t.csv",
            b"i\0d\0,\0x\0\n\x001\0,\x002\0",
            "t.csv is no table in utf-8: its header holds '\\x00'; "
            "if it is text in another encoding, give that",
        ),
        (
            "t.csv",
            b"caf\xe9\n\xc3\xa9\n",
            "t.csv is no table in utf-8: its header holds '\\udce9'; "
            "if it is text in another encoding, give that",
        ),
        (
            "t.jsonl",
            b"id,text\n1,fine\n",
            "t.jsonl is not JSON lines, one object a line; "
            "line 1: not JSON (Expecting value at character 1)",
        ),
        (
            "t.jsonl",
            b'\n[\n{"id": 1},\n{"id": 2}\n]\n',
            "t.jsonl holds a JSON array; JSON lines hold one object a line",
        ),
        (
            "t.jsonl",
            b'"id"\n1\n',
            "t.jsonl is not JSON lines, one object a line; line 1: not a JSON object",
        ),
        ("t.jsonl", b"{}\n{}\n", "t.jsonl has no columns"),
        ("t.jsonl", b'{"": 1}\n', "t.jsonl: column 1 of 1 has no name"),
        (
            "t.parquet",
            b"id,text\n1,fine\n",
            "t.parquet is not a Parquet file: Parquet magic bytes not found in footer. Either the "
            "file is corrupted or this is not a parquet file.",
        ),
        (
            "t.parquet",
            b"",
            "t.parquet is not a Parquet file: Parquet file size is 0 bytes",
        ),
        ("t.xlsx", b"PK", f"t.xlsx is not named as a table; possible: {POSSIBLE}"),
        ("table", b"a\n1\n", f"table is not named as a table; possible: {POSSIBLE}"),
    ],
)
def test_a_file_that_is_no_table_is_said_to_be_none(name, content, text):
    assert fails(write(name, content)) == text


def test_a_folder_of_no_parquet_files_is_no_table(tmp_path):
    (tmp_path / "data.csv").mkdir()
    said = (
        "data.csv is a folder without .parquet files; a table is one file: "
        f"{POSSIBLE}, or a folder of .parquet files"
    )
    assert fails("data.csv") == said
    write("data.csv/part-0.csv", "a\n1\n")
    assert fails("data.csv") == said


def test_a_missing_file_names_its_neighbour(tmp_path):
    write("customers.csv", "a\n1\n")
    assert fails("custommers.csv") == ("there is no file custommers.csv (nearest: 'customers.csv')")
    assert fails("nowhere/t.csv") == "there is no file nowhere/t.csv"


def test_what_is_no_gzip_or_ends_early_is_said():
    with open("t.csv.gz", "wb") as file:
        file.write(b"id,text\n1,fine\n")
    assert fails("t.csv.gz") == "t.csv.gz cannot be read: Not a gzipped file (b'id')"
    whole = gzip.compress(b"id,text\n" + b"".join(b"%d,fine\n" % n for n in range(9999)))
    with open("t.csv.gz", "wb") as file:
        file.write(whole[:-20])
    assert fails("t.csv.gz") == (
        "t.csv.gz cannot be read: Compressed file ended before the end-of-stream marker was reached"
    )


def test_a_truncated_utf16_file_is_said():
    name = write("t.csv", "a\n1\n2\n".encode("utf-16")[:-1])
    assert fails(name) == (
        "t.csv cannot be read: 'utf-16-le' codec can't decode byte 0x0a in position 0: "
        "truncated data"
    )


def test_an_unknown_encoding_lists_what_is_possible():
    write("t.csv", "a\n1\n")
    assert fails("t.csv", encoding="utf9") == (
        "'utf9' is no encoding (nearest: 'utf-8'); "
        "possible: utf-8, utf-16, cp1252, latin-1 and whatever else Python knows"
    )
    assert fails("t.csv", encoding="base64").startswith("'base64' is no encoding; possible:")


def test_the_fifty_json_lines_before_the_first_object_are_rows():
    name = write("t.jsonl", "oops\n" * 50 + json.dumps({"a": 1}) + "\n")
    assert len(read(name)[1]) == 51
    assert fails(write("t.jsonl", "oops\n" * 100 + '{"a": 1}\n')) == (
        "t.jsonl is not JSON lines, one object a line; "
        "line 1: not JSON (Expecting value at character 1)"
    )


def test_a_gz_that_ends_early_is_said_when_its_rows_are_counted(tmp_path):
    """Further in than any header: what is counted is the whole file, before it is read."""
    whole = gzip.compress(b"a\n" + os.urandom(200_000).hex().encode() + b"\n")
    path = tmp_path / "t.csv.gz"
    path.write_bytes(whole[: len(whole) * 9 // 10])
    with pytest.raises(DataError, match=r"t\.csv\.gz cannot be read: Compressed file ended before"):
        count_rows(path)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("t.csv", "a,b\n1,2\n3,4\n", 2),
        ("t.csv", "a,b\n1,2\n3,4", 2),  # the last line is not ended
        ("t.csv.gz", "a,b\n1,2\n", 1),
        ("t.csv", 'a,b\n1,"2\n2\n2"\n\n3,4\n', 2),  # neither line breaks in cells nor blank lines
        ("t.csv", "a,b\r1,2\r3,4\r", 2),
        ("t.jsonl", '{"a": 1}\n{"a": "2\\n2"}\n', 2),  # there is no header
    ],
)
def test_rows_are_counted_without_the_header(name, text, expected):
    path = write(name, text)
    assert count_rows(path) == expected
    assert count_rows(path, limit=1) == min(expected, 1)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.tsv"])
def test_rows_of_a_long_table_are_told_from_those_that_were_counted(name, end, monkeypatch):
    monkeypatch.setattr(tables, "_COUNTED", 100)
    rows = ['1\t"2\n2\n2"', "1\t2", "3\t4", '5\t"6\n6"'] * 100
    text = "\n".join(["a\tb", *rows, ""]).replace("\n", end)
    text = text if name.endswith("tsv") else text.replace("\t", ",")
    assert count_rows(write(name, text)) == 400
    assert count_rows(name, limit=150) == 150
    assert count_rows(name, limit=90) == 90


def test_rows_of_json_lines_are_its_lines(monkeypatch):
    monkeypatch.setattr(tables, "_COUNTED", 100)
    name = write("t.jsonl", "".join(json.dumps({"a": "b\nc"}) + "\n" for _ in range(250)))
    assert count_rows(name) == 250


def test_rows_are_counted_as_the_table_is_read():
    name = write("t.csv", "a;b,c\n1;2,3\n".encode("utf-16-le"))
    assert count_rows(name, delimiter=";", encoding="utf-16-le") == 1
