from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from curate.raw.formats import READERS, Broken, Record, Stream
from curate.raw.ingest import Ingested

FORM = "sql"
Read = Callable[..., list[Record | Broken]]
Mined = Callable[..., tuple[Ingested, pl.DataFrame]]

CREATE = (
    "CREATE TABLE `posts` (\n  `id` int(11) NOT NULL AUTO_INCREMENT,\n  `price` decimal(3,2) DEFAULT '1,00',\n"
    "  `msg` text COMMENT 'what, (if any)',\n  PRIMARY KEY (`id`),\n  KEY `k` (`price`,`msg`(10))\n) ENGINE=InnoDB;\n"
)


def fields(entries: list[Record | Broken]) -> list[dict[str, Any]]:
    return [entry.fields for entry in entries if isinstance(entry, Record)]


def reasons(entries: list[Record | Broken]) -> list[str]:
    return [f"{entry.locator}: {entry.reason}" for entry in entries if isinstance(entry, Broken)]


def test_rows_of_many_take_their_columns_from_the_table(read: Read, tmp_path: Path) -> None:
    entries = read(
        tmp_path / "a", CREATE + "INSERT INTO `posts` VALUES (1,2.50,'it''s \\'ok\\'\\nlah'),\n(2,NULL,'a\nb; (c), d');\n"
    )
    assert fields(entries) == [
        {"id": 1, "price": "2.50", "msg": "it's 'ok'\nlah"},
        {"id": 2, "price": None, "msg": "a\nb; (c), d"},
    ]
    assert [entry.locator for entry in entries] == ["line 8", "line 9"]
    assert {entry.table for entry in entries if isinstance(entry, Record)} == {"posts"}


def test_a_list_of_columns_wins_and_a_table_unheard_of_has_numbered_ones(read: Read, tmp_path: Path) -> None:
    text = (
        CREATE
        + "INSERT IGNORE INTO db.posts (`msg`, id) VALUES ('x', 9);\nREPLACE INTO \"other\" VALUES (TRUE, 'y', NOW(), 0x41);\n"
    )
    assert fields(read(tmp_path / "a", text)) == [
        {"msg": "x", "id": 9},
        {"column_1": "TRUE", "column_2": "y", "column_3": "NOW()", "column_4": "0x41"},
    ]


def test_comments_and_other_statements_are_nothing(read: Read, tmp_path: Path) -> None:
    text = (
        "-- MySQL dump; INSERT INTO posts VALUES (0);\n/*!40101 SET NAMES utf8 */;\n# a; (b)\nLOCK TABLES `posts` WRITE;\n"
        "/* INSERT INTO posts VALUES (1); */\nUPDATE posts SET msg = 'a;b' WHERE id = 1;\n"
        "INSERT INTO posts VALUES (2, /* two; */ 'b') -- the end\n, (3, 'c');\nUNLOCK TABLES;\n"
    )
    assert fields(read(tmp_path / "a", text)) == [{"column_1": 2, "column_2": "b"}, {"column_1": 3, "column_2": "c"}]


def test_a_comment_that_does_not_end_is_said(read: Read, tmp_path: Path) -> None:
    entries = read(tmp_path / "a", "INSERT INTO t VALUES (1, 'a');\n/* INSERT INTO t VALUES (2, 'b');\n")
    assert len(fields(entries)) == 1 and len(reasons(entries)) == 1 and "does not end" in reasons(entries)[0]


def test_a_backslash_is_plain_where_the_standard_is_followed(read: Read, tmp_path: Path) -> None:
    rows = "INSERT INTO t VALUES(1,'C:\\');\nINSERT INTO t VALUES(2,'x');\n"
    text = "BEGIN TRANSACTION;\nCREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT);\n" + rows
    assert [row["body"] for row in fields(read(tmp_path / "a", text))] == ["C:\\", "x"]


def test_a_copy_from_standard_input_is_read(read: Read, tmp_path: Path) -> None:
    text = "-- PostgreSQL database dump\nCOPY public.posts (id, body) FROM stdin;\n1\ta\\tb\\nc\n2\t\\N\n\\.\n\nSELECT 1;\n"
    assert fields(read(tmp_path / "a", text)) == [{"id": "1", "body": "a\tb\nc"}, {"id": "2", "body": None}]
    assert reasons(read(tmp_path / "a", text.split("2\t")[0])) == ["line 4: the rows do not end"]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("(7,1,'a' b')", "a value that goes on behind its end"),
        ("(7,1)", "expected 3 values, found 2"),
        ("(7,1,'a','b')", "expected 3 values, found 4"),
        ("(7,,'a')", "a value that cannot be read"),
        ("(7,1,'a\x00b')", "holds NUL, or bytes that are neither UTF-8 nor cp1252"),
    ],
)
def test_a_malformed_row_costs_only_itself(read: Read, tmp_path: Path, bad: str, reason: str) -> None:
    text = f"{CREATE}INSERT INTO posts VALUES (1,1,'one'),{bad},(2,2,'two');\nINSERT INTO posts VALUES (3,3,'three');\n"
    entries = read(tmp_path / "a", text)
    assert [row["id"] for row in fields(entries)] == [1, 2, 3]
    assert reasons(entries) == [f"line 8: {reason}"]


