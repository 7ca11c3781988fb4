"""Shares, intervals and ranks say what scipy says."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from align.statistics import (
    area,
    auc,
    bootstrap,
    clustered,
    clustered_ends,
    crossed,
    detectable,
    holm,
    interval,
    isotonic,
    mcnemar,
    mcnemar_power,
    overlap,
    paired,
    rows_for,
    sign_flip,
    spread,
    wilson,
)
from align.statistics.bootstrap import Draws
from align.statistics.shares import Share

BENCH = Path(__file__).resolve().parents[3] / "benchmarks" / "intervals.py"


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    """The simulations that `make bench-statistics` runs in full."""
    spec = importlib.util.spec_from_file_location("intervals", BENCH)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["intervals"] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("hits", "n"), [(0, 1), (0, 571), (1, 571), (305, 571), (571, 571), (7, 9)])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_wilsons_interval_is_scipys(hits: int, n: int, confidence: float) -> None:
    from scipy.stats import binomtest

    theirs = binomtest(hits, n).proportion_ci(confidence, method="wilson")
    ours = wilson(hits, n, confidence)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert ours.value == hits / n


def test_no_trial_says_nothing() -> None:
    nothing = wilson(0, 0)
    assert nothing.value is None and (nothing.low, nothing.high) == (0.0, 1.0)


def test_more_hits_than_trials_is_refused() -> None:
    with pytest.raises(ValueError, match="3 of 2"):
        wilson(3, 2)


def test_intervals_overlap_where_they_share_a_point() -> None:
    assert overlap(wilson(50, 100), wilson(55, 100))
    assert not overlap(wilson(300, 500), wilson(10, 500))


def test_intervals_that_touch_overlap() -> None:
    low, high, far = Share(1, 9, 0.1, 0.2), Share(2, 9, 0.2, 0.3), Share(3, 9, 0.25, 0.4)
    assert overlap(low, high) and overlap(high, low) and overlap(high, far)
    assert not overlap(low, far) and not overlap(far, low)


def test_fewer_than_no_hits_are_refused() -> None:
    with pytest.raises(ValueError, match="-1 of 2"):
        wilson(-1, 2)


def test_an_interval_that_nobody_asked_otherwise_of_is_one_of_95_percent() -> None:
    assert wilson(3, 9) == wilson(3, 9, 0.95) and clustered([1, 2], [5, 4]) == clustered([1, 2], [5, 4], 0.95)
    assert clustered_ends([1, 2], [5, 4]) == clustered_ends([1, 2], [5, 4], 0.95)


def test_area_under_the_curve_is_scikits_with_ties() -> None:
    from sklearn.metrics import roc_auc_score

    draw = np.random.default_rng(0)
    scores, positive = draw.integers(0, 9, 400) / 9, draw.random(400) < 0.4
    assert auc(scores, positive) == pytest.approx(roc_auc_score(positive, scores), abs=1e-12)
    assert auc([0.1, 0.4, 0.4, 0.8], [False, False, True, True]) == pytest.approx(0.875)  # by hand: 3.5 of 4 pairs


def test_one_class_alone_has_no_area() -> None:
    assert auc([0.1, 0.2], [True, True]) is None and auc([0.1, 0.2], [False, False]) is None
    assert auc([0.1, 0.2], [False, True]) == 1.0 and auc([0.1, 0.2], [True, False]) == 0.0


def test_clustered_trials_are_worth_fewer_and_independent_ones_are_wilsons() -> None:
    spread_out = clustered([1, 0] * 100, [1] * 200)
    bunched = clustered([10] * 10 + [0] * 10, [10] * 20)
    independent = wilson(100, 200)
    assert spread_out.low == pytest.approx(independent.low, abs=0.002)
    assert bunched.high - bunched.low > 2.5 * (independent.high - independent.low)
    assert clustered([3], [9]).low == 0.0 and clustered([3], [9]).high == 1.0


@pytest.mark.parametrize("confidence", [0.9, 0.95])
@pytest.mark.parametrize(
    ("hits", "sizes"),
    [
        ([3, 1, 0, 2], [5, 4, 6, 5]),  # alike within clusters: worth fewer
        ([5, 4, 6, 1], [5, 4, 6, 5]),  # hits are the rule: one cluster with a miss
        ([1, 1, 1, 1, 1], [2, 2, 2, 2, 2]),  # less alike than chance has it: worth no more than they are
        ([3, 1, 0, 2, 0], [5, 4, 6, 5, 0]),  # a cluster without a trial counts for nothing
        ([2, 1], [3, 4]),
        ([1, 0, 0], [1, 1, 1]),
        ([0, 0, 0], [4, 2, 3]),
        ([4, 2, 3], [4, 2, 3]),
        ([2], [5]),
    ],
)
def test_clustered_ends_are_worked_step_by_step(hits: list[int], sizes: list[int], confidence: float) -> None:
    """The steps that the docstring names, one number at a time."""
    from scipy.stats import norm, t

    asked = [(hit, size) for hit, size in zip(hits, sizes, strict=True) if size]
    k, n, total = len(asked), sum(sizes), sum(hits)
    p = total / n
    if k < 2:
        expected = (0.0, 1.0)
    else:
        between = k / (k - 1) * sum((hit - p * size) ** 2 for hit, size in asked) / n**2
        seen = between / (p * (1 - p) / n) if 0 < total < n else 1.0
        by_alike = 1 + 0.2 * (sum(size**2 for _, size in asked) / n - 1)
        informative = min(sum(hit > 0 for hit, _ in asked), sum(hit < size for hit, size in asked))
        share = informative**2 / (informative**2 + 2**2)  # how much what was seen weighs
        worth = n / (max(1.0, seen) * share + by_alike * (1 - share))
        tail = (1 + confidence) / 2
        z = float(t.ppf(tail, k - 1) if seen > 1 else norm.ppf(tail))
        centre = (p + z**2 / (2 * worth)) / (1 + z**2 / worth)
        half = z * math.sqrt(p * (1 - p) / worth + z**2 / (4 * worth**2)) / (1 + z**2 / worth)
        expected = (0.0 if total == 0 else centre - half, 1.0 if total == n else centre + half)
    found = clustered(hits, sizes, confidence)
    assert (found.hits, found.n) == (total, n) and (found.low, found.high) == pytest.approx(expected, abs=1e-12)
    assert 0 <= found.low <= found.high <= 1


def test_without_a_hit_clusters_of_many_trials_say_less_than_clusters_of_one() -> None:
    singles, tens = clustered([0] * 200, [1] * 200), clustered([0] * 20, [10] * 20)
    assert singles.high == pytest.approx(wilson(0, 200).high, abs=1e-12)
    assert tens.low == 0.0 and tens.high > 2 * singles.high


def test_many_intervals_at_once_are_those_of_one_at_a_time() -> None:
    draw = np.random.default_rng(2)
    sizes = draw.integers(0, 6, (40, 12))
    hits = draw.binomial(sizes, 0.1)
    low, high = clustered_ends(hits, sizes)
    alone = [clustered(one, of) for one, of in zip(hits, sizes, strict=True)]
    assert low.tolist() == [one.low for one in alone] and high.tolist() == [one.high for one in alone]


def test_clustered_intervals_cover(bench: ModuleType) -> None:
    """Settings of `make bench-statistics`, rare correlated hits among them, three standard errors either side of its bounds."""
    draw = np.random.default_rng(3)
    for clusters, each, rho, p in ((30, 17, 0.05, 0.1), (60, 10, 0.2, 0.3), (163, 4, 0.0, 0.01), (30, 17, 0.2, 0.03)):
        sizes = np.maximum(1, draw.poisson(each, (1_000, clusters)))
        low, high = clustered_ends(draw.binomial(sizes, bench._chances(draw, p, rho, sizes.shape)), sizes)
        held = float(np.mean((low <= p) & (p <= high)))
        assert 0.93 - 0.024 <= held <= 0.97 + 0.016, (clusters, rho, p)


def test_the_crossed_bootstrap_has_the_variance_of_means_of_seeds_and_clusters() -> None:
    """Against the variance that analysis gives: between seeds over seeds, plus between clusters over clusters."""
    draw = np.random.default_rng(0)
    seed_effect, cluster_effect = draw.normal(0, 0.02, 3), draw.normal(0, 0.1, 50)
    hits = 0.5 + seed_effect[:, None] + cluster_effect[None, :]
    drawn = spread(crossed(3, 50, 4_000), hits, np.ones_like(hits))
    expected = seed_effect.var(ddof=1) / 3 + cluster_effect.var(ddof=1) / 50
    assert drawn.var() == pytest.approx(expected, rel=0.1) and drawn.mean() == pytest.approx(hits.mean(), abs=0.002)


def test_infinite_draws_lie_beyond_all_others_and_unknown_ones_count_not_at_all() -> None:
    low, high = interval([1.0] * 50 + [float("inf")] * 50)
    assert low == 1.0 and high == float("inf")
    assert interval([1.0, float("nan")]) == (1.0, 1.0) and np.isnan(interval([float("nan")])).all()


def test_an_interval_leaves_as_much_out_on_either_side_and_rounds_outwards() -> None:
    assert interval(range(1001)) == (25.0, 975.0)
    assert interval(range(102), 0.5) == (25.0, 76.0)  # a quarter of 101 steps is 25.25, three quarters 75.75
    assert interval([[3.0, 1.0], [2.0, float("nan")]], 0.5) == (1.0, 3.0)
    low, high = interval([])
    assert np.isnan(low) and np.isnan(high)


def test_a_draw_counts_an_answer_with_its_seeds_weight_plus_its_clusters_less_1() -> None:
    draws = Draws(seeds=np.array([[1.0, 1.0], [2.0, 0.0]]), clusters=np.array([[1.0, 1.0, 1.0], [0.0, 1.0, 2.0]]))
    hits, trials = np.array([[1.0, 0.0, 2.0], [0.0, 1.0, 1.0]]), np.array([[2.0, 1.0, 2.0], [1.0, 1.0, 1.0]])
    # the second: weights [[1, 2, 3], [-1, 0, 1]], so hits 1 + 0 + 6 - 0 + 0 + 1 of trials 2 + 2 + 6 - 1 + 0 + 1
    assert spread(draws, hits, trials) == pytest.approx([5 / 8, 8 / 10])
    assert spread(draws, np.stack([hits, trials]), np.stack([trials, trials])) == pytest.approx(
        np.array([[5 / 8, 1.0], [8 / 10, 1.0]])
    )


@pytest.mark.parametrize(
    ("weights", "hits", "share"),
    [
        ([1.0, -1.0], [1.0, 0.0], float("nan")),  # no trial is left
        ([1.0, -2.0], [1.0, 0.0], float("nan")),
        ([1.0, 0.0], [1.0, 0.0], 1.0),  # one trial is
        ([0.25, 0.25], [1.0, 0.0], 0.5),
        ([2.0, -0.5], [1.0, 0.0], 1.0),  # 2 / 1.5
        ([2.0, -0.5], [0.0, 1.0], 0.0),  # -.5 / 1.5
    ],
)
def test_a_drawn_share_is_one_or_unknown(weights: list[float], hits: list[float], share: float) -> None:
    drawn = spread(Draws(np.array([[1.0]]), np.array([weights])), [hits], [[1.0, 1.0]])
    assert drawn == pytest.approx([share], nan_ok=True)


def test_few_seeds_are_stretched_and_one_is_not_drawn() -> None:
    draws = crossed(2, 5, 400)
    assert {round(weight, 9) for weight in draws.seeds.ravel()} == {round(1 + by * math.sqrt(2), 9) for by in (-1, 0, 1)}
    assert draws.seeds.sum(1) == pytest.approx(2.0) and draws.clusters.sum(1) == pytest.approx(5.0)
    alone = crossed(1, 1)
    assert (alone.seeds == 1).all() and (alone.clusters == 1).all() and alone.seeds.shape == alone.clusters.shape == (2000, 1)
    assert np.array_equal(crossed(3, 4).clusters, crossed(3, 4, 2000, seed=0).clusters)


def test_clusters_are_stretched_by_students_quantile_too() -> None:
    """Of t and normal tables: 12.706 for 2 clusters, 2.045 for 30, 1.960 for the normal."""
    assert bootstrap._widening(1) == 1.0
    assert bootstrap._widening(2) == pytest.approx(12.706 / 1.960, abs=1e-3)
    assert bootstrap._widening(30) == pytest.approx(2.045 / 1.960, abs=1e-3)
    largest = crossed(1, 2, 400).clusters.max()
    assert largest == pytest.approx(1 + math.sqrt(2) * bootstrap._widening(2))  # drawn twice: 2, which is 1 above 1


def test_isotonic_is_scikits() -> None:
    from sklearn.isotonic import IsotonicRegression

    draw = np.random.default_rng(1)
    for size in (1, 2, 5, 9):
        values = draw.random(size)
        theirs = IsotonicRegression(increasing=False).fit_transform(np.arange(size), values)
        assert isotonic(values) == pytest.approx(theirs, abs=1e-12)
    both = draw.random((4, 6))
    assert isotonic(both)[2] == pytest.approx(isotonic(both[2]))


def test_rows_for_a_cut_are_read_off_the_curve() -> None:
    sizes = [10, 100, 1000]
    assert float(rows_for(0.5, sizes, [0.8, 0.6, 0.2], 1.0)) == pytest.approx(10 ** (2 + 0.25))  # a quarter of the way in log n
    assert float(rows_for(0.9, sizes, [0.8, 0.6, 0.2], 1.0)) == float("inf")
    assert float(rows_for(0.1, sizes, [0.8, 0.6, 0.2], 1.0)) == 10.0
    assert np.isnan(float(rows_for(0.5, sizes, [0.8, float("nan"), 0.2], 1.0)))
    assert rows_for(0.5, sizes, [[0.8, 0.6, 0.2], [0.9, 0.9, 0.9]], [1.0, 1.0]).tolist() == [
        pytest.approx(177.827941),
        float("inf"),
    ]


def test_the_area_is_the_mean_share_that_is_left() -> None:
    assert float(area([10, 100, 1000], [0.4, 0.4, 0.4], 0.4)) == pytest.approx(1.0)
    assert float(area([10, 1000], [0.4, 0.0], 0.4)) == pytest.approx(0.5)
    assert float(area([10], [0.1], 0.4)) == pytest.approx(0.25)


def test_mcnemar_is_scipys_binomial_test_of_discordant_prompts() -> None:
    from scipy.stats import binomtest

    a = [True] * 14 + [False] * 5 + [True] * 30 + [False] * 60
    b = [False] * 14 + [True] * 5 + [True] * 30 + [False] * 60
    found = mcnemar(a, b)
    assert (found.first, found.second) == (14, 5) and found.p == pytest.approx(binomtest(5, 19).pvalue, abs=1e-12)
    assert mcnemar([True], [True]).p == 1.0


def test_sign_flips_are_scipys_permutations() -> None:
    from scipy.stats import permutation_test

    d = np.array([0.3, 0.1, -0.05, 0.2, 0.4, 0.15, -0.1])
    theirs = permutation_test((d,), np.sum, permutation_type="samples", n_resamples=np.inf).pvalue
    assert sign_flip(d) == pytest.approx(theirs, abs=1e-12)
    assert sign_flip(d[:5]) is None


def test_every_flip_is_counted_up_to_16_seeds_and_100_000_are_drawn_beyond() -> None:
    assert sign_flip([1.0] * 16) == 2 / 2**16
    assert sign_flip([1.0] * 40) == 1 / 100_000, "the one that was seen"
    draw = np.random.default_rng(4).normal(0.3, 1.0, 17)
    exact = float((np.abs(paired._flips(17) @ draw) >= abs(draw.sum())).mean())
    assert sign_flip(draw) == pytest.approx(exact, abs=0.006) and sign_flip(draw) == sign_flip(draw, 0) != sign_flip(draw, 1)
    assert sign_flip([0.0] * 6) == 1.0


def test_prompts_on_which_one_was_toxic_are_counted_by_side() -> None:
    assert mcnemar([True, True, False], [False, False, True]) == mcnemar([True, True, False, True], [False, False, True, True])
    assert mcnemar([True] * 4, [False] * 4).p == 2 / 2**4 and mcnemar([True, False], [False, True]).p == 1.0


def test_holm_corrects_step_by_step() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])  # by hand
    assert holm([0.6, 0.7]) == [1.0, 1.0] and holm([]) == []


def test_mcnemars_power_is_what_simulation_finds() -> None:
    draw = np.random.default_rng(0)
    for n, first, second in ((200, 0.08, 0.02), (571, 0.04, 0.04)):
        counts = draw.multinomial(n, [first, second, 1 - first - second], 600)
        found = np.mean([mcnemar([True] * a + [False] * b, [False] * a + [True] * b).p <= 0.05 for a, b, _ in counts])
        assert mcnemar_power(n, first, second) == pytest.approx(float(found), abs=0.06)
    assert mcnemar_power(10, 0.0, 0.0) == 0.0


def test_fewer_prompts_find_only_larger_differences() -> None:
    assert detectable(100, 0.1) > detectable(400, 0.1) == pytest.approx(detectable(100, 0.1) / 2)
    assert detectable(0, 0.1) == 1.0
