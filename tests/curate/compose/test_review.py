"""Which rows a build asks people about: ids, scores and reasons, never a text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from curate.compose.compose import DatasetOptions, compose
from curate.compose.review import REVIEW
from curate.compose.splits import Splits
from curate.core.store import read_parquet
from curate.dataset.look.explain import explain

WHOLE = DatasetOptions(splits=Splits(validation=0, test=0))


def test_undecided_rows_are_queued_nearest_to_the_middle_first(rows: Any) -> None:
    frame = rows(
        {"text": "not bad lah", "toxicity": 0.1},
        {"text": "you fool", "toxicity": 0.9},
        {"text": "so so lor", "toxicity": 0.56},
        {"text": "can also", "toxicity": 0.49},
    )
    frame = frame.with_columns(
        toxic=pl.when(pl.col("toxicity").is_between(0.4, 0.6)).then(None).otherwise("toxic"),
        why=pl.format("head {} lies inside 0.4-0.6", pl.col("toxicity").round(2)),
    )
    made = compose(frame, WHOLE, [], 0)
    assert made.review.schema == pl.Schema(REVIEW)
    assert made.review["queue"].to_list() == ["undecided"] * 2
    assert made.review["why"].to_list() == ["head 0.49 lies inside 0.4-0.6", "head 0.56 lies inside 0.4-0.6"]
    asked = made.corpus.filter(pl.col("id").is_in(made.review["id"].implode()))
    assert asked["reason"].to_list() == ["abstained"] * 2 and asked["why"].null_count() == 0
    answered = compose(frame, WHOLE, [], 0, verdicts={made.review["id"][0]: False})
    assert answered.review["id"].to_list() == [made.review["id"][1]], "who was asked is not asked again"
    told = answered.corpus.filter(pl.col("id") == made.review["id"][0])
    assert told["why"].to_list() == ["a person reviewed it"]


def test_a_label_that_the_machines_contradict_is_queued(rows: Any) -> None:
    given = [{"text": f"text {at}", "toxicity": float(at % 2), "evidence": "human"} for at in range(20)]
    wrong = pl.col("completion") == "text 6"
    frame = rows(*given).with_columns(score_head=pl.when(wrong).then(0.97).otherwise(pl.col("toxicity") * 0.9))
    queue = compose(frame, WHOLE, [], 0).review
    assert queue.filter(pl.col("queue") == "suspect")["id"].to_list() == frame.filter(wrong)["id"].to_list()


def test_explain_says_why_a_row_has_its_label(dataset_folder: Path) -> None:
    row = read_parquet(dataset_folder / "corpus/part-00000.parquet").filter(pl.col("why").is_not_null()).row(0, named=True)
    assert f"why             {row['why']}" in explain(dataset_folder, row["id"])
