"""A second build encodes only the texts that are new, whatever else stands in their file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from curate.pipeline.build import build
from curate.pipeline.recipe import read_recipe
from curate.text.encoders import Vectors, vectors

RECIPE = "stages: [pii, exact_duplicates, column, encode, consensus: {labelers: [column]}]\npairing: [given, same_prompt]\n"


def write(place: Path, changed: str | None = None) -> None:
    lines = [
        {"prompt": f"where is stall {at}?", "completion": f"turn {side} at pillar {at}", "is_toxic": int(side == "left")}
        for at in range(40)
        for side in ("left", "right")
    ]
    if changed is not None:
        lines[31]["completion"] = changed
    (place / "raw").mkdir(exist_ok=True)
    (place / "raw/stalls.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (place / "recipe.yaml").write_text(RECIPE)


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text that the model itself is given, from here on."""
    seen: list[str] = []
    by_length: Callable[..., Vectors] = vectors.by_length

    def watched(texts: list[str], *others: object) -> Vectors:
        seen.extend(texts)
        return by_length(texts, *others)

    monkeypatch.setattr(vectors, "by_length", watched)
    return seen


def test_a_second_build_with_one_changed_line_encodes_that_line_alone(tmp_path: Path, encoded: list[str]) -> None:
    write(tmp_path)
    recipe = read_recipe(tmp_path / "recipe.yaml")
    build(tmp_path / "raw", tmp_path / "out", recipe)
    assert len(encoded) == len(set(encoded)) == 120  # eighty completions, forty prompts
    encoded.clear()
    write(tmp_path, changed="ask the uncle beside the lift")
    manifest = build(tmp_path / "raw", tmp_path / "out", recipe).manifest.to_json()
    assert encoded == ["ask the uncle beside the lift"]
    assert next(stage["rows_in"] for stage in manifest["stages"] if stage["stage"] == "encode") == 80
