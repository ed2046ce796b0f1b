"""The comparison: the same test rows for all, nothing of them in training, every prompt once."""

from __future__ import annotations

import json
from collections import Counter, defaultdict

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score
from threadpoolctl import threadpool_limits

from fakes import FakeEncoder, FakeLM
from promptpredict.benchmark import APPROACHES, Benchmark, Plan
from promptpredict.comparing import benchmark_table, table_text
from promptpredict.encoders import Embedder
from promptpredict.errors import DataError, ModelError, PromptError
from promptpredict.prompt import PromptFile
from promptpredict.records import Record
from promptpredict.results import Results, Row, Value, judge, write_results

# the labels stand in the file in another order than the sorted one
PROMPT = """\
---
task: binary
target: outcome
labels: {stays: [glad], leaves: [angry]}
positive: leaves
id: id
text: [feedback]
---
{% block system %}You judge.{% endblock %}
{% block customer %}{{ customer.feedback }}{% endblock %}
{% block question %}And now?{% endblock %}
{% block answer %}It feels{% endblock %}
"""
BY_MODEL = ("zero-shot", "few-shot", "probe")


@pytest.fixture(autouse=True)
def _one_thread():
    """On a busy machine the threads of a tiny fit wait for one another, far longer than it takes."""
    with threadpool_limits(1):
        yield


def prompt_file(text=PROMPT):
    return PromptFile.from_text(text, name="p.jinja")


def customers(n=80, *, share=0.4, clear=0.95, seed=0):
    """Labelled records; each feedback holds a marker by which its customer is known in a prompt."""
    rng = np.random.default_rng(seed)
    leaves = np.arange(n) < round(n * share)
    rng.shuffle(leaves)
    records = []
    for row, (leaving, honest) in enumerate(
        zip(leaves, rng.random(n) < clear, strict=True), 1
    ):  # fmt: skip
        words = "angry angry" if leaving == honest else "glad glad"
        feedback = f"{words} marker{row}" + " so" * int(rng.integers(0, 3))
        values = {"id": f"c{row}", "feedback": feedback}
        records.append(Record(row, f"c{row}", values, "leaves" if leaving else "stays"))
    return records


def benchmark(records=None, *, lm=None, encoder=None, file=None, **plan):
    plan = {"budgets": (0, 4, 16), "seeds": 2, "max_test": 40} | plan
    return Benchmark(
        customers() if records is None else records,
        file or prompt_file(),
        Plan(**plan),
        lm=lm or FakeLM(),
        embedder=Embedder(encoder or FakeEncoder()),
        table="customers.csv",
    )


@pytest.fixture(scope="module")
def whole():
    """A comparison of all approaches, with what the language model was asked."""
    lm = FakeLM()
    run = benchmark(lm=lm)
    with threadpool_limits(1):
        return run, run.run(), lm


def markers(text):
    """Return the rows whose feedback a text shows."""
    return {int(word.removeprefix("marker")) for word in text.split() if word.startswith("marker")}


def by_case(comparison):
    """Return the predictions of each approach, budget and seed, as a table."""
    frame = pd.DataFrame(comparison.predictions)
    return dict(list(frame.groupby(["approach", "budget", "seed"], sort=False)))


def cases(comparison):
    return [(row.approach, row.budget, row.seed) for row in comparison.rows]


@pytest.fixture
def fits(monkeypatch):
    """The rows that each estimator was fitted on, and those that it predicted."""
    from promptpredict import baselines, estimators

    seen = []
    for kind in (
        estimators.PromptClassifier,
        estimators.ProbeClassifier,
        baselines.EmbeddingClassifier,
        baselines.PriorClassifier,
    ):

        def fit(self, X, y=None, *, original=kind.fit):
            seen.append((type(self).__name__, [record.row for record in X], y))
            return original(self, X) if y is None else original(self, X, y)

        monkeypatch.setattr(kind, "fit", fit)
    return seen


