r"""Bytes into lines, bounded by the line.

Only "\n", "\r\n" and, in files without any "\n", "\r" end a line: U+2028, U+0085 and form feeds are text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from curate.raw.files.container import Stream, Undecodable
from curate.raw.files.records import Broken, Record

MAX_RECORD = 4 << 20  # bytes of one record; longer ones are quarantined, not held in memory
KEPT = 1 << 16  # bytes of a broken record that the quarantine keeps


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file.

    Attributes:
        raw: its bytes without the line end; the first `KEPT` of one that is too long.
        number: from 1.
        fault: why it is no whole line, e.g. "longer than 4 MiB"; null when it is.
    """

    raw: bytes
    number: int
    fault: str | None = None


def lines(stream: Stream, blank: bool = False) -> Iterator[Line]:
    """Every line, and, last, what a damaged or truncated file ends in.

    Args:
        stream: the file.
        blank: whether blank lines count: they do where a record may hold several lines.
    """
    end = b"\n" if b"\n" in stream.head or b"\r" not in stream.head else b"\r"
    number, held, size = 0, bytearray(), 0
    for chunk in stream.chunks():
        start = 0
        while True:
            at = chunk.find(end, start)
            stop = len(chunk) if at < 0 else at
            size += stop - start
            if size <= MAX_RECORD:
                held += chunk[start:stop]
            elif len(held) > KEPT:
                del held[KEPT:]
            if at < 0:
                break
            number += 1
            yield from _line(held, size, number, blank)
            held, size, start = bytearray(), 0, at + 1
    if stream.trouble is not None:
        yield Line(bytes(held[:KEPT]), number + 1, stream.trouble)
    elif held:
        yield from _line(held, size, number + 1, blank)


def each_line(stream: Stream, record: Callable[[str, bytes, str], Record | Broken]) -> Iterator[Record | Broken]:
    """What each line that is not blank is, by itself.

    Args:
        stream: the file.
        record: makes a record of a line's text, bytes and place; may raise `Undecodable`.
    """
    for line in lines(stream):
        locator = f"line {line.number}"
        if line.fault is not None:
            yield Broken(line.raw, locator, line.fault)
            continue
        try:
            yield record(stream.decode(line.raw), line.raw, locator)
        except Undecodable as error:
            yield Broken(line.raw[:KEPT], locator, str(error))


def _line(held: bytearray, size: int, number: int, blank: bool) -> Iterator[Line]:
    if size > MAX_RECORD:
        yield Line(bytes(held[:KEPT]), number, f"longer than {MAX_RECORD >> 20} MiB")
        return
    raw = bytes(held.removesuffix(b"\r"))
    if blank or (raw and not raw.isspace()):
        yield Line(raw, number)
