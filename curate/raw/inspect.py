"""`curate inspect`: how each file of a folder would be read, before an hour of work is spent on it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from curate.core.policy import Policy, load_policy
from curate.core.progress import Progress
from curate.pages.tables import table_lines
from curate.raw.files.records import Json
from curate.raw.mining.columns import leaf
from curate.raw.mining.kinds import MiningSettings
from curate.raw.mining.labels.given import LABELS, UNPROVEN
from curate.raw.mining.labels.label_names import asked
from curate.raw.mining.parents import files_of_parents
from curate.raw.mining.roles import Roles
from curate.raw.mining.unused import is_used, used_columns
from curate.raw.preview import NO_LABEL, NUMBER, OTHER_WORDS, FilePreview, TablePreview, preview
from curate.raw.sources import LeftAside, SourceSettings, check_matches, discover, with_licences

HEADER = ("file", "container", "format", "encoding", "records", "rows", "read as", "roles", "labels", "licence", "not used")
MOST_REASONS = 4  # of records that would give no rows, named in the table
MOST_PLACES = 3  # of broken records whose place is named
TEXT_SHOWN = 200  # characters of a sample that --show-text prints
LABEL_ROLES = ("label", "votes", "votes_toxic")

UNPROVEN_LABELS = (
    "labels whose side nothing in the file proves abstain; where these are right (or turned round), say so in the recipe:"
)
PERHAPS_PUBLIC = (
    "columns that a public set has and any file may have: no label is read; where it is that set, say so in the recipe:"
)
ABSTAIN = (
    "labels that are given to no row (a machine's, or one that has no text, may be named in the recipe: columns: {label: ...}):"
)
LOST_PARENTS = "replies whose parents are not in their file; where those stand in another, say so in the recipe:"


def inspect(folder: Path, sources: Sequence[SourceSettings] = (), limit: int = 1_000, show_text: bool = False) -> str:
    """Tell how every file would be understood; nothing is written, and no text of a record is shown unless asked for.

    Args:
        folder: what would be `--source`.
        sources: what the recipe says of files.
        limit: records of each file that are read.
        show_text: print one prompt and completion of each table too.

    Raises:
        DataError: no such folder, or nothing in it to read.
        RecipeError: a source of the recipe that does not fit its file.
    """
    listing = discover(folder)
    check_matches(sources, [*(file.name for file in listing.files), *(entry.name for entry in listing.left_aside)])
    settings = MiningSettings(with_licences(sources, listing), load_policy(), b"inspect")
    aside, files = list(listing.left_aside), list[FilePreview]()
    with Progress("inspect", len(listing.files), "files") as progress:
        for file in listing.files:
            result = preview(file, files_of_parents(file.name, listing.files, sources), settings, limit)
            if isinstance(result, FilePreview):
                files.append(result)
            else:
                aside.append(LeftAside(file.name, result))
            progress.add(1)
    return "\n".join(map(_printable, _page(files, aside, settings.policy, limit, show_text)))


def _page(files: Sequence[FilePreview], aside: Sequence[LeftAside], policy: Policy, limit: int, show_text: bool) -> Iterator[str]:
    """The page's lines: the table, then what deserves a second look."""
    tables = [one for file in files for one in file.tables]
    yield from _columns([HEADER, *(line for file in files for line in _lines(file, policy))])
    if any(not file.whole for file in files):
        yield from ("", f"+ there are more: the first {limit:,} records of each file were read; --limit reads more")
    yield from _section(
        "left aside:", table_lines(("file", "why"), [(entry.name, entry.reason) for entry in sorted(aside)], left=(0, 1)), aside
    )
    yield from _places(files)
    for head, advice in (
        (UNPROVEN_LABELS, [_labels_advice(one, policy) for one in tables]),
        (PERHAPS_PUBLIC, [_known_advice(one, policy) for one in tables]),
        (LOST_PARENTS, [_parents_advice(one, tables) for one in tables]),
    ):
        sources = [f"  - {line}" for line in advice if line is not None]
        yield from _section(head, ["sources:", *sources], sources)
    kept = [line for one in tables for line in _abstained(one)]
    yield from _section(ABSTAIN, table_lines(("file", "why", "records", "columns"), kept, left=(0, 1, 3)), kept)
    unused = [(one.place, ", ".join(names)) for one in tables if (names := _unused(one, policy))]
    yield from _section("columns that play no role:", table_lines(("file", "columns"), unused, left=(0, 1)), unused)
    if show_text:
        yield from _section("one row of each:", [line for one in tables for line in _sample(one)])


def _section(head: str, lines: Sequence[str], about: Sequence[object] = (True,)) -> list[str]:
    """Lines under a head; nothing where there is nothing to tell about."""
    return ["", head, *lines] if about else []


def _lines(file: FilePreview, policy: Policy) -> Iterator[tuple[str, ...]]:
    """The table's lines for one file: one for each table in it; what is broken counts with the first."""
    broken = Counter(f"broken ({entry.reason.split(':')[0]})" for entry in file.broken)
    more = "" if file.whole else "+"
    for one in file.tables:
        lost = one.skipped + broken
        yield (
            one.place,
            file.container,
            file.form,
            file.encoding,
            f"{one.records + broken.total():,}{more}",
            f"{one.rows:,}{more}",
            one.roles.kind or "no text",
            _roles(one.roles),
            _labels(one, policy),
            ", ".join(sorted(one.licences)) or "-",
            ", ".join(f"{count:,} {reason}" for reason, count in lost.most_common(MOST_REASONS)) or "-",
        )
        broken = Counter()


