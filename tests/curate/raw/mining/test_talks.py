"""What people export from messengers, boards and archives is understood without a recipe."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from curate.raw.ingest import ingest
from curate.raw.sources import discover


def mined(tmp_path: Path, name: str, data: str) -> pl.DataFrame:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / name).write_text(data, encoding="utf-8")
    found = ingest(discover(tmp_path / "raw"), work=tmp_path / "work", author_key=b"key")
    file = found.files[0]
    assert file.records == file.mined + sum(file.skipped.values()) + sum(file.quarantined.values())
    return pl.concat([part.read() for part in found.parts])


def exchange(rows: pl.DataFrame) -> dict[str, str]:
    return {row["completion"]: row["prompt"][0]["content"] if row["prompt"] else "" for row in rows.iter_rows(named=True)}


SAID = [("ann", "eat where later?"), ("ben", "the stall behind"), ("ben", "or the mall"), ("ann", "mall lah"), ("cat", "on")]
ANSWERS = {
    "the stall behind": "eat where later?",
    "or the mall": "eat where later?",
    "mall lah": "or the mall",
    "on": "mall lah",
}


def test_discord_s_turns_answer_the_one_they_name_or_the_latest_by_somebody_else(tmp_path: Path) -> None:
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
    rows = mined(tmp_path, "discord.json", json.dumps({"guild": {"name": "kopi"}, "messages": turns}))
    assert exchange(rows) == ANSWERS | {"on": "or the mall"}
    assert rows["thread"].n_unique() == 1


def test_a_chat_that_begins_with_the_newest_turn_is_read_the_other_way_round(tmp_path: Path) -> None:
    turns = [
        {"sender_name": who, "timestamp_ms": 1_700_000_000_000 + at * 60_000, "content": text}
        for at, (who, text) in enumerate(SAID)
    ]
    turns.insert(2, {"sender_name": "ben", "timestamp_ms": 1_700_000_061_000, "content": ""})
    data = {"participants": [{"name": "ann"}, {"name": "ben"}], "messages": turns[::-1], "title": "lunch"}
    rows = mined(tmp_path, "message_1.json", json.dumps(data, indent=1))
    assert exchange(rows) == ANSWERS
    assert rows["thread"].n_unique() == 1


def test_slack_s_threads_are_talks_of_their_own(tmp_path: Path) -> None:
    turns = [{"type": "message", "user": who, "ts": f"170000000{at}.0001", "text": text} for at, (who, text) in enumerate(SAID)]
    turns[1]["thread_ts"] = turns[0]["thread_ts"] = "1700000000.0001"
    assert exchange(mined(tmp_path, "slack.json", json.dumps(turns))) == {
        "the stall behind": "eat where later?",
        "mall lah": "or the mall",
        "on": "mall lah",
    }


def test_a_listing_of_reddit_s_is_its_children(tmp_path: Path) -> None:
    posts = [("a", "t3_p", "very long queue leh"), ("b", "t1_a", "go earlier lor")]
    children = [{"kind": "t1", "data": {"id": name, "parent_id": parent, "body": body}} for name, parent, body in posts]
    data = json.dumps({"kind": "Listing", "data": {"after": None, "children": children}})
    assert exchange(mined(tmp_path, "listing.json", data)) == {"go earlier lor": "very long queue leh"}


def test_columns_in_camel_case_play_their_roles(tmp_path: Path) -> None:
    path = tmp_path / "comments.csv"
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["videoId", "commentId", "parentId", "authorDisplayName", "textDisplay", "isToxic"])
        table.writerow(["v", "c1", "", "ann", "where is this place ah", "0"])
        table.writerow(["v", "c2", "c1", "ben", "near the old cinema lah", "0"])
    rows = mined(tmp_path, "comments.csv", path.read_text())
    assert exchange(rows) == {"near the old cinema lah": "where is this place ah"}
    assert rows["given"].to_list() == [0.0]
    assert rows["author"].null_count() == 0


def test_a_board_s_quote_is_what_a_post_answers(tmp_path: Path) -> None:
    head = "thread_title,post_number,username,post_content,quoted_post\n"
    rows = mined(
        tmp_path, "board.csv", head + "Prices,1,ann,still so ex leh now,\nPrices,2,ben,wait for sale lah,still so ex leh now\n"
    )
    assert exchange(rows) == {"still so ex leh now": "Prices", "wait for sale lah": "still so ex leh now"}


@pytest.mark.parametrize("end", ["", ";\n"])
def test_an_archive_s_script_is_the_array_in_it(tmp_path: Path, end: str) -> None:
    tweets = [{"tweet": {"id_str": str(at), "full_text": f"bus {at} late again [x]"}} for at in range(3)]
    rows = mined(tmp_path, "tweets.js", "window.YTD.tweets.part0 = " + json.dumps(tweets, indent=1) + end)
    assert sorted(rows["completion"]) == [f"bus {at} late again [x]" for at in range(3)]


def test_a_prompt_that_stands_in_both_sides_too_is_asked_once(tmp_path: Path) -> None:
    asked = {"role": "user", "content": "how to go there?"}
    sides = {
        name: [asked, {"role": "assistant", "content": text}] for name, text in (("chosen", "by bus"), ("rejected", "dunno"))
    }
    line = json.dumps({"prompt": asked["content"], **sides})
    rows = mined(tmp_path, "pairs.jsonl", f"{line}\n{line}\n")
    assert rows["prompt"].to_list() == [[asked]] * 4