# -- what is compared --------------------------------------------------------------------------


def test_every_approach_is_tested_at_every_budget_and_seed_that_it_takes(whole):
    _, comparison, _ = whole
    expected = [("zero-shot", 0, 0)] + [
        (approach, budget, seed)
        for seed in (0, 1)
        for budget in (4, 16)
        for approach in ("few-shot", "probe", "embedding", "prior")
    ]
    assert cases(comparison) == expected


def test_the_test_rows_are_the_same_for_all(whole):
    run, comparison, _ = whole
    tested = by_case(comparison)
    assert len(tested) == len(comparison.rows) == 17
    rows = [run.records[row].row for row in run.test]
    for case in tested.values():
        assert case["row"].tolist() == rows
        assert case["id"].tolist() == [f"c{row}" for row in rows]
        assert case["label"].tolist() == [run.records[row - 1].label for row in rows]
    assert {row.n_test for row in comparison.rows} == {40}
    assert Counter(case["label"].tolist()) == {"leaves": 16, "stays": 24}


def test_the_seed_of_the_training_draw_moves_no_test_row():
    few, many = benchmark(seeds=1), benchmark(seeds=5, budgets=(16,), approaches=["prior"])
    np.testing.assert_array_equal(few.test, many.test)
    other = benchmark(split_seed=1)
    assert set(other.test) != set(few.test)


@pytest.mark.parametrize("select", ["balanced", "random", "nearest"])
def test_no_test_row_is_ever_shown_or_learned_from(fits, select):
    lm = FakeLM()
    run = benchmark(customers(440), lm=lm, select=select, base_rate=0.1, budgets=(0, 4, 16, 64))
    run.run()
    test = {run.records[row].row for row in run.test}
    train = {run.records[row].row for row in run.train}
    assert len(test) == 40
    assert {name for name, _, _ in fits} == {
        "PromptClassifier", "ProbeClassifier", "EmbeddingClassifier", "PriorClassifier",
    }  # fmt: skip
    for _, rows, _ in fits:
        assert set(rows) <= train
        assert len(set(rows)) == len(rows)
    # zero-shot, fitted first: the rows that it finds its base-rate shift on, without labels
    assert fits[0][0] == "PromptClassifier"
    assert sorted(fits[0][1]) == sorted(train)
    assert fits[0][2] is None
    shown = {row for prompt in lm.asked for turn in prompt.shots for row in markers(turn.user)}
    assert shown
    assert shown <= train
    for prompt in lm.asked:
        assert not markers(prompt.user) & {
            row for turn in prompt.shots for row in markers(turn.user)
        }


def test_a_smaller_budget_is_part_of_a_larger_one(fits):
    benchmark(approaches=["prior"], budgets=(4, 16, 40), seeds=3).run()
    drawn = [set(rows) for _, rows, _ in fits]
    for seed in range(3):
        small, middle, large = drawn[3 * seed : 3 * seed + 3]
        assert small < middle < large
        assert (len(small), len(middle), len(large)) == (4, 16, 40)
    assert drawn[0] != drawn[3] != drawn[6]


def test_every_approach_has_the_same_training_rows(fits):
    benchmark(budgets=(16,), seeds=2).run()
    first, second = fits[:4], fits[4:]
    assert len(second) == 4
    for group in (first, second):
        assert len({tuple(rows) for _, rows, _ in group}) == 1
    assert first[0][1] != second[0][1]


def test_a_prompt_is_read_once_however_many_approaches_need_it(whole):
    _, _, lm = whole
    assert len(set(lm.asked)) == len(lm.asked)
    # all rows that were tested or learned from without shots, once each
    bare = [prompt for prompt in lm.asked if not prompt.shots]
    assert len(bare) <= 80 < len(lm.asked)


