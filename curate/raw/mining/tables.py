"""The tables of one file: each is understood by its own first records, then mined record by record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TypeAlias

from curate.raw.files.occurrences import Occurrences
from curate.raw.files.records import Broken, Json, Record
from curate.raw.mining.columns import flat
from curate.raw.mining.kinds import MiningSettings, TableContext
from curate.raw.mining.labels.given import abstentions
from curate.raw.mining.miner import Miner
from curate.raw.mining.parents import ReadableFile, parent_posts
from curate.raw.mining.roles import SAMPLE, SAMPLE_BYTES, Roles, find_roles
from curate.raw.mining.talks import WaitingTurns, newest_first
from curate.raw.mining.threads import Threads
from curate.raw.mining.unused import unused, used_columns
from curate.raw.row_writer import Row
from curate.raw.sources import place_of

MOST_TABLES = 1_000  # of one file; more are no tables

Mined: TypeAlias = tuple[Record, list[Row] | str]
"""A record with its rows, or with the reason why it gives none."""


@dataclass
class _OpenTable:
    """A table that is understood, while its records come.

    Attributes:
        miner: makes its rows.
        used: its columns that play a role.
        turns: of a chat that begins with the newest turn, those that wait for an older one.
        records: that came.
    """

    miner: Miner
    used: frozenset[str]
    turns: WaitingTurns | None
    records: int = 0

    def mine(self, record: Record) -> Iterator[Mined]:
        """The record, or those that waited for it."""
        self.records += 1
        turn = self.miner.spoken(record) if self.turns is not None else None
        if self.turns is None or turn is None:
            yield record, self.miner(record)
        else:
            yield from ((settled, self.miner(settled, answered)) for settled, answered in self.turns.settled(*turn, record))

    def rest(self) -> Iterator[Mined]:
        """The turns that still wait: they answer nothing."""
        if self.turns is not None:
            yield from ((record, self.miner(record, answered)) for record, answered in self.turns.rest())


class Tables:
    """Mines a file's records, table by table; most files are one table.

    Args:
        file: the file, which is read once more for tables whose records answer each other.
        settings: how records become rows.
        others: files in which parents of this file's replies may stand.

    Attributes:
        roles: table -> how it is understood; "" for a file that is one table.
    """

    def __init__(self, file: ReadableFile, settings: MiningSettings, others: Sequence[ReadableFile] = ()) -> None:
        """Nothing is read yet."""
        self._file, self._settings, self._others = file, settings, others
        self._waiting: dict[str, list[Record]] = {}
        self._waiting_bytes = 0
        self._open: dict[str, _OpenTable] = {}
        self._threads: list[Threads] = []
        self._occurrences = Occurrences()
        self.roles: dict[str, Roles] = {}

    def __enter__(self) -> Tables:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for threads in self._threads:
            threads.close()
        self._occurrences.close()

    def mine(self, entries: Iterable[Record | Broken], broken: Callable[[Broken], object]) -> Iterator[Mined]:
        """Every record with its rows, or with the reason why it gives none.

        Within a table in the file's order, but for turns that wait for an older one.

        Args:
            entries: what the reader gives.
            broken: is given every entry that is no record.
        """
        for entry in entries:
            if isinstance(entry, Broken):
                broken(entry)
            elif entry.table in self._open:
                yield from self._open[entry.table].mine(entry)
            elif len(self._open) + len(self._waiting) >= MOST_TABLES and entry.table not in self._waiting:
                broken(Broken(entry.raw, entry.locator, f"more than {MOST_TABLES:,} tables in one file"))
            else:
                yield from self._wait(entry)
        yield from self._start_all()
        for table in self._open.values():
            yield from table.rest()
        if not self.roles:
            self.roles[""] = self._understand("", ())

    def unused(self, record: Record) -> dict[str, Json]:
        """What a mined record says in columns that play no role."""
        return unused(flat(record.fields), self._open[record.table].used)

    def abstentions(self, record: Record, mined: list[Row] | str) -> list[str]:
        """Why labels of a mined record are given to none of its rows; nothing is told of a record without rows."""
        if isinstance(mined, str):
            return []
        roles, settings = self.roles[record.table], self._settings.of(self._file.name, record.table)
        labelled = any(row["given"] is not None for row in mined)
        return abstentions(flat(record.fields), roles, settings, self._settings.policy, labelled)

    def to_json(self) -> dict[str, Json]:
        """How the file was understood: of its largest table, and of each where there are several."""
        largest = max(self.roles, key=lambda table: self._open[table].records if table in self._open else 0)
        roles = self.roles[largest].to_json()
        if any(self.roles):
            roles["tables"] = {table: roles_of_table.to_json() for table, roles_of_table in sorted(self.roles.items())}
        return roles

    def _wait(self, record: Record) -> Iterator[Mined]:
        """Hold a record until there are enough to understand its table."""
        waiting = self._waiting.setdefault(record.table, [])
        waiting.append(record)
        self._waiting_bytes += len(record.raw)
        if len(waiting) >= SAMPLE:
            yield from self._start(record.table)
        elif self._waiting_bytes > SAMPLE_BYTES:
            yield from self._start_all()

    def _start_all(self) -> Iterator[Mined]:
        for table in list(self._waiting):
            yield from self._start(table)

    def _start(self, table: str) -> Iterator[Mined]:
        """Understand a table by the records that wait, and mine them."""
        records = self._waiting.pop(table)
        self._waiting_bytes -= sum(len(record.raw) for record in records)
        roles = self.roles[table] = self._understand(table, records)
        settings, file = self._settings, self._file.name
        context = TableContext(file, roles, settings.of(file, table), settings.policy, settings.author_key, table)
        threads = self._threads_of(context) if roles.kind == "thread" else None
        backwards = newest_first([flat(record.fields) for record in records], roles)
        miner = Miner(context, threads, self._occurrences, backwards)
        open_table = _OpenTable(miner, used_columns(roles, settings.policy), WaitingTurns() if backwards else None)
        self._open[table] = open_table
        for record in records:
            yield from open_table.mine(record)

    def _threads_of(self, table: TableContext) -> Threads:
        """A table's posts by id, with those of other files that it may answer."""
        own = (flat(entry.fields) for entry in self._file.read() if isinstance(entry, Record) and entry.table == table.table)
        elsewhere = parent_posts(self._others, table.settings.parents, table.place, self._settings)
        threads = Threads(own, table.roles, table.file, elsewhere)
        self._threads.append(threads)
        return threads

    def _understand(self, table: str, records: Sequence[Record]) -> Roles:
        file, settings = self._file, self._settings
        fields = [flat(record.fields) for record in records]
        return find_roles(fields, file.form, settings.of(file.name, table), settings.policy, place_of(file.name, table))
