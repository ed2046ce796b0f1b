"""Lines on stderr: as they are for people, as objects for a scheduler."""

from __future__ import annotations

import json
from datetime import datetime

import pytest

from promptpredict import logs


@pytest.fixture
def as_json():
    logs.use_json()
    yield
    logs.use_json(on=False)


def test_a_line_for_people_is_the_line(capsys):
    logs.write("scored: ä", "summary", rows=3)
    assert capsys.readouterr() == ("", "scored: ä\n")


def test_a_line_for_a_scheduler_has_its_time_event_and_values(capsys, as_json):
    before = datetime.now().astimezone()
    logs.write("scored: ä\nb", "summary", rows=3, drift=None)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    found = json.loads(err)
    assert list(found) == ["time", "event", "line", "rows", "drift"]
    assert (found["event"], found["line"], found["rows"]) == ("summary", "scored: ä\nb", 3)
    assert abs((datetime.fromisoformat(found["time"]) - before).total_seconds()) < 60
    assert logs.is_json()
