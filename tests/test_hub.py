"""Whether the hub answers, within a second, and what of it is on this machine."""

from __future__ import annotations

import io
import socket
import threading
import time

import pytest

from hubfiles import on_hub, put
from promptpredict import hub


@pytest.fixture
def reach(monkeypatch):
    """The real decision, on a hub that is not switched off."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "https://hub.example")
    return hub.hub_in_reach


def test_offline_the_hub_is_not_asked(reach, monkeypatch):
    from huggingface_hub import constants

    asked = []
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(socket, "create_connection", lambda *args, **_: asked.append(args))
    assert reach() is False
    assert asked == []


@pytest.mark.parametrize(
    ("endpoint", "address"),
    [
        ("https://hub.example", ("hub.example", 443)),
        ("https://hub.example:8443/path", ("hub.example", 8443)),
        ("http://mirror.example", ("mirror.example", 80)),
    ],
)
def test_the_hub_is_asked_where_it_is(reach, monkeypatch, endpoint, address):
    from huggingface_hub import constants

    asked = []

    def connect(where, timeout):
        asked.append((where, timeout))
        return io.BytesIO()  # something to close

    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(socket, "create_connection", connect)
    assert reach() is True
    assert asked == [(address, hub.HUB_TIMEOUT)]


@pytest.mark.parametrize(
    "error", [TimeoutError(), socket.gaierror(-2, "unknown"), ConnectionRefusedError()]
)
def test_a_hub_that_does_not_answer_is_out_of_reach(reach, monkeypatch, error):
    def connect(*_, **__):
        raise error

    monkeypatch.setattr(socket, "create_connection", connect)
    monkeypatch.setattr(hub, "HUB_TIMEOUT", 0.02)
    assert reach() is False


def test_the_limit_is_for_all_addresses_of_the_hub_together(reach, monkeypatch):
    """Behind a firewall that drops packets each of them keeps silent; the hub has many."""
    waited = []

    class Silent:
        def __init__(self, *_):
            self.limit = 0.0

        def settimeout(self, limit):
            self.limit = limit

        def connect(self, _):
            time.sleep(self.limit)
            waited.append(self.limit)
            raise TimeoutError

        def close(self):
            pass

    place = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 443))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [place] * 12)
    monkeypatch.setattr(socket, "socket", Silent)
    monkeypatch.setattr(hub, "HUB_TIMEOUT", 0.02)
    assert reach() is False
    assert sum(waited) <= 2 * hub.HUB_TIMEOUT


def test_the_limit_is_for_the_look_up_of_the_hubs_name_too(reach, monkeypatch):
    """A name server that keeps silent takes many seconds by itself."""
    decided = threading.Event()
    outlasted = []

    def look_up(*_, **__):
        outlasted.append(not decided.wait(2))
        raise socket.gaierror(-3, "temporary failure")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(hub, "HUB_TIMEOUT", 0.02)
    assert reach() is False
    decided.set()
    assert outlasted != [True]


def test_models_in_the_hubs_cache_are_listed_by_name(tmp_path, monkeypatch):
    import huggingface_hub

    scan = huggingface_hub.scan_cache_dir
    monkeypatch.setattr(huggingface_hub, "scan_cache_dir", lambda: scan(tmp_path / "hub"))
    assert list(hub.in_hub_cache()) == []  # there is no such folder yet
    on_hub(tmp_path / "hub", "b/two", "config.json")
    on_hub(tmp_path / "hub", "a/one", "config.json", "model.safetensors")
    put(tmp_path / "hub" / "datasets--c--three" / "snapshots" / "abc" / "x.csv")
    put(tmp_path / "hub" / "datasets--c--three" / "refs" / "main", b"abc")
    assert [(name, path.name, size) for name, path, size in hub.in_hub_cache()] == [
        ("a/one", "models--a--one", 4),
        ("b/two", "models--b--two", 2),
    ]
