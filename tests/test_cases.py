"""Draws of labelled rows: nested in one random order, and the same with rows left out."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise, permutations

import numpy as np
import pytest

from promptpredict.cases import Comparison, Draw, Outcome, Seen, every_draw, fewer, most, runs
from promptpredict.plans import PROBE_SHOTS, Plan
from promptpredict.prompt import PromptFile
from promptpredict.records import Record
from promptpredict.shots import Shots
from promptpredict.splits import make_splits


def labels(n=200, share=0.3, seed=0):
    y = np.where(np.arange(n) < n * share, "b", "a")
    np.random.default_rng(seed).shuffle(y)
    return y.tolist()


def drawn(y=None, out=(), *, folds=None, max_test=100, **plan):
    y = labels() if y is None else y
    given = {"budgets": (0, 4, 16, 64), "seeds": 2} | plan
    splits = make_splits(y, folds=folds, max_test=max_test, seed=0)
    return splits, every_draw(splits, y, Plan(**given), set(out))


def outcome(mass, *, truncated=0, shots=(), seed=0, fold=0):
    none, rows = np.empty((0, 2)), np.arange(1)
    seen = None if mass is None else Seen(np.array(mass), truncated, list(shots))
    return Outcome(Draw(4, seed, fold, rows, rows, rows), none, none, none, 0.0, 0.0, seen=seen)


def test_what_is_watched_is_the_worst_draw_over_all_of_its_folds():
    """Not the last one: shots that were lost behind 16 labels are not so behind 256."""
    found = Comparison()
    found.watch("text", [outcome(None)])
    found.watch("few-shot", [outcome([0.9, 0.9]), outcome([0.7, 0.7], fold=1)])
    found.watch(
        "few-shot",
        [
            outcome([0.1, 0.2], truncated=2, shots=[(7, "a")], seed=1),
            outcome([0.3], truncated=1, shots=[(9, "b")], seed=1, fold=1),
        ],
    )
    found.watch("few-shot", [outcome([0.5, 0.5], truncated=1, seed=2)])
    assert found.truncated == {"few-shot": 3}
    assert found.label_mass == {"few-shot": [0.1, 0.11, 0.15, 0.2, 0.25, 0.29, 0.3]}
    assert [(each.seed, each.shots) for each in found.shots] == [(1, [(7, "a")]), (1, [(9, "b")])]


def test_each_seed_draws_each_budget_and_no_label_is_one_draw():
    [split], draws = drawn()
    assert [(draw.budget, draw.seed, draw.fold) for draw in draws] == [
        (0, 0, 0),
        *((budget, seed, 0) for seed in (0, 1) for budget in (4, 16, 64)),
    ]
    for draw in draws:
        assert len(draw.rows) == draw.budget
        np.testing.assert_array_equal(draw.train, split.train)
        np.testing.assert_array_equal(draw.test, split.test)


@pytest.mark.parametrize("seed", range(3))
def test_a_draw_begins_with_the_rows_of_the_smaller_one(seed):
    y = labels(seed=seed)
    [split], draws = drawn(y, seeds=3)
    own = [draw.rows.tolist() for draw in draws if draw.budget and draw.seed == seed]
    for small, large in pairwise(own):
        assert large[: len(small)] == small
    for rows in own:
        assert len(set(rows)) == len(rows)
        assert set(rows) <= set(split.train.tolist())


def test_a_draw_is_in_random_order_not_sorted_by_label():
    """Else the first rows, which are shots, would all be of one label."""
    _, draws = drawn(labels(2000), budgets=(64, 256), seeds=20, max_test=1000)
    y = labels(2000)
    firsts = Counter(y[draw.rows[0]] for draw in draws)
    assert set(firsts) == {"a", "b"}
    for draw in draws:
        switches = sum(y[a] != y[b] for a, b in pairwise(draw.rows))
        assert switches > len(draw.rows) / 5


def test_few_labels_are_balanced_and_many_have_their_shares():
    y = labels()
    _, draws = drawn(y)
    counts = {draw.budget: Counter(y[row] for row in draw.rows) for draw in draws if not draw.seed}
    assert counts[4] == {"a": 2, "b": 2}
    assert (counts[16]["b"], counts[64]["b"]) == (5, 19)


def test_seeds_draw_other_rows():
    _, draws = drawn(budgets=(16,))
    assert set(draws[0].rows) != set(draws[1].rows)


def test_all_rows_are_drawn_once_whatever_the_seeds():
    """Every seed would learn from the same rows: three would look like three draws."""
    [split], draws = drawn(budgets=(16, "all"), seeds=3)
    assert [(draw.budget, draw.seed) for draw in draws] == [(16, 0), (100, 0), (16, 1), (16, 2)]
    [every] = [draw for draw in draws if draw.budget == 100]
    assert set(every.rows) == set(split.train)


def test_budgets_below_the_number_of_labels_or_above_the_rows_are_not_drawn():
    _, draws = drawn(budgets=(1, 2, 101), seeds=1)
    assert [draw.budget for draw in draws] == [2]


def test_every_row_tests_in_one_fold_and_no_draw_holds_a_test_row():
    splits, draws = drawn(folds=4)
    assert Counter(draw.fold for draw in draws) == dict.fromkeys(range(4), 7)
    tested = [row for draw in draws if draw.budget == 0 for row in draw.test]
    assert sorted(tested) == list(range(200))
    for draw in draws:
        assert not {*draw.rows, *draw.train} & {*draw.test}
        assert {*draw.train, *draw.test} == set(range(200))
    assert len(splits) == 4


@pytest.mark.parametrize("n", [200, 201, 203])
def test_all_is_one_budget_in_folds_of_unequal_size(n):
    """That of the smallest fold: else figures over all rows would be of no budget."""
    splits, draws = drawn(labels(n), budgets=(16, "all"), folds=4, seeds=1)
    smallest = min(len(split.train) for split in splits)
    assert most(splits) == smallest
    assert [(draw.fold, draw.budget) for draw in draws] == [
        (fold, budget) for fold in range(4) for budget in (16, smallest)
    ]
    assert {len(draw.rows) for draw in draws} == {16, smallest}


def test_every_budget_and_seed_has_a_draw_in_every_fold_or_in_none():
    """Else its figures would be over the test rows of a part of the folds."""
    y = labels(201)
    splits, draws = drawn(y, budgets=(2, 151, "all"), folds=4, seeds=2)
    assert [len(split.train) for split in splits] == [150, 151, 151, 151]
    cases = [(budget, seed) for budget, seed in ((2, 0), (150, 0), (2, 1))]
    assert [(draw.fold, draw.budget, draw.seed) for draw in draws] == [
        (fold, *case) for fold in range(4) for case in cases
    ]
    # the draw of two rows of one fold loses one of them, the last of its label there
    [lost] = [draw for draw in draws if (draw.fold, draw.budget, draw.seed) == (1, 2, 0)]
    _, after = drawn(y, {int(lost.rows[0])}, budgets=(2, "all"), folds=4, seeds=2)
    assert Counter((draw.budget, draw.seed) for draw in after) == {(150, 0): 4, (2, 1): 4}


def test_a_draw_that_lost_the_last_row_of_a_label_is_left_out():
    _, [small, large] = drawn(budgets=(2, 16), seeds=1)
    out = {int(small.rows[0])}
    _, [kept] = drawn(budgets=(2, 16), seeds=1, out=out)
    assert (kept.budget, kept.rows.tolist()) == (16, [row for row in large.rows if row not in out])


def test_rows_left_out_change_nothing_else():
    [split], before = drawn()
    out = {int(before[2].rows[1]), int(split.test[4]), int(split.train[7])}
    _, after = drawn(out=out)
    for one, other in zip(before, after, strict=True):
        for name in ("rows", "train", "test"):
            expected = [row for row in getattr(one, name) if row not in out]
            assert getattr(other, name).tolist() == expected
        assert (one.budget, one.seed, one.fold) == (other.budget, other.seed, other.fold)


def test_all_rows_are_all_but_those_left_out():
    [split], _ = drawn()
    out = split.train[:3].tolist()
    _, draws = drawn(out=out, budgets=(98, "all"), seeds=2)
    assert [(draw.budget, draw.seed) for draw in draws] == [(98, 0), (100, 0), (98, 1)]
    assert set(draws[1].rows) == set(split.train.tolist()) - set(out)


# -- fewer test rows than are held back --------------------------------------------------------


def test_fewer_test_rows_leave_the_training_rows_as_they_are():
    y = labels(400)
    plan = Plan(held=200, max_test=50)
    [split] = make_splits(y, folds=None, max_test=200, seed=0)
    small = fewer(split, plan, y)
    np.testing.assert_array_equal(small.train, split.train)
    assert len(small.test) == 50
    assert set(small.test) < set(split.test)
    assert small.test.tolist() == sorted(small.test)
    assert Counter(y[row] for row in small.test) == {"a": 35, "b": 15}
    np.testing.assert_array_equal(fewer(split, plan, y).test, small.test)


def test_without_held_rows_or_with_enough_room_the_split_is_as_it_was():
    y = labels(400)
    [split] = make_splits(y, folds=None, max_test=100, seed=0)
    for plan in (Plan(max_test=50), Plan(held=100, max_test=100), Plan(held=99, max_test=150)):
        assert fewer(split, plan, y) is split
    assert fewer(split, Plan(held=100, max_test=50, folds=3), y) is split


@pytest.mark.parametrize(("held", "max_test"), [(41, 40), (41, 1), (160, 159)])
def test_a_remainder_or_a_part_too_small_for_every_label_is_drawn_without_regard_to_labels(
    held, max_test
):
    y = labels(400)
    plan = Plan(held=held, max_test=max_test)
    [split] = make_splits(y, folds=None, max_test=held, seed=0)
    small = fewer(split, plan, y)
    np.testing.assert_array_equal(small.train, split.train)
    assert len(small.test) == max_test
    assert set(small.test) < set(split.test)
    assert small.test.tolist() == sorted(small.test)
    np.testing.assert_array_equal(fewer(split, plan, y).test, small.test)


# -- shots that would leave a probe nothing to be fitted on ------------------------------------


def draw_of(y, budget=16, seed=0):
    rows = np.arange(len(y))
    return Draw(budget, seed, 0, rows, rows, rows[:0])


@pytest.mark.parametrize(
    "counts", [(1, 5), (2, 4), (3, 3), (2, 2), (1, 1, 4), (2, 2, 2), (2, 1, 3)]
)
def test_probe_shots_runs_where_shots_leave_a_row_of_each_label_in_any_order(counts):
    """Against the shots of every order of the rows."""
    y = [label for label, count in zip("abc", counts, strict=False) for _ in range(count)]
    words = ", ".join(f"{label}: [word {label}]" for label in sorted(set(y)))
    task = "binary" if len(counts) == 2 else "multiclass"
    file = PromptFile.from_text(
        f"---\ntask: {task}\ntarget: t\nlabels: {{{words}}}\n"
        + ("positive: a\n" if len(counts) == 2 else "")
        + "---\n{% block system %}You judge.{% endblock %}\n{% block customer %}{{ customer.x }}{% endblock %}\n"
        "{% block question %}Which?{% endblock %}\n{% block answer %}It is{% endblock %}\n",
        name="p",
    )
    left = set()
    for order in set(permutations(y)):
        pool = [Record(n, str(n), {"x": n}, label) for n, label in enumerate(order)]
        shots = Shots(file, pool, PROBE_SHOTS, "balanced", None)
        left.add(len({record.label for record in shots.others()}))
    found, notes = runs(["probe-shots", "probe"], [draw_of(y)], y, Plan(), 100)
    enough = left == {len(counts)}
    assert found == {16: ["probe-shots", "probe"] if enough else ["probe"]}
    assert bool(notes) != enough


def test_what_shots_would_take_is_said_once_a_budget():
    y = ["no"] * 14 + ["yes"] * 2
    draws = [draw_of(y, seed=0), draw_of(y, seed=1), draw_of(y * 4, budget=64)]
    found, notes = runs(["probe-shots"], draws, y * 4, Plan(), 100)
    assert found == {16: [], 64: ["probe-shots"]}
    assert notes == [
        "probe-shots is left out at 16 labels: a draw has 2 of 'yes', and its 4 shots may take "
        "them all"
    ]


def test_where_there_is_no_label_there_is_nothing_to_say():
    assert runs(["zero-shot", "probe"], [draw_of([], 0)], [], Plan(), 9) == ({0: ["zero-shot"]}, [])


def test_draws_on_which_no_adapter_can_be_trained_are_said():
    y = ["yes", "no"] * 8
    draws = [draw_of(y, 16), draw_of(y, 16, 1)]
    why = "in a draw there is nobody"
    found, notes = runs(
        ["tuned", "probe"], draws, y, Plan(), 100, unfit=lambda draw: why if draw.seed else ""
    )
    assert found == {16: ["probe"]}
    assert notes == [f"tuned is left out at 16 labels: {why}"]


@pytest.mark.parametrize(
    ("rare", "budget", "shots", "select", "said"),
    [
        (2, 64, 4, "balanced", True),
        (2, 64, 16, "balanced", True),  # 4 of them take both as well
        (3, 64, 16, "balanced", False),
        (3, 64, 4, "balanced", False),
        (2, 64, 4, "random", False),
        (2, 4, 4, "balanced", False),  # said elsewhere: all are its shots
    ],
)
def test_few_shot_without_a_rare_row_to_calibrate_on_is_said(rare, budget, shots, select, said):
    y = ["yes"] * rare + ["no"] * (budget - rare)
    plan = Plan(shots=shots, select=select)
    found, notes = runs(["few-shot"], [draw_of(y, budget), draw_of(y, budget, 1)], y, plan, 100)
    assert found == {budget: ["few-shot"]}
    assert (
        notes
        == [
            f"few-shot is not calibrated at {budget} labels: a draw has {rare} of 'yes', and its shots "
            "take them all"
        ]
        * said
    )
