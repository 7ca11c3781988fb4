"""What other thresholds would drop is read from stored similarities, by the rule that the stage itself follows."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

from curate.core.errors import DataError
from curate.dataset.look.frames import Dataset
from curate.dataset.look.show import show
from curate.dataset.verify import verify
from curate.pipeline.build import build
from curate.pipeline.recipe import read_recipe


def counts(said: str) -> dict[str, str]:
    return dict(re.findall(r"^([\d.]+)(?: \*)?  +((?:at least )?[\d,]+)", said, flags=re.M))


def test_the_table_of_stages_is_the_manifests(dataset_folder: Path, manifest: dict[str, Any]) -> None:
    said = show(dataset_folder)
    for one in manifest["stages"]:
        line = next(line.split() for line in said.splitlines() if line.startswith(one["stage"]))
        assert line[1:3] == [f"{one['rows_in']:,}", f"{one['kept']:,}"]
    assert manifest["dataset"]["dropped"] and all(reason in said for reason in manifest["dataset"]["dropped"])


def test_the_threshold_that_was_used_drops_what_the_build_dropped(dataset_folder: Path, manifest: dict[str, Any]) -> None:
    said = show(dataset_folder, "near_duplicates", threshold=0.8)
    (line,) = [line for line in said.splitlines() if line.startswith("0.8 *")]
    assert line.split()[2] == str(sum(manifest["stages"][0]["dropped"].values())) == "3"


def test_each_threshold_of_the_grid_has_its_count(dataset_folder: Path) -> None:
    said = show(dataset_folder, "near_duplicates")
    assert counts(said) == {"0.75": "at least 3", "0.8": "3", "0.85": "3", "0.9": "3", "0.95": "0", "1": "0"}
    assert "0.7" in show(dataset_folder, "near_duplicates", threshold=0.7)
    assert counts(show(dataset_folder, "near_duplicates", threshold=0.7)) == {"0.7": "at least 4"}


def test_texts_are_shown_only_when_asked_for(dataset_folder: Path) -> None:
    assert "the stall" not in show(dataset_folder, "near_duplicates")
    assert "the stall" in show(dataset_folder, "near_duplicates", show_text=True)


def test_a_stage_without_similarities_names_those_that_have_some(dataset_folder: Path) -> None:
    with pytest.raises(DataError, match="--stage length: .*stages that have some: near_duplicates"):
        show(dataset_folder, "length")
    with pytest.raises(DataError, match="--threshold 0.8: of which stage"):
        show(dataset_folder, threshold=0.8)


RECIPE = """
stages:
  - repair
  - pii
  - exact_duplicates
  - repeated_completions: {most: 2}
  - column
  - near_duplicates: {threshold: 0.7}
  - consensus: {labelers: [column]}
pairing: [given, same_prompt]
"""


def test_a_real_build_verifies_and_its_own_threshold_drops_what_it_dropped(tmp_path: Path) -> None:
    draw = random.Random(0)
    words = "the stall near my place got very good noodles and the queue is long one so go early ok".split()
    raw = tmp_path / "raw"
    raw.mkdir()
    with (raw / "a.jsonl").open("w") as file:
        for at in range(200):
            changed = [word if draw.random() > 0.06 else draw.choice(words) for word in words]
            line = {"prompt": f"where to eat, part {at % 20}?", "completion": " ".join(changed), "is_toxic": at % 3 == 0}
            file.write(json.dumps(line) + "\n")
        for at in range(5):
            line = {"prompt": f"shall we meet on day number {at * 1111}?", "completion": "can", "is_toxic": False}
            file.write(json.dumps(line) + "\n")
    (tmp_path / "r.yaml").write_text(RECIPE)
    made = build(raw, tmp_path / "out", read_recipe(tmp_path / "r.yaml")).manifest.to_json()
    assert verify(tmp_path / "out") == []
    for stage, used in (("exact_duplicates", 1), ("near_duplicates", 0.7)):
        dropped = sum(next(one["dropped"] for one in made["stages"] if one["stage"] == stage).values())
        said = show(tmp_path / "out", stage, threshold=used)
        assert counts(said)[f"{used:g}"] == str(dropped) and "!" not in said
    assert dropped > 20
    capped = next(one["dropped"]["repeated_completion"] for one in made["stages"] if one["stage"] == "repeated_completions")
    assert capped >= 3 and re.search(rf"^2 \* +{capped}$", show(tmp_path / "out", "repeated_completions"), flags=re.M)
    suspect = made["dataset"]["suspect"]["near_duplicates"]
    assert suspect > 0
    assert f"suspect: {suspect:,} pairs" in show(tmp_path / "out")
    assert f"suspect: {suspect:,} pairs" in show(tmp_path / "out", "near_duplicates")


TWINS = """
from dataclasses import dataclass

import polars as pl

from curate.core.contracts import Keys
from curate.text.similarity.leaders import keep_leaders


@dataclass(frozen=True)
class Twins:
    threshold: float = 0.9
    reads = ("completion",)
    writes = {"twins_cluster": pl.String}

    def keys(self, rows):
        place = pl.Series(range(rows.height), dtype=pl.UInt32)
        return Keys(pl.DataFrame({"row": place}).with_columns(bucket=pl.lit(0, pl.UInt64)), rows.select("completion"))

    def edges(self, buckets, payload):
        texts = payload["completion"].to_list()
        pairs = [(texts.index(text), at, 1.0) for at, text in enumerate(texts) if texts.index(text) < at]
        return pl.DataFrame(pairs, schema={"a": pl.UInt32, "b": pl.UInt32, "score": pl.Float32}, orient="row")

    def decide(self, edges, rows):
        return keep_leaders(edges, rows, self.threshold, "twin", "twins_cluster")
"""


def test_a_stage_of_ones_own_is_asked_for_by_its_recipe_word(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    lines = [{"prompt": f"what time {at} ah?", "completion": f"at {at // 2} lah", "is_toxic": at // 2 % 2} for at in range(40)]
    (raw / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "twins.py").write_text(TWINS)
    recipe = "stages: [repair, pii, column, consensus: {labelers: [column]}, 'twins:Twins']\npairing: [same_prompt]\n"
    (tmp_path / "r.yaml").write_text(recipe)
    build(raw, tmp_path / "out", read_recipe(tmp_path / "r.yaml"))
    shown = show(tmp_path / "out", "twins:Twins")
    assert "twins:Twins: 40 rows in, 20 compared pairs stored" in shown
    assert Dataset(tmp_path / "out").rethreshold("twins:Twins", 0.9).height == 20
    for ask in (show, lambda folder, stage: Dataset(folder).rethreshold(stage, 0.9)):
        with pytest.raises(DataError) as caught:
            ask(tmp_path / "out", "twins-Twins")
        assert caught.value.hint and "twins:Twins" in caught.value.hint
