"""The walk of `explain`: what it says, what it writes, and what it refuses before a model is loaded."""

import json
import re
from pathlib import Path

import pytest

import walked
from promptpredict.errors import DataError, PromptError
from promptpredict.explaining import EXPLAINED, ExplainOptions, explain_table
from promptpredict.redaction import Redactor
from promptpredict.told import Told
from promptpredict.toldpage import render
from walked import THREE, prepare, table, write

ROWS = [
    "007,1,Angry angry. Sad!",
    "8,2,happy",
    "0x9,3,",
    "10,4,<b>Happy</b>. And happy; angry? Never again. Bye.",
]


@pytest.fixture(autouse=True)
def fakes(tmp_path, monkeypatch):
    found = prepare(tmp_path, monkeypatch)
    table("customers.csv", walked.HEADER, ROWS)
    return found


def run(fakes, **changes):
    said = []
    given = {"customers": "customers.csv", "prompt": "p.jinja"} | changes
    given = {"encoder": fakes.encoder_folder, "dtype": "float32"} | given
    given = {"model": fakes.model_folder} | given
    return explain_table(ExplainOptions(**given), said.append), said


def test_one_customer(fakes):
    text, said = run(fakes, row=1)
    assert text == (
        "row 1 (007): left 1 has log-odds +3.00, probability 0.953\n"
        "  +3.00  ████████████  all of feedback\n"
        "  +2.00  ████████      “Angry angry.”\n"
        "  +1.00  ████          “Sad!”\n"
        "  +0.00                amount: 1.00 EUR\n"
        "  +0.00 beyond both alone: “Angry angry.” and “Sad!” together\n"
        "\n"
        "An effect is what a field or a sentence adds to the log-odds of the label: what they lose when "
        "the field is not shown, or shown as missing, or the sentence is cut.\n"
        "Probabilities are not calibrated (--calibration of a score, or --train). Effects need no calibration."
    )
    assert said == []
    assert [Path(name).name for name, *_ in fakes.loaded] == ["model"]
    assert len(fakes.lm.asked) == 5 + 1  # whole, without each of four parts, without two


def test_a_table_is_summed_up_and_written(fakes):
    text, said = run(fakes, out=Path("why"))
    assert (
        "How much each column moves the log-odds of 4 customers (mean, 95 %):\n  feedback  " in text
    )
    assert "Without its three strongest reasons" in text
    assert said == ["why/explanations.json is written", "why/explanations.html is written"]
    whole = json.loads(Path("why/explanations.json").read_text(encoding="utf-8"))
    assert (whole["schema"], whole["target"], whole["approach"]) == (1, "left", "zero-shot")
    assert [each["row"] for each in whole["explanations"]] == [1, 2, 3, 4]
    told = Told.model_validate(whole)
    assert told.text() == text
    page = Path("why/explanations.html").read_text(encoding="utf-8")
    assert page == render(told)
    assert "<b>Happy</b>" not in page
    assert "&lt;b&gt;Happy&lt;/b&gt;." in page
    shaded = re.findall(r'<mark title="([^"]+)"', page)
    assert len(shaded) == 2 + 1 + 4
    assert "<script" not in page
    assert "http" not in page.replace('http-equiv="Content', "")


def test_the_first_rows_alone(fakes):
    whole, _ = run(fakes, limit=2)
    assert re.findall(r"^row (\d+)", whole, re.M) == ["1", "2"]
    table("customers.csv", walked.HEADER, ROWS * 3)
    many, _ = run(fakes)
    assert re.findall(r"^row (\d+)", many, re.M) == ["1", "2", "3", "4", "5"]
    assert "7 more; --out FOLDER writes them all." in many


