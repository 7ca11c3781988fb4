"""Records into rows of `schema.ROW`, each kind of record in its own way, or a reason why there is none."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator

from curate.core.schema import digest, record_id, row_id
from curate.raw.files.occurrences import Occurrences
from curate.raw.files.records import Record
from curate.raw.mining.columns import flat
from curate.raw.mining.kinds import ALONE, Cells, Draft, SkipRecord, TableContext, is_deleted
from curate.raw.mining.messages import user
from curate.raw.mining.talks import Talks, Turn
from curate.raw.mining.threads import Threads
from curate.raw.row_writer import Row

VERSION = 7  # of readers and mining together: moves when the same bytes would give other rows

MEDIA = re.compile(r"^\u200e?<?(?:media|image|video|audio|sticker|gif|document|contact card) omitted>?$", re.IGNORECASE)
EPOCH = re.compile(r"\d{9,14}(?:\.\d{1,9})?")


class Miner:
    """Makes rows of the records of one table, in their order.

    Args:
        table: what decides them.
        threads: its posts by id, where its kind is "thread".
        occurrences: counts the copies of a record, for all tables of the file.
        newest_first: of a chat: what a turn answers is given with it, for it stands further on.
    """

    def __init__(
        self,
        table: TableContext,
        threads: Threads | None = None,
        occurrences: Occurrences | None = None,
        newest_first: bool = False,
    ) -> None:
        """Start at the table's first record."""
        self._table, self._threads = table, threads
        self._occurrences = occurrences or Occurrences()
        self._number = -1
        self._talks = None if newest_first else Talks()

    def spoken(self, record: Record) -> tuple[str, Turn] | None:
        """The talk and the turn of a chat's record; None where nobody says a word."""
        try:
            return self._turn(Cells(flat(record.fields), self._table))
        except SkipRecord:
            return None

    def __call__(self, record: Record, answered: Turn | None = None) -> list[Row] | str:
        """The rows of a record, or the reason why it gives none.

        Args:
            record: the next one.
            answered: in a chat that begins with the newest turn: what this one answers.
        """
        self._number += 1
        name = record_id(self._table.place, record.raw, self._occurrences.count(self._table.table, record.raw))
        if self._table.roles.kind is None:
            return "no_text_column"
        cells = Cells(flat(record.fields), self._table)
        try:
            drafts = list(self._drafts(cells, answered))
        except SkipRecord as reason:
            return str(reason)
        return self._rows(drafts, cells, record, name) or "empty"

    def _drafts(self, cells: Cells, answered: Turn | None) -> Iterator[Draft]:
        kind = cells.table.roles.kind
        if kind == "chat":
            return self._chat(cells, answered)
        if kind == "thread":
            return self._post(cells)
        assert kind is not None
        return ALONE[kind](cells)

    def _rows(self, drafts: list[Draft], cells: Cells, record: Record, name: str) -> list[Row]:
        """Drafts as rows: with their names, their label, and what the record says of itself."""
        own = cells.label() if any(draft.label is None for draft in drafts) else None
        rows: list[Row] = []
        for index, draft in enumerate(drafts):
            label = draft.label or own
            assert label is not None
            rows.append(
                {
                    "id": row_id(name, index),
                    "record": name,
                    "source": self._table.file,
                    "locator": record.locator,
                    "prompt": draft.prompt,
                    "completion": draft.completion,
                    "side": draft.side,
                    "given": label.share,
                    "votes": label.votes,
                    "evidence": label.evidence,
                    "category": label.category,
                    "licence": cells.text("licence").strip() or self._table.settings.licence,
                    "thread": draft.thread or self._own_thread(cells),
                    "author": self._author(cells),
                    "derived_from": row_id(name, 0) if draft.side == "rewrite" else None,  # the original is mined first
                }
            )
        return rows

    def _chat(self, cells: Cells, answered: Turn | None) -> Iterator[Draft]:
        talk, turn = self._turn(cells)
        if self._talks is not None:
            answered = self._talks.answered(talk, turn.author, cells.text("parent").strip())
            self._talks.heard(talk, turn, cells.text("id").strip() if cells.table.roles.column("parent") else "")
        thread = None if talk else self._day(cells)
        if answered is not None:
            yield Draft(user(answered.text), turn.text, thread=thread)
            return
        label = cells.label()
        if label.share is None:
            raise SkipRecord("first_turn")
        yield Draft([], turn.text, label=label, thread=thread)  # a label needs no prompt

    def _turn(self, cells: Cells) -> tuple[str, Turn]:
        """Which talk it is, and what is said."""
        author = cells.text("author")
        if not author.strip():
            raise SkipRecord("notice")  # the messenger's own words
        text = cells.own_text()
        if MEDIA.match(text.strip()):
            raise SkipRecord("no_words")
        return cells.text("thread"), Turn(author, text)

    def _post(self, cells: Cells) -> Iterator[Draft]:
        assert self._threads is not None
        text = cells.own_text()
        prompt, reason = self._threads.prompt(cells.fields, self._number)
        if reason is not None:
            raise SkipRecord(reason)
        if is_deleted(prompt):
            raise SkipRecord("parent_missing")
        file, root = self._threads.root(cells.fields)
        yield Draft(user(prompt), text, thread=digest(file, root) if root else None)

    def _own_thread(self, cells: Cells) -> str | None:
        thread = cells.text("thread").strip()
        return digest(self._table.file, thread) if thread else None

    def _day(self, cells: Cells) -> str:
        """A chat log without threads: what was said on one day belongs together, so that a split does not part it."""
        file, time = self._table.file, cells.text("time").strip()
        if EPOCH.fullmatch(time):
            return digest(file, str(int(float(time) / (86_400_000 if float(time) > 1e11 else 86_400))))  # ms or s
        return digest(file, re.split(r"[,\sT]", time, maxsplit=1)[0])

    def _author(self, cells: Cells) -> str | None:
        author, key = cells.text("author").strip(), self._table.author_key
        return hmac.new(key, author.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:16] if author else None
