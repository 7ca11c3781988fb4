"""One JSON object that holds an array of records, as exports write it: {"name": ..., "messages": [...]}.

The records are its only list of objects, or the only one of a usual name, which may stand deeper, as "data.children" does. An
object with several is one record, for choosing among them would lose the others in silence; so is one that holds the turns of
a conversation. Telegram's export of all chats holds lists within a list, told apart by the chat. Read as a stream, twice: once
to find the list, once for its elements; so memory does not grow with the file.
"""

from __future__ import annotations

import codecs
import contextlib
import re
from collections.abc import Iterator
from typing import Any

from curate.core.schema import canonical
from curate.raw.files.container import Stream, Undecodable
from curate.raw.files.lines import KEPT, MAX_RECORD
from curate.raw.files.records import MAX_DEPTH, Broken, Json, Record, parse_json, record_of

WRAPPERS = ("data", "records", "rows", "items", "results", "posts", "comments", "messages", "children", "entries", "docs", "hits")
DEEPEST = 3  # levels of objects around a list
CHATS = "chats.list.item"  # Telegram's export of everything: a list of chats
TURN = (("role", "content"), ("from", "value"))  # keys of one turn of a conversation, which is one record with all its turns
SPOKEN = {key for keys in TURN for key in keys}
WRAPPED = CHATS.split(".")  # levels above a record, at most
CHAT = "conversation_id"  # what tells their messages apart


def read_object(stream: Stream) -> Iterator[Record | Broken]:
    """Every element as a record; or the object itself, where it holds no such list."""
    import ijson

    first = _ByteFile(stream)
    path = _list_of_records(first)
    if path is None:
        yield from _one(stream)
        return
    count = 0
    try:
        for count, (item, chat) in enumerate(_elements(_ByteFile(stream, first.surrogates), path), 1):
            place = path.removesuffix(".item")
            yield _record(item if chat is None else {**item, CHAT: chat}, f"{place} item {count}")
    except _TooLongError:
        yield Broken(b"", f"after item {count}", f"longer than {MAX_RECORD >> 20} MiB, or deeper than {MAX_DEPTH}")
    except (ijson.JSONError, UnicodeDecodeError):
        yield Broken(b"", f"after item {count}", stream.trouble or "not JSON from here on")
    else:
        if stream.trouble is not None:
            yield Broken(b"", f"after item {count}", stream.trouble)


class _TooLongError(Exception):
    """A value of more than `MAX_RECORD` bytes or `MAX_DEPTH` levels: it would have to be held."""


_HALF = re.compile(
    rb"(?<!\\u[dD][89aAbB][0-9a-fA-F]{2})\\u[dD][c-fC-F]|\\u[dD][89aAbB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|\\u?[0-9a-fA-F]{0,3}$"
)
"""Half of a pair, or what may be one where a chunk ends: asking the slow parser in vain costs time only."""


class _ByteFile:
    """The stream's bytes as a file.

    Attributes:
        held: how many were read since somebody last said that nothing is held.
        surrogates: whether some may write half of a surrogate pair, which the fast parser turns into a question mark.
    """

    def __init__(self, stream: Stream, surrogates: bool = False) -> None:
        self._chunks, self._left, self.held = _utf8(stream.chunks()), b"", 0
        self.surrogates = surrogates

    def read(self, size: int) -> bytes:
        """At most so many bytes; none at the end."""
        while size and not self._left:
            if (chunk := next(self._chunks, None)) is None:
                return b""
            self._left = chunk
            self.surrogates = self.surrogates or _HALF.search(chunk) is not None
        data, self._left = self._left[:size], self._left[size:]
        self.held += len(data)
        if self.held > MAX_RECORD:
            raise _TooLongError
        return data


