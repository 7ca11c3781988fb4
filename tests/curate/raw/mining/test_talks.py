"""What people export from messengers, boards and archives is understood without a recipe."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

RowsOf = Callable[[str, str], pl.DataFrame]


@pytest.fixture
def rows_of(mined: Callable[..., tuple[object, pl.DataFrame]]) -> RowsOf:
    return lambda name, data: mined({name: data})[1]


def exchange(rows: pl.DataFrame) -> dict[str, str]:
    return {row["completion"]: row["prompt"][0]["content"] if row["prompt"] else "" for row in rows.iter_rows(named=True)}


SAID = [("ann", "eat where later?"), ("ben", "the stall behind"), ("ben", "or the mall"), ("ann", "mall lah"), ("cat", "on")]
ANSWERS = {
    "the stall behind": "eat where later?",
    "or the mall": "eat where later?",
    "mall lah": "or the mall",
    "on": "mall lah",
}


def test_discord_s_turns_answer_the_one_they_name_or_the_latest_by_somebody_else(rows_of: RowsOf) -> None:
    turns: list[dict[str, Any]] = [
        {
            "id": str(at),
            "timestamp": f"2024-01-01T10:0{at}:00+08:00",
            "content": text,
            "author": {"id": who, "name": who, "isBot": False},
        }
        for at, (who, text) in enumerate(SAID)
    ]
    turns[4]["reference"] = {"messageId": "2", "channelId": "9"}
    rows = rows_of("discord.json", json.dumps({"guild": {"name": "kopi"}, "messages": turns}))
    assert exchange(rows) == ANSWERS | {"on": "or the mall"}
    assert rows["thread"].n_unique() == 1


def test_a_chat_that_begins_with_the_newest_turn_is_read_the_other_way_round(rows_of: RowsOf) -> None:
    turns = [
        {"sender_name": who, "timestamp_ms": 1_700_000_000_000 + at * 60_000, "content": text}
        for at, (who, text) in enumerate(SAID)
    ]
    turns.insert(2, {"sender_name": "ben", "timestamp_ms": 1_700_000_061_000, "content": ""})
    data = {"participants": [{"name": "ann"}, {"name": "ben"}], "messages": turns[::-1], "title": "lunch"}
    rows = rows_of("message_1.json", json.dumps(data, indent=1))
    assert exchange(rows) == ANSWERS
    assert rows["thread"].n_unique() == 1


def test_slack_s_threads_are_talks_of_their_own(rows_of: RowsOf) -> None:
    turns = [{"type": "message", "user": who, "ts": f"170000000{at}.0001", "text": text} for at, (who, text) in enumerate(SAID)]
    turns[1]["thread_ts"] = turns[0]["thread_ts"] = "1700000000.0001"
    assert exchange(rows_of("slack.json", json.dumps(turns))) == {
        "the stall behind": "eat where later?",
        "mall lah": "or the mall",
        "on": "mall lah",
    }


def test_a_listing_of_reddit_s_is_its_children(rows_of: RowsOf) -> None:
    posts = [("a", "t3_p", "very long queue leh"), ("b", "t1_a", "go earlier lor")]
    children = [{"kind": "t1", "data": {"id": name, "parent_id": parent, "body": body}} for name, parent, body in posts]
    data = json.dumps({"kind": "Listing", "data": {"after": None, "children": children}})
    assert exchange(rows_of("listing.json", data)) == {"go earlier lor": "very long queue leh"}


def test_columns_in_camel_case_play_their_roles(rows_of: RowsOf, tmp_path: Path) -> None:
    path = tmp_path / "comments.csv"
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["videoId", "commentId", "parentId", "authorDisplayName", "textDisplay", "isToxic"])
        table.writerow(["v", "c1", "", "ann", "where is this place ah", "0"])
        table.writerow(["v", "c2", "c1", "ben", "near the old cinema lah", "0"])
    rows = rows_of("comments.csv", path.read_text())
    assert exchange(rows) == {"near the old cinema lah": "where is this place ah"}
    assert rows["given"].to_list() == [0.0]
    assert rows["author"].null_count() == 0


def test_a_board_s_quote_is_what_a_post_answers(rows_of: RowsOf) -> None:
    head = "thread_title,post_number,username,post_content,quoted_post\n"
    rows = rows_of("board.csv", head + "Prices,1,ann,still so ex leh now,\nPrices,2,ben,wait for sale lah,still so ex leh now\n")
    assert exchange(rows) == {"still so ex leh now": "Prices", "wait for sale lah": "still so ex leh now"}


@pytest.mark.parametrize("end", ["", ";\n"])
def test_an_archive_s_script_is_the_array_in_it(rows_of: RowsOf, end: str) -> None:
    tweets = [{"tweet": {"id_str": str(at), "full_text": f"bus {at} late again [x]"}} for at in range(3)]
    rows = rows_of("tweets.js", "window.YTD.tweets.part0 = " + json.dumps(tweets, indent=1) + end)
    assert sorted(rows["completion"]) == [f"bus {at} late again [x]" for at in range(3)]


def test_a_prompt_that_stands_in_both_sides_too_is_asked_once(rows_of: RowsOf) -> None:
    asked = {"role": "user", "content": "how to go there?"}
    sides = {
        name: [asked, {"role": "assistant", "content": text}] for name, text in (("chosen", "by bus"), ("rejected", "dunno"))
    }
    line = json.dumps({"prompt": asked["content"], **sides})
    rows = rows_of("pairs.jsonl", f"{line}\n{line}\n")
    assert rows["prompt"].to_list() == [[asked]] * 4
