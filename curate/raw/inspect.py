"""`curate inspect`: how each file of a folder would be read, before an hour of work is spent on it."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from curate.core.policy import Policy, load_policy
from curate.core.progress import Progress
from curate.pages.tables import table_lines
from curate.raw.formats import READERS, Broken, Record, Stream, recognise
from curate.raw.mining.columns import leaf
from curate.raw.mining.labels import LABELS
from curate.raw.mining.parents import files_of_parents, opened
from curate.raw.mining.roles import Roles, flat
from curate.raw.mining.tables import Tables
from curate.raw.mining.unused import is_used, used_columns
from curate.raw.sources import LeftAside, Source, SourceFile, check_matches, discover, place_of, source_for

HEADER = ("file", "container", "format", "encoding", "records", "rows", "read as", "roles", "labels", "licence", "not used")
MOST_REASONS = 4  # of records that would give no rows, named in the table
MOST_PLACES = 3  # of broken records whose place is named
TEXT_SHOWN = 200  # characters of a sample that --show-text prints
LABEL_ROLES = ("label", "votes", "votes_toxic")


@dataclass
class _Table:
    """What was seen of one table of a file."""

    roles: Roles
    settings: Source
    records: int = 0
    rows: int = 0
    toxic: int = 0
    non_toxic: int = 0
    said: Counter[str] = field(default_factory=Counter)  # labels in short that said nothing -> records
    skipped: Counter[str] = field(default_factory=Counter)
    columns: dict[str, int] = field(default_factory=dict)  # column -> records in which it holds something
    licences: Counter[str] = field(default_factory=Counter)
    sample: Mapping[str, Any] | None = None


@dataclass
class _File:
    """What was seen of one file."""

    file: SourceFile
    stream: Stream
    form: str
    tables: dict[str, _Table]
    broken: list[Broken]
    whole: bool  # all of its records were seen


def inspect(folder: Path, sources: Sequence[Source] = (), limit: int = 1_000, show_text: bool = False) -> str:
    """Tell how every file would be understood; nothing is written, and no text of a record is told unless asked for.

    Args:
        folder: what would be `--source`.
        sources: what the recipe says of files.
        limit: records of each file that are read.
        show_text: print one prompt and completion of each table too.

    Raises:
        DataError: no such folder, or nothing in it to read.
        RecipeError: a source of the recipe that does not fit its file.
    """
    found = discover(folder)
    check_matches(sources, [*(file.name for file in found.files), *(entry.name for entry in found.left_aside)])
    aside, files = list(found.left_aside), []
    with Progress("inspect", len(found.files), "files") as progress:
        for file in found.files:
            seen = _look(file, files_of_parents(file.name, found.files, sources), sources, limit)
            if isinstance(seen, _File):
                files.append(seen)
            else:
                aside.append(LeftAside(file.name, seen))
            progress.add(1)
    policy = load_policy()
    lines = _columns([HEADER, *(line for seen in files for line in _lines(seen, policy))])
    if any(not seen.whole for seen in files):
        lines += ["", f"+ there are more: the first {limit:,} records of each file were read; --limit reads more"]
    lines += [
        *_aside(aside),
        *_places(files),
        *_unproven(files, policy),
        *_perhaps(files, policy),
        *_orphans(files),
        *_unused(files, policy),
    ]
    if show_text:
        lines += _samples(files)
    return "\n".join(map(_printable, lines))


def _look(file: SourceFile, others: Sequence[SourceFile], sources: Sequence[Source], limit: int) -> _File | str:
    """Read the first records of a file, or say why it is left aside."""
    try:
        stream = Stream(file.path, member=file.member)
    except OSError:
        return "unreadable"
    form: str | None = source_for(file.name, sources).format or recognise(stream)
    if form is None:
        return "unknown_format"
    policy, broken, seen = load_policy(), list[Broken](), dict[str, _Table]()
    reader = READERS[form]

    def again() -> Iterator[Record | Broken]:
        return itertools.islice(reader(Stream(file.path, member=file.member)), limit)

    entries = reader(stream)
    with Tables(file.name, form, sources, policy, b"inspect", again, opened(others, sources, limit)) as tables:
        for record, rows in tables.mine(itertools.islice(entries, limit), broken.append):
            if record.table not in seen:
                seen[record.table] = _Table(tables.roles[record.table], source_for(file.name, sources, record.table))
            _count(seen[record.table], record, rows, policy)
        whole = next(entries, None) is None
        if not seen:
            seen[""] = _Table(next(iter(tables.roles.values())), source_for(file.name, sources))
    return _File(file, stream, form, seen, broken, whole)


def _count(seen: _Table, record: Record, rows: list[dict[str, Any]] | str, policy: Policy) -> None:
    seen.records += 1
    fields = flat(record.fields)
    for column, value in fields.items():
        seen.columns[column] = seen.columns.get(column, 0) + (value is not None and str(value).strip() != "")
    if isinstance(rows, str):
        seen.skipped[rows] += 1
        return
    seen.rows += len(rows)
    seen.sample = seen.sample or rows[0]
    seen.licences.update(row["licence"] or "none named" for row in rows)
    shares = {row["given"] for row in rows} - {None}
    seen.toxic += any(share > policy.share for share in shares)
    seen.non_toxic += any(share < policy.share for share in shares)
    label = seen.roles.column("label")
    if not shares and label is not None:
        seen.said[_short(fields.get(label), policy)] += 1


def _short(value: Any, policy: Policy) -> str:  # noqa: ANN401 - any JSON value
    """A label without what somebody may have written: an answer as it is, anything else by its kind."""
    text = "" if value is None else str(value).strip()
    if not text or text.casefold() in policy.words.abstain:
        return "no label"
    if text.casefold() in (*policy.answers.affirmative, *policy.answers.negative) or text.lstrip("-").isdecimal():
        return text[:8]
    return "a number" if text.replace(",", ".", 1).replace(".", "", 1).isdecimal() else "other words"


def _lines(seen: _File, policy: Policy) -> Iterator[tuple[str, ...]]:
    """The table's lines for one file: one for each table in it."""
    broken = Counter(entry.reason.split(":")[0] for entry in seen.broken)
    for at, (name, one) in enumerate(seen.tables.items()):
        lost = Counter(one.skipped)
        if at == 0:
            lost.update({f"broken ({reason})": count for reason, count in broken.items()})
        more = "" if seen.whole else "+"
        yield (
            place_of(seen.file.name, name),
            seen.stream.container,
            seen.form,
            seen.stream.encoding,
            f"{one.records + (len(seen.broken) if at == 0 else 0):,}{more}",
            f"{one.rows:,}{more}",
            one.roles.kind or "no text",
            _roles(one.roles),
            _labels(one, policy),
            ", ".join(sorted(one.licences)) or "-",
            ", ".join(f"{count:,} {reason}" for reason, count in lost.most_common(MOST_REASONS)) or "-",
        )


