"""Measure what a cascade is worth, and costs, at several shares of customers it asks the language model for.

    python benchmarks/cascade.py --data DIR [--table NAME] [--work DIR] [--test 300] [--seeds 3]
        [--labels 64] [--cheap embedding] [--around ranking]

Reads DIR/NAME.csv.gz and prompts/NAME.jinja beside this script, for each table or for one. The same test
rows (stratified, seed 0); each seed draws the labelled rows, on which a cascade of --cheap (embedding,
text, structured, structured-trees) and probe is fitted once, and asked at the shares 0, .1, .25, .5 and
1. For each: how many test rows were asked for, ROC AUC and log loss, the mean over the seeds; the paired
difference of ROC AUC to asking nobody and to asking everybody, with the 95 % interval; tokens and
seconds that 1,000 customers take (what the labelled rows take comes on top, once). With --work what the
model has read is kept in DIR/NAME.sqlite, and a run that was cut off goes on. Prints a line for each
share, and all of a table as one JSON line behind them.
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

from promptpredict.approach import Approach
from promptpredict.baselines import EmbeddingClassifier, StructuredClassifier, TextClassifier
from promptpredict.cascade import CascadeClassifier
from promptpredict.cascading import SHARES
from promptpredict.encoders import Embedder
from promptpredict.labelled import read_labelled
from promptpredict.ledger import Ledger
from promptpredict.loading import load_language_model
from promptpredict.memo import Memo
from promptpredict.metrics import evaluate, resample
from promptpredict.models import find, here
from promptpredict.prompt import PromptFile
from promptpredict.records import Record
from promptpredict.resampling import units_of
from promptpredict.splits import draws, split
from promptpredict.verdict import Gap, word

HERE = Path(__file__).parent
TABLES = sorted(path.stem for path in (HERE / "prompts").glob("*.jinja") if "-" not in path.stem)
CHEAP = ("embedding", "text", "structured", "structured-trees")
Floats = npt.NDArray[np.float64]


def main() -> None:
    """Measure the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the tables")
    parser.add_argument("--table", choices=TABLES, help="one of them; all without")
    parser.add_argument("--work", type=Path, help="folder of the ledgers; none is kept without")
    parser.add_argument("--test", type=int, default=300, help="test rows")
    parser.add_argument("--seeds", type=int, default=3, help="draws of labelled rows")
    parser.add_argument("--labels", type=int, default=64, help="labelled rows of a draw")
    parser.add_argument("--cheap", choices=CHEAP, default="embedding")
    parser.add_argument("--around", choices=("ranking", "probability"), default="ranking")
    parser.add_argument("--model", default="smollm2-135m")
    options = parser.parse_args()
    source = find(options.model)
    lm = load_language_model(source, say=print)
    identity = f"{here(source).fingerprint} {lm.model.dtype}"
    about = {"model": options.model, "dtype": str(lm.model.dtype), "device": str(lm.model.device)}
    if options.work:
        options.work.mkdir(parents=True, exist_ok=True)
    for table in [options.table] if options.table else TABLES:
        ledger = Ledger(options.work / f"{table}.sqlite" if options.work else None)
        memo = Memo(lm, identity=identity, ledger=ledger)
        print(json.dumps(about | measured(table, memo, options)), flush=True)


def measured(table: str, memo: Memo, options: Any) -> dict[str, Any]:
    """Return the figures of a table."""
    begun = time.perf_counter()
    file = PromptFile.load(HERE / "prompts" / f"{table}.jinja")
    records, _ = read_labelled(str(options.data / f"{table}.csv.gz"), file)
    y = [file.label_of(record.label) for record in records]
    train, test = split(y, max_test=options.test, seed=0)
    file = file.placed([records[row] for row in train])
    tested, truth = [records[row] for row in test], [y[row] for row in test]
    embedder = Embedder("minilm")
    found: dict[float, list[dict[str, Any]]] = {share: [] for share in SHARES}
    for seed in range(options.seeds):
        drawn = draws([y[row] for row in train], [options.labels], seed=seed)[options.labels]
        labelled = [records[row] for row in np.random.default_rng(seed).permutation(train[drawn])]
        cascade = CascadeClassifier(
            file,
            cheap=cheap_of(options.cheap, file, embedder, seed),
            around=options.around,
            model=memo,
            random_state=seed,
        )
        cascade.fit(labelled, [record.label for record in labelled])
        for share in SHARES:
            found[share].append(one_share(cascade.at(share), file, memo, embedder, tested, truth))
        aucs = ", ".join(f"{share:.0%}: {each[-1]['auc']:.3f}" for share, each in found.items())
        print(f"{table}, seed {seed}: {aucs}; {memo.passes:,} prompts read", flush=True)
    rows = [summed(table, share, found, units_of(truth)) for share in SHARES]
    sizes = {"test": len(test), "seeds": options.seeds, "labels": options.labels}
    about = {"table": table, "cheap": options.cheap, "around": options.around, **sizes}
    return about | {"rows": rows, "seconds": round(time.perf_counter() - begun)}


