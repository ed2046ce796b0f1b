"""Prompts as token ids, and the ids of label words where they stand in a prompt.

Knows tokenizers and chat templates; knows nothing of tables, weights or probabilities, and does
not import torch. A prompt's blocks are data: the template is rendered once around empty slots,
and what fills a slot is encoded as plain text, so no customer can open or close a turn.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from promptpredict.errors import ModelError
from promptpredict.prompt import Prompt
from promptpredict.words import Word, WordIds, find_words

# A template that prints today's date would change every prompt every night.
PINNED_DATE = datetime(2024, 7, 26)
_SLOT = re.compile("\ue000(\\d+)\ue001")
_PROBE = ("Tone: 7 of 10\nIt's fine…", "Plan: basic, 12.50 EUR\n\n  Würde ich empfehlen?", "Maybe", "So:")


@dataclass(frozen=True, slots=True)
class Encoded:
    """A prompt up to the position that predicts the label words, and the ids of those words."""

    ids: tuple[int, ...]
    words: WordIds


@dataclass(frozen=True, slots=True)
class _Control:
    """A control token of the template, with the white space that it swallows on either side."""

    id: int
    lstrip: bool = False
    rstrip: bool = False


@dataclass(frozen=True, slots=True)
class _Slot:
    index: int


_Piece = _Control | _Slot | str


class Encoder:
    """Encodes prompts for one tokenizer, in its chat layout or in the plain one.

    ``layout`` is ``chat`` where the tokenizer has a chat template, else ``plain`` (system, shots
    and customer joined by a blank line). ``system_role`` is ``own`` or ``merged`` (into the first
    user turn, where the template knows no system role). Raises ModelError for a tokenizer whose
    prompts cannot be scored: a template that leaves a thinking block open, or one whose ids could
    not be reproduced piece by piece.
    """

    def __init__(self, tokenizer: Any, *, name: str) -> None:
        self.tokenizer = tokenizer
        self.name = name
        self.layout = "chat" if tokenizer.chat_template else "plain"
        if not getattr(tokenizer, "is_fast", False):
            raise ModelError(f"{name}: its tokenizer has no fast form (tokenizer.json), which is needed")
        self._added: dict[str, _Control] = {
            token.content: _Control(id, token.lstrip, token.rstrip)
            for id, token in tokenizer.added_tokens_decoder.items()
            if token.special or token.content.strip(" \t\r\n▁")
        }
        self._control_ids = {control.id for control in self._added.values()}
        self._split = re.compile("|".join(map(re.escape, sorted(self._added, key=len, reverse=True))) or "(?!)")
        self._head, self._inner = _plain_tokenizers(tokenizer)
        # The spans of system and shots are the same for every customer: encoded once.
        self._span = lru_cache(maxsize=8192)(self._encode_span)
        self._skeleton = lru_cache(maxsize=64)(self._render_skeleton)
        self._words = lru_cache(maxsize=8192)(self._find_words)
        self.system_role = self._find_system_role()
        self._check_thinking()
        self.markers = self._find_markers()
        self._check_ids()

    def encode(self, prompt: Prompt, words: Mapping[str, Sequence[str]], join: str | None = None) -> Encoded:
        """Encode a prompt, and find the ids of ``words`` (label key → words) behind it.

        Raises PromptError where two words cannot be told apart, ModelError where the tokenizer
        cannot write a word.
        """
        ids, tail, first = self._assemble(prompt)
        found = self._words(tail, first, prompt.answer, _frozen(words), join)
        ids += self._span(tail, first)
        return Encoded(tuple(ids[: len(ids) - found.cut]), found)

    def ids(self, prompt: Prompt) -> list[int]:
        """Return the token ids of a prompt, the answer included."""
        ids, tail, first = self._assemble(prompt)
        return ids + list(self._span(tail, first))

    def text(self, prompt: Prompt) -> str:
        """Return the whole prompt as the model sees it, control tokens written out."""
        return str(self.tokenizer.decode(self.ids(prompt), skip_special_tokens=False))

    # -- assembling ------------------------------------------------------------------------

    def _assemble(self, prompt: Prompt) -> tuple[list[int], str, bool]:
        """Return the ids up to the last control token, the text behind it, and whether it is all."""
        contents = [prompt.system, *(text for turn in prompt.shots for text in (turn.user, turn.reply))]
        contents += [prompt.user, prompt.answer]
        contents = [self._escape(text) for text in contents]
        pieces = self._skeleton(len(prompt.shots), bool(prompt.system))
        ids: list[int] = []
        span, strip_left = "", False
        for piece in pieces:
            if isinstance(piece, _Control):
                span = span.rstrip() if piece.lstrip else span
                ids += self._span(span.lstrip() if strip_left else span, not ids)
                ids.append(piece.id)
                span, strip_left = "", piece.rstrip
            else:
                span += contents[piece.index] if isinstance(piece, _Slot) else piece
        return ids, span.lstrip() if strip_left else span, not ids

    def _encode_span(self, text: str, first: bool) -> tuple[int, ...]:  # noqa: FBT001
        """Encode text between two control tokens; nothing in it becomes a control token."""
        if not text:
            return ()
        plain = self._head if first else self._inner
        ids = plain.encode(text, add_special_tokens=False).ids
        if not self._control_ids.isdisjoint(ids):
            # A vocabulary that holds the marker as an ordinary piece: only breaking it up helps.
            text = self._split.sub(lambda found: found[0][0] + " " + found[0][1:], text)
            ids = plain.encode(text, add_special_tokens=False).ids
        return tuple(ids)

    def _escape(self, text: str) -> str:
        """Break up role markers that the template writes as plain text, such as ``[INST]``."""
        for marker in self.markers:
            if marker in text:
                text = text.replace(marker, marker[0] + " " + marker[1:])
        return text

    def _find_words(
        self, tail: str, first: bool, answer: str, words: tuple[tuple[str, tuple[str, ...]], ...], join: str | None  # noqa: FBT001
    ) -> WordIds:
        return find_words(
            lambda text: self._encode_span(tail + text, first),
            [Word(label, word) for label, group in words for word in group],
            answer=answer,
            join=join,
            terminator=self._terminator(),
            name=self.name,
        )

    def _terminator(self) -> tuple[int, ...]:
        """Return what ends an answer: the end-of-turn token, or a line's end in the plain layout."""
        if self.layout == "plain":
            return tuple(self._inner.encode("a\n", add_special_tokens=False).ids[1:])
        pieces = self._skeleton(1, False)
        reply = pieces.index(_Slot(2))  # contents: system, shot's user, shot's reply, user, answer
        closing = next((piece for piece in pieces[reply:] if isinstance(piece, _Control)), None)
        return () if closing is None else (closing.id,)

    # -- the skeleton ----------------------------------------------------------------------

    def _render_skeleton(self, shots: int, system: bool) -> tuple[_Piece, ...]:  # noqa: FBT001
        """Render the layout once around slots: ``_Slot(i)`` stands for content i of a prompt."""
        slots = [f"\ue000{index}\ue001" for index in range(2 * shots + 3)]
        text = self._chat(slots, system) if self.layout == "chat" else _plain(slots, system)
        pieces: list[_Piece] = []
        for part in re.split("(\ue000\\d+\ue001)", text):
            slot = _SLOT.fullmatch(part)
            pieces += [_Slot(int(slot[1]))] if slot else self._literal(part)
        bos = self.tokenizer.bos_token_id
        if self.layout == "plain":
            pieces = [*map(_Control, self._leading_ids()), *pieces]
        if [piece.id for piece in pieces[:2] if isinstance(piece, _Control)] == [bos, bos]:
            raise ModelError(f"{self.name}: its chat template writes the beginning-of-text token twice")
        return tuple(pieces)

    def _literal(self, text: str) -> list[_Piece]:
        """Cut a template's own text at its control tokens."""
        pieces: list[_Piece] = []
        at = 0
        for found in self._split.finditer(text):
            pieces += [text[at : found.start()], self._added[found[0]]]
            at = found.end()
        return [piece for piece in (*pieces, text[at:]) if piece != ""]

    def _chat(self, slots: Sequence[str], system: bool) -> str:  # noqa: FBT001
        turns = [{"role": role, "content": slot} for slot, role in zip(slots[1:-1], _roles(), strict=False)]
        if system and getattr(self, "system_role", "own") == "merged":
            turns[0] = {"role": "user", "content": f"{slots[0]}\n\n{slots[1]}"}
        elif system:
            turns.insert(0, {"role": "system", "content": slots[0]})
        return self._template(turns) + slots[-1]

    def _template(self, messages: list[dict[str, str]]) -> str:
        return str(
            self.tokenizer.apply_chat_template(
                messages,
                tokenize=False,
                add_generation_prompt=True,
                enable_thinking=False,
                date_string=PINNED_DATE.strftime("%d %b %Y"),
                strftime_now=PINNED_DATE.strftime,
            )
        )

    def _leading_ids(self) -> list[int]:
        """Return what the tokenizer itself puts before a text: one BOS, or nothing."""
        bare = self.tokenizer("a", add_special_tokens=False).input_ids
        whole = self.tokenizer("a").input_ids
        return list(whole[: len(whole) - len(bare)]) if whole[-len(bare) :] == bare else [whole[0]]

    # -- checks at loading -----------------------------------------------------------------

    def _find_system_role(self) -> str:
        if self.layout == "plain":
            return "own"
        try:
            text = self._template([{"role": "system", "content": "\ue0000\ue001"}, {"role": "user", "content": "a"}])
        except Exception:  # templates raise TemplateError or whatever their author chose
            return "merged"
        return "own" if "\ue0000\ue001" in text else "merged"

    def _check_thinking(self) -> None:
        if self.layout == "plain":
            return
        tail = self._template([{"role": "user", "content": "\ue0000\ue001"}]).split("\ue001")[-1]
        source = str(self.tokenizer.chat_template)
        thinks = "<think>" in tail or "enable_thinking" in source or "</think>" in source
        if thinks and "</think>" not in tail:
            raise ModelError(
                f"{self.name}: its chat template leaves thinking open, so the next token is no answer; "
                "possible: an instruct model without thinking, or one whose template closes it"
            )

    def _find_markers(self) -> tuple[str, ...]:
        """Find the template's own words around a turn that are not registered as control tokens."""
        if self.layout == "plain":
            return ()
        literals = [piece.strip() for piece in self._skeleton(1, True) if isinstance(piece, str)]
        marks = {word for text in literals for word in re.findall(r"[<\[{|#][^\s]*[>\]}|:]", text)}
        return tuple(sorted(marks, key=len, reverse=True))

    def _check_ids(self) -> None:
        """Compare ids assembled piece by piece with the tokenizer's own of the whole text."""
        slots = (_PROBE[0], *_PROBE[1:3], _PROBE[1], _PROBE[3])
        text = self._chat(slots, True) if self.layout == "chat" else _plain(slots, True)
        whole = self.tokenizer(text, add_special_tokens=False).input_ids
        if self.layout == "plain":
            whole = [*self._leading_ids(), *whole]
        from promptpredict.prompt import Turn

        prompt = Prompt(_PROBE[0], (Turn(_PROBE[1], _PROBE[2]),), _PROBE[1], _PROBE[3])
        if self.ids(prompt) != list(whole):
            raise ModelError(f"{self.name}: its tokenizer reads a prompt otherwise in one piece than in parts")


