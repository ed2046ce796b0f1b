"""What waits on the disk comes back as it was, again and again, and leaves nothing behind."""

from __future__ import annotations

import sys
import tempfile

import numpy as np
import pytest

from promptpredict.errors import DataError
from promptpredict.records import Reject
from promptpredict.spool import NumberFile, Scored, Spool


def block(seed):
    rng = np.random.default_rng(seed)
    return Scored(
        rows=[1, 3],
        ids=["007", "ä\r\n,x"],
        kept=[{"plan": "a"}, {"plan": ""}],
        rejects=[Reject(2, "", "no id")],
        logprobs=rng.normal(size=(2, 2)).astype(np.float32),
        mass=np.array([0.5, np.nan], np.float32),
        truncated=np.array([False, True]),
        faults={1: "too long"},
        fallback={1: [0.25, 0.75]},
    )


def test_blocks_come_back_in_order_and_more_than_once():
    spool, blocks = Spool(), [block(seed) for seed in range(5)]
    for each in blocks:
        spool.append(each)
    for _ in range(2):
        found = list(spool)
        assert len(found) == 5
        for one, other in zip(found, blocks, strict=True):
            assert one.logprobs.tobytes() == other.logprobs.tobytes()
            assert (one.ids, one.kept, one.rejects) == (other.ids, other.kept, other.rejects)
            assert (one.faults, one.fallback) == (other.faults, other.fallback)


def test_an_empty_spool_has_no_blocks():
    assert list(Spool()) == []


@pytest.mark.parametrize("count", [0, 1, 1 << 16, (1 << 16) + 1, 200_000])
def test_numbers_come_back_in_parts(count):
    file = NumberFile()
    given = np.random.default_rng(0).normal(size=count)
    for start in range(0, count, 7_000):
        file.append(given[start : start + 7_000])
    assert file.count == count
    for _ in range(2):
        parts = list(file.parts())
        assert all(0 < len(part) <= 1 << 16 for part in parts)
        np.testing.assert_array_equal(np.concatenate([np.empty(0), *parts]), given)


def test_the_files_have_no_name(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    spool = Spool()
    spool.append(block(0))
    NumberFile().append(np.ones(9))
    assert list(tmp_path.iterdir()) == []
    assert len(list(spool)) == 1


def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    missing = tmp_path / "gone"
    monkeypatch.setattr(tempfile, "tempdir", str(missing))
    with pytest.raises(DataError) as error:
        Spool()
    assert str(error.value) == (
        f"what was scored cannot be put aside in {missing} (No such file or directory); "
        "possible: another folder in TMPDIR"
    )


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="there is no such device")
def test_a_disk_that_is_full_at_the_end_is_said(monkeypatch):
    """Few rows wait in memory until they are read again."""
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda: open("/dev/full", "w+b"))  # noqa: SIM115
    spool, numbers = Spool(), NumberFile()
    spool.append(block(0))
    numbers.append(np.ones(9))
    for waiting in (spool, numbers.parts()):
        with pytest.raises(DataError) as error:
            next(iter(waiting))
        assert str(error.value).startswith("what was scored cannot be put aside in ")
        assert "(No space left on device)" in str(error.value)
