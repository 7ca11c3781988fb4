"""What passes between the race and its sides: settings one way, messages the other, a line of JSON each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

SIDES = ("ours", "trl default", "trl tuned")


@dataclass(frozen=True)
class Settings:
    """What every side is given.

    Attributes:
        side: one of `SIDES`.
        folder: where the trainer may write.
        model: folder of a model, or None for a Llama of `hidden` x `layers` with random weights.
        hidden: width.
        layers: how many.
        vocabulary: tokens.
        device: "cpu" or "cuda".
        paired: two completions of each prompt, one of each class.
        batch: rows in an optimizer batch.
        steps: optimizer steps, the warm-up among them.
        warmup: steps that are not counted.
        prompt: mean tokens of a prompt.
        completion: mean tokens of a completion, end of turn left out.
        rank: of the adapters.
        threads: of torch.
    """

    side: str
    folder: str
    model: str | None
    hidden: int
    layers: int
    vocabulary: int
    device: str
    paired: bool
    batch: int
    steps: int
    warmup: int
    prompt: int
    completion: int
    rank: int
    threads: int


@dataclass(frozen=True)
class SetUp:
    """The first message: CPU seconds until the first step could be taken."""

    cpu_seconds: float


@dataclass(frozen=True)
class StepTime:
    """A message after a step: its number, 1 for the first, and the seconds since the one before."""

    step: int
    seconds: float


@dataclass(frozen=True)
class Totals:
    """The last message.

    Attributes:
        losses: of each step.
        tokens: of each step's rows.
        flops: that each step cannot do without; see `needed_flops`.
        bytes_at_peak: most memory held while there were steps.
    """

    losses: list[float]
    tokens: list[int]
    flops: list[float]
    bytes_at_peak: int


Say = Callable[[SetUp | StepTime | Totals], None]
