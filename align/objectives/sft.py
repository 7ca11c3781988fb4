"""Supervised fine-tuning: imitate the desirable completions."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from curate.core.config import config

if TYPE_CHECKING:
    from torch import Tensor


@config
class SFT:
    """Negative log-likelihood of desirable completions; prompts and undesirable rows are not learned from.

    The trainer divides the sum by the completion tokens of the whole optimizer batch, so that every token weighs the same
    (a mean of row means would favour short replies). This is the mean that transformers and TRL take.

    Source: Ouyang et al. (2022), arXiv 2203.02155, section 3.5.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"desirable"})
    reads: ClassVar[tuple[str, ...]] = ("log_prob",)
    per: ClassVar[Literal["token", "row", "pair"]] = "token"

    def __call__(self, log_prob: Tensor) -> Tensor:
        """Loss of each row, unreduced.

        Args:
            log_prob: log-probability of the completion, summed over its tokens, in nats; shape (rows,).

        Returns:
            Nats, shape (rows,).
        """
        return -log_prob