def test_shots_are_at_most_those_of_the_plan_and_never_more_than_16():
    for shots, most in ((3, 3), (64, 16)):
        lm = FakeLM()
        benchmark(lm=lm, approaches=["few-shot"], budgets=(4, 40), seeds=1, shots=shots).run()
        assert {len(prompt.shots) for prompt in lm.asked} == {min(4, most), most}


def test_each_seed_draws_its_own_shots_even_from_the_same_rows():
    """At the largest budget all seeds train on the same rows: else they would be one seed."""
    lm = FakeLM()
    benchmark(lm=lm, approaches=["few-shot"], budgets=("all",), seeds=3, shots=4).run()
    assert len({prompt.shots for prompt in lm.asked}) == 3


def test_budgets_of_narrows_single_approaches():
    comparison = benchmark(budgets_of={"few-shot": (4,)}, seeds=1).run()
    assert [case[:2] for case in cases(comparison) if case[0] in ("few-shot", "probe")] == [
        ("few-shot", 4),
        ("probe", 4),
        ("probe", 16),
    ]


def test_all_is_every_training_row(fits):
    comparison = benchmark(approaches=["prior"], budgets=("all", 4), seeds=1).run()
    assert [row.budget for row in comparison.rows] == [4, 40]
    assert len(fits[1][1]) == 40


def test_the_same_plan_gives_the_same_results(whole):
    _, comparison, _ = whole
    again = benchmark().run()
    assert again.predictions == comparison.predictions
    assert again.differences == comparison.differences
    for row, other in zip(comparison.rows, again.rows, strict=True):
        assert row.metrics | {"seconds_per_1000": None} == other.metrics | {
            "seconds_per_1000": None
        }


def test_without_an_approach_that_needs_one_there_is_no_language_model():
    run = Benchmark(
        customers(),
        prompt_file(),
        Plan(approaches=("embedding", "prior"), budgets=(16,), seeds=1, max_test=40),
        lm=None,
        embedder=Embedder(FakeEncoder()),
        table="customers.csv",
    )
    comparison = run.run()
    assert [(row.approach, row.model) for row in comparison.rows] == [
        ("embedding", "FakeEncoder"),
        ("prior", ""),
    ]


def test_a_row_says_what_was_compared(whole):
    _, comparison, _ = whole
    for row in comparison.rows:
        model = "fake" if row.approach in BY_MODEL else ""
        assert row.model == ("FakeEncoder" if row.approach == "embedding" else model)
        assert (row.table, row.prompt) == ("customers.csv", "p.jinja")
        assert list(row.metrics) == [
            "roc_auc", "pr_auc", "brier", "log_loss", "ece", "accuracy", "f1", "seconds_per_1000",
        ]  # fmt: skip


def test_what_is_done_is_said_case_by_case():
    said = []
    comparison = benchmark(approaches=["zero-shot", "prior"], seeds=1).run(said.append)
    auc = comparison.rows[0].metrics["roc_auc"].value
    assert said == [
        f"zero-shot, 0 labels, seed 0: ROC AUC {auc:.3f}",
        "prior, 4 labels, seed 0: ROC AUC 0.500",
        "prior, 16 labels, seed 0: ROC AUC 0.500",
    ]


# -- figures -----------------------------------------------------------------------------------


def test_the_predictions_on_disk_give_the_figures_of_results_json(whole, tmp_path):
    _, comparison, _ = whole
    results = Results.of(comparison.rows, comparison.differences)
    write_results(tmp_path, results, comparison.predictions)
    frame = pd.read_parquet(tmp_path / "predictions.parquet")
    rows = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))["rows"]
    assert list(frame.columns) == [
        "approach", "budget", "seed", "row", "id", "label", "p_stays", "p_leaves",
    ]  # fmt: skip
    assert len(rows) == 17
    for row in rows:
        case = frame[
            (frame["approach"] == row["approach"])
            & (frame["budget"] == row["budget"])
            & (frame["seed"] == row["seed"])
        ]
        hit, score = case["label"] == "leaves", case["p_leaves"]
        assert row["metrics"]["roc_auc"]["value"] == pytest.approx(roc_auc_score(hit, score))
        assert row["metrics"]["brier"]["value"] == pytest.approx(brier_score_loss(hit, score))
        np.testing.assert_allclose(case["p_stays"] + case["p_leaves"], 1)


