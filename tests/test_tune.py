"""`tune` and `score --adapter` with a tiny random model: what is written, read back and refused."""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from promptpredict import (
    adapteroptions,
    adapters,
    checking,
    cli,
    making,
    parting,
    subcommands,
    trainee,
    training,
)
from promptpredict.adapters import CARD, CONFIG, WEIGHTS, Card, Tuning
from promptpredict.calibration import columns_of
from promptpredict.checking import ScoreOptions
from promptpredict.episodecards import EpisodeTuning
from promptpredict.errors import DataError, ModelError, PromptError, UnscoredError
from promptpredict.explaining import ExplainOptions, explain_table
from promptpredict.forecast import forecast_table
from promptpredict.means import Mean, mean_of
from promptpredict.plans import WITH_LM
from promptpredict.tune import TuneOptions, tune_table
from promptpredict.walk import score_table
from walked import PROMPT, THREE, column, table, write

QUICK = Tuning(rank=4, alpha=8, learning_rate=1e-2, batch=8, epochs=3)
HEADER = "id,amount,feedback,left"
SAID = ["happy again and again", "late and slow"]


def labelled(count=48, name="train.csv", labels="01"):
    rows = [f"t{n},{n},{SAID[n % 2]} {n % 5},{labels[n % len(labels)]}" for n in range(count)]
    table(name, HEADER, rows)


@pytest.fixture(autouse=True)
def _files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("p.jinja", PROMPT)
    labelled()
    labelled(40, "customers.csv")


def tune(folder, **changes):
    said = []
    given = {"labelled": "train.csv", "prompt": "p.jinja", "out": Path("adapter")}
    given |= {"model": str(folder), "dtype": "float32", "tuning": QUICK}
    text = tune_table(TuneOptions(**(given | changes)), said.append)
    return text, said


def score(folder, **changes):
    said = []
    given = {"customers": "customers.csv", "prompt": "p.jinja", "out": "scores.csv"}
    given |= {
        "model": str(folder),
        "stop_mass": 0.0,
        "adapter": Path("adapter"),
        "dtype": "float32",
    }
    return score_table(ScoreOptions(**(given | changes)), said.append), said


def contents(folder):
    return {name: (Path(folder) / name).read_bytes() for name in (WEIGHTS, CONFIG, CARD)}


