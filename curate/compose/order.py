"""An order in which every beginning is a sample: the first n rows lie within the first 2n, and both look like the whole."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import xxhash

SUBSET_RANK = "subset_rank"
"""Column of every output: the rows of a split with `subset_rank` < n are its subset of size n."""


def subset_rank(rows: pl.DataFrame, strata: Sequence[str], seed: int) -> pl.Series:
    """Rank of each row within its split, from 0.

    The rows of a stratum are shuffled by a keyed hash of their ids and spread evenly over (0, 1); the order of those places is
    the rank. So of each stratum the first n rows of a split hold its share of n, to within one row.

    Args:
        rows: `id`, `split` and the strata.
        strata: columns whose values, together, part the rows.
        seed: another seed gives another order.

    Returns:
        UInt32, one per row, same order.
    """
    drawn = pl.Series([xxhash.xxh3_64_intdigest(f"order:{name}".encode(), seed=seed) for name in rows["id"]], dtype=pl.UInt64)
    within = ["split", *strata]
    return (
        rows.select("id", *within, drawn=drawn)
        .with_columns(at=(pl.struct("drawn", "id").rank("ordinal").over(within) - 0.5) / pl.len().over(within))
        .select((pl.struct("at", "drawn", "id").rank("ordinal").over("split") - 1).cast(pl.UInt32).alias(SUBSET_RANK))
        .to_series()
    )
