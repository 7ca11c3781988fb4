"""Exact and near duplicates of a list of texts with this project's stages, as a script of a user would call them.

    python benchmarks/duplicates_ours.py TEXTS.json DROPPED.json [FLOOR]

As they come, or with the floor from which on the second records pairs that it does not drop, which no other tool does.
"""

from __future__ import annotations

import json
import sys

import polars as pl

from curate.core.schema import MESSAGE
from curate.stages.duplicates.exact_duplicates import ExactDuplicates
from curate.stages.duplicates.near_duplicates import NearDuplicates


def main(source: str, target: str, floor: str = "") -> None:
    """Read texts, write the dropped rows, each with its twin."""
    with open(source) as file:
        texts = json.load(file)
    count = len(texts)
    rows = pl.DataFrame({"completion": texts}).with_row_index("row")
    del texts
    rows = rows.with_columns(
        id=pl.col("row").cast(pl.String),
        prompt=pl.Series([[]], dtype=pl.List(MESSAGE)).new_from_index(0, count),
        rank=pl.col("row"),
        toxic=pl.lit(None, pl.Boolean),
        kind=pl.lit(3, pl.UInt8),
        given=pl.lit(None, pl.Float32),
        votes=pl.lit(0, pl.UInt16),
    )
    dropped: list[tuple[int, int]] = []
    for stage in (ExactDuplicates(), NearDuplicates(floor=float(floor)) if floor else NearDuplicates()):
        keys = stage.keys(rows)
        edges = stage.edges(keys.buckets, keys.payload.with_columns(rank=pl.int_range(pl.len()), toxic=rows["toxic"]))
        verdicts = stage.decide(edges, rows.with_columns(rank=pl.int_range(pl.len(), dtype=pl.UInt32)))
        gone = verdicts["twin"].is_not_null()
        dropped += zip(rows["row"].filter(gone), rows["row"].gather(verdicts["twin"].filter(gone)), strict=True)
        rows = rows.filter(~gone)
    with open(target, "w") as file:
        file.write(json.dumps(dropped))


if __name__ == "__main__":
    main(*sys.argv[1:])
