"""What a cascade is worth at each share of customers whom it asks the language model for, and what it costs.

Knows a fitted cascade, outcomes, and how figures are made of them; knows nothing of models or pages.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from promptpredict.calibration import Floats
from promptpredict.cascade import CascadeClassifier
from promptpredict.cases import Key, Outcome
from promptpredict.records import Record
from promptpredict.results import Row, Share, Value
from promptpredict.verdict import Gap

SHARES = (0.0, 0.1, 0.25, 0.5, 1.0)
SHOWN = ("roc_auc", "gain", "log_loss", "tokens_per_1000", "seconds_per_1000")


def at_shares(
    cascade: CascadeClassifier,
    found: Outcome,
    tested: list[Record],
    say: Callable[[CascadeClassifier], tuple[Floats, float, float]],
) -> Outcome:
    """Return the outcome of a cascade with those at every share beside it.

    ``say`` returns what a cascade says of the ``tested`` rows, the seconds and the tokens.
    """
    shares = {}
    for share in SHARES:
        each = cascade.at(share)
        said, seconds, tokens = say(each)
        shares[share] = replace(
            found,
            probabilities=said,
            seconds=seconds,
            tokens=tokens,
            asked=float(each.asked(tested).mean()),
        )
    return replace(found, shares=shares)


def share_rows(figures: Any, key: Key, outcomes: Sequence[Outcome], **given: Any) -> list[Share]:
    """Return the figures at each share, of the outcomes of all folds; ``given`` is that of ``row``.

    The gain over asking nobody is taken on the same resamples of the test rows as both.
    """
    found: list[Share] = []
    nobody = None
    for share in SHARES:
        parts = [outcome.shares[share] for outcome in outcomes]
        row, drawn = figures.row(key, parts, **given)
        nobody = nobody or (row, drawn)
        gain = _gain(row, nobody[0], drawn - nobody[1], given["units"])
        metrics = {name: value for name, value in row.metrics.items() if name in SHOWN}
        sizes = [len(part.draw.test) for part in parts]
        asked = float(np.average([part.asked for part in parts], weights=sizes))
        told = row.model_dump() | {"metrics": metrics | {"gain": gain}}
        found.append(Share(**told, share=share, asked=asked))
    return found


def _gain(row: Row, nobody: Row, drawn: Floats, units: float) -> Value:
    """Return by how much more the ROC AUC is, with the 95 % interval of resamples (b,)."""
    ours, theirs = (each.metrics["roc_auc"].value for each in (row, nobody))
    if ours is None or theirs is None:
        return Value(value=None)
    gap = Gap(
        approach=row.approach,
        against=nobody.approach,
        metric="roc_auc",
        value=ours - theirs,
        resampled=drawn,
        units=units,
    )
    return Value.of(gap.value, *gap.ends(0.95))
