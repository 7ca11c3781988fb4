"""Posts and comments in two files, as forum archives keep them: a reply finds its parent where the recipe says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from curate.core.errors import RecipeError
from curate.raw.ingest import Ingested, ingest
from curate.raw.inspect import inspect
from curate.raw.sources import SourceSettings, discover

POSTS = [
    {"id": "p1", "title": "Lunch near the office", "selftext": "any place that is not so crowded?", "author": "ann"},
    {"id": "p2", "title": "Is the pool open on public holidays", "selftext": "", "author": "ben"},
]
COMMENTS = [
    {"id": "c1", "link_id": "t3_p1", "parent_id": "t3_p1", "body": "the one behind the library lah", "author": "cat"},
    {"id": "c2", "link_id": "t3_p1", "parent_id": "t1_c1", "body": "that one closed already", "author": "ann"},
    {"id": "c3", "link_id": "t3_p2", "parent_id": "t3_p2", "body": "half day only", "author": "dan"},
    {"id": "c4", "link_id": "t3_p9", "parent_id": "t3_p9", "body": "nobody knows what this answers", "author": "dan"},
]
APART = (SourceSettings(match="comments.jsonl", parents=("posts.jsonl",)),)


def write(path: Path, records: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write(tmp_path / "raw/posts.jsonl", POSTS)
    write(tmp_path / "raw/comments.jsonl", COMMENTS)
    return tmp_path / "raw"


def read(source: Path, sources: tuple[SourceSettings, ...] = APART) -> Ingested:
    return ingest(discover(source), work=source.parent / "work", author_key=b"key", sources=sources)


def asked_and_said(result: Ingested, name: str = "comments.jsonl") -> dict[str, str]:
    rows = pl.concat([part.read() for part in result.parts]).filter(pl.col("source") == name)
    return {row["completion"]: row["prompt"][0]["content"] for row in rows.iter_rows(named=True)}


def test_a_comment_answers_the_post_in_the_other_file(source: Path) -> None:
    result = read(source)
    assert asked_and_said(result) == {
        "the one behind the library lah": "any place that is not so crowded?",
        "that one closed already": "the one behind the library lah",
        "half day only": "Is the pool open on public holidays",
    }
    assert result.files[0].skipped == {"parent_missing": 1}
    alone = read(source, sources=())
    assert asked_and_said(alone) == {"that one closed already": "the one behind the library lah"}
    assert alone.files[0].skipped == {"parent_missing": 3}


def test_a_post_and_its_comments_are_one_thread(source: Path) -> None:
    rows = pl.concat([part.read() for part in read(source).parts])
    about_lunch = rows.filter(~pl.col("completion").str.contains("half day"))
    assert set(about_lunch["source"]) == {"posts.jsonl", "comments.jsonl"}
    assert about_lunch["thread"].n_unique() == 1
    assert rows["thread"].n_unique() == 2


def test_comments_are_read_again_when_the_posts_change_and_only_then(source: Path) -> None:
    read(source)
    assert read(source).reread == ()
    write(source / "posts.jsonl", [*POSTS, {"id": "p9", "title": "Where is the bus", "selftext": "", "author": "eve"}])
    again = read(source)
    assert set(again.reread) == {"posts.jsonl", "comments.jsonl"}
    assert asked_and_said(again)["nobody knows what this answers"] == "Where is the bus"
    write(source / "posts.jsonl", POSTS)
    assert set(read(source, sources=()).reread) == {"comments.jsonl"}  # the posts of before are still believed


def test_files_that_hold_no_parents_are_not_asked(source: Path) -> None:
    wide = (SourceSettings(match="*comments*", parents=("*posts*",)),)
    write(source / "else/chat.jsonl", [{"prompt": "can or not", "completion": "can lah can lah"}])
    read(source, wide)
    write(source / "else/chat.jsonl", [{"prompt": "can or not", "completion": "cannot lah"}])
    assert read(source, wide).reread == ("else/chat.jsonl",)


def test_a_table_of_topics_in_the_same_dump_is_another_place(tmp_path: Path) -> None:
    topics = "\n".join(f"INSERT INTO topics (id, title) VALUES ({at}, 'what to eat on floor {at} today');" for at in (1, 2))
    replies = "\n".join(
        f"INSERT INTO replies (id, parent_id, body) VALUES ({10 + at}, {at}, 'fish soup at stall {at} lah');" for at in (1, 2)
    )
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/forum.sql").write_text(f"{replies}\n{topics}\n")
    result = read(tmp_path / "raw", (SourceSettings(match="forum.sql/replies", parents=("forum.sql/topics",)),))
    answers = asked_and_said(result, "forum.sql")
    assert answers["fish soup at stall 2 lah"] == "what to eat on floor 2 today"


def test_posts_without_ids_are_named(source: Path) -> None:
    write(source / "posts.jsonl", [{"title": post["title"], "selftext": "where to go on a day like this"} for post in POSTS])
    with pytest.raises(RecipeError, match=r"parents: posts\.jsonl has no column for id; .*\(it has title, selftext\)"):
        read(source)


def test_a_pattern_that_fits_no_file_is_refused(source: Path) -> None:
    with pytest.raises(RecipeError, match=r"comments\.jsonl: parents: no file fits 'post\.jsonl'; did you mean 'posts\.jsonl'"):
        read(source, (SourceSettings(match="comments.jsonl", parents=("post.jsonl",)),))


def test_inspect_says_what_to_add_to_the_recipe(source: Path) -> None:
    page = inspect(source)
    assert '  - {match: "comments.jsonl", parents: ["posts.jsonl"]}' in page
    assert "3 parent_missing" in page
    page = inspect(source, APART)
    assert "parents:" not in page
    assert "1 parent_missing" in page