def refused(call, *given, error=DataError, **changes):
    with pytest.raises(error) as caught:
        call(*given, **changes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# -- what tune writes --------------------------------------------------------------------------


def test_an_adapter_is_a_folder_with_a_card(tiny_folder):
    text, said = tune(tiny_folder)
    assert sorted(os.listdir("adapter")) == sorted([WEIGHTS, CONFIG, CARD])
    assert not Path("adapter.unfinished").exists()
    card = Card.load("adapter/card.json")
    assert (card.rows, card.held_out, card.seed, card.tuning) == (48, 10, 0, QUICK)
    assert (card.labels, card.prompt_file) == (("1", "0"), "p.jinja")
    assert card.adapter == adapters.digest(Path("adapter"))
    change = card.change
    assert change.mean == pytest.approx(card.after.log_loss - card.before.log_loss)
    assert change.low < change.mean < 0
    assert card.calibration.method == "platt"
    assert sorted(card.versions) == ["peft", "promptpredict", "torch", "transformers"]
    assert said[-1] == "tuning on 38 labelled rows, 10 are held out"
    assert text == (
        f"tuned on 38 labelled rows; the {adapters._ordinal(card.best)} of {card.epochs} epochs is kept\n"
        f"on 10 rows held out: log loss {card.before.log_loss:.3f} before, {card.after.log_loss:.3f} "
        f"with the adapter ({change.mean:+.3f}, 95 % {change.low:+.3f} to {change.high:+.3f}: "
        f"{'better' if change.high < 0 else 'undecided'}); ROC AUC {card.before.roc_auc:.3f} before, {card.after.roc_auc:.3f}\n"
        "adapter is written."
    )


def test_the_same_command_writes_the_same_bytes_and_another_seed_others(tiny_folder):
    for name, seed in (("one", 0), ("two", 0), ("three", 1)):
        tune(tiny_folder, out=Path(name), seed=seed)
    assert contents("one") == contents("two")
    assert contents("one")[WEIGHTS] != contents("three")[WEIGHTS]


def test_a_run_that_was_killed_goes_on_to_the_same_bytes(tiny_folder, monkeypatch):
    tune(tiny_folder, out=Path("whole"))
    judge, epochs = training.Training._judge, []

    def killed(self):
        judge(self)
        epochs.append(self.epochs)
        if epochs == [0, 1]:
            raise KeyboardInterrupt

    monkeypatch.setattr(training.Training, "_judge", killed)
    with pytest.raises(KeyboardInterrupt):
        tune(tiny_folder, out=Path("killed"))
    assert not Path("killed").exists()
    assert Path("killed.unfinished/checkpoint.pt").is_file()
    tune(tiny_folder, out=Path("killed"))
    assert epochs[2] == 2  # the first epoch was not trained again
    assert contents("killed") == contents("whole")


def test_a_run_with_other_options_does_not_go_on(tiny_folder, monkeypatch):
    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(trainee.Trainee, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            tune(tiny_folder)
    assert refused(tune, tiny_folder, seed=1) == (
        "adapter.unfinished holds an adapter that is not finished, of other rows, another prompt "
        "file, model or options, or of another version; possible: the command that began it, "
        "another --out, or remove that folder"
    )


def test_three_labels_are_calibrated_as_three(tiny_folder):
    write("p.jinja", THREE)
    labelled(60, labels="012")
    text, _ = tune(tiny_folder)
    card = Card.load("adapter/card.json")
    assert card.calibration.method == "vector"
    assert (card.before.roc_auc, card.after.roc_auc) == (None, None)
    assert "ROC AUC" not in text
    score(tiny_folder)
    sums = sum(np.array(column(f"p_{key}"), float) for key in "012")
    np.testing.assert_allclose(sums, 1, atol=1e-5)


def test_an_adapter_that_is_no_better_says_so():
    card = Card.model_construct(
        rows=100, held_out=20, epochs=2, best=0,
        before=adapters.Judged(log_loss=0.5, roc_auc=None),
        after=adapters.Judged(log_loss=0.5, roc_auc=None),
    )  # fmt: skip
    assert card.describe() == (
        "tuned on 80 labelled rows; all 2 epochs were worse than the model as it is, which is "
        "kept\non 20 rows held out: log loss 0.500 before, 0.500 with the adapter"
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (Mean(mean=-0.02, low=-0.03, high=-0.01), " (-0.020, 95 % -0.030 to -0.010: better)"),
        (Mean(mean=0.02, low=0.01, high=0.03), " (+0.020, 95 % +0.010 to +0.030: worse)"),
        (Mean(mean=-0.02, low=-0.05, high=0.01), " (-0.020, 95 % -0.050 to +0.010: undecided)"),
        (Mean(mean=-0.02), ""),
        (None, ""),
    ],
)
def test_what_the_held_out_rows_tell_of_an_adapter(change, words):
    card = Card.model_construct(
        rows=100, held_out=20, epochs=2, best=1, change=change,
        before=adapters.Judged(log_loss=0.5, roc_auc=None),
        after=adapters.Judged(log_loss=0.48, roc_auc=None),
    )  # fmt: skip
    assert card.describe() == (
        "tuned on 80 labelled rows; the 1st of 2 epochs is kept\n"
        f"on 20 rows held out: log loss 0.500 before, 0.480 with the adapter{words}"
    )


def test_rows_of_one_customer_count_once_in_what_an_adapter_changes(tiny_folder):
    """Each held-out customer has two rows: they say less than as many customers would."""
    rows = [f"c{n // 2},{n % 3},{('late', 'fine')[n // 2 % 2]} {n},{n // 2 % 2}" for n in range(80)]
    table("train.csv", HEADER, rows)
    asked, _, judges = parted_of(tiny_folder)
    logprobs = np.log(np.random.default_rng(0).dirichlet([1, 1], size=(2, len(judges))))
    found = making._worth(asked, judges, *logprobs)["change"]
    columns = columns_of([asked.y[row] for row in judges], asked.labels)
    lost = making.losses(logprobs[1], columns) - making.losses(logprobs[0], columns)
    names = [asked.records[row].id for row in judges]
    assert len(set(names)) * 2 == len(names)
    assert found == mean_of(lost, units=names)
    assert found != mean_of(lost)


def test_a_row_that_cannot_be_read_is_left_out_and_said(tiny_folder, monkeypatch):
    plain = making._training

    def once(asked, *given):
        if len(asked.records) == 48:
            raise UnscoredError({7: "its prompt has 9,000 tokens"})
        return plain(asked, *given)

    monkeypatch.setattr(making, "_training", once)
    _, said = tune(tiny_folder)
    assert "left out: row 7: its prompt has 9,000 tokens" in said
    assert Card.load("adapter/card.json").rows == 47


# -- which rows are held out -------------------------------------------------------------------


def parted(tiny_folder, count=48, labels="01", **changes):
    labelled(count, labels=labels)
    return parted_of(tiny_folder, **changes)


def parted_of(tiny_folder, **changes):
    """Part the rows of train.csv."""
    from promptpredict.labelled import read_labelled
    from promptpredict.models import find
    from promptpredict.prompt import PromptFile

    file = PromptFile.load("p.jinja")
    records, _ = read_labelled("train.csv", file)
    given = {"source": find(str(tiny_folder)), "prompt_file": file, "records": records}
    given |= {"tuning": QUICK, "seed": 0, "out": Path("adapter")}
    asked = making.Asked(**(given | changes))
    return asked, *making.part(asked)


@pytest.mark.parametrize(
    ("count", "labels", "expected"),
    [(100, "01", (10, 10)), (16, "01", (4, 4)), (20, "01", (4, 4)), (96, "0001", (5, 14)),
     (100, "0" * 49 + "1", (1, 20))],
)  # fmt: skip
def test_a_share_of_each_label_is_held_out(tiny_folder, count, labels, expected):
    asked, train, held = parted(tiny_folder, count, labels)
    assert sorted([*train, *held]) == list(range(count))
    ones = sum(asked.y[row] == "1" for row in held)
    assert (ones, len(held) - ones) == expected
    assert {asked.y[row] for row in train} == {"0", "1"}
    assert parted(tiny_folder, count, labels, seed=1)[2] != held


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("largest", [1, 3, 12])
def test_groups_are_parted_so_that_every_label_stands_on_both_sides(tiny_folder, seed, largest):
    """Or there is an error: never a label that is not held out, nor fewer than 8 rows."""
    asked, *_ = parted(tiny_folder, 48)
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, largest + 1, size=len(asked.records))
    names = np.repeat(np.arange(len(sizes)), sizes)[: len(asked.records)]
    grouped = [
        replace(each, group=f"g{name}") for each, name in zip(asked.records, names, strict=True)
    ]
    given = replace(asked, records=grouped)
    train, held = making.part(given)
    assert not set(names[train]) & set(names[held])
    assert sorted([*train, *held]) == list(range(len(grouped)))
    for rows in (train, held):
        assert len(rows) >= parting.HELD
        assert {given.y[row] for row in rows} == set(given.labels)


