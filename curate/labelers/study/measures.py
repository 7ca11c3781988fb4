"""How well scores tell toxic from harmless texts: pure functions of numbers, with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from curate.labelers.platt import Floats

BINS = 10
RESAMPLES = 500
LEVEL = 0.95

Bools = NDArray[np.bool_]


def roc_auc(scores: Floats, toxic: Bools, weight: Floats | None = None) -> float:
    """Chance that a toxic text scores above a harmless one, ties counting half; NaN without both.

    Args:
        scores: shape (n,).
        toxic: shape (n,).
        weight: how often each text counts, shape (n,); once by default.

    >>> roc_auc(np.array([0.1, 0.4, 0.4, 0.9]), np.array([False, True, False, True]))
    0.875
    """
    weight = np.ones(len(scores)) if weight is None else weight
    _, place = np.unique(scores, return_inverse=True)
    bad, good = np.bincount(place, weight * toxic), np.bincount(place, weight * ~toxic)
    pairs = bad.sum() * good.sum()
    return float((bad * (np.cumsum(good) - good / 2)).sum() / pairs) if pairs else float("nan")


def pr_auc(scores: Floats, toxic: Bools, weight: Floats | None = None) -> float:
    """Average precision: precision at each distinct score, weighted by the recall it adds; NaN without a toxic text."""
    weight = np.ones(len(scores)) if weight is None else weight
    _, place = np.unique(-scores, return_inverse=True)
    bad, good = np.bincount(place, weight * toxic), np.bincount(place, weight * ~toxic)
    hits, flagged = np.cumsum(bad), np.cumsum(bad + good)
    return float((bad * hits / np.maximum(flagged, 1e-12)).sum() / bad.sum()) if bad.sum() else float("nan")


def f1(decided: Bools, toxic: Bools, weight: Floats | None = None) -> float:
    """Harmonic mean of precision and recall of the toxic side; 0 where nothing toxic is found."""
    weight = np.ones(len(toxic)) if weight is None else weight
    right = float((weight * (decided & toxic)).sum())
    return 2 * right / max(float((weight * decided).sum() + (weight * toxic).sum()), 1e-12)


def calibration_error(scores: Floats, toxic: Bools, bins: int = BINS) -> float:
    """Expected calibration error over bins that hold equally many texts.

    Source: Naeini, Cooper & Hauskrecht (2015), Obtaining Well Calibrated Probabilities Using Bayesian Binning; Nixon et al.
    (2019), Measuring Calibration in Deep Learning (equal mass: no bin rests on a handful of texts).
    """
    order = np.argsort(scores, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return float(sum(abs((scores[part] - toxic[part]).sum()) for part in parts) / max(len(scores), 1))


def errors_cut(scores: Floats, toxic: Bools, abstained: float = 0.2) -> float:
    """By what share the error rate falls when the texts nearest to .5 are left undecided; NaN without errors."""
    wrong = (scores >= 0.5) != toxic
    sure = np.argsort(-np.abs(scores - 0.5), kind="stable")[: len(scores) - int(abstained * len(scores))]
    return float(1 - wrong[sure].mean() / wrong.mean()) if wrong.any() else float("nan")


def interval(
    measure: Callable[[Floats], float], groups: Sequence[str], resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """Percentile interval of a measure by resampling whole groups (templates, threads), not rows.

    Args:
        measure: a number for weights of the rows, shape (n,).
        groups: the group of each row.
        resamples: draws.
        seed: of the draws.

    Source: Efron & Tibshirani (1993), An Introduction to the Bootstrap; Field & Welsh (2007), Bootstrapping clustered data.
    """
    names, place = np.unique(np.asarray(groups), return_inverse=True)
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(resamples):
        times = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names)).astype(np.float64)
        values.append(measure(times[place]))
    values = [value for value in values if np.isfinite(value)]
    if not values:
        return float("nan"), float("nan")
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def wilson(right: int, of: int) -> tuple[float, float]:
    """Interval of a share at LEVEL.

    Source: Wilson (1927), Probable inference, the law of succession, and statistical inference.
    """
    if not of:
        return 0.0, 1.0
    z = 1.959963984540054
    share, spread = right / of, z * z / of
    middle = (share + spread / 2) / (1 + spread)
    half = z * ((share * (1 - share) + spread / 4) / of) ** 0.5 / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)
