"""How far a customer's own words move its score: the same prompt with the text and without.

Knows records and scores; knows nothing of tables or outputs. A text that says much moves a score,
and so does one that is written to: the two cannot be told apart by a figure, but only a few rows
have texts that decide alone, and those a person can look at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp

from promptpredict.prompt import PromptFile
from promptpredict.records import Record
from promptpredict.scores import LanguageModel
from promptpredict.scoring import Choosing, score_records

Floats = npt.NDArray[np.float64]


def log_odds(logprobs: npt.NDArray[np.floating]) -> Floats:
    """Return the log-odds (n, k) of each label against all others; they need no calibration."""
    values = np.asarray(logprobs, dtype=np.float64)
    others = [logsumexp(np.delete(values, at, axis=1), axis=1) for at in range(values.shape[1])]
    odds: Floats = values - np.stack(others, axis=1)
    return odds


def text_moves(
    lm: LanguageModel,
    prompt_file: PromptFile,
    records: Sequence[Record],
    logprobs: npt.NDArray[np.floating],
    shots: Choosing | None = None,
    *,
    others: Sequence[PromptFile] = (),
) -> Floats:
    """Return how far the log-odds of a label move (n,) when a record's text is left out.

    Of several labels the one that moves furthest. ``logprobs`` (n, k) are those with the text.
    The shots stay the same. NaN where a record is not scored with its text or without.
    """
    columns = prompt_file.front.text
    bare = [
        replace(record, values=dict(record.values) | dict.fromkeys(columns), whole=record)
        for record in records
    ]
    found = score_records(lm, prompt_file, bare, shots, others=others)
    moved: Floats = np.abs(log_odds(logprobs) - log_odds(found.logprobs)).max(axis=1)
    return moved
