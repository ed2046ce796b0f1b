"""Times ways to score the label words of the same prompts, side by side in one run.

    pip install -c constraints.txt -r benchmarks/throughput.txt
    python benchmarks/throughput.py [--shots 16] [--batch 1 --batch 8] [--way NAME ...]
    python benchmarks/throughput.py --config 7b     # random weights, for speed only

The prompts are made up: instructions, shots that all customers share, and customers of about 117
tokens. Ways take turns; each round has other shots, so that no way keeps a prefix of the round
before. A way that keeps a prefix scores all customers, its prefix included; the others take as long
for each, and score as many as they can in --seconds. Log-odds are compared with ours. The floor is what the multiplications of one customer take
at the rate of a large matrix product, measured in the same run. A table, a profile of ours, and one
line of JSON, the last, with seconds per customer, medians over the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from promptpredict.lm import CausalLM
from promptpredict.loading import choose_device, choose_dtype, load_language_model, load_tokenizer
from promptpredict.models import find
from promptpredict.rendered import Prompt, Turn
from promptpredict.scores import Labels
from promptpredict.words import begin_alike
from ways import SHARING, Job, Odds, Setting, Way, ways

# Ours counts other spellings with a word (Yes with yes), which other tools would have to ask for one
# by one. As a label of their own they stand apart: what is compared is yes against no alone.
LABELS = Labels({"yes": ["yes"], "no": ["no"], "other spellings": ["Yes", "No"]})
SYSTEM = (
    "You read what a customer of a phone company wrote and judge whether the customer will leave."
)
ASKED = "Tenure: {months} months. Feedback: {text}\nWill this customer leave?"
WORDS_OF = (
    "the service was slow and nobody called back about my bill which had a wrong charge on it twice "
    "this month so i am thinking of leaving unless somebody helps me with the router that drops every "
    "evening while we watch films good friendly quick cheap contract plan fibre mobile"
)
VOCABULARY = WORDS_OF.split(" ")
OPERATIONS = 10  # of a profile
PROFILED = 32  # customers; of more, adding up takes longer than scoring
BATCH = 8  # customers of which a way scores whole batches, if it has the time
WORDS = 80  # of feedback: a customer is about 117 tokens
CONFIGS: dict[str, dict[str, int]] = {
    "tiny": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
             "num_attention_heads": 4, "num_key_value_heads": 2},
    "0.5b": {"hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24,
             "num_attention_heads": 14, "num_key_value_heads": 2},
    "7b": {"hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28,
           "num_attention_heads": 28, "num_key_value_heads": 4},
    "14b": {"hidden_size": 5120, "intermediate_size": 13824, "num_hidden_layers": 48,
            "num_attention_heads": 40, "num_key_value_heads": 8},
}  # fmt: skip


def main() -> None:
    """Time the ways, and print what was found."""
    options = asked()
    setting = prepared(options)
    ready: dict[str, Way] = {}
    for name, prepare in ways(setting).items():
        if options.way and name not in options.way:
            continue
        try:
            ready[name] = prepare()
        except ImportError as error:
            print(f"{name} is left out: {error}")
    seconds: dict[str, list[float]] = {name: [] for name in ready}
    trial = made(setting, options.customers, options.shots, seed=-1)
    counts = {
        name: len(trial) if name in SHARING else affordable(way, trial, options.seconds)
        for name, way in ready.items()
    }
    for name in SHARING & ready.keys():
        ready[name](trial[:1])
    gaps: dict[str, float] = dict.fromkeys(ready, 0.0)
    rates = []
    for turn in range(options.rounds):
        jobs = made(setting, options.customers, options.shots, seed=turn)
        rates.append(matrix_rate(setting.model))
        ours: Odds | None = None
        for name, way in ready.items():
            few = counts[name]
            took, odds = timed(way, jobs[:few], setting.model.device.type)
            seconds[name].append(took / few)
            ours = odds if ours is None else ours
            gaps[name] = max(gaps[name], float(np.abs(odds - ours[:few]).max()))
            print(f"round {turn + 1}, {name}: {took / few:.4f} s a customer, {few}", flush=True)
    work = flops(setting.model, jobs)
    rate = statistics.median(rates)
    show(seconds, counts, gaps, floor=work / rate, rate=rate, work=work)
    if "promptpredict" in ready:
        profile(ready["promptpredict"], jobs[:PROFILED])
    found = {name: statistics.median(each) for name, each in seconds.items()}
    print(json.dumps({"schema": 1, "shots": options.shots, "seconds": found, "floor": work / rate}))


def asked() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--shots", type=int, default=16)
    parser.add_argument("--customers", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20, help="about, of a way in a round")
    parser.add_argument("--way", action="append", help="all, if not given")
    parser.add_argument(
        "--batch",
        type=int,
        action="append",
        help="batch sizes of other tools: 1 and 8, if not given",
    )
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--config", choices=CONFIGS, help="random weights in place of --model's")
    parser.add_argument("--dtype", default="auto", choices=["auto", "float32", "bfloat16"])
    return parser.parse_args()


def prepared(options: argparse.Namespace) -> Setting:
    """Load the model twice, as ours changes how its attention is called, and the tokenizer."""
    source = find(options.model)
    tokenizer = load_tokenizer(source)
    if options.config:
        device, _ = choose_device()
        dtype, _ = choose_dtype(options.dtype, device)
        models = [random_model(options.config, len(tokenizer), device, dtype) for _ in range(2)]
        lm, plain = CausalLM(models[0], tokenizer, name=options.config), models[1]
    else:
        lm = load_language_model(source, dtype=options.dtype, say=print)
        plain = load_language_model(source, dtype=options.dtype, pack=False).model
        plain.set_attn_implementation("sdpa")
    words = (" yes", " no")
    first, second = (tokenizer(word, add_special_tokens=False).input_ids[0] for word in words)
    path = None if options.config else source.path
    return Setting(
        model=plain,
        lm=lm,
        tokenizer=tokenizer,
        labels=LABELS,
        words=words,
        word_ids=(first, second),
        gguf=path if path and path.suffix == ".gguf" else None,
        context=lm.context,
        threads=os.cpu_count() or 1,
        sizes=options.batch or [1, 8],
    )


def random_model(config: str, vocabulary: int, device: str, dtype: torch.dtype) -> Any:
    """Return a model of a size of Qwen2, whose weights mean nothing."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    sizes = Qwen2Config(
        vocab_size=vocabulary, max_position_embeddings=32_768, **CONFIGS[config], dtype=dtype
    )
    with torch.device(device):
        return Qwen2ForCausalLM(sizes).to(dtype).eval()


