"""Loads a language model or a sentence encoder: device, dtype, weights, once-converted GGUF.

Knows transformers and sentence-transformers; knows nothing of prompts, labels or tables. Every
automatic choice comes with its reason.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from promptpredict.errors import ModelError
from promptpredict.lm import CausalLM
from promptpredict.models import Source, check_weights, conversion_folder, here
from promptpredict.packed import pack_weights
from promptpredict.pooling import Pooling, check_cls, check_pooling, fit_window, own_pooling, pool
from promptpredict.twosided import is_two_sided

Say = Callable[[str], object]


def load_language_model(
    source: Source,
    *,
    dtype: str = "auto",
    device: str = "auto",
    batch_tokens: int | None = None,
    pack: bool = True,
    say: Say = lambda _: None,
) -> CausalLM:
    """Load a causal language model with its tokenizer.

    ``dtype`` is auto, float32 or bfloat16; ``device`` is auto or what torch knows. ``pack=False``
    leaves the weights as they are, so that they can be trained or saved. ``say`` is given each
    automatic choice with its reason. Raises ModelError for what cannot be loaded.
    """
    device, why_device = choose_device(device)
    chosen, why_dtype = choose_dtype(dtype, device)
    say(f"device: {device}, {str(chosen).removeprefix('torch.')} ({why_device}; {why_dtype})")
    place = _prepared(source, say)
    from transformers import AutoModelForCausalLM

    tokenizer = load_tokenizer(source)
    if _is_two_sided(source, place):
        return _load_two_sided(source, place, tokenizer, chosen, device, batch_tokens)
    with _refusing(f"{source.name} cannot be loaded as a causal language model"):
        model, found = AutoModelForCausalLM.from_pretrained(
            place, dtype=torch.float32 if source.adapter else chosen, output_loading_info=True
        )
        _check_whole(found)
    if source.adapter:
        from promptpredict.merging import merged

        with _refusing(f"the adapter {source.adapter} cannot be merged into {source.name}"):
            model = merged(model, source.adapter, chosen)
    with _refusing(f"{source.name} cannot be loaded as a causal language model"):
        model = model.to(device)
    lm = CausalLM(model, tokenizer, name=source.name, batch_tokens=batch_tokens)
    if pack:
        pack_weights(model, lm.batch_tokens)
    if lm.copied:
        say(f"what prompts share is copied to each of them, which is slower: {lm.copied}")
    return lm


def _is_two_sided(source: Source, place: str) -> bool:
    if source.path is not None:
        return is_two_sided(Path(place))
    from transformers import AutoConfig

    with _refusing(f"{source.name} cannot be loaded as a language model"):
        return bool(getattr(AutoConfig.from_pretrained(place), "is_encoder_decoder", False))


def _load_two_sided(
    source: Source,
    place: str,
    tokenizer: Any,
    dtype: torch.dtype,
    device: str,
    batch_tokens: int | None,
) -> CausalLM:
    from transformers import AutoModelForSeq2SeqLM

    from promptpredict.seq2seq import Seq2SeqLM

    with _refusing(f"{source.name} cannot be loaded as an encoder-decoder model"):
        model, found = AutoModelForSeq2SeqLM.from_pretrained(
            place, dtype=dtype, output_loading_info=True
        )
        _check_whole(found)
        model = model.to(device)
    return Seq2SeqLM(model, tokenizer, name=source.name, batch_tokens=batch_tokens)


def load_tokenizer(source: Source) -> Any:
    """Load the tokenizer alone: no weights are read but where a GGUF file has to be converted."""
    _quiet()
    from transformers import AutoTokenizer

    place = _prepared(source, lambda _: None)
    with _refusing(f"the tokenizer of {source.name} cannot be loaded"):
        return AutoTokenizer.from_pretrained(place)


def load_sentence_encoder(
    source: Source, *, device: str = "auto", pooling: Pooling = "auto"
) -> Any:
    """Load a sentence encoder (a sentence_transformers.SentenceTransformer).

    A plain encoder, such as BERT's folder, will do as well. ``pooling`` is auto (as the encoder
    says itself, else by mean), mean or cls.
    """
    _quiet()
    from sentence_transformers import SentenceTransformer

    check_encoder(source, pooling)
    with _refusing(f"{source.name} cannot be loaded as a sentence encoder"):
        if source.path is not None and source.path.is_file():
            raise ValueError("a sentence encoder is a folder, and this is a file")
        place = str(source.path or source.name)
        encoder = SentenceTransformer(place, device=choose_device(device)[0])
    fit_window(encoder)
    if pooling != "auto":
        found = here(source)
        if source.path is None:
            check_encoder(found, pooling)  # it has files now
        if found.path is None or own_pooling(found.path) is None:
            pool(encoder, pooling)
    return encoder


def check_encoder(source: Source, pooling: Pooling) -> None:
    """Raise ModelError where an encoder cannot pool so; no weights are read."""
    check_pooling(source, pooling)
    plain = source.path is not None and source.path.is_dir() and own_pooling(source.path) is None
    if pooling == "cls" and plain:
        check_cls(source.name, load_tokenizer(source))


def choose_device(device: str = "auto") -> tuple[str, str]:
    """Return the device to run on and the reason."""
    if device != "auto":
        return device, "as given"
    if torch.cuda.is_available():
        return "cuda", torch.cuda.get_device_name()
    return "cpu", "there is no GPU"


def choose_dtype(dtype: str, device: str) -> tuple[torch.dtype, str]:
    """Return the dtype of the weights and the reason: bfloat16 where the processor multiplies it."""
    if dtype != "auto":
        return getattr(torch, dtype), "as given"
    if device.startswith("cuda"):
        good = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        good = device == "cpu" and (
            torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        )
    if good:
        return torch.bfloat16, "it has bfloat16 instructions"
    return torch.float32, "it has no bfloat16 instructions"


def _prepared(source: Source, say: Say) -> str:
    """Return what from_pretrained is given: a folder, or the hub id of what it will download."""
    if source.path is None:
        return source.name
    if source.path.is_dir():
        return str(source.path)
    return str(_converted(source, source.path, say))


def _converted(source: Source, gguf: Path, say: Say) -> Path:
    """Dequantise a GGUF file once into the cache: it takes 10 to 40 seconds, later starts a few.

    float32 keeps the dequantised values exactly; bfloat16 would round them.
    """
    folder = conversion_folder(source, gguf)
    if (folder / "config.json").is_file():
        return folder
    check_weights(source, gguf)
    say(f"converting {gguf.name} once to {folder}")
    _quiet()
    scratch = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        scratch.mkdir(parents=True)
        _convert(gguf, scratch)
        os.replace(scratch, folder)
    except OSError as error:
        if not (folder / "config.json").is_file():  # else another run was faster
            raise ModelError(
                f"{gguf.name} cannot be converted into {folder.parent} ({error.strerror}); "
                "possible: another folder in PROMPTPREDICT_CACHE"
            ) from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return folder


def _convert(gguf: Path, folder: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    given = {"gguf_file": gguf.name}
    with _refusing(f"{gguf} cannot be read as a causal language model"):
        model, found = AutoModelForCausalLM.from_pretrained(
            str(gguf.parent), dtype=torch.float32, output_loading_info=True, **given
        )
        _check_whole(found)
        tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), **given)
    # The weights are plain numbers now; saving refuses while the model calls itself quantised.
    model.hf_quantizer = None
    del model.config.quantization_config
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _check_whole(found: Mapping[str, Any]) -> None:
    """Raise ValueError where weights are missing.

    transformers would fill them with random numbers, and the scores look like any others.
    """
    if lost := sorted(found["missing_keys"]):
        raise ValueError(f"it lacks the weights {', '.join(lost[:3])}{' …' if lost[3:] else ''}")


def _quiet() -> None:
    """Keep the libraries' bars and warnings off stderr, where our own lines stand."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from huggingface_hub.utils import disable_progress_bars
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    disable_progress_bars()


@contextmanager
def _refusing(what: str) -> Iterator[None]:
    """Make a ModelError of whatever a library raises about a user's files, in one line."""
    try:
        yield
    except Exception as error:  # safetensors, gguf and torch each raise their own
        reason = str(error).strip() or type(error).__name__
        raise ModelError(f"{what}: {reason.splitlines()[0]}") from error