def test_rows_without_an_explanation_are_told(fakes):
    table("customers.csv", walked.HEADER, [*ROWS[:1], "9,2,[unscorable]", "1,2,3,4"])
    text, said = run(fakes, out=Path("why"))
    assert said[:2] == [
        "left out: row 3: line 4: the header has 3 cells, this row 4",
        "left out: row 2: it cannot be scored",
    ]
    assert text.startswith("row 1 (007)")
    assert "row 2: it cannot be scored" in Path("why/explanations.html").read_text(encoding="utf-8")


def test_where_no_row_can_be_explained_that_is_an_error(fakes):
    table("customers.csv", walked.HEADER, ["9,2,[unscorable]", "10,2,[unscorable]"])
    with pytest.raises(DataError) as caught:
        run(fakes, out=Path("why"))
    assert str(caught.value) == (
        "no customer could be explained; the first is row 1: it cannot be scored"
    )
    assert not Path("why").exists()


def test_a_column_that_some_have_says_so(fakes):
    text, _ = run(fakes)
    assert re.search(r"^  feedback  .* \(the 3 that have it\)$", text, re.M)
    assert re.search(r"^  amount    .*, adds [+−]\d\.\d\d$", text, re.M)


@pytest.mark.parametrize("approach", ["few-shot", "few-shot-random", "probe-shots"])
def test_shots_are_drawn_by_the_seed_and_not_the_first_rows(fakes, approach):
    """Of a table that is sorted by its outcome, and of which the first rows say the same."""
    rows = [f"t{n},{n},told {n} {walked.FEELS[n >= 300]},{int(n >= 300)}" for n in range(600)]
    table("train.csv", walked.TRAIN_HEADER, rows)
    shown = set()
    for seed in (0, 0, 7):
        fakes.lm.asked.clear()
        text, _ = run(fakes, row=1, train="train.csv", approach=approach, shots=4, seed=seed)
        shown.add(tuple(turn.user for turn in fakes.lm.asked[-1].shots))
        assert "not calibrated" not in text
    assert len(shown) == 2
    numbers = [int(re.search(r"told (\d+)", text)[1]) for shots in shown for text in shots]
    assert max(numbers) > 50


def test_shots_of_explain_are_those_of_score(fakes):
    """The calibration differs: `explain` has the labelled rows of `--train` alone."""
    rows = [f"t{n},{n},told {n} {walked.FEELS[n >= 30]},{int(n >= 30)}" for n in range(60)]
    table("train.csv", walked.TRAIN_HEADER, rows)
    run(fakes, row=1, train="train.csv", approach="few-shot", shots=4, seed=3)
    explained = fakes.lm.asked[-1].shots
    fakes.lm.asked.clear()
    walked.score(fakes, train="train.csv", shots=4, seed=3)
    assert fakes.lm.asked[-1].shots == explained


def test_labelled_records_that_are_all_shots_calibrate_nothing(fakes):
    table("train.csv", walked.TRAIN_HEADER, walked.TRAIN[:4])
    text, _ = run(fakes, row=1, train="train.csv", approach="few-shot", shots=4)
    assert "Probabilities are not calibrated" in text


def test_a_text_that_an_encoder_cuts_is_told(fakes):
    long = " ".join(["fine"] * 40)
    table("customers.csv", walked.HEADER, [f"1,2,{long}. Angry.", "2,3,happy"])
    _, said = run(fakes, train="train.csv", approach="embedding")
    assert any(
        re.match(
            r"\d+ of \d+ texts are longer than the .*: a sentence behind that has no effect of its own$",
            line,
        )
        for line in said
    ), said


def test_prompts_that_were_cut_are_told(fakes):
    table("customers.csv", walked.HEADER, ["1,2,[long] Angry. Bye.", "2,3,happy"])
    _, said = run(fakes)
    # whole, without the amount, without the second sentence; the marked one is in no other
    assert said == [
        "3 of 10 prompts were cut to fit the model, shots first, then the first words of texts: what is "
        "not read has no effect, and comes back where another part is out"
    ]
    # What was read to learn from it is not what is explained.
    table("train.csv", walked.TRAIN_HEADER, [f"t{n},1,[long] {n},{n % 2}" for n in range(12)])
    table("customers.csv", walked.HEADER, ["2,3,happy"])
    assert run(fakes, train="train.csv")[1] == []


