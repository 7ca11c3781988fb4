"""Label texts by Detoxify: English, English with less bias against identities, or seven languages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field, model_validator

from curate.core.config import config
from curate.core.contracts import Schema
from curate.core.progress import Progress
from curate.core.schema import canonical, digest
from curate.labelers.outside.detoxify_checkpoint import check_file, load_checkpoint, published
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

Variant = Literal["original", "unbiased", "multilingual"]

_COMMON = {"hateful": ("identity_attack",), "insults": ("insult",), "physical_violence": ("threat",)}
CATEGORIES: Mapping[Variant, Mapping[str, tuple[str, ...]]] = {
    "original": _COMMON,  # its `obscene` is mostly swearing, which the policy does not count: no category
    "unbiased": _COMMON | {"sexual": ("sexual_explicit",)},
    "multilingual": _COMMON | {"sexual": ("sexual_explicit",)},
}
TRAINED_ON: Mapping[Variant, tuple[str, ...]] = {
    "original": ("Jigsaw Toxic Comments (2018)",),
    "unbiased": ("Civil Comments (2019)",),
    "multilingual": ("Jigsaw Toxic Comments (2018), translated", "Civil Comments (2019), translated"),
}


@config
class Detoxify:
    """Probability of toxicity, and of some categories, by a fine-tuned BERT, RoBERTa or XLM-R.

    The checkpoint's bytes are compared with a hash before anything of it is read, and only tensors and plain values are ever
    read of it. At load every weight in memory must be one of the file, and an insult must score above a thank-you: a checkpoint
    whose names do not fit the model would else give random scores without a word. Abstains on a blank text; says how many texts
    were longer than the model reads.

    Args:
        variant: which model; also which labels a checkpoint has (original 6, the others 7).
        checkpoint: a local file; without it the published one is fetched once (from GitHub) and kept in torch's hub folder.
        sha256: of the checkpoint. A local one needs it. A published one is otherwise held to the eight digits in its name.
        base: local folder with the configuration and tokenizer of the model that was fine-tuned (bert-base-uncased, roberta-base,
            xlm-roberta-base); without it they come from the Hub or its cache.
        threshold: where the score starts to mean toxic, in [0, 1].
        only: `undecided` scores only the rows that the stage of that name chose.

    Source: Hanu & Unitary team (2020), Detoxify.
    """

    variant: Variant = "original"
    checkpoint: Path | None = None
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    base: Path | None = None
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    only: Only | None = None
    VERSION: ClassVar[int] = 1

    @model_validator(mode="after")
    def _pinned(self) -> Detoxify:
        if self.checkpoint is not None and self.sha256 is None:
            raise ValueError("sha256 is missing; a checkpoint is a pickle, name the hash of the file that you trust")
        return self

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns it wants."""
        return columns_read(self.only)

    @property
    def writes(self) -> Schema:
        """Columns it makes."""
        return score_columns("detoxify", self.categories)

    @property
    def categories(self) -> tuple[str, ...]:
        """Categories that the variant's labels speak of."""
        return policy_categories(tuple(CATEGORIES[self.variant]))

    @property
    def models(self) -> tuple[str, ...]:
        """Hash of the checkpoint."""
        return (check_file(*self._file),)

    @property
    def trained_on(self) -> tuple[str, ...]:
        """Sets that the published weights saw; those of a local checkpoint are its owner's to know."""
        return TRAINED_ON[self.variant]

    def score(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Probability of toxicity of each text, shape (n,), NaN for a blank one."""
        return self.scores(texts)[:, 0]

    def scores(self, texts: Sequence[str]) -> Scores:
        """Toxic and the categories, shape (n, 1 + categories).

        Raises:
            RecipeError: no such checkpoint or base model.
            StorageError: not the file that the hash names, or weights that do not fit the model.
        """
        key = digest("detoxify", str(self.VERSION), canonical(self.categories), *self.models)
        return score_texts("detoxify", key, texts, len(self.writes), self._compute)

    def __call__(self, rows: pl.DataFrame) -> pl.DataFrame:
        """One line per row: `score_detoxify` and one column per category."""
        return score_rows(rows, self.writes, self.only, self.scores)

    def _compute(self, texts: list[str], progress: Progress) -> Scores:
        model = load_checkpoint(*self._file, self.base)
        probabilities = model.probabilities(texts, progress)
        named = CATEGORIES[self.variant]
        categories = by_category(probabilities, model.labels, {category: named[category] for category in self.categories})
        return rounded(np.column_stack([probabilities[:, model.labels.index("toxicity")], categories]))

    @property
    def _file(self) -> tuple[Path, str]:
        """The checkpoint and the hash, or its beginning, that it must have."""
        if self.checkpoint is not None and self.sha256 is not None:
            return self.checkpoint.expanduser(), self.sha256
        path, beginning = published(self.variant)
        return path, self.sha256 or beginning
