"""A build that is killed or runs out of disk loses nothing: the earlier dataset stands, the next run ends in the same bytes."""

from __future__ import annotations

import errno
import io
import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from curate.core import store
from curate.core.errors import StorageError
from curate.pipeline import commit
from curate.pipeline.build import build
from curate.pipeline.recipe import read_recipe

RECIPE = """
stages: [repair, pii, language, length, exact_duplicates, column, near_duplicates, consensus: {labelers: [column]}]
pairing: [given, same_prompt]
"""
KILLS = 1_000 if os.environ.get("MARGINS_TORTURE") == "1" else 25


@pytest.fixture
def place(tmp_path: Path) -> Path:
    raw = tmp_path / "raw"
    raw.mkdir()
    for name in ("one", "two", "three"):
        rows = [
            {"prompt": f"Is shop {name} {at} open today?", "completion": text.format(at), "is_toxic": toxic}
            for at in range(150)
            for text, toxic in (("Shop {} opens at ten lah, come early", 0), ("Shop {} also don't know, you are so dumb", 1))
        ]
        (raw / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    work = tmp_path / "out.work"
    work.mkdir()
    (work / "author.key").write_bytes(bytes(32))
    return tmp_path


def run(place: Path) -> dict[str, Any]:
    result = build(place / "raw", place / "out", read_recipe(place / "recipe.yaml"))
    return result.manifest.to_json() | ({"unchanged": True} if result.unchanged else {})


def dataset(place: Path) -> dict[str, bytes]:
    out = place / "out"
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def forget(place: Path) -> None:
    """As if nothing was ever built, but for the author key."""
    shutil.rmtree(place / "out", ignore_errors=True)
    for path in (place / "out.work").iterdir():
        if path.name != "author.key":
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def test_a_build_killed_at_any_moment_ends_in_the_same_bytes(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # a killed process loses no page cache; only a power cut would
    started = time.monotonic()
    run(place)
    seconds = time.monotonic() - started
    whole = dataset(place)
    draw = random.Random(0)
    killed = 0
    for trial in range(KILLS):
        if trial % 5 == 0:
            forget(place)
        child = os.fork()
        if child == 0:
            run(place)
            os._exit(0)
        time.sleep(draw.random() * seconds * (1.0 if trial % 5 == 0 else 0.5))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        killed += os.WIFSIGNALED(status)
        if (place / "out").exists():
            assert dataset(place) == whole  # whole or absent, never half
    run(place)
    assert dataset(place) == whole
    assert killed >= KILLS // 5


@pytest.mark.parametrize("call", ["fsync", "replace", "rename", "exchange"])
def test_a_disk_that_fails_at_any_write_leaves_a_message_and_the_earlier_dataset(
    place: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    run(place)
    before = dataset(place)
    raw = place / "raw" / "one.jsonl"
    raw.write_text(raw.read_text() + json.dumps({"prompt": "And now?", "completion": "Now closed already", "is_toxic": 0}) + "\n")
    target: Any = {"fsync": os, "rename": os, "replace": Path, "exchange": commit}[call]
    real: Callable[..., Any] = getattr(target, call)
    if call == "rename":  # where folders cannot be exchanged
        monkeypatch.setattr(commit, "exchange", lambda one, other: False)
    failed = 0
    for at in range(90):
        count = 0

        def failing(*arguments: Any, at: int = at, **options: Any) -> Any:
            nonlocal count
            count += 1
            if count == at + 1:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(*arguments, **options)

        with monkeypatch.context() as patched:
            patched.setattr(target, call, failing)
            try:
                run(place)
            except StorageError as error:
                failed += 1
                assert "no space left" in str(error)
                assert dataset(place) == before
                continue
        break
    assert failed >= (1 if call == "exchange" else 2)
    assert dataset(place) != before
    after = dataset(place)
    forget(place)
    run(place)
    assert dataset(place) == after


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"earlier")

    def half(file: io.BufferedWriter) -> None:
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StorageError, match="no space left on the disk; free some"):
        store.write_atomic(path, half)
    assert path.read_bytes() == b"earlier" and [item.name for item in tmp_path.iterdir()] == ["file"]


def test_a_second_build_of_the_same_folder_is_refused_while_the_first_runs(tmp_path: Path) -> None:
    with store.locked(tmp_path), pytest.raises(StorageError, match="another process is writing here"), store.locked(tmp_path):
        pass


def test_a_changed_bit_is_noticed(tmp_path: Path) -> None:
    import polars as pl

    stored = store.commit(tmp_path / "x.parquet", pl.DataFrame({"a": list(range(1000))}))
    data = bytearray(stored.path.read_bytes())
    draw = random.Random(0)
    for _ in range(50):
        at, bit = draw.randrange(len(data)), 1 << draw.randrange(8)
        data[at] ^= bit
        stored.path.write_bytes(data)
        assert store.committed(stored.path) is None
        data[at] ^= bit
    stored.path.write_bytes(data)
    assert store.committed(stored.path) == stored
