"""Means per unit, such as nats per token, where units come in clusters."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Mean:
    """A total over a number of units.

    Attributes:
        value: total by units.
        se: standard error; None with fewer than two clusters.
        units: how many.
        clusters: how many they come in.
    """

    value: float
    se: float | None
    units: int
    clusters: int


def per_unit(totals: ArrayLike, units: ArrayLike, clusters: Sequence[Hashable] | None = None) -> Mean | None:
    """A ratio of sums with the standard error of its linearisation: clusters vary, what lies in one resembles itself.

    Args:
        totals: per row, shape (rows,): the nats of a text.
        units: per row, the same shape: its tokens.
        clusters: per row, what it shares with its like; by default each row is a cluster.

    Returns:
        None without a unit.

    Source: Cochran (1977), Sampling Techniques, chapter 6.

    >>> mean = per_unit([1.0, 2.0, 6.0], [1, 2, 3])
    >>> mean.value, round(mean.se, 3), mean.units
    (1.5, 0.382, 6)
    """
    y, n = np.asarray(totals, dtype=np.float64), np.asarray(units, dtype=np.float64)
    if not n.sum():
        return None
    at = {name: place for place, name in enumerate(dict.fromkeys(range(len(y)) if clusters is None else clusters))}
    place = np.array([at[name] for name in (range(len(y)) if clusters is None else clusters)])
    value, k = float(y.sum() / n.sum()), len(at)
    left = np.bincount(place, y - value * n, minlength=k)
    se = float(np.sqrt(k / (k - 1) * (left**2).sum()) / n.sum()) if k > 1 else None
    return Mean(value, se, round(float(n.sum())), k)
