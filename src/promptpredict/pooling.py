"""How an encoder makes one vector of a text's tokens, as the files in its folder say.

Knows sentence-transformers' files and modules; knows nothing of texts or labels. What cannot be
is known from the files, before weights are loaded.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, get_args

from promptpredict.errors import ModelError
from promptpredict.models import Source

Pooling = Literal["auto", "mean", "cls"]
POOLINGS: tuple[Pooling, ...] = get_args(Pooling)


def check_pooling(source: Source, pooling: Pooling) -> None:
    """Raise ModelError where an encoder cannot pool so; of one still on the hub nothing is known.

    A folder that says itself how it pools was trained so: pooled otherwise, its vectors would
    be such as nobody has ever measured.
    """
    if pooling == "auto" or source.path is None or not source.path.is_dir():
        return
    own = own_pooling(source.path)
    if own is not None and own != pooling:
        raise ModelError(
            f"the sentence encoder {source.name} pools by {own}, as its modules.json says, and "
            f"{pooling} is asked for; possible: auto, or a folder without modules.json"
        )


def own_pooling(folder: Path) -> str | None:
    """Return how a folder says that it pools (``mean``, ``cls``, …); None where it says nothing."""
    modules = folder / "modules.json"
    if not modules.is_file():
        return None
    for module in _json(modules):
        config = folder / str(module.get("path", "")) / "config.json"
        if str(module.get("type", "")).endswith(".Pooling") and config.is_file():
            return _modes(_json(config))
    return "modules of its own"


def check_cls(name: str, tokenizer: Any) -> None:
    """Raise ModelError where a tokenizer puts no cls token in front of a text."""
    first = getattr(tokenizer, "cls_token_id", None)
    ids = tokenizer("a")["input_ids"] if first is not None else []
    if not ids or ids[0] != first:
        raise ModelError(
            f"the tokenizer of {name} puts no cls token in front of a text, and pooling by cls "
            "reads nothing else; possible: mean"
        )


def pool(encoder: Any, pooling: Pooling) -> None:
    """Let a loaded sentence_transformers.SentenceTransformer pool so, which said nothing itself.

    Of such a folder sentence-transformers makes a transformer and a pooling by mean (of a causal
    language model, by the last token): only the pooling is made anew.
    """
    made = encoder[1]
    encoder[1] = type(made)(made.pooling_output_dimension, pooling_mode=pooling)


def fit_window(encoder: Any) -> None:
    """Let an encoder read no more tokens than it has positions for.

    RoBERTa's positions begin behind that of the padding: of its 514, texts have 512. Where the
    tokenizer does not say so, sentence-transformers would let a text through that is too long.
    """
    from torch.nn import Embedding

    for module in encoder.modules():
        padding, table = (getattr(module, name, None) for name in ("padding_idx", _POSITIONS))
        if isinstance(padding, int) and isinstance(table, Embedding):
            most = table.num_embeddings - padding - 1
            encoder.max_seq_length = min(encoder.max_seq_length or most, most)


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise ModelError(f"{path} is no JSON, so it does not say how the encoder pools") from None


def _modes(config: dict[str, Any]) -> str:
    """Return the modes of a pooling's config, of the old keys too, joined by "+"."""
    given = config.get("pooling_mode")
    if given is None:
        given = [short for key, short in _OLD.items() if config.get(key)] or ["mean"]
    return given if isinstance(given, str) else "+".join(given)


_POSITIONS = "position_embeddings"
_OLD = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
