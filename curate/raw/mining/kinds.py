"""How a record of each kind becomes rows: what each row's prompt and completion are, and which side it is on.

Every kind but two reads a record by itself; a chat's turn answers another record, and so does a thread's post: see `Miner`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from curate.core.policy import Policy
from curate.raw.files.records import Fields, Json
from curate.raw.mining.labels.given import GivenLabel, given_label, side_label
from curate.raw.mining.messages import START, Message, as_text, cut, instructed, json_string, messages, sides, turns, user
from curate.raw.mining.roles import Roles
from curate.raw.sources import Kind, SourceSettings, place_of, source_for

DELETED = ("[deleted]", "[removed]", "[deleted by user]")
TIES = ("tie", "both", "same", "equal", "neither", "none", "draw")


class SkipRecord(Exception):  # noqa: N818 - a signal, caught by `Miner`
    """A record that gives no row; its argument is the reason."""


@dataclass(frozen=True)
class MiningSettings:
    """All that decides how records become rows, whatever the file.

    Attributes:
        sources: what the recipe says of files; the first match wins.
        policy: reads labels.
        author_key: keys the pseudonyms of authors.
    """

    sources: Sequence[SourceSettings]
    policy: Policy
    author_key: bytes

    def of(self, file: str, table: str = "") -> SourceSettings:
        """What the recipe says of a file, or of a table within it."""
        return source_for(file, self.sources, table)


@dataclass(frozen=True)
class TableContext:
    """One table of a file, and all that decides what rows its records give.

    Attributes:
        file: the file's name.
        roles: how the table is understood.
        settings: what the recipe says of it.
        policy: reads labels.
        author_key: keys the pseudonyms of authors.
        table: its name, where the file holds several; part of its records' names.
    """

    file: str
    roles: Roles
    settings: SourceSettings
    policy: Policy
    author_key: bytes
    table: str = ""

    @property
    def place(self) -> str:
        """The table's name in recipes, in errors and in its records' names."""
        return place_of(self.file, self.table)


@dataclass(frozen=True)
class Cells:
    """A record's cells, by the roles of their columns.

    Attributes:
        fields: the record's, flat.
        table: where it stands.
    """

    fields: Fields
    table: TableContext

    def value(self, role: str) -> Json:
        """The cell as it is; null where no column plays the role."""
        return self.fields.get(self.table.roles.column(role) or "")

    def text(self, role: str) -> str:
        """The cell as text; empty for what is no text."""
        return as_text(self.value(role))

    def label(self) -> GivenLabel:
        """What the record says of its own toxicity."""
        return given_label(self.fields, self.table.roles, self.table.settings, self.table.policy)

    def label_of(self, text: str) -> GivenLabel:
        """What the record says of one side of a pair, by the side's column."""
        return side_label(text, self.fields, self.table.roles, self.table.settings, self.table.policy)

    def prompt(self) -> list[Message]:
        """Earlier turns, the prompt, and what it is about."""
        columns = self.table.roles.columns
        history = turns(self.value("history")) if "history" in columns else []
        prompt = messages(self.value("prompt")) if "prompt" in columns else []
        return history + _with_input(prompt, self.text("input"))

    def own_text(self) -> str:
        """What somebody wrote.

        Raises:
            SkipRecord: nothing, or nothing that is left of it.
        """
        text = self.text("text")
        if not text.strip():
            raise SkipRecord("empty")
        if is_deleted(text):
            raise SkipRecord("no_words")
        return text


@dataclass(frozen=True)
class Draft:
    """A row, as far as its kind decides it.

    Attributes:
        prompt: empty where nothing asks for the completion.
        completion: the text that is labelled.
        side: "chosen" or "rejected", "original" or "rewrite"; null for a row by itself.
        label: its own; None for the record's.
        thread: what it belongs to; None for what the record's thread column says.
    """

    prompt: list[Message]
    completion: str
    side: str | None = None
    label: GivenLabel | None = None
    thread: str | None = None


def is_deleted(text: str) -> bool:
    """Whether only a forum's word for what was taken away is left."""
    return text.strip().casefold() in DELETED


def preference(cells: Cells) -> Iterator[Draft]:
    """A chosen and a rejected conversation."""
    yield from _pair(cells, cells.table.roles.column("chosen") or "", cells.table.roles.column("rejected") or "")


