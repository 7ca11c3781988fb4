"""Supervised fine-tuning: imitate the desirable completions."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from align.objectives.shared import Per
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
    per: ClassVar[Per] = "token"

    def __call__(self, log_prob: Tensor) -> Tensor:
        """Loss of each row, nats."""
        return -log_prob
