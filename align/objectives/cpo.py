"""Contrastive preference optimisation: DPO without a reference, held to the chosen completions by their likelihood."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from align.objectives.shared import Beta, Per, Weight
from curate.core.config import config

if TYPE_CHECKING:
    from torch import Tensor


@config
class CPO:
    """The loss of a pair is -log sigmoid(beta * (logp_chosen - logp_rejected)) - alpha * logp_chosen.

    The likelihood term is summed over the chosen completion's tokens, as the paper writes it; TRL takes its mean per token of
    the batch, so that an alpha found there is about a reply's length larger than one that means the same here.

    Args:
        beta: steepness of the preference, per nat, > 0. 0.1: TRL's (CPOConfig.beta).
        alpha: weight of the chosen completion's negative log-likelihood, >= 0. 1: TRL's (CPOConfig.cpo_alpha); the paper writes
            the two terms as a plain sum.

    Source: Xu et al. (2024), arXiv 2401.08417.
    """

    beta: Beta = 0.1
    alpha: Weight = 1.0

    needs: ClassVar[frozenset[str]] = frozenset({"paired"})
    reads: ClassVar[tuple[str, ...]] = ("chosen_log_prob", "rejected_log_prob")
    per: ClassVar[Per] = "pair"

    def __call__(self, chosen_log_prob: Tensor, rejected_log_prob: Tensor) -> Tensor:
        """Loss of each pair, nats, above 0."""
        from torch.nn.functional import softplus

        preference = softplus(-self.beta * (chosen_log_prob - rejected_log_prob))  # -log sigmoid(a), without overflow
        return preference - self.alpha * chosen_log_prob