def test_the_approaches_know_what_the_feedback_says(whole):
    """A column mixed up or a label turned round would show here."""
    _, comparison, _ = whole
    for row in comparison.rows:
        value = row.metrics["roc_auc"].value
        assert value == 0.5 if row.approach == "prior" else value > 0.7, row


def auc(hit, score):
    """ROC AUC as the share of pairs in the right order, ties half."""
    pairs = score[hit][:, None] - score[~hit][None, :]
    return (np.sign(pairs).mean() + 1) / 2


def test_differences_are_paired_and_those_of_a_slow_recomputation(whole):
    run, comparison, _ = whole
    tested = by_case(comparison)
    found = {(each.approach, each.budget): each for each in comparison.differences}
    # zero-shot needs no label: it stands against every budget of the baseline
    assert sorted(found) == [
        (approach, budget)
        for approach in ("few-shot", "prior", "probe", "zero-shot")
        for budget in (4, 16)
    ]
    # the resamples are the same for both approaches and for both seeds
    draws = np.random.default_rng(0).integers(40, size=(1000, 40))
    hit = np.array([run.y[row] == "leaves" for row in run.test])
    for (approach, budget), difference in found.items():
        gaps = []
        for seed in (0, 1):
            own = ("zero-shot", 0, 0) if approach == "zero-shot" else (approach, budget, seed)
            ours, theirs = (
                tested[key]["p_leaves"].to_numpy() for key in (own, ("embedding", budget, seed))
            )
            gaps.append(
                [auc(hit[rows], ours[rows]) - auc(hit[rows], theirs[rows]) for rows in draws]
            )
        low, high = np.quantile(np.mean(gaps, axis=0), [0.025, 0.975])
        assert (difference.low, difference.high) == pytest.approx((low, high), abs=1e-9)
        assert (difference.against, difference.metric) == ("embedding", "roc_auc")


def test_a_difference_is_that_of_the_two_figures_in_the_table(whole):
    """A person subtracts them, and would else find another number than the one that is said."""
    _, comparison, _ = whole
    figures = defaultdict(list)
    for row in comparison.rows:
        figures[row.approach, row.budget].append(row.metrics["roc_auc"].value)
    for each in comparison.differences:
        own = 0 if each.approach == "zero-shot" else each.budget
        ours = np.mean(figures[each.approach, own])
        theirs = np.mean(figures["embedding", each.budget])
        assert each.value == pytest.approx(ours - theirs, abs=1e-9)


def test_without_the_baseline_nothing_is_compared_with_it():
    comparison = benchmark(approaches=["probe", "prior"], seeds=1).run()
    assert comparison.differences == []


def test_a_known_base_rate_calibrates_zero_shot_on_training_rows():
    records = customers(600)
    given = {"approaches": ["zero-shot"], "budgets": (0,), "max_test": 300}
    level = benchmark(records, base_rate=0.1, **given).run()
    raw = benchmark(records, **given).run()
    assert level.rows[0].metrics["roc_auc"] == raw.rows[0].metrics["roc_auc"]
    mean = np.mean([each["p_leaves"] for each in level.predictions])
    assert mean == pytest.approx(0.1, abs=0.02)
    assert np.mean([each["p_leaves"] for each in raw.predictions]) > 0.3


class Clock:
    """A clock that stands still until it is moved."""

    now = 0.0

    def perf_counter(self):
        return self.now


class SlowLM(FakeLM):
    def __init__(self, clock):
        super().__init__()
        self.clock = clock

    def score(self, prompts, labels, *, progress=None):
        self.clock.now += 3 * len(prompts)
        return super().score(prompts, labels, progress=progress)


