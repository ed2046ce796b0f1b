"""Reasons: against taking each part out by hand, in float32 and with approaches of every kind."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from fakes import FakeEncoder, FakeLM
from promptpredict.baselines import (
    EmbeddingClassifier,
    FusionClassifier,
    StructuredClassifier,
    TextClassifier,
)
from promptpredict.errors import DataError
from promptpredict.estimators import ProbeClassifier, PromptClassifier
from promptpredict.explain import explain, log_odds
from promptpredict.importance import faithfulness, importances
from promptpredict.means import Mean
from promptpredict.parts import parts_of, taken_out, typical_values
from promptpredict.prompt import PromptFile
from promptpredict.records import Record
from promptpredict.regressors import MedianRegressor

PROMPT = """---
task: binary
target: left
labels: {1: angry, 0: happy}
positive: 1
id: id
text: [feedback]
fields: {mood: {name: Mood}}
---
{% block system %}You judge.{% endblock %}
{% block customer %}{% for field in customer.fields %}{{ field.name }}: {{ field.value }}
{% endfor %}
{{ customer.feedback }}{% endblock %}
{% block question %}Feels?{% endblock %}
{% block answer %}The customer feels{% endblock %}
"""
FILE = PromptFile.from_text(PROMPT)
THREE = PromptFile.from_text(
    PROMPT.replace("binary", "multiclass")
    .replace("labels: {1: angry, 0: happy}", "labels: {2: angry, 1: fine, 0: happy}")
    .replace("positive: 1\n", "")
)
# FakeLM adds a nat for each word of a label.
ROWS = [
    ("angry", "3", "I am angry. Angry and angry! Not happy."),
    ("happy", "4", "All is well."),
    ("calm", None, None),
    ("sad", "5", "Happy. Happy. Happy. Angry."),
]
RECORDS = [
    Record(row, f"c{row}", {"id": f"c{row}", "mood": mood, "visits": visits, "feedback": text})
    for row, (mood, visits, text) in enumerate(ROWS, 1)
]


def zero_shot(file=FILE, lm=None):
    approach = PromptClassifier(file, model=lm or FakeLM(), calibration="none")
    return approach.fit(RECORDS, None)


def found(records=RECORDS, approach=None, **given):
    explanations, faults = explain(approach or zero_shot(), records, **given)
    assert faults == {}
    return explanations


def effects(explanation):
    return {reason.part.describe(): round(reason.effect, 4) for reason in explanation.reasons}


def test_an_effect_is_what_the_log_odds_lose():
    first, second, third, _ = found()
    assert effects(first) == {
        "all of feedback": 2.0, "“Angry and angry!”": 2.0, "Mood: angry": 1.0,
        "“I am angry.”": 1.0, "“Not happy.”": -1.0, "visits: 3": 0.0,
    }  # fmt: skip
    assert (first.row, first.id, first.label) == (1, "c1", "1")
    assert first.log_odds == pytest.approx(3.0)
    assert first.probability == pytest.approx(1 / (1 + math.exp(-3)))
    assert effects(second) == {"Mood: happy": -1.0, "visits: 4": 0.0, "“All is well.”": 0.0}
    assert effects(third) == {"Mood: calm": 0.0}
    assert (third.together, third.top, third.random) == (None, None, None)


def test_the_strongest_come_first_and_a_whole_text_is_no_further_reason():
    first = found()[0]
    sizes = [abs(reason.effect) for reason in first.reasons]
    assert sizes == sorted(sizes, reverse=True)
    assert [reason.part.kind for reason in first.strongest].count("text") == 0
    assert len(first.strongest) == len(first.reasons) - 1


class Crossed(FakeLM):
    """Angry counts only where it stands twice: neither is a reason alone, both are one."""

    def _logprobs(self, prompt, labels):
        return [-1.0 + 4.0 * (prompt.user.lower().count("angry") == 2), -1.0]


def test_what_two_parts_add_together_beyond_each_alone():
    record = replace(RECORDS[0], values=dict(RECORDS[0].values) | {"feedback": "Angry."})
    (explanation,) = found([record], zero_shot(lm=Crossed()))
    assert effects(explanation) == {"Mood: angry": 4.0, "“Angry.”": 4.0, "visits: 3": 0.0}
    assert explanation.together == pytest.approx(4.0 - 8.0)
    assert found()[0].together == pytest.approx(0.0)  # where words add up


def test_everything_equals_taking_it_out_by_hand():
    approach = zero_shot(lm=Crossed())
    for explanation, record in zip(found(approach=approach), RECORDS, strict=True):
        parts = parts_of(FILE, record)

        def odds(out, record=record):
            said = approach.predict_proba([taken_out(FILE, record, out)])[0]
            column = approach.keys_.index("1")
            return math.log(said[column]) - math.log(said[1 - column])

        whole = odds([])
        assert explanation.log_odds == pytest.approx(whole, abs=1e-6)
        for reason in explanation.reasons:
            assert reason.effect == pytest.approx(whole - odds([reason.part]), abs=1e-6)
        single = [reason.part for reason in explanation.strongest]
        assert len(explanation.reasons) == len(parts)
        if len(single) > 3:
            assert explanation.top == pytest.approx(abs(whole - odds(single[:3])), abs=1e-6)


def test_the_random_three_are_the_same_for_a_seed_and_row_alone():
    whole = [each.random for each in found(seed=3)]
    assert [each.random for each in found(seed=3)] == whole
    assert found(RECORDS[3:], seed=3)[0].random == whole[3]
    several = {tuple(each.random for each in found(seed=seed)) for seed in range(8)}
    assert len(several) > 1


def test_a_typical_value_in_place_of_none():
    typical = typical_values(FILE, RECORDS)
    assert typical["mood"] == "angry"  # the first of those that are as frequent
    first = found(typical=typical | {"mood": "happy"})[0]
    assert effects(first)["Mood: angry"] == 2.0  # one angry less, one happy more
    assert effects(first)["“I am angry.”"] == 1.0


def test_of_several_labels_the_most_probable_or_the_one_that_is_asked_for():
    approach = zero_shot(THREE)
    first, second, *_ = found(approach=approach)
    assert (first.label, second.label) == ("2", "0")
    assert effects(second)["Mood: happy"] == pytest.approx(1.0)
    asked = found(approach=approach, label="2")
    assert [each.label for each in asked] == ["2"] * 4
    assert effects(asked[1])["Mood: happy"] == pytest.approx(-math.log((math.e + 1) / 2), abs=1e-4)
    with pytest.raises(DataError) as caught:
        explain(approach, RECORDS, label="3")
    assert str(caught.value) == "there is no label '3'; possible: 0, 1, 2"


def test_a_row_that_cannot_be_scored_is_a_fault_and_the_others_are_explained():
    bad = replace(RECORDS[1], values=dict(RECORDS[1].values) | {"feedback": "[unscorable] Fine."})
    explanations, faults = explain(zero_shot(), [RECORDS[0], bad, RECORDS[3]])
    assert [each.row for each in explanations] == [1, 4]
    assert faults == {2: "it cannot be scored"}


def test_a_row_that_cannot_be_shown_without_a_part_is_a_fault():
    text = PROMPT.replace("{{ customer.feedback }}", "{{ customer.visits + 1 }}{{ customer.feedback }}")  # fmt: skip
    file = PromptFile.from_text(text, name="sum.jinja")
    records = [
        replace(record, values=dict(record.values) | {"visits": 1}) for record in RECORDS[:1]
    ]
    approach = PromptClassifier(file, model=FakeLM(), calibration="none").fit(records, None)
    explanations, faults = explain(approach, records)
    assert explanations == []
    assert faults[1].endswith(
        "'visits' is missing and cannot be compared or calculated with; test it first"
    )
    typical = typical_values(file, records)
    assert len(explain(approach, records, typical=typical)[0]) == 1


def test_the_prompts_of_a_record_stand_side_by_side_in_blocks():
    lm, done = FakeLM(), []
    many = [replace(RECORDS[0], row=row) for row in range(1, 201)]
    explanations, _ = explain(zero_shot(lm=lm), many, progress=done.append)
    assert [each.row for each in explanations] == list(range(1, 201))
    assert sum(done) == 200
    assert len(done) == 2  # 7 prompts each, at most 1,024 at a time
    # Without each part, without two; and of every seventh, which are no more than 32, two more.
    assert len(lm.asked) == 200 * (7 + 1) + 29 * 2
    told = [each.row for each in explanations if each.top is not None]
    assert told == list(range(1, 201, 7))
    assert lm.asked[0].user == lm.asked[7].user
    alone = [explain(zero_shot(), [each])[0][0] for each in (many[0], many[7])]
    assert alone == [explanations[0], explanations[7]]
    unchecked, _ = explain(zero_shot(), many[:3], checked=0)
    assert [each.top for each in unchecked] == [None] * 3
    assert [each.together for each in unchecked] == [each.together for each in explanations[:3]]


@pytest.mark.parametrize("kind", ["probe", "embedding", "fusion", "few-shot"])
def test_every_approach_has_reasons(kind):
    rows = [*RECORDS[:2], *RECORDS[:2]] * 3
    labelled = [replace(record, row=row) for row, record in enumerate(rows, 1)]
    y = ["1", "0"] * 6
    approach = {
        "probe": lambda: ProbeClassifier(FILE, model=FakeLM()),
        "few-shot": lambda: PromptClassifier(FILE, model=FakeLM(), shots=2),
        "embedding": lambda: EmbeddingClassifier(FILE, encoder=FakeEncoder()),
        "fusion": lambda: FusionClassifier(FILE, encoder=FakeEncoder()),
    }[kind]()
    approach.fit(labelled, y)
    first = found(RECORDS[:2], approach)[0]
    column = list(approach.classes_).index("1")
    for reason in first.reasons:
        both = [RECORDS[0], taken_out(FILE, RECORDS[0], [reason.part])]
        odds = log_odds(approach.predict_proba(both))[:, column]
        assert reason.effect == pytest.approx(odds[0] - odds[1], abs=1e-9)
    assert any(abs(reason.effect) > 1e-3 for reason in first.reasons)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [(StructuredClassifier, {"field"}), (TextClassifier, {"sentence", "text"})],
)
def test_what_an_approach_does_not_read_is_no_part(kind, expected):
    labelled = [replace(record, row=row) for row, record in enumerate(RECORDS * 3, 1)]
    approach = kind(FILE).fit(labelled, ["1", "0"] * 6)
    first = found(RECORDS[:1], approach)[0]
    assert {reason.part.kind for reason in first.reasons} == expected


def test_who_reads_texts_alone_reads_the_whole_customer_where_no_text_is_named():
    frame = pd.DataFrame([record.values for record in RECORDS * 3])
    approach = TextClassifier().fit(frame, ["1", "0"] * 6)
    reasons = found(frame.head(2), approach)[0].reasons
    assert {reason.part.column for reason in reasons} == {"id", "mood", "visits", "feedback"}
    assert any(abs(reason.effect) > 0.01 for reason in reasons)


def test_a_table_is_explained_as_records_are():
    frame = pd.DataFrame([record.values for record in RECORDS])
    approach = PromptClassifier(FILE, model=FakeLM(), calibration="none").fit(frame, None)
    as_table, as_records = found(frame, approach), found()
    assert [each.reasons for each in as_table] == [each.reasons for each in as_records]
    assert [each.id for each in as_table] == ["c1", "c2", "c3", "c4"]


def test_an_approach_to_amounts_has_no_log_odds():
    with pytest.raises(DataError) as caught:
        explain(MedianRegressor(FILE), RECORDS)
    assert str(caught.value) == "MedianRegressor predicts amounts; explain is for labels"


def test_what_a_customer_wrote_is_no_order_to_a_terminal():
    written = replace(
        RECORDS[1], values={**RECORDS[1].values, "feedback": "All\x1b[31m\u202e bad\nand red."}
    )
    assert "“All[31m bad”" in effects(found([written])[0])


def test_log_odds_of_probabilities_near_one_keep_their_digits():
    said = np.array([[1 - 1e-9, 1e-9], [1.0, 0.0], [0.25, 0.75]])
    odds = log_odds(said)
    assert odds[0, 0] == pytest.approx(math.log((1 - 1e-9) / 1e-9), rel=1e-12)
    assert odds[1, 0] == pytest.approx(math.log(1e12))
    assert odds[:, 1] == pytest.approx(-odds[:, 0])
    three = log_odds([[0.5, 0.3, 0.2]])[0]
    assert three == pytest.approx([0.0, math.log(3 / 7), math.log(1 / 4)])


# ------------------------------------------------------------------------ what they come to


def test_how_much_columns_matter():
    by_name = {each.name: each for each in importances(found())}
    assert list(by_name) == ["feedback", "Mood", "visits"]
    text, mood = by_name["feedback"], by_name["Mood"]
    assert (text.n, mood.n, by_name["visits"].n) == (3, 4, 3)
    assert text.moves.mean == pytest.approx(np.mean([2, 0, 2]))
    assert text.adds.mean == pytest.approx(np.mean([2, 0, -2]))
    assert mood.moves.mean == pytest.approx(0.5)
    assert mood.adds.mean == pytest.approx(0.0)
    # Student's t with 3 degrees of freedom, as a table has it
    half = 3.18245 * np.std([1, 1, 0, 0], ddof=1) / 2
    assert mood.moves.low == 0.0  # as far as an effect's size can fall
    assert mood.moves.high == pytest.approx(0.5 + half, abs=1e-4)
    half = 3.18245 * np.std([1, -1, 0, 0], ddof=1) / 2
    assert mood.adds.low == pytest.approx(-half, abs=1e-4)
    assert importances(found()[2:3])[0].moves == Mean(mean=0.0)


def test_effects_on_several_labels_are_not_added_up():
    explanations = found(approach=zero_shot(THREE))
    assert len({each.label for each in explanations}) > 1
    assert {each.adds for each in importances(explanations)} == {None}
    one = importances(found(approach=zero_shot(THREE), label="2"))
    assert all(each.adds is not None for each in one)


def test_whether_the_strongest_move_more_than_any():
    explanations = found()
    told = [each for each in explanations if each.top is not None]
    assert [each.row for each in told] == [1, 4]
    result = faithfulness(explanations)
    assert result.n == 2
    assert result.top == pytest.approx(np.mean([each.top for each in told]))
    assert result.more.mean == pytest.approx(np.mean([each.top - each.random for each in told]))
    assert result.ahead == np.mean([each.top > each.random for each in told])
    assert faithfulness(explanations[1:3]) is None
