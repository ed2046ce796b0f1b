"""What makes figures of a table look better than they are: columns and texts from afterwards.

Knows records, labels and names of columns; knows nothing of models or metrics of approaches. A
flag is a suspicion in one line, on training rows alone, and never quotes a customer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
import numpy.typing as npt

from promptpredict.hindsight import said_afterwards, wordings
from promptpredict.prompt import PromptFile
from promptpredict.records import Record
from promptpredict.results import Flag
from promptpredict.splits import Split, duplicates
from promptpredict.values import Value

ALONE = 0.98  # ROC AUC from which one column gives the answer, whatever its name
NAMED = 0.65  # and from which one does whose name says that it is known only afterwards
MIN_ROWS = 10  # of a label, and of the others: with fewer, chance alone parts them
MOST_ROWS = 20_000  # more change no ROC AUC of a column that matters here
FEW_VALUES = 20  # of a column, which repeat in every table
MIN_TEXTS = 5
IGNORE = "possible: ignore it in the prompt file"
Array = npt.NDArray[np.float64]


def find_leaks(records: Sequence[Record], y: Sequence[str], prompt_file: PromptFile) -> list[Flag]:
    """Return flags for what the prompt file shows of training rows and may be from afterwards.

    ``y`` are the records' label keys. A column is flagged that parts a label from the others by
    itself, or that does so less well and has a name that says it is from afterwards (an id never
    is, unless it is shown and ordered by outcome); a text column, where wordings of people who
    have left stand mostly with one label (English ones); and values that repeat in rows of one
    label alone.
    """
    every, labels = records, y
    if len(records) > MOST_ROWS:
        chosen = np.sort(np.random.default_rng(0).permutation(len(records))[:MOST_ROWS])
        records, y = [records[at] for at in chosen], [y[at] for at in chosen]
    shown = {
        column: [record.values[column] for record in records]
        for column in (records[0].values if records else ())
        if prompt_file.shows(column)
    }
    texts = [column for column in prompt_file.front.text if column in shown]
    flags = []
    for column, cells in shown.items():
        named = said_afterwards(column, prompt_file.front.target)
        for what, judged in _ways(column, cells, text=column in texts):
            tell = _best(judged, y, prompt_file)
            if leak := _leak(column, what, tell, len(y), named=named):
                flags += leak
                break
    found = {flag.column for flag in flags}
    flags += [flag for flag in _latest(shown, y, prompt_file) if flag.column not in found]
    for column in texts:
        flags += _afterwards(column, shown[column], y)
    found = {flag.column for flag in flags}
    return [*flags, *_copied(every, labels, [each for each in shown if each not in found])]


def repeated(
    splits: Sequence[Split], contents: Sequence[Hashable], numbers: Sequence[int]
) -> Flag | None:
    """Return a flag for test rows that training rows repeat; ``numbers`` are rows of the table."""
    rows = sorted({numbers[row] for split in splits for row in duplicates(split, contents)})
    if not rows:
        return None
    count = sum(len(split.test) for split in splits)
    first = ", ".join(f"{row:,}" for row in rows[:5]) + (", …" if len(rows) > 5 else "")
    text = (
        f"{len(rows):,} of {count:,} test rows show a prompt the same as a training row "
        f"(row {first}): what is fitted has as good as seen them, which flatters it; possible: "
        "remove repeated rows, or keep them together as groups"
    )
    return Flag(kind="duplicates", column=None, text=text)


# -- columns -----------------------------------------------------------------------------------


def _ways(
    column: str, cells: Sequence[Value], *, text: bool
) -> Iterator[tuple[str, Sequence[Value]]]:
    """Yield what a column is judged by: its values, and of a text column its length.

    The values of a text column only where texts repeat: then they are words for something.
    """
    known = [cell for cell in cells if cell is not None]
    if not text or len(set(known)) <= len(known) / 2:
        yield f"'{column}'", cells
    if text:
        yield (
            f"the length of '{column}'",
            [len(str(cell).split()) if cell else None for cell in cells],
        )


@dataclass(frozen=True)
class _Tell:
    """How well a column tells a label; ``filled`` where the cells need not even be read.

    ``pure`` says that nearly all customers who have a value have one and the same label.
    """

    label: str
    auc: float
    filled: bool
    pure: bool


def _leak(column: str, what: str, tell: _Tell | None, rows: int, *, named: bool) -> list[Flag]:
    if tell and tell.auc > ALONE:
        what = f"whether {what} has a value" if tell.filled else what
        text = (
            f"{what} alone gives the label '{tell.label}' away (ROC AUC {tell.auc:.3f} on "
            f"{rows:,} training rows): it may be from after the outcome; {IGNORE}"
        )
    elif named and tell is None:  # too few rows to see whether it does harm
        text = f"'{column}' is by its name known only after the outcome; {IGNORE}"
    elif named and tell and (tell.auc > NAMED or tell.pure):
        text = (
            f"'{column}' is by its name known only after the outcome, and goes with the label "
            f"'{tell.label}' (ROC AUC {tell.auc:.3f} on {rows:,} training rows); {IGNORE}"
        )
    else:
        return []
    return [Flag(kind="leak", column=column, text=text)]


def _best(cells: Sequence[Value], y: Sequence[str], prompt_file: PromptFile) -> _Tell | None:
    """Return the label that a column tells best; None where labels have too few rows."""
    known = np.array([cell is not None for cell in cells])
    tells = []
    for label in _labels(prompt_file):
        of = np.array([key == label for key in y])
        if min(of.sum(), (~of).sum()) < MIN_ROWS:
            continue
        filled = _either_way(of, known.astype(float))
        auc = max(filled, *_aucs(cells, of))
        tells.append(_Tell(label, auc, filled >= auc - 0.005, _pure(known, y)))
    return max(tells, key=lambda tell: tell.auc, default=None)


def _labels(prompt_file: PromptFile) -> list[str]:
    """Return the labels that are to be told from the others: of two, one."""
    labels = list(prompt_file.words)
    return labels if len(labels) > 2 else [prompt_file.front.positive or labels[0]]


def _pure(known: npt.NDArray[np.bool_], y: Sequence[str]) -> bool:
    """Whether nearly all rows that have a value have one label, which is not nearly everybody's."""
    keys = Counter(key for key, has in zip(y, known, strict=True) if has)
    if (count := keys.total()) < MIN_TEXTS:
        return False
    label, right = keys.most_common(1)[0]
    return right >= 0.95 * count and list(y).count(label) <= 0.8 * len(y)


