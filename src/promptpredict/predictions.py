"""Predictions out: what a run has scored becomes the lines of its output and of its rejects.

Knows scored blocks, a calibration and the columns of the output; knows nothing of models.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from promptpredict.amountcalibration import AmountCalibration
from promptpredict.calibration import Calibration
from promptpredict.checking import AMOUNT_COLUMNS, Given
from promptpredict.records import Reject
from promptpredict.shotsets import spread
from promptpredict.spool import Scored
from promptpredict.summary import Summary
from promptpredict.writing import Writer, write_rejects

LOW_MASS = "low mass"  # the language model would say something else
MOVED = "text decides"  # further than --guard allows
UNGUARDED = "not guarded"  # the row could not be scored without its text


def write_predictions(
    given: Given,
    scored: Iterable[Scored],
    calibration: Calibration | AmountCalibration,
    summary: Summary,
) -> None:
    """Write predictions and rejects, counting them in ``summary``; ``scored`` is gone through twice."""
    out, summary.sets = given.options.out, given.options.shot_sets
    with Writer(out, given.columns) as writer:
        for block in scored:
            writer.write(_lines(given, block, calibration.apply(block.logprobs), summary))
            if block.by_set is not None and isinstance(calibration, Calibration):
                summary.unsteady += _unsteady(given, block, calibration)
        writer.finish()
        summary.rejects = write_rejects(out, _rejected(scored, summary))
    summary.rows = sum(summary.by_method.values()) + summary.rejected


def _lines(
    given: Given, block: Scored, probabilities: Any, summary: Summary
) -> Iterator[Mapping[str, Any]]:
    """Yield the lines of a block's rows, counting them."""
    apart = None if block.by_set is None else spread(block.by_set)  # (n,)
    for index, row in enumerate(block.rows):
        if index in block.faults:
            continue
        fallen = block.fallback.get(index)
        found = probabilities[index].tolist() if fallen is None else fallen
        mass = float(str(block.mass[index])) if fallen is None else None  # float32's digits
        method = "llm" if fallen is None else "embedding"
        truncated = bool(block.truncated[index]) and fallen is None
        summary.by_method[method] = summary.by_method.get(method, 0) + 1
        summary.truncated += truncated
        low = mass is not None and mass < given.flag_mass
        summary.low += low
        flags = [LOW_MASS] if low else []
        if fallen is None and block.moved is not None:
            flags += _guarded(given, float(block.moved[index]))
        summary.moved += MOVED in flags
        far = None if apart is None or fallen is not None else float(apart[index])
        if mass is not None:
            summary.masses[float(f"{mass:.3g}")] += 1
        if far is not None:
            summary.spreads[float(f"{far:.3g}")] += 1
        yield {
            given.id_column: block.ids[index] if given.prompt_file.front.id else row,
            **_said(given, found),
            "label_mass": mass,
            "spread": far,
            "method": method,
            "truncated": truncated,
            "flags": "; ".join(flags),
            **block.kept[index],
        }


def _unsteady(given: Given, block: Scored, calibration: Calibration) -> int:
    """Count the rows of a block whose prediction is not the same behind every set of shots."""
    by_set = [calibration.apply(block.by_set[:, at]) for at in range(block.by_set.shape[1])]
    scored = set(range(len(block.rows))).difference(block.faults, block.fallback)
    return sum(
        len({_prediction(given, found[index].tolist()) for found in by_set}) > 1 for index in scored
    )


def _said(given: Given, found: Sequence[float]) -> dict[str, Any]:
    """Return prediction and probabilities, or an amount and the ends of its interval."""
    if given.prompt_file.front.bins:
        return dict(zip(AMOUNT_COLUMNS, found, strict=True))
    shares = {f"p_{key}": p for key, p in zip(given.labels, found, strict=True)}
    return {"prediction": _prediction(given, found), **shares}


def _guarded(given: Given, moved: float) -> list[str]:
    if not math.isfinite(moved):
        return [UNGUARDED]
    return [MOVED] if moved > (given.options.guard or 0) else []


def _prediction(given: Given, probabilities: Sequence[float]) -> str:
    labels, threshold = given.labels, given.options.threshold
    if threshold is None or given.positive is None:
        return labels[max(range(len(labels)), key=lambda at: probabilities[at])]
    column = labels.index(given.positive)
    return labels[column if probabilities[column] >= threshold else 1 - column]


def _rejected(scored: Iterable[Scored], summary: Summary) -> Iterator[Mapping[str, Any]]:
    """Yield the rejects in the order of their rows, counting them."""
    for block in scored:
        faults = [
            Reject(block.rows[index], block.ids[index], fault)
            for index, fault in block.faults.items()
        ]
        for reject in sorted([*block.rejects, *faults], key=lambda each: each.row):
            summary.first_reject = summary.first_reject or reject
            summary.rejected += 1
            yield {"row": reject.row, "id": reject.id, "reason": reject.reason}
