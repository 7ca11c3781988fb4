"""Label completions by how answers like them to prompts like theirs were judged: harm that only the prompt shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.core.config import config
from curate.core.contracts import Schema
from curate.labelers.builtin.head import ENCODER, check_width
from curate.labelers.builtin.shipped import ShippedWeights, load_shipped
from curate.labelers.platt import Floats
from curate.text.encoders import encoder

GRID = 400  # steps of a vector's numbers, which stay within .32; 384 products of at most 127 ** 2 are far below 2 ** 24
WIDTH = 1.0  # of the neighbourhood in which an answer counts; .7 and 1.5 changed ROC-AUC by .001 and .01
BLOCK = 1024  # rows compared at once


@config
class Reply:
    """Probability that a completion is harmful as an answer: it offends who asked, or takes up a bias that the prompt offers.

    A support-vector machine over the vectors that `encode` made of completion and prompt, with the built-in encoder; free beside
    them. It learned from DiaSafety's judged replies; where prompt and completion are like none of those it says what is usual
    there, about .3. Alone it is a weak witness; beside labelers that read the completion it adds what they cannot see. Abstains
    where there is no prompt or no completion.

    Source: Cortes & Vapnik (1995), Support-Vector Networks; Sun et al. (2022), On the Safety of Conversational Models; Platt
    (1999) for calibration.
    """

    VERSION: ClassVar[int] = 1
    vectors_of: ClassVar[str] = ENCODER

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns it wants."""
        return ("vector", "prompt_vector")

    @property
    def writes(self) -> Schema:
        """Columns it makes."""
        return {"score_reply": pl.Float32}

    @property
    def models(self) -> tuple[str, ...]:
        """Hashes of the weights and of the encoder they belong to."""
        return (self._weights.hash, str(self._weights.facts["encoder"]))

    @property
    def trained_on(self) -> tuple[str, ...]:
        """Sets and parts that the weights saw."""
        return self._weights.trained_on

    @property
    def threshold(self) -> float:
        """As likely harmful as not."""
        return 0.5

    def score_replies(self, texts: Sequence[str], prompts: Sequence[str | None]) -> NDArray[np.float32]:
        """Probability of toxicity of each text given what it answers, shape (n,), NaN where either is missing."""
        encode = encoder(ENCODER).encode
        vectors, prompt_vectors = encode(list(texts)), encode([prompt or "" for prompt in prompts])
        return self._weights.probability(reply_logits(self._weights, vectors, prompt_vectors))

    def __call__(self, rows: pl.DataFrame) -> pl.DataFrame:
        """One line per row: `score_reply`, null where it abstains.

        Raises:
            RecipeError: the vectors are not as wide as the built-in encoder's.
        """
        if not rows.height:
            return pl.DataFrame(schema=self.writes)
        vectors, prompts = rows["vector"].to_numpy(), rows["prompt_vector"].to_numpy()
        check_width("reply", vectors, self._weights.tensors["text"].shape[1])
        scores = self._weights.probability(reply_logits(self._weights, vectors, prompts))
        return pl.DataFrame({"score_reply": scores}, schema=self.writes).fill_nan(None)

    @property
    def _weights(self) -> ShippedWeights:
        return load_shipped("reply", self.VERSION)


def reply_logits(weights: ShippedWeights, vectors: NDArray[np.float32], prompts: NDArray[np.float32]) -> Floats:
    """Logits of completions beside their prompts, shapes (n, dim) to (n,), before calibration; NaN where either is zero."""
    logits = np.full(len(vectors), np.nan)
    complete = np.flatnonzero(vectors.any(axis=1) & prompts.any(axis=1))
    for start in range(0, len(complete), BLOCK):
        some = complete[start : start + BLOCK]
        logits[some] = _likeness(weights.tensors, vectors[some], prompts[some]) @ weights.tensors["weight"].astype(np.float64)
    return logits


def _likeness(tensors: Mapping[str, NDArray[Any]], vectors: NDArray[np.float32], prompts: NDArray[np.float32]) -> Floats:
    """exp(-WIDTH * squared distance) of both vectors together from those of each answer that counts, shape (n, answers)."""
    near = whole(vectors) @ tensors["text"].astype(np.float32).T + whole(prompts) @ tensors["prompt"].astype(np.float32).T
    return np.asarray(np.exp(2 * WIDTH * (near.astype(np.float64) / GRID**2 - 2)))


def whole(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors in whole steps of 1 / GRID: sums of their products are exact in float32, in any order and any batch."""
    return np.asarray(np.clip(np.round(vectors.astype(np.float64) * GRID), -127, 127), np.float32)
