from __future__ import annotations

import gzip
import json
import random
import re
import stat
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import curate.raw.ingest
import curate.raw.row_writer
from curate.core.errors import DataError, RecipeError
from curate.core.schema import ROW
from curate.core.store import sha256
from curate.raw.ingest import Ingested, ingest
from curate.raw.sources import SourceSettings, discover

DATA = Path(__file__).parents[4] / "shared" / "data"


def read(source: Path, work: Path, **options: Any) -> Ingested:
    return ingest(discover(source), work=work, author_key=b"key", **options)


def rows_of(result: Ingested) -> pl.DataFrame:
    return pl.concat([part.read() for part in result.parts]) if result.parts else pl.DataFrame(schema=ROW)


def tree(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): sha256(path) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "forum").mkdir(parents=True)
    chat = [f"[18/06/21, 8:{at:02d}:00 PM] {'ab'[at % 2]}: message number {at} lah" for at in range(40)]
    (folder / "chat.txt").write_text("\n".join(chat))
    lines = [json.dumps({"prompt": f"question {at}", "completion": f"reply {at}", "label": "ok"}) for at in range(50)]
    (folder / "forum" / "a.jsonl.gz").write_bytes(gzip.compress("\n".join([*lines, '{"broken', *lines[:3]]).encode()))
    (folder / "table.csv").write_text(
        "text,is_toxic\n" + "".join(f"text number {at} of the table here,{at % 2}\n" for at in range(30))
    )
    (folder / "page.pdf").write_text("%PDF-1.7 hello")
    return folder


def check_law(result: Ingested) -> None:
    for file in result.files:
        assert file.records == file.mined + sum(file.skipped.values()) + sum(file.quarantined.values())
    totals = result.totals()
    assert totals.read == totals.mined + sum(totals.skipped.values()) + totals.quarantined
    assert totals.rows == sum(part.rows for part in result.parts)


def test_every_record_is_accounted_for(source: Path, tmp_path: Path) -> None:
    result = read(source, tmp_path / "work")
    check_law(result)
    assert asdict(result.totals()) == {"read": 124, "mined": 122, "skipped": {"first_turn": 1}, "quarantined": 1, "rows": 122}
    assert result.left_aside() == [{"name": "page.pdf", "reason": "unknown_format"}]
    assert [file.source for file in result.files] == ["chat.txt", "forum/a.jsonl.gz", "table.csv"]
    rows = rows_of(result)
    assert dict(rows.schema) == ROW
    assert rows["id"].n_unique() == 122
    assert rows["source"].unique(maintain_order=True).to_list() == ["chat.txt", "forum/a.jsonl.gz", "table.csv"]
    assert result.table()[1].quarantined == {"not JSON": 1}


def test_broken_records_are_kept_in_the_work_folder_with_their_place(source: Path, tmp_path: Path) -> None:
    result = read(source, tmp_path / "work")
    (path,) = (tmp_path / "work" / "quarantine" / result.files[1].key).glob("*.parquet")
    (line,) = pl.read_parquet(path).to_dicts()
    assert (line["source"], line["locator"], line["raw"]) == ("forum/a.jsonl.gz", "line 51", b'{"broken')
    assert line["reason"].startswith("not JSON")


