"""Wordings: questions, answer starts and label words to try in place of a prompt file's own.

Knows how a wordings file is read, what each wording looks like as a prompt file, and how a
language model scores them all. Knows nothing of which one is best, or of tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from promptpredict.errors import PromptError, nearest
from promptpredict.frontmatter import Words
from promptpredict.plainyaml import (
    KeyPath,
    Raw,
    as_list,
    fault,
    literal,
    located,
    read,
    read_text,
)
from promptpredict.prompt import PromptFile
from promptpredict.records import Record
from promptpredict.rendered import Prompt
from promptpredict.scores import Labels, LanguageModel

Floats = npt.NDArray[np.float64]
SHIPPED = Path(__file__).parent / "data" / "wordings.yaml"
_AT_ONCE = 1_024  # prompts in a call; a customer's stand in one, where they are read once


Pair = Annotated[list[Words], Field(min_length=2, max_length=2)]
Texts = Annotated[list[str], BeforeValidator(as_list), Field(min_length=1)]


class _Strict(BaseModel, extra="forbid", frozen=True):
    pass


class _Question(_Strict):
    question: Annotated[str, Field(min_length=1)]
    answers: Texts
    words: Texts


class _File(_Strict):
    words: Annotated[dict[str, Annotated[list[Pair], Field(min_length=1)]], Field(min_length=1)]
    questions: Annotated[dict[str, _Question], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class Wording:
    """A question, an answer start and label words.

    ``bad`` are the words for the outcome that a provider fears, ``good`` those for the other;
    ``key`` names the question in the wordings file.
    """

    key: str
    question: str
    answer: str
    bad: tuple[str, ...]
    good: tuple[str, ...]

    @property
    def pair(self) -> str:
        """Return the label words as people read them."""
        return f"{'+'.join(self.bad)} / {'+'.join(self.good)}"

    @property
    def name(self) -> str:
        """Return what tells the wording from the others of its file."""
        return ", ".join(filter(None, [self.key, self.answer, self.pair]))


def load_wordings(path: str | Path = SHIPPED) -> list[Wording]:
    """Return every wording of a wordings file, in its order.

    Raises PromptError for whatever is wrong with the file, with the line where it is known.
    """
    path = Path(path)
    name = path.name
    raw = read(read_text(path, str(path)), name)
    try:
        file = _File.model_validate(_without_none(raw.values))
    except ValidationError as error:
        raise _fault(raw, name, error) from None
    return list(dict.fromkeys(_combined(file, raw, name)))


def own_wording(prompt_file: PromptFile) -> Wording:
    """Return a prompt file's own wording; its ``bad`` words are those of the positive label.

    Question and answer are left empty: they may be templates.
    """
    positive, negative = label_keys(prompt_file)
    words = prompt_file.words
    return Wording("own", "", "", tuple(words[positive]), tuple(words[negative]))


def label_keys(prompt_file: PromptFile) -> tuple[str, str]:
    """Return the positive and the other label of a prompt file; PromptError where there are none."""
    front = prompt_file.front
    if front.task != "binary" or front.positive is None:
        raise PromptError(
            f"{prompt_file.name} has task: {front.task}, whose wordings cannot be tried yet; "
            "possible: binary"
        )
    return front.positive, next(key for key in front.labels if key != front.positive)


@dataclass(frozen=True, slots=True)
class Tried:
    """What a language model says of n records under m wordings.

    ``log_odds`` (n, m) are log P(bad words) - log P(good words), ``mass`` (n, m) the label mass;
    of the prompt file's own wording, which stands last, those of the positive label. ``kept``
    are the indices of the n records among those given; ``faults`` say why the others, by index,
    and why wordings, by name, were left out.
    """

    wordings: tuple[Wording, ...]
    log_odds: Floats
    mass: Floats
    kept: tuple[int, ...]
    faults: dict[int, str]
    dropped: dict[str, str]
    tokens: int


def try_wordings(
    lm: LanguageModel,
    prompt_file: PromptFile,
    wordings: Sequence[Wording],
    records: Sequence[Record],
    *,
    progress: Callable[[int], object] = lambda _: None,
) -> Tried:
    """Score every record under every wording, and under the prompt file's own.

    A customer's prompts go to the language model together, which reads what they share once. A
    block that shows ``labels`` shows the file's own words the while.
    ``progress`` is called with the number of records done since its last call. Raises PromptError
    for a question that cannot be rendered, and where no wording can be scored.
    """
    every = [*wordings, own_wording(prompt_file)]
    files = _files(prompt_file, wordings)
    labels = [
        Labels({"bad": each.bad, "good": each.good}, prompt_file.front.join) for each in every
    ]
    shape = (len(records), len(every))
    log_odds, mass = np.full(shape, np.nan), np.full(shape, np.nan)
    faults: dict[tuple[int, int], str] = {}
    tokens = 0
    step = max(1, _AT_ONCE // len(every))
    for start in range(0, len(records), step):
        some = records[start : start + step]
        prompts = [prompt for record in some for prompt in _prompts(files, every, record)]
        scores = lm.score(prompts, labels * len(some))
        tokens += scores.tokens
        odds = (scores.logprobs[:, 0] - scores.logprobs[:, 1]).reshape(len(some), -1)
        log_odds[start : start + step] = odds
        mass[start : start + step] = scores.mass.reshape(len(some), -1)
        for index, text in scores.faults.items():
            faults[start + index // len(every), index % len(every)] = text
        progress(len(some))
    return _tried(every, log_odds, mass, faults, tokens)


def wording_text(
    prompt_file: PromptFile, wording: Wording, *, front: str = "", head: str = ""
) -> str:
    """Return the text of a prompt file that extends another with a wording's question and answer.

    ``front`` are lines of front matter, ``head`` what its comment says. The own wording replaces
    no block. Raises PromptError for a prompt file that is not on disk.
    """
    if prompt_file.path is None:
        raise PromptError(f"{prompt_file.name} is no file, so no other can extend it")
    lines = [f'{{% extends "{prompt_file.path.name}" %}}']
    if wording.question:
        lines += [
            f"{{% block question %}}{literal(wording.question)}{{% endblock %}}",
            f"{{% block answer %}}{literal(wording.answer)}{{% endblock %}}",
        ]
    comment = [f"{{# {head} #}}"] if head else []
    return "\n".join([*comment, *(["---", front, "---"] if front else []), *lines, ""])


def _files(
    prompt_file: PromptFile, wordings: Sequence[Wording]
) -> dict[tuple[str, str], PromptFile]:
    """Return a prompt file for each question and answer start, and the own one for none."""
    files = {("", ""): prompt_file}
    folder = prompt_file.path.parent if prompt_file.path else None
    for each in wordings:
        if (each.question, each.answer) not in files:
            text = wording_text(prompt_file, each)
            name = f"the wording '{each.key}'"
            file = PromptFile.from_text(text, name=name, folder=folder)
            files[each.question, each.answer] = file.placed_as(prompt_file.standing)
    return files


def _prompts(
    files: dict[tuple[str, str], PromptFile], every: Sequence[Wording], record: Record
) -> list[Prompt]:
    rendered = {key: file.render(record) for key, file in files.items()}
    return [rendered[each.question, each.answer] for each in every]


def _tried(
    every: Sequence[Wording],
    log_odds: Floats,
    mass: Floats,
    faults: dict[tuple[int, int], str],
    tokens: int,
) -> Tried:
    """Leave out wordings that mostly failed, then records that failed under one of the others."""
    missing = ~np.isfinite(log_odds)
    lost = missing.mean(axis=0) > 0.5
    rows = ~missing[:, ~lost].any(axis=1)
    if lost[-1] or not rows.any():
        reason = next(iter(faults.values()), "its log-probabilities are not finite")
        raise PromptError(f"no record can be scored under the prompt file's own wording: {reason}")
    if lost[:-1].all():
        reason = next(iter(faults.values()), "its log-probabilities are not finite")
        raise PromptError(f"no other wording can be scored on most records: {reason}")
    columns = np.flatnonzero(~lost).tolist()

    def why(row: int | None, column: int | None) -> str:
        texts = (t for (r, c), t in faults.items() if row in (r, None) and column in (c, None))
        return next(texts, "its log-probabilities are not finite")

    return Tried(
        wordings=tuple(every[column] for column in columns),
        log_odds=log_odds[rows][:, columns],
        mass=mass[rows][:, columns],
        kept=tuple(np.flatnonzero(rows).tolist()),
        faults={row: why(row, None) for row in np.flatnonzero(~rows).tolist()},
        dropped={every[column].name: why(None, column) for column in np.flatnonzero(lost).tolist()},
        tokens=tokens,
    )


def _combined(file: _File, raw: Raw, name: str) -> Iterator[Wording]:
    for key, asked in file.questions.items():
        for group in asked.words:
            if group not in file.words:
                place = raw.places.get(("questions", key, "words"), (name, 0))
                text = f"the question '{key}' names the words '{group}', which are not in 'words'"
                raise fault(*place, f"{text}{nearest(group, file.words)}")
        for answer in asked.answers:
            for group in asked.words:
                for bad, good in file.words[group]:
                    if len({word.casefold() for word in (*bad, *good)}) < len(bad) + len(good):
                        text = f"a word stands twice in a pair of '{group}' (in any case)"
                        raise fault(*raw.places["words", group], text)
                    yield Wording(key, asked.question, answer.strip(), tuple(bad), tuple(good))


def _without_none(value: Any) -> Any:
    """Return read YAML with keys that have no value as empty texts, which the schema refuses."""
    if isinstance(value, dict):
        return {key: _without_none(inner) for key, inner in value.items()}
    return "" if value is None else value


def _fault(raw: Raw, name: str, error: ValidationError) -> PromptError:
    """Say the first fault in our own words, at the innermost key whose line is known."""
    first = min(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
    path: KeyPath = tuple(part for part in first["loc"] if isinstance(part, str))
    where, kind = ".".join(path), first["type"]
    if kind == "extra_forbidden":
        fields = (_File if len(path) == 1 else _Question).model_fields
        text = f"unknown key '{where}'{nearest(path[-1], fields)}; possible: {', '.join(fields)}"
    elif kind == "missing":
        text = f"'{where}' is missing"
    elif path[:1] == ("words",) and len(path) > 1:
        text = f"'{where}' must hold pairs of words, as '- [angry, happy]'"
    else:
        text = f"'{where}' is empty or of another form; see the shipped wordings.yaml"
    return located(raw, name, path, text)
