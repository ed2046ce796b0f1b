"""Stand-ins for a language model and a sentence encoder: quick, deterministic, easy to foresee."""

from __future__ import annotations

import re
import zlib

import numpy as np

from promptpredict.scores import Scores, each_labels

WIDTH = 16


class FakeLM:
    """Reads a prompt by counting: a label gains 1 nat for each of its words in the user's turn.

    ``asked`` are all prompts that it was given. A prompt with ``[unscorable]`` has a fault.
    """

    name = "fake"

    def __init__(self):
        self.asked = []

    def score(self, prompts, labels, *, progress=None):
        self.asked += prompts
        every = each_labels(labels, len(prompts))
        width = len(every[0].words) if every else len(labels.words)
        logprobs = np.array(list(map(self._logprobs, prompts, every)), np.float32)
        logprobs = logprobs.reshape(len(prompts), width)
        faults = {
            index: "it cannot be scored"
            for index, prompt in enumerate(prompts)
            if "[unscorable]" in prompt.user
        }
        logprobs[list(faults)] = np.nan
        if progress:
            progress(len(prompts))
        return Scores(
            logprobs=logprobs,
            mass=np.exp(logprobs).sum(axis=1),
            hidden=bags([prompt.user for prompt in prompts]),
            truncated=np.array(["[long]" in prompt.user for prompt in prompts], bool),
            faults=faults,
            tokens=sum(len(prompt.user.split()) for prompt in prompts),
        )

    def _logprobs(self, prompt, labels):
        found = re.findall(r"\w+", prompt.user.lower())
        return [
            -6.0 + sum(found.count(word.lower()) for word in words)
            for words in labels.words.values()
        ]


class FakeEncoder:
    """Turns a text into a bag of its words; reads 8 words, as MiniLM reads 256 tokens."""

    max_seq_length = 8

    def __init__(self):
        self.asked = []

    def encode(self, sentences, **_):
        self.asked += sentences
        return bags([" ".join(text.split()[: self.max_seq_length]) for text in sentences])

    def tokenizer(self, texts, **_):
        return {"input_ids": [text.split() for text in texts]}


def bags(texts):
    """Return how often the words of each text fall into each of 16 drawers, (n, 16)."""
    table = np.zeros((len(texts), WIDTH), np.float32)
    for row, text in enumerate(texts):
        for word in re.findall(r"\w+", text.lower()):
            table[row, zlib.crc32(word.encode()) % WIDTH] += 1
    return table
