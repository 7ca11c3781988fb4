"""Forgetting: no byte of the text stays, the rest stands, a rebuild does not bring it back, a kill does no harm."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from curate.core.cache import key_of
from curate.core.errors import DataError, RecipeError, StorageError
from curate.core.schema import canonical, digest
from curate.dataset.verify import verify
from curate.labelers.scoring import joined
from curate.pipeline.build import build
from curate.pipeline.forget import Removal, forget
from curate.pipeline.recipe import read_recipe
from curate.raw.tombstones import Tombstones, load_tombstones

RECIPE = """
stages: [repair, pii, language, length, exact_duplicates, column, near_duplicates, consensus: {labelers: [column]}]
pairing: [given, same_prompt]
"""
SYLLABLES = ("ba", "ki", "lo", "mu", "ne", "ra", "si", "to", "wu", "ya")
SECRET = "My auntie's kueh shop at the purple lighthouse closes on rainy Tuesdays & I mind it"
SPELT = "My auntie&#x27;s kueh shop at the purple  lighthouse closes on rainy Tuesdays &amp; I mind it"
WORDS = ("purple lighthouse", "rainy tuesdays", "kueh shop")
PHONED = "Text me at 9123 4567 about the turquoise umbrella queue"
PHONED_TOO = "Text me at 8123 9876 about the turquoise umbrella queue"


def talk(name: str, count: int) -> list[dict[str, Any]]:
    """Two replies to each of `count` prompts about invented places."""
    made = []
    for at in range(count):
        spot = "".join(SYLLABLES[int(digit)] for digit in f"{at:03d}") * 2
        for text, toxic in ((f"Take the {spot} bus lah {spot}", 0), (f"Cannot find {spot} meh idiot {spot}", 1)):
            made.append({"prompt": f"Go {name} {spot} how?", "completion": text, "is_toxic": toxic})
    return made


def said(prompt: str, completion: str, toxic: int = 0) -> dict[str, Any]:
    return {"prompt": prompt, "completion": completion, "is_toxic": toxic}


def write(path: Path, entries: list[dict[str, Any]], more: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries) + more)


@pytest.fixture(autouse=True)
def no_power_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed process loses nothing that the system was told to write; waiting for the disk only costs time here."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write(tmp_path / "raw" / "untouched.jsonl", talk("south", 25))
    write(
        tmp_path / "raw" / "one.jsonl",
        [
            *talk("north", 25),
            said("What does your auntie do?", SECRET),
            said("What does your auntie do?", SECRET),  # an exact twin, dropped
            said("Somebody else asks?", SPELT.upper()),  # a copy that repair makes equal, but for its case
            said(SECRET, "Wah so shiok, reserve one box for me lah"),  # an answer to it
            said("How to reach you?", PHONED),
            said("How to reach you ah?", PHONED_TOO),  # the same text once pii is through with it
            said("What does your auntie do?", "She sells things lah, you idiot walrus", 1),  # makes a pair with it
        ],
        more=json.dumps(said("Broken?", SECRET))[:-4] + "\n",
    )
    (tmp_path / "raw" / "pairs.jsonl").write_text(
        json.dumps({"prompt": "Nice shop?", "chosen": SECRET, "rejected": "Go and ask the violet walrus lah"}) + "\n"
    )
    other = {"draft": "Some other draft", "notes": [{"said": SECRET.upper()}]}
    beside = [{"draft": SECRET}, other, {"draft": "A yellow pelican"}]
    write(
        tmp_path / "raw" / "drafts.jsonl",
        [said(f"Any shop {at}?", f"Try the green kiosk number {at} lah") | one for at, one in enumerate(beside)],
    )
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return tmp_path


def run(place: Path) -> dict[str, Any]:
    result = build(place / "raw", place / "out", read_recipe(place / "recipe.yaml"))
    return result.manifest.to_json() | ({"unchanged": True} if result.unchanged else {})


def corpus(place: Path) -> pl.DataFrame:
    return pl.concat([pl.read_parquet(path) for path in sorted((place / "out" / "corpus").glob("*.parquet"))])


def ids_of(place: Path, words: str) -> list[str]:
    """Ids of the rows whose part holds these words: the corpus does not show the text of every row."""
    parts = [pl.read_parquet(path) for path in sorted((place / "out.work" / "parts").rglob("*.parquet"))]
    return pl.concat(parts).filter(pl.col("completion").str.contains(words, literal=True))["id"].to_list()


def places_of(folder: Path, *words: str) -> list[str]:
    """Files that hold one of these words in any case, Parquet opened."""
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        data = path.read_bytes()
        if path.suffix == ".parquet":
            frame = pl.read_parquet(path)
            data += " ".join(str(row) for row in frame.rows()).encode()
            if "raw" in frame.columns:
                data += b" ".join(frame["raw"])
        if any(word.encode() in data.lower() for word in words):
            found.append(str(path.relative_to(folder)))
    return found


def remove(place: Path, *ids: str) -> Removal:
    return forget(place / "out", ids)


def test_no_byte_of_a_forgotten_text_is_left_in_either_folder(place: Path) -> None:
    run(place)
    assert places_of(place / "out", *WORDS) and len(places_of(place / "out.work", *WORDS)) > 4
    remove(place, ids_of(place, SECRET)[0])
    assert places_of(place / "out", *WORDS) == [] == places_of(place / "out.work", *WORDS)
    kept = places_of(place / "out.work", "yellow pelican")  # said in a column that no row uses, by a record that stays
    assert [path.split("/")[0] for path in kept] == ["unused"] and places_of(place / "out", "yellow pelican") == []
    assert verify(place / "out") == []


def test_copies_answers_and_the_other_side_of_a_pair_go_and_nothing_else(place: Path) -> None:
    run(place)
    before = corpus(place)
    told = remove(place, ids_of(place, SECRET)[1])
    left = corpus(place)
    assert set(told.rows["id"]) == set(before["id"]) - set(left["id"])
    assert told.rows["locator"].to_list() == before.filter(~pl.col("id").is_in(left["id"].implode()))["locator"].to_list()
    assert before.height - left.height == 6  # two twins, one copy, one answer, both sides of the pair
    assert told.before["corpus"] - told.after["corpus"] == 6
    assert told.before["paired"] - told.after["paired"] == 1
    assert left["completion"].str.contains("turquoise umbrella").any()
    assert places_of(place / "out.work", "violet walrus") == []  # the other side stood in the record of a forgotten text


def test_what_a_model_said_of_a_reply_behind_its_prompt_goes_with_it_and_the_rest_stays(place: Path) -> None:
    (place / "recipe.yaml").write_text(RECIPE.replace("column, ", "column, tuned, "))
    run(place)

    def known(prompt: str, text: str) -> bool:
        key, found = key_of(joined([text], [prompt])[0]), []
        for path in (place / "out.work" / "cache").glob("*.sqlite"):
            with contextlib.closing(sqlite3.connect(path)) as base:
                found += base.execute("SELECT 1 FROM entries WHERE low = ? AND high = ?", key).fetchall()
        return bool(found)

    def asked() -> set[tuple[str, str]]:
        rows = corpus(place).filter(pl.col("reason").is_null())
        return {(row["prompt"][-1]["content"], row["completion"]) for row in rows.iter_rows(named=True)}

    before = asked()
    assert all(known(*one) for one in before)
    remove(place, ids_of(place, SECRET)[0])
    left = asked()
    gone = before - left
    assert any(SECRET in one for one in gone) and not any(known(*one) for one in gone)
    assert len(left) > 80 and all(known(*one) for one in left)


def test_rows_that_pii_makes_equal_are_forgotten_together(place: Path) -> None:
    run(place)
    told = remove(place, *ids_of(place, "9123 4567"))
    assert told.rows.height == 2
    assert places_of(place / "out", "turquoise") == [] == places_of(place / "out.work", "turquoise")


def test_a_rebuild_from_the_unchanged_source_does_not_bring_it_back(place: Path) -> None:
    run(place)
    remove(place, ids_of(place, SECRET)[0])
    after = corpus(place)
    manifest = run(place)
    assert manifest.get("unchanged") is True
    assert manifest["records"]["skipped"] == {"forgotten": 5}
    assert manifest["records"]["read"] == manifest["records"]["mined"] + 5 + manifest["records"]["quarantined"] == 112
    for cache in ("parts", "columns", "quarantine"):
        shutil.rmtree(place / "out.work" / cache)
    shutil.rmtree(place / "out")
    again = run(place)  # every file is read anew
    assert again["records"]["skipped"] == {"forgotten": 5}
    assert corpus(place).equals(after)
    assert places_of(place / "out", *WORDS) == [] == places_of(place / "out.work", *WORDS)


def test_it_does_not_come_back_under_another_name_or_recipe_or_after_an_edit(place: Path) -> None:
    run(place)
    remove(place, ids_of(place, SECRET)[0])
    (place / "raw" / "one.jsonl").rename(place / "raw" / "renamed.jsonl")
    write(place / "raw" / "new.jsonl", [*talk("west", 5), said("New question?", f"  {SECRET.lower()} ")])
    recipe = "sources: [{match: 'renamed.jsonl', columns: {text: completion}, mine: text}]\n"
    (place / "recipe.yaml").write_text(recipe + RECIPE)
    run(place)
    assert places_of(place / "out", *WORDS) == [] == places_of(place / "out.work", *WORDS)
    assert verify(place / "out") == []


def test_it_works_when_the_source_is_gone(place: Path) -> None:
    run(place)
    ids = ids_of(place, SECRET)
    shutil.rmtree(place / "raw")
    assert remove(place, *ids).rows.height == 6
    assert places_of(place / "out", *WORDS) == [] == places_of(place / "out.work", *WORDS)
    assert verify(place / "out") == []


def test_parts_of_earlier_sources_and_leftovers_of_killed_builds_go_too(place: Path) -> None:
    run(place)
    ids = ids_of(place, SECRET)
    path = place / "raw" / "one.jsonl"
    path.write_text(path.read_text() + json.dumps(said("One more?", "Ya one more lah can")) + "\n")
    run(place)
    for leftover in ("staging/corpus/part-00000.parquet", "parts/.x.json.tmp"):
        target = place / "out.work" / leftover
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(SECRET.encode())
    remove(place, *ids)
    assert places_of(place / "out", *WORDS) == [] == places_of(place / "out.work", *WORDS)


def test_what_did_not_change_is_not_computed_again(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from curate.stages.repair import Repair

    run(place)
    rows: list[int] = []
    real = Repair.__call__
    monkeypatch.setattr(Repair, "__call__", lambda self, part: rows.append(part.height) or real(self, part))
    remove(place, ids_of(place, SECRET)[0])
    assert rows == [53, 0]  # what is left of one.jsonl, and of pairs.jsonl


def test_forgetting_twice_changes_nothing_and_is_no_error(place: Path) -> None:
    run(place)
    ids = ids_of(place, SECRET)
    remove(place, *ids)
    before = {path: path.read_bytes() for path in (place / "out").rglob("*") if path.is_file()}
    assert remove(place, *ids).rows.height == 0
    assert {path: path.read_bytes() for path in (place / "out").rglob("*") if path.is_file()} == before


def test_later_forgetting_adds_to_the_earlier(place: Path) -> None:
    run(place)
    remove(place, ids_of(place, SECRET)[0])
    remove(place, ids_of(place, "9123 4567")[0])
    words = (*WORDS, "turquoise")
    assert places_of(place / "out", *words) == [] == places_of(place / "out.work", *words)
    assert run(place)["records"]["skipped"] == {"forgotten": 7}


def test_when_no_row_is_left_the_dataset_goes(tmp_path: Path) -> None:
    write(tmp_path / "raw" / "one.jsonl", [said("What does she do?", SECRET)])
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    run(tmp_path)
    told = remove(tmp_path, *ids_of(tmp_path, SECRET))
    assert told.after == {} and not (tmp_path / "out").exists()
    assert places_of(tmp_path / "out.work", *WORDS) == []
    assert remove(tmp_path, *told.rows["id"]).rows.height == 0  # the same command again
    with pytest.raises(DataError, match="1 records gave 0 rows"):
        run(tmp_path)


def test_an_unknown_id_changes_nothing(place: Path) -> None:
    run(place)
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    with pytest.raises(DataError, match=r"1 of 2 are no row here, first 1234; nothing was changed"):
        remove(place, ids_of(place, SECRET)[0], "1234")
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before


def test_a_build_after_a_kill_in_the_midst_of_forgetting_already_leaves_it_out(place: Path) -> None:
    run(place)
    work = place / "out.work"
    load_tombstones(work, (work / "author.key").read_bytes()).joined(texts=[SECRET]).write(work)  # and then the power went
    assert run(place)["records"]["skipped"] == {"forgotten": 5}
    assert places_of(place / "out", *WORDS) == []


def test_tombstones_hold_no_text_and_are_refused_when_changed_or_under_another_key(place: Path) -> None:
    run(place)
    remove(place, ids_of(place, SECRET)[0])
    work = place / "out.work"
    found = json.loads((work / "tombstones.json").read_text())
    assert all(set(mark) <= set("0123456789abcdef") for kind in ("texts", "records", "rows") for mark in found[kind])
    assert Tombstones(b"one").text_marks(SECRET).isdisjoint(Tombstones(b"two").text_marks(SECRET))
    key = (work / "author.key").read_bytes()
    (work / "author.key").write_bytes(bytes(32))
    with pytest.raises(StorageError, match="made under another author.key"):
        run(place)
    (work / "author.key").write_bytes(key)
    (work / "tombstones.json").write_text(json.dumps(found | {"texts": []}))
    with pytest.raises(StorageError, match="not as `curate forget` wrote it"):
        run(place)


def test_the_command_says_what_left_and_shows_no_text(place: Path, curate: Any) -> None:
    run(place)
    ids = ids_of(place, SECRET)
    (place / "ids.txt").write_text(f"# asked for on Monday\n{ids[0]}\n\n{ids[1]}  # a twin\n")
    told = curate("forget", place / "out", "--ids", place / "ids.txt")
    assert told.code == 0, told.err
    assert "6 rows forgotten for 2 asked" in told.out and "source files were not touched" in told.out
    assert all(name in told.out for name in ids) and "one.jsonl: line 51" in told.out
    assert not any(word in told.out.lower() for word in WORDS)
    assert curate("verify", place / "out").code == 0


def test_a_missing_work_folder_or_ids_file_is_one_line(place: Path, curate: Any) -> None:
    run(place)
    assert curate("forget", place / "out", "--ids", place / "none.txt").code == 3
    (place / "ids.txt").write_text("\n# nobody\n")
    assert "found no id" in curate("forget", place / "out", "--ids", place / "ids.txt").err
    (place / "ids.txt").write_text("1234\n")
    told = curate("forget", place / "out", "--ids", place / "ids.txt", "--work", place / "elsewhere")
    assert told.code == 3 and "found no author.key" in told.err and not (place / "elsewhere").exists()


@pytest.mark.timeout(3_600)
def test_killed_at_any_moment_the_same_command_completes(place: Path) -> None:
    run(place)
    ids = ids_of(place, SECRET)
    shutil.copytree(place, place.with_name("kept"))
    started = time.monotonic()
    remove(place, *ids)
    seconds = time.monotonic() - started
    whole = corpus(place)
    draw = random.Random(5)
    killed = 0
    for _ in range(int(os.environ.get("MARGINS_TORTURE", "0")) * 196 + 4):
        shutil.rmtree(place)
        shutil.copytree(place.with_name("kept"), place)
        child = os.fork()
        if child == 0:
            remove(place, *ids)
            os._exit(0)
        time.sleep(draw.random() * seconds)
        os.kill(child, signal.SIGKILL)
        killed += os.WIFSIGNALED(os.waitpid(child, 0)[1])
        remove(place, *ids)
        assert corpus(place).equals(whole) and verify(place / "out") == []
        assert places_of(place / "out", *WORDS) == [] == places_of(place / "out.work", *WORDS)
    assert killed >= 1
    if "MARGINS_TORTURE" in os.environ:
        sys.__stdout__.write(f"forget: {killed} kills, 0 texts left, 0 datasets that differ\n")


def test_a_dataset_of_a_version_with_other_options_is_left_as_it_is(place: Path) -> None:
    run(place)
    before = corpus(place)
    path = place / "out" / "manifest.json"
    manifest = json.loads(path.read_bytes())
    manifest["recipe"]["dataset"]["splits"]["purge_warn"] = 0.2
    del manifest["fingerprint"]
    path.write_text(json.dumps(manifest | {"fingerprint": digest(canonical(manifest))}))
    with pytest.raises(RecipeError, match=r"splits has no option 'purge_warn'; nothing was changed; .*curate build"):
        remove(place, before["id"][0])
    assert not (place / "out.work" / "tombstones.json").exists()
    assert corpus(place).equals(before)
