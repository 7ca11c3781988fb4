"""Records into rows of `schema.ROW`, each kind of record in its own way, or a reason why there is none."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from curate.core.policy import Policy
from curate.core.schema import digest, record_id, row_id
from curate.raw.files.records import Record
from curate.raw.mining.labels import Given, given
from curate.raw.files.occurrences import Occurrences
from curate.raw.mining.roles import Roles, find_roles, flat, json_string
from curate.raw.mining.talks import Talks, Turn
from curate.raw.mining.messages import START, Message, as_text, cut, instructed, messages, sides, turns, user
from curate.raw.mining.threads import Threads
from curate.raw.sources import Source, place_of

__all__ = ["VERSION", "Miner", "Roles", "Threads", "find_roles", "flat"]

VERSION = 5  # of readers and mining together: moves when the same bytes would give other rows

Row = dict[str, Any]
DELETED = ("[deleted]", "[removed]", "[deleted by user]")
MEDIA = re.compile(r"^\u200e?<?(?:media|image|video|audio|sticker|gif|document|contact card) omitted>?$", re.IGNORECASE)
EPOCH = re.compile(r"\d{9,14}(?:\.\d{1,9})?")
TIES = ("tie", "both", "same", "equal", "neither", "none", "draw")


class _Skip(Exception):  # noqa: N818 - a signal, caught by `Miner`
    """A record that gives no row; its argument is the reason."""


class Miner:
    """Makes rows of the records of one file, in their order.

    Args:
        source: the file's name.
        roles: how it is understood.
        settings: what the recipe says of it.
        policy: reads labels.
        author_key: keys the pseudonyms of authors.
        threads: its posts by id, where `roles.kind` is "thread".
        table: which table of the file, where it holds several; part of its records' names.
        occurrences: counts the copies of a record, for all tables of the file.
        newest_first: of a chat: what a turn answers is given with it, for it stands further on.
    """

    def __init__(
        self,
        source: str,
        roles: Roles,
        settings: Source,
        policy: Policy,
        author_key: bytes,
        threads: Threads | None = None,
        table: str = "",
        occurrences: Occurrences | None = None,
        newest_first: bool = False,
    ) -> None:
        """Start at the file's first record."""
        self._source, self._roles, self._settings, self._policy = source, roles, settings, policy
        self._place = place_of(source, table)
        self._key, self._threads = author_key, threads
        self._table, self._occurrences = table, occurrences or Occurrences()
        self._number = -1
        self._talks = None if newest_first else Talks()
        self._answered: Turn | None = None
        self._ways: dict[str, Callable[[Mapping[str, Any]], Iterator[Row]]] = {
            "preference": self._preference,
            "ballot": self._ballot,
            "parallel": self._parallel,
            "messages": self._messages,
            "completion": self._completion,
            "chat": self._chat,
            "thread": self._thread,
            "text": self._text,
        }

    def spoken(self, record: Record) -> tuple[str, Turn] | None:
        """The talk and the turn of a chat's record; None where nobody says a word."""
        try:
            return self._turn(flat(record.fields))
        except _Skip:
            return None

    def __call__(self, record: Record, answered: Turn | None = None) -> list[Row] | str:
        """The rows of a record, or the reason why it gives none.

        Args:
            record: the next one.
            answered: in a chat that begins with the newest turn: what this one answers.
        """
        self._number += 1
        self._answered = answered
        name = record_id(self._place, record.raw, self._occurrences.count(self._table, record.raw))
        if self._roles.kind is None:
            return "no_text_column"
        fields = flat(record.fields)
        try:
            rows = list(self._ways[self._roles.kind](fields))
        except _Skip as reason:
            return str(reason)
        said = None
        for index, row in enumerate(rows):
            if "given" not in row:
                said = said or given(fields, self._roles, self._settings, self._policy)
                row |= _label(said)
            row |= {
                "id": row_id(name, index),
                "record": name,
                "source": self._source,
                "locator": record.locator,
                "licence": self._cell(fields, "licence").strip() or self._settings.licence,
                "thread": row.get("thread") or self._own_thread(fields),
                "author": self._author(fields),
                "side": row.get("side"),
                "derived_from": row_id(name, 0) if row.get("side") == "rewrite" else None,  # the original is mined first
            }
        return rows or "empty"

    def _preference(self, fields: Mapping[str, Any]) -> Iterator[Row]:
        yield from self._pair(fields, self._value(fields, "chosen"), self._value(fields, "rejected"))

    def _ballot(self, fields: Mapping[str, Any]) -> Iterator[Row]:
        one, two = self._roles.column("response_a") or "", self._roles.column("response_b") or ""
        vote = re.sub(r"[\W_]+", "", self._cell(fields, "preferred").casefold())
        if vote in TIES:
            raise _Skip("tie")
        hits = [column for column in (one, two) if vote and vote in _spellings(column)]
        if len(hits) != 1:
            raise _Skip("no_preference")
        other = two if hits[0] == one else one
        yield from self._pair(fields, fields.get(hits[0]), fields.get(other))

    def _pair(self, fields: Mapping[str, Any], chosen: Any, rejected: Any) -> Iterator[Row]:  # noqa: ANN401 - JSON values
        if not messages(chosen) or not messages(rejected):
            raise _Skip("empty")
        found = sides(chosen, rejected)
        if found is None:
            raise _Skip("prompts_differ")
        shared, first, second = found
        if not first.strip() or not second.strip():
            raise _Skip("empty")
        if first == second:
            raise _Skip("sides_equal")
        asked = self._prompt(fields)
        prompt = shared if shared[-len(asked) :] == asked else asked + shared  # a column may say again what the sides begin with
        yield {"prompt": prompt, "completion": first, "side": "chosen", **_label(Given())}
        yield {"prompt": prompt, "completion": second, "side": "rejected", **_label(Given())}

    def _parallel(self, fields: Mapping[str, Any]) -> Iterator[Row]:
        toxic = self._cell(fields, "toxic_text")
        neutral = [as_text(fields.get(column)) for column in self._roles.columns.get("neutral", ())]
        neutral = list(dict.fromkeys(text for text in neutral if text.strip() and text != toxic))
        if not toxic.strip() or not neutral:
            raise _Skip("empty")
        category = given(fields, self._roles, self._settings, self._policy).category
        yield {"prompt": [], "completion": toxic, "side": "original", **_label(Given(1.0, 1, category))}
        for text in neutral:
            yield {"prompt": [], "completion": text, "side": "rewrite", **_label(Given(0.0, 1))}

    def _messages(self, fields: Mapping[str, Any]) -> Iterator[Row]:
        talk = messages(self._value(fields, "messages"))
        while talk and talk[-1]["role"] != "assistant":
            talk.pop()
        if not talk or not talk[-1]["content"].strip():
            raise _Skip("no_completion")
        yield {"prompt": talk[:-1], "completion": talk[-1]["content"]}

    def _completion(self, fields: Mapping[str, Any]) -> Iterator[Row]:
        prompt = self._prompt(fields)
        instances = self._value(fields, "instances")
        if isinstance(instances, list) and "completion" not in self._roles.columns:
            for instance in instances:
                if isinstance(instance, dict) and as_text(instance.get("output")).strip():
                    yield {"prompt": _with(prompt, as_text(instance.get("input"))), "completion": as_text(instance["output"])}
            return
        reply = self._value(fields, "completion")
        text = reply if isinstance(reply, str) else "\n".join(message["content"] for message in messages(reply))
        if text.strip():
            yield {"prompt": prompt, "completion": text}

    def _chat(self, fields: Mapping[str, Any]) -> Iterator[Row]:
        talk, turn = self._turn(fields)
        before = self._answered
        if self._talks is not None:
            before = self._talks.answered(talk, turn.author, self._cell(fields, "parent").strip())
            self._talks.heard(talk, turn, self._cell(fields, "id").strip() if self._roles.column("parent") else "")
        thread = None if talk else self._day(fields)
        if before is not None:
            yield {"prompt": user(before.text), "completion": turn.text, "thread": thread}
            return
        said = given(fields, self._roles, self._settings, self._policy)
        if said.share is None:
            raise _Skip("first_turn")
        yield {"prompt": [], "completion": turn.text, "thread": thread, **_label(said)}  # a label needs no prompt

    def _turn(self, fields: Mapping[str, Any]) -> tuple[str, Turn]:
        """Which talk it is, and what is said."""
        text, author = self._cell(fields, "text"), self._cell(fields, "author")
        if not author.strip():
            raise _Skip("notice")  # the messenger's own words
        if not text.strip():
            raise _Skip("empty")
        if MEDIA.match(text.strip()) or text.strip().casefold() in DELETED:
            raise _Skip("no_words")
        return self._cell(fields, "thread"), Turn(author, text)

    def _thread(self, fields: Mapping[str, Any]) -> Iterator[Row]:
        assert self._threads is not None
        text = self._cell(fields, "text")
        if not text.strip():
            raise _Skip("empty")
        if text.strip().casefold() in DELETED:
            raise _Skip("no_words")
        prompt, reason = self._threads.prompt(fields, self._number)
        if reason is not None:
            raise _Skip(reason)
        if prompt.strip().casefold() in DELETED:
            raise _Skip("parent_missing")
        source, root = self._threads.root(fields)
        yield {"prompt": user(prompt), "completion": text, "thread": digest(source, root) if root else None}

    def _text(self, fields: Mapping[str, Any]) -> Iterator[Row]:
        text = self._cell(fields, "text")
        if not text.strip():
            raise _Skip("empty")
        if text.strip().casefold() in DELETED:
            raise _Skip("no_words")
        if self._roles.json_text:
            text = json_string(text) or text
        said = given(fields, self._roles, self._settings, self._policy)
        if said.share is not None:  # a label speaks of the whole text: one half of it may well be innocent
            asked = self._settings.instruction or START
            yield {"prompt": [] if START in asked else user(asked), "completion": text, **_label(said)}
            return
        first, second = cut(text) if self._settings.instruction is None else instructed(self._settings.instruction, text)
        yield {"prompt": user(first), "completion": second}

    def _prompt(self, fields: Mapping[str, Any]) -> list[Message]:
        history = turns(self._value(fields, "history")) if "history" in self._roles.columns else []
        prompt = messages(self._value(fields, "prompt")) if "prompt" in self._roles.columns else []
        return history + _with(prompt, self._cell(fields, "input"))

    def _own_thread(self, fields: Mapping[str, Any]) -> str | None:
        thread = self._cell(fields, "thread").strip()
        return digest(self._source, thread) if thread else None

    def _day(self, fields: Mapping[str, Any]) -> str:
        """A chat log without threads: what was said on one day belongs together, so that a split does not part it."""
        time = self._cell(fields, "time").strip()
        if EPOCH.fullmatch(time):
            return digest(self._source, str(int(float(time) / (86_400_000 if float(time) > 1e11 else 86_400))))  # ms or s
        return digest(self._source, re.split(r"[,\sT]", time, maxsplit=1)[0])

    def _author(self, fields: Mapping[str, Any]) -> str | None:
        author = self._cell(fields, "author").strip()
        return hmac.new(self._key, author.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:16] if author else None

    def _value(self, fields: Mapping[str, Any], role: str) -> Any:  # noqa: ANN401 - any JSON value
        return fields.get(self._roles.column(role) or "")

    def _cell(self, fields: Mapping[str, Any], role: str) -> str:
        return as_text(self._value(fields, role))


def _label(said: Given) -> Row:
    return {"given": said.share, "votes": said.votes, "evidence": said.evidence, "category": said.category}


def _with(prompt: list[Message], more: str) -> list[Message]:
    """An instruction and what it is about, as one message."""
    if not more.strip():
        return prompt
    if not prompt:
        return user(more)
    return [*prompt[:-1], {"role": prompt[-1]["role"], "content": f"{prompt[-1]['content']}\n\n{more}"}]


def _spellings(column: str) -> tuple[str, ...]:
    """How a vote names `response_a`: "responsea", "a"."""
    whole = re.sub(r"[\W_]+", "", column.casefold())
    return whole, re.split(r"[\W_]+", column.casefold())[-1]
