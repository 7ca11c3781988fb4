"""How often a file had the same record before: exact, and in memory that does not grow with the file."""

from __future__ import annotations

import hashlib
import sqlite3

MOST_HELD = 1 << 16  # distinct records that are counted in memory, about 10 MB; the rest on disk
CACHE_KIB = 16 << 10  # what SQLite may hold of its file


class Occurrences:
    """Counts records by a hash of eight bytes: of a billion different ones, two are taken for copies once in forty files.

    What such an accident costs is a row's name that another order of the file's lines would change, nothing else.
    """

    def __init__(self, most_held: int = MOST_HELD) -> None:
        """Nothing is counted yet.

        Args:
            most_held: distinct records to count in memory before the count moves to a temporary file.
        """
        self._most, self._held = most_held, dict[int, int]()
        self._store: sqlite3.Connection | None = None

    def count(self, table: str, raw: bytes) -> int:
        """How many records of these very bytes the table had before this one, from 0."""
        data = hashlib.blake2b(raw, digest_size=8, key=table.encode("utf-8", "surrogatepass")[:64]).digest()
        name = int.from_bytes(data, "little", signed=True)
        if self._store is None:
            before = self._held.get(name, 0)
            self._held[name] = before + 1
            if len(self._held) > self._most:
                self._spill()
            return before
        row = self._store.execute(
            "INSERT INTO seen VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET times = times + 1 RETURNING times", (name,)
        ).fetchone()
        return int(row[0]) - 1

    def close(self) -> None:
        """Give the disk space back."""
        if self._store is not None:
            self._store.close()

    def _spill(self) -> None:
        self._store = sqlite3.connect("", isolation_level=None)  # a temporary file that the system removes
        for setting in ("synchronous = OFF", "journal_mode = OFF", f"cache_size = -{CACHE_KIB}", "locking_mode = EXCLUSIVE"):
            self._store.execute(f"PRAGMA {setting}")
        self._store.execute("CREATE TABLE seen (name INTEGER PRIMARY KEY, times INTEGER)")
        self._store.execute("BEGIN")
        self._store.executemany("INSERT INTO seen VALUES (?, ?)", self._held.items())
        self._held = {}
