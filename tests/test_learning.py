"""The script that measures few-shot on unseen tables: what is shown, what is merged, what is said."""

from __future__ import annotations

import gzip
import json
import shutil
import sys
from argparse import Namespace
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from compared import PROMPT, auc, customers
from promptpredict.adapters import CONFIG, WEIGHTS, digest
from promptpredict.estimators import PromptClassifier
from promptpredict.loading import load_language_model
from promptpredict.models import find
from test_merging import drawn, merged_source, training_of

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
TABLES = ("shop", "store")


@pytest.fixture
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import gains
    import learning

    yield learning, gains
    for name in ("gains", "learning"):
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def adapter(tiny_folder, tmp_path_factory):
    """An adapter that says something, without a card."""
    place = tmp_path_factory.mktemp("adapters")
    training = training_of(tiny_folder, place)
    drawn(training)
    merged_source(tiny_folder, place / "learned", training)
    return place / "learned"


@pytest.fixture
def here(scripts, tmp_path, monkeypatch):
    """Two small tables beside their prompt files."""
    learning, _ = scripts
    (tmp_path / "prompts").mkdir()
    columns = ("id", "plan", "price", "feedback", "outcome")
    for seed, name in enumerate(TABLES):
        (tmp_path / "prompts" / f"{name}.jinja").write_text(PROMPT, encoding="utf-8")
        lines = [",".join(columns)]
        for record in customers(60, seed=seed):
            lines.append(",".join(str(record.values.get(key, record.label)) for key in columns))
        with gzip.open(tmp_path / f"{name}.csv.gz", "wt", encoding="utf-8") as file:
            file.write("\n".join([*lines, ""]))
    monkeypatch.setattr(learning, "HERE", tmp_path)
    monkeypatch.setattr(learning, "TABLES", list(TABLES))
    return tmp_path


def read(learning, here, **changes):
    given = {"data": here, "test": 20, "seeds": 2, "shots": [2, 4]} | changes
    return learning.read("shop", Namespace(**given), 0)


def run(learning, monkeypatch, here, model, *more):
    words = ["--data", str(here), "--model", str(model), "--test", "20", "--seeds", "2", *more]
    monkeypatch.setattr(sys, "argv", ["learning.py", *words])
    learning.main()


# -- what is shown -----------------------------------------------------------------------------


def test_each_label_gives_as_many_rows_as_are_shown_and_no_test_row(scripts, here):
    table = read(scripts[0], here)
    tested = {record.row for record in table.tested}
    for pool in table.pools:
        assert Counter(record.label for record in pool) == {"leaves": 4, "stays": 4}
        assert not tested & {record.row for record in pool}
    assert len({tuple(record.row for record in pool) for pool in table.pools}) == 2


def test_a_label_with_few_rows_gives_all_of_them(scripts):
    y = ["a", "b", "a", "a", "b", "a"]
    rows = scripts[0].pool_of(y, np.array([0, 1, 2, 3, 5]), 3, 0)
    assert sorted(y[row] for row in rows) == ["a", "a", "a", "b"]
    assert set(rows) <= {0, 1, 2, 3, 5}


def test_shots_are_balanced_and_fewer_are_among_more(scripts, here):
    table = read(scripts[0], here)
    few, more = (scripts[0].rendered(table, count, 1) for count in (2, 4))
    for ours, theirs in zip(few, more, strict=True):
        assert sorted(turn.reply for turn in ours.shots) == ["It feels angry", "It feels glad"]
        assert len(theirs.shots) == 4
        assert {turn.user for turn in ours.shots} <= {turn.user for turn in theirs.shots}
    assert {len(prompt.shots) for prompt in scripts[0].rendered(table, 0, 0)} == {0}


@pytest.mark.parametrize("count", [0, 2, 4])
def test_a_row_is_scored_as_few_shot_scores_it(scripts, here, tiny_lm, count):
    learning, _ = scripts
    table = read(learning, here)
    found, cut = learning.scored(table, tiny_lm, learning.rendered(table, count, 1))
    slow = PromptClassifier(
        table.file, model=tiny_lm, shots=count, calibration="none", random_state=None
    )
    slow.fit(table.pools[1], [record.label for record in table.pools[1]])
    columns = [slow.keys_.index(key) for key in table.file.words]
    np.testing.assert_allclose(found, slow.predict_proba(table.tested)[:, columns], atol=1e-6)
    assert cut == 0


# -- what is merged ----------------------------------------------------------------------------


def weights(folder, source=None):
    lm = load_language_model(source or find(str(folder)), dtype="float32", pack=False)
    return {name: each.detach().numpy() for name, each in lm.model.named_parameters()}


