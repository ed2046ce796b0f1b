"""Episodes: what they hold is what a few-shot prompt of the same records holds."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from promptpredict.encoding import Encoder
from promptpredict.episodes import Decision, Episodes, EpisodeTable, _dealt, episode
from promptpredict.errors import DataError, ModelError
from promptpredict.prompt import PromptFile
from promptpredict.records import Record

TEXT = """---
task: binary
target: left
labels: {1: [angry, furious], 0: happy}
positive: 1
---
{% block system %}You judge customers.{% endblock %}
{% block customer %}Plan: {{ customer.plan }}{% endblock %}
{% block question %}How is the mood?{% endblock %}
{% block answer %}The mood is{% endblock %}
"""


def records(count=6):
    return [Record(n + 1, str(n), {"plan": f"plan {n}"}, str(n % 2)) for n in range(count)]


@pytest.fixture(params=["chatml", "llama3", "gemma"])
def encoder(request, tokenizers):
    return Encoder(tokenizers[request.param], name=request.param)


def test_every_decision_stands_behind_the_prompt_with_the_records_before_as_shots(encoder):
    file = PromptFile.from_text(TEXT)
    found = episode(encoder, file, records(), width=2000)
    assert len(found.decisions) == 6
    for at, decision in enumerate(found.decisions):
        prompt = file.render(records()[at], records()[:at])
        encoded = encoder.encode(prompt, file.words, file.front.join)
        assert found.ids[: decision.position] == encoded.ids
        end = decision.position + len(decision.word)
        assert found.ids[decision.position : end] == decision.word
        text = encoder.tokenizer.decode(decision.word).strip()
        assert text == ("happy", "angry")[at % 2]  # the first word of a label, as in a shot
        assert decision.column == (1, 0)[at % 2]  # label order: 1, 0
        assert decision.first[decision.column] == decision.word[0]
    assert len(found.ids) == found.decisions[-1].position + len(found.decisions[-1].word)


def test_an_episode_ends_before_it_is_too_long(encoder):
    file = PromptFile.from_text(TEXT)
    whole = episode(encoder, file, records(), width=2000)
    second = whole.decisions[1]
    length = second.position + len(second.word)
    short = episode(encoder, file, records(), width=length)
    assert (short.ids, short.decisions) == (whole.ids[:length], whole.decisions[:2])
    assert len(episode(encoder, file, records(), width=length - 1).decisions) == 1
    with pytest.raises(DataError) as caught:
        episode(encoder, file, records(), width=10)
    assert str(caught.value) == (
        "<text>: the prompt of every row is longer than 10 tokens; possible: longer episodes, by --width"
    )


def test_a_record_that_does_not_fit_by_itself_is_passed_over(encoder):
    file = PromptFile.from_text(TEXT)
    long = Record(9, "9", {"plan": "never again " * 400}, "1")
    found = episode(encoder, file, [long, *records()], width=400)
    assert found == episode(encoder, file, records(), width=400)
    assert len(found.decisions) > 1


def test_a_layout_that_is_written_otherwise_once_it_goes_on_is_refused():
    file = PromptFile.from_text(TEXT)
    entry = SimpleNamespace(label="1", ids=(7,)), SimpleNamespace(label="0", ids=(8,))
    found = SimpleNamespace(ids=None, words=SimpleNamespace(entries=entry))

    def encode(prompt, words, join):
        return SimpleNamespace(ids=(len(prompt.shots), 1, 2), words=found.words)

    with pytest.raises(ModelError) as caught:
        episode(SimpleNamespace(encode=encode, name="tiny"), file, records(), width=100)
    assert str(caught.value) == (
        "tiny: a conversation is laid out otherwise once it goes on, so that records behind one "
        "another cannot be learned from in one sequence; possible: another model, or a prompt file "
        "without 'layout: one'"
    )


def test_an_episode_is_a_function_of_seed_and_place(tokenizers):
    encoder = Encoder(tokenizers["chatml"], name="tiny")
    one, same, other = (Episodes(encoder, width=3000, seed=seed) for seed in (0, 0, 1))
    assert [one[at] for at in range(4)] == [same[at] for at in range(4)]
    assert one[2] != other[2]
    assert len({one[at].ids for at in range(6)}) == 6


def test_given_tables_are_drawn_from_by_their_share(tokenizers):
    encoder = Encoder(tokenizers["chatml"], name="tiny")
    table = EpisodeTable(PromptFile.from_text(TEXT), records(40))
    only = Episodes(encoder, width=500, seed=0, tables=[table], own=1.0)
    texts = [encoder.tokenizer.decode(only[at].ids) for at in range(8)]
    assert all(text.count("Plan: plan") == text.count("How is the mood?") > 3 for text in texts)
    half = Episodes(encoder, width=3000, seed=0, tables=[table], own=0.5)
    own = ["Plan: plan" in encoder.tokenizer.decode(half[at].ids) for at in range(20)]
    assert 4 < sum(own) < 16
    none = Episodes(encoder, width=3000, seed=0, own=1.0)
    assert "Plan: plan" not in encoder.tokenizer.decode(none[0].ids)


def test_a_fifth_of_a_given_table_is_held_out(tokenizers):
    encoder = Encoder(tokenizers["chatml"], name="tiny")
    table = EpisodeTable(PromptFile.from_text(TEXT), records(40))
    drawn = Episodes(encoder, width=900, seed=0, tables=[table], own=1.0, held_from=20)

    def shown(places):
        texts = " ".join(encoder.tokenizer.decode(drawn[at].ids) for at in places)
        return set(re.findall(r"Plan: plan (\d+)", texts))

    trained, held = shown(range(20)), shown(range(20, 40))
    assert not trained & held
    assert (len(held), len(trained)) == (8, 32)


def test_rows_that_are_dealt_and_all_too_long_are_followed_by_the_others(tokenizers):
    """Among short rows of one label there is a long one of another: half of the deals begin with it."""
    encoder = Encoder(tokenizers["chatml"], name="tiny")
    rows = records(40)
    rare = [replace(each, label="0") for each in rows[:39]]
    long = replace(rows[39], label="1", values={"plan": "late " * 400})
    table = EpisodeTable(PromptFile.from_text(TEXT), [*rare, long])
    drawn = Episodes(encoder, width=400, seed=0, tables=[table], own=1.0)
    assert min(len(drawn[at].decisions) for at in range(24)) > 0


def test_labels_that_came_before_do_not_tell_the_next_one():
    """A label drawn with the same chance each time: no pair of neighbours is more frequent."""
    pairs: Counter[tuple[str, str]] = Counter()
    for seed in range(400):
        rng = np.random.default_rng(seed)
        labels = ["1"] * 20 + ["0"] * 60
        rows = rng.permutation(80).tolist()
        found = _dealt(rng, rows, [labels[row] for row in rows])
        assert len({*found}) == len(found)
        said = [labels[row] for row in found][:12]
        pairs.update(pairwise(said))
    shares = np.array([pairs[pair] for pair in (("0", "0"), ("0", "1"), ("1", "0"), ("1", "1"))])
    np.testing.assert_allclose(shares / shares.sum(), 0.25, atol=0.03)


def test_every_synthetic_table_gives_an_episode(tokenizers):
    encoder = Encoder(tokenizers["chatml"], name="tiny")
    found = Episodes(encoder, width=4000, seed=3)
    for at in range(25):
        each = found[at]
        assert len(each.ids) <= 4000
        assert {len(decision.first) for decision in each.decisions} == {2}
        assert all(isinstance(decision, Decision) for decision in each.decisions)
        assert all(each.first[each.column] == each.word[0] for each in each.decisions)
