"""XML as a list of records, SMS backups above all: elements are cut out one by one, so a broken one costs only itself.

No document type is ever obeyed: a file that declares entities is refused, external ones are never fetched, and no entity
is expanded but those of XML and HTML themselves.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from html.entities import html5
from xml.parsers import expat

from curate.raw.files.container import Stream, Undecodable
from curate.raw.files.lines import KEPT, MAX_RECORD
from curate.raw.files.records import MAX_DEPTH, Broken, Json, Record
from curate.raw.files.texts import declared

WRAPPERS = (b"channel", b"records", b"items", b"posts", b"comments", b"messages", b"rows", b"data", b"body")
"""Elements that hold records, as the outermost one does."""

_TAG = re.compile(rb"<(/?)([^\s<>/!?\"'=]++)((?:[^<>\"']++|\"[^\"<]*+\"|'[^'<]*+')*+)>")
_SPANS = {b"<!--": b"-->", b"<![CDATA[": b"]]>", b"<?": b"?>"}
_REFERENCE = re.compile(r"&(?:#(\d{1,8}|x[0-9a-fA-F]{1,6})|([A-Za-z][A-Za-z0-9]{1,40}));")
_OWN = ("amp", "lt", "gt", "quot", "apos")
_PLAIN_TEXT = ("text/plain", "")
_NOBODY = ("", "null", "(unknown)")


def read(stream: Stream) -> Iterator[Record | Broken]:
    """Every element within the outermost one, or within a wrapper such as `<channel>`, as a record: see `_fields`."""
    cutter = _Cutter(stream)
    for chunk in stream.chunks():
        yield from cutter.feed(chunk)
        if cutter.refused:
            return
    yield from cutter.end()


class _Cutter:
    """Finds where records begin and end, by counting tags outside comments and CDATA."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._charset = declared(stream.head)
        self._held = bytearray()
        self._at = 0  # of what is not yet looked at
        self._line = 1  # on which `_held` begins
        self._outer: list[bytes] = []  # the outermost element and wrappers that are open
        self._inner: list[bytes] = []  # the record and what is open within it
        self._start = 0  # of the record in `_held`
        self._fault: str | None = None
        self._any = False
        self.refused = False

    def feed(self, chunk: bytes) -> Iterator[Record | Broken]:
        self._held += chunk
        while not self.refused:
            at = self._held.find(b"<", self._at)
            stop = len(self._held) if at < 0 else at
            if not self._inner:
                yield from self._between(stop)
                at = 0 if at >= 0 else at
            else:
                self._at = stop
            if at < 0:
                break
            entries = self._markup(self._at)
            if entries is None:
                break
            yield from entries
        if self._inner and len(self._held) - self._start > MAX_RECORD:
            yield self._broken(self._start, len(self._held), f"longer than {MAX_RECORD >> 20} MiB")
            self._drop(len(self._held))
            self._fault = "the rest of an element that is too long"
        elif not self._inner and len(self._held) > MAX_RECORD:
            yield self._broken(0, len(self._held), f"markup longer than {MAX_RECORD >> 20} MiB")
            self._drop(len(self._held))

    def end(self) -> Iterator[Record | Broken]:
        if self._stream.trouble is not None:
            yield self._broken(0, len(self._held), self._stream.trouble)
        elif self._inner or self._held.strip():
            yield self._broken(0, len(self._held), "the element does not end")
        elif self._outer:
            yield self._broken(0, 0, "the file does not end where its outermost element does")
        elif not self._any:
            yield self._broken(0, 0, "not XML: no element")

    def _between(self, stop: int) -> Iterator[Broken]:
        """What stands between records: blanks, or what should not be there."""
        if self._held[:stop].strip():
            yield self._broken(0, stop, "text between the records")
        self._drop(stop)

    def _markup(self, at: int) -> list[Record | Broken] | None:
        """Look at what a '<' opens; None when it is not all there yet."""
        held = self._held
        for opening, closing in _SPANS.items():
            if held.startswith(opening, at):
                end = held.find(closing, at + len(opening))
                if end < 0:
                    return None
                self._pass(end + len(closing))
                return []
        if held.startswith(b"<!", at):
            return self._declaration(at) if len(held) - at >= len(b"<![CDATA[") else None
        tag = _TAG.match(held, at)
        if tag is not None:
            return list(self._tag(tag))
        following = held.find(b"<", at + 1)
        if following < 0:
            return None
        if self._inner:
            self._fault, self._at = "not XML: a tag that does not end", following
            return []
        entries: list[Record | Broken] = [self._broken(at, following, "not XML: a tag that does not end")]
        self._drop(following)
        return entries

    def _declaration(self, at: int) -> list[Record | Broken] | None:
        """A document type: one that declares something is refused, as entities are declared there."""
        end = re.compile(rb"[>\[]").search(self._held, at)
        if end is None:
            return None
        if end.group() == b"[" or self._inner:
            self.refused = True
            return [self._broken(at, len(self._held), "declares a document type of its own: refused, as entities may expand")]
        self._pass(end.end())
        return []

    def _tag(self, tag: re.Match[bytes]) -> Iterator[Record | Broken]:
        closing, name, rest = bool(tag[1]), bytes(tag[2]), tag[3]
        alone = rest.endswith(b"/")
        if not self._inner:
            if closing:
                yield from self._close_outer(tag, name)
            elif not self._outer or (name.lower() in WRAPPERS and not alone and b"=" not in rest):
                if not self._outer and self._any:
                    yield self._broken(tag.start(), tag.end(), "more data after the outermost element's end")
                self._any = True
                self._outer += [] if alone else [name]
                self._drop(tag.end())
            else:
                self._inner, self._start, self._fault = [name], tag.start(), None
                self._at = tag.end()
                if alone:
                    yield self._record(tag.end())
            return
        self._at = tag.end()
        if closing:
            yield from self._close_inner(tag, name)
        elif name == self._inner[0] and self._outer:  # the one before it never ended
            yield self._broken(self._start, tag.start(), "the element does not end")
            self._drop(tag.start())
            self._inner = []
        elif not alone:
            self._inner.append(name)
            if len(self._inner) > MAX_DEPTH:
                self._fault = f"XML nested deeper than {MAX_DEPTH}"
                self._inner.pop()

    def _close_outer(self, tag: re.Match[bytes], name: bytes) -> Iterator[Broken]:
        if name in self._outer:
            while self._outer and self._outer.pop() != name:
                pass
        else:
            yield self._broken(tag.start(), tag.end(), "not XML: the end of an element that has not begun")
        self._drop(tag.end())

    def _close_inner(self, tag: re.Match[bytes], name: bytes) -> Iterator[Record | Broken]:
        if name == self._inner[-1]:
            self._inner.pop()
            if not self._inner:
                yield self._record(tag.end())
        elif name == self._inner[0]:
            self._fault = self._fault or "not XML: tags do not match"
            yield self._record(tag.end())
        elif name in self._outer:
            yield self._broken(self._start, tag.start(), "the element does not end")
            self._inner = []
            self._drop(tag.start())
        elif name in self._inner:
            self._fault = self._fault or "not XML: tags do not match"
            while self._inner.pop() != name:
                pass
        else:
            self._fault = self._fault or "not XML: tags do not match"

    def _record(self, end: int) -> Record | Broken:
        raw, locator = bytes(self._held[self._start : end]), self._locator(self._start)
        fault, self._fault, self._inner = self._fault, None, []
        try:
            if fault is None and len(raw) > MAX_RECORD:
                fault = f"longer than {MAX_RECORD >> 20} MiB"
            if fault is not None:
                return Broken(raw[:KEPT], locator, fault)
            return Record(_fields(self._decode(raw)), raw, locator)
        except Undecodable as error:
            return Broken(raw[:KEPT], locator, str(error))
        finally:
            self._drop(end)

    def _decode(self, raw: bytes) -> str:
        try:
            return self._stream.decode(raw) if self._charset is None else _checked(raw, self._charset)
        except UnicodeDecodeError:
            raise Undecodable(f"not {self._charset}, as the file says") from None

    def _locator(self, at: int) -> str:
        line = self._line + self._held.count(b"\n", 0, at)
        return f"line {line}"

    def _broken(self, start: int, end: int, reason: str) -> Broken:
        return Broken(bytes(self._held[start:end][:KEPT]), self._locator(start), reason)

    def _pass(self, end: int) -> None:
        """Go on behind a comment: within a record it stays, between records it is done with."""
        if self._inner:
            self._at = end
        else:
            self._drop(end)

    def _drop(self, end: int) -> None:
        self._line += self._held.count(b"\n", 0, end)
        del self._held[:end]
        self._at = self._start = 0


