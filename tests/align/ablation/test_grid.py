"""What a recipe may ask of a grid."""

from __future__ import annotations

from pathlib import Path

import pytest

from align.ablation.grid import read_grid
from curate.core.errors import RecipeError


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("ablation.contrasts=[kto - ipo]", "names no method 'ipo'"),
        ("ablation.checkpoints=[2, 3]", "end at the step cap"),
        ("ablation.tuning.seed=0", "is one of the grid's seeds"),
        ("ablation.objectives=[{kto: {learning_rate: 1e-4}}]", "learning_rate is the grid's to set"),
        ("ablation.objectives=[kto, kto]", "named twice"),
        ("ablation.objectives=[kto]", "needs sft among the objectives"),
        ("ablation.sizes=[40, 8]", "must ascend"),
        ("ablation.size=[8]", "did you mean 'sizes'"),
        ("phases=[sft]", "take phases out"),
        ("ablation.tuning.suites=[heldout]", "tuning: suites: 'retention' is missing"),
        ("ablation.tuning.suites=[retention]", "tuning: suites: 'heldout' is missing"),
        ("eval.suites=[retention]", "eval: suites: 'heldout' is missing"),
    ],
)
def test_a_slip_in_the_recipe_is_named(recipe_file: Path, setting: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        read_grid(recipe_file, [setting])
