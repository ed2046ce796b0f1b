"""A model's tokenizer from its folder, without importing torch or transformers.

Knows the files that save_pretrained writes; knows nothing of prompts. Only for looking at
prompts (`render`): scoring takes the tokenizer of transformers, and a test holds the two together.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptpredict.errors import ModelError


@dataclass(frozen=True, slots=True)
class _Ids:
    input_ids: list[int]


@dataclass(frozen=True, slots=True)
class _Added:
    content: str
    lstrip: bool
    rstrip: bool
    special: bool


class FolderTokenizer:
    """What an Encoder needs of a tokenizer, read from ``tokenizer.json`` and its neighbours.

    Raises ModelError where they cannot be read.
    """

    is_fast = True

    def __init__(self, folder: Path) -> None:
        """Read the tokenizer, its special tokens and its chat template."""
        from tokenizers import Tokenizer

        try:
            text = (folder / "tokenizer.json").read_text(encoding="utf-8")
            self.backend_tokenizer = Tokenizer.from_str(text)
            config = _settings(folder / "tokenizer_config.json")
            older = _settings(folder / "special_tokens_map.json")
            self.chat_template = _template(folder, config)
            added = json.loads(text)["added_tokens"]
        except Exception as error:  # tokenizers raises nothing narrower
            raise ModelError(f"the tokenizer in {folder} cannot be read: {error}") from error
        self.added_tokens_decoder = {
            token["id"]: _Added(*(token[name] for name in _Added.__slots__)) for token in added
        }
        # Older folders keep the names of special tokens apart, and there they count.
        names = older | config if "added_tokens_decoder" in config else config | older
        self.special_tokens_map = {
            name: content for name in _NAMES if (content := _content(names.get(name))) is not None
        }
        bos = self.special_tokens_map.get("bos_token")
        self.bos_token_id = self.backend_tokenizer.token_to_id(bos) if bos else None

    def __call__(self, text: str, *, add_special_tokens: bool = True) -> _Ids:
        """Return the ids of a text."""
        encoding = self.backend_tokenizer.encode(text, add_special_tokens=add_special_tokens)
        return _Ids(encoding.ids)

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        """Return the text of ids."""
        text = self.backend_tokenizer.decode(list(ids), skip_special_tokens=skip_special_tokens)
        return str(text)


_NAMES = tuple(f"{name}_token" for name in ("bos", "eos", "unk", "sep", "pad", "cls", "mask"))


def _settings(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    settings: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return settings


def _content(token: Any) -> str | None:
    content: str | None = token["content"] if isinstance(token, dict) else token
    return content


def _template(folder: Path, config: dict[str, Any]) -> str | dict[str, str] | None:
    """Return the chat template; older folders keep it, or several under names, in the settings."""
    path = folder / "chat_template.jinja"
    if path.is_file():
        return path.read_text(encoding="utf-8")
    others = sorted((folder / "additional_chat_templates").glob("*.jinja"))
    if others:  # and no default among them
        return {each.stem: each.read_text(encoding="utf-8") for each in others}
    given = config.get("chat_template")
    if isinstance(given, list):
        return {each["name"]: each["template"] for each in given}
    template: str | None = given
    return template
