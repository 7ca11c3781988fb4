"""What models said is kept by text: nothing is computed twice, nothing damaged is believed, nothing forgotten stays."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from curate.core import cache
from curate.core.cache import cached, caching, keep_only

TEXTS = [f"message {at} says hello" for at in range(40)]
MODEL = "a model's hash"
Compute = Callable[[list[str]], np.ndarray]


def lengths(texts: list[str]) -> np.ndarray:
    """A model of three numbers a text: one that float16 holds, one that it does not, one that abstains on short texts."""
    return np.array([[len(t), len(t) / 3, np.nan if len(t) < 3 else 1e9] for t in texts], np.float32).reshape(-1, 3)


class Counting:
    """Computes, and remembers of what."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, texts: list[str]) -> np.ndarray:
        self.texts += texts
        return lengths(texts)


def ask(folder: Path, texts: list[str], model: str = MODEL) -> list[str]:
    """The texts that had to be computed; the numbers must be the model's, bit for bit."""
    compute = Counting()
    with caching(folder):
        found = cached(model, texts, compute, 3)
    assert found.dtype == np.float32 and found.tobytes() == lengths(texts).tobytes()
    return compute.texts


def only_file(folder: Path) -> Path:
    (path,) = folder.glob("*.sqlite")
    return path


def test_only_new_texts_are_computed_and_each_once(tmp_path: Path) -> None:
    assert ask(tmp_path, [*TEXTS[:3], TEXTS[0], ""]) == [*TEXTS[:3], ""]
    assert ask(tmp_path, [TEXTS[4], *TEXTS[:4], "", "\ud800"]) == [TEXTS[4], TEXTS[3], "\ud800"]
    assert ask(tmp_path, TEXTS[:5]) == [] and ask(tmp_path, []) == []


def test_without_a_folder_it_just_computes(tmp_path: Path) -> None:
    compute = Counting()
    for _ in range(2):
        assert cached(MODEL, ["a", "b", "a"], compute, 3).tobytes() == lengths(["a", "b", "a"]).tobytes()
    assert compute.texts == ["a", "b"] * 2
    assert cached(MODEL, [], compute, 3).shape == (0, 3)
    with caching(tmp_path):
        pass
    cached(MODEL, ["c"], compute, 3)
    assert not list(tmp_path.iterdir())


def test_models_do_not_share_what_they_said(tmp_path: Path) -> None:
    ask(tmp_path, TEXTS[:2])
    assert ask(tmp_path, TEXTS[:2], model="another") == TEXTS[:2]
    assert len(list(tmp_path.glob("*.sqlite"))) == 2


def test_a_model_that_gives_too_little_is_a_mistake(tmp_path: Path) -> None:
    with caching(tmp_path), pytest.raises(ValueError, match=r"shape \(2, 3\) for 2 texts, 4 wanted"):
        cached(MODEL, ["a", "b"], lengths, 4)


def test_numbers_of_another_width_are_computed_again(tmp_path: Path) -> None:
    ask(tmp_path, ["a"])
    with caching(tmp_path):
        assert cached(MODEL, ["a"], lambda texts: np.ones((len(texts), 1)), 1).tolist() == [[1.0]]


@pytest.mark.parametrize("damage", ["cut", "noise", "header", "flip", "empty", "text"])
def test_a_damaged_file_is_moved_aside_said_in_one_line_and_filled_again(
    tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ask(tmp_path, TEXTS)
    path = only_file(tmp_path)
    data = bytearray(path.read_bytes())
    if damage == "cut":
        data = data[: len(data) // 2]
    elif damage == "noise":
        data[4096:] = np.random.default_rng(0).bytes(len(data) - 4096)
    elif damage == "header":
        data[:16] = b"x" * 16
    elif damage == "flip":
        data[-20] ^= 1  # within the first line's numbers
    elif damage == "empty":
        data = bytearray()
    else:
        data = bytearray(b"not a database at all\n" * 300)
    path.write_bytes(data)
    ask(tmp_path, TEXTS)
    said = capsys.readouterr().err
    if damage == "empty":  # which SQLite takes for a new file
        assert not said
    else:
        assert said.count("\n") == 1 and "is damaged" in said and path.with_name(f"{path.name}.damaged").exists()
    assert ask(tmp_path, TEXTS) == []
    assert not capsys.readouterr().err


def test_a_file_that_cannot_be_written_stops_no_build(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "cache").write_text("in the way", "utf-8")
    assert ask(tmp_path / "cache", TEXTS[:2]) == TEXTS[:2]
    assert "the build goes on without it" in capsys.readouterr().err


def test_while_another_process_writes_the_build_waits_then_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ask(tmp_path, TEXTS[:1])
    monkeypatch.setattr(cache, "WAIT", 0.05)
    writer = sqlite3.connect(only_file(tmp_path), isolation_level=None)
    writer.execute("BEGIN EXCLUSIVE")
    assert ask(tmp_path, TEXTS[:2]) == TEXTS[:2]
    assert "locked" in capsys.readouterr().err
    writer.close()
    assert ask(tmp_path, TEXTS[:2]) == [TEXTS[1]]


def fill(folder: Path, start: int) -> None:
    for at in range(start, start + 60):
        ask(folder, [f"text {at // 2}", f"text {at}"])


def test_two_processes_fill_one_file(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=fill, args=(tmp_path, start)) for start in (0, 30)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert ask(tmp_path, [f"text {at}" for at in range(90)]) == []


def slowly(folder: Path) -> None:
    def compute(texts: list[str]) -> np.ndarray:
        if TEXTS[25] in texts:
            (folder / "reached").touch()
            time.sleep(60)
        return lengths(texts)

    cache.COMMIT = 10
    with caching(folder / "cache"):
        cached(MODEL, TEXTS, compute, 3)


def test_a_kill_loses_only_what_was_not_yet_kept(tmp_path: Path) -> None:
    process = multiprocessing.get_context("fork").Process(target=slowly, args=(tmp_path,))
    process.start()
    until = time.monotonic() + 30
    while not (tmp_path / "reached").exists() and time.monotonic() < until:
        time.sleep(0.01)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(10)
    assert ask(tmp_path / "cache", TEXTS) == TEXTS[20:]


def test_what_is_not_kept_leaves_no_byte(tmp_path: Path) -> None:
    ask(tmp_path, TEXTS)
    ask(tmp_path, TEXTS[:2], model="another")
    path = only_file_of(tmp_path, MODEL)
    path.with_name("old.sqlite.damaged").write_bytes(path.read_bytes())
    gone = [cache.key_of(text)[1].to_bytes(8, "big", signed=True) for text in TEXTS[2:]]  # as SQLite stores it
    assert sum(high in path.read_bytes() for high in gone) == len(gone)
    keep_only(tmp_path, TEXTS[1:2])
    left = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert not any(high in left for high in gone)
    assert len(list(tmp_path.iterdir())) == 2
    assert ask(tmp_path, TEXTS[:3]) == [TEXTS[0], TEXTS[2]]


def only_file_of(folder: Path, model: str) -> Path:
    return cache._VectorFile(folder, model, 3)._path


def test_a_cache_of_which_nothing_is_kept_is_gone(tmp_path: Path) -> None:
    ask(tmp_path, TEXTS)
    (tmp_path / "x.sqlite").write_text("not a database", "utf-8")
    keep_only(tmp_path, ["something else"])
    assert not list(tmp_path.iterdir())
    keep_only(tmp_path / "absent", TEXTS)
