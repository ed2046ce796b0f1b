"""Several sets of shots: how they are drawn, what their mean is, and how far they lie apart."""

from __future__ import annotations

import json
import pickle
import re
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from sklearn.base import clone
from threadpoolctl import threadpool_limits

from compared import benchmark, customers, markers, prompt_file
from conftest import build_model
from fakes import FakeEncoder, FakeLM
from promptpredict.calibrating import fingerprints
from promptpredict.checking import ScoreOptions, check
from promptpredict.encoders import Embedder
from promptpredict.errors import DataError
from promptpredict.estimators import PromptClassifier
from promptpredict.forecast import forecast
from promptpredict.guard import text_moves
from promptpredict.lm import CausalLM
from promptpredict.memo import Memo
from promptpredict.models import Source
from promptpredict.plans import Plan
from promptpredict.records import Record
from promptpredict.scores import Labels
from promptpredict.scoring import render_sets, score_held_out, score_records
from promptpredict.shots import SELECTS, Shots
from promptpredict.shotsets import draw_sets, spread
from walked import HEADER, TRAIN, TRAIN_HEADER, column, many, read, score, table, write


@pytest.fixture(autouse=True)
def _one_thread():
    with threadpool_limits(1):
        yield


class Swayed(FakeLM):
    """Is swayed by what the shots say, the last the most; one for all clones."""

    def _logprobs(self, prompt, labels):
        found = super()._logprobs(prompt, labels)
        for at, turn in enumerate(prompt.shots, 1):
            number = zlib.crc32(turn.user.encode())
            for label, words in enumerate(labels.words.values()):
                found[label] += 0.2 * at * ((number >> 8 * label) % 16) / 16
                found[label] += 0.1 * at * (words[0] in turn.reply)
        return found

    def __sklearn_clone__(self):
        return self


def ids(shots):
    return [record.row for record in shots]


def drawn(pool, count, select="balanced", seed=0, *, sets, file=None):
    return draw_sets(
        file or prompt_file(), pool, count, select, seed, Embedder(FakeEncoder()), sets=sets
    )


def labels_of(shots):
    return Counter(record.label for record in shots)


STRANGER = Record(900, "x", {"id": "x", "feedback": "so so"}, None)


# -- how they are drawn ------------------------------------------------------------------------


@pytest.mark.parametrize("select", SELECTS)
@pytest.mark.parametrize("seed", [0, 7, None])
def test_the_first_set_is_that_of_a_single_one(select, seed):
    pool = customers(40)
    sets = drawn(pool, 4, select, seed, sets=3)
    alone = drawn(pool, 4, select, seed, sets=1)
    assert isinstance(alone, Shots)
    assert sets.choose([STRANGER]) == sets.sets[0].choose([STRANGER]) == alone.choose([STRANGER])


@pytest.mark.parametrize("select", ["balanced", "random"])
@pytest.mark.parametrize("seed", [0, 7, None])
def test_sets_have_no_record_in_common_where_the_pool_suffices(select, seed):
    pool = customers(40, share=0.4)  # 16 leave: for eight sets of two
    sets = drawn(pool, 4, select, seed, sets=8)
    every = [row for each in sets.sets for row in ids(each.shown())]
    assert len(every) == len(set(every)) == 32
    again = drawn(pool, 4, select, seed, sets=8)
    assert [ids(each.shown()) for each in again.sets] == [ids(each.shown()) for each in sets.sets]
    if select == "balanced":
        assert all(labels_of(each.shown()) == {"leaves": 2, "stays": 2} for each in sets.sets)
        assert len({tuple(shot.label for shot in each.shown()) for each in sets.sets}) > 2


def test_a_rare_label_is_dealt_anew_and_the_others_go_on():
    pool = customers(60, share=0.1)  # 6 leave: for three sets of two
    sets = [each.shown() for each in drawn(pool, 4, sets=6).sets]
    rare = [{shot.row for shot in each if shot.label == "leaves"} for each in sets]
    assert all(len(each) == 2 for each in rare)
    assert set.union(*rare[:3]) == set.union(*rare[3:])
    assert len(set.union(*rare)) == 6
    common = [shot.row for each in sets for shot in each if shot.label == "stays"]
    assert len(common) == len(set(common)) == 12


