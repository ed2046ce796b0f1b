"""The walk of `wordings`, and what it says and writes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from fakes import FakeLM
from promptpredict import loading, models, shipped
from promptpredict.choosing import Choice, Estimate, Labelled
from promptpredict.cli import app
from promptpredict.errors import DataError, PromptError
from promptpredict.ground import Ground
from promptpredict.labelled import read_labelled
from promptpredict.plans import Plan
from promptpredict.prompt import PromptFile
from promptpredict.records import read_records
from promptpredict.saying import Found
from promptpredict.splits import split
from promptpredict.trying import WordingsOptions, _check_out, _write, try_table
from promptpredict.wordings import Tried, Wording, own_wording

PROMPT = """---
task: binary
target: left
labels: {0: happy, 1: angry}
positive: 1
id: id
text: [feedback]
---
{% block system %}You judge.{% endblock %}
{% block customer %}{{ customer.feedback }}{% endblock %}
{% block question %}How does the customer feel?{% endblock %}
{% block answer %}The customer feels{% endblock %}
"""
TRIED = """\
words:
  moods:
    - [late, early]
    - [[slow, bad], [quick]]
    - [nice, awful]
questions:
  mood:
    question: Which mood?
    answers: The mood is
    words: [moods]
"""


CHOOSE = (
    "{} of {} labelled rows choose; a `benchmark` of the wording on this table would test it on "
    "some of them"
)


@pytest.fixture(autouse=True)
def lm(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.jinja").write_text(PROMPT)
    (tmp_path / "try.yaml").write_text(TRIED)
    texts = [("late slow", 1), ("early quick", 0)] * 6 + [("late", 1), ("slow early", 0)] * 2
    rows = [f"c{at},{text},{label}" for at, (text, label) in enumerate(texts)]
    (tmp_path / "labelled.csv").write_text("\n".join(["id,feedback,left", *rows, ""]))
    fake = FakeLM()
    monkeypatch.setattr(models, "pick", lambda name, say: name)
    monkeypatch.setattr(loading, "load_language_model", lambda source, *, say: fake)
    return fake


def run(said=None, **changes):
    given = {"labelled": "labelled.csv", "prompt": "mine.jinja", "tried": "try.yaml"} | changes
    return try_table(WordingsOptions(**given), (said if said is not None else []).append)


# ------------------------------------------------------------------------------------- the walk


def test_the_best_wording_is_shown_and_written(lm, tmp_path):
    text = run(out=tmp_path / "best.jinja")
    lines = text.splitlines()
    assert lines[0].startswith("   question  answer       words for 1 / 0   ROC AUC  ")
    assert lines[1].startswith("1  mood      The mood is  late / early")
    assert "Chosen among 4 wordings with 16 labels, 8 of them 1." in lines
    assert "The positive label, 1, is the bad outcome (by labels; --outcome overrides it)." in lines
    assert lines[-1] == f"{tmp_path / 'best.jinja'} is written."
    written = PromptFile.load(tmp_path / "best.jinja")
    assert written.words == {"0": ["early"], "1": ["late"]}
    assert written.front.positive == "1"
    assert len(lm.asked) == 16 * 4
    prompt = lm.asked[0]
    record = next(each for each in read(written) if each.row == 1)
    assert written.render(record) == prompt


def read(prompt_file):
    return read_records("labelled.csv", prompt_file.roles).records


def test_where_the_good_outcome_is_positive_the_words_change_sides(tmp_path):
    (tmp_path / "good.jinja").write_text(PROMPT.replace("positive: 1", "positive: 0"))
    text = run(prompt="good.jinja", out=tmp_path / "best.jinja")
    assert text.splitlines()[1].startswith("1  mood      The mood is  early / late")
    assert "The positive label, 0, is the good outcome (by labels; --outcome overrides it)." in text
    assert PromptFile.load(tmp_path / "best.jinja").words == {"0": ["early"], "1": ["late"]}


def test_fewer_rows_are_drawn_with_both_labels(lm):
    assert "with 6 labels, 3 of them 1." in run(rows=6)
    assert len(lm.asked) == 6 * 4


def test_without_labels_none_is_needed(lm, tmp_path):
    (tmp_path / "new.csv").write_text("id,feedback\n1,late slow angry\n2,early quick\n3,late\n")
    text = run(labelled="new.csv", unlabelled=True)
    assert "ROC AUC" not in text.replace("ROC AUC is", "")
    assert "Chosen among 4 wordings by agreement on 3 records, without a label." in text
    assert (
        "The positive label, 1, is the bad outcome "
        "(by the prompt file's own wording; --outcome overrides it)." in text
    )
    assert len(lm.asked) == 3 * 4
    assert "is the good outcome (as --outcome says)." in run(
        labelled="new.csv", unlabelled=True, outcome="good"
    )
    run(labelled="new.csv", unlabelled=True, rows=4)
    lm.asked.clear()
    run(labelled="labelled.csv", unlabelled=True, rows=5)
    assert len(lm.asked) == 5 * 4


@pytest.mark.parametrize(("count", "rows"), [(16, 64), (100, 64)])
def test_a_table_too_small_for_both_is_warned_of(tmp_path, count, rows):
    many(tmp_path, count)
    said = []
    run(said, rows=rows)
    assert said == [CHOOSE.format(min(count, rows), count)]


def test_rows_that_a_benchmark_tests_choose_no_wording(lm, tmp_path):
    """Its default split of the same table, so that nobody has to think of it."""
    many(tmp_path, 120)
    said = []
    run(said, rows=40)
    assert said == []
    asked = {prompt.user.split()[0] for prompt in lm.asked}
    train, test = split(["1" if row % 3 else "0" for row in range(120)], max_test=1000, seed=0)
    assert len(asked) == 40
    assert asked <= {f"marker{row}" for row in train}
    assert not asked & {f"marker{row}" for row in test}


def test_rows_of_a_customer_whom_a_benchmark_tests_choose_no_wording(lm, tmp_path):
    """It keeps rows of one id on one side, which is another split than that of single rows."""
    many(tmp_path, 120, ids=40)
    run(rows=60)
    asked = {int(prompt.user.split()[0].removeprefix("marker")) for prompt in lm.asked}
    file = PromptFile.load("mine.jinja")
    records, _ = read_labelled("labelled.csv", file)
    (one,) = Ground(records, file, Plan()).splits
    assert len(asked) == 60
    assert {row % 40 for row in one.train} & {row % 40 for row in one.test} == set()
    assert {row % 40 for row in asked} & {row % 40 for row in one.test} == set()


def many(folder, count, ids=None):
    rows = [
        f"c{row % (ids or count)},marker{row} late slow,{1 if row % 3 else 0}"
        for row in range(count)
    ]
    (folder / "labelled.csv").write_text("\n".join(["id,feedback,left", *rows, ""]))


def test_what_is_left_out_is_said(tmp_path):
    table = (tmp_path / "labelled.csv").read_text()
    (tmp_path / "labelled.csv").write_text(f"{table}c,[unscorable],1\nd,fine,\ne,x,1,2\n")
    said = []
    run(said)
    assert said == [
        "labelled.csv: rows left out: 1 without a label, 1 unusable "
        "(the first is row 19: line 20: the header has 3 cells, this row 4)",
        CHOOSE.format(17, 17),
        "left out: row 17: it cannot be scored",
    ]


def test_the_ensemble_is_five_files(tmp_path):
    (tmp_path / "best-3.jinja").touch()
    with pytest.raises(DataError, match=r"best-3\.jinja is there already"):
        run(out=tmp_path / "best.jinja", ensemble=True)
    (tmp_path / "best-3.jinja").unlink()
    lines = run(out=tmp_path / "best.jinja", ensemble=True).splitlines()
    names = ["best.jinja", "best-2.jinja", "best-3.jinja", "best-4.jinja"]  # of four wordings
    assert lines[-4:] == [f"{tmp_path / name} is written." for name in names]
    assert {tuple(PromptFile.load(tmp_path / name).words["1"]) for name in names} == {
        ("late",), ("slow", "bad"), ("nice",), ("angry",),
    }  # fmt: skip


def test_the_command_runs_it_and_needs_a_file_for_the_ensemble():
    given = ["wordings", "labelled.csv", "--prompt", "mine.jinja", "--try", "try.yaml"]
    done = CliRunner().invoke(app, [*given, "--out", "best.jinja", "--outcome", "bad"])
    assert done.exit_code == 0
    assert done.stdout == run(outcome="bad") + "\nbest.jinja is written.\n"
    slip = CliRunner().invoke(app, [*given, "--ensemble"])
    assert (slip.exit_code, slip.stdout, slip.stderr) == (
        2,
        "",
        "error: --ensemble needs a file to write; give it with --out FILE\n"
        "see promptpredict wordings --help\n",
    )


# ------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"prompt": "three.jinja"},
         "three.jinja has task: multiclass, whose wordings cannot be tried yet; possible: binary"),
        ({"tried": "none.yaml"}, "none.yaml cannot be read (No such file or directory)"),
        ({"out": "mine.jinja"}, "mine.jinja is there already; remove it, or give another --out"),
        ({"out": "sub/best.jinja"},
         "sub/best.jinja would extend mine.jinja, which must stand beside it; "
         "possible: --out {folder}/best.jinja"),
        ({"prompt": "churn-shop", "out": "churn-shop.jinja"},
         "churn-shop.jinja would extend itself; possible: another name"),
        ({"prompt": "churn-shop", "out": "none/best.jinja"},
         "none/best.jinja cannot be written: there is no folder none"),
        ({"labelled": "one.csv"},
         "1 of 4 labelled records have the positive label; "
         "a choice needs two of either label (--unlabelled needs none)"),
        ({"labelled": "empty.csv", "unlabelled": True},
         "empty.csv has no usable row (the first is row 1: line 2: the header has 2 cells, this row 1)"),
    ],
)  # fmt: skip
def test_faults_are_told_before_a_model_loads(tmp_path, monkeypatch, changes, text):
    three = PROMPT.replace("binary", "multiclass").replace("positive: 1\n", "")
    (tmp_path / "three.jinja").write_text(three.replace("1: angry", "1: angry, 2: calm"))
    (tmp_path / "one.csv").write_text("id,feedback,left\n1,a,1\n2,b,0\n3,c,0\n4,d,0\n")
    (tmp_path / "empty.csv").write_text("id,feedback\n1\n")
    (tmp_path / "sub").mkdir()
    monkeypatch.setattr(models, "pick", lambda *_: pytest.fail("a model was picked"))
    if "out" in changes:
        changes = changes | {"out": Path(changes["out"])}
    with pytest.raises((DataError, PromptError)) as error:
        run(**changes)
    assert str(error.value) == text.format(folder=tmp_path)


def test_a_shipped_prompt_file_is_extended_from_anywhere_unless_another_stands_in_between(tmp_path):
    parent = PromptFile.load("churn-shop")
    _check_out(tmp_path / "best.jinja", parent)
    shipped.copy("churn-shop", tmp_path)
    with pytest.raises(DataError, match=r"would extend churn-shop\.jinja, which must stand beside"):
        _check_out(tmp_path / "best.jinja", parent)
    _check_out(tmp_path / "best.jinja", PromptFile.load(tmp_path / "churn-shop.jinja"))


def test_a_file_that_cannot_be_written_is_a_fault(tmp_path, monkeypatch):
    with pytest.raises(DataError) as error:
        _write(tmp_path / "none" / "best.jinja", "")
    path = tmp_path / "none" / "best.jinja"
    assert str(error.value) == f"{path} cannot be written (No such file or directory)"
    with pytest.raises(DataError, match=r"mine\.jinja cannot be written \(File exists\)"):
        _write(tmp_path / "mine.jinja", "")


# ------------------------------------------------------------------------------------- the words


def found(tmp_path, *, labelled=True, outcome="bad", order=(0, 1, 2, 3)):
    prompt_file = PromptFile.load(tmp_path / "mine.jinja")
    wordings = (
        Wording("mood", "Which mood?", "The mood is", ("upset",), ("pleased",)),
        Wording("mood", "Which mood?", "The mood is", ("sad", "bitter"), ("glad",)),
        Wording("bare", 'Is it "fine"?', "", ("No",), ("Yes",)),
        own_wording(prompt_file),
    )
    tried = Tried(
        wordings, np.zeros((20, 4)), np.full((20, 4), 0.0312), tuple(range(20)), {}, {}, 0
    )
    each = (0.9444, 0.91, 0.33, 0.9)
    values = Labelled(
        tuple(Estimate(value, value - 0.1, min(value + 0.1, 1)) for value in each),
        Estimate(0.921, 0.8, 1.0),
        Estimate(0.012, -0.051, 0.08),
        Estimate(0.93, 0.81, 1.0),
        Estimate(0.0, -0.04, 0.07),
    )
    agreement = np.array([0.95, 0.9, -0.4, 0.931])
    choice = Choice(outcome, agreement, order, order[:3], values if labelled else None)
    hits = np.arange(20) < 7 if labelled else None
    return Found(prompt_file, tried, choice, hits, outcome_given=False)


SAID = """\
   question  answer       words for 1 / 0    ROC AUC             agreement      label mass
