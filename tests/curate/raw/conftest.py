"""Shared by the tests of raw files: reading one by its content, and a folder as a build does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from curate.raw.formats import READERS, Broken, Record, Stream, recognise
from curate.raw.ingest import Ingested, ingest
from curate.raw.sources import discover


@pytest.fixture
def read(request: pytest.FixtureRequest) -> Callable[..., list[Record | Broken]]:
    """Writes a file, sees that it is recognised as what it is (the module's FORM, or what is said), and reads it."""
    expected = getattr(request.module, "FORM", None)

    def entries(path: Path, data: str | bytes, form: str | None = expected) -> list[Record | Broken]:
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        recognised = recognise(Stream(path))
        assert recognised is not None
        assert form is None or recognised == form
        return list(READERS[recognised](Stream(path)))

    return entries


@pytest.fixture
def mined(tmp_path: Path) -> Callable[[dict[str, str | bytes]], tuple[Ingested, pl.DataFrame]]:
    """Mines a folder of such files as a build does: what came of it, and its rows; every record is accounted for."""

    def rows(files: dict[str, str | bytes]) -> tuple[Ingested, pl.DataFrame]:
        folder = tmp_path / "source"
        folder.mkdir()
        for name, data in files.items():
            (folder / name).write_bytes(data.encode() if isinstance(data, str) else data)
        result = ingest(discover(folder), work=tmp_path / "work", author_key=b"k")
        for file in result.files:
            assert file.records == file.mined + sum(file.skipped.values()) + sum(file.quarantined.values())
        return result, pl.concat([part.read() for part in result.parts])

    return rows
