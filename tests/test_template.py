"""Blocks: inheritance, which columns the syntax tree reaches, and what a file may not do."""

import pytest

from promptpredict.errors import DataError, PromptError
from promptpredict.prompt import PromptFile
from promptpredict.records import Record

FRONT = """---
task: binary
target: churn
labels: {1: sad, 0: glad}
positive: 1
ignore: [left_on]
---
"""  # seven lines: the first block stands in line 8
PARENT = (
    FRONT + "{% block system %}S{% endblock %}\n"
    "{% block customer %}{% block head %}{{ customer.a }}{% endblock %} {{ customer.b }}{% endblock %}\n"
    "{% block question %}Q{% endblock %}\n"
)
RECORD = Record(7, "c1", {"a": 24, "b": None, "c": "text"})


def prompt_file(customer: str, *, rest: str = "") -> PromptFile:
    text = (
        f"{FRONT}{{% block customer %}}{customer}{{% endblock %}}\n"
        f"{{% block system %}}S{{% endblock %}}{{% block question %}}Q{{% endblock %}}{rest}"
    )
    return PromptFile.from_text(text, name="p.jinja")


def refusal(customer: str, *, rest: str = "") -> str:
    with pytest.raises(PromptError) as caught:
        prompt_file(customer, rest=rest)
    return str(caught.value)


@pytest.mark.parametrize(
    ("customer", "needed", "uses_fields"),
    [
        ("nothing", (), False),
        ("{{ customer.a }}{{ customer['b c'] }}{{ customer.a }}", ("a", "b c"), False),
        ("{% for f in customer.fields %}{{ f.name }}{% endfor %}", (), True),
        ("{{ customer['fields'] }}{{ customer.items }}{{ customer._x }}", ("fields", "items", "_x"), False),
        ("{% if customer.a > 1 and customer.b is none %}{{ customer.c | upper }}{% endif %}", ("a", "b", "c"), False),
        ("{% set x = customer.a %}{% macro m() %}{{ customer.b }}{% endmacro %}{{ m() }}", ("a", "b"), False),
        ("{% block inner %}{{ customer.a }}{% endblock %}{{ customer.b }}", ("a", "b"), False),
    ],
)  # fmt: skip
def test_needed_columns_are_read_from_the_syntax_tree(customer, needed, uses_fields):
    found = prompt_file(customer)
    assert (found.needed, found.uses_fields) == (needed, uses_fields)


@pytest.mark.parametrize(
    "customer",
    [
        "{{ customer }}",
        "{% set c = customer %}",
        "{% with c = customer %}{% endwith %}",
        "{% for c in [customer] %}{% endfor %}",
        "{% for customer in [1] %}{% endfor %}",
        "{% set customer = 1 %}",
        "{% set customer.x = 1 %}",
        "{% macro customer() %}{% endmacro %}",
        "{% macro m(c) %}{% endmacro %}{{ m(customer) }}",
        "{{ customer | list }}",
        "{{ customer is defined }}",
        "{{ customer | attr('a') }}",
        "{{ customer[0] }}",
        "{{ customer['a' ~ 'b'] }}",
        "{{ customer[labels[0]] }}",
        "{{ namespace(c=customer) }}",
    ],
)
def test_the_customer_is_reached_by_literal_names_alone(customer):
    assert refusal(customer) == (
        "p.jinja, line 8: 'customer' may be used only as "
        'customer.fields, customer.NAME or customer["NAME"]'
    )


@pytest.mark.parametrize(
    ("customer", "text"),
    [
        ("{{ customer.churn }}", "line 8: column 'churn' is the target and can never be rendered"),
        ("\n{{ customer['left_on'] }}", "line 9: column 'left_on' is ignored and can never be rendered"),
        ("{{ a }}", "line 8: unknown name 'a'; a column is reached as customer.NAME"),
        ("\n\n{{ cutomer.a }}", "line 10: unknown name 'cutomer' (nearest: 'customer'); a column is reached as customer.NAME"),
        ("{% for i in [1] %}{% endfor %}{{ i }}", "line 8: unknown name 'i'; a column is reached as customer.NAME"),
        ("{{ bins }}", "line 8: unknown name 'bins'; a column is reached as customer.NAME"),
        ("{% for f in customer.fields %}{% block x %}{{ f }}{% endblock %}{% endfor %}", "line 8: unknown name 'f'; a column is reached as customer.NAME"),
        ("{{ super() }}", "line 8: super() finds no block 'customer' further up"),
        ("{{ super }}", "line 8: 'super' may be used only as super()"),
        ("{{ self }}", "line 8: 'self' may be used only as self.BLOCK()"),
        ("{{ self.sytem() }}", "line 8: no block 'sytem' (nearest: 'system')"),
        ("{{ 'a' | uper }}", "line 8: No filter named 'uper' (nearest: 'upper')"),
        ("{{ 1 is strng }}", "line 8: No test named 'strng' (nearest: 'string')"),
        ("{% if %}", "line 8: Expected an expression, got 'end of statement block'"),
        ("{% include 'x' %}", "line 8: a prompt file cannot include or import another; it can extend one"),
        ("{% import 'x' as y %}", "line 8: a prompt file cannot include or import another; it can extend one"),
        ("{% from 'x' import y %}", "line 8: a prompt file cannot include or import another; it can extend one"),
        ("{% extends 'x' %}", "line 8: cannot use extend from a non top-level scope"),
        ("{% block answer %}{% endblock %}", "line 8: block 'answer' may not stand inside another block"),
        ("{% block x %}{% endblock %}{% block x %}{% endblock %}", "line 8: block 'x' defined twice"),
    ],
)  # fmt: skip
def test_a_fault_in_a_block_is_one_line_with_its_place(customer, text):
    assert refusal(customer) == f"p.jinja, {text}"


