"""The walk of `score` from end to end, with stand-ins for the language model and the encoder."""

from __future__ import annotations

import csv
import errno
import io
import json
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from pyarrow import parquet
from sklearn.metrics import roc_auc_score

from promptpredict import models, tables
from promptpredict.errors import DataError, ModelError, PromptError
from promptpredict.records import Reject
from promptpredict.summary import Summary, _median
from walked import (
    COLUMNS,
    FEELS,
    HEADER,
    NO_ID,
    PROMPT,
    ROWS,
    THREE,
    TRAIN,
    TRAIN_HEADER,
    column,
    many,
    read,
    rejects,
    score,
    table,
    write,
)


def sigmoid(odds):
    return 1 / (1 + np.exp(-odds))


# -------------------------------------------------------------------------------- predictions


def test_every_customer_gets_a_prediction_under_its_own_id(fakes):
    summary, said = score(fakes)
    rows = read()
    assert list(rows[0]) == [
        "id", "prediction", "p_1", "p_0", "label_mass", "method", "truncated", "flags"
    ]  # fmt: skip
    assert [row["id"] for row in rows] == ["007", "8", "0x9"]
    assert [row["prediction"] for row in rows] == ["1", "0", "1"]  # a tie is the first label's
    assert [float(row["p_1"]) for row in rows] == pytest.approx([sigmoid(3), sigmoid(-1), 0.5])
    assert [float(row["p_0"]) for row in rows] == pytest.approx([sigmoid(-3), sigmoid(1), 0.5])
    assert [float(row["label_mass"]) for row in rows] == pytest.approx(
        [np.exp(-3) + np.exp(-6), np.exp(-6) + np.exp(-5), 2 * np.exp(-6)]
    )
    assert {(row["method"], row["truncated"]) for row in rows} == {("llm", "False")}
    assert (summary.rows, summary.by_method, summary.rejected) == (3, {"llm": 3}, 0)
    assert said == []


def test_the_prompt_of_a_customer_is_rendered_whole(fakes):
    score(fakes)
    prompt = fakes.lm.asked[0]
    assert (prompt.system, prompt.shots, prompt.answer) == ("You judge.", (), "The customer feels")
    assert prompt.user == "amount: 1.00 EUR\nangry angry sad\nHow does the customer feel?"


def test_what_the_output_holds_has_the_digits_of_its_own_type(fakes):
    """label_mass is float32: 0.0523 must not grow the digits that float64 would give it."""
    score(fakes)
    for text in column("label_mass"):
        assert text == str(np.float32(text))
    for text in column("p_1"):
        assert text == repr(float(text))


def test_three_labels_have_three_probabilities_and_no_positive(fakes):
    write("p.jinja", THREE)
    table("customers.csv", HEADER, ["a,1,fine fine", "b,1,happy", "c,1,angry"])
    summary, _ = score(fakes)
    rows = read()
    assert list(rows[0])[1:5] == ["prediction", "p_2", "p_1", "p_0"]
    assert [row["prediction"] for row in rows] == ["1", "0", "2"]
    for row in rows:
        assert sum(float(row[f"p_{key}"]) for key in "210") == pytest.approx(1)
    assert summary.line().endswith("; not calibrated")


def test_without_an_id_rows_are_numbered_as_in_the_table(fakes):
    write("p.jinja", NO_ID)
    table("customers.csv", "amount,feedback", ["1,happy", "many,sad", "2,sad"])
    score(fakes)
    assert column("row") == ["1", "3"]
    assert rejects()[0]["row"] == 2
    score(fakes, out="scores.parquet")
    from pyarrow import parquet

    assert parquet.read_table("scores.parquet")["row"].to_pylist() == [1, 3]


@pytest.mark.parametrize(
    ("threshold", "predictions"),
    [
        (None, ["1", "0", "1"]),
        (0.5, ["1", "0", "1"]),  # from the threshold on, not above it
        (0.51, ["1", "0", "0"]),
        (0.99, ["0", "0", "0"]),
        (0.1, ["1", "1", "1"]),
    ],
)
def test_a_threshold_is_that_of_the_positive_label(fakes, threshold, predictions):
    score(fakes, threshold=threshold)
    assert column("prediction") == predictions
    # the same where the positive label stands second
    write("p.jinja", PROMPT.replace("{1: [angry, sad], 0: happy}", "{0: happy, 1: [angry, sad]}"))
    score(fakes, threshold=threshold)
    if threshold is not None:
        assert column("prediction") == predictions


def test_columns_are_kept_as_they_are_written(fakes):
    table(
        "customers.csv",
        "id,amount,feedback,note,left",
        ["1,1.50,fine,007,True", ',2,sad,lost,""', '3,,"a, b",,maybe'],
    )
    score(fakes, keep=["left", "note", "amount", "note"])
    assert Path("scores.csv").read_text().splitlines()[0] == (
        "id,prediction,p_1,p_0,label_mass,method,truncated,flags,left,note,amount"
    )
    kept = [[row["id"], row["left"], row["note"], row["amount"]] for row in read()]
    assert kept == [["1", "True", "007", "1.50"], ["3", "maybe", "", ""]]


def test_of_kept_columns_nothing_is_not_the_empty_text(fakes):
    notes = [None, "", "NA"]
    lines = [{"id": 1, "amount": 1, "feedback": "happy", "note": note} for note in notes]
    write("customers.jsonl", "".join(f"{json.dumps(line)}\n" for line in lines))
    for out in ("s.jsonl", "s.parquet", "scores.csv"):
        score(fakes, customers="customers.jsonl", keep=["note"], out=out)
    lines = Path("s.jsonl").read_text().splitlines()
    assert [json.loads(line)["note"] for line in lines] == notes
    assert parquet.read_table("s.parquet")["note"].to_pylist() == notes
    assert column("note") == ["", "", "NA"]


