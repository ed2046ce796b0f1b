"""A model's tokenizer and chat template from its folder, without importing torch or transformers.

Knows the files that save_pretrained writes; knows nothing of prompts. Only for looking at
prompts (`render`): scoring takes the tokenizer of transformers, and a test holds the two together.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


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
    """What an Encoder needs of a tokenizer, read from ``tokenizer.json`` beside its template."""

    is_fast = True

    def __init__(self, folder: Path) -> None:
        from tokenizers import Tokenizer

        self.backend_tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        template = folder / "chat_template.jinja"
        self.chat_template = template.read_text(encoding="utf-8") if template.is_file() else config.get("chat_template")
        spec = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        self.added_tokens_decoder = {
            token["id"]: _Added(*(token[name] for name in _Added.__slots__)) for token in spec["added_tokens"]
        }
        self._names = {name: _content(config.get(name)) for name in ("bos_token", "eos_token", "pad_token", "unk_token")}
        bos = self._names["bos_token"]
        self.bos_token_id = self.backend_tokenizer.token_to_id(bos) if bos else None

    def __call__(self, text: str, *, add_special_tokens: bool = True) -> _Ids:
        """Return the ids of a text."""
        return _Ids(self.backend_tokenizer.encode(text, add_special_tokens=add_special_tokens).ids)

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        """Return the text of ids."""
        return str(self.backend_tokenizer.decode(list(ids), skip_special_tokens=skip_special_tokens))

    def apply_chat_template(
        self, messages: list[dict[str, str]], *, tokenize: bool, add_generation_prompt: bool, **given: Any
    ) -> str:
        """Return messages as the template writes them; ``tokenize`` must be False."""
        from jinja2.ext import loopcontrols
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        assert not tokenize
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
        environment.globals["raise_exception"] = _raise
        environment.filters["tojson"] = lambda value, **_: json.dumps(value, ensure_ascii=False)
        template = environment.from_string(self.chat_template)
        names = {name: text for name, text in self._names.items() if text is not None}
        return template.render(messages=messages, add_generation_prompt=add_generation_prompt, **names, **given)


def _content(token: Any) -> str | None:
    return token["content"] if isinstance(token, dict) else token


def _raise(message: str) -> None:
    from jinja2.exceptions import TemplateError

    raise TemplateError(message)
