"""Do the intervals cover, and do the tests find, what they say? Simulated experiments with a known truth.

python benchmarks/intervals.py [--experiments 2000]
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from align.statistics import (
    Draws,
    area,
    clustered_ends,
    crossed,
    interval,
    mcnemar,
    mcnemar_power,
    sign_flip,
    spread,
    wilson,
)

PROMISED = (0.93, 0.97)  # coverage of a 95 % interval for n >= 500, p in [.01, .9] and, of the clustered ones, >= 30 clusters
SHARES = (0.01, 0.03, 0.1, 0.3, 0.5, 0.9)
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Coverage:
    """One setting.

    Attributes:
        what: the interval, and the setting.
        found: share of experiments in which it held the truth.
        promised: whether the setting is one of those that the promise is about.
    """

    what: str
    found: float
    promised: bool

    @property
    def holds(self) -> bool:
        """Whether the promise is kept here."""
        return PROMISED[0] <= self.found <= PROMISED[1]

    @property
    def outside(self) -> float:
        """How far it is from what is promised; 0 within."""
        return max(PROMISED[0] - self.found, self.found - PROMISED[1], 0.0)


def wilson_coverage(experiments: int, seed: int = 0) -> Iterator[Coverage]:
    """Independent trials."""
    draw = np.random.default_rng(seed)
    for n in (200, 500, 571, 2_000):
        for p in (0.005, *SHARES):
            known = {hits: wilson(int(hits), n) for hits in range(n + 1)}
            hits = draw.binomial(n, p, experiments)
            held = np.mean([known[int(one)].low <= p <= known[int(one)].high for one in hits])
            yield Coverage(f"Wilson, n {n}, p {p}", float(held), n >= 500 and p >= 0.01)


def wilson_exact() -> tuple[float, float]:
    """Lowest and highest coverage over n and p, summed over the binomial distribution: no simulation, no noise."""
    from scipy.stats import binom

    found = []
    for n in (500, 571, 1_000, 2_000):
        ends = [wilson(hits, n) for hits in range(n + 1)]
        low, high = np.array([one.low for one in ends]), np.array([one.high for one in ends])
        for p in np.linspace(0.01, 0.9, 300):
            found.append(float(binom.pmf(np.arange(n + 1), n, p)[(low <= p) & (p <= high)].sum()))
    return min(found), max(found)


def clustered_coverage(experiments: int, seed: int = 1) -> Iterator[Coverage]:
    """Trials in clusters of unequal size whose chances differ: beta-binomial with intra-class correlation rho."""
    draw = np.random.default_rng(seed)
    for clusters, each in ((10, 50), (30, 17), (60, 10), (163, 4)):
        for rho in (0.0, 0.05, 0.2):
            for p in SHARES:
                sizes = np.maximum(1, draw.poisson(each, (experiments, clusters)))
                hits = draw.binomial(sizes, _chances(draw, p, rho, sizes.shape))
                low, high = clustered_ends(hits, sizes)
                what = f"clustered, {clusters} clusters of about {each}, rho {rho}, p {p}"
                yield Coverage(what, float(np.mean((low <= p) & (p <= high))), clusters >= 30)


def bootstrap_coverage(experiments: int, seed: int = 2) -> Iterator[Coverage]:
    """The two-level bootstrap: seeds that differ, prompts in clusters that differ, every seed on the same prompts."""
    draw = np.random.default_rng(seed)
    for seeds in (1, 3, 6):
        for clusters, each in ((30, 17), (100, 6)):
            resamples = crossed(seeds, clusters, 400)
            for p in (0.05, 0.1, 0.3, 0.5, 0.9):
                by_cluster = _chances(draw, p, 0.1, (experiments, 1, clusters))
                by_seed = draw.normal(0, 0 if seeds == 1 else 0.1 * p * (1 - p), (experiments, seeds, 1))
                hits = draw.binomial(each, np.clip(by_cluster + by_seed, 0, 1))
                shares = _shares(resamples, hits, each)
                what = f"two-level bootstrap, {seeds} seeds, {clusters} clusters of {each}, p {p}"
                yield Coverage(what, _held(shares, p), seeds != 3)


def contrast_coverage(experiments: int, seed: int = 3) -> Iterator[Coverage]:
    """The difference of two areas under learning curves, as the grid's contrasts are made."""
    draw = np.random.default_rng(seed)
    sizes, truth = (16, 64, 256, 1024), np.array([[0.30, 0.20, 0.10, 0.05], [0.25, 0.12, 0.06, 0.04]])
    for seeds in (3, 6):
        clusters, each, base_chance = 100, 2, 0.4
        resamples = crossed(seeds, clusters, 400)
        expected = float(area(sizes, truth[0], base_chance) - area(sizes, truth[1], base_chance))
        shift = draw.normal(0, 0.03, (experiments, 2, 1, seeds, 1)) * truth[:, :, None, None] / 0.3
        lean = np.exp(draw.normal(0, 0.3, (experiments, clusters)) - 0.045)
        hits = draw.binomial(each, np.clip(truth[:, :, None, None] * lean[:, None, None, None] + shift, 0, 1))
        base_hits = draw.binomial(each, np.clip(base_chance * lean, 0, 1))[:, None].repeat(seeds, 1)
        base = _shares(resamples, base_hits, each)
        shares = _shares(resamples, hits, each)
        found = area(sizes, shares[:, :, 0], base) - area(sizes, shares[:, :, 1], base)
        yield Coverage(f"contrast of areas, {seeds} seeds, {clusters} clusters of {each}", _held(found, expected), False)


