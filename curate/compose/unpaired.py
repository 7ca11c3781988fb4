"""Unpaired rows: which are benign, how many of those are let in, and the weights KTO would want."""

from __future__ import annotations

import math

import polars as pl

KTO_RATIO = (1.0, 4 / 3)
"""Range of λ_D n_D / (λ_U n_U), Eq. 8 of Ethayarajh et al. (2024), KTO: Model Alignment as Prospect Theoretic Optimization."""


BALANCE = KTO_RATIO[0]
"""Desirable rows per undesirable one from which desirable rows need no weight."""


def benign(rows: pl.DataFrame) -> pl.Series:
    """True where nothing provokes: no completion of a row's prompt, and no row of its thread, is toxic or left undecided.

    Args:
        rows: every row of the build: `prompt_key`, `thread` (null where none), `toxic`, `reason`. Dropped ones count where they
            are known to be toxic. Rows without a prompt count as one prompt.
    """
    provokes = pl.col("toxic").fill_null(pl.col("reason").is_null())
    in_thread = provokes.any().over("thread") & pl.col("thread").is_not_null()
    return rows.select(benign=~(provokes.any().over("prompt_key") | in_thread))["benign"]


def limit_benign(rows: pl.DataFrame, share: float, balance: int = 0) -> pl.Series:
    """Which rows stay so that at most `share` of them are benign, or `balance` rows are desirable, whichever lets more in.

    All others stay, and benign ones in order of id. An id is a hash, so its order is as good as drawn by lot, and the rows let
    in under one share are among those let in under any larger one. Where there is nothing but benign rows, all stay.

    Args:
        rows: `id`, `benign`, `toxic`.
        share: in [0, 1].
        balance: desirable rows up to which benign ones are let in.

    Returns:
        Boolean, one per row, same order.
    """
    others = rows.height - int(rows["benign"].sum())
    if others == 0 or share >= 1:
        return pl.repeat(value=True, n=rows.height, eager=True, dtype=pl.Boolean)
    desirable = rows.filter(~pl.col("benign") & ~pl.col("toxic")).height
    room = max(math.floor(others * share / (1 - share) + 1e-9), balance - desirable)
    let_in = rows.filter("benign")["id"].sort().head(max(room, 0))
    return rows.select(~pl.col("benign") | pl.col("id").is_in(let_in.implode())).to_series()


def kto_weights(desirable: int, undesirable: int) -> dict[str, float] | None:
    """λ_desirable and λ_undesirable that bring the weighted ratio of the classes into KTO's range; one of them is 1.

    Args:
        desirable: train rows with label true.
        undesirable: train rows with label false.

    Returns:
        Weights rounded up to four digits, or None where a class is empty.

    >>> kto_weights(100, 200)
    {'desirable': 2.0, 'undesirable': 1.0}
    """
    if not desirable or not undesirable:
        return None
    low, high = KTO_RATIO
    ratio = desirable / undesirable
    raise_desirable = max(1.0, low / ratio)
    raise_undesirable = max(1.0, ratio / high)
    return {"desirable": _round_up(raise_desirable), "undesirable": _round_up(raise_undesirable)}


def _round_up(value: float) -> float:
    return math.ceil(round(value * 1e4, 6)) / 1e4
