from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from curate.raw.files.lines import MAX_RECORD
from curate.raw.formats import READERS, Broken, Record, Stream

Read = Callable[..., list[Record | Broken]]


def fields(entries: list[Record | Broken]) -> list[dict[str, Any]]:
    return [entry.fields for entry in entries if isinstance(entry, Record)]


def broken(entries: list[Record | Broken]) -> list[tuple[str, str]]:
    return [(entry.locator, entry.reason) for entry in entries if isinstance(entry, Broken)]


def test_only_newlines_end_a_line(read: Read, tmp_path: Path) -> None:
    text = "one\u2028still one\x85still\x0cone\nthree"
    assert fields(read(tmp_path / "a", text.encode(), "txt")) == [{"text": text.split("\n")[0]}, {"text": "three"}]
    line = json.dumps({"text": "a\u2028b"}, ensure_ascii=False).encode()
    assert fields(read(tmp_path / "b", line + b"\n" + line, "jsonl")) == [{"text": "a\u2028b"}] * 2


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_and_a_missing_last_one_change_nothing(read: Read, tmp_path: Path, end: str) -> None:
    for last in ("", end):
        entries = read(tmp_path / "a", (end.join(["first lah", "", "second"]) + last).encode(), "txt")
        assert [(entry.raw, entry.locator) for entry in entries] == [(b"first lah", "line 1"), (b"second", "line 3")]


def test_a_malformed_line_costs_only_itself(read: Read, tmp_path: Path) -> None:
    data = (
        b'{"text": "a"}\n{"text": "b\n[1, 2]\n' + b"[" * 100_000 + b'\n7\n"plain"\n{"n": 1' + b"0" * 5000 + b'}\n{"text": "c"}\n'
    )
    entries = read(tmp_path / "a", data, "jsonl")
    assert fields(entries) == [{"text": "a"}, {"text": "plain"}, {"text": "c"}]
    assert [reason.split(":")[0] for _, reason in broken(entries)] == [
        "not JSON",
        "expected an object or a text, found a list",
        "JSON nested deeper than 64",
        "expected an object or a text, found a number",
        "not JSON",
    ]


def test_a_giant_line_is_quarantined_without_being_held(tmp_path: Path) -> None:
    for form, unit in (("txt", b"x" * (1 << 20)), ("json", b'"' + b"x" * (1 << 20))):
        with (tmp_path / "big").open("wb") as file:
            file.write(b"[\n{}," if form == "json" else b"first\n")
            for _ in range(48):
                file.write(unit if form == "txt" else b"x" * (1 << 20) if _ else unit)
            file.write(b'", "last"]' if form == "json" else b"\nlast\n")
        tracemalloc.start()
        entries = list(READERS[form](Stream(tmp_path / "big")))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 6 * MAX_RECORD
        assert [reason for _, reason in broken(entries)] == ["longer than 4 MiB"]
        assert fields(entries)[-1] == {"text": "last"}
