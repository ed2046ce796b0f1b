"""`tune --episodes` with a tiny random model: what is learned, written, gone on with and refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from conftest import build_model
from promptpredict import cli, practice, trainee
from promptpredict.adapters import CARD, CONFIG, WEIGHTS, digest, read_card
from promptpredict.checking import ScoreOptions
from promptpredict.episodecards import EpisodeCard, EpisodeTuning
from promptpredict.episodes import Episode, Episodes, EpisodeTable
from promptpredict.errors import DataError, ModelError
from promptpredict.lm import CausalLM
from promptpredict.practice import Practice
from promptpredict.tune import EpisodeOptions, tune_episodes
from promptpredict.walk import score_table
from walked import PROMPT, THREE, column, table, write

QUICK = EpisodeTuning(rank=4, alpha=8, learning_rate=1e-2, batch=2, episodes=6, width=600)
SAID = ["happy again and again", "late and slow"]


@pytest.fixture(autouse=True)
def _files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(practice, "HELD", 4)
    write("p.jinja", PROMPT)
    rows = [f"t{n},{n},{SAID[n % 2]} {n % 5},{n % 2}" for n in range(48)]
    table("train.csv", "id,amount,feedback,left", rows)
    table("customers.csv", "id,amount,feedback,left", rows[:8])


def tune(folder, **changes):
    said = []
    given = {"labelled": ["train.csv"], "prompt": ["p.jinja"], "out": Path("adapter")}
    given |= {"model": str(folder), "dtype": "float32", "tuning": QUICK}
    return tune_episodes(EpisodeOptions(**(given | changes)), said.append), said


def practised(tokenizers, tuning=QUICK, *, checkpoint=Path("c.pt"), key="k", episodes=None, seed=0):
    torch.manual_seed(1)
    lm = CausalLM(build_model(), tokenizers["chatml"], name="tiny")
    drawn = episodes or Episodes(lm.encoder, width=tuning.width, seed=seed)
    return Practice(lm, drawn, tuning, seed=seed, checkpoint=checkpoint, key=key)


# -- what is learned ---------------------------------------------------------------------------


def test_a_step_descends_the_loss_of_the_label_words(tokenizers):
    """The gradient is that of log P(word | all before it), found one episode at a time with full logits."""
    found = practised(tokenizers)
    some = [found.episodes[place] for place in range(2)]
    with torch.no_grad():  # an adapter that changes nothing has no gradient in one half
        for each in found.trainee.parameters:
            each.add_(0.01)
    total, count = torch.zeros(()), 0
    for each in some:
        logits = found.lm.model(input_ids=torch.tensor([each.ids]), use_cache=False).logits[0]
        table = torch.log_softmax(logits, dim=-1)
        for decision in each.decisions:
            for at, token in enumerate(decision.word):
                total = total - table[decision.position - 1 + at, token]
                count += 1
    expected = torch.autograd.grad(total / count, found.trainee.parameters)
    kept = []
    found.trainee.optimizer.step = lambda: kept.extend(
        each.grad.clone() for each in found.trainee.parameters
    )
    trainee._NORM = 1e9
    try:
        found._learn(some)
    finally:
        trainee._NORM = 1.0
    for one, other in zip(kept, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_it_learns_what_episodes_have_in_common(tokenizers):
    tuning = QUICK.model_copy(update={"episodes": 60, "own": 1.0, "learning_rate": 2e-2})
    lm = CausalLM(build_model(), tokenizers["chatml"], name="tiny")
    from promptpredict.labelled import read_labelled
    from promptpredict.prompt import PromptFile

    file = PromptFile.load("p.jinja")
    records, _ = read_labelled("train.csv", file)
    drawn = Episodes(lm.encoder, width=600, seed=0, tables=[EpisodeTable(file, records)], own=1.0)
    found = practised(tokenizers, tuning, episodes=drawn)
    found.run()
    before, after = found.before[0], found.judged()[0]
    assert before.shots == after.shots == 0
    assert after.log_loss < before.log_loss
    assert after.accuracy > 0.9


def test_what_is_judged_is_what_the_model_says_of_the_first_ids(tokenizers):
    found = practised(tokenizers, QUICK.model_copy(update={"width": 2500}))
    judged = {each.shots: each for each in found.judged()}
    first = found._steps * QUICK.batch
    losses = []
    for place in range(first, first + 4):
        each = found.episodes[place]
        decision = each.decisions[1]
        ids = torch.tensor([each.ids[: decision.position]])
        with torch.no_grad():
            logits = found.lm.model(input_ids=ids, use_cache=False).logits[0, -1].double()
        if len({*decision.first}) == 2:
            losses.append(-float(logits[list(decision.first)].log_softmax(0)[decision.column]))
    assert judged[1].log_loss == pytest.approx(np.mean(losses), abs=1e-4)
    assert judged[1].episodes == len(losses)


def test_a_run_that_was_killed_goes_on_to_the_same_weights(tokenizers, monkeypatch):
    whole = practised(tokenizers, checkpoint=Path("whole.pt"))
    whole.run()
    monkeypatch.setattr(trainee, "EVERY", 0.0)
    broken = practised(tokenizers)
    with pytest.raises(KeyboardInterrupt):
        broken.run(
            lambda _: (_ for _ in ()).throw(KeyboardInterrupt()) if broken.step == 2 else None
        )
    again = practised(tokenizers)
    assert again.step == 1  # the step that was broken off is done again
    again.run()
    assert (again.step, again.tokens, again.before) == (whole.step, whole.tokens, whole.before)
    for name, weight in whole.trainee.weights().items():
        assert torch.equal(weight, again.trainee.weights()[name])
    with pytest.raises(DataError) as caught:
        practised(tokenizers, key="another")
    assert str(caught.value) == (
        f"{Path()} holds an adapter that is not finished, of other tables, another model or "
        "options, or of another version; possible: the command that began it, another --out, or "
        "remove that folder"
    )


@pytest.mark.parametrize("what", ["a step", "judging"])
def test_a_loss_that_is_not_finite_ends_it(tokenizers, what):
    found = practised(tokenizers)
    with torch.no_grad():
        found.trainee.parameters[0].fill_(float("nan"))
    with pytest.raises(ModelError) as caught:
        found._learn([found.episodes[0]]) if what == "a step" else found.judged()
    assert str(caught.value) == (
        "tiny: the loss is not finite after 0 episodes; possible: a smaller --learning-rate"
    )


def test_words_that_begin_alike_are_not_judged(tokenizers):
    found = practised(tokenizers)
    each = found.episodes[100]
    alike = tuple(
        type(d)(d.position, d.word, (d.first[0], d.first[0]), d.column) for d in each.decisions
    )

    class Alike:
        def __getitem__(self, place):
            return Episode(each.ids, alike)

    found.episodes = Alike()
    assert found.judged() == []


# -- what tune --episodes writes ---------------------------------------------------------------


def test_an_adapter_is_a_folder_with_a_card_and_serves_any_prompt_file(tiny_folder):
    text, said = tune(tiny_folder)
    card = read_card(Path("adapter"))
    assert isinstance(card, EpisodeCard)
    assert sorted(each.name for each in Path("adapter").iterdir()) == sorted(
        [WEIGHTS, CONFIG, CARD]
    )
    assert (card.episodes, card.seed, card.tuning, len(card.tables)) == (6, 0, QUICK, 1)
    assert card.adapter == digest(Path("adapter"))
    assert text == f"{card.describe()}\nadapter is written."
    assert text.startswith(
        f"tuned on 6 episodes of 1 given and of synthetic tables, {card.tokens:,} tokens\n"
    )
    write("q.jinja", PROMPT.replace("Will", "Does"))
    outputs = []
    for prompt, shots in (("p.jinja", 0), ("q.jinja", 0), ("p.jinja", 4)):
        given = {"customers": "customers.csv", "prompt": prompt, "out": f"s{len(outputs)}.csv"}
        given |= {"train": "train.csv"} if shots else {}
        given |= {"model": str(tiny_folder), "stop_mass": 0.0, "dtype": "float32", "shots": shots}
        score_table(ScoreOptions(**given, adapter=Path("adapter")), said.append)
        outputs.append(column("p_1", given["out"]))
        score_table(ScoreOptions(**(given | {"out": "plain.csv"})), said.append)
        assert column("p_1", "plain.csv") != outputs[-1]
    assert len(outputs) == 3


def test_a_table_of_three_labels_teaches_and_is_scored(tiny_folder):
    write("three.jinja", THREE)
    moods = ["happy again", "fine so far", "late and slow"]
    rows = [f"t{n},{n},{moods[n % 3]} {n % 5},{n % 3}" for n in range(48)]
    table("three.csv", "id,amount,feedback,left", rows)
    asked = {"labelled": ["three.csv"], "prompt": ["three.jinja"]}
    tune(tiny_folder, **asked, tuning=QUICK.model_copy(update={"own": 1.0}))
    card = read_card(Path("adapter"))
    assert {each.shots for each in card.after} == {0, 1, 4}  # of 600 tokens
    given = {"customers": "customers.csv", "prompt": "three.jinja", "out": "s.csv", "shots": 3}
    given |= {"train": "three.csv", "adapter": Path("adapter"), "model": str(tiny_folder)}
    said = []
    score_table(ScoreOptions(**given, stop_mass=0.0, dtype="float32"), said.append)
    warning = (
        "warning: adapter was trained on episodes of three.csv: calibrated on it, probabilities are "
        "surer than they are right; possible: other labelled records"
    )
    assert warning in said
    table("others.csv", "id,amount,feedback,left", rows[:-1])
    said.clear()
    others = given | {"train": "others.csv", "out": "t.csv"}
    score_table(ScoreOptions(**others, stop_mass=0.0, dtype="float32"), said.append)
    assert not any("trained on episodes" in line for line in said)
    found = np.array([column(f"p_{label}", "s.csv") for label in (2, 1, 0)], dtype=float)
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-5)


def test_a_second_table_of_events_is_read_and_needs_a_table(tiny_folder):
    write("h.jinja", PROMPT.replace("{{ customer.feedback }}", "{{ customer.events_count }}"))
    table("orders.csv", "id,day", ["t1,2026-01-05", "t1,2026-02-05", "t2,2026-01-09"])
    events = {"events": "orders.csv", "as_of": "2026-03-01"}
    text, _ = tune(tiny_folder, prompt=["h.jinja"], **events)
    assert "of 1 given and of synthetic tables" in text
    with pytest.raises(DataError) as caught:
        tune(tiny_folder, labelled=(), prompt=(), out=Path("other"), **events)
    assert str(caught.value) == (
        "--events is of the customers of a table; --episodes is given none"
    )


def test_a_card_that_is_no_text_is_no_card(tiny_folder):
    tune(tiny_folder, labelled=(), prompt=())
    Path("adapter/card.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"^adapter/card.json is not the card of an adapter"):
        read_card(Path("adapter"))


def test_another_base_is_refused(tiny_folder, tokenizers, tmp_path):
    tune(tiny_folder, labelled=(), prompt=())
    assert json.loads(Path("adapter/card.json").read_text())["tables"] == []
    build_model(seed=5).save_pretrained(tmp_path / "other")
    tokenizers["chatml"].save_pretrained(tmp_path / "other")
    given = {"customers": "customers.csv", "prompt": "p.jinja", "out": "s.csv"}
    with pytest.raises(DataError, match="is an adapter of "):
        score_table(
            ScoreOptions(**given, model=str(tmp_path / "other"), adapter=Path("adapter")), print
        )


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (
            ["train.csv", "--out", "a"],
            "1 tables and 0 prompt files are given, and an adapter is trained on one table with one "
            "prompt file; possible: --episodes, which takes any number",
        ),
        (
            ["train.csv", "--out", "a", "--episodes", "4"],
            "1 tables and 0 prompt files are given; possible: a --prompt for each table, in the order "
            "of the tables",
        ),
        (
            ["--out", "a", "--episodes", "4", "--epochs", "3"],
            "--epochs is an option of labelled records, and --episodes is given; possible: one of the "
            "two kinds of tuning",
        ),
        (
            ["train.csv", "-p", "p.jinja", "--out", "a", "--own", "0.3"],
            "--own is an option of --episodes; possible: one of the two kinds of tuning",
        ),
        (
            ["--out", "a", "--episodes", "4", "--own", "0.3"],
            "--own is the share of the episodes of labelled tables, and none is given",
        ),
    ],
)
def test_what_does_not_go_together_is_said(given, text):
    result = CliRunner().invoke(cli.app, ["tune", *given])
    assert (result.exit_code, result.output) == (1, f"error: {text}\n")


def test_a_table_of_one_label_is_refused(tiny_folder):
    table("one.csv", "id,amount,feedback,left", [f"t{n},{n},so,0" for n in range(6)])
    with pytest.raises(DataError) as caught:
        tune(tiny_folder, labelled=["one.csv"])
    assert str(caught.value) == (
        "one.csv: its 6 labelled rows have one label; an episode needs two"
    )
