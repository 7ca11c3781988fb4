"""Which checkpoint is believed: the newest whose every file is what its manifest says."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from align.training.checkpoints import Interrupted, TrainingTerminated, discard_newer, held, newest, prune, seal
from curate.core.errors import StorageError

NAMES = ["model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Checkpoints 10 and 20, sealed."""
    for step in (10, 20):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        for name in [*NAMES, "training_args.bin"]:
            (folder / name).write_bytes(f"{name} at {step}".encode() * 9)
        seal(folder, step, "mine")
    return tmp_path


def test_the_newest_is_taken(out: Path) -> None:
    assert newest(out, "mine") == (out / "checkpoint-20", [])


@pytest.mark.parametrize("damage", ["missing", "truncated", "longer", "one bit flipped"])
@pytest.mark.parametrize("name", [*NAMES, "manifest.json"])
def test_a_damaged_file_means_the_one_before(out: Path, name: str, damage: str) -> None:
    path = out / "checkpoint-20" / name
    data = path.read_bytes()
    middle = len(data) // 2
    if damage == "missing":
        path.unlink()
    else:
        flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        path.write_bytes({"truncated": data[:middle], "longer": data + b"x", "one bit flipped": flipped}[damage])
    found, faults = newest(out, "mine")
    assert found == out / "checkpoint-10"
    assert len(faults) == 1 and faults[0].startswith("checkpoint-20: ")


def test_every_bit_of_a_manifest_counts(out: Path) -> None:
    path = out / "checkpoint-20" / "manifest.json"
    data = path.read_bytes()
    for bit in range(0, 8 * len(data), 37):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        found, faults = newest(out, "mine")
        if found != out / "checkpoint-10":  # a blank became another blank
            assert faults == [] and json.loads(flipped) == json.loads(data)


def test_without_any_there_is_none(out: Path) -> None:
    for path in out.glob("*/manifest.json"):
        path.unlink()
    found, faults = newest(out, "mine")
    assert found is None and faults == ["checkpoint-20: was not finished", "checkpoint-10: was not finished"]


def test_checkpoints_of_other_work_are_refused(out: Path) -> None:
    with pytest.raises(StorageError, match="belongs to another phase"):
        newest(out, "theirs")


def test_only_the_newest_stay_and_pickles_never(out: Path) -> None:
    assert not list(out.rglob("training_args.bin"))
    (out / "checkpoint-5").mkdir()
    (out / "checkpoint-30").mkdir()  # being written
    prune(out, keep=1)
    assert sorted(path.name for path in out.iterdir()) == ["checkpoint-20", "checkpoint-30"]
    discard_newer(out, 20)
    assert [path.name for path in out.iterdir()] == ["checkpoint-20"]
    prune(out, keep=0)
    assert not list(out.iterdir())


@pytest.mark.parametrize(("number", "kind"), [(signal.SIGINT, Interrupted), (signal.SIGTERM, TrainingTerminated)])
def test_a_signal_waits_and_a_second_one_does_not(number: signal.Signals, kind: type[Interrupted]) -> None:
    before = signal.signal(number, lambda *_: (_ for _ in ()).throw(TimeoutError))
    try:
        with held() as signals, pytest.raises(TimeoutError):
            os.kill(os.getpid(), number)
            assert signals.received is number
            stop = signals.stop("stopped after step 3")
            assert type(stop) is kind and stop.exit_code == 128 + number and "goes on from there" in str(stop)
            os.kill(os.getpid(), number)
    finally:
        signal.signal(number, before)
