"""Chat logs as messengers export them: `[18/06/21, 8:44:00 PM] name: text`, `2021-06-18 20:44 - name: text`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from curate.raw.files.container import Stream, Undecodable
from curate.raw.files.lines import KEPT, MAX_RECORD, Line, lines
from curate.raw.files.records import Broken, Record

# Messengers put U+200E before a line, and U+202F or U+00A0 before AM and PM.
_DATE = r"\d{1,4}[/.\-]\d{1,2}[/.\-]\d{1,4}"
_CLOCK = r"\d{1,2}[:.]\d{2}(?:[:.]\d{2})?(?:[ \u202f\u00a0]?[AaPp]\.?[Mm]\.?)?"
HEADER = re.compile(
    rf"^[\u200e\u200f\ufeff]?(?:\[(?P<in>{_DATE},?[ T]{_CLOCK})\]|(?P<out>{_DATE},?[ T]{_CLOCK})[ \u00a0]?[-–—])[ \u00a0]"
    r"[\u200e\u200f]?(?:(?P<author>[^:\r\n]{1,80}):(?: |$))?(?P<text>.*)$",
    re.DOTALL,
)


def read(stream: Stream) -> Iterator[Record | Broken]:
    r"""Every message as a record with `time`, `author` (null for a notice of the messenger itself), `text` and `turn`.

    A line that opens no message continues the one before it; so does, with "\n", its text.
    """
    message: list[Line] = []
    turn = size = 0
    for line in lines(stream, blank=True):
        if line.fault is not None or size + len(line.raw) > MAX_RECORD:
            yield from _message(stream, message, turn)
            yield Broken(line.raw[:KEPT], f"line {line.number}", line.fault or f"a message longer than {MAX_RECORD >> 20} MiB")
            message, size, turn = [], 0, turn + bool(message)
            continue
        if message and HEADER.match(_loosely(line.raw)):
            yield from _message(stream, message, turn)
            message, size, turn = [], 0, turn + 1
        if not message and not line.raw.strip():
            continue
        message.append(line)
        size += len(line.raw)
    yield from _message(stream, message, turn)


def _message(stream: Stream, message: list[Line], turn: int) -> Iterator[Record | Broken]:
    if not message:
        return
    while not message[-1].raw.strip():
        message.pop()  # blank lines between messages
    raw = b"\n".join(line.raw for line in message)
    locator = f"line {message[0].number}"
    try:
        header = HEADER.match(stream.decode(raw))
    except Undecodable as error:
        yield Broken(raw[:KEPT], locator, str(error))
        return
    if header is None:
        yield Broken(raw[:KEPT], locator, "no message: expected a date, a time, a name and a text")
        return
    fields = {"time": header["in"] or header["out"], "author": header["author"], "text": header["text"], "turn": turn}
    yield Record(fields, raw, locator)


def _loosely(raw: bytes) -> str:
    """Enough of a line to see whether it opens a message."""
    return raw[:400].decode("utf-8", "replace")
