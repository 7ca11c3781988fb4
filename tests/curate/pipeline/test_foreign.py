"""What no build made is never lost: forty folders as `--out`, kills at any moment, disks without links or exchanges."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from curate.core.errors import DataError, RecipeError, StorageError
from curate.core.manifest import is_sealed, read_manifest
from curate.core.schema import canonical, digest
from curate.dataset.verify import verify
from curate.pipeline import commit
from curate.pipeline.forget import describe, forget

from .conftest import Rebuild

TORTURE = os.environ.get("MARGINS_TORTURE") == "1"
KILLS = 1_000 if TORTURE else 30
TABLE = "paired/train-00000.parquet"


def write(folder: Path, *names: str, text: str = "") -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text or f"my own {name}")


def contents(folder: Path) -> dict[str, str]:
    """Path -> what is there, as far as a person would miss it."""
    facts = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            facts[name] = f"link to {os.readlink(path)}"
        elif path.is_file():
            facts[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        elif not path.is_dir():
            facts[name] = "special"
        elif not any(path.iterdir()):
            facts[name] = "empty folder"
    return facts


def made(folder: Path) -> set[str]:
    """Files that the build made and nobody changed."""
    manifest = json.loads((folder / "manifest.json").read_bytes())
    facts = contents(folder)
    return {"manifest.json", *(name for name, entry in manifest["files"].items() if facts.get(name) == entry["sha256"])}


def manifest_of(tree: dict[str, Any], **change: Any) -> str:
    tree = {key: value for key, value in (tree | change).items() if key != "fingerprint"}
    return json.dumps(tree | {"fingerprint": digest(canonical(tree))})


def project(out: Path, *names: str, manifest: str | None = None) -> None:
    shutil.rmtree(out)
    write(out, *names)
    if manifest is not None:
        (out / "manifest.json").write_text(manifest)


def git(out: Path) -> None:
    subprocess.run(["git", "init", "-q", out], check=True)
    subprocess.run(["git", "-C", out, "add", "."], check=True)


EXTENSION = json.dumps({"manifest_version": 3, "name": "Tab counter", "version": "1.0"})
REFUSED: dict[str, Callable[[Path], None]] = {
    "browser extension": lambda out: project(out, "package.json", "src/main.js", "src/ui/page.html", manifest=EXTENSION),
    "web app": lambda out: project(out, "index.html", "icons/a.png", manifest='{"short_name": "App", "icons": []}'),
    "its files are a list": lambda out: project(out, "src/main.js", manifest='{"files": ["src/main.js"]}'),
    "its files name what is there": lambda out: project(
        out, "src/main.js", manifest=json.dumps({"files": {"src/main.js": {"sha256": hashlib.sha256(b"x").hexdigest()}}})
    ),
    "a manifest that is not JSON": lambda out: project(out, "src/main.js", manifest="Manifest-Version: 1.0"),
    "an empty manifest": lambda out: project(out, "src/main.js", manifest=""),
    "a manifest of brackets": lambda out: project(out, "src/main.js", manifest="[" * 100_000),
    "a manifest of bytes": lambda out: [project(out, "a.txt"), (out / "manifest.json").write_bytes(b"\xff\xfe\0")] and None,
    "a manifest that is a folder": lambda out: project(out, "manifest.json/inner.txt"),
    "a link as manifest": lambda out: [project(out, "a.txt"), (out / "manifest.json").symlink_to("a.txt")] and None,
    "project without manifest": lambda out: project(out, "package.json", "src/main.js"),
    "one note": lambda out: project(out, "note.txt"),
    "one hidden file": lambda out: project(out, ".env"),
    "one empty folder": lambda out: [project(out), (out / "later").mkdir(parents=True)] and None,
    "one dangling link": lambda out: [project(out, "a"), (out / "a").unlink(), (out / "b").symlink_to("nowhere")] and None,
    "git clone": lambda out: [project(out, "README.md", "src/a.py"), git(out)] and None,
    "home-like": lambda out: project(out, ".bashrc", ".ssh/id", "Documents/thesis.tex", "Pictures/one.jpg"),
    "a run folder": lambda out: project(out, "done.json", "1-sft/model.safetensors", "results.json"),
    "names of a dataset, other contents": lambda out: project(out, "README.md", TABLE, "corpus/part-00000.parquet"),
    "a dataset without its manifest": lambda out: (out / "manifest.json").unlink(),
    "a dataset, one digit of its manifest changed": lambda out: write(
        out, "manifest.json", text=(out / "manifest.json").read_text().replace('"seed": 0', '"seed": 7')
    ),
    "a dataset of a later format": lambda out: write(
        out, "manifest.json", text=manifest_of(json.loads((out / "manifest.json").read_bytes()), format=99)
    ),
    "a manifest that names files above": lambda out: write(
        out,
        "manifest.json",
        text=manifest_of(json.loads((out / "manifest.json").read_bytes()), files={"../raw/talk.jsonl": {"sha256": "0"}}),
    ),
    "a table of somebody's where data is read": lambda out: write(out, "paired/train-00099.parquet", "notes.txt"),
    "a folder in a file's place": lambda out: [(out / "README.md").unlink(), write(out, "README.md/page.txt")] and None,
}
KEPT: dict[str, Callable[[Path], None]] = {
    "notes": lambda out: write(out, "notes.txt", "TODO"),
    "notes among the data": lambda out: write(out, "paired/notes.txt", "corpus/deep/er/why.md", "figures/mine.svg"),
    "git": git,
    "an edited card": lambda out: write(out, "README.md", text="My own words"),
    "an edited card, twice before": lambda out: write(out, "README.md", "README.yours.md", "README.yours.2.md"),
    "an edited report": lambda out: write(out, "report.html"),
    "a damaged table": lambda out: write(out, TABLE),
    "a table that was deleted, and a note": lambda out: [(out / TABLE).unlink(), write(out, "why.txt")] and None,
    "links": lambda out: (
        [
            (out / "more").symlink_to("/etc"),
            (out / "gone").symlink_to("nowhere"),
            (out / "card").symlink_to("README.md"),
        ]
        and None
    ),
    "an empty folder": lambda out: (out / "for" / "later").mkdir(parents=True),
    "a folder of data behind a link": lambda out: (
        [
            shutil.move(out / "paired", out.parent / "elsewhere"),
            (out / "paired").symlink_to("../elsewhere"),
        ]
        and None
    ),
    "odd names": lambda out: write(out, "a b\n.txt", "naïve β.txt", "-rf", os.fsdecode(b"\xff\xfe"), text="mine"),
    "a pipe and a socket": lambda out: [os.mkfifo(out / "pipe"), _socket(out / "socket")] and None,
    "thousand files": lambda out: write(out, *(f"notes/{at // 50}/{at}.txt" for at in range(1_000))),
    "a file that two names share": lambda out: [write(out, "one.txt"), os.link(out / "one.txt", out / "two.txt")] and None,
    "a file that nobody may read": lambda out: [write(out, "secret.txt"), (out / "secret.txt").chmod(0)] and None,
}
assert len(REFUSED) + len(KEPT) >= 40


def _socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # a socket's path has at most 107 bytes
    socket.socket(socket.AF_UNIX).bind(path.name)
    os.chdir(here)


@pytest.mark.parametrize("kind", REFUSED)
def test_a_folder_that_no_build_made_is_left_as_it_is(small: Path, rebuild: Rebuild, kind: str) -> None:
    REFUSED[kind](small / "out")
    before = contents(small)
    with pytest.raises(RecipeError, match="nothing was changed: .*[0-9] files?: ") as caught:
        rebuild()
    assert caught.value.hint and "\n" not in str(caught.value)
    after = contents(small)
    assert {name: after.get(name) for name in before if name != "recipe.yaml"} == {
        name: what for name, what in before.items() if name != "recipe.yaml"
    }
    assert len(after) == len(before)


@pytest.mark.parametrize("exchange", [True, False], ids=["exchange", "renames"])
@pytest.mark.parametrize("kind", KEPT)
def test_what_no_build_made_stays_in_a_dataset(
    small: Path,
    rebuild: Rebuild,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    kind: str,
    exchange: bool,
) -> None:
    out = small / "out"
    if not exchange:
        monkeypatch.setattr(commit, "exchange", lambda one, other: False)
    KEPT[kind](out)
    before = contents(out)
    of_build = made(out)
    own = {name: what for name, what in before.items() if name not in of_build}
    first = read_manifest(out)
    assert first.inputs != rebuild().manifest.inputs
    after = contents(out)
    manifest = json.loads((out / "manifest.json").read_bytes())
    assert is_sealed(manifest) and all(after[name] == entry["sha256"] for name, entry in manifest["files"].items())
    said = capsys.readouterr().err.splitlines()
    for name, what in own.items():
        if name in first.files or name == "paired":
            copies = [other for other, same in after.items() if same == what and ".yours" in other]
            assert len(copies) == 1 and any(f"kept as {copies[0]}" in line for line in said)
        else:
            assert after[name] == what
    assert len(after) == len(own) + len(manifest["files"]) + 1
    assert not [path.name for path in small.iterdir() if path.name.startswith(".")]
    assert sorted(path.name for path in (small / "out.work").iterdir() if path.is_dir()) == ["columns", "parts"]


def test_a_card_that_was_edited_each_time_is_kept_each_time(small: Path, rebuild: Rebuild) -> None:
    for words in ("one", "two", "three"):
        (small / "out" / "README.md").write_text(words)
        rebuild()
    names = ("README.yours.md", "README.yours.2.md", "README.yours.3.md")
    assert [(small / "out" / name).read_text() for name in names] == ["one", "two", "three"]
    assert verify(small / "out") == []


def test_a_disk_without_links_gets_copies(small: Path, rebuild: Rebuild, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **options: Any) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    write(small / "out", "notes.txt", "paired/notes.txt", "README.md")
    rebuild()
    rebuild()
    for name in ("notes.txt", "paired/notes.txt", "README.yours.md"):
        assert (small / "out" / name).read_text() == f"my own {name.replace('.yours', '')}"
    assert not (small / "out" / "README.yours.2.md").exists()


def test_what_is_written_while_folders_change_places_is_not_lost(
    small: Path, rebuild: Rebuild, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, out = commit.exchange, small / "out"
    write(out, "notes.txt", "paired/notes.txt")

    def late(one: Path, other: Path) -> bool:
        (out / "notes.txt").unlink()  # as editors save: another file takes the name
        write(out, "notes.txt", text="second thoughts")
        write(out, "late.txt", "README.md", "figures/deep/late.txt")
        return real(one, other)

    monkeypatch.setattr(commit, "exchange", late)
    rebuild()
    texts = {path.relative_to(out).as_posix(): path.read_text() for path in out.rglob("*") if "my own" in _text(path)}
    assert {"late.txt", "figures/deep/late.txt", "paired/notes.txt", "README.yours.md"} <= set(texts)
    assert (out / "notes.yours.txt").read_text() == "second thoughts"


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.is_file() else ""


def own_files(out: Path) -> dict[str, str]:
    """A dataset's folder gets files of somebody's own, the card among them."""
    write(out, "notes.txt", ".git/objects/ab/cd", "paired/notes.txt", "README.md", *(f"more/{at}" for at in range(9)))
    (out / "later").mkdir()
    of_build = made(out)
    return {name: what for name, what in contents(out).items() if name not in of_build}


def check_whole(out: Path, own: dict[str, str]) -> None:
    """One build's files, and every file of somebody's own; the card under whatever name."""
    tree, facts = json.loads((out / "manifest.json").read_bytes()), contents(out)
    data = {name: one["sha256"] for name, one in tree["files"].items() if name != "README.md"}
    assert is_sealed(tree) and {name: facts.get(name) for name in data} == data
    assert {name: facts.get(name) for name in own if name != "README.md"} == {
        name: what for name, what in own.items() if name != "README.md"
    }
    assert own["README.md"] in facts.values()


def two_trees(small: Path, rebuild: Rebuild) -> tuple[Path, Path]:
    """Finished datasets that may take a place, of two seeds."""
    for name in ("first", "second"):
        rebuild(small / name, work=small / f"{name}.work")
    return small / "first", small / "second"


@pytest.mark.parametrize("exchange", [True, False], ids=["exchange", "renames"])
def test_a_process_killed_while_folders_change_places_loses_no_file(
    small: Path, rebuild: Rebuild, monkeypatch: pytest.MonkeyPatch, exchange: bool
) -> None:
    out, new, old = small / "out", small / "new", small / "old"
    trees = two_trees(small, rebuild)
    if not exchange:
        monkeypatch.setattr(commit, "exchange", lambda one, other: False)
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # a killed process loses no page cache
    own = own_files(out)
    draw, looks = random.Random(0), 0
    for _ in range(KILLS):
        child = os.fork()
        if child == 0:
            at = 0
            while True:
                shutil.rmtree(new, ignore_errors=True)
                shutil.copytree(trees[at % 2], new)
                commit.commit(new, out, old)
                at += 1
        deadline = time.monotonic() + draw.random() * 0.3
        while time.monotonic() < deadline:
            if exchange:  # never absent, never half
                assert is_sealed(json.loads((out / "manifest.json").read_bytes())) and (out / "notes.txt").exists()
                looks += 1
                time.sleep(0.001)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        if exchange:
            check_whole(out, own)
        commit.recover(out, new, old)
        check_whole(out, own)
        assert not new.exists() and not old.exists()
    assert looks > KILLS or not exchange


@pytest.mark.parametrize("exchange", [True, False], ids=["exchange", "renames"])
def test_a_process_that_ends_before_any_system_call_loses_no_file(small: Path, rebuild: Rebuild, exchange: bool) -> None:
    """The moments that matter are short: here the process ends before the nth call that changes a name."""
    out, new, old = small / "out", small / "new", small / "old"
    first, _ = two_trees(small, rebuild)
    own = own_files(out)
    shutil.copytree(out, small / "before", symlinks=True)
    step = ended = 0
    while ended == step:
        shutil.rmtree(out)
        shutil.copytree(small / "before", out, symlinks=True)
        shutil.copytree(first, new)
        ended += _in_child(lambda: commit.commit(new, out, old), step, exchange) == ENDED
        if exchange:
            check_whole(out, own)
        again = 0
        while _in_child(lambda: commit.recover(out, new, old), again, exchange) == ENDED:  # and so does what mends it
            again += 1 if TORTURE else 11
            if exchange:
                check_whole(out, own)
        check_whole(out, own)
        assert not new.exists() and not old.exists()
        step += 1
    assert ended > 40


ENDED = 9


def _in_child(work: Callable[[], None], step: int, exchange: bool) -> int:
    child = os.fork()
    if child == 0:
        _end_at(step, exchange)
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _end_at(step: int, exchange: bool) -> None:
    """End this process, as a kill does, before the nth link, rename or removal that `commit` makes."""
    count = 0
    swap = commit.exchange if exchange else lambda one, other: False

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            if count == step + 1:
                os._exit(ENDED)
            return call(*arguments, **options)

        return wrapped

    commit.exchange = counted(swap)
    for name in ("link", "rename", "rmdir", "unlink"):
        setattr(os, name, counted(getattr(os, name)))


def test_forgetting_leaves_what_no_build_made_and_says_so(small: Path) -> None:
    import polars as pl

    out = small / "out"
    ids = pl.read_parquet(out / "corpus/part-00000.parquet")["id"].to_list()
    write(out, "notes.txt", "paired/notes.txt", "README.md")
    removal = forget(out, ids)
    assert removal.after == {} and contents(out).keys() == {"notes.txt", "paired/notes.txt", "README.md"}
    assert "files in it that no build made were not touched: README.md, notes.txt, paired/notes.txt" in describe(removal, out, 2)
    assert forget(out, ids).rows.is_empty()


def test_forgetting_refuses_a_table_that_was_changed(small: Path) -> None:
    import polars as pl

    out = small / "out"
    ids = pl.read_parquet(out / "corpus/part-00000.parquet")["id"].to_list()
    write(out, TABLE)
    before = contents(small)
    with pytest.raises(DataError, match=f"not as the build wrote them, first {TABLE}; nothing was changed; run its"):
        forget(out, ids[:1])
    assert contents(small) == before


READERS: Sequence[tuple[str, ...]] = (
    ("show", "{}"),
    ("show", "{}", "--stage", "exact_duplicates"),
    ("explain", "{}", "0"),
    ("compare", "{}", "{}"),
    ("verify", "{}"),
    ("report", "{}", "--to", "page.html"),
)


@pytest.mark.parametrize("arguments", READERS, ids=" ".join)
@pytest.mark.parametrize("damage", ["manifest", "data"])
def test_every_reader_names_what_is_damaged(
    small: Path, curate: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, arguments: Sequence[str], damage: str
) -> None:
    monkeypatch.chdir(small)
    out = small / "out"
    if damage == "manifest":
        write(out, "manifest.json", text=(out / "manifest.json").read_text().replace('"rows_in": 2', '"rows_in": 3'))
    else:
        for path in out.rglob("*.parquet"):
            data = bytearray(path.read_bytes())
            data[len(data) // 2] ^= 1
            path.write_bytes(data)
    ran = curate(*(argument.format(out) for argument in arguments))
    if damage == "data" and arguments == ("show", "{}"):
        assert ran.code == 0  # it reads the manifest only
        return
    assert ran.code in (3, 74) and "Traceback" not in ran.err and "hint:" in ran.err
    assert ("fingerprint does not fit" if damage == "manifest" else "sha256 is not the manifest's") in ran.out + ran.err


def test_a_damaged_dataset_is_built_again_and_a_damaged_manifest_is_said(small: Path) -> None:
    from curate.pipeline.build import build
    from curate.pipeline.recipe import read_recipe

    def same() -> bool:
        return build(small / "raw", small / "out", read_recipe(small / "recipe.yaml")).unchanged

    assert same()
    (small / "out" / TABLE).unlink()
    assert not same() and same()
    data = bytearray((small / "out" / "manifest.json").read_bytes())
    data[data.index(b'"policy": "') + 12] ^= 1
    (small / "out" / "manifest.json").write_bytes(data)
    with pytest.raises(RecipeError, match="fingerprint does not fit"):
        same()


def test_a_folder_that_fills_meanwhile_is_not_replaced(small: Path, rebuild: Rebuild, monkeypatch: pytest.MonkeyPatch) -> None:
    import curate.pipeline.build as room

    real = room.commit
    monkeypatch.setattr(room, "commit", lambda *paths: (write(small / "new", "mine.txt"), real(*paths)))
    with pytest.raises(StorageError, match="was filled by something else meanwhile"):
        rebuild(small / "new")
    assert contents(small / "new").keys() == {"mine.txt"}
