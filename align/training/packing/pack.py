"""Lay sequences end to end in one forward pass: no padding, a shared prompt only once, an earlier pass's prompts not at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

Segment = tuple[list[int], list[int]]  # prompt tokens, completion tokens
Span = tuple[int, int]
KeyValues = dict[int, tuple[Tensor, Tensor]]  # layer -> keys, values; shape (1, key heads, T, width)

SHORTEST_GROUP = 64  # keys; runs up to here share one attention call, above it lengths are grouped by powers of two


@dataclass(frozen=True)
class RunGroup:
    """Runs of like length, for attention on a padded copy (a Python loop over short runs costs twice as much).

    Attributes:
        queries: for each query slot of the padded copy, the token that stands there (padding reads token 0; what comes of it
            is not read); shape (runs * width,).
        keys: for each key slot, the key that stands there; shape (runs * key width,).
        slots: for each of the group's tokens, its query slot; shape (tokens,).
        width: query slots per run.
        key_width: key slots per run.
        mask: who sees whom, aligned at the last key of each run, shape (runs, 1, width, key width); None where every run
            attends to itself alone, which is plain causal attention.
    """

    queries: Tensor
    keys: Tensor
    slots: Tensor
    width: int
    key_width: int
    mask: Tensor | None


@dataclass
class Pack:
    """One forward pass over T tokens in runs; C completion tokens are scored.

    A run is a stretch of tokens that attends to itself and, before that, to at most one earlier stretch: a completion to its
    prompt. Keys are counted through the earlier pass's (where `reads` is given), then this pass's.

    Attributes:
        tokens: token ids, shape (1, T).
        positions: position of each token in its sequence, shape (1, T).
        bounds: where each run starts, and T; int32, shape (runs + 1,).
        longest: tokens of the longest run.
        keys: the keys of each run, laid end to end; None where every run attends to itself alone.
        key_bounds: like `bounds`, for `keys`.
        longest_key: keys of the longest run.
        runs: each run's span of tokens, and the span of keys it attends to before its own.
        scored: positions whose output predicts a completion token, shape (C,).
        targets: those completion tokens, shape (C,).
        owner: the segment of each, shape (C,).
        segments: how many segments were laid.
        prompts: where the keys of each segment's prompt stand.
        reads: keys and values of the earlier pass.
        writes: filled with this pass's keys and values, detached, where they are to be kept.
        calls: attention calls served so far (one per layer and forward pass).
        window: the shortest sliding window that a layer asked for.
    """

    tokens: Tensor
    positions: Tensor
    bounds: Tensor
    longest: int
    keys: Tensor | None
    key_bounds: Tensor
    longest_key: int
    runs: tuple[tuple[Span, Span], ...]
    scored: Tensor
    targets: Tensor
    owner: Tensor
    segments: int
    prompts: tuple[Span, ...]
    reads: KeyValues | None = None
    writes: KeyValues | None = None
    calls: int = 0
    window: int | None = None

    @cached_property
    def grouped(self) -> tuple[tuple[RunGroup, ...], Tensor | None]:
        """The runs by length, for attention on padded copies; and for each token its place among the groups' tokens.

        The places have shape (T,), and are None when there is one group.
        """
        offset = 0 if self.reads is None else next(iter(self.reads.values()))[0].shape[2]
        return _group(self.runs, offset, self.tokens.device)


@dataclass
class _Draft:
    """A pack while it is laid, in lists."""

    tokens: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    runs: list[tuple[Span, Span]] = field(default_factory=list)  # the run's tokens; the keys it attends to before them
    scored: list[int] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)
    owner: list[int] = field(default_factory=list)
    prompts: list[Span] = field(default_factory=list)

    def run(self, tokens: Sequence[int], position: int, before: Span) -> Span:
        """Add a run; an empty one adds nothing."""
        span = (len(self.tokens), len(self.tokens) + len(tokens))
        self.tokens += tokens
        self.positions += range(position, position + len(tokens))
        if tokens:
            self.runs.append((span, before))
        return span

    def score(self, index: int, first: int, rest: int, completion: Sequence[int]) -> None:
        """Score a completion: its first token is predicted at `first`, the others from `rest` on."""
        self.scored += [first, *range(rest, rest + len(completion) - 1)]
        self.targets += completion
        self.owner += [index] * len(completion)


def lay(segments: Sequence[Segment], device: torch.device | str = "cpu", *, keep: bool = False) -> Pack:
    """Lay segments end to end; segments with the same prompt share it.

    A completion's last token is scored but not laid: nothing is predicted from it.

    Args:
        segments: at least one; every prompt and completion has at least one token.
        device: where the pass runs.
        keep: keep the pass's keys and values, for `lay_after`.
    """
    draft, shared = _Draft(), {}
    counts = Counter(tuple(prompt) for prompt, _ in segments)
    for index, (prompt, completion) in enumerate(segments):
        if counts[tuple(prompt)] == 1:
            start, _ = draft.run([*prompt, *completion[:-1]], 0, (0, 0))
            end = start + len(prompt)
            draft.score(index, end - 1, end, completion)
        else:
            if tuple(prompt) not in shared:
                shared[tuple(prompt)] = draft.run(prompt, 0, (0, 0))
            start, end = shared[tuple(prompt)]
            rest, _ = draft.run(completion[:-1], len(prompt), (start, end))
            draft.score(index, end - 1, rest, completion)
        draft.prompts.append((start, end))
    return _finish(draft, 0, len(segments), device, writes={} if keep else None)


def lay_after(earlier: Pack, segments: Sequence[Segment], whose: Sequence[int]) -> Pack:
    """Lay completions alone, each behind a prompt whose keys and values an earlier pass kept.

    The last prompt token is computed again, since the first completion token is predicted from it.

    Args:
        earlier: a pack laid with `keep`, after its forward pass.
        segments: at least one; each prompt is that of the earlier pack's segment `whose` says.
        whose: for each segment, the earlier pack's segment with its prompt.
    """
    assert earlier.writes, "the earlier pass has not run, or did not keep its keys and values"
    draft, offset = _Draft(), earlier.tokens.shape[1]
    for index, ((prompt, completion), source) in enumerate(zip(segments, whose, strict=True)):
        start, end = earlier.prompts[source]
        first, _ = draft.run([prompt[-1], *completion[:-1]], len(prompt) - 1, (start, end - 1))
        draft.score(index, first, first + 1, completion)
        draft.prompts.append((start, end))
    return _finish(draft, offset, len(segments), earlier.tokens.device, reads=earlier.writes)


def _finish(
    draft: _Draft,
    offset: int,
    segments: int,
    device: torch.device | str,
    *,
    reads: KeyValues | None = None,
    writes: KeyValues | None = None,
) -> Pack:
    """Turn lists into tensors; a run's own keys stand `offset` behind its tokens."""

    def put(values: Sequence[int], dtype: torch.dtype = torch.long) -> Tensor:
        return torch.tensor(values, dtype=dtype).to(device, non_blocking=True)

    bounds, key_bounds, keys = [0], [0], []
    for (start, end), (before, until) in draft.runs:
        bounds.append(end)
        key_bounds.append(key_bounds[-1] + until - before + end - start)
        keys += [*range(before, until), *range(offset + start, offset + end)]
    alone = reads is None and all(before == until for _, (before, until) in draft.runs)
    return Pack(
        tokens=put(draft.tokens)[None],
        positions=put(draft.positions)[None],
        bounds=put(bounds, torch.int32),
        longest=max(end - start for (start, end), _ in draft.runs),
        keys=None if alone else put(keys),
        key_bounds=put(key_bounds, torch.int32),
        longest_key=max(b - a for a, b in zip(key_bounds, key_bounds[1:], strict=False)),
        runs=tuple(draft.runs),
        scored=put(draft.scored),
        targets=put(draft.targets),
        owner=put(draft.owner),
        segments=segments,
        prompts=tuple(draft.prompts),
        reads=reads,
        writes=writes,
    )


