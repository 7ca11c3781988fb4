from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from curate.raw.files.lines import MAX_RECORD
from curate.raw.formats import READERS, Broken, Record, Stream
from curate.raw.formats.html import DEEPEST, text_of
from curate.raw.ingest import Ingested

FORM = "html"
Read = Callable[..., list[Record | Broken]]
Mined = Callable[..., tuple[Ingested, pl.DataFrame]]

FLAT = """<!doctype html><html><head><title>Which stall is best?</title>
<script>var post = "<div class='post'>no</div>";</script></head>
<body><div class="nav">Home</div>
<div class="post" id="p0" data-flag="ok"><span class="user">ann</span>
<div class="body">The one near the lift &amp; the stairs</div>
<div class="sig">-- sent from a phone --</div></div>
<div class="post" id="p1" data-flag="toxic"><span class="user">ben</span><div class="body"><blockquote>ann wrote: The one near
the lift</blockquote>no way,<br>you &lt;3 queues</div></div>
</body></html>
"""

NESTED = """<html><body><h1>Lunch</h1><ul class="comments">
<li class="comment" id="c1"><a class="author">ann</a><p>Try the
      market lah<p>Second one &amp; <b>bold</b>
  <ul><li class="comment"><span class=author>ben</span><div class="message">can<br>lor</div>
   <ul><li class=comment><span class=author>cat</span> agreed</ul></ul>
<li class="comment" id="c4"><time datetime="2021-06-18T20:44">friday</time>later</ul></body></html>
"""


def records(entries: list[Record | Broken]) -> list[Record]:
    return [entry for entry in entries if isinstance(entry, Record)]


def texts(entries: list[Record | Broken]) -> list[str]:
    return [record.fields["text"] for record in records(entries)]


def test_posts_are_found_with_author_label_quote_and_without_signature(read: Read, tmp_path: Path) -> None:
    one, two = records(read(tmp_path / "a", FLAT))
    title = "Which stall is best?"
    assert one.fields == {"id": "p0", "flag": "ok", "author": "ann", "text": "The one near the lift & the stairs", "title": title}
    assert two.fields == {
        "id": "p1",
        "flag": "toxic",
        "author": "ben",
        "quote": "The one near\nthe lift",
        "text": "no way,\nyou <3 queues",
        "title": title,
    }
    assert (one.locator, two.locator) == ("line 4", "line 7")


def test_a_post_within_a_post_answers_it(read: Read, tmp_path: Path) -> None:
    posts = {record.fields["text"]: record for record in records(read(tmp_path / "a", NESTED))}
    parents = {text: record.fields.get("parent_id") for text, record in posts.items()}
    ben = posts["can\nlor"].fields["id"]
    assert parents == {"agreed": ben, "can\nlor": "c1", "Try the market lah\nSecond one & bold": None, "later": None}
    assert posts["later"].fields["time"] == "2021-06-18T20:44"
    assert ben.encode() not in posts["can\nlor"].raw  # a number of ours is no part of the record's name


def test_what_a_post_quotes_is_its_prompt_and_what_it_answers_comes_first(mined: Mined) -> None:
    result, rows = mined({"flat.html": FLAT, "nested.html": NESTED})
    pairs = {row["completion"]: row["prompt"][0]["content"] for row in rows.iter_rows(named=True)}
    assert pairs == {
        "The one near the lift & the stairs": "Which stall is best?",
        "no way,\nyou <3 queues": "The one near\nthe lift",
        "agreed": "can\nlor",
        "can\nlor": "Try the market lah\nSecond one & bold",
    }
    assert sorted(rows["given"].drop_nulls().to_list()) == [0.0, 1.0]
    assert [file.skipped for file in result.files] == [{}, {"opening_post": 2}]


def test_a_messengers_page_says_who_answers_whom(read: Read, tmp_path: Path) -> None:
    page = """<div class="history"><div class="message service" id="message-1"><div class="body">1 January</div></div>
    <div class="message default clearfix" id="message1"><div class="body">
    <div class="date details" title="01.01.2021 10:00">10:00</div>
    <div class="from_name">Ann </div><div class="text">makan?</div></div></div>
    <div class="message default" id="message2"><div class="body"><div class="reply_to details">In reply to
    <a href="#go_to_message1">this message</a></div>
    <div class="from_name">Ben</div><div class="text">can</div></div></div></div>"""
    one, two = records(read(tmp_path / "a", page))
    assert one.fields == {"id": "message1", "time": "01.01.2021 10:00", "author": "Ann", "text": "makan?"}
    assert (two.fields["parent_id"], two.fields["text"]) == ("message1", "can")


def test_a_page_without_posts_is_its_paragraphs(read: Read, tmp_path: Path) -> None:
    page = "<html><title>About</title><nav><p>menu</nav><p>One text.<p>"
    page += "Two <i>texts</i>.<ul><li>a<li>b</ul><table><tr><td>x<td>y</table>"
    assert texts(read(tmp_path / "a", page)) == ["One text.", "Two texts.", "a", "b", "x", "y"]


