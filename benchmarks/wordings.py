"""Measure how well `promptpredict wordings` chooses: with few labels, and with none.

    python benchmarks/wordings.py --data DIR --work DIR [--table NAME ...] [--out benchmarks/results]

400 rows are drawn by seed 0 from the training side of each table (the test side: 2,000 rows or
half of them, stratified, seed 0; it is never looked at), and scored under every shipped wording.
Of these rows 50 draws of 16, 32 and 64 labels choose a wording; its regret is how far its ROC AUC
on all 400 rows is below that of the best wording there. Without labels all 400 rows choose.
Log-odds are kept in the --work folder, so that a run that was cut off goes on, and another rule
can be measured without the language model. Writes OUT/NAME/wordings.json: figures only, no text
of a customer.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split

from promptpredict.choosing import ENSEMBLE, Choice, Pairs, choose, oriented
from promptpredict.labelled import read_labelled
from promptpredict.prompt import PromptFile
from promptpredict.wordings import SHIPPED, load_wordings, try_wordings

HERE = Path(__file__).parent
TABLES = (
    "telecom_nps_verbatims",
    "womens_clothing_reviews",
    "ryanair_reviews",
    "cfpb_complaints_2019",
)
ROWS, PART, DRAWS, BUDGETS = 400, 40, 50, (16, 32, 64)


def main() -> None:
    """Measure every table that is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the tables")
    parser.add_argument("--work", type=Path, required=True, help="folder for log-odds")
    parser.add_argument("--table", action="append", choices=TABLES, help="all, if not given")
    parser.add_argument("--out", type=Path, default=HERE / "results")
    parser.add_argument("--model", default="smollm2-135m")
    options = parser.parse_args()
    for name in options.table or TABLES:
        scored = scores(name, options.data, options.work, options.model)
        found = measure(scored["log_odds"], scored["hits"], scored["names"])
        about = {"table": name, "model": options.model, "seconds": scored["seconds"]}
        about |= {"tokens_per_row": scored["tokens"] / len(scored["hits"])}
        folder = options.out / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "wordings.json").write_text(json.dumps(about | found, indent=1) + "\n")
        print(name, json.dumps(found["labels"]["32"]), json.dumps(found["unlabelled"]), flush=True)


def scores(name: str, data: Path, work: Path, model: str) -> dict[str, Any]:
    """Return the log-odds of the 400 rows; parts of them are kept in the work folder."""
    prompt_file = PromptFile.load(HERE / "prompts" / f"{name}.jinja")
    key = hashlib.sha256(f"{model} {prompt_file.fingerprint}".encode() + SHIPPED.read_bytes())
    kept = work / f"{name}-{key.hexdigest()[:12]}"
    kept.mkdir(parents=True, exist_ok=True)
    paths = [kept / f"{start}.npz" for start in range(0, ROWS, PART)]
    if missing := [path for path in paths if not path.is_file()]:
        records, _ = read_labelled(str(data / f"{name}.csv.gz"), prompt_file)
        labels = [prompt_file.label_of(record.label) for record in records]
        rows = development(labels)
        lm = _language_model(model)
        for path in missing:
            some = [records[row] for row in rows[int(path.stem) : int(path.stem) + PART]]
            _score_part(path, lm, prompt_file, some)
            print(f"{path} is written", flush=True)
    parts = [np.load(path) for path in paths]
    names = {tuple(part["names"].tolist()) for part in parts}
    if len(names) > 1:
        raise SystemExit(f"{kept}: not every part has the same wordings; remove it")
    found: dict[str, Any] = {
        key: np.concatenate([part[key] for part in parts]) for key in ("log_odds", "hits")
    }
    found |= {key: sum(float(part[key]) for part in parts) for key in ("seconds", "tokens")}
    return found | {"names": list(names.pop())}


@cache
def _language_model(model: str) -> Any:
    from promptpredict.loading import load_language_model
    from promptpredict.models import find

    return load_language_model(find(model), say=print)


def _score_part(path: Path, lm: Any, prompt_file: PromptFile, records: Any) -> None:
    start = time.perf_counter()
    tried = try_wordings(lm, prompt_file, load_wordings(), records)
    positive = prompt_file.front.positive
    hits = [prompt_file.label_of(records[at].label) == positive for at in tried.kept]
    np.savez(
        path,
        log_odds=tried.log_odds,
        hits=np.array(hits),
        names=[each.name for each in tried.wordings],
        seconds=time.perf_counter() - start,
        tokens=tried.tokens,
    )


