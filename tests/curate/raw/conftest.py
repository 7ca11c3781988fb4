"""Shared by the tests of raw files: reading one by its content, and a folder as a build does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from curate.raw.formats import READERS, Broken, Record, Stream, recognise


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
