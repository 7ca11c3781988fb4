"""How far each labeler's score is to be believed: numbers fitted beforehand, and the pooling of scores by them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.errors import StorageError
from curate.labelers.trained import WEIGHTS
from curate.schema import canonical, digest

BUILTIN = WEIGHTS / "reliability.json"
EDGE = 1e-4  # a score is never taken for more certain than this: one labeler cannot outvote all others by a rounding
DIGITS = 5

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Labeler:
    """What is known of one labeler.

    Attributes:
        slope: of its log-odds, once measured against the truth (Platt).
        intercept: likewise, in logits.
        weight: how much its calibrated log-odds count beside the others'; positive.
    """

    slope: float = 1.0
    intercept: float = 0.0
    weight: float = 1.0


@dataclass(frozen=True)
class Reliability:
    """Fitted numbers of some labelers.

    Attributes:
        labelers: by recipe word.
        basis: "labels" (measured against labelled rows) or "agreement" (from how the labelers agree, no truth known).
        rows: rows it was fitted on.
    """

    labelers: Mapping[str, Labeler]
    basis: str
    rows: int

    @property
    def hash(self) -> str:
        """Of all its numbers."""
        return digest(canonical({name: vars(one) for name, one in sorted(self.labelers.items())}))

    def knows(self, name: str) -> bool:
        """Whether a labeler was measured."""
        return name in self.labelers

    def pool(self, scores: Mapping[str, pl.Series], height: int) -> pl.Series:
        """Probability of toxicity of each row by the scores it has, null without any; rounded, so that it is the same anywhere.

        Where the weights of those who spoke add up to one or more, their calibrated log-odds are added up by weight, as they were
        fitted; where they do not, they are averaged by weight: a labeler that speaks alone is taken at its calibrated word.
        """
        total, weights = np.zeros(height), np.zeros(height)
        least = min((one.weight for one in self.labelers.values()), default=1.0)
        for name, column in scores.items():
            one = self.labelers.get(name, Labeler(weight=least))
            values = column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
            there = ~np.isnan(values)
            calibrated = one.slope * log_odds(values[there]) + one.intercept
            total[there] += one.weight * calibrated
            weights[there] += one.weight
        weights[weights == 0] = np.nan
        with np.errstate(over="ignore"):
            pooled = np.round(1.0 / (1.0 + np.exp(-total / np.minimum(weights, 1.0))), DIGITS)
        return pl.Series("pooled", pooled, dtype=pl.Float64).fill_nan(None).cast(pl.Float32)

    def to_json(self) -> str:
        """As a file holds it."""
        labelers = {name: vars(one) for name, one in sorted(self.labelers.items())}
        return json.dumps({"basis": self.basis, "rows": self.rows, "labelers": labelers}, indent=1) + "\n"


def log_odds(scores: Floats) -> Floats:
    """Log-odds of probabilities, which are kept EDGE away from 0 and 1."""
    inside = np.clip(scores, EDGE, 1 - EDGE)
    return np.asarray(np.log(inside) - np.log1p(-inside))


@cache
def load_reliability(path: Path | None = None) -> Reliability:
    """Read fitted numbers; those that ship without a path.

    Raises:
        StorageError: not a file that `curate label weigh` made.
    """
    path = path or BUILTIN
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        labelers = {name: Labeler(**{key: float(value) for key, value in one.items()}) for name, one in found["labelers"].items()}
        if any(one.weight <= 0 for one in labelers.values()):
            raise ValueError("a weight is not positive")
        return Reliability(labelers, str(found["basis"]), int(found["rows"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise StorageError(f"{path}: cannot read reliabilities; make them with `curate label weigh`") from None
