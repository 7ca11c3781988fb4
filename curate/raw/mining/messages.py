"""Text into messages: transcripts, message lists, and where to cut a plain text in two."""

from __future__ import annotations

import json
import re

from curate.raw.files.records import Json

Message = dict[str, str]

ROLES = {
    "human": "user",
    "user": "user",
    "prompter": "user",
    "customer": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "ai": "assistant",
    "system": "system",
}
"""Speakers as data sets name them -> roles as chat templates know them."""

START = "{start}"
MIN_WORDS = 6  # a text of fewer words is not cut
_SPEAKER = re.compile(r"(?:^|\n\n)(Human|Assistant|User|System): ?", re.IGNORECASE)
_CLAUSE = re.compile(r"[.!?…;:,—]+[\"')\]]*\s+|[。！？；，]+")
_SPACE = re.compile(r"\s+")


def as_text(value: Json) -> str:
    """A cell as text; nothing, lists and objects are no text, but for formatted text as Telegram exports it in pieces."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and any(isinstance(piece, dict) for piece in value):
        pieces = [piece if isinstance(piece, str) else _piece(piece) for piece in value]
        return "" if None in pieces else "".join(map(str, pieces))
    return "" if value is None or isinstance(value, (list, dict, bool)) else str(value)


def json_string(text: str) -> str | None:
    """What a text says that is written as a JSON string; None when it is not."""
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return None
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, str) else None


def _piece(value: Json) -> str | None:
    """A formatted piece {"type": "bold", "text": ...}; None for anything else."""
    text = value.get("text") if isinstance(value, dict) and "type" in value else None
    return text if isinstance(text, str) else None


def user(text: str) -> list[Message]:
    """One message by the user, or none where there is no text."""
    return [{"role": "user", "content": text}] if text.strip() else []


def messages(value: Json) -> list[Message]:
    r"""A prompt or a conversation as messages: a list of {role, content} or {from, value}, a transcript, or a plain text.

    >>> messages("\n\nHuman: Hi\n\nAssistant: Hello")
    [{'role': 'user', 'content': 'Hi'}, {'role': 'assistant', 'content': 'Hello'}]
    """
    if isinstance(value, list):
        return [message for message in map(_message, value) if message["content"].strip()]
    text = as_text(value)
    return _transcript(text) or user(text)


def turns(value: Json) -> list[Message]:
    """Earlier turns before a user's prompt: plain texts alternate, the last one being the assistant's.

    >>> turns(["Hi", "Hello"])
    [{'role': 'user', 'content': 'Hi'}, {'role': 'assistant', 'content': 'Hello'}]
    """
    texts = [turn for turn in value if isinstance(turn, str)] if isinstance(value, list) else []
    if not isinstance(value, list) or len(texts) < len(value):
        return messages(value)
    speakers = ("assistant", "user")
    backwards = [{"role": speakers[back % 2], "content": text} for back, text in enumerate(reversed(texts))]
    return [message for message in reversed(backwards) if message["content"].strip()]


def sides(chosen: Json, rejected: Json) -> tuple[list[Message], str, str] | None:
    """Two conversations as the prompt they share and the reply in which they differ; None where they differ elsewhere too."""
    first, second = messages(chosen), messages(rejected)
    shared = 0
    while shared < min(len(first), len(second)) - 1 and first[shared] == second[shared]:
        shared += 1
    if len(first) != shared + 1 or len(second) != shared + 1:
        return None
    return first[:shared], first[shared]["content"], second[shared]["content"]


def cut(text: str) -> tuple[str, str]:
    """A plain text as its first and its second half, so that the second continues the first.

    The cut is the clause boundary nearest the middle if one lies in the middle half, else the space nearest the middle;
    the earlier of two that are as near. A text of fewer than `MIN_WORDS` words stays whole: ("", text).

    >>> cut("Wah the queue so long, tomorrow then come back lah")
    ('Wah the queue so long,', 'tomorrow then come back lah')
    """
    text = text.strip()
    if len(_SPACE.findall(text)) + 1 < MIN_WORDS:
        return "", text
    middle, quarter = len(text) / 2, len(text) / 4
    clauses = [clause.end() for clause in _CLAUSE.finditer(text) if abs(clause.end() - middle) <= quarter]
    places = clauses or [space.end() for space in _SPACE.finditer(text)]
    at = min(places, key=lambda place: (abs(place - middle), place))
    return text[:at].rstrip(), text[at:]


def instructed(instruction: str, text: str) -> tuple[str, str]:
    """A plain text as the answer to an instruction; "{start}" in it stands for the text's first half, and the rest is the answer.

    >>> instructed("Go on from here: {start}", "Wah the queue so long, tomorrow then come back lah")
    ('Go on from here: Wah the queue so long,', 'tomorrow then come back lah')
    """
    if START not in instruction:
        return instruction, text.strip()
    first, second = cut(text)
    return (instruction.replace(START, first) if first else ""), second


def _message(value: Json) -> Message:
    if not isinstance(value, dict):
        return {"role": "user", "content": as_text(value)}
    speaker = as_text(value.get("role") or value.get("from") or value.get("speaker"))
    content = as_text(value.get("content") or value.get("value") or value.get("text"))
    return {"role": ROLES.get(speaker.strip().casefold(), "user"), "content": content}


def _transcript(text: str) -> list[Message]:
    """The turns of a text that begins with a speaker's name; empty when it is none."""
    marks = list(_SPEAKER.finditer(text))
    if not marks or text[: marks[0].start()].strip():
        return []
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    return [
        {"role": ROLES[mark[1].casefold()], "content": text[mark.end() : end].strip()}
        for mark, end in zip(marks, ends, strict=True)
    ]
