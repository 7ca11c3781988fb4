"""Sixty kinds of place for source, dataset and work folder: what can work works, the rest is one line before any work."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from curate.core.errors import RecipeError, StorageError, UserError
from curate.dataset.verify import verify
from curate.pipeline import places
from curate.pipeline.build import build
from curate.pipeline.forget import forget
from curate.pipeline.places import find_places, holding, within
from curate.pipeline.recipe import read_recipe

from .conftest import Rebuild

ROOT = Path(__file__).resolve().parents[3]
SHM = Path("/dev/shm")


def link(name: str, target: str) -> Callable[[Path], None]:
    return lambda at: (at / name).symlink_to(target)


def folder(name: str, mode: int = 0o755) -> Callable[[Path], None]:
    return lambda at: (at / name).mkdir(mode, parents=True)


def file(name: str, text: str = "mine") -> Callable[[Path], None]:
    def write(at: Path) -> None:
        (at / name).parent.mkdir(parents=True, exist_ok=True)
        (at / name).write_text(text)

    return write


def both(*steps: Callable[[Path], None]) -> Callable[[Path], None]:
    def all_of(at: Path) -> None:
        for step in steps:
            step(at)

    return all_of


def nothing(at: Path) -> None:
    """Places as they are."""


@dataclass(frozen=True)
class Case:
    """Arguments relative to the folder that holds `raw`, `out` and `out.work`; `problem` None: it works."""

    out: str = "new"
    work: str | None = None
    source: str | None = None
    before: Callable[[Path], None] = nothing
    problem: str | None = None


WORKS = {
    "a new folder": Case(),
    "a new folder in new folders": Case(out="a/b/c/new"),
    "an empty folder": Case(before=folder("new")),
    "a dataset": Case(out="out"),
    "a slash at the end": Case(out="out/"),
    "two dots within": Case(out="raw/../out"),
    "a link to a dataset": Case(out="current", before=link("current", "out")),
    "a link to an empty folder": Case(out="current", before=both(folder("new"), link("current", "new"))),
    "a link to a link to a dataset": Case(out="b", before=both(link("a", "out"), link("b", "a"))),
    "through a link": Case(out="away/new", before=both(folder("elsewhere"), link("away", "elsewhere"))),
    "a source behind a link": Case(source="input", before=link("input", "raw")),
    "a work folder behind a link": Case(work="w", before=both(folder("private"), link("w", "private"))),
    "a work folder of its own": Case(work="deep/er/w"),
    "an empty work folder": Case(work="w", before=folder("w")),
    "the work folder of another dataset": Case(work="out.work"),
    "a work folder that others read": Case(work="w", before=both(folder("w"), file("w/author.key"))),
    "a work folder that a killed build began": Case(work="w", before=file("w/.lock", "")),
    "a name with spaces and letters of elsewhere": Case(out="my pairs β"),
    "a name that begins with a dash": Case(out="-rf"),
    "a hidden name": Case(out=".pairs"),
    "a long name": Case(out="n" * 200),
    "a name that begins like the source's": Case(out="raw2"),
    "a dataset with notes": Case(out="out", before=file("out/notes.txt")),
    "a dataset with an edited card": Case(out="out", before=file("out/README.md")),
    "what a killed build left": Case(out="out", before=file("out.work/staging/corpus/part-00000.parquet")),
}
REFUSED = {
    "a file": Case(before=file("new"), problem="--out .*/new: is a file; choose a folder"),
    "a device": Case(out="/dev/null", problem="--out /dev/null: is a file"),
    "a pipe": Case(before=lambda at: os.mkfifo(at / "new"), problem="is a file"),
    "a link to a file": Case(out="l", before=both(file("f"), link("l", "f")), problem="is a file"),
    "through a file": Case(out="f/new", before=file("f"), problem="/f is a file; choose a folder"),
    "deep through a file": Case(out="f/a/b", before=file("f"), problem="/f is a file"),
    "a dangling link": Case(out="l", before=link("l", "gone"), problem="l is a link to gone, which is not there; make"),
    "through a dangling link": Case(out="l/new", before=link("l", "gone"), problem="is a link to gone, which is not there"),
    "a link to itself": Case(out="l", before=link("l", "l"), problem="is a link to l, which is not there"),
    "the root": Case(out="/", problem="--out /: is the root of the disk; choose a folder in it"),
    "the root, by two dots": Case(out="/tmp/../..", problem="is the root of the disk"),
    "the home folder": Case(out="home", before=folder("home"), problem="is your home folder; choose a folder in it"),
    "a home that the shell left": Case(out="~", problem="begins with '~', which the shell left as it is; write it out: "),
    "in a home that the shell left": Case(out="~/new", problem="begins with '~', .* write it out: .*home/new"),
    "the home of somebody": Case(out="~nobody", problem="begins with '~'"),
    "the current folder": Case(out=".", problem="lies in or around --source"),
    "the current folder, a project": Case(
        out="HERE",
        before=lambda at: (file("project/main.js")(at), os.chdir(at / "project"))[1],
        problem="holds something that no build made, nothing was changed: 1 file: main.js",
    ),
    "the folder above": Case(out="..", problem="lies in or around --source"),
    "the current folder, a dataset": Case(
        out="HERE", before=lambda at: os.chdir(at / "out"), problem="this command runs in it; run it in the folder above: cd /"
    ),
    "a mount point": Case(out="/proc", problem="--out /proc: is a mount point, which cannot be renamed; choose .*/proc/pairs"),
    "a folder with a mount point": Case(out="/dev", problem="--out /dev: holds the mount point /dev/|is a mount point"),
    "a folder of others": Case(before=file("new/main.js"), problem="nothing was changed: 1 file: main.js; choose an empty"),
    "many files of others": Case(
        before=lambda at: both(*(file(f"new/{name}") for name in "abcdefg"))(at), problem="7 files: a, b, c, d, e, ...;"
    ),
    "a table among the data": Case(out="out", before=file("out/sft/x.parquet"), problem="read as its data, .*1 file: sft/x"),
    "the source": Case(out="raw", problem="--out .*/raw: lies in or around --source .*/raw; choose a folder apart from it"),
    "in the source": Case(out="raw/new", problem="lies in or around --source"),
    "in the source, through a link": Case(out="l/new", before=link("l", "raw"), problem="lies in or around --source"),
    "a link to the source": Case(out="l", before=link("l", "raw"), problem="lies in or around --source"),
    "a source behind a link, and in it": Case(
        source="l", out="raw/new", before=link("l", "raw"), problem="lies in or around --source"
    ),
    "around the source": Case(out="a", source="a/raw", before=lambda at: _move(at), problem="lies in or around --source"),
    "work in the source": Case(work="raw/w", problem="--work .*/raw/w: lies in or around --source"),
    "work is the source": Case(work="raw", problem="lies in or around --source"),
    "work around the source": Case(work=".", problem="lies in or around --source"),
    "work in the source, through a link": Case(work="l/w", before=link("l", "raw"), problem="lies in or around --source"),
    "work is the dataset": Case(out="out", work="out", problem="lies in --out .*, which is safe to share; it holds raw texts"),
    "work in the dataset": Case(out="out", work="out/w", problem="lies in --out"),
    "work in the dataset to come": Case(work="new/w", problem="lies in --out"),
    "work in the dataset, through a link": Case(out="out", work="l/w", before=link("l", "out"), problem="lies in --out"),
    "the dataset in work": Case(out="w/new", work="w", problem="--out .*/w/new: lies in --work .*/w, which is private"),
    "the dataset in work, through a link": Case(
        out="l/new", work="w", before=both(folder("w"), link("l", "w")), problem="lies in --work"
    ),
    "work is a file": Case(work="w", before=file("w"), problem="the work folder .*/w: is a file; choose a folder"),
    "work through a file": Case(work="f/w", before=file("f"), problem="/f is a file"),
    "work is a dangling link": Case(work="l", before=link("l", "gone"), problem="is a link to gone, which is not there"),
    "work is a folder of others": Case(work="w", before=file("w/main.js"), problem="holds something .* 1 file: main.js; pass"),
    "work is where temporary files are": Case(work="/usr", problem="the work folder /usr: holds something that no build made"),
    "work in a home that the shell left": Case(work="~/w", problem="begins with '~'"),
    "a source that is not there": Case(source="gone", problem="--source .*gone: no such folder; check the path"),
    "a source that is a file": Case(source="raw/talk.jsonl", problem="found a file, expected a folder; pass the folder"),
    "a source that is a dangling link": Case(source="l", before=link("l", "gone"), problem="no such folder"),
    "a source that is a link to itself": Case(source="l", before=link("l", "l"), problem="no such folder"),
    "a source through a file": Case(source="raw/talk.jsonl/x", problem="no such folder"),
    "an empty source": Case(source="e", before=folder("e"), problem="an empty folder; put text"),
    "a name that is too long": Case(out="n" * 300, problem="[Ff]ile name too long"),
    "a folder that takes no file": Case(out="/proc/new/pairs", problem="/proc/new: .*; check the path|no permission"),
    "work that takes no file": Case(work="/proc/new", problem="/proc/new: .*; check the path|no permission"),
}
assert len(WORKS) + len(REFUSED) >= 60


def _move(at: Path) -> None:
    (at / "a").mkdir()
    shutil.copytree(at / "raw", at / "a" / "raw")


def tree(at: Path) -> dict[str, str]:
    facts = {}
    for path in sorted(at.rglob("*")):
        if path.name not in ("recipe.yaml", ".lock"):
            kind = os.readlink(path) if path.is_symlink() else path.read_bytes().hex() if path.is_file() else "folder"
            facts[path.relative_to(at).as_posix()] = kind
    return facts


@pytest.fixture
def attempt(small: Path, rebuild: Rebuild, monkeypatch: pytest.MonkeyPatch) -> Callable[[Case], None]:
    monkeypatch.chdir(small)
    monkeypatch.setenv("HOME", str(small / "home"))

    def call(case: Case) -> None:
        case.before(small)
        out, work, source = (None if one is None else Path(one) for one in (case.out, case.work, case.source))
        rebuild(Path() if case.out == "HERE" else out, work=work, source=source and small / source)

    return call


@pytest.mark.parametrize("kind", WORKS)
def test_what_can_work_works_twice(small: Path, attempt: Callable[[Case], None], rebuild: Rebuild, kind: str) -> None:
    case = WORKS[kind]
    attempt(case)
    assert verify(Path(case.out)) == []
    links = {path: os.readlink(path) for path in small.iterdir() if path.is_symlink()}
    rebuild(Path(case.out), work=case.work and Path(case.work), source=case.source and small / case.source)
    assert verify(Path(case.out)) == [] and all(os.readlink(path) == target for path, target in links.items())
    work = find_places(Path(case.out), case.work and Path(case.work)).work
    assert stat.S_IMODE(work.stat().st_mode) == 0o700 and (work / "author.key").is_file()
    assert not [path for path in small.iterdir() if path.name.startswith(f".{Path(case.out).name}.")]


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_is_one_line_before_any_work(small: Path, attempt: Callable[[Case], None], kind: str) -> None:
    case, before = REFUSED[kind], {}

    def prepare(at: Path) -> None:
        case.before(at)
        if not any(stat.S_ISFIFO(path.lstat().st_mode) for path in at.iterdir()):
            before.update(tree(at))

    assert case.problem is not None
    with pytest.raises(UserError) as caught:
        attempt(Case(case.out, case.work, case.source, prepare))
    assert re.search(case.problem, str(caught.value)) and "\n" not in str(caught.value)
    assert caught.value.hint
    if before and "too long" not in case.problem and "/proc/new" not in str(caught.value):
        assert tree(small) == before


def test_a_mount_point_that_lies_in_the_list_is_refused_by_any_spelling(
    small: Path, rebuild: Rebuild, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mounts = tmp_path / "mountinfo"
    monkeypatch.setattr(places, "MOUNTS", mounts)
    out = (small / "out").rename(small / "my out")
    mounts.write_text(f"36 35 98:0 / {str(out).replace(' ', chr(92) + '040')} rw - ext4 /dev/sdb rw\n")
    with pytest.raises(RecipeError, match="my out: is a mount point, which cannot be renamed"):
        rebuild(out)
    mounts.write_text(f"36 35 98:0 / {str(out).replace(' ', chr(92) + '040')}/sft rw - ext4 /dev/sdb rw\n")
    with pytest.raises(RecipeError, match="holds the mount point .*/my out/sft"):
        rebuild(out)
    mounts.unlink()
    assert not rebuild(out).unchanged


@contextmanager
def other_disk(place: Path) -> Iterator[Path]:
    if not SHM.is_dir() or SHM.stat().st_dev == place.stat().st_dev:
        pytest.skip("there is no second disk here")
    with tempfile.TemporaryDirectory(dir=SHM) as folder:
        yield Path(folder)


@pytest.mark.parametrize("which", ["out", "work", "link"])
def test_dataset_and_work_folder_may_lie_on_two_disks(small: Path, rebuild: Rebuild, which: str) -> None:
    with other_disk(small) as away:
        out, work = small / "new", small / "new.work"
        if which == "work":
            work = away / "w"
        else:
            out = away / "pairs"
        if which == "link":
            out.mkdir()
            (small / "new").symlink_to(out)
            out = small / "new"
        for _ in range(2):
            rebuild(out, work=work)
            (out / "notes.txt").write_text("mine")
            assert [path.name for path in out.resolve().parent.iterdir() if path.name.startswith(".")] == []
            assert [name for name in ("staging", "previous", ".rename") if (work / name).exists()] == []
        assert (out / "notes.txt").read_text() == "mine" and (out.is_symlink() == (which == "link"))


def test_a_work_folder_whose_mode_stays_is_refused(small: Path, rebuild: Rebuild, monkeypatch: pytest.MonkeyPatch) -> None:
    (small / "out.work").chmod(0o755)
    rebuild()
    assert stat.S_IMODE((small / "out.work").stat().st_mode) == 0o700
    (small / "out.work").chmod(0o750)
    monkeypatch.setattr(Path, "chmod", lambda *arguments, **options: None)  # a disk without modes
    with pytest.raises(RecipeError, match="others may read it, and its mode cannot be changed; it holds raw texts"):
        rebuild()


@pytest.mark.parametrize("parent", ["out", "work"])
def test_where_this_user_may_not_write_nothing_is_begun(small: Path, parent: str) -> None:
    root = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to the user that root becomes here
        place = Path(shutil.copytree(small, Path(folder) / "small"))
        barred = place / "barred"
        barred.mkdir()
        for path in (Path(folder), place, *place.rglob("*")) if root else ():
            path.chmod(0o777)
        barred.chmod(0o555)
        recipe = read_recipe(place / "recipe.yaml")
        if root:  # in this process: a forked one would wait for threads of polars that it does not have
            os.seteuid(65_534)
        try:
            with pytest.raises(StorageError, match="no permission to write") as caught:
                out, work = (barred / "new", None) if parent == "out" else (place / "new", barred / "w")
                build(place / "raw", out, recipe, work=work)
        finally:
            if root:
                os.seteuid(0)
        assert caught.value.hint
        assert list(barred.iterdir()) == [] and not (place / "new").exists()


SECOND = """
import sys
from pathlib import Path
from curate.core.errors import UserError
from curate.pipeline.build import build
from curate.pipeline.recipe import read_recipe
small = Path(sys.argv[1])
try:
    build(small / "raw", small / sys.argv[2], read_recipe(small / "recipe.yaml"), work=small / "second.work")
