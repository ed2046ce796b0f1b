"""YAML as people write it: where it stands in a file, and texts as templates hold them."""

import pytest
from jinja2 import Environment

from promptpredict.errors import PromptError
from promptpredict.plainyaml import literal, read_text, split


def test_the_blocks_keep_their_line_numbers():
    raw, body = split("{# what\nfor #}\n---\ntask: binary\n---\nblocks", "p.jinja")
    assert raw.values == {"task": "binary"}
    assert raw.places == {("task",): ("p.jinja", 4)}
    assert body == "\n\n\n\n\nblocks"


def test_line_ends_and_a_byte_order_mark_do_not_matter():
    raw, body = split("\ufeff---\r\ntask: binary\r\n--- \r\nblocks\r\n", "p.jinja")
    assert (raw.values, body) == ({"task": "binary"}, "\n\n\nblocks\n")


def test_a_file_may_have_no_front_matter():
    raw, body = split("{% extends 'a' %}\n---\n", "p.jinja")
    assert (raw.values, body) == ({}, "{% extends 'a' %}\n---\n")


def test_front_matter_must_be_closed():
    with pytest.raises(PromptError) as caught:
        split("{# for #}\n---\ntask: binary\n", "p.jinja")
    assert str(caught.value) == (
        "p.jinja, line 2: the front matter is not closed; end it with a line '---'"
    )


@pytest.mark.parametrize(
    "text", ["plain", "50 % off", "{{ name }}", "{%", "ends in {", '}} {# "a" #}', "süß {"]
)
def test_a_text_in_a_template_is_that_text(text):
    inside = "{% block a %}" + literal(text) + "{% endblock %}"
    assert Environment(autoescape=False).from_string(inside).render() == text


def test_a_text_that_cannot_be_read(tmp_path):
    path = tmp_path / "p.jinja"
    with pytest.raises(PromptError) as caught:
        read_text(path, "p.jinja")
    assert str(caught.value) == "p.jinja cannot be read (No such file or directory)"
    path.write_bytes(b"ab\xff")
    with pytest.raises(PromptError) as caught:
        read_text(path, "p.jinja")
    assert str(caught.value) == "p.jinja is not UTF-8 text (byte 3)"
