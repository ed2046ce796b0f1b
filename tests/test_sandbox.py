"""The sandbox: how values print, what a missing value may do, what cannot be reached."""

from datetime import date, datetime

import pytest
from jinja2.exceptions import SecurityError, UndefinedError

from promptpredict.sandbox import Cell, Customer, Environment, Missing

VALUES = {
    "whole": 24,
    "part": 3.5,
    "tenth": 0.1,
    "day": date(2024, 3, 1),
    "time": datetime(2024, 3, 1, 9, 30),
    "yes": True,
    "text": "Late again",
    "none": Missing("not recorded", "none"),
    "items": "I",
    "_x": "U",
    "fields": "F",
}


def rendered(text: str) -> str:
    customer = Customer(VALUES, (Cell("Whole", "whole", "24 USD", 24),))
    return Environment().from_string(text).render(customer=customer, labels=("angry", "happy"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("{{ customer.whole }} {{ customer.part }} {{ customer.yes }}", "24 3.5 True"),
        ("{{ customer.day }}, {{ customer.time }}", "2024-03-01, 2024-03-01 09:30"),
        ("{{ customer.time - customer.time }}", "0:00:00"),
        ("{{ customer.whole / 2 }}", "12"),
        ("{{ customer.whole / 2 ~ ' USD' }}", "12 USD"),
        ("{{ (customer.part * 2) | string }}", "7"),
        ("{{ customer.part | round ~ '' }}", "4"),
        ("{{ (customer.tenth + 0.2) ~ '' }}", "0.3"),
        ("{{ [customer.part * 2, 5] | join('/') }}", "7/5"),
        ("{{ '%.2f' | format(customer.whole) }}", "24.00"),
        ("{% set x = none %}{{ x }}, {{ x ~ '.' }}", "not recorded, not recorded."),
        ("{{ {}.get('x') }}", "not recorded"),
        ("{{ labels | join(' or ') }}", "angry or happy"),
        ("{{ customer.items }}{{ customer._x }}{{ customer['fields'] }}", "IUF"),
        ("{% for f in customer.fields %}{{ f.name }}={{ f.value }};{{ f.raw + 1 }}{% endfor %}", "Whole=24 USD;25"),
    ],
)  # fmt: skip
def test_values_print_as_a_person_writes_them(text, shown):
    assert rendered(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("{{ customer.none }}", "not recorded"),
        ("{{ customer.none | upper }}", "NOT RECORDED"),
        ("{{ 'x: ' ~ customer.none }}", "x: not recorded"),
        ("{{ customer.none is none }}", "True"),
        ("{{ customer.text is none }}", "False"),
        ("{{ customer.none == none }}", "True"),
        ("{{ customer.none != none }}", "False"),
        ("{{ customer.none == 'not recorded' }}", "False"),
        ("{{ 'y' if customer.none else 'n' }}", "n"),
        ("{{ customer.none or 'nothing' }}", "nothing"),
        ("{{ customer.none | default('nothing', true) }}", "nothing"),
        ("{{ 'record' in customer.none }}", "False"),
        ("{{ customer.none | length }}, {{ customer.none | wordcount }}", "0, 0"),
        ("{{ 'two words' | length }}, {{ 'two words' | wordcount }}", "9, 2"),
    ],
)
def test_a_missing_value_is_a_word_when_shown_and_missing_in_logic(text, shown):
    assert rendered(text) == shown


