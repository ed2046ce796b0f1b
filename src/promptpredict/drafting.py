"""A first prompt file for a table: what its columns are is guessed, and each guess is marked.

Knows names and cells of columns, and how a prompt file is written; knows nothing of how one is read.
"""

from __future__ import annotations

import random
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from promptpredict.errors import DataError, nearest_column
from promptpredict.hindsight import said_afterwards
from promptpredict.plainyaml import literal, quoted
from promptpredict.tables import open_table
from promptpredict.values import Value, parse, show, spelling
from promptpredict.writing import check_apart

GUESSED_ON = 2000  # rows from which a first prompt file is guessed
MOST_LABELS = 20  # that an outcome may have
_NEARLY = 0.9  # share of rows with an id of their own


def new_file(
    table: str, target: str, out: str, *, delimiter: str | None, encoding: str | None
) -> str:
    """Write a first prompt file for a table to ``out`` (``-``: nowhere), and return its text."""
    if out != "-":
        check_apart({"--out": Path(out)}, {"the table": table})
    read = open_table(table, delimiter=delimiter, encoding=encoding)
    try:
        whole = (
            {
                column: "" if cell is None else str(cell)
                for column, cell in zip(read.columns, row.cells, strict=True)
            }
            for row in read.rows
            if not row.fault
        )
        text = first_file(read.columns, _some(whole, target), target, Path(table).name)
    finally:
        read.close()
    if out != "-":
        try:
            with Path(out).open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            raise DataError(f"{out} is there already; remove it, or give another --out") from None
        except OSError as error:
            raise DataError(f"{out} cannot be written ({error.strerror})") from None
    return text


def first_file(
    header: Sequence[str], rows: Sequence[Mapping[str, str]], target: str, table: str
) -> str:
    """Write a first prompt file for a table from a sample of its rows; guesses are marked."""
    if target not in header:
        raise DataError(f"{table} has no column '{target}'{nearest_column(target, header)}")
    columns = {name: [parse(row.get(name) or "") for row in rows] for name in header}
    outcome = columns.pop(target)
    ignore = _ignored(columns, outcome, target)
    identity = _identity({name: cells for name, cells in columns.items() if name not in ignore})
    ignore |= _spare_keys(columns, [identity, *ignore])
    text = [
        name
        for name, cells in columns.items()
        if name not in ignore and name != identity and _is_text(cells)
    ]
    task = _task(target, outcome, table, feeling=bool(text))
    shown = [name for name in columns if name not in ignore and name not in [identity, *text]]
    front = [
        *task.front,
        *([f"id: {quoted(identity)}  # guess: {_how(columns[identity])}"] if identity else []),
        f"text: [{', '.join(map(quoted, text))}]  # guess: long texts",
        "ignore:  # never reaches the model",
        *(f"  - {quoted(name)}  # guess: {why}" for name, why in ignore.items()),
        "fields:  # how a column reads; unit and format may be added",
        *(
            f"  {quoted(name)}: {{name: {quoted(_title(name))}}}"
            for name in shown
            if _title(name) != name
        ),
    ]
    told = [f"{literal(_title(name))}: {{{{ {_reach(name)} }}}}" for name in text]
    blocks = [
        f"{{% block system %}}{task.system}{{% endblock %}}",
        "{% block customer %}",
        "{% for field in customer.fields %}",
        "{{ field.name }}: {{ field.value }}",
        "{% endfor %}",
        *told,
        "{% endblock %}",
        f"{{% block question %}}{literal(task.question)}{{% endblock %}}",
        f"{{% block answer %}}{literal(task.answer)}{{% endblock %}}",
    ]
    comment = f"{{# A first prompt file for {table}: check what is marked as a guess. #}}"
    return "\n".join([comment, "---", *front, "---", *blocks, ""])


@dataclass(frozen=True, slots=True)
class _Task:
    front: list[str]
    question: str
    answer: str
    system: str = "You judge customers by what is known about them."


_LEAVING = re.compile(
    r"churn|cancel|clos(e|ing|ure)|terminat|attrit|left|leav|exit|lost|end_?date", re.I
)
_PERSON = re.compile(
    r"^(customer|user|first|last|full|sur)?[_ ]?name$|e-?mail$|^(mobile_?)?(tele)?phone$|address",
    re.I,
)
_KEY = re.compile(  # "id" as a word, in whatever case and style: not amount_paid
    r"(?i:(^|[^a-z]|customer|client|user|member|person|account|order|row|record)id|uuid|number"
    r"|(^|[_\W])(no|nr|num|key|code)|^(customer|client|account))$|(?<=[a-z])I[dD]$"
)
_POSITIVE = {"1", "yes", "y", "t", "churned", "churn", "left", "exited", "cancelled", "canceled"}
_NEGATIVE = {"0", "no", "n", "f"}


