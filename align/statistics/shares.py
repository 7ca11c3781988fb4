"""Shares and their intervals, and ranks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
ALIKE = 0.2  # intra-class correlation that is assumed until clusters with hits say otherwise
FEW = 2  # clusters with hits (or, where hits are the rule, with a miss) at which what was seen weighs as much as that


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


def clustered(hits: ArrayLike, sizes: ArrayLike, confidence: float = 0.95) -> Share:
    """A share whose trials come in clusters, with the interval of `clustered_ends`.

    Args:
        hits: per cluster, shape (clusters,).
        sizes: trials per cluster, shape (clusters,).
        confidence: in (0, 1).

    Returns:
        The share; its interval is [0, 1] with fewer than two clusters.
    """
    low, high = clustered_ends(hits, sizes, confidence)
    return Share(round(float(np.sum(hits))), round(float(np.sum(sizes))), float(low), float(high))


def clustered_ends(hits: ArrayLike, sizes: ArrayLike, confidence: float = 0.95) -> tuple[Floats, Floats]:
    """Ends of the interval of a share whose trials come in clusters: Wilson's, with as many trials as the clusters are worth.

    Trials of one cluster resemble each other, so n of them say less than n independent ones. The variance between clusters
    gives the design effect (at least 1), n over it takes n's place, and, where it is above 1, Student's quantile for the
    number of clusters takes the normal one's. Unlike a percentile bootstrap it holds its level where hits are few.

    A handful of clusters with a hit cannot tell how alike trials are: then the design effect is drawn towards that of an
    intra-class correlation of `ALIKE`. `make bench-statistics` prints the coverage, which without this falls to 85 %.

    Args:
        hits: per cluster, shape (..., clusters).
        sizes: trials per cluster, the same shape; clusters without a trial count for nothing.
        confidence: in (0, 1).

    Returns:
        Lower and upper ends, shape (...), in [0, 1]; 0 and 1 with fewer than two clusters.

    Source: Korn and Graubard (1998), Confidence intervals for proportions with small expected number of positive counts
    estimated from survey data; Wilson's interval in place of Clopper and Pearson's, the pull towards `ALIKE` added here.
    """
    from scipy.stats import t

    y, m = np.asarray(hits, dtype=np.float64), np.asarray(sizes, dtype=np.float64)
    n, total, k = m.sum(-1), y.sum(-1), (m > 0).sum(-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        p = total / n
        variance = k / (k - 1) * ((y - p[..., None] * m) ** 2).sum(-1) / n**2
        seen = np.where((total > 0) & (total < n), variance / (p * (1 - p) / n), 1.0)
        expected = 1 + ((m**2).sum(-1) / n - 1) * ALIKE
        rare = np.minimum((y > 0).sum(-1), (y < m).sum(-1)) ** 2
        effect = (np.maximum(1.0, seen) * rare + expected * FEW**2) / (rare + FEW**2)
        middle = (1 + confidence) / 2
        z = np.where(seen > 1, t.ppf(middle, np.maximum(1, k - 1)), NormalDist().inv_cdf(middle))
        worth = n / effect
        centre = (p + z * z / (2 * worth)) / (1 + z * z / worth)
        half = z / (1 + z * z / worth) * np.sqrt(p * (1 - p) / worth + z * z / (4 * worth * worth))
        low = np.where((total == 0) | (k < 2), 0.0, np.maximum(0.0, centre - half))
        high = np.where((total == n) | (k < 2), 1.0, np.minimum(1.0, centre + half))
    return low, high


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
