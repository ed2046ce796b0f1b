"""Whether a language model's architecture takes shared text as it is meant here.

Knows attention masks, positions and keys and values; knows nothing of prompts or labels. What is
wrong here would be no error but other scores: an architecture that ignores the positions that it
is given (ALiBi), or has a state in place of keys and values, reads something else without a word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from typing import Any

import torch

from promptpredict.errors import ModelError
from promptpredict.prefix import Prefix, read_prefix
from promptpredict.sharing import Beginning
from promptpredict.trees import TokenTree
from promptpredict.words import WordTree

_PART = 4  # tokens of the prefix, of the stem behind it, and of either branch
_LONGEST = 1_024  # tokens of a branch that is to fill a window
_WINDOW = re.compile(r"(window|window_size|local_attention)$")


def check_layers(config: Any, name: str) -> None:
    """Raise ModelError for layers that are no attention over keys and values."""
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    other = kinds - {"full_attention", "sliding_attention"}
    if other:
        raise ModelError(
            f"{name}: its layers are of the kind {', '.join(sorted(other))}; "
            "possible: models whose layers are all full or sliding attention"
        )


@torch.inference_mode()
def check_sharing(
    model: Any,
    forward: Callable[[Sequence[TokenTree], Sequence[Prefix]], torch.Tensor],
    ids: Sequence[int],
    name: str,
) -> None:
    """Compare two branches behind a shared prefix, read at once, with each read by itself.

    ``forward`` returns the last hidden states (b, s, d) of trees. Raises ModelError where they
    differ by more than rounding, or where the architecture cannot read them at all.
    """
    some, sizes = cycle(ids), (_PART, _PART, _left(model.config.get_text_config()), _PART)
    prefix, stem, left, right = (tuple(islice(some, size)) for size in sizes)
    branches = (left, right[::-1])
    tree = TokenTree()
    ends = [tree.place((*stem, *branch), WordTree.build([]))[0] for branch in branches]
    try:
        shared = read_prefix(model, Beginning(prefix, (len(prefix),)))
        states = forward([tree], [shared])[0, ends].float()  # (2, d)
        alone = torch.cat([_last(model, (*prefix, *stem, *branch)) for branch in branches])
    except (AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
        raise ModelError(
            f"{name}: the architecture {type(model).__name__} cannot read texts that share a "
            f"beginning ({error})"
        ) from None
    gap = (states - alone).norm(dim=1) / alone.norm(dim=1)
    # Rounding of half precision is some hundredths; what a wrong position changes is a tenth or more.
    if not bool((gap < (1e-3 if model.dtype == torch.float32 else 0.1)).all()):
        raise ModelError(
            f"{name}: the architecture {type(model).__name__} reads texts that share a beginning "
            "otherwise than each by itself; possible: models with attention to given positions"
        )


def _left(config: Any) -> int:
    """Return how long a branch must be for the one behind it to show that a window goes by index.

    It fills every window that is not ``sliding_window``, for which masks are made by position.
    """
    found = {name: size for name, size in config.to_dict().items() if _WINDOW.search(name)}
    found.pop("sliding_window", None)
    windows = [size for size in found.values() if isinstance(size, int)]
    room = int(getattr(config, "max_position_embeddings", 0) or _LONGEST) - 3 * _PART
    return max(_PART, min(max(windows, default=0), _LONGEST, room))


def _last(model: Any, ids: Sequence[int]) -> torch.Tensor:
    """Return the last state (1, d) of a sequence that is read plainly."""
    given = torch.tensor([list(ids)], device=model.device)
    states: torch.Tensor = model.get_decoder()(input_ids=given, use_cache=False).last_hidden_state
    return states[:, -1].float()
