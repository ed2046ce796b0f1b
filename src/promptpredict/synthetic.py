"""Synthetic customer tables with feedback, and a prompt file for each: no real table is needed.

Knows how fields, feedback and an outcome hang together and how a prompt is worded; knows nothing of
tokens or models. A table is a function of its seed. Of ten tables about six are of a trade whose
fields have the effects that they usually have, two of a trade in which they have any, and two have
names and words that say nothing: there, only labelled records tell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from promptpredict.prompt import PromptFile
from promptpredict.records import Record
from promptpredict.syntheticfeedback import feedback
from promptpredict.syntheticfields import (
    Field,
    Floats,
    Random,
    bare_kind,
    causes,
    turned_field,
    usual_field,
    with_gaps,
)

_WORDS = Path(__file__).parent / "data" / "synthetic.yaml"
_KINDS = ("usual", "turned", "bare")
_SHARES = (0.6, 0.2, 0.2)  # of the kinds of tables
_MOST = 18  # fields
_TARGET, _TEXT = "outcome", "said"
POSITIVE, NEGATIVE = "1", "0"


@dataclass(frozen=True)
class SyntheticTable:
    """A table: its prompt file, and labelled records in random order."""

    prompt_file: PromptFile
    records: list[Record]


@dataclass(frozen=True)
class _Draft:
    """What is known of a table before its outcome: columns, feedback and what these add to it."""

    asked: Sequence[str]  # question, answer, word of the outcome, word of its absence
    system: str
    fields: list[Field]
    texts: list[str | None] | None
    effect: Floats  # (n,) of the feedback


def synthetic_table(seed: int | Sequence[int], rows: int = 128) -> SyntheticTable:
    """Return the table of a seed, with so many records."""
    rng = np.random.default_rng(seed)
    kind = str(rng.choice(_KINDS, p=_SHARES))
    draft = _drafted(rng, kind, rows)
    labels = _outcome(rng, draft)
    names = [field.name for field in draft.fields]
    columns: dict[str, Sequence[Any]] = {field.name: field.values for field in draft.fields}
    if draft.texts is not None:
        columns[_TEXT] = draft.texts
    records = [
        Record(
            row=row + 1,
            id=str(row + 1),
            values={name: column[row] for name, column in columns.items()},
            label=POSITIVE if label else NEGATIVE,
        )
        for row, label in enumerate(labels)
    ]
    text = _prompt_file(rng, draft, names)
    return SyntheticTable(PromptFile.from_text(text, name=f"synthetic table {seed}"), records)


@cache
def words() -> Mapping[str, Any]:
    """Return what tables are made of, as data/synthetic.yaml has it."""
    import yaml

    found: Mapping[str, Any] = yaml.safe_load(_WORDS.read_text(encoding="utf-8"))
    return found


# -- fields, feedback, outcome ---------------------------------------------------------------------


def _drafted(rng: Random, kind: str, rows: int) -> _Draft:
    """Draw the columns of a table and what they add to its outcome."""
    trade = words()["trades"][_one(rng, list(words()["trades"]))]
    speaks = float(trade.get("mood", 0.0))
    written = rng.random() < (0.95 if speaks else 0.35)
    kinds = _bare(rng) if kind == "bare" else dict(trade["fields"])
    most = min(len(kinds), _MOST)
    fewest = 0 if written and kind == "usual" else 1
    if not speaks and rng.random() < 0.6:  # most tables of columns have many
        fewest = most // 2
    count = int(rng.integers(fewest, most + 1))
    chosen = [list(kinds)[at] for at in rng.permutation(len(kinds))[:count]]
    make = usual_field if kind == "usual" else turned_field
    drawn = causes(rng, rows, count + 2)
    *own, mood, theme = drawn
    fields = [
        with_gaps(rng, make(rng, name, kinds[name], cause), mood)
        for name, cause in zip(chosen, own, strict=True)
    ]
    # Some fields tell nothing, whatever is usually said of them.
    kept = rng.random(count) < rng.uniform(0.5, 1.0)
    fields = [
        replace(field, effect=field.effect * tells)
        for field, tells in zip(fields, kept, strict=True)
    ]
    source = trade if kind != "bare" else words()["bare"]
    asked, system = list(_of(rng, source["asks"])), str(_of(rng, source["systems"]))
    if kind == "bare" and rng.random() < 0.5:
        asked[2], asked[3] = asked[3], asked[2]
    if not written:
        return _Draft(asked, system, fields, None, np.zeros(rows))
    topics = list(trade["texts"])
    topics = [topics[at] for at in rng.permutation(len(topics))]
    texts = feedback(rng, words(), topics, mood, theme)
    strength = rng.uniform(1.2, 2.5) if speaks else rng.uniform(0.4, 1.5)
    effect = (
        strength * mood
        if kind == "usual"
        else rng.normal(0, 1) * mood + rng.normal(0, 1) * (theme > 0)
    )
    return _Draft(asked, system, fields, texts, effect)


def _bare(rng: Random) -> dict[str, Any]:
    """Draw columns whose names and values say nothing."""
    bare = words()["bare"]
    stem = _one(rng, bare["fields"])
    count = int(rng.integers(1, 13))
    return {f"{stem}{number}": bare_kind(rng, bare["values"]) for number in range(1, count + 1)}


def _outcome(rng: Random, draft: _Draft) -> npt.NDArray[np.bool_]:
    """Return which records have the outcome (n,): a random share, by all effects and by chance."""
    effects = [field.effect for field in draft.fields]
    found = np.sum(effects, axis=0) + draft.effect if effects else draft.effect.copy()
    if len(effects) > 1 and rng.random() < 0.3:  # two fields that count together
        one, other = rng.choice(len(effects), 2, replace=False)
        found = found + rng.normal(0, 0.7) * draft.fields[one].cause * draft.fields[other].cause
    found = found / (found.std() or 1.0)
    found = rng.uniform(0.7, 4.0) * found + rng.logistic(size=len(found))
    return np.asarray(found > np.quantile(found, 1 - rng.uniform(0.15, 0.6)))


# -- wording ---------------------------------------------------------------------------------------


def _prompt_file(rng: Random, draft: _Draft, names: Sequence[str]) -> str:
    """Return a prompt file for a table, worded at random."""
    import yaml

    question, answer, positive, negative = draft.asked
    units = {field.name: {"unit": field.unit} for field in draft.fields if field.unit}
    front: dict[str, Any] = {
        "task": "binary",
        "target": _TARGET,
        "labels": {POSITIVE: positive, NEGATIVE: negative},
        "positive": POSITIVE,
        "missing": _one(rng, ("not recorded", "unknown", "none", "-")),
    }
    front |= {"fields": units} if units else {}
    front |= {"text": [_TEXT]} if draft.texts is not None else {}
    lines = str(
        rng.choice(
            [
                "{{ field.name }}: {{ field.value }}\n",
                "- {{ field.name }}: {{ field.value }}\n",
                "{{ field.name }} = {{ field.value }}; ",
                "{{ field.name }} is {{ field.value }}. ",
            ],
            p=[0.7, 0.1, 0.1, 0.1],
        )
    )
    end = "{% endfor %}" if lines.endswith("\n") else "{% endfor +%}"  # else a line break is lost
    shown = [f"{{% for field in customer.fields %}}\n{lines}{end}\n"] if names else []
    if draft.texts is not None:
        before = _one(
            rng, ("Feedback: ", "Comment: ", "Review: ", "Message: ", "The customer wrote: ", "")
        )
        shown.insert(int(rng.integers(0, len(shown) + 1)), f"{before}{{{{ customer.{_TEXT} }}}}\n")
    blocks = {
        "system": draft.system,
        "customer": "".join(shown),
        "question": question,
        "answer": answer,
    }
    body = "\n".join(f"{{% block {name} %}}{text}{{% endblock %}}" for name, text in blocks.items())
    return f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---\n{body}\n"


def _of(rng: Random, of: Sequence[Any]) -> Any:
    return of[int(rng.integers(len(of)))]


def _one(rng: Random, of: Sequence[str]) -> str:
    return str(_of(rng, of))