@pytest.mark.parametrize(
    ("limit", "ids"), [(1, ["007"]), (2, ["007", "8"]), (9, ["007", "8", "0x9"])]
)
def test_a_limit_is_in_rows_of_the_table(fakes, limit, ids):
    summary, _ = score(fakes, limit=limit)
    assert (column("id"), summary.rows, len(fakes.lm.asked)) == (ids, len(ids), len(ids))


def test_customers_come_on_stdin_and_scores_go_to_stdout(fakes, monkeypatch, capsys):
    score(fakes)
    capsys.readouterr()
    text = Path("customers.csv").read_bytes() + b"1,many,sad\n"
    tables._stdin.cache_clear()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(text)))
    summary, _ = score(fakes, customers="-", out="-")
    tables._stdin.cache_clear()
    written = capsys.readouterr()
    assert written.out == Path("scores.csv").read_text()
    assert written.err.splitlines()[-1] == (
        '{"row": 4, "id": "1", "reason": "p.jinja, row 4, column \'amount\': the format \'.2f\' '
        "does not suit the value 'many' (Unknown format code 'f' for object of type 'str')\"}"
    )
    assert summary.line() == (
        "4 rows, 3 by llm, 1 rejected (the first is row 4: p.jinja, row 4, column 'amount': the "
        "format '.2f' does not suit the value 'many' (Unknown format code 'f' for object of type "
        "'str')); median label mass 0.00922; not calibrated"
    )
    assert not list(Path().glob("-*"))


def test_every_format_holds_the_same_predictions(fakes):
    from pyarrow import parquet

    table("customers.csv", HEADER, many(30)[0])
    for out in ("s.csv", "s.csv.gz", "s.jsonl", "s.parquet"):
        score(fakes, out=out)
    lines = [json.loads(line) for line in Path("s.jsonl").read_text().splitlines()]
    assert parquet.read_table("s.parquet").to_pylist() == lines
    with open("s.csv", encoding="utf-8") as file:
        cells = [{name: str(value) for name, value in line.items()} for line in lines]
        assert list(csv.DictReader(file)) == cells


def test_what_did_not_fit_is_marked_and_counted(fakes):
    table("customers.csv", HEADER, ["1,1,[long] sad", "2,2,sad", "3,3,[long] sad"])
    summary, _ = score(fakes)
    assert column("truncated") == ["True", "False", "True"]
    assert summary.line() == (
        "3 rows, 3 by llm, 0 rejected; 2 prompts lost shots or feedback to fit; median label mass "
        "0.00922; not calibrated"
    )


# ------------------------------------------------------------------------------------- rejects

BAD = [
    "1,1,happy",
    "2,2",
    ",3,sad",
    "4,many,sad",
    "5,5,[unscorable] sad",
    "6,6,sad",
]
REASONS = {
    2: "line 3: the header has 3 cells, this row 2",
    3: "line 4: the id is missing",
    4: "p.jinja, row 4, column 'amount': the format '.2f' does not suit the value 'many' (Unknown "
    "format code 'f' for object of type 'str')",
    5: "it cannot be scored",
}


@pytest.mark.parametrize("bad", REASONS)
def test_a_single_bad_row_is_rejected_and_the_others_scored(fakes, bad):
    rows = [BAD[0], BAD[bad - 1], BAD[-1]]
    table("customers.csv", HEADER, rows)
    summary, _ = score(fakes)
    assert column("id") == ["1", "6"]
    # Where it stands in this table is row 2, on line 3.
    reason = REASONS[bad].replace(f"row {bad}", "row 2").replace(f"line {bad + 1}", "line 3")
    assert rejects() == [{"row": 2, "id": {2: "", 3: ""}.get(bad, str(bad)), "reason": reason}]
    assert summary.line() == (
        f"3 rows, 2 by llm, 1 rejected (scores.csv.rejects.jsonl; the first is row 2: {reason}); "
        "median label mass 0.00922; not calibrated"
    )


def test_rows_in_are_rows_out_and_rejects_in_the_order_of_the_table(fakes):
    table("customers.csv", HEADER, BAD * 5)
    summary, _ = score(fakes, block_rows=4)
    assert column("id") == ["1", "6"] * 5
    found = rejects()
    assert [each["row"] for each in found] == [6 * n + row for n in range(5) for row in REASONS]
    assert [each["id"] for each in found] == ["", "", "4", "5"] * 5
    assert (summary.rows, summary.by_method, summary.rejected) == (30, {"llm": 10}, 20)
    assert summary.first_reject == Reject(2, "", REASONS[2])


def test_a_table_of_rejects_alone_has_an_output_without_rows(fakes):
    table("customers.csv", HEADER, BAD[2:5])
    summary, _ = score(fakes)
    assert Path("scores.csv").read_text() == COLUMNS
    assert summary.line() == (
        "3 rows, 3 rejected (scores.csv.rejects.jsonl; the first is row 1: line 2: the id is "
        "missing); not calibrated"
    )


def test_the_rejects_of_an_earlier_run_go(fakes):
    table("customers.csv", HEADER, BAD)
    score(fakes)
    assert Path("scores.csv.rejects.jsonl").exists()
    table("customers.csv", HEADER, ROWS)
    summary, _ = score(fakes)
    assert not Path("scores.csv.rejects.jsonl").exists()
    assert summary.line() == (
        "3 rows, 3 by llm, 0 rejected; median label mass 0.00922; not calibrated"
    )


