"""Label texts by a small network over the built-in encoder's vectors: the default labeler."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.contracts import Schema
from curate.errors import RecipeError
from curate.labelers.trained import Trained, load_trained
from curate.recipe import config

ENCODER = "builtin:minilm"


@config
class Head:
    """Probability of toxicity by one hidden layer over a sentence vector.

    As a stage it reads the vectors that `encode` made with the built-in encoder; as a TextLabeler it encodes by itself, the same
    way. Abstains on an empty text (a zero vector).

    Source: Platt (1999), Probabilistic Outputs for Support Vector Machines, for calibration.
    """

    VERSION: ClassVar[int] = 1
    vectors_of: ClassVar[str] = ENCODER

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns it wants."""
        return ("vector",)

    @property
    def writes(self) -> Schema:
        """Columns it makes."""
        return {"score_head": pl.Float32}

    @property
    def models(self) -> tuple[str, ...]:
        """Hashes of the weights and of the encoder they belong to."""
        return (self._trained.hash, str(self._trained.facts["encoder"]))

    @property
    def threshold(self) -> float:
        """Where the score starts to mean toxic: at most 5 % of plain English, and of plain Singlish, lies above."""
        return self._trained.threshold

    @property
    def trained_on(self) -> tuple[str, ...]:
        """Sets and parts that the weights saw."""
        return self._trained.trained_on

    def score(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Probability of toxicity of each text, shape (n,), NaN for an empty one."""
        from curate.encoders import encoder

        return self.score_vectors(encoder(ENCODER).encode(texts))

    def score_vectors(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probability of toxicity of texts by their vectors, shape (n, dim) to (n,), NaN for a zero vector.

        Raises:
            RecipeError: the vectors are not as wide as the built-in encoder's.
        """
        trained = self._trained
        dim = len(trained.tensors["direct.weight"])
        if vectors.shape[1] != dim:
            raise RecipeError(f"head: vectors have {vectors.shape[1]} numbers, {ENCODER} makes {dim}; encode with {ENCODER}")
        w = {name: tensor.astype(np.float64) for name, tensor in trained.tensors.items()}
        inputs = vectors.astype(np.float64)
        hidden = np.maximum(inputs @ w["hidden.weight"] + w["hidden.bias"], 0.0)
        logits = hidden @ w["out.weight"] + inputs @ w["direct.weight"] + float(trained.facts["bias"])
        logits[~vectors.any(axis=1)] = np.nan
        return trained.probability(logits)

    def __call__(self, rows: pl.DataFrame) -> pl.DataFrame:
        """One line per row: `score_head`, null where it abstains."""
        vectors = rows["vector"].to_numpy() if rows.height else np.zeros((0, 1), np.float32)
        scores = self.score_vectors(vectors) if rows.height else np.zeros(0, np.float32)
        return pl.DataFrame({"score_head": scores}, schema=self.writes).fill_nan(None)

    @property
    def _trained(self) -> Trained:
        return load_trained("head", self.VERSION)
