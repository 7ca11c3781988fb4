"""What a source folder gave: parts on disk, a report for each file, and the sums of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, fields

from curate.core.manifest import Records, SourceEntry
from curate.core.store import Stored
from curate.raw.mining.labels.given import UNPROVEN
from curate.raw.receipts import FileReport
from curate.raw.sources import LeftAside

MAIN_REASONS = 3  # for records without rows, that an error names


@dataclass(frozen=True)
class Ingested:
    """What a source folder gave.

    Attributes:
        parts: the rows, in the order of source name, then number.
        files: a report for each file that was read.
        aside: the others.
        reread: sources that were read now, not trusted from an earlier build.
    """

    parts: tuple[Stored, ...]
    files: tuple[FileReport, ...]
    aside: tuple[LeftAside, ...]
    reread: tuple[str, ...] = ()

    def totals(self) -> Records:
        """Sums over all files."""
        skipped: Counter[str] = Counter()
        for file in self.files:
            skipped.update(file.skipped)
        return Records(
            read=sum(file.records for file in self.files),
            mined=sum(file.mined for file in self.files),
            skipped=dict(sorted(skipped.items())),
            quarantined=sum(sum(file.quarantined.values()) for file in self.files),
            rows=sum(file.rows for file in self.files),
        )

    def table(self) -> list[SourceEntry]:
        """One line per file: counts and names, no text."""
        return [SourceEntry(**{one.name: getattr(file, one.name) for one in fields(SourceEntry)}) for file in self.files]

    def left_aside(self) -> list[dict[str, str]]:
        """Files that were not read, and why."""
        return [asdict(entry) for entry in self.aside]

    def abstentions(self) -> list[str]:
        """One line for each file that has labels which none of its rows is given, for the build to tell.

        A file of which no label proves its side is left out: `pipeline.advice` says so with the line to paste.
        """
        lines = []
        for file in self.files:
            reasons = {why: records for why, records in file.abstained.items() if why != UNPROVEN or file.labelled}
            if reasons:
                listed = "; ".join(f"{records:,} records: {why}" for why, records in reasons.items())
                lines.append(f"{file.source}: labels given to no row: {listed} (`curate inspect` names the columns)")
        return lines

    def licences(self) -> dict[str, int]:
        """Licence -> rows; "" counts rows whose licence nothing names."""
        total: Counter[str] = Counter()
        for file in self.files:
            total.update(file.licences)
        return dict(sorted(total.items()))

    def describe(self) -> str:
        """One line for errors: how many records gave how many rows, and the main reasons."""
        totals = self.totals()
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in Counter(totals.skipped).most_common(MAIN_REASONS))
        return (
            f"{len(self.files)} files: {totals.read:,} records gave {totals.rows:,} rows"
            f" ({totals.quarantined:,} quarantined{', skipped: ' + reasons if reasons else ''};"
            f" {len(self.aside)} files left aside)"
        )