def _group(runs: Sequence[tuple[Span, Span]], offset: int, device: torch.device) -> tuple[tuple[RunGroup, ...], Tensor | None]:
    by_size: dict[tuple[bool, int], list[tuple[Span, Span]]] = {}
    for run in runs:
        (start, end), (before, until) = run
        size = max(end - start + until - before, SHORTEST_GROUP)
        by_size.setdefault((until > before or offset > 0, (size - 1).bit_length()), []).append(run)
    groups, laid = [], []
    for (behind, _), members in sorted(by_size.items()):
        starts, ends, befores, untils = (torch.tensor(side)[:, None] for side in zip(*(a + b for a, b in members), strict=True))
        own, prefix = ends - starts, untils - befores
        width, key_width = int(own.max()), int((own + prefix).max())
        column, key_column = torch.arange(width)[None], torch.arange(key_width)[None]
        real = column < own
        queries = torch.where(real, starts + column, 0)
        place = torch.where(key_column < prefix, befores + key_column, offset + starts + key_column - prefix)
        keys = torch.where(key_column < prefix + own, place, 0)
        mask = None
        if behind:
            mask = (key_column[:, None] <= (prefix + column)[:, :, None])[:, None].to(device)
        slots = real.flatten().nonzero()[:, 0]
        groups.append(RunGroup(queries.flatten().to(device), keys.flatten().to(device), slots.to(device), width, key_width, mask))
        laid.append(queries[real])
    order = None if len(groups) == 1 else torch.argsort(torch.cat(laid)).to(device)
    return tuple(groups), order
