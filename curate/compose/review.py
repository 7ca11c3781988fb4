"""Which rows of a build a person should look at: what stayed undecided, and labels that the machines contradict."""

from __future__ import annotations

import polars as pl

from curate.core.contracts import Schema

REVIEW: Schema = {
    "id": pl.String,
    "queue": pl.String,  # "undecided" or "suspect"
    "place": pl.UInt32,  # within its queue: 0 first
    "toxic": pl.Boolean,  # the label in doubt; null where there is none
    "toxicity": pl.Float32,
    "disagreement": pl.Float32,
    "why": pl.String,
}
"""Ids, numbers and reasons: no text leaves the corpus this way."""


def review(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows that `verdicts` would help most, in two queues; a row stands in one.

    `undecided` holds rows that a labeler scored and that nobody decided, nearest to .5 first, `suspect` what `suspect_labels`
    finds. Rows that a person reviewed, and that a stage dropped, are in neither.

    Args:
        rows: the corpus before it is told what became of each row: `REVIEW` but `queue` and `place`, `evidence`, `reason` (of
            the stage that dropped it), `reviewed`, and `score_*`.

    Returns:
        `REVIEW`.
    """
    kept = rows.filter(pl.col("reason").is_null(), ~pl.col("reviewed"))
    undecided = kept.filter(pl.col("toxic").is_null(), pl.col("toxicity").is_not_null())
    queues = {
        "undecided": undecided.with_columns(far=(pl.col("toxicity") - 0.5).abs()).sort("far", "id"),
        "suspect": suspect_labels(kept),
    }
    numbered = [
        queue.with_columns(queue=pl.lit(name), place=pl.int_range(pl.len(), dtype=pl.UInt32)).select(
            pl.col(column).cast(kind) for column, kind in REVIEW.items()
        )
        for name, queue in queues.items()
    ]
    return pl.concat(numbered)


def suspect_labels(rows: pl.DataFrame) -> pl.DataFrame:
    """Labels that came with the data and that the machine score contradicts as confidently as it confirms labels elsewhere.

    A row labelled harmless is suspect when its score is at least the mean score of rows labelled toxic, and the other way
    round; the widest contradiction comes first.

    Args:
        rows: `id`, `toxic`, `evidence`, and `machine`, the mean of the machines' scores (made from `score_*` where absent).

    Source: Northcutt, Jiang & Chuang (2021), Confident Learning: Estimating Uncertainty in Dataset Labels.
    """
    rows = rows if "machine" in rows.columns else rows.with_columns(machine=_machine(rows))
    known = rows.filter(
        pl.col("evidence").is_in(["human", "votes"]), pl.col("toxic").is_not_null(), pl.col("machine").is_not_null()
    )
    usual = {side: known.filter(pl.col("toxic") == side)["machine"].mean() for side in (True, False)}
    if usual[True] is None or usual[False] is None:
        return known.clear()
    machine, toxic = pl.col("machine"), pl.col("toxic")
    wrong = (toxic & (machine <= usual[False])) | (~toxic & (machine >= usual[True]))
    far = (machine - toxic.cast(pl.Float64)).abs()
    return known.filter(wrong).with_columns(far=far).sort("far", "id", descending=[True, False])


def machine_columns(rows: pl.DataFrame) -> list[str]:
    """Columns of the machines' scores: of whole labelers, people's own left out."""
    return [name for name in rows.columns if name.startswith("score_") and name != "score_column"]


def _machine(rows: pl.DataFrame) -> pl.Expr:
    names = machine_columns(rows)
    return pl.mean_horizontal(names).cast(pl.Float64) if names else pl.lit(None, pl.Float64)


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
