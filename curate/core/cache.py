"""What models said of texts, kept from build to build, so that a second build asks only about texts that are new.

One SQLite file per model, under the folder that `caching` names; a line is found by a 128-bit hash of its text and carries a
checksum of its own. A cache is never worth a build: a file that is damaged is moved aside and filled again, one that cannot be
written is done without, and either is said in one line. The text itself is nowhere in it; `keep_only` is how what was made of
a text leaves.
"""

from __future__ import annotations

import contextlib
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path

import numpy as np
import xxhash
from numpy.typing import NDArray

from curate.core.errors import StorageError
from curate.core.progress import Progress
from curate.core.schema import digest

FORMAT = "1"  # of the files; part of their names
SUFFIX = ".sqlite"
JOURNAL = "-journal"  # what SQLite adds to a file's name while it writes
DAMAGED = ".damaged"
COMMIT = 8192  # texts computed before they are kept: what a kill can lose
ASKED = 512  # keys in one question to SQLite
WAIT = 60.0  # seconds for another process that writes
SUM = 8  # bytes of checksum after each vector

Vectors = NDArray[np.float32]
Key = tuple[int, int]
"""The halves of a text's 128-bit hash, signed: the lower one is the line's number in the table."""

_folder: ContextVar[Path | None] = ContextVar("cache", default=None)


@contextlib.contextmanager
def caching(folder: Path) -> Iterator[None]:
    """Within this block, `cached` keeps what it computes under a folder.

    Args:
        folder: made when it is needed; private like the work folder, because a vector tells much of its text.
    """
    before = _folder.set(folder)
    try:
        yield
    finally:
        _folder.reset(before)


def cached(
    model_hash: str,
    texts: Sequence[str],
    compute: Callable[[list[str]], Vectors],
    width: int,
    progress: Progress | None = None,
) -> Vectors:
    """What a model says of texts: looked up where it is known, computed and kept where it is not.

    Args:
        model_hash: of all that decides what the model says: weights, precision, version of the code.
        texts: any texts; each different one is looked up and computed once.
        compute: numbers of different texts, shape (texts, width); those of a text must not depend on the others.
        width: numbers per text.
        progress: told of the texts that need no computing; `compute` tells of its own.

    Returns:
        Shape (n, width), float32, NaN included; bit for bit what `compute` gave, now or in an earlier build.
    """
    different = {text: place for place, text in enumerate(dict.fromkeys(texts))}
    vectors = np.zeros((len(different), width), np.float32)
    folder = _folder.get()
    if folder is None:
        if different:
            vectors[:] = _computed(compute, list(different), width)
    else:
        _fill(_VectorFile(folder, model_hash, width), list(different), compute, vectors, progress)
    return vectors[np.fromiter((different[text] for text in texts), np.int64, len(texts))]


def keep_only(folder: Path, texts: Iterable[str]) -> None:
    """Delete every line of a cache but those of some texts; what is deleted is overwritten on disk.

    Raises:
        StorageError: a file can neither be changed nor deleted.
    """
    keys = sorted({key_of(text) for text in texts})
    kept = {path for path in sorted(folder.glob(f"*{SUFFIX}")) if keys and _kept(path, keys)}
    for path in sorted(folder.glob("*")):
        if path not in kept and path.with_name(path.name.removesuffix(JOURNAL)) not in kept:
            path.unlink(missing_ok=True)


def key_of(text: str) -> Key:
    """The key of a text."""
    data = xxhash.xxh3_128_digest(text.encode("utf-8", "surrogatepass"))
    return int.from_bytes(data[8:], "big", signed=True), int.from_bytes(data[:8], "big", signed=True)


def _computed(compute: Callable[[list[str]], Vectors], texts: list[str], width: int) -> Vectors:
    vectors = np.asarray(compute(texts), np.float32)
    if vectors.shape != (len(texts), width):
        raise ValueError(f"a model gave numbers of shape {vectors.shape} for {len(texts)} texts, {width} wanted of each")
    return vectors


def _fill(
    file: _VectorFile, texts: list[str], compute: Callable[[list[str]], Vectors], vectors: Vectors, progress: Progress | None
) -> None:
    keys = [key_of(text) for text in texts]
    missing = np.flatnonzero(~file.look_up(keys, vectors))
    if progress is not None:
        progress.add(len(texts) - len(missing))
    for start in range(0, len(missing), COMMIT):
        places = missing[start : start + COMMIT]
        computed = _computed(compute, [texts[place] for place in places], vectors.shape[1])
        vectors[places] = computed
        file.add([keys[place] for place in places], computed)


class _DamagedLine(Exception):  # noqa: N818 - a signal, caught here
    """A line that is not as it was written."""