def test_after_an_error_the_old_output_stands(fakes):
    write("scores.csv", "old")
    write("scores.csv.rejects.jsonl", "old")
    first = fakes.lm.score

    def score_once(*given, **options):
        fakes.lm.score = interrupt
        return first(*given, **options)

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    fakes.lm.score = score_once
    with pytest.raises(KeyboardInterrupt):
        score(fakes, block_rows=2)
    assert Path("scores.csv").read_text() == Path("scores.csv.rejects.jsonl").read_text() == "old"
    assert {path.name for path in Path().glob(".*")} == set()  # no draft


# -------------------------------------------------------------------------------------- blocks


@pytest.mark.parametrize("size", [1, 7, 60])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"keep": ["amount"], "limit": 250, "threshold": 0.3},
        {"base_rate": 0.1},
        {"train": "train.csv", "shots": 4},
        {"train": "train.csv", "shots": 2, "select": "nearest"},
    ],
    ids=["plain", "keep", "base rate", "shots", "nearest"],
)
def test_blocks_change_not_a_byte(fakes, size, changes):
    rows = many(270)[0]
    rows[5:5] = BAD  # faults of every kind, across the edges of blocks
    table("customers.csv", HEADER, rows)
    whole, _ = score(fakes, out="whole.csv", **changes)
    parts, _ = score(fakes, out="parts.csv", block_rows=size, **changes)
    assert Path("parts.csv").read_bytes() == Path("whole.csv").read_bytes()
    assert rejects("parts.csv.rejects.jsonl") == rejects("whole.csv.rejects.jsonl")
    assert parts.line() == whole.line().replace("whole.csv", "parts.csv")
    assert parts.rows == changes.get("limit", 276)


def test_the_first_rows_score_the_same_without_the_others(fakes):
    table("customers.csv", HEADER, many(40)[0])
    score(fakes)
    score(fakes, out="first.csv", limit=5)
    assert read("first.csv") == read()[:5]


# -------------------------------------------------------------------------------- calibration


def test_a_known_base_rate_is_hit_and_the_ranking_kept(fakes):
    rows, left = many(1200)
    table("customers.csv", HEADER, rows)
    score(fakes, out="raw.csv")
    summary, said = score(fakes, base_rate=0.1)
    raw, level = (np.array(column("p_1", name), float) for name in ("raw.csv", "scores.csv"))
    assert abs(raw.mean() - 0.1) > 0.1
    assert level.mean() == pytest.approx(0.1, abs=1e-3)
    assert roc_auc_score(left, level) == roc_auc_score(left, raw)
    shift = (np.log(level / (1 - level)) - np.log(raw / (1 - raw))).mean()
    assert summary.line().endswith(
        f"; base rate 0.1 by a log-odds shift of {shift:.2f} found on 1,200 rows"
    )
    assert said == []


def test_the_base_rate_of_the_prompt_file_is_met_without_being_asked_for(fakes):
    write("p.jinja", PROMPT.replace("positive: 1", "positive: 1\nbase_rate: 0.25"))
    table("customers.csv", HEADER, many(300)[0])
    score(fakes)
    assert np.mean(np.array(column("p_1"), float)) == pytest.approx(0.25, abs=1e-3)


def test_under_200_rows_a_base_rate_is_not_met_and_that_is_said(fakes):
    table("customers.csv", HEADER, many(199)[0])
    score(fakes, out="raw.csv")
    summary, said = score(fakes, base_rate=0.1)
    assert said == [
        "not calibrated to the base rate 0.1: 199 scored rows are too few to find a shift on (200 "
        "are needed); possible: --calibration FILE, from a larger run with --save-calibration FILE"
    ]
    assert read() == read("raw.csv")
    assert summary.line().endswith("; not calibrated")


@pytest.mark.parametrize(
    ("found_with", "used_with"),
    [
        ({"base_rate": 0.1}, {}),
        ({"train": "train.csv"}, {}),
        ({"train": "train.csv", "shots": 4}, {"train": "train.csv", "shots": 4}),
    ],
    ids=["base rate", "labels", "labels beside shots"],
)
def test_a_saved_calibration_gives_a_single_customer_the_same_probabilities(
    fakes, found_with, used_with
):
    rows = many(300)[0]
    table("customers.csv", HEADER, rows)
    first, _ = score(fakes, save_calibration="c.json", **found_with)
    whole = read()
    for at in (0, 7):
        table("customers.csv", HEADER, rows[at : at + 1])
        alone, said = score(fakes, calibration="c.json", **used_with)
        assert read() == whole[at : at + 1]
        assert alone.calibration == first.calibration != "not calibrated"
        assert said == []


@pytest.mark.parametrize("cached", [True, False], ids=["fetched before", "fetched by the run"])
def test_a_saved_calibration_serves_a_model_of_the_hub_on_another_machine(
    fakes, monkeypatch, cached
):
    """Its files are known only once it is there; another model is refused all the same."""
    rows, left = many(300)
    table("train.csv", TRAIN_HEADER, [f"{row},{int(each)}" for row, each in zip(rows, left, strict=True)])  # fmt: skip
    hub = {"some/model": Path(fakes.model_folder)}

    def find(name, kind="language model"):
        there = cached or fakes.loaded
        return models.Source(name, hub[name] if there else None)

    monkeypatch.setattr(models, "find", find)
    given = {"model": "some/model", "train": "train.csv", "calibration": None}
    score(fakes, **given | {"save_calibration": "c.json"})
    fakes.loaded.clear()
    score(fakes, model="some/model", calibration="c.json")
    fakes.loaded.clear()
    write(f"{fakes.model_folder}/config.json", '{"other": 1}')
    with pytest.raises(DataError, match=r"^c\.json was found with another model: model@"):
        score(fakes, model="some/model", calibration="c.json")


