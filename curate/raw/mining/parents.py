"""Posts of other files that a file's replies answer: forum dumps often keep posts and comments apart."""

from __future__ import annotations

import fnmatch
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from curate.core.errors import RecipeError
from curate.raw.files.records import Fields
from curate.raw.formats import READERS, Broken, Record, Stream, recognise
from curate.raw.mining.columns import flat
from curate.raw.mining.kinds import MiningSettings
from curate.raw.mining.roles import SAMPLE, SAMPLE_BYTES, Roles, find_roles
from curate.raw.mining.threads import ParentPost
from curate.raw.sources import SourceFile, SourceSettings, may_name_table, place_of, source_for


@dataclass(frozen=True)
class ReadableFile:
    """A file whose format is known.

    Attributes:
        name: of the file.
        form: its format.
        read: its records, from the start, each time it is called.
    """

    name: str
    form: str
    read: Callable[[], Iterator[Record | Broken]]


def readable(file: SourceFile, form: str, limit: int | None = None) -> ReadableFile:
    """A file ready to be read.

    Args:
        file: where it lies.
        form: its format.
        limit: at most so many of its records, the first; None for all.
    """
    read = READERS[form]
    return ReadableFile(file.name, form, lambda: itertools.islice(read(Stream(file.path, member=file.member)), limit))


def files_of_parents(name: str, files: Sequence[SourceFile], sources: Sequence[SourceSettings]) -> list[SourceFile]:
    """The files in which the recipe says that parents of a file's replies stand; with tables, the file itself may be one."""
    speaking = [source for source in sources if fnmatch.fnmatchcase(name, source.match) or may_name_table(source.match, name)]
    patterns = [pattern for source in speaking for pattern in source.parents]
    return [file for file in files if any(_holds(file.name, pattern, name) for pattern in patterns)]


def _holds(name: str, pattern: str, answering: str) -> bool:
    """Whether a pattern means a file, other than the one that answers, or a table in it."""
    of_table = pattern.rpartition("/")[0]
    return fnmatch.fnmatchcase(name, of_table) or (name != answering and fnmatch.fnmatchcase(name, pattern))


def readable_parents(
    files: Sequence[SourceFile], sources: Sequence[SourceSettings], limit: int | None = None
) -> list[ReadableFile]:
    """Files of parents ready to be read.

    Args:
        files: as `files_of_parents` gives them.
        sources: what the recipe says of them.
        limit: records of each; None for all.

    Raises:
        RecipeError: a file that no reader knows.
    """
    return [_readable_parent(file, sources, limit) for file in files]


def _readable_parent(file: SourceFile, sources: Sequence[SourceSettings], limit: int | None) -> ReadableFile:
    form: str | None = source_for(file.name, sources).format or recognise(Stream(file.path, member=file.member))
    if form is None:
        raise RecipeError(f"sources: parents: {file.name}: found no format that is known", hint="name it under format")
    return readable(file, form, limit)


def parent_posts(
    files: Sequence[ReadableFile], patterns: Sequence[str], answering: str, settings: MiningSettings
) -> Iterator[ParentPost]:
    """Every record that may be a parent, with the file it stands in and how that is understood.

    Args:
        files: where to look.
        patterns: of the recipe, for files ("posts.jsonl") and for tables within them ("forum.sql/topics").
        answering: the file or table whose replies look for parents; its own records are left out.
        settings: how a table of posts is understood.

    Raises:
        RecipeError: a file without a column of ids, or without texts.
    """
    for file in files:
        roles: dict[str, Roles | None] = {}  # None: of a table that nobody asks for
        waiting: dict[str, list[Fields]] = {}
        waiting_bytes = 0
        for entry in file.read():
            if isinstance(entry, Broken):
                continue
            table = entry.table
            if table not in roles and table not in waiting and not _asked(file.name, table, patterns, answering):
                roles[table] = None
            if table in roles:
                if (of_table := roles[table]) is not None:
                    yield ParentPost(file.name, of_table, flat(entry.fields))
                continue
            waiting.setdefault(table, []).append(flat(entry.fields))
            waiting_bytes += len(entry.raw)
            if len(waiting[table]) >= SAMPLE or waiting_bytes > SAMPLE_BYTES:
                sample, waiting_bytes = waiting.pop(table), 0
                roles[table] = of_posts = _roles_of_posts(file, table, sample, settings)
                yield from (ParentPost(file.name, of_posts, fields) for fields in sample)
        for table, sample in waiting.items():
            of_posts = _roles_of_posts(file, table, sample, settings)
            yield from (ParentPost(file.name, of_posts, fields) for fields in sample)


def _asked(name: str, table: str, patterns: Sequence[str], answering: str) -> bool:
    place = place_of(name, table)
    return place != answering and any(fnmatch.fnmatchcase(one, pattern) for pattern in patterns for one in (name, place))


def _roles_of_posts(file: ReadableFile, table: str, sample: Sequence[Fields], settings: MiningSettings) -> Roles:
    """A table of posts, whatever else it might be taken for."""
    place, source = place_of(file.name, table), settings.of(file.name, table)
    roles = find_roles(sample, file.form, replace(source, mine="thread", instruction=None), settings.policy, place)
    if roles.column("id") is None:
        columns = ", ".join(list(dict.fromkeys(name for fields in sample for name in fields))[:12])
        problem = f"sources: {source.match}: parents: {place} has no column for id"
        raise RecipeError(problem, hint=f"name it under columns (it has {columns})")
    return roles
