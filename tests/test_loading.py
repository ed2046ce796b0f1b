"""Loading: the same scores from a folder or a GGUF file as in memory, choices with their reasons."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import build_model, build_tokenizer
from promptpredict import loading, models
from promptpredict.errors import ModelError
from promptpredict.lm import CausalLM
from promptpredict.loading import (
    choose_device,
    choose_dtype,
    load_language_model,
    load_sentence_encoder,
    load_tokenizer,
)
from promptpredict.models import Source, find
from promptpredict.rendered import Prompt, Turn
from promptpredict.scores import Labels
from reference import reference_scores

LABELS = {
    "one token": Labels({"1": ["Yes"], "0": ["No"]}),
    "several tokens": Labels({"1": ["disappointed", "very angry"], "0": ["happy", "content"]}),
    "one begins another": Labels({"1": ["1"], "0": ["14"], "2": ["no"]}),
}
SEVERAL = LABELS["several tokens"]
ON_CPU = {"dtype": "float32", "device": "cpu"}


def prompts(count=4):
    shots = (Turn("Plan: 1\nHow?", "The customer feels happy"),)
    texts = [f"Plan: {n}\nFeedback: {'never again ' * n}ok\nHow?" for n in range(count)]
    return [Prompt("You judge customers.", shots, text, "The customer feels") for text in texts]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("PROMPTPREDICT_CACHE", str(folder))
    return folder


@pytest.fixture(scope="module")
def tiny(tokenizers):
    return CausalLM(build_model(), tokenizers["chatml"], name="tiny")


def saved(folder, *, kind="llama", **files):
    """Save a tiny model and tokenizer, then write or remove (None) files."""
    build_tokenizer("chatml").save_pretrained(folder)
    build_model(kind).save_pretrained(folder)
    for name, content in files.items():
        path = folder / re.sub("_(json|safetensors)$", r".\1", name)
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)
    return folder


def settings(folder, **changes):
    """Change what a folder says of its model."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes), encoding="utf-8")
    return folder


# -- folders -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["llama", "gemma2", "phi"])
def test_a_folder_gives_the_scores_of_the_model_in_memory(tmp_path, tokenizers, kind):
    folder = saved(tmp_path / "mine", kind=kind)
    lm = load_language_model(find(str(folder)), **ON_CPU)
    assert (lm.name, lm.model.dtype, lm.device.type) == (str(folder), torch.float32, "cpu")
    memory = CausalLM(build_model(kind), tokenizers["chatml"], name="m")
    found, expected = (each.score(prompts(), SEVERAL) for each in (lm, memory))
    np.testing.assert_allclose(found.logprobs, expected.logprobs, atol=1e-5)
    np.testing.assert_allclose(found.hidden, expected.hidden, atol=1e-5)
    assert lm.encoder.text(prompts()[0]) == memory.encoder.text(prompts()[0])


def test_weights_are_loaded_in_the_dtype_that_was_asked_for(tmp_path):
    source = find(str(saved(tmp_path)))
    lm = load_language_model(source, dtype="bfloat16", device="cpu", batch_tokens=77)
    assert {each.dtype for each in lm.model.parameters()} == {torch.bfloat16}
    assert lm.batch_tokens == 77
    assert not lm.model.training


def test_the_tokenizer_alone_needs_no_weights(tmp_path):
    folder = saved(tmp_path, model_safetensors=None, config_json=None)
    tokenizer = load_tokenizer(Source("mine", folder))
    assert tokenizer.chat_template == build_tokenizer("chatml").chat_template
    assert (
        tokenizer("The customer").input_ids == build_tokenizer("chatml")("The customer").input_ids
    )


def test_a_model_that_the_hub_has_is_asked_for_by_its_id(monkeypatch):
    import transformers

    asked = []

    def fetch(place, **given):
        asked.append((place, given))
        raise OSError("no such thing\nand more")

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", fetch)
    with pytest.raises(ModelError) as error:
        load_language_model(Source("some/model", None), **ON_CPU)
    assert asked == [("some/model", {})]
    assert str(error.value) == "the tokenizer of some/model cannot be loaded: no such thing"


