"""SQL dumps: every row of every INSERT (and of PostgreSQL's COPY) as a record, named by CREATE TABLE or the column list.

Nothing is executed. Rows are cut out one by one, so that neither an INSERT of a gigabyte nor a stray quote costs more than a
row: after one that cannot be read, reading goes on where the next row or statement seems to begin.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from curate.raw.files.container import Stream
from curate.raw.files.lines import KEPT, MAX_RECORD
from curate.raw.files.records import Broken, Record
from curate.raw.files.texts import NO_TEXT, pieces

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
OVERLAP = 256  # characters looked at again where what is sought may lie across two pieces
_NUMBER = re.compile(r"[+-]?\d{1,15}")


class _Ends(Exception):  # noqa: N818 - a signal
    """The text ends here."""


class _Fault(Exception):  # noqa: N818 - a signal; its argument is the reason
    """What stands here cannot be read."""


class _Text:
    """The text from where reading is, on; more is fetched as it is wanted, what is done with is let go."""

    def __init__(self, stream: Stream) -> None:
        self._pieces = pieces(stream)
        self.held = ""
        self.at = 0
        self.line = 1
        self.whole = False  # all of the rest is held
        self.open = False  # the text ended within a comment or the body of a function

    def more(self) -> bool:
        """Fetch; false at the end."""
        piece = next(self._pieces, None)
        if piece is None:
            self.whole = True
            return False
        self.held += piece
        return True

    def match(self, pattern: re.Pattern[str], opening: str = "") -> re.Match[str] | None:
        """Match here. One that reaches the end of what is held might go on, so more is fetched first.

        Args:
            pattern: what should stand here.
            opening: characters that open something of any length, which has to be fetched whole before it can match.
        """
        while True:
            found = pattern.match(self.held, self.at)
            whole = found is not None and found.end() < len(self.held)
            if whole or self.whole or len(self.held) - self.at > MAX_RECORD:
                return found
            if found is None and len(self.held) - self.at > 4096 and self.held[self.at] not in opening:
                return None
            self.more()

    def search(self, pattern: re.Pattern[str], start: int) -> re.Match[str] | None:
        """Search from a place on; within one record's length."""
        while True:
            found = pattern.search(self.held, start)
            if (found is not None and found.end() < len(self.held)) or self.whole or len(self.held) - start > MAX_RECORD:
                return found
            self.more()

    def peek(self, size: int = 1) -> str:
        """The next characters; fewer at the end."""
        while len(self.held) - self.at < size and self.more():
            pass
        return self.held[self.at : self.at + size]

    def skip(self) -> None:
        """Go past blanks and comments."""
        while True:
            if (found := self.match(_SKIP, "-#")) is not None:
                self.at = found.end()
            elif self.peek(2) == "/*":
                self.open = not self.seek(_COMMENT_END, 2)
            else:
                return

    def seek(self, pattern: re.Pattern[str], ahead: int) -> bool:
        """Go behind the next place that matches, however far, holding little of what lies between; false at the end.

        Args:
            pattern: what to look for; at most `OVERLAP` characters.
            ahead: characters from here that are no part of it.
        """
        start = self.at + ahead
        while (found := self.search(pattern, start)) is None:
            if self.whole:
                self.at = len(self.held)
                return False
            self.at = len(self.held) - OVERLAP
            self.let_go()
            start = self.at
        self.at = found.end()
        return True

    def let_go(self) -> None:
        """Forget what lies behind, a good deal at a time."""
        if self.at > 1 << 16:
            self.line += self.held.count("\n", 0, self.at)
            self.held, self.at = self.held[self.at :], 0

    def line_at(self, at: int) -> int:
        """Line number of a place."""
        return self.line + self.held.count("\n", 0, at)


def read(stream: Stream) -> Iterator[Record | Broken]:
    """Every row, as a record of its table; numbers and words that are no texts stay as written, NULL is null."""
    head = stream.head.decode("utf-8", "replace")
    dump = _Dump(_Text(stream), _backslash(head), stream)
    yield from dump.read()


def _backslash(head: str) -> bool:
    r"""Whether a backslash escapes within quotes: it does in MySQL, whose dumps show by backticks or by \'."""
    return "`" in head or "MySQL" in head[:2000] or "MariaDB" in head[:2000] or re.search(r"[^\\]\\'[^,)\s]", head) is not None


