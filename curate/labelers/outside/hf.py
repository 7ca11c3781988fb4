"""Label texts by any sequence classifier of transformers: a local folder or a model on the Hub."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field, model_validator

from curate.core.config import config
from curate.core.contracts import Schema
from curate.core.errors import RecipeError, StorageError
from curate.core.policy import load_policy
from curate.core.progress import Progress
from curate.core.schema import canonical, digest
from curate.core.store import folder_hash
from curate.labelers.outside.classifier import load_classifier
from curate.labelers.scoring import (
    Only,
    Scores,
    columns_read,
    policy_categories,
    rounded,
    score_columns,
    score_rows,
    score_texts,
)
from curate.text.encoders import Precision, fetch

TOXIC, NON_TOXIC, IGNORED = "toxic", "non_toxic", "ignored"


@config
class Hf:
    """Scores of a sequence classifier, its labels mapped to the policy's words by the recipe.

    With softmax the labels exclude each other: toxic is the sum over all labels mapped to `toxic` or to a category. With sigmoid
    each label speaks for itself: toxic is the largest among those mapped to `toxic`, or, without these, of the categories'.
    A category is the largest of its labels, with softmax their sum. Abstains on a blank text. Reads safetensors only, runs no
    code of the model's repository, and says how many texts were longer than it reads.

    Args:
        model: a folder that `save_pretrained` made, or a Hub id.
        revision: commit, tag or branch of a Hub id; None takes the newest. The hash of the files is in the manifest either way.
        labels: every label of the model -> `toxic`, `non_toxic`, `ignored`, or a category of the policy.
        activation: `softmax` for a model of which one label holds, `sigmoid` for one of which any number may.
        threshold: where the score starts to mean toxic, in [0, 1].
        max_tokens: tokens read of a text, unless the model reads fewer.
        precision: `fp32`; `bf16` is faster on processors that multiply it, and slower on all others (7 times, measured).
        only: `undecided` scores only the rows that the stage of that name chose.
    """

    model: str
    revision: str | None = None
    labels: Annotated[dict[str, str], Field(min_length=1)]
    activation: Literal["softmax", "sigmoid"] = "softmax"
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    max_tokens: Annotated[int, Field(ge=8)] = 512
    precision: Precision = "fp32"
    only: Only | None = None
    VERSION: ClassVar[int] = 1

    @model_validator(mode="after")
    def _words(self) -> Hf:
        words = (TOXIC, NON_TOXIC, IGNORED, *load_policy().categories)
        for label, word in self.labels.items():
            if word not in words:
                raise ValueError(f"labels: {label}: no category {word!r}; known: {', '.join(words)}")
        if not set(self.labels.values()) - {NON_TOXIC, IGNORED}:
            raise ValueError("labels: none is mapped to toxic or to a category")
        return self

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns it wants."""
        return columns_read(self.only)

    @property
    def writes(self) -> Schema:
        """Columns it makes."""
        return score_columns("hf", self.categories)

    @property
    def categories(self) -> tuple[str, ...]:
        """Categories that its labels are mapped to."""
        return policy_categories(tuple(self.labels.values()))

    @property
    def models(self) -> tuple[str, ...]:
        """Hash of the model's files.

        Raises:
            RecipeError: the recipe's labels are not those in the model's configuration.
        """
        folder = self._folder
        if named := _named_labels(folder):
            self._check(named)
        return (folder_hash(folder),)

    @property
    def trained_on(self) -> tuple[str, ...]:
        """Unknown here, so named after the model itself."""
        return (f"whatever {self.model} was trained on",)

    def score(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Probability of toxicity of each text, shape (n,), NaN for a blank one."""
        return self.scores(texts)[:, 0]

    def scores(self, texts: Sequence[str]) -> Scores:
        """Toxic and the categories, shape (n, 1 + categories).

        Raises:
            RecipeError: the recipe's labels are not the model's.
            StorageError: the model's files cannot be read, or lack weights.
        """
        options = canonical([self.labels, self.activation, self.max_tokens, self.precision])
        key = digest("hf", str(self.VERSION), options, *self.models)
        return score_texts("hf", key, texts, len(self.writes), self._compute)

    def __call__(self, rows: pl.DataFrame) -> pl.DataFrame:
        """One line per row: `score_hf` and one column per category."""
        return score_rows(rows, self.writes, self.only, self.scores)

    def _compute(self, texts: list[str], progress: Progress) -> Scores:
        classifier = load_classifier(self._folder, self.precision, self.max_tokens)
        self._check(classifier.labels, multi_label=classifier.multi_label)
        logits = classifier.logits("hf", texts, progress).astype(np.float64)
        if self.activation == "sigmoid":
            probabilities = 1.0 / (1.0 + np.exp(-logits))
        else:
            probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
            probabilities /= probabilities.sum(axis=1, keepdims=True)
        words = [self.labels[label] for label in classifier.labels]
        columns = [
            self._toxic(probabilities, words),
            *(self._over(probabilities, words, (category,)) for category in self.categories),
        ]
        return rounded(np.stack(columns, axis=1))

    def _toxic(self, probabilities: NDArray[np.float64], words: list[str]) -> NDArray[np.float64]:
        if self.activation == "sigmoid" and TOXIC in words:
            return self._over(probabilities, words, (TOXIC,))
        return self._over(probabilities, words, (TOXIC, *self.categories))

    def _over(self, probabilities: NDArray[np.float64], words: list[str], targets: tuple[str, ...]) -> NDArray[np.float64]:
        columns = probabilities[:, [word in targets for word in words]]
        joined = columns.sum(axis=1).clip(0.0, 1.0) if self.activation == "softmax" else columns.max(axis=1)
        return np.asarray(joined, np.float64)

    def _check(self, labels: Sequence[str], *, multi_label: bool = False) -> None:
        where = f"hf: {self.model}"
        for label in labels:
            if label not in self.labels:
                raise RecipeError(
                    f"{where}: labels: {label!r} of the model is not mapped",
                    hint="map it to toxic, non_toxic, ignored or a category",
                )
        for label in self.labels:
            if label not in labels:
                raise RecipeError(f"{where}: labels: the model has no {label!r}", hint=f"it has {', '.join(labels)}: map these")
        if self.activation == "softmax" and (len(labels) == 1 or multi_label):
            raise RecipeError(f"{where}: activation: its labels do not exclude each other", hint="use sigmoid")

    @property
    def _folder(self) -> Path:
        return _folder(self.model, self.revision)


@cache
def _folder(model: str, revision: str | None) -> Path:
    folder = Path(model).expanduser()
    if not folder.is_dir():
        return fetch(model, revision, "hf: model")
    if revision is not None:
        raise RecipeError(f"hf: {model}: is a folder, which has no revision", hint="remove revision")
    return folder


@cache
def _named_labels(folder: Path) -> tuple[str, ...]:
    """Labels that the configuration names; none where it leaves them to transformers."""
    try:
        named = json.loads((folder / "config.json").read_text("utf-8")).get("id2label") or {}
    except (OSError, ValueError) as error:
        raise StorageError(
            f"{folder}: cannot read its config.json ({type(error).__name__})", hint="save the model with save_pretrained()"
        ) from None
    return tuple(str(named[place]) for place in sorted(named, key=int))
