"""Uncertainty on two levels: the seeds that were run, and the clusters of prompts that were asked."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

RESAMPLES = 2_000
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Draws:
    """Weights of bootstrap draws.

    Attributes:
        seeds: how often each seed was drawn, shape (draws, seeds).
        clusters: how often each cluster was drawn, shape (draws, clusters).
    """

    seeds: Floats
    clusters: Floats


def crossed(seeds: int, clusters: int, resamples: int = RESAMPLES, seed: int = 0) -> Draws:
    """Draw seeds and clusters with replacement, each by itself: every seed answers the same prompts, so the two cross.

    Few seeds drawn with replacement vary too little, by (seeds - 1) / seeds; their weights are stretched about 1 to make up
    for it. With one seed there is nothing to draw, and the draws speak of prompts alone.

    Args:
        seeds: how many were run.
        clusters: how many were asked.
        resamples: number of draws.
        seed: of the draws.

    Source: Owen (2007), The pigeonhole bootstrap.
    """
    generator = np.random.default_rng(seed)
    by_seed = _stretched(generator.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples).astype(np.float64), seeds)
    by_cluster = _stretched(
        generator.multinomial(clusters, np.full(clusters, 1 / clusters), size=resamples).astype(np.float64), clusters
    )
    return Draws(by_seed, by_cluster)


def spread(draws: Draws, hits: ArrayLike, trials: ArrayLike) -> Floats:
    """Shares of every draw.

    Args:
        draws: of the seeds and clusters.
        hits: shape (..., seeds, clusters).
        trials: the same shape.

    Returns:
        Shape (draws, ...), in [0, 1]; NaN where a draw holds no trial.
    """
    y, n = np.asarray(hits, dtype=np.float64), np.asarray(trials, dtype=np.float64)
    top = np.einsum("bs,...sc,bc->b...", draws.seeds, y, draws.clusters, optimize=True)
    bottom = np.einsum("bs,...sc,bc->b...", draws.seeds, n, draws.clusters, optimize=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.clip(np.where(bottom > 0, top / bottom, np.nan), 0.0, 1.0)


def interval(values: ArrayLike, confidence: float = 0.95) -> tuple[float, float]:
    """Percentiles of draws; infinite ones count as beyond every finite one, NaN ones not at all.

    Returns:
        Lower and upper end; (NaN, NaN) without a value.
    """
    known = np.sort(np.asarray(values, dtype=np.float64).ravel())
    known = known[~np.isnan(known)]
    if not len(known):
        return math.nan, math.nan
    tail = (1 - confidence) / 2
    return float(known[math.floor(tail * (len(known) - 1))]), float(known[math.ceil((1 - tail) * (len(known) - 1))])


def _stretched(weights: Floats, count: int) -> Floats:
    """Weights about 1, stretched so that a mean's variance is that of `count` draws without bias."""
    return 1 + (weights - 1) * math.sqrt(count / (count - 1)) if count > 1 else weights
