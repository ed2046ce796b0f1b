"""Training on a tiny random model: it learns, stops, and goes on to the same bytes after a kill."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from conftest import build_model
from promptpredict import trainee, training
from promptpredict.adapters import Tuning
from promptpredict.errors import DataError, ModelError
from promptpredict.lm import CausalLM
from promptpredict.rendered import Prompt
from promptpredict.scores import Labels
from promptpredict.trainee import lora_config
from promptpredict.training import Lessons, Training, no_worse

ASKED = Labels({"1": ["angry"], "0": ["happy", "not sure"]})
TUNING = Tuning(rank=4, alpha=8, learning_rate=1e-2, batch=8, epochs=4, patience=4)


class Killed(Exception):
    pass


def lessons(lm, rows=64, held=16):
    """Prompts whose label is plain to see: of 64 rows all but 16 train."""
    said = ["late and slow", "happy again"]
    every = [
        Prompt("You judge.", (), f"Plan: {n % 3}\n{said[n % 2]} {n % 5}", "The customer feels")
        for n in range(rows)
    ]
    fitted, _ = lm.passes.fit(every, [ASKED] * rows)
    columns = {row: row % 2 for row in range(rows)}
    return Lessons(fitted, columns, ["1", "0"], list(range(held, rows)), list(range(held)))


def training_of(tokenizers, place, *, tuning=TUNING, seed=0, key="this run", dtype=torch.float32):
    model = build_model().to(dtype)
    lm = CausalLM(model, tokenizers["chatml"], name="tiny", batch_tokens=512)
    return Training(lm, lessons(lm), tuning, seed=seed, checkpoint=place / "c.pt", key=key)


@pytest.fixture(scope="module")
def whole(tokenizers, tmp_path_factory):
    """A run that nothing interrupts."""
    found = training_of(tokenizers, tmp_path_factory.mktemp("whole"))
    found.run()
    return found


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_held_out_loss_falls(tokenizers, tmp_path, dtype):
    found = training_of(tokenizers, tmp_path, dtype=dtype)
    found.run()
    losses = [float(each.mean()) for each in found._state.losses]
    assert min(losses) < losses[0] / 2
    assert found.kept > 0
    kinds = {weight.dtype for weight in found.trainee.weights().values()}
    assert kinds == {torch.float32}  # whatever the model's own


def test_only_the_adapter_is_trained(tokenizers, whole):
    plain = build_model().state_dict()
    own = whole.trainee.adapted.get_base_model().state_dict()
    kept = {
        name.replace(".base_layer", ""): each for name, each in own.items() if "lora" not in name
    }
    assert same(plain, kept)


def test_what_is_kept_is_the_last_epoch_that_was_no_worse(whole):
    losses = whole._state.losses
    assert whole.epochs == len(losses) - 1 <= TUNING.epochs
    best = min(losses, key=torch.mean)
    assert whole.kept == max(at for at, each in enumerate(losses) if no_worse(each, best))
    for parameter, kept in zip(whole.trainee.parameters, whole._state.weights, strict=True):
        assert torch.equal(parameter, kept)


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([0.5, 0.5, 0.5, 0.5], True),
        ([0.4, 0.5, 0.5, 0.4], True),
        ([0.6, 0.5, 0.5, 0.5], True),  # .025 more on average, a standard error of .025
        ([0.7, 0.4, 0.5, 0.6], True),  # .05 and .065
        ([0.6, 0.6, 0.5, 0.5], False),  # .05 and .029
        ([0.6, 0.6, 0.6, 0.6], False),
        ([0.4, 0.4, 0.4, 99.0], False),  # one far astray makes the standard error as large
    ],
)
def test_an_epoch_is_worse_by_more_than_a_standard_error(losses, expected):
    best = torch.full((4,), 0.5, dtype=torch.float64)
    assert no_worse(torch.tensor(losses, dtype=torch.float64), best) is expected


@pytest.mark.parametrize("balance", [True, False])
def test_the_rows_that_tell_how_frequent_words_are_are_of_every_label(
    tokenizers, tmp_path, monkeypatch, balance
):
    """Of a table that is sorted by its labels, one of them rare: 8 rows of 40 say about what all do."""
    tuning = TUNING.model_copy(update={"balance": balance})
    plain = training_of(tokenizers, tmp_path, tuning=tuning).lessons
    by_label = [[row for row in plain.train if plain.columns[row] == label] for label in (0, 1)]
    rare = dataclasses.replace(plain, train=[*by_label[0], *by_label[1][:2]])
    lm = CausalLM(build_model(), tokenizers["chatml"], name="tiny", batch_tokens=512)
    found = Training(lm, rare, tuning, seed=0, checkpoint=tmp_path / "c.pt", key="k")
    found._level()
    everybody = found.shift
    monkeypatch.setattr(training, "_LEVELLED", 8)
    found._level()
    assert np.isfinite(found.shift).all()
    np.testing.assert_allclose(np.diff(found.shift), np.diff(everybody), atol=0.5)


def test_how_frequent_label_words_are_is_not_learned(tokenizers, whole, tmp_path, monkeypatch):
    """Label words that are 5 nats more frequent train the same adapter."""
    found = training_of(tokenizers, tmp_path)
    plain = training.label_logprobs

    def frequent(*given):
        for rows, logprobs in plain(*given):
            yield rows, logprobs + torch.tensor([5.0, 0.0])

    monkeypatch.setattr(training, "label_logprobs", frequent)
    found.run()
    np.testing.assert_allclose(
        found.shift[0] - found.shift[1] + 5, whole.shift[0] - whole.shift[1], atol=1e-3
    )
    for one, other in zip(found._state.losses, whole._state.losses, strict=True):
        torch.testing.assert_close(one, other, rtol=0.02, atol=0.02)
    assert found.kept == whole.kept


@pytest.mark.parametrize("after", [1, 7, 15])
def test_a_run_that_was_killed_goes_on_to_the_same_bytes(
    tokenizers, whole, tmp_path, monkeypatch, after
):
    """Six steps are an epoch: killed within the first, the second and the third."""
    monkeypatch.setattr(trainee, "EVERY", 0.0)  # a checkpoint behind every step
    steps = []

    def killing(rows):
        steps.append(rows)
        if len(steps) == after:
            raise Killed

    with pytest.raises(Killed):
        training_of(tokenizers, tmp_path).run(killing)
    again = training_of(tokenizers, tmp_path)
    torch.manual_seed(after)  # what else was drawn meanwhile bears on nothing
    rest = []
    again.run(rest.append)
    assert 0 < len(rest) < len(whole._state.losses) * 6
    assert same(again.trainee.weights(), whole.trainee.weights())
    assert (again.epochs, again.kept) == (whole.epochs, whole.kept)
    np.testing.assert_array_equal(again.before, whole.before)


def test_a_run_that_was_killed_after_the_last_epoch_trains_nothing(tokenizers, whole, tmp_path):
    training_of(tokenizers, tmp_path).run()
    again = training_of(tokenizers, tmp_path)
    assert again.left == 0
    again.run(lambda rows: pytest.fail("it trains"))
    assert same(again.trainee.weights(), whole.trainee.weights())


def test_a_damaged_checkpoint_is_told_in_a_line(tokenizers, tmp_path):
    import io

    others = []
    for kept in ({"other": 1}, [1, 2]):
        torch.save(kept, written := io.BytesIO())
        others.append(written.getvalue())
    for content in (b"", b"PK and the rest", b"text", *others):
        (tmp_path / "c.pt").write_bytes(content)
        with pytest.raises(DataError) as caught:
            training_of(tokenizers, tmp_path)
        expected = f"{tmp_path / 'c.pt'} is damaged; possible: remove {tmp_path}, and begin again"
        assert str(caught.value) == expected


def test_a_full_disk_is_told_in_a_line(tokenizers, tmp_path, monkeypatch):
    found = training_of(tokenizers, tmp_path)

    def full(*_):
        raise RuntimeError("enforce fail at inline_container.cc")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(DataError) as caught:
        found._save()
    expected = f"{tmp_path / 'c.pt'} cannot be written (enforce fail at inline_container.cc)"
    assert str(caught.value) == expected


@pytest.mark.parametrize("other", ["run", "version"])
def test_a_checkpoint_of_another_run_or_version_is_refused(
    tokenizers, tmp_path, monkeypatch, other
):
    training_of(tokenizers, tmp_path, tuning=TUNING.model_copy(update={"epochs": 1})).run()
    if other == "version":
        monkeypatch.setattr(trainee, "_FORMAT", trainee._FORMAT + 1)
    with pytest.raises(DataError) as caught:
        training_of(tokenizers, tmp_path, **{"key": "another"} if other == "run" else {})
    assert str(caught.value) == (
        f"{tmp_path} holds an adapter that is not finished, of other rows, another prompt file, "
        "model or options, or of another version; possible: the command that began it, another "
        "--out, or remove that folder"
    )


def test_another_seed_is_another_adapter(tokenizers, whole, tmp_path):
    other = training_of(tokenizers, tmp_path, seed=1)
    other.run()
    assert not same(other.trainee.weights(), whole.trainee.weights())


def test_training_that_is_no_better_ends_early_and_keeps_the_model(tokenizers, tmp_path):
    tuning = Tuning(learning_rate=1.0, batch=8, epochs=9, patience=2)
    found = training_of(tokenizers, tmp_path, tuning=tuning)
    found._level()
    found._judge()
    found._state.losses[0] -= 9.0  # as if nothing could be better than the model as it is
    found.run()
    assert (found.epochs, found.kept) == (2, 0)
    changed = [each for name, each in found.trainee.weights().items() if "lora_B" in name]
    assert not any(each.any() for each in changed)


def test_a_loss_that_is_not_finite_is_no_adapter(tokenizers, tmp_path):
    found = training_of(tokenizers, tmp_path)
    found.trainee.put([torch.full_like(each, torch.nan) for each in found.trainee.parameters])
    with pytest.raises(ModelError) as caught:
        found.run()
    assert str(caught.value) == (
        "tiny: the loss is not finite after epoch 0; possible: a smaller --learning-rate"
    )


def test_labels_count_the_same_only_where_that_is_asked_for(tokenizers, tmp_path):
    few = training_of(tokenizers, tmp_path)
    rare = Lessons(few.lessons.fitted, {row: int(row % 4 == 0) for row in range(64)}, ["1", "0"],
                   few.lessons.train, few.lessons.held)  # fmt: skip
    for balance, expected in ((True, [2 / 3, 2.0]), (False, [1.0, 1.0])):
        lm = CausalLM(build_model(), tokenizers["chatml"], name="tiny")
        tuning = TUNING.model_copy(update={"balance": balance})
        found = Training(lm, rare, tuning, seed=0, checkpoint=tmp_path / "n.pt", key="k")
        np.testing.assert_allclose(found._weights, expected)


@pytest.mark.parametrize(
    ("share", "layers"), [(1.0, None), (0.5, [1, 2]), (1 / 3, [2]), (0.01, [2])]
)
def test_the_last_share_of_the_layers_gets_an_adapter(tokenizers, share, layers):
    lm = CausalLM(build_model(), tokenizers["chatml"], name="tiny")
    config = lora_config(lm, Tuning(layers=share))
    assert config.layers_to_transform == layers
    assert sorted(config.target_modules) == [
        "down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"
    ]  # fmt: skip


def test_a_model_without_layers_of_linear_products_is_refused(tokenizers):
    lm = CausalLM(build_model(), tokenizers["chatml"], name="tiny")
    del lm.model.model.layers
    with pytest.raises(ModelError) as caught:
        lora_config(lm, Tuning())
    assert str(caught.value) == (
        "tiny: no adapter can be trained of the architecture LlamaForCausalLM; possible: a decoder "
        "whose layers are made of linear products, such as Llama or Qwen"
    )
