"""The parts of a record, and records without some of them."""

from dataclasses import replace
from datetime import date, datetime

from promptpredict.parts import MOST_SENTENCES, Part, parts_of, taken_out, typical_values
from promptpredict.prompt import PromptFile
from promptpredict.records import Record

PROMPT = """---
task: binary
target: left
labels: {1: angry, 0: happy}
positive: 1
id: id
text: [feedback, note]
ignore: [secret]
fields: {amount: {name: Paid, unit: EUR, format: ".2f"}}
---
{% block system %}You judge.{% endblock %}
{% block customer %}{% for field in customer.fields %}{{ field.name }}: {{ field.value }}
{% endfor %}
Plan {{ customer.plan }}. {{ customer.feedback }}{% endblock %}
{% block question %}How does the customer feel?{% endblock %}
{% block answer %}The customer feels{% endblock %}
"""
FILE = PromptFile.from_text(PROMPT)
VALUES = {"id": "7", "amount": 3.5, "plan": "basic", "age": None, "feedback": "Late. Bad box!", "note": "Unseen."}  # fmt: skip
RECORD = Record(1, "7", VALUES)


def shown(record):
    return FILE.render_customer(record).splitlines()


def test_parts_are_what_the_prompt_shows():
    paid, plan, late, bad, whole = parts_of(FILE, RECORD)
    assert paid == Part(kind="field", column="amount", name="Paid", text="3.50 EUR")
    assert plan == Part(kind="field", column="plan", name="plan", text="basic")
    assert (late.kind, late.text, late.span) == ("sentence", "Late.", (0, 5))
    assert (bad.kind, bad.text, bad.span) == ("sentence", "Bad box!", (6, 14))
    assert (whole.kind, whole.text, whole.span) == ("text", "Late. Bad box!", None)
    assert [each.describe() for each in (paid, late, whole)] == [
        "Paid: 3.50 EUR", "“Late.”", "all of feedback"
    ]  # fmt: skip
    assert bad.describe(5) == "“Bad…”"


def test_one_sentence_is_its_text_and_long_texts_have_joined_sentences():
    one = Record(1, "7", VALUES | {"feedback": "Late."})
    assert [each.kind for each in parts_of(FILE, one)] == ["field", "field", "sentence"]
    none = Record(1, "7", VALUES | {"feedback": None})
    assert [each.kind for each in parts_of(FILE, none)] == ["field", "field"]
    long = Record(1, "7", VALUES | {"feedback": "Late. " * 100})
    kinds = [each.kind for each in parts_of(FILE, long)]
    assert kinds.count("sentence") == MOST_SENTENCES
    assert kinds.count("text") == 1


def test_a_value_that_its_format_does_not_suit_is_shown_without():
    """A block may show it in its own way; where the fields show it the prompt cannot be written anyway."""
    much = Record(1, "7", VALUES | {"amount": "much"})
    assert parts_of(FILE, much)[0].describe() == "Paid: much EUR"


def test_numbers_are_rounded_and_placed_as_in_the_prompt():
    text = PROMPT.replace("id: id", "id: id\nnumbers: placed").replace(', format: ".2f"', "")
    records = [
        Record(row, str(row), VALUES | {"amount": 1000 / (row + 1), "plan": "basic"})
        for row in range(30)
    ]
    file = PromptFile.from_text(text)
    assert parts_of(file, records[2])[0].describe() == "Paid: 333 EUR"
    placed = file.placed(records)
    [line, *_] = placed.render_customer(records[2]).splitlines()
    assert parts_of(placed, records[2])[0].describe() == line == "Paid: 333 EUR (in the top 10 %)"


def test_what_is_out_is_not_shown():
    paid, plan, late, bad, whole = parts_of(FILE, RECORD)
    assert shown(RECORD) == ["Paid: 3.50 EUR", "plan: basic", "age: not recorded", "Plan basic. Late. Bad box!"]  # fmt: skip
    assert shown(taken_out(FILE, RECORD, [paid])) == shown(RECORD)[1:]
    assert shown(taken_out(FILE, RECORD, [plan])) == [
        "Paid: 3.50 EUR", "plan: not recorded", "age: not recorded",
        "Plan not recorded. Late. Bad box!",
    ]  # fmt: skip
    assert shown(taken_out(FILE, RECORD, [late]))[-1] == "Plan basic. Bad box!"
    assert shown(taken_out(FILE, RECORD, [late, paid, bad]))[-1] == "Plan basic. not recorded"
    assert shown(taken_out(FILE, RECORD, [whole, late]))[-1] == "Plan basic. not recorded"
    assert shown(taken_out(FILE, RECORD, [])) == shown(RECORD)
    assert RECORD.values == VALUES


def test_a_typical_value_stands_in_place_of_none():
    paid, _, late, _, _ = parts_of(FILE, RECORD)
    out = taken_out(FILE, RECORD, [paid, late], {"amount": 2, "plan": "gold"})
    assert shown(out) == ["Paid: 2.00 EUR", *shown(RECORD)[1:3], "Plan basic. Bad box!"]


def test_what_is_typical():
    days = [date(2024, 1, 3), datetime(2024, 1, 1, 5), date(2024, 1, 2), None]
    columns = {
        "number": [3, 1.5, 2, None],
        "date": days,
        "word": ["b", "a", "a", None],
        "mixed": [1, "x", "x", 2],
        "half": [4, 9, None, None],
        "rare": [1, None, None, None],
        "dirty": [7, 5, "unknown", 9],
    }
    records = [
        Record(row, "", {name: values[row] for name, values in columns.items()}) for row in range(4)
    ]
    assert typical_values(FILE, records) == {
        "number": 2, "date": date(2024, 1, 2), "word": "a", "mixed": "x", "half": 4, "rare": None, "dirty": 7
    }  # fmt: skip
    assert typical_values(FILE, []) == {}
    words = [replace(RECORD, values={**VALUES, "amount": each}) for each in ("none", "none", 2.0)]
    assert typical_values(FILE, words)["amount"] == 2.0  # the format is for numbers
