"""Sentence encoders: unit vectors, each text read once, and what the window cuts is counted."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.base import clone

from fakes import FakeEncoder
from promptpredict.baselines import EmbeddingClassifier
from promptpredict.encoders import Embedder

LONG = "one two three four five six seven eight nine"  # the fake reads 8 words


class Clock:
    """A clock that stands still until it is moved."""

    now = 0.0

    def perf_counter(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("promptpredict.encoders.time", clock)
    return clock


class SlowEncoder(FakeEncoder):
    """Takes two seconds a text."""

    def __init__(self, clock):
        super().__init__()
        self.clock = clock

    def encode(self, sentences, **given):
        self.clock.now += 2 * len(sentences)
        return super().encode(sentences, **given)


def test_texts_become_unit_vectors_in_order():
    texts = ["late again", "very good", "late late late again again again"]
    found = Embedder(FakeEncoder())(texts)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-6)
    assert found.dtype == np.float32
    plain = FakeEncoder().encode(texts)
    np.testing.assert_allclose(found, plain / np.linalg.norm(plain, axis=1)[:, None], rtol=1e-6)
    assert not np.allclose(found[0], found[1])


def test_a_text_without_a_direction_stays_zero():
    """An encoder that knows no word of a text gives zeros; divided by their length they are NaN."""
    with np.errstate(all="raise"):
        found = Embedder(FakeEncoder())(["", "late"])
    assert np.array_equal(found[0], np.zeros_like(found[0]))
    assert np.linalg.norm(found[1]) == pytest.approx(1)


def test_a_text_is_read_once():
    encoder = FakeEncoder()
    embed = Embedder(encoder)
    first = embed(["late", "good", "late"])
    again = embed(["good", "new", "late"])
    assert encoder.asked == ["late", "good", "new"]
    np.testing.assert_array_equal(first[0], first[2])
    np.testing.assert_array_equal(again[[2, 0]], first[:2])


def test_remembered_texts_cost_what_they_took_and_make_nobody_wait(clock):
    embed = Embedder(SlowEncoder(clock))
    embed(["late", "good", "late"])
    assert (embed.cost, embed.waited) == (6, 4)
    embed(["good", "new"])
    assert (embed.cost, embed.waited) == (10, 6)


def test_loading_is_no_cost_of_a_text(clock, monkeypatch):
    """The first approach of a comparison must not pay for the weights that all of them use."""

    def load(name, device, pooling):
        clock.now += 100
        return SlowEncoder(clock)

    monkeypatch.setattr("promptpredict.encoders._load", load)
    embed = Embedder("minilm")
    embed(["late"])
    assert (embed.cost, embed.waited) == (2, 2)


def test_truncated_counts_distinct_texts_that_the_window_cuts():
    embed = Embedder(FakeEncoder())
    embed([LONG, "short", LONG, "one two three four five six seven eight"])
    assert embed.truncated == 1
    embed([LONG, "another " + LONG])
    assert embed.truncated == 2
    # what is counted really was cut: the ninth word changes nothing
    np.testing.assert_array_equal(*embed([LONG, LONG.replace("nine", "ten")]))


def test_describe_says_how_many_texts_were_cut():
    embed = Embedder(FakeEncoder())
    embed(["short"])
    assert embed.describe() == ""
    embed([LONG])
    assert embed.describe() == (
        "1 of 2 texts are longer than the 8 tokens that the sentence encoder FakeEncoder reads, "
        "and were cut by it"
    )


@pytest.mark.parametrize(
    ("window", "expected"),
    [(256, 256), (None, None), (0, None), (float("inf"), None), (np.float64(128), 128)],
)
def test_a_window_that_the_encoder_does_not_say_is_none(window, expected):
    encoder = FakeEncoder()
    encoder.max_seq_length = window
    assert Embedder(encoder).window == expected


def test_an_encoder_without_window_and_tokenizer_cuts_nothing_that_is_known():
    class Bare:
        def encode(self, sentences, **_):
            return np.ones((len(sentences), 2))

    embed = Embedder(Bare())
    np.testing.assert_allclose(embed([LONG]), [[0.5**0.5, 0.5**0.5]])
    assert (embed.window, embed.truncated, embed.describe()) == (None, 0, "")


def test_a_list_of_vectors_will_do():
    """A tensor or a list comes back from other encoders than sentence-transformers'."""
    embed = Embedder(SimpleNamespace(encode=lambda texts, **_: [[3, 4] for _ in texts]))
    np.testing.assert_allclose(embed(["late"]), [[0.6, 0.8]])


def test_an_encoder_by_name_is_loaded_when_it_is_needed_and_once(monkeypatch):
    loaded = []

    def load(name, device, pooling):
        loaded.append((name, device, pooling))
        return FakeEncoder()

    monkeypatch.setattr("promptpredict.encoders._load", load)
    embed = Embedder("minilm", device="cpu", pooling="mean")
    assert (embed.name, loaded) == ("minilm", [])
    embed(["late"])
    embed(["good"])
    assert embed.window == 8
    assert loaded == [("minilm", "cpu", "mean")]


def test_a_clone_of_an_estimator_shares_the_embedder():
    """A grid of parameters would else load the weights, and read every text, for each of them."""
    embed = Embedder(FakeEncoder())
    assert clone(EmbeddingClassifier(encoder=embed)).encoder is embed
    assert Embedder.of(embed) is embed
    assert Embedder.of(FakeEncoder()).name == "FakeEncoder"