def test_line_ends_that_are_the_writers_own_stay(read: Read, tmp_path: Path) -> None:
    page = "<div class='post'><div class='body'>one\ntwo\n\n\nthree\n      wrapped</div></div>"
    assert texts(read(tmp_path / "a", page)) == ["one\ntwo\n\nthree wrapped"]


@pytest.mark.parametrize("encoding", ["gb18030", "windows-1252", "utf-16"])
def test_the_encoding_is_what_the_page_says_or_shows(read: Read, tmp_path: Path, encoding: str) -> None:
    word = "café" if encoding == "windows-1252" else "咖啡 好"
    page = f'<html><head><meta charset="{encoding}"></head><div class="post">{word}</div></html>'
    assert texts(read(tmp_path / "a", page.encode(encoding))) == [word]


def test_a_page_that_says_its_encoding_wrong_is_read_as_what_it_is(read: Read, tmp_path: Path) -> None:
    page = '<html><head><meta charset="gb2312"></head><div class="post">café 好</div></html>'
    assert texts(read(tmp_path / "a", page.encode())) == ["café 好"]


def test_bytes_of_no_encoding_quarantine_their_post_only(read: Read, tmp_path: Path) -> None:
    page = b"<div class='post'>one</div><div class='post'>bad \x81 byte</div><div class='post'>caf\xe9</div>"
    entries = read(tmp_path / "a", page)
    assert texts(entries) == ["one", "café"]
    assert [entry.reason for entry in entries if isinstance(entry, Broken)] == ["holds NUL, or bytes of another encoding"]


def test_a_script_that_does_not_end_is_said(read: Read, tmp_path: Path) -> None:
    entries = read(tmp_path / "a", "<div class='post'>one</div>\n<script>var x = 1;\n<div class='post'>two</div>")
    assert texts(entries) == ["one"]
    assert [(entry.locator, "does not end" in entry.reason) for entry in entries if isinstance(entry, Broken)] == [
        ("line 2", True)
    ]


def test_tags_out_of_order_lose_no_post(read: Read, tmp_path: Path) -> None:
    entries = read(tmp_path / "a", "<div class='post'><b>one</div></b></p></div><div class='post'>two<div class='post'>three")
    assert sorted(texts(entries)) == ["one", "three", "two"]


@pytest.mark.parametrize("section", ["<![<]]>", "<![1[x]]>", "<![other[x]]>", "<![if !x]>", "<![endif]>", "<![CDATA[x]]>"])
def test_a_marked_section_however_malformed_is_no_text(read: Read, tmp_path: Path, section: str) -> None:
    entries = read(tmp_path / "a", f"<html><body><p>before</p>{section}<p>after</p></body></html>")
    assert texts(entries)[0] == "before" and texts(entries)[-1] == "after"


def test_giant_posts_and_markup_are_quarantined_without_being_held(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for middle in ("<div class='post'>{}</div>", "<div class='{}"):
        path.write_text("<div class='post'>before</div>" + middle.format("word " * (3 << 20)))
        tracemalloc.start()
        entries = list(READERS["html"](Stream(path)))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert texts(entries) == ["before"]
        assert [entry.reason[-17:] for entry in entries if isinstance(entry, Broken)] == ["longer than 4 MiB"]
        assert peak < 12 * MAX_RECORD


@pytest.mark.parametrize("piece", ["<a ", "<!--", "<a b='", "</", "<div a=1 ", "<![CDATA[", "<script>"])
def test_markup_that_never_ends_takes_time_in_step_with_its_length(tmp_path: Path, piece: str) -> None:
    (tmp_path / "a").write_text("<div class='post'>one</div>" + piece * ((1 << 18) // len(piece)))
    began = time.process_time()
    entries = list(READERS["html"](Stream(tmp_path / "a")))
    assert time.process_time() - began < 5  # by the square it would be minutes
    assert texts(entries) == ["one"] and len(entries) > 1


def test_a_page_nested_without_end_is_quarantined(read: Read, tmp_path: Path) -> None:
    entries = read(tmp_path / "a", "<div class='post'>one</div>" + "<div>" * (DEEPEST * 40))
    assert texts(entries) == ["one"]
    assert [entry.reason for entry in entries if isinstance(entry, Broken)] == [f"elements nested deeper than {DEEPEST}"]


def test_a_post_keeps_its_name_when_another_is_put_in_above_it(read: Read, tmp_path: Path) -> None:
    first = {entry.raw for entry in read(tmp_path / "a", NESTED)}
    more = NESTED.replace(
        '<li class="comment" id="c1">', '<li class="comment">new<ul><li class="comment">one</ul><li class="comment" id="c1">'
    )
    assert first < {entry.raw for entry in read(tmp_path / "a", more)}


def test_the_text_of_a_piece_of_html_is_without_what_it_quotes() -> None:
    assert text_of("<p>hi all<blockquote>old</blockquote><div class='message'>bye</div>") == ("hi all\n\nbye", "old")


def test_no_mutation_crashes_the_reader(mutants_are_read: Callable[..., None]) -> None:
    for seed in (FLAT, NESTED):
        mutants_are_read(seed.encode(), [b"<", b">", b"&", b'"', b"\x00", b"\xff", b"</", b"<!--", b"<![", b""], 150)
