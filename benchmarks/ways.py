"""Ways to score the label words of a prompt: ours, and those of other tools, each as it is used best.

Knows models and other tools' interfaces; knows nothing of clocks. A way takes jobs and returns the
log-odds of the first word against the second. What a tool lacks is not added to it: only ours and
llama.cpp keep a prefix.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from promptpredict.lm import CausalLM
from promptpredict.rendered import Prompt
from promptpredict.scores import Labels

Odds = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Job:
    """A prompt, the same as text and as token ids, and how many first ids all jobs share."""

    prompt: Prompt
    text: str
    ids: tuple[int, ...]
    shared: int


@dataclass(frozen=True)
class Setting:
    """What every way works with; ``words`` are two label words as they follow on a prompt."""

    model: Any
    lm: CausalLM
    tokenizer: Any
    labels: Labels
    words: tuple[str, str]
    word_ids: tuple[int, int]
    gguf: Path | None
    context: int
    threads: int
    sizes: Sequence[int]  # of batches


Way = Callable[[Sequence[Job]], Odds]
OURS = "promptpredict"
LLAMA = "llama.cpp, prefix kept"
LLAMA_BATCHES = f"{LLAMA}, batches of 16"
SHARING = {OURS, LLAMA, LLAMA_BATCHES}  # read the prefix once for all jobs


def ways(setting: Setting) -> dict[str, Callable[[], Way]]:
    """Return how each way is prepared, by name; ImportError there for a tool that is not installed."""
    found: dict[str, Callable[[], Way]] = {OURS: partial(_ours, setting)}
    for size in setting.sizes:
        batches = f", batches of {size}" if size > 1 else ""
        found |= {
            f"transformers{batches}": partial(_transformers, setting, size),
            f"lm-eval{batches}": partial(_lm_eval, setting, size),
            f"folktexts{batches}": partial(_folktexts, setting, size),
        }
    found["skorch"] = partial(_skorch, setting)
    if setting.gguf:
        found[LLAMA] = partial(_llama, setting, 1)
        found[LLAMA_BATCHES] = partial(_llama, setting, 16)
    return found


def _ours(setting: Setting) -> Way:
    def score(jobs: Sequence[Job]) -> Odds:
        scores = setting.lm.score([job.prompt for job in jobs], setting.labels)
        return np.asarray(scores.logprobs[:, 0] - scores.logprobs[:, 1], dtype=float)

    return score


def _transformers(setting: Setting, size: int) -> Way:
    """Padded at the left, so that one row of logits a prompt is all that is made."""

    @torch.inference_mode()
    def score(jobs: Sequence[Job]) -> Odds:
        odds = []
        for batch in _batches(jobs, size):
            width = max(len(job.ids) for job in batch)
            ids = torch.zeros(len(batch), width, dtype=torch.long)
            mask = torch.zeros(len(batch), width, dtype=torch.long)
            for row, job in enumerate(batch):
                ids[row, width - len(job.ids) :] = torch.tensor(job.ids)
                mask[row, width - len(job.ids) :] = 1
            given = {"input_ids": ids, "position_ids": (mask.cumsum(1) - 1).clamp(min=0)}
            if size > 1:
                given["attention_mask"] = mask
            given = {name: each.to(setting.model.device) for name, each in given.items()}
            logits = setting.model(**given, logits_to_keep=1, use_cache=False).logits[:, -1].float()
            first, second = setting.word_ids
            odds += (logits[:, first] - logits[:, second]).tolist()
        return np.array(odds)

    return score


def _lm_eval(setting: Setting, size: int) -> Way:
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    lm = HFLM(
        pretrained=setting.model,
        tokenizer=setting.tokenizer,
        backend="causal",
        batch_size=size,
        max_length=setting.context,
        add_bos_token=False,
    )

    def score(jobs: Sequence[Job]) -> Odds:
        asked = [
            Instance("loglikelihood", {}, (job.text, word), index)
            for index, job in enumerate(jobs)
            for word in setting.words
        ]
        found = [each[0] for each in lm.loglikelihood(asked, disable_tqdm=True)]
        return np.subtract(found[::2], found[1::2])

    return score


def _folktexts(setting: Setting, size: int) -> Way:
    from folktexts.llm_utils import query_model_batch

    def score(jobs: Sequence[Job]) -> Odds:
        odds = []
        for batch in _batches(jobs, size):
            texts = [job.text for job in batch]
            found = query_model_batch(texts, setting.model, setting.tokenizer, setting.context)
            with np.errstate(divide="ignore"):
                first, second = np.log(found[:, list(setting.word_ids)].astype(float)).T
            odds += (first - second).tolist()
        return np.array(odds)

    return score


def _skorch(setting: Setting) -> Way:
    from skorch.llm import ZeroShotClassifier

    def score(jobs: Sequence[Job]) -> Odds:
        # Anew each time: it keeps what it has scored, which is not asked again here.
        judge = ZeroShotClassifier(
            model=setting.model, tokenizer=setting.tokenizer, prompt="{text}", probas_sum_to_1=False
        )
        judge.fit(None, list(setting.words))
        found = np.log(judge.predict_proba([job.text for job in jobs]))
        first = list(judge.classes_).index(setting.words[0])
        return np.asarray(found[:, first] - found[:, 1 - first])

    return score


def _llama(setting: Setting, size: int) -> Way:
    """A sequence a customer; the cells of the prefix are those of all sequences."""
    import llama_cpp as cpp

    logging.getLogger("llama-cpp-python").setLevel(logging.ERROR)
    cpp.llama_backend_init()
    model = cpp.llama_model_load_from_file(
        str(setting.gguf).encode(), cpp.llama_model_default_params()
    )
    given = cpp.llama_context_default_params()
    given.n_ctx = given.n_batch = setting.context + 2_048
    given.n_threads = given.n_threads_batch = setting.threads
    given.n_seq_max, given.kv_unified = size + 1, True
    return partial(_llama_score, setting, cpp, cpp.llama_init_from_model(model, given), size)


def _llama_score(setting: Setting, cpp: Any, context: Any, size: int, jobs: Sequence[Job]) -> Odds:
    memory = cpp.llama_get_memory(context)
    cpp.llama_memory_clear(memory, True)  # noqa: FBT003
    shared = jobs[0].shared
    if shared:
        _decode(cpp, context, [(0, 0, jobs[0].ids[:shared])])
    odds = []
    for batch in _batches(jobs, size):
        for at in range(1, len(batch) + 1):
            cpp.llama_memory_seq_cp(memory, 0, at, -1, -1)
        parts = [(at + 1, shared, job.ids[shared:]) for at, job in enumerate(batch)]
        rows = _decode(cpp, context, parts)
        for row in rows:
            logits = cpp.llama_get_logits_ith(context, row)
            odds.append(logits[setting.word_ids[0]] - logits[setting.word_ids[1]])
        for at in range(1, len(batch) + 1):
            cpp.llama_memory_seq_rm(memory, at, -1, -1)
    return np.array(odds)


def _decode(cpp: Any, context: Any, parts: Sequence[tuple[int, int, Sequence[int]]]) -> list[int]:
    """Read sequences (id, position of the first token, tokens); return the rows of the last logits."""
    count = sum(len(ids) for _, _, ids in parts)
    batch = cpp.llama_batch_init(count, 0, 1)
    batch.n_tokens, row, last = count, 0, []
    for sequence, start, ids in parts:
        for at, token in enumerate(ids):
            batch.token[row], batch.pos[row] = token, start + at
            batch.n_seq_id[row], batch.seq_id[row][0] = 1, sequence
            batch.logits[row] = at == len(ids) - 1
            row += 1
        last.append(row - 1)
    code = cpp.llama_decode(context, batch)
    cpp.llama_batch_free(batch)
    if code:
        raise RuntimeError(f"llama_decode returned {code}")
    return last


def _batches(jobs: Sequence[Job], size: int) -> list[Sequence[Job]]:
    return [jobs[start : start + size] for start in range(0, len(jobs), size)]
