"""Training never shows what it will be measured on: overlaps are found, told with evidence and taken out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from curate.compose.contamination import Contamination, EvaluationSet, contamination, lines_of
from curate.core.errors import DataError
from curate.core.manifest.counts import OverlapCounts
from curate.core.schema import MESSAGE
from curate.dataset.verify import verify
from curate.pipeline.build import build
from curate.pipeline.recipe import read_recipe
from tests.conftest import Command

LONG = "the lift is spoilt again so must climb all eleven storeys with two bags of rice"
RECIPE = """
stages: [repair, pii, exact_duplicates, column, near_duplicates, consensus: {labelers: [column]}]
pairing: [same_prompt]
"""


def rows(*lines: tuple[str, str, str | None]) -> pl.DataFrame:
    """Rows of split, completion, prompt."""
    return pl.DataFrame(
        {
            "id": [f"row{at}" for at in range(len(lines))],
            "split": [split for split, _, _ in lines],
            "source": "a.jsonl",
            "locator": [f"line {at + 1}" for at in range(len(lines))],
            "completion": [text for _, text, _ in lines],
            "prompt": [[{"role": "user", "content": prompt}] if prompt else [] for *_, prompt in lines],
        },
        schema_overrides={"prompt": pl.List(MESSAGE)},
    )


def found(frame: pl.DataFrame, *against: EvaluationSet, **options: Any) -> list[tuple[str, str, str, str]]:
    hits, _ = contamination(frame, against, Contamination(**options), None)
    return list(hits.select("set", "id", "kind", "item").iter_rows())


def test_a_training_row_that_shares_words_with_the_held_out_split_is_named_with_its_evidence() -> None:
    frame = rows(("train", f"Wah, {LONG}, siao liao", None), ("train", "quite another thing", None), ("test", LONG, None))
    hits, counts = contamination(frame, (), Contamination(), None)
    (hit,) = hits.filter(pl.col("kind") == "grams").iter_rows(named=True)
    assert hit == {
        "set": "held_out",
        "id": "row0",
        "kind": "grams",
        "score": 1.0,
        "item": "row2",
        "source": "a.jsonl",
        "locator": "line 3",
    }
    assert counts == {"held_out": OverlapCounts(items=1, rows=1, grams=1, near=1, semantic=0)}


def test_near_copies_count_and_short_texts_prove_nothing() -> None:
    frame = rows(("train", "see you at the bus stop", None), ("train", "ok can lah", None), ("validation", "ok can lah", None))
    frame = pl.concat([frame, rows(("test", "see you at the bus stop!", None)).with_columns(id=pl.lit("held"))])
    assert found(frame) == [("held_out", "row0", "near", "held")]
    assert ("held_out", "row1", "near", "row2") in found(frame, least_chars=5)


def test_what_is_held_out_overlaps_only_training() -> None:
    assert not found(rows(("test", LONG, None), ("validation", LONG, None), ("background", LONG, None)))


def test_prompts_count_against_a_folder_but_not_within_the_build() -> None:
    frame = rows(("train", "some reply to this", LONG), ("test", "another one to it", f"{LONG} lah"))
    assert not found(frame)
    items = lines_of(rows(("", LONG, None)), prompts=True)
    assert ("set", "row0", "grams", "row0") in found(frame, EvaluationSet("set", items))


def test_a_text_that_was_mined_as_two_halves_is_compared_whole() -> None:
    words = LONG.split()
    halves = rows(("train", " ".join(words[6:]), " ".join(words[:6])))
    items = lines_of(rows(("", LONG, None)), prompts=True)
    hits, _ = contamination(halves, [EvaluationSet("s", items)], Contamination(), None)
    assert hits.select("kind", "score").rows() == [("grams", 1.0), ("near", 1.0)]


def test_vectors_say_what_words_do_not() -> None:
    lines = [("train", "cannot tahan this weather", None), ("train", "hello there my friend", None)]
    frame = rows(*lines, ("test", "so hot today, die", None))
    vectors = {"row0": [1, 0], "row1": [0, 1], "row2": [1, 0.125]}
    hits, counts = contamination(
        frame, (), Contamination(), lambda ids: np.array([vectors[name] for name in ids], np.float32).reshape(-1, 2)
    )
    assert hits.select("id", "kind", "item").rows() == [("row0", "semantic", "row2")]
    assert hits["score"][0] == pytest.approx(1 / np.sqrt(1 + 1 / 64)) and counts["held_out"].semantic == 1


SYLLABLES = ("ba", "ki", "lo", "mu", "ne", "ra", "si", "to", "wu", "ya")


def entries(count: int) -> list[dict[str, Any]]:
    """Replies about invented places, no two of them near copies."""
    made = []
    for at in range(count):
        place = "".join(SYLLABLES[int(digit)] for digit in f"{at:03d}") * 2
        for text, toxic in ((f"Take the {place} bus lah {place}", 0), (f"Cannot find {place} meh idiot {place}", 1)):
            made.append({"prompt": f"Go {place} how?", "completion": text, "is_toxic": toxic})
    return made


def write(path: Path, lines: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A build against a folder that holds one text in five of its training rows, and one personal number."""
    place = tmp_path_factory.mktemp("contamination")
    lines = [*entries(100), {"prompt": "call who?", "completion": f"{LONG} call 91234567", "is_toxic": 0}]
    write(place / "raw" / "one.jsonl", lines)
    write(place / "bench" / "cases.jsonl", [{"text": f"{line['completion']}!"} for line in lines[::5]])
    write(place / "bench" / "more" / "b.jsonl", [{"text": f"{LONG} call 81234567"}])
    (place / "recipe.yaml").write_text(RECIPE)
    return place, run(place)