def test_an_error_without_a_text_is_told_too(monkeypatch):
    import transformers

    def fetch(*_, **__):
        raise AssertionError

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", fetch)
    with pytest.raises(ModelError) as error:
        load_tokenizer(Source("some/model", None))
    assert str(error.value).startswith("the tokenizer of some/model cannot be loaded")


# -- device and dtype ----------------------------------------------------------------------


@pytest.fixture
def machine(monkeypatch):
    """Set what the machine can do."""

    def can(*, cuda=False, cuda_bf16=False, avx512=False, amx=False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA L4")
        # Emulated bfloat16 is slower than float32.
        monkeypatch.setattr(
            torch.cuda,
            "is_bf16_supported",
            lambda including_emulation=True: including_emulation or cuda_bf16,
        )
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)

    return can


@pytest.mark.parametrize(
    ("asked", "cuda", "expected"),
    [
        ("auto", False, ("cpu", "there is no GPU")),
        ("auto", True, ("cuda", "NVIDIA L4")),
        ("cpu", True, ("cpu", "as given")),
        ("cuda:1", False, ("cuda:1", "as given")),
    ],
)
def test_the_device_and_why(machine, asked, cuda, expected):
    machine(cuda=cuda)
    assert choose_device(asked) == expected


YES, NO = "it has bfloat16 instructions", "it has no bfloat16 instructions"


@pytest.mark.parametrize(
    ("asked", "device", "can", "expected"),
    [
        ("auto", "cpu", {}, (torch.float32, NO)),
        ("auto", "cpu", {"avx512": True}, (torch.bfloat16, YES)),
        ("auto", "cpu", {"amx": True}, (torch.bfloat16, YES)),
        ("auto", "cpu", {"cuda": True, "cuda_bf16": True}, (torch.float32, NO)),
        ("auto", "cuda", {"cuda": True, "avx512": True}, (torch.float32, NO)),
        ("auto", "cuda", {"cuda": True, "cuda_bf16": True}, (torch.bfloat16, YES)),
        ("auto", "cuda:1", {"cuda": True, "cuda_bf16": True}, (torch.bfloat16, YES)),
        ("auto", "mps", {"avx512": True}, (torch.float32, NO)),
        ("float32", "cpu", {"avx512": True}, (torch.float32, "as given")),
        ("bfloat16", "cpu", {}, (torch.bfloat16, "as given")),
    ],
)
def test_the_dtype_and_why(machine, asked, device, can, expected):
    machine(**can)
    assert choose_dtype(asked, device) == expected


@pytest.mark.parametrize(
    ("given", "can", "text"),
    [
        ({}, {"avx512": True}, "device: cpu, bfloat16 (there is no GPU; it has bfloat16 instructions)"),
        ({}, {}, "device: cpu, float32 (there is no GPU; it has no bfloat16 instructions)"),
        (ON_CPU, {"avx512": True}, "device: cpu, float32 (as given; as given)"),
    ],
)  # fmt: skip
def test_a_choice_is_said_before_anything_is_loaded(machine, monkeypatch, given, can, text):
    machine(**can)
    said = []

    def prepared(source, say):
        assert said == [text]
        raise ModelError("far enough")

    monkeypatch.setattr(loading, "_prepared", prepared)
    with pytest.raises(ModelError, match=r"^far enough$"):
        load_language_model(Source("m", Path("m")), **given, say=said.append)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("dtype", ["auto", "float32"])
def test_a_device_that_is_not_there_is_a_fault_of_the_users(tmp_path, dtype):
    source = find(str(saved(tmp_path)))
    with pytest.raises(ModelError):
        load_language_model(source, dtype=dtype, device="cuda")


# -- folders that cannot be loaded ---------------------------------------------------------


def refused(load, source, **given):
    with pytest.raises(ModelError) as error:
        load(source, **given)
    return str(error.value)


