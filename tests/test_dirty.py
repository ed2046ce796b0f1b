"""Tables as they are: too wide, too long, of two minds about a column; and disks that are full."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import build_model, build_tokenizer
from promptpredict.checking import ScoreOptions
from promptpredict.walk import score_table
from walked import HEADER, PROMPT, column, many, read, score, table, write


def test_a_column_may_change_its_type_half_way(fakes):
    rows = [f"{n},{n}.5,happy" for n in range(5)] + [f"{n},none of it,angry" for n in range(5, 10)]
    table("customers.csv", HEADER, [*rows, "10,,sad", "11,1e3,sad"])
    summary, _ = score(fakes)  # a format that does not suit is the fault of its row
    assert (summary.rows, summary.rejected) == (12, 6)
    assert column("id") == ["0", "1", "2", "3", "4", "10"]
    write("p.jinja", PROMPT.replace('fields: {amount: {unit: EUR, format: ".2f"}}\n', ""))
    fakes.lm.asked.clear()
    summary, _ = score(fakes, restart=True)
    assert (summary.rows, summary.rejected) == (12, 0)
    shown = [prompt.user.splitlines()[0] for prompt in fakes.lm.asked]
    assert shown[4:6] == ["amount: 4.5", "amount: none of it"]
    assert shown[-2:] == ["amount: not recorded", "amount: 1e3"]


def test_a_cell_of_ten_megabytes_is_one_row_among_others(fakes):
    text = "angry " * (10_000_000 // 6)
    table("customers.csv", HEADER, ["1,1,happy", f"2,2,{text}", "3,3,sad"])
    summary, _ = score(fakes)  # in CSV, a quote that is not closed looks like this
    assert (summary.rows, summary.rejected) == (3, 1)
    assert summary.first_reject.reason == "line 3: a cell has more than 1,048,576 characters"
    lines = [{"id": 1, "amount": 1, "feedback": "happy"}, {"id": 2, "amount": 2, "feedback": text}]
    write("customers.jsonl", "".join(f"{json.dumps(line)}\n" for line in lines))
    summary, _ = score(fakes, customers="customers.jsonl")
    assert (summary.rows, summary.rejected) == (2, 0)
    assert column("prediction") == ["0", "1"]


def test_a_language_model_reads_the_end_of_a_text_that_is_far_too_long(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("p.jinja", PROMPT)
    texts = ["happy", "never again " * 200_000, "sad"]
    lines = [{"id": at, "amount": at, "feedback": text} for at, text in enumerate(texts)]
    write("customers.jsonl", "".join(f"{json.dumps(line)}\n" for line in lines))
    build_tokenizer("chatml").save_pretrained("model")
    build_model().save_pretrained("model")
    options = ScoreOptions(
        customers="customers.jsonl", prompt="p.jinja", out="s.csv", model="model", stop_mass=0,
    )  # fmt: skip
    summary = score_table(options)
    assert (summary.rows, summary.rejected, summary.truncated) == (3, 0, 1)
    assert [row["truncated"] for row in read("s.csv")] == ["False", "True", "False"]


def test_a_hundred_thousand_columns_are_a_table(fakes):
    names = [f"c{n}" for n in range(100_000)]
    text = PROMPT[: PROMPT.index("{% for")] + PROMPT[PROMPT.index("{{ customer.feedback }}") :]
    write("p.jinja", text)
    cells = ",".join(["1"] * 100_000)
    table("customers.csv", ",".join(["id", "amount", "feedback", *names]),
          [f"a,1,happy,{cells}", f"b,2,angry,{cells},", f"c,3,sad,{cells}"])  # fmt: skip
    summary, _ = score(fakes)
    assert (summary.rows, summary.rejected) == (3, 1)
    assert summary.first_reject.reason == "line 3: the header has 100003 cells, this row 100004"
    assert column("id") == ["a", "c"]


# -- a full disk ---------------------------------------------------------------------------------

# No file may grow past a limit, as on a disk without room; in a process of its own, as it stays so.
LIMITED = """
import resource, signal, sys
sys.path.insert(0, {tests!r})
from types import SimpleNamespace
from fakes import FakeLM
from promptpredict.checking import ScoreOptions
from promptpredict.errors import PromptPredictError
from promptpredict.walk import score_table
sys.modules["promptpredict.loading"] = SimpleNamespace(load_language_model=lambda *_, **__: FakeLM())
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
limit = int(sys.argv[1])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    summary = score_table(ScoreOptions(customers="customers.csv", prompt="p.jinja", out="s.csv",
                                       model="model", stop_mass=0, block_rows=100))
    print("done", summary.rows)
except PromptPredictError as error:
    print("error:", error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")
def test_a_full_disk_is_a_line_and_nothing_is_lost(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("p.jinja", PROMPT)
    table("customers.csv", HEADER, many(900)[0])
    Path("model").mkdir()
    write("model/config.json", "{}")
    write("model/model.safetensors", "")

    def run(limit):
        script = LIMITED.format(tests=str(Path(__file__).parent))
        done = subprocess.run(
            [sys.executable, "-c", script, str(limit)], capture_output=True, text=True, check=False
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done.stdout.strip()

    assert run(0) == "done 900"
    whole = Path("s.csv").read_bytes()
    for path in Path().glob("s.csv*"):
        path.unlink()
    said = [run(limit) for limit in (1_000, 20_000, 60_000, 100_000)]
    assert all(line.startswith("error: ") for line in said), said
    assert len(set(said)) > 1  # at the ledger, and where scores wait or are written
    assert not Path("s.csv").exists()
    assert run(0) == "done 900"
    assert Path("s.csv").read_bytes() == whole
    assert not list(Path().glob(".s.csv*"))


def test_the_last_page_of_a_ledger_may_be_torn(fakes):
    """As after a power cut: what stands is read, or one line says that it cannot be."""
    from promptpredict.errors import DataError

    table("customers.csv", HEADER, many(200)[0])
    score(fakes)
    whole, ledger = Path("scores.csv").read_bytes(), Path("scores.csv.ledger")
    data = ledger.read_bytes()
    for torn in (data[:-2_000], data[:-4_096], data[:-100] + b"\0" * 100):
        ledger.write_bytes(torn)
        said = ""
        try:
            score(fakes)
        except DataError as error:
            said = str(error)
            score(fakes, restart=True)
        assert not said or said.startswith("scores.csv.ledger: the ledger cannot be ")
        assert Path("scores.csv").read_bytes() == whole


def test_what_is_said_of_rows_is_json_a_scheduler_can_read(fakes):
    table("customers.csv", HEADER, ["1,1,happy", "1,1,sad", "2,x"])
    summary, _ = score(fakes)
    said = json.loads(json.dumps(summary.fields()))
    assert (said["rows"], said["rejected"], said["repeated_ids"]) == (3, 1, 1)
