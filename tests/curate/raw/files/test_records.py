from __future__ import annotations

import codecs
from collections.abc import Callable
from pathlib import Path
from typing import Any

from curate.raw.formats import Broken, Record

Read = Callable[..., list[Record | Broken]]


def fields(entries: list[Record | Broken]) -> list[dict[str, Any]]:
    return [entry.fields for entry in entries if isinstance(entry, Record)]


def broken(entries: list[Record | Broken]) -> list[tuple[str, str]]:
    return [(entry.locator, entry.reason) for entry in entries if isinstance(entry, Broken)]


def test_half_a_surrogate_pair_is_quarantined(read: Read, tmp_path: Path) -> None:
    entries = read(tmp_path / "a", b'{"text": "\\ud83d"}\n{"text": "\\ud83d\\ude00"}\n{"text": "a\\u0000"}\n', "jsonl")
    assert fields(entries) == [{"text": "😀"}]
    assert broken(entries) == [("line 1", "holds half of a surrogate pair"), ("line 3", "holds NUL")]
    wide = codecs.BOM_UTF16_LE + "fine\n".encode("utf-16-le") + b"\x3d\xd8\n\x00" + "ok\n".encode("utf-16-le")
    assert broken(read(tmp_path / "b", wide, "txt")) == [("line 2", "lone surrogate in UTF-16")]