class SlowEncoder(FakeEncoder):
    def __init__(self, clock):
        super().__init__()
        self.clock = clock

    def encode(self, sentences, **given):
        self.clock.now += 0.5 * len(sentences)
        return super().encode(sentences, **given)


@pytest.mark.parametrize("approaches", [APPROACHES, APPROACHES[::-1]], ids=["as is", "reversed"])
def test_an_approach_costs_what_it_costs_alone_whoever_read_its_prompts(monkeypatch, approaches):
    """Three seconds a prompt and half a second a text, in whatever order the approaches come."""
    clock = Clock()
    for module in ("benchmark", "memo", "encoders"):
        monkeypatch.setattr(f"promptpredict.{module}.time", clock)
    comparison = benchmark(
        lm=SlowLM(clock), encoder=SlowEncoder(clock), approaches=approaches
    ).run()
    found = defaultdict(set)
    for row in comparison.rows:
        found[row.approach].add(row.metrics["seconds_per_1000"].value)
    assert found == {
        "zero-shot": {3000.0},
        "few-shot": {3000.0},
        "probe": {3000.0},
        "embedding": {500.0},
        "prior": {0.0},
    }


# -- what is left out --------------------------------------------------------------------------


def test_notes_say_which_budgets_are_left_out_and_why():
    comparison = benchmark(
        approaches=["zero-shot", "prior"], budgets=(0, 4, 64, 1000), base_rate=0.1
    ).run()
    assert comparison.notes == [
        "budget 64 is left out: there are 40 training rows",
        "budget 1,000 is left out: there are 40 training rows",
        "zero-shot is not calibrated to the base rate: there are 40 training rows, "
        "and 200 are needed to find a shift on",
    ]
    assert {row.budget for row in comparison.rows} == {0, 4}


def test_a_note_says_which_approach_no_budget_suits():
    comparison = benchmark(approaches=["zero-shot", "prior", "prior"], budgets=(4,), seeds=1).run()
    assert comparison.notes == [
        "zero-shot is left out: no budget suits it (zero-shot takes 0, the others take more)"
    ]
    assert [row.approach for row in comparison.rows] == ["prior"]


def test_a_note_says_when_the_wording_ranks_the_wrong_way_round():
    """The words of the two labels are swapped: nothing else in the figures says so."""
    swapped = PROMPT.replace("[angry]", "[swap]").replace("[glad]", "[angry]")
    swapped = swapped.replace("[swap]", "[glad]")
    assert swapped != PROMPT
    run = benchmark(file=prompt_file(swapped), approaches=["zero-shot"], budgets=(0,))
    comparison = run.run()
    auc = comparison.rows[0].metrics["roc_auc"].value
    assert auc < 0.4
    assert comparison.notes == [
        f"zero-shot ranks the wrong way round (ROC AUC {auc:.3f}): possible: another wording, or "
        "other words for the labels"
    ]


def test_a_note_says_how_many_texts_the_encoder_cut():
    encoder = FakeEncoder()
    encoder.max_seq_length = 3
    comparison = benchmark(encoder=encoder, approaches=["embedding"], budgets=(40,), seeds=1).run()
    long = sum(len(record.values["feedback"].split()) > 3 for record in customers())
    assert comparison.notes == [
        f"{long} of 80 texts are longer than the 3 tokens that the sentence encoder FakeEncoder "
        "reads, and were cut by it"
    ]
    assert 0 < long < 80


@pytest.mark.parametrize("approach", ["few-shot", "probe", "embedding", "prior"])
def test_a_budget_with_fewer_rows_than_labels_is_left_out(approach):
    """One row cannot show two labels: nothing could be fitted, and the other budgets go on."""
    comparison = benchmark(approaches=[approach], budgets=(1, 16), seeds=1).run()
    assert [row.budget for row in comparison.rows] == [16]
    assert [note.split(":")[0] for note in comparison.notes] == ["budget 1 is left out"]