def _roles(roles: Roles) -> str:
    """Role = column, or the role alone where the column is called the same."""
    told = ((role, "+".join(columns)) for role, columns in roles.columns.items())
    return ", ".join(role if role == columns else f"{role}={columns}" for role, columns in told) or "-"


def _labels(seen: _Table, policy: Policy) -> str:
    """How labels are read, and how many say what."""
    roles = seen.roles
    if roles.kind == "parallel":
        return "each side's column is its label"
    if roles.known is None and not LABELS.intersection(roles.columns):
        return "-"
    counts = f"{seen.toxic:,} toxic, {seen.non_toxic:,} not"
    return f"{_polarity(seen, policy)}: {counts}{', ' + _abstained(seen) if seen.said else ''}"


def _polarity(seen: _Table, policy: Policy) -> str:
    """What settles which side a label is on."""
    roles = seen.roles
    if seen.settings.labels:
        return "the recipe says"
    if roles.known is not None:
        return f"read as {roles.known}"
    column = next(columns[0] for role in LABEL_ROLES if (columns := roles.columns.get(role)))
    by_name = policy.label(leaf(column), "yes").toxic
    if "votes_toxic" in roles.columns:
        return "counts of votes"
    if by_name is not None:
        return f"1 under '{leaf(column)}' is {_side(by_name)}"
    if roles.answers is not None:
        return f"1 is {_side(roles.answers)}, as words beside it prove"
    return "words" if seen.toxic or seen.non_toxic else "abstains"


def _side(toxic: bool) -> str:
    return "toxic" if toxic else "non-toxic"


def _abstained(seen: _Table) -> str:
    return ", ".join(f"{count:,} {_quoted(said)}" for said, count in seen.said.most_common(4))