def test_numbers_of_16_bits_are_told(fakes):
    _, said = run(fakes, dtype="bfloat16")
    assert said == [
        "with numbers of 16 bits effects are rounded by .1 or so, and small ones say little; possible: "
        "--dtype float32"
    ]
    assert run(fakes, dtype="bfloat16", approach="structured", train="train.csv")[1] == []


def test_what_redaction_cannot_find_is_told(fakes, monkeypatch):
    pytest.importorskip("presidio_analyzer")
    monkeypatch.setattr(Redactor, "note", property(lambda _: "names stay", lambda *_: None), raising=False)  # fmt: skip
    assert run(fakes, redact=True)[1] == ["names stay"]


def test_shots_stay_where_a_part_is_out(fakes):
    """Without its feedback the customer is as another one, whose row is among the shots."""
    rows = [f"t{n},{1 if n % 2 else 5},,{n % 2}" for n in range(12)]
    table("train.csv", walked.TRAIN_HEADER, rows)
    table("customers.csv", walked.HEADER, ["c1,1,angry"])
    for approach in ("few-shot", "few-shot-nearest", "probe-shots"):
        fakes.lm.asked.clear()
        run(fakes, row=1, train="train.csv", approach=approach, shots=2)
        shown = [prompt.shots for prompt in fakes.lm.asked[-3:]]  # whole, two parts, both
        assert shown == [shown[0]] * 3
        assert len(shown[0]) == 2


def test_what_would_have_to_change(fakes):
    table("customers.csv", "id,amount,plan,feedback", ["1,1,angry,Sad", "2,5,happy,Fine", "3,9,fine,Fine"])  # fmt: skip
    text, _ = run(fakes, actionable=["plan"], below=0.6)
    first, second, *_ = re.findall(r"^  (?!\W)(.*)$", text, re.M)
    assert first == "under the threshold with plan angry → happy: 0.881 to 0.500"
    assert second == "already under the threshold"
    whole, _ = run(fakes, actionable=["plan", "amount"], below=0.1, row=1)
    assert "no change that was tried brings it under the threshold; the nearest is plan angry → happy" in whole  # fmt: skip
    assert len(re.findall("^row", whole, re.M)) == 1


def test_labelled_records_calibrate_or_are_what_an_approach_learns_from(fakes):
    text, _ = run(fakes, row=1, train="train.csv")
    assert "not calibrated" not in text
    for approach in ("probe", "embedding", "structured", "few-shot"):
        found, _ = run(fakes, row=1, train="train.csv", approach=approach)
        assert found.startswith("row 1 (007): left 1 has log-odds ")
    loaded = [Path(name).name for name, *_ in fakes.loaded]
    assert loaded == ["model", "model", "encoder", "model"]  # none for columns alone


def test_the_calibration_of_a_score_gives_its_probabilities(fakes):
    rows, _ = walked.many(300)
    table("customers.csv", walked.HEADER, rows)
    walked.score(fakes, base_rate=0.2, save_calibration="c.json")
    text, _ = run(fakes, limit=3, calibration="c.json")
    shown = re.findall(r"probability (\d\.\d+)", text)
    assert shown == [f"{float(each):.3f}" for each in walked.column("p_1")[:3]]
    assert "not calibrated" not in text
    for rate, line in (
        (0.2, []),
        (0.3, ["the base_rate of p.jinja is not used: --calibration was given"]),
    ):
        write("p.jinja", walked.PROMPT.replace("id: id\n", f"id: id\nbase_rate: {rate}\n"))
        assert run(fakes, limit=3, calibration="c.json") == (text, line)
    write("p.jinja", walked.PROMPT.replace("You judge", "You guess"))
    with pytest.raises(DataError) as caught:
        run(fakes, calibration="c.json")
    assert str(caught.value).startswith("c.json was found with another prompt (file or shots): ")