CAUSAL = "{} cannot be loaded as a causal language model: "
TOKENIZER = "the tokenizer of {} cannot be loaded: "


@pytest.mark.parametrize(
    ("files", "text"),
    [
        ({"config_json": b"{"}, TOKENIZER + "It looks like the config file at '{}/config.json' is not a valid JSON file."),
        ({"config_json": b'{"model_type": "nothing"}'}, CAUSAL + "The checkpoint you are trying to load has model type `nothing` but Transformers does not recognize this architecture. This could be because of an issue with the checkpoint, or because your version of Transformers is out of date."),
        ({"config_json": b"{}"}, CAUSAL + "Unrecognized model in {}. Should have a `model_type` key in its config.json."),
        ({"config_json": b'{"model_type": "t5"}'}, CAUSAL + "Unrecognized configuration class <class 'transformers.models.t5.configuration_t5.T5Config'> for this kind of AutoModel: AutoModelForCausalLM."),
        ({"tokenizer_json": b"{"}, TOKENIZER + "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ({"tokenizer_config_json": b"{"}, TOKENIZER + "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        # What a copy that broke off leaves.
        ({"model_safetensors": b""}, CAUSAL + "Error while deserializing header: header too small"),
        ({"model_safetensors": b"\xff" * 64}, CAUSAL + "Error while deserializing header: header too large"),
    ],
)  # fmt: skip
def test_what_is_said_of_a_broken_folder(tmp_path, files, text):
    folder = saved(tmp_path / "mine", **files)
    assert refused(load_language_model, find(str(folder)), **ON_CPU) == text.replace(
        "{}", str(folder)
    )


def test_weights_of_another_shape_are_refused(tmp_path):
    folder = settings(saved(tmp_path), hidden_size=64, head_dim=16)
    text = refused(load_language_model, find(str(folder)), **ON_CPU)
    assert text.startswith(CAUSAL.replace("{}", str(folder)))


@pytest.mark.parametrize("lost", ["model.layers.2.mlp.up_proj.weight", "lm_head.weight"])
def test_weights_that_a_folder_lacks_are_refused_not_made_up(tmp_path, lost):
    """transformers fills them with random numbers, and the scores look like any others."""
    from safetensors.torch import load_file, save_file

    path = saved(tmp_path) / "model.safetensors"
    kept = {name: weight for name, weight in load_file(path).items() if name != lost}
    save_file(kept, path, metadata={"format": "pt"})
    text = refused(load_language_model, find(str(tmp_path)), **ON_CPU)
    assert text.startswith(CAUSAL.replace("{}", str(tmp_path)))
    assert lost in text


def test_a_classifier_is_no_language_model(tmp_path):
    """Its output matrix is missing, and its head is for other labels."""
    import transformers

    folder = saved(tmp_path)
    config = transformers.LlamaConfig.from_pretrained(folder)
    transformers.LlamaForSequenceClassification(config).save_pretrained(folder)
    text = refused(load_language_model, find(str(folder)), **ON_CPU)
    assert text.startswith(CAUSAL.replace("{}", str(folder)))


def test_a_tied_output_matrix_is_not_missing(tmp_path, tokenizers):
    folder = saved(tmp_path)
    tied = build_model(tie_word_embeddings=True)
    tied.save_pretrained(folder)
    lm = load_language_model(find(str(folder)), **ON_CPU)
    expected = CausalLM(tied, tokenizers["chatml"], name="m").score(prompts(), SEVERAL)
    np.testing.assert_allclose(lm.score(prompts(), SEVERAL).logprobs, expected.logprobs, atol=1e-5)


# -- sentence encoders ---------------------------------------------------------------------


def encoder_folder(folder):
    """Save a tiny random BERT, which serves with mean pooling."""
    import transformers

    torch.manual_seed(0)
    build_tokenizer("plain").save_pretrained(folder)
    config = transformers.BertConfig(
        vocab_size=448, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=64,
    )  # fmt: skip
    model = transformers.BertModel(config).eval()
    model.save_pretrained(folder)
    return model


def test_a_sentence_encoder_gives_the_vectors_of_the_one_in_memory(tmp_path):
    model = encoder_folder(tmp_path)
    loaded = load_sentence_encoder(find(str(tmp_path), "sentence encoder"), device="cpu")
    assert loaded.device.type == "cpu"
    text = "The customer feels angry"
    ids = build_tokenizer("plain")(text, return_tensors="pt")
    with torch.no_grad():
        states = model(ids.input_ids).last_hidden_state[0]
    np.testing.assert_allclose(loaded.encode(text), states.mean(0).numpy(), atol=1e-5)


def test_what_is_said_of_a_broken_sentence_encoder(tmp_path):
    encoder_folder(tmp_path)
    source = find(str(tmp_path), "sentence encoder")
    start = f"{tmp_path} cannot be loaded as a sentence encoder: "
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 64)
    assert refused(load_sentence_encoder, source, device="cpu") == (
        start + "Error while deserializing header: header too large"
    )


def test_what_is_said_of_a_gguf_file_as_a_sentence_encoder(tmp_path):
    path = tmp_path / "mine.gguf"
    path.write_bytes(b"GGUF")
    text = refused(load_sentence_encoder, find(str(path), "sentence encoder"), device="cpu")
    assert text.startswith(f"{path} cannot be loaded as a sentence encoder: ")


# -- GGUF files ----------------------------------------------------------------------------

PARTS = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
WHOLE = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
}