def _checked(raw: bytes, charset: str) -> str:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode(charset)
    if "\x00" in text:
        raise Undecodable("holds NUL")
    return text


def _fields(text: str) -> dict[str, Json]:
    """An element as an object: its attributes and children by name, those of one name as a list, its own text as "text".

    A text message also gets `author` and `thread` out of `address` and `type` (2: sent), and one of several parts a `body`.

    Raises:
        Undecodable: not well-formed, or holding an entity or a character that XML does not know.
    """
    build = _Builder()
    parser = expat.ParserCreate("utf-8")
    parser.StartElementHandler, parser.EndElementHandler = build.start, build.end
    parser.CharacterDataHandler = build.text
    parser.buffer_text = True
    try:
        parser.Parse(_REFERENCE.sub(_reference, _paired(text)).encode("utf-8"), True)
    except expat.ExpatError as error:
        raise Undecodable(f"not XML: {expat.errors.messages.get(error.code, 'malformed')}") from None
    except UnicodeEncodeError:
        raise Undecodable("holds half of a surrogate pair") from None
    fields = build.root
    return _message(fields) if build.name in ("sms", "mms") and "address" in fields else fields


class _Builder:
    """Makes objects of what the parser reports."""

    def __init__(self) -> None:
        self.root: dict[str, Json] = {}
        self.name = ""
        self._open: list[tuple[str, dict[str, Json], list[str]]] = []

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        self._open.append((name, dict(attributes), []))

    def text(self, data: str) -> None:
        self._open[-1][2].append(data)

    def end(self, _: str) -> None:
        name, fields, texts = self._open.pop()
        text = "".join(texts)
        if not self._open:
            if text.strip():
                fields["text" if "text" not in fields else "content"] = text
            self.name, self.root = name, fields
            return
        if fields and text.strip():
            fields["text" if "text" not in fields else "content"] = text
        value: Json = fields or text
        siblings = self._open[-1][1]
        before = siblings.get(name)
        if name not in siblings:
            siblings[name] = value
        elif isinstance(before, list):
            before.append(value)
        else:
            siblings[name] = [before, value]


