"""JSON lines: one object, or one text, per line."""

from __future__ import annotations

from collections.abc import Iterator

from curate.raw.files.container import Stream
from curate.raw.files.lines import each_line
from curate.raw.files.records import Broken, Record, parse_json, record_of


def read(stream: Stream) -> Iterator[Record | Broken]:
    """Every line as a record."""
    return each_line(stream, lambda text, raw, locator: record_of(parse_json(text, raw), raw, locator))
