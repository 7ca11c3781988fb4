from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curate.raw.formats import Broken, Record

Read = Callable[..., list[Record | Broken]]


def fields(entries: list[Record | Broken]) -> list[dict[str, Any]]:
    return [entry.fields for entry in entries if isinstance(entry, Record)]


def broken(entries: list[Record | Broken]) -> list[tuple[str, str]]:
    return [(entry.locator, entry.reason) for entry in entries if isinstance(entry, Broken)]


def test_parquet_gives_rows_and_a_damaged_one_says_so(read: Read, tmp_path: Path) -> None:
    path = tmp_path / "table"
    rows = [{"text": f"row {at}", "meta": {"n": at, "tags": ["a"]}} for at in range(700)]
    pq.write_table(pa.Table.from_pylist(rows), path, write_page_checksum=True)
    data = path.read_bytes()
    assert fields(read(path, data, "parquet")) == rows
    chance = random.Random(1)
    for size in range(4, len(data), 97):
        assert broken(read(path, data[:size], "parquet"))
    for _ in range(100):
        damaged = bytearray(data)
        damaged[chance.randrange(4, len(data))] ^= 1 << chance.randrange(8)
        entries = read(path, bytes(damaged))
        assert (
            broken(entries)
            or [entry["text"] for entry in fields(entries) if "text" in entry] == [row["text"] for row in rows]
            or (fields(entries) and set(fields(entries)[0]) != {"text", "meta"})
        )
