"""Who answers whom in a chat: the turn answers the one it names, else the latest by somebody else.

Some exports (Messenger, Instagram) begin with the newest turn. There a turn waits until an older one by somebody else is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from curate.raw.files.records import Fields, Record
from curate.raw.mining.messages import as_text
from curate.raw.mining.roles import Roles

MOST_TALKS = 1_000  # of a file's talks, those that are remembered: exports by date have them take turns
MOST_NAMED = 10_000  # turns that a later one may name
MOST_WAITING = 10_000  # turns by one person, newest first, that wait for what they answer
IN_ORDER = 0.95  # share of neighbouring times that fall, from which a file is newest first: clocks of one second tie
_ISO = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


@dataclass(frozen=True, slots=True)
class Turn:
    """What one person said."""

    author: str
    text: str


class Talks:
    """The latest turns of a file's talks, and those that others may name."""

    def __init__(self) -> None:
        """Nobody has spoken."""
        self._latest: dict[str, tuple[Turn, Turn | None]] = {}  # talk -> its latest turn, the latest by anybody else
        self._named: dict[tuple[str, str], Turn] = {}

    def answered(self, talk: str, author: str, named: str = "") -> Turn | None:
        """The turn that a new one by `author` answers: the one it names, if somebody else's, else the latest by somebody else."""
        turn = self._named.get((talk, named)) if named else None
        if turn is not None and turn.author != author:
            return turn
        last, before = self._latest.get(talk, (None, None))
        return last if last is not None and last.author != author else before

    def heard(self, talk: str, turn: Turn, name: str = "") -> None:
        """Remember a turn, under its own name where it has one."""
        last, before = self._latest.pop(talk, (None, None))
        self._latest[talk] = (turn, last if last is not None and last.author != turn.author else before)
        if len(self._latest) > MOST_TALKS:
            self._latest.pop(next(iter(self._latest)))
        if name:
            self._named[talk, name] = turn
            if len(self._named) > MOST_NAMED:
                self._named.pop(next(iter(self._named)))


class WaitingTurns:
    """Turns that were read before what they answer."""

    def __init__(self) -> None:
        """Nobody waits."""
        self._turns: dict[str, tuple[str, list[Record]]] = {}  # talk -> who spoke, and what waits

    def settled(self, talk: str, turn: Turn, record: Record) -> Iterator[tuple[Record, Turn | None]]:
        """Add a turn; those that it settles, newest first, each with the turn that it answers."""
        author, records = self._turns.pop(talk, (turn.author, []))
        if author != turn.author:
            yield from ((waiting, turn) for waiting in records)
            records = []
        elif len(records) >= MOST_WAITING:
            yield records.pop(0), None
        records.append(record)
        self._turns[talk] = (turn.author, records)
        if len(self._turns) > MOST_TALKS:
            yield from ((waiting, None) for waiting in self._turns.pop(next(iter(self._turns)))[1])

    def rest(self) -> Iterator[tuple[Record, Turn | None]]:
        """Turns that answer nothing."""
        for _, records in self._turns.values():
            yield from ((record, None) for record in records)
        self._turns = {}


def newest_first(fields: Sequence[Fields], roles: Roles) -> bool:
    """Whether a chat's first records, flat, fall in time; times that are neither numbers nor ISO 8601 prove nothing."""
    column = roles.column("time")
    if roles.kind != "chat" or column is None:
        return False
    cells = [as_text(one.get(column)).strip() for one in fields]
    if all(_NUMBER.fullmatch(cell) for cell in cells):
        times = [(float(cell), "") for cell in cells]
    elif all(_ISO.match(cell) for cell in cells):
        times = [(0.0, cell) for cell in cells]
    else:
        return False
    falls = [before > after for before, after in zip(times, times[1:], strict=False) if before != after]
    return len(falls) > 0 and sum(falls) >= IN_ORDER * len(falls)
