"""The outputs in other file formats than Parquet: JSON lines, and CSV that no spreadsheet takes for formulas."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import polars as pl

from curate.core.manifest.counts import Tally
from curate.core.store import write_bytes

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What begins a cell that a spreadsheet would run (or, its blanks taken off, might).

Source: OWASP, CSV Injection.
"""

GUARD = "'"


def guarded(cell: str) -> str:
    """A text as a CSV cell that no spreadsheet runs: an apostrophe goes before what would begin a formula, or another apostrophe.

    >>> guarded("=1+1"), guarded("'quoted'"), guarded("plain lah")
    ("'=1+1", "''quoted'", 'plain lah')
    """
    opens = cell.startswith((*FORMULA, GUARD)) or cell.lstrip().startswith(FORMULA)
    return GUARD + cell if opens else cell


def write_jsonl(frame: pl.DataFrame, folder: Path, stem: str) -> Tally:
    """Write one JSON object a line; returns path -> rows, nothing for a frame without rows."""
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in frame.iter_rows(named=True))
    return _written(frame, folder, f"{stem}.jsonl", lambda: "".join(lines).encode("utf-8", "surrogatepass"))


def write_csv(frame: pl.DataFrame, folder: Path, stem: str) -> Tally:
    """Write a table with a header, messages as JSON, every text guarded; returns path -> rows."""
    texts = {}
    for name, kind in frame.schema.items():
        if kind == pl.String or isinstance(kind, pl.List):
            cells = [value if isinstance(value, (str, type(None))) else _json(value) for value in frame[name].to_list()]
            texts[name] = pl.Series([None if cell is None else guarded(cell) for cell in cells], dtype=pl.String)

    def data() -> bytes:
        file = io.BytesIO()
        frame.with_columns(**texts).write_csv(file)
        return file.getvalue()

    return _written(frame, folder, f"{stem}.csv", data)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _written(frame: pl.DataFrame, folder: Path, path: str, data: Callable[[], bytes]) -> Tally:
    if not frame.height:
        return {}
    write_bytes(folder / path, data())
    return {path: frame.height}


WRITERS: dict[str, Callable[[pl.DataFrame, Path, str], Tally]] = {"jsonl": write_jsonl, "csv": write_csv}
