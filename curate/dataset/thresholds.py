"""What another threshold would drop, from stored similarities, by the stage's own rule."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from curate.core.manifest import Manifest
from curate.core.schema import EVIDENCE
from curate.dataset.formats import read_output
from curate.text.similarity.leaders import keep_leaders

GRID = tuple(at / 20 for at in range(10, 21))  # .50, .55 ... 1.00


def entered(folder: Path, manifest: Manifest, stage: str) -> pl.DataFrame:
    """Rows that reached a stage, in the order in which it visits them, with the label that it knew of then.

    The corpus tells labels and evidence as they were at the end: what only the consensus knew is taken away again for a
    stage that ran before it.
    """
    order = [one.stage for one in manifest.stages]
    before = order[: order.index(stage)]
    columns = ["id", "stage", "evidence", "votes", "toxic"] + ["score_column"] * ("column" in before)
    rows = read_output(folder, manifest, "corpus/", columns).filter(~pl.col("stage").is_in(before) | pl.col("stage").is_null())
    kinds = {kind: rank for rank, kind in enumerate(EVIDENCE)}
    toxic: pl.Expr = pl.lit(None, pl.Boolean)
    if stage == "exact_duplicates":
        pass  # it merges rows whatever their labels
    elif "consensus" in before:
        toxic = pl.col("toxic")
    else:
        del kinds["machine"]  # no machine had spoken: these rows ranked with those that nothing was known of
        if "column" in before:
            toxic = pl.when(pl.col("score_column") != 0.5).then(pl.col("score_column") > 0.5)
    kind = pl.col("evidence").replace_strict(kinds, default=len(EVIDENCE), return_dtype=pl.UInt8)
    ordered = rows.select("id", "votes", kind=kind, toxic=toxic).sort("kind", "votes", "id", descending=[False, True, False])
    return ordered.with_row_index("rank")


def used_threshold(manifest: Manifest, stage: str) -> float | None:
    """The threshold that the build used; None for a stage that has none."""
    value = manifest.stage_options.get(stage, {}).get("threshold")
    return float(value) if value is not None else None


def would_drop(edges: pl.DataFrame, rows: pl.DataFrame, threshold: float) -> pl.DataFrame:
    """Rows that a threshold drops: `id`, `twin`, `score`; decided as the stages decide."""
    at = {name: row for row, name in enumerate(rows["id"])}
    numbered = edges.select(
        *(pl.col(name).replace_strict(at, default=None, return_dtype=pl.UInt32) for name in ("a", "b")), "score"
    )
    verdicts = keep_leaders(numbered.drop_nulls(), rows, threshold, "dropped", "cluster")
    dropped = rows.select("id").hstack(verdicts).filter(pl.col("reason").is_not_null())
    return dropped.select("id", twin=rows["id"].gather(dropped["twin"]), score="score")
