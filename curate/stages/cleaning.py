"""Texts put through the stages that change them, outside a build."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from curate.core.contracts import RowStage


def cleaned(rows: pl.DataFrame, cleaning: Sequence[RowStage]) -> pl.DataFrame:
    """Rows as the stages that change texts leave them."""
    for stage in cleaning:
        verdicts = stage(rows.select(stage.reads))
        rows = rows.with_columns(verdicts.select(name for name in stage.writes if name in rows.columns))
        if "reason" in verdicts.columns:
            rows = rows.filter(verdicts["reason"].is_null())
    return rows
