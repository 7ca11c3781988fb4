"""How rows are laid for a model: packed where that is exact, padded elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from align.training.packing.attention import NAME, UnpackableError, attending
from align.training.packing.pack import Pack, Segment, lay
from align.training.packing.padded import Padded, pad
from align.training.packing.probe import probe, probe_padded

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Layout:
    """A way of laying rows, and the attention that goes with it.

    Attributes:
        implementation: attention implementation of the model, as transformers names it.
        why_padded: why rows are padded; None where they are packed.
    """

    implementation: str = NAME
    why_padded: str | None = None

    @property
    def packs(self) -> bool:
        """Whether rows are laid end to end: prompts are shared then, and their keys and values used again."""
        return self.why_padded is None

    def lay(self, segments: Sequence[Segment], device: torch.device | str, *, keep: bool = False) -> Pack | Padded:
        """Lay segments for one pass; `keep` keeps a pack's keys and values."""
        return lay(segments, device, keep=keep) if self.packs else pad(segments, device)

    @contextmanager
    def attended(self, model: PreTrainedModel) -> Iterator[None]:
        """Let the model attend as this layout needs for a while."""
        with attending(model, self.implementation):
            yield

    def passes(self, segments: Sequence[Segment], budget: int) -> Iterator[list[int]]:
        """Split segments into passes of at most `budget` tokens, padding included; like lengths share one."""
        return _packed_passes(segments, budget) if self.packs else _padded_passes(segments, budget)


PACKED = Layout()


def layout_for(model: PreTrainedModel, longest: int) -> Layout:
    """Find the faster layout that is exact for a model.

    Args:
        model: a causal language model on the device where it will train.
        longest: tokens of the longest row that it will be given.

    Raises:
        UserError: the model is not exact under any.
    """
    try:
        probe(model, longest)
    except UnpackableError as error:
        _, implementation = probe_padded(model)
        return Layout(implementation, str(error))
    return PACKED


def _packed_passes(segments: Sequence[Segment], budget: int) -> Iterator[list[int]]:
    """Passes of prompts of like length, each with all its completions, so that a prompt is computed once."""
    by_prompt: dict[tuple[int, ...], list[int]] = {}
    for index, (prompt, _) in enumerate(segments):
        by_prompt.setdefault(tuple(prompt), []).append(index)
    chosen: list[int] = []
    tokens = 0
    for key, same in sorted(by_prompt.items(), key=lambda item: len(item[0])):
        laid = False
        for index in same:
            completion = len(segments[index][1])
            if chosen and tokens + completion + (0 if laid else len(key)) > budget:
                yield chosen
                chosen, tokens, laid = [], 0, False
            chosen.append(index)
            tokens, laid = tokens + completion + (0 if laid else len(key)), True
    if chosen:
        yield chosen


def _padded_passes(segments: Sequence[Segment], budget: int) -> Iterator[list[int]]:
    """Passes of rows of like length, each as wide as its longest."""
    lengths = [len(prompt) + len(completion) for prompt, completion in segments]
    chosen: list[int] = []
    for index in sorted(range(len(segments)), key=lambda index: lengths[index]):
        if chosen and (len(chosen) + 1) * lengths[index] > budget:
            yield chosen
            chosen = []
        chosen.append(index)
    if chosen:
        yield chosen
