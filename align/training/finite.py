"""NaN and infinity: noticed within a step, and named."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from align.processes import ranks
from align.training.journal import SUMS
from curate.core.errors import NonFiniteError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

CURE = "lower learning_rate, or look at the last lines of metrics.jsonl"

CAUSES = (  # the first that is not finite is where it began; what stands behind it only inherits it
    ("log_prob_chosen", "the log-probabilities of desirable completions"),
    ("log_prob_rejected", "the log-probabilities of undesirable completions"),
    ("log_ratio_mismatched", "the log-ratios of mismatched completions (kl)"),
    ("reward_chosen", "the rewards of desirable completions"),
    ("reward_rejected", "the rewards of undesirable completions"),
    ("loss", "the loss"),
    ("grad_norm", "the gradient"),
)


class Guard:
    """Watches each step's sums.

    On a CPU a bad step is stopped before the optimizer moves. On another device waiting for the answer would idle it, so that
    the flag travels back while it works, and is read one step later and before every save.
    """

    def __init__(self, phase: str) -> None:
        """Start with nothing pending."""
        self._phase = phase
        self._pending: tuple[int, Tensor, torch.cuda.Event | None] | None = None

    def watch(self, step: int, sums: Tensor, model: nn.Module) -> None:
        """Check the step before (or this one, on a CPU), and take note of this one.

        Args:
            step: number of this step, 1 for the first.
            sums: as journal.SUMS names them, shape (8,).
            model: where to look for the cause.

        Raises:
            NonFiniteError: NaN or infinity.
        """
        import torch

        self.settle(model)
        if sums.device.type == "cpu":
            self._pending = (step, sums, None)
            self.settle(model)
            return
        event = None
        if sums.is_cuda:
            copy = torch.empty(sums.shape, dtype=sums.dtype, pin_memory=True).copy_(sums, non_blocking=True)
            event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            event.record()
        else:
            copy = sums.cpu()
        self._pending = (step, copy, event)

    def settle(self, model: nn.Module) -> None:
        """Check what is pending.

        Raises:
            NonFiniteError: NaN or infinity.
        """
        if self._pending is None:
            return
        step, sums, event = self._pending
        self._pending = None
        if event is not None:
            event.synchronize()
        if not bool(sums.isfinite().all()):
            raise self._error(step, cause(sums, model))

    def weights(self, step: int, model: nn.Module) -> None:
        """Check every weight: a checkpoint with NaN in it must not be written.

        Raises:
            NonFiniteError: NaN or infinity.
        """
        self.settle(model)
        name = bad_weight(model)
        if ranks.any_of(name is not None):  # sharded, each process sees its own part
            raise self._error(step, f"the weights ({name or 'sharded'})")

    def _error(self, step: int, where: str) -> NonFiniteError:
        place = f"phase {self._phase}: step {step}"
        return NonFiniteError(f"{place}: NaN or infinity in {where}; nothing was saved from this step", hint=CURE)


def cause(sums: Tensor, model: nn.Module) -> str:
    """Where the trouble began, in words."""
    name = bad_weight(model)
    if name is not None:
        return f"the weights ({name})"
    values = dict(zip(SUMS, sums.tolist(), strict=True))
    for key, words in CAUSES:
        if not math.isfinite(values[key]):
            if key == "grad_norm":
                words += f" ({bad_gradient(model) or 'its norm overflows'})"
            return words
    raise AssertionError("called for finite sums")


def bad_weight(model: nn.Module) -> str | None:
    """Name of a parameter with NaN or infinity in it."""
    import torch

    from align.processes.sharding import local

    parameters = [(name, local(value.detach())) for name, value in model.named_parameters()]
    norms = torch.stack([value.float().abs().max() for _, value in parameters if value.numel()])
    if bool(norms.isfinite().all()):
        return None
    return next(name for name, value in parameters if not bool(value.isfinite().all()))


def bad_gradient(model: nn.Module) -> str | None:
    """Name of a parameter whose gradient has NaN or infinity in it."""
    from align.processes.sharding import local

    for name, value in model.named_parameters():
        if value.grad is not None and not bool(local(value.grad).isfinite().all()):
            return name
    return None
