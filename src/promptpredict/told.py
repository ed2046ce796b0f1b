"""What `explain` found, as data, as JSON and as text for a terminal.

Knows explanations, contrasts and what they come to; computes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import BaseModel, Field

from promptpredict.contrast import Contrast
from promptpredict.explain import Explanation
from promptpredict.importance import Faithfulness, Importance
from promptpredict.means import Mean
from promptpredict.plural import counted
from promptpredict.spacing import plain

CUSTOMERS = 5  # that the text shows; the files hold all
REASONS = 6  # of each
COLUMNS = 15
_BAR = 12  # letters
_WIDE = 60  # letters of a value
_OF_COLUMNS = ("structured", "fusion")  # approaches that learn from columns, not from prompts alone


class Told(BaseModel, frozen=True):
    """All that was found of the customers of a table."""

    schema_: Literal[1] = Field(default=1, alias="schema")
    table: str
    prompt: str
    target: str
    approach: str
    adapter: str = ""  # the name of its folder
    typical: bool
    calibrated: bool
    explanations: tuple[Explanation, ...]
    contrasts: tuple[Contrast, ...] = ()
    importances: tuple[Importance, ...] = ()
    faithfulness: Faithfulness | None = None
    faults: dict[int, str] = {}

    def text(self) -> str:
        """Return it for a terminal: the first customers, then what they come to."""
        lines: list[str] = []
        contrasts = {each.row: each for each in self.contrasts}
        for each in self.explanations[:CUSTOMERS]:
            lines += [*self._customer(each), *_contrast(contrasts.get(each.row)), ""]
        if (more := len(self.explanations) - CUSTOMERS) > 0:
            lines += [f"{more:,} more; --out FOLDER writes them all.", ""]
        if len(self.explanations) > 1:
            lines += [*self._columns(), ""]
        lines += self._said()
        return "\n".join(lines).rstrip()

    def how(self) -> str:
        """Return in a sentence what an effect is."""
        fields, more = "is not shown, or shown as missing", ""
        if self.typical:
            fields = "has its typical value"
        elif self.approach.startswith(_OF_COLUMNS):
            fields = "is missing"
            more = " That a field is missing may tell something itself; --typical gives it its usual value."
        return (
            f"An effect is what a field or a sentence adds to the log-odds of the label: what they lose "
            f"when the field {fields}, or the sentence is cut.{more}"
        )

    def holds(self) -> str | None:
        """Return in a sentence whether the reasons are the reasons; None where that was not measured."""
        found = self.faithfulness
        if found is None:
            return None
        return (
            f"Without its three strongest reasons a customer's log-odds move by {found.top:.2f}, "
            f"without any three by {found.random:.2f}: by {spread(found.more)} more, and further for "
            f"{found.ahead:.0%} of {counted(found.n, 'customer')}."
        )

    def level(self) -> str | None:
        """Return what is to be known of the probabilities; None where they are calibrated."""
        if self.calibrated:
            return None
        return (
            "Probabilities are not calibrated (--calibration of a score, or --train). Effects need no "
            "calibration."
        )

    def _customer(self, each: Explanation) -> Iterator[str]:
        name = f"row {each.row}" + (f" ({plain(each.id)})" if each.id else "")
        level = f"log-odds {signed(each.log_odds)}, probability {each.probability:.3f}"
        yield f"{name}: {self.target} {each.label} has {level}"
        strongest = each.reasons[:REASONS]
        most = max((abs(reason.effect) for reason in strongest), default=0.0)
        for reason in strongest:
            bar = "█" * round(_BAR * abs(reason.effect) / most) if most else ""
            yield f"  {signed(reason.effect)}  {bar:<{_BAR}}  {reason.part.describe()}"
        if (both := together_text(each)) is not None:
            yield f"  {both}"

    def _columns(self) -> Iterator[str]:
        shown = self.importances[:COLUMNS]
        width = max((len(each.name) for each in shown), default=0)
        yield f"How much each column moves the log-odds of {len(self.explanations):,} customers (mean, 95 %):"
        for each in shown:
            adds = "" if each.adds is None else f", adds {signed(each.adds.mean)}"
            some = "" if each.n == len(self.explanations) else f" (the {each.n:,} that have it)"
            yield f"  {each.name:<{width}}  {spread(each.moves)}{adds}{some}"
        if more := len(self.importances) - len(shown):
            yield f"  and {more} more"

    def _said(self) -> list[str]:
        return [text for text in (self.how(), self.holds(), self.level()) if text]


def _contrast(found: Contrast | None) -> Iterator[str]:
    if found is not None:
        yield f"  {contrast_text(found)}"


def contrast_text(found: Contrast) -> str:
    """Return in a sentence what would bring a customer under the threshold."""
    changes = ", ".join(
        f"{each.name} {plain(each.before, _WIDE)} → {plain(each.after, _WIDE)}"
        for each in found.changes
    )
    moved = f"{found.before:.3f} to {found.after:.3f}"
    if found.reached:
        return (
            f"under the threshold with {changes}: {moved}"
            if changes
            else "already under the threshold"
        )
    nearest = f"; the nearest is {changes}: {moved}" if changes else ""
    return f"no change that was tried brings it under the threshold{nearest}"


def together_text(each: Explanation) -> str | None:
    """Return in words what the two strongest reasons add together beyond both; None for fewer."""
    if each.together is None:
        return None
    one, other = (reason.part.describe(40) for reason in each.strongest[:2])
    return f"{signed(each.together)} beyond both alone: {one} and {other} together"


def signed(value: float) -> str:
    """Return a number with its sign and two places."""
    return f"{value:+.2f}".replace("-", "−")


def spread(value: Mean) -> str:
    """Return a mean with its interval."""
    if value.low is None or value.high is None:
        return f"{value.mean:.2f}"
    return f"{value.mean:.2f} ({value.low:.2f} to {value.high:.2f})".replace("-", "−")