def _message(fields: dict[str, Json]) -> dict[str, Json]:
    """A text message with who wrote it, and with whom the talk is."""
    address = str(fields["address"])
    sent = str(fields.get("type", fields.get("msg_box"))) == "2"
    message = fields | {"author": "(me)" if sent else address, "thread": address}
    parts = fields.get("parts")
    if "body" not in fields and isinstance(parts, dict):
        each = parts.get("part")
        texts = [
            str(part.get("text", ""))
            for part in (each if isinstance(each, list) else [each])
            if isinstance(part, dict) and str(part.get("ct", "")) in _PLAIN_TEXT
        ]
        message["body"] = "\n".join(text for text in texts if text.strip().casefold() not in _NOBODY)
    return message


def _paired(text: str) -> str:
    """Phones write an emoji as two references, one for each half of its surrogate pair."""
    return re.sub(r"&#(5[5-6]\d{3});&#(5[67]\d{3});", _pair, text)


def _pair(references: re.Match[str]) -> str:
    high, low = int(references[1]), int(references[2])
    if 0xD800 <= high < 0xDC00 <= low < 0xE000:
        return chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))
    return references[0]


def _reference(reference: re.Match[str]) -> str:
    """HTML's names become characters; XML's own five, and numbers, are the parser's business."""
    name = reference[2]
    if name is None or name in _OWN or f"{name};" not in html5:
        return reference[0]
    return html.escape(html5[f"{name};"])
