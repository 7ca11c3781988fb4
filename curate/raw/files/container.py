"""Files as streams of bytes: plain, gz, zst, bz2, xz or a member of a zip, told by their first bytes, and UTF-16 made UTF-8.

A stream that ends too early, or whose checksum is wrong, is never taken for a whole one: `Stream.trouble` says so.
"""

from __future__ import annotations

import bz2
import codecs
import lzma
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

import zstandard

from curate.raw.files.archive import BOMB_BYTES, BOMB_RATIO, open_member

CHUNK = 1 << 16  # bytes of the file read at a time, and at most about so many given out for gz, bz2, xz
ZSTD_CHUNK = 1 << 9  # its decompressor has no limit on output: 512 bytes of a bomb give at most 16 MiB

MAGIC = {b"\x1f\x8b": "gz", b"\x28\xb5\x2f\xfd": "zst", b"BZh": "bz2", b"\xfd7zXZ\x00": "xz"}
BOMS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
OPENERS: dict[str, Callable[[], Any]] = {
    "gz": lambda: zlib.decompressobj(wbits=31),
    "zst": lambda: zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj(),
    "bz2": bz2.BZ2Decompressor,
    "xz": lambda: lzma.LZMADecompressor(memlimit=1 << 28),
}
ERRORS = (zlib.error, zstandard.ZstdError, lzma.LZMAError, OSError, EOFError, ValueError)
ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError)


class Undecodable(ValueError):
    """Bytes that are text in no encoding we accept; `str(error)` is the reason to quarantine them under."""


