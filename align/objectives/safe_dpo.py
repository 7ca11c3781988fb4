"""Safe direct preference optimisation: an unsafe completion never wins, and loses by a margin."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from align.objectives.shared import Beta, Per, Weight
from curate.core.config import config

if TYPE_CHECKING:
    from torch import Tensor


@config
class SafeDPO:
    """-log sigmoid(beta * (r_winner - r_loser) - (h_loser - h_winner) * margin), where h = 1 for an unsafe completion.

    Pairs are put in order first: where only the chosen completion is unsafe, the two change places; where both are, the pair
    costs nothing, and the plan leaves it out. In a dataset of `curate build` every chosen completion is non_toxic and every
    rejected one toxic, so that there this is DPO with a margin.

    Args:
        beta: strength of the pull towards the reference, per nat, > 0. 0.1: the usual value of DPO, from which this descends.
        margin: how much further an unsafe completion must lose (the paper's Delta), >= 0, in units of beta * r. 0 keeps the new
            order only; search for a larger one.

    Source: Kim et al. (2025), arXiv 2505.20065.
    """

    beta: Beta = 0.1
    margin: Weight = 0.0

    needs: ClassVar[frozenset[str]] = frozenset({"paired", "reference", "safety", "safe_side"})
    reads: ClassVar[tuple[str, ...]] = ("chosen_log_ratio", "rejected_log_ratio", "chosen_unsafe", "rejected_unsafe")
    per: ClassVar[Per] = "pair"

    def __call__(
        self, chosen_log_ratio: Tensor, rejected_log_ratio: Tensor, chosen_unsafe: Tensor, rejected_unsafe: Tensor
    ) -> Tensor:
        """Loss of each pair, dimensionless, above 0 (0 where both sides are unsafe)."""
        import torch
        from torch.nn.functional import softplus

        swap = chosen_unsafe & ~rejected_unsafe
        ahead = torch.where(swap, rejected_log_ratio - chosen_log_ratio, chosen_log_ratio - rejected_log_ratio)
        mixed = (chosen_unsafe ^ rejected_unsafe).to(ahead.dtype)  # h_loser - h_winner once in order
        losses = softplus(-(self.beta * ahead - mixed * self.margin))
        return losses.masked_fill(chosen_unsafe & rejected_unsafe, 0.0)
