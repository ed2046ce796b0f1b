"""The hub of models: whether it answers, and what of it is on this machine.

Knows the hub's address and its cache; knows nothing of which model is wanted.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import getproxies

HUB_TIMEOUT = 1.0  # seconds after which the hub counts as out of reach


def in_hub_cache() -> Iterator[tuple[str, Path, int]]:
    """Yield name, folder and bytes of the models in the hub's local cache."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repos = scan_cache_dir().repos
    except CacheNotFound:
        return
    for repo in sorted(repos, key=lambda repo: repo.repo_id):
        if repo.repo_type == "model":
            yield repo.repo_id, repo.repo_path, repo.size_on_disk


def hub_in_reach() -> bool:
    """Decide within a second whether the hub answers."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    url = urlparse(constants.ENDPOINT)
    url = urlparse(getproxies().get(url.scheme) or constants.ENDPOINT)
    place = (url.hostname or "", url.port or (80 if url.scheme == "http" else 443))
    answered = threading.Event()

    def ask() -> None:
        with suppress(OSError), socket.create_connection(place, timeout=HUB_TIMEOUT):
            answered.set()

    # In a thread, because looking up the name and trying each address have no limit together.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(HUB_TIMEOUT)
    return answered.is_set()