@pytest.mark.parametrize("select", ["balanced", "random"])
def test_a_pool_for_one_set_gives_it_in_other_orders(select):
    pool = customers(8, share=0.5)
    sets = [ids(each.shown()) for each in drawn(pool, 8, select, sets=6).sets]
    assert all(sorted(each) == list(range(1, 9)) for each in sets)
    assert len({tuple(each) for each in sets}) == 6


@pytest.mark.parametrize("select", ["balanced", "random"])
def test_without_a_seed_sets_of_a_longer_pool_are_the_same(select):
    """A comparison's draws are nested: what was read behind their sets is of use again."""
    pool = sorted(customers(80, share=0.5), key=lambda record: record.row % 2)
    few, more = (drawn(pool[:size], 4, select, None, sets=4) for size in (40, 80))
    assert [ids(each.shown()) for each in few.sets] == [ids(each.shown()) for each in more.sets]


def test_nearest_sets_are_those_that_come_behind_the_nearest():
    pool = [
        Record(row, f"c{row}", {"id": f"c{row}", "feedback": "late " * row + "fine " * (8 - row)}, "stays")
        for row in range(1, 8)
    ]  # fmt: skip
    asked = Record(9, "c9", {"id": "c9", "feedback": "late late late late late late late late"})
    sets = [each.choose([asked])[0] for each in drawn(pool, 3, "nearest", sets=5).sets]
    assert [ids(each) for each in sets[:2]] == [[5, 6, 7], [2, 3, 4]]  # the nearest last
    assert [ids(each) for each in sets[2:4]] == [[7, 6, 5], [4, 3, 2]]  # turned
    assert sorted(ids(sets[4])) == [5, 6, 7]
    own = drawn(pool, 3, "nearest", sets=2)
    for row, record in enumerate(pool, 1):
        shown = [shot.row for each in own.sets for shot in each.choose([record])[0]]
        assert row not in shown
        assert len(set(shown)) == 6


def test_texts_are_embedded_once_for_all_sets():
    encoder = Embedder(FakeEncoder())
    sets = draw_sets(prompt_file(), customers(20), 2, "nearest", 0, encoder, sets=5)
    score_records(FakeLM(), prompt_file(), [STRANGER], sets)
    single = Embedder(FakeEncoder())
    score_records(
        FakeLM(), prompt_file(), [STRANGER],
        draw_sets(prompt_file(), customers(20), 2, "nearest", 0, single),
    )  # fmt: skip
    asked = []
    encoder._read = single._read = asked.append
    assert encoder.cost / encoder.waited == pytest.approx(single.cost / single.waited)
    assert "feedback" not in repr(pickle.dumps(sets.sets[0].embed))


def test_others_are_the_rows_that_some_set_does_not_show():
    pool = customers(10, share=0.5)
    assert ids(drawn(pool, 4, sets=2).others()) == list(range(1, 11))
    assert drawn(pool, 10, sets=3).others() == []
    three = customers(12, share=0.25)  # 3 leave
    sets = drawn(three, 6, sets=2)  # which show all of them
    assert {record.label for record in sets.others()} == {"stays"}
    assert len(sets.shown()) == 9


# -- what their mean is ------------------------------------------------------------------------


def fitted(records, lm=None, **given):
    fixed = {"model": lm or Swayed(), "shots": 4, "shot_sets": 5, "calibration": "none"}
    approach = PromptClassifier(prompt_file(), **fixed | given)
    return approach.fit(records, [record.label for record in records])


def slowly(approach, records, asked):
    """Return log-probabilities (sets, n, k) by a classifier of one set, for each set."""
    found = []
    for each in approach.shots_.sets:
        shown = each.shown()
        rest = [record for record in records if record not in shown]
        single = PromptClassifier(
            prompt_file(), model=Swayed(), shots=len(shown), select="random", random_state=None,
            calibration="none",
        ).fit([*shown, *rest], [record.label for record in [*shown, *rest]])  # fmt: skip
        found.append(np.log(single.predict_proba(asked)))
    return np.array(found)


