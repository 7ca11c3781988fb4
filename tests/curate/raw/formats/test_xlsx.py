from __future__ import annotations

import datetime
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook

from curate.raw.formats import Broken, Record, Stream, recognise
from curate.raw.ingest import ingest
from curate.raw.sources import SourceSettings, discover

FORM = "xlsx"
Read = Callable[..., list[Record | Broken]]


def book(sheets: dict[str, list[list[Any]]]) -> bytes:
    workbook = Workbook()
    workbook.remove(workbook.active)
    for name, rows in sheets.items():
        sheet = workbook.create_sheet(name)
        for row in rows:
            sheet.append(row)
    held = io.BytesIO()
    workbook.save(held)
    return held.getvalue()


def rewritten(data: bytes, change: dict[str, tuple[bytes, bytes]]) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            before, after = change.get(name, (b"", b""))
            new.writestr(name, old.read(name).replace(before, after, 1) if before else old.read(name))
    return held.getvalue()


HEADER = ["Nr", "Comment", "Label"]
ROWS = [[1, "the stall opens at ten", "ok"], [2, "so rude one you", "toxic"], [3, None, "ok"]]


def test_every_sheet_is_read_below_its_own_header(read: Read, tmp_path: Path) -> None:
    title = [["Answers to the survey of spring"], [], HEADER]
    entries = read(tmp_path / "a", book({"one": [*title, *ROWS], "two": [["id", "text"], [7, "makan already?"]]}))
    records = [entry for entry in entries if isinstance(entry, Record)]
    assert [(record.table, record.locator) for record in records] == [
        ("one", "sheet 1 row 4"),
        ("one", "sheet 1 row 5"),
        ("one", "sheet 1 row 6"),
        ("two", "sheet 2 row 2"),
    ]
    assert records[0].fields == {"Nr": 1, "Comment": "the stall opens at ten", "Label": "ok"}
    assert records[3].fields == {"id": 7, "text": "makan already?"}
    assert [(entry.locator, entry.reason) for entry in entries if isinstance(entry, Broken)] == [
        ("sheet 1 row 1", "above the header")
    ]


def test_one_sheet_is_no_table_of_several_and_empty_rows_are_nothing(read: Read, tmp_path: Path) -> None:
    (record, *_) = read(tmp_path / "a", book({"one": [HEADER, [None, "  ", None], *ROWS]}))
    assert isinstance(record, Record) and record.table == "" and record.locator == "sheet 1 row 3"


def test_a_sheet_without_a_header_has_numbered_columns(read: Read, tmp_path: Path) -> None:
    entries = read(tmp_path / "a", book({"one": [[1, "it is so hot today, really"], [2, "later rain I think, bring umbrella"]]}))
    assert [entry.fields for entry in entries if isinstance(entry, Record)] == [
        {"column_1": 1, "column_2": "it is so hot today, really"},
        {"column_1": 2, "column_2": "later rain I think, bring umbrella"},
    ]


def test_a_row_wider_than_the_header_is_quarantined_and_a_short_one_is_not(read: Read, tmp_path: Path) -> None:
    entries = read(tmp_path / "a", book({"one": [HEADER, [1, "a", "ok", "more"], [2, "b"]]}))
    assert isinstance(entries[0], Broken) and entries[0].reason == "expected 3 cells, found 4"
    assert isinstance(entries[1], Record) and entries[1].fields == {"Nr": 2, "Comment": "b", "Label": None}


def test_dates_and_numbers_have_one_spelling(read: Read, tmp_path: Path) -> None:
    (record,) = read(tmp_path / "a", book({"s": [["when", "n", "text"], [datetime.datetime(2021, 6, 18, 8), 2.0, "can lah"]]}))
    assert isinstance(record, Record)
    assert record.fields == {"when": "2021-06-18T08:00:00", "n": 2, "text": "can lah"}


def test_a_row_keeps_its_name_when_another_is_put_in_above_it(read: Read, tmp_path: Path) -> None:
    first = read(tmp_path / "a", book({"one": [HEADER, *ROWS]}))
    more = read(tmp_path / "a", book({"one": [HEADER, [9, "new", "ok"], *ROWS]}))
    assert {entry.raw for entry in first} < {entry.raw for entry in more}


@pytest.mark.parametrize(
    "entity", [b'<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">', b'<!ENTITY b SYSTEM "file:///etc/hostname">']
)
def test_entities_in_a_workbook_are_refused(read: Read, tmp_path: Path, entity: bytes) -> None:
    part = "xl/worksheets/sheet1.xml"
    data = rewritten(
        book({"one": [HEADER, *ROWS]}), {part: (b"<worksheet ", b"<!DOCTYPE worksheet [" + entity + b"]><worksheet ")}
    )
    (only,) = read(tmp_path / "a", data)
    assert isinstance(only, Broken) and "refused" in only.reason


def test_a_damaged_workbook_says_so(read: Read, tmp_path: Path) -> None:
    whole = book({"one": [HEADER, *([at, f"text number {at} of many", "ok"] for at in range(300))]})
    sheet = "xl/worksheets/sheet1.xml"
    entries = read(tmp_path / "a", rewritten(whole, {sheet: (b'<row r="200"', b'<row r="200" <')}))
    assert isinstance(entries[-1], Broken) and 100 < len(entries) < 300
    (tmp_path / "b").write_bytes(whole[: len(whole) // 2])
    assert recognise(Stream(tmp_path / "b")) is None  # a zip without its table of contents is nothing we know


def test_sheets_are_understood_one_by_one_and_pinned_one_by_one(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    rows = [[at, f"this is text number {at} here", "toxic" if at % 3 else "ok"] for at in range(12)]
    other = [[f"another text number {at} there", at % 2] for at in range(12)]
    (source / "s.xlsx").write_bytes(book({"one": [HEADER, *rows], "two": [["body", "y"], *other]}))
    result = ingest(discover(source), work=tmp_path / "w", author_key=b"k")
    (file,) = result.files
    assert (file.records, file.mined, file.labelled) == (24, 24, 12)
    assert file.roles["tables"]["one"]["columns"]["text"] == ["Comment"]
    assert file.roles["tables"]["two"]["columns"]["text"] == ["body"]
    sources = (SourceSettings(match="s.xlsx/two", labels={"1": True, "0": False}),)
    assert ingest(discover(source), work=tmp_path / "w", author_key=b"k", sources=sources).files[0].labelled == 24
