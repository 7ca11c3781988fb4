"""Label texts by hashed words, word pairs and character n-grams: needs no model, no encoder, and little time.

The built-in judge. It saw no text that `head` saw.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.contracts import Schema
from curate.labelers.features import VERSION as FEATURES_VERSION
from curate.labelers.features import char_features, pair_features, word_features, words
from curate.labelers.trained import Trained, load_trained
from curate.recipe import config


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
        return (self._trained.hash,)

    @property
    def threshold(self) -> float:
        """Where the score starts to mean toxic: at most 1 % of plain English, and of plain Singlish, lies above."""
        return self._trained.threshold

    @property
    def trained_on(self) -> tuple[str, ...]:
        """Sets and parts that the weights saw."""
        return self._trained.trained_on

    def score(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Probability of toxicity of each text, shape (n,), NaN without a word."""
        return self._trained.probability(np.fromiter((_logit(text) for text in texts), np.float64, len(texts)))

    def __call__(self, rows: pl.DataFrame) -> pl.DataFrame:
        """One line per row: `score_ngram`, null where it abstains."""
        scores = self.score(rows["completion"].to_list())
        return pl.DataFrame({"score_ngram": scores}, schema=self.writes).fill_nan(None)

    @property
    def _trained(self) -> Trained:
        return load_trained("ngram", self.VERSION)


def _logit(text: str) -> float:
    """Sum of the weights of words and pairs over the root of their number, and the same for character n-grams."""
    weights, scale, bias = _table()
    found = words(text)
    if not found:
        return float("nan")
    word_sum = pairs = char_sum = word_count = char_count = 0
    for word in found:
        one = _word(word)
        word_sum, word_count = word_sum + one[0], word_count + one[1]
        char_sum, char_count = char_sum + one[2], char_count + one[3]
    for at in pair_features(found):
        word_sum, pairs = word_sum + weights[at], pairs + 1
    return float(scale * (word_sum / (word_count + pairs) ** 0.5 + char_sum / max(char_count, 1) ** 0.5) + bias)


@lru_cache(maxsize=2**17)
def _word(word: str) -> tuple[int, int, int, int]:
    """What one word adds: sum and number of word features, sum and number of character features."""
    weights = _table()[0]
    own, chars = word_features(word), char_features(word)
    return sum(weights[at] for at in own), len(own), sum(weights[at] for at in chars), len(chars)


@cache
def _table() -> tuple[array[int], float, float]:
    trained = load_trained("ngram", FEATURES_VERSION)
    weights = trained.tensors["weight"].astype(np.int8)
    return array("b", weights.tobytes()), float(trained.facts["scale"]), float(trained.facts["bias"])