def _shares(resamples: Draws, hits: NDArray[np.int64], each: int) -> Floats:
    """Bootstrap draws, shape (draws, experiments, ...), of hits of shape (experiments, ..., seeds, clusters)."""
    parts = np.array_split(hits, max(1, len(hits) // 50))  # all at once would take gigabytes
    return np.concatenate([spread(resamples, part, np.full(part.shape, each)) for part in parts], axis=1)


def _held(drawn: Floats, truth: float) -> float:
    """Share of experiments, shape (draws, experiments), whose interval holds the truth."""
    ends = [interval(column) for column in drawn.T]
    return float(np.mean([low <= truth <= high for low, high in ends]))


def mcnemar_found(experiments: int, seed: int = 4) -> Iterator[tuple[str, float, float]]:
    """What McNemar's test finds against the power that was predicted."""
    draw = np.random.default_rng(seed)
    for n, first, second in ((200, 0.08, 0.02), (571, 0.06, 0.03), (571, 0.04, 0.04), (1_000, 0.05, 0.03)):
        chances = [first, second, 1 - first - second]
        counts = [(int(a), int(b)) for a, b, _ in draw.multinomial(n, chances, experiments)]
        known = {(a, b): mcnemar([True] * a + [False] * b, [False] * a + [True] * b).p for a, b in set(counts)}
        found = [known[one] <= 0.05 for one in counts]
        yield f"McNemar, n {n}, discordant {first} and {second}", mcnemar_power(n, first, second), float(np.mean(found))


def flips_found(experiments: int, seed: int = 5) -> Iterator[tuple[str, float, float]]:
    """What the sign-flip test finds; at no effect, its level (at most .05, for it has few values to take)."""
    from scipy.stats import nct, t

    draw = np.random.default_rng(seed)
    for seeds, effect in ((6, 0.0), (8, 1.0), (10, 1.0), (12, 0.8)):
        found = [sign_flip(draw.normal(effect, 1.0, seeds)) for _ in range(experiments)]
        edge = t.ppf(0.975, seeds - 1)
        noncentral = effect * np.sqrt(seeds)
        predicted = float(nct.sf(edge, seeds - 1, noncentral) + nct.cdf(-edge, seeds - 1, noncentral)) if effect else 0.05
        yield (
            f"sign-flip, {seeds} seeds, effect {effect} sd",
            predicted,
            float(np.mean([one is not None and one <= 0.05 for one in found])),
        )


def _chances(draw: np.random.Generator, p: float, rho: float, shape: tuple[int, ...]) -> Floats:
    if rho == 0:
        return np.full(shape, p)
    scale = (1 - rho) / rho
    return draw.beta(p * scale, (1 - p) * scale, shape)


def main() -> None:
    """Print every setting, and how many of the promised ones hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", type=int, default=2_000)
    experiments = parser.parse_args().experiments
    kept = promised = 0
    beyond: list[str] = []
    for study in (wilson_coverage, clustered_coverage, bootstrap_coverage, contrast_coverage):
        for one in study(experiments):
            mark = ("holds" if one.holds else "MISSED") if one.promised else "not promised"
            kept, promised = kept + (one.promised and one.holds), promised + one.promised
            noise = 2 * math.sqrt(one.found * (1 - one.found) / experiments)
            beyond += [one.what] if one.promised and one.outside > noise else []
            print(f"{one.what:<66} {100 * one.found:5.1f} %  {mark}")  # noqa: T201 - a report
    print(f"coverage within {PROMISED[0]:.0%} to {PROMISED[1]:.0%} in {kept} of {promised} promised settings")  # noqa: T201
    print(f"outside by more than two standard errors of this simulation: {', '.join(beyond) or 'none'}")  # noqa: T201
    lowest, highest = wilson_exact()
    print(f"Wilson, n 500 to 2,000, p .01 to .9, summed exactly: {100 * lowest:.1f} to {100 * highest:.1f} %")  # noqa: T201
    for powers in (mcnemar_found, flips_found):
        for what, predicted, found in powers(experiments):
            print(f"{what:<66} predicted {predicted:.3f}  found {found:.3f}")  # noqa: T201


if __name__ == "__main__":
    main()
