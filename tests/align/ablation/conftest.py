"""A small grid that is run once, and the recipe that asks for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from align.ablation.ablate import GridState, ablate, conclude
from align.ablation.grid import Grid, read_grid
from align.ablation.report.outcome import Outcome

RECIPE = """
name: grid
data: {pairs}
model: {{"builtin:tiny": {{vocab_size: 400, hidden_size: 32, layers: 1, epochs: 3, batch_size: 16}}}}
ablation:
  sizes: [8, 40]
  seeds: [0]
  objectives:
    - sft: {{batch_size: 8}}
    - kto: {{batch_size: 8}}
  steps: 2
  checkpoints: [1, 2]
  tuning: {{rates: [1.0e-3, 4.0e-3], extra: 1, suites: [{{heldout: {{max_prompts: 4}}}}, {{retention: {{max_rows: 3}}}}]}}
  contrasts: [kto - sft, sft+kto - kto]
eval:
  suites: [{{heldout: {{max_prompts: 12}}}}, {{retention: {{max_rows: 4}}}}]
  judge: {{lexicon: {{terms: {terms}}}}}
  sampling: {{max_new_tokens: 12}}
"""


@pytest.fixture(scope="session")
def recipe_file(pairs: Path, terms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "grid.yaml"
    path.write_text(RECIPE.format(pairs=pairs, terms=terms))
    return path


@pytest.fixture(scope="session")
def grid(recipe_file: Path) -> Grid:
    return read_grid(recipe_file)


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="session")
def finished(grid: Grid, runs: Path) -> GridState:
    return ablate(grid, runs, lambda line: None)


@pytest.fixture(scope="session")
def outcome(grid: Grid, finished: GridState) -> Outcome:
    return conclude(grid, finished)
