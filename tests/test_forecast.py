"""What plan says of a table: counted against prompts read one by one, with a tiny language model."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from conftest import build_model
from promptpredict import adapters, loading
from promptpredict import forecast as forecasts
from promptpredict.checking import ScoreOptions, check
from promptpredict.errors import DataError, PromptError
from promptpredict.forecast import forecast, forecast_table
from promptpredict.lm import CausalLM
from promptpredict.models import Source
from promptpredict.ordering import in_order
from promptpredict.prompt import PromptFile
from promptpredict.records import read_blocks
from promptpredict.scores import Labels
from promptpredict.scoring import score_records

PROMPT = """---
task: binary
target: left
labels: {1: [angry], 0: [happy]}
positive: 1
id: id
text: [feedback]
---
{% block system %}You judge customers of a shop, and how each of them feels about it.{% endblock %}
{% block customer %}{% for field in customer.fields %}{{ field.name }}: {{ field.value }}
{% endfor %}Feedback: {{ customer.feedback }}{% endblock %}
{% block question %}How does the customer feel?{% endblock %}
{% block answer %}The customer feels{% endblock %}
"""
NAMED = PROMPT.replace(
    "{% for field in customer.fields %}{{ field.name }}: {{ field.value }}\n{% endfor %}",
    "Plan: {{ customer.plan }}\n",
)
PLANS, TEXTS = ("basic", "plus"), ("never again", "quick and good", "late and nobody called back")


def row(at):
    return f"c{at},{at * 7},{PLANS[at % 2]},{TEXTS[at % 3]}"


@pytest.fixture(autouse=True)
def lm(tmp_path, monkeypatch, tokenizers):
    monkeypatch.chdir(tmp_path)
    Path("mine.jinja").write_text(PROMPT)
    Path("named.jinja").write_text(NAMED)
    Path("customers.csv").write_text(
        "\n".join(["id,amount,plan,feedback", *(row(at) for at in range(40)), ""])
    )
    labelled = [f"{row(at)},{at % 2}" for at in range(40, 52)]
    Path("labelled.csv").write_text("\n".join(["id,amount,plan,feedback,left", *labelled, ""]))
    lm = CausalLM(build_model(), tokenizers["chatml"], name="tiny")
    monkeypatch.setattr(adapters, "pick", lambda name, say: Source(name, None))
    monkeypatch.setattr(loading, "load_language_model", lambda *_, **__: lm)
    monkeypatch.setattr(forecasts, "_peak", lambda lm: 1.25e9)
    return lm


def asked(**changes):
    return ScoreOptions(**{"customers": "customers.csv", "prompt": "mine.jinja"} | changes)


def planned(rows=2048, *, reorder=False, said=None, **changes):
    say = (said if said is not None else []).append
    return forecast_table(asked(**changes), say, rows=rows, reorder=reorder).splitlines()


def number(line):
    return [int(found.replace(",", "")) for found in re.findall(r"\d[\d,]*", line)]


def alone(lm, prompt_file, records, shots=()):
    """The tokens of every prompt when it is read by itself."""
    lm = CausalLM(lm.model, lm.encoder.tokenizer, name="alone", share_prefix=False)
    labels = Labels(prompt_file.words)
    return sum(lm.count([prompt_file.render(record, shots)], labels) for record in records)


def records():
    file = PromptFile.load("mine.jinja")
    return file, [r for block in read_blocks("customers.csv", file.roles) for r in block.records]


def test_the_base_of_an_adapter_is_checked_once_the_model_is_here(lm, monkeypatch):
    """Of a hub's model it is not known before."""
    asked_of = []
    monkeypatch.setattr(adapters, "check_loaded", lambda *given: asked_of.append(given))
    planned(model="some/model")
    assert asked_of == [(Source("some/model", None), None)]