def _task(target: str, outcome: Sequence[Value], table: str, *, feeling: bool) -> _Task:
    known = [value for value in outcome if value is not None]
    counts = Counter(spelling(value) for value in known)
    if len(counts) < 2:
        found = f"only {show(known[0])!r}" if known else "nothing"
        raise DataError(f"column '{target}' of {table} holds {found}; an outcome needs two values")
    numbers = [float(value) for value in known if isinstance(value, int | float)]
    if len(counts) > 10 and len(numbers) == len(known):
        return _regression(target, numbers)
    if len(counts) > MOST_LABELS:
        raise DataError(
            f"column '{target}' of {table} holds {len(counts)} different texts; "
            f"an outcome is a number, or one of {MOST_LABELS} labels at most"
        )
    if len(counts) > 2:
        keys = sorted(counts)
        words = _words(keys)
        question = f"Which {_title(target)} fits this customer: {_or(words)}?"
        answer = f"The {_title(target)} is"
        return _Task(_labels("multiclass", target, zip(keys, words, strict=True)), question, answer)
    return _binary(target, counts, feeling=feeling)


def _binary(target: str, counts: Counter[str], *, feeling: bool) -> _Task:
    rare = min(counts, key=lambda key: counts[key])
    positive = next((key for key in counts if key.casefold() in _POSITIVE), rare)
    negative = next(key for key in counts if key != positive)
    plain = positive.casefold() in _POSITIVE and negative.casefold() in _NEGATIVE
    words = ("yes", "no") if plain else tuple(_words([positive, negative]))
    question = f"Is it true of this customer: {_title(target)}? Answer yes or no."
    answer = "The answer is"
    if not plain:
        question = f"Which {_title(target)} fits this customer: {_or(words)}?"
        answer = f"The {_title(target)} is"
    if _LEAVING.search(target):
        words = ("leave", "stay")
        question = "Will this customer stay or leave?"
        answer = "This customer will most likely"
        if feeling:
            words = ("angry", "happy")
            question = "Summarize how the customer feels in one word."
            answer = "The customer feels"
    front = _labels("binary", target, zip((positive, negative), words, strict=True))
    return _Task([*front, f"positive: {quoted(positive)}  # guess"], question, answer)


def _regression(target: str, numbers: list[float]) -> _Task:
    words = ["very low", "low", "medium", "high", "very high"]
    from promptpredict.binning import quantile_edges

    edges = ", ".join(map(repr, quantile_edges(numbers, len(words))))
    front = ["task: regression", f"target: {quoted(target)}", "bins:"]
    front.append(f"  words: [{', '.join(words)}]")
    front.append(f"  edges: [{edges}]  # guess: as many amounts in each")
    question = f"How high is the {_title(target)} of this customer: {_or(words)}?"
    return _Task(front, question, f"The {_title(target)} is")


def _labels(task: str, target: str, pairs: Iterable[tuple[str, str]]) -> list[str]:
    every = dict(pairs)
    labels = [f"  {quoted(key)}: {quoted(word)}" for key, word in every.items()]
    same = Counter(key.casefold() for key in every)
    alike = [key for key in every if same[key.casefold()] > 1]
    doubt = (
        f"; {' and '.join(map(quoted, alike))} may be one label, to be made one in the table"
        if alike
        else ""
    )
    head = f"labels:  # guess: the words{doubt}"
    return [f"task: {task}", f"target: {quoted(target)}", head, *labels]


def _words(keys: Sequence[str]) -> list[str]:
    """Return a word for each label; where some differ in case alone, all are numbered."""
    words = [key.replace("_", " ") for key in keys]
    if len({word.casefold() for word in words}) < len(words):
        return [f"option {number}" for number in range(1, len(keys) + 1)]
    return words


def _identity(columns: Mapping[str, Sequence[Value]]) -> str | None:
    keys = [name for name in columns if _KEY.search(name)]
    unique = [name for name in keys if _unique(columns[name])]
    # One customer twice, or one without an id, makes no field of a column that is named as one.
    named = [
        name
        for name in keys
        if name.casefold().endswith("id") and (name in unique or _nearly_unique(columns[name]))
    ]
    return next(iter([*named, *unique]), None)


def _how(cells: Sequence[Value]) -> str:
    return "unique in every row" if _unique(cells) else "some rows repeat it or have none"


def _spare_keys(
    columns: Mapping[str, Sequence[Value]], taken: Sequence[str | None]
) -> dict[str, str]:
    return {
        name: "another number of the row"
        for name, cells in columns.items()
        if name not in taken and _KEY.search(name) and _unique(cells)
    }


