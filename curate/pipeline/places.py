"""Where a build may stand: source, dataset and work folder, checked before any work begins, on paths without links."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import stat
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from curate.core.errors import DataError, RecipeError, StorageError
from curate.core.manifest import read_manifest
from curate.core.schema import digest
from curate.core.store import WINDOWS, locked, storage_error
from curate.dataset.formats import reads_as_data
from curate.pipeline.commit import entries, foreign, listing

KEY = "author.key"  # in every work folder: what the pseudonyms of authors are made with
UNKEYED = {".lock", f".{KEY}.tmp"}  # all that a build killed before it had a key leaves
MOST_COUNTED = 10_000  # files that an error counts
MOUNTS = Path("/proc/self/mountinfo")


@dataclass(frozen=True)
class Places:
    """A dataset folder and its work folder, absolute and without links."""

    out: Path
    work: Path


def find_places(out: Path, work: Path | None = None, source: Path | None = None) -> Places:
    """Where the dataset and the work folder are, if they may stand there; nothing is written.

    Args:
        out: dataset folder to make or to renew. A link to a folder stands for that folder.
        work: the work folder; beside `out` by default.
        source: folder of raw files, without links, for a build.

    Raises:
        RecipeError: they overlap, or one is no place for a folder, or `out` holds what no build made.
    """
    out = _resolved("--out", out)
    if out == Path(out.anchor):
        raise RecipeError(f"--out {out}: is the root of the disk", hint="choose a folder in it")
    default = work is None
    work = _resolved("the work folder", out.with_name(f"{out.name}.work") if work is None else work)
    name = "the work folder" if default else "--work"
    if source is not None:
        for option, place in (("--out", out), (name, work)):
            if within(place, source) or within(source, place):
                raise RecipeError(f"{option} {place}: lies in or around --source {source}", hint="choose a folder apart from it")
    if within(work, out):
        raise RecipeError(
            f"{name} {work}: lies in --out {out}, which is safe to share; it holds raw texts", hint="choose a folder beside it"
        )
    if within(out, work):
        raise RecipeError(f"--out {out}: lies in {name} {work}, which is private", hint="choose a folder beside it")
    if out.exists():
        _check_out(out)
        if source is not None:
            _check_foreign(out)
        if within(Path.cwd(), out):
            raise RecipeError(
                f"--out {out}: is replaced as a whole, and this command runs in it",
                hint=f"run it in the folder above: cd {out.parent}",
            )
    _check_work(work)
    return Places(out, work)


@contextlib.contextmanager
def holding(places: Places) -> Iterator[None]:
    """Make the work folder, private, and hold both places for this process.

    Raises:
        RecipeError: others may read the work folder, and that cannot be changed.
        StorageError: another build holds one of them, or they cannot be written.
    """
    try:
        places.out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(error, places.out.parent) from error
    with locked(places.work), _held(places):
        _make_private(places.work)
        yield


def within(inner: Path, outer: Path) -> bool:
    """Whether a path is a folder or lies in it, by whatever name: links, mounts, or case where the disk ignores it."""
    if inner == outer or inner.is_relative_to(outer):
        return True
    with contextlib.suppress(OSError):
        facts = outer.stat()
        return any(path.exists() and os.path.samestat(path.stat(), facts) for path in (inner, *inner.parents))
    return False


def _resolved(option: str, path: Path) -> Path:
    if path.parts[:1] and path.parts[0].startswith("~"):
        hint = f"write it out: {path.expanduser()}" if path.parts[0] == "~" else "write the folder out"
        raise RecipeError(f"{option} {path}: begins with '~', which the shell left as it is", hint=hint)
    absolute = Path(os.path.abspath(path))
    try:
        absolute.exists()
    except OSError as error:  # a name too long for the disk, a folder that this user may not enter
        raise storage_error(error, absolute) from error
    for part in (absolute, *absolute.parents):
        if part.is_symlink() and not part.exists():
            raise RecipeError(
                f"{option} {path}: {part} is a link to {os.readlink(part)}, which is not there",
                hint="make that folder, or remove the link",
            )
    resolved = Path(os.path.realpath(absolute))
    standing = next(part for part in (resolved, *resolved.parents) if os.path.lexists(part))
    if not standing.is_dir():
        where = "is" if standing == resolved else f"{standing} is"
        raise RecipeError(f"{option} {resolved}: {where} a file", hint="choose a folder")
    return resolved


def _check_out(out: Path) -> None:
    if out == Path(os.path.realpath(Path.home())):
        raise RecipeError(f"--out {out}: is your home folder", hint="choose a folder in it")
    if mounts := [mount for mount in _mounts(out) if mount.is_relative_to(out)]:
        where = "is a mount point" if mounts[0] == out else f"holds the mount point {mounts[0]}"
        raise RecipeError(f"--out {out}: {where}, which cannot be renamed", hint=f"choose a folder in it: {out / 'pairs'}")


def _check_foreign(out: Path) -> None:
    """What no build made stays: beside a build's files where it can, else nothing is done."""
    try:
        names = sorted(itertools.islice(entries(out), MOST_COUNTED))
        if not names:
            return
        manifest = read_manifest(out)
        strange = foreign(out, manifest)
    except DataError:
        raise _refusal(out, "that no build made", names, "choose an empty or new folder") from None
    except StorageError as error:
        hint = "choose an empty or new folder; where a build made this one, move it away and build again"
        raise _refusal(out, "that no build made", names, hint, f"{error.problem}; ") from None
    except OSError as error:
        raise StorageError(f"--out {out}: cannot be read whole ({error.strerror})", hint="check its permissions") from None
    if read := [name for name in strange if reads_as_data(name, manifest)]:
        raise _refusal(out, "that no build made and that would be read as its data", read, "move them out of there")
    if barred := [name for name in strange if any(above in manifest.files for above in _above(name))]:
        raise _refusal(out, "in folders that stand where a build writes files", barred, "move these folders away")


