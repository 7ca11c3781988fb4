"""Objectives: each one file, one frozen config, one pure call; `OBJECTIVES` is the whole list.

An objective's call takes the tensors that `reads` names and returns unreduced losses, one per row or pair:

- `log_prob`: log-probability of a completion under the policy, summed over its tokens, in nats; shape (rows,).
- `log_ratio`: log_prob minus the reference's; shape (rows,).
- `desirable`: boolean, shape (rows,).
- `kl`: mean log-ratio of mismatched rows over the whole optimizer batch, before the clamp at 0; a scalar (with
  `kl_scope: {micro: n}`, over each row's run of n; shape (rows,)).
- `chosen_log_ratio`, `rejected_log_ratio`: the two sides of each pair; shape (pairs,).
- `chosen_log_prob`, `rejected_log_prob`: the same without a reference; shape (pairs,).
- `chosen_tokens`, `rejected_tokens`: completion tokens of the two sides, at least 1; shape (pairs,).
- `chosen_unsafe`, `rejected_unsafe`: boolean, whether each side is unsafe; shape (pairs,).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol

from align.objectives.apo_zero import APOZero
from align.objectives.bfpo import BFPO
from align.objectives.cpo import CPO
from align.objectives.dpo import DPO
from align.objectives.ipo import IPO
from align.objectives.kto import KTO
from align.objectives.kto_s import KTOS
from align.objectives.orpo import ORPO
from align.objectives.safe_dpo import SafeDPO
from align.objectives.sft import SFT
from align.objectives.shared import Per

if TYPE_CHECKING:
    from torch import Tensor


class Objective(Protocol):
    """What the trainer asks of an objective.

    `needs` says which rows it can learn from (one of `desirable`: desirable rows only; `unpaired`: every row; `paired`: both
    sides of every pair), whether it compares with a `reference`, and whether it wants to know of each side of a pair if it is
    unsafe (`safety`), leaving out pairs without a `safe_side`. `reads` names the tensors of its call, in order. `per`
    says what the sum of its losses is divided by, counted over the whole optimizer batch.
    """

    needs: ClassVar[frozenset[str]]
    reads: ClassVar[tuple[str, ...]]
    per: ClassVar[Per]

    def __call__(self, *args: Tensor) -> Tensor:
        """Losses, unreduced."""
        ...


OBJECTIVES: dict[str, type] = {
    "sft": SFT,
    "dpo": DPO,
    "kto": KTO,
    "kto_s": KTOS,
    "ipo": IPO,
    "apo_zero": APOZero,
    "cpo": CPO,
    "orpo": ORPO,
    "safe_dpo": SafeDPO,
    "bfpo": BFPO,
}
