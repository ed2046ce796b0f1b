"""Which values options of the command line take: others are refused while a command is parsed.

Knows numbers and names; knows nothing of the options themselves. Each raises typer.BadParameter.
"""

from __future__ import annotations

import re

import typer

from promptpredict import logs
from promptpredict.rates import read_rate


def inside(share: float | None) -> float | None:
    """Take a share of something that is neither none nor all of it."""
    if share is not None and not 0 < share < 1:
        raise typer.BadParameter(f"{share:g} does not lie between 0 and 1")
    return share


def share(share: float | None) -> float | None:
    """Take a share of something, up to all of it."""
    if share is not None and not 0 < share <= 1:
        raise typer.BadParameter(f"{share:g} does not lie above 0, and at most at 1")
    return share


def rate(text: str) -> float | dict[str, float]:
    """Take a base rate, or one of each label."""
    try:
        return read_rate(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def seed(seed: int) -> int:
    """Take what numpy and scikit-learn take."""
    if not 0 <= seed < 2**32:
        raise typer.BadParameter(f"{seed} does not lie between 0 and {2**32 - 1}")
    return seed


def device(device: str) -> str:
    """Take a device of torch."""
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", device):
        raise typer.BadParameter(
            f"'{device}' is not one of 'auto', 'cpu', 'cuda', 'cuda:N', 'mps'."
        )
    return device


def log_json(on: bool) -> bool:  # noqa: FBT001
    """Write JSON from now on, or text."""
    logs.use_json(on=on)
    return on
