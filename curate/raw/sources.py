"""Which files a source folder holds, which are left aside and why, and what a recipe says about each."""

from __future__ import annotations

import fnmatch
import glob
import json
import re
import stat
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from curate.core.config import config
from curate.core.errors import DataError, RecipeError, nearest
from curate.raw.files.archive import is_zip, members

ABOUT = ("readme", "source", "license", "licence", "copying", "notice", "changelog", "manifest")
"""Stems of files that speak about data; a file of that name is left aside when it is a page of prose, not a table."""

MAX_STATE = 16 << 20  # bytes of the page that lists a saved dataset's files: about 200,000 of them

PROSE = ("", ".md", ".txt", ".rst", ".html")
SPDX = re.compile(r"SPDX-License-Identifier:[ \t]*([A-Za-z0-9.+-]+)")
MAX_LICENCE = 64 << 10  # bytes of a licence's page in which its identifier is looked for

Kind = Literal["preference", "ballot", "parallel", "messages", "completion", "chat", "thread", "text"]
Format = Literal["jsonl", "json", "csv", "parquet", "hf", "xlsx", "xml", "html", "sql", "mbox", "chat", "txt"]


@config
class SourceSettings:
    """What a recipe says of the files whose name matches; what it does not say is worked out from the files.

    Args:
        match: pattern of file names relative to the source folder; `*` crosses folders, as in "forum/*.jsonl". A member of a
            zip is "archive.zip/inner.jsonl"; one table of a file that holds several is "dump.sql/posts", "survey.xlsx/Sheet1".
        columns: role -> the column that plays it (a list for `votes` and `neutral`), nested ones as "data.body".
        labels: label as written -> whether it says toxic; for labels whose polarity nothing in the file proves.
        licence: licence of the records that do not name their own.
        format: how to read the file, instead of by its content.
        mine: how to make rows of its records, instead of by its columns.
        known: the public set of the policy page that this is, where the header does not prove it.
        instruction: for plain texts: what asks for them, instead of their first half. "{start}" stands for that first half;
            without it the whole text is the completion.
        parents: for replies whose parents stand elsewhere: patterns of the files, or tables within files, that hold those
            posts, as ["posts.jsonl"] or ["forum.sql/topics"].
    """

    match: str
    columns: dict[str, str | tuple[str, ...]] = Field(default_factory=dict)
    labels: dict[str, bool] = Field(default_factory=dict)
    licence: str | None = None
    format: Format | None = None
    mine: Kind | None = None
    known: str | None = None
    instruction: Annotated[str, Field(min_length=1)] | None = None
    parents: tuple[str, ...] = ()


@dataclass(frozen=True, order=True)
class SourceFile:
    """A file to read.

    Attributes:
        name: path relative to the source folder, '/' between folders: part of every row's identity.
        path: where it lies.
        member: its name within the zip that lies there; null for a file of its own.
        size: bytes of a member, decompressed.
    """

    name: str
    path: Path
    member: str | None = None
    size: int = 0


@dataclass(frozen=True, order=True)
class LeftAside:
    """A file that is not read, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class FolderListing:
    """What a source folder holds: the files to read and the others, both sorted by name.

    Attributes:
        files: to read.
        left_aside: the others.
        licences: folder, as the beginning of its files' names ("" for the whole, "forum/"), -> the licence that a file LICENSE
            in it names by `SPDX-License-Identifier: ...`.
    """

    files: tuple[SourceFile, ...]
    left_aside: tuple[LeftAside, ...]
    licences: Mapping[str, str] = field(default_factory=dict)


def discover(folder: Path) -> FolderListing:
    """List the files of a folder and its subfolders. No link is followed: nothing outside the folder is ever read.

    Raises:
        DataError: no such folder, not a folder, unreadable, or nothing in it to read.
    """
    if not folder.exists():
        raise DataError(f"--source {folder}: no such folder", hint="check the path")
    if not folder.is_dir():
        raise DataError(f"--source {folder}: found a file, expected a folder", hint="pass the folder that holds it")
    files: list[SourceFile] = []
    aside: list[LeftAside] = []
    try:
        _walk(folder, "", files, aside)
    except OSError as error:
        raise DataError(f"--source {folder}: cannot be listed ({error.strerror})", hint="check its permissions") from None
    if not files:
        contents = (
            f"only {len(aside)} left aside ({', '.join(sorted({entry.reason for entry in aside}))})"
            if aside
            else "an empty folder"
        )
        raise DataError(f"--source {folder}: found {contents}", hint="put text, tables, chats, mails or dumps there")
    return FolderListing(tuple(sorted(files)), tuple(sorted(aside)), _licences(folder, aside))


def place_of(name: str, table: str) -> str:
    """How a table of a file is called, in recipes and in errors; of a file that is one table, the file's name."""
    return f"{name}/{table}" if table else name


def source_for(name: str, sources: Sequence[SourceSettings], table: str = "") -> SourceSettings:
    """The first of the recipe's sources that matches a file name, or the table's within it; or one that says nothing."""
    names = dict.fromkeys((place_of(name, table), name))
    fits = (source for source in sources if any(fnmatch.fnmatchcase(one, source.match) for one in names))
    return next(fits, SourceSettings(match=place_of(name, table)))


