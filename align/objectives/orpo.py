"""Odds ratio preference optimisation: supervised fine-tuning and preference in one, without a reference."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from align.objectives.shared import Per, Weight
from curate.core.config import config

if TYPE_CHECKING:
    from torch import Tensor


CERTAIN = 1e-6  # nats per token; a completion likelier than this has odds that single precision cannot hold


@config
class ORPO:
    """The loss of a pair is -m_chosen - weight * log sigmoid(log odds_chosen - log odds_rejected).

    m is a completion's mean log-probability per token, P = exp(m), and odds = P / (1 - P), so that log odds = m - log(1 - P).

    Args:
        weight: of the preference term (the paper's lambda), >= 0. 0.1: TRL's (ORPOConfig.beta).

    Source: Hong et al. (2024), arXiv 2403.07691.
    """

    weight: Weight = 0.1

    needs: ClassVar[frozenset[str]] = frozenset({"paired"})
    reads: ClassVar[tuple[str, ...]] = ("chosen_log_prob", "rejected_log_prob", "chosen_tokens", "rejected_tokens")
    per: ClassVar[Per] = "pair"

    def __call__(
        self, chosen_log_prob: Tensor, rejected_log_prob: Tensor, chosen_tokens: Tensor, rejected_tokens: Tensor
    ) -> Tensor:
        """Loss of each pair, nats per token, above 0."""
        from torch.nn.functional import softplus

        chosen, rejected = chosen_log_prob / chosen_tokens, rejected_log_prob / rejected_tokens
        return self.weight * softplus(-(_log_odds(chosen) - _log_odds(rejected))) - chosen


def _log_odds(mean: Tensor) -> Tensor:
    """Log odds, m - log(1 - exp(m)) for m < 0, exact to rounding at both ends."""
    import torch

    below = mean.clamp(max=-CERTAIN)
    rest = torch.where(below > -math.log(2), torch.log(-torch.expm1(below)), torch.log1p(-torch.exp(below)))
    return mean - rest