def cheap_of(name: str, file: PromptFile, embedder: Embedder, seed: int) -> Approach:
    """Return the approach that everybody is asked of."""
    if name == "embedding":
        return EmbeddingClassifier(file, encoder=embedder, random_state=seed)
    if name == "text":
        return TextClassifier(file, random_state=seed)
    kind: Any = "trees" if name.endswith("-trees") else "linear"
    return StructuredClassifier(file, kind=kind, random_state=seed)


def one_share(
    cascade: CascadeClassifier,
    file: PromptFile,
    memo: Memo,
    embedder: Embedder,
    tested: list[Record],
    truth: Sequence[str],
) -> dict[str, Any]:
    """Return the figures of a draw at one share, ROC AUC on resamples of the test rows among them."""
    start, before = time.perf_counter(), clock(memo, embedder)
    said = cascade.predict_proba(tested)
    spent = time.perf_counter() - start
    cost, waited, tokens = clock(memo, embedder) - before
    said = said[:, [cascade.keys_.index(key) for key in file.words]]
    given: dict[str, Any] = {"labels": list(file.words), "positive": file.front.positive}
    values = evaluate(truth, said, **given)
    return {
        "auc": values["roc_auc"],
        "log_loss": values["log_loss"],
        "asked": float(cascade.asked(tested).mean()),
        "tokens": tokens * 1000 / len(tested),
        "seconds": (spent - waited + cost) * 1000 / len(tested),
        "resampled": resample(truth, said, only=("roc_auc",), **given)["roc_auc"],
    }


def clock(memo: Memo, embedder: Embedder) -> Floats:
    """Return the seconds that all that was asked for costs, those really spent, and tokens, (3,)."""
    return np.array([memo.cost + embedder.cost, memo.waited + embedder.waited, memo.tokens])


def summed(
    table: str, share: float, found: dict[float, list[dict[str, Any]]], units: float
) -> dict[str, Any]:
    """Print what a share is worth over the seeds, and return it."""
    mean = {
        name: float(np.mean([each[name] for each in found[share]]))
        for name in ("asked", "auc", "log_loss", "tokens", "seconds")
    }
    row: dict[str, Any] = {"share": share} | {name: round(each, 4) for name, each in mean.items()}
    for name, other in (("over nobody", SHARES[0]), ("over everybody", SHARES[-1])):
        gap = gap_of(share, other, found, units)
        low, high = gap.ends(0.95)
        ends = {"value": gap.value, "low": low, "high": high}
        row[name] = {end: round(each, 4) for end, each in ends.items()}
        row[name]["verdict"] = "same" if share == other else word(low, high)
    told = ", ".join(
        f"{name} {each['value']:+.3f} ({each['low']:+.3f} to {each['high']:+.3f})"
        if isinstance(each, dict)
        else f"{name} {each:,}"
        for name, each in row.items()
    )
    print(f"{table}, {told}", flush=True)
    return row


def gap_of(
    share: float, other: float, found: dict[float, list[dict[str, Any]]], units: float
) -> Gap:
    """Return the difference of ROC AUC between two shares, on the same rows and draws."""
    pairs = list(zip(found[share], found[other], strict=True))
    return Gap(
        approach=f"{share:.0%}",
        against=f"{other:.0%}",
        metric="roc_auc",
        value=float(np.mean([one["auc"] - two["auc"] for one, two in pairs])),
        resampled=np.mean([one["resampled"] - two["resampled"] for one, two in pairs], axis=0),
        units=units,
    )


if __name__ == "__main__":
    main()
