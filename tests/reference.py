"""The slow and obvious way to score label words: one sequence at a time, no cache, full logits."""

from __future__ import annotations

import torch


@torch.inference_mode()
def reference_scores(lm, prompts, labels):
    """Return label log-probabilities (n, k) in float64 and the hidden states (n, 2d).

    Those are the state at the answer position, and the mean over the customer's turn up to there.
    """
    logprobs, hidden = [], []
    for prompt in prompts:
        encoded = lm.encoder.encode(prompt, labels.words, labels.join)
        rows = {label: [] for label in labels.words}
        for entry in encoded.words.entries:
            ids = torch.tensor([[*encoded.ids, *entry.ids]])
            output = lm.model(input_ids=ids, use_cache=False, output_hidden_states=True)
            table = torch.log_softmax(output.logits[0].double(), dim=-1)
            # logits at t predict token t + 1
            first = len(encoded.ids) - 1
            total = sum(table[first + step, token] for step, token in enumerate(entry.ids))
            rows[entry.label].append(total)
            states = output.hidden_states[-1][0]
            both = torch.cat([states[first], states[encoded.start : first + 1].mean(dim=0)])
        logprobs.append([torch.logsumexp(torch.stack(rows[label]), 0) for label in labels.words])
        hidden.append(both)
    return torch.tensor(logprobs).numpy(), torch.stack(hidden).numpy()
