"""Log-probabilities of completions, computed at completion positions only."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from align.training.packing.pack import Pack
from align.training.packing.padded import Padded


def log_probs(model: nn.Module, laid: Pack | Padded) -> Tensor:
    """Log-probability of each segment's completion given its prompt, summed over its tokens, in nats.

    Logits exist at completion positions only (padded: from the first of them on); the log-sum-exp is taken in at least 32
    bits. The call goes through the model as it is handed over: calling what is inside would bypass the hooks of a distributed
    wrapper.

    Args:
        model: a causal language model of transformers, wrapped or not; under `attention.packed` for a pack, with its own
            attention for padded rows.
        laid: what the pass is about.

    Returns:
        Shape (segments,), fp32 (fp64 for an fp64 model).
    """
    if isinstance(laid, Pack):
        logits = model(
            input_ids=laid.tokens, position_ids=laid.positions, logits_to_keep=laid.scored, use_cache=False, pack=laid
        ).logits[0]
    else:
        kept = model(input_ids=laid.tokens, attention_mask=laid.mask, logits_to_keep=laid.kept, use_cache=False).logits
        logits = kept[:, -laid.kept :].flatten(0, 1).index_select(0, laid.scored)
    wide = logits if logits.dtype == torch.float64 else logits.float()
    per_token = -F.cross_entropy(wide, laid.targets, reduction="none")
    return torch.zeros(laid.segments, dtype=per_token.dtype, device=per_token.device).index_add(0, laid.owner, per_token)
