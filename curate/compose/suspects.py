"""Near copies with opposite labels: one of the two is probably labelled wrongly."""

from __future__ import annotations

import polars as pl


def suspects(edges: pl.DataFrame, rows: pl.DataFrame, threshold: float) -> pl.DataFrame:
    """Pairs of near copies of which one is toxic and the other is not, likest first.

    A record that came as a pair says on purpose that its two sides differ, however close they are, and so does a rewrite: these
    are no suspects.

    Args:
        edges: `a`, `b` (ids), `score`, as a stage that compares rows stores them.
        rows: `id`, `record`, `side`, `toxic` (null: no label, so no contradiction).
        threshold: from which score on two rows count as copies.

    Returns:
        `a`, `b`, `score`.
    """
    facts = rows.filter(pl.col("toxic").is_not_null()).select("id", "record", "side", "toxic")
    pairs = edges.filter(pl.col("score") >= pl.lit(threshold, pl.Float32))
    for end in ("a", "b"):
        pairs = pairs.join(facts.select(pl.all().name.suffix(f"_{end}")), left_on=end, right_on=f"id_{end}", how="inner")
    given = (pl.col("record_a") == pl.col("record_b")) & pl.col("side_a").is_not_null() & pl.col("side_b").is_not_null()
    opposite = pairs.filter(pl.col("toxic_a") != pl.col("toxic_b"), ~given.fill_null(value=False))
    return opposite.select("a", "b", "score").sort("score", "a", "b", descending=[True, False, False])