def test_a_saved_calibration_goes_before_a_base_rate_which_is_said(fakes):
    table("customers.csv", HEADER, many(300)[0])
    score(fakes, base_rate=0.1, save_calibration="c.json")
    before = read()
    _, said = score(fakes, base_rate=0.3, calibration="c.json", train="train.csv")
    assert read() == before
    assert said == [
        f"{option} is not used: --calibration was given" for option in ("--base-rate", "--train")
    ]
    for used in ({"shots": 4}, {"fallback": "embedding"}):
        save = score(fakes, train="train.csv", save_calibration="s.json", **used)
        _, said = score(fakes, calibration="s.json", train="train.csv", **used)
        assert (len(save), said) == (2, [])


def test_a_saved_calibration_goes_before_another_base_rate_of_the_file_which_is_said(fakes):
    table("customers.csv", HEADER, many(300)[0])
    write("p.jinja", PROMPT.replace("id: id\n", "id: id\nbase_rate: 0.1\n"))
    score(fakes, save_calibration="c.json")
    before = read()
    assert score(fakes, calibration="c.json")[1] == []
    write("p.jinja", PROMPT.replace("id: id\n", "id: id\nbase_rate: 0.3\n"))
    _, said = score(fakes, calibration="c.json")
    assert said == ["the base_rate of p.jinja is not used: --calibration was given"]
    assert read() == before
    _, said = score(fakes, calibration="c.json", base_rate=0.2)
    assert said == ["--base-rate is not used: --calibration was given"]


def test_where_there_is_no_calibration_none_is_saved_and_that_is_said(fakes):
    _, said = score(fakes, save_calibration="c.json")
    assert said == ["c.json is not written: there is no calibration"]
    assert not Path("c.json").exists()


def test_labelled_records_calibrate(fakes):
    summary, said = score(fakes, train="train.csv")
    assert len(fakes.lm.asked) == 3 + 24
    assert summary.calibration.startswith("Platt slope ")
    assert summary.calibration.endswith(" found on 24 rows with labels")
    assert (summary.shots, said) == ([], [])


# --------------------------------------------------------------------------------------- shots


@pytest.mark.parametrize("select", ["balanced", "random"])
def test_shots_are_shown_to_every_customer_and_reported(fakes, select):
    summary, _ = score(fakes, train="train.csv", shots=4, select=select)
    (turns,) = {prompt.shots for prompt in fakes.lm.asked}
    told = [int(turn.user.split()[4]) for turn in turns]
    assert summary.shots == [f"t{number}" for number in told]
    for number, turn in zip(told, turns, strict=True):
        assert turn.user.split("\n")[1] == f"told {number} {FEELS[number % 2]}"
        assert turn.reply == f"The customer feels {FEELS[number % 2].split()[0]}"
    assert summary.line().startswith(
        f"3 rows, 3 by llm, 0 rejected; shots: {', '.join(summary.shots)}; median label mass "
    )
    if select == "balanced":
        assert sum(number % 2 for number in told) == 2
    other, _ = score(fakes, train="train.csv", shots=4, select=select, seed=1)
    assert other.shots != summary.shots


@pytest.mark.parametrize("select", ["balanced", "random", "nearest"])
def test_a_customer_is_never_its_own_shot(fakes, select):
    # The customers are the labelled records, some by id with other words, some by content alone.
    same = [row.rsplit(",", 1)[0] for row in TRAIN]
    other_text = [f"t{n},99,changed {n}" for n in range(4)]
    other_id = [f"x{n},{n},told {n} {FEELS[n % 2]}" for n in range(4, 8)]
    table("customers.csv", HEADER, [*same[8:], *other_text, *other_id])
    score(fakes, train="train.csv", shots=20, select=select)
    number = {row.split(",")[0]: row.split(",")[2] for row in TRAIN}
    asked = fakes.lm.asked[:24]
    for prompt, id in zip(asked, column("id"), strict=True):
        own = f"t{id[1:]}"
        shown = [turn.user.split("\n")[1] for turn in prompt.shots]
        assert number[own] not in shown
        assert len(shown) == 20  # in place of itself stands another


def test_nearest_shots_have_the_words_of_the_customer(fakes):
    table("train.csv", TRAIN_HEADER, [
        "a,1,the parcel was late,1", "b,1,the parcel came early,0",
        "c,1,nobody answers my mails,1", "d,1,a fine shop,0",
    ])  # fmt: skip
    table("customers.csv", HEADER, ["1,1,the parcel is late", "2,1,nobody answers mails"])
    summary, _ = score(fakes, train="train.csv", shots=1, select="nearest")
    shown = [prompt.shots[0].user.split("\n")[1] for prompt in fakes.lm.asked[:2]]
    assert shown == ["the parcel was late", "nobody answers my mails"]
    assert summary.shots == ["a", "c"]


# ------------------------------------------------------------------------------------ fallback


def test_what_the_language_model_cannot_score_the_embedding_does(fakes):
    table(
        "customers.csv",
        HEADER,
        ["1,1,told so angry slow [unscorable]", "2,2,sad", "3,3,happy thanks [unscorable]"],
    )
    summary, said = score(fakes, train="train.csv", fallback="embedding")
    rows = read()
    assert [row["method"] for row in rows] == ["embedding", "llm", "embedding"]
    assert [row["prediction"] for row in rows] == ["1", "1", "0"]
    assert [row["label_mass"] == "" for row in rows] == [True, False, True]
    for row in rows:
        assert float(row["p_1"]) + float(row["p_0"]) == pytest.approx(1)
    assert float(rows[0]["p_1"]) > 0.5 > float(rows[2]["p_1"])
    assert not Path("scores.csv.rejects.jsonl").exists()
    assert (summary.by_method, summary.rejected, said) == ({"embedding": 2, "llm": 1}, 0, [])
    assert summary.line().startswith("3 rows, 2 by embedding, 1 by llm, 0 rejected; ")