1  mood      The mood is  upset / pleased    .944 (.84 to 1.00)  .95            0.031
2  mood      The mood is  sad+bitter / glad  .910 (.81 to 1.00)  .90            0.031
3  own                    angry / happy      .900 (.80 to 1.00)  .93            0.031
4  bare                   No / Yes           .330 (.23 to .43)   -.40 reversed  0.031

Chosen among 4 wordings with 20 labels, 7 of them 1.
The positive label, 1, is the bad outcome (by labels; --outcome overrides it).
The best has ROC AUC .944 (.84 to 1.00) on the records that chose it: partly luck, as is the highest, .944.
On records that did not choose it: .921 (.80 to 1.00), +.012 (-.05 to +.08) against the own wording: not shown to be better.
The average of the best 3 in log space, likewise: .930 (.81 to 1.00), +.000 (-.04 to +.07) against the own wording.
1 of 4 wordings rank customers the other way round (reversed); none of them was turned."""
UNLABELLED = """\
   question  answer       words for 1 / 0    agreement      label mass
1  mood      The mood is  pleased / upset    .95            0.031
2  mood      The mood is  glad / sad+bitter  .90            0.031
3  own                    angry / happy      .93            0.031
4  bare                   Yes / No           -.40 reversed  0.031

Chosen among 4 wordings by agreement on 20 records, without a label.
The positive label, 1, is the good outcome (by the prompt file's own wording; --outcome overrides it).
How well they rank customers is not known without labels.
1 of 4 wordings rank customers the other way round (reversed); none of them was turned."""
WRITTEN = """\
{# Found by promptpredict wordings, place 1.
   Chosen among 4 wordings with 20 labels, 7 of them 1.
   The best has ROC AUC .944 (.84 to 1.00) on the records that chose it: partly luck, as is the highest, .944.
   On records that did not choose it: .921 (.80 to 1.00), +.012 (-.05 to +.08) against the own wording: not shown to be better.
   The average of the best 3 in log space, likewise: .930 (.81 to 1.00), +.000 (-.04 to +.07) against the own wording. #}
---
labels:
  "0": ["pleased"]
  "1": ["upset"]
panel:
  "bare, No / Yes":
    question: "Is it \\"fine\\"?"
    words: ["No", "Yes"]
---
{% extends "mine.jinja" %}
{% block question %}Which mood?{% endblock %}
{% block answer %}The mood is{% endblock %}
"""
SECOND = """\
{# Found by promptpredict wordings, place 2.
   Chosen among 4 wordings with 20 labels, 7 of them 1. #}
---
labels:
  "0": ["glad"]
  "1": ["sad", "bitter"]
---
{% extends "mine.jinja" %}
{% block question %}Which mood?{% endblock %}
{% block answer %}The mood is{% endblock %}
"""
OWN = """\
   On records that did not choose it: .921 (.80 to 1.00), the own wording is the best.
   The average of the best 3 in log space, likewise: .930 (.81 to 1.00), +.000 (-.04 to +.07) against the own wording. #}
---
panel:
  "bare, No / Yes":
    question: "Is it \\"fine\\"?"
    words: ["Yes", "No"]
  "mood, The mood is, upset / pleased":
    question: "Which mood?"
    answer: "The mood is"
    words: ["pleased", "upset"]
---
{% extends "mine.jinja" %}
"""


def test_what_is_said_with_labels_and_without(tmp_path):
    assert found(tmp_path, order=(0, 1, 3, 2)).text() == SAID
    unlabelled = found(tmp_path, order=(0, 1, 3, 2), labelled=False, outcome="good")
    assert unlabelled.text() == UNLABELLED


def test_what_is_written(tmp_path):
    # neither words that count together nor the own wording can stand in the panel
    assert found(tmp_path, order=(0, 1, 2, 3)).file_text() == WRITTEN
    assert found(tmp_path, order=(0, 1, 2, 3)).file_text(1) == SECOND
    text = found(tmp_path, order=(3, 2, 0, 1), outcome="good").file_text()
    assert text.split("\n", 3)[3] == OWN
    assert "panel:" not in found(tmp_path, order=(0, 3, 1, 2)).file_text()
    assert "place 1.\n   Chosen among 4 wordings by agreement" in (
        found(tmp_path, labelled=False).file_text()
    )


def test_only_the_best_ten_the_own_and_the_worst_are_shown(tmp_path):
    few = found(tmp_path)
    wordings = [Wording(f"q{at}", "?", "", ("bad",), ("good",)) for at in range(14)]
    tried = Tried(
        (*wordings, few.tried.wordings[-1]), np.zeros((5, 15)), np.ones((5, 15)), (), {}, {}, 0
    )
    choice = Choice("bad", np.linspace(1, 0.1, 15), (*range(12), 14, 12, 13), (0,), None)
    text = Found(few.prompt_file, tried, choice, None, outcome_given=True).text()
    lines = text.split("\n\n")[0].splitlines()[1:]
    assert [line.split()[:2] for line in lines] == [
        *([str(at + 1), f"q{at}"] for at in range(10)), ["13", "own"], ["15", "q13"],
    ]  # fmt: skip
    assert "reversed" not in text


@pytest.mark.parametrize(
    ("low", "verdict"), [(0.001, ": it is better."), (0.0, ": not shown to be better.")]
)
def test_better_is_what_the_interval_shows(tmp_path, low, verdict):
    told = found(tmp_path)
    labelled = replace(told.choice.labelled, gain=Estimate(0.02, low, 0.05))
    told = replace(told, choice=replace(told.choice, labelled=labelled))
    assert f"against the own wording{verdict}\n" in told.text()


def test_where_all_records_agree_it_is_said_that_they_cannot_tell(tmp_path):
    told = found(tmp_path)
    labelled = replace(told.choice.labelled, gain=Estimate(0.0, 0.0, 0.0))
    told = replace(told, choice=replace(told.choice, labelled=labelled))
    assert (
        "\nOn records that did not choose it: .921 (.80 to 1.00), as the own wording: "
        "these records cannot tell them apart.\n" in told.text()
    )
