"""What a suite is called with, and what it gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from align.data.dataset import Dataset
from align.models.generate import Sampling
from curate.core.contracts import TextLabeler

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Subject:
    """A checkpoint under evaluation.

    Attributes:
        model: read only.
        tokenizer: its own.
        dataset: what the run is about.
        judges: role -> labeler. "judge" decides which completions are toxic; "truth", where there is one, knows; any others
            are named by themselves. All score every completion, so that their agreement can be reported.
        sampling: how completions are drawn.
        seed: of the draws; the same for every checkpoint of a run.
        split: which part of the data is asked about: "test", or "validation" while settings are still being chosen.
        base: what training started from, for the KL divergence from it; the model itself where that is what is measured, None
            where nobody asks.
        folder: where finished items are kept while a suite is still at work, so that it can be resumed; None keeps none.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    dataset: Dataset
    judges: Mapping[str, TextLabeler]
    sampling: Sampling
    seed: int
    split: Literal["test", "validation"] = "test"
    base: PreTrainedModel | None = None
    folder: Path | None = None


@dataclass(frozen=True)
class Measured:
    """What a suite found.

    Attributes:
        values: figures by name, JSON values.
        items: one line per completion or row, JSON values; kept in the run folder so that runs can be compared item by item.
    """

    values: dict[str, Any]
    items: list[dict[str, Any]]
