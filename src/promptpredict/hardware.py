"""What a machine has room for, and what a pass costs it; whether memory ran out.

Knows torch's devices and a model's sizes; knows nothing of prompts. The room is found from the
memory that a machine has, not from what is free at the moment: which prompts share a batch moves
bfloat16 scores, and a run must be the same each time.
"""

from __future__ import annotations

import os
from typing import Any

import torch

_CPU_TOKENS = 2_048  # more are no faster
_GPU_TOKENS = 32_768
_FEWEST = 256
_CPU_PASS = 64  # tokens that are read in the time that a pass takes by itself
_GPU_PASS = 1_024
_SHARE = 4  # of the memory, its fourth part


def batch_tokens(model: Any) -> int:
    """Return how many tokens, rows x longest, a batch of a model has on its device."""
    most = _CPU_TOKENS if model.device.type == "cpu" else _GPU_TOKENS
    memory = _memory(model.device)
    if memory is None:
        return most
    weights = sum(each.numel() * each.element_size() for each in model.parameters())
    room = max(memory - weights, 0) // _SHARE // token_bytes(model.config, model.dtype.itemsize)
    return int(min(max(room, _FEWEST), most))


def pass_tokens(device: torch.device) -> int:
    """Return how many tokens are read in the time that a pass takes by itself, about.

    A CPU goes through all weights, the output matrix in float32; a GPU waits for its kernels to
    be started.
    """
    return _CPU_PASS if device.type == "cpu" else _GPU_PASS


def token_bytes(config: Any, itemsize: int) -> int:
    """Return about how many bytes a token takes while it goes through a layer."""
    config = config.get_text_config()
    wide = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
    # Gate, up and their product; states, their norm and residue, queries, keys, values and what
    # they see, on either side of a prefix and in float32 as well where the two are merged.
    return int((3 * wide + 16 * config.hidden_size) * itemsize)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out; on a CPU torch has no type for it."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
        "can't allocate memory" in str(error)
    )


def _memory(device: torch.device) -> int | None:
    """Return the memory of a device in bytes; None where that cannot be asked."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    if device.type == "cpu" and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None
