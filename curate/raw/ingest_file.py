"""One source file into immutable parts: it is read once, mined, and accounted for to the last record."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import polars as pl

from curate.core.errors import StorageError
from curate.core.schema import ROW
from curate.core.store import Stored
from curate.raw.files.records import Json
from curate.raw.formats import READERS, Broken, Record, Stream, recognise
from curate.raw.mining.kinds import MiningSettings
from curate.raw.mining.parents import readable, readable_parents
from curate.raw.mining.tables import Tables
from curate.raw.mining.unused import as_json
from curate.raw.receipts import FileReport, write_receipt
from curate.raw.row_writer import Row, RowWriter, Schema
from curate.raw.sources import SourceFile
from curate.raw.tombstones import REASON, Tombstones

QUARANTINE: Schema = {
    "source": pl.String,
    "locator": pl.String,
    "reason": pl.String,
    "raw": pl.Binary,
}
"""What the quarantine holds; it stays in the work folder."""

UNUSED: Schema = {
    "record": pl.String,  # as in `schema.ROW`; null for a record that gave no row
    "source": pl.String,
    "locator": pl.String,
    "fields": pl.String,  # column -> value, as JSON
}
"""What records say in columns that play no role; it stays in the work folder too."""


class UnreadableError(Exception):
    """A source file that the system will not let us read; its argument is the reason to leave it aside."""


@dataclass(frozen=True)
class FileTask:
    """A file to be read.

    Attributes:
        file: where it lies.
        others: the files in which parents of its replies may stand.
        sha256: of its bytes.
        key: of all that decides its rows.
        limit: at most so many of its records, the first; None for all.
    """

    file: SourceFile
    others: Sequence[SourceFile]
    sha256: str
    key: str
    limit: int | None = None


def ingest_file(
    task: FileTask, work: Path, settings: MiningSettings, tombstones: Tombstones, on_read: Callable[[int], None]
) -> tuple[FileReport, list[Stored]]:
    """Read and mine one file, write its parts, its quarantine and, last, its receipt.

    Args:
        task: the file.
        work: the work folder.
        settings: how its records become rows.
        tombstones: what was forgotten, and is skipped.
        on_read: told how many bytes were read, each time.

    Raises:
        UnreadableError: the system does not open it.
        StorageError: a record is not accounted for, or the disk will not take the parts.
    """
    file = task.file
    try:
        stream = Stream(file.path, on_read, file.member)
    except OSError as error:
        raise UnreadableError("unreadable") from error
    form: str | None = settings.of(file.name).format or recognise(stream)
    report = FileReport(file.name, task.key, task.sha256, form, stream.container, stream.encoding)
    parts: list[Stored] = []
    if form is not None:
        ledger = _Ledger(work, report, tombstones)
        with Tables(readable(file, form), settings, readable_parents(task.others, settings.sources)) as tables:
            for record, mined in tables.mine(itertools.islice(READERS[form](stream), task.limit), ledger.quarantine):
                ledger.add(record, mined, tables.unused(record), tables.abstentions(record, mined))
        report, parts = ledger.close(tables.to_json())
    write_receipt(work, report, tombstones)
    return report, parts


class _Ledger:
    """What a file gave so far: rows, broken records and unused columns on disk, and the count of each."""

    def __init__(self, work: Path, report: FileReport, tombstones: Tombstones) -> None:
        self._report, self._tombstones = report, tombstones
        self._rows = RowWriter(work / "parts" / report.key, ROW)
        self._broken = RowWriter(work / "quarantine" / report.key, QUARANTINE)
        self._unused = RowWriter(work / "unused" / report.key, UNUSED)
        self._counts, self._skipped, self._reasons, self._licences, self._abstained = (Counter[str]() for _ in range(5))

    def quarantine(self, entry: Broken) -> None:
        """Keep bytes that are no record; none of them where something was forgotten, for it may be in any."""
        self._counts["records"] += 1
        self._reasons[entry.reason.split(":")[0]] += 1
        raw = b"" if self._tombstones else entry.raw
        self._broken.add([{"source": self._report.source, **asdict(entry), "raw": raw}], len(raw))

    def add(self, record: Record, mined: list[Row] | str, unused: dict[str, Json], abstained: Sequence[str]) -> None:
        """Keep a record's rows, or count the reason why it gives none; its other columns; and why labels abstain."""
        self._counts["records"] += 1
        if self._tombstones and not isinstance(mined, str) and any(map(self._tombstones.holds, mined)):
            mined = REASON
        if mined != REASON and unused and not self._tombstones.within(unused):
            self._add_unused(record, None if isinstance(mined, str) else mined[0]["record"], as_json(unused))
        if isinstance(mined, str):
            self._skipped[mined] += 1
            return
        self._abstained.update(abstained)
        self._counts["mined"] += 1
        self._counts["rows"] += len(mined)
        self._counts["labelled"] += sum(row["given"] is not None for row in mined)
        self._licences.update(row["licence"] or "" for row in mined)
        self._rows.add(mined, len(record.raw))

    def close(self, roles: dict[str, Json]) -> tuple[FileReport, list[Stored]]:
        """Write what is left: the file's report and its parts.

        Raises:
            StorageError: something is not accounted for.
        """
        parts, quarantine, unused = self._rows.close(), self._broken.close(), self._unused.close()
        report = replace(
            self._report,
            records=self._counts["records"],
            mined=self._counts["mined"],
            rows=self._counts["rows"],
            labelled=self._counts["labelled"],
            skipped=dict(sorted(self._skipped.items())),
            abstained=dict(sorted(self._abstained.items())),
            quarantined=dict(sorted(self._reasons.items())),
            roles=roles,
            licences=dict(sorted(self._licences.items())),
            parts=tuple(part.sha256 for part in parts),
            quarantine=tuple(part.sha256 for part in quarantine),
            unused=tuple(part.sha256 for part in unused),
        )
        _check_law(report, parts, quarantine)
        return report, parts

    def _add_unused(self, record: Record, name: str | None, fields: str) -> None:
        row = {"record": name, "source": self._report.source, "locator": record.locator, "fields": fields}
        self._unused.add([row], len(fields))


def _check_law(report: FileReport, parts: Sequence[Stored], quarantine: Sequence[Stored]) -> None:
    """Every record is accounted for and every row is written; anything else is our bug and stops the build."""
    broken = sum(report.quarantined.values())
    accounted = report.mined + sum(report.skipped.values()) + broken
    rows_on_disk, broken_on_disk = sum(part.rows for part in parts), sum(part.rows for part in quarantine)
    if report.records != accounted or report.rows != rows_on_disk or broken != broken_on_disk:
        raise StorageError(
            (
                f"{report.source}: {report.records:,} records, {accounted:,} accounted for; {report.rows:,} rows, "
                f"{rows_on_disk:,} written; {broken:,} broken, {broken_on_disk:,} quarantined: nothing is committed"
            ),
            hint="please report this",
        )
