"""What a language model would say in place of the label words.

Knows prompts, and a model with its tokenizer; knows nothing of tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from promptpredict.rendered import Prompt


@torch.inference_mode()
def wanted_tokens(lm: Any, prompts: Sequence[Prompt], count: int = 5) -> list[tuple[str, float]]:
    """Return the tokens that come first behind prompts, each with its mean probability.

    ``lm`` is a CausalLM; what has no weights says nothing.
    """
    if not hasattr(lm, "encoder") or not prompts:
        return []
    total = torch.zeros(1)
    for prompt in prompts:
        ids = torch.tensor([lm.encoder.ids(prompt)[-lm.context :]], device=lm.device)
        begun = getattr(lm.encoder, "begun", None)  # what a decoder has read before its answer
        given = (
            {"logits_to_keep": 1}
            if begun is None
            else {"decoder_input_ids": torch.tensor([begun(prompt)], device=lm.device)}
        )
        logits = lm.model(input_ids=ids, use_cache=False, **given).logits  # (1, 1 or all, v)
        total = total.to(lm.device) + torch.softmax(logits[0, -1].float(), dim=0)
    shares, tokens = (total / len(prompts)).topk(count)
    texts = [lm.encoder.tokenizer.decode([token]) for token in tokens.tolist()]
    return list(zip(texts, shares.tolist(), strict=True))
