"""SQL dumps: every row of every INSERT (and of PostgreSQL's COPY) as a record, named by CREATE TABLE or the column list.

Nothing is executed. Rows are cut out one by one, so that neither an INSERT of a gigabyte nor a stray quote costs more than a
row: after one that cannot be read, reading goes on where the next row or statement seems to begin.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from curate.raw.files.container import Stream
from curate.raw.files.lines import KEPT, MAX_RECORD
from curate.raw.files.records import Broken, Json, Record
from curate.raw.files.texts import NO_TEXT
from curate.raw.files.window import Window

_NAME = r"(?:`(?:[^`]|``)+`|\"(?:[^\"]|\"\")+\"|\[[^\]]+\]|[\w$]+)"
_TABLE = rf"{_NAME}(?:\s*\.\s*{_NAME}){{0,2}}"
_INSERT = re.compile(
    rf"(?:INSERT|REPLACE)\s+(?:(?:LOW_PRIORITY|DELAYED|HIGH_PRIORITY|IGNORE|OR\s+\w+)\s+)*INTO\s+(?:ONLY\s+)?({_TABLE})\s*"
    rf"(\(\s*{_NAME}(?:\s*,\s*{_NAME})*+\s*\))?\s*(?:OVERRIDING\s+\w+\s+VALUE\s*)?VALUES?\s*",
    re.IGNORECASE,
)
_CREATE = re.compile(rf"CREATE\s+(?:\w+\s+){{0,3}}?TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?({_TABLE})\s*\(", re.IGNORECASE)
_COPY = re.compile(rf"COPY\s+({_TABLE})\s*(\([^)]*\))?\s*FROM\s+stdin[^;\n]*;[^\n]*\n", re.IGNORECASE)
_WORD = re.compile(r"(?:INSERT|REPLACE|CREATE|COPY)\b", re.IGNORECASE)
_SKIP = re.compile(r"(?:\s+|(?:--|#)[^\n]*(?:\n|\Z))++")
_COMMENT_END = re.compile(r"\*/")
_NOT_COLUMNS = re.compile(
    r"(?:PRIMARY|UNIQUE|FULLTEXT|SPATIAL|FOREIGN|CONSTRAINT|CHECK|EXCLUDE|LIKE|PERIOD|(?:KEY|INDEX)\s+[`\"\w]+\s*\()",
    re.IGNORECASE,
)
_STRINGS = {
    True: r"'(?:[^'\\]|\\.|'')*+'",  # MySQL: a backslash escapes
    False: r"'(?:[^']|'')*+'",  # the standard: only a quote does, by being doubled
}
_BARE = r"[^\s,()'\"`;]+"
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "Z": "\x1a", "b": "\b"}
_NEXT_ROW = re.compile(r"\)\s*,\s*(?=\()|;[ \t]*(?:\n|\Z)|\n(?=\s*(?:\(|INSERT\s|REPLACE\s|CREATE\s|COPY\s))", re.IGNORECASE)
_NEXT_STATEMENT = re.compile(r";|'|\"|`|--|#|/\*|\$\w{0,60}\$")
_NUMBER = re.compile(r"[+-]?\d{1,15}")


class _BadRow(Exception):  # noqa: N818 - a signal; its argument is the reason
    """What stands here is no row."""


def read(stream: Stream) -> Iterator[Record | Broken]:
    """Every row, as a record of its table; numbers and words that are no texts stay as written, NULL is null."""
    head = stream.head.decode("utf-8", "replace")
    dump = _Dump(Window(stream), _backslash(head), stream)
    yield from dump.read()


def _backslash(head: str) -> bool:
    r"""Whether a backslash escapes within quotes: it does in MySQL, whose dumps show by backticks or by \'."""
    return "`" in head or "MySQL" in head[:2000] or "MariaDB" in head[:2000] or re.search(r"[^\\]\\'[^,)\s]", head) is not None


