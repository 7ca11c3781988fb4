"""Plain text: one text per line."""

from __future__ import annotations

from collections.abc import Iterator

from curate.readers.container import Stream
from curate.readers.lines import each_line
from curate.readers.records import Broken, Record


def read(stream: Stream) -> Iterator[Record | Broken]:
    """Every line that is not blank as a record with the one column `text`."""
    return each_line(stream, lambda text, raw, locator: Record({"text": text}, raw, locator))
