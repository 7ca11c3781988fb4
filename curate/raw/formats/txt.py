"""Plain text: one text per line."""

from __future__ import annotations

from collections.abc import Iterator

from curate.raw.files.container import Stream
from curate.raw.files.lines import each_line
from curate.raw.files.records import Broken, Record


def read(stream: Stream) -> Iterator[Record | Broken]:
    """Every line that is not blank as a record with the one column `text`."""
    return each_line(stream, lambda text, raw, locator: Record({"text": text}, raw, locator))
