"""Tables in a filesystem of pyarrow: as those of this machine."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from promptpredict.errors import DataError
from promptpredict.places import is_url, known
from promptpredict.records import Roles, read_blocks, read_header
from promptpredict.tables import count_rows, stamp
from walked import read, score

ROWS = "id,feedback\n1,late\n2,ok\n"


@pytest.fixture
def urls(tmp_path):
    """The same table in three formats, by URL and by path."""
    import pandas as pd

    (tmp_path / "t.csv").write_text(ROWS)
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(ROWS.encode()))
    pd.DataFrame({"id": [1, 2], "feedback": ["late", "ok"]}).to_parquet(tmp_path / "t.parquet")
    return [tmp_path / name for name in ("t.csv", "t.csv.gz", "t.parquet")]


def test_a_url_is_read_as_the_file_that_it_names(urls):
    for path in urls:
        url = path.as_uri()
        assert is_url(url)
        assert not is_url(path)
        assert read_header(url) == ["id", "feedback"]
        (block,) = read_blocks(url, Roles(id="id"))
        (other,) = read_blocks(path, Roles(id="id"))
        assert block == other
        assert [record.values["feedback"] for record in block.records] == ["late", "ok"]
        assert count_rows(url) == count_rows(path) == 2
        assert stamp(url) == stamp(path)


def test_what_is_not_there_is_said(tmp_path):
    url = (tmp_path / "no.csv").as_uri()
    assert known(url) is None
    with pytest.raises(DataError) as error:
        read_header(url)
    assert str(error.value) == f"there is no file {url}"
    with pytest.raises(
        DataError, match=r"^nowhere://x/t.csv is in no filesystem that can be read \("
    ):
        read_header("nowhere://x/t.csv")
    (tmp_path / "t.xlsx").write_text("x")
    with pytest.raises(DataError, match=r"t.xlsx is not named as a table; possible: .csv"):
        read_header((tmp_path / "t.xlsx").as_uri())


def test_customers_are_scored_from_a_url(fakes):
    score(fakes)
    here = read()
    score(fakes, customers=Path("customers.csv").absolute().as_uri(), out="other.csv")
    assert read("other.csv") == here
