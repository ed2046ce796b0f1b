"""What must hold whatever the input: for random tests, and for the fuzzer that lets coverage lead.

Each function takes data, and raises AssertionError, or whatever it was that must not reach a user.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from promptpredict.errors import PromptPredictError
from promptpredict.prompt import PromptFile
from promptpredict.records import Record, Roles, read_blocks, read_header
from promptpredict.values import Value

ENDINGS = (".csv", ".tsv", ".jsonl", ".csv.gz", ".parquet")
VALUES = (str, int, float, bool, type(None))
_BLOCK = 7  # rows: blocks end within small tables, too


def table(data: bytes, ending: str) -> int:
    """Read a table: each row is a record or a reject, in order, or one line says what is wrong.

    Returns the number of rows.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"t{ending}"
        path.write_bytes(data)
        try:
            header = read_header(path)
            blocks = list(read_blocks(path, Roles(), block_rows=_BLOCK, keep=header))
        except PromptPredictError as error:
            _line(error)
            return 0
    rows = 0
    for number, block in enumerate(blocks):
        assert block.index == number
        found = sorted(each.row for each in [*block.records, *block.rejects])
        assert found == list(range(rows + 1, rows + len(found) + 1))
        assert len(found) == _BLOCK or number == len(blocks) - 1
        assert len(block.kept) == len(block.records)
        for record in block.records:
            assert list(record.values) == header
            assert all(_printable(value) for value in record.values.values())
        for reject in block.rejects:
            assert reject.reason
            assert "Traceback" not in reject.reason
        rows += len(found)
    assert rows
    return rows


def prompt_file(text: str) -> bool:
    """Load a prompt file and render it: a prompt, or one line that says what is wrong.

    Returns whether it was a prompt file.
    """
    try:
        file = PromptFile.from_text(text)
    except PromptPredictError as error:
        _line(error)
        return False
    values: dict[str, Value] = dict.fromkeys(file.needed, "so so")
    values |= dict.fromkeys(file.front.text, "never again") | {"plan": 3, "none": None}
    hidden = {file.front.target, *file.front.ignore}
    record = Record(1, "c1", {name: each for name, each in values.items() if name not in hidden})
    try:
        prompt = file.render(record)
        for question in file.front.panel:
            file.render_panel(record, question)
    except PromptPredictError as error:
        _line(error)
        return True
    for part in (prompt.system, prompt.user, prompt.answer):
        assert isinstance(part, str)
        assert "None" not in part or "None" in text
    return True


def control_tokens(encoder: Any, text: str) -> None:
    """Put a text into a prompt: no control token more, and none of the others moved."""
    from promptpredict.rendered import Prompt, Turn

    def ids(own: str) -> list[int]:
        shots = (Turn("late", "so: bad"),)
        return list(encoder.ids(Prompt("Judge.", shots, f"a {own} b", "so:")))

    controls = [id for id in ids("x") if id in encoder._control_ids]
    assert [id for id in ids(text) if id in encoder._control_ids] == controls


def _line(error: PromptPredictError) -> None:
    text = " ".join(str(error).split())
    assert text
    assert "Traceback" not in text


def _printable(value: object) -> bool:
    if isinstance(value, str):
        value.encode()  # what cannot be encoded cannot be written
        return "\0" not in value
    return (
        isinstance(value, VALUES) or hasattr(value, "isoformat") or hasattr(value, "total_seconds")
    )