@pytest.mark.parametrize("approach", APPROACHES)
def test_a_label_that_no_customer_has_stops_no_comparison(approach):
    """A prompt file for three outcomes on a table where two of them occur."""
    text = PROMPT.replace("task: binary", "task: multiclass").replace("positive: leaves\n", "")
    file = prompt_file(text.replace("leaves: [angry]", "leaves: [angry], waits: [later]"))
    given = {"budgets": (0, 16), "seeds": 1, "select": "random"}
    comparison = benchmark(file=file, approaches=[approach], **given).run()
    assert len(comparison.rows) == 1
    found = pd.DataFrame(comparison.predictions)
    np.testing.assert_allclose(found[["p_stays", "p_leaves", "p_waits"]].sum(axis=1), 1)


def test_test_rows_of_one_label_have_no_ranking_and_no_difference(tmp_path):
    """Four rare customers and few test rows: none of the four need be among them."""
    comparison = benchmark(
        customers(200, share=0.02), approaches=["prior", "embedding"], budgets=(16,), max_test=10
    ).run()
    assert comparison.rows[0].metrics["roc_auc"].value is None
    results = Results.of(comparison.rows, comparison.differences)
    write_results(tmp_path, results, comparison.predictions)
    assert Results.load(tmp_path / "results.json") == results
    assert results.differences == []
    assert results.verdict == "Nothing was compared."


@pytest.mark.parametrize(
    ("records", "plan", "text"),
    [
        (
            customers(),
            {"approaches": ["probe", "embeding"]},
            "there is no approach 'embeding' (nearest: 'embedding'); "
            "possible: zero-shot, few-shot, probe, embedding, prior",
        ),
        (
            customers(share=0),
            {},
            "every row has the label 'stays'; a comparison needs rows of two labels or more",
        ),
        (
            customers(40, share=0.075),
            {},
            "the label 'leaves' has 3 rows; a comparison needs four of each label",
        ),
        (
            [*customers(20), Record(21, "c21", {"id": "c21", "feedback": "so"}, "stay")],
            {},
            "column 'outcome' holds 'stay' (nearest: 'stays'); the labels of p.jinja are 'stays', "
            "'leaves'",
        ),
    ],
    ids=["unknown approach", "one label", "too few rows", "unknown label"],
)
def test_a_plan_that_cannot_be_carried_out_is_one_line(records, plan, text):
    with pytest.raises(DataError) as error:
        benchmark(records, **plan)
    assert str(error.value) == text


def test_a_row_that_cannot_be_scored_is_named():
    records = customers()
    records[6].values["feedback"] += " [unscorable]"
    with pytest.raises(DataError) as error:
        benchmark(records, approaches=["zero-shot", "probe"], budgets=(0, 40)).run()
    assert str(error.value) == "row 7 could not be scored: it cannot be scored"


# -- the table on the screen -------------------------------------------------------------------


def row(approach, budget, seed, value, seconds):
    names = ("pr_auc", "brier", "log_loss", "ece", "accuracy", "f1")
    metrics = {"roc_auc": Value.of(value), **{name: Value.of(0.25) for name in names}}
    return Row(
        table="customers.csv",
        prompt="p",
        model="m",
        approach=approach,
        budget=budget,
        seed=seed,
        n_test=1500,
        metrics=metrics | {"seconds_per_1000": Value.of(seconds)},
    )


