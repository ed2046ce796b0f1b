"""The base rate of a task: one share of the positive label, or a share for each of several labels.

Knows label keys and shares; knows nothing of where they were written or what is done with them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from promptpredict.errors import DataError, nearest
from promptpredict.values import spelling

Rate = float | Mapping[str, float]
SLACK = 1e-6  # by which shares may miss 1: what summing them costs, and no more


def read_rate(text: str) -> float | dict[str, float]:
    """Return ``0.12`` as a number and ``a=0.5,b=0.3,c=0.2`` as shares by label.

    Raises ValueError of one line. A label that holds a comma cannot be written so.
    """
    if "=" not in text:
        return _number(text, text)
    found: dict[str, float] = {}
    for part in text.split(","):
        label, equals, share = (piece.strip() for piece in part.rpartition("="))
        if not equals or not label:
            raise ValueError(f"'{part.strip()}' is no label with its share; possible: a=0.5,b=0.5")
        if label in found:
            raise ValueError(f"the label '{label}' stands twice")
        found[label] = _number(share, part.strip())
    return found


def checked_rate(
    rate: Rate, labels: Sequence[str], *, what: str, there: str = "there are"
) -> float | dict[str, float]:
    """Return a rate that fits the labels: a number for two, else shares in the labels' order.

    ``what`` names the rate in an error, ``there`` whose the labels are (``p.jinja has``). The keys of
    shares are compared as label keys are. Raises DataError where they do not fit. The number is
    not looked at.
    """
    for _, text in rate_faults(rate, labels, what=what, there=there):
        raise DataError(text)
    if not isinstance(rate, Mapping):
        return rate
    own = {spelling(str(key)): share for key, share in rate.items()}
    return {label: own[spelling(label)] for label in labels}


def rate_faults(
    rate: Rate, labels: Sequence[str], *, what: str, there: str = "there are"
) -> Iterator[tuple[str | None, str]]:
    """Yield what is wrong with a rate, and the key of the share that is to blame, or None."""
    if not isinstance(rate, Mapping):
        if len(labels) != 2:
            yield (
                None,
                (
                    f"{what} is one number, and {there} {len(labels)} labels; possible: a share for "
                    f"each of {', '.join(labels)}"
                ),
            )
        return
    if len(labels) == 2:
        yield (
            None,
            (
                f"{what} is a share for each label, and {there} two labels; possible: one number, the "
                "share of the positive one"
            ),
        )
    yield from _share_faults({str(key): share for key, share in rate.items()}, labels, what)


def _share_faults(
    shares: Mapping[str, float], labels: Sequence[str], what: str
) -> Iterator[tuple[str | None, str]]:
    every, seen = ", ".join(labels), dict[str, str]()
    keys = {spelling(label): label for label in labels}
    for key, share in shares.items():
        if spelling(key) not in keys:
            close = nearest(key, labels)
            yield key, f"{what} names '{key}'{close}, which is no label; possible: {every}"
        if other := seen.get(spelling(key)):
            yield key, f"{what} names '{other}' and '{key}', which are spellings of one label"
        seen[spelling(key)] = key
        if not 0 < share < 1:
            yield key, f"{what} of '{key}' must lie between 0 and 1, got {share:g}"
    for name, label in keys.items():
        if name not in seen:
            yield None, f"{what} has no share for '{label}'; possible: a share for each of {every}"
    if abs(sum(shares.values()) - 1) > SLACK:
        yield None, f"{what} sums to {sum(shares.values()):.6g}; the shares of all labels sum to 1"


def shares_of(rate: Rate, labels: Sequence[str], positive: str | None) -> list[float]:
    """Return the share of each label under a rate that fits them."""
    if isinstance(rate, Mapping):
        return [rate[label] for label in labels]
    return [rate if label == positive else 1 - rate for label in labels]


def said_rate(rate: Rate) -> str:
    """Return a rate in words: ``0.12``, or ``a 0.5, b 0.3, c 0.2``."""
    if isinstance(rate, Mapping):
        return ", ".join(f"{label} {share:g}" for label, share in rate.items())
    return f"{rate:g}"


def _number(text: str, whole: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"'{whole}' is not a valid float.") from None
    if not 0 < number < 1:
        raise ValueError(f"{number:g} does not lie between 0 and 1")
    return number
