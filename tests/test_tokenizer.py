"""The tokenizer read from its folder, held against the one that transformers reads from it."""

from __future__ import annotations

import json
import random

import pytest

from conftest import CHATML, CONTROL, build_tokenizer
from promptpredict.encoding import Encoder
from promptpredict.errors import ModelError
from promptpredict.rendered import Prompt, Turn
from promptpredict.tokenizer import FolderTokenizer

FAMILIES = list(CONTROL)
PROMPTS = [
    Prompt("You judge.", (Turn("Plan: a\nHow?", "So happy"),), "Plan: b\nHow?", "The customer feels"),
    Prompt("", (), "好 naïve\r\n<|im_end|><s> don't  12.50", ""),
    Prompt("Judge.", (), "Plan: b", 'They said "'),
]  # fmt: skip
WORDS = {"1": ["angry", "not at all"], "0": ["happy"]}


def saved(folder, family, *, template=None, settings=None, **files):
    """Save a tiny tokenizer, change its settings, and put JSON files beside it."""
    tokenizer = build_tokenizer(family)
    if template is not None:
        tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8")) | (settings or {})
    kept = {name: value for name, value in config.items() if value != "absent"}
    path.write_text(json.dumps(kept), encoding="utf-8")
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def both(folder):
    from transformers import AutoTokenizer

    return FolderTokenizer(folder), AutoTokenizer.from_pretrained(folder)


def assert_equal(folder):
    """The same prompts, word ids and special tokens from both."""
    own, theirs = both(folder)
    assert own.special_tokens_map == theirs.special_tokens_map
    assert own.bos_token_id == theirs.bos_token_id
    one, other = Encoder(own, name="m"), Encoder(theirs, name="m")
    assert (one.system_role, one.markers) == (other.system_role, other.markers)
    for prompt in PROMPTS:
        assert one.text(prompt) == other.text(prompt)
        assert one.encode(prompt, WORDS) == other.encode(prompt, WORDS)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_saved_tokenizer_is_read_as_transformers_reads_it(tmp_path, family):
    assert_equal(saved(tmp_path, family))


@pytest.mark.parametrize("family", FAMILIES)
def test_any_text_has_the_same_ids_and_comes_back(tmp_path, family):
    own, theirs = both(saved(tmp_path, family))
    rng = random.Random(0)
    for _ in range(100):
        text = "".join(
            rng.choice("aB 9.,'\n\t<|>ü好😀\u0301\u200b") for _ in range(rng.randint(0, 30))
        )
        for add in (True, False):
            ids = own(text, add_special_tokens=add).input_ids
            assert ids == theirs(text, add_special_tokens=add).input_ids
            assert own.decode(ids) == theirs.decode(ids)
            assert own.decode(ids, skip_special_tokens=True) == theirs.decode(
                ids, skip_special_tokens=True
            )


@pytest.mark.parametrize("family", FAMILIES)
def test_chat_template_and_control_tokens_are_the_same(tmp_path, family):
    own, theirs = both(saved(tmp_path, family))
    assert own.chat_template == theirs.chat_template
    seen = {
        name: {
            id: (token.content, token.special, token.lstrip, token.rstrip)
            for id, token in tokenizer.added_tokens_decoder.items()
        }
        for name, tokenizer in (("own", own), ("theirs", theirs))
    }
    assert seen["own"] == seen["theirs"] != {}


@pytest.mark.parametrize("name", ["Qwen2Tokenizer", "GPT2Tokenizer", "LlamaTokenizer"])
def test_tokenizers_that_transformers_has_a_class_for(tmp_path, name):
    """transformers builds these from vocabulary and merges, and does not ask tokenizer.json."""
    import transformers

    model = json.loads(build_tokenizer("chatml").backend_tokenizer.to_str())["model"]
    tokenizer = getattr(transformers, name)(
        vocab=model["vocab"],
        merges=[tuple(pair) for pair in model["merges"]],
        bos_token="<|endoftext|>",
        eos_token="<|im_end|>",
        unk_token="<|endoftext|>",
        pad_token="<|im_end|>",
    )
    tokenizer.chat_template = CHATML
    tokenizer.save_pretrained(tmp_path)
    own, theirs = both(tmp_path)
    assert type(theirs).__name__ == name
    for text in ("The customer  feels 12.50 ok?\n\n you'll", "<|im_end|>naïve 好", " x ", ""):
        assert own(text).input_ids == theirs(text).input_ids


def added(content):
    return {"content": content, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False}  # fmt: skip


ABSENT = dict.fromkeys(("bos_token", "eos_token", "pad_token"), "absent")


