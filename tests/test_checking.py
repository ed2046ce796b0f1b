"""What `score` refuses: each fault is found before a model is loaded, and nothing is written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from promptpredict import models, writing
from promptpredict.checking import ScoreOptions, check
from promptpredict.errors import PromptPredictError
from promptpredict.shipped import names
from promptpredict.shipped import path as shipped_path
from promptpredict.walk import score_table

PROMPT = """---
task: binary
target: left
labels: {1: angry, 0: happy}
positive: 1
id: id
text: [feedback]
---
{% block system %}You judge.{% endblock %}
{% block customer %}{% for field in customer.fields %}{{ field.name }}: {{ field.value }}
{% endfor %}
{{ customer.feedback }}{% endblock %}
{% block question %}How does the customer feel?{% endblock %}
"""
THREE = PROMPT.replace("binary", "multiclass").replace(
    "labels: {1: angry, 0: happy}\npositive: 1", "labels: {2: angry, 1: fine, 0: happy}"
)
REGRESSION = PROMPT.replace("binary", "regression").replace(
    "labels: {1: angry, 0: happy}\npositive: 1", "bins: {words: [low, high]}"
)
CUSTOMERS = "id,amount,feedback\n007,1,fine\n008,2,late\n"
TRAIN = "id,amount,feedback,left\n1,1,fine,0\n2,2,late,1\n3,3,slow,1\n"
GPU = "Qwen/Qwen3-4B-Instruct-2507"


@pytest.fixture(autouse=True)
def _files(tmp_path, monkeypatch):
    """Put sound files here; a model folder is sound for `find` though there is nothing in it."""
    monkeypatch.chdir(tmp_path)
    write("p.jinja", PROMPT)
    write("customers.csv", CUSTOMERS)
    write("train.csv", TRAIN)
    for folder in ("model", "encoder"):
        Path(folder).mkdir()
        write(f"{folder}/config.json", "{}")
        write(f"{folder}/model.safetensors", "")


@pytest.fixture(autouse=True)
def _nothing_loads(monkeypatch):
    """Make loading anything a fault of the test."""

    def load(*_, **__):
        raise AssertionError("a model is loaded")

    stub = SimpleNamespace(load_language_model=load, load_sentence_encoder=load)
    monkeypatch.setitem(sys.modules, "promptpredict.loading", stub)


def write(name, text):
    Path(name).write_text(text, encoding="utf-8")


def given(**changes):
    files = {"customers": "customers.csv", "prompt": "p.jinja", "out": "scores.csv"}
    return ScoreOptions(**files | {"model": "model", "encoder": "encoder"} | changes)


def here():
    return {path: path.is_file() and path.read_bytes() for path in Path().rglob("*")}


def fault(**changes):
    """Return what a run says is wrong, having left every file as it was."""
    before = here()
    with pytest.raises(PromptPredictError) as caught:
        score_table(given(**changes))
    assert here() == before
    return str(caught.value)


# ------------------------------------------------------------------------- several prompt files


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("angry, 0: happy", "angry, 2: happy"),
        ("id: id", "id: amount"),
        ("text: [feedback]", "text: []"),
    ],
)
def test_prompt_files_that_are_averaged_read_the_same_table(old, new):
    assert old in PROMPT
    write("q.jinja", PROMPT.replace(old, new))
    assert fault(others=["q.jinja"]) == (
        "p.jinja and q.jinja differ in labels, target, id, text or ignore; prompt files that are "
        "averaged need the same"
    )


def test_every_prompt_file_is_checked_and_none_is_overwritten():
    write("q.jinja", PROMPT.replace("customer.feedback", "customer.feedbak"))
    assert "q.jinja" in fault(others=["q.jinja"])
    write("q.jinja", PROMPT.replace("How does", "And how does"))
    assert fault(others=["q.jinja"], out="q.csv", save_calibration="q.jinja") == (
        "--save-calibration would overwrite the prompt file, "
        f"{Path('q.jinja').resolve()}; give another file to write"
    )
    assert [file.name for file in check(given(others=["q.jinja"])).others] == ["q.jinja"]


# --------------------------------------------------------------------- prompt file and customers

NO_PROMPT = (
    f"it is neither a file nor one of the shipped: {', '.join(each.name for each in names())}"
)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"prompt": "p.jinj"}, f"no prompt file 'p.jinj'; {NO_PROMPT}"),
        (
            {"prompt": "churn-shp"},
            f"no prompt file 'churn-shp' (nearest: 'churn-shop'); {NO_PROMPT}",
        ),
        ({"customers": "customer.csv"}, "there is no file customer.csv (nearest: 'customers.csv')"),
        (
            {"customers": "p.jinja"},
            "p.jinja is not named as a table; possible: .csv, .csv.gz, .tsv, .tsv.gz, .jsonl, "
            ".jsonl.gz, .parquet",
        ),
        (
            {"prompt": "churn-bank"},
            "churn-bank.jinja needs column 'CustomerId' (its id); customers.csv has no such column; it has id, amount, feedback",
        ),
        (
            {"delimiter": ";;"},
            "the delimiter must be one character and no quote, got ';;'",
        ),
        (
            {"delimiter": ";"},
            "p.jinja needs column 'feedback'; customers.csv has no such column (nearest: "
            "'id,amount,feedback')",
        ),
        (
            {"encoding": "utf8-sig8"},
            "'utf8-sig8' is no encoding (nearest: 'utf-8'); possible: utf-8, utf-16, cp1252, "
            "latin-1 and whatever else Python knows",
        ),
    ],
)
def test_a_prompt_file_or_table_that_is_not_there(changes, text):
    assert fault(**changes) == text


@pytest.mark.parametrize(
    "bins", ["words: [high, low], edges: [0, 1, 2]", "words: [low, high], edges: [0, 5, 9]", "words: [low, high]"]
)  # fmt: skip
def test_prompt_files_that_are_averaged_have_the_same_bins(bins):
    for name, own in {"p": "words: [low, high], edges: [0, 1, 2]", "q": bins}.items():
        write(f"{name}.jinja", REGRESSION.replace("words: [low, high]", own))
    assert fault(others=["q.jinja"]) == (
        "p.jinja and q.jinja differ in bins; prompt files that are averaged need the same words, in "
        "one order, and the same edges"
    )


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (
            "id,amount,feedback",
            "id,amount,feedbak",
            "p.jinja needs column 'feedback'; customers.csv has no such column (nearest: 'feedbak')",
        ),
        (
            "id,amount",
            "ID,amount",
            "p.jinja needs column 'id' (its id); customers.csv has no such column (nearest: 'ID')",
        ),
        (
            "id,amount,feedback",
            "x,y,z",
            "p.jinja needs column 'feedback'; customers.csv has no such column; it has x, y, z",
        ),
        (
            "feedback",
            "feedback,amount",
            "customers.csv has more than one column 'amount'",
        ),
        (CUSTOMERS, "id,amount,feedback\n", "customers.csv has a header and no rows"),
        (CUSTOMERS, "", "customers.csv is empty"),
        (
            "feedback",
            "feedback,LEFT",
            "customers.csv has no column 'left', which must not be shown, but has 'LEFT'; name it "
            "as the table does",
        ),
    ],
    ids=["text", "id", "all", "twice", "no rows", "empty", "disguised target"],
)
def test_a_table_of_customers_that_does_not_fit(old, new, text):
    write("customers.csv", CUSTOMERS.replace(old, new))
    assert fault() == text


LONG = "how does this customer feel " * 10  # as where a text is given in place of a file


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"prompt": LONG}, f"no prompt file '{LONG}'; {NO_PROMPT}"),
        ({"customers": LONG}, f"{LONG} cannot be read: File name too long"),
        ({"train": LONG}, f"{LONG} cannot be read: File name too long"),
        (
            {"model": LONG},
            f"there is no language model '{LONG}'; possible: smollm2-135m, a folder, a .gguf file, "
            f"or a hub id such as {GPU}",
        ),
        ({"out": f"{LONG}.csv"}, f"{LONG}.csv cannot be written (File name too long)"),
        ({"save_calibration": LONG}, f"{LONG} cannot be written (File name too long)"),
    ],
    ids=["prompt", "customers", "train", "model", "out", "calibration"],
)
def test_a_name_that_no_file_can_have_is_a_fault_in_one_line(changes, text):
    assert fault(**changes) == text


def test_a_field_that_is_misspelt():
    write("p.jinja", PROMPT.replace("text:", "fields: {amuont: {unit: EUR}}\ntext:"))
    assert fault() == (
        "p.jinja needs column 'amuont' (its fields); customers.csv has no such column "
        "(nearest: 'amount')"
    )


def test_a_regression_without_edges_needs_labelled_records():
    write("p.jinja", REGRESSION)
    assert fault() == (
        "p.jinja gives no 'bins.edges'; possible: edges in the prompt file, or --train, whose "
        "amounts say where the bins lie"
    )
    assert fault(base_rate=0.1) == "--base-rate needs labels; p.jinja has task: regression"
    assert fault(threshold=0.1) == "--threshold needs labels; p.jinja has task: regression"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"threshold": 0.1}, "--threshold needs two labels; p.jinja has 3"),
        (
            {"base_rate": 0.1},
            "--base-rate is one number, and p.jinja has 3 labels; possible: a share for each of "
            "2, 1, 0",
        ),
        (
            {"base_rate": {"2": 0.5, "1": 0.5}},
            "--base-rate has no share for '0'; possible: a share for each of 2, 1, 0",
        ),
    ],
)
def test_what_does_not_fit_three_labels_is_refused(changes, text):
    write("p.jinja", THREE)
    assert fault(**changes) == text


def test_shares_are_refused_for_two_labels():
    assert fault(base_rate={"1": 0.5, "0": 0.5}) == (
        "--base-rate is a share for each label, and p.jinja has two labels; possible: one number, "
        "the share of the positive one"
    )


# ------------------------------------------------------------------------------------- columns


@pytest.mark.parametrize(
    "column", ["prediction", "p_1", "p_0", "label_mass", "method", "truncated", "flags"]
)
def test_an_id_column_that_is_also_a_column_of_the_output(column):
    write("p.jinja", PROMPT.replace("id: id", f"id: {column}"))
    write("customers.csv", CUSTOMERS.replace("id,", f"{column},", 1))
    assert fault() == (
        f"the id column of p.jinja is '{column}', which is also a column of the output; give it "
        "another name in table and prompt file"
    )


@pytest.mark.parametrize(
    ("keep", "text"),
    [
        (
            ["amount", "ammount"],
            "--keep asks for column 'ammount'; customers.csv has no such column (nearest: 'amount')",
        ),
        (
            ["prediction"],
            "--keep asks for column 'prediction'; customers.csv has no such column",
        ),
        (["id"], "--keep asks for column 'id', which the output has already"),
        (["method"], "--keep asks for column 'method', which the output has already"),
    ],
)
def test_a_column_that_cannot_be_kept(keep, text):
    if keep == ["method"]:
        write("customers.csv", CUSTOMERS.replace("feedback", "feedback,method"))
    assert fault(keep=keep) == text


def test_without_an_id_the_output_has_row_and_none_can_be_kept_beside_it():
    write("p.jinja", PROMPT.replace("id: id\n", ""))
    write("customers.csv", CUSTOMERS.replace("id,", "row,", 1))
    assert fault(keep=["row"]) == "--keep asks for column 'row', which the output has already"
    assert check(given()).columns == {
        "row": "count",
        "prediction": "text",
        "p_1": "number",
        "p_0": "number",
        "label_mass": "number",
        "method": "text",
        "truncated": "truth",
        "flags": "text",
    }


def test_the_columns_of_the_output_are_in_order_and_each_stands_once():
    found = check(given(keep=["feedback", "amount", "feedback"]))
    assert found.columns == {
        "id": "text",
        "prediction": "text",
        "p_1": "number",
        "p_0": "number",
        "label_mass": "number",
        "method": "text",
        "truncated": "truth",
        "flags": "text",
        "feedback": "text",
        "amount": "text",
    }
    assert list(found.columns)[-2:] == ["feedback", "amount"]
    assert (found.id_column, found.labels, found.positive) == ("id", ["1", "0"], "1")


# ------------------------------------------------------------------------------------- outputs


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"out": "scores.cvs"},
            "scores.cvs: its ending says no format (nearest: '.csv'); possible: .csv, .csv.gz, "
            ".jsonl, .parquet, or - for stdout",
        ),
        (
            {"out": "scores"},
            "scores: its ending says no format; possible: .csv, .csv.gz, .jsonl, .parquet, or - "
            "for stdout",
        ),
        ({"out": "model"}, "model is a folder; give the file to write"),
        (
            {"out": "nowhere/scores.csv"},
            "nowhere/scores.csv cannot be written: there is no folder nowhere",
        ),
        (
            {"out": "p.jinja/scores.csv"},
            "p.jinja/scores.csv cannot be written: there is no folder p.jinja",
        ),
        ({"save_calibration": "model"}, "model is a folder; give the file to write"),
        (
            {"save_calibration": "nowhere/c.json"},
            "nowhere/c.json cannot be written: there is no folder nowhere",
        ),
        (
            {"out": "o.jsonl", "save_calibration": "./o.jsonl"},
            "--save-calibration ./o.jsonl is also written by --out; give another file",
        ),
        (
            {"out": "o.csv", "save_calibration": "o.csv.rejects.jsonl"},
            "--save-calibration o.csv.rejects.jsonl is also written by --out; give another file",
        ),
        (
            {"out": "o.csv", "save_calibration": "o.csv.ledger"},
            "--save-calibration o.csv.ledger is also written by --out; give another file",
        ),
        (
            {"out": "o.csv", "save_calibration": "o.csv.prompts.jsonl", "keep_prompts": True},
            "--save-calibration o.csv.prompts.jsonl is also written by --out; give another file",
        ),
    ],
)
def test_an_output_that_cannot_be_written(changes, text):
    assert fault(**changes) == text


def test_an_output_whose_rejects_cannot_be_written():
    Path("scores.csv.rejects.jsonl").mkdir()
    assert fault() == "scores.csv.rejects.jsonl is a folder; give the file to write"


@pytest.mark.parametrize(
    ("locked", "text"),
    [
        ("out", "out/scores.csv cannot be written: the folder out is read-only"),
        ("out/scores.csv", "out/scores.csv cannot be written: it is read-only"),
        (
            "out/scores.csv.rejects.jsonl",
            "out/scores.csv.rejects.jsonl cannot be written: it is read-only",
        ),
    ],
)
def test_an_output_that_is_read_only(monkeypatch, locked, text):
    # The tests may run as root, to whom nothing is read-only.
    asked = os.access
    monkeypatch.setattr(
        writing.os, "access", lambda path, mode: str(path) != locked and asked(path, mode)
    )
    Path("out").mkdir()
    write("out/scores.csv", "old")
    write("out/scores.csv.rejects.jsonl", "old")
    assert fault(out="out/scores.csv") == text


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"out": "customers.csv"}, "--out would overwrite the table of customers, customers.csv"),
        ({"out": "./customers.csv"}, "--out would overwrite the table of customers, customers.csv"),
        (
            {"customers": "file://{here}/customers.csv", "out": "customers.csv"},
            "--out would overwrite the table of customers, file://{here}/customers.csv",
        ),
        (
            {"out": "train.csv", "train": "train.csv"},
            "--out would overwrite the labelled table, train.csv",
        ),
        ({"out": "link.csv"}, "--out would overwrite the prompt file, {here}/p.jinja"),
        (
            {"customers": "s.csv.rejects.jsonl", "out": "s.csv"},
            "the rejects of --out would overwrite the table of customers, s.csv.rejects.jsonl",
        ),
        (
            {"customers": "p.csv.prompts.jsonl", "out": "p.csv", "keep_prompts": True},
            "the prompts of --out would overwrite the table of customers, p.csv.prompts.jsonl",
        ),
        (
            {"salt_file": "salt.csv.ledger", "out": "salt.csv"},
            "the ledger of --out would overwrite the salt, salt.csv.ledger",
        ),
        (
            {"save_calibration": "customers.csv"},
            "--save-calibration would overwrite the table of customers, customers.csv",
        ),
        (
            {"save_calibration": "p.jinja"},
            "--save-calibration would overwrite the prompt file, {here}/p.jinja",
        ),
        (
            {"save_calibration": "train.csv", "train": "train.csv", "out": "-"},
            "--save-calibration would overwrite the labelled table, train.csv",
        ),
    ],
)
def test_an_output_that_is_one_of_the_inputs(changes, text):
    Path("link.csv").symlink_to("p.jinja")
    for name in ("s.csv.rejects.jsonl", "p.csv.prompts.jsonl"):
        write(name, '{"id": "1", "amount": 1, "feedback": "x"}\n')
    write("salt.csv.ledger", "0123456789abcdef")
    place = str(Path().resolve())
    changes = {
        name: value.replace("{here}", place) if isinstance(value, str) else value
        for name, value in changes.items()
    }
    assert fault(**changes) == f"{text.replace('{here}', place)}; give another file to write"


@pytest.mark.parametrize(
    ("changes", "option"),
    [
        ({"out": "t/scores.csv"}, "--out"),
        ({"out": "scores.csv", "save_calibration": "t/day=1/c.json"}, "--save-calibration"),
    ],
)
def test_an_output_in_the_folder_of_an_input_would_be_a_part_of_it(changes, option):
    import pandas as pd

    Path("t/day=1").mkdir(parents=True)
    pd.DataFrame({"id": ["1"], "amount": [1], "feedback": ["x"]}).to_parquet("t/part-0.parquet")
    assert check(given(customers="t")).notes == []
    assert fault(customers="t", **changes) == (
        f"{option} would lie in the folder of the table of customers, t, as a part of it; "
        "give another folder to write to"
    )


def test_an_output_that_a_link_in_the_folder_of_an_input_leads_to():
    import pandas as pd

    Path("t").mkdir()
    frame = pd.DataFrame({"id": ["1"], "amount": [1], "feedback": ["x"]})
    frame.to_parquet("elsewhere.parquet")
    Path("t/part-0.parquet").symlink_to("../elsewhere.parquet")
    assert fault(customers="t", out="elsewhere.parquet") == (
        "--out would overwrite the table of customers, t; give another file to write"
    )
    assert pd.read_parquet("elsewhere.parquet").equals(frame)


def test_a_shipped_prompt_file_is_not_overwritten_either():
    shipped = shipped_path("churn-shop")
    before = shipped.read_bytes()
    assert fault(prompt="churn-shop", save_calibration=str(shipped)) == (
        f"--save-calibration would overwrite the prompt file, {shipped}; give another file to write"
    )
    assert shipped.read_bytes() == before


def test_an_earlier_output_may_be_replaced():
    write("scores.csv", "old")
    assert check(given()).notes == []


# ----------------------------------------------------------------------------- labelled records


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (
            "3,3,slow,1",
            "3,3,slow,gone",
            "train.csv, row 3: column 'left' holds 'gone'; the labels of p.jinja are '1', '0'",
        ),
        (
            "left",
            "churned",
            "p.jinja needs column 'left' (its target); train.csv has no such column; it has id, amount, feedback, churned",
        ),
        (
            "feedback",
            "feedbacks",
            "p.jinja needs column 'feedback'; train.csv has no such column (nearest: 'feedbacks')",
        ),
        (TRAIN, "id,amount,feedback,left\n", "train.csv has a header and no rows"),
        (
            TRAIN,
            "id,amount,feedback,left\n1,1,a,\n2,1,b,NA\n",
            "train.csv: none of 2 rows has a value in column 'left'",
        ),
    ],
    ids=["label", "target", "text", "empty", "no label"],
)
def test_a_labelled_table_that_does_not_fit(old, new, text):
    write("train.csv", TRAIN.replace(old, new))
    assert fault(train="train.csv") == text


def test_a_labelled_table_that_is_not_there():
    assert fault(train="trian.csv") == "there is no file trian.csv (nearest: 'train.csv')"


def test_the_fallback_needs_every_label():
    write("train.csv", TRAIN.replace(",0\n", ",\n"))
    assert fault(train="train.csv", fallback="embedding") == (
        "no usable record of train.csv has the label '0', and --fallback embedding needs every label"
    )


@pytest.mark.parametrize("select", ["balanced", "random", "nearest"])
def test_more_shots_than_labelled_records(select):
    assert fault(train="train.csv", shots=4, select=select) == (
        "4 shots are asked for, and there are 3 labelled records"
    )


def test_balanced_shots_need_every_label():
    write("train.csv", TRAIN.replace(",0\n", ",1\n"))
    assert fault(train="train.csv", shots=2) == (
        "no labelled record has the label '0', and balanced shots need every label; possible: "
        "random or nearest shots"
    )


# -------------------------------------------------------------------------------------- models

POSSIBLE = f"a folder, a .gguf file, or a hub id such as {GPU}"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"model": "smolm2-135m"},
            "there is no language model 'smolm2-135m' (nearest: 'smollm2-135m'); possible: "
            f"smollm2-135m, {POSSIBLE}",
        ),
        (
            {"model": "./nowhere"},
            f"there is no language model './nowhere'; possible: smollm2-135m, {POSSIBLE}",
        ),
        (
            {"model": "m.gguf"},
            f"there is no language model 'm.gguf'; possible: smollm2-135m, {POSSIBLE}",
        ),
        (
            {"model": "minilm"},
            "'minilm' is a sentence encoder, and a language model is needed",
        ),
        (
            {"model": "train.csv"},
            "train.csv is a file, but no GGUF file; possible: a .gguf file, or a folder with "
            "config.json",
        ),
        (
            {"model": "empty"},
            "the folder empty holds no config.json, so no model; possible: the folder that a model "
            "was saved in",
        ),
        (
            {"model": "bare"},
            "the folder bare holds a model without weights; possible: add its .safetensors files",
        ),
        (
            {"model": "nobody/nothing"},
            "nobody/nothing is not on this machine, and the hub is out of reach; possible: "
            "smollm2-135m, a folder, or a .gguf file",
        ),
        (
            {"model": "nobody/no thing"},
            "'nobody/no thing' is no folder, no .gguf file and no hub id",
        ),
        (
            {"model": "smollm2-135m"},
            "the language model smollm2-135m is not on this machine; possible: promptpredict "
            "models pull smollm2-135m (98 MB)",
        ),
    ],
)
def test_a_model_that_is_not_there(monkeypatch, changes, text):
    monkeypatch.setattr(models, "embedded_path", lambda _: None)
    monkeypatch.setattr(models, "hub_in_reach", lambda: False)
    Path("empty").mkdir()
    Path("bare").mkdir()
    write("bare/config.json", "{}")
    assert fault(**changes) == text


@pytest.mark.parametrize("changes", [{"fallback": "embedding"}, {"shots": 1, "select": "nearest"}])
def test_a_sentence_encoder_that_is_not_there(changes):
    assert fault(train="train.csv", encoder="minlm", **changes) == (
        "there is no sentence encoder 'minlm' (nearest: 'minilm'); possible: minilm, a folder, or "
        "a hub id such as sentence-transformers/all-mpnet-base-v2"
    )
    assert fault(train="train.csv", encoder="smollm2-135m", **changes) == (
        "'smollm2-135m' is a language model, and a sentence encoder is needed"
    )


def test_a_sentence_encoder_that_is_not_used_is_not_looked_for():
    assert check(given(train="train.csv", encoder="nowhere", shots=1)).labelled
    assert check(given(train="train.csv", encoder="nowhere", select="nearest")).labelled


# -------------------------------------------------------------------------------- calibrations


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "c.json cannot be read (No such file or directory)"),
        (
            "{}",
            "c.json is not a calibration (method: Field required); give a file that an earlier run "
            "saved",
        ),
        (
            '{"method": "base_rate", "labels": ["1", "0"], "positive": "1", "rows": 200,'
            ' "base_rate": 0.1, "prompt": "0123", "model": "model"}',
            "c.json was found with another prompt (file or shots): 0123, and this run has "
            "{prompt}; possible: a new one with --save-calibration",
        ),
    ],
)
def test_a_calibration_that_does_not_fit(content, text):
    if content is not None:
        write("c.json", content)
    prompt = check(given()).prompt_file.fingerprint
    assert fault(calibration="c.json") == text.replace("{prompt}", prompt)


# --------------------------------------------------------------------------------------- notes


def test_warnings_of_the_prompt_file_and_rows_left_out_are_noted_in_order():
    write("p.jinja", PROMPT.replace("id: id", "id: id\nignore: [cancelled_on]"))
    write("customers.csv", CUSTOMERS.replace("amount", "cancelled_an", 1))
    write("train.csv", f"{TRAIN}4,4,none,\n")
    found = check(given(train="train.csv"))
    assert [record.id for record in found.labelled] == ["1", "2", "3"]
    assert found.notes == [
        "warning: p.jinja ignores 'cancelled_on', which customers.csv does not have (nearest: "
        "'cancelled_an')",
        "train.csv: rows left out: 1 without a label",
    ]


def test_a_check_imports_neither_torch_nor_pandas(tmp_path):
    code = (
        "import sys\n"
        "from promptpredict.checking import ScoreOptions, check\n"
        "check(ScoreOptions(customers='customers.csv', prompt='p.jinja', out='scores.csv',"
        " train='train.csv', shots=2, fallback='embedding', encoder='encoder'))\n"
        "heavy = {'torch', 'transformers', 'sklearn', 'pandas', 'scipy'} & set(sys.modules)\n"
        "print(sorted(heavy))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout == "[]\n"
