from __future__ import annotations

import gzip
import io
import json
import random
import stat
import struct
import zipfile
from pathlib import Path

import polars as pl
import pytest

from curate.core.errors import DataError
from curate.raw.files import archive as archives
from curate.raw.formats import READERS, Broken, Record, Stream, recognise
from curate.raw.ingest import Ingested, ingest
from curate.raw.sources import discover

LINES = b"".join(json.dumps({"text": f"text number {at} is here lah"}).encode() + b"\n" for at in range(30))


def pack(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source").mkdir()
    return tmp_path / "source"


def read(source: Path, work: Path) -> Ingested:
    return ingest(discover(source), work=work, author_key=b"k", quarantine_limit=1.0)


def test_members_are_files_of_a_folder_of_the_archives_name(source: Path, tmp_path: Path) -> None:
    table = b"text,is_toxic\n" + b"".join(b"a text of some words %d,0\n" % at for at in range(9))
    pack(source / "a.zip", {"in.jsonl": LINES, "deep/er/t.csv": table, "x.jsonl.gz": gzip.compress(LINES)})
    result = read(source, tmp_path / "w")
    assert [(file.source, file.container, file.format, file.records) for file in result.files] == [
        ("a.zip/deep/er/t.csv", "zip", "csv", 9),
        ("a.zip/in.jsonl", "zip", "jsonl", 30),
        ("a.zip/x.jsonl.gz", "zip/gz", "jsonl", 30),
    ]
    rows = pl.concat([part.read() for part in result.parts])
    assert rows["id"].n_unique() == rows.height == 69


def test_a_member_gives_the_records_that_the_file_itself_gives(source: Path, tmp_path: Path) -> None:
    pack(source / "a.zip", {"in.jsonl": LINES})
    (tmp_path / "in.jsonl").write_bytes(LINES)
    inside = list(READERS["jsonl"](Stream(source / "a.zip", member="in.jsonl")))
    assert inside == list(READERS["jsonl"](Stream(tmp_path / "in.jsonl")))


def test_formats_that_are_read_out_of_order_work_within_an_archive(source: Path, tmp_path: Path) -> None:
    held = io.BytesIO()
    pl.DataFrame({"text": ["one text of several words", "two texts of several words"]}).write_parquet(held)
    pack(source / "a.zip", {"t.parquet": held.getvalue()})
    (file,) = read(source, tmp_path / "w").files
    assert (file.format, file.records, file.mined) == ("parquet", 2, 2)


def test_a_changed_member_is_the_only_one_read_again(source: Path, tmp_path: Path) -> None:
    pack(source / "a.zip", {"one.jsonl": LINES, "two.jsonl": LINES})
    first = read(source, tmp_path / "w")
    pack(source / "a.zip", {"one.jsonl": LINES, "two.jsonl": LINES + b'{"text": "a new one that is here"}\n'})
    again = read(source, tmp_path / "w")
    assert again.reread == ("a.zip/two.jsonl",)
    assert first.files[0] == again.files[0]


def test_what_may_not_be_read_is_left_aside_with_a_reason(source: Path) -> None:
    with zipfile.ZipFile(source / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("ok.jsonl", "../up.jsonl", "a/../../up.jsonl", "/etc/root.jsonl", "C:/w.jsonl", "..\\win.jsonl"):
            archive.writestr(name, LINES)
        for name in ("__MACOSX/ok.jsonl", ".hidden", "README.md"):
            archive.writestr(name, b"x")
        link = zipfile.ZipInfo("link.jsonl")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/hostname")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("ok.jsonl", LINES)
    listing = discover(source)
    assert [file.name for file in listing.files] == ["a.zip/ok.jsonl"]
    assert sorted((entry.name, entry.reason) for entry in listing.left_aside) == [
        ("a.zip/../up.jsonl", "path_traversal"),
        ("a.zip/../win.jsonl", "path_traversal"),
        ("a.zip/.hidden", "hidden"),
        ("a.zip//etc/root.jsonl", "absolute_path"),
        ("a.zip/C:/w.jsonl", "absolute_path"),
        ("a.zip/README.md", "about"),
        ("a.zip/__MACOSX/ok.jsonl", "hidden"),
        ("a.zip/a/../../up.jsonl", "path_traversal"),
        ("a.zip/link.jsonl", "symlink"),
        ("a.zip/ok.jsonl", "duplicate_name"),
    ]


def test_encrypted_members_are_left_aside(source: Path) -> None:
    data = bytearray(pack(source / "a.zip", {"a.jsonl": LINES, "b.jsonl": LINES}).read_bytes())
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.index(mark) + flags
        data[at] |= 1
    (source / "a.zip").write_bytes(bytes(data))
    listing = discover(source)
    assert [file.name for file in listing.files] == ["a.zip/b.jsonl"]
    assert [(entry.name, entry.reason) for entry in listing.left_aside] == [("a.zip/a.jsonl", "encrypted")]


def test_bombs_are_left_aside_by_their_sizes_without_being_opened(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "BOMB_BYTES", 1 << 20)
    (source / "ok.txt").write_text("one text\n")
    noise = random.Random(1).randbytes(1 << 16)
    pack(source / "one.zip", {"zeros": bytes(4 << 20), "noise": noise})
    pack(source / "many.zip", {f"{at}": bytes(1 << 19) for at in range(9)})  # each small, all together not
    listing = discover(source)
    assert [file.name for file in listing.files] == ["ok.txt", "one.zip/noise"]
    assert [entry.name for entry in listing.left_aside] == [*(f"many.zip/{at}" for at in range(9)), "one.zip/zeros"]
    assert {entry.reason for entry in listing.left_aside} == {"bomb"}


def test_a_member_that_lies_about_its_size_ends_where_it_said(source: Path, tmp_path: Path) -> None:
    data = bytearray(pack(source / "a.zip", {"a.jsonl": LINES}).read_bytes())
    for mark, at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        place = data.index(mark) + at
        data[place : place + 4] = struct.pack("<I", 200)
    (source / "a.zip").write_bytes(bytes(data))
    entries = list(READERS["jsonl"](Stream(source / "a.zip", member="a.jsonl")))
    assert isinstance(entries[-1], Broken) and len(entries) < 10


def test_a_damaged_member_is_said_and_costs_no_other(source: Path, tmp_path: Path) -> None:
    data = bytearray(pack(source / "a.zip", {"a.jsonl": LINES, "b.jsonl": LINES}).read_bytes())
    data[60] ^= 255
    (source / "a.zip").write_bytes(bytes(data))
    result = read(source, tmp_path / "w")
    named = {file.source: file for file in result.files}
    assert sum(named["a.zip/a.jsonl"].quarantined.values()) >= 1 and "zip is damaged here" in named["a.zip/a.jsonl"].quarantined
    assert named["a.zip/b.jsonl"].mined == 30


def test_a_truncated_archive_is_left_aside(source: Path) -> None:
    whole = pack(source / "a.zip", {"a.jsonl": LINES * 50}).read_bytes()
    (source / "b.txt").write_text("one text\n")
    for size in (4, 30, len(whole) // 2, len(whole) - 3):
        (source / "a.zip").write_bytes(whole[:size])
        assert [(entry.name, entry.reason) for entry in discover(source).left_aside] == [("a.zip", "damaged_archive")]


def test_an_endless_table_of_contents_is_not_held(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_DIRECTORY", 1_000)
    pack(source / "a.zip", {f"{at}.txt": b"" for at in range(100)})
    with pytest.raises(DataError, match="damaged_archive"):
        discover(source)


def test_documents_and_archives_within_archives_are_not_unpacked(source: Path, tmp_path: Path) -> None:
    inner = pack(tmp_path / "inner.zip", {"a.jsonl": LINES}).read_bytes()
    pack(source / "outer.zip", {"inner.zip": inner, "a.jsonl": LINES})
    pack(source / "text.docx", {"[Content_Types].xml": b"<Types/>", "word/document.xml": b"<w>hi</w>"})
    result = read(source, tmp_path / "w")
    assert [file.source for file in result.files] == ["outer.zip/a.jsonl"]
    assert {entry["name"]: entry["reason"] for entry in result.left_aside()} == {
        "outer.zip/inner.zip": "unknown_format",
        "text.docx": "unknown_format",
    }


def test_no_archive_however_mangled_stops_a_build(source: Path, tmp_path: Path) -> None:
    chance = random.Random(4)
    (source / "ok.txt").write_text("one text\n")
    whole = pack(tmp_path / "a.zip", {"a.jsonl": LINES, "b/c.csv": b"text,n\nhello there,1\n"}).read_bytes()
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(chance.randrange(1, 6)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        (source / "a.zip").write_bytes(bytes(data))
        files = discover(source).files
        assert "ok.txt" in [file.name for file in files]
        for file in files:
            stream = Stream(file.path, member=file.member)
            form = recognise(stream)
            for entry in READERS[form](stream) if form else ():
                assert isinstance(entry, Record) or entry.reason
