"""A file as one text, piece by piece, for formats that are not made of lines."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

from curate.raw.files.container import Stream

NO_TEXT = "\x00"
"""What stands for bytes that are text in no encoding we accept; a record that holds it is none."""

_CHARSET = re.compile(rb"(?:<\?xml[^>]{0,200}\sencoding\s*=|<meta[^>]{0,300}?charset\s*=)\s*[\"']?([A-Za-z0-9._:-]{2,40})", re.I)
_KNOWN = re.compile(
    r"windows-?125\d|cp125\d|iso-?8859-\d{1,2}|gb2312|gbk|gb18030|big5(-?hkscs)?|shift_?jis|euc-?(jp|kr)|koi8-[ru]"
)


def declared(head: bytes) -> str | None:
    """The encoding that a page says it has, where it is one that is not UTF-8 or what we fall back on anyway.

    A page whose beginning reads as UTF-8 is believed to be that, whatever it says: many say wrong.
    """
    declaration = _CHARSET.search(head[:4096])
    if declaration is None or not _KNOWN.fullmatch(name := declaration[1].decode("ascii").casefold()):
        return None
    if not head.isascii():
        try:
            codecs.getincrementaldecoder("utf-8")().decode(head)
            return None
        except UnicodeDecodeError:
            pass
    wider = {"gb2312": "gb18030", "gbk": "gb18030", "iso-8859-1": "cp1252", "iso8859-1": "cp1252"}
    return wider.get(name, name)


def pieces(stream: Stream) -> Iterator[str]:
    """The text, chunk by chunk; a byte that is no UTF-8 is read as cp1252, and what is not that either as `NO_TEXT`."""
    charset = declared(stream.head)
    decoder = codecs.getincrementaldecoder(charset or "utf-8")("no_text" if charset else "cp1252_or_no_text")
    for chunk in stream.chunks():
        yield decoder.decode(chunk)
    yield decoder.decode(b"", True)


def _as_cp1252(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    bad = error.object[error.start : error.end]
    return "".join(bytes([byte]).decode("cp1252", "replace").replace("\ufffd", NO_TEXT) for byte in bad), error.end


def _as_no_text(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return NO_TEXT, error.end


codecs.register_error("cp1252_or_no_text", _as_cp1252)
codecs.register_error("no_text", _as_no_text)
