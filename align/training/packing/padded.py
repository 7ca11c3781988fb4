"""Lay sequences side by side, padded, for models whose own attention packing cannot give exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from align.training.packing.pack import Segment


@dataclass(frozen=True)
class Padded:
    """One forward pass over R sequences of W places; C completion tokens are scored.

    Padding stands behind each sequence: in a causal model, attention or recurrence, no real token sees it.

    Attributes:
        tokens: token ids, shape (R, W).
        mask: 1 where a token is real, shape (R, W).
        kept: how many places, counted from the last, logits are needed at.
        scored: of the kept places laid end to end, those whose output predicts a completion token; shape (C,).
        targets: those completion tokens, shape (C,).
        owner: the segment of each, shape (C,).
        segments: R.
    """

    tokens: Tensor
    mask: Tensor
    kept: int
    scored: Tensor
    targets: Tensor
    owner: Tensor
    segments: int


def pad(segments: Sequence[Segment], device: torch.device | str = "cpu") -> Padded:
    """Lay each segment in a row of its own; prompts are not shared.

    A completion's last token is scored but not laid, as in `pack.lay`.

    Args:
        segments: at least one; every prompt and completion has at least one token.
        device: where the pass runs.
    """
    laid = [[*prompt, *completion[:-1]] for prompt, completion in segments]
    width = max(map(len, laid))
    kept = width - min(len(prompt) - 1 for prompt, _ in segments)
    scored = [
        row * kept + len(prompt) - 1 + place - (width - kept)
        for row, (prompt, completion) in enumerate(segments)
        for place in range(len(completion))
    ]

    def put(values: list[int] | list[list[int]]) -> Tensor:
        return torch.tensor(values).to(device, non_blocking=True)

    return Padded(
        tokens=put([[*row, *[0] * (width - len(row))] for row in laid]),
        mask=put([[1] * len(row) + [0] * (width - len(row)) for row in laid]),
        kept=kept,
        scored=put(scored),
        targets=put([token for _, completion in segments for token in completion]),
        owner=put([row for row, (_, completion) in enumerate(segments) for _ in completion]),
        segments=len(laid),
    )
