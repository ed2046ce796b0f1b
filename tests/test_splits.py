"""Splits: test rows stand apart, by label, group or time; label budgets lie inside one another."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest

from promptpredict.errors import DataError
from promptpredict.splits import Split, check_disjoint, draws, duplicates, make_splits, split

BUDGETS = (2, 4, 7, 16, 64, 256)


def labels_of(**counts):
    """Labels in a mixed order: ``labels_of(a=3, b=1)`` are three a and one b."""
    labels = [label for label, count in counts.items() for _ in range(count)]
    random.Random(0).shuffle(labels)
    return labels


def drawn(labels, rows):
    return Counter(labels[row] for row in rows)


# -- test rows ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "most", "size"), [(40, 1000, 20), (41, 1000, 20), (100, 30, 30)])
def test_at_most_max_test_and_at_most_half_of_the_rows_test(n, most, size):
    train, test = split(labels_of(a=n - 12, b=12), max_test=most, seed=0)
    assert len(test) == size
    assert sorted([*train, *test]) == list(range(n))
    assert list(test) == sorted(test)
    assert list(train) == sorted(train)


def test_both_sides_have_the_shares_of_the_labels():
    labels = labels_of(a=700, b=200, c=100)
    train, test = split(labels, max_test=300, seed=0)
    assert drawn(labels, test) == {"a": 210, "b": 60, "c": 30}
    assert drawn(labels, train) == {"a": 490, "b": 140, "c": 70}


@pytest.mark.parametrize("seed", range(5))
def test_four_rows_of_a_label_are_two_on_each_side(seed):
    labels = labels_of(a=4, b=4)
    train, test = split(labels, max_test=1000, seed=seed)
    assert drawn(labels, test) == drawn(labels, train) == {"a": 2, "b": 2}


def test_the_seed_decides_the_test_rows():
    labels = labels_of(a=50, b=50)
    tests = [tuple(split(labels, max_test=20, seed=seed)[1]) for seed in (1, 1, 2, 3)]
    assert tests[0] == tests[1]
    assert len(set(tests)) == 3


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        ([], "no labelled row is left; a comparison needs rows of two labels or more"),
        (
            ["stays"] * 9,
            "every row has the label 'stays'; a comparison needs rows of two labels or more",
        ),
        (
            labels_of(stays=20, leaves=3),
            "the label 'leaves' has 3 rows; a comparison needs four of each label",
        ),
    ],
    ids=["none", "one label", "too few rows"],
)
def test_labels_that_cannot_be_split_are_named(labels, text):
    with pytest.raises(DataError) as error:
        split(labels, max_test=1000, seed=0)
    assert str(error.value) == text


def test_fewer_test_rows_than_labels_are_a_fault_in_one_line():
    """--max-test 4 with five labels: whatever is said, it is said as a fault of the user's."""
    with pytest.raises(DataError):
        split(labels_of(a=9, b=9, c=9, d=9, e=9), max_test=4, seed=0)


# -- splits ------------------------------------------------------------------------------------


def made(labels, *, folds=None, max_test=1000, seed=0, **given):
    return make_splits(labels, folds=folds, max_test=max_test, seed=seed, **given)


def fault(labels, **given):
    with pytest.raises(DataError) as error:
        made(labels, **given)
    return str(error.value)


def grouped(seed, groups=60):
    """Labels and a group for each: from one row to many, and mostly of one label."""
    rng = random.Random(seed)
    pairs = []
    for group in range(groups):
        often = rng.choice([0.1, 0.4, 0.8])
        rows = rng.choice([1, 1, 2, 5, 12])
        pairs += [("a" if rng.random() < often else "b", f"g{group}") for _ in range(rows)]
    rng.shuffle(pairs)
    return [list(column) for column in zip(*pairs, strict=True)]


def test_one_split_without_groups_or_times_is_the_stratified_one():
    labels = labels_of(a=70, b=30)
    (found,) = made(labels, max_test=30, seed=3)
    train, test = split(labels, max_test=30, seed=3)
    np.testing.assert_array_equal(found.train, train)
    np.testing.assert_array_equal(found.test, test)
    assert (found.fold, found.left_out) == (0, 0)