@pytest.mark.parametrize(
    ("rest", "text"),
    [
        ("\n\nsome text\n", "line 11: outside the blocks only one 'extends' and comments may stand, not 'some text'"),
        ("\n{{ 1 }}", "line 10: outside the blocks only one 'extends' and comments may stand, not an expression"),
        ("{% set x = 1 %}", "line 9: outside the blocks only one 'extends' and comments may stand, not 'assign'"),
        ("{% macro m() %}{% endmacro %}", "line 9: outside the blocks only one 'extends' and comments may stand, not 'macro'"),
        ("{% extends 1 %}", "line 9: 'extends' needs the name of a file, in quotes"),
        ("{% extends 'a' ~ 'b' %}", "line 9: 'extends' needs the name of a file, in quotes"),
        ("{% extends '../x.jinja' %}", "line 9: '../x.jinja' must be the bare name of a prompt file"),
        ("{% extends 'churn-shp.jinja' %}", "line 9: no prompt file 'churn-shp.jinja' beside it or among the shipped ones (nearest: 'churn-shop.jinja')"),
        ("{% block anwser %}{% endblock %}", "line 9: unknown block 'anwser' (nearest: 'answer'); possible: system, customer, question, answer"),
    ],
)  # fmt: skip
def test_only_blocks_extends_and_comments_stand_outside(rest, text):
    assert refusal("C", rest=rest) == f"p.jinja, {text}"


def test_system_customer_and_question_are_required():
    with pytest.raises(PromptError) as caught:
        PromptFile.from_text(FRONT + "{% block customer %}{% endblock %}", name="p.jinja")
    assert str(caught.value) == "p.jinja: it has no block 'system'"


@pytest.mark.parametrize(
    ("customer", "text"),
    [
        ("{{ customer.b > 3 }}", "p.jinja, line 8, row 7: 'b' is missing and cannot be compared or calculated with; test it first"),
        ("\n{{ customer.c + 1 }}", 'p.jinja, line 9, row 7: can only concatenate str (not "int") to str'),
        ("{{ customer.zip }}", "p.jinja, row 7: the record has no column 'zip'"),
        ("{% for f in customer.fields %}{{ f.nam }}{% endfor %}", "p.jinja, line 8, row 7: 'Cell object' has no attribute 'nam'"),
        ("{{ 1 / 0 }}", "p.jinja, line 8, row 7: division by zero"),
        ("{{ labels }}", "p.jinja, line 8, row 7: a tuple cannot be shown; show its items one by one"),
    ],
)  # fmt: skip
def test_a_fault_in_a_row_names_the_row(customer, text):
    with pytest.raises(DataError) as caught:
        prompt_file(customer).render(RECORD)
    assert str(caught.value) == text


def test_what_the_sandbox_forbids_is_a_fault_of_the_file():
    with pytest.raises(PromptError) as caught:
        prompt_file("{{ ''.__class__.__mro__ }}").render(RECORD)
    assert str(caught.value) == (
        "p.jinja, line 8, row 7: access to attribute '__class__' of 'str' object is unsafe"
    )


def test_blocks_share_no_variables():
    text = refusal("{% set x = 1 %}", rest="{% block answer %}{{ x }}{% endblock %}")
    assert text == "p.jinja, line 9: unknown name 'x'; a column is reached as customer.NAME"


def test_a_scoped_block_sees_the_loop_around_it():
    found = prompt_file(
        "{% for f in customer.fields %}{% block cell scoped %}{{ f.name }}{% endblock %}{% endfor %}"
    )
    assert found.render(RECORD).user == "abc\nQ"


def child(tmp_path, text: str) -> PromptFile:
    (tmp_path / "parent.jinja").write_text(PARENT, encoding="utf-8")
    return PromptFile.from_text(
        "{% extends 'parent.jinja' %}\n" + text, name="child.jinja", folder=tmp_path
    )


