"""Lines for people on stderr, or the same as JSON for a scheduler.

Knows lines, events and time; knows nothing of what happened.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import Any

_as_json = False


def use_json(*, on: bool = True) -> None:
    """From now on write each line as a JSON object with its time and event."""
    global _as_json
    _as_json = on


def is_json() -> bool:
    """Whether lines are written as JSON."""
    return _as_json


def write(line: str, event: str = "note", **fields: Any) -> None:
    """Write a line; ``fields`` are what it says as values, for those who read JSON."""
    if _as_json:
        now = datetime.now().astimezone().isoformat(timespec="milliseconds")
        line = json.dumps({"time": now, "event": event, "line": line, **fields}, ensure_ascii=False)
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
