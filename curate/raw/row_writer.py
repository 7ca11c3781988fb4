"""Rows as they are mined into Parquet files of bounded size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import polars as pl
import pyarrow as pa

from curate.core.store import PARQUET_ROWS, Stored, commit

HELD_BYTES = 64 << 20  # of raw records, before they are written

Row: TypeAlias = dict[str, Any]
"""Column -> value, as a schema such as `schema.ROW` has them."""

Schema: TypeAlias = dict[str, pl.DataType | type[pl.DataType]]


class RowWriter:
    """Rows into numbered files of at most `PARQUET_ROWS` rows; the same rows give the same files."""

    def __init__(self, folder: Path, schema: Schema) -> None:
        self._folder, self._schema = folder, schema
        self._rows: list[Row] = []
        self._bytes = 0
        self._files: list[Stored] = []

    def add(self, rows: Sequence[Row], size: int) -> None:
        """Take the rows of one record of so many bytes."""
        self._rows.extend(rows)
        self._bytes += size
        while len(self._rows) >= PARQUET_ROWS:
            self._write(PARQUET_ROWS)
        if self._bytes > HELD_BYTES:
            self._write(len(self._rows))

    def close(self) -> list[Stored]:
        """Write what is left; all files in order."""
        if self._rows:
            self._write(len(self._rows))
        return self._files

    def _write(self, count: int) -> None:
        rows, self._rows = self._rows[:count], self._rows[count:]
        self._bytes = 0
        if rows:
            self._files.append(commit(self._folder / f"{len(self._files):05d}.parquet", _frame(rows, self._schema)))


def _frame(rows: Sequence[Row], schema: Schema) -> pl.DataFrame:
    """Rows as a frame; by way of Arrow, which builds lists of messages twenty times faster than Polars does."""
    arrow = pl.DataFrame(schema=schema).to_arrow(compat_level=pl.CompatLevel.oldest()).schema
    table = pa.table([pa.array([row[one.name] for row in rows], type=one.type) for one in arrow], schema=arrow)
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame
