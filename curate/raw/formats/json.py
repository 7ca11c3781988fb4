"""JSON lines, and a JSON array of records, element by element in bounded memory; an object that holds one is `json_object`'s."""

from __future__ import annotations

import re
from collections.abc import Iterator

from curate.raw.files.container import Stream, Undecodable
from curate.raw.files.lines import KEPT, MAX_RECORD, each_line
from curate.raw.files.records import Broken, Record, parse_json, record_of
from curate.raw.formats.json_object import read_object

ASSIGNED = re.compile(rb"\s*(?:window\.[\w.]{1,80}|(?:var|let|const)\s+\w{1,80})\s*=\s*\[")
"""An array as a script, as Twitter's archive has it; brackets are counted from the array's own."""

_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|["\[\]{},]', re.DOTALL)
_INSIDE = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)  # a text up to its closing quote, or up to half an escape


def read(stream: Stream) -> Iterator[Record | Broken]:
    """Every element as a record."""
    if ASSIGNED.match(stream.head) or stream.head.lstrip().startswith(b"["):
        return _array(stream)
    return read_object(stream)


def _array(stream: Stream) -> Iterator[Record | Broken]:
    r"""Cut the elements of the outermost array by counting brackets outside strings, then parse each by itself.

    So one malformed element costs only itself, as long as its brackets and quotes are balanced.
    """
    held = bytearray()  # the element that is being read
    scanned = depth = count = dropped = 0
    inside = False  # a text that began in an earlier chunk
    chunks = stream.chunks()
    for chunk in chunks:
        held += chunk
        start, position = 0, scanned  # of the element in `held`; of what is not yet scanned
        if inside:
            position = _match_end(_INSIDE, held, position)
            inside = held[position : position + 1] != b'"'
            position += not inside
        while not inside and (token := _TOKEN.search(held, position)) is not None:
            mark, position = token.group(), token.end()
            if mark == b'"':
                inside = True
                position = _match_end(_INSIDE, held, position)
            elif mark in b"[{":
                depth += 1
                start = position if depth == 1 else start
            elif mark in b"]}":
                depth -= 1
                if depth <= 0:
                    count, element = _element(stream, held[start : token.start()], count, dropped)
                    yield from element
                    yield from _rest(stream, held[token.end() :], chunks, count)
                    return
            elif mark == b"," and depth == 1:
                count, element = _element(stream, held[start : token.start()], count, dropped)
                yield from element
                start, dropped = position, 0
        position = position if inside else len(held)
        del held[:start]
        scanned = position - start
        if len(held) > MAX_RECORD:  # of an element that is too long only the beginning stays; what follows is still counted
            dropped += scanned
            held = held[:KEPT] + held[scanned:]
            scanned = KEPT
    yield Broken(bytes(held[:KEPT]), f"item {count + 1}", stream.trouble or "the array does not end")


def _match_end(pattern: re.Pattern[bytes], data: bytearray, position: int) -> int:
    match = pattern.match(data, position)
    return position if match is None else match.end()


def _element(stream: Stream, raw: bytearray, count: int, dropped: int) -> tuple[int, list[Record | Broken]]:
    data = bytes(raw.strip())
    if not data:
        return count, []  # an empty array, or a comma too many
    locator = f"item {count + 1}"
    if dropped or len(data) > MAX_RECORD:
        return count + 1, [Broken(data[:KEPT], locator, f"longer than {MAX_RECORD >> 20} MiB")]
    try:
        return count + 1, [record_of(parse_json(stream.decode(data), data), data, locator)]
    except Undecodable as error:
        return count + 1, [Broken(data[:KEPT], locator, str(error))]


def _rest(stream: Stream, after: bytearray, chunks: Iterator[bytes], count: int) -> Iterator[Broken]:
    """Anything but blanks after the array's end, also what a damaged container hides, is broken."""
    rest = bytes(after.strip().removeprefix(b";")[:KEPT])
    for chunk in chunks:
        rest = rest or chunk.strip()[:KEPT]
    if rest:
        yield Broken(rest, f"after item {count}", "more data after the array's end")
    elif stream.trouble is not None:
        yield Broken(b"", f"after item {count}", stream.trouble)


def read_lines(stream: Stream) -> Iterator[Record | Broken]:
    """Every line as a record."""
    return each_line(stream, lambda text, raw, locator: record_of(parse_json(text, raw), raw, locator))