class _VectorFile:
    """The file of one model."""

    def __init__(self, folder: Path, model_hash: str, width: int) -> None:
        self._path = folder / f"{digest('cache', FORMAT, model_hash)}{SUFFIX}"
        self._width = width
        self._usable = True

    def look_up(self, keys: Sequence[Key], vectors: Vectors) -> NDArray[np.bool_]:
        """Put what is known of some keys into `found`, shape (keys, width); which are known."""
        known = np.zeros(len(keys), bool)
        places = {low: place for place, (low, _) in enumerate(keys)}
        lows = sorted(places)

        def read(base: sqlite3.Connection) -> None:
            for start in range(0, len(lows), ASKED):
                some = lows[start : start + ASKED]
                query = f"SELECT low, high, value FROM entries WHERE low IN ({','.join('?' * len(some))})"
                for low, high, value in base.execute(query, some):
                    vector = _vector(low, value)
                    if high == keys[places[low]][1] and len(vector) == self._width:
                        vectors[places[low]], known[places[low]] = vector, True

        if self._path.exists() and not self._try("reading it", read):
            known[:] = False  # so that all of it is written anew
        return known

    def add(self, keys: Sequence[Key], vectors: Vectors) -> None:
        """Keep vectors, shape (keys, width); all of them or, where that fails, none."""
        lines = [(low, high, _value(low, vector)) for (low, high), vector in zip(keys, vectors, strict=True)]

        def write(base: sqlite3.Connection) -> None:
            base.execute("BEGIN IMMEDIATE")
            base.executemany("INSERT OR REPLACE INTO entries VALUES (?, ?, ?)", lines)
            base.execute("COMMIT")

        if self._usable:
            self._try("writing to it", write)

    def _try(self, what: str, do: Callable[[sqlite3.Connection], None]) -> bool:
        """Do something with the open file; if that is damaged, move it aside. Whether it was done."""
        inode = None
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with _open(self._path) as base:
                inode = self._path.stat().st_ino
                do(base)
            return True
        except (sqlite3.OperationalError, OSError) as error:  # locked for long, no space, no permission
            self._usable = False
            _say(f"{self._path}: {what} failed ({error}); the build goes on without it")
        except (sqlite3.DatabaseError, _DamagedLine) as error:
            with contextlib.suppress(OSError):
                if inode in {None, self._path.stat().st_ino}:  # else another process has replaced it already
                    self._path.replace(f"{self._path}{DAMAGED}")
                    Path(f"{self._path}{JOURNAL}").unlink(missing_ok=True)
            _say(f"{self._path}: is damaged ({error}); moved aside to {self._path.name}{DAMAGED}, its texts are computed again")
        return False


@contextlib.contextmanager
def _open(path: Path) -> Iterator[sqlite3.Connection]:
    """The database, with its table; a transaction that a killed process left is undone by SQLite."""
    base = sqlite3.connect(path, timeout=WAIT, isolation_level=None)
    try:
        base.execute("PRAGMA synchronous = NORMAL")
        base.execute("CREATE TABLE IF NOT EXISTS entries (low INTEGER PRIMARY KEY, high INTEGER NOT NULL, value BLOB NOT NULL)")
        yield base
    finally:
        base.close()


def _kept(path: Path, keys: Sequence[Key]) -> bool:
    """Delete all but some keys from one file; whether any line is left and the file may stay."""
    try:
        with _open(path) as base:
            base.execute("PRAGMA secure_delete = ON")
            base.execute("PRAGMA temp_store = MEMORY")
            base.execute("CREATE TEMP TABLE kept (low INTEGER PRIMARY KEY, high INTEGER)")
            base.execute("BEGIN IMMEDIATE")
            base.executemany("INSERT OR REPLACE INTO kept VALUES (?, ?)", keys)
            gone = base.execute("DELETE FROM entries WHERE (low, high) NOT IN (SELECT low, high FROM kept)").rowcount
            base.execute("COMMIT")
            if gone:
                base.execute("VACUUM")
            return bool(base.execute("SELECT EXISTS (SELECT 1 FROM entries)").fetchone()[0])
    except sqlite3.OperationalError as error:
        raise StorageError(
            f"{path}: cannot be changed ({error})", hint="end what uses it, or delete it, and run this again"
        ) from None
    except sqlite3.DatabaseError:  # damaged: nothing of it is worth keeping
        return False


def _value(low: int, vector: Vectors) -> bytes:
    """A vector in float16 where that loses nothing, else in float32; before it, which; after it, a checksum with the key."""
    with np.errstate(over="ignore"):
        half = vector.astype("<f2")
    data = (half if (half.astype(np.float32) == vector).all() else vector.astype("<f4")).tobytes()
    data = (b"h" if len(data) == 2 * len(vector) else b"s") + data
    return data + _sum(low, data)


def _vector(low: int, value: bytes) -> Vectors:
    data = value[:-SUM] if isinstance(value, bytes) else b""
    if not data or value[-SUM:] != _sum(low, data):
        raise _DamagedLine("a checksum does not fit")
    return np.frombuffer(data, "<f2" if data[:1] == b"h" else "<f4", offset=1).astype(np.float32)


def _sum(low: int, data: bytes) -> bytes:
    return bytes(xxhash.xxh3_64_digest(data, seed=low & 0xFFFFFFFFFFFFFFFF))


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
