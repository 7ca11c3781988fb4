"""The whole build: identity, laws, additions, polarity, and nothing personal in what is shared."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from curate.pipeline.build import build
from curate.pipeline.recipe import read_recipe

RECIPE = """
stages: [repair, pii, language, length, exact_duplicates, column, near_duplicates, consensus: {labelers: [column]}]
pairing: [given, same_prompt]
"""
ONE, TWO = "one.jsonl", "forum/two.jsonl"


SYLLABLES = ("ba", "ki", "lo", "mu", "ne", "ra", "si", "to", "wu", "ya")


def rows(name: str, count: int) -> list[dict[str, Any]]:
    """Two replies to each of `count` prompts about invented places, no two of them near copies."""
    made = []
    for at in range(count):
        place = "".join(SYLLABLES[int(digit)] for digit in f"{at:03d}") * 2
        for text, toxic in ((f"Take the {place} bus lah {place}", 0), (f"Cannot find {place} meh idiot {place}", 1)):
            made.append({"prompt": f"Go {name} {place} how?", "completion": text, "is_toxic": toxic})
    return made


def write(path: Path, entries: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write(tmp_path / "raw" / ONE, rows("north", 120))
    write(tmp_path / "raw" / TWO, rows("south", 120))
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return tmp_path


def run(place: Path, **options: Any) -> dict[str, Any]:
    result = build(place / "raw", place / "out", read_recipe(place / "recipe.yaml"), **options)
    return result.manifest.to_json() | ({"unchanged": True} if result.unchanged else {})


def output(place: Path, name: str) -> pl.DataFrame:
    return pl.concat([pl.read_parquet(path) for path in sorted((place / "out" / name).glob("*.parquet"))])


def corpus(place: Path) -> pl.DataFrame:
    return output(place, "corpus")


def test_records_and_rows_add_up(place: Path) -> None:
    manifest = run(place)
    records = manifest["records"]
    assert records["read"] == 480 == records["mined"] + sum(records["skipped"].values()) + records["quarantined"]
    rows_in = records["rows"]
    for stage in manifest["stages"]:
        assert stage["rows_in"] == rows_in == stage["kept"] + sum(stage["dropped"].values())
        rows_in = stage["kept"]
    assert corpus(place).height == records["rows"]


def test_what_people_called_toxic_is_undesirable_and_rejected(place: Path) -> None:
    run(place)
    unpaired, paired = output(place, "unpaired"), output(place, "paired")
    insult = pl.col("completion").list.first().struct.field("content").str.contains("idiot")
    assert unpaired.filter(insult)["label"].any() is False
    assert unpaired.filter(~insult)["label"].all() is True
    assert set(unpaired["label"]) == {True, False} and paired.height > 50
    reply = {side: pl.col(side).list.first().struct.field("content") for side in ("chosen", "rejected")}
    sides = paired.select(**{side: text.str.contains("idiot") for side, text in reply.items()})
    assert not sides["chosen"].any() and sides["rejected"].all()


def test_adding_a_file_reads_only_that_file_and_moves_no_row_out_of_its_split(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(place)
    before = corpus(place).select("id", "split")
    write(place / "raw" / "three.jsonl", rows("east", 120))
    import curate.raw.ingest

    read: list[str] = []
    real = curate.raw.ingest.ingest_file

    def watched(task: Any, *arguments: Any) -> Any:
        read.append(task.file.name)
        return real(task, *arguments)

    monkeypatch.setattr(curate.raw.ingest, "ingest_file", watched)
    run(place)
    assert read == ["three.jsonl"]
    after = corpus(place).select("id", "split")
    assert after.height == before.height + 240
    assert (
        before.join(after, on="id", how="inner", suffix="_after").filter(pl.col("split") == pl.col("split_after")).height == 480
    )


def test_a_build_after_an_addition_equals_a_build_from_nothing(place: Path) -> None:
    run(place)
    write(place / "raw" / "three.jsonl", rows("east", 20))
    later = run(place)["fingerprint"]
    key = (place / "out.work" / "author.key").read_bytes()
    shutil.rmtree(place / "out")
    shutil.rmtree(place / "out.work")
    (place / "out.work").mkdir()
    (place / "out.work" / "author.key").write_bytes(key)
    assert run(place)["fingerprint"] == later


def test_inserting_a_line_renames_no_row(place: Path) -> None:
    run(place)
    before = set(corpus(place)["id"])
    path = place / "raw" / ONE
    path.write_text(json.dumps({"prompt": "New one?", "completion": "Ya new one lah", "is_toxic": 0}) + "\n" + path.read_text())
    run(place)
    assert len(set(corpus(place)["id"]) - before) == 1 and not before - set(corpus(place)["id"])


def test_personal_data_and_raw_bytes_stay_in_the_work_folder(place: Path) -> None:
    extra = {
        "prompt": "How to reach you?",
        "completion": "Call me at 9123 4567 or mail tan.ah.kow@example.com lah",
        "author": "tan_ah_kow",
    }
    path = place / "raw" / ONE
    path.write_text(path.read_text() + json.dumps(extra) + '\n{"prompt": "broken 9123 4567\n')
    manifest = run(place)
    assert manifest["records"]["quarantined"] == 1
    shared = b"".join(item.read_bytes() for item in (place / "out").rglob("*") if item.is_file())
    texts = " ".join(str(value) for value in corpus(place).rows())
    for canary in ("9123 4567", "tan.ah.kow", "tan_ah_kow", "91234567"):
        assert canary not in texts and canary.encode() not in shared
    assert "<PHONE_1>" in texts and "<EMAIL_1>" in texts
    assert (place / "out.work").stat().st_mode & 0o077 == 0


def test_the_folder_opens_with_datasets_as_it_is(place: Path) -> None:
    from datasets import load_dataset

    manifest = run(place)
    for name in ("paired", "unpaired", "sft"):
        opened = load_dataset(str(place / "out"), name, cache_dir=str(place / "cache"))
        sizes = manifest["dataset"][name]
        for split, dataset in opened.items():
            expected = sizes[split] if isinstance(sizes[split], int) else sum(sizes[split].values())
            assert dataset.num_rows == expected
    assert opened["train"].features["completion"] is not None


def test_a_limit_reads_the_first_records_only(place: Path) -> None:
    assert run(place, limit=50)["records"]["read"] == 50


def test_another_seed_deals_other_splits(place: Path) -> None:
    run(place)
    before = corpus(place).select("id", "split")
    (place / "recipe.yaml").write_text("seed: 1\n" + RECIPE)
    run(place)
    after = corpus(place).select("id", "split")
    assert before.height == after.height and not before.equals(after)


def test_the_work_folder_may_lie_on_another_disk(place: Path) -> None:
    shm = Path("/dev/shm")
    if not shm.is_dir() or shm.stat().st_dev == place.stat().st_dev:
        pytest.skip("there is no second disk here to put the work folder on")
    with tempfile.TemporaryDirectory(dir=shm) as work:
        run(place, work=Path(work) / "work")
        write(place / "raw" / "three.jsonl", rows("east", 20))
        run(place, work=Path(work) / "work")
    assert corpus(place).height == 520
    assert sorted(path.name for path in place.iterdir()) == ["out", "raw", "recipe.yaml"]