def test_the_table_is_aligned_and_ends_in_the_verdict():
    rows = [
        row("zero-shot", 0, 0, 0.7, 410.04),
        row("probe", 1024, 0, 0.8, 500),
        row("probe", 1024, 1, 0.9, 502),
        row("prior", 1024, 0, float("nan"), 0),
        row("prior", 1024, 1, float("nan"), 0),
    ]
    differences = [judge("probe", "prior", 1024, "roc_auc", 0.35, 0.3, 0.4)]
    assert table_text(Results.of(rows, differences)).splitlines() == [
        "approach   labels       roc auc        pr auc         brier      log loss           ece      accuracy            f1  seconds per 1000",
        "zero-shot       0         0.700         0.250         0.250         0.250         0.250         0.250         0.250             410.0",
        "prior       1,024                0.250 ±0.000  0.250 ±0.000  0.250 ±0.000  0.250 ±0.000  0.250 ±0.000  0.250 ±0.000               0.0",
        "probe       1,024  0.850 ±0.071  0.250 ±0.000  0.250 ±0.000  0.250 ±0.000  0.250 ±0.000  0.250 ±0.000  0.250 ±0.000             501.0",
        "",
        "1,500 test rows, the same for all. With no label zero-shot is highest (ROC AUC 0.700); "
        "with 1,024 labels probe is highest (ROC AUC 0.850, +0.350 (95 % +0.300 to +0.400): "
        "better, against prior).",
    ]


def test_a_table_without_results_says_so():
    header, blank, last = table_text(Results.of([], [])).splitlines()
    assert header.split()[:2] == ["approach", "labels"]
    assert (blank, last) == ("", "0 test rows, the same for all. Nothing was compared.")


# -- the whole walk ----------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path):
    """A labelled table, of which one row has no label, and a prompt file."""
    frame = pd.DataFrame([record.values | {"outcome": record.label} for record in customers()])
    frame.loc[80] = ["c81", "so", None]
    frame.to_csv(tmp_path / "customers.csv", index=False)
    (tmp_path / "p.jinja").write_text(PROMPT, encoding="utf-8")
    return tmp_path


@pytest.fixture
def loaded(monkeypatch):
    """The language models that were loaded, by name; stand-ins all of them."""
    names = []

    def load(source, **_):
        names.append(source)
        return FakeLM()

    monkeypatch.setattr("promptpredict.models.find", lambda name, *_: name)
    monkeypatch.setattr("promptpredict.loading.load_language_model", load)
    monkeypatch.setattr("promptpredict.encoders._load", lambda _: FakeEncoder())
    return names


def compare(folder, *, out="results", say=lambda _: None, prompt="p.jinja", **plan):
    plan = {"budgets": (0, 16), "seeds": 1, "max_test": 40} | plan
    table = str(folder / "customers.csv")
    return benchmark_table(
        table, str(folder / prompt), folder / out, plan, model="tiny", encoder="minilm", say=say
    )


def test_a_table_and_a_prompt_file_become_results_in_a_folder(files, loaded):
    said = []
    text = compare(files, say=said.append)
    assert sorted(each.name for each in (files / "results").iterdir()) == [
        "predictions.parquet",
        "results.json",
    ]
    results = Results.load(files / "results" / "results.json")
    assert text == table_text(results)
    assert said[0] == f"{files / 'customers.csv'}: rows left out: 1 without a label"
    assert [(row.approach, row.budget) for row in results.rows] == [
        ("zero-shot", 0), ("few-shot", 16), ("probe", 16), ("embedding", 16), ("prior", 16),
    ]  # fmt: skip
    assert {row.table for row in results.rows} == {"customers.csv"}
    assert loaded == ["tiny"]
    records = customers()
    predictions = pd.read_parquet(files / "results" / "predictions.parquet")
    for row, id, label in zip(*(predictions[name] for name in ("row", "id", "label")), strict=True):
        assert (id, label) == (records[row - 1].id, records[row - 1].label)


def test_no_language_model_is_loaded_where_none_is_needed(files, loaded):
    compare(files, approaches=("embedding", "prior"))
    assert loaded == []


def test_an_out_that_is_a_file_is_told_before_anything_is_read(files, loaded):
    (files / "taken").write_text("mine", encoding="utf-8")
    (files / "customers.csv").unlink()
    with pytest.raises(DataError) as error:
        compare(files, out="taken")
    assert str(error.value) == f"{files / 'taken'} is a file; --out wants a folder"
    assert (files / "taken").read_text(encoding="utf-8") == "mine"


