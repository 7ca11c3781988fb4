"""Which files a source folder holds, which are left aside and why, and what a recipe says about each."""

from __future__ import annotations

import fnmatch
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from curate.errors import DataError
from curate.recipe import config

ABOUT = ("readme", "source", "license", "licence", "copying", "notice", "changelog", "manifest")
"""Stems of files that speak about data; a file of that name is left aside when it is a page of prose, not a table."""

PROSE = ("", ".md", ".txt", ".rst", ".html")

Kind = Literal["preference", "ballot", "parallel", "messages", "completion", "chat", "thread", "text"]
Format = Literal["jsonl", "json", "csv", "parquet", "chat", "txt"]


@config
class Source:
    """What a recipe says of the files whose name matches; what it does not say is found out.

    Args:
        match: pattern of file names relative to the source folder; `*` crosses folders, as in "forum/*.jsonl".
        columns: role -> the column that plays it (a list for `votes` and `neutral`), nested ones as "data.body".
        labels: label as written -> whether it says toxic; for labels whose polarity nothing in the file proves.
        licence: licence of the records that do not name their own.
        format: how to read the file, instead of by its content.
        mine: how to make rows of its records, instead of by its columns.
    """

    match: str
    columns: dict[str, str | tuple[str, ...]] = Field(default_factory=dict)
    labels: dict[str, bool] = Field(default_factory=dict)
    licence: str | None = None
    format: Format | None = None
    mine: Kind | None = None


@dataclass(frozen=True, order=True)
class SourceFile:
    """A file to read.

    Attributes:
        name: path relative to the source folder, '/' between folders: part of every row's identity.
        path: where it lies.
    """

    name: str
    path: Path


@dataclass(frozen=True, order=True)
class LeftAside:
    """A file that is not read, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Discovered:
    """What a source folder holds, both sorted by name."""

    files: tuple[SourceFile, ...]
    left_aside: tuple[LeftAside, ...]


def discover(folder: Path) -> Discovered:
    """List the files of a folder and its subfolders. No link is followed: nothing outside the folder is ever read.

    Raises:
        DataError: no such folder, not a folder, unreadable, or nothing in it to read.
    """
    if not folder.exists():
        raise DataError(f"--source {folder}: no such folder; check the path")
    if not folder.is_dir():
        raise DataError(f"--source {folder}: found a file, expected a folder; pass the folder that holds it")
    files: list[SourceFile] = []
    aside: list[LeftAside] = []
    try:
        _walk(folder, "", files, aside)
    except OSError as error:
        raise DataError(f"--source {folder}: cannot be listed ({error.strerror}); check its permissions") from None
    if not files:
        found = (
            f"only {len(aside)} left aside ({', '.join(sorted({entry.reason for entry in aside}))})"
            if aside
            else "an empty folder"
        )
        raise DataError(f"--source {folder}: found {found}; put jsonl, json, csv, tsv, parquet or txt files there")
    return Discovered(tuple(sorted(files)), tuple(sorted(aside)))


def source_for(name: str, sources: Sequence[Source]) -> Source:
    """The first of the recipe's sources that matches a file name, or one that says nothing."""
    return next((source for source in sources if fnmatch.fnmatchcase(name, source.match)), Source(match=name))


def _walk(folder: Path, prefix: str, files: list[SourceFile], aside: list[LeftAside]) -> None:
    for path in sorted(folder.iterdir()):
        name = prefix + path.name
        reason = _reason(path)
        if reason is not None:
            aside.append(LeftAside(_printable(name), reason))
        elif path.is_dir():
            _walk(path, f"{name}/", files, aside)
        else:
            files.append(SourceFile(name, path))


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
    if stat.S_ISREG(mode) and path.suffix.lower() in PROSE and path.stem.lower() in ABOUT:
        return "about"
    return None


def _printable(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
