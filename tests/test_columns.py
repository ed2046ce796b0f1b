"""Structured columns as numbers: which a prompt shows, and what no table may break."""

from __future__ import annotations

import pickle
import warnings
from datetime import UTC, date, datetime

import numpy as np
import pytest

from promptpredict.columns import ColumnEncoder, shown_columns, shown_texts
from promptpredict.prompt import PromptFile
from promptpredict.records import Record

FRONT = """\
---
task: binary
target: left
labels: {1: [bad], 0: [good]}
positive: 1
id: id
text: [said, wrote]
ignore: [leak]
---
{% block system %}You judge.{% endblock %}
{% block question %}And now?{% endblock %}
"""
HEADER = ["plan", "id", "said", "age", "wrote", "leak", "left"]
FIELDS = "{% for field in customer.fields %}{{ field.value }}{% endfor %}"


@pytest.fixture(autouse=True)
def _no_warnings():
    """What is expected in any table must not be told to the user, by the hundred."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def records(**columns):
    rows = zip(*columns.values(), strict=True)
    return [
        Record(row, str(row), dict(zip(columns, values, strict=True)))
        for row, values in enumerate(rows, 1)
    ]


def encoded(values, others=None):
    """Return the features of a column, or of its ``others`` by a fit on ``values``."""
    encoder = ColumnEncoder(["a"]).fit(records(a=values))
    return encoder.transform(records(a=values if others is None else others))


# -- which columns -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("customer", "columns", "texts"),
    [
        (FIELDS, ["plan", "age"], []),
        ("{{ customer.age }} {{ customer.wrote }}", ["age"], ["wrote"]),
        ("{{ customer.wrote }} {{ customer.said }}" + FIELDS, ["plan", "age"], ["said", "wrote"]),
        ("{{ customer.id }}", [], []),
    ],
    ids=["fields", "named", "text and fields", "id"],
)
def test_a_classifier_sees_the_columns_that_a_prompt_shows(customer, columns, texts):
    block = "{% block customer %}" + customer + "{% endblock %}"
    file = PromptFile.from_text(FRONT + block, name="p.jinja")
    assert shown_columns(file, HEADER) == columns
    assert shown_texts(file) == texts


# -- numbers -----------------------------------------------------------------------------------


def test_numbers_have_unit_variance_and_no_tail_outweighs_them():
    values = [*np.linspace(10, 20, 99), 1e9]
    found = encoded(values)
    assert found.shape == (100, 1)
    assert found.mean() == pytest.approx(0, abs=1e-9)
    assert found.std() == pytest.approx(1)
    assert found[-1, 0] < 6  # standard deviations; by these alone it were 10, and all others 0
    assert (np.diff(found[:, 0]) > 0).all()


def test_a_missing_number_is_the_median_and_says_so():
    found = encoded([1, 2, 3.5, None, 100])
    assert found.shape == (5, 2)
    assert found[:, 1].tolist() == [0, 0, 0, 1, 0]
    assert found[3, 0] == pytest.approx(encoded([1, 2, 3.5, None, 100], [2.75])[0, 0])


def test_columns_that_are_missing_together_say_so_once():
    both = [1, 2, None, 4]
    encoder = ColumnEncoder(["a", "b", "c"])
    rows = records(a=both, b=both, c=[None, 1, 2, 3])
    assert encoder.fit(rows).transform(rows).shape == (4, 5)


def test_truth_is_a_number():
    found = encoded([True, False, None, True])
    assert found[0, 0] == found[3, 0] > found[1, 0]
    assert found[:, 1].tolist() == [0, 0, 1, 0]


def test_few_whole_numbers_are_categories_as_well():
    """The customers of one product leave, those of two stay, those of three leave."""
    found = encoded([1, 2, 3] * 20)
    assert found.shape == (60, 4)
    assert found[:3, 1:].tolist() == np.eye(3).tolist()
    assert encoded([1, 2, 3] * 19).shape == (57, 1)  # too few rows to tell each
    assert encoded([1, 2, 3.5] * 20).shape == (60, 1)
    assert encoded([0, 1] * 30).shape == (60, 1)
    assert encoded([*range(11)] * 20).shape == (220, 1)
    assert encoded([1, 2, 3] * 20, [1.0, True]).tolist() == [found[0].tolist()] * 2


# -- dates -------------------------------------------------------------------------------------


def test_dates_are_read_by_their_parts():
    days = [date(2024, month, day) for month in range(1, 13) for day in (1, 9, 20)]
    found = encoded([*days, None])
    assert found.shape == (37, 5)  # month, day, seconds since 1970, weekday; missing, once
    assert (np.diff(found[:-1, 2]) > 0).all()
    assert found[:, 4].tolist() == [0] * 36 + [1]


def test_a_moment_is_what_the_clock_on_the_wall_said():
    plain = [datetime(2024, 3, day, day % 24) for day in range(1, 31)]
    zoned = [each.replace(tzinfo=UTC) for each in plain]
    np.testing.assert_array_equal(encoded(plain, zoned), encoded(plain))
    mixed = [date(2024, 3, 1), *zoned[1:20], *plain[20:]]
    assert np.isfinite(encoded(mixed)).all()


# -- words -------------------------------------------------------------------------------------


def test_words_are_categories_and_missing_is_one():
    found = encoded(["pro", "free", None, "pro", "free", None, "odd"])
    missing, free, pro, rare = np.eye(4)
    expected = [pro, free, missing, pro, free, missing, rare]
    assert found.tolist() == [row.tolist() for row in expected]


def test_what_a_fit_has_not_seen_is_rare():
    values = ["pro", "pro", "free", "free", "odd"]
    assert encoded(values, ["new", 7, date(2024, 1, 1)]).tolist() == [[0, 0, 1]] * 3
    assert encoded(values[:4], ["new", None]).tolist() == [[0, 0]] * 2


def test_of_many_words_the_letters_are_read():
    towns = [f"{name}{row}" for row in range(60) for name in ("Upton ", "Eastham ")]
    found = encoded(towns)
    assert found.shape[0] == 120
    assert found.shape[1] == 6  # of 120 rows 6 components; every town is rare, so nothing varies
    new = encoded(towns, ["Upton new", "Eastham new", None])
    near = [np.linalg.norm(found - row, axis=1).argmin() % 2 for row in new[:2]]
    assert near == [0, 1]
    assert np.isfinite(new).all()


def test_a_column_of_several_kinds_is_read_as_each_of_them():
    """Children: 0, 1, 2, or "3 or more"."""
    values = [0, 1, 2, 0.5, "3 or more", "3 or more", None, 1]
    found = encoded(values)
    assert found.shape == (8, 4)
    is_missing, no_word, word = found[:, 1:].T
    assert word.tolist() == [0, 0, 0, 0, 1, 1, 0, 0]
    assert no_word.tolist() == (1 - word).tolist()
    assert is_missing.tolist() == [0, 0, 0, 0, 1, 1, 1, 0]
    dated = [*values[:4], date(2024, 1, 1), date(2024, 2, 2)]
    assert np.isfinite(encoded(dated, [*dated, "x"])).all()


def test_a_number_among_codes_is_a_code():
    found = encoded(["B12", "B12", "C3", "C3", 7, 7])
    assert found.shape == (6, 3)
    assert encoded(["B12", "B12", "C3", "C3", 7, 7], [7.0]).tolist() == [found[4].tolist()]


# -- tables that have nothing to tell ----------------------------------------------------------


@pytest.mark.parametrize("values", [[None] * 16, [3] * 16, ["x"] * 16, [True] * 16, list("abcd")])
def test_a_column_that_does_not_vary_is_a_zero(values):
    others = [None, 3, "y", date(2024, 1, 1), 2.5]
    assert encoded(values, others).tolist() == [[0.0]] * 5


def test_a_column_that_is_absent_is_missing():
    encoder = ColumnEncoder(["a", "b"]).fit(records(a=[1, 2, 3], b=[1, None, 3]))
    found = encoder.transform(records(a=[2]))
    assert found.shape == (1, 3)
    assert found[0, 2] == 1


@pytest.mark.parametrize("value", [10**300, -1e308, 1e-308, float("inf")])
def test_no_number_is_too_large(value):
    assert np.isfinite(encoded([1, 2, 3, value])).all()
    found = encoded([1, 2, 3, 4], [1, value, 4])[:, 0]
    assert np.abs(found).max() < 10
    assert found.argmax() == (2 if value < 4 else 1)


def test_rows_do_not_depend_on_those_beside_them():
    rng = np.random.default_rng(0)
    rows = records(
        a=[*rng.normal(size=60), None],
        b=[*(f"w{number}" for number in rng.integers(0, 50, 60)), None],
        c=[*(date(2024, 1, int(day)) for day in rng.integers(1, 28, 60)), None],
    )
    encoder = ColumnEncoder(["a", "b", "c"]).fit(rows)
    found = encoder.transform(rows)
    again = pickle.loads(pickle.dumps(encoder))
    np.testing.assert_allclose(again.transform(rows[7:8]), found[7:8], atol=1e-12)
    np.testing.assert_allclose(again.transform(rows[60:]), found[60:], atol=1e-12)
