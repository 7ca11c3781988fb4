"""A grid is priced, and what the data cannot give is said, before anything is trained."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from align.ablation.grid import read_grid
from align.ablation.price import price
from curate.core.errors import DataError

GPU = Path(__file__).resolve().parents[3] / "benchmarks" / "ablation_gpu.sh"
GPU_SAYS = "7 methods x 2 sizes (8, 16 labelled completions) x 6 seeds = 84 cells, and 84 trials"


def gpu_toy(pairs: Path, terms: Path) -> list[str]:
    return [
        f"data={pairs}",
        "model={builtin:tiny: {vocab_size: 400, hidden_size: 32, layers: 1}}",
        "ablation.sizes=[8, 16]",
        f"eval.judge={{lexicon: {{terms: {terms}}}}}",
        "eval.sampling.max_new_tokens=8",
    ]


def test_the_price_says_first_what_the_data_cannot_give(recipe_file: Path, runs: Path) -> None:
    with pytest.raises(DataError, match="sizes: 4,096 labelled completions asked for, .* take smaller sizes"):
        price(read_grid(recipe_file, ["ablation.sizes=[8, 4096]"]), runs, 1)


def test_the_recipe_for_a_gpu_is_priced_at_toy_size(pairs: Path, terms: Path, tmp_path: Path) -> None:
    """Everything up to the first training run: data, model, pool, price."""
    recipe = GPU.parents[1] / "recipes" / "ablation_gpu.yaml"
    assert GPU_SAYS in price(read_grid(recipe, gpu_toy(pairs, terms)), tmp_path, 1)


@pytest.mark.skipif("MARGINS_TORTURE" not in os.environ, reason="a process that starts from nothing: make torture")
def test_the_script_for_a_gpu_runs_at_toy_size(pairs: Path, terms: Path, tmp_path: Path) -> None:
    settings = [part for one in gpu_toy(pairs, terms) for part in ("--set", one)]
    command = ["bash", str(GPU), str(pairs), "--plan", "--runs", str(tmp_path), *settings]
    ran = subprocess.run(command, env=os.environ | {"PYTHON": sys.executable}, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert GPU_SAYS in ran.stdout
