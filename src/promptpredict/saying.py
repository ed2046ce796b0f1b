"""What trying wordings found: a table and sentences for a person, and a prompt file.

Knows what a choice holds and how honest one has to be about it; computes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from promptpredict.choosing import Choice, Estimate
from promptpredict.plainyaml import quoted
from promptpredict.plural import counted
from promptpredict.prompt import PromptFile
from promptpredict.wordings import Tried, Wording, label_keys, wording_text

SHOWN = 10


@dataclass(frozen=True, slots=True)
class Found:
    """Wordings that were tried, and what is to be said of them."""

    prompt_file: PromptFile
    tried: Tried
    choice: Choice
    hits: npt.NDArray[np.bool_] | None  # (n,) the positive label; None where none were used
    outcome_given: bool

    def text(self) -> str:
        """Return the best wordings as a table, and what the choice is worth in sentences."""
        return "\n".join([*self._table(), "", *self._sentences()])

    def file_text(self, place: int = 0) -> str:
        """Return the wording at a place, 0 the best, as a prompt file; the best has a panel."""
        each = self.tried.wordings[self.choice.order[place]]
        said = [f"Found by promptpredict wordings, place {place + 1}.", self._setting()]
        if place == 0:
            said += self._worth()
        front = [*self._labels(each), *([] if place else self._panel())]
        head = "\n   ".join(said).replace("#}", "# }")
        return wording_text(self.prompt_file, each, front="\n".join(front), head=head)

    # -- the table ---------------------------------------------------------------------------

    def _table(self) -> list[str]:
        order = self.choice.order
        own = len(order) - 1  # the last column
        shown = list(dict.fromkeys([*order[:SHOWN], own, order[-1]]))
        words = f"words for {' / '.join(label_keys(self.prompt_file))}"
        lines = [["", "question", "answer", words, "ROC AUC", "agreement", "label mass"]]
        for column in sorted(shown, key=order.index):
            each = self.tried.wordings[column]
            labelled = self.choice.labelled
            lines.append(
                [
                    str(order.index(column) + 1),
                    each.key,
                    each.answer,
                    each.pair if column == own else self._pair(each),
                    _said(labelled.auc[column]) if labelled else "",
                    _number(self.choice.agreement[column], 2)
                    + (" reversed" if self.choice.agreement[column] < 0 else ""),
                    f"{sorted(self.tried.mass[:, column])[len(self.tried.mass) // 2]:.2g}",
                ]
            )
        kept = [at for at in range(len(lines[0])) if any(line[at] for line in lines[1:])]
        widths = {at: max(len(line[at]) for line in lines) for at in kept}
        return ["  ".join(line[at].ljust(widths[at]) for at in kept).rstrip() for line in lines]

    def _pair(self, each: Wording) -> str:
        """Return the label words, those of the positive label first."""
        sides = ["+".join(each.bad), "+".join(each.good)]
        return " / ".join(sides if self.choice.outcome == "bad" else reversed(sides))

    # -- the sentences -----------------------------------------------------------------------

    def _sentences(self) -> list[str]:
        keys = label_keys(self.prompt_file)
        how = "labels" if self.hits is not None else "the prompt file's own wording"
        how = "as --outcome says" if self.outcome_given else f"by {how}; --outcome overrides it"
        lines = [
            self._setting(),
            f"The positive label, {keys[0]}, is the {self.choice.outcome} outcome ({how}).",
            *self._worth(),
        ]
        against = int((self.choice.agreement < 0).sum())
        if against:
            lines.append(
                f"{against} of {len(self.tried.wordings)} wordings rank customers the other way "
                "round (reversed); none of them was turned."
            )
        return lines

    def _setting(self) -> str:
        count, rows = len(self.tried.wordings), len(self.tried.log_odds)
        if self.hits is None:
            return f"Chosen among {count} wordings by agreement on {counted(rows, 'record')}, without a label."
        key = label_keys(self.prompt_file)[0]
        return f"Chosen among {count} wordings with {counted(rows, 'label')}, {self.hits.sum():,} of them {key}."

    def _worth(self) -> list[str]:
        """Return what the best is worth, with the luck of the choice, and without."""
        choice, labelled = self.choice, self.choice.labelled
        if labelled is None:
            return ["How well they rank customers is not known without labels."]
        best, high = choice.order[0], max(each.value for each in labelled.auc)
        gain = labelled.gain
        better = "it is better" if gain.low > 0 else "not shown to be better"
        verdict = f"{_signed(gain)} against the own wording: {better}."
        if gain.low == gain.high:
            verdict = "as the own wording: these records cannot tell them apart."
        if best == len(choice.order) - 1:
            verdict = "the own wording is the best."
        return [
            f"The best has ROC AUC {_said(labelled.auc[best])} on the records that chose it: partly "
            f"luck, as is the highest, {_number(high)}.",
            f"On records that did not choose it: {_said(labelled.best)}, {verdict}",
            f"The average of the best {len(choice.ensemble)} in log space, likewise: "
            f"{_said(labelled.ensemble)}, {_signed(labelled.ensemble_gain)} against the own wording.",
        ]

    # -- the prompt file ---------------------------------------------------------------------

    def _labels(self, each: Wording) -> list[str]:
        """Return the labels with the words of a wording; none where it is the file's own."""
        if each is self.tried.wordings[-1]:
            return []
        positive = label_keys(self.prompt_file)[0]
        first, other = self._sides(each)
        words = {key: first if key == positive else other for key in self.prompt_file.words}
        return ["labels:", *(f"  {quoted(key)}: {_list(group)}" for key, group in words.items())]

    def _panel(self) -> list[str]:
        """Return the best few as side questions, which have one word for either side."""
        lines = []
        for column in self.choice.ensemble[1:]:  # the first is the file's own question
            each = self.tried.wordings[column]
            first, other = self._sides(each)
            if each is self.tried.wordings[-1] or len(first) > 1 or len(other) > 1:
                continue
            lines.append(f"  {quoted(each.name)}:")
            lines.append(f"    question: {quoted(each.question)}")
            lines += [f"    answer: {quoted(each.answer)}"] if each.answer else []
            lines.append(f"    words: {_list([*first, *other])}")
        return ["panel:", *lines] if lines else []

    def _sides(self, each: Wording) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the words of the positive label, and of the other."""
        return (each.bad, each.good) if self.choice.outcome == "bad" else (each.good, each.bad)


def _list(words: Sequence[str]) -> str:
    return f"[{', '.join(map(quoted, words))}]"


def _number(value: float, digits: int = 3) -> str:
    """Return a share as people write it: .944, -.12, 1.000."""
    return f"{value:.{digits}f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.{digits}f}"


def _said(found: Estimate) -> str:
    return f"{_number(found.value)} ({_number(found.low, 2)} to {_number(found.high, 2)})"


def _signed(found: Estimate) -> str:
    value, low, high = (
        f"{'+' if each >= 0 else ''}{_number(each, digits)}"
        for each, digits in ((found.value, 3), (found.low, 2), (found.high, 2))
    )
    return f"{value} ({low} to {high})"
