"""Which of several prompt files is tested: compared on training rows, without a test row.

Knows zero-shot figures on training rows; knows nothing of approaches, budgets or test rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import softmax

from promptpredict.calibration import Floats
from promptpredict.errors import DataError
from promptpredict.memo import Memo
from promptpredict.metrics import evaluate, resample
from promptpredict.prompt import PromptFile
from promptpredict.records import Record, groups_of
from promptpredict.resampling import units_of
from promptpredict.results import signed
from promptpredict.scoring import score_records
from promptpredict.splits import Rows
from promptpredict.verdict import Gap, judge, perfect

ROWS = 400  # training rows on which prompt files are compared


def develop(
    files: Sequence[PromptFile],
    tables: Sequence[Sequence[Record]],
    train: Rows,
    memo: Memo,
) -> tuple[int, list[str]]:
    """Return the prompt file with the best zero-shot ROC AUC on training rows, and what to say.

    ``tables`` are the records of each file, the same rows; ``train`` are those that may train. A
    row that cannot be scored with every file is left out. The differences from the best are
    paired, and corrected for the number of files.
    """
    rows = np.sort(np.random.default_rng(0).permutation(train)[:ROWS])
    scored, units, values, resampled = _measured(files, tables, rows, memo)
    best = int(np.argmax(values))
    gaps = [
        Gap(
            approach=file.name,
            against=files[best].name,
            metric="roc_auc",
            value=values[at] - values[best],
            resampled=resampled[at] - resampled[best],
            units=units,
            perfect=sum(perfect([resampled[each]]) for each in (at, best)),
        )
        for at, file in enumerate(files)
        if at != best
    ]
    notes = [
        f"of {len(files)} prompt files {files[best].name} ranks {scored:,} training rows best "
        f"without a label by {memo.name} (ROC AUC {values[best]:.3f}) and is tested; its figures there are "
        "flattered by the choice"
    ]
    for gap in judge(gaps, budget=0):
        notes.append(
            f"{gap.approach}: {signed(gap.value)} (95 % {signed(gap.holm_low)} to "
            f"{signed(gap.holm_high)}, corrected for {len(gaps)}): {gap.verdict}"
        )
    return best, notes


def _measured(
    files: Sequence[PromptFile], tables: Sequence[Sequence[Record]], rows: Rows, memo: Memo
) -> tuple[int, float, list[float], list[Floats]]:
    """Return how many rows all files can score, their units, and ROC AUC of each file.

    The last are ROC AUC on resamples (n,) of the rows.
    """
    labels = list(files[0].words)
    y = [files[0].label_of(record.label) for record in tables[0]]
    found = [
        score_records(memo, file, [table[row] for row in rows])
        for file, table in zip(files, tables, strict=True)
    ]
    scored = [at for at in range(len(rows)) if not any(at in each.faults for each in found)]
    truth = [y[rows[at]] for at in scored]
    if len(set(truth)) < 2:
        raise DataError(
            f"{len(scored):,} training rows can be scored with every prompt file, of one label or "
            "none; prompt files cannot be compared on them"
        )
    given: dict[str, Any] = {"labels": labels, "positive": files[0].front.positive}
    groups = groups_of([tables[0][rows[at]] for at in scored])
    values, resampled = [], []
    for file, each in zip(files, found, strict=True):
        # Each file has its columns in its own order of labels.
        columns = [list(file.words).index(key) for key in labels]
        shares = softmax(each.logprobs[np.ix_(scored, columns)].astype(np.float64), axis=1)
        values.append(evaluate(truth, shares, **given)["roc_auc"])
        resampled.append(
            resample(truth, shares, only=("roc_auc",), groups=groups, **given)["roc_auc"]
        )
    return len(scored), units_of(truth, groups), values, resampled