def _quoted(said: str) -> str:
    return said if said in ("no label", "other words", "a number") else f"'{said}' of unproven side"


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table; counts stand right, all else left."""
    right = (HEADER.index("records"), HEADER.index("rows"))
    widths = [max(len(row[at]) for row in rows) for at in range(len(HEADER))]
    return [
        "  ".join(
            cell.rjust(width) if at in right else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _aside(aside: Sequence[LeftAside]) -> list[str]:
    if not aside:
        return []
    return [
        "",
        "left aside:",
        *table_lines(("file", "why"), [(entry.name, entry.reason) for entry in sorted(aside)], left=(0, 1)),
    ]


def _places(files: Sequence[_File]) -> list[str]:
    """Where broken records are."""
    lines = []
    for seen in files:
        lines += [f"{seen.file.name}: {entry.locator}: {entry.reason}" for entry in seen.broken[:MOST_PLACES]]
    left = sum(max(0, len(seen.broken) - MOST_PLACES) for seen in files)
    return ["", "broken records, which would be quarantined:", *lines, *([f"and {left:,} more"] if left else [])] if lines else []


def _unproven(files: Sequence[_File], policy: Policy) -> list[str]:
    """For labels whose side nothing proves: what to add to the recipe."""
    asked = []
    for seen in files:
        for name, one in seen.tables.items():
            answers = [said for said in one.said if said in (*policy.answers.affirmative, *policy.answers.negative)]
            if not answers or one.settings.labels:
                continue
            match = place_of(seen.file.name, name)
            toxic = {said: said.casefold() in policy.answers.affirmative for said in sorted(answers, reverse=True)}
            asked.append(f"  - {{match: {json.dumps(match)}, labels: {json.dumps(toxic)}}}")
    if not asked:
        return []
    head = "labels whose side nothing in the file proves abstain; where these are right (or turned round), say so in the recipe:"
    return ["", head, "sources:", *asked]


def _perhaps(files: Sequence[_File], policy: Policy) -> list[str]:
    """Headers that a public set has, and other files too: what to add to the recipe where it is that set."""
    asked = []
    for seen in files:
        for name, one in seen.tables.items():
            set_name = policy.recognise(one.columns)
            if one.roles.known is None and set_name is not None and not one.settings.labels:
                match = place_of(seen.file.name, name)
                asked.append(f"  - {{match: {json.dumps(match)}, known: {set_name}}}")
    head = "columns that a public set has and any file may have: no label is read; where it is that set, say so in the recipe:"
    return ["", head, "sources:", *asked] if asked else []


def _orphans(files: Sequence[_File]) -> list[str]:
    """Replies whose parents are not in their file: what to add to the recipe where they stand in another."""
    threads = [
        (seen.file.name, name)
        for seen in files
        for name, one in seen.tables.items()
        if one.roles.kind == "thread" and one.roles.column("id") is not None
    ]
    asked = []
    for seen in files:
        for name, one in seen.tables.items():
            there = [place_of(file, table) for file, table in threads if (file, table) != (seen.file.name, name)]
            if one.skipped["parent_missing"] and there and not one.settings.parents:
                match = place_of(seen.file.name, name)
                asked.append(f"  - {{match: {json.dumps(match)}, parents: {json.dumps(there)}}}")
    head = "replies whose parents are not in their file; where those stand in another, say so in the recipe:"
    return ["", head, "sources:", *asked] if asked else []


def _unused(files: Sequence[_File], policy: Policy) -> list[str]:
    """Columns that play no role; `curate build` keeps what they say in the work folder."""
    rows = []
    for seen in files:
        for name, one in seen.tables.items():
            used = used_columns(one.roles, policy)
            left = [column for column in one.columns if not is_used(column, used)]
            if left:
                rows.append((place_of(seen.file.name, name), ", ".join(column[:40] for column in left)))
    return ["", "columns that play no role:", *table_lines(("file", "columns"), rows, left=(0, 1))] if rows else []


def _samples(files: Sequence[_File]) -> list[str]:
    lines = ["", "one row of each:"]
    for seen in files:
        for name, one in seen.tables.items():
            if one.sample is None:
                continue
            prompt = " | ".join(message["content"] for message in one.sample["prompt"])
            lines.append(place_of(seen.file.name, name))
            lines.append(f"  prompt: {_cut(prompt) or '-'}")
            lines.append(f"  completion: {_cut(one.sample['completion'])}")
    return lines


def _cut(text: str) -> str:
    whole = " ".join(text.split())
    return whole if len(whole) <= TEXT_SHOWN else f"{whole[:TEXT_SHOWN]}..."


def _printable(line: str) -> str:
    """Without control characters, which a file's name could send to the terminal."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in line)
