"""A finished dataset takes its place: readers see the old folder or the new one, and what no build made stays.

A dataset is one folder of plain files with fixed names, so there are four ways to renew it:

- file by file: a reader meets files of two builds, and a kill leaves them so;
- a link to the current of several folders: what is handed on is a link, and copying it copies nothing;
- two renames: `--out` is absent in between, for good if the process dies there;
- one exchange of two folders, which Linux and macOS have as a system call. Nothing is ever absent or mixed.

The last it is; two renames where a file system cannot exchange (network disks, FAT, Windows), and the next run mends what a
kill left. Before it, everything in the old folder that no build made is linked into the new one (copied where a disk has no
links). After it, the old one is looked through once more, for what changed in between, and only then deleted.

Whose a file is the standing manifest says: what it names is the build's as long as the bytes have the sha256 it names. A file
that it names with other bytes was changed by somebody: it is kept beside the new one, as `README.yours.md`.
"""

from __future__ import annotations

import ctypes
import errno
import itertools
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from curate.core.errors import StorageError
from curate.core.manifest import MANIFEST, Manifest, find_manifest, read_manifest
from curate.core.progress import remark
from curate.core.schema import digest
from curate.core.store import sha256, storage_error, sync_folder

NAMED = 5  # files that a message names; the others are counted
AT_FDCWD, SWAP = -100, 2  # Linux: relative paths start at the current folder; RENAME_EXCHANGE there, RENAME_SWAP on macOS
CANNOT = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}  # what a file system without exchange answers


def staging_for(out: Path, work: Path) -> tuple[Path, Path]:
    """Where the new folder is made, and where the old one goes: in the work folder.

    Hidden beside `out`, by a name that only this work folder has, where no rename leads from the one to the other.

    Raises:
        StorageError: nothing can be written beside `out`.
    """
    start, end = work / ".rename", out.with_name(f".{out.name}.{digest(str(work), size=4)}")
    try:
        end.mkdir(exist_ok=True)
        try:
            start.mkdir(exist_ok=True)
            os.replace(start, end)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            start.rmdir()
            return end.with_name(f"{end.name}.staging"), end.with_name(f"{end.name}.previous")
        finally:
            end.rmdir()
    except OSError as error:
        raise storage_error(error, out.parent) from error
    return work / "staging", work / "previous"


def entries(folder: Path) -> Iterator[str]:
    """Every path in a folder that is no folder itself, or an empty one; links are not followed."""
    for place, folders, files in os.walk(folder, onerror=_raise):
        inner = Path(place).relative_to(folder)
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        yield from ((inner / name).as_posix() for name in sorted([*links, *files]))
        if not folders and not files and inner.parts:
            yield inner.as_posix()


def foreign(folder: Path, manifest: Manifest) -> list[str]:
    """What no build made, by name alone."""
    return sorted(name for name in entries(folder) if name not in manifest.files and name != MANIFEST)


def changed(folder: Path, manifest: Manifest) -> list[str]:
    """Files that a build made and somebody changed since; what is missing is no file."""
    return [
        name for name, entry in manifest.files.items() if os.path.lexists(folder / name) and not _is(folder / name, entry.sha256)
    ]


def commit(new: Path, out: Path, old: Path) -> None:
    """Put a finished folder in `out`'s place; what no build made stays there.

    Raises:
        StorageError: the disk will not; `out` is what it was.
    """
    try:
        if not os.path.lexists(out):
            os.rename(new, out)
            sync_folder(out.parent)
            return
        standing = find_manifest(out)
        if standing is None and any(entries(out)):
            raise StorageError(f"{out}: was filled by something else meanwhile", hint="choose an empty or new folder")
        standing = standing or Manifest()
        kept = {name: _free(name, out, new) for name in changed(out, standing)}
        mine = {name: _free(name, out, new) if os.path.lexists(new / name) else name for name in foreign(out, standing)}
        for name, target in (mine | kept).items():
            _link(out, name, new, target)
        shutil.copymode(out, new)
        former = _renew(new, out, old)
    except OSError as error:
        shutil.rmtree(new, ignore_errors=True)
        raise storage_error(error, out) from error
    _discard(former, out, standing)
    for name, target in (kept | mine).items():
        if name != target:
            remark(f"{out}: {shown(name)} was not as the build wrote it; it is kept as {shown(target)}")


def withdraw(out: Path, new: Path, old: Path) -> None:
    """Take a dataset away; what no build made stays in `out`."""
    standing = read_manifest(out)
    shutil.rmtree(new, ignore_errors=True)
    left = [*foreign(out, standing), *changed(out, standing)]
    try:
        for name in left:
            _link(out, name, new, name)
        if left:
            old = _renew(new, out, old)
        else:
            os.rename(out, old)  # first: nothing of it stands half
    except OSError as error:
        shutil.rmtree(new, ignore_errors=True)
        raise storage_error(error, out) from error
    _discard(old, out, standing)


