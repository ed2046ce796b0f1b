"""Prompts as token ids, and the ids of label words where they stand in a prompt.

Knows tokenizers and layouts; knows nothing of tables, weights or probabilities, and does not
import torch. A prompt's blocks are data: the layout is rendered once around empty slots, and what
fills a slot is encoded as plain text, so no customer can open or close a turn.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

from promptpredict.errors import ModelError
from promptpredict.layout import SLOT, Layout
from promptpredict.rendered import Prompt, Turn
from promptpredict.words import Word, WordIds, find_words

# Role markers that a template may write as plain text: [INST], <</SYS>>, <|user|>, {role}
_MARKER = re.compile(r"[<\[{|]+[^\s<>\[\]{}|]+[>\]}|]+")
_TRIAL = Prompt(
    "Tone: 7 of 10\nIt's fine…",
    (Turn("Plan: basic, 12.50 EUR\n\n  Würde ich    empfehlen?\t\t好", "Maybe"),),
    "Plan: basic, 12.50 EUR\n\n\n\n- yes\r\n- no",
    "So:",
)
_Groups = tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class Encoded:
    """A prompt up to the position that predicts the label words, and the ids of those words.

    ``start`` is where the customer's own turn begins: behind the control token in front of it, or
    behind the block before it where no control token parts them.
    """

    ids: tuple[int, ...]
    words: WordIds
    start: int = 0

    @property
    def positions(self) -> int:
        """How many positions are read: the ids, and the longest word but its last token."""
        return len(self.ids) + max(len(entry.ids) for entry in self.words.entries) - 1


@dataclass(frozen=True, slots=True)
class _Control:
    """A control token of the layout, with the white space that it swallows on either side."""

    id: int
    lstrip: bool = False
    rstrip: bool = False


@dataclass(frozen=True, slots=True)
class _Slot:
    index: int


_Piece = _Control | _Slot | str


class Encoder:
    """Encodes prompts for one tokenizer.

    ``layout`` and ``system_role`` say how prompts are laid out; ``markers`` are the role markers
    that the template writes as plain text, broken up wherever a prompt's blocks hold them. Raises
    ModelError for a tokenizer whose prompts cannot be scored.
    """

    def __init__(self, tokenizer: Any, *, name: str) -> None:
        """Find out how the tokenizer works, and hold it against itself on a trial prompt."""
        if not getattr(tokenizer, "is_fast", False):
            raise ModelError(
                f"{name}: its tokenizer has no fast form (tokenizer.json), which is needed"
            )
        self.tokenizer = tokenizer
        self.name = name
        self.layout = Layout(tokenizer, name)
        self.system_role = self.layout.system_role
        # Added tokens of mere white space are how these tokenizers write text; all others control.
        self._controls = {
            token.content: _Control(id, token.lstrip, token.rstrip)
            for id, token in tokenizer.added_tokens_decoder.items()
            if token.special or token.content.strip(" \t\r\n▁")
        }
        self._control_ids = {control.id for control in self._controls.values()}
        longest_first = sorted(self._controls, key=len, reverse=True)
        self._split = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")
        self._head, self._inner = _plain_tokenizers(tokenizer, set(self._controls))
        self._leading = _leading_ids(tokenizer) if self.layout.kind == "plain" else ()
        # The spans of system and shots are the same for every customer: encoded once.
        self._span = lru_cache(maxsize=8192)(self._encode_span)
        self._skeleton = lru_cache(maxsize=64)(self._cut_layout)
        self._words = lru_cache(maxsize=8192)(self._find_words)
        self.markers = self._find_markers()
        self._terminator = self._find_terminator()
        self._check_ids()

    def encode(
        self, prompt: Prompt, words: Mapping[str, Sequence[str]], join: str | None = None
    ) -> Encoded:
        """Encode a prompt, and find the ids of ``words`` (label key → words) behind it.

        Raises PromptError where two words cannot be told apart, ModelError where the tokenizer
        cannot write a word.
        """
        ids, tail, first, start = self._assemble(prompt)
        groups = tuple((label, tuple(group)) for label, group in words.items())
        found = self._words(tail, prompt.answer, groups, join, first=first)
        ids += self._span(tail, first=first)
        kept = len(ids) - found.cut
        return Encoded(tuple(ids[:kept]), found, min(start, kept - 1))

    def ids(self, prompt: Prompt) -> list[int]:
        """Return the token ids of a prompt, the answer included."""
        ids, tail, first, _ = self._assemble(prompt)
        return [*ids, *self._span(tail, first=first)]

    def text(self, prompt: Prompt) -> str:
        """Return the whole prompt as the model sees it, control tokens written out."""
        return str(self.tokenizer.decode(self.ids(prompt), skip_special_tokens=False))

    # -- assembling ------------------------------------------------------------------------

    def _assemble(self, prompt: Prompt) -> tuple[list[int], str, bool, int]:
        """Return the ids up to the last control token, the text behind, and whether it is all.

        Last comes where the customer's turn begins.
        """
        turns = [text for turn in prompt.shots for text in (turn.user, turn.reply)]
        # A space behind the answer belongs to the word: tokenizers write it with the word.
        texts = [prompt.system, *turns, prompt.user, prompt.answer.rstrip()]
        contents = [self._escape(text) for text in texts]
        ids, start, filled = list(self._leading), 0, ""
        span, swallow, first = "", False, True
        for piece in self._skeleton(len(prompt.shots), system=bool(prompt.system)):
            if isinstance(piece, _Control):
                span = span.rstrip() if piece.lstrip else span
                ids += self._span(span.lstrip() if swallow else span, first=first)
                ids.append(piece.id)
                span, filled, swallow, first = "", "", piece.rstrip, False
            elif isinstance(piece, _Slot):
                if piece.index == len(contents) - 2:
                    start = len(ids) + len(self._span(filled, first=first))
                span += contents[piece.index]
                filled = span
            else:
                span += piece
        return ids, span.lstrip() if swallow else span, first, start

    def _encode_span(self, text: str, *, first: bool) -> tuple[int, ...]:
        """Encode text between two control tokens; nothing in it becomes a control token."""
        plain = self._head if first else self._inner
        ids = plain.encode(text, add_special_tokens=False).ids
        if not self._control_ids.isdisjoint(ids):
            # A vocabulary that holds the marker as an ordinary piece: only breaking it up helps.
            ids = plain.encode(self._split.sub(_broken, text), add_special_tokens=False).ids
        if plain.normalizer and not self._control_ids.isdisjoint(ids):  # in full-width letters, say
            text = plain.normalizer.normalize_str(text)
            ids = plain.encode(self._split.sub(_broken, text), add_special_tokens=False).ids
        return tuple(ids)

    def _escape(self, text: str) -> str:
        for marker in self.markers:
            text = text.replace(marker, f"{marker[0]} {marker[1:]}")
        return text

    def _find_words(
        self, tail: str, answer: str, groups: _Groups, join: str | None, *, first: bool
    ) -> WordIds:
        return find_words(
            lambda text: self._encode_span(tail + text, first=first),
            [Word(label, word) for label, group in groups for word in group],
            answer=answer,
            join=join,
            terminator=self._terminator,
            name=self.name,
        )

    # -- the skeleton ----------------------------------------------------------------------

    def _cut_layout(self, shots: int, *, system: bool) -> tuple[_Piece, ...]:
        """Cut the layout at its control tokens and slots."""
        text = self.layout.text(shots, system=system)
        pieces: list[_Piece] = []
        at = 0
        for found in re.finditer(f"{SLOT.pattern}|{self._split.pattern}", text):
            pieces += [text[at : found.start()]] if at < found.start() else []
            pieces.append(_Slot(int(found[1])) if found[1] else self._controls[found[0]])
            at = found.end()
        pieces += [text[at:]] if at < len(text) else []
        start = [piece.id for piece in pieces[:2] if isinstance(piece, _Control)]
        if start == [self.tokenizer.bos_token_id] * 2:
            raise ModelError(
                f"{self.name}: its chat template writes the beginning-of-text token twice"
            )
        return tuple(pieces)

    def _find_markers(self) -> tuple[str, ...]:
        """Find the role markers of the template that are not registered as control tokens."""
        if self.layout.kind == "plain":
            return ()
        pieces = self._skeleton(1, system=True)
        marks = {
            mark for piece in pieces if isinstance(piece, str) for mark in _MARKER.findall(piece)
        }
        for piece, behind in pairwise(pieces):  # a line such as "### Instruction:" opens a turn
            if isinstance(piece, str) and isinstance(behind, _Slot) and piece.strip():
                line = piece.rstrip().splitlines()[-1].strip()
                marks |= {line} if line.endswith(":") else set()
        return tuple(sorted(marks, key=len, reverse=True))

    def _find_terminator(self) -> tuple[int, ...]:
        """Find what ends an answer: the end-of-turn token, or a blank line in the plain layout."""
        if self.layout.kind == "plain":
            bare, ended = (self._encode_span(text, first=False) for text in ("a", "a\n\n"))
            return ended[len(bare) :] if ended[: len(bare)] == bare else ()
        pieces = self._skeleton(1, system=False)
        behind = pieces[pieces.index(_Slot(2)) :]  # slot 2 is the shot's reply
        closing = next((piece for piece in behind if isinstance(piece, _Control)), None)
        return () if closing is None else (closing.id,)

    def _check_ids(self) -> None:
        """Compare ids assembled piece by piece with the tokenizer's own of the whole text."""
        turns = [text for turn in _TRIAL.shots for text in (turn.user, turn.reply)]
        contents = [_TRIAL.system, *turns, _TRIAL.user, _TRIAL.answer]
        text = SLOT.sub(lambda slot: contents[int(slot[1])], self.layout.text(1, system=True))
        whole = self.tokenizer(text, add_special_tokens=False).input_ids
        if self.ids(_TRIAL) != [*self._leading, *whole]:
            raise ModelError(
                f"{self.name}: its tokenizer reads a prompt otherwise in one piece than in parts"
            )


