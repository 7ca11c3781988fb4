"""Direct preference optimisation: chosen over rejected, by the margin of their log-ratios."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from align.objectives.shared import Beta, Per
from curate.core.config import config

if TYPE_CHECKING:
    from torch import Tensor


@config
class DPO:
    """The loss of a pair is -log sigmoid(beta * (r_chosen - r_rejected)).

    Args:
        beta: strength of the pull towards the reference, per nat, > 0. The default is the paper's.

    Source: Rafailov et al. (2023), arXiv 2305.18290, equation 7.
    """

    beta: Beta = 0.1

    needs: ClassVar[frozenset[str]] = frozenset({"paired", "reference"})
    reads: ClassVar[tuple[str, ...]] = ("chosen_log_ratio", "rejected_log_ratio")
    per: ClassVar[Per] = "pair"

    def __call__(self, chosen_log_ratio: Tensor, rejected_log_ratio: Tensor) -> Tensor:
        """Loss of each pair, dimensionless, above 0."""
        from torch.nn.functional import softplus

        return softplus(-self.beta * (chosen_log_ratio - rejected_log_ratio))  # -log sigmoid(a) = softplus(-a), without overflow
