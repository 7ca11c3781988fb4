"""Text survives exactly: every Unicode scalar, in every encoding we read, comes out as it went in, or is quarantined."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.raw.ingest import Ingested, ingest
from curate.raw.sources import discover
from curate.text.personal.patterns import find
from curate.text.repair import repaired

TORTURE = os.environ.get("MARGINS_TORTURE", "0") == "1"
EVERY = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
BLOCK = 256


def scalars() -> list[str]:
    """All 1,112,064; in the fast version all of the first 0x3000, and of every later block of 256 its ends and three between."""
    if TORTURE:
        return EVERY
    inside = {0, 1, 127, 128, 254, 255}
    return [one for one in EVERY if ord(one) < 0x3000 or ord(one) % BLOCK in inside]


def texts_with(letters: Sequence[str]) -> list[str]:
    """Four letters to a text, each between words, so that no blank at an end is lost."""
    return [" ".join(f"w{one}w" for one in letters[at : at + 4]) for at in range(0, len(letters), 4)]


def read(folder: Path, name: str, data: bytes) -> Ingested:
    (folder / "raw").mkdir()
    (folder / "raw" / name).write_bytes(data)
    return ingest(discover(folder / "raw"), work=folder / "work", author_key=b"key", quarantine_limit=1.0)


def texts_of(found: Ingested) -> list[str]:
    rows = pl.concat([part.read() for part in found.parts]) if found.parts else pl.DataFrame({"completion": []})
    return rows["completion"].to_list()


def as_jsonl(texts: Sequence[str]) -> bytes:
    return "".join(json.dumps({"prompt": "p", "completion": text}, ensure_ascii=False) + "\n" for text in texts).encode()


def as_escaped(texts: Sequence[str]) -> bytes:
    return "".join(json.dumps({"prompt": "p", "completion": text}) + "\n" for text in texts).encode()


def as_csv(texts: Sequence[str]) -> bytes:
    written = io.StringIO(newline="")
    writer = csv.writer(written, lineterminator="\r\n")
    writer.writerows([("prompt", "completion"), *(("p", text) for text in texts)])
    return written.getvalue().encode()


def as_array(texts: Sequence[str]) -> bytes:
    return json.dumps([{"prompt": "p", "completion": text} for text in texts], ensure_ascii=False).encode()


def as_parquet(texts: Sequence[str]) -> bytes:
    data = io.BytesIO()
    pq.write_table(pa.table({"prompt": ["p"] * len(texts), "completion": list(texts)}), data)
    return data.getvalue()


def recoded(encoding: str) -> Callable[[Sequence[str]], bytes]:
    return lambda texts: as_jsonl(texts).decode().encode(encoding)


FORMATS: dict[str, Callable[[Sequence[str]], bytes]] = {
    "utf8.jsonl": as_jsonl,
    "escaped.jsonl": as_escaped,
    "table.csv": as_csv,
    "array.json": as_array,
    "rows.parquet": as_parquet,
    "bom.jsonl": lambda texts: b"\xef\xbb\xbf" + as_jsonl(texts),
    "crlf.jsonl": lambda texts: as_jsonl(texts).replace(b"\n", b"\r\n"),
    "utf16.jsonl": recoded("utf-16"),
    "utf16le.jsonl": recoded("utf-16-le"),
    "utf16be.jsonl": recoded("utf-16-be"),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_scalar_survives_or_is_quarantined(tmp_path: Path, name: str) -> None:
    texts = texts_with(scalars())
    found = read(tmp_path, name, FORMATS[name](texts))
    totals = found.totals()
    assert totals.read == len(texts) == totals.mined + totals.quarantined
    assert totals.quarantined <= 2  # NUL, and, in a table, what strict quoting refuses
    came = texts_of(found)
    lost = sorted(set(texts) - set(came))
    changed = sorted(set(came) - set(texts))
    assert len(lost) == totals.quarantined, ascii(lost[:3])
    assert changed == [], ascii(changed[:3])
    if TORTURE:
        sys.__stdout__.write(
            f"{name}: {4 * len(came):,} of {len(scalars()):,} scalars exact, {totals.quarantined} records quarantined\n"
        )


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1"])
def test_every_letter_of_a_western_code_page_survives(tmp_path: Path, encoding: str) -> None:
    letters = [bytes([code]).decode(encoding, "ignore") for code in (*range(0x20, 0x7F), *range(0xA0, 0x100))]
    texts = [f"w{one}w {index} caf\u00e9" for index, one in enumerate(letters) if one and one not in '"\\']
    data = "".join(f'{{"prompt": "p", "completion": "{text}"}}\n' for text in texts).encode(encoding)
    found = read(tmp_path, "old.jsonl", data)
    assert texts_of(found) == texts and found.totals().quarantined == 0


@pytest.mark.parametrize(
    "record",
    [
        b'{"prompt": "p", "completion": "a\\ud800b"}',
        b'{"prompt": "p", "completion": "a\\udfffb"}',
        b'{"prompt": "p", "completion": "a\\ude00\\ud83db"}',
        b'{"prompt": "p", "completion": "a\\u0000b"}',
        b'{"prompt": "p", "completion": "a\x00b"}',
        b'{"prompt": "p", "completion": "a\xed\xa0\x80\x81b"}',
        b'{"prompt": "p", "completion": "a\x81\x8db"}',
    ],
    ids=["high", "low", "swapped", "nul_escape", "nul", "surrogate_bytes", "undefined"],
)
def test_what_is_no_text_is_quarantined_with_its_bytes(tmp_path: Path, record: bytes) -> None:
    good = as_jsonl(["one ordinary reply", "another ordinary reply"])
    found = read(tmp_path, "odd.jsonl", good + record + b"\n")
    assert found.totals().quarantined == 1 and texts_of(found) == ["one ordinary reply", "another ordinary reply"]
    (path,) = (tmp_path / "work" / "quarantine").rglob("*.parquet")
    assert pl.read_parquet(path)["raw"].to_list() == [record]


def test_a_pair_of_escapes_is_one_character(tmp_path: Path) -> None:
    found = read(tmp_path, "pair.jsonl", b'{"prompt": "p", "completion": "a\\ud83d\\ude00b"}\n')
    assert texts_of(found) == ["a\U0001f600b"]


def test_repair_and_pii_take_every_scalar_and_settle() -> None:
    step = 1 if TORTURE else 4
    for text in texts_with(scalars()[::step]):
        once = repaired(text)
        assert repaired(once) == once, ascii(text)
        assert find(once) == [], ascii(text)


def test_repair_leaves_letters_and_signs_of_living_scripts_alone() -> None:
    ranges = [(0x21, 0x7F), (0x00C0, 0x0180), (0x0B80, 0x0C00), (0x0E00, 0x0E60), (0x4E00, 0x9FFF), (0x1F600, 0x1F650)]
    letters = [chr(code) for start, stop in ranges for code in range(start, stop) if unicodedata.category(chr(code))[0] in "LNSM"]
    letters = [one for one in letters if unicodedata.normalize("NFKC", one) == one and one not in "&<`"]
    for text in texts_with(letters[:: 1 if TORTURE else 7]):
        assert repaired(text) == text, ascii(text)
