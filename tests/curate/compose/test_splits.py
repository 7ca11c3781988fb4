"""A row's split depends on nothing but itself, and held-out rows that training shows are purged."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from curate.compose import splits
from curate.compose.splits import BACKGROUND, Splits, assign, purge
from curate.core.config import build
from curate.core.errors import RecipeError


def many(count: int, **columns: Any) -> pl.DataFrame:
    frame = {
        "id": [f"{at:05}" for at in range(count)],
        "record": [f"record {at}" for at in range(count)],
        "source": "a.jsonl",
        "thread": None,
        "prompt_key": None,
    } | columns
    return pl.DataFrame(frame, schema_overrides={"thread": pl.String, "prompt_key": pl.UInt64})


def test_shares_are_what_was_asked_within_chance() -> None:
    found = dict(assign(many(20_000), Splits(validation=0.05, test=0.2), 0).value_counts().iter_rows())
    assert found["test"] == pytest.approx(4000, abs=250) and found["validation"] == pytest.approx(1000, abs=130)


def test_rows_added_later_move_no_row() -> None:
    few = many(
        500, thread=[f"thread {at // 3}" if at % 2 else None for at in range(500)], prompt_key=[at // 4 for at in range(500)]
    )
    added = many(700, id=[f"new {at}" for at in range(700)], thread=[f"thread {at}" for at in range(700)])
    before = assign(few, Splits(), 0)
    after = assign(pl.concat([added, few]).reverse(), Splits(), 0).reverse().tail(500)
    assert before.equals(after)


def test_a_split_never_changes_from_one_version_to_the_next() -> None:
    golden = ["train", "train", "train", "validation", "train", "train", "test", "train", "test", "train", "train", "train"]
    assert assign(many(12), Splits(), 0).to_list() == golden


def test_a_thread_stays_together_and_so_do_a_prompt_and_a_record() -> None:
    rows = many(300, thread=[f"t{at % 20}" for at in range(300)])
    assert (
        rows.with_columns(split=assign(rows, Splits(), 0)).group_by("thread").agg(pl.col("split").n_unique())["split"].max() == 1
    )
    rows = many(300, prompt_key=[at % 20 for at in range(300)])
    assert (
        rows.with_columns(split=assign(rows, Splits(), 0)).group_by("prompt_key").agg(pl.col("split").n_unique())["split"].max()
        == 1
    )
    rows = many(300, record=[f"r{at % 20}" for at in range(300)])
    assert (
        rows.with_columns(split=assign(rows, Splits(), 0)).group_by("record").agg(pl.col("split").n_unique())["split"].max() == 1
    )


def test_another_seed_deals_anew() -> None:
    assert not assign(many(100), Splits(), 0).equals(assign(many(100), Splits(), 1))


def test_never_train_rows_are_test_or_background_about_half_each() -> None:
    found = assign(many(2000, source="held_out/b.jsonl"), Splits(), 0)
    assert set(found) == {"test", BACKGROUND}
    assert (found == "test").sum() == pytest.approx(1000, abs=110)


def test_shares_that_leave_nothing_to_train_on_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"r\.yaml.*leave nothing to train on"):
        build(Splits, {"validation": 0.5, "test": 0.5}, "r.yaml")


def test_the_shares_are_5_and_20_of_100_unless_they_are_set() -> None:
    assert (Splits().validation, Splits().test, Splits().never_train) == (0.05, 0.2, ("held_out/*",))
    assert set(assign(many(200), Splits(validation=0.0, test=0.0), 0)) == {"train"}


@pytest.mark.parametrize("share", [{"validation": 1.0}, {"test": 1.0}, {"validation": -0.1}, {"test": -0.1}])
def test_a_share_that_is_none_is_refused_by_name(share: dict[str, float]) -> None:
    ((name, value),) = share.items()
    bound = "less than 1" if value > 0 else "greater than or equal to 0"
    with pytest.raises(RecipeError, match=rf"{name}: input should be {bound}, found"):
        build(Splits, share, "r.yaml")


def test_a_unit_whose_number_is_the_share_itself_lies_beyond_it(monkeypatch: pytest.MonkeyPatch) -> None:
    number = splits._uniform("split:record:record 6", 0)
    assert number < 0.2
    assert assign(many(12), Splits(test=number), 0)[6] == "validation"
    assert assign(many(12), Splits(test=number / 2, validation=number / 2), 0)[6] == "train"
    monkeypatch.setattr(splits, "NEVER_TRAIN_TEST_SHARE", splits._uniform("never_train:record:record 0", 0))
    assert assign(many(1, source="held_out/b.jsonl"), Splits(), 0).to_list() == [BACKGROUND]


def test_a_source_is_never_trained_on_when_any_pattern_names_it() -> None:
    rows = many(40, source=["a.jsonl", "b/x.csv", "held_out/c.jsonl", "B/x.csv"] * 10)
    chosen = assign(rows, Splits(validation=0.0, test=0.0, never_train=("b/*", "held_out/*")), 0)
    held = rows["source"].is_in(["b/x.csv", "held_out/c.jsonl"])
    assert set(chosen.filter(held)) == {"test", BACKGROUND} and set(chosen.filter(~held)) == {"train"}


def test_of_several_rows_that_show_it_the_smallest_id_is_named_and_the_first_reason() -> None:
    rows = placed(
        {"split": "train", "near_cluster": "x"},
        {"split": "train", "near_cluster": "x", "exact_cluster": "y"},
        {"split": "test", "near_cluster": "x"},
        {"split": "test", "near_cluster": "x", "exact_cluster": "y"},
    )
    assert purge(rows).rows() == [("row2", "test", "near", "row0"), ("row3", "test", "exact", "row1")]


def placed(*lines: dict[str, Any]) -> pl.DataFrame:
    kinds = dict.fromkeys(("id", "split", "exact_cluster", "near_cluster", "semantic_cluster"), pl.String)
    return pl.DataFrame(
        [{"id": f"row{at}", "prompt_key": None} | line for at, line in enumerate(lines)],
        schema={**kinds, "prompt_key": pl.UInt64},
        infer_schema_length=None,
    )


@pytest.mark.parametrize("column", ["exact_cluster", "near_cluster", "semantic_cluster"])
def test_a_held_out_row_whose_cluster_stands_in_train_is_purged(column: str) -> None:
    rows = placed(
        {"split": "train", column: "x"}, {"split": "test", column: "x"}, {"split": "validation", column: "x"}, {"split": "test"}
    )
    why = column.removesuffix("_cluster")
    assert purge(rows).rows() == [("row1", "test", why, "row0"), ("row2", "validation", why, "row0")]


def test_a_held_out_row_whose_prompt_stands_in_train_is_purged() -> None:
    rows = placed({"split": "train", "prompt_key": 5}, {"split": "test", "prompt_key": 5}, {"split": "test", "prompt_key": 6})
    assert purge(rows).rows() == [("row1", "test", "prompt", "row0")]


def test_between_validation_and_test_test_wins() -> None:
    rows = placed({"split": "validation", "near_cluster": "x"}, {"split": "test", "near_cluster": "x"})
    assert purge(rows).rows() == [("row0", "validation", "near", "row1")]


def test_a_purged_test_row_purges_no_validation_row() -> None:
    rows = placed(
        {"split": "train", "prompt_key": 1},
        {"split": "test", "prompt_key": 1, "near_cluster": "x"},
        {"split": "validation", "near_cluster": "x"},
    )
    assert purge(rows)["id"].to_list() == ["row1"]


def test_rows_without_prompt_or_cluster_share_nothing() -> None:
    assert purge(placed({"split": "train"}, {"split": "test"}, {"split": "validation"})).is_empty()