def _roles() -> Any:
    while True:
        yield "user"
        yield "assistant"


def _plain(slots: Sequence[str], system: bool) -> str:  # noqa: FBT001
    """Lay out a prompt for a base model: blank lines between, the answer on its own line."""
    shots = [f"{user}\n{reply}" for user, reply in zip(slots[1:-2:2], slots[2:-2:2], strict=True)]
    return "\n\n".join([*([slots[0]] if system else []), *shots, f"{slots[-2]}\n{slots[-1]}"])


def _plain_tokenizers(tokenizer: Any) -> tuple[Any, Any]:
    """Return two tokenizers that know no control token: for a text's first span, and for the others.

    Only added tokens that are mere white space stay. A Metaspace pre-tokenizer with
    ``prepend_scheme: first`` puts its space before the first span alone.
    """
    from tokenizers import Tokenizer

    spec = json.loads(tokenizer.backend_tokenizer.to_str())
    spec.update(post_processor=None, truncation=None, padding=None)
    spec["added_tokens"] = [
        token for token in spec["added_tokens"] if not token["special"] and not token["content"].strip(" \t\r\n▁")
    ]
    head = json.dumps(spec)
    inner = head.replace('"prepend_scheme": "first"', '"prepend_scheme": "never"')
    return Tokenizer.from_str(head), Tokenizer.from_str(inner)


def _frozen(words: Mapping[str, Sequence[str]]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple((label, tuple(group)) for label, group in words.items())
