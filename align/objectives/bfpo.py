"""Bi-factorial preference optimisation: how far a pair should part depends on which of its sides are safe."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from align.objectives.shared import Beta, Per
from curate.core.config import config

if TYPE_CHECKING:
    from torch import Tensor

# Of the target, all three as in the paper
B1 = 3.0  # weight of safety against helpfulness for the chosen side
B3 = 0.5  # scale of both sides
ALPHA = 0.5  # taken off every target


@config
class BFPO:
    """((r_chosen - r_rejected) - (1.5 * s_chosen - 0.5 * s_rejected - 0.5) / beta) ** 2, where s = 1 for a safe completion.

    The margin is drawn, in units of 1 / beta, to +0.5 where both are safe, +1 where only the chosen one is,
    -1 where only the rejected one is, and -0.5 where neither is. In a dataset of `curate build` every chosen completion is
    non_toxic and every rejected one toxic, so that there the target is +1 throughout.

    Args:
        beta: inverse scale of the targets, per nat, > 0. 0.01: the paper's.

    Source: Zhang et al. (2024), arXiv 2408.15313.
    """

    beta: Beta = 0.01

    needs: ClassVar[frozenset[str]] = frozenset({"paired", "reference", "safety"})
    reads: ClassVar[tuple[str, ...]] = ("chosen_log_ratio", "rejected_log_ratio", "chosen_unsafe", "rejected_unsafe")
    per: ClassVar[Per] = "pair"

    def __call__(
        self, chosen_log_ratio: Tensor, rejected_log_ratio: Tensor, chosen_unsafe: Tensor, rejected_unsafe: Tensor
    ) -> Tensor:
        """Loss of each pair, nats squared."""
        chosen_safe = (~chosen_unsafe).to(chosen_log_ratio.dtype)
        rejected_safe = (~rejected_unsafe).to(chosen_log_ratio.dtype)
        target = (B1 * B3 * chosen_safe - B3 * rejected_safe - ALPHA) / self.beta
        return (chosen_log_ratio - rejected_log_ratio - target) ** 2