except UserError as error:
    print(error)
"""


@pytest.mark.parametrize("name", ["out", "current"])
def test_a_second_build_of_one_dataset_is_told_who_holds_it(small: Path, name: str) -> None:
    (small / "current").symlink_to("out")
    with holding(find_places(small / "out")):
        done = subprocess.run(
            [sys.executable, "-c", SECOND, small, name], capture_output=True, text=True, cwd=ROOT, timeout=120, check=True
        )
    assert f"/out: process {os.getpid()} is building it with the work folder {small / 'out.work'}; wait for it" in done.stdout
    assert not list((small / "second.work").glob("parts"))


def test_two_builds_that_do_not_see_each_other_leave_one_whole_dataset(
    small: Path, rebuild: Rebuild, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a disk that two machines write: no lock is shared."""
    import curate.pipeline.build as room

    real, inner = room.commit, []

    def during(*paths: Path) -> None:
        if not inner:
            inner.append(True)
            monkeypatch.setattr(tempfile, "gettempdir", lambda: str(small / "other"))
            (small / "other").mkdir()
            rebuild(small / "out", work=small / "second.work")
        real(*paths)

    (small / "out" / "notes.txt").write_text("mine")
    monkeypatch.setattr(room, "commit", during)
    rebuild()
    assert verify(small / "out") == [] and (small / "out" / "notes.txt").read_text() == "mine"
    assert json.loads((small / "out" / "manifest.json").read_bytes())["recipe"]["seed"] == 1


def test_a_link_to_a_dataset_is_forgotten_from_and_stays(small: Path) -> None:
    import polars as pl

    (small / "current").symlink_to("out")
    ids = pl.read_parquet(small / "out/corpus/part-00000.parquet")["id"].to_list()
    assert forget(small / "current", ids[:1]).rows.height >= 1
    assert (small / "current").is_symlink()


def test_within_knows_a_folder_by_any_name(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "l").symlink_to("a")
    assert within(tmp_path / "l" / "b" / "not yet", tmp_path / "a") and within(tmp_path / "a", tmp_path / "l")
    assert not within(tmp_path / "ab", tmp_path / "a") and not within(tmp_path / "a", tmp_path / "a" / "b")


def test_one_line_and_an_exit_code_on_the_terminal(small: Path, curate: Callable[..., Any]) -> None:
    (small / "work space").mkdir()
    (small / "work space" / "main\x1b[31m.js").write_text("mine")
    ran = curate("build", "--source", small / "raw", "--out", small / "work space", "--recipe", small / "recipe.yaml")
    assert ran.code == 2 and len(ran.err.splitlines()) == 2 and "\x1b" not in ran.err
