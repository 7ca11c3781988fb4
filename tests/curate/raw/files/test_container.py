from __future__ import annotations

import bz2
import codecs
import gzip
import json
import lzma
import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from curate.raw.formats import READERS, Broken, Record, Stream, recognise

Read = Callable[..., list[Record | Broken]]
PACK: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gz": gzip.compress,
    "zst": zstandard.ZstdCompressor(write_checksum=True).compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
}


def fields(entries: list[Record | Broken]) -> list[dict[str, Any]]:
    return [entry.fields for entry in entries if isinstance(entry, Record)]


def broken(entries: list[Record | Broken]) -> list[tuple[str, str]]:
    return [(entry.locator, entry.reason) for entry in entries if isinstance(entry, Broken)]


@pytest.mark.parametrize("container", PACK)
def test_every_container_gives_the_same_records(read: Read, tmp_path: Path, container: str) -> None:
    data = b"".join(json.dumps({"id": at, "text": f"line {at} lah"}).encode() + b"\n" for at in range(5_000))
    path = tmp_path / "no_extension"
    entries = read(path, PACK[container](data), "jsonl")
    assert Stream(path).container == container
    assert [entry["id"] for entry in fields(entries)] == list(range(5_000))
    assert broken(entries) == []


@pytest.mark.parametrize("container", ["gz", "zst", "bz2", "xz"])
def test_a_truncated_container_is_never_taken_for_a_whole_one(read: Read, tmp_path: Path, container: str) -> None:
    lines = [json.dumps({"text": f"{random.Random(at).random()} ok"}).encode() for at in range(60)]
    packed = PACK[container](b"\n".join(lines))
    for size in range(7, len(packed)):
        entries = read(tmp_path / "cut", packed[:size])
        assert len(broken(entries)) >= 1, size
        assert {entry.raw for entry in entries if isinstance(entry, Record)} <= set(lines)


def test_flipped_bits_in_a_container_with_a_checksum_never_pass_in_silence(tmp_path: Path) -> None:
    lines = [f'{{"text": "message number {at} lor"}}'.encode() for at in range(200)]
    chance = random.Random(5)
    for container in ("gz", "zst", "xz"):
        packed = PACK[container](b"\n".join(lines))
        for _ in range(60):
            damaged = bytearray(packed)
            damaged[chance.randrange(12, len(damaged))] ^= 1 << chance.randrange(8)
            (tmp_path / "bits").write_bytes(damaged)
            stream = Stream(tmp_path / "bits")
            form = recognise(stream)
            if form is None:
                continue
            entries = list(READERS[form](stream))
            assert broken(entries) or [entry.raw for entry in entries] == lines


def test_gzip_files_one_after_the_other_are_one_file_and_padding_is_nothing(read: Read, tmp_path: Path) -> None:
    data = gzip.compress(b"first one\n") + gzip.compress(b"second one\n") + b"\x00" * 600
    assert fields(read(tmp_path / "a.txt.gz", data, "txt")) == [{"text": "first one"}, {"text": "second one"}]


def test_a_bomb_is_stopped_in_bounded_memory(tmp_path: Path) -> None:
    for container in ("gz", "zst"):
        packed = gzip.compress(bytes(1 << 20), 9) * 400 if container == "gz" else PACK["zst"](b" " * (400 << 20))
        (tmp_path / "bomb").write_bytes(packed)
        tracemalloc.start()
        entries = list(READERS["txt"](Stream(tmp_path / "bomb")))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 100 << 20
        assert [reason for _, reason in broken(entries)] == [f"{container} expands more than 300 times"]


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (b"", "utf-8"),
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (b"", "utf-16-le"),
    ],
)
def test_encodings_read_alike(read: Read, tmp_path: Path, mark: bytes, encoding: str) -> None:
    rows = ["id,text,label"] + [f"{at},hello 你好 😀 caf\u00e9,ok" for at in range(50)]
    entries = read(tmp_path / "a", mark + "\r\n".join(rows).encode(encoding), "csv")
    assert fields(entries)[49] == {"id": "49", "text": "hello 你好 😀 café", "label": "ok"}
    assert len(entries) == 50


def test_one_line_in_another_encoding_is_read_by_itself(read: Read, tmp_path: Path) -> None:
    data = "café lah\n".encode() + "café \u201clah\u201d\n".encode("cp1252") + b"bad \x9d byte\n" + b"a\x00b\n" + b"last one\n"
    entries = read(tmp_path / "a", data, "txt")
    assert [entry["text"] for entry in fields(entries)] == ["café lah", "café “lah”", "last one"]
    assert broken(entries) == [("line 3", "neither UTF-8 nor cp1252"), ("line 4", "holds NUL")]


def test_all_of_unicode_survives_or_is_quarantined(read: Read, tmp_path: Path) -> None:
    every = [chr(code) for code in range(1, 0x110000) if not 0xD800 <= code < 0xE000 and chr(code) not in "\r\n"]
    pieces = ["x" + "".join(every[at : at + 500]) + "x" for at in range(0, len(every), 500)]
    data = "\n".join(json.dumps({"text": piece}, ensure_ascii=False) for piece in pieces).encode()
    assert [entry["text"] for entry in fields(read(tmp_path / "a", data, "jsonl"))] == pieces
