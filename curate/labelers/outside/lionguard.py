"""Label texts by LionGuard, GovTech Singapore's moderation classifiers: heads over a published sentence encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.core.config import config
from curate.core.contracts import Schema
from curate.core.progress import Progress
from curate.core.schema import digest
from curate.labelers.outside.lionguard_heads import Heads, Operating, load_heads
from curate.labelers.scoring import (
    Only,
    Scores,
    by_category,
    columns_read,
    policy_categories,
    rounded,
    score_columns,
    score_rows,
    score_texts,
)
from curate.text.encoders import encoder

Variant = Literal["v1", "2-lite"]

HEADS: Mapping[Variant, str] = {"v1": "govtech/lionguard-v1", "2-lite": "govtech/lionguard-2-lite"}
ENCODERS: Mapping[Variant, str] = {"v1": "BAAI/bge-large-en-v1.5", "2-lite": "google/embeddinggemma-300m"}
PREFIX: Mapping[Variant, str] = {"v1": "", "2-lite": "task: classification | query: "}

CATEGORIES: Mapping[Variant, Mapping[str, tuple[str, ...]]] = {
    "v1": {
        "hateful": ("hateful",),
        "insults": ("harassment", "toxic"),
        "sexual": ("sexual",),
        "physical_violence": ("violent",),
        "self_harm": ("self_harm",),
        "other_misconduct": ("public_harm",),
    },
    "2-lite": {
        "hateful": ("hateful",),
        "insults": ("insults",),
        "sexual": ("sexual",),
        "physical_violence": ("physical_violence",),
        "self_harm": ("self_harm",),
        "other_misconduct": ("all_other_misconduct",),
    },
}


@config
class Lionguard:
    """Probability of toxicity (their `binary`) and of every category of the policy.

    `v1`: bge-large vectors (CLS token, length 1), eight ridge classifiers in ONNX (needs the extra `lionguard`). A ridge
    classifier regresses on -1 and +1, so (1 + margin) / 2, clipped, stands for its probability where it was not calibrated.
    `2-lite`: embeddinggemma vectors and one small network with ordinal outputs, read from safetensors; the repository's own code
    is not run. Abstains on a blank text.

    Args:
        variant: `v1` or `2-lite`.
        heads: folder or Hub id of the classifiers; the published ones by default.
        encoder: folder or Hub id of the encoder they were trained on, as sentence-transformers reads it; the published one by
            default.
        operating: which of the three thresholds counts: `high_recall`, `balanced` or `high_precision`.
        only: `undecided` scores only the rows that the stage of that name chose.

    Source: Foo & Khoo (2024), LionGuard; Tan et al. (2025), LionGuard 2.
    """

    variant: Variant = "v1"
    heads: str | None = None
    encoder: str | None = None
    operating: Operating = "balanced"
    only: Only | None = None
    VERSION: ClassVar[int] = 1

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns it wants."""
        return columns_read(self.only)

    @property
    def writes(self) -> Schema:
        """Columns it makes."""
        return score_columns("lionguard", self.categories)

    @property
    def categories(self) -> tuple[str, ...]:
        """Categories that its heads speak of: all of the policy's."""
        return policy_categories(tuple(CATEGORIES[self.variant]))

    @property
    def models(self) -> tuple[str, ...]:
        """Hashes of the heads and of the encoder they belong to."""
        return (self._heads.hash, encoder(self._encoder).hash)

    @property
    def threshold(self) -> float:
        """Where the score starts to mean toxic at the chosen operating point."""
        return self._heads.thresholds[self.operating]

    @property
    def trained_on(self) -> tuple[str, ...]:
        """What the published heads saw."""
        return ("Singaporean forum comments, labelled by language models (LionGuard)",)

    def score(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Probability of toxicity of each text, shape (n,), NaN for a blank one."""
        return self.scores(texts)[:, 0]

    def scores(self, texts: Sequence[str]) -> Scores:
        """Toxic and the categories, shape (n, 1 + categories).

        Raises:
            RecipeError: no such heads or encoder, an encoder of another width or pooling, or onnxruntime is missing.
            StorageError: files that cannot be read.
        """
        key = digest("lionguard", str(self.VERSION), self.variant, *self.models)
        return score_texts("lionguard", key, texts, len(self.writes), self._compute)

    def __call__(self, rows: pl.DataFrame) -> pl.DataFrame:
        """One line per row: `score_lionguard` and one column per category."""
        return score_rows(rows, self.writes, self.only, self.scores)

    def _compute(self, texts: list[str], progress: Progress) -> Scores:
        speaking = [text if not text.strip() else PREFIX[self.variant] + text for text in texts]
        vectors = encoder(self._encoder).encode(speaking, progress)
        heads = self._heads
        probabilities = heads.probabilities(vectors)
        named = CATEGORIES[self.variant]
        categories = by_category(probabilities, heads.labels, {category: named[category] for category in self.categories})
        scores = rounded(np.column_stack([probabilities[:, heads.labels.index("binary")], categories]))
        scores[~vectors.any(axis=1)] = np.nan
        return scores

    @property
    def _heads(self) -> Heads:
        return load_heads(self.variant, self.heads or HEADS[self.variant], Path(self._encoder))

    @property
    def _encoder(self) -> str:
        return self.encoder or ENCODERS[self.variant]
