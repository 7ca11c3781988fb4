from __future__ import annotations

import bz2
import codecs
import gzip
import io
import json
import lzma
import random
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from curate.raw.files.lines import MAX_RECORD
from curate.raw.formats import READERS, Broken, Record, Stream, recognise

PACK: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gz": gzip.compress,
    "zst": zstandard.ZstdCompressor(write_checksum=True).compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
}


def read(path: Path, data: bytes, form: str | None = None) -> list[Record | Broken]:
    path.write_bytes(data)
    stream = Stream(path)
    found = recognise(stream)
    assert found is not None
    if form is not None:
        assert found == form
    return list(READERS[found](stream))


def fields(entries: list[Record | Broken]) -> list[dict[str, Any]]:
    return [entry.fields for entry in entries if isinstance(entry, Record)]


def broken(entries: list[Record | Broken]) -> list[tuple[str, str]]:
    return [(entry.locator, entry.reason) for entry in entries if isinstance(entry, Broken)]


@pytest.mark.parametrize("container", PACK)
def test_every_container_gives_the_same_records(tmp_path: Path, container: str) -> None:
    data = b"".join(json.dumps({"id": at, "text": f"line {at} lah"}).encode() + b"\n" for at in range(5_000))
    path = tmp_path / "no_extension"
    entries = read(path, PACK[container](data), "jsonl")
    assert Stream(path).container == container
    assert [entry["id"] for entry in fields(entries)] == list(range(5_000))
    assert broken(entries) == []


@pytest.mark.parametrize("container", ["gz", "zst", "bz2", "xz"])
def test_a_truncated_container_is_never_taken_for_a_whole_one(tmp_path: Path, container: str) -> None:
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


def test_gzip_files_one_after_the_other_are_one_file_and_padding_is_nothing(tmp_path: Path) -> None:
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


def test_only_newlines_end_a_line(tmp_path: Path) -> None:
    text = "one\u2028still one\x85still\x0cone\nthree"
    assert fields(read(tmp_path / "a", text.encode(), "txt")) == [{"text": text.split("\n")[0]}, {"text": "three"}]
    line = json.dumps({"text": "a\u2028b"}, ensure_ascii=False).encode()
    assert fields(read(tmp_path / "b", line + b"\n" + line, "jsonl")) == [{"text": "a\u2028b"}] * 2


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_and_a_missing_last_one_change_nothing(tmp_path: Path, end: str) -> None:
    for last in ("", end):
        entries = read(tmp_path / "a", (end.join(["first lah", "", "second"]) + last).encode(), "txt")
        assert [(entry.raw, entry.locator) for entry in entries] == [(b"first lah", "line 1"), (b"second", "line 3")]


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
def test_encodings_read_alike(tmp_path: Path, mark: bytes, encoding: str) -> None:
    rows = ["id,text,label"] + [f"{at},hello 你好 😀 caf\u00e9,ok" for at in range(50)]
    entries = read(tmp_path / "a", mark + "\r\n".join(rows).encode(encoding), "csv")
    assert fields(entries)[49] == {"id": "49", "text": "hello 你好 😀 café", "label": "ok"}
    assert len(entries) == 50


def test_one_line_in_another_encoding_is_read_by_itself(tmp_path: Path) -> None:
    data = "café lah\n".encode() + "café \u201clah\u201d\n".encode("cp1252") + b"bad \x9d byte\n" + b"a\x00b\n" + b"last one\n"
    entries = read(tmp_path / "a", data, "txt")
    assert [entry["text"] for entry in fields(entries)] == ["café lah", "café “lah”", "last one"]
    assert broken(entries) == [("line 3", "neither UTF-8 nor cp1252"), ("line 4", "holds NUL")]


def test_half_a_surrogate_pair_is_quarantined(tmp_path: Path) -> None:
    entries = read(tmp_path / "a", b'{"text": "\\ud83d"}\n{"text": "\\ud83d\\ude00"}\n{"text": "a\\u0000"}\n', "jsonl")
    assert fields(entries) == [{"text": "😀"}]
    assert broken(entries) == [("line 1", "holds half of a surrogate pair"), ("line 3", "holds NUL")]
    wide = codecs.BOM_UTF16_LE + "fine\n".encode("utf-16-le") + b"\x3d\xd8\n\x00" + "ok\n".encode("utf-16-le")
    assert broken(read(tmp_path / "b", wide, "txt")) == [("line 2", "lone surrogate in UTF-16")]


