"""How far scores move with dtype, batch and prefix sharing, on the embedded model.

    python benchmarks/precision.py [--rows 64] [--device cpu]

Scores the first rows of the shipped synthetic sample with the shipped churn prompt file and two
shots; compares each setting with the slow reference (one sequence at a time, no cache, full
logits, float32). The last line of stdout is one JSON document.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from promptpredict.demo import SAMPLE
from promptpredict.lm import CausalLM
from promptpredict.loading import load_language_model
from promptpredict.models import find
from promptpredict.prompt import PromptFile
from promptpredict.records import read_records
from promptpredict.scores import Labels
from reference import reference_scores


def main() -> None:
    """Print the largest differences of each setting."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--model", default="smollm2-135m")
    options = parser.parse_args()
    prompt_file = PromptFile.load("churn-shop")
    records = read_records(SAMPLE, prompt_file.roles).records
    shots, rows = records[-2:], records[: options.rows]
    prompts = [prompt_file.render(record, shots) for record in rows]
    labels = Labels(prompt_file.words)
    exact = load_language_model(find(options.model), dtype="float32", device=options.device)
    expected, _ = reference_scores(exact, prompts, labels)
    found: dict[str, dict[str, float]] = {}
    for dtype in ("float32", "bfloat16"):
        lm = load_language_model(find(options.model), dtype=dtype, device=options.device)
        for name, settings in (
            ("prefix shared, batches of 2,048 tokens", {}),
            ("prefix shared, one row a batch", {"batch_tokens": 1}),
            ("every prompt whole", {"share_prefix": False}),
        ):
            variant = CausalLM(lm.model, lm.encoder.tokenizer, name="variant", **settings)  # type: ignore[arg-type]
            scores = variant.score(prompts, labels).logprobs
            gap = np.abs(scores - expected).max()
            moved = np.abs(probability(scores) - probability(expected)).max()
            found[f"{dtype}, {name}"] = {"logprob": float(gap), "probability": float(moved)}
            print(
                f"{dtype:9} {name:40} largest difference: log-probability {gap:.2e}, probability {moved:.2e}",
                flush=True,
            )
    print(json.dumps({"rows": options.rows, "device": options.device, "differences": found}))


def probability(logprobs: np.ndarray) -> np.ndarray:
    """Return the probability of the first label (n,)."""
    return 1 / (1 + np.exp(logprobs[:, 1] - logprobs[:, 0]))


if __name__ == "__main__":
    main()