def development(labels: list[str]) -> list[int]:
    """Return the 400 rows, drawn from the training side."""
    train, _ = train_test_split(
        np.arange(len(labels)),
        test_size=min(2000, len(labels) // 2),
        stratify=labels,
        random_state=0,
    )
    drawn: list[int] = np.random.default_rng(0).permutation(np.sort(train))[:ROWS].tolist()
    return drawn


def measure(log_odds: Any, hits: Any, names: list[str]) -> dict[str, Any]:
    """Return what choosing costs, with labels and without."""
    true = {side: every_auc(oriented(log_odds, side), hits) for side in ("bad", "good")}
    side = max(true, key=lambda each: np.median(true[each]))
    auc, best = true[side], int(np.argmax(true[side]))
    found: dict[str, Any] = {
        "rows": len(hits),
        "positive": int(hits.sum()),
        "wordings": len(names),
        "positive_is": side,
        "best": {"wording": names[best], "roc_auc": auc[best]},
        "own": {"roc_auc": auc[-1]},
        "median_wording": float(np.median(auc)),
        "worst": {"wording": names[int(np.argmin(auc))], "roc_auc": float(auc.min())},
        "below_half": int((auc < 0.5).sum()),
        "roc_auc": dict(zip(names, np.round(auc, 4).tolist(), strict=True)),
        "unlabelled": without_labels(log_odds, hits, true, names),
    }
    found["labels"] = {
        str(budget): summary([drawn(log_odds, hits, true, budget, seed) for seed in range(DRAWS)])
        for budget in BUDGETS
    }
    return found


def without_labels(log_odds: Any, hits: Any, true: Any, names: list[str]) -> dict[str, Any]:
    """Return what agreement alone chooses on all rows."""
    choice = choose(log_odds)
    auc = true[choice.outcome]
    agreement = choice.agreement
    return {
        "positive_is": choice.outcome,
        "chosen": {"wording": names[choice.order[0]], "roc_auc": auc[choice.order[0]]},
        "ensemble": ensemble_auc(log_odds, hits, choice),
        "median_wording": float(np.median(auc)),
        "reversed": int((agreement < 0).sum()),
        "reversed_and_below_half": int(((agreement < 0) & (auc < 0.5)).sum()),
        "correlation_of_agreement_and_roc_auc": float(np.corrcoef(agreement, auc)[0, 1]),
    }


def drawn(log_odds: Any, hits: Any, true: Any, budget: int, seed: int) -> dict[str, Any]:
    """Choose with one draw of labels, and look at the other rows what it is worth."""
    rng = np.random.default_rng(1000 + seed)
    rows = rng.choice(len(hits), budget, replace=False)
    while min(hits[rows].sum(), (~hits[rows]).sum()) < 2:
        rows = rng.choice(len(hits), budget, replace=False)
    others = np.setdiff1d(np.arange(len(hits)), rows)
    choice = choose(log_odds[rows], hits[rows], seed=seed)
    assert choice.labelled is not None
    naive = np.array([each.value for each in choice.labelled.auc])
    auc = true[choice.outcome]
    elsewhere = every_auc(oriented(log_odds, choice.outcome)[others], hits[others])
    chosen, lucky = choice.order[0], int(naive.argmax())
    top = max(map(np.max, true.values()))
    best = choice.labelled.best
    return {
        "side": choice.outcome,
        "regret": top - auc[chosen],
        "regret_of_highest": top - auc[lucky],
        "regret_of_ensemble": top - ensemble_auc(log_odds, hits, choice),
        "own_minus_chosen": auc[-1] - auc[chosen],
        "said_minus_true": best.value - elsewhere[chosen],
        "highest_minus_true": naive[lucky] - elsewhere[lucky],
        "covered": best.low <= elsewhere[chosen] <= best.high,
    }


def summary(draws: list[dict[str, Any]]) -> dict[str, Any]:
    """Return medians and means over the draws."""
    regrets = ("regret", "regret_of_highest", "regret_of_ensemble")
    found: dict[str, Any] = {}
    for name in regrets:
        values = [each[name] for each in draws]
        found[name] = {
            "median": float(np.median(values)),
            "mean": float(np.mean(values)),
            "worst_tenth_from": float(np.quantile(values, 0.9)),
        }
    for name in ("own_minus_chosen", "said_minus_true", "highest_minus_true", "covered"):
        found[f"mean_{name}"] = float(np.mean([each[name] for each in draws]))
    found["positive_is_bad"] = float(np.mean([each["side"] == "bad" for each in draws]))
    return found


def every_auc(log_odds: Any, hits: Any) -> Any:
    """Return the ROC AUC of each column."""
    pairs = Pairs(log_odds, hits)
    return pairs.auc(*map(np.ones, pairs.shape))


def ensemble_auc(log_odds: Any, hits: Any, choice: Choice) -> float:
    """Return the ROC AUC of the average of the best few in log space."""
    some = oriented(log_odds, choice.outcome)[:, list(choice.order[:ENSEMBLE])]
    return float(every_auc(some.mean(axis=1, keepdims=True), hits)[0])


if __name__ == "__main__":
    main()
