"""Kahneman-Tversky optimisation: single labelled completions, valued against the policy's own drift."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from curate.core.config import config

if TYPE_CHECKING:
    from torch import Tensor


@config
class KTO:
    """A desirable row costs lambda_D * (1 - sigmoid(beta * (r - z))), another lambda_U * (1 - sigmoid(beta * (z - r))).

    Written as lambda * sigmoid(-a): 1 - sigmoid(a) cancels where a is large.

    Args:
        beta: strength of the pull towards the reference, per nat, > 0. The paper, for 8B models: 0.05 after SFT, 0.10 without
            SFT (and TRL's default), 0.25 on an aligned instruct model.
        lambda_desirable: weight of desirable rows, >= 0.
        lambda_undesirable: weight of undesirable rows, >= 0. The paper advises lambda_desirable * n_desirable /
            (lambda_undesirable * n_undesirable) in [1, 1.33], and below 1 where preventing toxicity matters most.

    Source: Ethayarajh et al. (2024), arXiv 2402.01306, equation 8.
    """

    beta: Annotated[float, Field(gt=0)] = 0.1
    lambda_desirable: Annotated[float, Field(ge=0)] = 1.0
    lambda_undesirable: Annotated[float, Field(ge=0)] = 1.0

    needs: ClassVar[frozenset[str]] = frozenset({"unpaired", "reference"})
    reads: ClassVar[tuple[str, ...]] = ("log_ratio", "desirable", "kl")
    per: ClassVar[Literal["token", "row", "pair"]] = "row"

    def __call__(self, log_ratio: Tensor, desirable: Tensor, kl: Tensor) -> Tensor:
        """Loss of each row, unreduced.

        Args:
            log_ratio: r = log policy(completion | prompt) - log reference(completion | prompt), summed over tokens, in nats;
                shape (rows,).
            desirable: boolean, shape (rows,).
            kl: mean log-ratio of mismatched rows over the whole optimizer batch, in nats, any sign; a scalar. It is clamped
                at 0 here, and no gradient flows through it.

        Returns:
            Dimensionless, in (0, lambda), shape (rows,).
        """
        import torch

        drift = kl.detach().clamp(min=0)
        direction = torch.where(desirable, 1.0, -1.0).to(log_ratio.dtype)
        weight = torch.full_like(log_ratio, self.lambda_undesirable).masked_fill(desirable, self.lambda_desirable)
        return weight * torch.sigmoid(-self.beta * direction * (log_ratio - drift))
