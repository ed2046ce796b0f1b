"""Measure what several sets of shots in place of one are worth: 1, 2, 4 and 8, averaged in log space.

    python benchmarks/shotsets.py --data DIR [--table NAME] [--work DIR] [--test 200] [--seeds 10]

Reads DIR/NAME.csv.gz and prompts/NAME.jinja beside this script, for each of four tables with texts or
for one. The same test rows (stratified, seed 0); each seed draws 64 labelled rows, and out of these
come the sets of 4 shots: the first is few-shot with one set, the first two are two sets, and so on.
Nothing is calibrated: that moves no customer past another. For each number of sets the mean ROC AUC
over the seeds and its standard deviation over them, the gain over one set with its standard error, the
median spread, and the tokens and seconds that all test rows of a seed take, prefixes included. With
--work what the model has read is kept in DIR/NAME.sqlite, and a run that was cut off goes on. Prints a
line for each number of sets, and all of a table as one JSON line behind them.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from promptpredict.estimators import PromptClassifier
from promptpredict.labelled import read_labelled
from promptpredict.ledger import Ledger
from promptpredict.lm import CausalLM
from promptpredict.loading import load_language_model
from promptpredict.memo import Memo
from promptpredict.metrics import evaluate
from promptpredict.models import Source, find, here
from promptpredict.prompt import PromptFile
from promptpredict.records import Record
from promptpredict.scores import Labels
from promptpredict.scoring import render_records
from promptpredict.splits import draws, split

HERE = Path(__file__).parent
TABLES = (
    "telecom_nps_verbatims",
    "womens_clothing_reviews",
    "ryanair_reviews",
    "cfpb_complaints_2019",
)
SETS = (1, 2, 4, 8)
LABELS, SHOTS = 64, 4
Floats = npt.NDArray[np.float64]


def main() -> None:
    """Measure the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the tables")
    parser.add_argument("--table", choices=TABLES, help="one of them; all without")
    parser.add_argument("--work", type=Path, help="folder of the ledgers; none is kept without")
    parser.add_argument("--test", type=int, default=200, help="test rows")
    parser.add_argument("--seeds", type=int, default=10, help="draws of labelled rows")
    parser.add_argument("--model", default="smollm2-135m")
    options = parser.parse_args()
    source = find(options.model)
    lm = load_language_model(source, say=print)
    assert isinstance(lm, CausalLM), "tokens are counted as a causal language model reads them"
    for table in [options.table] if options.table else TABLES:
        print(json.dumps(measured(table, lm, source, options)), flush=True)


def measured(table: str, lm: CausalLM, source: Source, options: Any) -> dict[str, Any]:
    """Return the figures of a table."""
    begun = time.perf_counter()
    file = PromptFile.load(HERE / "prompts" / f"{table}.jinja")
    records, _ = read_labelled(str(options.data / f"{table}.csv.gz"), file)
    y = [file.label_of(record.label) for record in records]
    train, test = split(y, max_test=options.test, seed=0)
    file = file.placed([records[row] for row in train])
    tested, truth = [records[row] for row in test], [y[row] for row in test]
    if options.work:
        options.work.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(options.work / f"{table}.sqlite" if options.work else None)
    memo = Memo(lm, identity=f"{here(source).fingerprint} {lm.model.dtype}", ledger=ledger)
    found: dict[int, list[dict[str, float]]] = {count: [] for count in SETS}
    for seed in range(options.seeds):
        drawn = draws([y[row] for row in train], [LABELS], seed=seed)[LABELS]
        labelled = [records[row] for row in np.random.default_rng(seed).permutation(train[drawn])]
        for count in SETS:
            found[count].append(one_draw(file, memo, lm, count, labelled, tested, truth))
        aucs = ", ".join(f"{count}: {found[count][-1]['auc']:.3f}" for count in SETS)
        print(f"{table}, seed {seed}: {aucs}; {memo.passes:,} prompts read", flush=True)
    rows = [summed(table, count, found[count], found[SETS[0]]) for count in SETS]
    about = {"table": table, "model": options.model, "dtype": str(lm.model.dtype)}
    sizes = {"test": len(test), "seeds": options.seeds, "labels": LABELS, "shots": SHOTS}
    return about | sizes | {"rows": rows, "seconds": round(time.perf_counter() - begun)}


def one_draw(
    file: PromptFile,
    memo: Memo,
    lm: CausalLM,
    sets: int,
    labelled: Sequence[Record],
    tested: Sequence[Record],
    truth: Sequence[str],
) -> dict[str, float]:
    """Return ROC AUC, spread and cost of so many sets out of a draw of labelled rows."""
    approach = PromptClassifier(
        file, model=memo, shots=SHOTS, shot_sets=sets, calibration="none", random_state=None
    )
    approach.fit(list(labelled), [record.label for record in labelled])
    tokens, cost = memo.tokens, memo.cost
    shares = approach.predict_proba(list(tested))
    rate = (memo.cost - cost) / (memo.tokens - tokens)  # seconds a token
    columns = [approach.keys_.index(key) for key in file.words]
    given: dict[str, Any] = {"labels": list(file.words), "positive": file.front.positive}
    auc = evaluate(truth, shares[:, columns], **given)["roc_auc"]
    read = count_tokens(file, lm, approach, tested)
    spread = float(np.median(approach.spread(list(tested))))
    return {"auc": auc, "spread": spread, "tokens": read, "seconds": read * rate}


def count_tokens(
    file: PromptFile, lm: CausalLM, approach: PromptClassifier, tested: Sequence[Record]
) -> int:
    """Return how many tokens the sets take, each with its prefix."""
    assert approach.shots_ is not None
    labels, tokens = Labels(file.words, file.front.join), 0
    for each in approach.shots_.sets:
        prompts, _ = render_records([file], tested, each)
        tokens += lm.passes.count([prompt for one in prompts.values() for prompt in one], labels)
    return tokens


def summed(
    table: str, sets: int, found: Sequence[dict[str, float]], single: Sequence[dict[str, float]]
) -> dict[str, Any]:
    """Print what so many sets are worth over the seeds, and return it."""
    figures: dict[str, Floats] = {
        name: np.array([each[name] for each in found])
        for name in ("auc", "spread", "tokens", "seconds")
    }
    auc = figures["auc"]
    gains = auc - np.array([each["auc"] for each in single])
    many = len(auc) > 1
    row = {
        "sets": sets,
        "auc": round(float(auc.mean()), 4),
        "deviation": round(float(auc.std(ddof=1)), 4) if many else None,
        "gain": round(float(gains.mean()), 4),
        "error": round(float(gains.std(ddof=1) / np.sqrt(len(gains))), 4) if many else None,
        "spread": round(float(figures["spread"].mean()), 3),
        "tokens": round(float(figures["tokens"].mean())),
        "seconds": round(float(figures["seconds"].mean()), 2),
    }
    print(", ".join([table, *(f"{name} {value}" for name, value in row.items())]), flush=True)
    return row


if __name__ == "__main__":
    main()