@pytest.mark.parametrize("seed", range(3))
def test_in_folds_every_row_tests_once_in_the_shares_of_the_labels(seed):
    labels = labels_of(a=70, b=30)
    found = made(labels, folds=5, max_test=3, seed=seed)  # max_test holds for one split alone
    assert [each.fold for each in found] == [0, 1, 2, 3, 4]
    assert sorted(row for each in found for row in each.test) == list(range(100))
    for each in found:
        assert sorted([*each.train, *each.test]) == list(range(100))
        assert drawn(labels, each.test) == {"a": 14, "b": 6}


def test_the_seed_decides_the_folds():
    labels = labels_of(a=50, b=50)
    tests = [tuple(made(labels, folds=2, seed=seed)[0].test) for seed in (1, 1, 2, 3)]
    assert tests[0] == tests[1]
    assert len(set(tests)) == 3


@pytest.mark.parametrize("folds", [None, 3])
@pytest.mark.parametrize("seed", range(8))
def test_no_group_stands_on_both_sides(seed, folds):
    labels, groups = grouped(seed)
    for each in made(labels, folds=folds, seed=seed, groups=groups):
        assert not {groups[row] for row in each.train} & {groups[row] for row in each.test}
        assert sorted([*each.train, *each.test]) == list(range(len(labels)))
        assert set(drawn(labels, each.test)) == set(drawn(labels, each.train)) == {"a", "b"}


@pytest.mark.parametrize("seed", range(8))
def test_whole_groups_that_test_are_near_the_shares_and_never_too_many(seed):
    labels, groups = grouped(seed, groups=300)
    (found,) = made(labels, max_test=200, seed=seed, groups=groups)
    share = labels.count("a") / len(labels)
    assert 150 < len(found.test) <= 200
    assert drawn(labels, found.test)["a"] / len(found.test) == pytest.approx(share, abs=0.06)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("rare", "most"), [((2, 2), 10), ((3, 1), 1000)])
def test_a_label_of_two_groups_stands_on_both_sides(rare, most, seed):
    """Though no draw, or one that leaves a single row to train, would be nearer to its share."""
    labels = ["a"] * 40 + ["b"] * 4
    groups = [*range(40), *["x"] * rare[0], *["y"] * rare[1]]
    (found,) = made(labels, groups=groups, max_test=most, seed=seed)
    assert drawn(labels, found.test)["b"] == rare[-1]


def test_the_seed_decides_which_groups_test():
    labels, groups = grouped(0)
    tests = [tuple(made(labels, groups=groups, seed=seed)[0].test) for seed in (1, 1, 2)]
    assert tests[0] == tests[1] != tests[2]


def test_a_group_that_is_most_of_the_table_trains():
    labels = labels_of(a=50, b=50)
    groups = ["most"] * 70 + [f"g{row}" for row in range(30)]
    (found,) = made(labels, groups=groups)
    assert found.train[:70].tolist() == list(range(70))


@pytest.mark.parametrize("seed", range(3))
def test_the_newest_rows_test(seed):
    days = random.Random(seed).sample(range(100), 100)
    (found,) = made(labels_of(a=50, b=50), max_test=20, times=days)
    assert sorted(days[row] for row in found.test) == list(range(80, 100))
    assert sorted(days[row] for row in found.train) == list(range(80))


@pytest.mark.parametrize(("most", "tested"), [(20, 20), (29, 20), (30, 30), (1000, 50)])
def test_rows_of_one_time_stay_together(most, tested):
    """Ten rows on each day: the day that does not fit as a whole trains."""
    labels = labels_of(a=50, b=50)
    (found,) = made(labels, max_test=most, times=[f"2024-05-{1 + n // 10:02}" for n in range(100)])
    assert found.test.tolist() == list(range(100 - tested, 100))
    assert found.train.tolist() == list(range(100 - tested))


def test_older_rows_of_a_group_that_tests_are_left_out_and_counted():
    labels = ["a", "b"] * 20
    groups = [f"g{row % 25}" for row in range(40)]  # the 15 last groups come back from row 25 on
    (found,) = made(labels, max_test=10, times=range(40), groups=groups)
    assert found.test.tolist() == list(range(30, 40))
    assert found.train.tolist() == [*range(5), *range(15, 30)]
    assert found.left_out == 10