def test_a_saved_calibration_of_placed_numbers_needs_the_records_that_placed_them(fakes):
    write("p.jinja", walked.PROMPT.replace("positive: 1", "positive: 1\nnumbers: placed"))
    rows, _ = walked.many(300)
    table("customers.csv", walked.HEADER, rows)
    table("train.csv", walked.TRAIN_HEADER, [f"t{n},{n},told,{n % 2}" for n in range(40)])
    walked.score(fakes, train="train.csv", base_rate=0.2, save_calibration="c.json")
    text, _ = run(fakes, limit=3, train="train.csv", calibration="c.json")
    shown = re.findall(r"probability (\d\.\d+)", text)
    assert shown == [f"{float(each):.3f}" for each in walked.column("p_1")[:3]]


def test_a_label_that_no_labelled_row_has(fakes):
    """Zero-shot tells it all the same, as `score` does; who learns from labels cannot."""
    write("p.jinja", THREE)
    table("customers.csv", walked.HEADER, ["1,1,fine fine fine happy"])
    rows = [f"t{n},1,told {('happy', 'angry')[n % 2]},{(0, 2)[n % 2]}" for n in range(24)]
    table("two.csv", walked.TRAIN_HEADER, rows)
    alone, _ = run(fakes)
    text, said = run(fakes, train="two.csv")
    assert text == alone
    assert text.startswith("row 1 (1): left 1 has")
    assert said == ["not calibrated on labels: two.csv has no row of the label '1'"]
    text, said = run(fakes, train="two.csv", approach="embedding")
    assert said == [
        "warning: two.csv has no row of the label '1': probabilities are those of the other labels, "
        "without it"
    ]
    assert not text.startswith("row 1 (1): left 1 has")


def test_a_label_of_several(fakes):
    write("p.jinja", THREE)
    text, _ = run(fakes, row=2)
    assert text.startswith("row 2 (8): left 0 has log-odds ")
    asked, _ = run(fakes, row=2, label="2")
    assert asked.startswith("row 2 (8): left 2 has log-odds ")


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"approach": "prob", "train": "train.csv"}, f"the approach 'prob' is unknown (nearest: 'probe'); possible: {', '.join(EXPLAINED)}"),
        ({"approach": "cascade", "train": "train.csv"}, f"the approach 'cascade' joins others, which can be explained; possible: {', '.join(EXPLAINED)}"),
        ({"approach": "stack", "train": "train.csv"}, f"the approach 'stack' joins others, which can be explained; possible: {', '.join(EXPLAINED)}"),
        ({"approach": "tuned", "train": "train.csv"}, f"the approach 'tuned' is zero-shot with an adapter, which --adapter names; possible: {', '.join(EXPLAINED)}"),
        ({"approach": "prior", "train": "train.csv"}, f"the approach 'prior' has no reasons; possible: {', '.join(EXPLAINED)}"),
        ({"approach": "probe"}, "probe learns from labelled records; give them with --train"),
        ({"shots": 4}, "zero-shot shows no shots; possible: few-shot, few-shot-sets, few-shot-random, few-shot-nearest, probe-shots"),
        ({"train": "train.csv", "calibration": "c.json"}, "--calibration goes with zero-shot, without --train, which calibrates anew"),
        ({"approach": "probe", "train": "train.csv", "calibration": "c.json"}, "--calibration goes with zero-shot, without --train, which calibrates anew"),
        ({"calibration": "c.json"}, "c.json cannot be read (No such file or directory)"),
        ({"train": "one.csv"}, "one.csv has rows of the label '1' alone; zero-shot learns from two labels or more"),
        ({"train": "none.csv"}, "none.csv: none of 1 rows has a value in column 'left'"),
        ({"label": "5"}, "--label is '5'; the labels of p.jinja are '1', '0'"),
        ({"actionable": ["amount"]}, "--actionable and --below go together: what may change, and how far down"),
        ({"below": 0.5}, "--actionable and --below go together: what may change, and how far down"),
        ({"actionable": ["feedback"], "below": 0.5}, "'feedback' is no field that p.jinja shows; possible: amount"),
        ({"row": 9}, "customers.csv has no row 9; it has 4 rows"),
        ({"approach": "panel", "train": "train.csv"}, "p.jinja has no panel, which the approach panel asks"),
        ({"customers": "train.csv", "prompt": "churn-shop"}, "churn-shop.jinja needs column 'feedback_text'; train.csv has no such column"),
        ({"out": Path("p.jinja")}, "p.jinja is a file; --out wants a folder"),
    ],
)  # fmt: skip
def test_what_is_refused_before_a_model_is_loaded(fakes, given, text):
    table("one.csv", walked.TRAIN_HEADER, [each for each in walked.TRAIN if each.endswith("1")])
    table("none.csv", walked.TRAIN_HEADER, ["t1,1,told,"])
    with pytest.raises((DataError, PromptError)) as caught:
        run(fakes, **given)
    assert str(caught.value).startswith(text)
    assert fakes.loaded == []