def gguf_file(path, *, quantised=None, without=()):
    """Write the tiny model as llama.cpp would, its matrices in a quantised form if one is named.

    ``without`` are tensors that are left out.
    """
    import gguf

    model, tokenizer = build_model(), build_tokenizer("chatml")
    config, core = model.config, json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    tokens = sorted(core["vocab"], key=core["vocab"].get)
    tokens += [f"<pad{n}>" for n in range(config.vocab_size - len(tokens))]
    file = gguf.GGUFWriter(str(path), "llama")
    file.add_block_count(config.num_hidden_layers)
    file.add_context_length(config.max_position_embeddings)
    file.add_embedding_length(config.hidden_size)
    file.add_feed_forward_length(config.intermediate_size)
    file.add_head_count(config.num_attention_heads)
    file.add_head_count_kv(config.num_key_value_heads)
    file.add_layer_norm_rms_eps(config.rms_norm_eps)
    file.add_rope_freq_base(config.rope_parameters["rope_theta"])
    file.add_rope_dimension_count(config.head_dim)
    file.add_vocab_size(config.vocab_size)
    file.add_tokenizer_model("gpt2")
    file.add_tokenizer_pre("default")
    file.add_token_list(tokens)
    file.add_token_types([3 if n < 3 else 1 for n in range(len(tokens))])  # 3: control
    file.add_token_merges([" ".join(pair) for pair in core["merges"]])
    file.add_bos_token_id(0)
    file.add_eos_token_id(2)
    file.add_chat_template(tokenizer.chat_template)
    for name, weight in model.state_dict().items():
        array, stem = weight.numpy(), name.removesuffix(".weight")
        if stem in WHOLE:
            place = WHOLE[stem]
        else:
            layer, part = stem.removeprefix("model.layers.").split(".", 1)
            place = f"blk.{layer}.{PARTS[part]}"
        if place in without:
            continue
        # llama.cpp keeps the two halves of a head's rotation side by side.
        heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
        if count := heads.get(place.rpartition(".")[2]):
            array = array.reshape(count, 2, -1, array.shape[1]).swapaxes(1, 2).reshape(array.shape)
        if quantised and array.ndim == 2:
            form = gguf.GGMLQuantizationType[quantised]
            file.add_tensor(f"{place}.weight", gguf.quants.quantize(array, form), raw_dtype=form)
        else:
            file.add_tensor(f"{place}.weight", np.ascontiguousarray(array))
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()
    return path


