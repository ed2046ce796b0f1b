"""Scores of the fast path against the slow reference: same prompts, same label log-probabilities."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
import transformers

from conftest import build_model, build_tokenizer
from promptpredict import prefix
from promptpredict.batching import batches
from promptpredict.errors import ModelError
from promptpredict.estimators import PromptClassifier
from promptpredict.lm import CausalLM
from promptpredict.prompt import PromptFile
from promptpredict.records import records_from_frame
from promptpredict.rendered import Prompt, Turn
from promptpredict.scores import Labels, each_labels
from promptpredict.sharing import NOTHING
from reference import reference_scores

SINGLE = Labels({"1": ["Yes"], "0": ["No"]})
SEVERAL = Labels({"1": ["disappointed", "very angry"], "0": ["happy", "not sure at all"]})
NESTED = Labels({"1": ["no"], "0": ["not sure"], "2": ["not"]})
GPT_NEO = {"hidden_size": 32, "num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]]}  # fmt: skip
LABELS = {"one word": SINGLE, "several tokens": SEVERAL, "one begins another": NESTED}


def prompts(count=9, *, shots=2, answer="The customer feels"):
    shown = tuple(Turn(f"Plan: {n}\nHow?", f"{answer} happy".strip()) for n in range(shots))
    texts = [
        f"Plan: {n % 4}\nFeedback: {'never again ' * (n % 5)}ok {n}\nHow?" for n in range(count)
    ]
    return [Prompt("You judge customers.", shown, text, answer) for text in texts]


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
@pytest.mark.parametrize("family", ["chatml", "llama3", "gemma", "plain"])
def test_scores_equal_the_reference(tokenizers, family, labels):
    lm = CausalLM(build_model(), tokenizers[family], name="tiny", batch_tokens=300)
    expected, hidden = reference_scores(lm, prompts(), labels)
    scores = lm.score(prompts(), labels)
    np.testing.assert_allclose(scores.logprobs, expected, atol=1e-4)
    np.testing.assert_allclose(scores.hidden, hidden, atol=1e-4)
    np.testing.assert_allclose(scores.mass, np.exp(expected).sum(1), rtol=1e-4)
    assert scores.faults == {}


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("qwen2", {}),
        ("qwen3", {}),
        ("mistral", {"sliding_window": 24}),
        ("gemma2", {"sliding_window": 24}),
        ("gemma3", {"sliding_window": 24}),
        ("granite", {"logits_scaling": 3.0}),
        ("phi", {}),
    ],
)
def test_every_architecture_equals_the_reference(tokenizers, kind, changes):
    """Sliding windows shorter than the prefix, soft caps, logit scaling and a biased output matrix."""
    lm = CausalLM(build_model(kind, **changes), tokenizers["chatml"], name=kind)
    expected, _ = reference_scores(lm, prompts(), SEVERAL)
    np.testing.assert_allclose(lm.score(prompts(), SEVERAL).logprobs, expected, atol=1e-4)


# -- texts without one of their parts -------------------------------------------------------------


def without_each(parts=5, *, customer=0):
    """Return a text of so many parts, and the text without each of them."""
    every = [f"Part {at}: {f'{customer} late {at} ' * 14}" for at in range(parts)]
    texts = [every, *([*every[:at], *every[at + 1 :]] for at in range(parts))]
    return [Prompt("You judge.", (), " ".join(text), "It feels") for text in texts]


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("llama", {}),
        ("qwen3", {}),
        ("phi", {}),
        ("granite", {}),
        ("mistral", {"sliding_window": 24}),  # shorter than every step
        ("mistral", {"sliding_window": 150}),  # than some of them
        ("gemma2", {"sliding_window": 24}),
        ("gemma3", {"sliding_window": 150}),
    ],
)
@pytest.mark.parametrize("copied", [None, "it is a test"])
def test_prefixes_behind_prefixes_equal_the_reference(tokenizers, kind, changes, copied):
    model = build_model(kind, max_position_embeddings=2048, **changes)
    lm = CausalLM(model, tokenizers["chatml"], name=kind)
    lm.copied = lm.copied or copied
    asked = without_each(5) + without_each(2, customer=1)
    fitted, _ = lm.passes.fit(asked, [SEVERAL] * len(asked))
    assert max(len(group.prefix.steps) for group in lm.passes.groups(fitted)) > 2
    # several prefixes in a pass, where layers see all of them in place
    together = max(len(bundle.groups) for bundle in lm.passes.bundles(fitted)) > 1
    assert together == (not lm.copied and changes.get("sliding_window", 2048) > 1024)
    expected, hidden = reference_scores(lm, asked, SEVERAL)
    scores = lm.score(asked, SEVERAL)
    np.testing.assert_allclose(scores.logprobs, expected, atol=1e-4)
    np.testing.assert_allclose(scores.hidden, hidden, atol=1e-4)


def test_what_was_kept_before_moves_no_byte(tokenizers):
    """A run that goes on reads other prompts first than one that was not interrupted."""
    lm = CausalLM(
        build_model(max_position_embeddings=2048).to(torch.bfloat16), tokenizers["chatml"], name="a"
    )
    asked = without_each()
    first = lm.score(asked, SEVERAL)
    again = lm.score(asked, SEVERAL)  # goes on from the last prefix
    lm.score(asked[:3], SEVERAL)  # which keeps another one
    third = lm.score(asked, SEVERAL)
    assert first.tokens > again.tokens
    for other in (again, third):
        np.testing.assert_array_equal(other.logprobs, first.logprobs)
        np.testing.assert_array_equal(other.hidden, first.hidden)


def test_prefixes_that_are_read_side_by_side_take_fewer_passes(tokenizers, monkeypatch):
    lm = CausalLM(build_model(max_position_embeddings=2048), tokenizers["chatml"], name="a")
    asked = [prompt for customer in range(4) for prompt in without_each(customer=customer)]
    passes = []
    for beside in (0, None):
        lm.passes.beside, lm._prefix = beside, prefix.Prefix.empty()
        calls = []
        with monkeypatch.context() as patched:
            decoder = lm.model.get_decoder()
            plain = decoder.forward
            patched.setattr(decoder, "forward", lambda **given: calls.append(1) or plain(**given))  # noqa: B023
            scores = lm.score(asked, SEVERAL)
        passes.append(len(calls))
        expected, hidden = reference_scores(lm, asked, SEVERAL)
        np.testing.assert_allclose(scores.logprobs, expected, atol=1e-4)
        np.testing.assert_allclose(scores.hidden, hidden, atol=1e-4)
    assert passes[1] * 2 < passes[0]


def test_the_tokens_of_a_bundle_are_those_that_are_read(tokenizers, monkeypatch):
    lm = CausalLM(build_model(max_position_embeddings=2048), tokenizers["chatml"], name="a")
    asked = [prompt for customer in range(3) for prompt in without_each(customer=customer)]
    fitted, _ = lm.passes.fit(asked, [SEVERAL] * len(asked))
    (bundle,) = lm.passes.bundles(fitted)
    assert [group.rows for group in bundle.groups] == [g.rows for g in lm.passes.groups(fitted)]
    assert 0 < len(bundle.base) < min(len(group.prefix) for group in bundle.groups[1:])
    read = []
    plain_rows, plain_prefix = prefix.padded, prefix.read_prefix

    def rows(own, *given):
        read.extend(map(len, own))
        return plain_rows(own, *given)

    def alone(model, beginning, *, known, **given):
        read.append(len(beginning) - len(known.ids))
        return plain_prefix(model, beginning, known=known, **given)

    for module in ("lm", "prefix"):
        monkeypatch.setattr(f"promptpredict.{module}.padded", rows)
    monkeypatch.setattr("promptpredict.lm.read_prefix", alone)
    for kept in (NOTHING, bundle.base):
        read.clear()
        assert lm.score(asked, SEVERAL).tokens == sum(read) == bundle.tokens(kept)


@pytest.mark.parametrize("held", [0.3, 0.7])
def test_a_run_that_goes_on_within_a_bundle_gives_the_same_bytes(tokenizers, held):
    """What is held is not read, and moves no byte of what is."""
    model = build_model(max_position_embeddings=2048).to(torch.bfloat16)
    lm = CausalLM(model, tokenizers["chatml"], name="a", batch_tokens=300)
    asked = [prompt for customer in range(3) for prompt in without_each(customer=customer)]
    fitted, _ = lm.passes.fit(asked, [SEVERAL] * len(asked))
    assert max(len(bundle.groups) for bundle in lm.passes.bundles(fitted)) > 1
    whole = lm.score(asked, SEVERAL)
    drawn = np.random.default_rng(0).random(len(asked))
    read = []

    class Some:
        """Holds some of the batches."""

        def holds(self, rows):
            return drawn[rows[0]] < held

        def keep(self, rows, scores):
            read.extend(rows)

    again = lm.score(asked, SEVERAL, journal=Some())
    assert 0 < len(read) < len(asked)
    np.testing.assert_array_equal(again.logprobs[read], whole.logprobs[read])
    np.testing.assert_array_equal(again.hidden[read], whole.hidden[read])


def unlike_lengths():
    """Return two groups, one with a long prefix and short rows, one with a short prefix and long rows."""
    letters = np.random.default_rng(0).choice(list("bcdfghjklmnpqrstvwxz0123456789"), size=5_000)
    drawn = iter(letters.tolist())

    def some(count):
        return "".join(next(drawn) for _ in range(count))

    asked = []
    for front, tail in ((170, 20), (100, 60)):
        start = some(front)
        asked += [Prompt("J.", (), f"{start}{chr(65 + n)}{some(tail)}", "S") for n in range(24)]
    return asked


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["llama", "mistral"])
def test_padding_never_leaves_the_context_or_the_window(tokenizers, monkeypatch, kind, dtype):
    """Padding behind the longest prefix would reach beyond what is read, and be taken for a second text."""
    # as on a GPU, where rows of unlike lengths share a batch
    monkeypatch.setattr(
        "promptpredict.lm.batches", lambda sizes, budget, _: batches(sizes, budget, 1024)
    )
    ask = Labels({"1": ["x"], "0": ["y"]}, "")
    first = CausalLM(build_model(kind), tokenizers["chatml"], name=kind)
    fitted, _ = first.passes.fit(unlike_lengths(), [ask] * 48)
    longest = max(item.encoded.positions for item in fitted.values())
    limit = {"llama": "max_position_embeddings", "mistral": "sliding_window"}[kind]
    for room, together in ((longest, False), (longest + 200, True)):
        model = build_model(kind, **{limit: room})
        expected, _ = reference_scores(
            CausalLM(model, tokenizers["chatml"], name="a"), unlike_lengths(), ask
        )
        lm = CausalLM(model.to(dtype), tokenizers["chatml"], name=kind, batch_tokens=400)
        bundles = list(lm.passes.bundles(fitted))
        assert (max(len(bundle.groups) for bundle in bundles) > 1) == together
        tolerance = 1e-4 if dtype == torch.float32 else 0.4
        found = lm.score(unlike_lengths(), ask)
        assert not found.faults
        np.testing.assert_allclose(found.logprobs, expected, atol=tolerance)


def test_no_more_tokens_of_prefixes_are_kept_than_there_is_room_for(tokenizers):
    lm = CausalLM(build_model(max_position_embeddings=8192), tokenizers["chatml"], name="a")
    asked = [prompt for customer in range(4) for prompt in without_each(20, customer=customer)]
    fitted, _ = lm.passes.fit(asked, [SEVERAL] * len(asked))
    bundles = list(lm.passes.bundles(fitted))
    assert len(bundles) > 1
    for bundle in bundles:
        kept = {bundle.base, *(link for link, _ in bundle.links())}
        assert sum(map(len, kept)) <= 2 * lm.batch_tokens or len(bundle.groups) == 1


def test_where_memory_ends_prefixes_are_read_one_by_one(tokenizers, monkeypatch):
    lm = CausalLM(build_model(max_position_embeddings=2048), tokenizers["chatml"], name="a")
    asked = [prompt for customer in range(3) for prompt in without_each(customer=customer)]
    asked.append(
        Prompt("You judge.", (), "quite another text " * 60, "It feels")
    )  # a batch of its own
    expected, size = lm.score(asked, SEVERAL), lm.batch_tokens
    called = []

    def fail(*_):
        called.append(1)
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr("promptpredict.lm.read_links", fail)
    scores = lm.score(asked, SEVERAL)
    assert called
    assert lm.batch_tokens == size
    assert not scores.faults
    np.testing.assert_allclose(scores.logprobs, expected.logprobs, atol=1e-4)
    np.testing.assert_allclose(scores.hidden, expected.hidden, atol=1e-4)


# -- several questions about one customer --------------------------------------------------------


def panel(customers=5, *, system="You judge customers."):
    """Return prompts with labels of their own: four questions about each customer in turn."""
    asked = [
        ("How is the mood?", "The mood is", {"for": ["angry"], "against": ["happy", "so glad"]}),
        ("How is the mood?", "The mood was", {"for": ["angry"], "against": ["happy", "so glad"]}),
        ("Was it dear?", "It was", {"for": ["dear"], "against": ["cheap"]}),
        ("Was it dear?", "", {"for": ["Yes"], "against": ["No"]}),
    ]
    texts = [f"Plan: {n % 2}\nFeedback: {'never again ' * (n % 4)}ok {n}" for n in range(customers)]
    both = [
        (Prompt(system, (), f"{text}\n{question}", answer), Labels(words))
        for text in texts
        for question, answer, words in asked
    ]
    return [prompt for prompt, _ in both], [labels for _, labels in both]


@pytest.mark.parametrize("batch_tokens", [1, 200, 100_000])
@pytest.mark.parametrize("kind", ["llama", "gemma2", "mistral"])
def test_questions_that_share_a_customer_equal_the_reference(tokenizers, kind, batch_tokens):
    changes = {} if kind == "llama" else {"sliding_window": 24}
    model = build_model(kind, **changes)
    lm = CausalLM(model, tokenizers["chatml"], name="tiny", batch_tokens=batch_tokens)
    prompts, labels = panel()
    scores = lm.score(prompts, labels)
    for row, (prompt, asked) in enumerate(zip(prompts, labels, strict=True)):
        expected, hidden = reference_scores(lm, [prompt], asked)
        np.testing.assert_allclose(scores.logprobs[row], expected[0], atol=1e-4)
        np.testing.assert_allclose(scores.hidden[row], hidden[0], atol=1e-4)
        np.testing.assert_allclose(scores.mass[row], np.exp(expected[0]).sum(), rtol=1e-4)


def test_the_text_of_a_customer_is_read_once_for_all_questions_about_it(tiny_lm):
    prompts, labels = panel(1)
    encoded = [
        tiny_lm.encoder.encode(prompt, asked.words)
        for prompt, asked in zip(prompts, labels, strict=True)
    ]
    beginnings = {
        (*each.ids[:end],) for each in encoded for end in range(1, len(each.ids) + 1)
    }  # fmt: skip
    for each in encoded:
        for entry in each.words.entries:
            beginnings |= {(*each.ids, *entry.ids[:end]) for end in range(1, len(entry.ids))}
    assert tiny_lm.score(prompts, labels).tokens == len(beginnings)


def test_a_prompt_that_is_asked_twice_is_read_once(tiny_lm):
    once = tiny_lm.score(prompts(3), SINGLE)
    again = tiny_lm.score([*prompts(3), *prompts(3)], SINGLE)
    assert again.tokens <= once.tokens
    np.testing.assert_allclose(again.logprobs[3:], once.logprobs, atol=1e-4)


def test_labels_have_to_fit_the_prompts(tiny_lm):
    with pytest.raises(ValueError, match=r"^labels for 2 of 3 prompts, or not as many for each"):
        tiny_lm.score(prompts(3), [SINGLE, SINGLE])
    with pytest.raises(ValueError, match=r"^labels for 3 of 3 prompts, or not as many for each"):
        tiny_lm.score(prompts(3), [SINGLE, SINGLE, NESTED])


@pytest.mark.parametrize("batch_tokens", [1, 200, 100_000])
@pytest.mark.parametrize("share", [True, False])
def test_batch_budget_and_sharing_do_not_change_scores(tiny_lm, batch_tokens, share):
    lm = CausalLM(
        tiny_lm.model,
        tiny_lm.encoder.tokenizer,
        name="tiny",
        batch_tokens=batch_tokens,
        share_prefix=share,
    )
    np.testing.assert_allclose(
        lm.score(prompts(), SEVERAL).logprobs, tiny_lm.score(prompts(), SEVERAL).logprobs, atol=1e-4
    )


def test_order_of_rows_does_not_change_scores(tiny_lm):
    order = np.random.default_rng(0).permutation(9)
    shuffled = [prompts()[index] for index in order]
    np.testing.assert_allclose(
        tiny_lm.score(shuffled, SEVERAL).logprobs,
        tiny_lm.score(prompts(), SEVERAL).logprobs[order],
        atol=1e-4,
    )


def test_an_empty_and_a_single_prompt_are_scored(tiny_lm):
    assert tiny_lm.score([], SINGLE).logprobs.shape == (0, 2)
    one = tiny_lm.score(prompts(1), SINGLE)
    np.testing.assert_allclose(
        one.logprobs, reference_scores(tiny_lm, prompts(1), SINGLE)[0], atol=1e-4
    )


def test_sharing_reads_the_prefix_once(tiny_lm):
    alone = CausalLM(tiny_lm.model, tiny_lm.encoder.tokenizer, name="tiny", share_prefix=False)
    shared = CausalLM(tiny_lm.model, tiny_lm.encoder.tokenizer, name="tiny")
    encoded = [alone.encoder.encode(prompt, SINGLE.words) for prompt in prompts()]
    whole = sum(len(each.ids) for each in encoded) + 9 * len(encoded[0].words.tree().tokens)
    assert alone.score(prompts(), SINGLE).tokens == whole
    first = shared.score(prompts(), SINGLE).tokens
    again = shared.score(prompts(), SINGLE).tokens
    assert first - again == len(shared._prefix.ids) > 40
    assert whole - again == 9 * len(shared._prefix.ids)


# -- how many tokens -----------------------------------------------------------------------------


def several(labels):
    return prompts(), labels


ASKED = {
    "one word": lambda: several(SINGLE),
    "several tokens": lambda: several(SEVERAL),
    "side questions": panel,
    "other shots": lambda: ([*prompts(5), *prompts(4, shots=1)], SEVERAL),
    "one too long": lambda: ([*prompts(3), Prompt("", (), "word " * 2000, "")], SINGLE),
    "one": lambda: (prompts(1), NESTED),
    "none": lambda: ([], SINGLE),
}


@pytest.mark.parametrize("batch_tokens", [1, 200, 100_000])
@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
def test_tokens_are_counted_as_they_are_read(tiny_lm, asked, share, batch_tokens):
    given = {"name": "tiny", "share_prefix": share, "batch_tokens": batch_tokens}
    lm = CausalLM(tiny_lm.model, tiny_lm.encoder.tokenizer, **given)
    assert lm.count(*asked()) == lm.score(*asked()).tokens


def test_counting_reads_nothing(tiny_lm, monkeypatch):
    lm = CausalLM(tiny_lm.model, tiny_lm.encoder.tokenizer, name="tiny")
    monkeypatch.setattr(lm, "_forward", lambda *_: 1 / 0)
    monkeypatch.setattr(lm, "_shared_prefix", lambda *_: 1 / 0)
    assert lm.count(prompts(), SINGLE) > 9


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_a_prompt_by_itself_reads_what_stands_behind_the_shared_beginning(tiny_lm, labels):
    lm = CausalLM(tiny_lm.model, tiny_lm.encoder.tokenizer, name="tiny")
    scores = lm.score(prompts(), labels)
    encoded = [lm.encoder.encode(prompt, labels.words) for prompt in prompts()]
    shared = len(lm._prefix.ids)
    expected = [len(each.ids) - shared + len(each.words.tree().tokens) for each in encoded]
    assert (scores.read.shape, scores.read.dtype) == ((9, 2), np.float32)
    assert scores.read[:, 0].tolist() == expected
    assert scores.read[:, 1].sum() + shared == pytest.approx(scores.tokens)


def test_questions_about_one_customer_share_what_they_read(tiny_lm):
    lm = CausalLM(tiny_lm.model, tiny_lm.encoder.tokenizer, name="tiny")
    scores = lm.score(*panel())
    alone, together = scores.read.T.reshape(2, 5, 4)
    assert scores.read[:, 1].sum() + len(lm._prefix.ids) == pytest.approx(scores.tokens, rel=1e-6)
    assert together.sum() < alone.sum() - scores.tokens / 4
    assert (together <= alone.max(axis=1, keepdims=True)).all()


def test_a_prompt_with_a_fault_has_read_nothing_and_blocks_keep_their_rows(tiny_lm, monkeypatch):
    asked = [prompts(1)[0], Prompt("", (), "word " * 2000, ""), *prompts()[1:]]
    lm = CausalLM(tiny_lm.model, tiny_lm.encoder.tokenizer, name="tiny", share_prefix=False)
    whole = lm.score(asked, SINGLE).read
    assert whole[1].tolist() == [0, 0]
    monkeypatch.setattr("promptpredict.lm.BLOCK_ROWS", 3)
    np.testing.assert_array_equal(lm.score(asked, SINGLE).read, whole)
    assert lm.score([], SINGLE).read.shape == (0, 2)


def test_the_prompts_of_other_blocks_move_no_byte(tokenizers, monkeypatch):
    """A resumed run reads the blocks that are left, and ends with the same file."""
    model = build_model().to(torch.bfloat16)
    other = "You judge."  # in one prompt of a block, and so in three of all
    asked = [
        Prompt(other, (), each.user, each.answer) if at % 4 == 3 else each
        for at, each in enumerate(prompts(12))
    ]

    def score(rows):
        return CausalLM(model, tokenizers["chatml"], name="tiny").score(asked[rows], SEVERAL)

    alone = score(slice(0, 12))  # one block
    monkeypatch.setattr("promptpredict.lm.BLOCK_ROWS", 4)
    whole = score(slice(0, 12))
    for start in (0, 4, 8):
        block = slice(start, start + 4)
        assert score(block).logprobs.tobytes() == whole.logprobs[block].tobytes()
    assert alone.logprobs.tobytes() != whole.logprobs.tobytes()  # company does move them


def test_a_prompt_that_does_not_fit_is_a_fault_and_the_others_are_scored(tiny_lm):
    long = Prompt("You judge.", (), "word " * 2000, "So:")
    scores = tiny_lm.score([prompts(1)[0], long], SINGLE)
    assert np.isfinite(scores.logprobs[0]).all()
    assert np.isnan(scores.logprobs[1]).all()
    count = tiny_lm.encoder.encode(long, SINGLE.words).positions
    assert scores.faults == {
        1: f"its prompt has {count:,} tokens, and {count:,} without shots and feedback; the model reads 1,024"
    }


def test_a_prompt_that_is_too_long_is_known_before_it_is_read(tiny_lm, monkeypatch):
    def shorter(shots, words):
        return Prompt("You judge.", (), " ".join(["word"] * (2000 - words)), "So:")

    cuttable = dataclasses.replace(shorter(0, 0), n_words=1990, shorter=shorter)
    for prompt in (shorter(0, 0), shorter(0, 1990), cuttable):
        found = tiny_lm.score([prompt], SINGLE).faults.get(0)
        assert tiny_lm.fault(prompt, SINGLE) == found
    assert found is None
    monkeypatch.setattr(tiny_lm.passes, "fit", None)  # short ones are not even encoded
    assert tiny_lm.fault(prompts(1)[0], SINGLE) is None


def test_a_token_that_the_weights_lack_is_a_fault(tokenizers):
    """The last id of the tokenizer stands in no prompt but one."""
    tokenizer = tokenizers["chatml"]
    last = len(tokenizer) - 1
    lm = CausalLM(build_model(vocabulary=last), tokenizer, name="short")
    holding = Prompt("", (), tokenizer.decode([last]), "So:")
    assert last in lm.encoder.ids(holding)
    assert lm.score([holding, prompts(1)[0]], SINGLE).faults == {
        0: f"short: its tokenizer writes token {last}, and its weights have {last} tokens; "
        "they do not belong together"
    }


def short_of_memory(lm, monkeypatch, room, error):
    """Let passes of more than ``room`` tokens fail; return how many tokens those had that did not."""
    plain, passed = lm._forward, []

    def forward(trees, prefix):
        size = len(trees) * max(map(len, trees))
        if size > room:
            raise error
        passed.append(size)
        return plain(trees, prefix)

    monkeypatch.setattr(lm, "_forward", forward)
    return passed


def lengths(lm, asked, labels):
    """How many tokens each prompt takes by itself, its label words included."""
    share, lm.passes.share = lm.passes.share, False
    fitted, _ = lm.passes.fit(asked, each_labels(labels, len(asked)))
    (group,) = lm.passes.groups(fitted)
    lm.passes.share = share
    return [len(branches.tree) for branches in group.trees]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
    ids=["cuda", "cpu", "python"],
)
@pytest.mark.parametrize("asked", [prompts(), panel(2)], ids=["customers", "one of many questions"])
def test_where_memory_runs_out_batches_are_halved(tokenizers, monkeypatch, error, asked):
    asked, labels = asked if isinstance(asked, tuple) else (asked, SINGLE)
    lm = CausalLM(build_model(), tokenizers["chatml"], name="tiny")
    expected = lm.score(asked, labels)
    passed = short_of_memory(lm, monkeypatch, max(lengths(lm, asked, labels)), error)
    done = []
    scores = lm.score(asked, labels, progress=done.append)
    np.testing.assert_allclose(scores.logprobs, expected.logprobs, atol=1e-4)
    np.testing.assert_allclose(scores.hidden, expected.hidden, atol=1e-4)
    assert not scores.faults
    assert len(passed) > 1
    assert lm.batch_tokens < 2_048
    assert sum(done) == len(asked)


def test_a_prompt_that_memory_does_not_hold_by_itself_is_a_fault(tokenizers, monkeypatch):
    lm = CausalLM(build_model(), tokenizers["chatml"], name="tiny", share_prefix=False)
    expected = lm.score(prompts(), SINGLE)
    sizes = lengths(lm, prompts(), SINGLE)
    short_of_memory(lm, monkeypatch, max(sizes) - 1, MemoryError())
    done = []
    scores = lm.score(prompts(), SINGLE, progress=done.append)
    longest = [row for row, size in enumerate(sizes) if size == max(sizes)]
    assert scores.faults == dict.fromkeys(longest, "there is not enough memory to read its prompt")
    assert np.isnan(scores.logprobs[longest]).all()
    others = [row for row in range(len(sizes)) if row not in longest]
    np.testing.assert_allclose(scores.logprobs[others], expected.logprobs[others], atol=1e-4)
    assert sum(done) == len(sizes)


def test_another_error_than_a_lack_of_memory_is_not_taken_for_one(tokenizers, monkeypatch):
    lm = CausalLM(build_model(), tokenizers["chatml"], name="tiny")
    short_of_memory(lm, monkeypatch, 0, RuntimeError("a fault of ours"))
    with pytest.raises(RuntimeError, match="a fault of ours"):
        lm.score(prompts(), SINGLE)


def test_one_prompt_with_other_shots_does_not_cost_the_others_their_prefix(tiny_lm):
    lm = CausalLM(tiny_lm.model, tiny_lm.encoder.tokenizer, name="tiny")
    most, other = prompts(), prompts(1, shots=1)
    scores = lm.score([*most[:4], *other, *most[4:]], SINGLE)
    alone = lm.score(other, SINGLE)
    again = lm.score(most, SINGLE)
    assert scores.tokens <= again.tokens + alone.tokens
    np.testing.assert_allclose(scores.logprobs[4], alone.logprobs[0], atol=1e-4)
    np.testing.assert_allclose(np.delete(scores.logprobs, 4, 0), again.logprobs, atol=1e-4)


def test_logits_that_are_not_finite_are_a_fault(tokenizers):
    lm = CausalLM(build_model(), tokenizers["chatml"], name="tiny")
    with torch.no_grad():
        lm.model.lm_head.weight[5] = torch.nan
    assert lm.score(prompts(2), SINGLE).faults == {
        0: "the language model gave logits that are not finite",
        1: "the language model gave logits that are not finite",
    }


@pytest.mark.parametrize("share", [True, False])
def test_a_score_does_not_depend_on_its_company_where_frequencies_go_by_the_longest_of_a_pass(
    tokenizers, share
):
    """A pass of more than 150 tokens would read all its rows by the long factors."""
    factors = {"short_factor": [1.0] * 4, "long_factor": [4.0, 8.0, 16.0, 32.0]}
    rope = {"rope_type": "longrope", "rope_theta": 10_000.0, **factors}
    model = build_model("phi3", rope_parameters=rope, original_max_position_embeddings=150)
    lm = CausalLM(model, tokenizers["chatml"], name="p", share_prefix=share, batch_tokens=10_000)
    lm.passes.pass_tokens = 10_000  # rows of all lengths share a batch

    def cut(_, words):
        return Prompt("You judge.", (), "late " * (200 - words), "It feels", 0, 200, cut)

    asked = [*prompts(4), cut(0, 0)]
    found = lm.score(asked, SINGLE)
    expected, _ = reference_scores(lm, asked[:4], SINGLE)
    np.testing.assert_allclose(found.logprobs[:4], expected, atol=1e-4)
    alone = lm.score(asked[4:], SINGLE)
    np.testing.assert_allclose(found.logprobs[4:], alone.logprobs, atol=1e-4)
    assert (lm.context, found.truncated.tolist()) == (150, [False] * 4 + [True])


def test_an_architecture_that_changes_its_logits_is_refused(tokenizers):
    model = build_model()
    head = model.lm_head.forward
    model.lm_head.forward = lambda states: head(states).sin()
    with pytest.raises(ModelError) as error:
        CausalLM(model, tokenizers["chatml"], name="odd")
    assert (
        str(error.value)
        == "odd: the architecture LlamaForCausalLM changes its logits in a way that is not known here"
    )


def test_an_architecture_that_gives_no_hidden_states_is_refused(tokenizers):
    small = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    }
    config = transformers.ModernBertDecoderConfig(
        vocab_size=448, pad_token_id=1, bos_token_id=0, eos_token_id=1, cls_token_id=0, sep_token_id=1, **small
    )  # fmt: skip
    model = transformers.ModernBertDecoderForCausalLM(config).eval()
    with pytest.raises(ModelError) as error:
        CausalLM(model, tokenizers["chatml"], name="odd")
    assert str(error.value) == (
        "odd: the architecture ModernBertDecoderForCausalLM gives its output matrix as its decoder, "
        "and no hidden states; possible: models whose decoder gives them"
    )


@pytest.mark.parametrize(
    ("kind", "config", "reads"),
    [
        ("Rwkv", {"hidden_size": 32, "num_hidden_layers": 2}, "reads texts that share a beginning"),
        ("Mpt", {"d_model": 32, "n_heads": 4, "n_layers": 2}, "reads texts that share a beginning"),
        ("Bloom", {"hidden_size": 32, "n_head": 4, "n_layer": 2}, "cannot read texts that share"),
        # a window of 256 tokens by index, by which a branch is further from the stem than it is
        ("GPTNeo", GPT_NEO, "reads texts that share a beginning"),
    ],
)
def test_architectures_that_do_not_take_given_positions_are_refused(
    tokenizers, kind, config, reads
):
    """Each scores one plain sequence as it should, and would score shared text in silence."""
    torch.manual_seed(0)
    made = getattr(transformers, f"{kind}Config")(vocab_size=448, **config)
    model = getattr(transformers, f"{kind}ForCausalLM")(made).to(torch.float32).eval()
    with torch.no_grad():  # far from the small weights that hide what a position changes
        for parameter in model.parameters():
            parameter.mul_(5)
    with pytest.raises(ModelError) as error:
        CausalLM(model, tokenizers["chatml"], name="other")
    assert str(error.value).startswith(f"other: the architecture {kind}ForCausalLM {reads}")


def test_layers_without_keys_and_values_are_refused(tokenizers):
    model = build_model("qwen2")
    model.config.layer_types = ["full_attention", "linear_attention", "mamba"]
    with pytest.raises(ModelError) as error:
        CausalLM(model, tokenizers["chatml"], name="hybrid")
    assert str(error.value) == (
        "hybrid: its layers are of the kind linear_attention, mamba; "
        "possible: models whose layers are all full or sliding attention"
    )


def test_progress_counts_every_prompt(tiny_lm):
    done = []
    tiny_lm.score([*prompts(), Prompt("", (), "word " * 2000, "")], SINGLE, progress=done.append)
    assert sum(done) == 10


def test_label_mass_is_the_share_of_the_whole_vocabulary(tiny_lm):
    """A model whose logits are all equal gives every entry the same share: entries / vocabulary."""
    with torch.no_grad():
        flat = build_model()
        flat.lm_head.weight.zero_()
    lm = CausalLM(flat, build_tokenizer("chatml"), name="flat")
    labels = Labels({"1": ["a"], "0": ["b"]}, join="")
    entries = lm.encoder.encode(prompts(1)[0], labels.words, "").words.entries
    single = sum(1 for entry in entries if len(entry.ids) == 1)
    double = sum(1 for entry in entries if len(entry.ids) == 2)
    assert len(entries) == single + double
    expected = single / 448 + double / 448**2
    np.testing.assert_allclose(lm.score(prompts(1), labels).mass, [expected], rtol=1e-5)


def test_three_labels_of_several_tokens_equal_the_reference_by_class(tokenizers):
    """Through a prompt file and an approach: a column a class, and rows that sum to one."""
    file = PromptFile.from_text(MANY_WORDS, name="p.jinja")
    lm = CausalLM(build_model(), tokenizers["chatml"], name="tiny", batch_tokens=300)
    X = pd.DataFrame({"plan": range(9), "feedback": [f"never again {n}" for n in range(9)]})
    estimator = PromptClassifier(file, model=lm, calibration="none").fit(X)
    found = estimator.predict_proba(X)
    records = records_from_frame(X, file.roles)
    words = Labels(file.words)
    expected, _ = reference_scores(lm, [file.render(record) for record in records], words)
    keys = list(file.words)
    assert keys != sorted(keys)
    assert estimator.classes_.tolist() == sorted(keys)
    shares = np.exp(expected) / np.exp(expected).sum(axis=1, keepdims=True)
    in_order = shares[:, [keys.index(key) for key in estimator.classes_]]
    np.testing.assert_allclose(found, in_order, atol=1e-5)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-12)
    tokens = [len(entry.ids) for entry in lm.encoder.encode(file.render(records[0]), words.words, words.join).words.entries]  # fmt: skip
    assert max(tokens) > 2


MANY_WORDS = """---
task: multiclass
target: outcome
labels:
  stays: [happy, not sure at all]
  leaves: [disappointed, very angry]
  asks: [full of questions]
text: [feedback]
---
{% block system %}You judge customers.{% endblock %}
{% block customer %}Plan: {{ customer.plan }}. {{ customer.feedback }}{% endblock %}
{% block question %}How does the customer feel?{% endblock %}
{% block answer %}The customer feels{% endblock %}
"""
