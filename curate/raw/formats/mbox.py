"""Mailboxes: every mail with who wrote it, what it answers, and its text without what it quotes and its signature."""

from __future__ import annotations

import email
import email.policy
import re
from collections.abc import Iterator
from email.message import EmailMessage, MIMEPart

from curate.raw.files.container import Stream
from curate.raw.files.lines import KEPT, MAX_RECORD, Line, lines
from curate.raw.files.records import Broken, Record
from curate.raw.formats.html import text_of

FROM = re.compile(rb"^From \S+.*\d{4}\s*$")
_ID = re.compile(r"<([^<>\s]+)>")
_MULTIPART = re.compile(rb"^content-type:\s*multipart", re.IGNORECASE | re.MULTILINE)
_LONG_HEADER = re.compile(rb"^[A-Za-z-]{1,60}:(?:[^\n]|\n[ \t]){4096}", re.MULTILINE)
MAX_PARTS = 50  # of parts with parts: the time to parse them grows with the square, as it does with a header's length
_WROTE = re.compile(r"^(?:On .{5,200}wrote:|-{2,} ?Original Message ?-{2,}|_{20,})\s*$", re.IGNORECASE)
_HEADERS = {"From": "from", "Date": "date", "Subject": "subject"}


def read(stream: Stream) -> Iterator[Record | Broken]:
    """Every mail, cut at the lines that begin with "From " after a blank one."""
    held: list[Line] = []
    size, blank = 0, True
    for line in lines(stream, blank=True):
        if line.fault is not None:
            yield from _mail(held)
            yield Broken(line.raw[:KEPT], f"line {line.number}", line.fault)
            held, size, blank = [], 0, False
            continue
        if blank and FROM.match(line.raw):
            yield from _mail(held, size)
            held, size = [], 0
        blank = not line.raw.strip()
        size += len(line.raw) + 1
        if size <= MAX_RECORD or not held:
            held.append(line)
    yield from _mail(held, size)


def _mail(held: list[Line], size: int = 0) -> Iterator[Record | Broken]:
    while held and not held[-1].raw.strip():
        held.pop()
    if not held:
        return
    raw, locator = b"\n".join(line.raw for line in held), f"line {held[0].number}"
    if size > MAX_RECORD:
        yield Broken(raw[:KEPT], locator, f"longer than {MAX_RECORD >> 20} MiB")
        return
    if not FROM.match(raw.split(b"\n", 1)[0]):
        yield Broken(raw[:KEPT], locator, "no mail: expected a line that begins with 'From '")
        return
    if len(_MULTIPART.findall(raw)) > MAX_PARTS or _LONG_HEADER.search(raw):
        yield Broken(raw[:KEPT], locator, "headers or parts without end")
        return
    try:
        fields = _fields(raw.split(b"\n", 1)[-1] if b"\n" in raw else b"")
    except Exception as error:  # noqa: BLE001 - the standard library's parser fails on malformed mail in a dozen ways
        yield Broken(raw[:KEPT], locator, f"no mail that can be read ({type(error).__name__})")
        return
    if any("\x00" in value or not value.isprintable() and _surrogate(value) for value in fields.values()):
        yield Broken(raw[:KEPT], locator, "holds NUL, or bytes of another encoding than it says")
        return
    yield Record(fields, raw, locator)


def _surrogate(text: str) -> bool:
    return any("\ud800" <= letter <= "\udfff" for letter in text)


def _fields(data: bytes) -> dict[str, str]:
    mail = email.message_from_bytes(data, policy=email.policy.default)
    assert isinstance(mail, EmailMessage)
    fields = {name: str(mail[header]) for header, name in _HEADERS.items() if mail[header] is not None}
    own = _ID.findall(str(mail["Message-ID"] or ""))
    before = _ID.findall(str(mail["In-Reply-To"] or "")) or _ID.findall(str(mail["References"] or ""))[-1:]
    if own:
        fields["id"] = own[0]
    fields["in_reply_to"] = before[0] if before else ""
    part = mail.get_body(("plain", "html"))
    content = _content(part) if part is not None else ""
    if part is not None and part.get_content_subtype() == "html":
        text, quote = text_of(content)
    else:
        text, quote = _without_quotes(re.sub(r"(?m)^>(>*From )", r"\1", content))
    return fields | {"text": text} | ({"quote": quote} if quote else {})


def _content(part: MIMEPart) -> str:
    """A part's text; one whose encoding is unknown or wrong is read as UTF-8 or cp1252, as lines of text are."""
    data = part.get_payload(decode=True)
    assert isinstance(data, bytes)
    for charset in ("utf-8", part.get_content_charset("cp1252"), "cp1252"):
        try:
            return data.decode(charset).replace("\r\n", "\n")
        except (UnicodeDecodeError, LookupError):
            continue
    return "\x00"


def _without_quotes(text: str) -> tuple[str, str]:
    """A mail's own words, and what it quotes; its signature is neither."""
    own: list[str] = []
    quoted: list[str] = []
    for line in text.split("\n"):
        if line.rstrip("\r") in ("-- ", "--"):
            break
        if line.startswith(">"):
            quoted.append(line.lstrip("> "))
        elif not _WROTE.match(line):
            own.append(line)
    return "\n".join(own).strip(), "\n".join(quoted).strip()