def ballot(cells: Cells) -> Iterator[Draft]:
    """Two responses, and a vote for one of them."""
    columns = [cells.table.roles.column(role) or "" for role in ("response_a", "response_b")]
    vote = re.sub(r"[\W_]+", "", cells.text("preferred").casefold())
    if vote in TIES:
        raise SkipRecord("tie")
    preferred = [column for column in columns if vote and vote in _spellings(column)]
    if len(preferred) != 1:
        raise SkipRecord("no_preference")
    other = columns[1] if preferred[0] == columns[0] else columns[0]
    yield from _pair(cells, preferred[0], other)


def parallel(cells: Cells) -> Iterator[Draft]:
    """A toxic text and its neutral rewrites."""
    toxic = cells.text("toxic_text")
    neutral = [as_text(cells.fields.get(column)) for column in cells.table.roles.columns.get("neutral", ())]
    neutral = list(dict.fromkeys(text for text in neutral if text.strip() and text != toxic))
    if not toxic.strip() or not neutral:
        raise SkipRecord("empty")
    yield Draft([], toxic, "original", GivenLabel(1.0, 1, cells.label().category))
    for text in neutral:
        yield Draft([], text, "rewrite", GivenLabel(0.0, 1))


def conversation(cells: Cells) -> Iterator[Draft]:
    """A conversation, up to its last turn by the assistant."""
    talk = messages(cells.value("messages"))
    while talk and talk[-1]["role"] != "assistant":
        talk.pop()
    if not talk or not talk[-1]["content"].strip():
        raise SkipRecord("no_completion")
    yield Draft(talk[:-1], talk[-1]["content"])


def completion(cells: Cells) -> Iterator[Draft]:
    """A prompt and its reply, or an instruction with several inputs and outputs."""
    prompt, instances = cells.prompt(), cells.value("instances")
    if isinstance(instances, list) and "completion" not in cells.table.roles.columns:
        for instance in instances:
            if isinstance(instance, dict) and as_text(instance.get("output")).strip():
                yield Draft(_with_input(prompt, as_text(instance.get("input"))), as_text(instance["output"]))
        return
    reply = cells.value("completion")
    text = reply if isinstance(reply, str) else "\n".join(message["content"] for message in messages(reply))
    if text.strip():
        yield Draft(prompt, text)


def plain_text(cells: Cells) -> Iterator[Draft]:
    """A text by itself: whole where it has a label, else its second half as what follows its first."""
    text, instruction = cells.own_text(), cells.table.settings.instruction
    if cells.table.roles.json_text:
        text = json_string(text) or text
    label = cells.label()
    if label.share is not None:  # a label speaks of the whole text: one half of it may well be innocent
        question = instruction or START
        yield Draft([] if START in question else user(question), text, label=label)
        return
    first, second = cut(text) if instruction is None else instructed(instruction, text)
    yield Draft(user(first), second, label=label)


ALONE: dict[Kind, Callable[[Cells], Iterator[Draft]]] = {
    "preference": preference,
    "ballot": ballot,
    "parallel": parallel,
    "messages": conversation,
    "completion": completion,
    "text": plain_text,
}
"""Kind -> the rows of a record that is read by itself."""


def _pair(cells: Cells, of_chosen: str, of_rejected: str) -> Iterator[Draft]:
    """Two replies by their columns, each with the label that speaks of it alone."""
    chosen, rejected = cells.fields.get(of_chosen), cells.fields.get(of_rejected)
    if not messages(chosen) or not messages(rejected):
        raise SkipRecord("empty")
    parts = sides(chosen, rejected)
    if parts is None:
        raise SkipRecord("prompts_differ")
    shared, first, second = parts
    if not first.strip() or not second.strip():
        raise SkipRecord("empty")
    if first == second:
        raise SkipRecord("sides_equal")
    column = cells.prompt()
    prompt = shared if shared[-len(column) :] == column else column + shared  # it may say again what the sides begin with
    yield Draft(prompt, first, "chosen", cells.label_of(of_chosen))
    yield Draft(prompt, second, "rejected", cells.label_of(of_rejected))


def _with_input(prompt: list[Message], text: str) -> list[Message]:
    """An instruction and what it is about, as one message."""
    if not text.strip():
        return prompt
    if not prompt:
        return user(text)
    return [*prompt[:-1], {"role": prompt[-1]["role"], "content": f"{prompt[-1]['content']}\n\n{text}"}]


def _spellings(column: str) -> tuple[str, ...]:
    """How a vote names `response_a`: "responsea", "a"."""
    whole = re.sub(r"[\W_]+", "", column.casefold())
    return whole, re.split(r"[\W_]+", column.casefold())[-1]