def _above(name: str) -> Iterator[str]:
    parts = name.split("/")
    return ("/".join(parts[:end]) for end in range(1, len(parts)))


def _refusal(out: Path, what: str, names: Sequence[str], hint: str, lead: str = "") -> RecipeError:
    return RecipeError(f"{lead}--out {out}: holds something {what}, nothing was changed: {_listing(names)}", hint=hint)


def _listing(names: Sequence[str]) -> str:
    """The first names, and how many there are."""
    count = f"{len(names):,}" if len(names) < MOST_COUNTED else f"{MOST_COUNTED:,} or more"
    return f"{count} file{'s' * (len(names) != 1)}: {listing(names)}"


def _check_work(work: Path) -> None:
    """A folder that is there is taken only if a build made it, or nothing is in it: it is closed to others."""
    try:
        names = set(os.listdir(work)) if work.exists() else set()
    except OSError as error:
        raise storage_error(error, work) from error
    if KEY not in names and (strange := sorted(names - UNKEYED)):
        raise RecipeError(
            f"the work folder {work}: holds something that no build made, nothing was changed: {_listing(strange)}",
            hint="pass with --work an empty or new folder, or one that an earlier build made",
        )


def _make_private(work: Path) -> None:
    """Nobody else reads raw texts. Windows has no such modes."""
    if WINDOWS or not stat.S_IMODE(work.stat().st_mode) & 0o077:
        return
    with contextlib.suppress(OSError):
        work.chmod(0o700)
    if stat.S_IMODE(work.stat().st_mode) & 0o077:
        raise RecipeError(
            f"the work folder {work}: others may read it, and its mode cannot be changed; it holds raw texts",
            hint="pass with --work a folder of your own, on a disk that keeps modes",
        )


@contextlib.contextmanager
def _held(places: Places) -> Iterator[None]:
    """Hold `out` against builds with other work folders.

    The lock lies among the temporary files, for a lock file beside `out` would stay there. On a disk that several machines
    write it is not seen; there the last one to finish wins, whole, for each makes its folder under a name of its own.
    """
    parent = places.out.parent.stat()
    user = "" if WINDOWS else f"-{os.getuid()}"
    folder = Path(tempfile.gettempdir()) / f"margins{user}"
    path = folder / f"{digest(str((parent.st_dev, parent.st_ino)), places.out.name, size=8)}.lock"
    holder = path.with_suffix(".json")
    lock = FileLock(path, blocking=False)
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        lock.acquire()
        holder.write_text(json.dumps({"process": os.getpid(), "work": str(places.work)}))
    except Timeout:
        raise StorageError(f"--out {places.out}: {_who(holder)}", hint="wait for it, or choose another --out") from None
    except OSError:  # no place for temporary files
        pass
    try:
        yield
    finally:
        lock.release()


def _who(holder: Path) -> str:
    try:
        facts = json.loads(holder.read_bytes())
        return f"process {facts['process']} is building it with the work folder {facts['work']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process is building it"


def _mounts(out: Path) -> list[Path]:
    """Mount points; where the system has no list of them, only whether `out` is one."""
    try:
        lines = MOUNTS.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return [out] if out.is_mount() else []
    return [Path(re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), line.split(" ")[4])) for line in lines]