def test_a_group_of_most_rows_trains(tiny_folder):
    asked, *_ = parted(tiny_folder, 48)
    grouped = [
        replace(each, group="one" if at < 32 else f"g{at}") for at, each in enumerate(asked.records)
    ]
    train, held = making.part(replace(asked, records=grouped))
    assert set(range(32)) <= set(train)
    assert len(held) >= parting.HELD


def test_the_same_rows_in_groups_are_other_data(tiny_folder):
    asked, *_ = parted(tiny_folder, 48)
    grouped = replace(asked, records=[replace(each, group="g") for each in asked.records])
    assert grouped.key != asked.key


def test_rows_of_a_group_stand_on_one_side(tiny_folder):
    asked, *_ = parted(tiny_folder, 60)
    grouped = [replace(each, group=f"g{at // 4}") for at, each in enumerate(asked.records)]
    train, held = making.part(replace(asked, records=grouped))
    assert not {row // 4 for row in train} & {row // 4 for row in held}
    assert held


@pytest.mark.parametrize(
    ("count", "labels", "text"),
    [
        (15, "01", "there are 15 labelled rows; an adapter needs 16 or more"),
        (40, "0" * 39 + "1", "1 of 40 labelled rows has the label '1'; an adapter needs 2 of each "
         "label, one to train and one to judge"),
        (40, "0", "0 of 40 labelled rows have the label '1'; an adapter needs 2 of each label, one "
         "to train and one to judge"),
    ],
)  # fmt: skip
def test_too_few_rows_are_refused_before_the_model_loads(
    tiny_folder, monkeypatch, count, labels, text
):
    monkeypatch.setattr(making, "load_language_model", lambda *_, **__: pytest.fail("it loads"))
    labelled(count, labels=labels)
    assert refused(tune, tiny_folder) == text


# -- what is refused ---------------------------------------------------------------------------


def test_a_folder_that_is_there_is_refused(tiny_folder):
    Path("adapter").mkdir()
    assert refused(tune, tiny_folder) == (
        "adapter is there already; remove it, or give another --out"
    )


def test_amounts_are_refused(tiny_folder):
    front = "task: regression\ntarget: left\nbins: {words: [low, high], edges: [0, 1, 2]}"
    head = "task: binary\ntarget: left\nlabels: {1: [angry, sad], 0: happy}\npositive: 1"
    write("p.jinja", PROMPT.replace(head, front))
    assert refused(tune, tiny_folder, error=PromptError) == (
        "p.jinja has task: regression, which tune cannot do; possible: binary, multiclass"
    )


def test_without_peft_tune_and_adapter_say_what_to_install(tiny_folder, monkeypatch):
    tune(tiny_folder)
    monkeypatch.setattr(adapters, "find_spec", lambda name: None)
    for call, what in ((tune, "tune"), (score, "--adapter")):
        assert refused(call, tiny_folder, error=ModelError) == (
            f"{what} needs peft, which is not installed; possible: pip install 'promptpredict[tune]'"
        )


def test_another_run_on_the_same_folder_is_refused(tiny_folder):
    from filelock import FileLock

    Path("adapter.unfinished").mkdir()
    with FileLock("adapter.unfinished/lock"):
        assert refused(tune, tiny_folder) == (
            "adapter.unfinished is held by another run; possible: wait for it, or another --out"
        )


# -- score with an adapter ---------------------------------------------------------------------


def test_score_uses_the_adapter_and_its_calibration(tiny_folder):
    tune(tiny_folder)
    summary, _ = score(tiny_folder)
    card = Card.load("adapter/card.json")
    assert summary.calibration == card.calibration.describe()
    tuned = np.array(column("p_1"), float)
    score(tiny_folder, adapter=None, out="plain.csv")
    plain = np.array(column("p_1", "plain.csv"), float)
    late = np.arange(40) % 2 == 1
    assert tuned[late].min() > tuned[~late].max()
    assert not plain[late].min() > plain[~late].max()


def test_the_base_model_is_known_from_the_card(tiny_folder):
    tune(tiny_folder)
    score(tiny_folder)
    named = column("p_1")
    score(tiny_folder, model="auto", out="auto.csv")
    assert column("p_1", "auto.csv") == named


def test_the_ledger_tells_an_adapter_from_the_model_and_from_another(tiny_folder):
    tune(tiny_folder)
    tune(tiny_folder, out=Path("other"), seed=1)
    first, _ = score(tiny_folder)
    again, _ = score(tiny_folder)
    other, _ = score(tiny_folder, adapter=Path("other"))
    plain, _ = score(tiny_folder, adapter=None)
    assert [each.known for each in (first, again, other, plain)] == [0, 40, 0, 0]


def test_a_saved_calibration_belongs_to_the_adapter(tiny_folder):
    tune(tiny_folder)
    score(tiny_folder, save_calibration="c.json")
    own = json.loads(Path("c.json").read_text())["model"]
    assert own.endswith("+" + Card.load("adapter/card.json").adapter)
    score(tiny_folder, calibration="c.json")
    text = refused(score, tiny_folder, calibration="c.json", adapter=None)
    assert text == (
        f"c.json was found with another model: {own}, and this run has {own.split('+')[0]}; "
        "possible: a new one with --save-calibration"
    )


def test_labelled_rows_do_not_calibrate_what_was_trained_on_them(tiny_folder):
    tune(tiny_folder)
    _, said = score(tiny_folder, train="train.csv")
    assert "--train is not used: the adapter calibrates" in said


def test_reasons_of_an_adapter_are_those_of_its_scores(tiny_folder):
    """By the same calibration; and they are not those of the model without it."""
    tune(tiny_folder)
    score(tiny_folder)
    found, said = explained(tiny_folder)
    assert (found["approach"], found["adapter"]) == ("tuned", "adapter")
    assert "· tuned with adapter ·" in Path("why/explanations.html").read_text()
    shown = [each["probability"] for each in found["explanations"]]
    np.testing.assert_allclose(shown, np.array(column("p_1")[:6], float), atol=1e-5)
    assert "Probabilities are not calibrated" not in said[-1]
    again, said = explained(tiny_folder, model="auto", train="train.csv")
    assert again["explanations"] == found["explanations"]
    assert "--train is not used: the adapter calibrates" in said
    plain, _ = explained(tiny_folder, adapter=None)
    assert (plain["approach"], plain["adapter"]) == ("zero-shot", "")
    assert "· zero-shot ·" in Path("why/explanations.html").read_text()
    assert plain["explanations"] != found["explanations"]


def test_a_plan_is_made_with_the_adapter(tiny_folder):
    """Which stops no run by its label mass."""
    tune(tiny_folder)
    given = {"customers": "customers.csv", "prompt": "p.jinja", "model": str(tiny_folder)}
    plans = [
        forecast_table(ScoreOptions(**given, dtype="float32", adapter=adapter), rows=2048)
        for adapter in (Path("adapter"), None)
    ]
    with_adapter, without = (
        next(line for line in plan.splitlines() if line.startswith("label mass")) for plan in plans
    )
    assert "stop" not in with_adapter
    assert "stop" in without
    tokens = [re.search(r"^tokens: .*", plan, re.M)[0] for plan in plans]
    assert tokens[0] == tokens[1]
    write("p.jinja", PROMPT.replace("feel?", "feel now?"))
    options = ScoreOptions(**given, adapter=Path("adapter"))
    with pytest.raises(DataError, match="its text was another"):
        forecast_table(options, rows=2048)


def explained(folder, **changes):
    said = []
    given = {"customers": "customers.csv", "prompt": "p.jinja", "limit": 6, "out": Path("why")}
    given |= {"model": str(folder), "adapter": Path("adapter"), "dtype": "float32"}
    text = explain_table(ExplainOptions(**(given | changes)), said.append)
    return json.loads(Path("why/explanations.json").read_text()), [*said, text]


def test_what_does_not_go_with_an_adapter_is_refused_by_explain(tiny_folder):
    tune(tiny_folder)
    assert refused(explained, tiny_folder, approach="probe", train="train.csv") == (
        "adapter has learned the labels, and probe would learn them anew; possible: zero-shot"
    )
    assert refused(explained, tiny_folder, approach="embedding", train="train.csv") == (
        "--adapter is one of a language model, which embedding has not; possible: "
        + ", ".join(name for name in WITH_LM if name != "tuned")
    )
    write("p.jinja", PROMPT.replace("feel?", "feel now?"))
    assert "its text was another" in refused(explained, tiny_folder)


def test_a_base_rate_that_the_file_got_later_changes_no_adapter(tiny_folder):
    tune(tiny_folder)
    score(tiny_folder)
    before = column("p_1")
    text = Path("p.jinja").read_text().replace("id: id\n", "id: id\nbase_rate: 0.2\n")
    Path("p.jinja").write_text(text)
    _, said = score(tiny_folder)
    unused = "the base_rate of p.jinja is not used: the adapter calibrates"
    assert unused in said
    assert column("p_1") == before
    assert unused in explained(tiny_folder)[1]


@pytest.mark.parametrize("count", [40, 220])
def test_the_calibration_of_an_adapter_is_moved_to_a_known_base_rate(tiny_folder, count):
    """By the mean of the run; by Bayes' rule where the run is too small for one."""
    tune(tiny_folder)
    labelled(count, "customers.csv")
    score(tiny_folder)
    before = np.array(column("p_1"), float)
    summary, said = score(tiny_folder, base_rate=0.1)
    after = np.array(column("p_1"), float)
    own = Card.load("adapter/card.json").calibration
    assert summary.calibration.startswith(f"Platt slope {own.slope:.2f} and shift ")
    assert summary.calibration.endswith("found on 10 rows with labels, moved to base rate 0.1")
    assert not any("calibrated" in line for line in said)
    moved = np.log(after / (1 - after)) - np.log(before / (1 - before))
    assert moved == pytest.approx(np.full(count, moved[0]), abs=1e-9)
    if count < 200:
        assert own.base_rate == 0.5
        assert moved[0] == pytest.approx(np.log(0.1 / 0.9), abs=1e-9)
    else:
        assert after.mean() == pytest.approx(0.1, abs=1e-6)


def test_shares_of_three_labels_move_the_calibration_of_an_adapter(tiny_folder):
    write("p.jinja", THREE)
    labelled(60, labels="012")
    tune(tiny_folder)
    for count in (40, 220):
        labelled(count, "customers.csv")
        score(tiny_folder)
        before = np.array([column(f"p_{key}") for key in "210"], float)
        shares = {"2": 0.1, "1": 0.3, "0": 0.6}
        score(tiny_folder, base_rate=shares)
        after = np.array([column(f"p_{key}") for key in "210"], float)
        if count < 200:
            expected = before * np.array([[0.1], [0.3], [0.6]]) * 3
            assert after == pytest.approx(expected / expected.sum(axis=0), abs=1e-9)
        else:
            assert after.mean(axis=1) == pytest.approx([0.1, 0.3, 0.6], abs=1e-6)


def test_label_words_that_are_improbable_stop_no_run_of_an_adapter(tiny_folder, monkeypatch):
    """It learned among the label words alone, and its card says what that is worth."""
    monkeypatch.setattr(checking, "STOP_MASS", 0.9)
    monkeypatch.setattr(checking, "FLAG_MASS", 0.9)
    tune(tiny_folder)
    labelled(220, "customers.csv")
    with pytest.raises(PromptError, match=r"under 0.9 \(--stop-mass\)"):
        score(tiny_folder, stop_mass=None, adapter=None)
    summary, _ = score(tiny_folder, stop_mass=None)
    assert summary.low == 0
    assert max(map(float, column("label_mass"))) < 0.9
    with pytest.raises(PromptError, match=r"under 0.5 \(--stop-mass\)"):
        score(tiny_folder, stop_mass=0.5)


def test_columns_that_were_not_trained_with_are_told(tiny_folder):
    tune(tiny_folder)
    table("customers.csv", "id,amount,city,feedback", ["c1,1,Rome,late"])
    _, said = score(tiny_folder)
    assert said[0] == (
        "warning: adapter was trained on prompts without city, and its calibration is for such; "
        "possible: the columns and --events that it was trained with"
    )
    table("customers.csv", "feedback,amount,id", ["late,1,c1"])
    assert not any("warning" in line for line in score(tiny_folder)[1])
    labelled(48, "customers.csv")
    Path("adapter").rename("older")
    table("train.csv", "id,amount,city,feedback,left", [f"t{n},{n},Rome,{SAID[n % 2]},{n % 2}" for n in range(48)])  # fmt: skip
    tune(tiny_folder)
    _, said = score(tiny_folder)
    assert said[0].startswith("warning: adapter was trained on prompts with city, and its")


def test_an_adapter_of_texts_without_personal_data_is_for_such(tiny_folder):
    pytest.importorskip("presidio_analyzer")
    tune(tiny_folder, redact=True)
    assert Card.load("adapter/card.json").redacted
    labelled(4, "customers.csv")
    plain = score(tiny_folder)[1][0]
    assert plain == (
        "warning: adapter was trained with --redact, and this run is without it: its calibration is "
        "for the other prompts"
    )
    assert not any("warning" in line for line in score(tiny_folder, redact=True)[1])


def test_a_model_that_was_moved_is_the_same_model(tiny_folder, tmp_path):
    tune(tiny_folder)
    moved = tmp_path / "moved"
    shutil.copytree(tiny_folder, moved)
    (moved / "README.md").write_text("Moved.")
    (moved / ".cache" / "huggingface").mkdir(parents=True)
    (moved / ".cache" / "huggingface" / "config.json.metadata").write_text("kept")
    labelled(220, "customers.csv")
    score(tiny_folder, base_rate=0.2, save_calibration="c.json")
    score(moved, calibration="c.json")
    assert np.mean(np.array(column("p_1"), float)) == pytest.approx(0.2, abs=1e-6)


def test_rows_of_one_customer_stand_on_one_side(tiny_folder):
    """By id, or by content: a label that was trained on would be known of those held out."""
    by_id = [f"c{n // 4},{n},{n} {SAID[n % 2]},{n % 2}" for n in range(80)]
    by_content = [f"t{n},1,{n // 4} told,{n % 2}" for n in range(80)]
    for rows in (by_id, by_content):
        table("train.csv", HEADER, rows)
        asked, train, held = parted_of(tiny_folder)
        assert len(asked.records) == 80
        assert not {row // 4 for row in train} & {row // 4 for row in held}
        assert 8 <= len(held) <= 24
    table("train.csv", HEADER, [f"t{n},1,told,{n % 2}" for n in range(80)])
    assert len(parted_of(tiny_folder)[2]) == 16  # all are one customer: they cannot be parted


@pytest.mark.parametrize(("positives", "expected"), [(2, 13), (3, 13), (4, 13), (32, 12)])
def test_a_customer_of_two_rows_holds_out_no_more_than_a_share(tiny_folder, positives, expected):
    rows = [f"t{max(n, 1)},{max(n, 1)},told {max(n, 1)},{int(n >= 64 - positives)}" for n in range(64)]  # fmt: skip
    table("train.csv", HEADER, rows)  # the first two are one customer
    asked, train, held = parted_of(tiny_folder)
    assert len(held) in (expected, expected + 1)
    assert {asked.y[row] for row in train} == {asked.y[row] for row in held} == {"0", "1"}
    assert (0 in train) == (1 in train)


def test_a_customer_of_most_rows_trains(tiny_folder):
    names = ["p"] * 30 + [f"d{n}" for n in range(34)]
    table("train.csv", HEADER, [f"{name},{n},{n} told,{n % 2}" for n, name in enumerate(names)])
    for seed in range(4):
        held = parted_of(tiny_folder, seed=seed)[2]
        assert "p" not in {names[row] for row in held}
        assert len(held) == 12


def test_a_customer_who_has_all_of_a_label_is_the_only_one_on_both_sides(tiny_folder):
    names = [f"d{n // 2}" for n in range(62)] + ["p", "p"]
    rows = [f"{name},1,{name} told,{int(name == 'p')}" for name in names]
    table("train.csv", HEADER, rows)
    for seed in range(4):
        _, train, held = parted_of(tiny_folder, seed=seed)
        assert {names[row] for row in train} & {names[row] for row in held} == {"p"}


@pytest.fixture
def no_loading(monkeypatch):
    from promptpredict import loading

    def fail(*_, **__):
        pytest.fail("it loads")

    return lambda: monkeypatch.setattr(loading, "load_language_model", fail)


def test_another_prompt_file_is_refused_before_the_model_loads(tiny_folder, no_loading):
    tune(tiny_folder)
    no_loading()
    card = Card.load("adapter/card.json")
    write("p.jinja", PROMPT.replace("You judge.", "You judge well."))
    text = refused(score, tiny_folder)
    found = text.split("p.jinja is ")[1].split(":")[0]
    assert text == (
        f"adapter was trained with p.jinja ({card.prompt}), and p.jinja is {found}: its text was "
        "another; possible: the same prompt file"
    )
    assert found != card.prompt


def test_a_card_whose_labels_were_edited_is_refused(tiny_folder, no_loading):
    tune(tiny_folder)
    no_loading()
    card = Card.load("adapter/card.json")
    card.model_copy(update={"labels": ("0", "2")}).save("adapter/card.json")
    assert refused(score, tiny_folder) == (
        "adapter/card.json has the labels 0, 2, and p.jinja, which it was trained with, has 1, 0; "
        "possible: the card that promptpredict tune has written"
    )


def test_places_of_numbers_are_part_of_the_prompt_file(tiny_folder):
    write("p.jinja", PROMPT.replace("id: id", "id: id\nnumbers: placed"))
    labelled(60)
    tune(tiny_folder)
    score(tiny_folder, train="train.csv")
    assert refused(score, tiny_folder).endswith(
        ": its text was another, or other records give its numbers their places; possible: the "
        "same prompt file with --train and the same labelled table"
    )


def test_several_prompt_files_and_shots_are_refused(tiny_folder, no_loading):
    tune(tiny_folder)
    no_loading()
    write("q.jinja", PROMPT)
    assert refused(score, tiny_folder, others=("q.jinja",)) == (
        "adapter was trained with one prompt file, and 2 are given; possible: p.jinja alone"
    )
    assert refused(score, tiny_folder, train="train.csv", shots=4) == (
        "adapter was trained without shots, and --shots is 4; possible: one of the two"
    )


@pytest.mark.parametrize("fallback", ["none", "embedding"])
def test_another_base_model_is_refused_before_it_loads(tiny_folder, no_loading, tmp_path, fallback):
    from promptpredict.models import find

    tune(tiny_folder)
    no_loading()
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text("{}")
    (other / "model.safetensors").write_text("")
    asked = {"train": "train.csv", "fallback": fallback, "encoder": str(other)}
    assert refused(score, other, **(asked if fallback == "embedding" else {})) == (
        f"adapter is an adapter of {find(str(tiny_folder)).base}, and the language model is "
        f"{find(str(other)).base}; possible: --model {tiny_folder}"
    )


@pytest.mark.parametrize("name", [CARD, CONFIG, WEIGHTS])
def test_a_folder_that_lacks_a_file_is_no_adapter(tiny_folder, name):
    tune(tiny_folder)
    (Path("adapter") / name).unlink()
    assert refused(score, tiny_folder) == (
        f"adapter is no adapter: it holds no {name}; possible: a folder that promptpredict tune "
        "has written"
    )


def test_weights_of_another_adapter_are_refused(tiny_folder):
    tune(tiny_folder)
    tune(tiny_folder, out=Path("other"), seed=1)
    Path("other", WEIGHTS).rename(Path("adapter", WEIGHTS))
    found, card = adapters.digest(Path("adapter")), Card.load("adapter/card.json")
    assert refused(score, tiny_folder) == (
        f"adapter holds the weights {found}, and its card is of {card.adapter}; possible: the "
        "whole folder that promptpredict tune has written"
    )


def test_a_card_of_a_later_version_is_refused(tiny_folder):
    tune(tiny_folder)
    card = json.loads(Path("adapter/card.json").read_text())
    write("adapter/card.json", json.dumps(card | {"version": 2}))
    assert refused(score, tiny_folder) == (
        "adapter/card.json is not the card of an adapter (version: Input should be 1); give a file "
        "that an earlier run saved"
    )


# -- the command -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "names"),
    [(Tuning, adapteroptions.TUNED), (EpisodeTuning, ("width", "own"))],
    ids=["labelled records", "episodes"],
)
def test_the_command_has_the_defaults_of_tuning(kind, names):
    parameters = inspect.signature(subcommands.tune).parameters
    names = [name for name in (*adapteroptions.LORA, *names) if name != "learning_rate"]
    assert {name: parameters[name].default for name in names} == {
        name: getattr(kind(), name) for name in names
    }
    rate = f"{kind().learning_rate:g}".replace("e-0", "e-")
    assert {"0.0005": "5e-4", "0.001": "1e-3"}[rate] in CliRunner().invoke(
        cli.app, ["tune", "--help"]
    ).output


def test_the_command_tunes(tiny_folder):
    words = ["tune", "train.csv", "--prompt", "p.jinja", "--out", "adapter", "--epochs", "1"]
    found = CliRunner().invoke(cli.app, [*words, "--model", str(tiny_folder), "--no-balance"])
    assert found.exit_code == 0
    assert found.stdout.endswith("adapter is written.\n")
    assert not Card.load("adapter/card.json").tuning.balance


@pytest.mark.parametrize(
    ("option", "value", "text"),
    [("--layers", "0", "0 does not lie above 0, and at most at 1"),
     ("--learning-rate", "2", "2 does not lie above 0, and at most at 1")],
)  # fmt: skip
def test_slips_in_options_are_usage_errors(option, value, text):
    words = ["tune", "train.csv", "--prompt", "p.jinja", "--out", "adapter", option, value]
    found = CliRunner().invoke(cli.app, words)
    assert found.exit_code == 2
    assert text in found.stderr


def test_cards_are_read_without_torch(tiny_folder):
    tune(tiny_folder)
    code = (
        "import sys; from pathlib import Path; from promptpredict.adapters import read_card\n"
        "read_card(Path('adapter')); print({'torch', 'peft', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