def made(setting: Setting, customers: int, shots: int, *, seed: int) -> list[Job]:
    """Make up customers behind the same shots."""
    drawn = random.Random(seed)

    def customer(words: int) -> str:
        text = " ".join(drawn.choice(VOCABULARY) for _ in range(words))
        return ASKED.format(months=drawn.randrange(70), text=text)

    turns = tuple(
        Turn(customer(WORDS), f"Answer: {drawn.choice(('yes', 'no'))}") for _ in range(shots)
    )
    prompts = [
        Prompt(SYSTEM, turns, customer(WORDS + drawn.randrange(-10, 11)), "Answer:", shots)
        for _ in range(customers)
    ]
    ids = [tuple(setting.lm.encoder.ids(prompt)) for prompt in prompts]
    alike = min(begin_alike(ids[0], each) for each in ids[1:])
    texts = [setting.tokenizer.decode(each) for each in ids]
    for text, own in zip(texts, ids, strict=True):
        assert tuple(setting.tokenizer(text, add_special_tokens=False).input_ids) == own
    return [
        Job(prompt, text, own, alike) for prompt, text, own in zip(prompts, texts, ids, strict=True)
    ]


def affordable(way: Way, jobs: Sequence[Job], seconds: float) -> int:
    """Return how many customers a way scores in so many seconds; this warms it up, too."""
    took, _ = timed(way, jobs[:1], "cpu")
    if took < seconds:
        took, _ = timed(way, jobs[:1], "cpu")
    many = max(1, int(seconds / took))
    return min(len(jobs), many - many % BATCH if many > BATCH else many)


def timed(way: Way, jobs: Sequence[Job], device: str) -> tuple[float, Odds]:
    """Return how long a way takes, and its log-odds."""
    if device == "cuda":
        torch.cuda.synchronize()
    begun = time.perf_counter()
    odds = way(jobs)
    return time.perf_counter() - begun, odds


def matrix_rate(model: Any) -> float:
    """Return the multiplications and additions a second of a large matrix product, best of 10."""
    size = 2_048 if model.device.type == "cpu" else 8_192
    left = torch.randn(size, size, device=model.device).to(model.dtype)
    best = float("inf")
    for _ in range(10):
        begun = time.perf_counter()
        torch.mm(left, left)
        if model.device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - begun)
    return 2 * size**3 / best


def flops(model: Any, jobs: Sequence[Job]) -> float:
    """Return multiplications and additions of one customer behind a prefix that is there already."""
    config = model.config
    weights = sum(
        each.numel() for each in model.get_decoder().layers.parameters() if each.ndim == 2
    )
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    size = head * config.num_attention_heads
    total = 0.0
    for job in jobs:
        own = len(job.ids) - job.shared
        seen = own * (job.shared + (own + 1) / 2)  # pairs of query and key
        total += 2 * own * weights + 4 * seen * size * config.num_hidden_layers
        total += 2 * config.vocab_size * config.hidden_size
    return total / len(jobs)


def show(
    seconds: dict[str, list[float]],
    counts: dict[str, int],
    gaps: dict[str, float],
    *,
    floor: float,
    rate: float,
    work: float,
) -> None:
    """Print the table."""
    print(
        f"matrix products: {rate / 1e9:,.0f} GFLOP/s; a customer: {work / 1e9:.1f} GFLOP, {floor:.4f} s"
    )
    print("| way | s a customer | customers | of ours | share of floor | log-odds off by |")
    print("| --- | --- | --- | --- | --- | --- |")
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    ours = medians.get("promptpredict", float("nan"))
    for name, each in medians.items():
        print(
            f"| {name} | {each:.4f} | {counts[name]} | {each / ours:.2f} | {floor / each:.2f} "
            f"| {gaps[name]:.2f} |"
        )


def profile(way: Way, jobs: Sequence[Job]) -> None:
    """Print where the time of a way goes: the operations that take most of it."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as watched

    cuda = torch.cuda.is_available()
    given = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    with watched(activities=given) as found:
        way(jobs)
    took = {
        each.key: each.self_device_time_total if cuda else each.self_cpu_time_total
        for each in found.key_averages()
    }
    total = sum(took.values())
    print("| operation | share of the time |\n| --- | --- |")
    for name in sorted(took, key=lambda name: -took[name])[:OPERATIONS]:
        print(f"| {name} | {took[name] / total:.3f} |")


if __name__ == "__main__":
    main()
