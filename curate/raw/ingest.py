"""A source folder into immutable parts: every file is read once, mined, and accounted for to the last record.

A file's key is the hash of its name, its bytes and everything that decides what rows they give; the receipt is written
last, so an unchanged file is not read again, and one whose reading was cut short is.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

from curate.core.config import plain
from curate.core.errors import DataError, StorageError
from curate.core.policy import Policy, load_policy
from curate.core.progress import Progress
from curate.core.schema import ROW, canonical, digest
from curate.core.store import PARQUET_ROWS, Stored, sha256
from curate.raw.files.archive import open_member
from curate.raw.files.container import ZIP_ERRORS
from curate.raw.formats import READERS, Broken, Record, Stream, recognise
from curate.raw.mining.miner import VERSION
from curate.raw.mining.parents import files_of_parents, opened
from curate.raw.mining.tables import Tables
from curate.raw.mining.unused import written
from curate.raw.receipts import ROOMS, FileReport, believed, write_receipt
from curate.raw.row_writer import RowWriter
from curate.raw.sources import Discovered, LeftAside, Source, SourceFile, check_matches, may_name_table, source_for
from curate.raw.tombstones import REASON, Tombstones, load_tombstones

QUARANTINE: dict[str, pl.DataType | type[pl.DataType]] = {
    "source": pl.String,
    "locator": pl.String,
    "reason": pl.String,
    "raw": pl.Binary,
}
"""What the quarantine holds; it stays in the work folder."""

UNUSED: dict[str, pl.DataType | type[pl.DataType]] = {
    "record": pl.String,  # as in `schema.ROW`; null for a record that gave no row
    "source": pl.String,
    "locator": pl.String,
    "fields": pl.String,  # column -> value, as JSON
}
"""What records say in columns that play no role; it stays in the work folder too."""


@dataclass(frozen=True)
class Ingested:
    """What a source folder gave: parts in the order of source name, then number."""

    parts: tuple[Stored, ...]
    files: tuple[FileReport, ...]
    aside: tuple[LeftAside, ...]
    reread: tuple[str, ...] = ()  # sources that were read now, not believed from an earlier build

    def totals(self) -> dict[str, Any]:
        """Records read, mined, skipped by reason, quarantined, and rows."""
        skipped: Counter[str] = Counter()
        for file in self.files:
            skipped.update(file.skipped)
        return {
            "read": sum(file.records for file in self.files),
            "mined": sum(file.mined for file in self.files),
            "skipped": dict(sorted(skipped.items())),
            "quarantined": sum(sum(file.quarantined.values()) for file in self.files),
            "rows": sum(file.rows for file in self.files),
        }

    def table(self) -> list[dict[str, Any]]:
        """One line per file: counts and names, no text."""
        left = ("key", "licences", *ROOMS)
        return [{name: value for name, value in asdict(file).items() if name not in left} for file in self.files]

    def left_aside(self) -> list[dict[str, str]]:
        """Files that were not read, and why."""
        return [asdict(entry) for entry in self.aside]

    def licences(self) -> dict[str, int]:
        """Licence -> rows; "" counts rows whose licence nothing names."""
        total: Counter[str] = Counter()
        for file in self.files:
            total.update(file.licences)
        return dict(sorted(total.items()))

    def describe(self) -> str:
        """One line for errors: how many records gave how many rows, and the main reasons."""
        totals = self.totals()
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in Counter(totals["skipped"]).most_common(3))
        return (
            f"{len(self.files)} files: {totals['read']:,} records gave {totals['rows']:,} rows"
            f" ({totals['quarantined']:,} quarantined{', skipped: ' + reasons if reasons else ''};"
            f" {len(self.aside)} files left aside)"
        )


def ingest(
    found: Discovered,
    *,
    work: Path,
    author_key: bytes,
    sources: Sequence[Source] = (),
    quarantine_limit: float = 0.5,
    limit: int | None = None,
) -> Ingested:
    """Read every file that `discover` found.

    Args:
        found: the files.
        work: where parts and quarantine go; raw text lies there, so it is private.
        author_key: keys the pseudonyms of authors.
        sources: what the recipe says of files; the first match wins.
        quarantine_limit: share of all records, in [0, 1], that may be broken.
        limit: at most so many records in all, the first in the order of files; None for all.

    Raises:
        DataError: more records are broken than the limit allows.
        RecipeError: the recipe names a column that a file does not have, or a file or table that is not there.
        StorageError: the disk will not take the parts.
    """
    names = [*(file.name for file in found.files), *(entry.name for entry in found.left_aside)]
    check_matches(sources, names)
    policy = load_policy()
    work.mkdir(mode=0o700, parents=True, exist_ok=True)  # raw text will lie there
    tombstones = load_tombstones(work, author_key)
    reports: list[FileReport] = []
    parts: list[Stored] = []
    aside = list(found.left_aside)
    reread: list[str] = []
    left = limit
    sizes = {file.name: _size(file) for file in found.files}
    hashed = cache(_sha256)  # a file of parents is asked for by every file that answers it
    with Progress("read", sum(sizes.values()), "B") as progress:
        for file in found.files:
            if left is not None and left <= 0:
                aside.append(LeftAside(file.name, "limit"))
                continue
            try:
                facts = hashed(file)
                others = files_of_parents(file.name, found.files, sources)
                elsewhere = _elsewhere(others, hashed)
                key = _key(file, facts, elsewhere, sources, policy, author_key, left)
                known = believed(work, key, tombstones)
                if known is None:
                    known = _ingest_file(file, others, facts, key, work, sources, policy, tombstones, left, progress.add)
                    reread.append(file.name)
                else:
                    progress.add(sizes[file.name])
            except _Unreadable as error:
                aside.append(LeftAside(file.name, str(error)))
                continue
            if known[0].format is None:
                aside.append(LeftAside(file.name, "unknown_format"))
                continue
            reports.append(known[0])
            parts.extend(known[1])
            left = None if left is None else left - known[0].records
    if limit is None:
        tables = [f"{report.source}/{table}" for report in reports for table in report.roles.get("tables", ())]
        check_matches(sources, [*names, *tables], partly=False)
    result = Ingested(tuple(parts), tuple(reports), tuple(sorted(aside)), tuple(reread))
    _check_share(result, quarantine_limit, work)
    return result


class _Unreadable(Exception):  # noqa: N818 - a signal, caught by `ingest`
    """A source file that the system will not let us read."""


def _ingest_file(
    file: SourceFile,
    others: Sequence[SourceFile],
    facts: str,
    key: str,
    work: Path,
    sources: Sequence[Source],
    policy: Policy,
    tombstones: Tombstones,
    limit: int | None,
    on_read: Callable[[int], None],
) -> tuple[FileReport, list[Stored]]:
    """Read and mine one file, write its parts, its quarantine and, last, its receipt."""
    try:
        stream = Stream(file.path, on_read, file.member)
    except OSError as error:
        raise _Unreadable("unreadable") from error
    form = source_for(file.name, sources).format or recognise(stream)
    report = FileReport(file.name, key, facts, form, stream.container, stream.encoding)
    if form is None:
        write_receipt(work, report, tombstones)
        return report, []
    read = READERS[form]
    counts, skipped, broken = Counter[str](), Counter[str](), Counter[str]()
    licences: Counter[str] = Counter()
    rows = RowWriter(work / "parts" / key, ROW, PARQUET_ROWS)
    bad = RowWriter(work / "quarantine" / key, QUARANTINE, PARQUET_ROWS)
    rest = RowWriter(work / "unused" / key, UNUSED, PARQUET_ROWS)

    def again() -> Iterator[Record | Broken]:
        return read(Stream(file.path, member=file.member))

    with Tables(file.name, form, sources, policy, tombstones.key, again, opened(others, sources)) as tables:

        def broke(entry: Broken) -> Broken:
            counts["records"] += 1
            broken[entry.reason.split(":")[0]] += 1
            kept = b"" if tombstones else entry.raw  # any part of a forgotten text may be in it
            bad.add([{"source": file.name, **asdict(entry), "raw": kept}], len(kept))
            return entry

        for record, mined in tables.mine(itertools.islice(read(stream), limit), broke):
            counts["records"] += 1
            if tombstones and not isinstance(mined, str) and any(map(tombstones.holds, mined)):
                mined = REASON
            left = tables.unused(record) if mined != REASON else {}
            if left and not tombstones.within(left):
                name, fields = None if isinstance(mined, str) else mined[0]["record"], written(left)
                rest.add([{"record": name, "source": file.name, "locator": record.locator, "fields": fields}], len(fields))
            if isinstance(mined, str):
                skipped[mined] += 1
                continue
            counts["mined"] += 1
            counts["rows"] += len(mined)
            counts["labelled"] += sum(row["given"] is not None for row in mined)
            licences.update(row["licence"] or "" for row in mined)
            rows.add(mined, len(record.raw))
    parts, quarantine, unused = rows.close(), bad.close(), rest.close()
    report = FileReport(
        source=file.name,
        key=key,
        sha256=facts,
        format=form,
        container=stream.container,
        encoding=stream.encoding,
        records=counts["records"],
        mined=counts["mined"],
        rows=counts["rows"],
        labelled=counts["labelled"],
        skipped=dict(sorted(skipped.items())),
        quarantined=dict(sorted(broken.items())),
        roles=tables.plain(),
        licences=dict(sorted(licences.items())),
        parts=tuple(part.sha256 for part in parts),
        quarantine=tuple(part.sha256 for part in quarantine),
        unused=tuple(part.sha256 for part in unused),
    )
    _check_law(report, parts, quarantine)
    write_receipt(work, report, tombstones)
    return report, parts


def _key(
    file: SourceFile,
    facts: str,
    elsewhere: Sequence[tuple[str, str]],
    sources: Sequence[Source],
    policy: Policy,
    author_key: bytes,
    limit: int | None,
) -> str:
    """Everything that decides a file's rows; `settings.match` is how they were found, not what they say.

    What the recipe may say of tables within the file counts too: only reading tells which tables it has. So do the files in
    which its parents may stand, and how those are read.
    """
    said: list[Any] = []
    for name in (file.name, *(name for name, _ in elsewhere)):
        said += [{key: value for key, value in plain(source_for(name, sources)).items() if key != "match"}]
        said += [plain(source) for source in sources if may_name_table(source.match, name)]
    said += [list(one) for one in elsewhere]
    return digest(file.name, facts, canonical([VERSION, said, limit]), policy.hash, digest("author", author_key))


def _check_law(report: FileReport, parts: Sequence[Stored], quarantine: Sequence[Stored]) -> None:
    """Every record is accounted for and every row is written; anything else is our bug and stops the build."""
    broken = sum(report.quarantined.values())
    accounted = report.mined + sum(report.skipped.values()) + broken
    written, kept = sum(part.rows for part in parts), sum(part.rows for part in quarantine)
    if report.records != accounted or report.rows != written or broken != kept:
        raise StorageError(
            (
                f"{report.source}: {report.records:,} records, {accounted:,} accounted for; {report.rows:,} rows, "
                f"{written:,} written; {broken:,} broken, {kept:,} quarantined: nothing is committed"
            ),
            hint="please report this",
        )


def _check_share(result: Ingested, limit: float, work: Path) -> None:
    totals = result.totals()
    if totals["read"] and totals["quarantined"] > limit * totals["read"]:
        worst = max(result.files, key=lambda file: sum(file.quarantined.values()))
        reason = max(worst.quarantined, key=lambda name: worst.quarantined[name])
        raise DataError(
            (
                f"{worst.source}: {totals['quarantined']:,} of {totals['read']:,} records in all are broken (most "
                f"here: {reason}), more than quarantine_limit {limit:g}"
            ),
            hint=f"look into {work / 'quarantine'}, take the file out or raise the limit",
        )


def _sha256(file: SourceFile) -> str:
    """Of the file's bytes; of a member's, decompressed, and of the whole archive's where the member is damaged."""
    try:
        if file.member is not None:
            state = hashlib.sha256()
            try:
                with open_member(file.path, file.member) as member:
                    while data := member.read(1 << 20):
                        state.update(data)
            except ZIP_ERRORS:
                return sha256(file.path)
            return state.hexdigest()
        return sha256(file.path)
    except OSError as error:
        raise _Unreadable("unreadable") from error


def _elsewhere(others: Sequence[SourceFile], hashed: Callable[[SourceFile], str]) -> list[tuple[str, str]]:
    """Name and hash of each file in which parents may stand."""
    try:
        return [(other.name, hashed(other)) for other in others]
    except _Unreadable as error:
        raise _Unreadable("parents_unreadable") from error


def _size(file: SourceFile) -> int:
    try:
        return file.path.stat().st_size if file.member is None else file.size
    except OSError:
        return 0