@pytest.mark.parametrize(("quantised", "within"), [(None, 1e-5), ("F16", 0.05), ("Q8_0", 0.5)])
def test_a_gguf_file_gives_the_scores_of_the_model_it_was_written_from(
    tmp_path, tiny, quantised, within
):
    path = gguf_file(tmp_path / "mine.gguf", quantised=quantised)
    lm = load_language_model(find(str(path)), **ON_CPU)
    expected = tiny.score(prompts(), SEVERAL).logprobs
    np.testing.assert_allclose(lm.score(prompts(), SEVERAL).logprobs, expected, atol=within)
    assert lm.encoder.text(prompts()[0]) == tiny.encoder.text(prompts()[0])
    assert lm.encoder.ids(prompts()[0]) == tiny.encoder.ids(prompts()[0])


def test_a_gguf_file_is_converted_once(tmp_path, cache, monkeypatch):
    source = find(str(gguf_file(tmp_path / "mine.gguf")))
    folder = models.converted_folder(source)
    said = []
    first = load_language_model(source, **ON_CPU, say=said.append)
    device = "device: cpu, float32 (as given; as given)"
    assert said == [device, f"converting mine.gguf once to {folder}"]
    assert os.listdir(cache / "converted") == [folder.name]
    assert {"config.json", "tokenizer.json", "model.safetensors"} <= set(os.listdir(folder))

    def never(*_):
        raise AssertionError("converted again")

    monkeypatch.setattr(loading, "_convert", never)
    second = load_language_model(source, **ON_CPU, say=said.append)
    assert said[2:] == [device]
    np.testing.assert_array_equal(
        first.score(prompts(), SEVERAL).logprobs, second.score(prompts(), SEVERAL).logprobs
    )


def test_the_tokenizer_of_a_gguf_file_converts_it_too(tmp_path):
    source = find(str(gguf_file(tmp_path / "mine.gguf")))
    tokenizer = load_tokenizer(source)
    assert (models.converted_folder(source) / "config.json").is_file()
    assert tokenizer.chat_template == build_tokenizer("chatml").chat_template


def test_a_conversion_that_another_run_finished_first_is_taken(tmp_path, monkeypatch):
    source = find(str(gguf_file(tmp_path / "mine.gguf")))
    folder = models.converted_folder(source)
    convert = loading._convert

    def raced(gguf, scratch):
        convert(gguf, scratch)
        saved(folder)

    folder.mkdir(parents=True)
    monkeypatch.setattr(loading, "_convert", raced)
    assert load_language_model(source, **ON_CPU).name == source.name
    assert os.listdir(folder.parent) == [folder.name]


