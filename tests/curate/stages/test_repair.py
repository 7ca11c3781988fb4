"""Repair: dirt goes, what a writer wrote stays, and repairing twice changes nothing more."""

from __future__ import annotations

from time import process_time

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.core.schema import MESSAGE
from curate.stages.repair import Repair
from curate.text.repair import repaired


def rows(*completions: str | None, prompt: list[dict[str, str]] | None = None) -> pl.DataFrame:
    return pl.DataFrame(
        {"prompt": [prompt or []] * len(completions), "completion": completions},
        schema={"prompt": pl.List(MESSAGE), "completion": pl.String},
    )


@pytest.mark.parametrize(
    "text",
    [
        "siaaaao liao lah",
        "I <3 this place <#> and x < y, a<b and c>d",
        "<PHONE_1> <TIME> <name> <DECIMAL>",
        "m² is not m2 … and ™",
        "👩\u200d👩\u200d👧 ❤️ 🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f 🧑🏽\u200d💻",
        "你好，吃饱了吗？",
        "வணக்கம் நண்பா",
        "क्\u200dष",
        "я люблю",
        "AT&T, rock&roll, this&copy that",
        "two paragraphs\n\nof text\n  - with a list",
        "<b unclosed and <i> alone",
    ],
)
def test_what_the_writer_wrote_stays(text: str) -> None:
    assert repaired(text) == text


@pytest.mark.parametrize(
    ("dirty", "clean"),
    [
        ("I\u00e2\u20ac\u2122m on the way", "I'm on the way"),
        ("you&amp;#x27;re late &amp;amp; wet", "you're late & wet"),
        ("&lt;3 &#128514; &#55357;&#56834;", "<3 😂 😂"),
        ("<p>so tired .<br/><b>edit:</b> typo</p>", "so tired .\nedit: typo"),
        ("&lt;p&gt;escaped&lt;/p&gt;", "escaped"),
        ('<a href="https://example.com/x">here</a><script>run()</script><!-- note -->', "here"),
        ('see <img src="a.png" alt="😂"> lah', "see 😂 lah"),
        ("B\u200but free one ta\u200dke", "But free one take"),
        ("\u202eevil\u202c \u2066x\u2069", "evil x"),
        ("&#999\u200d6;&#65039;", "\u270c\ufe0f"),
        ("on fire \u2764\ufe0f\u200d\U0001f525", "on fire \u2764\ufe0f\u200d\U0001f525"),
        ("peace \u270c\u200d\ufe0f", "peace \u270c\ufe0f"),
        ("bell\x07 and \x1b[31mred\x1b[0m", "bell and red"),
        ("\u00a0 Don't \u2003 get  wet \t ", "Don't get wet"),
        ("Ｉｔ＇ｓ ｓｏ ｈｏｔ！", "It's so hot!"),
        ("Th\u0435y \u0430t \u0441lubh\u043eus\u0435", "They at clubhouse"),
        ("line one\r\nline two\u2028three", "line one\nline two\nthree"),
        ("hidden \U000e0041\U000e0042text", "hidden text"),
        ("cafe\u0301", "café"),
        ("it\u2019s \u201cfine\u201d", 'it\'s "fine"'),
        ("a\ud800b", "a\ufffdb"),
    ],
)
def test_dirt_is_undone(dirty: str, clean: str) -> None:
    assert repaired(dirty) == clean


PIECES = st.sampled_from(
    [
        "&",
        "amp;",
        "&#38;",
        "#x26;",
        "lt;",
        "<b>",
        "</b>",
        "<p",
        ">",
        "<br>",
        "\u200d",
        "\u200b",
        "👩",
        "\ufe0f",
        "ａ",
        "，",
        "中",
        "\u0430",
        "a",
    ]
    + [
        " ",
        "\t",
        "\n",
        "\r",
        "\u00a0",
        "\u2028",
        "â€™",
        "Ã©",
        "\u0301",
        "\u0915\u094d",
        "\x85",
        "\x1b[0m",
        "\ud83d",
        "\ude00",
        "'",
        "\U000e0041",
    ]
)


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=14).map("".join)))
def test_repairing_twice_changes_nothing_more(text: str) -> None:
    once = repaired(text)
    assert repaired(once) == once
    once.encode("utf-8")  # no lone surrogate is left


def test_an_escape_nested_without_end_is_left_alone_and_stays_so() -> None:
    nested = "8"
    for _ in range(40):
        nested = f"&#3{nested};"
    once = repaired("x" + "&#3" * 40 + nested)
    assert repaired(once) == once


def test_a_row_of_which_nothing_is_left_is_dropped_as_empty() -> None:
    result = Repair()(rows("ok lah", "\u200b \u00a0", None, "<p></p>"))
    assert result["reason"].to_list() == [None, "empty", "empty", "empty"]
    assert result["score"].to_list() == [None, 0.0, 0.0, 0.0]


def test_messages_keep_their_roles_and_order_and_empty_ones_go() -> None:
    prompt = [
        {"role": "system", "content": "\u200b"},
        {"role": "user", "content": "hi  there"},
        {"role": "assistant", "content": "yes&amp;no"},
    ]
    result = Repair()(rows("a b", prompt=prompt))
    assert result["prompt"].to_list() == [[{"role": "user", "content": "hi there"}, {"role": "assistant", "content": "yes&no"}]]
    assert result.schema["prompt"] == pl.List(MESSAGE)


def test_no_rows_give_no_rows() -> None:
    assert Repair()(rows()).height == 0


def test_a_million_characters_of_hostile_markup_take_seconds_at_most() -> None:
    started = process_time()
    for piece in ("<!--", "<script>", "&amp;", "<a href='", "<p ", "\u200d", " \n"):
        once = repaired(piece * (200_000 // len(piece)))
        assert repaired(once) == once, piece
    assert process_time() - started < 10.0
