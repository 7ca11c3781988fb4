"""A raw folder of two rows, and a dataset of it that tests copy: a build of it takes a tenth of a second."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from curate.pipeline.build import BuildResult, build
from curate.pipeline.recipe import read_recipe

RECIPE = """
stages: [repair, pii, exact_duplicates, column, consensus: {labelers: [column]}]
pairing: [given, same_prompt]
"""
ROWS = (("Opens at ten lah", 0), ("Also don't know, so dumb", 1))

Rebuild = Callable[..., BuildResult]


@pytest.fixture(scope="session")
def small_built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`raw`, `recipe.yaml`, and the `out` and `out.work` of a build; to be copied, not changed."""
    place = tmp_path_factory.mktemp("small")
    (place / "raw").mkdir()
    rows = [{"prompt": "Is the shop open?", "completion": text, "is_toxic": toxic} for text, toxic in ROWS]
    (place / "raw" / "talk.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (place / "recipe.yaml").write_text(RECIPE)
    build(place / "raw", place / "out", read_recipe(place / "recipe.yaml"))
    return place


@pytest.fixture
def small(small_built: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(small_built, tmp_path / "small", symlinks=True))


@pytest.fixture
def rebuild(small: Path) -> Rebuild:
    """Build `out`, or another folder, with another seed than before."""
    seeds = iter(range(1, 1_000))

    def call(out: Path | None = None, *, work: Path | None = None, source: Path | None = None) -> BuildResult:
        (small / "recipe.yaml").write_text(f"seed: {next(seeds)}{RECIPE}")
        return build(source or small / "raw", out or small / "out", read_recipe(small / "recipe.yaml"), work=work)

    return call
