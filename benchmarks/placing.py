"""Measure whether numbers that a language model can read help it: plain, rounded, placed.

    python benchmarks/placing.py --data DIR --table NAME [--work DIR] [--test 300] [--seeds 3]
        [--approach zero-shot,probe]

Reads DIR/NAME.csv.gz and prompts/NAME.jinja beside this script, with `numbers` set by a file that
extends it. The same test rows (stratified, seed 0) under each of the three: zero-shot, few-shot (the
first 8 of 64 labelled rows as balanced shots, by far the dearest) and probe on all 64, the same draws, one a
seed. Places
are learned from all rows that do not test, without their labels. ROC AUC, mean over the seeds, with the
95 % interval of each paired difference. With --work what the model has read is kept in DIR/NAME.sqlite,
and a run that was cut off goes on. Prints a line for each figure, and all as one JSON line at the end.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from promptpredict.estimators import ProbeClassifier, PromptClassifier
from promptpredict.labelled import read_labelled
from promptpredict.ledger import Ledger
from promptpredict.loading import load_language_model
from promptpredict.memo import Memo
from promptpredict.metrics import evaluate, resample
from promptpredict.models import find, here
from promptpredict.prompt import PromptFile
from promptpredict.records import Record
from promptpredict.resampling import log_odds_interval, units_of
from promptpredict.splits import draws, split
from promptpredict.verdict import Gap, perfect, word

HERE = Path(__file__).parent
TABLES = sorted(path.stem for path in (HERE / "prompts").glob("*.jinja") if "-" not in path.stem)
APPROACHES = ("zero-shot", "few-shot", "probe")
WAYS = ("plain", "rounded", "placed")
LABELS, SHOTS = 64, 8
Floats = npt.NDArray[np.float64]


def main() -> None:
    """Measure one table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the tables")
    parser.add_argument("--table", required=True, choices=TABLES)
    parser.add_argument("--work", type=Path, help="folder of the ledger; none is kept without")
    parser.add_argument("--test", type=int, default=300, help="test rows")
    parser.add_argument("--seeds", type=int, default=3, help="draws of labelled rows")
    parser.add_argument("--approach", default=",".join(APPROACHES), help="some of them, by commas")
    parser.add_argument("--model", default="smollm2-135m")
    options = parser.parse_args()
    approaches = options.approach.split(",")
    if unknown := {*approaches} - {*APPROACHES}:
        parser.error(f"--approach {min(unknown)}; possible: {', '.join(APPROACHES)}")
    begun = time.perf_counter()
    files = {way: written(options.table, way) for way in WAYS}
    records, _ = read_labelled(str(options.data / f"{options.table}.csv.gz"), files["plain"])
    y = [files["plain"].label_of(record.label) for record in records]
    train, test = split(y, max_test=options.test, seed=0)
    source = find(options.model)
    lm = load_language_model(source, say=print)
    if options.work:
        options.work.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(options.work / f"{options.table}.sqlite" if options.work else None)
    memo = Memo(lm, identity=f"{here(source).fingerprint} {lm.model.dtype}", ledger=ledger)
    said: dict[tuple[str, str], list[Floats]] = {}
    for way, file in files.items():
        file = file.placed([records[row] for row in train])
        tested = [records[row] for row in test]
        for seed in range(options.seeds):
            drawn = draws([y[row] for row in train], [LABELS], seed=seed)[LABELS]
            order = np.random.default_rng(seed).permutation(train[drawn])
            labelled = [records[row] for row in order]
            for approach, found in predicted(approaches, file, memo, labelled, tested):
                said.setdefault((approach, way), []).append(found)
            print(f"{way}, seed {seed}: {memo.passes:,} prompts read", flush=True)
    about: dict[str, Any] = {
        "table": options.table,
        "model": options.model,
        "dtype": str(lm.model.dtype),
    }
    about |= {"test": len(test), "train": len(train), "seeds": options.seeds, "labels": LABELS}
    columns = sorted(file.standing.columns) if file.standing else []
    about |= {
        "approaches": approaches,
        "shots": SHOTS,
        "placed_columns": columns,
        "tokens_read": memo.tokens_read,
    }
    result = compared(files["plain"], [y[row] for row in test], said)
    print(json.dumps(about | result | {"seconds": round(time.perf_counter() - begun)}))


def written(table: str, way: str) -> PromptFile:
    """Return a table's prompt file, its numbers written in one way."""
    text = f'---\nnumbers: {way}\n---\n{{% extends "{table}.jinja" %}}\n'
    return PromptFile.from_text(text, name=f"{table}, {way}", folder=HERE / "prompts")


def predicted(
    names: Sequence[str],
    file: PromptFile,
    memo: Memo,
    labelled: Sequence[Record],
    tested: Sequence[Record],
) -> list[tuple[str, Floats]]:
    """Return the probabilities (n, k) of test rows by each approach, columns in label order.

    Without a calibration: it moves no customer past another.
    """
    given: dict[str, Any] = {"model": memo, "random_state": None}
    approaches = {
        "zero-shot": PromptClassifier(file, calibration="none", **given),
        "few-shot": PromptClassifier(file, calibration="none", shots=SHOTS, **given),
        "probe": ProbeClassifier(file, **given),
    }
    found = []
    for name in names:
        approach = approaches[name]
        approach.fit(list(labelled), [record.label for record in labelled])
        columns = [approach.keys_.index(key) for key in file.words]
        found.append((name, approach.predict_proba(list(tested))[:, columns]))
    return found


def compared(
    file: PromptFile, y: Sequence[str], said: dict[tuple[str, str], list[Floats]]
) -> dict[str, Any]:
    """Return ROC AUC of each approach and way, and every paired difference of two ways."""
    given: dict[str, Any] = {"labels": list(file.words), "positive": file.front.positive}
    units = units_of(y)
    rows, differences = [], []
    values, drawn = {}, {}
    for key, each in said.items():
        values[key] = float(np.mean([evaluate(y, found, **given)["roc_auc"] for found in each]))
        # On the same resamples, whatever the approach and the seed.
        resamples = [resample(y, found, only=("roc_auc",), **given)["roc_auc"] for found in each]
        drawn[key] = np.mean(resamples, axis=0)
        low, high = log_odds_interval(values[key], drawn[key], units=units)
        rows.append(figures(key[0], {"numbers": key[1]}, values[key], low, high))
    for approach in dict.fromkeys(name for name, _ in said):
        for against, way in combinations(WAYS, 2):
            one, other = (approach, way), (approach, against)
            gap = Gap(
                approach=way,
                against=against,
                metric="roc_auc",
                value=values[one] - values[other],
                resampled=drawn[one] - drawn[other],
                units=units,
                perfect=sum(perfect([drawn[each]]) for each in (one, other)),
            )
            low, high = gap.ends(0.95)
            ways = {"numbers": way, "against": against, "verdict": word(low, high)}
            differences.append(figures(approach, ways, gap.value, low, high))
    return {"rows": rows, "differences": differences}


def figures(
    approach: str, what: dict[str, str], value: float, low: float, high: float
) -> dict[str, Any]:
    """Print a figure and its interval, and return them."""
    print(f"{approach}, {', '.join(what.values())}: {value:.3f} ({low:.3f} to {high:.3f})")
    ends = {"value": round(value, 4), "low": round(low, 4), "high": round(high, 4)}
    return {"approach": approach, **what, **ends}


if __name__ == "__main__":
    main()
