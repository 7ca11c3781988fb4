"""What a suite is called with, and what it gives back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from align.data.dataset import Dataset
from align.data.figures import JsonObject, SuiteFigures, Tally
from align.evaluation.answers import Answer
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
        figures: what tables show.
        items: one per completion or text, JSON values; kept in the run folder so that runs can be compared item by item.
    """

    figures: SuiteFigures
    items: Sequence[JsonObject]

    @classmethod
    def of(
        cls,
        tally: Tally,
        answers: Sequence[Answer],
        *,
        parts: Mapping[str, Tally] | None = None,
        extras: Mapping[str, object] | None = None,
    ) -> Measured:
        """What a suite found that asks prompts: `ask`'s tally and answers, with what it adds; see `SuiteFigures`."""
        return cls(SuiteFigures(tally, parts or {}, extras=extras or {}), [answer.to_json() for answer in answers])

    @property
    def values(self) -> dict[str, object]:
        """The figures as JSON values."""
        return self.figures.to_json()
