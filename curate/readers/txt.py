"""Plain text: one text per line."""

from __future__ import annotations

from collections.abc import Iterator

from curate.readers.container import Stream, Undecodable
from curate.readers.lines import KEPT, lines
from curate.readers.records import Broken, Record


def read(stream: Stream) -> Iterator[Record | Broken]:
    """Every line that is not blank as a record with the one column `text`."""
    for line in lines(stream):
        locator = f"line {line.number}"
        if line.fault is not None:
            yield Broken(line.raw, locator, line.fault)
            continue
        try:
            yield Record({"text": stream.decode(line.raw)}, line.raw, locator)
        except Undecodable as error:
            yield Broken(line.raw[:KEPT], locator, str(error))