def with_licences(sources: Sequence[SourceSettings], listing: FolderListing) -> tuple[SourceSettings, ...]:
    """What a recipe says of files, and the licences that the folders state of what is in them and names none.

    Args:
        sources: the recipe's; its own `licence` wins.
        listing: the folder.
    """
    if not listing.licences:
        return tuple(sources)
    deepest = sorted(listing.licences, key=len, reverse=True)
    own: list[SourceSettings] = []
    for file in listing.files if sources else ():
        said = source_for(file.name, sources)
        stated = next((listing.licences[folder] for folder in deepest if file.name.startswith(folder)), None)
        tables = any(may_name_table(source.match, file.name) for source in sources if source.match != said.match)
        if said in sources and said.licence is None and stated is not None and not tables:
            own.append(replace(said, match=glob.escape(file.name), licence=stated))
    whole = (SourceSettings(match=f"{glob.escape(folder)}*", licence=listing.licences[folder]) for folder in deepest)
    return (*own, *sources, *whole)


def check_matches(sources: Sequence[SourceSettings], names: Iterable[str], partly: bool = True) -> None:
    """Refuse a recipe's source that speaks of no file: whatever it says, labels turned round above all, would not be heeded.

    Args:
        sources: the recipe's.
        names: of all files, also of those left aside; with their tables once those are known.
        partly: whether a pattern passes that may yet fit a table within one of the files.

    Raises:
        RecipeError: naming the pattern; of several files that may hold parents, one is enough.
    """
    present = list(names)
    claims: list[tuple[str, tuple[str, ...]]] = [("match", (source.match,)) for source in sources]
    claims += [(f"{source.match}: parents", source.parents) for source in sources if source.parents]
    for where, patterns in claims:
        if any(_fits(name, pattern, partly) for pattern in patterns for name in present):
            continue
        raise RecipeError(
            f"sources: {where}: no file fits {' or '.join(map(repr, patterns))}", hint=nearest(patterns[0], present)
        )


def _fits(name: str, pattern: str, partly: bool) -> bool:
    return fnmatch.fnmatchcase(name, pattern) or (partly and may_name_table(pattern, name))


def may_name_table(pattern: str, name: str) -> bool:
    """Whether some "name/table" fits a pattern: then what the pattern begins with fits "name/"."""
    return any(fnmatch.fnmatchcase(f"{name}/", pattern[:end]) for end in range(1, len(pattern)))


def _walk(folder: Path, prefix: str, files: list[SourceFile], aside: list[LeftAside]) -> None:
    paths = sorted(folder.iterdir())
    saved = _saved_dataset(folder, {path.name for path in paths})
    for path in paths:
        name = prefix + path.name
        reason = _reason(path) or saved.get(path.name)
        if reason is not None:
            aside.append(LeftAside(_printable(name), reason))
        elif path.is_dir():
            _walk(path, f"{name}/", files, aside)
        elif is_zip(path):
            _archive(path, name, files, aside)
        else:
            files.append(SourceFile(name, path))


def _licences(folder: Path, aside: Iterable[LeftAside]) -> dict[str, str]:
    licences: dict[str, str] = {}
    for entry in aside:
        path = folder / entry.name
        if entry.reason != "about" or path.stem.lower() not in ("license", "licence") or not path.is_file():
            continue
        try:
            with path.open("rb") as file:
                identifier = SPDX.search(file.read(MAX_LICENCE).decode("utf-8", "replace"))
        except OSError:
            continue
        if identifier is not None:
            licences[entry.name[: -len(path.name)]] = identifier[1]
    return licences


def _archive(path: Path, name: str, files: list[SourceFile], aside: list[LeftAside]) -> None:
    """A zip's members, as files of a folder of its name."""
    try:
        contents = members(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        aside.append(LeftAside(_printable(name), "damaged_archive"))
        return
    if contents is None:  # a document of many parts
        files.append(SourceFile(name, path))
        return
    for member in contents:
        reason = member.reason or _about(Path(member.path))
        if reason is not None:
            aside.append(LeftAside(_printable(f"{name}/{member.path}"), reason))
        else:
            files.append(SourceFile(f"{name}/{member.path}", path, member.name, member.size))


def _saved_dataset(folder: Path, names: set[str]) -> dict[str, str]:
    """In a folder that `datasets` saved: what describes the data, and Arrow files that are no part of it."""
    about = dict.fromkeys({"dataset_dict.json"} & names, "about")
    state = folder / "state.json"
    if not {state.name, "dataset_info.json"} <= names or state.is_symlink() or state.stat().st_size > MAX_STATE:
        return about
    try:
        data = {entry["filename"] for entry in json.loads(state.read_bytes())["_data_files"]}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return about
    caches = {name for name in names if name.endswith(".arrow")} - data
    return about | dict.fromkeys(("state.json", "dataset_info.json"), "about") | dict.fromkeys(caches, "cache")


def _reason(path: Path) -> str | None:
    """Why a path is not read; null when it is."""
    mode = path.lstat().st_mode
    if path.name.startswith("."):
        return "hidden"
    if stat.S_ISLNK(mode):
        return "symlink"
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        return "not_a_file"
    if any("\ud800" <= letter <= "\udfff" for letter in path.name):
        return "name_not_utf8"  # it could not be written into a row
    return _about(path) if stat.S_ISREG(mode) else None


def _about(path: Path) -> str | None:
    return "about" if path.suffix.lower() in PROSE and path.stem.lower() in ABOUT else None


def _printable(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
