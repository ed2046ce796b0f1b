"""Front matter: how it is read, merged and refused; every refusal is compared whole."""

import pytest

from promptpredict.errors import PromptError
from promptpredict.frontmatter import FrontMatter, merge, validate
from promptpredict.plainyaml import read

BASE = "task: binary\ntarget: churn\nlabels: {1: [angry, sad], 0: happy}\npositive: 1\n"
KEYS = (
    "task, target, labels, positive, id, text, ignore, base_rate, fields, panel, missing, layout, "
    "join, bins, numbers, version"
)


def front(text: str) -> FrontMatter:
    return validate(read(text, "p.jinja"), "p.jinja")


def refusal(text: str) -> str:
    with pytest.raises(PromptError) as caught:
        front(text)
    return str(caught.value)


def test_scalars_stay_as_written():
    read_as = front(
        "task: binary\ntarget: no\nlabels: {yes: on, no: 1.0}\npositive: yes\nversion: 1.10\nmissing: null\n"
    )
    assert read_as.target == "no"
    assert read_as.labels == {"yes": ["on"], "no": ["1.0"]}
    assert (read_as.version, read_as.missing) == ("1.10", "null")


def test_defaults():
    plain = front(BASE)
    assert (plain.text, plain.ignore, plain.fields, plain.panel) == ([], [], {}, {})
    assert (plain.missing, plain.layout, plain.join) == ("not recorded", "turns", None)
    assert (plain.id, plain.base_rate, plain.numbers) == (None, None, "plain")


def test_one_column_or_none_may_stand_for_a_list():
    assert front(BASE + "text: feedback\nignore:\n").text == ["feedback"]
    assert front(BASE + "text: feedback\nignore:\n").ignore == []


def test_positive_is_the_key_that_the_labels_write():
    assert front(BASE.replace("positive: 1", "positive: 1.0")).positive == "1"


def test_an_empty_join_needs_quotes():
    assert front(BASE + "join: ''").join == ""
    assert front(BASE + "join: ' '").join == " "
    assert refusal(BASE + "join:") == (
        "p.jinja, line 5: 'join' has no value (an empty text, or one with '#', needs quotes)"
    )


