"""Which of several prompt files is tested: compared on training rows, without a test row.

Knows zero-shot figures on training rows; knows nothing of approaches, budgets or test rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from promptpredict.errors import DataError
from promptpredict.memo import Memo
from promptpredict.metrics import evaluate, resample
from promptpredict.plans import Plan
from promptpredict.prompt import PromptFile
from promptpredict.records import Record
from promptpredict.scoring import score_records
from promptpredict.splits import split
from promptpredict.verdict import Gap, judge

ROWS = 400  # training rows on which prompt files are compared


def develop(
    files: Sequence[PromptFile],
    tables: Sequence[Sequence[Record]],
    plan: Plan,
    memo: Memo,
) -> tuple[int, list[str]]:
    """Return the prompt file with the best zero-shot ROC AUC on training rows, and what to say.

    ``tables`` are the records of each file, the same rows. The differences from the best are
    paired, and corrected for the number of files.
    """
    labels = list(files[0].words)
    y = [files[0].label_of(record.label) for record in tables[0]]
    held = plan.max_test if plan.held is None else plan.held
    train, _ = split(y, max_test=held, seed=plan.split_seed)
    rows = np.sort(np.random.default_rng(plan.split_seed).permutation(train)[:ROWS])
    truth = [y[row] for row in rows]
    values, drawn = [], []
    for file, table in zip(files, tables, strict=True):
        scores = score_records(memo, file, [table[row] for row in rows])
        if scores.faults:
            at, fault = min(scores.faults.items())
            raise DataError(f"{file.name}, row {table[rows[at]].row}: {fault}")
        shares = np.exp(scores.logprobs - np.logaddexp.reduce(scores.logprobs, axis=1)[:, None])
        given: dict[str, Any] = {"labels": labels, "positive": files[0].front.positive}
        values.append(evaluate(truth, shares, **given)["roc_auc"])
        drawn.append(resample(truth, shares, **given)["roc_auc"])
    best = int(np.argmax(values))
    gaps = [
        Gap(
            approach=file.name,
            against=files[best].name,
            metric="roc_auc",
            value=values[at] - values[best],
            resampled=drawn[at] - drawn[best],
        )
        for at, file in enumerate(files)
        if at != best
    ]
    notes = [
        f"of {len(files)} prompt files {files[best].name} ranks {len(rows):,} training rows best "
        f"without a label (ROC AUC {values[best]:.3f}) and is tested; its figures there are "
        "flattered by the choice"
    ]
    for each in judge(gaps, budget=0):
        notes.append(
            f"{each.approach}: {each.value:+.3f} (95 % {each.holm_low:+.3f} to {each.holm_high:+.3f}, "
            f"corrected for {len(gaps)}): {each.verdict}"
        )
    return best, notes
