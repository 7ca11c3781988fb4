"""Zip archives: which members can be read, and why others are left aside. Nothing is ever unpacked by its name."""

from __future__ import annotations

import re
import stat
import zipfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO

STARTS = (b"PK\x03\x04", b"PK\x05\x06")  # an archive with members, and one without any
MAX_DIRECTORY = 32 << 20  # bytes of an archive's table of contents, which is held in memory: about 400,000 members
BOMB_BYTES = 1 << 28  # below this, any ratio is harmless
BOMB_RATIO = 300  # text shrinks 3 to 30 times; deflate's own limit, which is also gzip's, is 1,032

_TAIL = (1 << 16) + 22 + 20  # the end record, the longest comment behind it, the zip64 locator before it
_DOCUMENT = ("[Content_Types].xml", "META-INF/MANIFEST.MF", "mimetype")
"""Members that make a zip one document (docx, xlsx, jar, odt, epub) rather than a folder of files."""


@dataclass(frozen=True)
class Member:
    """A member of an archive.

    Attributes:
        name: as the archive has it, which is how it is opened.
        path: the same with '/' between folders.
        size: bytes, decompressed, as the archive says.
        reason: why it is not read; null when it is.
    """

    name: str
    path: str
    size: int
    reason: str | None = None


def is_zip(path: Path) -> bool:
    """Whether a file begins as zip archives do; false for one that cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(4) in STARTS
    except OSError:
        return False


def members(path: Path) -> list[Member] | None:
    """The members of an archive, folders left out; None for a document that happens to be a zip, such as a workbook.

    Raises:
        zipfile.BadZipFile: damaged, or with a table of contents of more than `MAX_DIRECTORY` bytes.
        OSError: it cannot be read.
    """
    archive = _archive(path, path.stat().st_mtime_ns)
    infos = [info for info in archive.infolist() if not info.is_dir()]
    if any(info.filename in _DOCUMENT for info in infos):
        return None
    last = {info.filename: info for info in infos}  # of two with one name, the one that the name opens
    bomb = _expands(sum(info.file_size for info in infos), path.stat().st_size)
    contents = []
    for info in infos:
        reason = "duplicate_name" if last[info.filename] is not info else "bomb" if bomb else _reason(info)
        contents.append(Member(info.filename, info.filename.replace("\\", "/"), info.file_size, reason))
    return contents


def open_member(path: Path, name: str) -> IO[bytes]:
    """A member's bytes.

    Raises:
        zipfile.BadZipFile, NotImplementedError, RuntimeError: damaged, or packed in a way that cannot be read.
        OSError: the archive cannot be read.
    """
    try:
        return _archive(path, path.stat().st_mtime_ns).open(name)
    except KeyError:
        raise zipfile.BadZipFile("no such member") from None


def _reason(info: zipfile.ZipInfo) -> str | None:
    """Why a member is not read; null when it is."""
    path = info.filename.replace("\\", "/")
    steps = path.split("/")
    if path.startswith("/") or re.match(r"[A-Za-z]:", path):
        return "absolute_path"
    if ".." in steps:
        return "path_traversal"
    if info.flag_bits & 1:
        return "encrypted"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "symlink"
    if any(step.startswith(".") or step == "__MACOSX" for step in steps):
        return "hidden"
    return "bomb" if _expands(info.file_size, info.compress_size) else None


def _expands(size: int, packed: int) -> bool:
    return size > BOMB_BYTES and size > BOMB_RATIO * max(1, packed)


@lru_cache(maxsize=1)
def _archive(path: Path, modified_ns: int) -> zipfile.ZipFile:
    """An archive, kept open while its members are read one after the other: its table of contents is parsed once.

    Args:
        path: where it lies.
        modified_ns: when it was last changed; only there so that one that has changed is opened anew.
    """
    if _directory_bytes(path) > MAX_DIRECTORY:
        raise zipfile.BadZipFile("table of contents too long")
    return zipfile.ZipFile(path)


def _directory_bytes(path: Path) -> int:
    """How long an archive's table of contents says it is; the most that any end record in reach says."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL - 56))
        tail = file.read()
    sizes = [0]
    for mark, at, width in ((b"PK\x05\x06", 12, 4), (b"PK\x06\x06", 40, 8)):
        for record in re.finditer(re.escape(mark), tail):
            size = int.from_bytes(tail[record.start() + at : record.start() + at + width], "little")
            sizes.append(0 if width == 4 and size == 0xFFFFFFFF else size)
    return min(max(sizes), path.stat().st_size)
