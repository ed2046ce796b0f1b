"""Adapters of a language model as files, and merged into its weights: scoring then costs no more.

Knows peft, safetensors and torch modules; knows nothing of cards, prompts or training.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from promptpredict.adapters import CONFIG, WEIGHTS


def write_adapter(
    folder: Path, weights: Mapping[str, torch.Tensor], config: Any, *, base: str
) -> None:
    """Write an adapter's files, the same bytes for the same weights.

    peft itself would write the model's folder on this machine, and sets in an order of chance.
    """
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file(dict(weights), folder / WEIGHTS, metadata={"format": "pt"})
    given = config.to_dict() | {"base_model_name_or_path": base, "inference_mode": True}
    text = json.dumps(given, indent=2, sort_keys=True, default=_listed)
    (folder / CONFIG).write_text(text + "\n", encoding="utf-8")


def merged(model: Any, folder: Path, dtype: torch.dtype) -> Any:
    """Return a float32 model with an adapter in its weights, these then rounded to ``dtype``.

    Only parameters are: the frequencies of rotated positions stay float32, as they are in a model
    that is loaded in bfloat16.
    """
    import peft

    with quietly():
        found = peft.PeftModel.from_pretrained(model, str(folder)).merge_and_unload()
    for parameter in found.parameters():
        parameter.data = parameter.data.to(dtype)
    found.config.dtype = dtype
    return found


@contextmanager
def quietly() -> Iterator[None]:
    """Keep what peft and transformers say to each other of their future off stderr."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def _listed(value: Any) -> Any:
    """Return a set in order; anything else that JSON does not know as its text."""
    return sorted(value) if isinstance(value, set) else getattr(value, "value", str(value))
