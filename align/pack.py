"""Lay sequences end to end in one forward pass, without padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Segment = tuple[list[int], list[int]]  # prompt tokens, completion tokens

SHORTEST_GROUP = 64  # tokens; segments up to here share one attention call, above it lengths are grouped by powers of two


@dataclass(frozen=True)
class Group:
    """Segments of like length, for attention on a padded copy (a Python loop over short segments costs twice as much).

    Attributes:
        gather: for each slot of the padded copy, the token of the pass that stands there (padding reads token 0, and no real
            token attends to it); shape (segments * width,).
        slots: for each of the group's tokens, its slot in the padded copy; shape (tokens,).
        width: slots per segment.
    """

    gather: Tensor
    slots: Tensor
    width: int


@dataclass
class Pack:
    """One forward pass over T tokens of S segments, of which C are completion tokens to score.

    Attributes:
        tokens: token ids, shape (1, T).
        positions: position of each token in its segment, shape (1, T).
        bounds: where each segment starts, and T; int32, shape (S + 1,).
        longest: tokens of the longest segment.
        groups: the segments by length, for attention on a CPU.
        order: for each token of the pass, its place in the groups' tokens laid end to end; shape (T,); None when that is the
            identity.
        scored: positions whose output predicts a completion token, shape (C,).
        targets: those completion tokens, shape (C,).
        owner: the segment of each, shape (C,).
        segments: S.
        calls: attention calls served so far (one per layer and forward pass).
    """

    tokens: Tensor
    positions: Tensor
    bounds: Tensor
    longest: int
    groups: tuple[Group, ...]
    order: Tensor | None
    scored: Tensor
    targets: Tensor
    owner: Tensor
    segments: int
    calls: int = 0


def lay(segments: Sequence[Segment], device: torch.device | str = "cpu") -> Pack:
    """Lay prompt + completion of each segment end to end.

    Args:
        segments: at least one; every prompt and completion has at least one token.
        device: where the pass runs.
    """
    tokens: list[int] = []
    positions: list[int] = []
    bounds: list[int] = [0]
    scored: list[int] = []
    targets: list[int] = []
    owner: list[int] = []
    for index, (prompt, completion) in enumerate(segments):
        start = len(tokens)
        tokens += prompt
        tokens += completion
        end, first = len(tokens), start + len(prompt)
        positions += range(end - start)
        bounds.append(end)
        scored += range(first - 1, end - 1)
        targets += completion
        owner += [index] * len(completion)
    lengths = [stop - start for start, stop in zip(bounds, bounds[1:], strict=False)]
    groups, order = _group(bounds, lengths) if torch.device(device).type == "cpu" else ((), None)

    def put(values: list[int], dtype: torch.dtype = torch.long) -> Tensor:
        return torch.tensor(values, dtype=dtype).to(device, non_blocking=True)

    return Pack(
        tokens=put(tokens)[None],
        positions=put(positions)[None],
        bounds=put(bounds, torch.int32),
        longest=max(lengths),
        groups=groups,
        order=order,
        scored=put(scored),
        targets=put(targets),
        owner=put(owner),
        segments=len(lengths),
    )


def _group(bounds: list[int], lengths: list[int]) -> tuple[tuple[Group, ...], Tensor | None]:
    by_size: dict[int, list[int]] = {}
    for index, length in enumerate(lengths):
        by_size.setdefault(max(length - 1, SHORTEST_GROUP - 1).bit_length(), []).append(index)
    groups, laid = [], []
    for _, members in sorted(by_size.items()):
        width = max(lengths[index] for index in members)
        starts = torch.tensor([bounds[index] for index in members])[:, None]
        sizes = torch.tensor([lengths[index] for index in members])[:, None]
        column = torch.arange(width)[None]
        real = column < sizes
        gather = torch.where(real, starts + column, 0)
        groups.append(Group(gather.flatten(), real.flatten().nonzero()[:, 0], width))
        laid.append(gather[real])
    if len(groups) == 1:
        return tuple(groups), None
    return tuple(groups), torch.argsort(torch.cat(laid))
