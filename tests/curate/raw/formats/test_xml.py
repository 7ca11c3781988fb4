from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from curate.raw.files.lines import MAX_RECORD
from curate.raw.formats import READERS, Broken, Record, Stream
from curate.raw.ingest import Ingested

FORM = "xml"
Read = Callable[..., list[Record | Broken]]
Mined = Callable[..., tuple[Ingested, pl.DataFrame]]
Mined = Callable[[dict[str, str | bytes]], tuple[Ingested, pl.DataFrame]]

HEAD = "<?xml version='1.0' encoding='UTF-8' standalone='yes' ?>\n<!--a backup-->\n<smses count=\"9\">\n"


def sms(body: str, address: str = "+6590000001", kind: int = 1, more: str = "") -> str:
    return f'  <sms protocol="0" address="{address}" date="1300000000000" type="{kind}" body="{body}" {more}/>\n'


def records(entries: list[Record | Broken]) -> list[Record]:
    return [entry for entry in entries if isinstance(entry, Record)]


def reasons(entries: list[Record | Broken]) -> list[str]:
    return [f"{entry.locator}: {entry.reason}" for entry in entries if isinstance(entry, Broken)]


def test_a_backup_of_messages_gives_who_wrote_and_with_whom(read: Read, tmp_path: Path) -> None:
    entries = read(tmp_path / "a", HEAD + sms("eat where?") + sms("anything &amp; soup", kind=2) + "</smses>\n")
    one, two = records(entries)
    assert (one.fields["author"], one.fields["thread"]) == ("+6590000001", "+6590000001")
    assert (two.fields["author"], two.fields["thread"], two.fields["body"]) == ("(me)", "+6590000001", "anything & soup")
    assert (one.locator, two.locator) == ("line 4", "line 5")
    assert two.raw == sms("anything &amp; soup", kind=2).strip().encode()


def test_a_turn_answers_the_other_side_of_its_own_talk_though_talks_take_turns(mined: Mined) -> None:
    lines = [sms("lunch?"), sms("where are you", "+6590000002"), sms("can, at one", kind=2), sms("in the bus", "+6590000002", 2)]
    result, rows = mined({"sms.xml": HEAD + "".join(lines) + "</smses>"})
    assert result.files[0].skipped == {"first_turn": 2}
    assert [(row["prompt"][0]["content"], row["completion"]) for row in rows.iter_rows(named=True)] == [
        ("lunch?", "can, at one"),
        ("where are you", "in the bus"),
    ]
    assert rows["thread"].n_unique() == 2


def test_a_labelled_message_needs_nobody_before_it(mined: Mined) -> None:
    messages = sms("so kind of you", more='label="ok"') + sms("you fool", more='label="toxic"')
    _, rows = mined({"sms.xml": HEAD + messages + "</smses>"})
    assert rows["given"].to_list() == [0.0, 1.0] and rows["prompt"].list.len().to_list() == [0, 0]


def test_an_emoji_in_two_halves_is_one_and_half_of_one_is_quarantined(read: Read, tmp_path: Path) -> None:
    entries = read(
        tmp_path / "a", HEAD + sms("ok &#55357;&#56832; &#128512;") + sms("bad &#55357; lah") + sms("fine") + "</smses>"
    )
    assert [record.fields["body"] for record in records(entries)] == ["ok \U0001f600 \U0001f600", "fine"]
    assert len(reasons(entries)) == 1 and reasons(entries)[0].startswith("line 5: not XML")


def test_a_message_of_parts_has_their_texts_as_its_body(read: Read, tmp_path: Path) -> None:
    mms = (
        '<mms address="+6590000003" msg_box="2"><parts><part ct="application/smil" text="&lt;smil/&gt;"/>'
        '<part ct="text/plain" text="see you there"/><part ct="image/png" text="null" data="AAAA"/></parts></mms>'
    )
    (record,) = records(read(tmp_path / "a", HEAD + mms + "</smses>"))
    assert (record.fields["body"], record.fields["author"]) == ("see you there", "(me)")


def test_elements_within_a_record_become_columns(read: Read, tmp_path: Path) -> None:
    text = (
        '<corpus date="2020"><message id="7"><text>makan <![CDATA[at <5>]]></text><who><name>ah seng</name><age>30</age></who>'
        "<tag>a</tag><tag>b</tag></message>\n<!-- <message> in a comment --></corpus>"
    )
    (record,) = records(read(tmp_path / "a", text))
    assert record.fields == {"id": "7", "text": "makan at <5>", "who": {"name": "ah seng", "age": "30"}, "tag": ["a", "b"]}


