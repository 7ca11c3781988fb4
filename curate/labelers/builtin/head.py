"""Label texts by a small network over the built-in encoder's vectors and by hashed n-grams: the default labeler."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.core.config import config
from curate.core.contracts import Schema
from curate.core.errors import RecipeError
from curate.core.progress import Progress
from curate.labelers.builtin.adapted import Adapted, load_adapted, tuned_general
from curate.labelers.builtin.ngram import GramTable
from curate.labelers.builtin.shipped import ShippedWeights, load_shipped
from curate.labelers.builtin.tuned import Tuned
from curate.labelers.platt import Floats

ENCODER = "builtin:minilm"


@config
class Head:
    """Probability of toxicity by one hidden layer over a sentence vector, and by n-grams.

    As a stage it reads the vectors that `encode` made with the built-in encoder; as a TextLabeler it encodes by itself, the same
    way. Directions along which a discourse particle moves a vector are projected out first, and particles
    are no n-grams: they hardly move the score. Abstains on an empty text (a zero vector).

    Args:
        weights: file that `curate label fit` made: the general head, adapted to a variety. The general one itself by default.

    Source: Platt (1999), Probabilistic Outputs for Support Vector Machines, for calibration; Wolpert (1992), Stacked
    Generalization.
    """

    weights: Path | None = None
    VERSION: ClassVar[int] = 3
    vectors_of: ClassVar[str] = ENCODER

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns it wants."""
        return ("completion", "vector")

    @property
    def writes(self) -> Schema:
        """Columns it makes."""
        return {"score_head": pl.Float32}

    @property
    def models(self) -> tuple[str, ...]:
        """Hashes of the weights and of the encoder they belong to."""
        adapted = self._adapted
        own = () if adapted is None else (adapted.hash,)
        tuned = (Tuned().models[0],) if adapted is not None and adapted.on_tuned else ()
        return (self._weights.hash, str(self._weights.facts["encoder"]), *tuned, *own)

    @property
    def threshold(self) -> float:
        """Where the score starts to mean toxic: at most 3 % of plain English, and of plain Singlish, lies above."""
        return self._weights.threshold if self._adapted is None else self._adapted.threshold

    @property
    def trained_on(self) -> tuple[str, ...]:
        """Sets and parts that the weights saw."""
        return self._weights.trained_on + (() if self._adapted is None else (f"adapted:{self._adapted.hash[:12]}",))

    def score(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Probability of toxicity of each text, shape (n,), NaN for an empty one."""
        from curate.text.encoders import encoder

        with Progress("head", len(set(texts)), "texts") as progress:
            vectors = encoder(ENCODER).encode(texts, progress)
        return self.score_vectors(vectors, texts)

    def score_vectors(self, vectors: NDArray[np.float32], texts: Sequence[str]) -> NDArray[np.float32]:
        """Probability of toxicity of texts by their vectors.

        Args:
            vectors: of the texts, shape (n, dim).
            texts: n texts.

        Returns:
            Shape (n,), NaN for a zero vector.

        Raises:
            RecipeError: the vectors are not as wide as the built-in encoder's.
        """
        check_width("head", vectors, len(self._weights.tensors["direct.weight"]))
        if self._adapted is not None and self._adapted.on_tuned:
            return self._adapted.probability(features(self._weights, vectors), texts, tuned_general(texts))
        logits = general_logits(self._weights, vectors, texts)
        if self._adapted is None:
            return self._weights.probability(logits)
        return self._adapted.probability(features(self._weights, vectors), texts, logits)

    def __call__(self, rows: pl.DataFrame) -> pl.DataFrame:
        """One line per row: `score_head`, null where it abstains."""
        if not rows.height:
            return pl.DataFrame(schema=self.writes)
        scores = self.score_vectors(rows["vector"].to_numpy(), rows["completion"].fill_null("").to_list())
        return pl.DataFrame({"score_head": scores}, schema=self.writes).fill_nan(None)

    @property
    def _weights(self) -> ShippedWeights:
        return load_shipped("head", self.VERSION)

    @property
    def _adapted(self) -> Adapted | None:
        return None if self.weights is None else load_adapted(self.weights, self._weights.hash)


def check_width(labeler: str, vectors: NDArray[np.float32], dim: int) -> None:
    """Refuse vectors of another encoder than the built-in one.

    Raises:
        RecipeError: they do not have `dim` numbers.
    """
    if vectors.shape[1] != dim:
        raise RecipeError(
            f"{labeler}: vectors have {vectors.shape[1]} numbers, {ENCODER} makes {dim}", hint=f"encode with {ENCODER}"
        )


def general_logits(weights: ShippedWeights, vectors: NDArray[np.float32], texts: Sequence[str]) -> Floats:
    """Logits of the general head before calibration, shape (n,), NaN for a zero vector: network and n-grams, stacked."""
    stack = weights.facts["stack"]
    grams = GramTable(weights.tensors["ngram.weight"], weights.facts["ngram_scale"], weights.facts["ngram_bias"])
    logits = stack["net"] * net_logits(weights.tensors, weights.facts["bias"], vectors)
    logits += stack["ngram"] * np.nan_to_num(grams.logits(texts))
    logits[~vectors.any(axis=1)] = np.nan
    return np.asarray(logits)


def net_logits(tensors: Mapping[str, NDArray[Any]], bias: float, vectors: NDArray[np.float32]) -> Floats:
    """Logits of the network over vectors, shape (n, dim) to (n,)."""
    inputs, hidden = _hidden(tensors, vectors)
    out, direct = (tensors[name].astype(np.float64) for name in ("out.weight", "direct.weight"))
    return np.asarray(hidden @ out + inputs @ direct + bias)


def features(weights: ShippedWeights, vectors: NDArray[np.float32]) -> Floats:
    """What an adapted head sees of texts: their vectors, and the network's hidden units at length 1; shape (n, dim + hidden)."""
    _, hidden = _hidden(weights.tensors, vectors)
    return np.hstack([vectors.astype(np.float64), hidden / np.maximum(np.linalg.norm(hidden, axis=1, keepdims=True), 1e-9)])


def _hidden(tensors: Mapping[str, NDArray[Any]], vectors: NDArray[np.float32]) -> tuple[Floats, Floats]:
    """Vectors without the directions of dress, and the hidden units."""
    erase, weight, bias = (tensors[name].astype(np.float64) for name in ("erase", "hidden.weight", "hidden.bias"))
    inputs = vectors.astype(np.float64)
    inputs = inputs - (inputs @ erase) @ erase.T
    return inputs, np.maximum(inputs @ weight + bias, 0.0)
