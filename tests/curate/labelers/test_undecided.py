"""Cheap first: which rows an expensive labeler is asked about, and that a build asks it about no other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from curate.core.config import build as build_config
from curate.core.errors import RecipeError
from curate.pipeline.build import build
from curate.pipeline.recipe import read_recipe
from curate.stages.undecided import Undecided

SCORES = [0.5, 0.2, 0.8, 0.19, 0.81, None, 0.55, 0.45, 0.5, 0.31]


def chosen(rows: pl.DataFrame, **options: Any) -> set[str]:
    stage = Undecided(**options)
    keys = stage.keys(rows)
    said = stage.decide(stage.edges(keys.buckets, keys.payload), rows)
    assert said["reason"].null_count() == rows.height and set(stage.writes) <= set(said.columns)
    return set(rows.filter(said["undecided"])["id"])


def scored(scores: list[float | None] = SCORES, **more: list[Any]) -> pl.DataFrame:
    columns = {"id": [f"{at:x}" for at in range(len(scores))], "score_head": scores, "toxic": [None] * len(scores)} | more
    return pl.DataFrame(columns, schema_overrides={"score_head": pl.Float32, "score_ngram": pl.Float32, "toxic": pl.Boolean})


def test_rows_in_the_band_are_undecided_ends_included() -> None:
    assert chosen(scored()) == set("0126789")
    assert chosen(scored(), band=(0.4, 0.6)) == set("0678")


def test_the_budget_goes_to_the_least_certain_and_ties_go_by_id() -> None:
    assert chosen(scored(), max_rows=2) == set("08")
    assert chosen(scored(), max_rows=4) == set("0678")
    assert chosen(scored([0.5] * 5), max_rows=3) == set("012")
    assert chosen(scored(), max_rows=0) == set()


def test_neither_parts_nor_order_change_the_choice() -> None:
    rows = scored()
    for seed in range(5):
        assert chosen(rows.sample(fraction=1, shuffle=True, seed=seed), max_rows=3) == chosen(rows, max_rows=3)


def test_what_people_labelled_is_decided() -> None:
    assert chosen(scored(toxic=[True, None, None, None, None, None, False, None, None, None])) == set("12789")


def test_some_that_people_labelled_are_asked_about_beside_the_budget_to_measure_who_is_asked() -> None:
    judged = scored(toxic=[True, False, None, True, None, None, False, None, None, None])
    assert chosen(judged, max_rows=2, judged=2) == set("78") | set("06")
    assert chosen(judged, max_rows=0, judged=9) == set("0136"), "the band is for rows that nobody decided"
    assert chosen(judged.sample(fraction=1, shuffle=True, seed=3), max_rows=2, judged=2) == set("7806")


def test_labelers_that_contradict_each_other_leave_a_row_undecided() -> None:
    rows = scored([0.95, 0.95, 0.9, 0.1, None], score_ngram=[0.05, 0.97, None, 0.2, None])
    assert chosen(rows, labelers=("head", "ngram")) == {"0"}


def test_a_band_that_is_upside_down_is_refused() -> None:
    with pytest.raises(RecipeError, match="low first"):
        build_config(Undecided, {"band": [0.8, 0.2]}, "test")


RECIPE = """
stages:
  - pii
  - column
  - ngram
  - undecided: {labelers: [ngram], band: [0.0, 1.0], max_rows: 7}
  - hf: {model: MODEL, labels: {rude: insults, calm: non_toxic}, only: undecided}
  - consensus: {labelers: [column, hf, ngram]}
pairing: [same_prompt]
"""


def test_a_build_asks_the_expensive_labeler_within_its_budget(tiny_bert: Any, tmp_path: Path) -> None:
    model = tiny_bert(tmp_path / "model", id2label={0: "rude", 1: "calm"}, num_labels=2)
    texts = [f"the bus {word} is late" for word in "abcdefghijklmnopqrst"]
    lines = [{"prompt": "why?", "completion": text, "is_toxic": at % 2 if at < 6 else None} for at, text in enumerate(texts)]
    (tmp_path / "raw").mkdir()
    for name, some in (("one", lines[:9]), ("two", lines[9:])):
        (tmp_path / "raw" / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in some))
    (tmp_path / "recipe.yaml").write_text(RECIPE.replace("MODEL", str(model)))
    manifest = build(tmp_path / "raw", tmp_path / "out", read_recipe(tmp_path / "recipe.yaml")).manifest.to_json()
    corpus = pl.read_parquet(tmp_path / "out" / "corpus" / "*.parquet")
    assert corpus["score_hf"].is_not_null().sum() == 7
    assert corpus.filter(pl.col("given").is_not_null())["score_hf"].null_count() == 6
    assert manifest["models"]["hf"]
    assert corpus["score_hf_insults"].is_not_null().sum() == 7
    (line,) = (tmp_path / "out" / "figures" / "categories.csv").read_text().splitlines()[1:]
    assert line.startswith("insults,hf,7,")
    assert "hf_insults" not in (tmp_path / "out" / "figures" / "agreement.csv").read_text()
    before = (corpus["score_ngram"] - 0.5).abs()
    asked = corpus["given"].is_null() & corpus["score_hf"].is_not_null()
    passed_over = corpus["given"].is_null() & corpus["score_hf"].is_null()
    assert before.filter(asked).max() <= before.filter(passed_over).min()
    assert corpus.filter(asked)["why"].str.contains("hf").all()  # it had its say where it was asked, and nowhere else
    assert not corpus.filter(passed_over)["why"].str.contains("hf").any()


def test_an_expensive_labeler_without_the_choice_before_it_is_refused(tmp_path: Path) -> None:
    recipe = RECIPE.replace("  - undecided: {labelers: [ngram], band: [0.0, 1.0], max_rows: 7}\n", "")
    (tmp_path / "recipe.yaml").write_text(recipe.replace("MODEL", str(tmp_path)))
    with pytest.raises(RecipeError, match="put 'undecided' before it"):
        read_recipe(tmp_path / "recipe.yaml")