@pytest.mark.parametrize("select", ["balanced", "random"])
@pytest.mark.parametrize("sets", [2, 5])
def test_the_mean_is_that_of_classifiers_with_one_set_each(select, sets):
    records, asked = customers(40), customers(60, seed=3)[40:]
    approach = fitted(records, select=select, shot_sets=sets)
    each = slowly(approach, records, asked)
    assert each.std(axis=0).max() > 0.05  # else the test would say nothing
    np.testing.assert_allclose(
        approach.predict_proba(asked), softmax(each.mean(axis=0), axis=1), atol=1e-6
    )
    odds = each[..., 0] - each[..., 1]  # (sets, n)
    np.testing.assert_allclose(approach.spread(asked), np.std(odds, axis=0, ddof=1), atol=1e-5)


def test_of_several_labels_the_spread_is_that_of_the_most_probable_against_the_rest():
    by_set = np.log(np.random.default_rng(0).dirichlet([1, 1, 1], size=(20, 4))) - 3.0
    expected = []
    for sets in by_set:  # (sets, k)
        shares = softmax(sets, axis=1)
        best = sets.mean(axis=0).argmax()
        expected.append(np.std(np.log(shares[:, best] / (1 - shares[:, best])), ddof=1))
    np.testing.assert_allclose(spread(by_set), expected)


def test_normalising_before_the_mean_or_behind_it_is_the_same():
    by_set = np.random.default_rng(1).normal(-4, 2, size=(10, 6, 3))
    before = softmax(log_softmax(by_set, axis=2).mean(axis=1), axis=1)
    np.testing.assert_allclose(before, softmax(by_set.mean(axis=1), axis=1))


def test_one_set_has_no_spread():
    records = customers(20)
    assert (fitted(records, shot_sets=1).spread(records[:3]) == 0).all()


def test_a_row_that_one_set_cannot_score_is_a_fault():
    pool = customers(12)
    sets = drawn(pool, 2, sets=3)
    sets.sets[1].shown()[0].values["feedback"] += " [cut]"

    class Choking(FakeLM):
        def score(self, prompts, labels, *, progress=None):
            found = super().score(prompts, labels, progress=progress)
            for row, prompt in enumerate(prompts):
                if any("[cut]" in turn.user for turn in prompt.shots):
                    found.faults[row] = "it chokes"
                    found.logprobs[row] = np.nan
            return found

    counted = []
    found = score_records(Choking(), prompt_file(), [STRANGER], sets, progress=counted.append)
    assert found.faults == {0: "it chokes"}
    assert np.isnan(found.logprobs).all()
    assert sum(counted) == 1


@pytest.mark.parametrize("select", SELECTS)
def test_labelled_rows_are_scored_by_the_sets_that_do_not_show_them(select):
    pool, lm = customers(12), FakeLM()
    sets = drawn(pool, 3, select, sets=3)
    records = sets.others()
    counted = []
    found = score_held_out(lm, prompt_file(), records, sets, progress=counted.append)
    for prompt in lm.asked:
        shown = {row for turn in prompt.shots for row in markers(turn.user)}
        assert not shown & markers(prompt.user)
        assert len(prompt.shots) == 3  # none had to give way
    for at, record in enumerate(records):
        own = [each for each in sets.sets if record not in each.shown()]
        alone = [score_records(FakeLM(), prompt_file(), [record], each).logprobs[0] for each in own]
        np.testing.assert_allclose(found.logprobs[at], np.mean(alone, axis=0), rtol=1e-6)
    assert (len(records), found.faults, sum(counted)) == (12, {}, 12)
    everywhere = score_held_out(FakeLM(), prompt_file(), pool, drawn(pool, 12, sets=2))
    assert np.isnan(everywhere.logprobs).all()
    assert np.isnan(everywhere.mass).all()


def test_rows_of_the_sets_calibrate_as_well():
    records = customers(16, share=0.5, clear=0.7)
    approach = fitted(records, calibration="platt", shot_sets=4)  # all rows are in one set
    assert approach.calibration_.method == "platt"
    found = approach.cross_fit(records, [record.label for record in records])
    assert np.isfinite(found).all()


class Copier(FakeLM):
    """Knows a customer by its shot."""

    def _logprobs(self, prompt, labels):
        replies = [turn.reply for turn in prompt.shots if turn.user == prompt.user]
        return [
            -1.0 if any(words[0] in reply for reply in replies) else -3.0
            for words in labels.words.values()
        ]


