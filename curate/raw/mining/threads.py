"""Who answers whom: posts of a file by id, on disk, so that a thread dump of any size needs little memory.

A file's rows are made of its own bytes, and of those files that the recipe names as holding its parents
(`SourceSettings.parents`). A reply whose parent is in none of them is skipped as `parent_missing`, unless it quotes the parent
or carries a title.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from curate.core.schema import canonical
from curate.raw.files.records import Fields
from curate.raw.mining.messages import as_text
from curate.raw.mining.roles import Roles

NOBODY = ("", "null", "none", "nan", "na", "0", "-1", "root")
"""How exports write that a post has no parent."""

DEEPEST = 1_000  # replies between a post and its root that are followed

_PREFIX = re.compile(r"t\d_")  # Reddit puts the kind of a thing before its id


@dataclass(frozen=True, slots=True)
class ParentPost:
    """A post of another file that may be answered in this one.

    Attributes:
        file: where it stands.
        roles: that file's columns.
        fields: the record, flat.
    """

    file: str
    roles: Roles
    fields: Fields


class Threads:
    """Posts by id, and the opening post of each thread."""

    def __init__(self, posts: Iterable[Fields], roles: Roles, file: str = "", elsewhere: Iterable[ParentPost] = ()) -> None:
        """Read every post once.

        Args:
            posts: all records of the file, flat; of two with one id the first counts.
            roles: the file's columns.
            file: its name.
            elsewhere: posts in other files; where an id is in the file too, the file's counts.
        """
        self._roles, self._file = roles, file
        self._store = sqlite3.connect("")  # a temporary file that the system removes
        self._store.execute("PRAGMA synchronous = OFF")
        self._store.execute("PRAGMA journal_mode = OFF")
        self._store.execute("CREATE TABLE post (id TEXT PRIMARY KEY, parent TEXT, text TEXT, file TEXT)")
        self._store.execute("CREATE TABLE opening (thread TEXT PRIMARY KEY, number INTEGER, text TEXT)")
        for number, post in enumerate(posts):
            text = self._keep(file, roles, post)
            if thread := _cell(post, roles, "thread"):
                self._store.execute("INSERT OR IGNORE INTO opening VALUES (?, ?, ?)", (thread, number, text))
        for parent in elsewhere:
            self._keep(parent.file, parent.roles, parent.fields)

    def close(self) -> None:
        """Give the disk space back."""
        self._store.close()

    def prompt(self, post: Fields, number: int) -> tuple[str, str | None]:
        """What a post answers: (text, None), or ("", the reason why it has no prompt).

        The parent's text; where the parent is not in the file, what the post quotes, or the title. A post that opens a thread
        asks, it does not answer, and is the prompt of others only. In files that record no parents: what the post quotes,
        else the title, else the thread's opening post.

        Args:
            post: the record, flat.
            number: which record of the file it is, from 0.
        """
        parent, title = self._cell(post, "parent"), as_text(post.get(self._roles.column("title") or ""))
        quote = as_text(post.get(self._roles.column("quote") or ""))
        above = self._find(parent)
        if parent.casefold() not in NOBODY or above is not None:
            text = above.text if above is not None else quote if quote.strip() else title
            return (text, None) if text.strip() else ("", "parent_missing")
        if quote.strip():
            return quote, None
        if self._roles.column("parent") is not None:
            return "", "opening_post"
        if title.strip():
            return title, None
        thread = self._cell(post, "thread")
        if thread:
            row = self._store.execute("SELECT number, text FROM opening WHERE thread = ?", (thread,)).fetchone()
            if row is not None and row[0] != number and row[1].strip():
                return row[1], None
        return "", "opening_post"

    def root(self, post: Fields) -> tuple[str, str]:
        """The file in which a post's thread stands, and its name: its thread column, else the post that all this answers."""
        name = self._root(post)
        opening = self._find(name)
        return (opening.file if opening is not None else self._file), name

    def _root(self, post: Fields) -> str:
        if thread := self._cell(post, "thread"):
            return thread
        name, parent = self._cell(post, "id"), self._cell(post, "parent")
        seen = {name}
        for _ in range(DEEPEST):
            above = self._find(parent) if parent not in seen else None
            if above is None:
                break
            seen.add(parent)
            name, parent = parent, above.parent
        return name if parent.casefold() in NOBODY or parent in seen else parent

    def _keep(self, file: str, roles: Roles, post: Fields) -> str:
        text = _text(post, roles)
        if name := _cell(post, roles, "id"):
            line = (name, _cell(post, roles, "parent"), text, file)
            self._store.execute("INSERT OR IGNORE INTO post VALUES (?, ?, ?, ?)", line)
        return text

    def _find(self, name: str) -> _StoredPost | None:
        line = self._store.execute("SELECT parent, text, file FROM post WHERE id = ?", (name,)).fetchone()
        return None if line is None else _StoredPost(*line)

    def _cell(self, post: Fields, role: str) -> str:
        return _cell(post, self._roles, role)


@dataclass(frozen=True, slots=True)
class _StoredPost:
    """What is kept of a post: the id of its parent, its text, the file it stands in."""

    parent: str
    text: str
    file: str


def _text(post: Fields, roles: Roles) -> str:
    """A post's own text; of one that has only a title, such as a link, the title."""
    text = as_text(post.get(roles.column("text") or ""))
    return text if text.strip() else as_text(post.get(roles.column("title") or ""))


def _cell(post: Fields, roles: Roles, role: str) -> str:
    """An id as every column spells it: "t1_abc" is "abc", 12.0 is "12"."""
    value = post.get(roles.column(role) or "")
    text = canonical(value) if isinstance(value, (list, dict)) else as_text(value).strip()
    text = _PREFIX.sub("", text, count=1) if _PREFIX.match(text) else text
    return text.removesuffix(".0") if re.fullmatch(r"\d+\.0", text) else text
