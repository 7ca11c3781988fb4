from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from curate.raw.formats import Broken, Record

Read = Callable[..., list[Record | Broken]]


def fields(entries: list[Record | Broken]) -> list[dict[str, Any]]:
    return [entry.fields for entry in entries if isinstance(entry, Record)]


def broken(entries: list[Record | Broken]) -> list[tuple[str, str]]:
    return [(entry.locator, entry.reason) for entry in entries if isinstance(entry, Broken)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_table_is_read_with_the_delimiter_it_has(read: Read, tmp_path: Path, delimiter: str) -> None:
    rows = ["id", "text", "score"], ["1", f"a{delimiter} b", "0,83"], ["007", 'say "hi"', ""], ["3", "two\n\nlines\r\nhere", "1"]
    text = "\r\n".join(delimiter.join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows)
    entries = read(tmp_path / "noname", b"\xef\xbb\xbf" + text.encode(), "csv")
    assert fields(entries) == [dict(zip(rows[0], [cell.replace("\r\n", "\n") for cell in row], strict=True)) for row in rows[1:]]
    assert [entry.locator for entry in entries] == ["line 2", "line 3", "line 4"]


def test_a_stray_quote_costs_one_line_not_the_rest_of_the_file(read: Read, tmp_path: Path) -> None:
    lines = ["id,text,label", *(f'{at},"hello, there",ok' for at in range(300)), '300,"open and never closed,ok']
    lines += [f"{at},fine lah,ok" for at in range(301, 600)]
    entries = read(tmp_path / "a.csv", "\n".join(lines).encode(), "csv")
    assert [entry["id"] for entry in fields(entries)] == [str(at) for at in range(600)]
    assert fields(entries)[300]["text"] == '"open and never closed'


def test_a_table_without_quoting_keeps_its_quotes(read: Read, tmp_path: Path) -> None:
    lines = ["id\ttext", *(f'{at}\t"quoted" start and 5" tall' for at in range(50))]
    assert fields(read(tmp_path / "a", "\n".join(lines).encode(), "csv"))[7] == {"id": "7", "text": '"quoted" start and 5" tall'}


def test_a_record_of_another_width_is_quarantined(read: Read, tmp_path: Path) -> None:
    data = b"id,text,label\n1,a,ok\n2,b\n3,c,ok,more\n4,d,ok,,\n5,e,ok\n\n  \n" + b"6,f,ok\n" * 20
    entries = read(tmp_path / "a", data, "csv")
    assert broken(entries) == [("line 3", "expected 3 fields, found 2"), ("line 4", "expected 3 fields, found 4")]
    assert len(fields(entries)) == 23


def test_a_table_without_a_header_gets_numbered_columns(read: Read, tmp_path: Path) -> None:
    data = "\n".join(f"{at}\tthis is sentence number {at}, see" for at in range(9)).encode()
    assert fields(read(tmp_path / "a", data, "csv"))[0] == {"column_1": "0", "column_2": "this is sentence number 0, see"}
    one = b'"Hello, how are you?"\n Fine thanks\n"You, too?"\n'
    assert fields(read(tmp_path / "b.csv", one, "csv"))[2] == {"column_1": "You, too?"}


def test_prose_with_commas_is_no_table(read: Read, tmp_path: Path) -> None:
    data = b"Wah, so long never see you, how are you?\nOk lah, busy, busy, busy.\nThen, later, we eat?\nCan.\n"
    assert len(fields(read(tmp_path / "a.txt", data, "txt"))) == 4


def test_a_table_with_tabs_may_write_line_ends_as_escapes(read: Read, tmp_path: Path) -> None:
    rows = read(tmp_path / "a.tsv", b"id\ttext\n1\tone\\ntwo\\tthree\\\\n\n2\tplain\n", "csv")
    assert [row["text"] for row in fields(rows)] == ["one\ntwo\tthree\\n", "plain"]
    rows = read(tmp_path / "a.tsv", b"id\ttext\n1\tC:\\name\n2\tD:\\other\n", "csv")
    assert [row["text"] for row in fields(rows)] == ["C:\\name", "D:\\other"]
