"""Bi-factorial preference optimisation: how far a pair should part depends on which of its sides are safe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from curate.core.config import config

if TYPE_CHECKING:
    from torch import Tensor


@config
class BFPO:
    """((r_chosen - r_rejected) - (b1 * b3 * s_chosen - b3 * s_rejected - shift) / beta) ** 2, where s = 1 for a safe completion.

    With the defaults the margin is drawn, in units of 1 / beta, to +0.5 where both are safe, +1 where only the chosen one is,
    -1 where only the rejected one is, and -0.5 where neither is. In a dataset of `curate build` every chosen completion is
    non_toxic and every rejected one toxic, so that there the target is +1 throughout.

    Args:
        beta: inverse scale of the targets, per nat, > 0. 0.01: the paper's.
        b1: weight of safety against helpfulness for the chosen side. 3: the paper's.
        b3: scale of both sides. 0.5: the paper's.
        shift: what is taken off every target (the paper's alpha). 0.5: the paper's.

    Source: Zhang et al. (2024), arXiv 2408.15313.
    """

    beta: Annotated[float, Field(gt=0)] = 0.01
    b1: float = 3.0
    b3: float = 0.5
    shift: float = 0.5

    needs: ClassVar[frozenset[str]] = frozenset({"paired", "reference", "safety"})
    reads: ClassVar[tuple[str, ...]] = ("chosen_log_ratio", "rejected_log_ratio", "chosen_unsafe", "rejected_unsafe")
    per: ClassVar[Literal["token", "row", "pair"]] = "pair"

    def __call__(
        self, chosen_log_ratio: Tensor, rejected_log_ratio: Tensor, chosen_unsafe: Tensor, rejected_unsafe: Tensor
    ) -> Tensor:
        """Loss of each pair, unreduced.

        Args:
            chosen_log_ratio: log policy(chosen | prompt) - log reference(chosen | prompt), summed over tokens, in nats;
                shape (pairs,).
            rejected_log_ratio: the same of the rejected completion; shape (pairs,).
            chosen_unsafe: whether the chosen completion is unsafe; boolean, shape (pairs,).
            rejected_unsafe: whether the rejected completion is; boolean, shape (pairs,).

        Returns:
            Nats squared, shape (pairs,).
        """
        chosen_safe = (~chosen_unsafe).to(chosen_log_ratio.dtype)
        rejected_safe = (~rejected_unsafe).to(chosen_log_ratio.dtype)
        target = (self.b1 * self.b3 * chosen_safe - self.b3 * rejected_safe - self.shift) / self.beta
        return (chosen_log_ratio - rejected_log_ratio - target) ** 2