def test_all_of_unicode_survives_or_is_quarantined(tmp_path: Path) -> None:
    every = [chr(code) for code in range(1, 0x110000) if not 0xD800 <= code < 0xE000 and chr(code) not in "\r\n"]
    pieces = ["x" + "".join(every[at : at + 500]) + "x" for at in range(0, len(every), 500)]
    data = "\n".join(json.dumps({"text": piece}, ensure_ascii=False) for piece in pieces).encode()
    assert [entry["text"] for entry in fields(read(tmp_path / "a", data, "jsonl"))] == pieces


def test_a_malformed_line_costs_only_itself(tmp_path: Path) -> None:
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


def test_a_json_array_is_cut_by_its_brackets_not_by_its_lines(tmp_path: Path) -> None:
    items = [{"text": 'a "quoted" ] and } and \\ end', "n": [1, {"deep": "x,]"}]}, {"text": "b"}, "c"]
    for indent in (None, 1):
        entries = read(tmp_path / "a", json.dumps(items, indent=indent).encode(), "json")
        assert fields(entries) == [*items[:2], {"text": "c"}]
        assert [entry.locator for entry in entries] == ["item 1", "item 2", "item 3"]
    assert read(tmp_path / "b", b"[]") == []


def test_a_json_array_longer_than_one_chunk_keeps_every_element(tmp_path: Path) -> None:
    items = [{"text": '\\"' * (at % 700) + f" {at}"} for at in range(3_000)]
    assert fields(read(tmp_path / "a", json.dumps(items).encode(), "json")) == items


def test_an_object_longer_than_any_record_gives_every_element_of_its_list(tmp_path: Path) -> None:
    items = [{"id": at, "text": "hello there " * 40, "n": 1.5} for at in range(12_000)]
    data = json.dumps({"name": "group", "messages": items, "more": {"a": [1]}}).encode()
    assert len(data) > MAX_RECORD
    found = read(tmp_path / "a", data, "json")
    assert fields(found) == items
    assert isinstance(found[7], Record)
    assert found[7].locator == "messages item 8"
    assert (
        fields(read(tmp_path / "b", data[:-9_000], "json")) == items[: len(fields(read(tmp_path / "b", data[:-9_000], "json")))]
    )
    assert broken(read(tmp_path / "b", data[:-9_000], "json"))[-1][1] == "not JSON from here on"


def test_an_object_with_a_conversation_is_one_record_and_so_is_each_of_many_lines(tmp_path: Path) -> None:
    talk = {"id": 1, "messages": [{"role": "user", "content": "can or not " * 9_000}, {"role": "assistant", "content": "can"}]}
    line = json.dumps(talk).encode()
    assert fields(read(tmp_path / "a", line, "json")) == [talk]
    assert fields(read(tmp_path / "b", line + b"\n" + line + b"\n", "jsonl")) == [talk, talk]
    shared = {"id": 1, "conversations": [{"from": "human", "value": "hello"}, {"from": "gpt", "value": "hi"}]}
    assert fields(read(tmp_path / "c", json.dumps(shared, indent=1).encode(), "json")) == [shared]


def test_telegram_s_export_of_all_chats_keeps_chats_apart(tmp_path: Path) -> None:
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


def test_an_object_in_cp1252_is_read_as_one(tmp_path: Path) -> None:
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
def test_an_object_that_cannot_be_held_or_stored_is_quarantined(tmp_path: Path, data: bytes) -> None:
    entries = read(tmp_path / "a", data, "json")
    assert broken(entries)
    assert not fields(entries)


def test_a_json_array_that_breaks_off_or_goes_on_says_so(tmp_path: Path) -> None:
    whole = json.dumps([{"text": "a"}, {"text": "b"}]).encode()
    for size in range(2, len(whole)):
        assert len(broken(read(tmp_path / "a", whole[:size], "json"))) == 1
    assert broken(read(tmp_path / "a", whole + b"\n[]", "json")) == [("after item 2", "more data after the array's end")]
    assert broken(read(tmp_path / "a", b'[{"text": "a"}, {"text": oops}, {"text": "b"}]', "json")) == [
        ("item 2", "not JSON: expecting value at character 10")
    ]


def test_an_object_around_its_records_is_opened_and_one_with_several_lists_is_not(tmp_path: Path) -> None:
    rows = [{"text": "a"}, {"text": "b"}]
    assert fields(read(tmp_path / "a", json.dumps({"meta": 1, "data": rows}, indent=1).encode(), "json")) == rows
    several = {"one": rows, "two": rows}
    assert fields(read(tmp_path / "b", json.dumps(several, indent=1).encode(), "json")) == [several]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_table_is_read_with_the_delimiter_it_has(tmp_path: Path, delimiter: str) -> None:
    rows = ["id", "text", "score"], ["1", f"a{delimiter} b", "0,83"], ["007", 'say "hi"', ""], ["3", "two\n\nlines\r\nhere", "1"]
    text = "\r\n".join(delimiter.join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows)
    entries = read(tmp_path / "noname", b"\xef\xbb\xbf" + text.encode(), "csv")
    assert fields(entries) == [dict(zip(rows[0], [cell.replace("\r\n", "\n") for cell in row], strict=True)) for row in rows[1:]]
    assert [entry.locator for entry in entries] == ["line 2", "line 3", "line 4"]


