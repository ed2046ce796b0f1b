"""The keys and values of a shared prefix, and the masks of what is read behind it.

Knows tensors and attention masks; knows nothing of tokenizers, labels or tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from promptpredict.attention import Layers, behind
from promptpredict.sharing import NOTHING, Beginning
from promptpredict.trees import TokenTree
from promptpredict.words import Ids


class _SharedLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values of one layer that every row of a batch has in front, never grown."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        super().__init__()
        self.lazy_initialization(keys, values)
        self.keys, self.values = keys, values  # (1, heads, p, d)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the prefix with a batch's own states (b, heads, s, d) behind it; keep only the prefix."""
        shape = (len(key_states), -1, -1, -1)
        keys = torch.cat([self.keys.expand(shape), key_states], dim=-2)
        return keys, torch.cat([self.values.expand(shape), value_states], dim=-2)


@dataclass(frozen=True)
class Prefix:
    """Token ids that prompts begin with, and their keys and values (1, heads, p, d) per layer.

    ``states`` (p, d) are the last layer's.
    """

    beginning: Beginning
    layers: Layers
    states: torch.Tensor

    @classmethod
    def empty(cls) -> Prefix:
        """Return the prefix of prompts that share nothing."""
        return cls(NOTHING, (), torch.empty(0))

    @property
    def ids(self) -> Ids:
        """The token ids."""
        return self.beginning.ids

    def upto(self, depth: int) -> Prefix:
        """Return the prefix that this one begins with, which ends with a step."""
        if depth == len(self.beginning):
            return self
        if not depth:
            return Prefix.empty()
        layers = tuple((keys[:, :, :depth], values[:, :, :depth]) for keys, values in self.layers)
        return Prefix(self.beginning.upto(depth), layers, self.states[:depth])

    def cache(self) -> Cache | None:
        """Return the cache to hand to a forward pass; None where nothing is shared."""
        return Cache(layers=[_SharedLayer(*layer) for layer in self.layers]) if self.ids else None


def read_prefix(
    model: Any,
    beginning: Beginning,
    *,
    known: Prefix | None = None,
    piece: int | None = None,
    copied: bool = False,
) -> Prefix:
    """Read a prefix once, behind the ``known`` one that it begins with, at once whatever its steps.

    With ``piece`` at most so many tokens are read at a time. ``copied`` puts what was read before
    into the cache of the model, which attends to it in place otherwise.
    """
    prefix = known or Prefix.empty()
    layers, states = prefix.layers, [prefix.states] if prefix.ids else []
    for start in range(len(prefix.ids), len(beginning), piece or max(len(beginning), 1)):
        ids = beginning.ids[start:][:piece]
        tokens = torch.tensor([ids], device=model.device)
        positions = torch.arange(start, start + len(ids), device=model.device)[None]
        # Without the model's config every layer keeps all its states, sliding ones too: the mask
        # alone decides what is seen.
        cache, mask = DynamicCache(), None
        if layers and copied:
            for at, (keys, values) in enumerate(layers):
                cache.update(keys, values, at)
            mask = attention_masks(model, [TokenTree.chain(ids)], positions, start)
        with behind([(1, layers)]) if layers and not copied else nullcontext():
            output = model.get_decoder()(
                input_ids=tokens,
                position_ids=positions,
                attention_mask=mask,
                past_key_values=cache,
                use_cache=True,
            )
        read = tuple((layer.keys, layer.values) for layer in cache.layers)
        layers = read if copied else _appended(layers, read)
        states.append(output.last_hidden_state[0])
    return Prefix(beginning, layers, torch.cat(states)) if states else prefix


def read_links(
    model: Any, links: Sequence[Beginning], prefixes: Sequence[Prefix], limit: int
) -> list[Prefix]:
    """Read longer prefixes side by side in one pass, each behind one of ``prefixes``, in place.

    Those behind the same one stand next to one another. The model reads ``limit`` positions.
    """
    own = [link.ids[len(prefix.ids) :] for link, prefix in zip(links, prefixes, strict=True)]
    ids, positions = padded(own, prefixes, limit)
    cache = DynamicCache()  # without the model's config, as in ``read_prefix``
    with seen(prefixes):
        output = model.get_decoder()(
            input_ids=sent(ids, model.device),
            position_ids=sent(positions, model.device),
            past_key_values=cache,
            use_cache=True,
        )
    found = []
    for row, (link, prefix) in enumerate(zip(links, prefixes, strict=True)):
        at = slice(row, row + 1), slice(None), slice(len(own[row]))
        # a copy, or one row would keep those of the whole batch
        read = tuple((layer.keys[at].clone(), layer.values[at].clone()) for layer in cache.layers)
        states = [output.last_hidden_state[row, : len(own[row])]]
        states = [prefix.states, *states] if prefix.ids else states
        found.append(Prefix(link, _appended(prefix.layers, read), torch.cat(states)))
    return found


