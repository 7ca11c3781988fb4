"""The first records of a file as a build would read them, counted; nothing is written."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from curate.core.policy import Policy
from curate.raw.files.records import Json
from curate.raw.formats import READERS, Broken, Record, Stream, recognise
from curate.raw.mining.columns import flat
from curate.raw.mining.kinds import MiningSettings
from curate.raw.mining.parents import readable, readable_parents
from curate.raw.mining.roles import Roles
from curate.raw.mining.tables import Tables
from curate.raw.row_writer import Row
from curate.raw.sources import SourceFile, SourceSettings, place_of

NO_LABEL, NUMBER, OTHER_WORDS = "no label", "a number", "other words"
"""Kinds of labels that say nothing, named without what somebody may have written."""


@dataclass
class TablePreview:
    """One table of a file.

    Attributes:
        place: its name.
        roles: how it is understood.
        settings: what the recipe says of it.
        records: that were read.
        rows: that they would give.
        toxic: records with a row whose own label says so.
        non_toxic: records with a row whose own label says the opposite.
        unread: label in short that says nothing -> records.
        abstained: why a label is given to no row -> records.
        skipped: reason -> records that would give no row.
        columns: column -> records in which it holds something.
        licences: licence -> rows.
        sample: the first row.
    """

    place: str
    roles: Roles
    settings: SourceSettings
    records: int = 0
    rows: int = 0
    toxic: int = 0
    non_toxic: int = 0
    unread: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    abstained: Counter[str] = field(default_factory=Counter)
    columns: dict[str, int] = field(default_factory=dict)
    licences: Counter[str] = field(default_factory=Counter)
    sample: Row | None = None

    def count(self, record: Record, rows: list[Row] | str, policy: Policy, abstained: Sequence[str] = ()) -> None:
        """Add a record and its rows, or the reason why it has none, and why labels of it are given to none."""
        self.records += 1
        fields = flat(record.fields)
        for column, value in fields.items():
            self.columns[column] = self.columns.get(column, 0) + (value is not None and str(value).strip() != "")
        if isinstance(rows, str):
            self.skipped[rows] += 1
            return
        self.rows += len(rows)
        self.abstained.update(abstained)
        self.sample = self.sample or rows[0]
        self.licences.update(row["licence"] or "none named" for row in rows)
        shares = {row["given"] for row in rows} - {None}
        self.toxic += any(share > policy.share for share in shares)
        self.non_toxic += any(share < policy.share for share in shares)
        label = self.roles.column("label")
        if not shares and label is not None and not self.roles.questions:
            self.unread[_in_short(fields.get(label), policy)] += 1


@dataclass(frozen=True)
class FilePreview:
    """One file.

    Attributes:
        name: relative to the source folder.
        container: how it is packed, see `Stream`.
        form: its format.
        encoding: of its text, see `Stream`.
        tables: in the order in which they come; at least one.
        broken: what would be quarantined.
        whole: whether all of its records were read.
    """

    name: str
    container: str
    form: str
    encoding: str
    tables: list[TablePreview]
    broken: list[Broken]
    whole: bool


def preview(file: SourceFile, others: Sequence[SourceFile], settings: MiningSettings, limit: int) -> FilePreview | str:
    """Read the first records of a file, or say why it is left aside.

    Args:
        file: where it lies.
        others: the files in which parents of its replies may stand.
        settings: how its records become rows.
        limit: records that are read.
    """
    try:
        stream = Stream(file.path, member=file.member)
    except OSError:
        return "unreadable"
    form: str | None = settings.of(file.name).format or recognise(stream)
    if form is None:
        return "unknown_format"
    tables: dict[str, TablePreview] = {}
    broken: list[Broken] = []

    def opened(table: str, roles: Roles) -> TablePreview:
        return TablePreview(place_of(file.name, table), roles, settings.of(file.name, table))

    entries = READERS[form](stream)
    with Tables(readable(file, form, limit), settings, readable_parents(others, settings.sources, limit)) as mined:
        for record, rows in mined.mine(itertools.islice(entries, limit), broken.append):
            if record.table not in tables:
                tables[record.table] = opened(record.table, mined.roles[record.table])
            tables[record.table].count(record, rows, settings.policy, mined.abstentions(record, rows))
        whole = next(entries, None) is None
        if not tables:
            tables[""] = opened("", next(iter(mined.roles.values())))
    return FilePreview(file.name, stream.container, form, stream.encoding, list(tables.values()), broken, whole)


def _in_short(value: Json, policy: Policy) -> str:
    """A label without what somebody may have written: an answer as it is, anything else by its kind."""
    text = "" if value is None else str(value).strip()
    if not text or text.casefold() in policy.words.abstain:
        return NO_LABEL
    if text.casefold() in (*policy.answers.affirmative, *policy.answers.negative) or text.lstrip("-").isdecimal():
        return text[:8]
    return NUMBER if text.replace(",", ".", 1).replace(".", "", 1).isdecimal() else OTHER_WORDS
