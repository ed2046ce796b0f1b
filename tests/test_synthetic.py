"""Synthetic tables: the same for the same seed, whole, and with an outcome that can be learned."""

from __future__ import annotations

import re

import numpy as np
import pytest

from promptpredict.synthetic import NEGATIVE, POSITIVE, synthetic_table, words
from promptpredict.syntheticfeedback import feedback
from promptpredict.syntheticfields import bare_kind, causes, turned_field, usual_field, with_gaps

SEEDS = range(40)


@pytest.fixture(scope="module")
def tables():
    return [synthetic_table(seed) for seed in SEEDS]


def test_a_table_is_a_function_of_its_seed(tables):
    again = synthetic_table(7)
    assert again.prompt_file.fingerprint == tables[7].prompt_file.fingerprint
    assert again.records == tables[7].records
    assert len({each.prompt_file.fingerprint for each in tables}) == len(tables)


def test_every_record_renders_and_has_one_of_two_labels(tables):
    for each in tables:
        assert {record.label for record in each.records} == {POSITIVE, NEGATIVE}
        assert not each.prompt_file.warnings
        for record in each.records:
            prompt = each.prompt_file.render(record)
            assert "{" not in prompt.user
            assert each.prompt_file.label_of(record.label) == record.label


def test_no_column_is_the_outcome(tables):
    for each in tables:
        found = [record.label == POSITIVE for record in each.records]
        for column in each.records[0].values:
            values = [record.values[column] for record in each.records]
            kinds = {value: {label for other, label in zip(values, found, strict=True) if other == value}
                     for value in values}  # fmt: skip
            if len(kinds) < 10:
                assert any(len(labels) > 1 for labels in kinds.values()), (
                    each.prompt_file.name,
                    column,
                )


def test_the_outcome_can_be_learned_from_the_fields():
    """A logistic regression on the columns is right more often than a coin, on most tables."""
    from sklearn.feature_extraction import DictVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.preprocessing import MaxAbsScaler

    aucs = []
    for seed in range(12):
        each = synthetic_table([seed, 3], rows=600)
        rows = [
            {name: value for name, value in record.values.items() if value is not None}
            for record in each.records
        ]
        y = np.array([record.label == POSITIVE for record in each.records])
        X = MaxAbsScaler().fit_transform(DictVectorizer().fit_transform(rows))
        model = LogisticRegression(max_iter=300).fit(X[:400], y[:400])
        aucs.append(roc_auc_score(y[400:], model.decision_function(X[400:])))
    assert np.mean(aucs) > 0.6


def test_causes_hang_together_and_have_one_scale():
    drawn = causes(np.random.default_rng(0), 2000, 12)
    assert drawn.shape == (12, 2000)
    np.testing.assert_allclose(drawn.mean(axis=1), 0, atol=1e-9)
    np.testing.assert_allclose(drawn.std(axis=1), 1)
    others = np.abs(np.corrcoef(drawn)[~np.eye(12, dtype=bool)])
    assert others.max() > 0.3


def test_a_usual_field_has_the_effect_that_is_written_down():
    cause = np.random.default_rng(1).standard_normal(500)
    rng = np.random.default_rng(2)
    number = usual_field(rng, "Orders", [1, 60, "skewed", -0.7], cause)
    assert {type(value) for value in number.values} == {int}
    assert (min(number.values), max(number.values)) == (1, 60)
    assert np.corrcoef(number.values, number.effect)[0, 1] < -0.7
    kind = {"monthly": 0.9, "one year": -0.3, "two years": -0.9}
    category = usual_field(rng, "Contract", kind, cause)
    assert [kind[value] for value in category.values] == category.effect.tolist()
    assert {*category.values} == {*kind}


def test_a_turned_field_has_an_effect_of_its_own():
    cause = np.random.default_rng(1).standard_normal(300)
    kind = {"monthly": 0.9, "one year": -0.3, "two years": -0.9}
    field = turned_field(np.random.default_rng(5), "Contract", kind, cause)
    by_value = {value: effect for value, effect in zip(field.values, field.effect, strict=True)}
    assert {*by_value} == {*kind}
    assert by_value != kind


def test_a_gap_has_no_effect():
    cause = np.random.default_rng(1).standard_normal(300)
    field = usual_field(np.random.default_rng(0), "Age", [18, 88, "even", 1.0], cause)
    gaps = [with_gaps(np.random.default_rng(seed), field, cause) for seed in range(30)]
    lost = [np.array([value is None for value in each.values]) for each in gaps]
    assert 0 < sum(each.any() for each in lost) < 15
    for each, gone in zip(gaps, lost, strict=True):
        assert gone.mean() < 0.5
        assert (each.effect[gone] == 0).all()
        np.testing.assert_array_equal(each.effect[~gone], field.effect[~gone])


def test_bare_columns_say_nothing():
    rng = np.random.default_rng(0)
    kinds = [bare_kind(rng, words()["bare"]["values"]) for _ in range(50)]
    for kind in kinds:
        effects = kind.values() if isinstance(kind, dict) else kind[3:4]
        assert {*effects} == {0.0}


def test_what_is_written_follows_the_mood():
    rng = np.random.default_rng(4)
    moods = np.repeat([-2.0, 2.0], 300)
    texts = feedback(rng, words(), ["price", "staff"], moods, np.zeros(600))
    bad = re.compile("expensive|rude|hidden costs|not worth|shouted", re.IGNORECASE)
    found = [
        np.mean([bool(bad.search(text or "")) for text in half])
        for half in (texts[:300], texts[300:])
    ]
    assert found[0] < 0.1 < 0.5 < found[1] + 0.2
    assert found[1] > 3 * found[0]


def test_the_first_topic_is_spoken_of_where_the_theme_is_high():
    rng = np.random.default_rng(4)
    themes = np.repeat([-1.0, 1.0], 200)
    texts = feedback(rng, words(), ["food", "staff"], np.zeros(400), themes)
    food = re.compile("food|coffee|portions|sandwich|drinks|crisps|plenty", re.IGNORECASE)
    found = [
        sum(bool(food.search(text or "")) for text in half) for half in (texts[:200], texts[200:])
    ]
    assert found[0] == 0
    assert found[1] > 100


def test_the_words_are_whole():
    found = words()
    for name, trade in found["trades"].items():
        assert {*trade["texts"]} <= {*found["topics"]}, name
        for asked in trade["asks"]:
            assert [type(each) for each in asked] == [str] * 4, (name, asked)
            assert asked[2] != asked[3]
        for column, kind in trade["fields"].items():
            values = kind if isinstance(kind, dict) else {}
            assert all(isinstance(value, str) for value in values), (name, column)
            assert isinstance(kind, dict) or kind[2] in ("even", "skewed"), (name, column)
    for topic, tones in found["topics"].items():
        assert [*tones] == ["good", "bad", "plain"], topic
