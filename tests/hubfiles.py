"""Files as the hub's library lays them into its cache."""

from __future__ import annotations


def put(path, content=b"GGUF, and the rest"):
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def on_hub(folder, name, *files):
    """Lay a model into the hub's cache as the hub's library does."""
    repo = folder / f"models--{name.replace('/', '--')}"
    put(repo / "refs" / "main", b"abc")
    for file in files:
        put(repo / "snapshots" / "abc" / file, b"{}")
    return repo / "snapshots" / "abc"