def test_a_quote_that_does_not_close_costs_its_statement_not_the_file(read: Read, tmp_path: Path) -> None:
    text = (
        CREATE
        + "INSERT INTO posts VALUES (1,1,'open);\n"
        + "".join(f"INSERT INTO posts VALUES ({at},1,'ok');\n" for at in range(2, 9))
    )
    entries = read(tmp_path / "a", text)
    assert [row["id"] for row in fields(entries)] == list(range(2, 9))
    assert len(reasons(entries)) == 1 and reasons(entries)[0].startswith("line 8: ")


def test_a_dump_that_breaks_off_says_so(read: Read, tmp_path: Path) -> None:
    whole = CREATE + "INSERT INTO `posts` VALUES (1,1,'one'),(2,2,'two');"
    start = whole.index("(1,1")
    for size in range(start, len(whole)):
        entries = read(tmp_path / "a", whole[:size])
        assert reasons(entries), size
        assert [row["msg"] for row in fields(entries)] == ["one", "two"][: len(fields(entries))]


def test_bytes_of_another_encoding_are_read_one_by_one(read: Read, tmp_path: Path) -> None:
    text = CREATE.encode() + b"INSERT INTO posts VALUES (1,1,'caf\xe9 \xe5\x92\x96'),(2,1,'bad \x81 byte'),(3,1,'ok');\n"
    entries = read(tmp_path / "a", text)
    assert [row["msg"] for row in fields(entries)] == ["café 咖", "ok"]
    assert len(reasons(entries)) == 1


def test_a_statement_of_any_length_is_read_row_by_row(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with path.open("w") as file:
        file.write(CREATE + "INSERT INTO `posts` VALUES ")
        for at in range(30_000):
            file.write(f"({at},1,'text number {at} {'x' * 200}'),\n")
        file.write("(0,0,'last');\n")
    tracemalloc.start()
    count = sum(isinstance(entry, Record) for entry in READERS["sql"](Stream(path)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 30_001
    assert peak < 3 << 20


def test_a_giant_value_is_quarantined(read: Read, tmp_path: Path) -> None:
    text = CREATE + "INSERT INTO posts VALUES (1,1,'" + "x" * (9 << 20) + "');\nINSERT INTO posts VALUES (2,2,'two');\n"
    entries = read(tmp_path / "a", text)
    assert [row["id"] for row in fields(entries)] == [2]
    assert reasons(entries)


@pytest.mark.parametrize("piece", ["(", "/* ", "$a$ $b$ ", "('", "(f(", "'", "(1,", "--", '"'])
def test_a_dump_that_never_ends_takes_time_in_step_with_its_length(tmp_path: Path, piece: str) -> None:
    for head in ("INSERT INTO t VALUES ", "CREATE VIEW v AS ", "CREATE TABLE t ("):
        (tmp_path / "a").write_text(head + piece * ((1 << 18) // len(piece)))
        began = time.process_time()
        assert not any(isinstance(entry, Record) for entry in READERS["sql"](Stream(tmp_path / "a")))
        assert time.process_time() - began < 5  # by the square it would be minutes


def test_tables_are_understood_one_by_one(mined: Mined) -> None:
    users = "CREATE TABLE users (uid int, nick text);\n" + "".join(
        f"INSERT INTO users VALUES ({at}, 'u{at}');\n" for at in range(30)
    )
    posts = "CREATE TABLE posts (id int, body text, is_toxic int);\n" + "".join(
        f"INSERT INTO posts VALUES ({at}, 'the text of post number {at}', {at % 2});\n" for at in range(40)
    )
    result, _ = mined({"d.sql": users + posts})
    (file,) = result.files
    assert (file.records, file.mined, file.labelled, file.skipped) == (70, 40, 40, {"no_text_column": 30})
    assert sorted(file.roles["tables"]) == ["posts", "users"] and file.roles["columns"]["text"] == ["body"]


def test_no_mutation_crashes_the_reader(mutants_are_read: Callable[..., None]) -> None:
    seed = CREATE + "INSERT INTO `posts` (`id`, `msg`) VALUES (1,'a'),(2,'b''c'); -- x\nCOPY t (a) FROM stdin;\n1\n\\.\n"
    mutants_are_read(seed.encode(), [b"'", b"(", b")", b";", b"`", b"\\", b"\x00", b"\xff", b"/*", b",", b""], 500)