def _utf8(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same text as UTF-8: bytes that are none are read as cp1252, one by one.

    Raises:
        UnicodeDecodeError: bytes that are neither.
    """
    decoder = codecs.getincrementaldecoder("utf-8")(errors=CP1252)
    for chunk in chunks:
        if text := decoder.decode(chunk):
            yield text.encode("utf-8")
    if text := decoder.decode(b"", final=True):
        yield text.encode("utf-8")


def _as_cp1252(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return error.object[error.start : error.end].decode("cp1252"), error.end


CP1252 = "margins.cp1252"
codecs.register_error(CP1252, _as_cp1252)


def _list_of_records(source: _ByteFile) -> str | None:
    """Where the records are, as `ijson` writes a path; None when no list, or more than one, may be meant."""
    lists: dict[str, bool] = {}  # top-level lists -> whether all of their elements are objects
    chats, keys = False, set[tuple[str, str]]()  # whether it is an export of all chats; lists with the keys of their elements
    for path, event, value in _until_broken(_events(source)):
        source.held = 0
        chats = chats or (path == f"{CHATS}.messages.item" and event == "start_map")
        name = path.removesuffix(".item")
        if (
            name != path
            and ".item" not in name
            and name.count(".") < DEEPEST
            and event not in ("map_key", "end_map", "end_array")
        ):
            lists[name] = lists.get(name, True) and event == "start_map"
        elif name != path and event == "map_key" and value in SPOKEN:
            keys.add((name, value))
    if chats:
        return f"{CHATS}.messages.item"
    talks = {name for one, other in TURN for name in lists if {(name, one), (name, other)} <= keys}
    candidates = [name for name, objects in lists.items() if objects and name not in talks]
    outer = [name for name in candidates if "." not in name]
    inner = [name for name in candidates if "." in name]  # whatever else stands there may be about a record: its name must tell
    for names in (outer, *([name for name in some if name.split(".")[-1] in WRAPPERS] for some in (outer, inner))):
        if len(names) == 1:
            return f"{names[0]}.item"
    return None


def _until_broken(events: Iterator[tuple[str, str, Any]]) -> Iterator[tuple[str, str, Any]]:
    """What comes before the file breaks off; the second reading says where."""
    import ijson

    with contextlib.suppress(_TooLongError, ijson.JSONError, UnicodeDecodeError):
        yield from events


def _events(source: _ByteFile) -> Iterator[tuple[str, str, Any]]:
    """What `ijson` finds: path, event and value; a path grows with depth, so deep nesting ends it."""
    import ijson

    depth = 0
    parse = ijson.get_backend("python").parse if source.surrogates else ijson.parse
    for path, event, value in parse(source, use_float=True):
        depth += (event in ("start_map", "start_array")) - (event in ("end_map", "end_array"))
        if depth > MAX_DEPTH + len(WRAPPED):
            raise _TooLongError
        yield path, event, value


def _elements(source: _ByteFile, path_of_records: str) -> Iterator[tuple[dict[str, Json], str | None]]:
    """The elements of a list, each with the chat that it is of, where there are several lists."""
    import ijson

    builder, chat, number = None, None, 0
    for path, event, value in _events(source):
        if path == CHATS and event == "start_map" and path_of_records.startswith(CHATS):
            number += 1
            chat = str(number)
        elif path == f"{CHATS}.id" and chat is not None:
            chat = str(value)
        if builder is None:
            source.held = 0
            if path == path_of_records and event == "start_map":
                builder = ijson.ObjectBuilder()
        if builder is not None:
            builder.event(event, value)
            if path == path_of_records and event == "end_map":
                yield builder.value, chat
                builder = None


def _record(item: dict[str, Json], locator: str) -> Record | Broken:
    try:
        raw = canonical(item).encode("utf-8")
        return record_of(parse_json(raw.decode("utf-8"), raw), raw, locator)
    except UnicodeEncodeError:
        return Broken(b"", locator, "half of a surrogate pair")
    except Undecodable as error:
        return Broken(raw[:KEPT], locator, str(error))


def _one(stream: Stream) -> Iterator[Record | Broken]:
    """The whole file as one record."""
    held = bytearray()
    for chunk in stream.chunks():
        held += chunk
        if len(held) > MAX_RECORD:
            yield Broken(
                bytes(held[:KEPT]), "file", f"one JSON object of more than {MAX_RECORD >> 20} MiB, without a list of records"
            )
            return
    raw = bytes(held.rstrip())
    if stream.trouble is not None:
        yield Broken(raw[:KEPT], "file", stream.trouble)
        return
    try:
        yield record_of(parse_json(stream.decode(raw), raw), raw, "file")
    except Undecodable as error:
        yield Broken(raw[:KEPT], "file", str(error))
