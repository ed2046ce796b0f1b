"""Tiny tokenizers and random models: everything a scoring test needs, nothing downloaded."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
# Tiny models and few rows: threads would only wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

CHATML = (
    "{% for m in messages %}{% if loop.first and m['role'] != 'system' %}<|im_start|>system\nBe kind.<|im_end|>\n"
    "{% endif %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA3 = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n"
    "{% if loop.first and m['role'] == 'system' %}Today: {{ strftime_now('%d %b %Y') }}\n\n{% endif %}"
    "{{ m['content'] | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}<start_of_turn>{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n"
    "{{ m['content'] | trim }}<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
CONTROL = {
    "chatml": (["<|endoftext|>", "<|im_start|>", "<|im_end|>"], "<|im_end|>", CHATML),
    "llama3": (
        ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
        "<|eot_id|>",
        LLAMA3,
    ),
    "gemma": (["<bos>", "<start_of_turn>", "<end_of_turn>"], "<end_of_turn>", GEMMA),
    "plain": (["<s>", "</s>"], "</s>", None),
}
CORPUS = [
    "The customer feels happy. The customer feels angry. satisfied disappointed Yes No yes no not sure",
    "Monthly charge: 70 USD. Contract: two years. Feedback: never again, the delivery was late and slow",
    "system user assistant model Summarize how the customer feels in one word. will stay will leave",
] * 4


def build_tokenizer(family: str, *, template: str | None = None):
    """Train a byte-level BPE tokenizer of about 400 tokens with one family's control tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special, end, chat = CONTROL[family]
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=420, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    core.train_from_iterator(CORPUS, trainer)
    if family != "chatml":  # these tokenizers put a BOS in front of every text by themselves
        core.post_processor = processors.TemplateProcessing(
            single=f"{special[0]} $A", special_tokens=[(special[0], core.token_to_id(special[0]))]
        )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token=special[0], eos_token=end, pad_token=end
    )
    tokenizer.chat_template = template or chat
    return tokenizer


def build_model(kind: str = "llama", *, vocabulary: int = 448, seed: int = 0, **changes):
    """Build a random tiny causal language model of an architecture, in float32 on the CPU."""
    import torch
    import transformers

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    common = {
        "vocab_size": vocabulary, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 1024,
        "initializer_range": 0.25, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1,
    }  # fmt: skip
    name = {"llama": "Llama", "qwen3": "Qwen3", "mistral": "Mistral", "gemma2": "Gemma2", "phi": "Phi", "phi3": "Phi3",
            "gemma3": "Gemma3Text", "granite": "Granite", "qwen2": "Qwen2"}[kind]  # fmt: skip
    config = getattr(transformers, f"{name}Config")(**(common | changes))
    model_name = "Gemma3ForCausalLM" if kind == "gemma3" else f"{name}ForCausalLM"
    model = getattr(transformers, model_name)(config)
    return model.to(torch.float32).eval()


@pytest.fixture(scope="session")
def tokenizers():
    return {family: build_tokenizer(family) for family in CONTROL}


@pytest.fixture(scope="session")
def tiny_lm(tokenizers):
    """A language model that knows nothing, for everything that only needs one."""
    from promptpredict.lm import CausalLM

    return CausalLM(build_model(), tokenizers["chatml"], name="tiny")


@pytest.fixture(scope="session")
def tiny_folder(tokenizers, tmp_path_factory):
    """A folder with the same model, to load it by name."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    build_model().save_pretrained(folder)
    tokenizers["chatml"].save_pretrained(folder)
    return folder


@pytest.fixture
def fakes(tmp_path, monkeypatch):
    """The files and stand-ins of a run of `score`, in a folder of its own."""
    from walked import prepare

    return prepare(tmp_path, monkeypatch)
