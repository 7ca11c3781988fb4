from __future__ import annotations

import os
from pathlib import Path

import pytest

from curate.core.config import build
from curate.core.errors import DataError, RecipeError
from curate.raw.sources import SourceSettings, discover, source_for, with_licences


def test_files_are_listed_in_one_order_with_names_relative_to_the_folder(tmp_path: Path) -> None:
    for name in ("b.txt", "a/z.jsonl", "a/b/c.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("hello\n")
    assert [file.name for file in discover(tmp_path).files] == ["a/b/c.csv", "a/z.jsonl", "b.txt"]


def test_what_is_not_data_is_left_aside_with_a_reason(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text("private\n")
    source = tmp_path / "source"
    source.mkdir()
    for name in ("data.txt", ".hidden", "README.md", "LICENSE", "SOURCE.md", "readme.csv"):
        (source / name).write_text("text,label\nhello,ok\n")
    (source / "link.txt").symlink_to(outside / "secret.txt")
    (source / "folder_link").symlink_to(outside)
    (source / "loop").symlink_to(source)
    os.mkfifo(source / "pipe")
    listing = discover(source)
    assert [file.name for file in listing.files] == ["data.txt", "readme.csv"]
    assert {entry.name: entry.reason for entry in listing.left_aside} == {
        ".hidden": "hidden",
        "LICENSE": "about",
        "README.md": "about",
        "SOURCE.md": "about",
        "folder_link": "symlink",
        "link.txt": "symlink",
        "loop": "symlink",
        "pipe": "not_a_file",
    }


def test_a_source_that_cannot_be_read_says_what_would_do(tmp_path: Path) -> None:
    file = tmp_path / "data.txt"
    file.write_text("hello\n")
    empty = tmp_path / "empty"
    empty.mkdir()
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / ".x").write_text("x")
    for folder, found in (
        (tmp_path / "missing", "no such folder"),
        (file, "found a file"),
        (empty, "an empty folder"),
        (hidden, r"only 1 left aside \(hidden\)"),
    ):
        with pytest.raises(DataError, match=found) as caught:
            discover(folder)
        assert caught.value.exit_code == 3
        assert "\n" not in str(caught.value)


def test_a_folder_link_as_the_source_itself_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.txt").write_text("hello\n")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert [file.name for file in discover(tmp_path / "link").files] == ["a.txt"]


def test_the_first_source_that_matches_counts() -> None:
    sources = (SourceSettings(match="forum/*", licence="CC0-1.0"), SourceSettings(match="*", licence="MIT"))
    assert source_for("forum/2021/a.jsonl", sources).licence == "CC0-1.0"
    assert source_for("chat.txt", sources).licence == "MIT"
    assert source_for("chat.txt", ()) == SourceSettings(match="chat.txt")


def test_a_source_with_a_misspelt_key_or_kind_is_refused() -> None:
    with pytest.raises(RecipeError, match="did you mean 'columns'"):
        build(SourceSettings, {"match": "*", "column": {}}, "recipe: sources[0]")
    with pytest.raises(RecipeError, match="mine"):
        build(SourceSettings, {"match": "*", "mine": "poetry"}, "recipe: sources[0]")


def test_a_folder_may_state_the_licence_of_what_is_in_it(tmp_path: Path) -> None:
    for name in ("a.txt", "deep/b.txt", "deep/[1].txt", "deeper/c.txt", "quiet/d.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("see you at the market\n")
    (tmp_path / "LICENSE").write_text("SPDX-License-Identifier: CC0-1.0\n")
    (tmp_path / "deep" / "LICENCE.txt").write_text("# SPDX-License-Identifier: CC-BY-4.0\nand so on")
    (tmp_path / "quiet" / "LICENSE").write_text("All rights are wrong.\n")
    listing = discover(tmp_path)
    assert listing.licences == {"": "CC0-1.0", "deep/": "CC-BY-4.0"}

    def licences(*sources: SourceSettings) -> dict[str, str | None]:
        stated = with_licences(sources, listing)
        return {file.name: source_for(file.name, stated).licence for file in listing.files}

    own = {"a.txt": "CC0-1.0", "deep/[1].txt": "CC-BY-4.0", "deep/b.txt": "CC-BY-4.0"}
    own |= {"deeper/c.txt": "CC0-1.0", "quiet/d.txt": "CC0-1.0"}
    assert licences() == own
    labels = SourceSettings(match="deep/*", labels={"1": True})
    assert licences(labels) == own, "what a recipe says of labels says nothing of licences"
    assert source_for("deep/[1].txt", with_licences([labels], listing)).labels == {"1": True}
    assert licences(SourceSettings(match="deep/*", licence="mit"))["deep/b.txt"] == "mit"


def test_a_folder_that_states_no_licence_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("see you at the market\n")
    sources = (SourceSettings(match="*.txt"),)
    assert discover(tmp_path).licences == {} and with_licences(sources, discover(tmp_path)) == sources