@pytest.mark.parametrize("shots", [4, 30, 40])
@pytest.mark.parametrize("select", SELECTS)
def test_a_language_model_that_copies_has_nothing_to_copy(shots, select):
    records = customers(40)
    approach = PromptClassifier(
        prompt_file(), model=Copier(), shots=shots, shot_sets=3, select=select,
        calibration="none", encoder=FakeEncoder(),
    )  # fmt: skip
    found = approach.cross_fit(records, [record.label for record in records])
    told = np.isfinite(found).all(axis=1)
    assert told.sum() > 20
    assert (found[told] == 0.5).all()


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"shot_sets": 0}, "shot_sets must be 1 or more, got 0"),
        ({"shot_sets": 2, "shots": 0}, "shot_sets is 2, and shots is 0: a set needs shots"),
    ],
)
def test_sets_that_mean_nothing_are_refused(given, text):
    with pytest.raises(ValueError, match=f"^{text}$"):
        fitted(customers(20), **given)


def test_a_clone_and_a_pickle_have_the_same_sets():
    records = customers(40)
    approach = fitted(records, FakeLM())
    again = pickle.loads(pickle.dumps(approach))
    other = clone(approach).fit(records, [record.label for record in records])
    for each in (again, other):
        np.testing.assert_array_equal(
            each.predict_proba(records[:5]), approach.predict_proba(records[:5])
        )


def test_the_guard_leaves_the_sets_as_they_are():
    records, lm = customers(40), Swayed()
    sets = drawn(records[:20], 4, sets=3)
    asked = records[20:26]
    clean = score_records(lm, prompt_file(), asked, sets)
    lm.asked.clear()
    found = text_moves(lm, prompt_file(), asked, clean.logprobs, sets)
    shown = [[shot.user for shot in prompt.shots] for prompt in lm.asked]
    expected = render_sets([prompt_file()], asked, sets)
    assert sorted(shown) == sorted(
        [shot.user for shot in prompt.shots] for each in expected.values() for prompt in each
    )
    assert (found > 0).all()


# -- what is read ------------------------------------------------------------------------------


@pytest.mark.parametrize("sets", [1, 4])
def test_what_a_set_shows_is_read_once_a_block(tokenizers, sets):
    lm = CausalLM(build_model(), tokenizers["chatml"], name="tiny")
    records = customers(90)
    shots, asked = drawn(records[:40], 4, sets=sets), records[40:]
    labels = Labels(prompt_file().words)
    apart, counted = 0, 0
    for each in shots.sets:
        prompts = [prompt_file().render(record, *each.choose([record])) for record in asked]
        encoded = [lm.encoder.encode(prompt, labels.words, None) for prompt in prompts]
        same = zip(*(each.ids for each in encoded), strict=False)
        prefix = next(at for at, tokens in enumerate(same) if len(set(tokens)) > 1)
        own = [len(each.ids) - prefix + len(each.words.tree().tokens) for each in encoded]
        apart += prefix + sum(own)
        counted += lm.passes.count(prompts, labels)
    read = score_records(lm, prompt_file(), asked, shots).tokens
    assert read == counted
    assert 0.9 * apart < read <= apart  # some customers begin alike besides


# -- score -------------------------------------------------------------------------------------

SETS = {"train": "train.csv", "shots": 4, "shot_sets": 3}


def test_score_writes_how_far_the_sets_lie_apart(fakes):
    fakes.lm = Swayed()
    table("customers.csv", HEADER, many(30)[0])
    summary, _ = score(fakes, **SETS)
    assert list(read()[0])[:7] == [
        "id", "prediction", "p_1", "p_0", "label_mass", "spread", "method"
    ]  # fmt: skip
    given = check(ScoreOptions(customers="customers.csv", prompt="p.jinja", **SETS))
    sets = draw_sets(given.prompt_file, given.labelled, 4, sets=3)
    from promptpredict.blockwise import blocks_of

    records = next(iter(blocks_of(given))).records
    found = [score_records(Swayed(), given.prompt_file, records, each) for each in sets.sets]
    by_set = np.stack([each.logprobs for each in found], axis=1)
    odds = by_set[..., 0] - by_set[..., 1]
    apart = np.std(odds, axis=1, ddof=1)
    np.testing.assert_allclose([float(each) for each in column("spread")], apart, rtol=1e-5)
    masses = np.mean([each.mass for each in found], axis=0)
    np.testing.assert_allclose([float(each) for each in column("label_mass")], masses, rtol=1e-5)
    calibration = float(np.median(apart))
    assert summary.fields()["median_spread"] == pytest.approx(calibration, rel=0.02, abs=0.01)
    assert re.search(
        r"; median spread [\d.]+ over 3 sets of shots, and the prediction changes from set to set "
        r"in \d+ rows; Platt slope",
        summary.line(),
    )
    assert summary.shots[:4] == [record.id for record in sets.sets[0].shown()]
    assert len(summary.shots) == 12