class _Dump:
    """Reads statement by statement."""

    def __init__(self, text: _Text, backslash: bool, stream: Stream) -> None:
        self._text, self._backslash, self._stream = text, backslash, stream
        self._columns: dict[str, list[str]] = {}
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
            text.skip()
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
        if text.open:
            yield self._broken(text.at, "a comment or function that does not end: what it holds is not read")
        if self._stream.trouble is not None:
            yield Broken(b"", f"line {text.line_at(text.at)}", self._stream.trouble)

    def _pass_statement(self) -> None:
        """Go behind the next semicolon that stands outside quotes and comments."""
        text = self._text
        string = re.compile(_STRINGS[self._backslash], re.DOTALL)
        while True:
            found = text.search(_NEXT_STATEMENT, text.at)
            if found is None:
                text.at = len(text.held)
                if text.whole:
                    return
                text.let_go()
                continue
            text.at = found.start()
            if found.group() == ";":
                text.at += 1
                return
            if found.group() == "'" and (quoted := text.match(string, "'")) is not None:
                text.at = quoted.end()
            elif found.group() in ("--", "#", "/*"):
                text.skip()
            elif found.group().startswith("$"):
                text.open = not text.seek(re.compile(re.escape(found.group())), len(found.group()))  # the body of a function
            else:
                text.at = found.end()
            text.let_go()

    def _create(self, table: str) -> Iterator[Broken]:
        """Names of a table's columns."""
        text = self._text
        names: list[str] = []
        start = text.at
        string = _STRINGS[self._backslash]
        part = re.compile(rf"(?:{string}|\((?:{string}|\([^()]*\)|[^()'])*\)|[^(),'])*+", re.DOTALL)
        while True:
            text.skip()
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
            text.skip()
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
            except _Fault as fault:
                yield from self._resume(start, str(fault))
                resumed = True
                continue
            yield self._record(table, columns, values, start)
            text.skip()
            if text.peek() == ",":
                text.at += 1

    def _resume(self, start: int, reason: str) -> Iterator[Broken]:
        """Say what cannot be read, and go on where the next row or statement seems to begin."""
        text = self._text
        found = text.search(_NEXT_ROW, start + 1)
        text.at = found.end() if found is not None else len(text.held)
        yield self._broken(start, reason)
        if found is None:
            text.seek(_NEXT_ROW, 0)

    def _values(self) -> list[Any]:
        """The values of one row, from its opening to behind its closing bracket.

        Raises:
            _Fault: what stands there is no row.
        """
        text = self._text
        start = text.at
        values: list[Any] = []
        text.at += 1
        while True:
            text.skip()
            found = text.match(self._value, "'\"NnEeXxBb_")
            if found is None:
                reason = "a text that does not end" if text.peek() == "'" else "a value that cannot be read"
                raise _Fault(reason if text.peek() else "the row does not end")
            text.at = found.end()
            values.append(self._plain(found))
            text.skip()
            mark = text.peek()
            if mark not in (",", ")"):
                raise _Fault("a value that goes on behind its end" if mark else "the row does not end")
            if text.at - start > MAX_RECORD:
                raise _Fault(f"longer than {MAX_RECORD >> 20} MiB")
            text.at += 1
            if mark == ")":
                return values

    def _plain(self, value: re.Match[str]) -> Any:  # noqa: ANN401 - text, number or nothing
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
            found = text.match(line_end)
            assert found is not None
            text.at = found.end()
            line = found.group().rstrip("\r\n")
            if len(line) > MAX_RECORD:
                yield self._broken(start, f"longer than {MAX_RECORD >> 20} MiB")
            elif line == "\\.":
                return
            else:
                yield self._record(table, columns, [None if cell == "\\N" else _copied(cell) for cell in line.split("\t")], start)
        yield self._broken(text.at, "the rows do not end")

    def _record(self, table: str, columns: list[str] | None, values: list[Any], start: int) -> Record | Broken:
        text = self._text
        written = text.held[start : text.at].strip()
        raw, locator = written.encode("utf-8", "backslashreplace"), f"line {text.line_at(start)}"
        if columns is not None and len(columns) != len(values):
            return Broken(raw[:KEPT], locator, f"expected {len(columns)} values, found {len(values)}")
        if NO_TEXT in written or any(isinstance(value, str) and NO_TEXT in value for value in values):
            return Broken(raw[:KEPT], locator, "holds NUL, or bytes that are neither UTF-8 nor cp1252")
        names = columns if columns is not None else [f"column_{at + 1}" for at in range(len(values))]
        return Record(dict(zip(names, values, strict=True)), raw, locator, table)

    def _broken(self, start: int, reason: str) -> Broken:
        text = self._text
        written = text.held[start : max(text.at, start + 1)][:KEPT]
        return Broken(written.encode("utf-8", "backslashreplace")[:KEPT], f"line {text.line_at(start)}", reason)


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
    return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), inside, flags=re.DOTALL)


def _copied(cell: str) -> str:
    return re.sub(r"\\(.)", lambda found: {"n": "\n", "t": "\t", "r": "\r", "b": "\b"}.get(found[1], found[1]), cell)
