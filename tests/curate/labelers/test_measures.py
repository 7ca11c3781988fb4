"""How well scores tell toxic from harmless texts: worked by hand, and as scikit-learn and scipy say."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from curate.labelers.study.measures import calibration_error, errors_cut, f1, interval, pr_auc, roc_auc, wilson

SCORES = np.array([0.1, 0.4, 0.4, 0.9])
TOXIC = np.array([False, True, False, True])
TIMES = np.array([3.0, 2.0, 1.0, 4.0])


def test_measures_are_what_they_are_worked_by_hand() -> None:
    assert roc_auc(SCORES, TOXIC) == pytest.approx(3.5 / 4)
    assert pr_auc(SCORES, TOXIC) == pytest.approx((1 + 2 / 3) / 2)
    assert f1(SCORES >= 0.4, TOXIC) == pytest.approx(0.8)
    assert calibration_error(np.array([0.25] * 4), TOXIC, bins=1) == pytest.approx(0.25)
    assert errors_cut(np.array([0.5, 0.9, 0.9, 0.9, 0.1]), np.array([False, True, True, True, False])) == 1.0
    assert np.isnan(roc_auc(SCORES, np.zeros(4, bool)))


def test_measures_agree_with_scikit_learn() -> None:
    from sklearn.metrics import average_precision_score, roc_auc_score

    rng = np.random.default_rng(0)
    toxic, scores = rng.random(300) < 0.3, np.round(rng.random(300), 2)
    assert roc_auc(scores, toxic) == pytest.approx(roc_auc_score(toxic, scores))
    assert pr_auc(scores, toxic) == pytest.approx(average_precision_score(toxic, scores))


@pytest.mark.parametrize("measure", [roc_auc, pr_auc, lambda scores, toxic, weight=None: f1(scores >= 0.4, toxic, weight)])
def test_a_text_that_counts_three_times_is_three_texts(measure: Callable[..., float]) -> None:
    times = TIMES.astype(int)
    assert measure(SCORES, TOXIC, TIMES) == pytest.approx(measure(SCORES.repeat(times), TOXIC.repeat(times)))
    assert measure(SCORES, TOXIC, np.array([0.0, 0.0, 0.0, 1.0]) + TIMES) != pytest.approx(measure(SCORES, TOXIC))


def test_without_both_kinds_of_text_there_is_no_area() -> None:
    assert np.isnan(roc_auc(SCORES, np.ones(4, bool))) and np.isnan(roc_auc(SCORES, np.zeros(4, bool)))
    assert np.isnan(pr_auc(SCORES, np.zeros(4, bool))) and pr_auc(SCORES, np.ones(4, bool)) == 1.0


def test_f1_is_0_where_nothing_toxic_is_found() -> None:
    none = np.zeros(4, bool)
    assert f1(none, TOXIC) == f1(none, none) == 0.0
    assert f1(np.array([True]), np.array([True])) == 1.0


def test_calibration_is_measured_in_bins_that_hold_equally_many() -> None:
    scores, toxic = np.array([0.9, 0.1, 0.2, 0.8]), np.array([True, False, True, True])
    assert calibration_error(scores, toxic, bins=2) == pytest.approx((0.7 + 0.3) / 4)  # .3 for 1 of 2, and 1.7 for 2 of 2
    assert calibration_error(np.full(20, 0.5), np.arange(20) % 2 == 0) == 0.0, "ten bins of two, each half toxic"
    assert calibration_error(np.array([0.25]), np.array([False])) == 0.25
    assert calibration_error(np.array([]), np.array([], bool)) == 0.0


def test_errors_cut_leaves_out_the_fifth_that_is_nearest_to_a_half() -> None:
    """Of ten, two are wrong, at .45 and .9; without the two nearest to .5 (.45 and .52) one of eight is."""
    scores = np.array([0.45, 0.9, 0.52, 0.1, 0.11, 0.12, 0.13, 0.8, 0.81, 0.82])
    toxic = np.array([True, False, True, False, False, False, False, True, True, True])
    assert errors_cut(scores, toxic) == pytest.approx(1 - (1 / 8) / (2 / 10))
    assert errors_cut(scores, toxic, abstained=0.0) == 0.0
    assert np.isnan(errors_cut(scores, scores >= 0.5)), "no errors"
    assert np.isnan(errors_cut(np.array([0.5]), np.array([True]))), "a half is called toxic"


def test_an_interval_resamples_groups_not_rows() -> None:
    rng = np.random.default_rng(1)
    values = np.repeat(rng.random(10), 50)
    rows, groups = [str(at) for at in range(500)], [str(at // 50) for at in range(500)]

    def mean(weight: np.ndarray) -> float:
        return float((weight * values).sum() / weight.sum())

    def wide(ends: tuple[float, float]) -> float:
        return ends[1] - ends[0]

    assert wide(interval(mean, groups)) > 3 * wide(interval(mean, rows))


def test_an_interval_leaves_out_a_fortieth_of_500_draws_on_either_side() -> None:
    draws: list[float] = []

    def share_of_a(weight: np.ndarray) -> float:
        assert weight.sum() == 4 and weight[0] == weight[1], "two groups of two rows, two draws"
        draws.append(float(weight[0]))
        return draws[-1] if draws[-1] else float("inf")  # it cannot be told where the group was not drawn

    ends = interval(share_of_a, ["a", "a", "b", "b"])
    assert len(draws) == 500
    known = [value for value in draws if value]
    assert 0 < len(known) < 500 and ends == tuple(np.quantile(known, [0.025, 0.975]))
    again = interval(lambda weight: float(weight[0]), ["a", "b", "c", "d"])
    assert again == interval(lambda weight: float(weight[0]), ["a", "b", "c", "d"], 500, 0)
    assert np.isnan(interval(lambda weight: float("nan"), ["a"])).all()


def test_the_ends_of_an_interval_are_those_of_the_draws_low_first() -> None:
    numbers = iter(range(1001))
    low, high = interval(lambda weight: float(next(numbers)), ["a"], resamples=1001)
    assert (low, high) == (pytest.approx(25.0), pytest.approx(975.0))


@pytest.mark.parametrize(("right", "of"), [(8, 10), (0, 5), (5, 5), (1, 400)])
def test_wilsons_interval_is_scipys(right: int, of: int) -> None:
    from scipy.stats import binomtest

    theirs = binomtest(right, of).proportion_ci(0.95, method="wilson")
    assert wilson(right, of) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_of_nothing_every_share_is_possible() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(8, 10) == pytest.approx((0.490, 0.943), abs=1e-3)
