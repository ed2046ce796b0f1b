"""`score` with stand-ins: the files of a run, what it loads, and what it wrote."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np

from fakes import FakeEncoder, FakeLM
from promptpredict import loading
from promptpredict.checking import ScoreOptions
from promptpredict.walk import score_table

PROMPT = """---
task: binary
target: left
labels: {1: [angry, sad], 0: happy}
positive: 1
id: id
text: [feedback]
ignore: [note]
fields: {amount: {unit: EUR, format: ".2f"}}
---
{% block system %}You judge.{% endblock %}
{% block customer %}{% for field in customer.fields %}{{ field.name }}: {{ field.value }}
{% endfor %}
{{ customer.feedback }}{% endblock %}
{% block question %}How does the customer feel?{% endblock %}
{% block answer %}The customer feels{% endblock %}
"""
NO_ID = PROMPT.replace("id: id\n", "")
THREE = (
    PROMPT.replace("binary", "multiclass")
    .replace("labels: {1: [angry, sad], 0: happy}", "labels: {2: angry, 1: fine, 0: happy}")
    .replace("positive: 1\n", "")
)
HEADER = "id,amount,feedback"
# FakeLM starts at -6 and adds a nat for each word of a label.
ROWS = ["007,1,angry angry sad", "8,2,happy", "0x9,,nothing"]
TRAIN_HEADER = "id,amount,feedback,left"
# 'angry' and 'happy' fall into one drawer of FakeEncoder, their neighbours do not.
FEELS = ["happy thanks", "angry slow"]
TRAIN = [f"t{n},{n},told {n} {FEELS[n % 2]},{n % 2}" for n in range(24)]
COLUMNS = "id,prediction,p_1,p_0,label_mass,method,truncated,flags\n"
MANY = ("angry", "sad", "happy", "late", "fine", "slow")


class Fakes:
    """The stand-ins that a run loads, and how often it loads them."""

    def __init__(self, folder):
        self.lm, self.encoder = FakeLM(), FakeEncoder()
        self.model_folder, self.encoder_folder = str(folder / "model"), str(folder / "encoder")
        self.loaded = []
        self.error = None

    def load_language_model(self, source, *, dtype="auto", device="auto", say=print):
        self.loaded.append((source.name, dtype, device))
        if self.error:
            raise self.error
        return self.lm

    def load_sentence_encoder(self, source, *, device="auto", pooling="auto"):
        self.loaded.append((source.name, device))
        return self.encoder

    def texts(self):
        """Return every text that a model or an encoder was given."""
        turns = [turn for prompt in self.lm.asked for turn in prompt.shots]
        prompts = [[each.system, each.user, each.answer] for each in self.lm.asked]
        shown = [part for prompt in prompts for part in prompt]
        return [*shown, *(f"{turn.user}\n{turn.reply}" for turn in turns), *self.encoder.asked]


def prepare(folder, monkeypatch):
    """Write a prompt file and tables into a folder, and let runs load stand-ins."""
    monkeypatch.chdir(folder)
    write("p.jinja", PROMPT)
    table("customers.csv", HEADER, ROWS)
    table("train.csv", TRAIN_HEADER, TRAIN)
    found = Fakes(folder)
    for each in (found.model_folder, found.encoder_folder):
        Path(each).mkdir()
        write(f"{each}/config.json", "{}")
        write(f"{each}/model.safetensors", "")
    monkeypatch.setattr(loading, "load_language_model", found.load_language_model)
    monkeypatch.setattr(loading, "load_sentence_encoder", found.load_sentence_encoder)
    return found


def write(name, text):
    Path(name).write_text(text, encoding="utf-8")


def table(name, header, rows):
    write(name, "\n".join([header, *rows, ""]))


def many(count, seed=0):
    """Return rows of which each says some of the label words, and whether they left."""
    rng = np.random.default_rng(seed)
    said = [rng.choice(MANY, size=rng.integers(1, 9)).tolist() for _ in range(count)]
    left = [rng.random() < (0.7 if "angry" in words else 0.3) for words in said]
    return [f"c{at},{at % 7},{' '.join(words)}" for at, words in enumerate(said)], left


def score(fakes, **changes):
    """Run `score` and return its summary and what it said."""
    said = []
    files = {"customers": "customers.csv", "prompt": "p.jinja", "out": "scores.csv"}
    used = {"model": fakes.model_folder, "encoder": fakes.encoder_folder, "stop_mass": 0.0}
    return score_table(ScoreOptions(**files | used | changes), said.append), said


def read(name="scores.csv"):
    with open(name, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def column(name, file="scores.csv"):
    return [row[name] for row in read(file)]


def rejects(name="scores.csv.rejects.jsonl"):
    return [json.loads(line) for line in Path(name).read_text(encoding="utf-8").splitlines()]