@pytest.mark.parametrize(
    ("text", "user", "needed"),
    [
        ("", "24 not recorded\nQ", ("a", "b")),
        ("{% block question %}R{% endblock %}", "24 not recorded\nR", ("a", "b")),
        ("{% block head %}H{% endblock %}", "H not recorded\nQ", ("b",)),
        ("{% block head %}{{ customer.c }}+{{ super() }}{% endblock %}", "text+24 not recorded\nQ", ("c", "a", "b")),
        ("{% block customer %}{{ customer.c }}{% endblock %}", "text\nQ", ("c",)),
        ("{% block customer %}{{ customer.c }} {{ super() }}{% endblock %}", "text 24 not recorded\nQ", ("c", "a", "b")),
        ("{% block customer %}C{% endblock %}{% block question %}{{ self.head() }}?{% endblock %}", "C\n24?", ("a",)),
    ],
)  # fmt: skip
def test_a_block_is_the_nearest_and_super_the_next_one_up(tmp_path, text, user, needed):
    found = child(tmp_path, text)
    assert found.needed == needed
    assert found.render(RECORD).user == user


def test_super_goes_up_a_longer_chain(tmp_path):
    child(tmp_path, "")
    for name, above, word in (("two", "parent", "2"), ("three", "two", "3")):
        text = f"{{% extends '{above}.jinja' %}}{{% block question %}}{word}{{{{ super() }}}}{{% endblock %}}"
        (tmp_path / f"{name}.jinja").write_text(text, encoding="utf-8")
    assert PromptFile.load(tmp_path / "three.jinja").render(RECORD).user == "24 not recorded\n32Q"


def test_an_overridden_block_needs_no_columns_and_may_hold_unknown_names(tmp_path):
    (tmp_path / "p.jinja").write_text(
        PARENT.replace("{{ customer.b }}", "{{ unknown }}"), encoding="utf-8"
    )
    text = "{% extends 'p.jinja' %}{% block customer %}{{ customer.c }}{% endblock %}"
    assert PromptFile.from_text(text, folder=tmp_path).needed == ("c",)


def test_a_fault_in_a_parent_names_the_parent(tmp_path):
    text = "{% extends 'p.jinja' %}"
    (tmp_path / "p.jinja").write_text(
        PARENT.replace("{{ customer.b }}", "{{ customer.b > 1 }}"), encoding="utf-8"
    )
    with pytest.raises(DataError) as caught:
        PromptFile.from_text(text, folder=tmp_path).render(RECORD)
    assert str(caught.value) == (
        "p.jinja, line 9, row 7: 'b' is missing and cannot be compared or calculated with; test it first"
    )
    (tmp_path / "p.jinja").write_text(PARENT.replace("customer.b", "custmer.b"), encoding="utf-8")
    with pytest.raises(PromptError) as refused:
        PromptFile.from_text(text, folder=tmp_path)
    assert str(refused.value) == (
        "p.jinja, line 9: unknown name 'custmer' (nearest: 'customer'); a column is reached as customer.NAME"
    )


def test_a_parent_may_require_a_block(tmp_path):
    (tmp_path / "p.jinja").write_text(
        PARENT.replace("{% block question %}Q", "{% block question required %}"), encoding="utf-8"
    )
    with pytest.raises(PromptError) as caught:
        PromptFile.load(tmp_path / "p.jinja")
    assert str(caught.value) == f"{tmp_path / 'p.jinja'}: it has no block 'question'"
    text = "{% extends 'p.jinja' %}{% block question %}R{% endblock %}"
    assert PromptFile.from_text(text, folder=tmp_path).render(RECORD).user.endswith("\nR")


def test_a_cycle_is_refused(tmp_path):
    (tmp_path / "a.jinja").write_text("{% extends 'b.jinja' %}", encoding="utf-8")
    (tmp_path / "b.jinja").write_text("\n{% extends 'a.jinja' %}", encoding="utf-8")
    with pytest.raises(PromptError) as caught:
        PromptFile.from_text("{% extends 'a.jinja' %}", name="me", folder=tmp_path)
    assert str(caught.value) == (
        "b.jinja, line 2: the files extend one another: me extends a.jinja extends b.jinja extends a.jinja"
    )


def test_parents_are_looked_up_among_the_shipped_files_last(tmp_path):
    text = "{% extends 'churn-shop.jinja' %}"
    assert PromptFile.from_text(text).front.target == "is_churn"
    (tmp_path / "churn-shop.jinja").write_text(PARENT, encoding="utf-8")
    assert PromptFile.from_text(text, folder=tmp_path).front.target == "churn"


def test_a_swallowed_line_break_is_a_warning_with_its_line():
    found = prompt_file("\nPlan: {% if customer.a %}yes{% endif %}\nText: {{ customer.c }}")
    assert found.warnings == [
        "p.jinja, line 9: the line break after the tag is swallowed and the next line joins this "
        "one; end the tag with '+%}' to keep it"
    ]