def _unique(cells: Sequence[Value]) -> bool:
    amounts = any(isinstance(cell, float) for cell in cells)
    return None not in cells and not amounts and len(set(cells)) == len(cells)


def _nearly_unique(cells: Sequence[Value]) -> bool:
    known = {cell for cell in cells if cell is not None and not isinstance(cell, float)}
    return len(known) >= _NEARLY * len(cells)


def _is_text(cells: Sequence[Value]) -> bool:
    texts = [cell for cell in cells if isinstance(cell, str)]
    known = sum(cell is not None for cell in cells)
    if not texts or len(texts) < 0.8 * known or len(set(texts)) < 0.5 * len(texts):
        return False
    return mean(len(text.split()) for text in texts) >= 4 or mean(map(len, texts)) >= 40


def _ignored(
    columns: Mapping[str, Sequence[Value]], outcome: Sequence[Value], target: str
) -> dict[str, str]:
    """Return the columns that should not reach the model, each with the reason."""
    ignored = {}
    for name, cells in columns.items():
        if _LEAVING.search(target) and said_afterwards(name, target):
            ignored[name] = "by its name it is known only when the customer has left"
        elif _PERSON.search(name):
            ignored[name] = "names or reaches a person"
        elif _tells(cells, outcome):
            ignored[name] = f"a leak, it tells {' '.join(target.split())} almost without error"
    return ignored


def _tells(cells: Sequence[Value], outcome: Sequence[Value]) -> bool:
    """Whether a column, or whether it is filled in, gives one of the labels away."""
    known = [
        (cell, spelling(of)) for cell, of in zip(cells, outcome, strict=True) if of is not None
    ]
    labels = sorted({label for _, label in known})
    if len(labels) > MOST_LABELS:
        return _follows(cells, outcome)
    groups = max(2, min(20, len(known) // 10))  # few, or chance alone would tell
    numbers = sorted(cell for cell, _ in known if isinstance(cell, int | float))
    edges = [numbers[len(numbers) * i // groups] for i in range(1, groups)] if numbers else []
    ways: list[Callable[[Value], object]] = [
        lambda cell: cell is None,
        lambda cell: cell,
        lambda cell: bisect_right(edges, cell) if isinstance(cell, int | float) else cell,
    ]
    return any(
        _parts_well([(way(cell), of == label) for cell, of in known], groups)
        for label in (labels[:1] if len(labels) == 2 else labels)
        for way in ways
    )


def _follows(cells: Sequence[Value], outcome: Sequence[Value]) -> bool:
    """Whether a column is an outcome of many numbers, but for its unit."""
    from scipy.stats import spearmanr

    pairs = [
        (cell, of)
        for cell, of in zip(cells, outcome, strict=True)
        if isinstance(cell, int | float) and isinstance(of, int | float)
    ]
    if len(pairs) < 20 or min(len(set(side)) for side in zip(*pairs, strict=True)) < 2:
        return False
    return abs(float(spearmanr(*zip(*pairs, strict=True)).statistic)) > 0.98


def _parts_well(pairs: Sequence[tuple[object, bool]], groups: int) -> bool:
    found: dict[object, Counter[bool]] = {}
    for group, of in pairs:
        found.setdefault(group, Counter())[of] += 1
    rest = min(sum(of for _, of in pairs), sum(not of for _, of in pairs))
    wrong = sum(min(each[True], each[False]) for each in found.values())
    return rest >= 5 and len(found) <= groups and wrong <= min(0.02 * len(pairs), 0.2 * rest)


def _title(name: str) -> str:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name.replace("_", " "))
    return " ".join(spaced.split())


def _or(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


def _reach(name: str) -> str:
    plain = name.isidentifier() and name.isascii() and name != "fields"
    return f"customer.{name}" if plain else f"customer[{quoted(name)}]"


def _some(rows: Iterable[dict[str, str]], target: str) -> list[dict[str, str]]:
    """Return rows drawn from the whole of a table in their order, with one of each of 21 outcomes.

    Not its first rows: a table may be sorted by its outcome, and a label may be rare.
    """
    rng, drawn, outcomes = random.Random(0), [], dict[str, tuple[int, dict[str, str]]]()
    for number, row in enumerate(rows):
        if len(outcomes) < MOST_LABELS + 1:
            outcomes.setdefault(row.get(target) or "", (number, row))
        if number < GUESSED_ON:
            drawn.append((number, row))
        elif (place := rng.randrange(number + 1)) < GUESSED_ON:
            drawn[place] = number, row
    found = dict([*outcomes.values(), *drawn])
    return [found[number] for number in sorted(found)]