def test_predictions_that_change_from_set_to_set_are_counted(fakes):
    fakes.lm = Swayed()
    table("customers.csv", HEADER, many(60)[0])
    write("few.csv", "\n".join([TRAIN_HEADER, *TRAIN[:6], ""]))  # too few to calibrate on
    given = {"train": "few.csv", "shots": 4}
    alone = []
    for at in range(3):
        summary, _ = score(fakes, **given, shot_sets=3, out=f"{at}.csv")
        full = check(ScoreOptions(customers="customers.csv", prompt="p.jinja", **given))
        each = draw_sets(full.prompt_file, full.labelled, 4, sets=3).sets[at]
        from promptpredict.blockwise import blocks_of

        records = next(iter(blocks_of(full))).records
        found = score_records(Swayed(), full.prompt_file, records, each).logprobs
        alone.append(found.argmax(axis=1))
    changing = int((np.array(alone) != alone[0]).any(axis=0).sum())
    assert 0 < changing == summary.unsteady < 60


def test_a_threshold_says_which_predictions_change(fakes):
    fakes.lm = Swayed()
    table("customers.csv", HEADER, many(60)[0])
    for threshold in (1e-12, 1 - 1e-12):
        assert score(fakes, **SETS, threshold=threshold)[0].unsteady == 0


def test_one_set_changes_not_a_byte(fakes):
    fakes.lm = Swayed()
    table("customers.csv", HEADER, many(30)[0])
    given = {"train": "train.csv", "shots": 4}
    score(fakes, **given, out="without.csv")
    again, _ = score(fakes, **given, shot_sets=1, out="one.csv")
    assert Path("one.csv").read_bytes() == Path("without.csv").read_bytes()
    assert "spread" not in Path("one.csv").read_text(encoding="utf-8")
    assert "spread" not in again.line()
    one, none = (
        check(ScoreOptions(customers="customers.csv", prompt="p.jinja", **given | more))
        for more in ({"shot_sets": 1}, {})
    )
    assert fingerprints(one, Source("m", None)) == fingerprints(none, Source("m", None))


def test_another_number_of_sets_is_another_run(fakes):
    fakes.lm = Swayed()
    score(fakes, **SETS, save_calibration="c.json")
    with pytest.raises(
        DataError, match=r"^c\.json was found with another prompt \(file or shots\)"
    ):
        score(fakes, **SETS | {"shot_sets": 2}, calibration="c.json")
    score(fakes, **SETS, calibration="c.json")


@pytest.mark.parametrize("select", SELECTS)
@pytest.mark.parametrize("at", [1, 5, 8])
def test_a_run_that_was_killed_ends_with_the_same_bytes(fakes, monkeypatch, tokenizers, at, select):
    """With a language model whose batches show: in one set, between sets, in a later block."""
    fakes.lm = CausalLM(build_model(), tokenizers["chatml"], name="tiny", batch_tokens=256)
    table("customers.csv", HEADER, many(40)[0])
    given = {**SETS, "select": select, "block_rows": 16}
    score(fakes, **given, out="whole.csv")
    whole, calls = fakes.lm._score_bundle, []

    def killed(*given):
        calls.append(given)
        if len(calls) == at:
            raise KeyboardInterrupt
        return whole(*given)

    with monkeypatch.context() as patched:
        patched.setattr(fakes.lm, "_score_bundle", killed)
        with pytest.raises(KeyboardInterrupt):
            score(fakes, **given, out="parts.csv")
    _, said = score(fakes, **given, out="parts.csv")
    assert said[0] == "resuming the run that was interrupted (parts.csv.ledger)"
    assert Path("parts.csv").read_bytes() == Path("whole.csv").read_bytes()
    _, said = score(fakes, **given | {"shot_sets": 2}, out="parts.csv")
    assert not any(line.startswith("resuming") for line in said)


