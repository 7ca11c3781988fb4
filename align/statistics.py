"""Shares and their intervals, ranks and agreement: formulas small enough to read, checked against scipy in the tests."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Share:
    """A count out of n with its interval.

    Attributes:
        hits: how many.
        n: out of how many; 0 gives no value and the interval [0, 1].
        low: lower end of the interval, in [0, 1].
        high: upper end.
    """

    hits: int
    n: int
    low: float
    high: float

    @property
    def value(self) -> float | None:
        """The share itself, or None for n = 0."""
        return self.hits / self.n if self.n else None


def wilson(hits: int, n: int, confidence: float = 0.95) -> Share:
    """Wilson score interval of a share.

    Args:
        hits: in [0, n].
        n: trials.
        confidence: in (0, 1).

    Source: Wilson (1927), Probable inference, the law of succession, and statistical inference.

    >>> share = wilson(5, 50)
    >>> round(share.low, 3), round(share.high, 3)
    (0.043, 0.214)
    """
    if not 0 <= hits <= n:
        raise ValueError(f"{hits} of {n} is no share")
    if n == 0:
        return Share(0, 0, 0.0, 1.0)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    p = hits / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low = 0.0 if hits == 0 else max(0.0, centre - half)
    high = 1.0 if hits == n else min(1.0, centre + half)
    return Share(hits, n, low, high)


def overlap(a: Share, b: Share) -> bool:
    """Whether two intervals have a point in common."""
    return a.low <= b.high and b.low <= a.high


def auc(scores: ArrayLike, positive: ArrayLike) -> float | None:
    """Area under the ROC curve: the chance that a positive outscores a negative, ties counting half.

    Args:
        scores: shape (n,), finite.
        positive: shape (n,), boolean.

    Returns:
        In [0, 1], or None where one class is missing.

    Source: Mann and Whitney (1947).
    """
    s, y = np.asarray(scores, dtype=np.float64), np.asarray(positive, dtype=bool)
    ups, downs = int(y.sum()), int((~y).sum())
    if not ups or not downs:
        return None
    return float((_midranks(s)[y].sum() - ups * (ups + 1) / 2) / (ups * downs))


def _midranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 1, ties sharing their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[inverse], dtype=np.float64)
