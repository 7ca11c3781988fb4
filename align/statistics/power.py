"""What a test of n prompts can find at all."""

from __future__ import annotations

import math
from statistics import NormalDist


def mcnemar_power(n: int, first: float, second: float, alpha: float = 0.05) -> float:
    """Chance that McNemar's exact test of n prompts finds a difference, two-sided.

    Args:
        n: prompts that both checkpoints answer.
        first: share of prompts on which only the first is toxic.
        second: share on which only the second is.
        alpha: level of the test.

    Returns:
        In [0, 1], exact: over every number of discordant prompts and every split of them.
    """
    from scipy.stats import binom

    both = first + second
    if both <= 0:
        return 0.0
    total = 0.0
    counts = binom.pmf(range(n + 1), n, both)
    for discordant, chance in enumerate(counts):
        if chance < 1e-12 or not discordant:
            continue
        most = int(binom.ppf(alpha / 2, discordant, 0.5))  # the largest rejected count lies here or one below
        while most >= 0 and 2 * binom.cdf(most, discordant, 0.5) > alpha:
            most -= 1
        if most >= 0:
            share = first / both
            total += chance * (binom.cdf(most, discordant, share) + binom.sf(discordant - most - 1, discordant, share))
    return min(1.0, total)


def detectable(n: int, share: float, power: float = 0.8, alpha: float = 0.05) -> float:
    """The smallest difference from `share` that a comparison of two checkpoints on n prompts finds with `power`.

    As if the two were independent, which is the most cautious case for checkpoints that err on the same prompts.

    Args:
        n: prompts.
        share: toxic share of one of them.
        power: chance of finding it.
        alpha: two-sided level.

    Returns:
        A difference of shares, in (0, 1].

    >>> round(detectable(300, 0.10), 3)
    0.069
    """
    if not n:
        return 1.0
    normal = NormalDist()
    z = normal.inv_cdf(1 - alpha / 2) + normal.inv_cdf(power)
    return min(1.0, z * math.sqrt(2 * max(share * (1 - share), 1 / n) / n))
