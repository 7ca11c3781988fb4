"""Fold models of the same training script, for the bench: the built-ins as they would be had they never seen some sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from fit_labelers import Encode
from numpy.typing import NDArray
from train_builtin import train_head, train_ngram

from curate.labelers.head import general_logits
from curate.labelers.ngram import Table
from curate.labelers.reliability import Reliability
from curate.labelers.trained import Trained
from curate.labeling.weigh import weigh

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Builtins:
    """`head`, `ngram` and what the consensus believes of them, trained without some sets."""

    head: Trained
    ngram: Trained
    reliability: Reliability
    encode: Encode

    def logits(self, texts: Sequence[str], prompts: Sequence[str] | None = None) -> Floats:
        """Logits of the general head."""
        asked = None if prompts is None else self.encode(prompts)
        return general_logits(self.head, self.encode(texts), texts, asked)

    def scores(self, texts: Sequence[str], prompts: Sequence[str] | None = None) -> dict[str, Floats]:
        """Probability of toxicity by `head`, `ngram` and `consensus`."""
        table = Table(self.ngram.tensors["weight"], self.ngram.facts["scale"], self.ngram.facts["bias"])
        found = {
            "head": self.head.probability(self.logits(texts, prompts)),
            "ngram": self.ngram.probability(table.logits(texts)),
        }
        series = {name: pl.Series(one).fill_nan(None) for name, one in found.items()}
        found["consensus"] = self.reliability.pool(series, len(texts)).fill_null(0.5).to_numpy()
        return {name: np.nan_to_num(one.astype(np.float64), nan=0.5) for name, one in found.items()}


def train(rows: pl.DataFrame, encode: Encode, without: Sequence[str] = ()) -> Builtins:
    """Both labelers, trained without some sets, and their reliabilities on the calibration part."""
    some = rows.filter(~pl.col("set").is_in(without))
    head, ngram = train_head(some, encode), train_ngram(some)
    return Builtins(head, ngram, reliability(some, head, ngram, encode), encode)


def reliability(rows: pl.DataFrame, head: Trained, ngram: Trained, encode: Encode) -> Reliability:
    """How far each is to be believed, by the calibration part."""
    held = rows.filter(pl.col("part") == "calibration")
    made = Builtins(head, ngram, Reliability({}, "labels", 0), encode).scores(held["text"].to_list())
    return weigh({name: made[name] for name in ("head", "ngram")}, held["toxic"].cast(pl.Float64).to_numpy())
