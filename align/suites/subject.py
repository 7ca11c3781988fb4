"""What a suite is called with, and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from align.data import Dataset
from align.generate import Sampling
from curate.contracts import TextLabeler

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Subject:
    """A checkpoint under evaluation.

    Attributes:
        model: read only.
        tokenizer: its own.
        dataset: what the run is about.
        judge: decides which completions are toxic.
        truth: a second labeler to report beside the judge, or None.
        sampling: how completions are drawn.
        seed: of the draws; the same for every checkpoint of a run.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    dataset: Dataset
    judge: TextLabeler
    truth: TextLabeler | None
    sampling: Sampling
    seed: int


@dataclass(frozen=True)
class Measured:
    """What a suite found.

    Attributes:
        values: figures by name, JSON values.
        items: one line per prompt or row, JSON values; kept in the run folder so that runs can be compared item by item.
    """

    values: dict[str, Any]
    items: list[dict[str, Any]]
