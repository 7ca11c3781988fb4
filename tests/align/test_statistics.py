"""Shares, intervals and ranks say what scipy says."""

from __future__ import annotations

import numpy as np
import pytest

from align.statistics import auc, overlap, wilson


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


def test_area_under_the_curve_is_scikits_with_ties() -> None:
    from sklearn.metrics import roc_auc_score

    draw = np.random.default_rng(0)
    scores, positive = draw.integers(0, 9, 400) / 9, draw.random(400) < 0.4
    assert auc(scores, positive) == pytest.approx(roc_auc_score(positive, scores), abs=1e-12)
    assert auc([0.1, 0.4, 0.4, 0.8], [False, False, True, True]) == pytest.approx(0.875)  # by hand: 3.5 of 4 pairs


def test_one_class_alone_has_no_area() -> None:
    assert auc([0.1, 0.2], [True, True]) is None
