"""The ledger: what was put is there again, bit by bit, however a run ended; nothing is half there."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from promptpredict.errors import DataError
from promptpredict.ledger import Entry, Ledger, key_of

REST = "possible: another folder, or without this file, which holds only what can be computed again"


def key(number):
    return number.to_bytes(32, "big")


def entry(number=0, **changes):
    rng = np.random.default_rng(number)
    drawn = Entry(
        logprobs=-np.exp(rng.normal(0, 9, 3)).astype(np.float32),  # of every size
        hidden=rng.normal(size=5).astype(np.float32),
        mass=float(np.float32(rng.random())),
        truncated=bool(number % 2),
        fault=None,
        alone=12.0,
        shared=3.25,
        rate=0.1,
    )
    return replace(drawn, **changes)


def same(found, expected):
    for name in ("logprobs", "hidden"):
        assert getattr(found, name).dtype == np.float32
        assert getattr(found, name).tobytes() == getattr(expected, name).tobytes()
    for name in ("truncated", "fault", "alone", "shared", "rate"):
        assert getattr(found, name) == getattr(expected, name)
        assert type(getattr(found, name)) is type(getattr(expected, name))
    np.testing.assert_equal(found.mass, expected.mass)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "scores.ledger"


@pytest.mark.parametrize("kept", ["memory", "file", "file opened again"])
def test_what_was_put_comes_back_bit_by_bit(path, kept):
    odd = np.array([np.nan, -np.inf, -0.0, np.float32(1e-45)], np.float32)
    put = {
        key(1): entry(1),
        key(2): entry(
            2, mass=float("nan"), fault="it's too long: 1,024 “tokens”; 太长", logprobs=odd
        ),
        key(3): entry(3, fault="", hidden=np.zeros(0, np.float32), mass=0.0),
    }
    ledger = Ledger(None if kept == "memory" else path)
    ledger.put(put.items())
    if kept == "file opened again":
        ledger.close()
        ledger = Ledger(path)
    found = ledger.get([key(3), key(4), key(2), key(1)])
    assert found.keys() == put.keys()
    for each, expected in put.items():
        same(found[each], expected)


def test_a_ledger_of_another_version_is_read_by_the_names_of_its_columns(path):
    Ledger(path).close()
    with sqlite3.connect(path) as file:
        file.execute("alter table scores rename column run to later")
        file.execute("alter table scores add column run integer not null default 0")
    ledger = Ledger(path)
    ledger.put([(key(1), entry(1))])
    same(ledger.get([key(1)])[key(1)], entry(1))


def on_day(monkeypatch, number):
    monkeypatch.setattr("promptpredict.ledger._today", lambda: 700_000 + number)


def test_what_no_run_has_asked_for_in_sixty_days_goes_when_a_run_is_finished(path, monkeypatch):
    ledger = Ledger(path)
    keys = [key(number) for number in range(1_200)]  # several questions to SQLite
    on_day(monkeypatch, 0)
    ledger.begin("one")
    ledger.put((each, entry(1)) for each in keys)
    on_day(monkeypatch, 8)
    ledger.mark(ledger.get(keys[:700]))
    ledger.finish()
    for day, left in [(60, 1_200), (61, 700), (68, 700), (69, 0)]:
        on_day(monkeypatch, day)
        ledger.begin(f"of day {day}")
        ledger.finish()
        assert [*ledger.get(keys)] == keys[:left]


def test_use_is_written_again_after_a_week(path, monkeypatch):
    ledger = Ledger(path)
    on_day(monkeypatch, 0)
    ledger.put([(key(1), entry(1)), (key(2), entry(2))])
    for day, written in [(0, 0), (7, 0), (8, 1), (9, 0), (15, 0), (16, 1)]:
        on_day(monkeypatch, day)
        before = ledger._file.total_changes
        ledger.mark(ledger.get([key(1), key(3)]))
        assert ledger._file.total_changes - before == written


def test_what_a_file_of_before_holds_is_kept_for_sixty_days_from_now(path, monkeypatch):
    ledger = Ledger(path)
    ledger.put([(key(1), entry(1))])
    ledger.close()
    with sqlite3.connect(path) as file:
        file.execute("alter table scores drop column used")
    on_day(monkeypatch, 0)
    ledger = Ledger(path)
    for day, left in [(60, 1), (61, 0)]:
        on_day(monkeypatch, day)
        ledger.begin(f"of day {day}")
        ledger.finish()
        assert len(ledger.get([key(1)])) == left


@pytest.mark.parametrize(
    ("column", "value"), [("logprobs", b"abc"), ("logprobs", 3), ("hidden", b"abcde")]
)
def test_an_entry_that_cannot_be_read_is_not_known(path, column, value):
    ledger = Ledger(path)
    ledger.put([(key(1), entry(1)), (key(2), entry(2))])
    ledger._file.execute(f"update scores set {column} = ? where key = ?", (value, key(1)))
    assert ledger.get([key(1), key(2)]).keys() == {key(2)}


def test_what_was_said_in_another_format_is_not_known(monkeypatch):
    now = key_of("model", "prompt")
    monkeypatch.setattr("promptpredict.ledger._FORMAT", 0)
    assert key_of("model", "prompt") != now


def test_it_knows_what_reading_took(path):
    ledger = Ledger(path)
    assert ledger.spent() == (0, 0, 0)
    ledger.put([(key(1), entry(1)), (key(2), entry(2, shared=10.0, rate=0.5))])
    assert ledger.spent() == (2, 13.25, pytest.approx(3.25 * 0.1 + 10 * 0.5))


def test_an_array_of_another_type_is_kept_as_what_a_language_model_gives(path):
    given = entry(1, logprobs=np.array([-0.1, -2.3, -4.0]))  # float64
    Ledger(path).put([(key(1), given)])
    same(Ledger(path).get([key(1)])[key(1)], replace(given, logprobs=given.logprobs.astype("f4")))


def test_what_was_put_last_counts(path):
    ledger = Ledger(path)
    ledger.put([(key(1), entry(1)), (key(2), entry(2))])
    ledger.put([(key(1), entry(9))])
    found = Ledger(path).get([key(1), key(2)])
    same(found[key(1)], entry(9))
    same(found[key(2)], entry(2))


@pytest.mark.parametrize("count", [0, 1, 499, 500, 501, 1300])
def test_any_number_of_keys_can_be_asked_for(count):
    """SQLite takes 999 values in one question at least, and not always more."""
    ledger = Ledger()
    ledger.put((key(number), entry(number)) for number in range(0, count, 2))
    found = ledger.get([key(number) for number in range(count)])
    assert found.keys() == {key(number) for number in range(0, count, 2)}
    for each in list(found)[-1:]:
        same(found[each], entry(int.from_bytes(each, "big")))


def test_no_question_to_sqlite_has_more_keys_than_it_takes():
    ledger = Ledger()
    ledger._file.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 999)
    assert ledger.get([key(number) for number in range(2500)]) == {}


def test_without_a_path_a_ledger_is_of_its_own_and_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = Ledger()
    first.put([(key(1), entry(1))])
    assert Ledger().get([key(1)]) == {}
    assert list(tmp_path.iterdir()) == []


def test_entries_that_break_off_leave_none(path):
    def broken():
        yield key(1), entry(1)
        raise KeyboardInterrupt

    ledger = Ledger(path)
    ledger.put([(key(0), entry(0))])
    with pytest.raises(KeyboardInterrupt):
        ledger.put(broken())
    ledger.put([(key(2), entry(2))])  # and it goes on
    assert Ledger(path).get([key(0), key(1), key(2)]).keys() == {key(0), key(2)}


KILLED = """
import os, sys
import numpy as np
from promptpredict.ledger import Entry, Ledger

