"""Comparisons with several language models side by side, as one.

Knows comparisons of the same rows and draws; knows nothing of models but their names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from promptpredict.cases import Comparison
from promptpredict.choices import differences, gap_of
from promptpredict.plans import CHOSEN_WITHOUT, PRIOR, WITHOUT_LM
from promptpredict.results import Flag, base_of
from promptpredict.verdict import judge

NEEDS_NO_LM = {*WITHOUT_LM, PRIOR, CHOSEN_WITHOUT}


def joined(found: Sequence[Comparison], models: Sequence[str]) -> Comparison:
    """Return one comparison; with several models an approach is named ``probe @ model``.

    What needs no language model is the same in each and stands once. Differences are judged anew,
    all models in one family, and each approach with a later model is compared with the same
    approach with the first one, on identical rows.
    """
    if len(found) == 1:
        return found[0]
    whole = Comparison()
    for number, (each, model) in enumerate(zip(found, models, strict=True)):
        named = _named(each, model)
        first = number == 0
        for name in ("rows", "predictions", "shots", "shares"):
            kept = [item for item in getattr(named, name) if first or not _without(item)]
            getattr(whole, name).extend(kept)
        whole.label_mass |= named.label_mass
        whole.truncated |= named.truncated
        whole.resampled |= named.resampled
        whole.notes += [note for note in each.notes if note not in whole.notes]
        flags = [_of_model(flag, model) for flag in each.flags]
        whole.flags += [flag for flag in flags if flag not in whole.flags]
    whole.units, whole.against = found[0].units, found[0].against
    whole.differences, whole.crossovers = differences(
        whole.rows, whole.resampled, units=whole.units, against=whole.against
    )
    whole.differences += _between(whole, models)
    return whole


def _between(whole: Comparison, models: Sequence[str]) -> list[Any]:
    """Return the differences of each approach between a later model and the first."""
    bases = dict.fromkeys(base_of(row.approach) for row in whole.rows if " @ " in row.approach)
    found = []
    for budget in sorted({row.budget for row in whole.rows}):
        gaps = [
            gap_of(
                whole.rows,
                whole.resampled,
                f"{base} @ {other}",
                f"{base} @ {models[0]}",
                budget,
                units=whole.units,
            )
            for other in models[1:]
            for base in bases
        ]
        found += judge([each for each in gaps if each], budget=budget)
    return found


def _named(found: Comparison, model: str) -> Comparison:
    def name(approach: str) -> str:
        return approach if approach in NEEDS_NO_LM else f"{approach} @ {model}"

    def renamed(item: Any) -> Any:
        if isinstance(item, dict):
            return item | {"approach": name(item["approach"])}
        return item.model_copy(update={"approach": name(item.approach)})

    return replace(
        found,
        rows=[renamed(row) for row in found.rows],
        predictions=[renamed(each) for each in found.predictions],
        shots=[renamed(each) for each in found.shots],
        shares=[renamed(each) for each in found.shares],
        label_mass={name(approach): mass for approach, mass in found.label_mass.items()},
        truncated={name(approach): count for approach, count in found.truncated.items()},
        resampled={(name(key[0]), *key[1:]): drawn for key, drawn in found.resampled.items()},
    )


def _of_model(flag: Flag, model: str) -> Flag:
    """Return a flag with the model's name, where it is about one."""
    if flag.kind not in ("reversed", "memorised"):
        return flag
    return flag.model_copy(update={"text": f"{model}: {flag.text}"})


def _without(item: Any) -> bool:
    return (item["approach"] if isinstance(item, dict) else item.approach) in NEEDS_NO_LM
