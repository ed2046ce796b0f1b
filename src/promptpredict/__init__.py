"""Score customer outcomes with a local language model, and compare with sentence embeddings.

The public names. Each is imported when it is first asked for, so that `import promptpredict`
takes no time and the command line can answer at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from promptpredict.baselines import (
        EmbeddingClassifier,
        FusionClassifier,
        PriorClassifier,
        StructuredClassifier,
        TextClassifier,
    )
    from promptpredict.cascade import CascadeClassifier
    from promptpredict.errors import DataError, ModelError, PromptError, PromptPredictError
    from promptpredict.estimators import ProbeClassifier, PromptClassifier
    from promptpredict.eventframes import with_events
    from promptpredict.panels import PanelClassifier
    from promptpredict.prompt import PromptFile
    from promptpredict.promptregressors import ProbeRegressor, PromptRegressor
    from promptpredict.regressors import (
        EmbeddingRegressor,
        FusionRegressor,
        MedianRegressor,
        StructuredRegressor,
        TextRegressor,
    )
    from promptpredict.stacking import StackClassifier
    from promptpredict.tuned import TunedClassifier

__version__ = "0.1.0"
__all__ = [
    "CascadeClassifier",
    "DataError",
    "EmbeddingClassifier",
    "EmbeddingRegressor",
    "FusionClassifier",
    "FusionRegressor",
    "MedianRegressor",
    "ModelError",
    "PanelClassifier",
    "PriorClassifier",
    "ProbeClassifier",
    "ProbeRegressor",
    "PromptClassifier",
    "PromptError",
    "PromptFile",
    "PromptPredictError",
    "PromptRegressor",
    "StackClassifier",
    "StructuredClassifier",
    "StructuredRegressor",
    "TextClassifier",
    "TextRegressor",
    "TunedClassifier",
    "__version__",
    "with_events",
]
_HOMES = {
    "CascadeClassifier": "cascade",
    "DataError": "errors",
    "EmbeddingClassifier": "baselines",
    "EmbeddingRegressor": "regressors",
    "FusionClassifier": "baselines",
    "FusionRegressor": "regressors",
    "MedianRegressor": "regressors",
    "ModelError": "errors",
    "PanelClassifier": "panels",
    "PriorClassifier": "baselines",
    "ProbeClassifier": "estimators",
    "ProbeRegressor": "promptregressors",
    "PromptClassifier": "estimators",
    "PromptError": "errors",
    "PromptFile": "prompt",
    "PromptPredictError": "errors",
    "PromptRegressor": "promptregressors",
    "StackClassifier": "stacking",
    "StructuredClassifier": "baselines",
    "StructuredRegressor": "regressors",
    "TextClassifier": "baselines",
    "TextRegressor": "regressors",
    "TunedClassifier": "tuned",
    "with_events": "eventframes",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