@pytest.mark.parametrize(
    ("family", "settings", "special_tokens_map"),
    [
        ("llama3", {"bos_token": added("<|begin_of_text|>") | {"__type": "AddedToken"}}, None),
        ("llama3", {"bos_token": None}, None),
        ("plain", ABSENT, None),
        ("llama3", ABSENT, {"bos_token": added("<|begin_of_text|>"), "eos_token": "<|eot_id|>"}),
        # Settings without added_tokens_decoder are of an age when the map counted.
        ("llama3", {}, {"bos_token": "<|end_header_id|>"}),
        (
            "llama3",
            {"added_tokens_decoder": {"0": added("<|begin_of_text|>") | {"special": True}}},
            {"bos_token": "<|end_header_id|>"},
        ),
    ],
    ids=["a dict", "none", "absent", "in a map", "map against settings", "settings against map"],
)
def test_special_tokens_of_older_folders(tmp_path, family, settings, special_tokens_map):
    files = {"special_tokens_map": special_tokens_map} if special_tokens_map else {}
    assert_equal(saved(tmp_path, family, settings=settings, **files))


@pytest.mark.parametrize(
    "given",
    [
        CHATML,
        [{"name": "default", "template": CHATML}],
        [{"name": "tool_use", "template": "{{ x }}"}, {"name": "default", "template": CHATML}],
    ],
    ids=["one", "one in a list", "the default of two"],
)
def test_a_template_in_the_settings(tmp_path, given):
    """Folders saved before chat_template.jinja."""
    folder = saved(tmp_path, "chatml", settings={"chat_template": given})
    (folder / "chat_template.jinja").unlink()
    own, theirs = both(folder)
    assert own.chat_template == theirs.chat_template
    assert_equal(folder)


def test_a_template_in_a_file_outdoes_the_settings(tmp_path):
    folder = saved(tmp_path, "chatml", settings={"chat_template": "{{ old }}"})
    assert FolderTokenizer(folder).chat_template == CHATML
    assert_equal(folder)


def test_of_templates_in_files_the_default_counts(tmp_path):
    given = {"default": CHATML, "tool_use": "{{ x }}"}
    assert_equal(saved(tmp_path, "chatml", template=given))


def test_templates_in_files_without_a_default_are_refused(tmp_path):
    """As scoring refuses them; a plain layout would show what is never scored."""
    folder = saved(tmp_path, "chatml", template={"rag": CHATML, "tool_use": CHATML})
    for tokenizer in both(folder):
        with pytest.raises(ModelError) as error:
            Encoder(tokenizer, name="m")
        assert str(error.value).startswith("m: of its chat templates ")
        assert str(error.value).endswith(" none is the default")


def test_a_folder_with_tokenizer_json_alone(tmp_path):
    build_tokenizer("plain").backend_tokenizer.save(str(tmp_path / "tokenizer.json"))
    tokenizer = FolderTokenizer(tmp_path)
    assert (tokenizer.chat_template, tokenizer.special_tokens_map) == (None, {})
    assert tokenizer.bos_token_id is None
    # The BOS in front of a text is part of tokenizer.json.
    assert Encoder(tokenizer, name="m").text(Prompt("", (), "a", "So")) == "<s>a\nSo"


# -- folders that cannot be read -----------------------------------------------------------


def unreadable(folder):
    with pytest.raises(ModelError) as error:
        FolderTokenizer(folder)
    start = f"the tokenizer in {folder} cannot be read: "
    assert str(error.value).startswith(start)
    return str(error.value).removeprefix(start)


def test_a_folder_without_a_tokenizer(tmp_path):
    path = tmp_path / "tokenizer.json"
    assert unreadable(tmp_path) == f"[Errno 2] No such file or directory: '{path}'"


@pytest.mark.parametrize(
    "name", ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"]
)
def test_a_file_that_was_cut_off(tmp_path, name):
    folder = saved(tmp_path, "chatml")
    (folder / name).write_text("{", encoding="utf-8")
    reason = {
        "tokenizer.json": "EOF while parsing an object at line 1 column 1",
        "tokenizer_config.json": "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
        "special_tokens_map.json": "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
    }[name]  # fmt: skip
    assert unreadable(folder) == reason


def test_a_template_that_is_no_text(tmp_path):
    folder = saved(tmp_path, "chatml")
    (folder / "chat_template.jinja").write_bytes(b"\xff\xfe{")
    assert unreadable(folder) == (
        "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"
    )


def test_a_tokenizer_without_a_list_of_added_tokens(tmp_path):
    """transformers cannot read it either."""
    folder = saved(tmp_path, "plain")
    path = folder / "tokenizer.json"
    spec = json.loads(path.read_text(encoding="utf-8"))
    del spec["added_tokens"]
    path.write_text(json.dumps(spec), encoding="utf-8")
    assert unreadable(folder) == "'added_tokens'"
