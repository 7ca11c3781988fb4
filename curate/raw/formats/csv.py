"""Tables as text, with any of four delimiters: quoted fields may hold newlines; a stray quote costs one line, not the file.

Every value stays text: "0,83" and "007" mean nothing before their column's role is known.
"""

from __future__ import annotations

import csv
import re
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath

from curate.raw.files.container import Stream, Undecodable
from curate.raw.files.lines import KEPT, MAX_RECORD, Line, lines
from curate.raw.files.records import Broken, Record

MAX_LINES = 1_000  # lines of one record: where an open quote runs on for longer, it is a stray one
DELIMITERS = (",", "\t", ";", "|")
SAMPLE = 300  # records that the sniffer looks at
AGREE = 0.8  # share of records of one width from which a delimiter is believed
AGREE_UNNAMED = 0.95  # the same, when nothing looks like a header

_NAME = re.compile(r"[^\W\d][\w .:/()\-]{0,40}", re.UNICODE)


class _StrayLine(Exception):  # noqa: N818 - a signal between the line feed and the loop below
    """The line under the reader cannot belong to a record."""


class _Feed:
    """Lines as the csv module wants them, remembering which ones the present record used, and taking them back."""

    def __init__(self, stream: Stream) -> None:
        self._stream, self._lines = stream, lines(stream, blank=True)
        self._again: deque[Line] = deque()
        self.used: list[Line] = []
        self._size = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._lines)
        self.used.append(line)
        self._size += len(line.raw)
        if line.fault is not None or len(self.used) > MAX_LINES or self._size > MAX_RECORD:
            raise _StrayLine
        return self._stream.decode(line.raw) + "\n"

    def take(self) -> list[Line]:
        """The lines of the present record, which is done with."""
        used, self.used, self._size = self.used, [], 0
        return used

    def retake(self) -> Line:
        """The first line of the present record; the others are read again."""
        first, *others = self.take()
        self._again.extendleft(reversed(others))
        return first


def read(stream: Stream) -> Iterator[Record | Broken]:
    """Every record below the header, or every record with columns named column_1, ... where there is no header."""
    dialect = sniff(stream.head, stream.name)
    delimiter = dialect.delimiter if dialect is not None else ","
    quoted = dialect is None or dialect.quoted
    escaped = delimiter == "\t" and _escaped(stream.head)
    csv.field_size_limit(MAX_RECORD)  # the module's own limit is 128 KiB; `_Feed` bounds the record
    feed = _Feed(stream)
    reader = csv.reader(feed, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE, strict=True)
    header: list[str] | None = None
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except (csv.Error, _StrayLine, Undecodable) as error:
            line = feed.retake()
            single = _alone(stream, line, delimiter, len(header) if header else 0, error)
            if isinstance(single, Broken):
                yield single
                continue
            cells, used = single, [line]
        else:
            used = feed.take()
            if all(not line.raw.strip() for line in used):
                continue
        if header is None:
            header = header_of(cells, stream.name)
            if header is not None:
                continue
            header = [f"column_{index + 1}" for index in range(len(cells))]
        yield _record(header, [_unescaped(cell) for cell in cells] if escaped else cells, used)


def _record(header: list[str], cells: list[str], used: list[Line]) -> Record | Broken:
    raw = b"\n".join(line.raw for line in used)
    locator = f"line {used[0].number}"
    while len(cells) > len(header) and not cells[-1]:
        cells = cells[:-1]  # spreadsheets pad
    if len(cells) != len(header):
        return Broken(raw[:KEPT], locator, f"expected {len(header)} fields, found {len(cells)}")
    return Record(dict(zip(header, cells, strict=True)), raw, locator)


def _escaped(head: bytes) -> bool:
    r"""Whether a table with tabs writes tabs and line ends within its cells as "\t" and "\n": it then has no other backslash."""
    return b"\\" in head and re.search(rb"\\(?![ntr\\])", head[:-1].replace(b"\\\\", b"")) is None