@pytest.mark.parametrize(
    "expression",
    [
        "customer.none > 3",
        "3 < customer.none",
        "customer.none > 'a'",
        "customer.none + 1",
        "customer.none + ' USD'",
        "1 - customer.none",
        "customer.none * 2",
        "customer.none % 2",
        "-customer.none",
        "customer.day - customer.none",
        "customer.none | int",
        "customer.none | float",
        "customer.none | round",
        "customer.none | abs",
        "'%.2f' | format(customer.none)",
        "[1, customer.none] | sum",
    ],
)
def test_a_missing_value_never_becomes_a_number(expression):
    with pytest.raises(Exception, match="is missing and cannot") as caught:
        rendered(f"{{{{ {expression} }}}}")
    assert str(caught.value) == (
        "'none' is missing and cannot be compared or calculated with; test it first"
    )


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("labels", "a tuple cannot be shown; show its items one by one"),
        ("customer", "a Customer cannot be shown; show its items one by one"),
        ("customer.fields | map(attribute='name')", "a generator cannot be shown; show its items one by one"),
        ("range", "a function cannot be shown; show its items one by one"),
        ("1e308 * customer.whole", "the result is not a number"),
    ],
)  # fmt: skip
def test_what_is_no_value_is_not_printed(expression, text):
    with pytest.raises((TypeError, OverflowError)) as caught:
        rendered(f"{{{{ {expression} }}}}")
    assert str(caught.value) == text


@pytest.mark.parametrize(
    "expression",
    [
        "''.__class__.__mro__",
        "''['__class__']['__mro__']",
        "'' | attr('__class__')",
        "'{0.__class__}'.format('x')",
        "'{x.__class__}'.format_map({'x': 1})",
        "range.__globals__",
        "namespace.__init__.__globals__",
        "customer.fields[0].__class__",
        "[].append(1)",
        "{}.update(x=1)",
    ],
)
def test_the_sandbox_keeps_python_out_of_reach(expression):
    with pytest.raises(SecurityError):
        rendered(f"{{{{ {expression} }}}}")


@pytest.mark.parametrize("name", ["cycler", "lipsum", "joiner", "open"])
def test_nothing_but_range_dict_and_namespace_is_at_hand(name):
    with pytest.raises(UndefinedError):
        rendered(f"{{{{ {name} }}}}")


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("9 ** 999", "a power of 999 is too large"),
        ("2 ** -65", "a power of -65 is too large"),
        ("'a' * 10001", "more than 10,000 repetitions are too many"),
        ("100000000000 * [1]", "more than 10,000 repetitions are too many"),
    ],
)
def test_what_would_take_all_time_or_memory_is_refused(expression, text):
    with pytest.raises(OverflowError) as caught:
        rendered(f"{{{{ {expression} }}}}")
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("expression", "shown"), [("2 ** 10", "1024"), ("'-' * 3", "---"), ("3 * 4", "12")]
)
def test_what_is_calculated_in_a_template_is_shown(expression, shown):
    assert rendered(f"{{{{ {expression} }}}}") == shown


def test_a_huge_range_is_refused():
    with pytest.raises(OverflowError):
        rendered("{{ range(10000000) | length }}")


@pytest.mark.parametrize(
    ("block", "lines"),
    [
        ("A: {% if x %}y{% endif %}\nB", [1]),
        ("A: {{ x }}{# why #}\nB", [1]),
        ("A {% set y = 1 %}\n{% if y %}\nB{% endif %}", [1]),
        ("A{% block inner %}y{% endblock %}\nB", [1]),
        ("{% for y in x %}\n{% if y %}{{ y }}{% endif %}\n{% endfor %}", [2]),
        ("A: {% if x %}\n\ny{% endif %}\nB", [3]),
        ("A: {% if x %}y{% endif +%}\nB", []),
        ("A: {% if x %}y{% endif -%}\nB", []),
        ("A: {% if x %}y{% endif %}\n\nB", []),
        ("A: {% if x %}y{% endif %}\n", []),
        ("A: {{ x }}\nB", []),
        ("{% for y in x %}\n{{ y }}\n{% endfor %}\nB", []),
        ("{% if x %}\n  A\n{% endif %}\nB", []),
    ],
)
def test_a_line_break_taken_from_between_two_texts_is_found(block, lines):
    text = f"{{% block customer %}}{block}{{% endblock %}}\n{{% block question %}}Q{{% endblock %}}"
    assert list(Environment().swallowed(text)) == lines
