"""Checkpoints that are whole or not believed, and signals that wait for one."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import ClassVar

from torch import Tensor
from transformers import PreTrainedModel

from align.data.run_folder import DONE, WEIGHTS
from curate.core.errors import StorageError, UserError
from curate.core.store import sha256, write_json

MANIFEST = "manifest.json"
KEEP = 2  # whole checkpoints kept while a phase runs: one to go on from, one should its disk block go bad
PICKLES = ("training_args.bin",)  # never read: unpickling it can run anything

log = logging.getLogger("align")


class Interrupted(UserError):
    """SIGINT came; a checkpoint was saved."""

    exit_code: ClassVar[int] = 130


class TrainingTerminated(Interrupted):
    """SIGTERM came; a checkpoint was saved."""

    exit_code: ClassVar[int] = 143


def seal(folder: Path, step: int, key: str) -> None:
    """Make a written checkpoint believable: every file on the disk, then the manifest with their hashes.

    Args:
        folder: the checkpoint.
        step: optimizer steps done.
        key: whose checkpoint it is; see `newest`.
    """
    for name in PICKLES:
        (folder / name).unlink(missing_ok=True)
    files = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST):
        with path.open("r+b") as file:  # Windows syncs only what is open for writing
            os.fsync(file.fileno())
        files[path.relative_to(folder).as_posix()] = {"sha256": sha256(path), "bytes": path.stat().st_size}
    facts = {"step": step, "key": key, "files": files}
    write_json(folder / MANIFEST, facts | {"sha256": _digest(facts)})


def prune(out: Path, keep: int = KEEP) -> None:
    """Delete all but the newest `keep` sealed checkpoints, and what was never sealed and is older than those."""
    sealed = [folder for folder in _folders(out) if (folder / MANIFEST).is_file()]
    kept = sealed[:keep]
    for folder in _folders(out):
        if folder not in kept and (not kept or step_of(folder) < step_of(kept[0])):
            (folder / MANIFEST).unlink(missing_ok=True)  # first, so that a kill in between leaves nothing half believed
            shutil.rmtree(folder)


def newest(out: Path, key: str) -> tuple[Path | None, list[str]]:
    """The newest checkpoint whose every file is what its manifest says, and what is wrong with newer ones.

    Raises:
        StorageError: the folder holds checkpoints of other work.
    """
    damage: list[str] = []
    for folder in _folders(out):
        fault = _fault(folder, key)
        if fault is None:
            for line in damage:
                log.warning("%s; going on from %s", line, folder.name)
            return folder, damage
        damage.append(f"{folder.name}: {fault}")
    for line in damage:
        log.warning("%s; starting this phase again", line)
    return None, damage


def discard_newer(out: Path, step: int) -> None:
    """Delete checkpoints beyond a step: damaged ones, which the resumed run will write anew."""
    for folder in _folders(out):
        if step_of(folder) > step:
            shutil.rmtree(folder)


class Signals:
    """Which signal came first, if any; see `held`."""

    received: signal.Signals | None = None

    def stop(self, message: str) -> Interrupted:
        """The error that ends the run."""
        kind = TrainingTerminated if self.received is signal.SIGTERM else Interrupted
        name = self.received.name if self.received else "interrupt"
        return kind(f"{name}: {message}", hint="the same command goes on from there")


@contextlib.contextmanager
def held() -> Iterator[Signals]:
    """Hold SIGINT and SIGTERM back until the step in progress is done and saved; a second one acts at once.

    Outside the main thread, where Python delivers no signals, this does nothing.
    """
    state = Signals()
    before: dict[signal.Signals, object] = {}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        before.clear()

    def note(number: int, frame: FrameType | None) -> None:
        state.received = signal.Signals(number)
        restore()

    with contextlib.suppress(ValueError):
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, note)
    try:
        yield state
    finally:
        restore()


def _folders(out: Path) -> list[Path]:
    """Checkpoint folders, newest first."""
    folders = [path for path in out.glob("checkpoint-*") if path.is_dir() and path.name.rpartition("-")[2].isdigit()]
    return sorted(folders, key=step_of, reverse=True)


def step_of(folder: Path) -> int:
    """Optimizer steps that a checkpoint had taken, by its folder's name."""
    return int(folder.name.rpartition("-")[2])


def _digest(facts: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _fault(folder: Path, key: str) -> str | None:
    """What is wrong with a checkpoint, or None."""
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        if manifest.pop("sha256") != _digest(manifest):
            return "its manifest is damaged"
        files, whose = manifest["files"], manifest["key"]
    except OSError:
        return "was not finished"
    except (ValueError, KeyError, TypeError, AttributeError):
        return "its manifest is damaged"
    if whose != key:
        raise StorageError(
            f"{folder}: belongs to another phase, other rows or another seed", hint="pass an empty folder or delete it"
        )
    for name, facts in files.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != facts["bytes"]:
            return f"{name} has {path.stat().st_size:,} of {facts['bytes']:,} bytes"
        if sha256(path) != facts["sha256"]:
            return f"{name} is not what was written"
    return None


def key_of(*parts: object) -> str:
    """Name a phase's work by all that decides it: values as JSON has them."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def finished(out: Path, key: str) -> dict[str, float] | None:
    """The metrics of a finished phase whose weights are what its receipt says; None where there is none.

    Raises:
        StorageError: the folder holds other work.
    """
    try:
        receipt = json.loads((out / DONE).read_bytes())
        if receipt["key"] != key:
            raise StorageError(
                f"{out}: holds another phase's work (other rows, options or seed)", hint="pass an empty folder or delete it"
            )
        return dict(receipt["metrics"]) if receipt["sha256"] == sha256(out / WEIGHTS) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def load_weights(model: PreTrainedModel, out: Path) -> None:
    """Put a finished phase's weights into the model."""
    from safetensors.torch import load_model

    load_model(model, out / WEIGHTS, device=str(next(model.parameters()).device))


def finish(
    model: PreTrainedModel, out: Path, key: str, metrics: dict[str, float], state: dict[str, Tensor] | None = None
) -> None:
    """Weights, then the receipt, then the checkpoints go; `state` in place of the weights of a model that is sharded."""
    model.save_pretrained(out, state_dict=state, max_shard_size="1TB")
    write_json(out / DONE, {"key": key, "sha256": sha256(out / WEIGHTS), "metrics": metrics})
    prune(out, keep=0)
