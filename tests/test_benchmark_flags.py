"""What a comparison leaves out and says so, and what it warns of: notes and flags."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import logit
from threadpoolctl import threadpool_limits

from compared import (
    FAKED,
    GROUPED_TIMES,
    PROMPT,
    QUICK,
    benchmark,
    by_case,
    customers,
    prompt_file,
    with_usage,
)
from fakes import FakeEncoder, FakeLM
from promptpredict.errors import DataError
from promptpredict.ledger import Ledger
from promptpredict.memo import Memo
from promptpredict.plans import APPROACHES, CASCADE, STACK, STACKED
from promptpredict.records import Record


@pytest.fixture(autouse=True)
def _one_thread():
    with threadpool_limits(1):
        yield


# -- rows that cannot be scored ----------------------------------------------------------------


def test_rows_that_cannot_be_scored_are_left_out_for_everybody_with_a_note():
    plain = benchmark(approaches=(*QUICK, "panel", "stack"))
    split = plain.splits[0]
    draw = next(each for each in plain.draws() if each.budget == 16)
    tested, learned = int(split.test[3]), int(draw.rows[2])
    records = customers()
    for row in (tested, learned):
        records[row].values["feedback"] += " [unscorable]"
    run = benchmark(records, approaches=(*QUICK, "panel", "stack"))
    comparison = run.run()
    first = min(tested, learned) + 1
    assert comparison.notes[:2] == [
        "stack joins structured, structured-trees, text too: they run as well",
        "few-shot is not calibrated at 4 labels: all are its shots",
    ]
    assert comparison.notes[2] == (
        "rows left out for every approach: 2 that could not be scored (the first is row "
        f"{first}: it cannot be scored)"
    )
    expected = [row + 1 for row in split.test if row != tested]
    for case in by_case(comparison).values():
        assert case["row"].tolist() == expected
    assert {row.n_test for row in comparison.rows} == {39}
    # the other draws are as they were, and this one lacks the one row
    for before, after in zip(plain.draws(), run.draws(), strict=True):
        assert after.rows.tolist() == [row for row in before.rows if row != learned]
    assert all(np.isfinite(each["p_leaves"]) for each in comparison.predictions)


class Short(FakeLM):
    """Knows before it reads what it cannot read."""

    def fault(self, prompt, labels):
        return "it is too long" if "[unscorable]" in prompt.user else None


def test_rows_that_are_too_long_are_left_out_before_anything_is_read():
    """The number of prompts that is said is the number that is read."""
    records = customers()
    for row in (5, 60):
        records[row].values["feedback"] += " [unscorable]"
    run = benchmark(records, lm=Memo(Short()), approaches=(*QUICK, "panel"))
    count = run.collect()
    notes = run.run().notes
    assert (run.memo.passes, run.memo.count) == (count, count)
    assert not any("[unscorable]" in prompt.user for prompt in run.memo.lm.asked)
    left_out = (
        "rows left out for every approach: 2 that could not be scored (the first is row 6: it is "
        "too long)"
    )
    assert left_out in notes


@pytest.mark.parametrize(("groups", "word"), [(3, "undecided"), (40, "better")])
def test_a_group_or_two_decide_nothing(groups, word):
    """The rows of one group say as little as one row."""
    of = [f"g{row % groups}" for row in range(80)]
    found = benchmark(groups=of, approaches=["zero-shot", "embedding"], budgets=(4,), seeds=1).run()
    [gap] = [each for each in found.differences if each.approach == "zero-shot"]
    assert gap.verdict == word
    assert ((gap.low, gap.high) == (-1, 1)) == (groups == 3)  # of which one tests


def test_a_draw_of_two_that_loses_one_is_left_out_and_the_others_are_not():
    """One label is no comparison: what is fitted on it would say the same of everybody."""
    given = {"approaches": (*QUICK, "panel"), "budgets": (2, 16), "seeds": 2}
    plain = benchmark(**given)
    lost = next(draw for draw in plain.draws() if (draw.budget, draw.seed) == (2, 1))
    row = int(lost.rows[1])
    records = customers()
    records[row].values["feedback"] += " [unscorable]"
    comparison = benchmark(records, **given).run()
    assert {(row.budget, row.seed) for row in comparison.rows} == {(2, 0), (16, 0), (16, 1)}
    assert {row.n_test for row in comparison.rows} == {40}
    assert [note for note in comparison.notes if "left out" in note] == [
        "rows left out for every approach: 1 that could not be scored (the first is row "
        f"{row + 1}: it cannot be scored)"
    ]


def test_rows_that_cannot_be_scored_are_asked_again_by_a_later_run_and_no_others(tmp_path):
    """There may be memory for them then."""
    records = customers()
    records[5].values["feedback"] += " [unscorable]"
    for later in (False, True):
        memo = Memo(FakeLM(), ledger=Ledger(tmp_path / "ledger.sqlite"))
        run = benchmark(records, lm=memo, approaches=["zero-shot", "probe"], budgets=(0, "all"))
        notes = run.run().notes
        asked = ["[unscorable]" in prompt.user for prompt in memo.lm.asked]
        assert any(asked)
        assert all(asked) is later
        assert run.unscored == {6: "it cannot be scored"}
        assert notes[0].endswith(
            "1 that could not be scored (the first is row 6: it cannot be scored)"
        )


# -- flags and notes ---------------------------------------------------------------------------


def kinds(comparison):
    return [flag.kind for flag in comparison.flags]


def test_a_sound_table_has_no_flag_and_no_note():
    comparison = benchmark(customers(200), approaches=["zero-shot", "prior"]).run()
    assert (comparison.flags, comparison.notes) == ([], [])


def test_test_rows_that_training_rows_repeat_are_flagged():
    run = benchmark(approaches=["prior"])
    train, test = int(run.splits[0].train[0]), int(run.splits[0].test[0])
    records = customers()
    records[test] = replace(records[test], values=records[train].values | {"id": records[test].id})
    [flag] = benchmark(records, approaches=["prior"]).run().flags
    assert (flag.kind, flag.column) == ("duplicates", None)
    assert flag.text == (
        f"1 of 40 test rows show a prompt the same as a training row (row {test + 1}): "
        "what is fitted has as good as seen them, which flatters it; possible: remove repeated "
        "rows, or keep them together as groups"
    )


def test_a_column_that_gives_the_label_away_is_flagged():
    records = customers(200)
    for record in records:
        record.values["closed"] = 1.0 if record.label == "leaves" else 0.0
    [flag] = benchmark(records, approaches=["prior"]).run().flags
    assert (flag.kind, flag.column) == ("leak", "closed")
    assert flag.text == (
        "'closed' alone gives the label 'leaves' away (ROC AUC 1.000 on 160 training rows): it may "
        "be from after the outcome; possible: ignore it in the prompt file"
    )


@pytest.mark.parametrize("budgets", [(0, 16), (16, 40)])
def test_swapped_words_are_flagged_once_whatever_the_budgets(budgets):
    swapped = PROMPT.replace("[angry]", "[swap]").replace("[glad]", "[angry]")
    swapped = swapped.replace("[swap]", "[glad]")
    assert swapped != PROMPT
    run = benchmark(file=prompt_file(swapped), approaches=["zero-shot"], budgets=budgets)
    comparison = run.run()
    auc = comparison.rows[0].metrics["roc_auc"].value
    assert auc < 0.4
    assert [(flag.kind, flag.text) for flag in comparison.flags] == [
        (
            "reversed",
            f"zero-shot ranks the wrong way round (ROC AUC {auc:.3f}): possible: another wording, "
            "or other words for the labels",
        )
    ]


class ByHeart(FakeLM):
    """Finds a row's own price likely below the row's own feedback, as one who has read the table."""

    def __init__(self, records):
        super().__init__()
        self.rows = {f"usage: {each.values['usage']}": each.values["price"] for each in records}

    def _logprobs(self, prompt, labels):
        if "real" not in labels.words:
            return super()._logprobs(prompt, labels)
        own = next((p for line, p in self.rows.items() if line in prompt.user.splitlines()), None)
        real = labels.words["real"][0]
        return [-1.0 if own is not None and str(own) == real else -4.0, -4.0]


def test_a_table_that_the_model_knows_by_heart_is_flagged():
    records = with_usage(customers(200))
    given = {"approaches": ["zero-shot"], "budgets": (0,), "memory_rows": 100}
    assert kinds(benchmark(records, lm=ByHeart(records), **given).run()) == ["memorised"]
    assert kinds(benchmark(records, lm=FakeLM(), **given).run()) == []
    given["memory_rows"] = 0
    assert kinds(benchmark(records, lm=ByHeart(records), **given).run()) == []


def test_label_mass_and_cut_prompts_are_those_of_the_test_rows():
    records = customers()
    run = benchmark(records, approaches=["zero-shot"], budgets=(0,))
    for row in (*run.splits[0].test[:3], *run.splits[0].train[:5]):
        records[row].values["feedback"] += " [long]"
    memo = Memo(FakeLM())
    comparison = benchmark(records, lm=memo, approaches=["zero-shot"], budgets=(0,)).run()
    assert comparison.truncated == {"zero-shot": 3}
    [mass] = comparison.label_mass.values()
    masses, _ = memo.gists[-1]
    expected = np.quantile(masses, [0, 0.05, 0.25, 0.5, 0.75, 0.95, 1])
    assert len(masses) == 40
    np.testing.assert_allclose(mass, expected, atol=1e-6)


def test_a_note_says_how_many_texts_the_encoder_cut():
    encoder = FakeEncoder()
    encoder.max_seq_length = 9
    comparison = benchmark(encoder=encoder, approaches=["embedding"], budgets=(40,), seeds=1).run()
    [note] = comparison.notes
    assert note.endswith(
        " of 80 texts are longer than the 9 tokens that the sentence encoder FakeEncoder reads, "
        "and were cut by it"
    )
    # "plan: basic" and "price: 20.1" stand in front of the feedback
    long = sum(len(record.values["feedback"].split()) + 4 > 9 for record in customers())
    assert note.startswith(f"{long} of")
    assert 0 < long < 80


def test_rows_left_out_of_training_for_their_group_are_counted():
    run = benchmark(customers(120), approaches=["prior"], budgets=(16,), **GROUPED_TIMES)
    left = run.splits[0].left_out
    assert left == 120 - len(run.splits[0].train) - len(run.splits[0].test) > 0
    assert run.run().notes == [
        f"rows left out of training, because others of their group test: {left}",
    ]


def repeated_ids(rows=160, each=4):
    """Customers whose id stands in several rows."""
    return [replace(one, id=f"c{at // each}") for at, one in enumerate(customers(rows))]


@pytest.mark.parametrize("folds", [None, 4])
def test_rows_of_one_id_are_kept_together_and_a_note_says_so(folds):
    records = repeated_ids()
    given = {"approaches": ["prior"], "budgets": (16,), "folds": folds}
    run, grouped = (
        benchmark(records, **given),
        benchmark(customers(160), groups=[record.id for record in records], **given),
    )
    for ours, theirs in zip(run.splits, grouped.splits, strict=True):
        np.testing.assert_array_equal(ours.test, theirs.test)
        sides = [{records[row].id for row in side} for side in (ours.train, ours.test)]
        assert not sides[0] & sides[1]
    assert [record.group for record in run.records] == [record.id for record in records]
    assert run.run().notes == ["40 ids of 'id' in several rows: kept together, as by --group id"]


def test_a_group_that_is_given_wins_over_ids():
    groups = [f"g{row % 50}" for row in range(160)]
    run = benchmark(repeated_ids(), approaches=["prior"], budgets=(16,), groups=groups)
    assert [record.group for record in run.records] == groups
    assert run.run().notes == []


@pytest.mark.parametrize("text", [PROMPT, PROMPT.replace("id: id\n", "")], ids=["unique", "no id"])
def test_where_no_id_repeats_rows_stand_alone(text):
    records = customers() if "id: id" in text else repeated_ids(80)
    run = benchmark(records, file=prompt_file(text), approaches=["prior"], budgets=(16,))
    assert {record.group for record in run.records} == {None}
    assert run.run().notes == []


@pytest.mark.parametrize(
    ("each", "times", "said"),
    [
        (160, None, "1 id of 'id' in several rows: customers may train and test, as kept together every row is of one group"),
        (80, None, "2 ids of 'id' in several rows: customers may train and test, as kept together the 2 groups cannot be parted into at most 40 test rows and the rest with every label on both sides"),
        # a panel of months: what is known of customers until the newest
        (4, [f"2024-0{1 + row % 4}-01" for row in range(160)], "40 ids of 'id' in several rows: customers may train and test; possible: --group id"),
    ],
    ids=["one id", "two ids", "the newest"],
)  # fmt: skip
def test_where_ids_are_not_kept_together_rows_stand_alone_and_a_note_says_so(each, times, said):
    records = repeated_ids(each=each)
    run = benchmark(records, approaches=["prior"], budgets=(16,), times=times)
    plain = benchmark(customers(160), approaches=["prior"], budgets=(16,), times=times)
    np.testing.assert_array_equal(run.splits[0].test, plain.splits[0].test)
    assert {record.group for record in run.records} == {None}
    assert run.run().notes == [said]


def test_a_note_says_what_the_prompt_file_cannot_serve():
    bare = PROMPT[: PROMPT.index("panel:")] + PROMPT[PROMPT.index("---\n{%") :]
    comparison = benchmark(file=prompt_file(bare), approaches=["prior", "panel"]).run()
    assert comparison.notes == ["panel is left out: p.jinja has no panel"]
    assert {row.approach for row in comparison.rows} == {"prior"}


@pytest.mark.parametrize("approach", [name for name in FAKED if name != "probe-shots"])
def test_a_label_that_no_customer_has_stops_no_comparison(approach):
    """A prompt file for three outcomes on a table where two of them occur."""
    text = PROMPT.replace("task: binary", "task: multiclass").replace("positive: leaves\n", "")
    file = prompt_file(text.replace("leaves: [angry]", "leaves: [angry], waits: [later]"))
    members = [approach, "probe", "text"] if approach == STACK else [approach]
    comparison = benchmark(
        file=file, approaches=members, budgets=(16,), seeds=1, select="random"
    ).run()
    assert approach in {row.approach for row in comparison.rows}
    found = pd.DataFrame(comparison.predictions)
    np.testing.assert_allclose(found[["p_stays", "p_leaves", "p_waits"]].sum(axis=1), 1)
    assert "threshold" not in comparison.rows[0].metrics


@pytest.mark.parametrize(
    ("select", "names"),
    [("balanced", ("probe-shots", "few-shot")), ("random", ("probe-shots",))],
)
def test_balanced_shots_of_a_label_that_no_customer_has_are_left_out_with_a_note(select, names):
    text = PROMPT.replace("task: binary", "task: multiclass").replace("positive: leaves\n", "")
    file = prompt_file(text.replace("leaves: [angry]", "leaves: [angry], waits: [later]"))
    approaches = ["few-shot", "probe-shots", "prior"]
    comparison = benchmark(file=file, approaches=approaches, budgets=(16,), select=select).run()
    assert comparison.notes == [
        f"{name} is left out: no row has the label 'waits', and balanced shots need every label"
        for name in sorted(names)
    ]
    single = {row.approach for row in comparison.rows if not row.chosen}
    assert single == set(approaches) - set(names)


def test_without_a_language_model_what_needs_one_is_told():
    run = benchmark(approaches=["text", "stack"]).with_model(None)
    with pytest.raises(DataError) as error:
        run.run()
    assert str(error.value) == "zero-shot, probe: a language model is needed, and none is given"


def test_a_base_rate_has_to_fit_the_labels():
    text = PROMPT.replace("task: binary", "task: multiclass").replace("positive: leaves\n", "")
    file = prompt_file(text.replace("leaves: [angry]", "leaves: [angry], waits: [later]"))
    with pytest.raises(DataError) as error:
        benchmark(file=file, approaches=["prior", "embedding"], base_rate=0.1)
    assert str(error.value) == (
        "the base rate is one number, and p.jinja has 3 labels; possible: a share for each of "
        "stays, leaves, waits"
    )
    with pytest.raises(DataError) as error:
        benchmark(file=file, approaches=["prior"], value_saved=9, offer_cost=1)
    assert str(error.value) == "captured value needs two labels; p.jinja has 3"


def test_known_shares_of_three_labels_move_every_approach():
    """A tenth waits in the table, a half of all customers do: as the shift of two labels is."""
    text = PROMPT.replace("task: binary", "task: multiclass").replace("positive: leaves\n", "")
    file = prompt_file(text.replace("leaves: [angry]", "leaves: [angry], waits: [later]"))
    records = [
        replace(record, label="waits") if row % 10 == 0 else record
        for row, record in enumerate(customers(500))
    ]
    rate = {"waits": 0.5, "leaves": 0.2, "stays": 0.3}
    given = {"file": file, "budgets": (0, 200), "seeds": 1, "max_test": 200}
    names = ["zero-shot", "structured", "prior"]
    known = benchmark(records, approaches=names, base_rate=rate, **given).run()
    plain = benchmark(records, approaches=names, **given).run()
    columns = ["p_stays", "p_leaves", "p_waits"]
    for case in (("prior", 0), ("prior", 200), ("structured", 200), ("zero-shot", 0)):
        found, before = (
            pd.DataFrame(each.predictions).set_index(["approach", "budget"])[columns]
            for each in (known, plain)
        )
        table = found.loc[[case]].to_numpy()
        np.testing.assert_allclose(table.sum(axis=1), 1)
        if case[0] == "prior":
            np.testing.assert_allclose(table, [[0.3, 0.2, 0.5]] * 200, atol=1e-12)
        if case[0] == "zero-shot":
            assert table[:, 2].mean() == pytest.approx(0.5, abs=0.05)
        if case[0] == "structured":
            moved = table / before.loc[[case]].to_numpy()
            np.testing.assert_allclose(moved[:, 2] / moved[:, 0], (moved[:, 2] / moved[:, 0])[0])
            assert (moved[:, 2] > moved[:, 0]).all()


def test_a_known_share_moves_the_stack_and_the_cascade_by_the_same_odds():
    """Four in ten leave in the table, one in ten of all: what is joined is moved once, as its members are."""
    records = customers(100, clear=0.8)
    given = {"approaches": (STACK, CASCADE), "budgets": (32,), "seeds": 1}
    runs = [benchmark(records, max_test=40, base_rate=rate, **given) for rate in (0.1, None)]
    for run in runs:
        run.read()
    draw = runs[0].draws()[0]
    known, plain = (run._cases(run.draws()) for run in runs)
    own = np.mean([runs[0].y[row] == "leaves" for row in draw.rows])
    move = logit(0.1) - logit(own)
    for name in (*STACKED, STACK, CASCADE):
        found, before = known[name, 32, 0][0], plain[name, 32, 0][0]
        for kind in ("probabilities", "held_out"):
            apart = logit(getattr(found, kind)[:, 1]) - logit(getattr(before, kind)[:, 1])
            seen = np.isfinite(apart)
            assert seen.any()
            np.testing.assert_allclose(apart[seen], move, atol=1e-6, err_msg=name)
        np.testing.assert_allclose(found.judged, before.judged, atol=1e-9)


def test_the_base_rate_is_no_choice_where_nothing_else_can_be_tried():
    """With a row of each label no approach has held-out rows; then the first is taken."""
    comparison = benchmark(
        approaches=["zero-shot", "embedding", "text", "prior"], budgets=(2,)
    ).run()
    chosen = {row.chosen for row in comparison.rows if row.approach == "chosen-without-lm"}
    assert chosen == {"embedding"}


@pytest.mark.slow
def test_a_rare_label_stops_no_comparison():
    """16 labels of which two are of the rare one: both are shots in front of the probe."""
    comparison = benchmark(
        customers(400, share=0.1), approaches=FAKED, budgets=(16, 64), max_test=100
    ).run()
    assert comparison.notes[:1] == [
        "probe-shots is left out at 16 labels: a draw has 2 of 'leaves', and its 4 shots may take "
        "them all"
    ]
    of = {row.budget for row in comparison.rows if row.approach == "probe-shots"}
    assert of == {64}


def test_test_rows_of_one_label_have_no_ranking_and_no_difference():
    """No label can be without a test row any more; but a row of it may not be scorable."""
    records = customers(200, share=0.02)
    plain = benchmark(records, max_test=60)
    for row in plain.splits[0].test:
        if plain.y[row] == "leaves":
            records[row].values["feedback"] += " [unscorable]"
    comparison = benchmark(
        records, approaches=["zero-shot", "prior", "embedding"], budgets=(16,), max_test=60
    ).run()
    assert {row.metrics["roc_auc"].value for row in comparison.rows} == {None}
    assert (comparison.differences, comparison.crossovers) == ([], [])


@pytest.mark.parametrize(
    ("records", "plan", "text"),
    [
        (
            customers(),
            {"approaches": ["probe", "embeding"]},
            "there is no approach 'embeding' (nearest: 'embedding'); possible: "
            + ", ".join(APPROACHES),
        ),
        (
            customers(),
            {"budgets_of": {"few-sot": [4]}},
            "there is no approach 'few-sot' (nearest: 'few-shot'); possible: "
            + ", ".join(APPROACHES),
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
        (
            customers(20, share=0.25),
            {"folds": 9},
            "9 folds cannot be made: the label 'leaves' has 5 rows; possible: 2 to 5 folds",
        ),
    ],
    ids=[
        "unknown approach",
        "budgets of nobody",
        "one label",
        "too few rows",
        "unknown label",
        "too many folds",
    ],
)
def test_a_plan_that_cannot_be_carried_out_is_one_line(records, plan, text):
    with pytest.raises(DataError) as error:
        benchmark(records, **plan)
    assert str(error.value) == text