def test_an_out_that_cannot_be_made_is_told_before_anything_is_scored(files, loaded):
    """A comparison takes hours: nobody wants to hear afterwards that it cannot be kept."""
    (files / "taken").write_text("mine", encoding="utf-8")
    with pytest.raises(DataError):
        compare(files, out="taken/results")
    assert loaded == []


def test_an_unknown_approach_is_told_before_a_model_is_loaded(files, loaded):
    with pytest.raises(DataError) as error:
        compare(files, approaches=("probe", "xyz"))
    assert str(error.value) == (
        "there is no approach 'xyz'; possible: zero-shot, few-shot, probe, embedding, prior"
    )
    assert loaded == []


def test_a_table_that_cannot_be_split_is_told_before_a_model_is_loaded(files, loaded):
    frame = pd.read_csv(files / "customers.csv")
    frame[frame["outcome"] == "stays"].to_csv(files / "customers.csv", index=False)
    with pytest.raises(DataError) as error:
        compare(files)
    assert str(error.value) == (
        "every row has the label 'stays'; a comparison needs rows of two labels or more"
    )
    assert loaded == []


def test_regression_is_told_before_a_model_is_loaded(files, loaded):
    text = PROMPT.replace("task: binary", "task: regression").replace(
        "labels: {stays: [glad], leaves: [angry]}\npositive: leaves",
        "bins: {words: [low, high], edges: [0, 1, 2]}",
    )
    (files / "regression.jinja").write_text(text, encoding="utf-8")
    with pytest.raises(PromptError) as error:
        compare(files, prompt="regression.jinja")
    assert str(error.value) == (
        f"{files / 'regression.jinja'} has task: regression, which benchmark cannot do yet; "
        "possible: binary, multiclass"
    )
    assert loaded == []


def test_a_label_that_the_prompt_file_does_not_know_names_table_and_row(files, loaded):
    with (files / "customers.csv").open("a", encoding="utf-8") as file:
        file.write("c82,so,stay\n")
    with pytest.raises(DataError) as error:
        compare(files)
    assert str(error.value) == (
        f"{files / 'customers.csv'}, row 82: column 'outcome' holds 'stay' (nearest: 'stays'); "
        f"the labels of {files / 'p.jinja'} are 'stays', 'leaves'"
    )


def test_a_model_that_cannot_be_found_is_told(files, loaded, monkeypatch):
    def find(name, kind="language model"):
        if kind == "language model":
            raise ModelError(f"there is no model '{name}'")

    monkeypatch.setattr("promptpredict.models.find", find)
    with pytest.raises(ModelError, match=r"^there is no model 'tiny'$"):
        compare(files)
    assert list(files.glob("results/*")) == []


def test_a_sentence_encoder_that_is_not_there_is_told_before_a_model_is_loaded(
    files, loaded, monkeypatch
):
    def find(name, kind="language model"):
        if kind == "sentence encoder":
            raise ModelError(f"there is no encoder '{name}'")

    monkeypatch.setattr("promptpredict.models.find", find)
    with pytest.raises(ModelError, match=r"^there is no encoder 'minilm'$"):
        compare(files, approaches=("prior", "embedding"))
    assert loaded == []


def test_the_automatic_choice_of_a_model_says_its_reason(files, loaded, monkeypatch):
    from types import SimpleNamespace

    source = SimpleNamespace(name="smollm2-135m")
    monkeypatch.setattr("promptpredict.models.choose", lambda: (source, "no GPU"))
    said = []
    plan = {"approaches": ("zero-shot",), "budgets": (0,), "max_test": 40}
    table, prompt = str(files / "customers.csv"), str(files / "p.jinja")
    benchmark_table(
        table, prompt, files / "out", plan, model="auto", encoder="minilm", say=said.append
    )
    assert "model: smollm2-135m (no GPU)" in said
    assert loaded == [source]
