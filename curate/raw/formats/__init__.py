"""Files into records: container -> encoding -> records, each layer told by the content, never by the name alone.

`READERS` is the whole list of formats, one module each; `recognise` says which of them a file is. `json_object` and `html_words`
are parts of `json` and `html`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from curate.raw.files.container import MAGIC, Stream
from curate.raw.files.lines import MAX_RECORD
from curate.raw.files.records import Broken, Record
from curate.raw.formats import chat, csv, hf, html, json, mbox, parquet, sql, txt, xlsx, xml

__all__ = ["READERS", "Broken", "Record", "Stream", "recognise"]

READERS: dict[str, Callable[[Stream], Iterator[Record | Broken]]] = {
    "jsonl": json.read_lines,
    "json": json.read,
    "csv": csv.read,
    "parquet": parquet.read,
    "hf": hf.read,
    "xlsx": xlsx.read,
    "xml": xml.read,
    "html": html.read,
    "sql": sql.read,
    "mbox": mbox.read,
    "chat": chat.read,
    "txt": txt.read,
}
"""Recipe word -> reader."""

SAMPLE_LINES = 60
MARKUP = re.compile(rb"\s*<(?:\?xml|!doctype|!--|html|body|div|table|[a-z][\w.-]*(?:\s[^<>]*)?/?>)", re.IGNORECASE)
PAGE = re.compile(
    rb"(?:\s+|<!--.*?-->|<\?.*?\?>)*<(?:!doctype\s+html|(?:html|head|body|div|table|p|span|article|section|main|ul|ol|h[1-6]|a|b|br)\b)",
    re.IGNORECASE | re.DOTALL,
)
SQL = re.compile(
    rb"^\s*(?:insert\s+into\s|(?:create|drop)\s+table\s|lock\s+tables\s|begin\s+transaction|pragma\s|-- (?:mysql|postgresql) )",
    re.IGNORECASE | re.MULTILINE,
)
MAIL = re.compile(rb"^From \S+ .*\d{4}\r?\n[A-Z][\w-]*:", re.MULTILINE)
RTF = re.compile(rb"\{\\rtf")
BINARY = (b"PK\x03\x04", b"%PDF-", b"\x89PNG", b"SQLite format 3", b"\xd0\xcf\x11\xe0", b"\xff\xd8\xff", *MAGIC)
CONTROL = bytes(set(range(32)) - {9, 10, 11, 12, 13, 27})


def recognise(stream: Stream) -> str | None:
    """A file's format by what is in it; None for one that we do not know, which plain text must not swallow."""
    head = stream.head
    start = stream.start
    if start.startswith(b"PAR1"):
        return "parquet"
    if start.startswith((hf.START, hf.FILE_START)):
        return "hf"
    if start.startswith(xlsx.START):
        return "xlsx" if xlsx.is_workbook(stream) else None
    if not head.strip():
        return "txt"  # nothing, or nothing readable: the reader says which
    return None if _binary(head) else _marked(head) or _json(stream) or _plain(stream)


def _binary(head: bytes) -> bool:
    noise = len(head) - len(head.translate(None, CONTROL))
    return head.startswith(BINARY) or noise > max(8, 0.02 * len(head)) or RTF.match(head) is not None


def _marked(head: bytes) -> str | None:
    """Formats that begin with something of their own."""
    if MARKUP.match(head):
        return "html" if PAGE.match(head) else "xml"
    if MAIL.match(head):
        return "mbox"
    return "sql" if SQL.search(head[:8192]) else None


def _plain(stream: Stream) -> str:
    """Chat, table or text: what its lines look like."""
    head = stream.head
    text = head.decode("utf-8", "replace")
    lines = [line for line in re.split(r"[\r\n]+", text)[:SAMPLE_LINES] if line.strip()]
    if sum(chat.HEADER.match(line) is not None for line in lines) >= max(1, 0.5 * len(lines)):
        return "chat"
    return "csv" if csv.sniff(head, stream.name) is not None else "txt"


def _json(stream: Stream) -> str | None:
    """Lines of JSON, or a JSON document; a chat log that begins with '[' is neither."""
    head = stream.head.lstrip()
    if json.ASSIGNED.match(head):
        return "json"
    if head[:1] not in (b"{", b"["):
        return None
    lines = [line.strip() for line in head.split(b"\n")[:SAMPLE_LINES] if line.strip()]
    if len(head) >= len(stream.head) - 8 and len(lines) > 1 and b"\n" not in stream.head[-1:]:
        lines = lines[:-1]
    objects = sum(line.startswith(b"{") and line.rstrip(b",").endswith(b"}") for line in lines)
    if head.startswith(b"{") and b"\n" not in head.rstrip():
        return "jsonl" if _goes_on(stream) else "json"
    if head.startswith(b"{"):
        return "jsonl" if _parses(lines[0]) or objects >= max(1, 0.5 * len(lines)) else "json"
    return "json" if re.match(rb'\[\s*(?:[\[{"\]]|-?\d+(?:\.\d+)?\s*[,\]]|true|false|null|$)', head) else None


def _goes_on(stream: Stream) -> bool:
    """Whether another object follows the first line, however long that is; a document written as one line is one object."""
    size, ended = 0, False
    for chunk in stream.chunks():
        if not ended:
            _, newline, chunk = chunk.partition(b"\n")
            ended = newline != b""
        if ended and chunk.strip():
            return chunk.lstrip().startswith(b"{")
        size += len(chunk)
        if size > MAX_RECORD and not ended:
            return False  # longer than any record
    return False


def _parses(line: bytes) -> bool:
    import json as standard

    try:
        standard.loads(line)
    except (ValueError, RecursionError):
        return False
    return True