LABELS = ["a", "b"] * 10


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (
            {"folds": 5, "times": range(20)},
            "folds and times exclude each other: a fold would train on rows newer than those it "
            "tests; possible: one of the two",
        ),
        (
            {"folds": 1},
            "1 folds cannot be made: the label 'a' has 10 rows; possible: 2 to 10 folds",
        ),
        (
            {"folds": 11},
            "11 folds cannot be made: the label 'a' has 10 rows; possible: 2 to 10 folds",
        ),
        (
            {"folds": 5, "groups": ["x", "y", "z", "z"] * 5},
            "5 folds cannot be made: there are 3 groups; possible: 2 to 3 folds",
        ),
        (
            {"groups": ["x", "y", "", "z"] * 5},
            "row 3 has no group; possible: a column without gaps",
        ),
        (
            {"groups": ["x", None] * 10, "numbers": range(101, 121)},
            "row 102 has no group; possible: a column without gaps",
        ),
        (
            {"groups": [7] * 20},
            "every row is of one group; possible: a column of two groups or more",
        ),
        (
            {"groups": LABELS},
            "the 2 groups cannot be parted into at most 10 test rows and the rest with every "
            "label on both sides; possible: smaller groups, or none",
        ),
        (
            {"folds": 2, "groups": LABELS},
            "the 10 training rows of fold 1 have 0 of the label 'b', and need 2; possible: fewer "
            "folds, smaller groups",
        ),
        (
            {"times": [*range(19), None]},
            "row 20 has no time; possible: a column without gaps",
        ),
        (
            {"times": [*range(9), *[9] * 11]},
            "11 rows have the newest time, and at most 10 rows may test; possible: finer times, "
            "a larger --max-test",
        ),
        (
            {"times": [row + 100 * (row % 2) for row in range(20)]},
            "the 10 training rows have 0 of the label 'b', and need 2; possible: another "
            "--max-test",
        ),
        (
            {"max_test": 1},
            "1 test rows are fewer than the 2 labels; possible: a larger --max-test",
        ),
    ],
)
def test_what_cannot_be_split_is_a_fault_in_one_line(given, text):
    assert fault(LABELS, **given) == text


def test_a_test_side_without_a_label_is_a_fault():
    labels = [*LABELS, *"a" * 9]
    assert fault(labels, times=range(29), max_test=9) == (
        "the 9 test rows have 0 of the label 'b', and need 1; possible: another --max-test"
    )


# -- promises and duplicates -------------------------------------------------------------------


def sides(train, test):
    return Split(np.array(train), np.array(test))


def test_a_row_or_group_on_both_sides_is_found():
    check_disjoint(sides([0, 1], [2, 3]), ["x", "x", "y", "z"])
    with pytest.raises(RuntimeError, match="row 1 both trains and tests"):
        check_disjoint(sides([0, 1], [1, 2]))
    with pytest.raises(RuntimeError, match="group y both trains and tests"):
        check_disjoint(sides([0, 2], [1, 3]), ["x", "y", "y", "z"])


def test_a_splitter_that_breaks_its_promise_is_caught(monkeypatch):
    monkeypatch.setattr(
        "promptpredict.splits._whole_groups",
        lambda labels, *_: sides(range(10), range(10, len(labels))),
    )
    with pytest.raises(RuntimeError, match="group x both trains and tests"):
        made(LABELS, groups=["x"] * 11 + ["y"] * 9)


def test_test_rows_that_training_rows_repeat_are_found():
    contents = ["p", "q", "r", "p", "s", "s", "q"]
    assert duplicates(sides([0, 1, 2], [3, 4, 5, 6]), contents) == [3, 6]
    assert duplicates(sides([0, 1], [4, 5]), contents) == []


# -- label budgets -----------------------------------------------------------------------------


def test_few_labels_are_drawn_evenly_and_many_by_their_shares():
    labels = labels_of(leaves=100, stays=900)
    found = draws(labels, [4, 7, 16, 100, 1000], seed=0)
    assert drawn(labels, found[4]) == {"leaves": 2, "stays": 2}
    assert sorted(drawn(labels, found[7]).values()) == [3, 4]
    # 16 takes up what 7 had drawn already; by its share it would be 2
    assert drawn(labels, found[16])["leaves"] == drawn(labels, found[7])["leaves"]
    assert drawn(labels, found[100]) == {"leaves": 10, "stays": 90}
    assert drawn(labels, found[1000]) == {"leaves": 100, "stays": 900}


