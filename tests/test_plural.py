"""Counts in words."""

from __future__ import annotations

import pytest

from promptpredict.plural import counted


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (20_000, "20,000 rows")]
)
def test_one_of_a_kind_is_in_the_singular(number, text):
    assert counted(number, "row") == text
