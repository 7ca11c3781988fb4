from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from curate.raw.formats import Broken, Record

Read = Callable[..., list[Record | Broken]]


def fields(entries: list[Record | Broken]) -> list[dict[str, Any]]:
    return [entry.fields for entry in entries if isinstance(entry, Record)]


def test_a_chat_log_gives_messages_with_their_continuation_lines(read: Read, tmp_path: Path) -> None:
    square = "[18/06/21, 8:43:00 PM] Messages are encrypted.\n[18/06/21, 8:44:00 PM] ah huat: makan where: here?\n\nor there\n\n"
    square += "\u200e[18/06/21, 8:45:10\u202fPM] Mei: there lah\n"
    assert fields(read(tmp_path / "a", square.encode(), "chat")) == [
        {"time": "18/06/21, 8:43:00 PM", "author": None, "text": "Messages are encrypted.", "turn": 0},
        {"time": "18/06/21, 8:44:00 PM", "author": "ah huat", "text": "makan where: here?\n\nor there", "turn": 1},
        {"time": "18/06/21, 8:45:10\u202fPM", "author": "Mei", "text": "there lah", "turn": 2},
    ]
    dashed = "2021-06-18 20:44 - ah huat: ok\n2021-06-18 20:45 - Mei: [sticker]\n"
    assert [(one["author"], one["text"]) for one in fields(read(tmp_path / "b", dashed.encode(), "chat"))] == [
        ("ah huat", "ok"),
        ("Mei", "[sticker]"),
    ]
