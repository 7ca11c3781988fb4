"""CPU seconds of a run by step."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from align.processes import ranks
from curate.core.store import write_json


class Clock:
    """CPU seconds of the main process by step, kept on disk so that a resumed run counts what went before.

    Args:
        path: where they are kept.
        since: `time.process_time()` from which the first step counts.
    """

    def __init__(self, path: Path, since: float) -> None:
        """Go on from what an earlier call left."""
        self._path, self._since = path, since
        try:
            self.parts: dict[str, float] = json.loads(path.read_bytes())
        except (OSError, ValueError):
            self.parts = {}

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        """Count what runs inside, and what ran since the last step, to this one."""
        try:
            yield
        finally:
            now = time.process_time()
            self.parts[part] = round(self.parts.get(part, 0.0) + now - self._since, 2)
            self._since = now
            if ranks.is_main():
                write_json(self._path, self.parts)
