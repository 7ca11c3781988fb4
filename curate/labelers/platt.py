"""Logits to probabilities and the fit of it: a slope and an intercept, after Platt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FARTHEST = 30.0  # calibrated logits count no farther from 0: their exponential stays finite


@dataclass(frozen=True)
class Platt:
    """A calibration.

    Attributes:
        slope: of the logits.
        intercept: in logits.

    Source: Platt (1999), Probabilistic Outputs for Support Vector Machines.
    """

    slope: float = 1.0
    intercept: float = 0.0

    def logits(self, logits: Floats) -> Floats:
        """Calibrated logits, of the same shape."""
        return np.asarray(self.slope * logits + self.intercept)

    def probability(self, logits: Floats) -> NDArray[np.float32]:
        """Probability of each logit, of the same shape; NaN stays NaN.

        Rounded to six decimals, far above the noise of float64 sums: batches of any size give the same bits.
        """
        inside = np.clip(self.logits(logits), -FARTHEST, FARTHEST)
        return np.asarray(np.round(1.0 / (1.0 + np.exp(-inside)), 6), np.float32)


def fit_platt(logits: Floats, toxic: NDArray[np.bool_], *, balanced: bool = False, strength: float = 1e3) -> Platt:
    """The calibration of some logits.

    Args:
        logits: shape (n,).
        toxic: shape (n,), both kinds in it.
        balanced: weigh both kinds alike.
        strength: C of the penalty; large, so that it hardly counts.
    """
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=strength, class_weight="balanced" if balanced else None)
    model.fit(logits[:, None], toxic.astype(int))
    return Platt(float(model.coef_[0, 0]), float(model.intercept_[0]))
