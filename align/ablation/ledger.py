"""The grid's ledger: which tasks are claimed, done or failed; SQLite: several workers share it, and a kill loses nothing."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

from align.ablation.result import TaskResult
from align.ablation.tasks import Task
from curate.core.errors import StorageError

SCHEMA = """
CREATE TABLE IF NOT EXISTS tasks (
    key TEXT PRIMARY KEY,
    task TEXT NOT NULL,       -- what it is, JSON
    state TEXT NOT NULL,      -- running, done, failed
    result TEXT,              -- JSON, of done ones
    error TEXT,               -- one line, of failed ones
    cpu REAL,                 -- CPU seconds
    wall REAL                 -- seconds
)
"""
WAIT = 60.0  # seconds to wait for another process's write


class Ledger:
    """One file; every change is a transaction.

    Raises:
        StorageError: the file is no ledger, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        """Open or make it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        with self._open() as connection:
            connection.execute(SCHEMA)

    def release(self) -> int:
        """Give back what was claimed and never finished; returns how many. Only when no worker is alive."""
        with self._open() as connection:
            return connection.execute("DELETE FROM tasks WHERE state IN ('running', 'failed')").rowcount

    def claim(self, ready: Mapping[str, Task]) -> tuple[str, Task] | None:
        """Take the first task that nobody has taken, or None."""
        with self._open() as connection:
            connection.execute("BEGIN IMMEDIATE")
            taken = {key for (key,) in connection.execute("SELECT key FROM tasks")}
            for key, task in ready.items():
                if key not in taken:
                    connection.execute(
                        "INSERT INTO tasks (key, task, state) VALUES (?, ?, 'running')", (key, _json(asdict(task)))
                    )
                    return key, task
        return None

    def finish(self, key: str, result: TaskResult, cpu: float, wall: float) -> None:
        """A claimed task is done."""
        with self._open() as connection:
            connection.execute(
                "UPDATE tasks SET state = 'done', result = ?, cpu = ?, wall = ? WHERE key = ?",
                (_json(result.to_json()), cpu, wall, key),
            )

    def fail(self, key: str, error: str) -> None:
        """A claimed task failed; the next run tries it again."""
        with self._open() as connection:
            connection.execute("UPDATE tasks SET state = 'failed', error = ? WHERE key = ?", (error, key))

    def done(self) -> dict[str, TaskResult]:
        """Results by key."""
        with self._open() as connection:
            rows = connection.execute("SELECT key, result FROM tasks WHERE state = 'done'").fetchall()
        return {key: TaskResult.from_json(json.loads(text)) for key, text in rows}

    def counts(self) -> dict[str, int]:
        """How many tasks are in each state."""
        with self._open() as connection:
            return dict(connection.execute("SELECT state, COUNT(*) FROM tasks GROUP BY state"))

    def failures(self) -> dict[str, tuple[Task, str]]:
        """What failed, and why, by key."""
        with self._open() as connection:
            rows = connection.execute("SELECT key, task, error FROM tasks WHERE state = 'failed' ORDER BY key").fetchall()
        return {key: (Task(**json.loads(task)), error) for key, task, error in rows}

    def seconds(self) -> dict[str, tuple[float, float]]:
        """CPU and wall seconds of finished tasks, by key."""
        with self._open() as connection:
            return {
                key: (cpu, wall) for key, cpu, wall in connection.execute("SELECT key, cpu, wall FROM tasks WHERE state = 'done'")
            }

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = sqlite3.connect(self._path, timeout=WAIT, isolation_level=None)
            try:
                yield connection
                if connection.in_transaction:
                    connection.execute("COMMIT")
            finally:
                connection.close()  # what was not committed is undone
        except sqlite3.DatabaseError as error:
            raise StorageError(
                f"{self._path}: the ledger cannot be used ({error})", hint="free some space, or delete it to start over"
            ) from error


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True)
