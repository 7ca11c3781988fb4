"""Anchored preference optimisation, unpaired: desirable rows up, undesirable rows down, from the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from curate.core.config import config

if TYPE_CHECKING:
    from torch import Tensor


@config
class APOZero:
    """A desirable row costs 1 - sigmoid(beta * r), an undesirable row sigmoid(beta * r).

    This is KTO whose drift z is held at 0. It suits data whose desirable completions are better than what the model says; where
    they are not, pushing them up makes it worse.

    Args:
        beta: strength of the pull towards the reference, per nat, > 0. 0.1: TRL's (KTOConfig.beta).

    Source: D'Oosterlinck et al. (2024), arXiv 2408.06266, equation 7 (APO-zero), in the unpaired form that TRL calls
    `apo_zero_unpaired`.
    """

    beta: Annotated[float, Field(gt=0)] = 0.1

    needs: ClassVar[frozenset[str]] = frozenset({"unpaired", "reference"})
    reads: ClassVar[tuple[str, ...]] = ("log_ratio", "desirable")
    per: ClassVar[Literal["token", "row", "pair"]] = "row"

    def __call__(self, log_ratio: Tensor, desirable: Tensor) -> Tensor:
        """Loss of each row, unreduced.

        Args:
            log_ratio: r = log policy(completion | prompt) - log reference(completion | prompt), summed over tokens, in nats;
                shape (rows,).
            desirable: boolean, shape (rows,).

        Returns:
            Dimensionless, in (0, 1), shape (rows,).
        """
        import torch

        direction = torch.where(desirable, 1.0, -1.0).to(log_ratio.dtype)
        return torch.sigmoid(-self.beta * direction * log_ratio)  # sigmoid(-a): 1 - sigmoid(a) cancels