def test_other_tasks_and_several_labels_without_one(fakes):
    write("p.jinja", THREE)
    with pytest.raises(DataError) as caught:
        run(fakes, actionable=["amount"], below=0.5)
    assert str(caught.value) == (
        "p.jinja has several labels; say of which one the probability is to fall, with --label; "
        "possible: 2, 1, 0"
    )
    table("two.csv", walked.TRAIN_HEADER, ["t1,1,told,2", "t2,1,told,0"] * 4)
    with pytest.raises(DataError) as lacking:
        run(fakes, label="1", train="two.csv", approach="probe")
    assert str(lacking.value) == ("two.csv has no row of the label '1', which is to be explained")
    write("p.jinja", walked.NO_ID)
    with pytest.raises(PromptError) as itself:
        run(fakes, approach="few-shot", train="train.csv", actionable=["amount"], below=0.5)
    assert str(itself.value) == (
        "p.jinja names no id: a customer that is changed could be shown itself as a shot; possible: id "
        "in the front matter, or an approach without shots"
    )
    write("p.jinja", walked.PROMPT.replace("binary", "regression").replace("labels: {1: [angry, sad], 0: happy}\npositive: 1", "bins: {words: [low, high], edges: [0, 1, 2]}"))  # fmt: skip
    with pytest.raises(PromptError) as refused:
        run(fakes)
    assert str(refused.value) == (
        "p.jinja has task: regression, which explain cannot do; possible: binary, multiclass"
    )
    assert fakes.loaded == []


def test_what_a_table_holds_is_no_order_to_a_terminal(fakes):
    red = "\x1b[31mangry\x07"
    table("customers.csv", "id,amount,plan,feedback", [f"1\x1b[1m,1,{red},Sad", "2,5,happy,Fine"])
    text, _ = run(fakes, actionable=["plan"], below=0.6)
    assert "\x1b" not in text
    assert "row 1 (1[1m): " in text
    assert "with plan [31mangry → happy: " in text


def test_what_missing_means_to_an_approach_of_columns(fakes):
    text, _ = run(fakes, approach="structured", train="train.csv")
    assert (
        "when the field is missing, or the sentence is cut. That a field is missing may tell something "
        "itself; --typical gives it its usual value." in text
    )
    usual, _ = run(fakes, approach="structured", train="train.csv", typical=True)
    assert "when the field has its typical value, or the sentence is cut." in usual
    assert "may tell something itself" not in usual


def test_a_bar_for_no_effect_at_all(fakes):
    table("customers.csv", walked.HEADER, ["1,2,nothing"])
    text, _ = run(fakes)
    assert "  +0.00                amount: 2.00 EUR" in text