def test_half_an_adapter_moves_weights_half_as_far(scripts, tiny_folder, adapter):
    learning, _ = scripts
    base = weights(tiny_folder)
    moved = {}
    for scale in (1.0, 0.5):
        with learning.scaled(adapter, scale) as folder:
            source = learning.replace(find(str(tiny_folder)), adapter=folder, digest="d")
            moved[scale] = weights(tiny_folder, source)
    far = 0.0
    for name, plain in base.items():
        np.testing.assert_allclose(
            moved[0.5][name] - plain, (moved[1.0][name] - plain) / 2, atol=1e-6
        )
        far = max(far, np.abs(moved[1.0][name] - plain).max())
    assert far > 0.1


def test_modules_with_an_alpha_of_their_own_are_scaled_too_and_the_folder_is_as_it_was(
    scripts, adapter, tmp_path
):
    learning, _ = scripts
    own = tmp_path / "own"
    shutil.copytree(adapter, own)
    config = json.loads((own / CONFIG).read_text())
    (own / CONFIG).write_text(json.dumps(config | {"alpha_pattern": {"q_proj": 4}}))
    before = digest(own)
    with learning.scaled(own, 0.5) as folder:
        found = json.loads((folder / CONFIG).read_text())
        assert found["lora_alpha"] == config["lora_alpha"] / 2
        assert found["alpha_pattern"] == {"q_proj": 2}
        assert digest(folder) != before
        assert (folder / WEIGHTS).read_bytes() == (own / WEIGHTS).read_bytes()
    assert not folder.exists()
    assert digest(own) == before
    with learning.scaled(own, 1.0) as folder:
        assert folder == own


# -- what is said ------------------------------------------------------------------------------


def test_a_run_says_each_figure_and_all_of_them_as_json(
    scripts, here, tiny_folder, adapter, monkeypatch, capsys
):
    learning, _ = scripts
    given = ("--adapter", str(adapter), "--scale", "1,0.5", "--shots", "2,4")
    kept = ("--work", str(here / "work"), "--out", str(here / "found.json"))
    run(learning, monkeypatch, here, tiny_folder, *given, *kept)
    lines = capsys.readouterr().out.splitlines()
    found = json.loads(lines[-1])
    assert json.loads((here / "found.json").read_text()) == found
    assert {key: found[key] for key in ("schema", "test", "seeds", "shots", "dtype")} == {
        "schema": 1, "test": 20, "seeds": 2, "shots": [0, 2, 4], "dtype": found["dtype"],
    }  # fmt: skip
    assert [each["way"] for each in found["ways"]] == ["base", "learned", "learned x0.5"]
    assert [each["scale"] for each in found["ways"]] == [1.0, 1.0, 0.5]
    assert found["ways"][0]["adapter"] is None
    assert found["ways"][1]["adapter"] == digest(adapter) != found["ways"][2]["adapter"]
    assert str(here) not in lines[-1]

    cases = [
        (table, count, way)
        for table in TABLES
        for count in (0, 2, 4)
        for way in ("base", "learned", "learned x0.5")
    ]
    rows = {(row["table"], row["shots"], row["way"]): row for row in found["rows"]}
    assert list(rows) == cases
    for key, line in zip(cases, lines[1:], strict=False):
        table, count, way = key
        assert line.startswith(f"{table}, {count} shots, {way}: {rows[key]['value']:.3f}")
    assert {rows[case]["sd"] for case in cases if not case[1]} == {0.0}
    for each in found["differences"]:
        ours, base = (rows[each["table"], each["shots"], way] for way in (each["way"], "base"))
        assert each["value"] == pytest.approx(ours["value"] - base["value"], abs=2e-4)
        assert each["low"] <= each["value"] <= each["high"]
    assert len(found["differences"]) == 12
    assert any(each["value"] for each in found["differences"])
    for mean in found["means"]:
        own = [rows[table, mean["shots"], mean["way"]]["value"] for table in TABLES]
        assert mean["value"] == pytest.approx(np.mean(own), abs=2e-4)
        assert ("difference" in mean) is (mean["way"] != "base")

    # All of it is in the ledgers now, each way's under its own name.
    monkeypatch.setattr(learning.CausalLM, "score", None)
    run(learning, monkeypatch, here, tiny_folder, *given, *kept)
    again = json.loads(capsys.readouterr().out.splitlines()[-1])
    for name in ("rows", "differences", "means", "ways"):
        assert again[name] == found[name]