def test_everything_is_said_once(lm):
    file, every = records()
    said = []
    lines = planned(said=said, stop_mass=0)
    assert said == []
    whole = alone(lm, file, every)
    fresh = CausalLM(lm.model, lm.encoder.tokenizer, name="fresh")
    read = score_records(fresh, file, every).tokens
    assert lines[:3] == [
        "customers.csv: 40 rows",
        "prompts: 40",
        f"tokens: {read:,} to read; {whole:,} if every prompt were read whole",
    ]
    assert re.fullmatch(
        r"shared: \d+ % of those stand in beginnings that many share \(\d+ tokens a prompt\), "
        r"and \d+ % in what neighbours begin with behind that"
        "|"
        r"shared: \d+ % of those stand in a beginning that all share \(\d+ tokens a prompt\), "
        r"and \d+ % in what neighbours begin with behind that",
        lines[3],
    )
    mass = np.median(score_records(fresh, file, every).mass)
    assert lines[4] == f"label mass: {mass:.2g} (the median of 40 prompts)"
    assert re.fullmatch(
        r"time: about \d+ s \([\d,]+ tokens a second, measured on 40 prompts\)", lines[5]
    )
    assert lines[6:] == ["memory: 1.2 GB at most while they were scored"]


def test_a_label_mass_that_would_stop_a_run_is_said(lm, monkeypatch):
    def scored(*asked, score=lm.score, **given):
        return replace(score(*asked, **given), mass=np.array([0.002] * 20 + [np.nan] * 20))

    monkeypatch.setattr(lm, "score", scored)
    low = "label mass: 0.002 (the median of 40 prompts)"
    assert f"{low}, under 0.01: that stops a run of 200 rows or more (--stop-mass)" in planned()
    assert low in planned(stop_mass=0.002)


def test_the_parts_that_are_shared_add_up(lm):
    given = check(asked())
    blocks = list(read_blocks("customers.csv", given.prompt_file.roles))
    found = forecast(lm, given, blocks, None)
    saved = found.whole - found.read
    in_front = found.in_front - sum(
        len(group.prefix)
        for group in lm.passes.groups(
            lm.passes.fit(*zip(*found.prompts, strict=True))[0]  # prompts and their labels
        )
    )
    assert saved == in_front + found.alike
    assert found.in_front > 0


def test_the_first_rows_stand_for_all(lm):
    every, some = planned(), planned(rows=10)
    assert some[0] == "customers.csv: 40 rows; the first 10 stand for all"
    assert some[1] == every[1]
    assert number(some[2])[0] == pytest.approx(number(every[2])[0], rel=0.25)
    assert number(some[2])[1] == pytest.approx(number(every[2])[1], rel=0.05)
    assert planned(limit=20, rows=10)[0] == "customers.csv: 20 rows; the first 10 stand for all"


def test_shots_stand_in_front_of_all(lm):
    bare, shown = planned(), planned(train="labelled.csv", shots=4)
    assert "a beginning that all share" in shown[3]
    assert number(shown[2])[1] > number(bare[2])[1] + 40 * 50
    assert number(shown[2])[0] < number(bare[2])[0] + 500


def test_columns_that_no_prompt_shows_are_named():
    assert "columns that are not used: 'amount'" in planned(prompt="named.jinja")
    assert "columns that are not used: 'amount'" not in planned(
        prompt="named.jinja", others=("mine.jinja",)
    )


def test_prompts_of_several_files_are_counted_together():
    lines = planned(others=("mine.jinja",))
    assert lines[1] == "prompts: 80, 40 of them asked twice and read once"


def test_rows_without_a_score_are_said(lm):
    Path("customers.csv").write_text(
        "id,amount,plan,feedback\na,1,basic,ok\nb,2\nc,3,basic," + "late " * 3000 + "\n"
    )
    Path("mine.jinja").write_text(PROMPT.replace("text: [feedback]", "text: []"))
    lines = planned()
    (line,) = [line for line in lines if line.startswith("rejects: ")]
    assert line == "rejects: 2; the first is row 2: line 3: the header has 4 cells, this row 2"
    assert lines[1] == "prompts: 1"