def test_without_a_fallback_the_same_rows_are_rejected(fakes):
    table("customers.csv", HEADER, ["1,1,[unscorable] angry", "2,2,sad"])
    summary, _ = score(fakes, train="train.csv")
    assert (column("id"), summary.rejected) == (["2"], 1)
    assert fakes.encoder.asked == []


def test_where_no_row_fails_no_encoder_is_loaded(fakes):
    score(fakes, train="train.csv", fallback="embedding")
    assert fakes.loaded == [(fakes.model_folder, "auto", "auto")]


def test_a_row_that_nothing_can_score_keeps_the_reason_of_the_language_model(fakes):
    # Neither can: the prompt cannot be rendered, and the encoder would read a part of it.
    table("customers.csv", HEADER, ["1,many,sad", "2,2,[unscorable]", "3,3,sad"])
    summary, _ = score(fakes, train="train.csv", fallback="embedding")
    assert column("method") == ["embedding", "llm"]
    assert rejects() == [
        {"row": 1, "id": "1", "reason": REASONS[4].replace("row 4", "row 1")},
    ]
    assert summary.rejected == 1


def test_the_reason_is_that_of_the_prompt_where_the_customer_block_has_another(fakes):
    prompt = PROMPT.replace(
        "{% block customer %}", "{% block customer %}{{ 2 // customer.amount }}"
    )
    write("p.jinja", prompt.replace("You judge.", "You judge {{ 1 // customer.amount }}."))
    table("customers.csv", HEADER, ["1,0,sad", "2,2,sad"])
    table("train.csv", TRAIN_HEADER, TRAIN[1:])
    score(fakes, train="train.csv", fallback="embedding")
    # line 11 is the system block; the encoder reads the customer block alone, on line 12
    reason = "p.jinja, line 11, row 1: integer division or modulo by zero"
    assert rejects() == [{"row": 1, "id": "1", "reason": reason}]


def test_the_embedding_moves_no_calibration(fakes):
    rows = many(300)[0]
    table("customers.csv", HEADER, rows)
    first, _ = score(fakes, base_rate=0.2)
    unscorable = [f"u{n},1,[unscorable] happy" for n in range(50)]
    table("customers.csv", HEADER, [*rows, *unscorable])
    second, _ = score(fakes, base_rate=0.2, train="train.csv", fallback="embedding", out="f.csv")
    assert second.calibration == first.calibration
    assert read("f.csv")[:300] == read()


@pytest.mark.parametrize("rate", [0.1, 0.7])
def test_the_embedding_is_moved_to_the_base_rate_from_the_shares_of_its_labels(fakes, rate):
    """Or rows that it scores would stand above nearly all others where the rate is low."""
    table("customers.csv", HEADER, ["1,1,told so angry slow [unscorable]", "2,2,[unscorable]"])
    score(fakes, train="train.csv", fallback="embedding")
    before = np.array(column("p_1"), float)
    score(fakes, train="train.csv", fallback="embedding", base_rate=rate)
    labels = [row.rpartition(",")[2] for row in TRAIN]
    share = labels.count("1") / len(labels)
    odds = before / (1 - before) * rate / (1 - rate) * (1 - share) / share
    np.testing.assert_allclose(np.array(column("p_1"), float), odds / (1 + odds), rtol=1e-9)


def no_model(fakes, monkeypatch, how):
    """Take the language model away: a wrong name, one that does not load, or none to choose."""
    if how == "name":
        return {"model": "nowhere"}, (
            "there is no language model 'nowhere'; possible: smollm2-135m, a folder, a .gguf file, "
            "or a hub id such as Qwen/Qwen3-4B-Instruct-2507"
        )
    error = ModelError(f"it is out ({how})")
    if how == "load":
        fakes.error = error
        return {}, str(error)

    def choose():
        raise error

    monkeypatch.setattr(models, "choose", choose)
    return {"model": "auto"}, str(error)


@pytest.mark.parametrize("how", ["name", "load", "choice"])
def test_without_a_language_model_every_row_is_scored_by_the_embedding(fakes, monkeypatch, how):
    given, text = no_model(fakes, monkeypatch, how)
    rows = [
        "007,1,slow slow slow",
        "8,2,thanks thanks thanks",
        "0x9,,nothing",
        "many,many,sad",
        "short",
    ]
    table("customers.csv", HEADER, rows)
    summary, said = score(
        fakes, train="train.csv", fallback="embedding", save_calibration="c.json", **given
    )
    assert said == [
        f"no language model: {text}; every row is scored by the embedding approach",
        "c.json is not written: there is no calibration",
    ]
    rows = read()
    assert [row["id"] for row in rows] == ["007", "8", "0x9"]
    assert {(row["method"], row["label_mass"], row["truncated"]) for row in rows} == {
        ("embedding", "", "False")
    }
    assert float(rows[0]["p_1"]) > 0.5 > float(rows[1]["p_1"])
    assert [row["prediction"] for row in rows[:2]] == ["1", "0"]
    # What a user can mend is said, not that there was no language model.
    assert rejects() == [
        {"row": 4, "id": "many", "reason": REASONS[4]},
        {"row": 5, "id": "", "reason": "line 6: the header has 3 cells, this row 1"},
    ]
    assert summary.line() == (
        "5 rows, 3 by embedding, 2 rejected (scores.csv.rejects.jsonl; the first is row 4: "
        f"{REASONS[4]}); not calibrated"
    )
    assert fakes.lm.asked == []


