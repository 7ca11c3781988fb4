"""Sources whose own labels contradict the machine's scores: what a set with inverted labels looks like."""

from __future__ import annotations

import math

import polars as pl

from curate.core.policy import load_policy

SIGMAS = 3.0  # standard errors below chance from which it is no accident: once in 700 honest sources that machines cannot read


def contradictions(rows: pl.DataFrame) -> list[str]:
    """One warning for each source in which what is called toxic scores lower than what is not, beyond chance.

    The figure is the ROC-AUC of a machine labeler's score for the label that came with the data: 1 where they agree wholly, 0.5
    at chance, 0 where they say the opposite of each other. The sides of a preference pair count as labels: rejected as toxic.
    A source that calls all its rows the same has no such figure, and few rows cannot contradict: both stay unsaid.

    Args:
        rows: every row of the build: `source`, `given`, `side`, and the labelers' `score_*`; scores may be null.

    Returns:
        Warnings by source, with no text of any row.

    Source: Hanley & McNeil (1982), for AUC as the Mann-Whitney statistic; its null variance (m + n + 1) / (12 m n).
    """
    side = pl.when(pl.col("side") == "rejected").then(1.0).when(pl.col("side") == "chosen").then(0.0)
    label = pl.coalesce(pl.col("given").cast(pl.Float64), side)
    labelled = rows.with_columns(_toxic=pl.when(label > 0.5).then(True).when(label < 0.5).then(False)).filter(
        pl.col("_toxic").is_not_null()
    )
    warnings: dict[str, str] = {}
    for column in sorted(name for name in load_policy().labeler_scores(rows.columns) if name != "score_column"):
        for source, auc, toxic, others in _agreement(labelled, column).iter_rows():
            error = math.sqrt((toxic + others + 1) / (12 * toxic * others))
            if source not in warnings and auc + SIGMAS * error < 0.5:
                warnings[source] = (
                    f"{source}: its labels say the opposite of its texts: AUC {auc:.2f} by {column.removeprefix('score_')}"
                    f" on {toxic:,} toxic and {others:,} other rows (chance is 0.50); if they are inverted, say so in `sources`"
                )
    return [warnings[source] for source in sorted(warnings)]


def _agreement(labelled: pl.DataFrame, column: str) -> pl.DataFrame:
    """`source`, `auc`, and how many rows are called toxic and not, of the sources that call some of their rows either."""
    scored = labelled.filter(pl.col(column).is_not_null()).with_columns(
        _rank=pl.col(column).rank("average").over("source")  # ties count half
    )
    counts = scored.group_by("source").agg(
        toxic=pl.col("_toxic").sum().cast(pl.Int64),
        others=(~pl.col("_toxic")).sum().cast(pl.Int64),
        ranks=pl.col("_rank").filter("_toxic").sum(),
    )
    both = counts.filter((pl.col("toxic") > 0) & (pl.col("others") > 0)).sort("source")
    least = pl.col("toxic") * (pl.col("toxic") + 1) / 2
    return both.select(
        "source", auc=(pl.col("ranks") - least) / (pl.col("toxic") * pl.col("others")), toxic="toxic", others="others"
    )