def test_a_figure_is_the_mean_over_draws(scripts):
    _, gains = scripts
    rng = np.random.default_rng(0)
    hit = np.arange(40) < 15
    truth = ["1" if each else "0" for each in hit]
    said = [(np.column_stack([p, 1 - p]), cut) for cut, p in enumerate(rng.random((3, 40)))]
    figure = gains.figure_of(truth, said, labels=["1", "0"], positive="1", seed=4)
    values = [auc(hit, shares[:, 0]) for shares, _ in said]
    assert figure.value == pytest.approx(np.mean(values))
    assert figure.sd == pytest.approx(np.std(values, ddof=1))
    assert (figure.units, figure.truncated, figure.draws) == (15, 1.0, 3)
    rows = np.random.default_rng(4).integers(40, size=(1000, 40))
    slow = [np.mean([auc(hit[at], shares[at, 0]) for shares, _ in said]) for at in rows[:20]]
    np.testing.assert_allclose(figure.drawn[:20], slow)


def figure(gains, value, noise):
    return gains.Figure(value, 0.01, value + noise, 100.0, 0.0, 2)


def test_the_mean_over_tables_and_the_worst_of_them(scripts, capsys):
    _, gains = scripts
    rng = np.random.default_rng(0)
    same, other = rng.normal(scale=0.01, size=(2, 1000))
    figures = {
        ("shop", 4, "base"): figure(gains, 0.7, same),
        ("shop", 4, "learned"): figure(gains, 0.8, same * 2),
        ("store", 4, "base"): figure(gains, 0.7, other),
        ("store", 4, "learned"): figure(gains, 0.66, other * 2),
    }
    found = gains.summed(figures, ["shop", "store"], [4], ["base", "learned"])
    assert [(each["table"], each["value"], each["verdict"]) for each in found["differences"]] == [
        ("shop", 0.1, "better"),
        ("store", -0.04, "worse"),
    ]
    base, mean = found["means"]
    assert base == {"shots": 4, "way": "base", "value": 0.7, "tables": 2}
    # Two tables that have nothing to do with one another: the deviation is that of one over √2.
    half = 1.984 * np.std((same + other) / 2)
    assert mean == {
        "shots": 4, "way": "learned", "value": 0.73, "tables": 2, "against": "base",
        "difference": 0.03, "low": pytest.approx(0.03 - half, abs=2e-4),
        "high": pytest.approx(0.03 + half, abs=2e-4), "verdict": "better", "better": 1, "worse": 1,
        "worst": {"table": "store", "value": -0.04},
    }  # fmt: skip
    assert capsys.readouterr().out.splitlines() == [
        "mean of 2 tables, 4 shots, base: 0.700",
        f"mean of 2 tables, 4 shots, learned: 0.730; +0.030 (95 % {mean['low']:+.3f} to "
        f"{mean['high']:+.3f}): better; better on 1, worse on 1; the worst is store, -0.040",
    ]


def test_a_figure_that_has_no_interval_is_null(scripts):
    _, gains = scripts
    figures = {("shop", 0, "base"): figure(gains, 1.0, np.zeros(1000))}
    [row] = gains.summed(figures, ["shop"], [0], ["base"])["rows"]
    assert (row["value"], row["low"], row["high"]) == (1.0, None, None)


# -- faults ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "text"),
    [
        (["--shots", "4,x"], "--shots 4,x; possible: whole numbers above 0, by commas"),
        (["--shots", "0,4"], "--shots 0,4; possible: whole numbers above 0, by commas"),
        (["--scale", "inf"], "--scale inf; possible: numbers above 0, by commas"),
        (["--seeds", "0"], "--seeds 0; possible: 1 or more"),
        (
            ["--adapter", "none"],
            f"--adapter none holds no {CONFIG}; possible: a folder with {CONFIG} and {WEIGHTS}",
        ),
        (
            ["--adapter", "ADAPTER", "--adapter", "ADAPTER"],
            "two ways are called 'learned'; possible: adapters in folders of other names",
        ),
        (["--data", "none"], "--data none holds no shop.csv.gz; possible: --table"),
        (
            ["--out", "none/found.json"],
            "--out none/found.json: its folder is not there; possible: one that is",
        ),
    ],
)
def test_what_cannot_be_is_said_before_a_model_loads(
    scripts, here, adapter, monkeypatch, capsys, more, text
):
    learning, _ = scripts
    monkeypatch.setattr(learning, "load_language_model", None)
    more = [str(adapter) if word == "ADAPTER" else word for word in more]
    with pytest.raises(SystemExit):
        run(learning, monkeypatch, here, "none", *more)
    assert capsys.readouterr().err.splitlines()[-1] == f"learning.py: error: {text}"
