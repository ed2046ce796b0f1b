"""Token lists in batches: fit, order.

Knows token ids and lengths; knows nothing of tokenizers, models or tables, and does not import
torch. Which prompts share a batch depends on the prompts of their block alone.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from promptpredict.encoding import Encoded
from promptpredict.errors import DataError
from promptpredict.rendered import Prompt


@dataclass(frozen=True, slots=True)
class Fitted:
    """A prompt that fits, encoded, and what it lost: whole shots, words of feedback."""

    encoded: Encoded
    shots_dropped: int = 0
    words_dropped: int = 0

    @property
    def truncated(self) -> bool:
        """Whether anything was dropped."""
        return bool(self.shots_dropped or self.words_dropped)


def fit(prompt: Prompt, encode: Callable[[Prompt], Encoded], limit: int) -> Fitted:
    """Encode a prompt so that it fits, its longest label word included, into ``limit`` positions.

    An over-long prompt loses whole shots, the first first, then the oldest words of its feedback;
    never the question or the customer's fields. Raises DataError where that does not suffice.
    """
    encoded = encode(prompt)
    if encoded.positions <= limit:
        return Fitted(encoded)

    def attempt(shots: int, words: int) -> Encoded:
        return encode(prompt.shrink(shots, words))

    def fits(shots: int, words: int) -> bool:
        return attempt(shots, words).positions <= limit

    shots = _least(lambda count: fits(count, 0), prompt.n_shots, kept=1)
    if shots is not None:
        return Fitted(attempt(shots, 0), shots_dropped=shots)
    words = _least(lambda count: fits(prompt.n_shots, count), prompt.n_words, kept=limit)
    if words is None:
        bare = attempt(prompt.n_shots, prompt.n_words).positions
        raise DataError(
            f"its prompt has {encoded.positions:,} tokens, and {bare:,} without shots and feedback; "
            f"the model reads {limit:,}"
        )
    return Fitted(attempt(prompt.n_shots, words), prompt.n_shots, words)


def _least(suffices: Callable[[int], bool], most: int, *, kept: int) -> int | None:
    """Return the least count from 1 to ``most`` that suffices (it stays so above), or None.

    It is looked for from the end at which little is left, ``kept`` at first: of a text of ten
    megabytes only the last pages are ever encoded again.
    """
    if most < 1 or not suffices(most):
        return None
    high = most
    while kept < most and suffices(most - kept):
        high, kept = most - kept, 2 * kept
    counts = range(max(most - kept, 0) + 1, high)
    at = bisect_left(counts, 1, key=lambda count: int(suffices(count)))
    return counts[at] if at < len(counts) else high


def batches(lengths: Sequence[int], budget: int, spare: int) -> list[list[int]]:
    """Group indices, longest first, so that rows x longest stays within ``budget`` tokens.

    Longest first: what does not fit in memory shows at once, and a time estimate is an upper
    bound. A single sequence above the budget makes a batch of its own. A batch ends early where
    that saves more than ``spare`` tokens of padding: what one more pass takes by itself.
    """
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    groups: list[list[int]] = []
    start = 0
    while start < len(order):
        longest = lengths[order[start]]
        group = order[start : start + max(1, budget // max(longest, 1))]
        saved = [(len(group) - at) * (longest - lengths[index]) for at, index in enumerate(group)]
        if max(saved) > spare:
            group = group[: saved.index(max(saved))]
        groups.append(group)
        start += len(group)
    return groups