def recover(out: Path, new: Path, old: Path) -> None:
    """Undo or end what a kill cut short: the whole folder stands in its place, and beside it nothing."""
    if not os.path.lexists(out) and os.path.lexists(old):
        os.rename(old, out)
    for tree in (old, new):
        _discard(tree, out, find_manifest(tree))


def shown(name: str) -> str:
    """A file's name as a terminal may print it."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in name)


def listing(names: Sequence[str]) -> str:
    """The first of some files' names."""
    return ", ".join(map(shown, names[:NAMED])) + ", ..." * (len(names) > NAMED)


def _renew(new: Path, out: Path, old: Path) -> Path:
    """Old and new change places; returns where the old one is then."""
    if exchange(new, out):
        try:
            sync_folder(out.parent)
        except OSError:  # the new folder stood, and could not be made to last
            exchange(new, out)
            raise
        return new
    os.rename(out, old)
    try:
        os.rename(new, out)
        sync_folder(out.parent)
    except OSError:
        if os.path.lexists(out):
            os.rename(out, new)
        os.rename(old, out)
        raise
    return old


def exchange(one: Path, other: Path) -> bool:
    """Let two folders change names in one step; False where the system or the file system has no such thing.

    Raises:
        OSError: it has, and refuses.
    """
    if sys.platform == "win32":
        return False
    library = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(one), os.fsencode(other)
    if hasattr(library, "renameat2"):
        code = library.renameat2(AT_FDCWD, names[0], AT_FDCWD, names[1], SWAP)
    elif hasattr(library, "renamex_np"):
        code = library.renamex_np(*names, SWAP)
    else:
        return False
    if code == 0:
        return True
    number = ctypes.get_errno()
    if number in CANNOT:
        return False
    raise OSError(number, os.strerror(number), str(other))


def _discard(tree: Path, out: Path, manifest: Manifest | None) -> None:
    """Delete a folder that gave way; what somebody put there or changed in the last moment goes to `out` first.

    A folder without a manifest was never whole: it holds nothing that does not stand in `out`.
    """
    if not os.path.lexists(tree):
        return
    if manifest is not None and out.is_dir():
        standing = {_identity(out / name) for name in entries(out)}
        for name in [*foreign(tree, manifest), *changed(tree, manifest)]:
            path = tree / name
            if _identity(path) in standing or _is_kept(path, name, out) or (path.is_dir() and not path.is_symlink()):
                continue
            _link(tree, name, out, _free(name, out) if os.path.lexists(out / name) else name)
    shutil.rmtree(tree, ignore_errors=True)


def _link(source: Path, name: str, target: Path, new_name: str) -> None:
    """The same file, link or empty folder in another tree, under folders like its own."""
    path, place = source / name, target / new_name
    missing = [one for one in reversed(PurePosixPath(new_name).parents) if one.parts and not (target / one).is_dir()]
    target.mkdir(exist_ok=True)
    for folder in missing:
        (target / folder).mkdir()
        if (source / folder).is_dir():
            shutil.copystat(source / folder, target / folder)
    if path.is_dir() and not path.is_symlink():
        place.mkdir(exist_ok=True)
        shutil.copystat(path, place)
        return
    try:
        os.link(path, place, follow_symlinks=False)
    except FileExistsError:
        raise
    except (OSError, NotImplementedError):  # a disk without links, or more of them than it takes
        shutil.copy2(path, place, follow_symlinks=False)


def _yours(name: str) -> Iterator[str]:
    """Names for what somebody wrote where a build writes, in order.

    At the top `README.yours.md`; in a folder of data with the ending behind, so that no pattern takes it for data.
    """
    path = PurePosixPath(name)
    for number in itertools.count(1):
        mark = "yours" if number == 1 else f"yours.{number}"
        word = f"{path.name}.{mark}" if len(path.parts) > 1 else f"{path.stem}.{mark}{path.suffix}"
        yield path.with_name(word).as_posix()


def _free(name: str, *folders: Path) -> str:
    """The first of these names that stands in none of the folders."""
    return next(one for one in _yours(name) if not any(os.path.lexists(folder / one) for folder in folders))


def _is_kept(path: Path, name: str, out: Path) -> bool:
    """Whether `out` has a copy of a file by its own name or one of those."""
    names = itertools.chain([name], _yours(name))
    return any(_same(path, out / one) for one in itertools.takewhile(lambda one: os.path.lexists(out / one), names))


def _raise(error: OSError) -> None:
    raise error


def _is(path: Path, expected: str) -> bool:
    return path.is_file() and not path.is_symlink() and sha256(path) == expected


def _same(one: Path, other: Path) -> bool:
    """Copies of one file, where the disk has no links."""
    return all(path.is_file() and not path.is_symlink() for path in (one, other)) and sha256(one) == sha256(other)


def _identity(path: Path) -> tuple[int, int]:
    facts = path.lstat()
    return facts.st_dev, facts.st_ino
