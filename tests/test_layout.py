"""Layouts: chat templates rendered around slots, and the plain one for base models."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from conftest import CHATML, CONTROL, GEMMA
from promptpredict.errors import ModelError
from promptpredict.layout import SLOT, Layout

THINKING = CHATML.replace(
    "<|im_start|>assistant\n{% endif %}",
    "<|im_start|>assistant\n{% if enable_thinking is defined and not enable_thinking %}"
    "<think>\n\n</think>\n\n{% endif %}{% endif %}",
)
TURNS = "{% for m in messages %}<{{ m.role }}>{{ m.content }}</{{ m.role }}>{% endfor %}"
ASKED = TURNS + "{% if add_generation_prompt %}<assistant>{% endif %}"


def layout(template, **names):
    """Lay out with a template; of a tokenizer, a layout needs no more than this."""
    return Layout(SimpleNamespace(chat_template=template, special_tokens_map=names), "m")


def filled(laid, *contents, system=""):
    """The layout with texts in its slots: user, reply of each shot, then user and answer."""
    texts = [system, *contents]
    return SLOT.sub(
        lambda slot: texts[int(slot[1])], laid.text(len(contents) // 2 - 1, system=bool(system))
    )


def refused(template, **names):
    with pytest.raises(ModelError) as error:
        layout(template, **names)
    return str(error.value)


CONTENTS = ("a?", "So happy", "b?", "So")


@pytest.mark.parametrize(
    ("family", "kind", "role", "expected"),
    [
        ("chatml", "chat", "own", "<|im_start|>system\nJudge.<|im_end|>\n<|im_start|>user\na?<|im_end|>\n<|im_start|>assistant\nSo happy<|im_end|>\n<|im_start|>user\nb?<|im_end|>\n<|im_start|>assistant\nSo"),
        ("llama3", "chat", "own", "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nToday: 26 Jul 2024\n\nJudge.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\na?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nSo happy<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nb?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nSo"),
        ("gemma", "chat", "merged", "<bos><start_of_turn>user\nJudge.\n\na?<end_of_turn>\n<start_of_turn>model\nSo happy<end_of_turn>\n<start_of_turn>user\nb?<end_of_turn>\n<start_of_turn>model\nSo"),
        ("plain", "plain", "own", "Judge.\n\na?\nSo happy\n\nb?\nSo"),
    ],
)  # fmt: skip
def test_a_whole_prompt(family, kind, role, expected):
    special, _, template = CONTROL[family]
    laid = layout(template, bos_token=special[0])
    assert (laid.kind, laid.system_role) == (kind, role)
    assert filled(laid, *CONTENTS, system="Judge.") == expected


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        # The template's own system turn shows, because the model sees it.
        (CHATML, "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nb?<|im_end|>\n<|im_start|>assistant\nSo"),
        (GEMMA, "<bos><start_of_turn>user\nb?<end_of_turn>\n<start_of_turn>model\nSo"),
        (None, "b?\nSo"),
    ],
)  # fmt: skip
def test_a_prompt_without_system_text_and_shots(template, expected):
    assert filled(layout(template, bos_token="<bos>"), "b?", "So") == expected


@pytest.mark.parametrize("family", ["chatml", "gemma"])
def test_a_layout_is_what_transformers_renders(tokenizers, family):
    """Rendered by transformers with the contents in place, not with slots."""
    tokenizer = tokenizers[family]
    turns = [
        {"role": "user", "content": "a?"},
        {"role": "assistant", "content": "So happy"},
        {"role": "user", "content": "b?"},
    ]
    own = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert filled(Layout(tokenizer, "m"), "a?", "So happy", "b?", "") == own


def test_no_template_sees_or_changes_what_a_customer_wrote():
    template = ASKED.replace(
        "{{ m.content }}", "{{ m.content | trim | upper | replace('a', 'b') }}"
    )
    laid = layout(template)
    assert (
        filled(laid, " a \n", "", system="a") == "<system>a</system><user> a \n</user><assistant>"
    )
    assert filled(laid, "\ue0000\ue001", "") == "<user>\ue0000\ue001</user><assistant>"


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        ("{{ strftime_now('%Y-%m-%d') }}", "2024-07-26"),
        ("{{ strftime_now('%d %B %Y') }}", "26 July 2024"),
        ("{{ date_string }}", "26 Jul 2024"),
        ("{% if not date_string is defined %}today{% endif %}", ""),
    ],
)
def test_the_date_is_pinned(printed, expected):
    """A prompt would change every night."""
    assert filled(layout(printed + ASKED), "b?", "So") == f"{expected}<user>b?</user><assistant>So"


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ bos_token }}|{{ eos_token }}|" + ASKED, "<s>|</s>|<user>b?</user><assistant>So"),
        ("{{ unk_token }}" + ASKED, "<user>b?</user><assistant>So"),
        ("{{ tools is none and documents is none }}" + ASKED, "True<user>b?</user><assistant>So"),
        ("{{ messages | tojson }}<assistant>", '[{"role": "user", "content": "b?"}]<assistant>So'),
        ("{{ {'ü': '好'} | tojson(indent=2) }}" + ASKED, '{"ü": "好"}<user>b?</user><assistant>So'),
        (ASKED.replace("{{ m.content }}", "{% generation %}{{ m.content }}{% endgeneration %}"), "<user>b?</user><assistant>So"),
        ("{% for i in range(9) %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}" + ASKED, "01<user>b?</user><assistant>So"),
        ("{% set x = 1 %}\n  {% if x %}\n!{% endif %}\n" + ASKED, "!<user>b?</user><assistant>So"),
    ],
)  # fmt: skip
def test_templates_are_read_as_transformers_reads_them(template, expected):
    assert filled(layout(template, bos_token="<s>", eos_token="</s>"), "b?", "So") == expected


def test_of_several_templates_the_default_counts():
    laid = layout({"tool_use": "{{ nothing", "default": ASKED})
    assert filled(laid, "b?", "So") == "<user>b?</user><assistant>So"
    assert (
        refused({"rag": ASKED, "tool_use": ASKED})
        == "m: of its chat templates rag, tool_use none is the default"
    )


# -- system text ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "template",
    [
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + ASKED,
        # dropped without a word
        ASKED.replace("{% for m in messages %}", "{% for m in messages if m.role != 'system' %}"),
        "{{ messages[0].nothing.at_all if messages[0].role == 'system' }}" + ASKED,
    ],
    ids=["refused", "dropped", "fails"],
)  # fmt: skip
def test_a_template_without_a_system_role_has_it_in_the_first_user_turn(template):
    laid = layout(template)
    assert laid.system_role == "merged"
    assert filled(laid, *CONTENTS, system="Judge.") == (
        "<user>Judge.\n\na?</user><assistant>So happy</assistant><user>b?</user><assistant>So"
    )
    assert filled(laid, "b?", "So") == "<user>b?</user><assistant>So"


def test_a_template_that_merges_by_itself_is_left_to_it():
    template = (
        "{% set first = messages[0].content if messages[0].role == 'system' else '' %}"
        "{% for m in messages if m.role != 'system' %}<{{ m.role }}>"
        "{% if loop.last %}{{ first }} {% endif %}{{ m.content }}</{{ m.role }}>{% endfor %}<assistant>"
    )
    laid = layout(template)
    assert laid.system_role == "own"
    assert filled(laid, *CONTENTS, system="Judge.") == (
        "<user>a?</user><assistant>So happy</assistant><user>Judge. b?</user><assistant>So"
    )


# -- the way to an answer ------------------------------------------------------------------


def test_thinking_is_closed_by_a_template_that_can():
    assert filled(layout(THINKING), "b?", "So", system="S") == (
        "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nb?<|im_end|>\n"
        "<|im_start|>assistant\n<think>\n\n</think>\n\nSo"
    )


@pytest.mark.parametrize(
    "template",
    [
        THINKING.replace("<think>\n\n</think>\n\n", "<think>\n"),
        THINKING.replace("not enable_thinking", "enable_thinking"),
        CHATML.replace("assistant\n{% endif %}", "assistant\n<think>\n{% endif %}"),
        # It opens nothing by itself, but its model does.
        CHATML.replace("m['content']", "m['content'].split('</think>')[-1]"),
    ],
    ids=["opened", "the wrong way round", "always opened", "left to the model"],
)
def test_thinking_that_stays_open_is_refused(template):
    assert refused(template) == (
        "m: its chat template leaves thinking open, so the next token is no answer; possible: an "
        "instruct model without thinking, or one whose template closes it"
    )


def test_an_answer_in_a_channel_of_its_own_is_refused():
    template = ASKED.replace(
        "<{{ m.role }}>{{ m.content }}",
        "<{{ m.role }}>{% if m.role == 'assistant' %}final|{% endif %}{{ m.content }}",
    )
    assert refused(template) == (
        "m: its chat template writes 'final|' before an answer, but not at the end of its "
        "generation prompt; possible: an instruct model without such channels"
    )


@pytest.mark.parametrize("space", [" ", "\n", ""])
def test_white_space_that_opens_a_reply_opens_the_answer_too(space):
    """As after [/INST]: the shots show it, the generation prompt does not."""
    template = (
        "{% for m in messages %}{% if m.role == 'assistant' %}SPACE{{ m.content }};"
        "{% else %}[INST] {{ m.content }} [/INST]{% endif %}{% endfor %}"
    ).replace("SPACE", f"{{{{ {space!r} }}}}")
    assert (
        filled(layout(template), *CONTENTS)
        == f"[INST] a? [/INST]{space}So happy;[INST] b? [/INST]{space}So"
    )


@pytest.mark.parametrize(
    "template",
    [
        ASKED.replace("in messages", "in messages[-1:]"),
        ASKED.replace("in messages", "in messages[1:]"),
        ASKED.replace("{{ m.content }}", "{% if m.role == 'user' %}{{ m.content }}{% endif %}"),
        ASKED.replace("{{ m.content }}", "{{ m.content }}{{ m.content }}"),
        ASKED.replace("{{ m.content }}", "..."),
    ],
    ids=["keeps the last", "drops the first", "drops replies", "writes twice", "writes none"],
)
def test_a_template_that_does_not_write_every_turn_once_is_refused(template):
    assert refused(template) == "m: its chat template does not write every turn once"


def test_a_turn_dropped_only_from_a_long_prompt_is_refused_there():
    laid = layout(ASKED.replace("in messages", "in messages[-5:]"))
    assert filled(laid, *CONTENTS, "c?", "So").startswith("<user>a?</user>")
    with pytest.raises(ModelError) as error:
        laid.text(3, system=False)
    assert str(error.value) == "m: its chat template does not write every turn once"


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{% for", "m: its chat template cannot be read: unexpected 'end of template'"),
        ("{% nonsense %}", "m: its chat template cannot be read: Encountered unknown tag 'nonsense'."),
        ("{{ raise_exception('Roles must alternate') }}", "m: its chat template fails: Roles must alternate"),
        ("{{ 1 / 0 }}", "m: its chat template fails: division by zero"),
        ("{{ messages.append(1) }}", "m: its chat template fails: access to attribute 'append' of 'list' object is unsafe."),
    ],
)  # fmt: skip
def test_a_template_that_cannot_be_used_says_why(template, text):
    assert refused(template) == text