def test_regression_has_bins():
    wide = front("task: regression\ntarget: ltv\nbins: {words: [low, high], edges: [0, 10, 2.5e2]}")
    assert wide.bins is not None
    assert wide.bins.edges == [0, 10, 250]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("target: x", "duplicate key 'target' (first on line 2)"),
        ("panel:\n  p: {question: Was it high?, words: [a, b]}", "expected ',' or '}', but got '?'; put it in quotes"),
        ("missing: so: what", "': ' is not allowed here; put it in quotes"),
        ("missing: @none", "found character '@' that cannot start any token; put it in quotes"),
        ("missing: %none", "found character '%' that cannot start any token; put it in quotes"),
        ("missing: `none`", "found character '`' that cannot start any token; put it in quotes"),
        ("missing: *none", "a text may not begin with '*'; put it in quotes"),
        ("missing: &none", "a text may not begin with '&'; put it in quotes"),
        ("missing: !none", "a text may not begin with '!'; put it in quotes"),
        ("missing: - none", "sequence entries are not allowed here; put it in quotes"),
        ("missing: ? none", "mapping keys are not allowed here; put it in quotes"),
        ("missing: > 5", "expected a comment or a line break, but found '5'; put it in quotes"),
        ("missing: 'a' b", "expected <block end>, but found '<scalar>'; put it in quotes"),
        ('missing: "none', "a quote is opened; close it"),
        ("missing: # none", "'missing' has no value (an empty text, or one with '#', needs quotes)"),
        ("missing: ' '", "'missing' is empty"),
        ("missing: nan", "'missing' may not be 'nan', which reads as a fault"),
        ("missing: [a]", "'missing' must be a text, got a list"),
        ("[a]: b", "a key may not begin with '[' or '{'; put it in quotes"),
        ("lables: x", f"unknown key 'lables' (nearest: 'labels'); possible: {KEYS}"),
        ("fields: {a: {nam: b}}", "unknown key 'fields.a.nam' (nearest: 'name'); possible: name, unit, format"),
        ("fields: {a: Amount}", "'fields.a' must be keys with values, got 'Amount'"),
        ("fields: {a: {format: .2q}}", "'.2q' is no format; possible: '.2f', ',', '.0%', '%Y-%m-%d', …"),
        ("layout: turn", "'layout' must be 'turns' or 'one', got 'turn' (nearest: 'turns')"),
        ("layout: [one]", "'layout' must be 'turns' or 'one', got a list (nearest: 'one')"),
        ("labels2: {a: b}", f"unknown key 'labels2' (nearest: 'labels'); possible: {KEYS}"),
        ("version: {a: b}", "'version' must be a text, got keys"),
        ("base_rate: [1]", "'base_rate' must be a number, got a list"),
        ("bins: low", "'bins' must be keys with values, got 'low'"),
        ("numbers: words", "'numbers' must be 'plain', 'rounded' or 'placed', got 'words'"),
        ("base_rate: 0,1", "'base_rate' must be a number, got '0,1'"),
        ("base_rate: 12", "'base_rate' must lie between 0 and 1, got 12"),
        ("bins: {words: [a, b]}", "'bins' does not go with task: binary"),
        ("text: [churn]", "column 'churn' is in 'target' and in 'text'"),
        ("ignore: [a, a]", "column 'a' is twice in 'ignore'"),
        ("id: a\nignore: [a]", "column 'a' is in 'id' and in 'ignore'"),
        ("panel: {p: {question: x, words: [a]}}", "'panel.p.words' needs exactly two, got 1"),
        ("panel: {p: {question: x, words: [a, A]}}", "the word 'A' (in any case) is twice in 'p'"),
        ("panel: {p: {words: [a, b]}}", "'panel.p.question' is missing"),
    ],
)  # fmt: skip
def test_a_slip_is_one_line_with_its_place(line, text):
    at = 6 if line.startswith(("panel:\n", "id: a\n")) else 5
    assert refusal(BASE + line) == f"p.jinja, line {at}: {text}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "p.jinja has no front matter, the keys between two lines '---' at its top; possible: what `promptpredict prompts new` or `prompts copy` writes"),
        ("target: a", "p.jinja: 'task' is missing"),
        ("- a", "p.jinja, line 1: the front matter must be keys and values, as 'task: binary'"),
        ("task: binry", "p.jinja, line 1: 'task' must be 'binary', 'multiclass' or 'regression', got 'binry' (nearest: 'binary')"),
        ("task: multiclass\ntarget: plan\nlabels: {None: none, Basic: basic, Pro: pro}", "p.jinja, line 3: 'None' reads as a missing value; possible: another value"),
        ("task: multiclass\ntarget: region\nlabels: {EU: europe, NA: america, AP: asia}", "p.jinja, line 3: 'NA' reads as a missing value; possible: another value"),
        ("task: binary\ntarget: a\n", "p.jinja: 'labels' is missing, which task: binary needs"),
        ("task: binary\ntarget: a\nlabels: {1: x, 0: y}\n", "p.jinja: 'positive' is missing, which task: binary needs"),
        ("task: binary\ntarget: a\nlabels: {1: x, 0: y}\npositive: 2", "p.jinja, line 4: 'positive' is '2', not one of the labels '1', '0'"),
        ("task: binary\ntarget: a\nlabels: {1: x}\npositive: 1", "p.jinja, line 3: task: binary needs two labels, got 1"),
        ("task: multiclass\ntarget: a\nlabels: {1: x, 0: y}", "p.jinja, line 3: task: multiclass needs three labels or more, got 2"),
        ("task: multiclass\ntarget: a\nlabels: {1: x, 0: y, 2: z}\nbase_rate: .1", "p.jinja, line 4: 'base_rate' is one number, and there are 3 labels; possible: a share for each of 1, 0, 2"),
        ("task: multiclass\ntarget: a\nlabels: {1: x, 0: y, 2: z}\nbase_rate:\n  1: 0.5\n  0: half", "p.jinja, line 6: 'base_rate.0' must be a number, got 'half'"),
        ("task: multiclass\ntarget: a\nlabels: {1: x, 0: y, 2: z}\nbase_rate:\n  1: 0.5\n  0:", "p.jinja, line 6: 'base_rate.0' has no value (an empty text, or one with '#', needs quotes)"),
        ("task: multiclass\ntarget: a\nlabels: {1: x, 0: y, 2: z}\nbase_rate:\n  1: 0.5\n  0: 0.5", "p.jinja, line 4: 'base_rate' has no share for '2'; possible: a share for each of 1, 0, 2"),
        ("task: multiclass\ntarget: a\nlabels: {1: x, 0: y, 2: z}\nbase_rate:\n  1: 0.5\n  0: 0.4\n  2: 0.2", "p.jinja, line 4: 'base_rate' sums to 1.1; the shares of all labels sum to 1"),
        ("task: multiclass\ntarget: a\nlabels: {1: x, 0: y, 2: z}\nbase_rate:\n  1: 0.5\n  0: 0.4\n  3: 0.1", "p.jinja, line 7: 'base_rate' names '3', which is no label; possible: 1, 0, 2"),
        ("task: binary\ntarget: a\nlabels: {1: x, 0: y}\npositive: 1\nbase_rate: {1: 0.4, 0: 0.6}", "p.jinja, line 5: 'base_rate' is a share for each label, and there are two labels; possible: one number, the share of the positive one"),
        ("task: regression\ntarget: a\nbins: {words: [a, b]}\nbase_rate: 0.1", "p.jinja, line 4: 'base_rate' does not go with task: regression"),
        ("task: binary\ntarget: a\nlabels:\n  1: x\n  1.0: y\npositive: 1", "p.jinja, line 5: the labels '1' and '1.0' are spellings of one value"),
        ("task: binary\ntarget: a\nlabels:\n  true: x\n  1: y\npositive: 1", "p.jinja, line 5: the labels 'true' and '1' are spellings of one value"),
        ("task: binary\ntarget: a\nlabels:\n  1: [x, z]\n  0: Z\npositive: 1", "p.jinja, line 5: the word 'Z' (in any case) is of both '1' and '0'"),
        ("task: binary\ntarget: a\nlabels:\n  1: [x, x]\n  0: y\npositive: 1", "p.jinja, line 4: the word 'x' (in any case) is twice in '1'"),
        ("task: binary\ntarget: a\nlabels:\n  1: []\n  0: y\npositive: 1", "p.jinja, line 4: 'labels.1' is empty"),
        ("task: binary\ntarget: a\nlabels: {1:x, 0:y}\npositive: 1", "p.jinja, line 3: 'labels.1:x' has no value (an empty text, or one with '#', needs quotes)"),
        ("task: regression\ntarget: a", "p.jinja: 'bins' is missing, which task: regression needs"),
        ("task: regression\ntarget: a\nlabels: {1: x}\nbins: {words: [a, b]}", "p.jinja, line 3: 'labels' does not go with task: regression"),
        ("task: regression\ntarget: a\nbins: {words: [a]}", "p.jinja, line 3: 'bins.words' needs two or more, got 1"),
        ("task: regression\ntarget: a\nbins: {words: [a, b], edges: [1, 2]}", "p.jinja, line 3: 'bins.edges' must hold 3 numbers for 2 words, got 2"),
        ("task: regression\ntarget: a\nbins: {words: [a, b], edges: [1, 2, 2]}", "p.jinja, line 3: 'bins.edges' must rise from each number to the next"),
        ("task: binary\n\tx: y", "p.jinja, line 2: found character '\\t' that cannot start any token; indent with spaces"),
        ("task:\n  a: b\n c: d", "p.jinja, line 3: expected <block end>, but found '<block mapping start>'; check the indentation, or put it in quotes"),
        ("task: a\x00", "p.jinja, line 1: a control character, which YAML does not allow"),
    ],
)  # fmt: skip
def test_what_does_not_go_together(text, expected):
    assert refusal(text) == expected