@pytest.mark.parametrize("how", ["name", "load", "choice"])
def test_without_a_language_model_and_a_fallback_nothing_is_scored(fakes, monkeypatch, how):
    given, text = no_model(fakes, monkeypatch, how)
    with pytest.raises(ModelError) as caught:
        score(fakes, train="train.csv", **given)
    assert str(caught.value) == text
    assert not Path("scores.csv").exists()


def test_texts_that_the_encoder_cuts_are_counted(fakes):
    # The encoder reads 8 words: two of amount, then six.
    rows = ["a b c d", "a b c d e f", "a b c d f g"]
    table("customers.csv", HEADER, [f"{at},1,[unscorable] {row}" for at, row in enumerate(rows)])
    summary, _ = score(fakes, train="train.csv", fallback="embedding")
    assert summary.cut == 2
    assert summary.line().startswith(
        "3 rows, 3 by embedding, 0 rejected; 2 texts cut by the sentence encoder; "
    )


# --------------------------------------------------------------------------------------- models


def test_what_was_noticed_in_the_files_is_said_first(fakes, monkeypatch):
    write("p.jinja", PROMPT.replace("{{ customer.feedback }}", ""))
    table("train.csv", TRAIN_HEADER, [*TRAIN, "x,1,sad,"])
    monkeypatch.setattr(models, "choose", lambda: (models.Source("big", None), "it fits"))
    monkeypatch.setattr(models, "here", lambda source: source)
    _, said = score(fakes, model="auto", train="train.csv")
    assert said == [
        "warning: p.jinja: no block shows the text column 'feedback'",
        "train.csv: rows left out: 1 without a label",
        "model: big (it fits)",
    ]


def test_the_model_is_loaded_once_and_as_asked_for(fakes):
    score(fakes, dtype="float32", device="cpu")
    assert fakes.loaded == [(fakes.model_folder, "float32", "cpu")]


def test_several_prompt_files_give_the_average_and_a_calibration_of_their_own(fakes):
    write("q.jinja", PROMPT.replace("How does the customer feel?", "And?"))
    rows, left = many(40)
    table(
        "train.csv",
        f"{HEADER},left",
        [f"{row},{int(of)}" for row, of in zip(rows, left, strict=True)],
    )
    summary, _ = score(fakes, others=["q.jinja"], train="train.csv", save_calibration="c.json")
    assert summary.calibration.startswith("Platt slope")
    both = column("p_1")
    assert {prompt.user.splitlines()[-1] for prompt in fakes.lm.asked} == {
        "How does the customer feel?",
        "And?",
    }
    with pytest.raises(DataError, match=r"^c\.json was found with another prompt"):
        score(fakes, calibration="c.json")
    score(fakes, others=["q.jinja"], calibration="c.json")
    assert column("p_1") == both


def test_the_sentence_encoder_goes_to_the_same_device(fakes):
    score(fakes, dtype="float32", device="cpu", train="train.csv", shots=2, select="nearest")
    assert (fakes.encoder_folder, "cpu") in fakes.loaded


def test_a_model_that_was_chosen_is_said_with_the_reason(fakes, monkeypatch):
    source = models.Source("big", None)
    monkeypatch.setattr(models, "choose", lambda: (source, "the GPU has 80 GiB free"))
    monkeypatch.setattr(models, "here", lambda source: source)
    _, said = score(fakes, model="auto")
    assert said == ["model: big (the GPU has 80 GiB free)"]
    assert fakes.loaded == [("big", "auto", "auto")]


# --------------------------------------------------------------------------------------- canary

CANARY = "canary"


@pytest.mark.parametrize("select", ["balanced", "random", "nearest"])
@pytest.mark.parametrize("shots", [0, 4])
def test_neither_target_nor_ignored_columns_reach_a_model(fakes, shots, select):
    """Their columns are shown by customer.fields if anything goes wrong: it shows every column."""
    write("p.jinja", PROMPT.replace("{1: [angry, sad], 0: happy}", f"{{{CANARY}1: [angry, sad], {CANARY}0: happy}}").replace("positive: 1", f"positive: {CANARY}1"))  # fmt: skip
    header = "note,id,amount,feedback,left,plan"
    train = [
        f"{CANARY} {n},t{n},{n},told {n} {FEELS[n % 2]},{CANARY}{n % 2},basic" for n in range(24)
    ]
    customers = [
        f"{CANARY} {n},{n},1,{'[unscorable] ' if n % 2 else ''}sad,{CANARY},basic" for n in range(9)
    ]
    table("train.csv", header, train)
    table("customers.csv", header, customers)
    score(fakes, train="train.csv", shots=shots, select=select, fallback="embedding")
    texts = fakes.texts()
    assert len(fakes.lm.asked) >= 9
    assert fakes.encoder.asked
    assert all("basic" in prompt.user for prompt in fakes.lm.asked)  # other columns are shown
    assert [text for text in texts if CANARY in text] == []
    assert column("method") == ["llm", "embedding"] * 4 + ["llm"]


# -------------------------------------------------------------------------------------- summary


