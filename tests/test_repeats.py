"""Ids in several rows are found whatever is in memory, and named with their rows."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from promptpredict import repeats
from promptpredict.repeats import Repeats


def blocks(ids, size=100):
    rows = list(range(1, len(ids) + 1))
    return [
        SimpleNamespace(ids=ids[start : start + size], rows=rows[start : start + size])
        for start in range(0, len(ids), size)
    ]


def find(ids):
    found, scored = Repeats(), blocks(ids)
    for block in scored:
        found.add(block.ids)
    return found.find(scored)


@pytest.mark.parametrize("at_once", [1, 64, 1 << 20])
def test_ids_that_come_again_are_counted_and_the_first_is_named(monkeypatch, at_once):
    monkeypatch.setattr(repeats, "_AT_ONCE", at_once)
    ids = [f"C{number}" for number in range(300)]
    ids[250], ids[260], ids[270] = "C7", "C7", "C200"
    assert find(ids) == (2, "C7, rows 8 and 251")


def test_what_came_again_is_sorted_once_for_all_blocks(monkeypatch):
    """And not for each block, in a time that grows with the square of the rows."""
    monkeypatch.setattr(repeats, "_AT_ONCE", 64)  # so that there are several shares
    monkeypatch.setattr(np, "isin", None)  # it sorts what it is given
    searched, search, sort = [], np.searchsorted, np.sort
    sorts = []
    monkeypatch.setattr(np, "sort", lambda some: sorts.append(some) or sort(some))
    monkeypatch.setattr(
        np, "searchsorted", lambda known, some: searched.append(known) or search(known, some)
    )
    assert find([f"C{number % 1000}" for number in range(2000)]) == (1000, "C0, rows 1 and 1,001")
    assert (len(sorts), len(searched)) == (1, 11)  # blocks of a hundred rows
    assert all(known is searched[0] for known in searched)
    assert np.all(np.diff(searched[0].astype(object)) > 0)


@pytest.mark.parametrize("ids", [[], ["a"], ["a", "A", " a", "á", "0", "00"]])
def test_ids_of_their_own_are_no_repeats(ids):
    assert find(ids) == (0, "")


def test_two_ids_of_one_digest_are_no_repeat(monkeypatch):
    monkeypatch.setattr(Repeats, "_repeated", lambda _: np.array([1], np.uint64))
    assert find(["a", "b"]) == (0, "")