def test_a_child_replaces_keys_and_merges_fields_and_panel():
    parent = read(
        "labels: {1: a, 0: b}\ntext: [x]\nfields:\n  p: {name: P}\n  q: {name: Q, unit: m}\n",
        "parent",
    )
    child = read("labels: {2: c}\ntext:\nfields: {q: {name: R}, s: {unit: kg}}\n", "child")
    merged = merge(child, parent)
    assert merged.values == {
        "labels": {"2": "c"},
        "text": None,
        "fields": {"p": {"name": "P"}, "q": {"name": "R"}, "s": {"unit": "kg"}},
    }
    assert merged.places["fields", "p"] == ("parent", 4)
    assert merged.places["fields", "q", "name"] == ("child", 3)
    assert ("fields", "q", "unit") not in merged.places
    assert ("labels", "1") not in merged.places


def test_a_child_with_another_task_takes_over_nothing_of_the_outcome():
    parent = read(
        "task: binary\ntarget: gone\nlabels: {1: a, 0: b}\npositive: 1\nbase_rate: 0.1\n"
        "text: [x]\npanel: {p: {question: q, words: [c, d]}}\n",
        "parent",
    )
    child = read("task: multiclass\nlabels: {1: a, 0: b, 2: c}\n", "child")
    merged = merge(child, parent)
    assert merged.values == {
        "task": "multiclass",
        "labels": {"1": "a", "0": "b", "2": "c"},
        "text": ["x"],
        "panel": {"p": {"question": "q", "words": ["c", "d"]}},
    }
    assert all(path[0] in merged.values for path in merged.places)
    with pytest.raises(PromptError, match=r"^child: 'target' is missing$"):
        validate(merged, "child")
    same = merge(read("task: binary\nversion: b\n", "child"), parent)
    assert same.values == parent.values | {"version": "b"}


def test_a_fault_in_the_parent_names_the_parent():
    merged = merge(read("positive: 1", "child"), read("task: nothing", "parent"))
    with pytest.raises(PromptError) as caught:
        validate(merged, "child")
    assert str(caught.value) == (
        "parent, line 1: 'task' must be 'binary', 'multiclass' or 'regression', got 'nothing'"
    )
