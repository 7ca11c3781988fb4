from __future__ import annotations

import codecs
import gzip
import io
import json
import random
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zstandard

from curate.raw.formats import READERS, Broken, Record, Stream, recognise

Read = Callable[..., list[Record | Broken]]


def fields(entries: list[Record | Broken]) -> list[dict[str, Any]]:
    return [entry.fields for entry in entries if isinstance(entry, Record)]


def test_formats_we_do_not_know_are_not_swallowed_as_text(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.txt", "hello")
    tape = io.BytesIO()
    with tarfile.open(fileobj=tape, mode="w") as archive_:
        archive_.addfile(tarfile.TarInfo("a.txt"))
    for data in (
        packed.getvalue(),
        gzip.compress(tape.getvalue()),
        b"%PDF-1.7\n%\xe2\xe3\x00\x01\x02" + bytes(range(32)) * 20,
        b"\x89PNG\r\n\x1a\n" + bytes(200),
    ):
        (tmp_path / "unknown").write_bytes(data)
        assert recognise(Stream(tmp_path / "unknown")) is None
    for text in ("<3 this song\nso nice\n", "From where you buy?\n", "[ok] can\n[no] cannot\n", "{hello} lah\nbye\n"):
        (tmp_path / "plain").write_bytes(text.encode())
        form = recognise(Stream(tmp_path / "plain"))
        assert form in ("txt", "json"), text


def test_an_empty_file_holds_no_records(read: Read, tmp_path: Path) -> None:
    for data in (b"", b"\n\n  \n", codecs.BOM_UTF8, codecs.BOM_UTF16_LE, gzip.compress(b"")):
        assert read(tmp_path / "a", data) == []


def test_mutated_files_never_crash_a_reader(tmp_path: Path) -> None:
    table = b'id,text,label\n1,"a, b",ok\n2,"c\nd",toxic\n3,e,\n' * 5
    seeds = [
        b'{"id": 1, "text": "hello", "n": [1, {"a": null}]}\n' * 8,
        json.dumps([{"text": "a"}, {"text": "b", "n": 1.5}]).encode() * 2,
        table,
        b"[18/06/21, 8:44:00 PM] ah huat: makan?\nmore\n" * 6,
        codecs.BOM_UTF16_LE + "hello\nthere\n".encode("utf-16-le") * 5,
        gzip.compress(table),
        zstandard.compress(table),
    ]
    chance = random.Random(11)
    for _ in range(1_500):
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.randrange(1, 6)):
            at = chance.randrange(len(data))
            match chance.randrange(4):
                case 0:
                    data[at] = chance.randrange(256)
                case 1:
                    del data[at : at + chance.randrange(1, 9)]
                case 2:
                    data[at:at] = chance.choice(
                        [b'"', b"\n", b"{", b"]", b"\x00", b"\xff", b"\r", b",", b"\\", "\u2028".encode()]
                    )
                case _:
                    data[at:at] = data[at : at + chance.randrange(1, 40)]
            data = data or bytearray(b"x")
        path = tmp_path / "mutant"
        path.write_bytes(bytes(data))
        stream = Stream(path)
        assert recognise(stream) in (None, *READERS)
        for form in READERS:
            for entry in READERS[form](Stream(path)):
                assert entry.locator
                if isinstance(entry, Record):
                    assert json.dumps(entry.fields, ensure_ascii=False, default=str).encode()
                else:
                    assert entry.reason