@pytest.mark.parametrize(
    ("summary", "line"),
    [
        (Summary(), "0 rows, 0 rejected; not calibrated"),
        (
            Summary(rows=7043, by_method={"llm": 7040}, rejected=3, calibration="C"),
            "7,043 rows, 7,040 by llm, 3 rejected; C",
        ),
        (
            Summary(
                rows=5,
                by_method={"llm": 2, "embedding": 1},
                rejected=2,
                first_reject=Reject(2, "x", "no id"),
                rejects=Path("s.csv.rejects.jsonl"),
                shots=["a", "b"],
                truncated=1200,
                cut=1300,
                masses=Counter([0.5, 0.125, 0.25]),
            ),
            "5 rows, 2 by llm, 1 by embedding, 2 rejected (s.csv.rejects.jsonl; the first is row 2: "
            "no id); shots: a, b; 1,200 prompts lost shots or feedback to fit; 1,300 texts cut "
            "by the sentence encoder; median label mass 0.25; not calibrated",
        ),
        (
            Summary(rows=2, rejected=2, first_reject=Reject(1, "", "no id")),
            "2 rows, 2 rejected (the first is row 1: no id); not calibrated",
        ),
        (
            Summary(shots=[str(n) for n in range(17)]),
            "0 rows, 0 rejected; shots: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 and 1 "
            "more; not calibrated",
        ),
        (
            Summary(shots=[str(n) for n in range(16)]),
            "0 rows, 0 rejected; shots: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15; not "
            "calibrated",
        ),
    ],
    ids=["nothing", "thousands", "everything", "stdout", "17 shots", "16 shots"],
)
def test_the_summary_line(summary, line):
    assert summary.line() == line


# ------------------------------------------------------------------------ ledger, gate, drift, ids


def test_an_interrupted_run_goes_on_and_ends_with_the_same_bytes(fakes, monkeypatch):
    table("customers.csv", HEADER, many(60)[0])
    score(fakes, out="whole.csv", block_rows=20)
    asked, first = len(fakes.lm.asked), fakes.lm.score

    def twice(*given, **options):
        if len(fakes.lm.asked) >= asked + 40:
            raise KeyboardInterrupt
        return first(*given, **options)

    monkeypatch.setattr(fakes.lm, "score", twice)
    with pytest.raises(KeyboardInterrupt):
        score(fakes, out="parts.csv", block_rows=20)
    monkeypatch.setattr(fakes.lm, "score", first)
    summary, said = score(fakes, out="parts.csv", block_rows=20)
    assert said == ["resuming the run that was interrupted (parts.csv.ledger)"]
    assert len(fakes.lm.asked) <= asked + 60  # nothing twice
    assert Path("parts.csv").read_bytes() == Path("whole.csv").read_bytes()
    assert summary.known == 0


@pytest.mark.parametrize(
    ("changes", "goes_on"),
    [
        ({"keep": ["amount"], "threshold": 0.3, "flag_mass": 0.5, "base_rate": 0.1}, True),
        ({"limit": 50}, False),
        ({"train": "train.csv", "shots": 2}, False),
    ],
    ids=["what is written", "rows", "prompts"],
)
def test_a_run_is_the_same_where_its_prompts_are(fakes, monkeypatch, changes, goes_on):
    table("customers.csv", HEADER, many(60)[0])

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(fakes.lm, "score", interrupted)
        with pytest.raises(KeyboardInterrupt):
            score(fakes, restart=True)
    _, said = score(fakes, **changes)
    assert any(line.startswith("resuming the run") for line in said) == goes_on


def test_the_next_run_reads_only_what_is_new(fakes):
    score(fakes)
    asked = len(fakes.lm.asked)
    table("customers.csv", HEADER, [*ROWS, "new,1,sad"])
    summary, _ = score(fakes)
    assert [prompt.user for prompt in fakes.lm.asked[asked:]] == [
        "amount: 1.00 EUR\nsad\nHow does the customer feel?"
    ]
    assert summary.known == 3
    assert "; 3 prompts in the ledger; " in summary.line()
    assert column("id") == ["007", "8", "0x9", "new"]


def test_what_a_model_of_another_dtype_has_said_is_not_taken(fakes):
    for at, dtype in enumerate(["float32", "bfloat16", "float32"]):
        fakes.lm.model = SimpleNamespace(dtype=dtype, device="cpu")
        summary, _ = score(fakes)
        assert (len(fakes.lm.asked), summary.known) == [(3, 0), (6, 0), (6, 3)][at]


def test_an_output_and_what_leads_to_it_have_one_ledger(fakes):
    score(fakes)
    Path("link.csv").symlink_to("scores.csv")
    summary, _ = score(fakes, out="link.csv")
    assert summary.known == 3
    assert Path("link.csv").is_symlink()
    assert not Path("link.csv.ledger").exists()


def test_a_disk_that_is_full_at_the_last_line_leaves_the_old_rejects_too(fakes, monkeypatch):
    table("customers.csv", HEADER, [*ROWS, "bad"])
    score(fakes)
    before = [Path(name).read_bytes() for name in ("scores.csv", "scores.csv.rejects.jsonl")]
    table("customers.csv", HEADER, ROWS)

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("promptpredict.writing._Csv.close", full)
        with pytest.raises(DataError, match=r"^scores\.csv cannot be written"):
            score(fakes)
    after = [Path(name).read_bytes() for name in ("scores.csv", "scores.csv.rejects.jsonl")]
    assert after == before
    score(fakes)
    assert not Path("scores.csv.rejects.jsonl").exists()


def test_a_restart_reads_all_again(fakes):
    score(fakes)
    score(fakes, restart=True)
    assert len(fakes.lm.asked) == 6


def test_scores_on_stdout_leave_no_ledger(fakes, capsys):
    score(fakes, out="-")
    assert not list(Path().glob("*.ledger*"))


def test_what_a_killed_run_left_is_removed(fakes):
    write(".scores.csv.4711.tmp", "half a row")
    write(".scores.csv.rejects.jsonl.4711.tmp", "half")
    write(".other.csv.4711.tmp", "another's")
    score(fakes)
    assert [path.name for path in Path().glob(".*")] == [".other.csv.4711.tmp"]