def _aucs(cells: Sequence[Value], of: npt.NDArray[np.bool_]) -> Iterator[float]:
    """Yield the ROC AUCs of the ways to read a column: by the order of its values, by each value.

    A value counts as what rows of other folds with it have for an outcome, so that a column of
    many values does not tell the rows that it was read from.
    """
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold
    from sklearn.preprocessing import TargetEncoder

    numbers = _numbers(cells)
    read = ~np.isnan(numbers)
    yield 0.5
    if read.mean() >= 0.5 and min(of[read].sum(), (~of[read]).sum()) >= MIN_ROWS:
        yield _either_way(of[read], numbers[read])
    found, means = _categories(cells, numbers)[:, None], np.zeros(len(of))
    for train, test in StratifiedKFold(5, shuffle=True, random_state=0).split(found, of):
        encoder = TargetEncoder(target_type="binary").fit(found[train], of[train].astype(int))
        means[test] = encoder.transform(found[test])[:, 0]
    yield float(roc_auc_score(of, means))


def _either_way(of: npt.NDArray[np.bool_], scores: Array) -> float:
    from sklearn.metrics import roc_auc_score

    auc = float(roc_auc_score(of, scores))
    return max(auc, 1 - auc)


def _numbers(cells: Sequence[Value]) -> Array:
    """Return cells as numbers, NaN where one is none; codes of their own by their order."""
    numbers = np.array([number_of(cell) for cell in cells])
    texts = [cell for cell in cells if isinstance(cell, str)]
    if len(texts) > len(cells) / 2 and len(set(texts)) >= 0.9 * len(texts):
        at = {text: float(place) for place, text in enumerate(sorted(set(texts)))}
        numbers = np.array([at.get(cell, np.nan) if isinstance(cell, str) else np.nan for cell in cells])  # fmt: skip
    return numbers


def number_of(cell: Value) -> float:
    """Return a number, or a date as its day; NaN of a word and of nothing."""
    if isinstance(cell, datetime):
        return cell.toordinal() + (cell.hour * 60 + cell.minute) / 1440
    if isinstance(cell, date):
        return float(cell.toordinal())
    return np.nan if cell is None or isinstance(cell, str) else float(cell)


def _categories(cells: Sequence[Value], numbers: Array) -> npt.NDArray[np.object_]:
    """Return cells as text, numbers of many values as one of 20 bins, missing ones as a value."""
    found = np.array(["" if cell is None else str(cell) for cell in cells], dtype=object)
    read = np.array([not isinstance(cell, str) for cell in cells]) & ~np.isnan(numbers)
    if len(np.unique(numbers[read])) > 20:
        edges = np.quantile(numbers[read], np.linspace(0, 1, 21)[1:-1])
        found[read] = np.searchsorted(edges, numbers[read]).astype(str)
    return found