def _roles(roles: Roles) -> str:
    """Role = column, or the role alone where the column is called the same."""
    pairs = ((role, "+".join(columns)) for role, columns in roles.columns.items())
    return ", ".join(role if role == columns else f"{role}={columns}" for role, columns in pairs) or "-"


def _labels(one: TablePreview, policy: Policy) -> str:
    """How labels are read, and how many say what."""
    roles = one.roles
    if roles.kind == "parallel":
        return "each side's column is its label"
    if roles.known is None and not LABELS.intersection(roles.columns):
        return "-"
    unread = "".join(f", {count:,} {_quoted(label)}" for label, count in one.unread.most_common(4))
    return f"{_polarity(one, policy)}: {one.toxic:,} toxic, {one.non_toxic:,} not{unread}"


def _polarity(one: TablePreview, policy: Policy) -> str:
    """What settles which side a label is on."""
    roles = one.roles
    if one.settings.labels:
        return "the recipe says"
    if roles.known is not None:
        return f"read as {roles.known}"
    column = next(columns[0] for role in LABEL_ROLES if (columns := roles.columns.get(role)))
    by_name = policy.label(asked(column), "yes").toxic
    if "votes_toxic" in roles.columns:
        return "counts of votes"
    if by_name is not None:
        return f"1 under '{leaf(column)}' is {_side(by_name)}"
    if roles.answers is not None:
        return f"1 is {_side(roles.answers)}, as words beside it prove"
    return "words" if one.toxic or one.non_toxic else "abstains"


def _side(toxic: bool) -> str:
    return "toxic" if toxic else "non-toxic"


def _quoted(label: str) -> str:
    return label if label in (NO_LABEL, OTHER_WORDS, NUMBER) else f"'{label}' of unproven side"


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


def _places(files: Sequence[FilePreview]) -> list[str]:
    """Where broken records are."""
    lines = [f"{file.name}: {entry.locator}: {entry.reason}" for file in files for entry in file.broken[:MOST_PLACES]]
    more = sum(max(0, len(file.broken) - MOST_PLACES) for file in files)
    return _section("broken records, which would be quarantined:", lines + ([f"and {more:,} more"] if more else []), lines)


def _abstained(one: TablePreview) -> Iterator[tuple[str, str, str, str]]:
    """Why labels of a table are given to no row: the reason, in how many records, and of which columns."""
    for why, records in sorted(one.abstained.items()):
        if why == UNPROVEN and not one.roles.questions:
            continue  # the table above says it, word by word
        columns = [column for column, reason in one.roles.apart.items() if reason == why]
        columns = columns or [*one.roles.columns.get("label", ()), *one.roles.columns.get("votes", ())]
        yield one.place, why, f"{records:,}", ", ".join(column[:40] for column in columns)


def _labels_advice(one: TablePreview, policy: Policy) -> str | None:
    """For labels whose side nothing proves: what to add to the recipe."""
    answers = [label for label in one.unread if label in (*policy.answers.affirmative, *policy.answers.negative)]
    if not answers or one.settings.labels:
        return None
    return _advice(
        one, "labels", {label: label.casefold() in policy.answers.affirmative for label in sorted(answers, reverse=True)}
    )


def _known_advice(one: TablePreview, policy: Policy) -> str | None:
    """A header that a public set has, and other files too: what to add to the recipe where it is that set."""
    set_name = policy.recognise(one.columns)
    if one.roles.known is not None or set_name is None or one.settings.labels:
        return None
    return f"{{match: {json.dumps(one.place)}, known: {set_name}}}"


def _parents_advice(one: TablePreview, tables: Sequence[TablePreview]) -> str | None:
    """Replies whose parents are not in their file: what to add to the recipe where they stand in another."""
    threads: list[Json] = [
        other.place
        for other in tables
        if other is not one and other.roles.kind == "thread" and other.roles.column("id") is not None
    ]
    if not one.skipped["parent_missing"] or not threads or one.settings.parents:
        return None
    return _advice(one, "parents", threads)


def _advice(one: TablePreview, key: str, value: Json) -> str:
    return f"{{match: {json.dumps(one.place)}, {key}: {json.dumps(value)}}}"


def _unused(one: TablePreview, policy: Policy) -> list[str]:
    """Columns that play no role; `curate build` keeps what they say in the work folder."""
    used = used_columns(one.roles, policy)
    return [column[:40] for column in one.columns if not is_used(column, used)]


def _sample(one: TablePreview) -> list[str]:
    if one.sample is None:
        return []
    prompt = " | ".join(message["content"] for message in one.sample["prompt"])
    return [one.place, f"  prompt: {_cut(prompt) or '-'}", f"  completion: {_cut(one.sample['completion'])}"]


def _cut(text: str) -> str:
    whole = " ".join(text.split())
    return whole if len(whole) <= TEXT_SHOWN else f"{whole[:TEXT_SHOWN]}..."


def _printable(line: str) -> str:
    """Without control characters, which a file's name could send to the terminal."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in line)