def run(place: Path, out: str = "out", *sets: str) -> dict[str, Any]:
    settings = [f"against=[{place / 'bench'}]", *sets]
    result = build(place / "raw", place / out, read_recipe(place / "recipe.yaml", settings))
    return result.manifest.to_json() | ({"unchanged": True} if result.unchanged else {})


def corpus(place: Path, out: str = "out") -> pl.DataFrame:
    return pl.read_parquet(place / out / "corpus" / "*.parquet")


def test_rows_that_a_folder_holds_leave_training_only(built: tuple[Path, dict[str, Any]], curate: Command) -> None:
    place, manifest = built
    gone = corpus(place).filter(pl.col("reason") == "contaminated")
    (name,) = set(manifest["dataset"]["contamination"]) - {"held_out"}
    fact = manifest["dataset"]["contamination"][name]
    assert name.startswith("bench@") and fact["items"] == 42
    assert gone.height == fact["rows"] == manifest["dataset"]["dropped"]["contaminated"] > 20
    assert set(gone["split"]) == {"train"} and set(gone["stage"]) == {"compose"}
    hits = pl.read_parquet(place / "out" / "contamination" / "*.parquet")
    assert set(hits["id"]) == set(gone["id"]) and set(hits["source"]) <= {"cases.jsonl", "more/b.jsonl"}
    assert LONG in " ".join(gone["completion"]), "numbers of two people are one placeholder"
    said = curate("explain", place / "out", gone["id"][0])
    assert f"evaluation set {name}" in said.out and "contaminated" in said.out and "cases.jsonl" in said.out
    assert verify(place / "out") == []


def test_no_text_of_an_evaluation_set_leaves_the_work_folder(built: tuple[Path, dict[str, Any]]) -> None:
    place, _ = built
    only_there = "81234567"
    assert not any(only_there.encode() in path.read_bytes() for path in place.glob("out*/**/*") if path.is_file())
    assert [path.name for path in (place / "out.work" / "against").iterdir() if path.suffix != ".parquet"] == []


def test_the_same_folder_again_changes_nothing_and_another_content_does(built: tuple[Path, dict[str, Any]]) -> None:
    place, manifest = built
    assert run(place)["unchanged"]
    write(place / "bench" / "c.jsonl", [{"text": "something that nobody in this corpus said"}])
    again = run(place)
    (place / "bench" / "c.jsonl").unlink()
    assert not again.get("unchanged") and again["inputs"] != manifest["inputs"]
    assert run(place)["fingerprint"] == manifest["fingerprint"]


def test_without_removal_overlaps_are_only_reported(built: tuple[Path, dict[str, Any]]) -> None:
    place, manifest = built
    kept = run(place, "reported", "dataset.contamination.remove=false")
    assert kept["dataset"]["contamination"] == manifest["dataset"]["contamination"]
    assert "contaminated" not in kept["dataset"]["dropped"] and verify(place / "reported") == []


def test_verify_finds_what_a_build_would_have_removed(built: tuple[Path, dict[str, Any]]) -> None:
    from curate.core.schema import canonical, digest
    from curate.core.store import sha256, write_json, write_parquet

    place, _ = built
    manifest = run(place, "tampered")
    path = place / "tampered" / "corpus" / "part-00000.parquet"
    frame = pl.read_parquet(path)
    train = frame.filter(pl.col("split") == "train", pl.col("reason").is_null())["id"][0]
    held = frame.filter(pl.col("split") == "test", pl.col("reason").is_null())["id"][0]
    frame = frame.with_columns(completion=pl.when(pl.col("id").is_in([train, held])).then(pl.lit(LONG)).otherwise("completion"))
    write_parquet(path, frame)
    said = {key: value for key, value in manifest.items() if key not in {"fingerprint", "unchanged"}}
    said["files"]["corpus/part-00000.parquet"] |= {"sha256": sha256(path), "bytes": path.stat().st_size}
    write_json(place / "tampered" / "manifest.json", said | {"fingerprint": digest(canonical(said), size=16)})
    assert f"train: 1 rows overlap the held-out split, first {train}" in verify(place / "tampered")


def test_forgetting_takes_a_text_out_of_the_kept_sets_too(built: tuple[Path, dict[str, Any]], curate: Command) -> None:
    place, _ = built
    run(place, "forgetting")
    name, text = corpus(place, "forgetting").filter(pl.col("completion").str.contains(LONG)).select("id", "completion").row(0)
    (kept,) = (place / "forgetting.work" / "against").glob("*.parquet")
    assert pl.read_parquet(kept)["text"].is_in([text]).any()
    (place / "ids.txt").write_text(name)
    assert curate("forget", place / "forgetting", "--ids", place / "ids.txt").code == 0
    assert verify(place / "forgetting") == []
    (kept,) = (place / "forgetting.work" / "against").glob("*.parquet")
    assert not pl.read_parquet(kept)["text"].is_in([text]).any()
    run(place, "forgetting")
    (kept,) = (place / "forgetting.work" / "against").glob("*.parquet")
    assert not pl.read_parquet(kept)["text"].is_in([text]).any()


def test_a_folder_that_is_not_there_is_said(built: tuple[Path, dict[str, Any]], curate: Command) -> None:
    place, _ = built
    recipe = place / "recipe.yaml"
    said = curate("build", "--source", place / "raw", "--out", place / "x", "--recipe", recipe, "--against", place / "absent")
    assert said.code == DataError.exit_code and "--against" in said.err and "no such folder" in said.err
