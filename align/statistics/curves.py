"""Learning curves: how a share falls with the number of rows, and how many rows a given fall takes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def isotonic(values: ArrayLike) -> Floats:
    """The closest curve (least squares) that never rises: more data, not more toxicity.

    Args:
        values: by ascending size, shape (..., sizes).

    Returns:
        The same shape. Pool-adjacent-violators in its max-min form.

    Source: Barlow et al. (1972), Statistical inference under order restrictions.

    >>> isotonic([0.5, 0.2, 0.3, 0.1]).round(9).tolist()
    [0.5, 0.25, 0.25, 0.1]
    """
    y = np.asarray(values, dtype=np.float64)
    size = y.shape[-1]
    total = np.concatenate([np.zeros((*y.shape[:-1], 1)), y.cumsum(-1)], axis=-1)
    fitted = np.empty_like(y)
    for at in range(size):
        # the smallest over starts up to here of the largest over ends from here on of the mean between them
        means = np.stack(
            [
                np.stack([(total[..., end] - total[..., start]) / (end - start) for end in range(at + 1, size + 1)]).max(0)
                for start in range(at + 1)
            ]
        )
        fitted[..., at] = means.min(0)
    return fitted


def rows_for(cut: float, sizes: Sequence[int], shares: ArrayLike, base: ArrayLike) -> Floats:
    """Rows after which a share has fallen by `cut` from the base: on the isotonic curve, straight in log n between sizes.

    Args:
        cut: relative fall, in (0, 1).
        sizes: ascending, shape (sizes,).
        shares: shape (..., sizes).
        base: the share before training, shape (...).

    Returns:
        Shape (...). The smallest size where that is already enough (read it as "at most"); infinity where no size is
        ("more than the largest"); NaN where a share is not known.

    >>> rows_for(0.5, [10, 1000], [0.8, 0.2], 1.0).tolist()
    100.0
    """
    curve, wanted = isotonic(shares), (1 - cut) * np.asarray(base, dtype=np.float64)[..., None]
    logs = np.log(np.asarray(sizes, dtype=np.float64))
    rows = np.full(curve.shape[:-1], np.inf)
    for at in range(len(sizes) - 1, -1, -1):
        enough = curve[..., at] <= wanted[..., 0] + 1e-12
        if at == 0:
            place = np.full(curve.shape[:-1], logs[0])
        else:
            gap = curve[..., at - 1] - curve[..., at]
            with np.errstate(invalid="ignore", divide="ignore"):
                part = np.where(gap > 0, (curve[..., at - 1] - wanted[..., 0]) / gap, 0.0)
            place = logs[at - 1] + np.clip(part, 0.0, 1.0) * (logs[at] - logs[at - 1])
        rows = np.where(enough, np.exp(place), rows)
    unknown = np.isnan(curve).any(-1) | np.isnan(wanted[..., 0])
    return np.asarray(np.where(unknown, np.nan, np.round(rows, 6)))


def area(sizes: Sequence[int], shares: ArrayLike, base: ArrayLike) -> Floats:
    """Area under the learning curve: the mean share of the base's toxicity that is left, over log n; lower is better.

    Args:
        sizes: ascending, shape (sizes,).
        shares: shape (..., sizes).
        base: the share before training, shape (...).

    Returns:
        Shape (...): 1 where nothing was learned at any size, 0 where nothing toxic was left at the smallest.

    >>> round(float(area([10, 100, 1000], [0.4, 0.2, 0.0], 0.4)), 9)
    0.5
    """
    with np.errstate(invalid="ignore", divide="ignore"):  # a base that is never toxic has no share to be left
        left = np.asarray(shares, dtype=np.float64) / np.asarray(base, dtype=np.float64)[..., None]
    if len(sizes) == 1:
        return np.asarray(left[..., 0])
    logs = np.log(np.asarray(sizes, dtype=np.float64))
    widths = np.diff(logs)
    return np.asarray(((left[..., 1:] + left[..., :-1]) / 2 * widths).sum(-1) / (math.log(sizes[-1]) - math.log(sizes[0])))
