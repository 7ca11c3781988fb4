from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl

from curate.raw.formats import READERS, Broken, Record, Stream
from curate.raw.formats import mbox as mailbox
from curate.raw.ingest import Ingested

FORM = "mbox"
Read = Callable[..., list[Record | Broken]]
Mined = Callable[..., tuple[Ingested, pl.DataFrame]]

FIRST = b"""From ann@example.com Mon Jan  4 10:00:00 2021
From: Ann Lim <ann@example.com>
Subject: =?utf-8?q?lunch_=E2=98=95?=
Message-ID: <one@example.com>
Date: Mon, 4 Jan 2021 10:00:00 +0800
Content-Type: text/plain; charset=utf-8

Where shall we eat?
>From my side anything goes.
From where I sit the canteen is near.
-- 
Ann, third floor
"""

SECOND = b"""From ben@example.com Mon Jan  4 11:00:00 2021
From: ben@example.com
Subject: Re: lunch
Message-ID: <two@example.com>
In-Reply-To: <one@example.com>
Content-Type: multipart/alternative; boundary=XX

--XX
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

On Mon, 4 Jan 2021 at 10:00, Ann Lim wrote:
> Where shall we eat?
The caf=E9 then.
--XX
Content-Type: text/html

<p>The cafe then.</p>
--XX--
"""

THIRD = b"""From cat@example.com Mon Jan  4 12:00:00 2021
From: cat@example.com
References: <gone@example.com> <two@example.com>
Content-Type: text/html; charset=utf-8

<html><body><p>ok <b>lah</b></p><blockquote>The caf\xc3\xa9 then.</blockquote></body></html>
"""


def test_mails_give_their_own_words_and_what_they_answer(read: Read, tmp_path: Path) -> None:
    one, two, three = read(tmp_path / "a", b"\n".join([FIRST, SECOND, THIRD]))
    assert isinstance(one, Record) and isinstance(two, Record) and isinstance(three, Record)
    assert one.fields == {
        "from": "Ann Lim <ann@example.com>",
        "date": "Mon, 04 Jan 2021 10:00:00 +0800",
        "subject": "lunch ☕",
        "id": "one@example.com",
        "in_reply_to": "",
        "text": "Where shall we eat?\nFrom my side anything goes.\nFrom where I sit the canteen is near.",
    }
    assert (two.fields["in_reply_to"], two.fields["text"], two.fields["quote"]) == (
        "one@example.com",
        "The café then.",
        "Where shall we eat?",
    )
    assert (three.fields["in_reply_to"], three.fields["text"]) == ("two@example.com", "ok lah")
    assert [entry.locator for entry in (one, two, three)] == ["line 1", "line 14", "line 34"]


def test_a_reply_answers_the_mail_it_names(mined: Mined) -> None:
    result, rows = mined({"list.mbox": b"\n".join([THIRD, SECOND, FIRST])})
    assert result.files[0].skipped == {"opening_post": 1}
    assert {row["completion"]: row["prompt"][0]["content"].split("\n")[0] for row in rows.iter_rows(named=True)} == {
        "ok lah": "The café then.",
        "The café then.": "Where shall we eat?",
    }
    assert rows["author"].n_unique() == 2 and rows["thread"].n_unique() == 1


def test_what_is_no_mail_is_quarantined(read: Read, tmp_path: Path) -> None:
    bad = FIRST.replace(b"Where shall", b"Wh\x00ere shall")
    one, two = read(tmp_path / "a", b"\n".join([bad, SECOND]))
    assert isinstance(one, Broken) and "NUL" in one.reason and isinstance(two, Record)
    (tmp_path / "b").write_bytes(b"words before\n\n" + FIRST)
    entries = list(READERS["mbox"](Stream(tmp_path / "b")))
    assert isinstance(entries[0], Broken) and entries[0].reason.startswith("no mail") and isinstance(entries[1], Record)


def test_a_mail_of_another_encoding_than_it_says_is_read_all_the_same(read: Read, tmp_path: Path) -> None:
    for charset, word in ((b"utf-8", b"caf\xe9"), (b"x-unknown", b"caf\xc3\xa9"), (b"us-ascii", b"caf\xe9")):
        mail = (
            b"From a@b Mon Jan  4 10:00:00 2021\nFrom: a@b\nContent-Type: text/plain; charset="
            + charset
            + b"\n\nthe "
            + word
            + b"\n"
        )
        (record,) = read(tmp_path / "a", mail)
        assert isinstance(record, Record) and record.fields["text"] == "the café", charset


def test_a_giant_mail_is_quarantined_and_the_next_one_read(read: Read, tmp_path: Path) -> None:
    giant = FIRST + b"\n".join([b"x" * 70] * 90_000) + b"\n"
    one, two = read(tmp_path / "a", b"\n".join([giant, SECOND]))
    assert isinstance(one, Broken) and one.reason == "longer than 4 MiB" and len(one.raw) == mailbox.KEPT
    assert isinstance(two, Record)


def test_headers_and_parts_without_end_are_quarantined(read: Read, tmp_path: Path) -> None:
    nested = b"--x\nContent-Type: multipart/mixed; boundary=x\n\n" * 9_000
    for bad in (
        b"Subject: " + b"=?utf-8?q?a?= " * 9_000 + b"\n\nhi\n",
        b"Content-Type: multipart/mixed; boundary=x\n\n" + nested,
    ):
        one, two = read(tmp_path / "a", b"From a@b Mon Jan  4 10:00:00 2021\n" + bad + b"\n" + SECOND)
        assert isinstance(one, Broken) and one.reason == "headers or parts without end" and isinstance(two, Record)


def test_no_mutation_crashes_the_reader(mutants_are_read: Callable[..., None]) -> None:
    marks = [b"=", b";", b"\x00", b"\xff", b"\n\n", b"<", b'"', b"?=", b""]
    mutants_are_read(b"\n".join([FIRST, SECOND, THIRD]), marks, 250)
