"""What only POSIX has is asked for by nothing: every module imports without it, and a folder is held and let go."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
POSIX = ("fcntl", "grp", "pwd", "resource", "termios")
EVERY_MODULE = """
import importlib, os, pkgutil, sys
import peft, psutil  # they and what they import know Windows by themselves, and ask for it by another way than these names
for name in {posix}:
    sys.modules[name] = None
import align, curate
names = [one.name for package in (align, curate) for one in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
print(len(names))
"""
HOLDER = """
import sys, time
from pathlib import Path
from curate.core.store import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""
ASKER = """
import sys
from pathlib import Path
if sys.argv[2:] == ["hidden"]:
    for name in {posix}:
        sys.modules[name] = None
from curate.core.errors import StorageError
from curate.core.store import locked
try:
    with locked(Path(sys.argv[1])):
        pass
    with locked(Path(sys.argv[1])):
        print("held twice in turn")
    with locked(Path(sys.argv[1])), locked(Path(sys.argv[1])):
        pass
except StorageError as error:
    print(error.problem)
"""


def python(program: str, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_module_imports_where_there_is_no_posix() -> None:
    assert int(python(EVERY_MODULE.format(posix=POSIX))) > 200


def test_a_killed_process_lets_its_folder_go(tmp_path: Path) -> None:
    ask = ASKER.format(posix=POSIX)
    refused = f"{tmp_path}: another process is writing here"
    with subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path], cwd=ROOT, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        assert python(ask, str(tmp_path)).splitlines() == [refused]
        holder.kill()
    assert python(ask, str(tmp_path)).splitlines() == ["held twice in turn", refused]


def test_a_folder_is_held_once_where_there_is_no_flock(tmp_path: Path) -> None:
    said = python(ASKER.format(posix=POSIX), str(tmp_path), "hidden").splitlines()
    assert said == ["held twice in turn", f"{tmp_path}: another process is writing here"]


SPEAKER = """
import click
from curate.core.command import entry
@click.command()
def speak():
    click.echo("naïve β")
entry(speak)
"""


def test_a_character_that_the_console_does_not_know_ends_no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "cp1252")
    done = subprocess.run([sys.executable, "-c", SPEAKER], capture_output=True, cwd=ROOT)
    assert (done.returncode, done.stdout) == (0, "naïve ?\n".encode("cp1252"))


def test_a_rename_lasts_without_a_folder_being_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from curate.core import store

    monkeypatch.setattr(store, "WINDOWS", True)
    monkeypatch.setattr(store.os, "open", None)  # Windows opens no folder
    store.write_text(tmp_path / "file", "text")
    assert (tmp_path / "file").read_text() == "text"