def test_a_run_that_another_holds_is_refused_before_a_model_is_loaded(fakes):
    from promptpredict.ledger import Ledger

    held = Ledger.held(Path("scores.csv.ledger"))
    with pytest.raises(DataError, match=r"^scores\.csv\.ledger is held by process \d+ on "):
        score(fakes)
    held.close()
    assert fakes.loaded == []
    score(fakes)


def test_label_words_that_nobody_says_stop_the_run(fakes):
    table("customers.csv", HEADER, [f"c{n},1,nothing" for n in range(200)])
    with pytest.raises(PromptError) as error:
        score(fakes, stop_mass=0.01)
    assert str(error.value) == (
        "p.jinja: the label words have a median probability of 0.005 in the first 200 rows, under "
        "0.01 (--stop-mass); possible: other label words, or --stop-mass 0 where they are known to "
        "rank well"
    )
    assert not Path("scores.csv").exists()
    score(fakes, stop_mass=0.004)


def test_a_good_answer_with_few_words_is_neither_stopped_nor_flagged(fakes):
    """Of four words behind "The customer feels" the median is .09, and the ranking is the best."""
    table("customers.csv", HEADER, [f"c{n},1,angry angry" for n in range(200)])
    score(fakes, stop_mass=None)
    assert set(column("flags")) == {""}
    assert 0.01 < float(column("label_mass")[0]) < 0.09


def test_a_row_with_a_low_label_mass_is_flagged(fakes):
    summary, _ = score(fakes, flag_mass=0.006)
    assert column("flags") == ["", "", "low mass"]
    assert summary.low == 1
    assert "; median label mass 0.00922, low in 1 row (flagged); " in summary.line()


def test_a_run_is_compared_with_the_one_before(fakes):
    table("customers.csv", HEADER, many(300)[0])
    summary, _ = score(fakes)
    assert (summary.drift, summary.incomparable) == (None, False)
    table("customers.csv", HEADER, many(300, seed=1)[0])
    assert 0 < score(fakes)[0].drift < 0.2
    table("customers.csv", HEADER, [f"c{n},1,angry angry" for n in range(300)])
    summary, _ = score(fakes)
    assert summary.drift > 1
    assert f"; drift {summary.drift:.3f} against the run before; " in summary.line()
    again, _ = score(fakes)  # by a scheduler, say, after its exit code: an alarm stays one
    assert again.drift == summary.drift
    table("customers.csv", HEADER, [f"d{n},1,angry angry" for n in range(300)])
    assert score(fakes)[0].drift == pytest.approx(0)


def test_another_wording_is_not_compared(fakes):
    table("customers.csv", HEADER, many(300)[0])
    score(fakes)
    write("p.jinja", PROMPT.replace("How does", "What does"))
    summary, _ = score(fakes)
    assert summary.drift is None
    said = "drift is not measured, as the run before had another prompt, shots or model"
    assert f"; {said}; " in summary.line()
    table("customers.csv", HEADER, many(300, seed=1)[0])
    summary, _ = score(fakes)
    assert summary.drift is not None
    assert said not in summary.line()


def test_an_id_in_several_rows_is_said_and_each_row_scored(fakes):
    table("customers.csv", HEADER, ["a,1,sad", "b,1,sad", "a,2,happy"])
    summary, _ = score(fakes)
    assert column("id") == ["a", "b", "a"]
    assert "; 1 id stands in several rows (the first is a, rows 1 and 3); " in summary.line()


def test_the_summary_has_its_values_for_json(fakes):
    fields = score(fakes)[0].fields()
    assert json.loads(json.dumps(fields)) == fields
    assert (fields["rows"], fields["by_method"], fields["rejected"]) == (3, {"llm": 3}, 0)
    assert fields["rows_a_second"] > 0


# -- texts that decide alone -------------------------------------------------------------------


def test_rows_whose_text_decides_are_flagged_and_counted(fakes):
    summary, _ = score(fakes, guard=1.5)
    # two words of one label are 2 nats, one is one
    assert column("flags") == ["text decides", "", ""]
    assert summary.moved == 1
    assert "; the text alone decides 1 row (flagged)" in summary.line()
    assert summary.fields()["moved_by_text"] == 1


def test_a_guard_changes_nothing_but_flags(fakes):
    score(fakes)
    plain = [{**row, "flags": ""} for row in read()]
    score(fakes, guard=0.0, flag_mass=1.0)
    assert [row["flags"] for row in read()][:2] == ["low mass; text decides"] * 2
    assert [{**row, "flags": ""} for row in read()] == plain


def test_a_row_that_cannot_be_scored_without_its_text_is_said_to_be_unguarded(fakes):
    class Needing(type(fakes.lm)):
        def score(self, prompts, labels, *, progress=None):
            scores = super().score(prompts, labels, progress=progress)
            for row, prompt in enumerate(prompts):
                if "not recorded" in prompt.user and "amount: 2.00" in prompt.user:
                    scores.logprobs[row] = np.nan
                    scores.faults[row] = "no text"
            return scores

    fakes.lm = Needing()
    score(fakes, guard=1.5)
    assert column("flags") == ["text decides", "not guarded", ""]
    assert not Path("scores.csv.rejects.jsonl").exists()


def test_a_guard_needs_a_text(fakes):
    write("p.jinja", PROMPT.replace("text: [feedback]\n", ""))
    with pytest.raises(DataError) as error:
        score(fakes, guard=1.0)
    assert str(error.value) == "--guard needs a text column; p.jinja declares none (text: [])"
    assert fakes.loaded == []


@pytest.mark.parametrize("values", [[0.3], [0.1, 0.2], [0.1, 0.2, 0.2, 0.9], [3, 1, 2], []])
def test_the_median_of_counted_values_is_that_of_the_values(values):
    found = _median(Counter(values))
    assert found == pytest.approx(np.median(values) if values else np.nan, nan_ok=True)
