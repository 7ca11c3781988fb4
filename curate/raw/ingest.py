"""A source folder into immutable parts: every file is read once, mined, and accounted for to the last record.

A file's key is the hash of its name, its bytes and everything that decides what rows they give; the receipt is written
last, so an unchanged file is not read again, and one whose reading was cut short is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from curate.core.config import plain
from curate.core.errors import DataError
from curate.core.policy import load_policy
from curate.core.progress import Progress
from curate.core.schema import canonical, digest
from curate.core.store import Stored, sha256
from curate.raw.files.archive import open_member
from curate.raw.files.container import ZIP_ERRORS
from curate.raw.files.records import Json
from curate.raw.ingest_file import FileTask, UnreadableError, ingest_file
from curate.raw.ingested import Ingested
from curate.raw.mining.kinds import MiningSettings
from curate.raw.mining.miner import VERSION
from curate.raw.mining.parents import files_of_parents
from curate.raw.receipts import FileReport, believed
from curate.raw.sources import FolderListing, LeftAside, SourceFile, SourceSettings, check_matches, may_name_table, with_licences
from curate.raw.tombstones import load_tombstones

__all__ = ["Ingested", "ingest"]


def ingest(
    listing: FolderListing,
    *,
    work: Path,
    author_key: bytes,
    sources: Sequence[SourceSettings] = (),
    quarantine_limit: float = 0.5,
    limit: int | None = None,
) -> Ingested:
    """Read every file that `discover` lists.

    Args:
        listing: the files.
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
    names = [*(file.name for file in listing.files), *(entry.name for entry in listing.left_aside)]
    check_matches(sources, names)
    stated = with_licences(sources, listing)
    settings = MiningSettings(stated, load_policy(), author_key)
    work.mkdir(mode=0o700, parents=True, exist_ok=True)  # raw text will lie there
    tombstones = load_tombstones(work, author_key)
    reports: list[FileReport] = []
    parts: list[Stored] = []
    aside = list(listing.left_aside)
    reread: list[str] = []
    left = limit
    sizes = {file.name: _size(file) for file in listing.files}
    hashed = cache(_sha256)  # a file of parents is asked for by every file that answers it
    with Progress("read", sum(sizes.values()), "B") as progress:
        for file in listing.files:
            if left is not None and left <= 0:
                aside.append(LeftAside(file.name, "limit"))
                continue
            try:
                task = _task(file, listing.files, hashed, settings, left)
                receipt = believed(work, task.key, tombstones)
                if receipt is None:
                    receipt = ingest_file(task, work, settings, tombstones, progress.add)
                    reread.append(file.name)
                else:
                    progress.add(sizes[file.name])
            except UnreadableError as error:
                aside.append(LeftAside(file.name, str(error)))
                continue
            report, parts_of_file = receipt
            if report.format is None:
                aside.append(LeftAside(file.name, "unknown_format"))
                continue
            reports.append(report)
            parts.extend(parts_of_file)
            left = None if left is None else left - report.records
    if limit is None:
        check_matches(sources, [*names, *(table for report in reports for table in report.tables)], partly=False)
    result = Ingested(tuple(parts), tuple(reports), tuple(sorted(aside)), tuple(reread))
    _check_share(result, quarantine_limit, work)
    return result


def _task(
    file: SourceFile,
    files: Sequence[SourceFile],
    hashed: Callable[[SourceFile], str],
    settings: MiningSettings,
    limit: int | None,
) -> FileTask:
    """What is to be read of a file, under the key of everything that decides its rows.

    `SourceSettings.match` is how they were found, not what they say. What the recipe may say of tables within the file counts
    too: only reading tells which tables it has. So do the files in which its parents may stand, and how those are read.

    Raises:
        UnreadableError: the file, or one of those with its parents.
    """
    sha256_of_file = hashed(file)
    others = files_of_parents(file.name, files, settings.sources)
    parents: list[Json] = [[other.name, _parents_sha256(other, hashed)] for other in others]
    statements: list[Json] = []
    for name in (file.name, *(other.name for other in others)):
        statements.append({key: value for key, value in plain(settings.of(name)).items() if key != "match"})
        statements += [plain(source) for source in settings.sources if may_name_table(source.match, name)]
    statements += parents
    key = digest(
        file.name,
        sha256_of_file,
        canonical([VERSION, statements, limit]),
        settings.policy.hash,
        digest("author", settings.author_key),
    )
    return FileTask(file, others, sha256_of_file, key, limit)


def _check_share(result: Ingested, limit: float, work: Path) -> None:
    totals = result.totals()
    if totals.read and totals.quarantined > limit * totals.read:
        worst = max(result.files, key=lambda file: sum(file.quarantined.values()))
        reason = max(worst.quarantined, key=lambda name: worst.quarantined[name])
        raise DataError(
            (
                f"{worst.source}: {totals.quarantined:,} of {totals.read:,} records in all are broken (most "
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
        raise UnreadableError("unreadable") from error


def _parents_sha256(file: SourceFile, hashed: Callable[[SourceFile], str]) -> str:
    try:
        return hashed(file)
    except UnreadableError as error:
        raise UnreadableError("parents_unreadable") from error


def _size(file: SourceFile) -> int:
    try:
        return file.path.stat().st_size if file.member is None else file.size
    except OSError:
        return 0
