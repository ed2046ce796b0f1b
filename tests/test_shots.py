"""Shots: drawn by seed, balanced where asked, and never the customer itself."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from fakes import FakeEncoder
from promptpredict.encoders import Embedder
from promptpredict.errors import DataError
from promptpredict.prompt import PromptFile
from promptpredict.records import Record
from promptpredict.sameness import content
from promptpredict.shots import SELECTS, Shots

PROMPT = """\
---
task: binary
target: churn
labels: {leaves: [leave], stays: [stay]}
positive: leaves
id: id
text: [feedback]
---
{% block system %}You judge.{% endblock %}
{% block customer %}
{% for field in customer.fields %}
{{ field.name }}: {{ field.value }}
{% endfor %}
{{ customer.feedback }}
{% endblock %}
{% block question %}And then?{% endblock %}
{% block answer %}They{% endblock %}
"""
FEEDBACK_ONLY = PROMPT.replace("{{ field.name }}: {{ field.value }}", "").replace(
    "{% for field in customer.fields %}\n\n{% endfor %}\n", ""
)
COLOURS = ["red", "green", "blue", "grey", "pink", "brown", "black", "white", "gold", "navy"]


@pytest.fixture(scope="module")
def prompt_file():
    return PromptFile.from_text(PROMPT, name="p.jinja")


def record(row, feedback, label=None, **values):
    return Record(row, f"c{row}", {"id": f"c{row}", "feedback": feedback, **values}, label)


def pool_of(leaves, stays):
    """Records that differ in content: first those that leave, then those that stay."""
    labels = ["leaves"] * leaves + ["stays"] * stays
    return [
        record(row, f"{COLOURS[row % 10]} {row}", label, plan=row)
        for row, label in enumerate(labels, 1)
    ]


def shots_of(prompt_file, pool, count, select="balanced", seed=0):
    return Shots(prompt_file, pool, count, select, seed, Embedder(FakeEncoder()))


def labels_of(shots):
    return Counter(shot.label for shot in shots)


STRANGER = record(900, "violet violet", plan=-1)


@pytest.mark.parametrize("count", range(7))
def test_balanced_shots_are_as_many_of_each_label_as_can_be(prompt_file, count):
    shown = shots_of(prompt_file, pool_of(3, 50), count).choose([STRANGER])[0]
    assert len(shown) == len({shot.id for shot in shown}) == count
    assert abs(labels_of(shown)["leaves"] - labels_of(shown)["stays"]) == count % 2


def test_where_a_label_runs_out_the_others_fill_balanced_shots(prompt_file):
    shown = shots_of(prompt_file, pool_of(2, 50), 8).choose([STRANGER])[0]
    assert labels_of(shown) == {"leaves": 2, "stays": 6}


@pytest.mark.parametrize("pool", [pool_of(20, 20), pool_of(5, 95)], ids=["even", "rare"])
def test_the_last_balanced_shot_is_not_always_of_the_same_label(prompt_file, pool):
    """A small model repeats the last answer that it was shown."""
    last = Counter(
        shots_of(prompt_file, pool, 4, seed=seed).choose([STRANGER])[0][-1].label
        for seed in range(40)
    )
    assert min(last["leaves"], last["stays"]) > 8


def test_random_shots_have_the_shares_of_the_pool(prompt_file):
    """Over the seeds; balanced shots of the same pool would be half and half."""
    drawn = Counter()
    for seed in range(100):
        drawn += labels_of(
            shots_of(prompt_file, pool_of(10, 40), 5, "random", seed).choose([STRANGER])[0]
        )
    assert drawn["leaves"] / drawn.total() == pytest.approx(0.2, abs=0.05)


@pytest.mark.parametrize("select", ["balanced", "random"])
def test_everybody_is_shown_the_same_shots_in_the_same_order(prompt_file, select):
    """So that prompts share a long prefix, which is read once."""
    shown = shots_of(prompt_file, pool_of(5, 5), 4, select).choose(
        [STRANGER, record(901, "lilac lilac", plan=-2)]
    )
    assert shown[0] == shown[1]


@pytest.mark.parametrize("select", SELECTS)
def test_the_seed_reproduces_the_shots(prompt_file, select):
    pool, asked = pool_of(9, 9), [STRANGER, *pool_of(3, 0)]
    first, again = (shots_of(prompt_file, pool, 4, select, 5) for _ in range(2))
    assert first.choose(asked) == again.choose(asked)
    assert first.choose(asked) == again.choose(asked)  # nothing is used up by choosing


@pytest.mark.parametrize("select", ["balanced", "random"])
def test_another_seed_draws_other_shots(prompt_file, select):
    drawn = {
        tuple(
            shot.id
            for shot in shots_of(prompt_file, pool_of(9, 9), 4, select, seed).choose([STRANGER])[0]
        )
        for seed in range(5)
    }
    assert len(drawn) == 5


def test_without_a_seed_the_first_of_the_pool_are_taken(prompt_file):
    pool = pool_of(3, 9)  # rows 1 to 3 leave, those from 4 on stay
    shots = shots_of(prompt_file, pool, 5, "random", None)
    assert [shot.row for shot in shots.shown()] == [1, 2, 3, 4, 5]
    assert [other.row for other in shots.others()] == [*range(6, 13)]
    longer = shots_of(prompt_file, [*pool, *pool_of(20, 20)], 5, "random", None)
    assert longer.shown() == shots.shown()


@pytest.mark.parametrize(("count", "rows"), [(4, {1, 2, 4, 5}), (8, {1, 2, 3, 4, 5, 6, 7, 8})])
def test_without_a_seed_the_first_of_each_label_are_balanced_shots(prompt_file, count, rows):
    """In an order of their own still, or a small model would repeat the label of the last."""
    shots = shots_of(prompt_file, pool_of(3, 9), count, seed=None)
    assert {shot.row for shot in shots.shown()} == rows
    again = shots_of(prompt_file, [*pool_of(3, 9), *pool_of(4, 4)], count, seed=None)
    if count == 4:
        assert [shot.row for shot in again.shown()] == [shot.row for shot in shots.shown()]
    labels = [shot.label for shot in shots_of(prompt_file, pool_of(8, 8), 8, seed=None).shown()]
    assert labels not in (["leaves", "stays"] * 4, ["leaves"] * 4 + ["stays"] * 4)


def test_choosing_shots_draws_nothing_from_the_global_generator(prompt_file):
    random.seed(1)
    before = random.getstate()
    shots_of(prompt_file, pool_of(5, 5), 4).choose([STRANGER])
    assert random.getstate() == before


def test_nearest_shots_are_those_with_the_nearest_text_the_nearest_last(prompt_file):
    pool = [
        record(1, "late late late", "leaves", plan=1),
        record(2, "late good good", "stays", plan=1),
        record(3, "good good good", "stays", plan=1),
        record(4, "late late good", "leaves", plan=1),
    ]
    shown = shots_of(prompt_file, pool, 3, "nearest").choose([record(9, "late late late", plan=2)])
    assert [shot.row for shot in shown[0]] == [2, 4, 1]


def test_nearest_shots_break_ties_by_the_order_of_the_pool(prompt_file):
    """Equal texts have vectors that differ in their last bits, by their place in a batch."""

    def embed(texts):
        far = np.array([[-0.1 * (n % 2) + n % 7 * 1e-9, 0.0] for n in range(len(texts))])
        return np.array([[0.6, 0.8]] * len(texts)) + far

    pool = [record(row, "late", "leaves", plan=row) for row in range(1, 41)]
    shots = Shots(prompt_file, pool, 3, "nearest", embed=embed)
    assert [shot.row for shot in shots.choose([STRANGER])[0]] == [5, 3, 1]


def test_nearest_shots_do_not_depend_on_who_is_asked_beside(prompt_file):
    pool = pool_of(10, 10)
    asked = [record(900 + n, f"{COLOURS[n]} thing", plan=-n) for n in range(8)]
    together = shots_of(prompt_file, pool, 3, "nearest").choose(asked)
    alone = [shots_of(prompt_file, pool, 3, "nearest").choose([one])[0] for one in asked]
    assert together == alone


# -- never the customer itself -----------------------------------------------------------------


def twin(other, row):
    """The same content under another id, its columns in another order."""
    values = dict(reversed([*other.values.items()])) | {"id": f"c{row}"}
    return Record(row, f"c{row}", values)


def namesake(other):
    """The same id, and another content: the customer as it was last year."""
    return Record(77, other.id, other.values | {"feedback": "something else", "plan": 500})


@pytest.mark.parametrize("select", SELECTS)
@pytest.mark.parametrize("same", [lambda one: one, lambda one: twin(one, 950), namesake],
                         ids=["itself", "by content", "by id"])  # fmt: skip
def test_a_customer_is_never_its_own_shot(prompt_file, select, same):
    """Half of the pool are shots for everybody, so half of the customers meet themselves."""
    pool = pool_of(6, 6)
    for seed in range(5):
        shots = shots_of(prompt_file, pool, 6, select, seed)
        for own, shown in zip(pool, shots.choose([same(one) for one in pool]), strict=True):
            assert own not in shown
            assert len({shot.id for shot in shown}) == 6


@pytest.mark.parametrize("select", SELECTS)
def test_nobody_of_ones_own_group_is_a_shot(prompt_file, select):
    """A household leaves together: the label of one tells that of the other."""
    pool = [replace(each, group=f"h{each.row // 2}") for each in pool_of(6, 6)]
    embed = Embedder(FakeEncoder()) if select == "nearest" else None
    shots = Shots(prompt_file, pool, 4, select, 0, embed)
    for asked, shown in zip(pool, shots.choose(pool), strict=True):
        assert len(shown) == 4
        assert asked.group not in {each.group for each in shown}


@pytest.mark.parametrize("select", SELECTS)
def test_all_copies_of_a_customer_are_kept_out(prompt_file, select):
    pool = pool_of(5, 5)
    copies = [Record(n, f"c{n}", twin(pool[0], n).values, "leaves") for n in (50, 51, 52)]
    shots = shots_of(prompt_file, pool + copies, 8, select)
    shown = shots.choose([twin(pool[0], 99)])[0]
    assert not {shot.row for shot in shown} & {1, 50, 51, 52}
    assert len(shown) == 8


def test_row_numbers_of_another_table_are_no_ids():
    """Without an id column an id is a row number: row 1 of another table is another customer."""
    front = PROMPT.replace("id: id\n", "")
    prompt_file = PromptFile.from_text(front, name="p.jinja")
    pool = [
        Record(row, str(row), {"feedback": f"text {row}"}, label)
        for row, label in enumerate(["leaves", "stays"], 1)
    ]
    other = Record(1, "1", {"feedback": "not the first"})
    shown = Shots(prompt_file, pool, 2).choose([other, pool[0]])
    assert [sorted(shot.row for shot in one) for one in shown] == [[1, 2], [2]]


def test_only_what_the_prompt_shows_makes_two_customers_the_same():
    """A column that no block shows cannot tell them apart for the model."""
    prompt_file = PromptFile.from_text(FEEDBACK_ONLY, name="p.jinja")
    first, second = record(1, "late", plan="a"), record(2, "late", plan="b")
    assert content(prompt_file, first) == content(prompt_file, second)
    whole = PromptFile.from_text(PROMPT, name="p.jinja")
    assert content(whole, first) != content(whole, second)
    assert content(whole, first) == content(whole, twin(first, 3))


def test_a_missing_value_and_a_missing_column_are_the_same_content(prompt_file):
    assert content(prompt_file, record(1, "late", plan=None)) == content(
        prompt_file, record(2, "late")
    )


def test_a_replacement_keeps_the_balance_of_the_labels(prompt_file):
    pool = pool_of(6, 6)
    shots = shots_of(prompt_file, pool, 4)
    for shown in shots.choose(pool):
        assert labels_of(shown) == {"leaves": 2, "stays": 2}


def test_a_replacement_stands_where_the_customer_stood(prompt_file):
    """The other shots keep their places, and with them the prefix up to the replacement."""
    pool = pool_of(6, 6)
    shots = shots_of(prompt_file, pool, 4)
    everybody = shots.choose([STRANGER])[0]
    for at, own in enumerate(everybody):
        shown = shots.choose([own])[0]
        assert [one for n, one in enumerate(shown) if n != at] == [
            one for n, one in enumerate(everybody) if n != at
        ]
        assert shown[at] not in everybody


def test_where_a_label_has_no_other_record_a_replacement_is_of_another_label(prompt_file):
    pool = pool_of(1, 5)
    shots = shots_of(prompt_file, pool, 2)
    shown = shots.choose([pool[0]])[0]
    assert labels_of(shown) == {"stays": 2}


def test_without_any_other_record_a_shot_is_left_out(prompt_file):
    pool = pool_of(2, 2)
    for select in SELECTS:
        shown = shots_of(prompt_file, pool, 4, select).choose([pool[0], STRANGER])
        assert [len(one) for one in shown] == [3, 4]
        assert pool[0] not in shown[0]


# -- what is said about them -------------------------------------------------------------------


@pytest.mark.parametrize("select", ["balanced", "random"])
def test_the_others_are_the_pool_without_the_shots_in_its_order(prompt_file, select):
    pool = pool_of(5, 5)
    shots = shots_of(prompt_file, pool, 4, select)
    shown = shots.choose([STRANGER])[0]
    assert shots.others() == [one for one in pool if one not in shown]
    assert len(shots.others()) == 6


@pytest.mark.parametrize("select", ["balanced", "random"])
def test_the_shown_are_the_shots_of_everybody_in_their_order(prompt_file, select):
    shots = shots_of(prompt_file, pool_of(5, 5), 4, select)
    assert shots.shown() == [*shots.choose([STRANGER])[0]]
    assert list(shots.used) == [shot.id for shot in shots.shown()]


def test_of_nearest_shots_none_is_shown_to_everybody(prompt_file):
    assert shots_of(prompt_file, pool_of(2, 2), 2, "nearest").shown() == []


def test_of_nearest_shots_all_are_others(prompt_file):
    """Each is chosen without the record itself, so all of the pool can be learned from."""
    pool = pool_of(2, 2)
    assert shots_of(prompt_file, pool, 2, "nearest").others() == pool


def test_used_ids_stand_in_the_order_of_their_first_use(prompt_file):
    pool = [
        record(row, text, label, plan=1)
        for row, text, label in [(1, "red", "leaves"), (2, "kind", "stays"), (3, "blue", "leaves")]
    ]
    shots = shots_of(prompt_file, pool, 1, "nearest")
    assert list(shots.used) == []
    shots.choose([record(9, "blue", plan=2), record(10, "red", plan=2), record(11, "blue", plan=3)])
    assert list(shots.used) == ["c3", "c1"]
    shots.choose([record(12, "kind", plan=2)])
    assert list(shots.used) == ["c3", "c1", "c2"]


def test_records_without_a_label_are_never_shots(prompt_file):
    pool = [*pool_of(2, 2), *(record(row, f"text {row}", plan=row) for row in range(50, 60))]
    for select in SELECTS:
        shots = shots_of(prompt_file, pool, 4, select)
        assert {shot.row for shot in shots.choose([STRANGER])[0]} == {1, 2, 3, 4}
        assert {one.row for one in shots.others()} <= {1, 2, 3, 4}


def test_labels_in_any_spelling_are_balanced(prompt_file):
    front = PROMPT.replace("leaves: [leave], stays: [stay]", "1: [leave], 0: [stay]")
    file = PromptFile.from_text(front.replace("positive: leaves", "positive: 1"), name="p.jinja")
    spelled = ["1", "1.0", "true", "0", "0.0", "False"] * 3
    pool = [record(row, f"text {row}", label) for row, label in enumerate(spelled)]
    shown = Shots(file, pool, 6).choose([STRANGER])[0]
    assert Counter(file.label_of(shot.label) for shot in shown) == {"1": 3, "0": 3}


def test_no_shots_are_empty_and_need_no_label(prompt_file):
    shots = Shots(prompt_file, [record(1, "late")], 0)
    assert shots.choose([STRANGER, STRANGER]) == [(), ()]
    assert Shots(prompt_file, pool_of(1, 1), 2).choose([]) == []


def test_a_customer_that_cannot_be_rendered_still_gets_shots():
    """Why it cannot be rendered is said where its prompt is made, with its row."""
    front = PROMPT.replace(
        "{{ customer.feedback }}", "{{ customer.feedback }} {{ 1 / customer.n }}"
    )
    prompt_file = PromptFile.from_text(front, name="p.jinja")
    pool = [record(row, f"text {row}", "leaves", n=1) for row in (1, 2, 3)]
    shots = shots_of(prompt_file, pool, 2, "nearest")
    shown = shots.choose([record(9, "text 3", n=0), record(10, "text 3 3", n=1)])
    assert [len(one) for one in shown] == [2, 2]
    assert shown[1][-1].row == 3


@pytest.mark.parametrize(
    ("pool", "count", "select", "text"),
    [
        (
            pool_of(2, 2),
            2,
            "neares",
            "shots are chosen by 'neares' (nearest: 'nearest'); possible: balanced, random, nearest",
        ),
        (
            pool_of(2, 2),
            2,
            "xyz",
            "shots are chosen by 'xyz'; possible: balanced, random, nearest",
        ),
        (
            [*pool_of(2, 2), record(5, "no label")],
            5,
            "random",
            "5 shots are asked for, and there are 4 labelled records",
        ),
        (
            pool_of(0, 9),
            2,
            "balanced",
            "no labelled record has the label 'leaves', and balanced shots need every label; "
            "possible: random or nearest shots",
        ),
        (
            [record(1, "late", "stay"), record(2, "good", "stays")],
            2,
            "balanced",
            "column 'churn' holds 'stay' (nearest: 'stays'); the labels of p.jinja are 'leaves', "
            "'stays'",
        ),
        (
            [Record(3, "c3", {"id": "c3"}, "stays")],
            1,
            "nearest",
            "a labelled record cannot be shown as a shot: p.jinja, row 3: the record has no "
            "column 'feedback'",
        ),
    ],
    ids=["misspelled", "unknown", "too many", "label missing", "unknown label", "unrenderable"],
)
def test_faults_say_what_is_possible(prompt_file, pool, count, select, text):
    with pytest.raises(DataError) as error:
        shots_of(prompt_file, pool, count, select)
    assert str(error.value) == text


def test_nearest_shots_without_an_encoder_are_our_own_mistake(prompt_file):
    with pytest.raises(TypeError, match=r"^nearest shots need an embed function$"):
        Shots(prompt_file, pool_of(1, 1), 1, "nearest")


@pytest.mark.parametrize("seed", range(20))
def test_shots_keep_their_promises_on_any_pool(prompt_file, seed):
    """Random pools with twins, namesakes and rare labels, asked for by everybody in them."""
    rng = np.random.default_rng(seed)
    size = int(rng.integers(4, 20))
    labels = ["leaves", "stays", *rng.choice(["leaves", "stays"], size - 2)]
    pool = [
        Record(row, f"c{row % 15}", {"id": f"c{row % 15}", "feedback": COLOURS[rng.integers(10)]}, str(label))
        for row, label in enumerate(labels)
    ]  # fmt: skip
    for select in SELECTS:
        count = int(rng.integers(1, size + 1))
        shots = shots_of(prompt_file, pool, count, select, seed)
        for one, shown in zip(pool, shots.choose(pool), strict=True):
            others = [
                other
                for other in pool
                if other.id != one.id and other.values["feedback"] != one.values["feedback"]
            ]
            assert all(shot in others for shot in shown)
            assert len({shot.row for shot in shown}) == len(shown) == min(count, len(others))


THREE = PROMPT.replace("task: binary", "task: multiclass").replace("positive: leaves\n", "")


@pytest.mark.parametrize("count", range(10))
def test_balanced_shots_go_over_all_labels_in_turn(count):
    """Of three labels, whatever their shares in the pool: no two counts differ by more than one."""
    file = PromptFile.from_text(
        THREE.replace("stays: [stay]", "stays: [stay], asks: [ask]"), name="three.jinja"
    )
    labels = ["leaves"] * 3 + ["stays"] * 40 + ["asks"] * 7
    pool = [record(row, f"{COLOURS[row % 10]} {row}", key) for row, key in enumerate(labels, 1)]
    for seed in range(5):
        chosen = shots_of(file, pool, count, seed=seed)
        shown = labels_of(chosen.choose([STRANGER])[0])
        counts = [shown[key] for key in ("leaves", "stays", "asks")]
        assert sum(counts) == count
        assert max(counts) - min(counts) <= 1
        assert len(chosen.others()) == 50 - count