def _broken(marker: re.Match[str]) -> str:
    return f"{marker[0][0]} {marker[0][1:]}"


def _leading_ids(tokenizer: Any) -> tuple[int, ...]:
    """Return what the tokenizer itself puts before a text: one BOS, or nothing."""
    bare = tokenizer("a", add_special_tokens=False).input_ids
    whole = tokenizer("a").input_ids
    at = next(at for at in range(len(whole)) if whole[at : at + len(bare)] == bare)
    return tuple(whole[:at])


def _plain_tokenizers(tokenizer: Any, controls: set[str]) -> tuple[Any, Any]:
    """Return two tokenizers that know no control token: for a text's first span, and for others.

    A Metaspace pre-tokenizer with ``prepend_scheme: first`` puts its space before the first span
    alone.
    """
    from tokenizers import Tokenizer

    spec = json.loads(tokenizer.backend_tokenizer.to_str())
    spec.update(post_processor=None, truncation=None, padding=None)
    # Control tokens stay in the list, or those behind them would get other ids.
    for token in spec["added_tokens"]:
        token["special"] = token["content"] in controls
    head = json.dumps(spec)
    inner = head.replace('"prepend_scheme": "first"', '"prepend_scheme": "never"')
    plain = [Tokenizer.from_str(text) for text in dict.fromkeys((head, inner))]
    for each in plain:
        each.encode_special_tokens = True
    return plain[0], plain[-1]