def test_a_conversion_that_is_interrupted_leaves_nothing_behind(tmp_path, cache, monkeypatch):
    source = find(str(gguf_file(tmp_path / "mine.gguf")))

    def interrupted(gguf, scratch):
        (scratch / "config.json").write_text("{}", encoding="utf-8")
        raise KeyboardInterrupt

    monkeypatch.setattr(loading, "_convert", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load_language_model(source, **ON_CPU)
    assert os.listdir(cache / "converted") == []


def test_an_embedded_model_is_checked_before_it_is_converted(tmp_path, cache):
    package = models.EMBEDDED["smollm2-135m"]
    path = gguf_file(tmp_path / "mine.gguf")
    text = refused(load_language_model, Source("smollm2-135m", path, package), **ON_CPU)
    assert text.startswith(f"{path} is not the smollm2-135m that is pinned (its SHA-256 begins ")
    assert not cache.exists()


@pytest.mark.parametrize("size", [4, 20, 1000, 5000])
def test_a_gguf_file_that_was_cut_off_is_a_fault(tmp_path, cache, size):
    """As a download that broke off: in its header, in its words, in its weights."""
    path = gguf_file(tmp_path / "mine.gguf")
    path.write_bytes(path.read_bytes()[:size])
    text = refused(load_language_model, find(str(path)), **ON_CPU)
    assert text.startswith(f"{path} cannot be read as a causal language model: ")
    assert os.listdir(cache / "converted") == []


def test_a_gguf_file_that_was_cut_off_in_its_weights_is_a_fault(tmp_path, cache):
    path = gguf_file(tmp_path / "mine.gguf")
    path.write_bytes(path.read_bytes()[:-100])
    text = refused(load_language_model, find(str(path)), **ON_CPU)
    assert text.startswith(f"{path} cannot be read as a causal language model: ")
    assert os.listdir(cache / "converted") == []


def test_weights_that_a_gguf_file_lacks_are_refused_not_made_up(tmp_path, cache):
    path = gguf_file(tmp_path / "mine.gguf", without=["blk.2.ffn_up"])
    text = refused(load_language_model, find(str(path)), **ON_CPU)
    assert text.startswith(f"{path} cannot be read as a causal language model: ")
    assert os.listdir(cache / "converted") == []


def test_a_gguf_file_without_an_output_matrix_has_a_tied_one(tmp_path, tokenizers):
    path = gguf_file(tmp_path / "mine.gguf", without=["output"])
    lm = load_language_model(find(str(path)), **ON_CPU)
    tied = build_model()
    tied.lm_head.weight = tied.model.embed_tokens.weight
    expected = CausalLM(tied, tokenizers["chatml"], name="m").score(prompts(), SEVERAL)
    np.testing.assert_allclose(lm.score(prompts(), SEVERAL).logprobs, expected.logprobs, atol=1e-5)


def test_a_file_that_only_begins_as_gguf(tmp_path):
    path = tmp_path / "mine.gguf"
    path.write_bytes(b"GGUF" + bytes(64))
    assert refused(load_language_model, find(str(path)), **ON_CPU) == (
        f"{path} cannot be read as a causal language model: {path} is GGUF v0; "
        "this reader handles v2 and v3."
    )


# -- the embedded models -------------------------------------------------------------------


@pytest.fixture(scope="module")
def sources():
    """The embedded models; found before a test sets a cache of its own."""
    return find("smollm2-135m"), find("minilm", "sentence encoder")


@pytest.fixture(scope="module")
def embedded(sources, tmp_path_factory):
    """The language model, converted in a cache of its own and loaded twice; and what was said."""
    source, said = sources[0], []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROMPTPREDICT_CACHE", str(tmp_path_factory.mktemp("cache")))
        load_language_model(source, **ON_CPU, say=said.append)
        patch.setattr(loading, "_convert", None)
        lm = load_language_model(source, **ON_CPU, say=said.append)
        folder = models.converted_folder(source)
        yield lm, said, folder
    # Half a gigabyte: the next runs do not need it.
    shutil.rmtree(folder)


@pytest.mark.weights
def test_the_embedded_model_is_converted_once(embedded):
    _, said, folder = embedded
    device = "device: cpu, float32 (as given; as given)"
    converting = f"converting SmolLM2-135M-Instruct.Q4_1.gguf once to {folder}"
    assert said == [device, converting, device]


@pytest.mark.weights
@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_scores_of_the_embedded_model_equal_the_reference(embedded, labels):
    lm, _, _ = embedded
    expected, hidden = reference_scores(lm, prompts(3), labels)
    for share in (True, False):
        fast = CausalLM(lm.model, lm.encoder.tokenizer, name=lm.name, share_prefix=share)
        scores = fast.score(prompts(3), labels)
        np.testing.assert_allclose(scores.logprobs, expected, atol=1e-3)
        np.testing.assert_allclose(scores.hidden, hidden, atol=1e-2, rtol=1e-3)
        np.testing.assert_allclose(scores.mass, np.exp(expected).sum(1), rtol=1e-3)


@pytest.mark.weights
def test_the_embedded_encoder_tells_praise_from_complaint(sources):
    encoder = load_sentence_encoder(sources[1], device="cpu")
    vectors = encoder.encode(
        ["I am very happy with it", "I love this", "It broke, I want my money back"],
        normalize_embeddings=True,
    )
    assert vectors.shape == (3, 384)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]
