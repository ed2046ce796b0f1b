"""How far a run is: the lines, the time left, and silence in between."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace

import pytest

from promptpredict import progress
from promptpredict.progress import EVERY, Progress, duration


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until a test moves it; it starts anywhere but at 0."""
    found = SimpleNamespace(now=5000.0)
    # The module's own clock alone: pytest and rich go on by the real one.
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: found.now))
    return found


@pytest.mark.parametrize(
    ("total", "done", "seconds", "line"),
    [
        (7043, 1024, 112.5, "scoring: 1,024 of 7,043, 9.1 a second, 11 min left"),
        (10, 4, 2, "scoring: 4 of 10, 2.0 a second, 3 s left"),
        (10, 10, 2, "scoring: 10 of 10, 5.0 a second, 0 s left"),
        # The total is counted in lines, and may be wrong by a few.
        (10, 12, 2, "scoring: 12 of 10, 6.0 a second, 0 s left"),
        (1000000, 1000, 100, "scoring: 1,000 of 1,000,000, 10.0 a second, 27.8 h left"),
        (10, 0, 2, "scoring: 0, 0.0 a second"),
        (None, 1500, 1000, "scoring: 1,500, 1.5 a second"),
        (None, 0, 0, "scoring: 0, 0.0 a second"),
    ],
)
def test_the_state_is_a_line(clock, total, done, seconds, line):
    with Progress("scoring", total) as found:
        found.advance(done)
        clock.now += seconds
        assert found.line() == line


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"), (0.4, "0 s"), (44.6, "45 s"), (89.4, "89 s"), (90, "2 min"), (149, "2 min"),
        (151, "3 min"), (5399, "90 min"), (5400, "1.5 h"), (36000, "10.0 h"),
    ],
)  # fmt: skip
def test_a_time_is_said_as_people_say_it(seconds, text):
    assert duration(seconds) == text


def test_lines_come_every_ten_seconds_and_one_at_the_end(clock, capsys):
    said = []
    with Progress("scoring", 100) as found:
        for _ in range(8):
            clock.now += EVERY * 0.4
            found.advance(10)
            said.append(capsys.readouterr().err)
    assert said == [
        "", "", "scoring: 30 of 100, 2.5 a second, 28 s left\n",
        "", "", "scoring: 60 of 100, 2.5 a second, 16 s left\n",
        "", "",
    ]  # fmt: skip
    assert tuple(capsys.readouterr()) == ("", "scoring: 80 in 32 s, 2.5 a second\n")


def test_ten_seconds_are_enough_for_a_line(clock, capsys):
    with Progress("scoring", None) as found:
        clock.now += EVERY
        found.advance(5)
        assert capsys.readouterr().err == "scoring: 5, 0.5 a second\n"


def test_nothing_is_said_of_a_short_run_but_its_end(clock, capsys):
    with Progress("calibrating", None) as found:
        clock.now += EVERY - 0.01
        found.advance(1500)
    assert tuple(capsys.readouterr()) == ("", "calibrating: 1,500 in 10 s, 150.2 a second\n")


def test_after_an_error_the_end_is_not_said(clock, capsys):
    with pytest.raises(KeyboardInterrupt), Progress("scoring", 10):
        raise KeyboardInterrupt
    assert tuple(capsys.readouterr()) == ("", "")


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("total", [10, None])
def test_on_a_terminal_there_is_a_bar_and_the_same_line_at_the_end(
    clock, monkeypatch, capsys, total
):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Progress("scoring", total) as found:
        for _ in range(5):
            clock.now += EVERY
            found.advance(2)
        assert (found.done, found._bar.tasks[0].completed) == (10, 10)
        assert found._bar.tasks[0].total == total
    shown = terminal.getvalue()
    assert shown.endswith("scoring: 10 in 50 s, 0.2 a second\n")
    assert "a second, " not in shown  # the bar stands where lines would
    assert capsys.readouterr().out == ""


def test_the_bar_goes_where_an_error_ends_the_run(clock, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    found = Progress("scoring", 10)
    with pytest.raises(KeyboardInterrupt), found:
        raise KeyboardInterrupt
    assert found._bar.finished or not found._bar.live.is_started
    assert "scoring: 0 in" not in terminal.getvalue()
