"""What `explain` found as files: explanations.json, and a page that needs nothing else.

Knows the page; knows nothing of how the figures came about. All that a user or a customer wrote is
escaped; the page has no script and loads nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

from promptpredict.explain import Explanation, Reason
from promptpredict.told import COLUMNS, Told, contrast_text, signed, spread, together_text
from promptpredict.writing import make_folder, whole, writable

TEMPLATE = Path(__file__).parent / "data" / "explanations.html"
SHOWN = 200  # customers on a page; the JSON holds all
REASONS = 8  # of each
_STRONG = 0.25  # of a customer's strongest effect, from which a sentence shows its own


def write_told(folder: Path, told: Told) -> list[Path]:
    """Write explanations.json and explanations.html into a folder, each whole or not at all.

    Both hold what customers wrote. Raises DataError where the folder cannot be written.
    """
    make_folder(folder)
    texts = {
        "explanations.json": told.model_dump_json(indent=1, by_alias=True) + "\n",
        "explanations.html": render(told),
    }
    for name, text in texts.items():
        with writable(str(folder / name)), whole(folder / name) as draft:
            draft.write_text(text, encoding="utf-8")
    return [folder / name for name in texts]


def render(told: Told) -> str:
    """Return the page as HTML."""
    from promptpredict.theme import page

    contrasts = {each.row: contrast_text(each) for each in told.contrasts}
    return page(
        TEMPLATE,
        {"signed": signed, "spread": spread},
        told=told,
        customers=[_card(each, contrasts) for each in told.explanations[:SHOWN]],
        more=max(len(told.explanations) - SHOWN, 0),
        columns=[
            {"each": each, "width": 100 * each.moves.mean / (told.importances[0].moves.mean or 1)}
            for each in told.importances[:COLUMNS]
        ],
    )


@dataclass(frozen=True)
class Piece:
    """A stretch of a customer's text; ``effect`` is its sentence's, None between sentences."""

    text: str
    effect: float | None = None
    shade: float = 0.0  # -1 to 1: its share of the customer's strongest effect
    told: bool = False  # whether its effect stands beside it


def _card(each: Explanation, contrasts: dict[int, str]) -> dict[str, Any]:
    """Return what the page shows of a customer."""
    most = max((abs(reason.effect) for reason in each.reasons), default=0.0) or 1.0
    return {
        "each": each,
        "bars": [
            {"reason": reason, "width": 50 * abs(reason.effect) / most}
            for reason in each.reasons[:REASONS]
        ],
        "hidden": max(len(each.reasons) - REASONS, 0),
        "texts": {column: _pieces(own, most) for column, own in _texts(each).items()},
        "together": together_text(each),
        "contrast": contrasts.get(each.row),
    }


def _texts(each: Explanation) -> dict[str, list[Reason]]:
    """Return the reasons of each text column."""
    found: dict[str, list[Reason]] = {}
    for reason in each.reasons:
        if reason.part.kind != "field":
            found.setdefault(reason.part.column, []).append(reason)
    return found


def _pieces(reasons: Sequence[Reason], most: float) -> list[Piece]:
    """Return a text as sentences, each with its effect, and what stands between them."""
    cut = [(reason.part.span, reason) for reason in reasons if reason.part.span is not None]
    cut.sort(key=itemgetter(0))
    wholes = [reason.part.text for reason in reasons if reason.part.kind == "text"]
    text, start = wholes[0] if wholes else None, 0
    found = []
    for (first, end), reason in cut:
        if text is not None and first > start:
            found.append(Piece(text[start:first]))
        share = reason.effect / most
        found.append(Piece(reason.part.text, reason.effect, share, abs(share) >= _STRONG))
        start = end
    return found
