"""Once a model is on the machine, nobody is spoken to: every socket is denied, and all is done."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import build_model, build_tokenizer
from promptpredict.demo import SAMPLE

# In front of everything that a run imports: what opens a socket ends the run with a traceback.
DENIED = """
import os, socket, sys
def denied(*_, **__):  # in whatever thread
    sys.stderr.write("a socket was opened\\n")
    sys.stderr.flush()
    os._exit(1)
class Denied(socket.socket):
    def __init__(self, *_, **__):
        denied()
socket.socket = Denied
socket.create_connection = socket.getaddrinfo = socket.gethostbyname = denied
from promptpredict.cli import main
main()
"""


def run(*words, cwd, **environment):
    env = {name: each for name, each in os.environ.items() if not name.startswith("HF_")}
    return subprocess.run(
        [sys.executable, "-c", DENIED, *map(str, words)],
        cwd=cwd, capture_output=True, text=True, check=False, env=env | environment,
    )  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    build_tokenizer("chatml").save_pretrained(folder)
    build_model().save_pretrained(folder)
    return folder


def test_the_denial_denies(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", DENIED.replace("from promptpredict", "socket.socket()\nfrom promptpredict")],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.stderr == "a socket was opened\n"


@pytest.mark.slow
def test_scoring_opens_no_socket(model, tmp_path):
    words = ["score", SAMPLE, "--prompt", "churn-shop", "--model", model, "--limit", 12, "--stop-mass", 0,
             "--guard", 1, "--out", "s.csv"]  # fmt: skip
    private = ["--redact"] if _installed("presidio_analyzer") else []
    done = run(*words, *private, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "s.csv").read_text().splitlines()) == 13


def test_a_model_that_is_not_here_is_the_only_one_that_is_asked_for(tmp_path):
    done = run("score", SAMPLE, "--prompt", "churn-shop", "--model", "some/model", cwd=tmp_path)
    assert (
        done.stderr == "a socket was opened\n"
    )  # in a thread, which looks whether the hub is there


def test_offline_asks_nobody_for_a_model_that_is_not_here(tmp_path):
    done = run(
        "score",
        SAMPLE,
        "--prompt",
        "churn-shop",
        "--model",
        "some/model",
        "--offline",
        cwd=tmp_path,
    )
    assert done.returncode == 1
    assert done.stderr == (
        "error: some/model is not on this machine, and the hub is out of reach; possible: "
        "smollm2-135m, a folder, or a .gguf file\n"
    )


@pytest.mark.weights
def test_the_embedded_models_open_no_socket(tmp_path):
    lines = SAMPLE.read_text(encoding="utf-8").splitlines(keepends=True)
    for name, count in (("few.csv", 12), ("some.csv", 41)):
        (tmp_path / name).write_text("".join(lines[:count]), encoding="utf-8")
    done = run(
        "score", SAMPLE, "--prompt", "churn-shop", "--limit", 6, "--train", "few.csv", "--shots", 2,
        "--select", "nearest", "--fallback", "embedding", "--out", "s.csv", cwd=tmp_path,
        OMP_NUM_THREADS=str(os.cpu_count()),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    done = run(
        "benchmark", "some.csv", "--prompt", "churn-shop", "--approach", "zero-shot,embedding", "--budget",
        "0,16", "--seeds", 1, "--max-test", 8, "--attacks", "--out", "r", cwd=tmp_path,
        OMP_NUM_THREADS=str(os.cpu_count()),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Hostile texts" in Path(tmp_path / "r" / "report.html").read_text(encoding="utf-8")


def _installed(name):
    import importlib.util

    return importlib.util.find_spec(name) is not None