def _latest(
    shown: dict[str, list[Value]], y: Sequence[str], prompt_file: PromptFile
) -> Iterator[Flag]:
    """Yield date columns that are later than all others of the row, but for one label only."""
    dates = {
        column: numbers
        for column, cells in shown.items()
        if any(isinstance(cell, date) for cell in cells)
        and not np.isnan(numbers := _numbers(cells)).all()
    }
    for column, numbers in dates.items():
        others = [other for name, other in dates.items() if name != column]
        if not others:
            return
        later = numbers > np.fmax.reduce(others)  # never where one of the two is missing
        for label in _labels(prompt_file):
            of = np.array([key == label for key in y])
            count, right = int(later.sum()), int((later & of).sum())
            mostly = right >= 0.95 * count and right >= of.sum() / 2 and of.mean() <= 0.8
            if count >= MIN_ROWS and mostly:
                text = (
                    f"'{column}' is later than every other date in {count:,} training rows, "
                    f"{right:,} of them with the label '{label}': it may be from after the "
                    f"outcome; {IGNORE}"
                )
                yield Flag(kind="leak", column=column, text=text)


def _copied(records: Sequence[Record], y: Sequence[str], columns: Sequence[str]) -> Iterator[Flag]:
    """Yield a flag where values repeat among rows of one label, in the column that shows it best.

    A table whose rare label was multiplied has its copies on both sides of a split. They need not be
    whole rows: another date, or another channel, and the premium to the cent tells them still. Rows
    of one group count once, as they stand on one side. Judged on all records, since a sample of
    them loses the copies.
    """
    from sklearn.metrics import roc_auc_score

    keys = np.array(y)
    hits = {label: keys == label for label in sorted(set(y))}
    found: list[tuple[float, str, str]] = []
    for column in columns:
        cells = [record.values[column] for record in records]
        units = {
            (cell, record.group or record.row) for cell, record in zip(cells, records, strict=True)
        }
        counts: Counter[Value] = Counter(cell for cell, _ in units if cell is not None)
        copies = sum(count for count in counts.values() if count > 1)
        # One value for very many is a default, or a round sum.
        if len(counts) <= FEW_VALUES or max(counts.values()) > copies / 2:
            continue
        often = [counts.get(cell, 1) for cell in cells]
        for label, hit in hits.items():
            if min(hit.sum(), (~hit).sum()) >= MIN_ROWS:
                found.append((float(roc_auc_score(hit, often)), column, label))
    auc, column, label = max(found, default=(0.0, "", ""))
    if auc > ALONE:
        text = (
            f"values of '{column}' repeat in rows of the label '{label}' and hardly in others (ROC "
            f"AUC {auc:.3f} of how often, on {len(y):,} training rows): its rows may be copies of one "
            "another, which flatters what is fitted; possible: --group with a column that tells "
            "them, or one row of each"
        )
        yield Flag(kind="duplicates", column=column, text=text)


# -- texts -------------------------------------------------------------------------------------


def _afterwards(column: str, cells: Sequence[Value], y: Sequence[str]) -> Iterator[Flag]:
    """Yield a flag where wordings of afterwards stand mostly with one label."""
    from scipy.stats import binomtest

    hits = wordings([str(cell or "") for cell in cells])
    hit = np.any(list(hits.values()), axis=0)
    if (count := int(hit.sum())) < MIN_TEXTS:
        return
    for label in sorted(set(y)):
        of = np.array([key == label for key in y])
        inside, outside = hit[of].mean(), hit[~of].mean() if (~of).any() else 0.0
        right = int((hit & of).sum())
        chance = binomtest(right, count, float(of.mean()), alternative="greater").pvalue
        if right > count / 2 and inside > 3 * outside and chance < 0.01:
            often = sorted(hits, key=lambda name: -sum(hits[name]))[:2]
            such = " or ".join(f"'{name}'" for name in often if any(hits[name]))
            text = (
                f"'{column}' has wordings from after the outcome, such as {such}, in {count:,} of "
                f"{len(y):,} training rows: {right:,} with the label '{label}' ({inside:.1%} of "
                f"its rows), {count - right:,} with others ({outside:.1%}); possible: only texts "
                "from before the outcome"
            )
            yield Flag(kind="after the outcome", column=column, text=text)
