"""Label rows by the labels and votes that came with the data."""

from __future__ import annotations

from typing import ClassVar

import polars as pl

from curate.core.config import config
from curate.core.contracts import Schema


@config
class Column:
    """The share of given votes that say toxic; 0 or 1 for a single given label; abstains on a row without either."""

    VERSION: ClassVar[int] = 1

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns it wants: `given` is what mining read by the policy."""
        return ("given",)

    @property
    def writes(self) -> Schema:
        """Columns it makes."""
        return {"score_column": pl.Float32}

    @property
    def models(self) -> tuple[str, ...]:
        """None: it decides by the row itself."""
        return ()

    def __call__(self, rows: pl.DataFrame) -> pl.DataFrame:
        """One line per row: `score_column`."""
        return rows.select(pl.col("given").cast(pl.Float32).alias("score_column"))
