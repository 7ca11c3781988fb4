from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from curate.raw.files.lines import MAX_RECORD
from curate.raw.formats import Broken, Record

Read = Callable[..., list[Record | Broken]]


def fields(entries: list[Record | Broken]) -> list[dict[str, Any]]:
    return [entry.fields for entry in entries if isinstance(entry, Record)]


def broken(entries: list[Record | Broken]) -> list[tuple[str, str]]:
    return [(entry.locator, entry.reason) for entry in entries if isinstance(entry, Broken)]


def test_a_json_array_is_cut_by_its_brackets_not_by_its_lines(read: Read, tmp_path: Path) -> None:
    items = [{"text": 'a "quoted" ] and } and \\ end', "n": [1, {"deep": "x,]"}]}, {"text": "b"}, "c"]
    for indent in (None, 1):
        entries = read(tmp_path / "a", json.dumps(items, indent=indent).encode(), "json")
        assert fields(entries) == [*items[:2], {"text": "c"}]
        assert [entry.locator for entry in entries] == ["item 1", "item 2", "item 3"]
    assert read(tmp_path / "b", b"[]") == []


def test_a_json_array_longer_than_one_chunk_keeps_every_element(read: Read, tmp_path: Path) -> None:
    items = [{"text": '\\"' * (at % 700) + f" {at}"} for at in range(3_000)]
    assert fields(read(tmp_path / "a", json.dumps(items).encode(), "json")) == items


def test_an_object_longer_than_any_record_gives_every_element_of_its_list(read: Read, tmp_path: Path) -> None:
    items = [{"id": at, "text": "hello there " * 40, "n": 1.5} for at in range(12_000)]
    data = json.dumps({"name": "group", "messages": items, "more": {"a": [1]}}).encode()
    assert len(data) > MAX_RECORD
    entries = read(tmp_path / "a", data, "json")
    assert fields(entries) == items
    assert isinstance(entries[7], Record)
    assert entries[7].locator == "messages item 8"
    assert (
        fields(read(tmp_path / "b", data[:-9_000], "json")) == items[: len(fields(read(tmp_path / "b", data[:-9_000], "json")))]
    )
    assert broken(read(tmp_path / "b", data[:-9_000], "json"))[-1][1] == "not JSON from here on"


def test_an_object_with_a_conversation_is_one_record_and_so_is_each_of_many_lines(read: Read, tmp_path: Path) -> None:
    talk = {"id": 1, "messages": [{"role": "user", "content": "can or not " * 9_000}, {"role": "assistant", "content": "can"}]}
    line = json.dumps(talk).encode()
    assert fields(read(tmp_path / "a", line, "json")) == [talk]
    assert fields(read(tmp_path / "b", line + b"\n" + line + b"\n", "jsonl")) == [talk, talk]
    shared = {"id": 1, "conversations": [{"from": "human", "value": "hello"}, {"from": "gpt", "value": "hi"}]}
    assert fields(read(tmp_path / "c", json.dumps(shared, indent=1).encode(), "json")) == [shared]


def test_telegram_s_export_of_all_chats_keeps_chats_apart(read: Read, tmp_path: Path) -> None:
    def message(at: int) -> dict[str, Any]:
        return {
            "id": at,
            "type": "message",
            "date": "2024-01-01T10:00:00",
            "from": "ann",
            "from_id": "user1",
            "text": f"line {at}",
        }

    chats = [{"name": name, "id": 70 + at, "messages": [message(1), message(2)]} for at, name in enumerate(("one", "two"))]
    chats.append({"name": "empty", "id": 99, "messages": []})
    data = {"about": "exported", "contacts": {"list": [{"phone": "1"}]}, "chats": {"about": "all", "list": chats}}
    entries = read(tmp_path / "a", json.dumps(data, indent=1).encode(), "json")
    assert [(entry["conversation_id"], entry["text"]) for entry in fields(entries)] == [
        ("70", "line 1"),
        ("70", "line 2"),
        ("71", "line 1"),
        ("71", "line 2"),
    ]


def test_an_object_in_cp1252_is_read_as_one(read: Read, tmp_path: Path) -> None:
    data = json.dumps({"data": [{"text": "caf\u00e9 at \u20ac 3"}, {"text": "ok"}]}, ensure_ascii=False).encode("cp1252")
    assert fields(read(tmp_path / "a", data, "json")) == [{"text": "caf\u00e9 at \u20ac 3"}, {"text": "ok"}]


@pytest.mark.parametrize(
    "data",
    [
        b'{"data": [{"text": "' + b"x" * (5 << 20) + b'"}]}',
        b'{"data": [' + b'{"a": ' * 500 + b"1" + b"}" * 500 + b"]}",
        b'{"data": [{"text": "\\ud800"}, {"text": "a\\u0000"}]}\n',
    ],
)
def test_an_object_that_cannot_be_held_or_stored_is_quarantined(read: Read, tmp_path: Path, data: bytes) -> None:
    entries = read(tmp_path / "a", data, "json")
    assert broken(entries)
    assert not fields(entries)


def test_a_json_array_that_breaks_off_or_goes_on_says_so(read: Read, tmp_path: Path) -> None:
    whole = json.dumps([{"text": "a"}, {"text": "b"}]).encode()
    for size in range(2, len(whole)):
        assert len(broken(read(tmp_path / "a", whole[:size], "json"))) == 1
    assert broken(read(tmp_path / "a", whole + b"\n[]", "json")) == [("after item 2", "more data after the array's end")]
    assert broken(read(tmp_path / "a", b'[{"text": "a"}, {"text": oops}, {"text": "b"}]', "json")) == [
        ("item 2", "not JSON: expecting value at character 10")
    ]


def test_an_object_around_its_records_is_opened_and_one_with_several_lists_is_not(read: Read, tmp_path: Path) -> None:
    rows = [{"text": "a"}, {"text": "b"}]
    assert fields(read(tmp_path / "a", json.dumps({"meta": 1, "data": rows}, indent=1).encode(), "json")) == rows
    several = {"one": rows, "two": rows}
    assert fields(read(tmp_path / "b", json.dumps(several, indent=1).encode(), "json")) == [several]
