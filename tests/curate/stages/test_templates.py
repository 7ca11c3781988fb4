"""Rows that fill in one template are told so, and no other row; held-out ones leave when training shows the template."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from curate.compose.splits import purge
from curate.stages.duplicates.templates import Templates

PLACES = ("bishan", "yishun", "tampines", "the big market behind our block", "jurong", "clementi", "toa payoh")
PARCELS = [f"Hi, your parcel is waiting at {place}, please collect it before {at} pm" for at, place in enumerate(PLACES)]
LOOSE = [
    "wah the queue at the stall so long today",
    "your parcel is here already, faster come",
    "please collect it before the shop closes or they throw",
    "same text each time and nothing to fill in at all",
]


def clusters(texts: list[str], **options: float) -> list[str | None]:
    stage = Templates(**options)  # type: ignore[arg-type]
    frame = pl.DataFrame({"id": [f"row{at}" for at in range(len(texts))], "completion": texts})
    keys = stage.keys(frame)
    said = stage.decide(stage.edges(keys.buckets, keys.payload), frame)
    assert said["reason"].null_count() == len(texts)
    return said["template_cluster"].to_list()


def test_rows_of_one_template_share_a_cluster_and_others_have_none() -> None:
    assert clusters([*PARCELS, *LOOSE]) == ["row0"] * len(PARCELS) + [None] * len(LOOSE)


def test_a_form_that_few_rows_fill_in_is_no_template() -> None:
    assert clusters(PARCELS[:4]) == [None] * 4
    assert clusters(PARCELS[:4], least=4) == ["row0"] * 4


def test_copies_without_a_slot_are_duplicates_and_no_template() -> None:
    assert clusters([LOOSE[3]] * 9) == [None] * 9


def test_numbers_and_placeholders_are_slots() -> None:
    texts = [f"call me at <PHONE_{at}> about the blue sofa bed, {at} dollars only" for at in range(1, 7)]
    assert set(clusters(texts)) == {"row0"}


def test_two_templates_are_two() -> None:
    other = [f"I have a table for {at} at {place} tonight, who wants to join us" for at, place in enumerate(PLACES)]
    assert clusters([*PARCELS, *other]) == ["row0"] * len(PARCELS) + [f"row{len(PARCELS)}"] * len(other)


def test_empty_texts_and_no_rows_are_fine() -> None:
    assert clusters(["", "k", ""]) == [None] * 3 and clusters([]) == []


def test_a_held_out_row_whose_template_stands_in_training_is_purged() -> None:
    rows = pl.DataFrame(
        {"id": ["a", "b", "c"], "split": ["train", "test", "test"], "prompt_key": None, "template_cluster": ["a", "a", None]},
        schema_overrides={"prompt_key": pl.UInt64},
    )
    assert purge(rows).rows() == [("b", "test", "template", "a")]


@pytest.mark.parametrize("show_text", [False, True])
def test_show_lists_templates_by_size(tmp_path: Path, show_text: bool) -> None:
    import json

    from curate.dataset.look.show import show
    from curate.pipeline.build import build
    from curate.pipeline.recipe import read_recipe

    lines = [{"completion": text, "toxic": at % 2} for at, text in enumerate([*PARCELS, *LOOSE])]
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    stages = "[repair, pii, templates, column, consensus: {labelers: [column]}]"
    (tmp_path / "r.yaml").write_text(f"stages: {stages}\npairing: [same_prompt]")
    build(tmp_path / "raw", tmp_path / "out", read_recipe(tmp_path / "r.yaml"))
    said = show(tmp_path / "out", stage="templates", show_text=show_text)
    assert "1 templates" in said and "7 rows" in said and ("parcel" in said) == show_text
