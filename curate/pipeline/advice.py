"""What a build says of input that it could not use: labels that prove nothing, and files of which no row came."""

from __future__ import annotations

import glob
import json
import shlex
from collections import Counter
from collections.abc import Sequence

from curate.core.errors import DataError
from curate.core.manifest import SourceEntry
from curate.raw.ingested import Ingested
from curate.raw.sources import SourceSettings, source_for

LABEL_ROLES = ("label", "votes", "votes_toxic")
ANSWERS = 'labels: {"1": true, "true": true, "0": false, "false": false}'
MOST_REASONS = 3  # that an error names
MOST_FILES = 3  # the same

CURES: dict[str, tuple[str, str]] = {
    "opening_post": ("where each text stands alone", "mine: text"),
    "first_turn": ("where each text stands alone", "mine: text"),
    "parent_missing": ("where the posts that are answered stand in another file", "parents: [FILE]"),
    "no_text_column": ("name the column that holds the text", "columns: {text: COLUMN}"),
    "no_completion": ("name the column that holds the reply", "columns: {completion: COLUMN}"),
    "no_preference": ("name the column that says which side is better", "columns: {preferred: COLUMN}"),
    "empty": ("name the column that holds the text", "columns: {text: COLUMN}"),
    "no_words": ("name the column that holds the text", "columns: {text: COLUMN}"),
    "unknown_format": ("say what the file is", "format: csv"),
}
"""Why records, or a file, gave no row -> when this would help, and the setting of the file's source that would."""


def unread_labels(entries: Sequence[SourceEntry], sources: Sequence[SourceSettings]) -> list[str]:
    r"""One line for each file that has a column of labels and no label that could be read, with what to paste to use them.

    Args:
        entries: the files as they were read.
        sources: what the recipe says of files.

    Example:
        >>> roles = {"kind": "text", "columns": {"text": ["body"], "label": ["flag"]}}
        >>> (line,) = unread_labels([SourceEntry("a.csv", "", rows=300, roles=roles)], [])
        >>> said, _, paste = line.partition("; to use them: ")
        >>> said
        'a.csv: column `flag` labels 0 of 300 rows: nothing proves which of its values are toxic'
        >>> paste.partition(" (")[0]
        '--set \'sources=[{match: "a.csv", labels: {"1": true, "true": true, "0": false, "false": false}}]\''
    """
    lines = []
    for entry in entries:
        columns = entry.roles.get("columns", {})
        names = [name for role in LABEL_ROLES for name in columns.get(role, ())]
        if not names or not entry.rows or entry.labelled:
            continue
        where = f"{entry.source}: column `{names[0]}` labels 0 of {entry.rows:,} rows"
        if source_for(entry.source, sources).labels:
            lines.append(f"{where}: it holds none of the values that `sources: labels:` names")
            continue
        setting = _setting(entry.source, ANSWERS, sources)
        lines.append(
            f"{where}: nothing proves which of its values are toxic; to use them: {setting} (true is toxic; `curate inspect` "
            "lists the values)"
        )
    return lines


def no_row(ingested: Ingested, sources: Sequence[SourceSettings]) -> DataError:
    """The error of a source folder that gave no row: what was seen, and the one setting that would help most."""
    reasons: Counter[tuple[str, str]] = Counter()  # (reason, file) -> records, or 1 for a file that was not read
    for entry in ingested.aside:
        reasons[entry.reason, entry.name] += 1
    for file in ingested.files:
        for reason, count in (file.skipped | file.quarantined).items():
            reasons[reason, file.source] += count
    files = [f"{file.source} ({file.format}, read as {file.roles.get('kind') or 'no text'})" for file in ingested.files]
    more = f" and {len(files) - MOST_FILES:,} more" if len(files) > MOST_FILES else ""
    seen = f"; {', '.join(files[:MOST_FILES])}{more}" if files else ""
    broken = Counter(entry.reason for entry in ingested.aside)
    for file in ingested.files:
        broken.update(file.quarantined)
    commonest = ", ".join(f"{reason} {count:,}" for reason, count in broken.most_common(MOST_REASONS))
    message = f"{ingested.describe()}{f': {commonest}' if commonest else ''}{seen}"
    for (reason, name), _ in reasons.most_common():
        if reason in CURES:
            when, setting = CURES[reason]
            return DataError(message, hint=f"{when} ({reason}): {_setting(name, setting, sources)}")
    return DataError(message, hint="`curate inspect` shows how each file is read; a row needs a text")


def _setting(name: str, setting: str, sources: Sequence[SourceSettings]) -> str:
    """What to paste behind the command, or to write into a recipe that has `sources` already: a setting would replace them."""
    entry = f"{{match: {json.dumps(glob.escape(name), ensure_ascii=False)}, {setting}}}"
    return f"- {entry} under sources" if sources else f"--set {shlex.quote(f'sources=[{entry}]')}"