def test_every_prompt_is_kept_set_by_set(fakes):
    score(fakes, **SETS, keep_prompts=True)
    lines = Path("scores.csv.prompts.jsonl").read_text(encoding="utf-8").splitlines()
    shown = [[each["shots"] for each in json.loads(line)["prompts"]] for line in lines]
    assert len(shown) == 3
    assert all(len(each) == 3 and each == shown[0] for each in shown)
    assert len({json.dumps(each) for each in shown[0]}) == 3


def test_what_the_embedding_scored_has_no_spread(fakes):
    table("customers.csv", HEADER, ["a,1,angry", "b,1,[unscorable]"])
    score(fakes, **SETS, fallback="embedding")
    assert column("method") == ["llm", "embedding"]
    assert column("spread")[1] == ""


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"shots": 0}, "--shot-sets is 3, and --shots is 0: a set needs shots"),
        ({"prompt": "r.jinja"}, "--shot-sets needs labels; r.jinja has task: regression"),
    ],
)
def test_sets_that_cannot_be_had_are_said(fakes, changes, text):
    write(
        "r.jinja",
        "---\ntask: regression\ntarget: left\nid: id\ntext: [feedback]\n"
        "bins: {words: [low, high], edges: [0, 0.5, 1]}\n---\n"
        "{% block system %}J.{% endblock %}{% block customer %}{{ customer.feedback }}{% endblock %}"
        "{% block question %}How?{% endblock %}",
    )
    with pytest.raises(DataError) as error:
        score(fakes, **SETS | changes)
    assert str(error.value) == text
    assert fakes.loaded == []


def test_a_forecast_counts_what_is_read(fakes, tokenizers):
    table("customers.csv", HEADER, many(30)[0])
    lm, other = (CausalLM(build_model(), tokenizers["chatml"], name="tiny") for _ in range(2))
    given = check(ScoreOptions(customers="customers.csv", prompt="p.jinja", **SETS))
    from promptpredict.blockwise import blocks_of

    blocks = list(blocks_of(given))
    sets = draw_sets(given.prompt_file, given.labelled, 4, sets=3)
    found = forecast(lm, given, blocks, sets)
    assert found.read == score_records(other, given.prompt_file, blocks[0].records, sets).tokens
    assert (found.rows, len(found.prompts)) == (30, 90)


# -- benchmark ---------------------------------------------------------------------------------


def test_a_comparison_has_few_shot_behind_eight_sets():
    memo = Memo(Swayed())
    run = benchmark(
        customers(120), lm=memo, approaches=["few-shot", "few-shot-sets"], budgets=(4, 40), seeds=2
    )
    count = run.collect()
    run.read()
    assert memo.passes == count
    found = run.run()
    assert memo.passes == count  # all prompts were known before the first was read
    rows = {(row.approach, row.budget): row for row in found.rows}
    assert {("few-shot", 40), ("few-shot-sets", 40), ("few-shot-sets", 4)} <= rows.keys()
    few, sets = rows["few-shot", 40], rows["few-shot-sets", 40]
    tokens = [row.metrics["tokens_per_1000"].value for row in (few, sets)]
    assert tokens[1] > 3 * tokens[0]
    assert "few-shot-sets is not calibrated at 4 labels: all are its shots" in found.notes
    shown = [each for each in found.shots if each.approach == "few-shot-sets" and each.budget == 40]
    assert all(len(each.shots) > 16 for each in shown)
    assert found.label_mass.keys() == {"few-shot", "few-shot-sets"}


def test_its_shots_are_chosen_as_those_of_few_shot_are():
    assert Plan(approaches=("few-shot-sets",), select="nearest").needs_encoder
    assert not Plan(approaches=("few-shot-sets",)).needs_encoder
    run = benchmark(customers(120), lm=Swayed(), approaches=["few-shot-sets"], budgets=(40,), select="nearest", seeds=1)  # fmt: skip
    assert [row.approach for row in run.run().rows if row.approach == "few-shot-sets"]
