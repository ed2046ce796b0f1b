"""Prompts are kept only where somebody asked for it, and sealed where somebody has a key."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("cryptography")

from cryptography.fernet import Fernet

from promptpredict.errors import DataError
from promptpredict.keeping import read_key
from walked import HEADER, PROMPT, score, table, write

KEPT = "scores.csv.prompts.jsonl"


def lines():
    return Path(KEPT).read_text(encoding="utf-8").splitlines()


def test_nothing_is_kept_without_being_asked_for(fakes):
    score(fakes)
    names = {path.name for path in Path().iterdir() if path.name.startswith("scores")}
    assert names == {"scores.csv", "scores.csv.ledger", "scores.csv.ledger.lock"}


def test_every_prompt_is_kept_as_the_model_was_given_it(fakes):
    score(fakes, keep_prompts=True, train="train.csv", shots=2, select="random")
    found = [json.loads(line) for line in lines()]
    assert [(each["row"], each["id"]) for each in found] == [(1, "007"), (2, "8"), (3, "0x9")]
    customers = fakes.lm.asked[:3]
    assert [each["prompts"][0]["user"] for each in found] == [prompt.user for prompt in customers]
    first = found[0]["prompts"][0]
    assert list(first) == ["system", "shots", "user", "answer"]
    assert first["system"] == "You judge."
    assert [shot["user"] for shot in first["shots"]] == [turn.user for turn in customers[0].shots]
    assert first["answer"] == "The customer feels"


def test_of_several_prompt_files_each_prompt_is_kept(fakes):
    write("q.jinja", PROMPT.replace("How does the customer feel?", "And now?"))
    score(fakes, keep_prompts=True, others=["q.jinja"])
    asked = [[each["user"][-8:] for each in json.loads(line)["prompts"]] for line in lines()]
    assert asked == [["er feel?", "And now?"]] * 3


def test_a_sealed_line_says_nothing_without_the_key(fakes):
    key = Fernet.generate_key()
    Path("key").write_bytes(key + b"\n")
    score(fakes, keep_prompts=True)
    plain = lines()
    score(fakes, keep_prompts=True, encrypt_key_file="key")
    sealed = lines()
    assert len(sealed) == 3
    assert not any("angry" in line or '"row"' in line for line in sealed)
    assert [Fernet(key).decrypt(line.encode()).decode() for line in sealed] == plain


def test_what_is_no_key_is_said_before_a_model_loads(fakes):
    with pytest.raises(DataError) as error:
        score(fakes, keep_prompts=True, encrypt_key_file="key")
    assert str(error.value) == "--encrypt-key-file key cannot be read (No such file or directory)"
    write("key", "secret")
    with pytest.raises(
        DataError, match=r"^--encrypt-key-file key holds no Fernet key, which is 32"
    ):
        read_key("key")
    assert fakes.loaded == []


def test_without_cryptography_that_is_said(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "cryptography.fernet", None)
    with pytest.raises(DataError) as error:
        read_key("key")
    assert str(error.value) == (
        "--encrypt-key-file needs cryptography, which is not installed; possible: "
        "pip install 'promptpredict[private]'"
    )


def test_after_an_error_the_prompts_of_an_earlier_run_stand(fakes):
    score(fakes, keep_prompts=True)
    before = Path(KEPT).read_bytes()
    table("customers.csv", HEADER, ["1,1,other", "2,2,more"])
    fakes.lm.score = None
    with pytest.raises(TypeError):
        score(fakes, keep_prompts=True)
    assert Path(KEPT).read_bytes() == before
    assert not list(Path().glob(".*.tmp"))


def test_prompts_of_an_earlier_run_are_said_to_be_so(fakes):
    said = "scores.csv.prompts.jsonl holds the prompts of an earlier run, not of this one"
    assert said not in score(fakes, keep_prompts=True)[1]
    assert said not in score(fakes, keep_prompts=True)[1]
    assert said in score(fakes)[1]


def test_stdout_has_nothing_beside_it(fakes):
    with pytest.raises(DataError) as error:
        score(fakes, keep_prompts=True, out="-")
    assert str(error.value) == (
        "--keep-prompts writes beside --out, and stdout has nothing beside it"
    )