def padded(
    own: Sequence[Sequence[int]],
    prefixes: Sequence[Prefix],
    limit: int,
    depths: Sequence[Sequence[int]] | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return token ids and positions (b, s) of rows behind prefixes, padded at the right.

    ``depths`` are the positions behind the prefix, of a plain sequence if none are given.
    """
    width = max(map(len, own))
    ids = torch.zeros(len(own), width, dtype=torch.long)
    # Padding goes on counting: positions that begin anew are taken for a second sequence in
    # the row, and cost a mask where none is needed.
    positions = torch.arange(width).repeat(len(own), 1)
    for row, tokens in enumerate(own):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        if depths is not None:
            positions[row, : len(tokens)] = torch.tensor(depths[row])
    positions += torch.tensor([len(prefix.ids) for prefix in prefixes])[:, None]
    return ids, positions.clamp(max=limit - 1)


def seen(prefixes: Sequence[Prefix]) -> AbstractContextManager[None]:
    """Let rows attend in place to the prefix of each; to nothing where all of them are empty."""
    stack = [(len(rows), prefix.layers) for prefix, rows in runs(prefixes)]
    return behind(stack) if prefixes[0].ids else nullcontext()


def runs(prefixes: Sequence[Prefix]) -> list[tuple[Prefix, range]]:
    """Return the prefixes of rows, and the rows next to one another that stand behind each."""
    found: list[tuple[Prefix, range]] = []
    for row, prefix in enumerate(prefixes):
        if found and found[-1][0] is prefix:
            found[-1] = prefix, range(found[-1][1].start, row + 1)
        else:
            found.append((prefix, range(row, row + 1)))
    return found


def _appended(layers: Layers, more: Layers) -> Layers:
    """Return the keys and values of every layer with more of them behind."""
    if not layers:
        return tuple(more)
    return tuple(
        (torch.cat([key, keys], dim=2), torch.cat([value, values], dim=2))
        for (key, value), (keys, values) in zip(layers, more, strict=True)
    )


def mean_states(
    states: torch.Tensor,
    paths: Sequence[tuple[int, Sequence[int], int]],
    prefixes: Sequence[Prefix],
) -> torch.Tensor:
    """Return the mean (r, d) of prompts' states, each from a position of its own on, in float32.

    ``states`` (b, s, d) are those of a batch's trees, which stand behind ``prefixes``. A path is a
    prompt's tree, in order, its nodes there, and the position; what stands in a prefix counts alike,
    so the mean does not depend on what was shared.
    """
    found = []
    for prefix, rows in runs(prefixes):
        own = [(tree - rows.start, *path) for tree, *path in paths if tree in rows]
        found.append(_mean_states(states[rows.start : rows.stop], own, prefix))
    return torch.cat(found)


def _mean_states(states: torch.Tensor, paths: Sequence[Any], prefix: Prefix) -> torch.Tensor:
    shared = len(prefix.ids)
    trees = [tree for tree, _, _ in paths]
    within = [trees[:row].count(tree) for row, tree in enumerate(trees)]
    own = np.zeros((len(states), max(within) + 1, states.shape[1]), dtype=np.float32)
    starts = sorted({start for _, _, start in paths if start < shared})
    before = np.zeros((len(paths), len(starts)), dtype=np.float32)
    for row, (tree, nodes, start) in enumerate(paths):
        weight = 1 / (shared + len(nodes) - start)
        own[tree, within[row], list(nodes[max(start - shared, 0) :])] = weight
        if start < shared:
            before[row, starts.index(start)] = weight
    means = torch.bmm(sent(own, states.device), states.float())[trees, within]  # (r, d)
    if starts:
        sums = torch.stack([prefix.states[start:].float().sum(0) for start in starts])
        means += sent(before, states.device) @ sums
    return means


def sent(values: npt.NDArray[Any] | torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return values on a device; what a GPU does meanwhile is not waited for."""
    tensor = torch.from_numpy(values) if isinstance(values, np.ndarray) else values
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def attention_masks(
    model: Any, trees: Sequence[TokenTree], positions: torch.Tensor, prefix: int
) -> torch.Tensor | dict[str, torch.Tensor] | None:
    """Return what a batch's tokens may see: additive masks (b, 1, s, p + s), 0 or the least number.

    ``trees`` are the batch's rows, ``positions`` (b, s) the token positions. Models with layers of
    several kinds get one mask per kind. None stands for plain causal attention: right padding is
    seen by no real token.
    """
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ())
    window = sliding_window(config)
    if not prefix and all(tree.is_chain for tree in trees):
        return None
    seen = _visible(trees, positions.shape[1], prefix)  # (b, s, p + s)
    if window and kinds:
        near = _near(positions, prefix, window)
        return {
            "full_attention": _additive(seen, model),
            "sliding_attention": _additive(seen & near, model),
        }
    if window:
        seen &= _near(positions, prefix, window)
    return _additive(seen, model)


def sliding_window(config: Any) -> int | None:
    """Return how many tokens a layer looks back at least; None where every layer sees all."""
    window: int | None = getattr(config, "sliding_window", None)
    kinds = set(getattr(config, "layer_types", None) or ())
    slides = "sliding_attention" in kinds if kinds else getattr(config, "use_sliding_window", True)
    return window if slides else None


def _visible(trees: Sequence[TokenTree], width: int, prefix: int) -> torch.Tensor:
    """A node sees the prefix, its ancestors and itself; padding sees itself."""
    seen = torch.zeros(len(trees), width, prefix + width, dtype=torch.bool)
    seen[:, :, :prefix] = True
    seen[:, torch.arange(width), prefix + torch.arange(width)] = True
    for row, tree in enumerate(trees):
        seen[row, : len(tree), prefix : prefix + len(tree)] = torch.from_numpy(tree.visible())
    return seen


def _near(positions: torch.Tensor, prefix: int, window: int) -> torch.Tensor:
    """Whether a key is within the sliding window of a query, by position: (b, s, p + s)."""
    before = torch.arange(prefix).repeat(len(positions), 1)
    keys = torch.cat([before, positions], dim=1)  # (b, p + s)
    return positions[:, :, None] - keys[:, None, :] < window


def _additive(seen: torch.Tensor, model: Any) -> torch.Tensor:
    # Floats serve every attention implementation; a boolean mask only some.
    mask = torch.zeros(seen.shape, dtype=model.dtype)
    return sent(mask.masked_fill_(~seen, torch.finfo(model.dtype).min)[:, None], model.device)
