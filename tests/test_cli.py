"""The command line: help, exit codes, what goes to stdout and stderr, and what is not imported."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from rich.cells import cell_len
from typer.testing import CliRunner

from conftest import build_tokenizer
from fakes import FakeLM
from promptpredict import (
    comparing,
    demo,
    drafting,
    forecast,
    loading,
    models,
    options,
    showing,
    walk,
)
from promptpredict.checking import ScoreOptions
from promptpredict.cli import app
from promptpredict.comparing import BenchmarkOptions
from promptpredict.demo import SAMPLE
from promptpredict.errors import DataError
from promptpredict.plans import Plan
from promptpredict.shipped import folder, names
from promptpredict.showing import CheckOptions, RenderOptions
from promptpredict.summary import Summary

HELP = Path(__file__).parent / "golden" / "help"
COMMANDS = [
    "", "score", "plan", "benchmark", "wordings", "explain", "tune", "render", "check", "demo", "prompts", "prompts list",
    "prompts copy", "prompts new", "models", "models list", "models pull",
]  # fmt: skip
PROMPT = """---
task: binary
target: left
labels: {1: angry, 0: happy}
positive: 1
id: id
text: [feedback]
---
{% block system %}You judge.{% endblock %}
{% block customer %}{{ customer.feedback }}{% endblock %}
{% block question %}How does the customer feel?{% endblock %}
{% block answer %}The customer feels{% endblock %}
"""
CUSTOMERS = "id,feedback\n007,angry 😀\n8,happy\n"
LABELLED = "id,feedback,left\na,late,1\nb,fine,0\n"
MAIN = [sys.executable, "-m", "promptpredict"]


@pytest.fixture(autouse=True)
def _files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("p.jinja").write_text(PROMPT, encoding="utf-8")
    Path("customers.csv").write_text(CUSTOMERS, encoding="utf-8")
    Path("labelled.csv").write_text(LABELLED, encoding="utf-8")
    Path("model").mkdir()
    Path("model/config.json").write_text("{}")
    Path("model/model.safetensors").touch()


def run(*words):
    return CliRunner(env={"COLUMNS": "100"}).invoke(app, [str(word) for word in words])


def result(*words):
    found = run(*words)
    return found.exit_code, found.stdout, found.stderr


def process(*words, **environment):
    """Run the command in a process of its own; its output as UTF-8."""
    return subprocess.run(
        [*MAIN, *map(str, words)],
        capture_output=True,
        encoding="utf-8",
        check=False,
        env=os.environ | environment,
    )


# ---------------------------------------------------------------------------------------- help


@pytest.mark.parametrize("option", ["--help", "-h"])
@pytest.mark.parametrize("command", COMMANDS)
def test_help(command, option):
    golden = HELP / f"{command.replace(' ', '-') or 'promptpredict'}.txt"
    assert result(*command.split(), option) == (0, golden.read_text(encoding="utf-8"), "")


def test_there_is_a_help_for_every_command():
    assert len(list(HELP.iterdir())) == len(COMMANDS)
    groups = {"": app, "prompts": app.registered_groups[0], "models": app.registered_groups[1]}
    count = len(app.registered_commands) + len(groups)
    count += sum(
        len(group.typer_instance.registered_commands) for name, group in groups.items() if name
    )
    assert count == len(COMMANDS)


@pytest.mark.parametrize("command", ["", "prompts", "models"])
def test_a_group_without_a_command_shows_its_help_as_an_error(command):
    text = (HELP / f"{command or 'promptpredict'}.txt").read_text(encoding="utf-8")
    assert result(*command.split()) == (2, "", text)


HEAVY = ["jinja2", "numpy", "pandas", "pydantic", "scipy", "sklearn", "torch", "transformers"]
IMPORTED = """
import json, sys
from promptpredict.cli import main
sys.argv = ["promptpredict", *json.loads(sys.argv[1])]
try:
    main()
except SystemExit as end:
    code = end.code or 0
