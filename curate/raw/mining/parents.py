"""Posts of other files that a file's replies answer: forum dumps often keep posts and comments apart."""

from __future__ import annotations

import fnmatch
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from curate.core.errors import RecipeError
from curate.core.policy import Policy
from curate.raw.formats import READERS, Broken, Record, Stream, recognise
from curate.raw.mining.roles import SAMPLE, SAMPLE_BYTES, Roles, find_roles, flat
from curate.raw.sources import Source, SourceFile, may_name_table, place_of, source_for


@dataclass(frozen=True)
class Other:
    """A file whose posts may be answered elsewhere.

    Attributes:
        name: of the file.
        form: its format.
        read: its records, from the start, each time it is called.
    """

    name: str
    form: str
    read: Callable[[], Iterator[Record | Broken]]


def files_of_parents(name: str, files: Sequence[SourceFile], sources: Sequence[Source]) -> list[SourceFile]:
    """The files in which the recipe says that parents of a file's replies stand; with tables, the file itself may be one."""
    speaking = [source for source in sources if fnmatch.fnmatchcase(name, source.match) or may_name_table(source.match, name)]
    patterns = [pattern for source in speaking for pattern in source.parents]
    return [file for file in files if any(_holds(file.name, pattern, name) for pattern in patterns)]


def _holds(name: str, pattern: str, answering: str) -> bool:
    """Whether a pattern means a file, other than the one that answers, or a table in it."""
    of_table = pattern.rpartition("/")[0]
    return fnmatch.fnmatchcase(name, of_table) or (name != answering and fnmatch.fnmatchcase(name, pattern))


def opened(files: Sequence[SourceFile], sources: Sequence[Source], limit: int | None = None) -> list[Other]:
    """Files ready to be read.

    Args:
        files: as `files_of_parents` gives them.
        sources: what the recipe says of them.
        limit: records of each; None for all.

    Raises:
        RecipeError: a file that no reader knows.
    """
    return [_opened(file, sources, limit) for file in files]


def _opened(file: SourceFile, sources: Sequence[Source], limit: int | None) -> Other:
    form: str | None = source_for(file.name, sources).format or recognise(Stream(file.path, member=file.member))
    if form is None:
        raise RecipeError(f"sources: parents: {file.name}: found no format that is known", hint="name it under format")
    read = READERS[form]
    return Other(file.name, form, lambda: itertools.islice(read(Stream(file.path, member=file.member)), limit))


def posts(
    others: Sequence[Other], patterns: Sequence[str], answering: str, sources: Sequence[Source], policy: Policy
) -> Iterator[tuple[str, Roles, dict[str, Any]]]:
    """Every record that may be a parent, with the file it stands in and how that is understood.

    Args:
        others: the files.
        patterns: of the recipe, for files ("posts.jsonl") and for tables within them ("forum.sql/topics").
        answering: the file or table whose replies look for parents; its own records are not told.
        sources: what the recipe says of files.
        policy: reads labels.

    Raises:
        RecipeError: a file without a column of ids, or without texts.
    """
    for other in others:
        roles: dict[str, Roles | None] = {}  # None: of a table that nobody asked for
        waiting: dict[str, list[dict[str, Any]]] = {}
        held = 0
        for entry in other.read():
            if isinstance(entry, Broken):
                continue
            table = entry.table
            if table not in roles and table not in waiting and not _asked(other.name, table, patterns, answering):
                roles[table] = None
            if table in roles:
                if (known := roles[table]) is not None:
                    yield other.name, known, flat(entry.fields)
                continue
            waiting.setdefault(table, []).append(flat(entry.fields))
            held += len(entry.raw)
            if len(waiting[table]) >= SAMPLE or held > SAMPLE_BYTES:
                sample, held = waiting.pop(table), 0
                roles[table] = understood = _understood(other, table, sample, sources, policy)
                yield from ((other.name, understood, fields) for fields in sample)
        for table, sample in waiting.items():
            understood = _understood(other, table, sample, sources, policy)
            yield from ((other.name, understood, fields) for fields in sample)


def _asked(name: str, table: str, patterns: Sequence[str], answering: str) -> bool:
    place = place_of(name, table)
    return place != answering and any(fnmatch.fnmatchcase(one, pattern) for pattern in patterns for one in (name, place))


def _understood(other: Other, table: str, sample: Sequence[dict[str, Any]], sources: Sequence[Source], policy: Policy) -> Roles:
    """A table of posts, whatever else it might be taken for."""
    place = place_of(other.name, table)
    settings = source_for(other.name, sources, table)
    roles = find_roles(sample, other.form, replace(settings, mine="thread", instruction=None), policy, place)
    if roles.column("id") is None:
        has = ", ".join(list(dict.fromkeys(name for fields in sample for name in fields))[:12])
        raise RecipeError(
            f"sources: {settings.match}: parents: {place} has no column for id", hint=f"name it under columns (it has {has})"
        )
    return roles
