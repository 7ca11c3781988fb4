"""Calibration, worked by hand."""

from __future__ import annotations

import numpy as np

from curate.labelers.platt import FARTHEST, Platt, fit_platt


def test_a_probability_is_that_of_the_line_and_rounded() -> None:
    probability = Platt(2.0, -1.0).probability(np.array([0.5, 1.0, np.nan]))
    assert probability[:2].tolist() == [0.5, np.float32(0.731059)] and np.isnan(probability[2])  # 1 / (1 + e^-1) = .7310586


def test_what_is_far_out_stays_finite() -> None:
    assert Platt().probability(np.array([-1e9, 1e9])).tolist() == [0.0, 1.0]
    assert Platt().probability(np.array([FARTHEST])) == Platt().probability(np.array([1e6]))


def test_a_fit_finds_the_line_that_made_the_labels_and_balance_moves_its_middle_alone() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, 40_000)
    toxic = random.random(len(logits)) < 1 / (1 + np.exp(-(1.5 * logits - 2)))
    fit = fit_platt(logits, toxic)
    assert abs(fit.slope - 1.5) < 0.05 and abs(fit.intercept + 2) < 0.05
    balanced = fit_platt(logits, toxic, balanced=True)
    assert abs(balanced.slope - 1.5) < 0.1 and balanced.intercept > fit.intercept