class _Dump:
    """Reads statement by statement."""

    def __init__(self, text: Window, backslash: bool, stream: Stream) -> None:
        self._text, self._backslash, self._stream = text, backslash, stream
        self._columns: dict[str, list[str]] = {}
        self._open = False  # the text ended within a comment or the body of a function
        string = _STRINGS[backslash]
        self._value = re.compile(
            rf"(?:(?P<null>NULL\b)|(?P<escaped>[Ee](?P<inside>{_STRINGS[True]}))|(?:_\w+\s*|N)?(?P<text>{string})"
            rf"|(?P<bits>[xXbB]'[0-9a-fA-F]*')|(?P<quoted>\"(?:[^\"]|\"\")*+\")|(?P<bare>{_BARE}(?:\((?:{string}|[^()'])*\))?))"
            rf"(?:::[\w\s]+)?",
            re.IGNORECASE | re.DOTALL,
        )

    def read(self) -> Iterator[Record | Broken]:
        text = self._text
        while True:
            self._skip()
            text.let_go()
            if not text.peek():
                break
            if text.match(_WORD) is None:
                self._pass_statement()
            elif (insert := text.match(_INSERT)) is not None:
                text.at = insert.end()
                yield from self._rows(insert)
            elif (create := text.match(_CREATE)) is not None:
                text.at = create.end()
                yield from self._create(_last(create[1]))
            elif (copy := text.match(_COPY)) is not None:
                text.at = copy.end()
                yield from self._copied(copy)
            else:
                self._pass_statement()
        if self._open:
            yield self._broken(text.at, "a comment or function that does not end: what it holds is not read")
        if self._stream.trouble is not None:
            yield Broken(b"", f"line {text.line_at(text.at)}", self._stream.trouble)

    def _skip(self) -> None:
        """Go past blanks and comments."""
        text = self._text
        while True:
            if (blank := text.match(_SKIP, "-#")) is not None:
                text.at = blank.end()
            elif text.peek(2) == "/*":
                self._open = not text.seek(_COMMENT_END, 2)
            else:
                return

    def _pass_statement(self) -> None:
        """Go behind the next semicolon that stands outside quotes and comments."""
        text = self._text
        string = re.compile(_STRINGS[self._backslash], re.DOTALL)
        while True:
            mark = text.search(_NEXT_STATEMENT, text.at)
            if mark is None:
                text.at = len(text.held)
                if text.whole:
                    return
                text.let_go()
                continue
            text.at = mark.start()
            if mark.group() == ";":
                text.at += 1
                return
            if mark.group() == "'" and (quoted := text.match(string, "'")) is not None:
                text.at = quoted.end()
            elif mark.group() in ("--", "#", "/*"):
                self._skip()
            elif mark.group().startswith("$"):
                self._open = not text.seek(re.compile(re.escape(mark.group())), len(mark.group()))  # the body of a function
            else:
                text.at = mark.end()
            text.let_go()

    def _create(self, table: str) -> Iterator[Broken]:
        """Names of a table's columns."""
        text = self._text
        names: list[str] = []
        start = text.at
        string = _STRINGS[self._backslash]
        part = re.compile(rf"(?:{string}|\((?:{string}|\([^()]*\)|[^()'])*\)|[^(),'])*+", re.DOTALL)
        while True:
            self._skip()
            column = text.match(re.compile(_NAME))
            if column is not None and text.match(_NOT_COLUMNS) is None:
                names.append(_bare(column.group()))
            rest = text.match(part)
            while (
                rest is not None
                and text.held[rest.end() : rest.end() + 1] in ("(", "'")
                and len(text.held) - text.at < MAX_RECORD
            ):
                if not text.more():
                    break
                rest = text.match(part)
            text.at = rest.end() if rest is not None else text.at
            mark = text.peek()
            if mark not in (",", ")"):
                yield self._broken(start, "a table's columns cannot be read")
                return
            text.at += 1
            if mark == ")":
                self._columns[table] = names
                self._pass_statement()
                return

    def _rows(self, insert: re.Match[str]) -> Iterator[Record | Broken]:
        table = _last(insert[1])
        listed = re.findall(_NAME, insert[2]) if insert[2] else None
        columns = [_bare(name) for name in listed] if listed else self._columns.get(table)
        text, resumed = self._text, False
        while True:
            self._skip()
            text.let_go()
            mark = text.peek()
            if mark != "(":
                if resumed:  # here another statement begins
                    return
                if mark != ";":
                    yield self._broken(text.at, "expected a row, found something else" if mark else "the statement does not end")
                self._pass_statement()
                return
            start, resumed = text.at, False
            try:
                values = self._values()
            except _BadRow as fault:
                yield from self._resume(start, str(fault))
                resumed = True
                continue
            yield self._record(table, columns, values, start)
            self._skip()
            if text.peek() == ",":
                text.at += 1

    def _resume(self, start: int, reason: str) -> Iterator[Broken]:
        """Say what cannot be read, and go on where the next row or statement seems to begin."""
        text = self._text
        following = text.search(_NEXT_ROW, start + 1)
        text.at = following.end() if following is not None else len(text.held)
        yield self._broken(start, reason)
        if following is None:
            text.seek(_NEXT_ROW, 0)

    def _values(self) -> list[Json]:
        """The values of one row, from its opening to behind its closing bracket.

        Raises:
            _BadRow: what stands there is no row.
        """
        text = self._text
        start = text.at
        values: list[Json] = []
        text.at += 1
        while True:
            self._skip()
            value = text.match(self._value, "'\"NnEeXxBb_")
            if value is None:
                reason = "a text that does not end" if text.peek() == "'" else "a value that cannot be read"
                raise _BadRow(reason if text.peek() else "the row does not end")
            text.at = value.end()
            values.append(self._plain(value))
            self._skip()
            mark = text.peek()
            if mark not in (",", ")"):
                raise _BadRow("a value that goes on behind its end" if mark else "the row does not end")
            if text.at - start > MAX_RECORD:
                raise _BadRow(f"longer than {MAX_RECORD >> 20} MiB")
            text.at += 1
            if mark == ")":
                return values

    def _plain(self, value: re.Match[str]) -> Json:
        if value["null"]:
            return None
        if value["escaped"]:
            return _unescaped(value["inside"])
        if value["text"] is not None:
            return _unescaped(value["text"]) if self._backslash else value["text"][1:-1].replace("''", "'")
        if value["quoted"] is not None:
            return value["quoted"][1:-1].replace('""', '"')
        bare = str(value["bits"] or value["bare"])
        return int(bare) if _NUMBER.fullmatch(bare) else bare

    def _copied(self, copy: re.Match[str]) -> Iterator[Record | Broken]:
        """The lines below a COPY, up to the one that ends it."""
        text, table = self._text, _last(copy[1])
        columns = [_bare(name) for name in re.findall(_NAME, copy[2])] if copy[2] else self._columns.get(table)
        line_end = re.compile(r"[^\n]*\n?")
        while text.peek():
            text.let_go()
            start = text.at
            to_end = text.match(line_end)
            assert to_end is not None
            text.at = to_end.end()
            line = to_end.group().rstrip("\r\n")
            if len(line) > MAX_RECORD:
                yield self._broken(start, f"longer than {MAX_RECORD >> 20} MiB")
            elif line == "\\.":
                return
            else:
                yield self._record(table, columns, [None if cell == "\\N" else _copied(cell) for cell in line.split("\t")], start)
        yield self._broken(text.at, "the rows do not end")

    def _record(self, table: str, columns: list[str] | None, values: list[Json], start: int) -> Record | Broken:
        text = self._text
        source = text.held[start : text.at].strip()
        raw, locator = source.encode("utf-8", "backslashreplace"), f"line {text.line_at(start)}"
        if columns is not None and len(columns) != len(values):
            return Broken(raw[:KEPT], locator, f"expected {len(columns)} values, found {len(values)}")
        if NO_TEXT in source or any(isinstance(value, str) and NO_TEXT in value for value in values):
            return Broken(raw[:KEPT], locator, "holds NUL, or bytes that are neither UTF-8 nor cp1252")
        names = columns if columns is not None else [f"column_{at + 1}" for at in range(len(values))]
        return Record(dict(zip(names, values, strict=True)), raw, locator, table)

    def _broken(self, start: int, reason: str) -> Broken:
        text = self._text
        source = text.held[start : max(text.at, start + 1)][:KEPT]
        return Broken(source.encode("utf-8", "backslashreplace")[:KEPT], f"line {text.line_at(start)}", reason)


def _last(name: str) -> str:
    """The table of "schema.table"."""
    return _bare(re.findall(_NAME, name)[-1])


def _bare(name: str) -> str:
    if name[0] in '`"[':
        return name[1:-1].replace(name[0] * 2, name[0])
    return name


def _unescaped(quoted: str) -> str:
    """What a quoted text with backslashes says."""
    inside = quoted[1:-1].replace("''", "'")
    if "\\" not in inside:
        return inside
    return re.sub(r"\\(.)", lambda escape: _ESCAPES.get(escape[1], escape[1]), inside, flags=re.DOTALL)


def _copied(cell: str) -> str:
    return re.sub(r"\\(.)", lambda escape: {"n": "\n", "t": "\t", "r": "\r", "b": "\b"}.get(escape[1], escape[1]), cell)
