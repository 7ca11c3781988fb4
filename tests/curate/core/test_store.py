"""A folder is held by one process, and a disk that takes no lock says so."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from curate.core import store
from curate.core.errors import StorageError


def test_a_folder_is_let_go_when_its_holder_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), store.locked(tmp_path / "work"):
        raise ZeroDivisionError
    with store.locked(tmp_path / "work"):
        assert (tmp_path / "work").is_dir()


@pytest.mark.parametrize(
    ("number", "problem", "hint"),
    [
        (errno.EROFS, "the disk is read-only", "pass an --out on a disk that can be written"),
        (errno.EACCES, "no permission to write", "pass an --out that you may write to"),
        (errno.ENOLCK, "No locks available", "check the path and the disk"),
    ],
)
def test_a_disk_that_takes_no_lock_is_no_other_process(
    number: int, problem: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: store.FileLock) -> None:
        raise OSError(number, "No locks available")

    monkeypatch.setattr(store.FileLock, "acquire", refuse)
    with pytest.raises(StorageError) as caught, store.locked(tmp_path):
        pass
    assert (caught.value.problem, caught.value.hint) == (f"{tmp_path}: {problem}", hint)
