"""What stands beside figures: versions, hardware, and a prompt with nobody's words in it."""

from __future__ import annotations

import platform
import re
from datetime import date, datetime
from importlib.metadata import version

import numpy as np
import pytest
from sklearn import __version__ as sklearn_version

from fakes import FakeLM
from promptpredict import about
from promptpredict.about import hardware, masked, prompt_text, versions
from promptpredict.prompt import PromptFile
from promptpredict.records import Record

PROMPT = """\
---
task: binary
target: left
labels: {1: [angry], 0: [happy]}
positive: 1
id: id
text: [feedback, call]
ignore: [email]
fields: {spent: {name: Money spent, format: ".2f", unit: EUR}}
---
{% block system %}You judge.{% endblock %}
{% block customer %}
{% for field in customer.fields %}
{{ field.name }}: {{ field.value }}
{% endfor %}
Number: {{ customer.id }}
Feedback: {{ customer.feedback }} / {{ customer.call }}
{% endblock %}
{% block question %}How is the mood?{% endblock %}
{% block answer %}It is{% endblock %}
"""
WORDS = ["zebra", "otter", "heron", "lynx", "gecko", "moose", "viper", "bison", "crane", "koala"]


def prompt_file(text=PROMPT):
    return PromptFile.from_text(text, name="p.jinja")


def customer(row, **changes):
    """A customer of whom everything but plan and orders is its own; ten of them have one plan."""
    word = WORDS[row % 10]
    values = {
        "id": f"id-{word}",
        "plan": "basic",
        "spent": 10.0 + row,
        "orders": row,
        "street": f"{word} road {row}",
        "note": None if row % 2 else f"note of {word}",
        "feedback": f"I am a {word}",
        "call": f"{word} called",
        "email": f"{word}@example.org",
    }
    return Record(row, f"id-{word}", values | changes, "1")


CUSTOMERS = [customer(row) for row in range(10)]


def test_a_masked_prompt_shows_nobody():
    assert prompt_text(FakeLM(), prompt_file(), CUSTOMERS) == (
        "You judge.\n\n"
        "plan: basic\nMoney spent: 14.50 EUR\norders: 4\nstreet: ‹street›\nnote: ‹note›\n"
        "Number: ‹id›\nFeedback: ‹feedback› / ‹call›\nHow is the mood?\n\n"
        "It is"
    )


def test_no_customers_word_stands_in_a_masked_prompt_whoever_comes_first():
    for first in range(10):
        order = CUSTOMERS[first:] + CUSTOMERS[:first]
        text = prompt_text(FakeLM(), prompt_file(), order)
        assert not set(re.findall(r"\w+", text)) & {*WORDS, "note of", "road", "called"}
        assert text == prompt_text(FakeLM(), prompt_file(), CUSTOMERS)


def test_a_masked_record_keeps_no_id_row_or_label():
    found = masked(CUSTOMERS, prompt_file())
    assert (found.row, found.id, found.label) == (0, "0", None)
    assert found.values.keys() == CUSTOMERS[0].values.keys()
    assert found.values["email"] == "‹email›"


@pytest.mark.parametrize(
    ("cells", "shown"),
    [
        (["a"] * 5 + ["b"] * 3, "a"),
        (["a"] * 4 + ["b"] * 3, "‹x›"),
        ([None] * 9 + ["a"] * 5, "a"),
        ([None] * 9, "‹x›"),
        ([1, 2, 3, None], 2),
        ([1, 2], 1),
        ([1, 2.5], 1.75),
        ([7, 8, "ask Ann"], "‹x›"),
        ([True] * 5 + [False], "True"),
        ([True, False], "‹x›"),
        ([date(2024, 3, 1), date(2023, 1, 5), None, date(2024, 1, 31)], date(2024, 1, 1)),
        ([datetime(2024, 3, 1, 8), datetime(2023, 1, 5, 9, 1, 2)], datetime(2023, 1, 1)),
        ([date(2024, 3, 1), "soon"], "‹x›"),
    ],
)
def test_a_column_is_shown_by_what_many_share_or_by_its_name(cells, shown):
    """A number is the middle one, a date the middle month; a word has to be that of five records."""
    file = prompt_file(PROMPT.replace("fields: {spent", "fields: {y"))
    records = [Record(row, str(row), {"x": cell}) for row, cell in enumerate(cells)]
    found = masked(records, file).values["x"]
    assert found == shown
    assert type(found) is type(shown)


def test_text_of_a_customer_is_never_shown_even_where_many_wrote_the_same():
    same = [customer(row, feedback="thanks", call="thanks", id="one") for row in range(10)]
    found = masked(same, prompt_file()).values
    assert [found[column] for column in ("feedback", "call", "id")] == [
        "‹feedback›",
        "‹call›",
        "‹id›",
    ]


def test_a_wording_that_cannot_show_it_says_so_without_a_customers_word():
    """The amounts are words, of which none is shared, and a column's name is no number."""
    amounts = [customer(row, spent=f"much-{WORDS[row]}") for row in range(10)]
    text = prompt_text(FakeLM(), prompt_file(), amounts)
    assert text.startswith("a prompt without a customer's own values cannot be shown: p.jinja, row")
    assert not [word for word in WORDS if word in text]


def test_to_keep_is_to_show_the_first_record_itself():
    text = prompt_text(FakeLM(), prompt_file(), CUSTOMERS, keep=True)
    rendered = prompt_file().render(CUSTOMERS[0])
    assert text == f"You judge.\n\n{rendered.user}\n\nIt is"
    assert "I am a zebra / zebra called" in text


def test_a_prompt_is_shown_as_the_model_sees_it(tiny_lm):
    file = prompt_file()
    text = prompt_text(tiny_lm, file, CUSTOMERS)
    assert text == tiny_lm.encoder.text(file.render(masked(CUSTOMERS, file)))
    assert text.startswith(
        "<|im_start|>system\nYou judge.<|im_end|>\n<|im_start|>user\nplan: basic"
    )


def test_versions_are_those_installed(monkeypatch):
    monkeypatch.setattr(about, "PACKAGES", ("scikit-learn", "numpy", "no-such-package"))
    assert versions() == {
        "python": platform.python_version(),
        "scikit-learn": sklearn_version,
        "numpy": np.__version__,
        "no-such-package": "not installed",
    }
    monkeypatch.undo()
    assert versions()["promptpredict"] == version("promptpredict")


def test_hardware_is_one_line_with_cores_and_instructions():
    import torch

    found = hardware()
    assert re.fullmatch(r"\d+ cores \([^\n]+\)(, [^\n]+)?", found)
    assert torch.backends.cpu.get_cpu_capability() in found