def test_prompts_that_are_cut_are_said():
    Path("customers.csv").write_text(
        "id,amount,plan,feedback\na,1,basic,ok\nc,3,basic," + "late " * 3000 + "\n"
    )
    assert "cut to fit: 1, which lose shots or feedback" in planned()


def test_a_table_without_a_row_that_can_be_scored_is_a_fault():
    Path("customers.csv").write_text("id,amount,plan,feedback\nb,2\n")
    with pytest.raises(DataError) as fault:
        planned()
    assert str(fault.value) == (
        "customers.csv has no row that can be scored; the first is row 1: line 2: the header has 4 cells, this row 2"
    )


def test_time_is_that_of_rendering_and_of_reading():
    found = forecasts.Forecast(read=800, seconds=2.0)
    trial = forecasts.Trial(100.0, 10, np.zeros(10), 0.5)
    assert forecasts._cost(found, trial, 4.0) == (
        "time: about 40 s (100 tokens a second, measured on 10 prompts)"
    )


# -- another order of columns ----------------------------------------------------------------------


def test_columns_with_few_values_come_first():
    given = check(asked(train="labelled.csv", shots=4))
    blocks = list(read_blocks("customers.csv", given.prompt_file.roles))
    moved, order = in_order(given, blocks)
    assert list(order[0].records[5].values) == ["plan", "feedback", "id", "amount"]
    for one, other in zip(
        (*given.labelled, *blocks[0].records), (*moved.labelled, *order[0].records), strict=True
    ):
        assert one.values == other.values
        assert (one.row, one.id, one.label) == (other.row, other.id, other.label)
    assert list(moved.labelled[0].values) == ["plan", "feedback", "id", "amount"]
    assert list(blocks[0].records[5].values) == ["id", "amount", "plan", "feedback"]


def test_what_an_order_saves_and_moves_is_said(lm):
    lines = planned(reorder=True)
    at = next(at for at, line in enumerate(lines) if line.startswith("reordered"))
    assert lines[at] == "reordered, columns with few values first: plan, amount"
    file, every = records()
    moved = "\n".join(
        ["id,plan,amount,feedback"]
        + [
            f'{r.id},{r.values["plan"]},{r.values["amount"]},"{r.values["feedback"]}"'
            for r in every
        ]
    )
    before = score_records(lm, file, every)
    Path("moved.csv").write_text(moved + "\n")
    other = [r for block in read_blocks("moved.csv", file.roles) for r in block.records]
    fresh = CausalLM(lm.model, lm.encoder.tokenizer, name="fresh")
    after = score_records(fresh, file, other)
    saved = number(lines[2])[0] - after.tokens
    assert number(lines[at + 1])[:2] == [after.tokens, abs(saved)]
    assert ("fewer" if saved >= 0 else "more") in lines[at + 1]
    one, two = (1 / (1 + np.exp(s.logprobs[:, 1] - s.logprobs[:, 0])) for s in (before, after))
    gaps = np.abs(one - two)
    assert lines[at + 2].startswith(
        f"  scores of 40 prompts: the probability of '1' moves by {np.median(gaps):.3f} (median), "
        f"{gaps.max():.3f} at most; rank correlation "
    )
    assert lines[at + 3] == (
        "  nothing is reordered by itself: give the table its columns in that order"
    )


def test_a_file_that_names_its_columns_has_an_order_of_its_own(lm, monkeypatch):
    monkeypatch.setattr(loading, "load_language_model", None)  # it is not even loaded
    with pytest.raises(PromptError) as fault:
        planned(prompt="named.jinja", reorder=True)
    assert str(fault.value) == (
        "named.jinja names each column that it shows, in an order of its own; --reorder is for "
        "files that list customer.fields"
    )
