"""A run goes on or stops by the median label mass of its first 200 rows."""

from __future__ import annotations

import pytest

from promptpredict.errors import PromptError
from promptpredict.gate import ROWS, Gate

NAN = float("nan")


def never():
    raise AssertionError("the language model is asked only where the run stops")


@pytest.mark.parametrize(
    ("masses", "bound"),
    [
        ([0.5] * 300, 0.01),
        ([0.01] * 300, 0.01),  # not under it
        ([0.0] * 300, 0.0),
        ([0.001] * (ROWS - 1), 0.01),  # too few to tell
        ([0.001] * (ROWS - 1) + [NAN] * 50, 0.01),
        ([0.5] * (ROWS // 2 + 1) + [0.0] * (ROWS // 2 - 1), 0.01),
        ([0.5] * ROWS + [0.0] * 1000, 0.01),  # the first rows decide
        ([], 0.01),
    ],
)
@pytest.mark.parametrize("size", [7, 10_000])
def test_a_run_goes_on(masses, bound, size):
    gate = Gate("p.jinja", bound)
    for start in range(0, len(masses), size):
        gate.check(masses[start : start + size], never)


def stopped(masses, wanted):
    gate = Gate("p.jinja", 0.01)
    gate.check(masses[:64], never)
    with pytest.raises(PromptError) as error:
        gate.check(masses[64:], lambda: wanted)
    return str(error.value)


def test_a_run_stops_with_what_the_model_wanted():
    found = stopped([0.0021, NAN] * ROWS, [(" very", 0.3123), ("\n", 0.1)])
    assert found == (
        "p.jinja: the label words have a median probability of 0.0021 in the first 200 rows, under "
        "0.01 (--stop-mass); the language model would rather say ' very' 0.31, '\\n' 0.1; "
        "possible: other label words, or --stop-mass 0 where they are known to rank well"
    )


def test_where_nothing_is_known_of_what_it_wanted_nothing_is_said():
    assert "; possible: other label words" in stopped([0.001] * ROWS, [])
    assert "rather" not in stopped([0.001] * ROWS, [])
