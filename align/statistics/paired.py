"""Tests of pairs: two checkpoints on the same prompts, two methods over the same seeds, and several such at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray

MIN_SEEDS = 6  # with fewer, even the clearest difference has p > .03, and no correction leaves anything of it
EXACT = 16  # seeds up to which every flip is counted
FLIPS = 100_000


@dataclass(frozen=True)
class Discordant:
    """Two checkpoints on the same prompts.

    Attributes:
        first: prompts on which only the first was toxic.
        second: prompts on which only the second was.
        p: two-sided exact p-value of "equally often".
    """

    first: int
    second: int
    p: float


def mcnemar(a: Sequence[bool], b: Sequence[bool]) -> Discordant:
    """Exact test whether one of two checkpoints is toxic on more of the same prompts.

    It speaks of these two checkpoints, not of the methods that made them.

    Args:
        a: for each prompt, whether the first was toxic.
        b: the same of the second.

    Source: McNemar (1947), Note on the sampling error of the difference between correlated proportions.

    >>> mcnemar([True] * 9 + [False], [False] * 9 + [True]).p
    0.021484375
    """
    first = sum(x and not y for x, y in zip(a, b, strict=True))
    second = sum(y and not x for x, y in zip(a, b, strict=True))
    n, least = first + second, min(first, second)
    tail = sum(math.comb(n, k) for k in range(least + 1)) / 2**n
    return Discordant(first, second, min(1.0, 2 * tail))


def sign_flip(differences: ArrayLike, seed: int = 0) -> float | None:
    """Two-sided p-value that paired differences are as likely to be positive as negative; None with fewer than six.

    Args:
        differences: one per seed, shape (seeds,).
        seed: of the flips, where there are too many to count them all.

    Source: Fisher (1935), The design of experiments, section 21.

    >>> sign_flip([1.0, 2.0, 1.5, 0.5, 1.0, 2.5])
    0.03125
    """
    d = np.asarray(differences, dtype=np.float64)
    if len(d) < MIN_SEEDS:
        return None
    if len(d) <= EXACT:
        signs = _flips(len(d))
    else:
        signs = np.random.default_rng(seed).choice((1.0, -1.0), size=(FLIPS, len(d)))
        signs[0] = 1.0  # what was seen is one of the flips
    sums = np.abs(signs @ d)
    return float((sums >= abs(d.sum()) * (1 - 1e-12)).mean())


@cache
def _flips(count: int) -> NDArray[np.float64]:
    """Every way to flip `count` signs, shape (2**count, count)."""
    return np.array(list(product((1.0, -1.0), repeat=count)))


def holm(values: Sequence[float]) -> list[float]:
    """p-values corrected for being several, in the order given.

    Source: Holm (1979), A simple sequentially rejective multiple test procedure.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(values)), key=lambda at: values[at])
    corrected, largest = list(values), 0.0
    for place, at in enumerate(order):
        largest = max(largest, min(1.0, (len(values) - place) * values[at]))
        corrected[at] = largest
    return corrected
