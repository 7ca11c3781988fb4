"""The work folder: what it remembers, its key and its log."""

from __future__ import annotations

import json
import secrets
import time
from pathlib import Path

from curate.core.manifest import Json, Manifest, find_manifest
from curate.core.store import write_bytes, write_json
from curate.raw.ingest import Ingested

CACHE = "cache"  # in the work folder: what models said of texts
DATASETS = "datasets.json"  # in the work folder: which parts made the dataset that stands
STATIC = "static"  # in the work folder: the static model that a recipe asked for


def keys_of(work: Path, manifest: Manifest) -> list[str] | None:
    """Keys of the receipts under `work/parts` from which a dataset was made; None where the work folder does not know it."""
    keys = _remembered(work).get(manifest.inputs)
    return list(keys) if isinstance(keys, list) else None


def remember(work: Path, out: Path, inputs: str, ingested: Ingested) -> None:
    """Keep which parts the dataset to come, and the one that stands, are made of: `curate forget` starts from them."""
    standing = find_manifest(out)
    known = {name: keys for name, keys in _remembered(work).items() if standing is not None and name == standing.inputs}
    write_json(work / DATASETS, known | {inputs: [file.key for file in ingested.files]})


def _remembered(work: Path) -> Json:
    try:
        known = json.loads((work / DATASETS).read_bytes())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def author_key_of(path: Path) -> bytes:
    """The key of author pseudonyms: random, kept in the work folder, never in `--out`."""
    if not path.exists():
        key = secrets.token_bytes(32)
        write_bytes(path, key)
        path.chmod(0o600)
    return path.read_bytes()


class BuildLog:
    """Times and counts, for people who tune; outside the fingerprint."""

    def __init__(self, path: Path) -> None:
        self._path, self._wall, self._cpu = path, time.monotonic(), time.process_time()

    def note(self, step: str, **facts: object) -> None:
        """Add a line: seconds and CPU seconds since the last one, and facts."""
        wall, cpu = time.monotonic(), time.process_time()
        line = {"step": step, "seconds": round(wall - self._wall, 3), "cpu_seconds": round(cpu - self._cpu, 3), **facts}
        self._wall, self._cpu = wall, cpu
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
