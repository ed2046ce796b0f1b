"""Measure how an adapter is best trained, and whether it beats a probe on the same labels.

    python benchmarks/tuning.py --data DIR --work DIR [--table telecom_nps_verbatims] [--labels 256]
        [--way NAME] [--test 400]

Reads DIR/TABLE.csv.gz and prompts/TABLE.jinja beside this script. Adapters are trained on a draw of the
rows that do not test (at most 2,000 do, seed 0), and judged on 300 others of them, that nobody was
trained on; so are zero-shot and the probe. --test judges the ways that are named on the first test rows
instead: once, when one has been chosen. Adapters are kept in --work: a run that was cut off goes on.
Prints a line for each figure, and all as one JSON line at the end.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import log_loss, roc_auc_score

from promptpredict.adapters import Tuning, read_card
from promptpredict.approach import Probabilities
from promptpredict.estimators import ProbeClassifier, PromptClassifier
from promptpredict.labelled import read_labelled
from promptpredict.loading import load_language_model
from promptpredict.making import Asked, make_adapter
from promptpredict.models import Source, find
from promptpredict.prompt import PromptFile
from promptpredict.records import Record
from promptpredict.scoring import score_records
from promptpredict.splits import draws, split

HERE = Path(__file__).parent
DEV = 300
WAYS = {
    "default": Tuning(),
    "slower": Tuning(learning_rate=2e-4),
    "faster": Tuning(learning_rate=1e-3),
    "small batches": Tuning(batch=8, learning_rate=2e-4),
    "last half": Tuning(layers=0.5),
    "last third": Tuning(layers=1 / 3),
    "rank 16": Tuning(rank=16, alpha=32),
    "longer": Tuning(epochs=12, patience=4, learning_rate=2e-4),
}


def main() -> None:
    """Measure the ways that are asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the tables")
    parser.add_argument("--work", type=Path, required=True, help="folder of the adapters")
    parser.add_argument("--table", default="telecom_nps_verbatims")
    parser.add_argument("--labels", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0, help="of the draw of labels")
    parser.add_argument("--way", action="append", choices=WAYS, help="all, if not given")
    parser.add_argument("--test", type=int, default=0, help="test rows; 0: the 300 others")
    parser.add_argument("--model", default="smollm2-135m")
    options = parser.parse_args()
    file = PromptFile.load(HERE / "prompts" / f"{options.table}.jinja")
    records, _ = read_labelled(str(options.data / f"{options.table}.csv.gz"), file)
    y = [file.label_of(record.label) for record in records]
    train, test = split(y, max_test=2000, seed=0)
    labels = [y[row] for row in train]
    drawn = train[draws(labels, [options.labels], seed=options.seed)[options.labels]]
    rest = np.random.default_rng(0).permutation(np.setdiff1d(train, drawn))
    judged = test[: options.test] if options.test else rest[:DEV]
    fitted, others = ([records[row] for row in rows] for rows in (drawn, judged))
    figures = []
    for name, seconds, found in [
        *untrained(options.model, file, fitted, others),
        *trained(options, file, fitted, others),
    ]:
        figures.append(figures_of(name, seconds, found, [y[row] for row in judged]))
        print(figures[-1], flush=True)
    print(json.dumps({"schema": 1, "rows": len(judged), "labels": len(fitted), "ways": figures}))


def untrained(
    model: str, file: PromptFile, fitted: Sequence[Record], others: Sequence[Record]
) -> Iterator[tuple[str, float, Probabilities]]:
    """Yield what zero-shot and the probe say, both with the labels, and the seconds of the fit."""
    lm = load_language_model(find(model), say=print)
    y = [record.label for record in fitted]
    for name, kind in (("zero-shot", PromptClassifier), ("probe", ProbeClassifier)):
        begun = time.perf_counter()
        estimator = kind(file, model=lm).fit(list(fitted), y)
        yield name, time.perf_counter() - begun, columns(estimator, others)


def columns(estimator: Any, others: Sequence[Record]) -> Probabilities:
    """Return probabilities with the columns in the order of the sorted label keys."""
    order = np.argsort(estimator.keys_)
    return np.asarray(estimator.predict_proba(list(others))[:, order])


def trained(
    options: argparse.Namespace,
    file: PromptFile,
    fitted: Sequence[Record],
    others: Sequence[Record],
) -> Iterator[tuple[str, float, Probabilities]]:
    """Yield what each way's adapter says, and the seconds that it took (0: it was there)."""
    source = find(options.model)
    for name in options.way or WAYS:
        out = (
            options.work / f"{options.table}-{len(fitted)}-{options.seed}-{name.replace(' ', '-')}"
        )
        begun = time.perf_counter()
        if not out.exists():
            asked = Asked(
                source=source, prompt_file=file, records=fitted, tuning=WAYS[name],
                seed=options.seed, out=out,
            )  # fmt: skip
            print(make_adapter(asked, print).card.describe(), flush=True)
        seconds = time.perf_counter() - begun
        yield name, seconds, merged(source, file, out, others)


def merged(source: Source, file: PromptFile, out: Path, others: Sequence[Record]) -> Probabilities:
    """Return the calibrated probabilities of an adapter in the weights."""
    card = read_card(out)
    lm = load_language_model(replace(source, adapter=out, digest=card.adapter))
    found = card.calibration.apply(score_records(lm, file, others).logprobs)
    return np.asarray(found[:, np.argsort(list(file.words))])


def figures_of(
    name: str, seconds: float, found: Probabilities, y: Sequence[str]
) -> dict[str, str | float]:
    """Return ROC AUC and log loss of two labels in sorted order."""
    keys = sorted(set(y))
    return {
        "way": name,
        "seconds": round(seconds, 1),
        "roc_auc": round(float(roc_auc_score(np.array(y) == keys[1], found[:, 1])), 4),
        "log_loss": round(float(log_loss(y, found, labels=keys)), 4),
    }


if __name__ == "__main__":
    main()
