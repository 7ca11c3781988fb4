"""Files that are whole or absent: atomic writes, checksummed Parquet, and a cache whose keys are what was read.

A cached file `x.parquet` counts only when its receipt `x.json` (sha256, rows) lies beside it; the receipt is written
last, so a process killed at any moment leaves either both or nothing that is believed.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from curate.core.errors import StorageError
from curate.core.schema import digest

WINDOWS = os.name == "nt"
PARQUET_ROWS = 65_536  # most rows of one part or one output file
MODEL_FILES = ("*.safetensors", "*.json", "*.txt", "*.model")  # of a model that reads; a README decides nothing
WRITER_SUFFIXES = {".safetensors", ".json", ".jinja", ".model"}  # of a model that writes: how a dialogue is laid out, too
BLOCK = 2**22  # bytes read at a time


def sha256(path: Path) -> str:
    """Hex sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_hash(folder: Path) -> str:
    """Hash of the files in a folder, at any depth, that decide what an encoder or a classifier puts out.

    Raises:
        StorageError: no safetensors file among them.
    """
    files = sorted({path for pattern in MODEL_FILES for path in folder.rglob(pattern) if path.is_file()})
    if not any(path.suffix == ".safetensors" for path in files):
        raise StorageError(f"{folder}: no .safetensors file", hint="save the model with save_pretrained() in a current version")
    return digest(*(text for path in files for text in (path.relative_to(folder).as_posix(), sha256(path))), size=32)


def writer_hash(folder: Path) -> str:
    """Hash of the files in a folder that decide what a language model writes; "" where there is no such folder."""
    if not folder.is_dir():
        return ""
    return files_hash(sorted(path for path in folder.iterdir() if path.suffix in WRITER_SUFFIXES))


def files_hash(paths: Iterable[Path]) -> str:
    """One hash of some files' names and bytes, in that order."""
    import xxhash

    total = xxhash.xxh3_128()
    for path in paths:
        total.update(path.name.encode())
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                total.update(block)
    return total.hexdigest()


def write_atomic(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """Write a file under a temporary name, fsync it, then give it its name: a reader sees the old file or the new one.

    Raises:
        StorageError: the disk is full, read-only or otherwise will not take it; the earlier file is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise storage_error(error, path) from error


def write_bytes(path: Path, data: bytes) -> None:
    """Write bytes atomically."""
    write_atomic(path, lambda file: _write_all(file, data))


def write_text(path: Path, text: str) -> None:
    """Write text as UTF-8 atomically; lone surrogates pass."""
    write_bytes(path, text.encode("utf-8", "surrogatepass"))


def write_json(path: Path, value: object) -> None:
    """Write sorted, indented JSON atomically."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def write_parquet(path: Path, frame: pl.DataFrame) -> None:
    """Write Parquet with page checksums: the same frame gives the same bytes."""
    table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
    write_atomic(path, lambda file: _write_table(file, table))


def read_parquet(path: Path, columns: list[str] | None = None) -> pl.DataFrame:
    """Read Parquet, verifying its page checksums.

    Raises:
        StorageError: unreadable, truncated or changed on disk.
    """
    try:
        table = pq.read_table(path, columns=columns, page_checksum_verification=True, partitioning=None)
    except (OSError, pa.ArrowException) as error:
        raise StorageError(
            f"{path}: cannot be read as it was written ({type(error).__name__})", hint="delete it and build again"
        ) from None
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame if columns is None else frame.select(columns)


@dataclass(frozen=True)
class Stored:
    """A committed file of the cache, and the hash of its bytes."""

    path: Path
    sha256: str
    rows: int
    extra: dict[str, Any]

    def read(self, columns: list[str] | None = None) -> pl.DataFrame:
        """The frame, or some of its columns."""
        return read_parquet(self.path, columns)


def committed(path: Path) -> Stored | None:
    """The cached file, if it and its receipt are there and its bytes are what the receipt says."""
    receipt = path.with_suffix(".json")
    try:
        facts = json.loads(receipt.read_bytes())
        if sha256(path) != facts["sha256"]:
            return None
        return Stored(path, facts["sha256"], facts["rows"], facts["extra"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def commit(path: Path, frame: pl.DataFrame, **extra: object) -> Stored:
    """Write a cached file, then its receipt.

    Args:
        path: ends in `.parquet`.
        frame: what to keep.
        extra: JSON values to keep in the receipt (counts, not text).
    """
    path.with_suffix(".json").unlink(missing_ok=True)
    write_parquet(path, frame)
    stored = Stored(path, sha256(path), frame.height, extra)
    write_json(path.with_suffix(".json"), {"sha256": stored.sha256, "rows": stored.rows, "extra": extra})
    return stored


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder for this process; a second build of the same folder is refused, not mixed in.

    The operating system keeps the lock and frees it when the process ends, however it ends.

    Raises:
        StorageError: another process holds it, or the disk takes no lock.
    """
    lock = FileLock(folder / ".lock", blocking=False)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock.acquire()
    except Timeout:
        raise StorageError(f"{folder}: another process is writing here", hint="wait for it, or choose another folder") from None
    except OSError as error:
        raise storage_error(error, folder) from error
    try:
        yield
    finally:
        lock.release()


def storage_error(error: OSError, path: Path) -> StorageError:
    """Say what an operating system's refusal means and what would do."""
    reason, cure = {
        errno.ENOSPC: ("no space left on the disk", "free some and run the same command again; it goes on from here"),
        errno.EDQUOT: ("the disk quota is used up", "free some and run the same command again; it goes on from here"),
        errno.EROFS: ("the disk is read-only", "pass an --out on a disk that can be written"),
        errno.EACCES: ("no permission to write", "pass an --out that you may write to"),
        errno.EPERM: ("no permission to write", "pass an --out that you may write to"),
    }.get(error.errno or 0, (error.strerror or type(error).__name__, "check the path and the disk"))
    return StorageError(f"{path}: {reason}", hint=cure)


def _write_table(file: BinaryIO, table: pa.Table) -> None:
    pq.write_table(table, file, compression="zstd", compression_level=3, write_page_checksum=True)


def _write_all(file: BinaryIO, data: bytes) -> None:
    file.write(data)


def sync_folder(folder: Path) -> None:
    """Make a rename last. Windows opens no folder as a file, and writes its journal by itself."""
    if WINDOWS:
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
