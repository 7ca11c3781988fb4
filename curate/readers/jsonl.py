"""JSON lines: one object, or one text, per line."""

from __future__ import annotations

from collections.abc import Iterator

from curate.readers.container import Stream, Undecodable
from curate.readers.lines import KEPT, lines
from curate.readers.records import Broken, Record, parse_json, record_of


def read(stream: Stream) -> Iterator[Record | Broken]:
    """Every line as a record."""
    for line in lines(stream):
        locator = f"line {line.number}"
        if line.fault is not None:
            yield Broken(line.raw, locator, line.fault)
            continue
        try:
            value = parse_json(stream.decode(line.raw), line.raw)
        except Undecodable as error:
            yield Broken(line.raw[:KEPT], locator, str(error))
            continue
        yield record_of(value, line.raw, locator)
