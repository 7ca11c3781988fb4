"""Identity preference optimisation: the margin of the log-ratios is drawn to a target, not without end."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from align.objectives.shared import Beta, Per
from curate.core.config import config

if TYPE_CHECKING:
    from torch import Tensor


@config
class IPO:
    """The loss of a pair is (r_chosen / n_chosen - r_rejected / n_rejected - 1 / (2 * beta)) ** 2, n being tokens.

    DPO's gradient never reaches zero where a pair is always won; this one does, at the target. The paper writes the loss with
    summed log-ratios; here, as in TRL, each is a mean per token, so that one beta suits short and long replies.

    Args:
        beta: inverse of twice the target margin (the paper's tau), per nat, > 0. 0.1: TRL's (DPOConfig.beta).

    Source: Azar et al. (2023), arXiv 2310.12036, equation 17.
    """

    beta: Beta = 0.1

    needs: ClassVar[frozenset[str]] = frozenset({"paired", "reference"})
    reads: ClassVar[tuple[str, ...]] = ("chosen_log_ratio", "rejected_log_ratio", "chosen_tokens", "rejected_tokens")
    per: ClassVar[Per] = "pair"

    def __call__(
        self, chosen_log_ratio: Tensor, rejected_log_ratio: Tensor, chosen_tokens: Tensor, rejected_tokens: Tensor
    ) -> Tensor:
        """Loss of each pair, nats per token, squared."""
        margin = chosen_log_ratio / chosen_tokens - rejected_log_ratio / rejected_tokens
        return (margin - 1 / (2 * self.beta)) ** 2
