"""Kahneman-Tversky optimisation: single labelled completions, valued against the policy's own drift."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from align.objectives.shared import Beta, Per, Weight, value_loss
from curate.core.config import config

if TYPE_CHECKING:
    from torch import Tensor


@config
class KTO:
    """A desirable row costs lambda_D * (1 - sigmoid(beta * (r - z))), another lambda_U * (1 - sigmoid(beta * (z - r))).

    Args:
        beta: strength of the pull towards the reference, per nat, > 0. The paper, for 8B models: 0.05 after SFT, 0.10 without
            SFT (and TRL's default), 0.25 on an aligned instruct model.
        lambda_desirable: weight of desirable rows, >= 0.
        lambda_undesirable: weight of undesirable rows, >= 0. The paper advises lambda_desirable * n_desirable /
            (lambda_undesirable * n_undesirable) in [1, 1.33], and below 1 where preventing toxicity matters most.

    Source: Ethayarajh et al. (2024), arXiv 2402.01306, equation 8.
    """

    beta: Beta = 0.1
    lambda_desirable: Weight = 1.0
    lambda_undesirable: Weight = 1.0

    needs: ClassVar[frozenset[str]] = frozenset({"unpaired", "reference"})
    reads: ClassVar[tuple[str, ...]] = ("log_ratio", "desirable", "kl")
    per: ClassVar[Per] = "row"

    def __call__(self, log_ratio: Tensor, desirable: Tensor, kl: Tensor) -> Tensor:
        """Loss of each row, dimensionless, in (0, lambda); `kl` is clamped at 0 here, and no gradient flows through it."""
        drift = kl.detach().clamp(min=0)
        return value_loss(log_ratio - drift, desirable, self.beta, (self.lambda_desirable, self.lambda_undesirable))