class Stream:
    """The text bytes of one file: decompressed, without byte order mark, UTF-16 turned into UTF-8.

    Attributes:
        path: where the file lies.
        name: its own name, without folders; a member's, in a zip.
        container: "plain", "gz", "zst", "bz2", "xz", "zip", or one inside another, as in "zip/gz".
        encoding: "utf-8" (with cp1252 record by record as the fallback), "utf-16-le" or "utf-16-be".
        start: the first bytes once decompressed, before any recoding.
        head: the first bytes, at most `CHUNK`.
        damaged: whether the file is damaged within them.
        trouble: after the last chunk, why there are no more, when the file does not end where it should.
    """

    def __init__(self, path: Path, on_read: Callable[[int], None] | None = None, member: str | None = None) -> None:
        """Look at the first bytes.

        Args:
            path: the file.
            on_read: told how many bytes were read, each time.
            member: read this member of the zip that lies there.

        Raises:
            OSError: the file cannot be opened.
        """
        self.path, self._member = path, member
        self.name = PurePosixPath(member).name if member is not None else path.name
        self.trouble: str | None = None
        self._on_read = None
        self._packing = "plain"
        first = next(self._bytes(), b"")
        self._packing = next((name for magic, name in MAGIC.items() if first.startswith(magic)), "plain")
        outer = ["zip"] if member is not None else []
        self.container = "/".join(outer + [self._packing] * (self._packing != "plain" or not outer))
        self.encoding, self._bom = "utf-8", 0
        self.head = b""
        self.head = self._first(self._bytes())
        self.start = self.head[:16]
        self.encoding, self._bom = _encoding(self.head)
        if self._bom or self.encoding != "utf-8":
            self.head = self._first(self.chunks())
        self._on_read, self.damaged, self.trouble = on_read, self.trouble is not None, None

    def chunks(self) -> Iterator[bytes]:
        """The text bytes, piece by piece, from the start."""
        chunks = self._bytes()
        if self._bom:
            chunks = _without(chunks, self._bom)
        return chunks if self.encoding == "utf-8" else self._recoded(chunks)

    @contextmanager
    def whole(self) -> Iterator[Path]:
        """The file's bytes as a file on disk that can be read in any order: its own, or a temporary one, decompressed."""
        if self._packing == "plain" and self._member is None:
            yield self.path
            return
        with tempfile.TemporaryDirectory() as folder:  # Windows opens no temporary file a second time
            path = Path(folder) / "whole"
            with path.open("wb") as file:
                file.writelines(self._bytes())
            yield path

    def decode(self, raw: bytes) -> str:
        r"""One record's text.

        A record that is not UTF-8 is read as cp1252 (of which Latin-1 text is a subset, bar control characters), by itself:
        one bad line does not change how the others read. NUL, and the five bytes that cp1252 leaves undefined, mean that
        this is not text at all.

        Raises:
            Undecodable: it is no text.
        """
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            if self.encoding != "utf-8":
                raise Undecodable("lone surrogate in UTF-16") from None
            try:
                text = raw.decode("cp1252")
            except UnicodeDecodeError:
                raise Undecodable("neither UTF-8 nor cp1252") from None
        if "\x00" in text:
            raise Undecodable("holds NUL")
        return text

    def _first(self, chunks: Iterator[bytes]) -> bytes:
        head = b""
        for chunk in chunks:
            head += chunk
            if len(head) >= CHUNK:
                break
        return head[:CHUNK]

    def _bytes(self) -> Iterator[bytes]:
        """Decompressed bytes."""
        self.trouble = None
        try:
            source = self.path.open("rb", buffering=CHUNK) if self._member is None else open_member(self.path, self._member)
        except ZIP_ERRORS:
            self.trouble = "zip is damaged here"
            return
        with source as file:
            data = self._pieces(file)
            if self._packing == "plain":
                yield from data
                return
            size = 0
            try:
                for piece in _inflated(data, self._packing):
                    size += len(piece)
                    if size > BOMB_BYTES and size > BOMB_RATIO * file.tell():
                        self.trouble = f"{self._packing} expands more than {BOMB_RATIO} times"
                        return
                    yield piece
            except EOFError:
                self.trouble = self.trouble or f"{self._packing} ends too early"
            except ERRORS:
                self.trouble = f"{self._packing} is damaged here"

    def _pieces(self, file: IO[bytes]) -> Iterator[bytes]:
        size = ZSTD_CHUNK if self._packing == "zst" else CHUNK
        try:
            while data := file.read(size):
                if self._on_read is not None:
                    self._on_read(len(data))
                yield data
        except ZIP_ERRORS:
            self.trouble = "zip is damaged here"
        except OSError as error:
            self.trouble = f"the system cannot read on from here ({error.strerror})"

    def _recoded(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        decoder = codecs.getincrementaldecoder(self.encoding)("surrogatepass")
        for chunk in chunks:
            yield decoder.decode(chunk).encode("utf-8", "surrogatepass")
        try:
            decoder.decode(b"", True)
        except UnicodeDecodeError:
            self.trouble = self.trouble or f"{self.encoding} ends within a character"


def _inflated(chunks: Iterator[bytes], container: str) -> Iterator[bytes]:
    """Decompress; a file may be several streams, one after the other, and end in zeros as padding.

    Raises:
        EOFError: the last stream does not end.
    """
    inflater = OPENERS[container]()
    for chunk in chunks:
        left = chunk
        while left and not (inflater.eof and not left.strip(b"\x00")):
            if inflater.eof:
                inflater = OPENERS[container]()
            piece, left = _inflate(inflater, left, container)
            if piece:
                yield piece
            while not inflater.eof and len(piece) >= CHUNK and not left:  # more may wait inside
                piece, left = _inflate(inflater, b"", container)
                if piece:
                    yield piece
    if not inflater.eof:
        raise EOFError


def _inflate(inflater: Any, data: bytes, container: str) -> tuple[bytes, bytes]:  # noqa: ANN401 - four libraries, one protocol
    """Feed compressed bytes: (bytes out, bytes still to feed)."""
    if container == "zst":
        piece = inflater.decompress(data) if data else b""
        return piece, inflater.unused_data if inflater.eof else b""
    piece = inflater.decompress(data, CHUNK)
    if inflater.eof:
        return piece, inflater.unused_data
    return piece, inflater.unconsumed_tail if container == "gz" else b""


def _encoding(head: bytes) -> tuple[str, int]:
    """Encoding by byte order mark, and the mark's length; UTF-16 without a mark shows by its zero bytes."""
    for bom, name in BOMS.items():
        if head.startswith(bom):
            return name, len(bom)
    sample = head[: CHUNK & ~1]
    if len(sample) >= 4:
        pairs = len(sample) // 2
        even, odd = sample[0::2].count(0), sample[1::2].count(0)
        if odd > 0.4 * pairs and even < 0.1 * odd:
            return "utf-16-le", 0
        if even > 0.4 * pairs and odd < 0.1 * even:
            return "utf-16-be", 0
    return "utf-8", 0


def _without(chunks: Iterator[bytes], count: int) -> Iterator[bytes]:
    """Leave out the first bytes."""
    for chunk in chunks:
        dropped = min(count, len(chunk))
        count -= dropped
        if len(chunk) > dropped:
            yield chunk[dropped:]