def _unescaped(cell: str) -> str:
    return re.sub(r"\\([ntr\\])", lambda escape: {"n": "\n", "t": "\t", "r": "\r"}.get(escape[1], "\\"), cell)


def _alone(stream: Stream, line: Line, delimiter: str, width: int, error: Exception) -> Broken | list[str]:
    """The cells of a line whose quotes lead nowhere, its quotes as plain characters, if it then has the right width."""
    locator = f"line {line.number}"
    if line.fault is not None:
        return Broken(line.raw[:KEPT], locator, line.fault)
    try:
        cells = stream.decode(line.raw).split(delimiter)
    except Undecodable as fault:
        return Broken(line.raw[:KEPT], locator, str(fault))
    if len(cells) == width:
        return cells
    reason = "an open quote" if isinstance(error, _StrayLine) else str(error)
    return Broken(line.raw[:KEPT], locator, f"quotes do not match: {reason}")


@dataclass(frozen=True)
class Dialect:
    """How a table is written.

    Attributes:
        delimiter: one of `DELIMITERS`.
        quoted: whether quotes enclose fields; otherwise they are characters like any other.
    """

    delimiter: str
    quoted: bool


def sniff(head: bytes, name: str) -> Dialect | None:
    """The dialect of a table's beginning, or None when it is no table.

    Args:
        head: the first bytes of the text.
        name: the file's name: ".csv" and ".tsv" decide where the content leaves it open, as with a single column.
    """
    text = head.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    whole = text[: text.rfind("\n") + 1] or text  # the last line may be cut
    best: tuple[tuple[bool, float, int, bool], Dialect] | None = None
    for delimiter in DELIMITERS:
        for quoted in (True, False):
            records = _records(whole, delimiter, quoted)
            if not records:
                continue
            width, votes = Counter(map(len, records)).most_common(1)[0]
            share = votes / len(records)
            headed = len(records[0]) == width and header_of(records[0], name) is not None
            if width < 2 or share < (AGREE if headed else AGREE_UNNAMED):
                continue
            if not headed and (len(records) < 3 or not (delimiter == "\t" or _says_table(name))):
                continue
            rank = (headed, round(share, 2), width, quoted)
            if best is None or rank > best[0]:
                best = rank, Dialect(delimiter, quoted)
    if best is not None:
        return best[1]
    return Dialect(",", True) if _says_table(name) else None


def header_of(cells: list[str], name: str) -> list[str] | None:
    """Column names, when a first record looks like them: short, distinct, no numbers, no sentences. An empty one gets a name.

    One cell by itself is a header only where it is a single lower-case word: "text", not a first sentence.
    """
    names = [cell.strip() for cell in cells]
    while len(names) > 1 and not names[-1]:
        names.pop()
    if len(names) == 1:
        return names if re.fullmatch(r"[A-Za-z][a-z_]{2,20}", names[0]) and _says_table(name) else None
    filled = [cell for cell in names if cell]
    if len(set(filled)) < len(filled) or len(filled) < 0.5 * len(names):
        return None
    if not all(map(is_name, filled)):
        return None
    return [cell or f"column_{index + 1}" for index, cell in enumerate(names)]


def is_name(cell: str) -> bool:
    """Whether a cell may name a column: a few words, of which the first begins with a letter."""
    return _NAME.fullmatch(cell) is not None and len(cell.split()) <= 4


def _says_table(name: str) -> bool:
    return any(suffix.lower() in (".csv", ".tsv", ".tab") for suffix in PurePath(name).suffixes)


def _records(text: str, delimiter: str, quoted: bool) -> list[list[str]]:
    """The first records of a text; what strict quoting refuses ends the sample and counts as one record of its own width."""
    lines = (f"{line}\n" for line in text.split("\n") if line.strip())
    records: list[list[str]] = []
    reader = csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE, strict=True)
    while len(records) < SAMPLE:
        try:
            records.append(next(reader))
        except StopIteration:
            break
        except csv.Error as error:
            if "unexpected end" in str(error):
                break  # a record cut by the end of the sample
            records.append([])
    return records