def test_columns_that_play_no_role_are_kept_in_the_work_folder(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    lines = [
        {"text": f"a text of some words, number {at}", "mood": "windy", "meta": {"rank": at, "tags": ["a", None]}, "empty": ""}
        for at in range(4)
    ]
    (tmp_path / "source" / "a.jsonl").write_text("\n".join(map(json.dumps, [*lines, {"text": "", "mood": "calm"}])))
    (tmp_path / "source" / "b.csv").write_text("n,m\n1,2\n3,4\n")  # no column holds a text
    work = tmp_path / "work"
    result = read(tmp_path / "source", work)
    files = {file.source: file for file in result.files}
    kept = {name: pl.read_parquet(work / "unused" / file.key / "00000.parquet") for name, file in files.items()}
    told = [json.loads(fields) for fields in kept["a.jsonl"]["fields"]]
    assert told == [*({"mood": "windy", "meta.rank": at, "meta.tags": ["a", None]} for at in range(4)), {"mood": "calm"}]
    names = kept["a.jsonl"]["record"].to_list()
    assert names == [*dict.fromkeys(rows_of(result)["record"]), None]  # an empty text gave no row
    assert [json.loads(fields) for fields in kept["b.csv"]["fields"]] == [{"n": "1", "m": "2"}, {"n": "3", "m": "4"}]
    assert stat.S_IMODE(work.stat().st_mode) == 0o700
    before = tree(work)
    assert read(tmp_path / "source", work).reread == () and tree(work) == before
    (work / "unused" / files["a.jsonl"].key / "00000.parquet").write_bytes(b"PAR1")
    assert read(tmp_path / "source", work).reread == ("a.jsonl",) and tree(work) == before


def test_an_unchanged_file_is_not_read_again_and_a_new_one_moves_nothing(source: Path, tmp_path: Path) -> None:
    first = read(source, tmp_path / "work")
    again = read(source, tmp_path / "work")
    assert first.reread == ("chat.txt", "forum/a.jsonl.gz", "page.pdf", "table.csv")
    assert again.reread == ()
    assert (again.parts, again.files, again.aside) == (first.parts, first.files, first.aside)
    (source / "another.txt").write_text("a new text that is here now\n")
    more = read(source, tmp_path / "work")
    assert more.reread == ("another.txt",)
    assert set(rows_of(first)["id"]) < set(rows_of(more)["id"])


@pytest.mark.parametrize("change", ["file", "settings", "part", "receipt", "author_key"])
def test_whatever_changes_a_files_rows_reads_it_again(source: Path, tmp_path: Path, change: str) -> None:
    work = tmp_path / "work"
    first = read(source, work)
    key, sources = b"key", ()
    if change == "file":
        (source / "table.csv").write_text("text,is_toxic\nsomething else now,1\n")
    elif change == "settings":
        sources = (SourceSettings(match="table.csv", licence="MIT"),)
    elif change == "part":
        part = next(part.path for part in first.parts if part.path.parent.name == first.files[2].key)
        part.write_bytes(part.read_bytes()[:-9] + b"damaged!!")
    elif change == "receipt":
        receipt = work / "parts" / f"{first.files[2].key}.json"
        receipt.write_text(receipt.read_text().replace('"mined": 30', '"mined": 31'))
    else:
        key = b"another"
    again = ingest(discover(source), work=work, author_key=key, sources=sources)
    assert "table.csv" in again.reread
    assert len(again.reread) == (4 if change == "author_key" else 1)


def test_an_interrupted_reading_ends_in_the_same_bytes(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curate.raw.row_writer, "PARQUET_ROWS", 7)
    whole = read(source, tmp_path / "whole")
    real, left = curate.raw.row_writer.commit, 0

    def commit(*given: Any, **more: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        return real(*given, **more)

    interrupted = 0
    for stop in range(len(whole.parts) // 2):
        left = stop
        with monkeypatch.context() as patch:
            patch.setattr(curate.raw.row_writer, "commit", commit)
            try:
                read(source, tmp_path / "cut")
            except KeyboardInterrupt:
                interrupted += 1
    assert interrupted > 3
    assert read(source, tmp_path / "cut").files == whole.files
    assert tree(tmp_path / "cut") == tree(tmp_path / "whole")
    assert max(part.rows for part in whole.parts) == 7
    assert all(part.read()["source"].n_unique() == 1 for part in whole.parts)


def test_a_limit_takes_the_first_records_in_file_order(source: Path, tmp_path: Path) -> None:
    result = read(source, tmp_path / "work", limit=60)
    check_law(result)
    assert [(file.source, file.records) for file in result.files] == [("chat.txt", 40), ("forum/a.jsonl.gz", 20)]
    assert {"name": "table.csv", "reason": "limit"} in result.left_aside()
    assert set(rows_of(result)["id"]) < set(rows_of(read(source, tmp_path / "work"))["id"])


def test_too_many_broken_records_refuse_the_input(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "bad.jsonl").write_text('{"text": "fine"}\n' + "{oops}\n" * 9)
    with pytest.raises(DataError, match=r"bad.jsonl: 9 of 10 records .*quarantine_limit 0.5"):
        read(source, tmp_path / "work")
    assert read(source, tmp_path / "work", quarantine_limit=0.95).totals().quarantined == 9


def test_a_column_that_a_recipe_names_wrongly_stops_the_build(source: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"table.csv has no column 'txt'; did you mean 'text'"):
        read(source, tmp_path / "work", sources=(SourceSettings(match="table*", columns={"text": "txt"}),))


@pytest.mark.parametrize("match", ["tabel.csv", "forum/*.csv", "table.csv/posts"])
def test_a_source_of_the_recipe_that_fits_no_file_is_refused_by_its_pattern(source: Path, tmp_path: Path, match: str) -> None:
    with pytest.raises(RecipeError, match=rf"sources: match: no file fits '{re.escape(match)}'"):
        read(source, tmp_path / "work", sources=[SourceSettings(match=match, labels={"1": False, "0": True})])


def test_a_file_that_may_not_be_read_is_left_aside(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = curate.raw.ingest.sha256

    def refuse(path: Path) -> str:
        if path.name == "chat.txt":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(curate.raw.ingest, "sha256", refuse)
    result = read(source, tmp_path / "work")
    assert {"name": "chat.txt", "reason": "unreadable"} in result.left_aside()
    assert len(result.files) == 2


def test_a_recipe_can_say_the_format(source: Path, tmp_path: Path) -> None:
    result = read(source, tmp_path / "work", sources=(SourceSettings(match="table.csv", format="txt"),))
    assert [(file.format, file.records) for file in result.files][-1] == ("txt", 31)


def test_mutated_files_never_stop_a_build_and_never_lose_a_record(tmp_path: Path) -> None:
    chance = random.Random(23)
    seeds: Sequence[bytes] = (
        b'{"text": "hello there my friend", "label": "toxic", "id": 3, "parent_id": 2}\n' * 9,
        json.dumps([{"prompt": "a", "completion": "b", "votes": ["ok", "toxic"]}] * 9).encode(),
        b'text,is_toxic\n"a, b",1\n"c\nd",0\ne,\n' * 5,
        b"2021-06-18 20:44 - a: makan?\n2021-06-18 20:45 - b: can\nmore\n" * 6,
        "\ufeffone text\nanother text\u2028here\n".encode("utf-16-le") * 5,
    )
    source = tmp_path / "source"
    source.mkdir()
    for at in range(50):
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.randrange(1, 5)):
            place = chance.randrange(len(data))
            data[place : place + chance.randrange(0, 4)] = bytes(chance.randrange(256) for _ in range(chance.randrange(0, 4)))
        (source / f"{at}").write_bytes(bytes(data))
    result = read(source, tmp_path / "work", quarantine_limit=1.0)
    check_law(result)
    assert rows_of(result)["id"].n_unique() == rows_of(result).height
    assert stat.S_IMODE((tmp_path / "work").stat().st_mode) == 0o700


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data sets are not on this machine")
@pytest.mark.parametrize(
    ("folder", "records", "rows", "labelled"),
    [
        ("surge_toxicity", 999, 999, 999),
        ("hh_rlhf_harmless_dev", 1708, 3408, 0),
        ("self_instruct", 427, 427, 0),
        ("messy_dump_dev", 1519, 1563, None),
    ],
)
def test_real_folders_give_what_their_pages_say(
    tmp_path: Path, folder: str, records: int, rows: int, labelled: int | None
) -> None:
    result = read(DATA / folder, tmp_path / "work")
    check_law(result)
    assert (result.totals().read, result.totals().rows) == (records, rows)
    assert labelled is None or sum(file.labelled for file in result.files) == labelled


def test_labels_that_no_row_is_given_are_counted_and_the_receipt_keeps_the_count(tmp_path: Path) -> None:
    source = tmp_path / "raw"
    source.mkdir()
    talk = {"prompt": "which bus goes there", "response": "take the blue one lah", "prompt_label": "unsafe", "gpt4_label": "safe"}
    (source / "a.jsonl").write_text(json.dumps(talk) + "\n" + json.dumps(talk | {"response_label": "safe"}) + "\n")
    first, again = read(source, tmp_path / "work"), read(source, tmp_path / "work")
    assert first.files[0].abstained == {"a machine's word": 1, "label of the prompt: kept apart": 2}
    assert again.files == first.files and again.reread == ()
    assert [line.split(": ")[:2] for line in first.abstentions()] == [["a.jsonl", "labels given to no row"]]
    unused = pl.read_parquet(next((tmp_path / "work" / "unused").rglob("*.parquet")))
    assert "prompt_label" in unused["fields"][0]
