"""The estimator of each approach, as a comparison fits it.

Knows the estimators and a plan; knows nothing of splits or figures.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from promptpredict.approach import Approach
from promptpredict.calibration import MIN_ROWS
from promptpredict.cases import Draw
from promptpredict.encoders import Embedder
from promptpredict.plans import BY_SELECT, CASCADE, SHOT_SETS, TUNED, ZERO_SHOT, Plan
from promptpredict.prompt import PromptFile
from promptpredict.scores import LanguageModel


def estimator_of(
    approach: str,
    prompt_file: PromptFile,
    plan: Plan,
    draw: Draw,
    *,
    shots: int,
    model: LanguageModel | None,
    encoder: Embedder,
    adapters: Path | None = None,
) -> Approach:
    """Return the estimator of an approach for a draw of labelled rows, with so many shots.

    ``adapters`` is the folder in which those that are trained stay.
    """
    from promptpredict import estimators
    from promptpredict.cascade import CascadeClassifier
    from promptpredict.panels import PanelClassifier
    from promptpredict.tuned import TunedClassifier

    by_lm: dict[str, Any] = {"model": model, "encoder": encoder}
    given: dict[str, Any] = {"random_state": draw.seed}
    if approach == ZERO_SHOT:
        known = plan.base_rate is not None and len(draw.train) >= MIN_ROWS
        calibration: Any = "platt" if draw.budget else "base_rate" if known else "none"
        return estimators.PromptClassifier(
            prompt_file, calibration=calibration, calibration_rows=1 << 30,
            base_rate=plan.base_rate, random_state=None, **by_lm,
        )  # fmt: skip
    if approach.startswith("few-shot"):
        own = approach.removeprefix("few-shot").removeprefix("-")
        select: Any = plan.select if approach in BY_SELECT else own
        sets = SHOT_SETS if approach == "few-shot-sets" else 1
        # A draw is in random order, and nested: its first rows are shots at every larger budget,
        # so that prompts behind the same shots are read once.
        return estimators.PromptClassifier(
            prompt_file, shots=shots, shot_sets=sets, select=select, random_state=None, **by_lm
        )
    if approach == "probe":
        return estimators.ProbeClassifier(prompt_file, **by_lm, **given)
    if approach == "probe-shots":
        return estimators.ProbeClassifier(prompt_file, shots=shots, random_state=None, **by_lm)
    if approach == TUNED:
        return TunedClassifier(prompt_file, model=model or "auto", keep=adapters, **given)
    if approach == CASCADE:
        return CascadeClassifier(prompt_file, **by_lm | {"model": model or "auto"}, **given)
    if approach == "panel":
        return PanelClassifier(prompt_file, model=model or "auto", **given)
    return _without_lm(approach, prompt_file, encoder=encoder, random_state=draw.seed)


def _without_lm(approach: str, prompt_file: PromptFile, **given: Any) -> Approach:
    """Return the estimator of an approach without a language model."""
    from promptpredict import baselines

    encoder = given.pop("encoder")
    if approach == "embedding":
        return baselines.EmbeddingClassifier(prompt_file, encoder=encoder, **given)
    if approach.startswith("fusion"):
        head: Any = approach.removeprefix("fusion").removeprefix("-") or "linear"
        return baselines.FusionClassifier(prompt_file, head=head, encoder=encoder, **given)
    if approach == "text":
        return baselines.TextClassifier(prompt_file, **given)
    if approach.startswith("structured"):
        kind: Any = "trees" if approach.endswith("-trees") else "linear"
        return baselines.StructuredClassifier(prompt_file, kind=kind, **given)
    return baselines.PriorClassifier(prompt_file)
