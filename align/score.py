"""Log-probabilities of completions, computed at completion positions only."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from align.pack import Pack


def log_probs(model: Any, pack: Pack) -> Tensor:  # noqa: ANN401 - a transformers model, wrapped or not
    """Log-probability of each segment's completion given its prompt, summed over its tokens, in nats.

    Logits exist at completion positions only; the log-sum-exp is taken in at least 32 bits. The call goes through the model as
    it is handed over: calling what is inside would bypass the hooks of a distributed wrapper.

    Returns:
        Shape (segments,), fp32 (fp64 for an fp64 model).
    """
    logits = model(
        input_ids=pack.tokens,
        position_ids=pack.positions,
        logits_to_keep=pack.scored,
        use_cache=False,
        pack=pack,
    ).logits[0]
    wide = logits if logits.dtype == torch.float64 else logits.float()
    per_token = -F.cross_entropy(wide, pack.targets, reduction="none")
    return torch.zeros(pack.segments, dtype=per_token.dtype, device=per_token.device).index_add(0, pack.owner, per_token)