def test_records_within_a_wrapper_are_found(read: Read, tmp_path: Path) -> None:
    feed = '<rss version="2.0"><channel><item><title>one</title></item><item><x:y>two</x:y><t>&nbsp;!</t></item></channel></rss>'
    assert [record.fields for record in records(read(tmp_path / "a", feed))] == [{"title": "one"}, {"x:y": "two", "t": "\xa0!"}]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ('  <sms body="it <3 you"/>\n', "line 5: not XML: a tag that does not end"),
        ("  <sms body=unquoted/>\n", "line 5: not XML: not well-formed (invalid token)"),
        ('  <sms body="a" body="b"/>\n', "line 5: not XML: duplicate attribute"),
        ('  <sms body="&unknown;"/>\n', "line 5: not XML: undefined entity"),
        ("  <sms><b>x</a></sms>\n", "line 5: not XML: tags do not match"),
        ("  <sms><b>x</sms>\n", "line 5: not XML: tags do not match"),
        ("  <sms>open\n", "line 5: the element does not end"),
        ("  words\n", "line 4: text between the records"),
        ("  </b>\n", "line 5: not XML: the end of an element that has not begun"),
        ("  <sms body='a\x00b'/>\n", "line 5: holds NUL"),
        ("  <sms>" + "<a>" * 80 + "</a>" * 80 + "</sms>\n", "line 5: XML nested deeper than 64"),
    ],
)
def test_a_malformed_element_costs_only_itself(read: Read, tmp_path: Path, bad: str, reason: str) -> None:
    entries = read(tmp_path / "a", HEAD + sms("before") + bad + sms("after") + "</smses>\n")
    assert [record.fields["body"] for record in records(entries)] == ["before", "after"]
    assert reason in reasons(entries)


@pytest.mark.parametrize(
    "declared",
    [
        '<!DOCTYPE smses [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>',
        '<!DOCTYPE smses [<!ENTITY b SYSTEM "file:///etc/hostname">]>',
        '<!DOCTYPE smses [<!ENTITY % b SYSTEM "http://example.com/x.dtd"> %b;]>',
    ],
)
def test_a_file_that_declares_entities_is_refused(read: Read, tmp_path: Path, declared: str) -> None:
    entries = read(tmp_path / "a", f"<?xml version='1.0'?>\n{declared}\n<smses>{sms('&b;')}</smses>")
    assert records(entries) == [] and len(entries) == 1 and "refused" in reasons(entries)[0]


def test_a_document_type_without_declarations_is_read_past_and_never_fetched(read: Read, tmp_path: Path) -> None:
    entries = read(tmp_path / "a", f'<!DOCTYPE smses SYSTEM "http://example.com/x.dtd">\n<smses>{sms("hi")}</smses>')
    assert len(records(entries)) == 1 and reasons(entries) == []


@pytest.mark.parametrize("encoding", ["utf-16", "iso-8859-1", "gb18030", "utf-8-sig"])
def test_the_encoding_is_what_the_file_says_or_shows(read: Read, tmp_path: Path, encoding: str) -> None:
    word = "café" if encoding == "iso-8859-1" else "咖啡 café"
    text = f"<?xml version='1.0' encoding='{encoding}'?>\n<smses>" + sms(word) * 3 + "</smses>"
    assert [record.fields["body"] for record in records(read(tmp_path / "a", text.encode(encoding)))] == [word] * 3


def test_a_file_that_breaks_off_says_so_and_keeps_what_came_before(read: Read, tmp_path: Path) -> None:
    whole = HEAD + sms("one") + sms("two") + "</smses>"
    for size in range(len(HEAD), len(whole) - 1):
        entries = read(tmp_path / "a", whole[:size])
        assert reasons(entries), size
        assert [record.fields["body"] for record in records(entries)] == ["one", "two"][: len(records(entries))]


def test_a_giant_element_is_quarantined_without_being_held(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with path.open("w") as file:
        file.write(HEAD + sms("before") + '<sms body="')
        for _ in range(12):
            file.write("x" * (1 << 20))
        file.write('"/>\n' + sms("after") + "</smses>")
    tracemalloc.start()
    entries = list(READERS["xml"](Stream(path)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [record.fields["body"] for record in records(entries)] == ["before", "after"]
    assert any("longer than 4 MiB" in reason for reason in reasons(entries))
    assert peak < 5 * MAX_RECORD


def test_no_mutation_crashes_the_reader(mutants_are_read: Callable[..., None]) -> None:
    seed = HEAD + sms("a") * 3 + '<mms address="1"><parts><part text="b"/></parts></mms><!--c--><x><![CDATA[d]]></x></smses>'
    mutants_are_read(seed.encode(), [b"<", b">", b"&", b'"', b"\x00", b"\xff", b"/", b"<!", b"]]>", b""], 600)
