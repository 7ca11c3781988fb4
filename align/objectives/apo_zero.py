"""Anchored preference optimisation, unpaired: desirable rows up, undesirable rows down, from the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from align.objectives.shared import Beta, Per, value_loss
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

    beta: Beta = 0.1

    needs: ClassVar[frozenset[str]] = frozenset({"unpaired", "reference"})
    reads: ClassVar[tuple[str, ...]] = ("log_ratio", "desirable")
    per: ClassVar[Per] = "row"

    def __call__(self, log_ratio: Tensor, desirable: Tensor) -> Tensor:
        """Loss of each row, dimensionless, in (0, 1)."""
        return value_loss(log_ratio, desirable, self.beta)
