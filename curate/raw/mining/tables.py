"""The tables of one file: each is understood by its own first records, then mined record by record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any

from curate.core.policy import Policy
from curate.raw.files.records import Broken, Record
from curate.raw.mining.miner import Miner, Row, find_roles, flat
from curate.raw.files.occurrences import Occurrences
from curate.raw.mining.parents import Other, posts
from curate.raw.mining.roles import SAMPLE, SAMPLE_BYTES, Roles
from curate.raw.mining.talks import Waiting, newest_first
from curate.raw.mining.threads import Threads
from curate.raw.mining.unused import unused, used_columns
from curate.raw.sources import Source, place_of, source_for

MOST_TABLES = 1_000  # of one file; more are no tables


class Tables:
    """Mines a file's records, table by table; most files are one table.

    Args:
        name: the file.
        form: its format.
        sources: what the recipe says.
        policy: reads labels.
        author_key: keys the pseudonyms of authors.
        again: reads the file once more, for tables whose records answer each other.
        others: files in which parents of this file's replies may stand.
    """

    def __init__(
        self,
        name: str,
        form: str,
        sources: Sequence[Source],
        policy: Policy,
        author_key: bytes,
        again: Callable[[], Iterator[Record | Broken]],
        others: Sequence[Other] = (),
    ) -> None:
        """Nothing is read yet."""
        self._name, self._form, self._sources = name, form, sources
        self._policy, self._key, self._again, self._others = policy, author_key, again, others
        self._waiting: dict[str, list[Record]] = {}
        self._bytes = 0
        self._miners: dict[str, Miner] = {}
        self._threads: list[Threads] = []
        self._turns: dict[str, Waiting] = {}
        self._occurrences = Occurrences()
        self._used: dict[str, frozenset[str]] = {}
        self._counts: dict[str, int] = {}
        self.roles: dict[str, Roles] = {}

    def __enter__(self) -> Tables:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for threads in self._threads:
            threads.close()
        self._occurrences.close()

    def mine(
        self, entries: Iterable[Record | Broken], broken: Callable[[Broken], object]
    ) -> Iterator[tuple[Record, list[Row] | str]]:
        """Every record with its rows, or with the reason why it gives none.

        Within a table in the file's order, but for turns that wait for an older one.

        Args:
            entries: what the reader finds.
            broken: is told of every entry that is no record.
        """
        for entry in entries:
            if isinstance(entry, Broken):
                broken(entry)
                continue
            miner = self._miners.get(entry.table)
            if miner is not None:
                self._counts[entry.table] += 1
                yield from self._mined(entry, miner)
            elif len(self._miners) + len(self._waiting) >= MOST_TABLES and entry.table not in self._waiting:
                broken(Broken(entry.raw, entry.locator, f"more than {MOST_TABLES:,} tables in one file"))
            else:
                waiting = self._waiting.setdefault(entry.table, [])
                waiting.append(entry)
                self._bytes += len(entry.raw)
                if len(waiting) >= SAMPLE:
                    yield from self._start(entry.table)
                elif self._bytes > SAMPLE_BYTES:
                    yield from self._rest()
        yield from self._rest()
        for table, turns in self._turns.items():
            yield from ((record, self._miners[table](record, answered)) for record, answered in turns.rest())
        if not self.roles:
            self.roles[""] = self._understand("", ())

    def unused(self, record: Record) -> dict[str, Any]:
        """What a mined record says in columns that play no role."""
        return unused(flat(record.fields), self._used[record.table])

    def plain(self) -> dict[str, Any]:
        """How the file was understood, as JSON: of its largest table, and of each where there are several."""
        main = max(self.roles, key=lambda table: self._counts.get(table, 0))
        told = self.roles[main].plain()
        if any(self.roles):
            told["tables"] = {table: roles.plain() for table, roles in sorted(self.roles.items())}
        return told

    def _rest(self) -> Iterator[tuple[Record, list[Row] | str]]:
        for table in list(self._waiting):
            yield from self._start(table)

    def _start(self, table: str) -> Iterator[tuple[Record, list[Row] | str]]:
        """Understand a table by the records that wait, and mine them."""
        records = self._waiting.pop(table)
        self._bytes -= sum(len(record.raw) for record in records)
        roles = self.roles[table] = self._understand(table, records)
        settings = source_for(self._name, self._sources, table)
        threads = None
        if roles.kind == "thread":
            own = (flat(entry.fields) for entry in self._again() if isinstance(entry, Record) and entry.table == table)
            elsewhere = posts(self._others, settings.parents, place_of(self._name, table), self._sources, self._policy)
            threads = Threads(own, roles, self._name, elsewhere)
            self._threads.append(threads)
        backwards = newest_first([flat(record.fields) for record in records], roles)
        if backwards:
            self._turns[table] = Waiting()
        miner = self._miners[table] = Miner(
            self._name, roles, settings, self._policy, self._key, threads, table, self._occurrences, backwards
        )
        self._used[table] = used_columns(roles, self._policy)
        self._counts[table] = len(records)
        for record in records:
            yield from self._mined(record, miner)

    def _mined(self, record: Record, miner: Miner) -> Iterator[tuple[Record, list[Row] | str]]:
        """The record, or those that waited for it."""
        turns = self._turns.get(record.table)
        spoken = miner.spoken(record) if turns is not None else None
        if turns is None or spoken is None:
            yield record, miner(record)
        else:
            yield from ((settled, miner(settled, answered)) for settled, answered in turns.told(*spoken, record))

    def _understand(self, table: str, records: Sequence[Record]) -> Roles:
        name = place_of(self._name, table)
        settings = source_for(self._name, self._sources, table)
        return find_roles([flat(record.fields) for record in records], self._form, settings, self._policy, name)
