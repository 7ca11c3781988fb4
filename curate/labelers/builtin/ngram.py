"""Label texts by hashed words, word pairs and character n-grams: needs no model, no encoder, and little time.

The built-in judge. It saw no text that `head` saw.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.core.config import config
from curate.core.contracts import Schema
from curate.labelers.builtin.features import VERSION as FEATURES_VERSION
from curate.labelers.builtin.features import char_features, pair_features, word_features, words
from curate.labelers.builtin.shipped import ShippedWeights, load_shipped


@config
class Ngram:
    """Probability of toxicity by a logistic model over hashed n-grams (int8 weights; sums are exact).

    Abstains on a text without a word.

    Source: Wang and Manning (2012), Baselines and Bigrams (log-count ratios as feature weights); Platt (1999) for calibration.
    """

    VERSION: ClassVar[int] = FEATURES_VERSION

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns it wants."""
        return ("completion",)

    @property
    def writes(self) -> Schema:
        """Columns it makes."""
        return {"score_ngram": pl.Float32}

    @property
    def models(self) -> tuple[str, ...]:
        """Hash of the weights."""
        return (self._weights.hash,)

    @property
    def threshold(self) -> float:
        """Where the score starts to mean toxic: at most 1 % of plain English, and of plain Singlish, lies above."""
        return self._weights.threshold

    @property
    def trained_on(self) -> tuple[str, ...]:
        """Sets and parts that the weights saw."""
        return self._weights.trained_on

    def score(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Probability of toxicity of each text, shape (n,), NaN without a word."""
        return self._weights.probability(_table().logits(texts))

    def __call__(self, rows: pl.DataFrame) -> pl.DataFrame:
        """One line per row: `score_ngram`, null where it abstains."""
        scores = self.score(rows["completion"].to_list())
        return pl.DataFrame({"score_ngram": scores}, schema=self.writes).fill_nan(None)

    @property
    def _weights(self) -> ShippedWeights:
        return load_shipped("ngram", self.VERSION)


@dataclass(frozen=True, eq=False)
class GramTable:
    """int8 weights by hash bucket, their scale and a bias.

    Attributes:
        weights: shape (BUCKETS,), int8.
        scale: what one unit of a weight is worth, in logits.
        bias: logit of no evidence.
    """

    weights: NDArray[Any]
    scale: float
    bias: float

    def logits(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Logit of each text, shape (n,), NaN without a word.

        The weights of words and pairs over the root of their number, and the same for character n-grams.
        """
        table = array("b", self.weights.astype(np.int8).tobytes())
        return np.fromiter((self._logit(table, text) for text in texts), np.float64, len(texts))

    def _logit(self, table: array[int], text: str) -> float:
        text_words = words(text)
        if not text_words:
            return float("nan")
        word_sum = char_sum = word_count = char_count = 0
        for word in text_words:
            own, chars = _features(word)
            for at in own:
                word_sum += table[at]
            for at in chars:
                char_sum += table[at]
            word_count, char_count = word_count + len(own), char_count + len(chars)
        for at in pair_features(text_words):
            word_sum, word_count = word_sum + table[at], word_count + 1
        return float(self.scale * (word_sum / word_count**0.5 + char_sum / max(char_count, 1) ** 0.5) + self.bias)


@lru_cache(maxsize=2**17)
def _features(word: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Buckets of one word, and of its character n-grams."""
    return tuple(word_features(word)), tuple(char_features(word))


@cache
def _table() -> GramTable:
    weights = load_shipped("ngram", FEATURES_VERSION)
    return GramTable(weights.tensors["weight"], float(weights.facts["scale"]), float(weights.facts["bias"]))