def test_a_rare_label_has_two_rows_from_16_on():
    """With one row or none of it, no approach could be fitted, let alone calibrated."""
    labels = labels_of(leaves=20, stays=1980)
    found = draws(labels, [16, 64], seed=0)
    assert drawn(labels, found[16]) == {"leaves": 2, "stays": 14}
    assert drawn(labels, found[64]) == {"leaves": 2, "stays": 62}


def test_budgets_of_nothing_or_of_more_than_there_is_are_left_out():
    labels = labels_of(a=10, b=10)
    assert list(draws(labels, [64, 20, 0, 21, 4, 4], seed=0)) == [4, 20]
    assert draws(labels, [], seed=0) == {}


def test_a_larger_budget_beside_it_changes_no_draw():
    """Else a comparison at 64 labels would not be reproduced by asking for 64 alone."""
    labels = labels_of(a=300, b=300)
    alone, beside = draws(labels, [64], seed=3)[64], draws(labels, [64, 256], seed=3)[64]
    assert set(alone) == set(beside)


def any_labels(seed):
    """Labels in shares from even to one label that is nearly all, two to eight of them."""
    rng = random.Random(seed)
    count = rng.randint(2, 8)
    sizes = [rng.choice([1, 2, 3, 5, 40, 400]) for _ in range(count)]
    labels = [f"label {n}" for n, size in enumerate(sizes) for _ in range(size)]
    rng.shuffle(labels)
    budgets = sorted(rng.sample(range(1, 300), rng.randint(1, 6)))
    return labels, budgets


@pytest.mark.parametrize("seed", range(60))
def test_draws_keep_their_promises_on_any_labels(seed):
    labels, budgets = any_labels(seed)
    found = draws(labels, budgets, seed=seed)
    there = Counter(labels)
    assert list(found) == [budget for budget in budgets if budget <= len(labels)]
    before: set[int] = set()
    for budget, rows in found.items():
        assert len(rows) == len(set(rows)) == budget
        assert before <= set(rows)
        before = set(rows)
        counts = drawn(labels, rows)
        if budget < 16:  # as even as can be: a label that has fewer has given all of them
            most = max(counts.values())
            assert all(counts[label] >= min(there[label], most - 1) for label in there)
        else:
            assert all(counts[label] >= min(2, there[label]) for label in there)


@pytest.mark.parametrize("seed", range(20))
def test_many_labels_never_make_a_draw_larger_than_its_budget(seed):
    """With more labels than a budget can hold twice, the budget is kept, not the two rows each."""
    rng = random.Random(seed)
    sizes = [rng.choice([2, 5, 40, 2000]) for _ in range(rng.randint(9, 40))]
    labels = [f"label {n}" for n, size in enumerate(sizes) for _ in range(size)]
    before: set[int] = set()
    for budget, rows in draws(labels, [4, 16, 20, 64, 256], seed=seed).items():
        assert len(rows) == len(set(rows)) == budget
        assert before <= set(rows)
        before = set(rows)


def test_every_label_has_a_row_before_one_has_two():
    labels = labels_of(often=1000, **{f"rare{n}": 5 for n in range(19)})
    assert set(drawn(labels, draws(labels, [20], seed=0)[20]).values()) == {1}


@pytest.mark.parametrize("seed", range(10))
def test_shares_are_kept_to_one_row_where_nothing_was_drawn_before(seed):
    rng = random.Random(seed)
    sizes = {f"label {n}": rng.randint(60, 500) for n in range(rng.randint(2, 5))}
    labels = labels_of(**sizes)
    budget = rng.randint(100, 200)
    counts = drawn(labels, draws(labels, [budget], seed=seed)[budget])
    for label, size in sizes.items():
        assert abs(counts[label] - budget * size / len(labels)) <= 1


def test_the_seed_alone_decides_the_draw():
    labels = labels_of(a=200, b=200)
    np.random.seed(1)
    first = draws(labels, BUDGETS, seed=4)
    np.random.seed(2)
    again, other = draws(labels, BUDGETS, seed=4), draws(labels, BUDGETS, seed=5)
    for budget, rows in first.items():
        np.testing.assert_array_equal(rows, again[budget])
        assert set(rows) != set(other[budget])


def test_which_rows_a_label_gives_is_drawn_not_taken_from_the_top():
    """A table may be sorted by time: its first customers stand for nobody."""
    labels = ["a", "b"] * 500
    rows = np.concatenate([draws(labels, [16], seed=seed)[16] for seed in range(40)])
    assert np.mean(rows) == pytest.approx(500, abs=60)