def test_a_stray_quote_costs_one_line_not_the_rest_of_the_file(tmp_path: Path) -> None:
    lines = ["id,text,label", *(f'{at},"hello, there",ok' for at in range(300)), '300,"open and never closed,ok']
    lines += [f"{at},fine lah,ok" for at in range(301, 600)]
    entries = read(tmp_path / "a.csv", "\n".join(lines).encode(), "csv")
    assert [entry["id"] for entry in fields(entries)] == [str(at) for at in range(600)]
    assert fields(entries)[300]["text"] == '"open and never closed'


def test_a_table_without_quoting_keeps_its_quotes(tmp_path: Path) -> None:
    lines = ["id\ttext", *(f'{at}\t"quoted" start and 5" tall' for at in range(50))]
    assert fields(read(tmp_path / "a", "\n".join(lines).encode(), "csv"))[7] == {"id": "7", "text": '"quoted" start and 5" tall'}


def test_a_record_of_another_width_is_quarantined(tmp_path: Path) -> None:
    data = b"id,text,label\n1,a,ok\n2,b\n3,c,ok,more\n4,d,ok,,\n5,e,ok\n\n  \n" + b"6,f,ok\n" * 20
    entries = read(tmp_path / "a", data, "csv")
    assert broken(entries) == [("line 3", "expected 3 fields, found 2"), ("line 4", "expected 3 fields, found 4")]
    assert len(fields(entries)) == 23


def test_a_table_without_a_header_gets_numbered_columns(tmp_path: Path) -> None:
    data = "\n".join(f"{at}\tthis is sentence number {at}, see" for at in range(9)).encode()
    assert fields(read(tmp_path / "a", data, "csv"))[0] == {"column_1": "0", "column_2": "this is sentence number 0, see"}
    one = b'"Hello, how are you?"\n Fine thanks\n"You, too?"\n'
    assert fields(read(tmp_path / "b.csv", one, "csv"))[2] == {"column_1": "You, too?"}


def test_prose_with_commas_is_no_table(tmp_path: Path) -> None:
    data = b"Wah, so long never see you, how are you?\nOk lah, busy, busy, busy.\nThen, later, we eat?\nCan.\n"
    assert len(fields(read(tmp_path / "a.txt", data, "txt"))) == 4


def test_a_chat_log_gives_messages_with_their_continuation_lines(tmp_path: Path) -> None:
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


def test_parquet_gives_rows_and_a_damaged_one_says_so(tmp_path: Path) -> None:
    path = tmp_path / "table"
    rows = [{"text": f"row {at}", "meta": {"n": at, "tags": ["a"]}} for at in range(700)]
    pq.write_table(pa.Table.from_pylist(rows), path, write_page_checksum=True)
    data = path.read_bytes()
    assert fields(read(path, data, "parquet")) == rows
    chance = random.Random(1)
    for size in range(4, len(data), 97):
        assert broken(read(path, data[:size], "parquet"))
    for _ in range(100):
        damaged = bytearray(data)
        damaged[chance.randrange(4, len(data))] ^= 1 << chance.randrange(8)
        entries = read(path, bytes(damaged))
        assert (
            broken(entries)
            or [entry["text"] for entry in fields(entries) if "text" in entry] == [row["text"] for row in rows]
            or (fields(entries) and set(fields(entries)[0]) != {"text", "meta"})
        )


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


def test_an_empty_file_holds_no_records(tmp_path: Path) -> None:
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
        PACK["zst"](table),
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
        recognise(stream)
        for form in READERS:
            for entry in READERS[form](Stream(path)):
                assert entry.locator
                if isinstance(entry, Record):
                    json.dumps(entry.fields, ensure_ascii=False, default=str).encode()


def test_a_table_with_tabs_may_write_line_ends_as_escapes(tmp_path: Path) -> None:
    rows = read(tmp_path / "a.tsv", b"id\ttext\n1\tone\\ntwo\\tthree\\\\n\n2\tplain\n", "csv")
    assert [row["text"] for row in fields(rows)] == ["one\ntwo\tthree\\n", "plain"]
    rows = read(tmp_path / "a.tsv", b"id\ttext\n1\tC:\\name\n2\tD:\\other\n", "csv")
    assert [row["text"] for row in fields(rows)] == ["C:\\name", "D:\\other"]