heavy = sorted(set(HEAVY) & set(sys.modules))
sys.stderr.write(json.dumps([code, heavy]))
"""


def imported(*words):
    """Return what a command prints, its exit code, and which heavy modules it has imported."""
    code = IMPORTED.replace("HEAVY", repr(HEAVY))
    given = json.dumps([str(word) for word in words])
    done = subprocess.run(
        [sys.executable, "-c", code, given], capture_output=True, encoding="utf-8", check=True
    )
    return done.stdout, *json.loads(done.stderr)


def test_help_imports_nothing_heavy():
    _, code, heavy = imported("--help")
    assert (code, heavy) == (0, [])


@pytest.mark.parametrize("command", ["score", "prompts new"])
def test_help_of_a_command_imports_nothing_heavy(command):
    _, code, heavy = imported(*command.split(), "--help")
    # typer itself reads the types of options with pydantic
    assert (code, set(heavy) - {"pydantic"}) == (0, set())


def test_the_package_itself_imports_nothing_heavy():
    code = f"import sys, promptpredict; print(sorted({set(HEAVY)} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# ------------------------------------------------------------------------- what is not imported


@pytest.fixture
def model():
    """The folder of a model that has a tokenizer and nothing else that could be loaded."""
    build_tokenizer("chatml").save_pretrained("model")
    return "model"


def test_check_needs_no_model_and_no_tables_library():
    out, code, heavy = imported("check", "p.jinja", "customers.csv")
    assert code == 0
    assert out.endswith("customers.csv: 2 rows rendered\nok\n")
    assert not {"torch", "transformers", "pandas", "sklearn", "scipy"} & set(heavy)


@pytest.mark.parametrize("shots", [[], ["--train", "labelled.csv", "--shots", "2"]])
def test_render_shows_ids_without_torch_and_transformers(model, shots):
    words = ["render", "customers.csv", "--prompt", "p.jinja", "--model", model, *shots]
    out, code, heavy = imported(*words)
    assert code == 0
    assert "label words and their ids in " in out
    assert not {"torch", "transformers", "pandas", "sklearn", "scipy"} & set(heavy)


# ------------------------------------------------------------------------------------ exit codes

P = ["--prompt", "p.jinja"]
SCORE = ["score", "customers.csv"]


@pytest.mark.parametrize(
    ("words", "error", "of"),
    [
        (["scor"], "no such command 'scor'. Did you mean 'score'?", ""),
        (["prompts", "lst"], "no such command 'lst'. Did you mean 'list'?", "prompts"),
        (["score"], "missing argument 'CUSTOMERS'.", "score"),
        (SCORE, "missing option '--prompt' / '-p'.", "score"),
        ([*SCORE, *P, "more"], "got unexpected extra argument(s) (more)", "score"),
        (
            [*SCORE, *P, "--thresold", 0.3],
            "no such option: --thresold (Possible options: --help, --threshold)",
            "score",
        ),
        ([*SCORE, *P, "--out"], "option '--out' requires an argument.", ""),
        (
            [*SCORE, *P, "--base-rate", 0],
            "invalid value for '--base-rate': 0 does not lie between 0 and 1",
            "score",
        ),
        (
            [*SCORE, *P, "--base-rate", 12],
            "invalid value for '--base-rate': 12 does not lie between 0 and 1",
            "score",
        ),
        (
            [*SCORE, *P, "--base-rate", "a=0.5,b"],
            "invalid value for '--base-rate': 'b' is no label with its share; possible: a=0.5,b=0.5",
            "score",
        ),
        (
            [*SCORE, *P, "--base-rate", "some"],
            "invalid value for '--base-rate': 'some' is not a valid float.",
            "score",
        ),
        (
            [*SCORE, *P, "--threshold", 1],
            "invalid value for '--threshold': 1 does not lie between 0 and 1",
            "score",
        ),
        (
            [*SCORE, *P, "--device", "gpu"],
            "invalid value for '--device': 'gpu' is not one of 'auto', 'cpu', 'cuda', 'cuda:N', "
            "'mps'.",
            "score",
        ),
        (
            [*SCORE, *P, "--select", "best"],
            "invalid value for '--select': 'best' is not one of 'balanced', 'random', 'nearest'.",
            "score",
        ),
        (
            [*SCORE, *P, "--shots", 65],
            "invalid value for '--shots': Input should be less than or equal to 64",
            "score",
        ),
        (
            [*SCORE, *P, "--limit", 0],
            "invalid value for '--limit': Input should be greater than or equal to 1",
            "score",
        ),
        (
            [*SCORE, *P, "--shots", 2],
            "--shots needs labelled records; give them with --train LABELLED",
            "score",
        ),
        (
            [*SCORE, *P, "--fallback", "embedding"],
            "--fallback embedding needs labelled records; give them with --train LABELLED",
            "score",
        ),
        (
            ["render", "customers.csv", *P, "--shots", 2],
            "--shots needs labelled records; give them with --train LABELLED",
            "render",
        ),
        (
            ["render", "customers.csv", *P, "--row", 0],
            "invalid value for '--row': Input should be greater than or equal to 1",
            "render",
        ),
        *(
            (
                [command, "customers.csv", *P, "--train", "labelled.csv", "--shot-sets", 2],
                "--shot-sets draws several sets of labelled records; give them with --train "
                "LABELLED, and how many are shown with --shots K",
                command,
            )
            for command in ("score", "plan")
        ),
        (
            [*SCORE, *P, "--shots", 4, "--shot-sets", 2],
            "--shots needs labelled records; give them with --train LABELLED",
            "score",
        ),
        (
            [*SCORE, *P, "--shot-sets", 0],
            "invalid value for '--shot-sets': Input should be greater than or equal to 1",
            "score",
        ),
        (["benchmark", "labelled.csv", *P], "missing option '--out'.", "benchmark"),
        (
            ["benchmark", "labelled.csv", *P, "--out", "r", "--budget", "0,16,a ll"],
            "--budget holds 'a ll'; possible: numbers, and all",
            "benchmark",
        ),
        (
            ["benchmark", "labelled.csv", *P, "--out", "r", "--budget=-4"],
            "--budget holds '-4'; possible: numbers, and all",
            "benchmark",
        ),
        (
            ["benchmark", "labelled.csv", *P, "--out", "r", "--approach", "prior,prob"],
            "there is no approach 'prob' (nearest: 'probe'); possible: zero-shot, panel, probe, "
            "probe-shots, few-shot, few-shot-sets, few-shot-random, few-shot-nearest, tuned, embedding, text, fusion, "
            "fusion-mlp, fusion-trees, structured, structured-trees, prior, stack, cascade",
            "benchmark",
        ),
        (
            ["benchmark", "labelled.csv", *P, "--out", "r", "--value-saved", "10"],
            "captured value needs --offer-cost too",
            "benchmark",
        ),
        (
            ["models", "pull", "minilm", "--into", "disk"],
            "invalid value for '--into': 'disk' is not one of 'cache', 'environment'.",
            "models pull",
        ),
    ],
)  # fmt: skip
def test_a_slip_on_the_command_line_is_two_lines_on_stderr(words, error, of):
    see = f"see {f'promptpredict {of}'.strip()} --help"
    assert result(*words) == (2, "", f"error: {error}\n{see}\n")


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (
            ["score", "customer.csv", *P],
            "there is no file customer.csv (nearest: 'customers.csv')",
        ),
        (
            [*SCORE, *P, "--keep", "id ,, feedback"],
            "--keep asks for column 'id', which the output has already",
        ),
        (
            [*SCORE, *P, "--model", "minilm"],
            "'minilm' is a sentence encoder, and a language model is needed",
        ),
        (
            ["benchmark", "customers.csv", *P, "--out", "r"],
            "p.jinja needs column 'left' (its target); customers.csv has no such column; it has id, feedback",
        ),
        (
            ["render", "customers.csv", *P, "--row", 3],
            "customers.csv has no row 3; it has 2 rows",
        ),
        (
            ["check", "q.jinja"],
            "no prompt file 'q.jinja'; it is neither a file nor one of the shipped: "
            + ", ".join(each.name for each in names()),
        ),
        (
            ["prompts", "copy", "churn-shop", "nowhere"],
            "nowhere/churn-shop.jinja cannot be written (No such file or directory)",
        ),
        (
            ["prompts", "new", "labelled.csv", "--target", "churn"],
            "labelled.csv has no column 'churn'; it has id, feedback, left",
        ),
        (
            ["models", "pull", "minlm"],
            "'minlm' cannot be pulled (nearest: 'minilm'); possible: smollm2-135m, minilm",
        ),
    ],
)
def test_a_fault_in_data_or_prompt_is_one_line_on_stderr(words, error):
    before = sorted(Path().rglob("*"))
    assert result(*words) == (1, "", f"error: {error}\n")
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (KeyboardInterrupt(), (130, "", "interrupted\n")),
        (DataError("two\nlines  of it"), (1, "", "error: two lines of it\n")),
    ],
)
def test_whatever_ends_a_run_has_its_exit_code(monkeypatch, raised, expected):
    def end(*_):
        raise raised

    monkeypatch.setattr(walk, "score_table", end)
    assert result(*SCORE, *P) == expected


@pytest.mark.parametrize(
    ("summary", "code"),
    [
        (Summary(), 0),
        (Summary(rows=3, by_method={"llm": 1}, rejected=2), 0),
        (Summary(rows=3, rejected=3), 1),
    ],
    ids=["an empty table", "a row was scored", "none was"],
)
def test_a_run_that_scored_no_row_has_failed(monkeypatch, summary, code):
    monkeypatch.setattr(walk, "score_table", lambda *_: summary)
    assert result(*SCORE, *P) == (code, "", f"{summary.line()}\n")


def test_the_summary_is_one_line_whatever_an_id_holds(monkeypatch):
    summary = Summary(rows=2, by_method={"llm": 2}, repeated=1)
    summary.first_repeated = "a\nerror: forged \x1b[31m\r\x9b2Kred, rows 1 and 2"
    monkeypatch.setattr(walk, "score_table", lambda *_: summary)
    _, _, err = result(*SCORE, *P)
    assert err.endswith(
        "1 id stands in several rows (the first is a error: forged [31m 2Kred, rows 1 and 2); "
        "not calibrated\n"
    )
    assert err.count("\n") == 1


def test_a_mistake_of_ours_keeps_its_traceback(monkeypatch):
    def fail(*_):
        raise ZeroDivisionError("ours")

    monkeypatch.setattr(walk, "score_table", fail)
    found = run(*SCORE, *P)
    assert (type(found.exception), found.exit_code) == (ZeroDivisionError, 1)


@pytest.mark.parametrize(
    ("words", "code", "out", "err"),
    [
        (["check", "p.jinja"], 0, "ok\n", ""),
        (["check", "q.jinja"], 1, "", "error: no prompt file 'q.jinja'"),
        (["check", "--what"], 2, "", "error: no such option: --what"),
    ],
)
def test_the_exit_code_is_that_of_the_process(words, code, out, err):
    done = process(*words)
    assert done.returncode == code
    assert done.stdout.endswith(out)
    assert done.stderr.startswith(err)
    assert bool(done.stderr) == bool(err)
    assert "Traceback" not in done.stderr


def test_output_is_utf_8_whatever_the_terminal_speaks():
    Path("p.jinja").write_text(PROMPT.replace("angry", "böse 😀"), encoding="utf-8")
    done = process("check", "p.jinja", PYTHONIOENCODING="cp1252")
    assert (done.returncode, done.stderr) == (0, "")
    assert "labels: 1: böse 😀; 0: happy\n" in done.stdout


# ------------------------------------------------------------------------------- stdout and stderr


def test_scores_alone_go_to_stdout_and_the_summary_to_stderr(monkeypatch):
    monkeypatch.setattr(loading, "load_language_model", lambda *_, **__: FakeLM())
    code, out, err = result(
        *SCORE, *P, "--model", "model", "--keep", "feedback", "--threshold", 0.9
    )
    assert code == 0
    assert out == (
        "id,prediction,p_1,p_0,label_mass,method,truncated,flags,feedback\n"
        "007,0,0.7310585786300049,0.2689414213699951,0.009216699,llm,False,,angry 😀\n"
        "8,0,0.2689414213699951,0.7310585786300049,0.009216699,llm,False,,happy\n"
    )
    first, last = err.splitlines()
    assert first.startswith("scoring: 2 in 0 s, ")
    assert last == "2 rows, 2 by llm, 0 rejected; median label mass 0.00922; not calibrated"
    whole = out
    code, out, _ = result(*SCORE, *P, "--model", "model", "--keep", "feedback", "--threshold", 0.9, "--out", "s.csv")  # fmt: skip
    assert (code, out, Path("s.csv").read_text(encoding="utf-8")) == (0, "", whole)


def test_with_log_json_each_line_on_stderr_is_an_object(monkeypatch):
    monkeypatch.setattr(loading, "load_language_model", lambda *_, **__: FakeLM())
    code, out, err = result(*SCORE, *P, "--model", "model", "--log-json")
    assert (code, out[:3]) == (0, "id,")
    events = [json.loads(line) for line in err.splitlines()]
    assert [each["event"] for each in events] == ["progress", "summary"]
    assert events[0]["done"] == events[0]["total"] == events[1]["rows"] == 2
    code, _, err = result("score", "nowhere.csv", *P, "--log-json")
    assert (code, json.loads(err)["event"]) == (1, "error")
    assert result("score", "nowhere.csv", *P)[2].startswith("error: ")  # the next run is its own


@pytest.mark.parametrize(
    "words", [["--limit", 0], ["--shots", 4], ["--base-rate", 2], ["--fallback", "embedding"]]
)
def test_with_log_json_a_slip_in_the_command_is_an_object_as_well(words):
    (code, out, err), plain = result(*SCORE, *P, *words, "--log-json"), result(*SCORE, *P, *words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert (json.loads(err)["event"], json.loads(err)["line"] + "\n") == ("error", plain[2])


@pytest.mark.parametrize(("bound", "code"), [(0.5, 0), (0.25, 3)])
def test_a_drift_past_the_bound_has_an_exit_code_of_its_own(monkeypatch, bound, code):
    summary = Summary(rows=3, by_method={"llm": 3}, drift=0.4)
    monkeypatch.setattr(walk, "score_table", lambda *_: summary)
    found, _, err = result(*SCORE, *P, "--max-drift", bound)
    assert found == code
    text = "the scores have drifted further than 0.25 (--max-drift) since the last run\n"
    assert err == f"{summary.line()}\n" + text * (code == 3)


def test_check_says_warnings_on_stderr_and_its_result_on_stdout():
    Path("customers.csv").write_text("id,feedback,plan\n1,fine,basic\n", encoding="utf-8")
    assert result("check", "p.jinja", "customers.csv") == (
        0,
        "p.jinja: binary, target left\nlabels: 1: angry; 0: happy\ncolumns: feedback\n"
        "customers.csv: 1 row rendered\nok\n",
        "warning: columns that are not used: 'plan'\n",
    )


def test_prompts_list():
    code, out, err = result("prompts", "list")
    assert (code, err) == (0, "")
    listed = [line.split()[:2] for line in out.splitlines()]
    assert listed == [[each.name, each.task] for each in names()]
    assert out.splitlines()[1] == (
        "churn-shop             binary      Churn in an online shop, from what customers wrote and "
        "a few order columns."
    )


def test_prompts_list_fits_a_terminal():
    """A description goes on below itself, also where its letters are two columns wide."""
    pty = pytest.importorskip("pty")
    ours, its = pty.openpty()
    env = os.environ | {"COLUMNS": "70", "TERM": "xterm"}
    subprocess.run([*MAIN, "prompts", "list"], stdout=its, env=env, check=True)
    os.close(its)
    shown = ""
    with contextlib.suppress(OSError), open(ours, encoding="utf-8", newline="") as screen:
        for line in screen:
            shown += line
    lines = [line.rstrip() for line in shown.splitlines()]
    assert max(cell_len(line) for line in lines) <= 70
    starts = [line.split()[:2] for line in lines if not line.startswith(" ")]
    assert starts == [[each.name, each.task] for each in names()]
    at = next(at for at, line in enumerate(lines) if line.startswith("churn-shop "))
    assert lines[at : at + 3] == [
        "churn-shop             binary      Churn in an online shop, from what",
        "                                   customers wrote and a few order",
        "                                   columns.",
    ]


def test_prompts_copy_says_where_the_copy_is():
    Path("here").mkdir()
    assert result("prompts", "copy", "churn-shop") == (0, "churn-shop.jinja\n", "")
    assert result("prompts", "copy", "churn-shop", "here") == (0, "here/churn-shop.jinja\n", "")
    whole = (folder() / "churn-shop.jinja").read_bytes()
    assert Path("churn-shop.jinja").read_bytes() == Path("here/churn-shop.jinja").read_bytes()
    assert Path("churn-shop.jinja").read_bytes() == whole
    assert result("prompts", "copy", "churn-shop") == (
        1, "", "error: churn-shop.jinja is there already; move it, or copy elsewhere\n",
    )  # fmt: skip


def test_prompts_new_writes_the_same_to_stdout_and_to_a_file():
    code, text, err = result("prompts", "new", SAMPLE, "--target", "is_churn")
    assert (code, err) == (0, "")
    assert text.startswith("{# A first prompt file for shop_customers.csv: ")
    assert text.endswith("{% endblock %}\n")
    new = ["prompts", "new", SAMPLE, "--target", "is_churn", "--out", "mine.jinja"]
    assert result(*new) == (0, "mine.jinja\n", "")
    assert Path("mine.jinja").read_text(encoding="utf-8") == text
    assert result(*new) == (
        1, "", "error: mine.jinja is there already; remove it, or give another --out\n",
    )  # fmt: skip


def test_models_list_and_pull_print_what_the_library_says(monkeypatch):
    monkeypatch.setattr(showing, "list_models", lambda: "tiny  here")
    asked = []

    def pull(name, *, into):
        asked.append((name, into))
        return Path("/there")

    monkeypatch.setattr(models, "pull", pull)
    assert result("models", "list") == (0, "tiny  here\n", "")
    assert result("models", "pull", "minilm") == (0, "/there\n", "")
    assert result("models", "pull", "minilm", "--into", "environment") == (0, "/there\n", "")
    assert asked == [("minilm", "cache"), ("minilm", "environment")]


# ------------------------------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["explain", "t", "--prompt", "p.jinja"], "the table of customers"),
        (["explain", "customers.csv", "--prompt", "p.jinja", "--train", "t"], "the labelled table"),
        (["benchmark", "t", "--prompt", "p.jinja"], "the labelled table"),
        (["wordings", "t", "--prompt", "p.jinja"], "the labelled table"),
        (["tune", "t", "--prompt", "p.jinja"], "the table"),
        (["tune", "t", "--episodes", "9", "--prompt", "p.jinja"], "the table"),
        (["prompts", "new", "t", "--target", "left"], "the table"),
    ],
)
def test_what_a_command_writes_must_not_lie_in_the_folder_of_a_table(words, what):
    import pandas as pd

    Path("t").mkdir()
    pd.read_csv("labelled.csv").to_parquet("t/part-0.parquet")
    assert result(*words, "--out", "t/new") == (
        1,
        "",
        f"error: --out would lie in the folder of {what}, t, as a part of it; give another folder to write to\n",
    )
    assert os.listdir("t") == ["part-0.parquet"]


@pytest.fixture
def asked(monkeypatch):
    """What the commands hand to the library, in place of having it done."""
    found = {}

    def take(name, answer):
        def called(*given, **options):
            found[name] = (given, options)
            return answer

        return called

    monkeypatch.setattr(walk, "score_table", take("score", Summary()))
    monkeypatch.setattr(forecast, "forecast_table", take("plan", "the plan"))
    monkeypatch.setattr(comparing, "benchmark_table", take("benchmark", "the table"))
    monkeypatch.setattr(showing, "render_row", take("render", "the prompt"))
    monkeypatch.setattr(showing, "check_file", take("check", ("ok", ["beware"])))
    monkeypatch.setattr(drafting, "new_file", take("new", "text\n"))
    monkeypatch.setattr(demo, "run_demo", take("demo", None))
    return found


def test_the_defaults_of_score_are_those_of_its_options(asked):
    assert result(*SCORE, *P) == (0, "", "0 rows, 0 rejected; not calibrated\n")
    given = asked["score"][0][0]
    expected = ScoreOptions(customers="customers.csv", prompt="p.jinja")
    assert dataclasses.replace(given, keep=()) == expected
    assert list(given.keep) == []


def test_every_option_of_plan_arrives(asked):
    assert result("plan", *SCORE[1:], *P) == (0, "the plan\n", "")
    (given, _), options = asked["plan"]
    assert given == ScoreOptions(customers="customers.csv", prompt="p.jinja")
    assert options == {"rows": 2048, "reorder": False}
    values = {
        "train": "t.csv", "shots": 3, "select": "nearest", "model": "m", "encoder": "e",
        "dtype": "float32", "device": "cuda:1", "limit": 7, "seed": 5, "delimiter": ";",
        "encoding": "cp1252",
    }  # fmt: skip
    words = [word for name, value in values.items() for word in (f"--{name}", value)]
    code, _, _ = result(
        "plan", "-", "-p", "p.jinja", "-p", "q.jinja", *words, "--rows", 9, "--reorder"
    )
    assert code == 0
    (given, _), options = asked["plan"]
    assert given == ScoreOptions(customers="-", prompt="p.jinja", others=("q.jinja",), **values)
    assert options == {"rows": 9, "reorder": True}


def test_shots_of_a_plan_need_labelled_records():
    assert result("plan", "customers.csv", *P, "--shots", 2) == (
        2,
        "",
        "error: --shots needs labelled records; give them with --train LABELLED\n"
        "see promptpredict plan --help\n",
    )


def test_every_option_of_score_arrives(asked):
    values = {
        "out": "s.csv", "train": "t.csv", "shots": 3, "shot_sets": 4, "select": "nearest", "model": "m",
        "encoder": "e", "dtype": "float32", "device": "cuda:1", "base_rate": 0.1,
        "calibration": "c.json", "save_calibration": "d.json", "fallback": "embedding",
        "threshold": 0.25, "limit": 7, "flag_mass": 0.5, "stop_mass": 0.25, "max_drift": 0.125, "guard": 2.5,
        "seed": 5, "delimiter": ";", "encoding": "cp1252", "salt_file": "salt", "on": "ray",
        "events": "orders.csv", "events_key": "who", "events_time": "when", "events_amount": "paid",
        "as_of": "2026-01-01",
        "encrypt_key_file": "key", "adapter": Path("tuned"),
    }  # fmt: skip
    words = [
        word
        for name, value in values.items()
        for word in (f"--{name.replace('_', '-')}", str(value))
    ]
    code, out, _ = result(
        "score", "-", "-p", "p.jinja", *words, "--keep", "a, b", "--keep", "c", "-p", "q.jinja",
        "--restart", "--redact", "--keep-prompts",
    )  # fmt: skip
    assert (code, out) == (0, "")
    given = asked["score"][0][0]
    expected = ScoreOptions(
        customers="-", prompt="p.jinja", others=("q.jinja",), keep=["a", "b", "c"], restart=True,
        redact=True, keep_prompts=True, **values,
    )  # fmt: skip
    assert given == expected
    # every field has been given, so a new one has to be given here
    names = {field.name for field in dataclasses.fields(ScoreOptions)}
    assert names == {"customers", "prompt", "others", "keep", "restart", "redact", "keep_prompts",
                     "block_rows", *values}  # fmt: skip
    # but the last, which no command has


def test_the_defaults_of_benchmark_are_those_of_its_options_and_plan(asked):
    assert result("benchmark", "l.csv", *P, "--out", "r") == (0, "the table\n", "")
    given = asked["benchmark"][0][0]
    plan = dataclasses.replace(
        given.plan, approaches=tuple(given.plan.approaches), budgets=tuple(given.plan.budgets)
    )
    expected = BenchmarkOptions(labelled="l.csv", prompts=["p.jinja"], out=Path("r"), plan=Plan())
    assert dataclasses.replace(given, plan=plan, models=tuple(given.models)) == expected


def test_every_option_of_benchmark_arrives(asked):
    planned = {
        "seeds": 2, "max_test": 50, "folds": 5, "shots": 4, "select": "random", "base_rate": 0.2,
        "value_saved": 300.0, "offer_cost": 12.5,
    }  # fmt: skip
    values = {
        "events": "orders.csv", "events_key": "who", "events_time": "when", "events_amount": "paid",
        "as_of": "2026-01-01", "encoder": "e", "group": "household", "time": "seen", "delimiter": ";", "encoding": "cp1252",
        "pooling": "cls", "salt_file": "salt", "adapter": Path("reader"),
    }  # fmt: skip
    words = [
        word
        for name, value in (planned | values).items()
        for word in (f"--{name.replace('_', '-')}", value)
    ]
    code, out, _ = result(
        "benchmark", "l.csv", *P, "-p", "q.jinja", "--out", "r", "--approach", "probe, prior",
        "--budget", "all,16,0", "--model", "m", "--model", "n", "--keep-prompts", "--dry-run",
        "--attacks", "--redact", *words,
    )  # fmt: skip
    assert (code, out) == (0, "the table\n")
    given = asked["benchmark"][0][0]
    plan = Plan(approaches=["probe", "prior"], budgets=["all", 16, 0], **planned)
    expected = BenchmarkOptions(
        labelled="l.csv",
        prompts=["p.jinja", "q.jinja"],
        out=Path("r"),
        plan=plan,
        models=["m", "n"],
        keep_prompts=True,
        dry_run=True,
        attacks=True,
        redact=True,
        **values,
    )
    assert given == expected
    # every field has been given, so a new one has to be given here
    names = {field.name for field in dataclasses.fields(BenchmarkOptions)}
    others = {
        "labelled",
        "prompts",
        "out",
        "plan",
        "models",
        "keep_prompts",
        "dry_run",
        "attacks",
        "redact",
    }
    assert names == others | {*values}


def test_every_option_of_render_arrives(asked):
    assert result("render", "c.csv", *P) == (0, "the prompt\n", "")
    assert asked["render"][0][0] == RenderOptions(customers="c.csv", prompt="p.jinja")
    values = {
        "row": 3, "train": "t.csv", "shots": 2, "select": "random", "model": "m", "encoder": "e",
        "seed": 4, "delimiter": ";", "encoding": "cp1252",
    }  # fmt: skip
    words = [word for name, value in values.items() for word in (f"--{name}", value)]
    result("render", "c.csv", *P, *words, "--tokens")
    assert asked["render"][0][0] == RenderOptions(
        customers="c.csv", prompt="p.jinja", tokens=True, **values
    )


def test_the_options_of_the_other_commands_arrive(asked):
    assert result("check", "p", "c.csv", "--rows", 5, "--delimiter", ";") == (
        0, "ok\n", "warning: beware\n",
    )  # fmt: skip
    expected = CheckOptions(prompt="p", customers="c.csv", rows=5, delimiter=";")
    assert asked["check"] == ((expected,), {})
    result("check", "p")
    assert asked["check"] == ((CheckOptions(prompt="p"),), {})
    assert result("prompts", "new", "t.csv", "--target", "y") == (0, "text\n", "")
    assert asked["new"] == (("t.csv", "y", "-"), {"delimiter": None, "encoding": None})
    assert result("demo") == (0, "", "")
    assert asked["demo"][0][0] == Path("promptpredict-demo")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, []),
        ([], []),
        (["a"], ["a"]),
        (["a,b", "c"], ["a", "b", "c"]),
        ([" a , b , ,", ",", ""], ["a", "b"]),
        (["two words,x"], ["two words", "x"]),
    ],
)
def test_names_may_be_repeated_and_stand_behind_commas(given, expected):
    assert options.names(given) == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("0,4,16", [0, 4, 16]), ("all", ["all"]), (" 8 ,all,", [8, "all"])]
)
def test_budgets_are_numbers_and_all(text, expected):
    assert options.budgets(text) == expected


@pytest.mark.parametrize("text", ["four", "1.5", "-1", "ALL", "1;2"])
def test_budgets_are_nothing_else(text):
    with pytest.raises(typer.BadParameter) as caught:
        options.budgets(f"0,{text}")
    assert caught.value.message == f"--budget holds '{text}'; possible: numbers, and all"


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_is_what_numpy_takes(asked, seed):
    code, _, error = result(*SCORE, *P, "--seed", str(seed))
    assert (code, asked) == (2, {})
    assert f"{seed} does not lie between 0 and 4294967295" in error


@pytest.mark.parametrize("device", ["auto", "cpu", "mps", "cuda", "cuda:0", "cuda:12"])
def test_devices(asked, device):
    assert result(*SCORE, *P, "--device", device)[0] == 0
    assert asked["score"][0][0].device == device
