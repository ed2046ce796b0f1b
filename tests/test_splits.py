"""Splits: test rows stand apart, and the label budgets are drawn inside one another."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest

from promptpredict.errors import DataError
from promptpredict.splits import draws, split

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
        (
            ["stays"] * 9,
            "every row has the label 'stays'; a comparison needs rows of two labels or more",
        ),
        (
            labels_of(stays=20, leaves=3),
            "the label 'leaves' has 3 rows; a comparison needs four of each label",
        ),
    ],
    ids=["one label", "too few rows"],
)
def test_labels_that_cannot_be_split_are_named(labels, text):
    with pytest.raises(DataError) as error:
        split(labels, max_test=1000, seed=0)
    assert str(error.value) == text


def test_fewer_test_rows_than_labels_are_a_fault_in_one_line():
    """--max-test 4 with five labels: whatever is said, it is said as a fault of the user's."""
    with pytest.raises(DataError):
        split(labels_of(a=9, b=9, c=9, d=9, e=9), max_test=4, seed=0)


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