row = np.zeros(2000, np.float32)

def entries(start, die):
    for number in range(start, start + 2000):
        if die and number == start + 1990:
            os._exit(9)  # no finally, no rollback, nothing is closed
        yield number.to_bytes(32, "big"), Entry(row, row, 0.5, False, None, 1.0, 1.0, 1.0)

ledger = Ledger(sys.argv[1])
ledger.put(entries(0, False))
ledger.put(entries(2000, True))
"""


def test_a_killed_process_leaves_all_of_a_put_or_nothing(path):
    """16 MB an attempt, so that SQLite has written pages of the second before it is killed."""
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], timeout=120)
    assert done.returncode == 9
    ledger = Ledger(path)
    assert ledger.get([key(number) for number in range(4000)]).keys() == {
        key(number) for number in range(2000)
    }
    ledger.put([(key(2000), entry(1))])
    same(Ledger(path).get([key(2000)])[key(2000)], entry(1))


def test_two_runs_can_write_to_one_file(path):
    first, second = Ledger(path), Ledger(path)
    first.put([(key(1), entry(1))])
    second.put([(key(2), entry(2)), (key(1), entry(1))])
    first.put([(key(3), entry(3))])
    assert (
        len(first.get([key(1), key(2), key(3)])) == len(second.get([key(1), key(2), key(3)])) == 3
    )


# -- faults --------------------------------------------------------------------------------------


def fails(call, *given):
    with pytest.raises(DataError) as error:
        call(*given)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("content", [b"not a ledger, " * 100, b"SQLite format 3\x00" + b"?" * 5000])
def test_a_file_that_is_no_ledger_is_named_and_left_as_it_is(path, content):
    path.write_bytes(content)
    assert fails(Ledger, path) == (
        f"{path}: the ledger cannot be opened (file is not a database); {REST}"
    )
    assert path.read_bytes() == content


def test_a_folder_that_there_is_not_is_named(tmp_path):
    path = tmp_path / "nowhere" / "scores.ledger"
    assert fails(Ledger, path) == (
        f"{path}: the ledger cannot be opened (unable to open database file); {REST}"
    )


def test_a_read_only_folder_is_named(tmp_path):
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    if os.access(folder, os.W_OK):  # the superuser writes everywhere but here
        folder = "/proc"
    path = f"{folder}/scores.ledger"
    assert fails(Ledger, path) == (
        f"{path}: the ledger cannot be opened (unable to open database file); {REST}"
    )


def test_a_file_that_cannot_be_written_can_be_read_and_says_so(path):
    Ledger(path).put([(key(1), entry(1))])
    ledger = Ledger(path)
    ledger._file.execute("pragma query_only = on")  # a disk that has become read-only
    same(ledger.get([key(1)])[key(1)], entry(1))
    assert fails(ledger.put, [(key(2), entry(2))]) == (
        f"{path}: the ledger cannot be written (attempt to write a readonly database); {REST}"
    )


def test_a_file_that_went_bad_while_it_was_open_says_so(path):
    ledger = Ledger(path)
    ledger._file.execute("drop table scores")
    for ask in (lambda: ledger.get([key(1)]), ledger.spent):
        assert fails(ask) == f"{path}: the ledger cannot be read (no such table: scores); {REST}"
