"""What reading one file came to, and the receipt by which a later build trusts it without reading the file again."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from curate.core.schema import canonical, digest
from curate.core.store import Stored, committed, write_json
from curate.raw.files.records import Json
from curate.raw.tombstones import Tombstones

ROOMS = ("parts", "quarantine", "unused")
"""Folders of the work folder that hold files of one source file under its key, and the fields of `FileReport` that list them."""


@dataclass(frozen=True)
class FileReport:
    """What became of one file. records = mined + skipped + quarantined.

    Attributes:
        source: its name.
        key: names its parts: see the module.
        sha256: of its bytes.
        format: the reader; None for a file that was left aside.
        container: "plain", "gz", "zst", "bz2", "xz", "zip" or one inside another: see `files.container.Stream`.
        encoding: "utf-8", "utf-16-le" or "utf-16-be": see `files.container.Stream`.
        records: in it, up to the limit.
        mined: records that gave rows.
        rows: that they gave.
        labelled: rows with a label of their own.
        skipped: reason -> records that gave none.
        abstained: reason -> records with a label that none of their rows is given: see `mining.labels.given.abstentions`.
        quarantined: reason -> broken records.
        roles: how the file was understood, see `mining.tables.Tables.to_json`.
        licences: licence -> rows; "" where none is named.
        parts: sha256 of each part.
        quarantine: sha256 of each quarantine file.
        unused: sha256 of each file of columns that play no role.
    """

    source: str
    key: str
    sha256: str
    format: str | None
    container: str
    encoding: str
    records: int = 0
    mined: int = 0
    rows: int = 0
    labelled: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    quarantined: dict[str, int] = field(default_factory=dict)
    roles: dict[str, Json] = field(default_factory=dict)
    licences: dict[str, int] = field(default_factory=dict)
    parts: tuple[str, ...] = ()
    quarantine: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    abstained: dict[str, int] = field(default_factory=dict)

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables of a file that holds several, as "dump.sql/posts"."""
        tables = self.roles.get("tables")
        return tuple(f"{self.source}/{table}" for table in tables) if isinstance(tables, dict) else ()


def read_receipt(path: Path) -> tuple[FileReport, str | None] | None:
    """What a receipt says, and the hash of the tombstones that its parts were held against; None when it is not whole."""
    try:
        receipt = json.loads(path.read_bytes())
        if digest(canonical(receipt["report"])) != receipt["digest"]:
            return None
        report = FileReport(**receipt["report"] | {room: tuple(receipt["report"][room]) for room in ROOMS})
        return report, receipt.get("tombstones")
    except (OSError, ValueError, KeyError, TypeError):
        return None


def believed(work: Path, key: str, tombstones: Tombstones) -> tuple[FileReport, list[Stored]] | None:
    """What an earlier build found in the file, if its receipt and every part are intact and hold nothing forgotten."""
    receipt = read_receipt(work / "parts" / f"{key}.json")
    if receipt is None or receipt[1] != tombstones.hash:
        return None
    report = receipt[0]
    files = {room: files_of(work, report, room) for room in ROOMS}
    if any(tuple(one.sha256 if one is not None else "" for one in files[room]) != hashes_of(report, room) for room in ROOMS):
        return None
    return report, [part for part in files["parts"] if part is not None]


def hashes_of(report: FileReport, room: str) -> tuple[str, ...]:
    """The sha256 of every file that a room holds of one source file, in order."""
    return {"parts": report.parts, "quarantine": report.quarantine, "unused": report.unused}[room]


def paths_of(work: Path, report: FileReport, room: str) -> list[Path]:
    """Where they lie."""
    return [work / room / report.key / f"{at:05d}.parquet" for at in range(len(hashes_of(report, room)))]


def files_of(work: Path, report: FileReport, room: str) -> list[Stored | None]:
    """They themselves; None for one that is not as it was written."""
    return [committed(path) for path in paths_of(work, report, room)]


def write_receipt(work: Path, report: FileReport, tombstones: Tombstones) -> None:
    """Say that a file was read to its end, and under which tombstones."""
    fields = asdict(report)
    stamp = {"tombstones": tombstones.hash} if tombstones else {}
    write_json(work / "parts" / f"{report.key}.json", {"report": fields, "digest": digest(canonical(fields)), **stamp})
