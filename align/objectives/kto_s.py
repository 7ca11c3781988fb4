"""KTO-S: KTO whose drift term never enlarges an update."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from align.objectives.shared import Beta, Per, Weight, value_loss
from curate.core.config import config

if TYPE_CHECKING:
    from torch import Tensor


@config
class KTOS:
    """A desirable row costs lambda_D * (1 - sigmoid(beta * (r + S*z))), another lambda_U * (1 - sigmoid(-beta * (r + S*z))).

    S is +1 where r > 0 and -1 elsewhere, per row. In KTO a growing z moves r - z towards 0 for 0 <= z < r, where the sigmoid
    is steepest: the further the policy has drifted, the harder the next push. Here r + S*z = S * (|r| + z), so the gradient's
    magnitude, lambda * beta * sigmoid'(beta * (|r| + z)), falls with z for both classes on both sides of r = 0. KTO-S equals
    KTO for every r <= 0, and everywhere when z = 0. The loss value jumps at r = 0 when z > 0; the gradient's magnitude does not.

    How sure the form is: it comes from a public re-implementation's comment quoting the paper, whose own equation could not be
    read here, and it is the only one of seven candidates with the property that the paper states (a larger KL never enlarges
    the update) in all four cases.

    Args:
        beta: strength of the pull towards the reference, per nat, > 0; see `KTO`. The author's public setting for SEA-LION
            v2.1 8B is 0.5 (huggingface/trl#2268).
        lambda_desirable: weight of desirable rows, >= 0; see `KTO`.
        lambda_undesirable: weight of undesirable rows, >= 0; see `KTO`.

    Source: Lim et al. (2025), arXiv 2502.12485.
    """

    beta: Beta = 0.1
    lambda_desirable: Weight = 1.0
    lambda_undesirable: Weight = 1.0

    needs: ClassVar[frozenset[str]] = frozenset({"unpaired", "reference"})
    reads: ClassVar[tuple[str, ...]] = ("log_ratio", "desirable", "kl")
    per: ClassVar[Per] = "row"

    def __call__(self, log_ratio: Tensor, desirable: Tensor, kl: Tensor) -> Tensor:
        """Loss of each row, dimensionless, in (0, lambda); `kl` is clamped at 0 here; no gradient flows through it or S."""
        import torch

        drift = kl.detach().clamp(min=0)
        side = torch.where(log_ratio.detach() > 0, 1.0, -1.0).to(log_ratio.dtype)  # S; the paper's convention at r = 0 is unknown
        return value_loss(log_ratio + side * drift, desirable, self.beta, (self.lambda_desirable, self.lambda_undesirable))
